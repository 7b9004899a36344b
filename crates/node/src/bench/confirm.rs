//! `wattle bench confirm`: from publish to confirmed at a stated rate, through one process a node.
//!
//! ```text
//! publisher ─MQTT QoS 1─▶ node1 ─▶ ledger of n processes ─▶ node1 knows it is confirmed
//!                         └──────────── latency ───────────────┘   as the node measures it
//! ```
//! Or, with `--network tcp` and `--network simulated`, through n replicas in one process, without broker and log
//! (`arrivals.rs`).

use super::arrivals;
use super::child::{self, Apart};
use super::committee::{self, WORKERS, link_ms};
use super::disk::scratch;
use super::figures::{Figures, fields, repeat};
use super::machine::usage_of;
use crate::cli::replay::{Load, Pace, progress_bar, publish};
use crate::cli::runtime::runtime;
use crate::cli::wire::Status;
use crate::cli::{Exit, Failure, quantity};
use crate::demo::{Network, POLL, free_plan};
use ::mqtt::Credentials;
use protocol::{DeviceTopic, Direction, Name, Reading, Value};
use serde_json::json;
use std::time::{Duration, Instant};

/// Devices that publish.
const DEVICES: u32 = 100;
/// Connections they share.
const CONNECTIONS: usize = 8;
/// The time of the first reading, in microseconds since 1970.
const FIRST_US: u64 = 1_470_009_600_000_000;
/// How long the broker may be silent, and the last confirmation take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The figure whose median run is shown.
const BY: &str = "latency_p50_ms";

/// `wattle bench confirm`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Readings a second
    #[arg(long, default_value_t = 1_000.0, value_parser = quantity::positive)]
    rate: f64,
    /// How long is published
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Validators
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
    /// What runs them and connects them
    #[arg(long, value_enum, default_value_t = Between::Processes)]
    network: Between,
    /// How long a simulated link takes, in milliseconds
    #[arg(long, default_value_t = 1.5, value_parser = link_ms)]
    latency_ms: f64,
    #[command(flatten)]
    apart: Apart,
}

/// Where the validators are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Between {
    /// A process each, with broker and log
    Processes,
    /// In one process, on loopback TCP; without broker and log
    Tcp,
    /// In one process, on links that take --latency-ms; without broker and log
    Simulated,
}

impl Between {
    /// What connects replicas in one process; `None` if each is a process.
    const fn within(self) -> Option<committee::Network> {
        match self {
            Self::Processes => None,
            Self::Tcp => Some(committee::Network::Tcp),
            Self::Simulated => Some(committee::Network::Simulated),
        }
    }
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the network cannot run or does not confirm everything.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { nodes, rate, seconds, latency_ms, apart, .. } = arguments;
    let Some(network) = arguments.network.within() else {
        let parameters = json!({
            "nodes": nodes, "network": "processes", "rate_per_second": rate, "seconds": seconds, "qos": 1,
            "connections": CONNECTIONS, "devices": DEVICES,
        });
        let runtime = runtime()?;
        return repeat("confirm", parameters, &apart.common, BY, || runtime.block_on(through_processes(arguments)));
    };
    let parameters = json!({
        "nodes": nodes, "network": network.name(), "rate_per_second": rate, "seconds": seconds,
        "link_ms": (network == committee::Network::Simulated).then_some(latency_ms),
    });
    let options = [
        ("--nodes", nodes.to_string()),
        ("--network", network.name().to_owned()),
        ("--latency-ms", latency_ms.to_string()),
        ("--rate", rate.to_string()),
        ("--seconds", seconds.to_string()),
    ];
    apart.repeat("confirm", parameters, BY, || in_this_process(arguments, network), || child::run("confirm", &options))
}

fn in_this_process(arguments: &Arguments, network: committee::Network) -> Result<Figures, Failure> {
    let storage = scratch()?;
    replica::run(storage.path(), WORKERS, |runtime| async move {
        let members = committee::start(&runtime, arguments.nodes, network.links(arguments.latency_ms)).await?;
        let first = members.first().ok_or_else(|| Failure::new(Exit::Usage, "no nodes", "--nodes", "choose at least 1"))?;
        arrivals::run(first, arguments.rate, arguments.seconds).await
    })
}

async fn through_processes(arguments: &Arguments) -> Result<Figures, Failure> {
    let bug = |e: protocol::NameError| Failure::new(Exit::Fault, e, "bench confirm", "report this");
    let site = Name::new("z1").map_err(bug)?;
    let directory = scratch()?;
    let (plan, _) = free_plan(Name::new("bench").map_err(bug)?, site.clone(), u16::from(arguments.nodes))?;
    let mut network = Network::start(directory.path(), &plan)?;
    network.ready().await?;
    let devices = (0..DEVICES).map(|d| Name::new(&format!("b{d}"))).collect::<Result<Vec<_>, _>>().map_err(bug)?;
    let data_type = Name::new("power").map_err(bug)?;
    let total = Duration::try_from_secs_f64(arguments.rate * f64::from(arguments.seconds)).map_or(u64::MAX, |n| n.as_secs()).max(1);
    let readings = (0..total).zip(devices.iter().cycle()).map(|(n, device)| {
        let topic = DeviceTopic { site: site.clone(), device: device.clone(), direction: Direction::Sense, data_type: data_type.clone() };
        let value = Value::Number(f64::from(u32::try_from(n % 1_000).unwrap_or_default()));
        Ok(Reading { topic, time_us: FIRST_US + n * 1_000, sequence: None, unit: Some("W".to_owned()), value, signed: None })
    });
    let credentials = Credentials::default();
    let load = Load { url: network.broker.clone(), credentials, qos: 1, connections: CONNECTIONS, patience: PATIENCE };
    let bar = progress_bar(total);
    let outcome = publish(readings, &load, Pace::Rate(arguments.rate), &bar).await?;
    bar.finish_and_clear();
    let status = settled(&mut network, total).await?;
    let used = usage_of(&network.pids());
    let site = status.site_stats;
    let latency = site.as_ref().and_then(|s| s.latency_ms);
    let seconds = outcome.elapsed.as_secs_f64();
    Ok(fields(json!({
        "readings_published": outcome.sent,
        "readings_confirmed": site.as_ref().map(|s| s.confirmed),
        "readings_per_second": outcome.acknowledged as f64 / seconds,
        "milestones_per_second": status.ledger.height as f64 / seconds,
        "latency_p50_ms": latency.map(|l| l.p50),
        "latency_ms": latency,
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })))
}

/// Waits until the site's node has confirmed `total` readings.
async fn settled(network: &mut Network, total: u64) -> Result<Status, Failure> {
    let node = network.site_node()?.clone();
    let start = Instant::now();
    loop {
        network.alive()?;
        let status: Status = tokio::task::block_in_place(|| node.json("/api/v1/status"))?;
        let confirmed = status.site_stats.as_ref().map_or(0, |s| s.confirmed);
        if confirmed >= total {
            return Ok(status);
        }
        if start.elapsed() > PATIENCE {
            let what = format!("{confirmed} of {total} readings were confirmed");
            return Err(Failure::new(Exit::Refused, what, node.base(), "choose a lower --rate"));
        }
        tokio::time::sleep(POLL).await;
    }
}
