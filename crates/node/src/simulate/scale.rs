//! `wattle sim scale`: what becomes of 10³ to 10⁷ devices, and what is the first to have no more room.
//!
//! The model and what it assumes is said in `sim::scale`, its formulas in `docs/spec/scale-model.md`. Constants come from `wattle
//! bench` (`measured`), or are those of the development machine; `report` shows what comes out.

mod measured;
mod report;

use super::files::Files;
use crate::cli::output::{note, print, print_json};
use crate::cli::{Exit, Failure, quantity};
use measured::Measured;
use sim::scale::{
    Estimate, Saturation, ScaleError, Settings, estimate, latency_chart, links_chart, processor_chart, saturations, storage_chart,
    utilisation_chart,
};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Most numbers of devices in one run.
const POINTS_MAX: usize = 10_000;
/// From so many on it is said how long they take.
const POINTS_SAID: usize = 1_000;
/// Microseconds that one of them takes with its rows, in a build that is not optimised.
const POINT_US: f64 = 200.0;
/// Where the sweep goes if nobody says.
const SWEEP_DIR: &str = "sim-scale";
/// Decades of the sweep.
const DECADES: std::ops::RangeInclusive<u32> = 3..=7;

/// `wattle sim scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A network grows by filling up: sites, then subnets, then brokers and committees above; what is told is told of the busiest.
Subnets and their parents are a model only: the software has one subnet.

Examples:
  wattle sim scale
  wattle sim scale --all --out figures
  wattle sim scale --devices 1000,1e6 --period 1m --batch-delay 1s --tiers 1
  wattle bench connections --json > connections.json
  wattle bench storage --nodes 4 --json > storage.json
  wattle sim scale --bench connections.json --bench storage.json --json")]
pub(super) struct Arguments {
    /// The whole sweep: 1, 2 and 5 times each power of ten from 1000 to 10000000, with files
    #[arg(long, conflicts_with = "devices")]
    all: bool,
    /// Numbers of devices, such as 1000,50000,1e6
    #[arg(long, default_value = "1e3,1e4,1e5,1e6,1e7")]
    devices: Devices,
    /// Time from one reading of a device to its next
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    period: Duration,
    /// Bytes of topic and payload
    #[arg(long, default_value_t = 40)]
    reading_bytes: u32,
    /// Most readings in a batch
    #[arg(long, default_value_t = 1_000)]
    batch_readings: u32,
    /// Under load a batch leaves this long after the one before
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = quantity::duration)]
    batch_delay: Duration,
    /// Devices of a full site
    #[arg(long, default_value_t = 1_000)]
    devices_per_site: u32,
    /// Sites of a full subnet
    #[arg(long, default_value_t = 100)]
    sites_per_subnet: u32,
    /// Members of a committee
    #[arg(long, default_value_t = 16)]
    committee: u32,
    /// Levels of brokers: 1 is one a site and none above
    #[arg(long, default_value_t = 3)]
    tiers: u32,
    /// Brokers below each between the first level and the last
    #[arg(long, default_value_t = 32)]
    brokers_below: u32,
    /// Part of the readings that goes up the tree of brokers
    #[arg(long, default_value_t = 1.0)]
    up_share: f64,
    /// Days after which a pruned node drops what it confirmed
    #[arg(long, default_value_t = 30)]
    retention_days: u32,
    /// Subnets that have one parent (model only)
    #[arg(long, default_value_t = 100)]
    subnets_per_parent: u32,
    /// Time between two checkpoints of a subnet in its parent (model only)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    checkpoint_interval: Duration,
    /// From a device to its broker, and from one node to another
    #[arg(long, value_name = "TIME", default_value = "1.5ms", value_parser = quantity::duration)]
    link: Duration,
    /// What a node's connection carries each way, in millions of bits a second
    #[arg(long, default_value_t = 1_000.0)]
    bandwidth_mbit: f64,
    /// Cores of a node's machine
    #[arg(long, default_value_t = 2.0)]
    cores: f64,
    /// Memory of a node's machine, in millions of bytes
    #[arg(long, default_value_t = 4_000.0)]
    memory_mb: f64,
    /// Most connections of a site's broker
    #[arg(long, default_value_t = 20_000)]
    connections: u32,
    /// What `wattle bench NAME --json` printed for dag, ingest, connections, mqtt, vote, confirm or storage; once for each
    #[arg(long, value_name = "FILE")]
    bench: Vec<PathBuf>,
    /// Write CSV, JSON and figures there; with --all it is sim-scale unless said otherwise
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Numbers of devices, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Devices(Vec<u64>);

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("whole numbers such as 1000,50000,1e6 are needed, at most {POINTS_MAX} of them");
        let mut numbers = text.split(',').map(|part| whole(part.trim()).ok_or_else(wrong)).collect::<Result<Vec<u64>, _>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() > POINTS_MAX { Err(wrong()) } else { Ok(Self(numbers)) }
    }
}

