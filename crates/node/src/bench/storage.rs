//! `wattle bench storage`: bytes on disk per reading, for batches of several sizes, part by part.
//!
//! ```text
//! readings ─▶ site log ─▶ batches ─▶ first replica ─▶ all replicas of the committee     everything confirmed
//!                            └─────▶ index                                              everything at rest ─▶ sizes
//! ```
//! - `bytes_per_reading` is of the first node, which issues: what grows with every reading, that is its ledger (payloads
//!   included) and its index. There is no broker: log and index are a site's own, given what a site would give them.
//! - The log of a site keeps unconfirmed readings, and two segments at most of what is confirmed: it takes the same room
//!   after a day and after a year. So it has a figure of its own, `log_bytes`, which is no part of what a reading costs.
//! - From the ledger's bytes, those of the ledger before the first reading (`empty_bytes`) are taken off.
//! - Batches are issued one after the other as fast as each is durable, so milestones hold as many as they can; a node
//!   with little to do has a milestone for every few.
//! - Each batch size is a process of its own. Files are looked at when the replicas' runtime has ended.

use super::batches::{Readings, seal};
use super::child::{self, Apart};
use super::committee::{self, Links, Member, WORKERS};
use super::disk::{Size, at_rest, no_room, scratch, size, tables};
use super::figures::{Figures, fields};
use super::machine::usage;
use crate::cli::output::note;
use crate::cli::{Exit, Failure};
use crate::demo::POLL;
use crate::index::Index;
use ::mqtt::{Entry, LogConfig, SiteLog};
use futures::future::try_join_all;
use replica::IssueError;
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Readings at a batch size, unless asked otherwise: those of so many batches,
const BATCHES: u32 = 5_000;
/// but not fewer than these, which are messages each at a size of 1,
const READINGS_MIN: u32 = 20_000;
/// and not more than these.
const READINGS_MAX: u32 = 400_000;
/// Publishes that the log is given at a time.
const APPENDS: u64 = 512;
/// How long the last readings may take to be confirmed.
const PATIENCE: Duration = Duration::from_secs(120);

/// `wattle bench storage`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Readings in a batch; several sizes with commas between them
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000", value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: Vec<u32>,
    /// Readings at each size; unless given those of 5000 batches, but at least 20000 and at most 400000
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    readings: Option<u32>,
    /// Replicas; the first issues
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
    #[command(flatten)]
    apart: Apart,
}

impl Arguments {
    fn readings_at(&self, batch: u32) -> u32 {
        self.readings.unwrap_or_else(|| batch.saturating_mul(BATCHES).clamp(READINGS_MIN, READINGS_MAX))
    }
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the replicas cannot run, or log and index cannot be written.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let parameters = json!({
        "nodes": arguments.nodes, "batch": arguments.batch, "readings": arguments.readings, "payload_replicas": 1,
    });
    let run = || {
        let (mut all, mut bytes) = (Figures::new(), 0);
        for batch in &arguments.batch {
            let readings = arguments.readings_at(*batch);
            note(&format!("batches of {batch}: {readings} readings on {} nodes …", arguments.nodes));
            let options = [("--batch", batch.to_string()), ("--readings", readings.to_string()), ("--nodes", arguments.nodes.to_string())];
            let one = child::run("storage", &options)?;
            let per_reading = one.get("bytes_per_reading").and_then(Value::as_f64).unwrap_or_default();
            note(&format!("batches of {batch}: {per_reading:.1} bytes per reading"));
            bytes += one.get("bytes_on_disk").and_then(Value::as_u64).unwrap_or_default();
            all.insert(format!("batch_{batch}"), Value::Object(one));
        }
        all.insert("bytes_on_disk".to_owned(), json!(bytes));
        Ok::<Figures, Failure>(all)
    };
    arguments.apart.repeat("storage", parameters, "bytes_on_disk", || once(arguments), run)
}

/// Where the parts of the first node are.
struct Places {
    directory: tempfile::TempDir,
    ledger: PathBuf,
    log: PathBuf,
    index: PathBuf,
}

impl Places {
    fn new() -> Result<Self, Failure> {
        let directory = scratch()?;
        let [ledger, log, index] = ["ledger", "log", "index"].map(|part| directory.path().join(part));
        for part in [&ledger, &log, &index] {
            std::fs::create_dir(part).map_err(|e| no_room(&e))?;
        }
        Ok(Self { directory, ledger, log, index })
    }

