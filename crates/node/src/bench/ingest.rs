//! `wattle bench ingest`: how many readings a second replicas confirm, without broker and HTTP.
//!
//! ```text
//! feeder k ─issue, at most N unconfirmed─▶ replica k ─▶ milestones ─events─▶ tracker k: latency
//!                                                                   tracker 0: readings and messages
//! ```
//! - All replicas run in this process on loopback TCP and share its cores.
//! - For each message a batch is blinded with a secret of its own, its tree hashed, its body encoded and named: what a
//!   site does between its log and the ledger. Only the readings themselves are made before the run.
//! - Each run is a process of its own, for the engine's runtime starts once, and its memory is then its own.

use super::command::Common;
use super::figures::{Figures, fields, latency, repeat};
use super::machine::usage;
use crate::cli::{Exit, Failure};
use protocol::{
    Batch, Body, Committee, DeviceTopic, Direction, Encode as _, Genesis, Id, Name, PublicKey, Reading, SecretKey, Validator, Value, merkle,
};
use replica::{Event, Handle};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Batches whose readings are made before a run; then they are used again, with new secrets.
const PREPARED: u64 = 32;
/// Devices in a batch.
const DEVICES: u32 = 20;
/// Milestones a tracker may be behind.
const EVENTS_MAX: usize = 4_096;
/// Threads of the runtime.
const WORKERS: usize = 2;

/// `wattle bench ingest`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Replicas; all of them issue
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    nodes: u8,
    /// Readings in a batch
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// How long is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before that
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// Batches that one replica may have unconfirmed
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// Only one run, in this process
    #[arg(long, hide = true)]
    once: bool,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the replicas cannot run.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.once {
        return crate::cli::output::print_json(&once(arguments)?);
    }
    let parameters = json!({
        "nodes": arguments.nodes, "batch": arguments.batch, "seconds": arguments.seconds, "in_flight": arguments.in_flight,
        "payload_replicas": 1,
    });
    repeat("ingest", parameters, &arguments.common, "readings_per_second", || child(arguments))
}

/// One run in a process of its own.
fn child(arguments: &Arguments) -> Result<Figures, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(Exit::Fault, what, "bench ingest --once", "run it by hand to see why");
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let output = Command::new(program)
        .args(["bench", "ingest", "--once"])
        .args(["--nodes", &arguments.nodes.to_string(), "--batch", &arguments.batch.to_string()])
        .args(["--seconds", &arguments.seconds.to_string(), "--warm-up", &arguments.warm_up.to_string()])
        .args(["--in-flight", &arguments.in_flight.to_string()])
        .output()
        .map_err(|e| failed(&e))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).lines().next_back().unwrap_or_default().to_owned();
        return Err(failed(&said.trim_start_matches("wattle: ")));
    }
    serde_json::from_slice(&output.stdout).map(fields).map_err(|e| failed(&e))
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let storage = tempfile::tempdir().map_err(|e| Failure::file(&std::env::temp_dir(), &e, "set TMPDIR to a directory with room"))?;
    let path = storage.path().to_path_buf();
    replica::run(storage.path(), WORKERS, |runtime| measure(runtime, arguments, path))
}

