//! Says what is pending, to whoever asks and now and then (ROLE-11).

use super::super::{RoleError, now_us, told};
use super::{CacheStats, Shared, add};
use crate::roles::published::key_of;
use mqtt::roles::{Carrier, CarryError, Outgoing, PENDING_READINGS_MAX, pending_cut, pending_json};
use protocol::{Reading, Topic};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Readings that one part of a round sends before it waits for them to be published.
const ROUND_READINGS_MAX: u64 = 16_384;
/// How long a round waits for something that it sent to be published.
const ROUND_WAIT: Duration = Duration::from_secs(30);
/// How often a payload is offered that is not taken now, and the pause in between.
const OFFERS_MAX: u32 = 12;
const OFFER_PAUSE: Duration = Duration::from_millis(500);
/// When nothing was forgotten for so long although something is pending, a round begins by itself.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Until everything below `upto` is forgotten.
async fn reached(moved: &mut watch::Receiver<u64>, upto: u64) {
    let _ = moved.wait_for(|below| *below >= upto).await;
}

/// Why a round ended.
enum Ended {
    /// Everything that was asked for is published, or nothing moves any more.
    Done,
    /// Somebody asks anew.
    Asked,
}

/// Says what is pending to whoever asks, until told to stop.
pub(super) struct Speaker {
    pub(super) shared: Arc<Shared>,
    pub(super) carrier: Arc<Carrier>,
}

impl Speaker {
    /// Speaks until told to stop.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), RoleError> {
        let (mut front, mut since) = (self.shared.log.forgotten(), Instant::now());
        let mut warned = false;
        loop {
            let asked = tokio::select! {
                () = told(&mut stop) => return Ok(()),
                () = self.shared.ask.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            warned = self.warn(warned);
            let now = self.shared.log.forgotten();
            if now != front || now == self.shared.log.end() {
                (front, since) = (now, Instant::now());
            }
            if !asked && since.elapsed() < STUCK_AFTER {
                continue;
            }
            since = Instant::now();
            loop {
                let ended = tokio::select! {
                    () = told(&mut stop) => return Ok(()),
                    ended = self.round() => ended?,
                };
                match ended {
                    Ended::Done => break,
                    Ended::Asked => {}
                }
            }
        }
    }

    /// Warns once each time that the limit comes near.
    fn warn(&self, warned: bool) -> bool {
        let stats = self.shared.stats(true);
        match stats.alarm {
            Some(alarm) if !warned => {
                let CacheStats { pending, pending_bytes, limit_bytes, .. } = stats;
                tracing::warn!(%alarm, pending, pending_bytes, limit_bytes, "the cache fills: is the ledger node away?");
                true
            }
            alarm => alarm.is_some(),
        }
    }

    /// Sends what is pending now, a bounded part at a time, and waits for each part to be published.
    async fn round(&self) -> Result<Ended, RoleError> {
        let shared = &self.shared;
        let target = shared.log.end();
        if shared.log.forgotten() < target {
            add(&shared.counters.rounds, 1);
        }
        loop {
            let from = shared.log.forgotten();
            if from >= target {
                return Ok(Ended::Done);
            }
            let upto = target.min(from.saturating_add(ROUND_READINGS_MAX));
            if !self.send(from, upto).await? {
                return Ok(Ended::Done); // nobody takes it: he says so when he is back
            }
            let mut moved = shared.moved.subscribe();
            let published = tokio::time::timeout(ROUND_WAIT, reached(&mut moved, upto));
            tokio::select! {
                () = shared.ask.notified() => return Ok(Ended::Asked),
                done = published => if done.is_err() && shared.log.forgotten() == from {
                    return Ok(Ended::Done);
                },
            }
        }
    }

    /// Sends the pending readings of a part; whether all were taken.
    async fn send(&self, from: u64, upto: u64) -> Result<bool, RoleError> {
        let topic = Topic::Pending(self.shared.site.clone()).to_string();
        let mut at = from;
        while at < upto {
            let rows = self.shared.read(at, PENDING_READINGS_MAX).await?;
            let Some((last, _)) = rows.last() else { return Ok(true) };
            at = last.saturating_add(1);
            let pending: Vec<Reading> = {
                let published = self.shared.published();
                rows.into_iter().map(|(_, reading)| reading).filter(|reading| !published.has(&key_of(reading))).collect()
            };
            let mut rest = pending.as_slice();
            while !rest.is_empty() {
                let (part, more) = rest.split_at(pending_cut(rest).min(rest.len()));
                if !self.offer(&topic, part).await {
                    return Ok(false);
                }
                add(&self.shared.counters.sent, part.len());
                rest = more;
            }
        }
        Ok(true)
    }

    async fn offer(&self, topic: &str, readings: &[Reading]) -> bool {
        let payload = pending_json(readings.iter(), now_us());
        for _ in 0..OFFERS_MAX {
            match self.carrier.publish(Outgoing::plain(topic, payload.clone())).await {
                Ok(()) => return true,
                Err(CarryError::Later(why)) => tracing::debug!(%why, "pending readings are not taken now"),
                Err(why) => {
                    tracing::warn!(%why, "pending readings are not taken");
                    return false;
                }
            }
            tokio::time::sleep(OFFER_PAUSE).await;
        }
        false
    }
}