/// A whole number, or one with a power of ten.
fn whole(text: &str) -> Option<u64> {
    match text.split_once('e') {
        None => text.parse().ok(),
        Some((number, power)) => number.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(power.parse().ok()?)?),
    }
}

/// What was asked, and what came out.
struct Outcome {
    settings: Settings,
    measured: Measured,
    estimates: Vec<Estimate>,
    saturations: Vec<Saturation>,
}

/// Reckons, and writes what was asked for.
///
/// # Errors
/// [`Failure`]: usage (2) for what makes no sense; fault (4) if a figure cannot be drawn.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let usage = |error: ScaleError| Failure::new(Exit::Usage, error, "wattle sim scale", "see `wattle sim scale --help`");
    let mut measured = Measured::default();
    for path in &arguments.bench {
        measured.read(path)?;
    }
    let devices = if arguments.all { sweep() } else { arguments.devices.0.clone() };
    let settings = settings(arguments);
    for count in &devices {
        settings.with_devices(*count).check().map_err(usage)?;
    }
    let out = arguments.out.clone().or_else(|| arguments.all.then(|| PathBuf::from(SWEEP_DIR)));
    let files = out.as_deref().map(Files::new).transpose()?;
    if devices.len() >= POINTS_SAID {
        let seconds = devices.len() as f64 * POINT_US / 1e6;
        note(&format!("{} numbers of devices, about {seconds:.1} s", devices.len()));
    }

    let saturations = saturations(&settings, &measured.constants).map_err(usage)?;
    let one = |count: &u64| estimate(&settings.with_devices(*count), &measured.constants);
    let estimates = devices.iter().map(one).collect::<Result<Vec<Estimate>, _>>().map_err(usage)?;
    let outcome = Outcome { settings, measured, estimates, saturations };
    if let Some(mut files) = files {
        write(&mut files, &outcome)?;
        note(&files.summary());
    }
    match arguments.json {
        true => print_json(&report::object(&outcome)),
        false => print(&report::shown(&outcome)),
    }
}

fn sweep() -> Vec<u64> {
    let last = 10u64.pow(*DECADES.end());
    DECADES.flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power))).filter(|count| *count <= last).collect()
}

/// All but the devices.
fn settings(arguments: &Arguments) -> Settings {
    Settings {
        devices: Settings::default().devices,
        period: arguments.period,
        reading_bytes: arguments.reading_bytes,
        batch_readings_max: arguments.batch_readings,
        batch_delay: arguments.batch_delay,
        devices_per_site: arguments.devices_per_site,
        sites_per_subnet: arguments.sites_per_subnet,
        committee: arguments.committee,
        tiers: arguments.tiers,
        brokers_below: arguments.brokers_below,
        up_share: arguments.up_share,
        retention_days: arguments.retention_days,
        subnets_per_parent: arguments.subnets_per_parent,
        checkpoint_interval: arguments.checkpoint_interval,
        link: arguments.link,
        bandwidth_mbit: arguments.bandwidth_mbit,
        cores: arguments.cores,
        memory_bytes: arguments.memory_mb * 1e6,
        connections_max: arguments.connections,
    }
}

fn write(files: &mut Files, outcome: &Outcome) -> Result<(), Failure> {
    let estimates = &outcome.estimates;
    files.write("scale.csv", report::csv(estimates).as_bytes())?;
    files.write("scale.json", format!("{:#}\n", report::object(outcome)).as_bytes())?;
    files.chart("scale-utilisation", &utilisation_chart(estimates))?;
    files.chart("scale-processor", &processor_chart(estimates))?;
    files.chart("scale-latency", &latency_chart(estimates))?;
    files.chart("scale-links", &links_chart(estimates))?;
    files.chart("scale-storage", &storage_chart(estimates))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_options_defaults_are_the_model_s() {
        let line = Line::try_parse_from(["scale"]).unwrap();
        assert_eq!(settings(&line.arguments), Settings::default());
    }

    #[test]
    fn numbers_of_devices_are_read_and_the_sweep_has_three_a_decade() {
        assert_eq!("1e3, 50000,1000,2e6".parse(), Ok(Devices(vec![1_000, 50_000, 2_000_000])));
        for text in ["", "1,", "-5", "1.5", "1e99", "e3", "x", "1-9"] {
            assert!(text.parse::<Devices>().is_err(), "{text} was accepted");
        }
        let sweep = sweep();
        assert_eq!((sweep.len(), sweep.first(), sweep.last()), (13, Some(&1_000), Some(&10_000_000)));
    }
}