async fn measure(runtime: replica::Runtime, arguments: &Arguments, storage: std::path::PathBuf) -> Result<Figures, Failure> {
    let broken = |why: String| Failure::new(Exit::Fault, why, "bench ingest", "run it with -v to see the log");
    let nodes = start(&runtime, arguments.nodes).await?;
    let from = Instant::now() + Duration::from_secs(arguments.warm_up);
    let until = from + Duration::from_secs(arguments.seconds);
    let in_flight = usize::from(arguments.in_flight);
    let (mut feeders, mut trackers) = (JoinSet::new(), JoinSet::new());
    for (index, (handle, key)) in (0u64..).zip(&nodes) {
        let (issued, arrivals) = mpsc::channel(in_flight);
        let events = handle.subscribe(EVENTS_MAX).await.ok_or_else(|| broken("a replica has stopped".to_owned()))?;
        let tracker = Tracker { key: *key, from, until, counts: index == 0, tally: Tally::default(), open: HashMap::new() };
        trackers.spawn(tracker.run(events, arrivals));
        let batches = prepare(index, arguments.batch).map_err(broken)?;
        feeders.spawn(feed(handle.clone(), batches, Arc::new(Semaphore::new(in_flight)), issued, until));
    }
    let mut all = Tally::default();
    while let Some(tally) = trackers.join_next().await {
        let tally = tally.map_err(|e| broken(e.to_string())).and_then(|t| t.map_err(broken))?;
        all.readings += tally.readings;
        all.messages += tally.messages;
        all.readings_ever += tally.readings_ever;
        all.latency_ms.extend(tally.latency_ms);
    }
    feeders.abort_all();
    let seconds = arguments.seconds as f64;
    let used = usage(std::process::id());
    let on_disk = directory_bytes(&storage) as f64 / f64::from(arguments.nodes) / all.readings_ever.max(1) as f64;
    Ok(fields(json!({
        "readings_per_second": all.readings as f64 / seconds,
        "messages_per_second": all.messages as f64 / seconds,
        "disk_bytes_per_reading_and_node": on_disk,
        "latency_ms": latency(all.latency_ms),
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })))
}

/// Founds a network and starts its replicas.
async fn start(runtime: &replica::Runtime, nodes: u8) -> Result<Vec<(Handle, PublicKey)>, Failure> {
    let broken = |why: &dyn std::fmt::Display| Failure::new(Exit::Fault, why, "starting the replicas", "run it with -v to see the log");
    let mut keys: Vec<SecretKey> = (1..=nodes).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    keys.sort_by_key(SecretKey::public_key);
    let name = |text: &str| Name::new(text).map_err(|e| broken(&e));
    let mut validators = Vec::new();
    let mut peers = BTreeMap::new();
    let mut listeners = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        validators.push(Validator { key: key.public_key(), name: name(&format!("node{}", index + 1))? });
        // held until all are drawn, so that no port is drawn twice
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| broken(&e))?;
        peers.insert(key.public_key(), listener.local_addr().map_err(|e| broken(&e))?);
        listeners.push(listener);
    }
    drop(listeners);
    let committee = Committee::new(validators).map_err(|e| broken(&e))?;
    let created_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let genesis = Genesis { name: name("bench")?, subnet: 0, created_ms, committee };
    let mut handles = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        let public = key.public_key();
        let listen: SocketAddr = *peers.get(&public).ok_or_else(|| broken(&"no address"))?;
        let config = replica::Config {
            genesis: genesis.clone(),
            key,
            listen,
            peers: peers.clone(),
            pace: replica::Pace::default(),
            prefix: format!("node{index}"),
        };
        handles.push((runtime.start(config).await.map_err(|e| broken(&e))?, public));
    }
    Ok(handles)
}

fn prepare(node: u64, readings: u32) -> Result<Vec<Batch>, String> {
    let name = |text: &str| Name::new(text).map_err(|e| e.to_string());
    let (site, data_type) = (name(&format!("z{node}"))?, name("power")?);
    let devices = (0..DEVICES).map(|d| name(&format!("m{d}"))).collect::<Result<Vec<_>, _>>()?;
    let mut prepared = Vec::new();
    for number in 0..PREPARED {
        let mut batch = Batch { secret: [u8::try_from(number).unwrap_or(0); 32], first_offset: 0, readings: Vec::new() };
        for (n, device) in (0..readings).zip(devices.iter().cycle()) {
            let topic =
                DeviceTopic { site: site.clone(), device: device.clone(), direction: Direction::Sense, data_type: data_type.clone() };
            let time_us = 1_470_009_600_000_000 + number * 1_000_000 + u64::from(n);
            batch.readings.push(Reading { topic, time_us, sequence: None, unit: Some("W".to_owned()), value: Value::Number(f64::from(n)) });
        }
        prepared.push(batch);
    }
    Ok(prepared)
}

