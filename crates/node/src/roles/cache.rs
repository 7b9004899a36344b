//! The cache as a process of its own (M15): what the fog processor publishes is kept until the ledger node has published it.
//! The rules are ROLE-8, ROLE-10 and ROLE-11 of `docs/spec/topics.md`.
//!
//! ```text
//! root/fog/x ─▶ log ─▶ PUBACK          root/node/<site>/tangle ─▶ published ─▶ forget, up to the first that is pending
//! root/node/<site>/active, connected, stuck ─▶ round: what is pending ─▶ root/cache/<site>/pending
//! ```

mod rounds;

use super::published::{GENERATION_MAX, Key, Published, key, key_of};
use super::{RoleError, now_us, told};
use mqtt::roles::{Arrived, Carrier, Desk, Judgement, Judging, Receiver, parse_fog};
use mqtt::{AppendError, Appended, Entry, LogError, SiteLog};
use protocol::{DeviceTopic, Name, Reading, Topic};
use rounds::Speaker;
use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Readings of the log that are looked at together.
const STEP_READINGS_MAX: usize = 1024;
/// From which part of its limit, in percent, the cache warns.
const WARN_PERCENT: u64 = 80;
/// Time between two lines that tell of refused readings.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

/// How the cache is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    /// Whether both connections to the broker stand.
    pub(crate) connected: bool,
    /// Readings that wait to be published.
    pub(crate) pending: u64,
    /// About how many bytes they take on disk, and how many they may.
    pub(crate) pending_bytes: u64,
    /// The limit.
    pub(crate) limit_bytes: u64,
    /// The time of the first of them, in microseconds since 1970.
    pub(crate) oldest_us: Option<u64>,
    /// What the operator should look at.
    pub(crate) alarm: Option<&'static str>,
    /// Counted since the start: readings kept.
    pub(crate) kept: u64,
    /// Publishes recognised as kept before.
    pub(crate) duplicates: u64,
    /// Publishes that mean nothing.
    pub(crate) malformed: u64,
    /// Publishes that could not be kept; their publisher has them.
    pub(crate) refused: u64,
    /// Readings named by notices.
    pub(crate) noticed: u64,
    /// Names of readings that are published and wait for their turn to be forgotten.
    pub(crate) ahead: u64,
    /// Such names that were dropped because there were too many.
    pub(crate) dropped: u64,
    /// Readings sent as pending, and rounds of that.
    pub(crate) sent: u64,
    /// Rounds.
    pub(crate) rounds: u64,
}

#[derive(Default)]
struct Counters {
    kept: AtomicU64,
    duplicates: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
    noticed: AtomicU64,
    sent: AtomicU64,
    rounds: AtomicU64,
}

fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// What the tasks of a cache share.
pub(crate) struct Shared {
    site: Name,
    log: SiteLog,
    limit_bytes: u64,
    published: Mutex<Published>,
    /// There is something new to forget.
    settle: Notify,
    /// Somebody wants to know what is pending.
    ask: Notify,
    /// Below which offset everything is forgotten.
    moved: watch::Sender<u64>,
    warned: Mutex<Option<Instant>>,
    counters: Counters,
}

/// What the ledger node says of a reading that it never will publish.
#[derive(Deserialize)]
struct Refused {
    topic: String,
    time_us: u64,
}

impl Desk for Shared {
    fn take(self: Arc<Self>, arrived: Arrived) -> Judging {
        Box::pin(async move { self.judge(arrived).await })
    }

    fn subscribed(&self) {
        self.ask.notify_one(); // notices may have been missed
    }
}