    /// The ledger's part of one node.
    fn ledger_of(&self, node: u8) -> Size {
        let mut sum = Size::default();
        tables(&self.ledger, &format!("node{node}")).into_values().for_each(|size| sum += size);
        sum
    }
}

/// What a run leaves behind beside its files.
struct Filled {
    empty: Size,
    milestones: u64,
    readings: u32,
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let batch = *arguments.batch.first().ok_or_else(|| Failure::new(Exit::Usage, "no size", "--batch", "give at least one"))?;
    let places = Places::new()?;
    let filled = replica::run(&places.ledger, WORKERS, |runtime| fill(runtime, &places, arguments, batch))?;
    Ok(figures(&places, arguments.nodes, &filled))
}

fn figures(places: &Places, nodes: u8, filled: &Filled) -> Figures {
    let readings = f64::from(filled.readings);
    let per_reading = |bytes: u64| bytes as f64 / readings;
    let grown = |after: Size| Size {
        bytes: after.bytes.saturating_sub(filled.empty.bytes),
        allocated_bytes: after.allocated_bytes.saturating_sub(filled.empty.allocated_bytes),
    };
    let (ledger, log, index) = (grown(places.ledger_of(0)), size(&places.log), size(&places.index));
    let mut all = ledger;
    all += index;
    let others = (1..nodes).map(|node| grown(places.ledger_of(node)).bytes).sum::<u64>();
    let others = (nodes > 1).then(|| per_reading(others) / f64::from(nodes - 1));
    let parts = tables(&places.ledger, "node0").into_iter().map(|(table, size)| (table, json!(per_reading(size.bytes))));
    let used = usage(std::process::id());
    fields(json!({
        "readings": filled.readings,
        "bytes_per_reading": per_reading(all.bytes),
        "allocated_bytes_per_reading": per_reading(all.allocated_bytes),
        "ledger_bytes_per_reading": per_reading(ledger.bytes),
        "index_bytes_per_reading": per_reading(index.bytes),
        "log_bytes": log.bytes,
        "other_node_bytes_per_reading": others,
        "ledger_tables_bytes_per_reading": Value::Object(parts.collect()),
        "empty_bytes": filled.empty.bytes,
        "bytes_on_disk": size(places.directory.path()).bytes,
        "milestones": filled.milestones,
        "readings_per_milestone": readings / filled.milestones.max(1) as f64,
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    }))
}

fn broken(why: &dyn Display) -> Failure {
    Failure::new(Exit::Fault, why, "bench storage", "run it with -v to see the log")
}

/// Gives log, ledger and index all readings, and waits until they are confirmed and written.
async fn fill(runtime: replica::Runtime, places: &Places, arguments: &Arguments, batch: u32) -> Result<Filled, Failure> {
    let members = committee::start(&runtime, arguments.nodes, Links::Tcp).await?;
    at_rest(places.directory.path()).await;
    let empty = places.ledger_of(0);
    let first = members.first().ok_or_else(|| broken(&"no nodes"))?;
    let readings = Readings::of_site(1).map_err(|e| broken(&e))?;
    let count = arguments.readings_at(batch);
    let total = u64::from(count);
    log_all(&places.log, &readings, total).await?;
    let before = height(first).await?;
    issue_all(first, &places.index, &readings, total, u64::from(batch)).await?;
    let milestones = height(first).await?.saturating_sub(before);
    at_rest(places.directory.path()).await;
    Ok(Filled { empty, milestones, readings: count })
}

async fn height((handle, _): &Member) -> Result<u64, Failure> {
    Ok(handle.status().await.ok_or_else(|| broken(&"a replica has stopped"))?.height)
}

