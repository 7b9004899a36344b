//! What may be typed after `wattle demo`, and the order of events.

use super::report::Report;
use super::{Network, energy, espresso, free_plan, market};
use crate::cli::output::{note, print, print_json};
use crate::cli::replay::Pace;
use crate::cli::runtime::{asked_to_stop, runtime};
use crate::cli::{Exit, Failure, quantity};
use protocol::Name;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Validators of the demo's network: one of them may fail.
const NODES: u16 = 4;
/// Readings that are replayed if nothing else is said.
const READINGS: usize = 2_000;
/// Makes those readings, 59 hours of 17 homes, take about 20 seconds.
const SPEEDUP: f64 = 10_600.0;
/// How often the nodes are looked at while everything is left running.
const LOOK: Duration = Duration::from_millis(500);

/// Scenarios.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Scenario {
    /// Smart meters of 17 homes: load and solar power
    Energy(Energy),
    /// Eight nodes share data, earn DCoin and buy espressos; one of them tries to cheat
    Market(market::Arguments),
    /// An espresso machine that brews on a valid certificate only
    Espresso(Box<espresso::Arguments>),
}

/// `wattle demo`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Without a scenario it is `wattle demo energy`. `wattle demo SCENARIO --help` says what each does.

Examples:
  wattle demo
  wattle demo --exit --json          for programs: 0 only if every reading was confirmed exactly once
  wattle demo market --exit          wallets, votes, and an espresso machine that checks certificates itself"
)]
pub(crate) struct Arguments {
    /// What to play; without it, energy
    #[command(subcommand)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    energy: Energy,
}

/// `wattle demo energy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts four nodes, each a process with its own directory and keys; the first serves site z1 with an MQTT broker.
Replays real smart-meter data over MQTT, waits until every reading is confirmed on every node, verifies
receipts, and shows that a receipt with one flipped bit is refused. Then everything keeps running until Ctrl-C.

Examples:
  wattle demo energy
  wattle demo energy --exit --json          for programs: 0 only if every reading was confirmed exactly once
  wattle demo energy --readings 6000 --speedup 50000 --dir mynet")]
pub(crate) struct Energy {
    /// End after the report; the exit code says whether every promise was kept
    #[arg(long)]
    exit: bool,
    /// How many times faster than life
    #[arg(long, value_name = "TIMES", value_parser = quantity::positive, default_value_t = SPEEDUP)]
    speedup: f64,
    /// How many readings
    #[arg(long, default_value_t = READINGS)]
    readings: usize,
    /// Where to keep the nodes' directories; without it, in a new temporary directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Plays the scenario.
///
/// # Errors
/// [`Failure`] if the network cannot be run, or a promise was not kept.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.scenario {
        None => run_energy(&arguments.energy),
        Some(Scenario::Energy(energy)) => run_energy(energy),
        Some(Scenario::Market(market)) => market::run(market),
        Some(Scenario::Espresso(espresso)) => espresso::run(espresso),
    }
}

fn run_energy(arguments: &Energy) -> Result<(), Failure> {
    let name = |text: &str| Name::new(text).map_err(|e| Failure::new(Exit::Fault, e, text, "report this"));
    let (network_name, site) = (name("demo")?, name("z1")?);
    let readings = energy::readings(&site, arguments.readings)?;
    let directory = directory(arguments.dir.as_deref())?;
    let (plan, notes) = free_plan(network_name, site, NODES)?;
    notes.iter().for_each(|n| note(n));
    note(&format!("starting {NODES} nodes in {} (kept afterwards)", directory.display()));
    let runtime = runtime()?;
    let mut network = Network::start(&directory, &plan)?;
    let played = runtime.block_on(async {
        tokio::select! {
            () = asked_to_stop() => None,
            played = async {
                network.ready().await?;
                energy::tell(&mut network, readings, Pace::Speedup(arguments.speedup)).await
            } => Some(played),
        }
    });
    let Some(played) = played else {
        note("stopping the nodes");
        return Err(Failure::new(Exit::Refused, "interrupted", "the demo", "let it run to its end to see the report"));
    };
    let mut report = played?;
    report.directory = directory;
    match arguments.json {
        true => print_json(&report)?,
        false => print(&report.text())?,
    }
    if !arguments.exit {
        note(&invitation(&network, &report));
        runtime.block_on(leave_running(&mut network))?;
    }
    note("stopping the nodes");
    network.stop();
    match report.problems.first() {
        None => Ok(()),
        Some(first) => {
            let todo = "read the nodes' log.txt and run `wattle check` on their data directories";
            Err(Failure::new(Exit::Refused, first, report.directory.display(), todo))
        }
    }
}

/// Where a demo keeps its nodes' directories.
///
/// # Errors
/// [`Failure`] if no temporary directory can be made.
pub(super) fn directory(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(directory) => Ok(std::path::absolute(directory).unwrap_or_else(|_| directory.to_path_buf())),
        None => tempfile::Builder::new()
            .prefix("wattle-demo-")
            .tempdir()
            .map(tempfile::TempDir::keep)
            .map_err(|e| Failure::file(&std::env::temp_dir(), &e, "name a directory with --dir")),
    }
}

/// What can be tried while everything runs.
fn invitation(network: &Network, report: &Report) -> String {
    let (host, port) = network.broker.trim_start_matches("mqtt://").split_once(':').unwrap_or(("127.0.0.1", "1883"));
    let node = report.http.first().map(String::as_str).unwrap_or_default();
    let site = &network.site;
    format!(
        "\nEverything keeps running until Ctrl-C. Try, in another terminal:\n  \
         mosquitto_pub -h {host} -p {port} -t root/device/{site}/m1/sense/power -m 42 -q 1\n  \
         wattle readings --node {node} --topic {site}/m1/sense/power\n  \
         wattle receipt --node {node} -o r.json REFERENCE       (the id, or {site}/m1/sense/power@TIME, from `wattle readings --json`)\n  \
         wattle verify r.json --genesis {}\n  \
         wattle status --node {node}\n\
         HTTP: {}",
        network.genesis_file.display(),
        report.http.join("  "),
    )
}

/// Until Ctrl-C, or a node ends.
///
/// # Errors
/// [`Failure`] if a node ends.
pub(super) async fn leave_running(network: &mut Network) -> Result<(), Failure> {
    let stop = asked_to_stop();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(LOOK) => network.alive()?,
        }
    }
}
