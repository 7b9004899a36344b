//! `wattle sim brokers`: the broker campaign of the ledger-as-a-service paper, or any part of it.
//!
//! What the model is and what it assumes is said in `sim::brokers`; the closed forms beside the results are those of
//! `docs/spec/broker-model.md`.

use super::choices::{self, Numbers};
use super::files::Files;
use super::report;
use super::runner::{self, Budget, Cost};
use crate::cli::output::{note, print, print_json};
use crate::cli::{Exit, Failure, quantity};
use sim::brokers::{
    Balancing, Curve, Discipline, Grid, Outcome, Phase, Settings, SettingsError, Spread, Workers, latency_chart, simulate, throughput_chart,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Seeds for each point where chance decides.
const SEEDS: u32 = 5;
/// Where the paper's figures go if nobody says.
const PAPER_DIR: &str = "sim-brokers";

/// `wattle sim brokers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A reading passes a broker twice, so N sources of period T ask 2·N·service/(brokers·T) of each. The defaults are the paper's
Table 5; what it leaves open is an option whose default reproduces its Figs 15 to 17.

Examples:
  wattle sim brokers --all --out figures
  wattle sim brokers --sources 10,50,100 --brokers 1,2 --service 6ms
  wattle sim brokers --sources 1-100 --phase uniform --seeds 10 --out figures
  wattle sim brokers --sources 70 --service 7ms --discipline fair --duration 10m --json")]
pub(super) struct Arguments {
    /// The paper's whole campaign: 1 to 100 sources; 1, 2 and 4 brokers; 5, 6 and 7 ms; 1 s and 0.1 s
    #[arg(long, conflicts_with_all = ["sources", "brokers", "service", "period"])]
    all: bool,
    /// Numbers of sources, such as 1,10,50-100
    #[arg(long, default_value = "1-100")]
    sources: Numbers,
    /// Numbers of brokers that share the load
    #[arg(long, default_value = "1")]
    brokers: Numbers,
    /// Time a broker takes for one message
    #[arg(long, value_name = "TIMES", default_value = "5ms", value_delimiter = ',', value_parser = quantity::duration)]
    service: Vec<Duration>,
    /// Time from one message of a source to its next
    #[arg(long, value_name = "TIMES", default_value = "1s", value_delimiter = ',', value_parser = quantity::duration)]
    period: Vec<Duration>,
    /// Simulated time of each run
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = quantity::duration)]
    duration: Duration,
    /// What is published before is not counted
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = quantity::duration)]
    warm_up: Duration,
    /// Time of a message on a link
    #[arg(long, value_name = "TIME", default_value = "0.5ms", value_parser = quantity::duration)]
    channel: Duration,
    /// Time the gateway, the fog and the node each take for a message
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = quantity::duration)]
    elaboration: Duration,
    /// Time of a proof of work
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = quantity::duration)]
    pow: Duration,
    /// When sources publish: synchronised, staggered, uniform or poisson
    #[arg(long, default_value = "synchronised", value_parser = choices::phase)]
    phase: Phase,
    /// Distribution of channel, elaboration and proof of work: constant or exponential
    #[arg(long, default_value = "constant", value_parser = choices::spread)]
    delays: Spread,
    /// Distribution of service times: constant or exponential
    #[arg(long, default_value = "constant", value_parser = choices::spread)]
    services: Spread,
    /// Whom a broker serves next: fifo, fair (between the two passes) or second-first
    #[arg(long, default_value = "fifo", value_parser = choices::discipline)]
    discipline: Discipline,
    /// Which broker a message goes to: by-source, round-robin, random or shortest
    #[arg(long, default_value = "by-source", value_parser = choices::balancing)]
    balancing: Balancing,
    /// Whether the fog works on messages side by side: parallel or serial
    #[arg(long, default_value = "parallel", value_parser = choices::workers)]
    fog: Workers,
    /// Whether the node works on messages, proofs included, side by side: parallel or serial
    #[arg(long, default_value = "parallel", value_parser = choices::workers)]
    node: Workers,
    /// Send the node's notice of each publication through the broker, too
    #[arg(long)]
    notices: bool,
    /// Runs of each point with different seeds, for confidence bands; 5 where chance decides, else 1
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    seeds: Option<u32>,
    /// First seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write CSV, JSON and figures there; with --all it is sim-brokers unless said otherwise
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Refuse what would take longer than this
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = quantity::duration)]
    time_limit: Duration,
    /// Runs at a time; as many as there are cores if not said
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Simulates, and writes what was asked for.
///
/// # Errors
/// [`Failure`]: usage (2) for settings that make no sense or take too long; fault (4) if a file cannot be written.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let grid = grid(arguments);
    let usage = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, error, "wattle sim brokers", "see `wattle sim brokers --help`");
    let runs = grid.runs().map_err(|error| usage(&error))?;
    let threads = arguments.threads.map_or_else(runner::cores, usize::from);
    affordable(&runs, threads, arguments.time_limit)?;
    let out = arguments.out.clone().or_else(|| arguments.all.then(|| PathBuf::from(PAPER_DIR)));
    // before a minute of work, not after
    let files = out.as_deref().map(Files::new).transpose()?;

    let start = Instant::now();
    let bar = runner::progress_bar(runs.len());
    let outcomes = runner::all(&runs, threads, &bar, simulate);
    bar.finish_and_clear();
    let outcomes: Vec<Outcome> = outcomes.into_iter().collect::<Result<_, SettingsError>>().map_err(|error| usage(&error))?;
    let curves = grid.summarise(&outcomes).map_err(|error| usage(&error))?;
    note(&format!("{} runs in {:.1} s", runs.len(), start.elapsed().as_secs_f64()));

    if let Some(mut files) = files {
        write(&mut files, &grid, &curves, arguments.all)?;
        note(&files.summary());
    }
    match arguments.json {
        true => print_json(&report::object(&grid, &curves)),
        false => print(&report::shown(&curves)),
    }
}

