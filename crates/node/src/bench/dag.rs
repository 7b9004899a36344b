//! `wattle bench dag`: how many messages of one reading each a committee takes into its DAG and confirms.
//!
//! All replicas run in this process and share its cores, on simulated links or on loopback TCP; `load.rs` says what
//! they are given to do. *Admitted* is what the first replica has taken into its graph, whoever issued it; *confirmed*
//! is what a milestone ordered, as the first replica executes it.

use super::child::{self, Apart};
use super::committee::{self, Network, WORKERS, link_ms};
use super::disk::scratch;
use super::figures::{Figures, fields, latency};
use super::load::{self, Load, Window};
use super::machine::usage;
use crate::cli::{Exit, Failure, quantity};
use replica::Handle;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

/// `wattle bench dag`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Replicas; all of them issue
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
    /// What connects them
    #[arg(long, value_enum, default_value_t = Network::Simulated)]
    network: Network,
    /// How long a simulated link takes, in milliseconds
    #[arg(long, default_value_t = 1.5, value_parser = link_ms)]
    latency_ms: f64,
    /// Messages a second that all issue together; as many as they take if not given
    #[arg(long, value_parser = quantity::positive)]
    rate: Option<f64>,
    /// Messages that may be unconfirmed, shared out among the replicas
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=262_144))]
    in_flight: u32,
    /// How long is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before that
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    #[command(flatten)]
    apart: Apart,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the replicas cannot run.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let network = arguments.network.name();
    let parameters = json!({
        "nodes": arguments.nodes, "network": network, "batch": 1, "rate_per_second": arguments.rate,
        "in_flight": arguments.in_flight, "seconds": arguments.seconds,
        "link_ms": (arguments.network == Network::Simulated).then_some(arguments.latency_ms),
    });
    let mut options = vec![
        ("--nodes", arguments.nodes.to_string()),
        ("--network", network.to_owned()),
        ("--latency-ms", arguments.latency_ms.to_string()),
        ("--in-flight", arguments.in_flight.to_string()),
        ("--seconds", arguments.seconds.to_string()),
        ("--warm-up", arguments.warm_up.to_string()),
    ];
    options.extend(arguments.rate.map(|rate| ("--rate", rate.to_string())));
    arguments.apart.repeat("dag", parameters, "messages_per_second", || once(arguments), || child::run("dag", &options))
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let storage = scratch()?;
    replica::run(storage.path(), WORKERS, |runtime| measure(runtime, arguments))
}

async fn measure(runtime: replica::Runtime, arguments: &Arguments) -> Result<Figures, Failure> {
    let stopped = || Failure::new(Exit::Fault, "a replica has stopped", "bench dag", "run it with -v to see the log");
    let members = committee::start(&runtime, arguments.nodes, arguments.network.links(arguments.latency_ms)).await?;
    let (first, _) = members.first().ok_or_else(stopped)?;
    let window = Window::after(arguments.warm_up, arguments.seconds);
    let share = arguments.in_flight.div_ceil(u32::from(arguments.nodes));
    let load = Load { batch: 1, in_flight: usize::try_from(share).unwrap_or(usize::MAX), rate: arguments.rate };
    let (tally, growth) = tokio::join!(load::run(&members, load, window), growth(first, window));
    let (tally, growth) = (tally?, growth.ok_or_else(stopped)?);
    let used = usage(std::process::id());
    Ok(fields(json!({
        "messages_per_second": tally.messages as f64 / window.seconds(),
        "admitted_messages_per_second": growth.messages_per_second,
        "milestones_per_second": growth.milestones_per_second,
        "latency_ms": latency(tally.latency_ms),
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })))
}

/// How fast a replica's graph and its chain of milestones grew.
struct Growth {
    messages_per_second: f64,
    milestones_per_second: f64,
}

/// Compares a replica's counts at the window's begin and end; `None` if it stops.
async fn growth(replica: &Handle, window: Window) -> Option<Growth> {
    sleep_until(window.from).await;
    let (before, from) = (replica.status().await?, Instant::now());
    sleep_until(window.until).await;
    let (after, until) = (replica.status().await?, Instant::now());
    let seconds = until.saturating_duration_since(from).as_secs_f64();
    let admitted = |status: &replica::Status| status.messages as f64 + status.unconfirmed as f64;
    Some(Growth {
        messages_per_second: (admitted(&after) - admitted(&before)) / seconds,
        milestones_per_second: (after.height - before.height) as f64 / seconds,
    })
}