impl Shared {
    /// The desk of a cache that keeps its readings in `log`, whose limit is `limit_bytes`.
    #[must_use]
    pub(crate) fn new(site: Name, log: SiteLog, limit_bytes: u64) -> Self {
        let (moved, _) = watch::channel(log.forgotten());
        Self {
            site,
            log,
            limit_bytes,
            published: Mutex::new(Published::new(GENERATION_MAX)),
            settle: Notify::new(),
            ask: Notify::new(),
            moved,
            warned: Mutex::new(None),
            counters: Counters::default(),
        }
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn judge(&self, arrived: Arrived) -> Judgement {
        match arrived.topic.parse::<Topic>() {
            Ok(Topic::Fog(topic)) if topic.site == self.site => return self.keep(&topic, &arrived).await,
            Ok(Topic::Tangle(site)) if site == self.site => match mqtt::notices::parse(&arrived.payload) {
                Ok(pairs) => self.note(pairs.iter().map(|(topic, time_us)| key(topic, *time_us))),
                Err(why) => {
                    add(&self.counters.malformed, 1);
                    tracing::warn!(%why, "a notice of the ledger node means nothing");
                }
            },
            Ok(Topic::Active(site)) if site == self.site => self.ask.notify_one(),
            Ok(Topic::Rejected(site)) if site == self.site => {
                // one of the fog processor has no time: what it names never came here
                if let Ok(refused) = serde_json::from_slice::<Refused>(&arrived.payload)
                    && let Ok(Topic::Fog(topic)) = refused.topic.parse::<Topic>()
                {
                    self.note(std::iter::once(key(&topic, refused.time_us)));
                }
            }
            _ => {}
        }
        Judgement::Settled
    }

    fn note(&self, keys: impl Iterator<Item = Key>) {
        let count = {
            let mut published = self.published();
            keys.map(|key| published.note(key)).count()
        };
        add(&self.counters.noticed, count);
        self.settle.notify_one();
    }

    async fn keep(&self, topic: &DeviceTopic, arrived: &Arrived) -> Judgement {
        if arrived.command {
            return Judgement::Settled;
        }
        let readings = match parse_fog(topic, &arrived.payload, arrived.reading.as_deref(), now_us()) {
            Ok(readings) => readings,
            Err(why) => {
                add(&self.counters.malformed, 1);
                tracing::warn!(%topic, %why, "a publish of the fog processor means nothing, and is not kept");
                return Judgement::Settled;
            }
        };
        match self.log.append(Entry { origin: arrived.fingerprint(), dup: arrived.dup, readings }).await {
            Ok(Appended::Stored { fresh, .. }) => {
                add(&self.counters.kept, fresh.len());
                // a notice may have been faster, through a broker of another kind
                self.settle.notify_one();
                Judgement::Settled
            }
            Ok(Appended::Duplicate) => {
                add(&self.counters.duplicates, 1);
                Judgement::Settled
            }
            Err(why @ AppendError::Invalid(_)) => {
                add(&self.counters.malformed, 1);
                tracing::warn!(%topic, %why, "a publish of the fog processor cannot be kept, ever");
                Judgement::Settled
            }
            Err(why) => {
                add(&self.counters.refused, 1);
                self.tell_refused(&why);
                Judgement::Later
            }
        }
    }

    /// Tells the operator that the fog processor is kept waiting, now and then.
    fn tell_refused(&self, why: &AppendError) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= REFUSED_EVERY) {
            *warned = Some(Instant::now());
            tracing::error!(site = %self.site, "processed readings are refused: {why}");
        }
    }

    /// Readings from `from` on, `max` at most, where blocking is allowed.
    async fn read(&self, from: u64, max: usize) -> Result<Vec<(u64, Reading)>, RoleError> {
        let log = self.log.clone();
        let read = move || if from < log.end() { log.read(from, max) } else { Ok(Vec::new()) };
        Ok(tokio::task::spawn_blocking(read).await.map_err(|e| RoleError::Task(e.to_string()))??)
    }

    /// Forgets what is published, in order, up to the first that is pending.
    async fn forget(&self) -> Result<(), RoleError> {
        loop {
            let from = self.log.forgotten();
            // The first alone: while it is pending nothing can be forgotten, and every publish that comes asks.
            let first = self.read(from, 1).await?;
            let is_pending = |reading: &Reading| !self.published().has(&key_of(reading));
            if first.first().is_none_or(|(_, reading)| is_pending(reading)) {
                return Ok(());
            }
            let rows = self.read(from, STEP_READINGS_MAX).await?;
            let (upto, all) = {
                let mut published = self.published();
                let gone = rows.iter().take_while(|(_, reading)| published.take(&key_of(reading)));
                match gone.last() {
                    Some((offset, _)) => (offset.saturating_add(1), rows.last().is_some_and(|(last, _)| last == offset)),
                    None => return Ok(()),
                }
            };
            let log = self.log.clone();
            let forgotten = tokio::task::spawn_blocking(move || log.forget(upto)).await.map_err(|e| RoleError::Task(e.to_string()))?;
            match forgotten {
                Ok(()) => {}
                Err(why @ LogError::Io { .. }) => tracing::warn!("the cache keeps published readings for now: {why}"),
                Err(why) => return Err(why.into()),
            }
            self.moved.send_replace(upto);
            if !all {
                return Ok(());
            }
        }
    }

    fn stats(&self, connected: bool) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let log = self.log.stats();
        let (ahead, dropped) = {
            let published = self.published();
            (published.len() as u64, published.dropped())
        };
        let alarm = match log.pending_bytes.saturating_mul(100) {
            bytes if bytes >= self.limit_bytes.saturating_mul(100) => Some("full"),
            bytes if bytes >= self.limit_bytes.saturating_mul(WARN_PERCENT) => Some("nearly full"),
            _ => None,
        };
        CacheStats {
            connected,
            pending: log.pending_readings,
            pending_bytes: log.pending_bytes,
            limit_bytes: self.limit_bytes,
            oldest_us: None,
            alarm,
            kept: read(&self.counters.kept),
            duplicates: read(&self.counters.duplicates),
            malformed: read(&self.counters.malformed),
            refused: read(&self.counters.refused),
            noticed: read(&self.counters.noticed),
            ahead,
            dropped,
            sent: read(&self.counters.sent),
            rounds: read(&self.counters.rounds),
        }
    }
}