/// An issued message: its id, when it was handed over, and the place it takes until it is confirmed.
type Issued = (Id, Instant, OwnedSemaphorePermit);

/// Issues batches, as many at a time as there are places.
async fn feed(handle: Handle, mut batches: Vec<Batch>, places: Arc<Semaphore>, issued: mpsc::Sender<Issued>, until: Instant) {
    let mut tasks = JoinSet::new();
    let mut offset = 0u64;
    loop {
        for batch in &mut batches {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            if Instant::now() >= until {
                return;
            }
            while tasks.try_join_next().is_some() {}
            batch.first_offset = offset;
            batch.secret = Id::hash(&[&offset.to_be_bytes()]).0;
            let count = u32::try_from(batch.readings.len()).unwrap_or(u32::MAX);
            offset += u64::from(count);
            let at = Instant::now();
            let (root, payload) = tokio::task::block_in_place(|| (merkle::root(&batch.leaves()), batch.encode()));
            let body = Body::Readings {
                root,
                count,
                bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                span_us: batch.span_us(),
                blob: Batch::blob_digest(&payload),
                shares: Vec::new(),
            };
            let (handle, issued) = (handle.clone(), issued.clone());
            tasks.spawn(async move {
                // a replica that stopped closes its events, which the tracker reports
                if let Ok(id) = handle.issue(body, Some(payload)).await {
                    let _ = issued.send((id, at, place)).await;
                }
            });
        }
    }
}

/// What was confirmed while it was measured.
#[derive(Default)]
struct Tally {
    readings: u64,
    messages: u64,
    readings_ever: u64,
    latency_ms: Vec<f64>,
}

/// One half of a message's story; whichever comes first waits for the other.
enum Half {
    Issued(Instant, OwnedSemaphorePermit),
    Confirmed(Instant),
}

struct Tracker {
    key: PublicKey,
    from: Instant,
    until: Instant,
    counts: bool,
    tally: Tally,
    open: HashMap<Id, Half>,
}

impl Tracker {
    async fn run(mut self, mut events: mpsc::Receiver<Event>, mut arrivals: mpsc::Receiver<Issued>) -> Result<Tally, String> {
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.until) => return Ok(self.tally),
                Some((id, at, place)) = arrivals.recv() => self.issued(id, at, place),
                event = events.recv() => match event {
                    Some(event) => self.happened(&event),
                    None => return Err("a replica stopped, or its events were not taken fast enough".to_owned()),
                },
            }
        }
    }

    fn issued(&mut self, id: Id, at: Instant, place: OwnedSemaphorePermit) {
        match self.open.remove(&id) {
            Some(Half::Confirmed(confirmed)) => self.sample(at, confirmed),
            _ => drop(self.open.insert(id, Half::Issued(at, place))),
        }
    }

    fn happened(&mut self, event: &Event) {
        let now = Instant::now();
        let Event::Milestone { confirmed, .. } = event;
        for message in confirmed.iter() {
            if self.counts {
                self.tally.readings_ever += u64::from(message.readings);
                if now >= self.from {
                    self.tally.messages += 1;
                    self.tally.readings += u64::from(message.readings);
                }
            }
            if message.issuer == self.key {
                match self.open.remove(&message.id) {
                    Some(Half::Issued(at, _place)) => self.sample(at, now),
                    _ => drop(self.open.insert(message.id, Half::Confirmed(now))),
                }
            }
        }
    }

    fn sample(&mut self, issued: Instant, confirmed: Instant) {
        if issued >= self.from {
            self.tally.latency_ms.push(confirmed.saturating_duration_since(issued).as_secs_f64() * 1e3);
        }
    }
}

/// Bytes of all files below `path`.
fn directory_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
