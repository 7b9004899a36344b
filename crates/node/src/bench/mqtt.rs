//! `wattle bench mqtt`: publishes a second through a node's broker, ledger included, beside mosquitto alone.
//!
//! ```text
//! publishers ─MQTT─▶ wattle up (one node) ─▶ log ─▶ ledger        both under the same load
//!            ─MQTT─▶ mosquitto, no subscriber, no persistence     from the same code, one after the other
//! ```
//! The clock stops when every connection's last publish, sent at QoS 1, is acknowledged: a broker handles a
//! connection's publishes in order, so by then it has handled all. At QoS 0 a publish may be dropped on the
//! way; how many arrived is told for wattle.

use super::command::Common;
use super::connections::one_node;
use super::disk::scratch;
use super::figures::{Figures, fields, repeat};
use super::machine::usage_of;
use super::mosquitto::{self, Mosquitto};
use crate::cli::client::NodeClient;
use crate::cli::output::note;
use crate::cli::runtime::runtime;
use crate::cli::wire::{SiteStats, Status};
use crate::cli::{Exit, Failure};
use crate::demo::{Network, POLL};
use ::mqtt::Publisher;
use serde_json::{Value, json};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// The time of every publisher's first reading, in milliseconds since 1970.
const FIRST_MS: u64 = 1_470_009_600_000;
/// How long the last acknowledgements may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the last confirmations may take.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(120);

/// Publishes that several connections send as fast as they are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// Connections that publish.
    pub(crate) publishers: u32,
    /// Quality of service; the last of each connection has 1.
    pub(crate) qos: u8,
    /// Publishes of all of them together.
    pub(crate) messages: u32,
    /// The number of each connection's first reading. Readings of one number are the same, and recognised as such.
    pub(crate) first: u32,
}

/// `wattle bench mqtt`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Connections that publish
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    publishers: u32,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Publishes of all of them together
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    messages: u32,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if a broker does not start or does not acknowledge.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let other = mosquitto::find();
    if other.is_none() {
        note("mosquitto is not installed here: its figures and the ratio are left out");
    }
    let parameters = json!({ "publishers": arguments.publishers, "qos": arguments.qos, "messages": arguments.messages, "nodes": 1 });
    let burst = Burst { publishers: arguments.publishers, qos: arguments.qos, messages: arguments.messages, first: 0 };
    let runtime = runtime()?;
    repeat("mqtt", parameters, &arguments.common, "messages_per_second", || {
        runtime.block_on(async {
            let mut figures = wattle(&burst).await?;
            if let Some(program) = &other {
                let mosquitto = Mosquitto::start(program)?;
                let seconds = burst.publish(&mosquitto.url()).await?.as_secs_f64();
                let theirs = f64::from(arguments.messages) / seconds;
                let ours = figures.get("messages_per_second").and_then(Value::as_f64).unwrap_or_default();
                figures.insert("mosquitto_messages_per_second".to_owned(), json!(theirs));
                figures.insert("ratio_to_mosquitto".to_owned(), json!(ours / theirs));
            }
            Ok::<Figures, Failure>(figures)
        })
    })
}

/// One node under the load.
async fn wattle(burst: &Burst) -> Result<Figures, Failure> {
    let directory = scratch()?;
    let mut network = one_node(directory.path()).await?;
    let start = Instant::now();
    let published = burst.publish(&network.broker).await?;
    let site = settled(&mut network).await?;
    let confirmed = start.elapsed();
    let used = usage_of(&network.pids());
    let latency = site.latency_ms.map(|l| json!(l)).unwrap_or_default();
    Ok(fields(json!({
        "messages_per_second": f64::from(burst.messages) / published.as_secs_f64(),
        "confirmed_readings_per_second": site.confirmed as f64 / confirmed.as_secs_f64(),
        "readings_confirmed": site.confirmed,
        "readings_lost": u64::from(burst.messages).saturating_sub(site.confirmed),
        "latency_ms": latency,
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })))
}

/// Waits until all that the site accepted is confirmed.
///
/// # Errors
/// [`Failure`] if the node ends or takes too long.
pub(crate) async fn settled(network: &mut Network) -> Result<SiteStats, Failure> {
    let node: NodeClient = network.site_node()?.clone();
    let start = Instant::now();
    loop {
        network.alive()?;
        let status: Status = tokio::task::block_in_place(|| node.json("/api/v1/status"))?;
        let site = status.site_stats.ok_or_else(|| Failure::new(Exit::Fault, "it serves no site", node.base(), "report this"))?;
        if site.confirmed >= site.readings {
            return Ok(site);
        }
        if start.elapsed() > CONFIRM_TIMEOUT {
            let what = format!("{} of {} readings were confirmed", site.confirmed, site.readings);
            return Err(Failure::new(Exit::Fault, what, node.base(), "use fewer messages, or a faster disk"));
        }
        tokio::time::sleep(POLL).await;
    }
}

impl Burst {
    /// Puts the load on a broker; how long it took from the first publish to the last acknowledgement.
    ///
    /// # Errors
    /// [`Failure`] if the broker cannot be reached, or does not acknowledge.
    pub(crate) async fn publish(&self, url: &str) -> Result<Duration, Failure> {
        let publishers = self.publishers.min(self.messages).max(1);
        let share = self.messages / publishers;
        let extra = self.messages % publishers;
        let run = std::process::id();
        let barrier = Arc::new(Barrier::new(usize::try_from(publishers).unwrap_or(usize::MAX) + 1));
        let mut tasks = JoinSet::new();
        for index in 0..publishers {
            let publisher = Publisher::connect(url, &format!("bench-{run}-{index}")).await?;
            let numbers = self.first..self.first.saturating_add(share + u32::from(index < extra));
            tasks.spawn(publish(publisher, index, numbers, self.qos, Arc::clone(&barrier)));
        }
        barrier.wait().await;
        let start = Instant::now();
        while let Some(ended) = tasks.join_next().await {
            let failed = |what: String| Failure::new(Exit::Refused, what, url, "use fewer publishers or messages");
            ended.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
        }
        Ok(start.elapsed())
    }
}

async fn publish(publisher: Publisher, index: u32, numbers: Range<u32>, qos: u8, barrier: Arc<Barrier>) -> Result<(), String> {
    let topic = format!("root/device/z1/b{index}/sense/power");
    let end = numbers.end;
    barrier.wait().await;
    for number in numbers {
        let payload = format!("{{\"v\":{number},\"t\":{},\"u\":\"W\"}}", FIRST_MS + u64::from(number));
        let last = number + 1 == end;
        let acknowledgement = publisher.submit(&topic, payload.into_bytes(), if last { 1 } else { qos }, false).await;
        let acknowledgement = acknowledgement.map_err(|e| e.to_string())?;
        if last {
            tokio::time::timeout(FINISH_TIMEOUT, acknowledgement.wait())
                .await
                .map_err(|_| format!("publisher {index} is not answered"))?
                .map_err(|e| e.to_string())?;
        }
    }
    publisher.finish(FINISH_TIMEOUT).await.map_err(|e| e.to_string())?;
    publisher.close().await;
    Ok(())
}
