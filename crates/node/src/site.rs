//! The site's part of the ledger node: from the log of readings to the ledger, and back to the broker.
//!
//! ```text
//! log ──read──▶ issuer ──batch──▶ replica ──events──▶ follower ──forget──▶ log
//!                  │ in order        ▲ own payloads      │   ├──────▶ speaker ──▶ root/node/<site>/tangle
//!                  ├─────────────▶ queue of in-flight ◀──┘   └──────▶ feed (server-sent events)
//!                  └─────────────▶ index
//! ```
//! - `recovery`: where to go on after a start; `queue`: batches on their way; `issuer`: cuts and issues;
//!   `follower`: confirmations; `speaker`: what is said on MQTT; `confirmations`: what is said to each device;
//!   `latency`: how long it took; `shares`: who earns.
//!
//! # Rules
//! - Every offset of the log is anchored, none twice: batches cover the log without gap or overlap. A batch whose
//!   message is void is anchored again, and only that.
//! - Confirmations are taken in the order of the log; the log forgets only what is confirmed.
//! - Nothing here waits for a subscriber: notices that cannot be said are dropped and counted. The ledger has what
//!   they would have said.

mod confirmations;
mod follower;
mod issuer;
mod latency;
mod queue;
mod recovery;
mod shares;
mod speaker;

pub(crate) use latency::LatencySummary;
pub(crate) use recovery::{Recovered, fill_index, recover};
pub(crate) use shares::Earners;
pub(crate) use speaker::record;

use crate::fog::{FogError, FogHandle, FogRunner, FogStats, LogSink};
use crate::index::{Index, Lookup};
use crate::traces::Traces;
use mqtt::{Broker, IdentityCounters, Ingress, IngressCounters, LogError, LogStats, SiteLog};
use prometheus_client::metrics::histogram::Histogram;
use protocol::{DecodeError, DeviceTopic, Id, Name, Reading};
use queue::Shared;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

/// Batches issued and not confirmed; then the site waits and its log grows.
pub(crate) const IN_FLIGHT_BATCHES_MAX: usize = 4096;
const _: () = assert!((IN_FLIGHT_BATCHES_MAX as u64) < replica::OWN_UNCONFIRMED_MAX);
/// Confirmations that a slow listener may be behind.
const FEED_MAX: usize = 256;
/// Readings listed in one entry of the feed.
pub(crate) const FEED_READINGS_MAX: usize = 100;
/// Batches whose notices may wait for the broker.
const NOTICES_MAX: usize = 256;
/// Batches whose devices may wait to be told.
const CONFIRMATIONS_MAX: usize = 64;

