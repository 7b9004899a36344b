//! `wattle pipeline test`: what comes out of recorded data.

use super::data::{self, What};
use crate::cli::output::{print, print_json, table, thousands, time_us};
use crate::cli::replay::Rules;
use crate::cli::{Exit, Failure, quantity};
use edge::fog::{Command, Counts, Fog, Outcome, Rejection};
use protocol::{DeviceTopic, Name, Reading, Value};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// `wattle pipeline test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The data is a .csv as `wattle replay` takes, or publishes, one JSON object a line:
  {\"topic\": \"plant/m1/sense/power\", \"payload\": {\"v\": 1.5}, \"time\": \"2016-08-01T00:00:00Z\"}
  {\"topic\": \"plant/m1/sense/env\", \"hex\": \"03670110\", \"time\": 1470009601000}
A time is RFC 3339 or milliseconds since 1970; a line without one arrives a second after the line before.
After the last line time goes on until every window is closed and every rule at rest.

Examples:
  wattle pipeline test pipelines.toml --input examples/energy/data/readings.csv --site z1
  wattle pipeline test pipelines.toml --input publishes.ndjson --topic plant/m1/sense/power --json
  wattle pipeline test pipelines.toml --input publishes.ndjson --strict")]
pub(super) struct Arguments {
    /// The file of pipelines
    file: PathBuf,
    /// The data
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    /// The topic of lines that name none: site/ID/sense|act/type
    #[arg(long, value_parser = data::device_topic)]
    topic: Option<DeviceTopic>,
    /// The site of the devices in a .csv
    #[arg(long, default_value = "z1", value_parser = quantity::site)]
    site: Name,
    /// Time of sequence number 0 in a .csv with a seq column, and of a first line without a time
    #[arg(long, value_name = "RFC3339", default_value = "2016-08-01T00:00:00Z")]
    start: jiff::Timestamp,
    /// Time from one sequence number to the next
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::duration)]
    step: Duration,
    /// Fail if anything is rejected
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything that came out, in the order in which it did.
#[derive(Default)]
struct Output {
    all: Vec<Out>,
    counts: Counts,
}

enum Out {
    Accepted(Reading),
    Derived(Reading),
    Command(Command),
    Rejected(Rejection),
}

impl Output {
    fn add(&mut self, outcome: Outcome) {
        self.all.extend(outcome.accepted.into_iter().map(Out::Accepted));
        self.all.extend(outcome.derived.into_iter().map(Out::Derived));
        self.all.extend(outcome.commands.into_iter().map(Out::Command));
        self.all.extend(outcome.rejected.into_iter().map(Out::Rejected));
        let counts = outcome.counts;
        self.counts.filtered = self.counts.filtered.saturating_add(counts.filtered);
        self.counts.duplicates = self.counts.duplicates.saturating_add(counts.duplicates);
        self.counts.late = self.counts.late.saturating_add(counts.late);
        self.counts.forgotten = self.counts.forgotten.saturating_add(counts.forgotten);
    }

    /// Lets time go by as far as `until_us`.
    fn pass_time(&mut self, fog: &mut Fog, until_us: u64) {
        let mut before_us = None;
        while let Some(due_us) = fog.next_tick_us().filter(|due_us| *due_us <= until_us && Some(*due_us) != before_us) {
            self.add(fog.tick(due_us));
            before_us = Some(due_us);
        }
    }

    fn number_of(&self, is: impl Fn(&Out) -> bool) -> u64 {
        self.all.iter().filter(|out| is(out)).count() as u64
    }
}

/// Sends the data through the pipelines and prints what comes out.
///
/// # Errors
/// [`Failure`]: usage (2) if a file cannot be read or used; refused (1) if `--strict` and something was rejected.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut fog = super::load(&arguments.file)?;
    let rules = Rules {
        site: arguments.site.clone(),
        start_us: u64::try_from(arguments.start.as_microsecond()).unwrap_or_default(),
        step_us: u64::try_from(arguments.step.as_micros()).unwrap_or(u64::MAX),
    };
    let defaults = data::Defaults { rules, topic: arguments.topic.clone() };
    let mut output = Output::default();
    data::arrivals(&arguments.input, defaults, |arrival| {
        output.pass_time(&mut fog, arrival.at_us);
        output.add(match arrival.what {
            What::Reading(reading) => fog.process(std::slice::from_ref(&reading), arrival.at_us),
            What::Publish { topic, payload } => fog.take(&topic, &payload, arrival.at_us),
        });
    })?;
    output.pass_time(&mut fog, u64::MAX);
    match arguments.json {
        true => print_json(&object(&output))?,
        false => print(&text(&output))?,
    }
    match output.number_of(|out| matches!(out, Out::Rejected(_))) {
        rejected if rejected > 0 && arguments.strict => {
            let what = format!("{rejected} rejected");
            Err(Failure::new(Exit::Refused, what, arguments.input.display(), "the reasons are with what came out"))
        }
        _ => Ok(()),
    }
}

