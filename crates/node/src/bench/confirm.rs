//! `wattle bench confirm`: from publish to confirmed at a stated rate, through four processes.
//!
//! ```text
//! publisher ─MQTT QoS 1─▶ node1 ─▶ ledger of 4 processes ─▶ node1 knows it is confirmed
//!                         └──────────── latency ───────────────┘   as the node measures it
//! ```

use super::command::Common;
use super::figures::{Figures, fields, repeat};
use super::machine::usage_of;
use crate::cli::replay::{Load, Pace, progress_bar, publish};
use crate::cli::runtime::runtime;
use crate::cli::wire::Status;
use crate::cli::{Exit, Failure, quantity};
use crate::demo::{Network, POLL, free_plan};
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
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the network cannot run or does not confirm everything.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let parameters = json!({
        "nodes": arguments.nodes, "rate_per_second": arguments.rate, "seconds": arguments.seconds, "qos": 1,
        "connections": CONNECTIONS, "devices": DEVICES,
    });
    let runtime = runtime()?;
    repeat("confirm", parameters, &arguments.common, "latency_p50_ms", || runtime.block_on(once(arguments)))
}

async fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let bug = |e: protocol::NameError| Failure::new(Exit::Fault, e, "bench confirm", "report this");
    let site = Name::new("z1").map_err(bug)?;
    let directory = tempfile::tempdir().map_err(|e| Failure::file(&std::env::temp_dir(), &e, "set TMPDIR to a directory with room"))?;
    let (plan, _) = free_plan(Name::new("bench").map_err(bug)?, site.clone(), arguments.nodes)?;
    let mut network = Network::start(directory.path(), &plan)?;
    network.ready().await?;
    let devices = (0..DEVICES).map(|d| Name::new(&format!("b{d}"))).collect::<Result<Vec<_>, _>>().map_err(bug)?;
    let data_type = Name::new("power").map_err(bug)?;
    let total = Duration::try_from_secs_f64(arguments.rate * f64::from(arguments.seconds)).map_or(u64::MAX, |n| n.as_secs()).max(1);
    let readings = (0..total).zip(devices.iter().cycle()).map(|(n, device)| {
        let topic = DeviceTopic { site: site.clone(), device: device.clone(), direction: Direction::Sense, data_type: data_type.clone() };
        let value = Value::Number(f64::from(u32::try_from(n % 1_000).unwrap_or_default()));
        Ok(Reading { topic, time_us: FIRST_US + n * 1_000, sequence: None, unit: Some("W".to_owned()), value })
    });
    let load = Load { url: network.broker.clone(), qos: 1, connections: CONNECTIONS, patience: PATIENCE };
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