/// Why a site cannot start, or had to stop. What is in its log stays there.
#[derive(Debug, Error)]
pub(crate) enum SiteError {
    /// The log is shorter than what the ledger has of it.
    #[error(
        "the site's log {dir} ends at reading {end}, but {next} are on the ledger: part of it is lost; restore the log from a backup, or start again with a new data_dir and key"
    )]
    LogLost {
        /// The log.
        dir: PathBuf,
        /// Where it ends.
        end: u64,
        /// What is anchored.
        next: u64,
    },
    /// The ledger's directory is older than the log.
    #[error(
        "the ledger directory holds this site's readings up to {next}, but its log says that {forgotten} are confirmed: an older copy of the ledger directory was put back; restore both from one backup, or start again with a new data_dir and key"
    )]
    LedgerBehind {
        /// What is anchored.
        next: u64,
        /// What was confirmed.
        forgotten: u64,
    },
    /// Readings that should be anchored are not.
    #[error(
        "the ledger directory has no batch for this site's readings {from} to {to}: it is incomplete; `wattle check` looks at it, a backup restores it"
    )]
    Hole {
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
    /// A payload of our own cannot be read.
    #[error("the payload of our own message {message} cannot be read: {why}; `wattle check` looks at it, a backup restores it")]
    Payload {
        /// The message.
        message: Id,
        /// Why not.
        why: DecodeError,
    },
    /// The file with the watermark cannot be read or written.
    #[error("the site's watermark {file}: {why}")]
    Watermark {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log gave other readings than it was asked for: our own fault.
    #[error("the site's log was asked for reading {asked} and gave {given}: this is a fault of the program, please report it")]
    LogOrder {
        /// The offset that should have come.
        asked: u64,
        /// What came.
        given: String,
    },
    /// The ledger does not take a batch: our own fault.
    #[error("the ledger refused a batch: {0}: this is a fault of the program, please report it")]
    Issue(replica::IssueError),
    /// The index could not be compared with the ledger.
    #[error(transparent)]
    Index(#[from] crate::index::IndexError),
    /// The fog processor cannot go on.
    #[error(transparent)]
    Fog(#[from] FogError),
    /// The system gives no randomness.
    #[error("the system gives no randomness for a batch's secret: {0}")]
    Randomness(String),
    /// The replica has stopped: its storage failed.
    #[error(
        "the ledger node has stopped; the log above says why: see that the disk is neither full nor read-only, run `wattle check`, and start again"
    )]
    LedgerStopped,
    /// A task ended in a way it never should.
    #[error("a task of the site ended: {0}")]
    Task(String),
}

/// What one confirmation tells listeners.
#[derive(Clone, Debug)]
pub(crate) struct Confirmation {
    /// The milestone.
    pub(crate) height: u64,
    /// How many readings it confirmed with this batch.
    pub(crate) count: u32,
    /// The first [`FEED_READINGS_MAX`] of them: id, topic, time in microseconds since 1970.
    pub(crate) readings: Vec<(Id, DeviceTopic, u64)>,
}

/// How the site is doing.
#[derive(Clone, Debug)]
pub(crate) struct SiteStats {
    /// Where devices publish, if the site has a broker.
    pub(crate) broker: Option<String>,
    /// Whether publishes can arrive now.
    pub(crate) connected: bool,
    /// Copies that the broker dropped because nobody took them in time.
    pub(crate) relay_dropped: u64,
    /// What the broker's access control refused.
    pub(crate) access: mqtt::AccessReport,
    /// The broker's place in the tree of brokers, if it has one.
    pub(crate) tier: Option<mqtt::TierStats>,
    /// What became of publishes since this node started.
    pub(crate) ingress: IngressCounters,
    /// Of the publishes that were rejected, those whose device was not believed.
    pub(crate) identity: IdentityCounters,
    /// Readings of the log that are in a message, ever.
    pub(crate) anchored: u64,
    /// Readings of the log that are confirmed, ever.
    pub(crate) confirmed: u64,
    /// Readings of the log that are not confirmed.
    pub(crate) cache_pending: u64,
    /// Batches issued and not confirmed.
    pub(crate) in_flight: usize,
    /// Notices that were dropped because the broker did not take them.
    pub(crate) notices_dropped: u64,
    /// Readings of whose confirmation a device should have been told, and was not.
    pub(crate) confirmations_dropped: u64,
    /// The log.
    pub(crate) log: LogStats,
    /// The fog processor, if the site has one.
    pub(crate) fog: Option<FogStats>,
    /// From accepted to confirmed, over the last readings.
    pub(crate) latency: Option<LatencySummary>,
}

/// What a site is made of.
pub(crate) struct SiteParts {
    /// Its name.
    pub(crate) name: Name,
    /// The replica.
    pub(crate) ledger: replica::Handle,
    /// The log.
    pub(crate) log: SiteLog,
    /// The way in.
    pub(crate) ingress: Arc<Ingress>,
    /// The broker, if there is one.
    pub(crate) broker: Option<Arc<dyn Broker>>,
    /// Told when somebody publishes `root/node/<site>/active`.
    pub(crate) active: mpsc::Receiver<()>,
    /// Whether the site says at its start that it is active; else whoever connects it to its broker does, every time.
    pub(crate) says_active: bool,
    /// The index.
    pub(crate) index: Index,
    /// Where latencies are counted, in seconds.
    pub(crate) histogram: Histogram,
    /// Under load a batch leaves at most this long after the one before.
    pub(crate) batch_delay: Duration,
    /// Readings in a batch.
    pub(crate) batch_readings_max: usize,
    /// The file for the watermark.
    pub(crate) watermark: PathBuf,
    /// Who earns from its readings.
    pub(crate) earners: Earners,
    /// From the intake to the log; without it the way in goes to the log itself.
    pub(crate) fog: Option<FogRunner<LogSink>>,
    /// Whether each device is told which of its readings are confirmed.
    pub(crate) confirmations: bool,
}

/// Looks at a running site. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Site {
    name: Name,
    log: SiteLog,
    ingress: Arc<Ingress>,
    broker: Option<Arc<dyn Broker>>,
    shared: Arc<Shared>,
    latency: Arc<latency::Latency>,
    feed: broadcast::Sender<Arc<Confirmation>>,
    dropped: Arc<AtomicU64>,
    confirmations_dropped: Arc<AtomicU64>,
    index: Index,
    lookup: Lookup,
    fog: Option<FogHandle>,
    traces: Traces,
}