fn text(output: &Output) -> String {
    let rows = output.all.iter().map(row).collect();
    let all = table(&["", "topic", "time", "value", ""], rows);
    let count = |is: fn(&Out) -> bool| thousands(output.number_of(is));
    let Counts { filtered, duplicates, late, forgotten } = output.counts;
    format!(
        "{all}\naccepted {}, derived {}, commands {}, rejected {}; filtered {}, repetitions {}, late {}, forgotten {}",
        count(|out| matches!(out, Out::Accepted(_))),
        count(|out| matches!(out, Out::Derived(_))),
        count(|out| matches!(out, Out::Command(_))),
        count(|out| matches!(out, Out::Rejected(_))),
        thousands(filtered),
        thousands(duplicates),
        thousands(late),
        thousands(forgotten),
    )
}

fn row(out: &Out) -> Vec<String> {
    let reading = |kind: &str, r: &Reading| {
        let unit = r.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
        vec![kind.to_owned(), r.topic.to_string(), time_us(r.time_us), format!("{}{unit}", r.value), String::new()]
    };
    match out {
        Out::Accepted(r) => reading("accepted", r),
        Out::Derived(r) => reading("derived", r),
        Out::Command(c) => {
            vec!["command".to_owned(), c.topic.to_string(), time_us(c.time_us), c.value.to_string(), format!("{}: {}", c.pipeline, c.rule)]
        }
        Out::Rejected(r) => {
            let time = r.time_us.map(time_us).unwrap_or_default();
            vec!["rejected".to_owned(), r.topic.to_string(), time, String::new(), format!("{}{}", place(r), r.reason)]
        }
    }
}

/// Where something was rejected: the pipeline and the stage.
fn place(rejection: &Rejection) -> String {
    match (&rejection.pipeline, rejection.stage) {
        (Some(pipeline), Some(stage)) => format!("{pipeline}, stage {stage}: "),
        (Some(pipeline), None) => format!("{pipeline}: "),
        (None, _) => String::new(),
    }
}

fn object(output: &Output) -> serde_json::Value {
    let (mut accepted, mut derived, mut commands, mut rejected) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for out in &output.all {
        match out {
            Out::Accepted(r) => accepted.push(told(r)),
            Out::Derived(r) => derived.push(told(r)),
            Out::Command(c) => commands.push(json!({
                "topic": c.topic.to_string(),
                "time_us": c.time_us,
                "value": plain(&c.value),
                "pipeline": c.pipeline,
                "rule": c.rule,
                "cause": c.cause.as_ref().map(ToString::to_string),
            })),
            Out::Rejected(r) => rejected.push(json!({
                "topic": r.topic.to_string(),
                "time_us": r.time_us,
                "pipeline": r.pipeline,
                "stage": r.stage,
                "reason": r.reason.to_string(),
            })),
        }
    }
    let Counts { filtered, duplicates, late, forgotten } = output.counts;
    json!({
        "accepted": accepted,
        "derived": derived,
        "commands": commands,
        "rejected": rejected,
        "counts": { "filtered": filtered, "duplicates": duplicates, "late": late, "forgotten": forgotten },
    })
}

fn told(reading: &Reading) -> serde_json::Value {
    json!({
        "topic": reading.topic.to_string(),
        "time_us": reading.time_us,
        "sequence": reading.sequence,
        "unit": reading.unit,
        "value": plain(&reading.value),
    })
}

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(number) => json!(number),
        Value::Boolean(boolean) => json!(boolean),
        Value::Text(text) => json!(text),
        bytes @ Value::Bytes(_) => json!({ "hex": bytes.to_string().trim_start_matches("0x") }),
    }
}