/// Stores every reading as a publish of its own, then has them forgotten, as when all are confirmed.
async fn log_all(directory: &Path, readings: &Readings, total: u64) -> Result<(), Failure> {
    let directory = directory.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || SiteLog::open(&directory, LogConfig::default())).await;
    let log = opened.map_err(|e| broken(&e))?.map_err(|e| broken(&e))?;
    let mut next = 0;
    while next < total {
        let end = total.min(next + APPENDS);
        let entry =
            |n: u64| Entry { origin: Some(u128::from(n).to_be_bytes()), dup: false, readings: vec![readings.reading(n, n * 1_000)] };
        try_join_all((next..end).map(|n| log.append(entry(n)))).await.map_err(|e| broken(&e))?;
        next = end;
    }
    let close = move || log.forget(total).and_then(|()| log.close());
    tokio::task::spawn_blocking(close).await.map_err(|e| broken(&e))?.map_err(|e| broken(&e))
}

/// Issues every reading, one batch after the other as a site does, and waits until all are confirmed. The index is
/// closed at the end, so that its write-ahead log is gone.
async fn issue_all((handle, _): &Member, directory: &Path, readings: &Readings, total: u64, batch: u64) -> Result<(), Failure> {
    let file = directory.join("index.sqlite");
    let opened = tokio::task::spawn_blocking(move || Index::open(&file)).await;
    let index = opened.map_err(|e| broken(&e))?.map_err(|e| broken(&e))?;
    index.filled().await;
    let mut next = 0;
    while next < total {
        let batch = readings.batch(next, batch.min(total - next));
        next += batch.readings.len() as u64;
        let (body, payload) = seal(&batch);
        let anchored = loop {
            match handle.anchor(body.clone(), payload.clone()).await {
                Err(IssueError::Backlog(_)) => sleep(POLL).await,
                issued => break issued.map_err(|e| broken(&e))?,
            }
        };
        index.add(anchored.place, Arc::new(batch)).await;
    }
    let start = Instant::now();
    loop {
        let status = handle.status().await.ok_or_else(|| broken(&"a replica has stopped"))?;
        if status.readings >= total {
            break;
        }
        if start.elapsed() > PATIENCE {
            let what = format!("{} of {total} readings were confirmed", status.readings);
            return Err(Failure::new(Exit::Refused, what, "bench storage", "use fewer --nodes or a faster machine"));
        }
        sleep(POLL).await;
    }
    index.flush().await.map_err(|e| broken(&e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bench::command::Common;

    #[test]
    fn a_reading_costs_what_its_parts_cost() {
        let places = Places::new().unwrap();
        let file = |path: PathBuf, bytes: usize| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; bytes]).unwrap();
        };
        file(places.ledger.join("node0-messages-value/00"), 700);
        file(places.ledger.join("node0-state-log/00"), 500);
        file(places.ledger.join("node1-messages-value/00"), 900);
        file(places.log.join("0.log"), 300);
        file(places.index.join("index.sqlite"), 100);
        let filled = Filled { empty: Size { bytes: 200, allocated_bytes: 0 }, milestones: 4, readings: 100 };
        let figures = figures(&places, 2, &filled);
        let figure = |name: &str| figures.get(name).and_then(Value::as_f64).unwrap();
        assert_eq!(figure("ledger_bytes_per_reading"), 10.0);
        assert_eq!(figure("bytes_per_reading"), 11.0);
        assert_eq!(figure("log_bytes"), 300.0);
        assert_eq!(figure("other_node_bytes_per_reading"), 7.0);
        assert_eq!(figure("readings_per_milestone"), 25.0);
        assert_eq!(figure("bytes_on_disk"), 2_500.0);
        let tables = figures.get("ledger_tables_bytes_per_reading").unwrap();
        assert_eq!(tables, &json!({ "messages": 7.0, "state": 5.0 }));
    }

    #[test]
    fn small_batches_are_measured_with_fewer_readings() {
        let apart = Apart { once: false, common: Common { json: true, runs: 1 } };
        let mut arguments = Arguments { batch: vec![1], readings: None, nodes: 1, apart };
        let readings = [1, 10, 100, 4_096].map(|batch| arguments.readings_at(batch));
        assert_eq!(readings, [20_000, 50_000, 400_000, 400_000]);
        arguments.readings = Some(7);
        assert_eq!(arguments.readings_at(100), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_log_takes_every_reading() {
        let places = Places::new().unwrap();
        log_all(&places.log, &Readings::of_site(1).unwrap(), 700).await.unwrap();
        let log = SiteLog::open(&places.log, LogConfig::default()).unwrap();
        assert_eq!((log.end(), log.forgotten()), (700, 700));
    }
}