/// The tasks of a site.
pub(crate) struct SiteTasks {
    tasks: JoinSet<Result<(), SiteError>>,
    stop: watch::Sender<bool>,
}

/// Starts the tasks of a site that knows where to go on.
#[must_use]
pub(crate) fn start(parts: SiteParts, recovered: Recovered) -> (Site, SiteTasks) {
    let SiteParts {
        name,
        ledger,
        log,
        ingress,
        broker,
        active,
        says_active,
        index,
        histogram,
        batch_delay,
        batch_readings_max,
        watermark,
        earners,
        fog,
        confirmations,
    } = parts;
    let next = recovered.next;
    let shared = Arc::new(Shared::new(recovered));
    let latency = Arc::new(latency::Latency::new(log.end(), histogram));
    let (feed, _) = broadcast::channel(FEED_MAX);
    let (notices, to_say) = mpsc::channel(NOTICES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let confirmations_dropped = Arc::new(AtomicU64::new(0));
    let (confirmed, to_tell) = mpsc::channel(CONFIRMATIONS_MAX);
    let (stop, stopped) = watch::channel(false);
    let traces = Traces::start(name.as_str());
    let site = Site {
        name: name.clone(),
        log: log.clone(),
        ingress,
        broker: broker.clone(),
        shared: shared.clone(),
        latency: latency.clone(),
        feed: feed.clone(),
        dropped: dropped.clone(),
        confirmations_dropped: confirmations_dropped.clone(),
        index: index.clone(),
        lookup: Lookup::new(index.clone(), ledger.clone()),
        fog: fog.as_ref().map(FogRunner::handle),
        traces: traces.clone(),
    };
    let issuer = issuer::Issuer {
        ledger: ledger.clone(),
        log: log.clone(),
        index: index.clone(),
        shared: shared.clone(),
        next,
        batch_delay,
        batch_readings_max,
        watermark,
        earners: Arc::new(earners),
        traces: traces.clone(),
    };
    let follower = follower::Follower {
        ledger,
        log: log.clone(),
        index,
        shared: shared.clone(),
        latency: latency.clone(),
        notices,
        confirmations: (confirmations && broker.is_some()).then_some(confirmed),
        confirmations_dropped: confirmations_dropped.clone(),
        feed,
        dropped,
        traces,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(issuer.run(stopped.clone()));
    tasks.spawn(follower.run(stopped.clone()));
    if let Some(fog) = fog {
        let stopped = stopped.clone();
        tasks.spawn(async move { fog.run(stopped).await.map_err(SiteError::from) });
    }
    tasks.spawn(latency::mark(log.clone(), latency, stopped.clone()));
    if let Some(broker) = broker.clone().filter(|_| confirmations) {
        let teller = confirmations::Confirmations { name: name.clone(), broker, dropped: confirmations_dropped };
        tasks.spawn(teller.run(to_tell, stopped.clone()));
    }
    if let Some(broker) = broker {
        tasks.spawn(speaker::Speaker { name, broker, log, shared, says_active }.run(to_say, active, stopped));
    }
    (site, SiteTasks { tasks, stop })
}

impl Site {
    /// The site's name.
    #[must_use]
    pub(crate) const fn name(&self) -> &Name {
        &self.name
    }

    /// The site's index.
    #[must_use]
    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    /// Finds readings.
    #[must_use]
    pub(crate) const fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Where the way of readings is told.
    #[must_use]
    pub(crate) const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Confirmations from now on.
    #[must_use]
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Confirmation>> {
        self.feed.subscribe()
    }

    /// Closes the log and the intake: what they were told to forget is saved. For the end, when nothing appends any more.
    pub(crate) async fn close(&self) {
        let (log, fog, traces) = (self.log.clone(), self.fog.clone(), self.traces.clone());
        let close = move || {
            traces.end();
            log.close().and_then(|()| fog.map_or(Ok(()), |fog| fog.close()))
        };
        match tokio::task::spawn_blocking(close).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::warn!("while closing the site's log: {why}"),
            Err(why) => tracing::warn!("while closing the site's log: {why}"),
        }
    }

    /// How the site is doing.
    #[must_use]
    pub(crate) fn stats(&self) -> SiteStats {
        let (anchored, confirmed, in_flight) = self.shared.progress();
        SiteStats {
            broker: self.broker.as_ref().map(|b| b.address()),
            connected: self.broker.as_ref().is_some_and(|b| b.connected()),
            relay_dropped: self.broker.as_ref().map_or(0, |b| b.dropped()),
            access: self.broker.as_ref().map(|b| b.access()).unwrap_or_default(),
            tier: self.broker.as_ref().and_then(|b| b.tier()),
            ingress: self.ingress.counters(),
            identity: self.ingress.identities().map(mqtt::Identities::counters).unwrap_or_default(),
            anchored,
            confirmed,
            cache_pending: self.log.end().saturating_sub(confirmed),
            in_flight,
            notices_dropped: self.dropped.load(Ordering::Relaxed),
            confirmations_dropped: self.confirmations_dropped.load(Ordering::Relaxed),
            log: self.log.stats(),
            fog: self.fog.as_ref().map(FogHandle::stats),
            latency: self.latency.summary(),
        }
    }
}

impl SiteTasks {
    /// Resolves when a task has failed; nothing is anchored or confirmed from then on.
    pub(crate) async fn failed(&mut self) -> SiteError {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return SiteError::Task(error.to_string()),
                Some(Ok(Ok(()))) => {}
                None => return SiteError::Task("none is left".into()),
            }
        }
    }

    /// Asks the tasks to end and waits for them: the batch being issued is issued.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("while stopping: {error}"),
                Err(error) => tracing::warn!("while stopping: a task of the site: {error}"),
            }
        }
    }
}