fn grid(arguments: &Arguments) -> Grid {
    let base = Settings {
        duration: arguments.duration,
        warm_up: arguments.warm_up,
        channel: arguments.channel,
        elaboration: arguments.elaboration,
        pow: arguments.pow,
        phase: arguments.phase,
        delays: arguments.delays,
        services: arguments.services,
        discipline: arguments.discipline,
        balancing: arguments.balancing,
        fog: arguments.fog,
        node: arguments.node,
        notices: arguments.notices,
        seed: arguments.seed,
        ..Settings::default()
    };
    let seeds = arguments.seeds.unwrap_or(if base.deterministic() { 1 } else { SEEDS });
    let paper = Grid { seeds, ..Grid::paper(base) };
    if arguments.all {
        return paper;
    }
    Grid {
        sources: arguments.sources.0.clone(),
        brokers: arguments.brokers.0.clone(),
        services: arguments.service.clone(),
        periods: arguments.period.clone(),
        ..paper
    }
}

/// Says what it will take, and refuses what is too much.
fn affordable(runs: &[Settings], threads: usize, limit: Duration) -> Result<(), Failure> {
    let costs: Vec<Cost> = runs.iter().map(|run| Cost { time: run.estimated_time(), bytes: run.estimated_bytes() }).collect();
    let budget = Budget {
        threads,
        time: limit,
        at: "wattle sim brokers",
        if_slow: "raise --time-limit, or ask for fewer sources, seeds or a shorter --duration",
        if_large: "lower --threads, or ask for fewer sources or a shorter --duration",
    };
    budget.allow(&costs)
}

fn write(files: &mut Files, grid: &Grid, curves: &[Curve], paper: bool) -> Result<(), Failure> {
    files.write("brokers.csv", report::csv(curves).as_bytes())?;
    let object = report::object(grid, curves);
    files.write("brokers.json", format!("{object:#}\n").as_bytes())?;
    for period in &grid.periods {
        let of = |what: &str| name(what, *period, paper);
        files.chart(&of("latency"), &latency_chart(curves, *period))?;
        files.chart(&of("throughput"), &throughput_chart(curves, *period))?;
    }
    Ok(())
}

/// A figure's file, with the paper's number if it is one of the paper's.
fn name(what: &str, period: Duration, paper: bool) -> String {
    let number = match (what, period.as_millis()) {
        _ if !paper => "",
        ("latency", 1_000) => "fig15-",
        ("latency", 100) => "fig16-",
        ("throughput", 1_000) => "fig17-",
        _ => "",
    };
    format!("{number}{what}-{}s", period.as_secs_f64())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_figures_have_its_numbers() {
        let (second, tenth) = (Duration::from_secs(1), Duration::from_millis(100));
        assert_eq!(name("latency", second, true), "fig15-latency-1s");
        assert_eq!(name("latency", tenth, true), "fig16-latency-0.1s");
        assert_eq!(name("throughput", second, true), "fig17-throughput-1s");
        assert_eq!(name("throughput", tenth, true), "throughput-0.1s");
        assert_eq!(name("latency", second, false), "latency-1s");
    }

    #[test]
    fn what_takes_too_long_is_refused_with_an_estimate() {
        let many = Settings { sources: 1_000_000, discipline: Discipline::Fair, ..Settings::default() };
        let refused = affordable(std::slice::from_ref(&many), 2, Duration::from_secs(600)).unwrap_err();
        assert!(refused.to_string().contains("--time-limit"), "{refused}");
        let hungry = affordable(&[many], 2, Duration::from_secs(86_400)).unwrap_err();
        assert!(hungry.to_string().contains("MB of memory"), "{hungry}");
        affordable(&Grid::paper(Settings::default()).runs().unwrap(), 2, Duration::from_secs(60)).unwrap();
    }
}
