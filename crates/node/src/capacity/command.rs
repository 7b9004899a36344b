//! What may be typed after `wattle capacity`, and the order in which it is done.

use super::check::{self, Checked};
use super::measure::{self, Effort, Measured};
use super::report::{self, Report};
use crate::bench::need_files;
use crate::cli::output::{print, print_json};
use crate::cli::runtime::{asked_to_stop, runtime};
use crate::cli::{Exit, Failure, quantity};
use crate::config::LedgerConfig;
use indicatif::{ProgressBar, ProgressStyle};
use sim::capacity::{Answer, CapacityError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Periods that are always answered for, in seconds.
const PERIODS_S: [u64; 5] = [1, 10, 60, 900, 3_600];
/// Most periods that may be asked for.
const PERIODS_MAX: usize = 100;
/// Steps that the bar counts: signatures, hashing, disk, broker, ledger, check.
const STEPS: u64 = 6;

/// `wattle capacity`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each device has a connection and tells its readings at QoS 1. A hub is a site: broker, gateway and log, with as many devices as the
answer says; a node admits the messages of all hubs of its subnet. Nothing else should run meanwhile; build with --release.

Examples:
  wattle capacity
  wattle capacity --period 30s --margin 0.7
  wattle capacity --data /var/lib/wattle --signed --json
  wattle capacity --period 1s --check-seconds 60 --check-devices-max 20000")]
pub(crate) struct Arguments {
    /// Time from one reading of a device to its next, beside the usual ones; the first is checked
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = period)]
    period: Vec<Duration>,
    /// Share of each measured part that may be used: above 0, at most 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = margin)]
    margin: f64,
    /// Devices sign their readings
    #[arg(long)]
    signed: bool,
    /// Directory on the disk that a node would use; TMPDIR if not said
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long the answer is checked by running it; 0 leaves that out. 10 if not said
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=600))]
    check_seconds: Option<u32>,
    /// Devices that the check connects at most; fewer tell more often instead. 10000 if not said
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    check_devices_max: Option<u32>,
    /// Within which 99 of 100 readings must be acknowledged for the check to hold
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = quantity::duration)]
    latency: Duration,
    /// Measure for a few seconds only: to try the command, not to plan by
    #[arg(long)]
    quick: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads a time between readings.
///
/// # Errors
/// A sentence saying what is accepted.
fn period(text: &str) -> Result<Duration, String> {
    match quantity::duration(text) {
        Ok(period) if period.is_zero() => Err("a period above 0 is needed, such as 500ms, 10s or 15m".to_owned()),
        read => read,
    }
}

/// Reads a share.
///
/// # Errors
/// A sentence saying what is accepted.
fn margin(text: &str) -> Result<f64, String> {
    quantity::positive(text)
        .ok()
        .filter(|share| *share <= 1.0)
        .ok_or_else(|| "a share above 0 and at most 1 is needed, such as 0.5".to_owned())
}

/// Measures, answers, checks and tells.
///
/// # Errors
/// [`Failure`]: usage (2) for a directory that cannot be written or a limit of open files that is too low; refused (1) if the check did
/// not hold, after everything was told; fault (4) if something could not be measured.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let start = Instant::now();
    let periods = periods(&arguments.period)?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    // before half a minute of work, not after
    need_files(effort.files(), "wattle capacity")?;
    let directory = measure::directory(arguments.data.as_deref())?;
    let bar = progress_bar();
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = all(arguments, &periods, &effort, directory.path(), &bar) => done,
            () = asked_to_stop() => Err(Failure::new(Exit::Refused, "stopped before it was done", "wattle capacity", "run it again")),
        }
    });
    bar.finish_and_clear();
    let (measured, answers, checked) = done?;
    let place = measure::place(arguments.data.as_deref());
    let report = Report { margin: arguments.margin, signed: arguments.signed, quick: arguments.quick, place, measured, answers, checked };
    match arguments.json {
        true => print_json(&report::object(&report, start.elapsed()))?,
        false => print(&report::shown(&report))?,
    }
    report.checked.map_or(Ok(()), |checked| checked.verdict())
}

/// Those that are always answered for and those asked for, in order.
fn periods(asked: &[Duration]) -> Result<Vec<Duration>, Failure> {
    if asked.len() > PERIODS_MAX {
        let what = format!("{} periods", asked.len());
        return Err(Failure::new(Exit::Usage, what, "--period", format!("ask for at most {PERIODS_MAX} at a time")));
    }
    let mut periods: Vec<Duration> = PERIODS_S.iter().map(|s| Duration::from_secs(*s)).chain(asked.iter().copied()).collect();
    periods.sort_unstable();
    periods.dedup();
    Ok(periods)
}

/// A progress bar on stderr; it hides itself where nobody watches.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(STEPS);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

type Done = (Measured, Vec<Answer>, Option<Checked>);

async fn all(arguments: &Arguments, periods: &[Duration], effort: &Effort, directory: &Path, bar: &ProgressBar) -> Result<Done, Failure> {
    let measured = Measured::take(effort, directory, bar).await?;
    let batch_delay = Duration::from_millis(LedgerConfig::default().batch_delay_ms);
    let host = measured.host(batch_delay, arguments.signed);
    let senseless = |error: CapacityError| Failure::new(Exit::Fault, error, "what was measured", "report this with the command you typed");
    let answer = |period: Duration| host.answer(period, arguments.margin).map_err(senseless);
    let answers = periods.iter().map(|period| answer(*period)).collect::<Result<Vec<_>, _>>()?;
    let checked_period = arguments.period.first().copied().unwrap_or(Duration::from_secs(1));
    let span = Duration::from_secs(u64::from(arguments.check_seconds.unwrap_or(effort.check_s)));
    let devices_max = arguments.check_devices_max.unwrap_or(effort.check_devices).min(measured.devices_by_files());
    let checked = match answer(checked_period)?.probe(span, devices_max) {
        Some(probe) => {
            bar.set_message("check");
            Some(check::run(checked_period, probe, arguments.latency, directory).await?)
        }
        None => None,
    };
    bar.inc(1);
    Ok((measured, answers, checked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn periods_are_in_order_and_none_comes_twice() {
        let Line { arguments } = Line::try_parse_from(["x", "--period", "30s,1s,250ms"]).unwrap();
        let all: Vec<u128> = periods(&arguments.period).unwrap().iter().map(Duration::as_millis).collect();
        assert_eq!(all, [250, 1_000, 10_000, 30_000, 60_000, 900_000, 3_600_000]);
        assert!(periods(&[Duration::from_secs(7); PERIODS_MAX + 1]).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [
            ["x", "--period", "0"],
            ["x", "--period", "0ms,1s"],
            ["x", "--period", "-1s"],
            ["x", "--margin", "0"],
            ["x", "--margin", "1.1"],
            ["x", "--margin", "NaN"],
            ["x", "--check-devices-max", "0"],
        ] {
            assert!(Line::try_parse_from(arguments).is_err(), "{arguments:?} was accepted");
        }
    }
}