/// Forgets whenever there is a reason to, until told to stop.
async fn settle(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) -> Result<(), RoleError> {
    loop {
        tokio::select! {
            () = told(&mut stop) => return Ok(()),
            () = shared.settle.notified() => shared.forget().await?,
        }
    }
}

/// A cache that runs.
pub(crate) struct Cache {
    shared: Arc<Shared>,
    receiver: Receiver,
    carrier: Arc<Carrier>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Cache {
    /// Starts the tasks of `shared`, whose connections are `receiver` and `carrier`. A task that fails says so on `failed`.
    #[must_use]
    pub(crate) fn start(
        shared: Arc<Shared>,
        (receiver, carrier): (Receiver, Arc<Carrier>),
        stop: &watch::Receiver<bool>,
        failed: &super::Failed,
    ) -> Self {
        let speaker = Speaker { shared: shared.clone(), carrier: carrier.clone() };
        let tasks =
            vec![failed.watch("the cache", settle(shared.clone(), stop.clone())), failed.watch("the cache", speaker.run(stop.clone()))];
        shared.settle.notify_one();
        Self { shared, receiver, carrier, tasks: Mutex::new(tasks) }
    }

    /// How it is doing.
    pub(crate) async fn stats(&self) -> CacheStats {
        let mut stats = self.shared.stats(self.receiver.connected() && self.carrier.connected());
        let first = self.shared.read(self.shared.log.forgotten(), 1).await.unwrap_or_default();
        stats.oldest_us = first.first().map(|(_, reading)| reading.time_us);
        stats
    }

    /// Why it is not well, if it is not.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.receiver.trouble().or_else(|| (!self.carrier.connected()).then(|| "no connection to publish on".to_owned()));
        trouble.map(|why| format!("cache: {why}"))
    }

    /// Stops, in order. The tasks have been told already.
    pub(crate) async fn stop(&self) {
        self.receiver.stop().await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = task.await; // what went wrong was said already
        }
        self.carrier.stop().await;
        super::close(self.shared.log.clone(), "the cache").await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
