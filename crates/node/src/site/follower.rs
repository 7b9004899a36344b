//! Follows the ledger: what is confirmed leaves the queue, is told to whoever listens, and may be forgotten.
//!
//! Events say what was confirmed. What they do not say is asked: a front that is overtaken by a later message of
//! ours, everything after a lost subscription, and now and then the front anyway.

use super::latency::Latency;
use super::queue::{Front, InFlight, Shared};
use super::{Confirmation, FEED_READINGS_MAX, SiteError, read_log, told};
use crate::index::Index;
use crate::traces::Traces;
use mqtt::SiteLog;
use mqtt::notices::ConfirmedReading;
use protocol::{DeviceTopic, PublicKey, Reading};
use replica::{Event, Handle, Standing};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, watch};

/// Events that may wait for us before the subscription is lost.
const EVENTS_MAX: usize = 4096;
/// How often the front is asked for although no event spoke of it.
const FRONT_CHECK: Duration = Duration::from_secs(1);
/// Batches settled before the log is told to forget.
const SETTLED_AT_ONCE_MAX: usize = 64;

/// What the speaker is to tell the cache: topics and times of confirmed readings.
pub(super) type Notice = Vec<(DeviceTopic, u64)>;

/// The task that follows.
pub(super) struct Follower {
    pub(super) ledger: Handle,
    pub(super) log: SiteLog,
    pub(super) index: Index,
    pub(super) shared: Arc<Shared>,
    pub(super) latency: Arc<Latency>,
    pub(super) notices: mpsc::Sender<Notice>,
    /// Where what the devices themselves are told goes, if they are.
    pub(super) confirmations: Option<mpsc::Sender<Vec<ConfirmedReading>>>,
    /// What of it was dropped.
    pub(super) confirmations_dropped: Arc<AtomicU64>,
    pub(super) feed: broadcast::Sender<Arc<Confirmation>>,
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) traces: Traces,
}

impl Follower {
    /// Follows until told to stop.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), SiteError> {
        let key = self.ledger.status().await.ok_or(SiteError::LedgerStopped)?.key;
        let mut events = self.ledger.subscribe(EVENTS_MAX).await.ok_or(SiteError::LedgerStopped)?;
        let mut check = tokio::time::interval(FRONT_CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ask = tokio::select! {
                () = told(&mut stop) => return Ok(()),
                event = events.recv() => match event {
                    Some(event) => {
                        self.note(&key, &event);
                        false
                    }
                    None => {
                        tracing::debug!("the site was too slow for the ledger's events and subscribes again");
                        events = self.ledger.subscribe(EVENTS_MAX).await.ok_or(SiteError::LedgerStopped)?;
                        true
                    }
                },
                () = self.shared.grown.notified() => false,
                _ = check.tick() => true,
            };
            self.settle(ask).await?;
        }
    }

    fn note(&self, key: &PublicKey, event: &Event) {
        match event {
            Event::Milestone { height, confirmed, .. } => {
                let ours = confirmed.iter().filter(|c| c.issuer == *key && c.readings > 0);
                ours.for_each(|c| self.shared.note(c.id, *height));
            }
            Event::Spends(_) => {}
        }
    }

    /// Takes everything off the front that is confirmed. Asks the ledger about the front if `ask`, or if a later
    /// message of ours shows that it is decided.
    async fn settle(&self, ask: bool) -> Result<(), SiteError> {
        let mut settled = Vec::new();
        loop {
            match self.shared.front() {
                Front::Settled(batch, height) => settled.push((batch, height)),
                Front::Open(message, overtaken) if ask || overtaken => {
                    match self.ledger.message(message).await.map(|record| record.standing) {
                        Some(Standing::Confirmed { height, .. }) => self.shared.note(message, height),
                        Some(Standing::Void { .. }) => {
                            if let Some(first) = self.shared.front_offset() {
                                self.index.remove(first).await;
                            }
                            self.shared.void(message);
                        }
                        // the milestone that decided it is dropped here; nothing else of ours could count in its place
                        Some(Standing::Settled) => {
                            let height = self.ledger.status().await.map_or(0, |status| status.height);
                            self.shared.note(message, height);
                        }
                        Some(Standing::Pending) | None => break,
                    }
                }
                Front::Open(..) | Front::Idle => break,
            }
            if settled.len() >= SETTLED_AT_ONCE_MAX {
                self.conclude(std::mem::take(&mut settled)).await?;
            }
        }
        self.conclude(settled).await
    }

    /// Measures, tells and forgets.
    async fn conclude(&self, settled: Vec<(InFlight, u64)>) -> Result<(), SiteError> {
        let Some(end) = settled.last().map(|(batch, _)| batch.end()) else {
            return Ok(());
        };
        let now = Instant::now();
        for (batch, height) in &settled {
            let traced = self.traces.wants(batch.first);
            let accepted = if traced { self.latency.accepted_at(batch.first) } else { None };
            self.latency.confirmed(batch.first, batch.end(), now);
            match read_log(&self.log, batch.first, batch.count as usize).await {
                Ok(readings) => {
                    if let Some((_, reading)) = readings.first().filter(|_| traced) {
                        self.traces.confirmed((batch.first, batch.count, batch.message), *height, (accepted, now), reading);
                    }
                    self.tell(batch, *height, readings);
                }
                Err(why) => tracing::warn!(first = batch.first, count = batch.count, "confirmed readings are not announced: {why}"),
            }
        }
        let log = self.log.clone();
        let forgot = tokio::task::spawn_blocking(move || log.forget(end)).await.map_err(|e| SiteError::Task(e.to_string()))?;
        if let Err(why) = forgot {
            tracing::warn!("the log keeps confirmed readings for now: {why}"); // the next one forgets these too
        }
        Ok(())
    }

    fn tell(&self, batch: &InFlight, height: u64, readings: Vec<(u64, Reading)>) {
        if self.feed.receiver_count() > 0 {
            let listed = readings.iter().take(FEED_READINGS_MAX).map(|(_, r)| (r.id(), r.topic.clone(), r.time_us)).collect();
            let _ = self.feed.send(Arc::new(Confirmation { height, count: batch.count, readings: listed })); // nobody may listen any more
        }
        if let Some(confirmations) = &self.confirmations {
            let told = readings.iter().map(|(_, r)| (r.topic.clone(), r.time_us, r.id())).collect();
            if let Err(mpsc::error::TrySendError::Full(_)) = confirmations.try_send(told) {
                self.confirmations_dropped.fetch_add(readings.len() as u64, Ordering::Relaxed);
            }
        }
        let notice = readings.into_iter().map(|(_, r)| (r.topic, r.time_us)).collect();
        match self.notices.try_send(notice) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {} // closed: no broker to tell
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
