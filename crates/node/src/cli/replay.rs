//! `wattle replay`: publishes a CSV file as devices would.
//!
//! ```text
//! file ─▶ rows (all checked first) ─▶ pace ─▶ pool (a device keeps to one connection) ─▶ broker
//! ```
//! A reading's time comes from the file, so its id does too: a replay that is repeated publishes the same
//! readings, and a site that has seen them says so instead of anchoring them again.

mod pool;
mod rows;

pub(crate) use pool::{Load, Outcome, Pace, publish};
pub(crate) use rows::{RowError, Rows, Rules};

use super::login::Login;
use super::output::{note, print, print_json, thousands};
use super::{Exit, Failure, progress, quantity, runtime::runtime};
use indicatif::ProgressBar;
use protocol::{Name, Reading};
use serde_json::json;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

/// The instant of row 0 of the bundled data: the first hour of August 2016, in microseconds since 1970.
pub(crate) const START_US: u64 = 1_470_009_600_000_000;
/// The step between two sequence numbers of the bundled data: an hour.
pub(crate) const STEP_US: u64 = 3_600_000_000;

/// `wattle replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file's first line names its columns:
  time       RFC 3339 or seconds since 1970;  or time_ms: milliseconds;  or seq: a count, see --start and --step
  device     the device's ID within the site (household will do)
  others     one data type each; a known unit at the end is taken off: load_kwh is data type load in kWh
Each value goes to root/device/SITE/DEVICE/sense/TYPE as SenML. Empty cells are left out.

Examples:
  wattle replay examples/energy/data/readings.csv --broker mqtt://127.0.0.1:1883 --site z1 --speedup 10000
  wattle replay meters.csv --broker mqtt://broker --site z1 --rate 500 --limit 10000 --json
  wattle replay meters.csv --broker mqtts://broker.example --ca ca.pem --user replay --password-file password")]
pub(crate) struct Arguments {
    /// The CSV file
    file: PathBuf,
    /// The broker, embedded or any other: `mqtt://HOST[:PORT]`, or `mqtts://` for TLS
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    broker: String,
    #[command(flatten)]
    login: Login,
    /// The site the devices belong to
    #[arg(long, default_value = "z1", value_parser = quantity::site)]
    site: Name,
    /// Publish so many readings a second; without this and --speedup, as fast as the broker acknowledges
    #[arg(long, value_name = "PER_SECOND", value_parser = quantity::positive, conflicts_with = "speedup")]
    rate: Option<f64>,
    /// Publish in the file's own rhythm, so many times faster
    #[arg(long, value_name = "TIMES", value_parser = quantity::positive)]
    speedup: Option<f64>,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Publish only the first so many readings
    #[arg(long, value_name = "READINGS")]
    limit: Option<usize>,
    /// Connections to the broker; each device keeps to one
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Time of sequence number 0, for files with a seq column
    #[arg(long, value_name = "RFC3339", default_value = "2016-08-01T00:00:00Z")]
    start: jiff::Timestamp,
    /// Time from one sequence number to the next
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::duration)]
    step: Duration,
    /// Give up when nothing has been acknowledged for so long
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantity::duration)]
    patience: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Publishes, shows progress, and says what was acknowledged.
///
/// # Errors
/// [`Failure`] if the file or the broker cannot be used, or not everything was acknowledged.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let credentials = arguments.login.credentials()?;
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let mut total = 0u64;
    for reading in open(arguments)?.take(limit) {
        reading?;
        total += 1;
    }
    note(&format!("{} readings to {} for site {}", thousands(total), arguments.broker, arguments.site));
    let load = Load {
        url: arguments.broker.clone(),
        credentials,
        qos: arguments.qos,
        connections: usize::from(arguments.connections),
        patience: arguments.patience,
    };
    let pace = match (arguments.rate, arguments.speedup) {
        (Some(rate), _) => Pace::Rate(rate),
        (None, Some(speedup)) => Pace::Speedup(speedup),
        (None, None) => Pace::Unpaced,
    };
    let bar = progress_bar(total);
    let outcome = runtime()?.block_on(publish(open(arguments)?.take(limit), &load, pace, &bar))?;
    bar.finish_and_clear();
    report(&outcome, arguments)
}

fn open(arguments: &Arguments) -> Result<impl Iterator<Item = Result<Reading, Failure>> + use<>, Failure> {
    let path = arguments.file.clone();
    let file = File::open(&path).map_err(|e| Failure::file(&path, &e, "name a CSV file that can be read"))?;
    let rules = Rules {
        site: arguments.site.clone(),
        start_us: u64::try_from(arguments.start.as_microsecond()).unwrap_or_default(),
        step_us: u64::try_from(arguments.step.as_micros()).unwrap_or(u64::MAX),
    };
    let failure = move |e: RowError| Failure::new(Exit::Usage, e, path.display(), "see `wattle replay --help` for the columns");
    let rows = Rows::open(BufReader::new(file), rules).map_err(&failure)?;
    Ok(rows.map(move |row| row.map_err(&failure)))
}

fn report(outcome: &Outcome, arguments: &Arguments) -> Result<(), Failure> {
    let seconds = outcome.elapsed.as_secs_f64();
    if arguments.json {
        print_json(&json!({
            "sent": outcome.sent,
            "acknowledged": outcome.acknowledged,
            "elapsed_ms": u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
            "qos": arguments.qos,
            "broker": arguments.broker,
        }))?;
    } else {
        print(&format!("sent {}, acknowledged {}, in {seconds:.1} s", thousands(outcome.sent), thousands(outcome.acknowledged)))?;
    }
    match &outcome.trouble {
        None if outcome.sent == outcome.acknowledged => Ok(()),
        trouble => {
            let what = format!("{} publishes were not acknowledged", outcome.sent.saturating_sub(outcome.acknowledged));
            let at = trouble.clone().unwrap_or_else(|| arguments.broker.clone());
            Err(Failure::new(Exit::Refused, what, at, "run the same replay again: what has arrived is recognised"))
        }
    }
}

/// A progress bar on stderr; it hides itself where nobody watches.
pub(crate) fn progress_bar(total: u64) -> ProgressBar {
    progress::bar(total, "{bar:40} {pos}/{len} acknowledged, {per_sec}, {eta} left")
}