/// Resolves when the tasks are asked to end, or nobody is left to ask.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Reads the log where blocking is allowed: `max` readings from `from`, fewer only at its end.
async fn read_log(log: &SiteLog, from: u64, max: usize) -> Result<Vec<(u64, Reading)>, SiteError> {
    let log = log.clone();
    let read = tokio::task::spawn_blocking(move || read_blocking(&log, from, max)).await;
    Ok(read.map_err(|e| SiteError::Task(e.to_string()))??)
}

/// As [`read_log`], blocking. One read of the log gives a bounded number of bytes.
fn read_blocking(log: &SiteLog, from: u64, max: usize) -> Result<Vec<(u64, Reading)>, LogError> {
    let to = from.saturating_add(max as u64).min(log.end());
    let (mut rows, mut at) = (Vec::new(), from);
    while at < to {
        let more = log.read(at, max.saturating_sub(rows.len()))?;
        match more.last() {
            Some((offset, _)) => at = offset.saturating_add(1),
            None => break,
        }
        rows.extend(more);
    }
    Ok(rows)
}

/// The watermark that [`issuer`] writes before it anchors anything again: every offset below it is anchored. 0 if
/// it never had to.
fn read_watermark(file: &Path) -> Result<u64, SiteError> {
    let fail = |why: String| SiteError::Watermark { file: file.into(), why };
    match std::fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(|_| fail("it is damaged: it should hold one number; restore it from a backup".into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(fail(e.to_string())),
    }
}
