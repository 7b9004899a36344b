//! From the site's log into the tree: what was processed, `root/fog/x`, in the order of the log (TIER-14).
//!
//! A reading is durable in the log before its device is acknowledged. This follows the log, and notes in the same commit as
//! the records how far it got. So a kill between the two loses nothing and repeats nothing.

use super::hub::Tiers;
use super::told;
use crate::log::{LogError, SiteLog};
use edge::payload;
use protocol::{Reading, Topic};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Readings that are handed on together.
const BATCH_READINGS: usize = 256;
/// The pause before the next attempt when the spool takes nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Follows `log` until the stop, or until it is closed.
pub(crate) async fn feed(tiers: Arc<Tiers>, log: SiteLog, mut stopping: watch::Receiver<bool>) {
    let mut next = match tiers.log_offset() {
        Some(next) => next.min(log.end()),
        // The first time: what was before was told to nobody.
        None => {
            let end = log.end();
            match tiers.remember_log(end) {
                Ok(durable) => drop(durable.wait().await),
                Err(error) => tracing::warn!(%error, "where the site's log is followed from is not remembered"),
            }
            end
        }
    };
    loop {
        let end = tokio::select! {
            biased;
            () = told(&mut stopping) => return,
            end = log.wait_past(next) => end,
        };
        if end <= next {
            return; // the log is closed
        }
        let pause = match read(&log, next).await {
            Ok(rows) => match hand_on(&tiers, &rows, next) {
                Ok(after) => {
                    next = after;
                    continue;
                }
                Err(why) => why,
            },
            Err(LogError::Forgotten { first, .. }) => {
                let missed = first.saturating_sub(next);
                tracing::warn!(missed, "readings were confirmed and deleted before they could go to other brokers: the spool was full");
                tiers.counters.missed.fetch_add(missed, Ordering::Relaxed);
                next = first;
                continue;
            }
            Err(error) => error.to_string(),
        };
        tracing::debug!(why = %pause, "processed readings wait in the site's log");
        tokio::select! {
            () = told(&mut stopping) => return,
            () = tokio::time::sleep(RETRY_PAUSE) => {}
        }
    }
}

async fn read(log: &SiteLog, from: u64) -> Result<Vec<(u64, Reading)>, LogError> {
    let log = log.clone();
    // A read fails to be joined only if it panicked; then it is tried again.
    tokio::task::spawn_blocking(move || log.read(from, BATCH_READINGS)).await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// Gives the offset after what was handed on, or why it was not.
fn hand_on(tiers: &Tiers, rows: &[(u64, Reading)], next: u64) -> Result<u64, String> {
    let Some((last, _)) = rows.last() else { return Err("the log gave nothing".into()) };
    let after = last.saturating_add(1).max(next);
    let published = rows.iter().map(|(_, reading)| (Topic::Fog(reading.topic.clone()).to_string(), payload::fog_json(reading)));
    match tiers.offer_log(&published.collect::<Vec<_>>(), after) {
        // It goes to the disk also if nobody waits; what the log still has is handed on again after a crash before that.
        Ok(durable) => drop(durable),
        Err(error) => return Err(error.to_string()),
    }
    Ok(after)
}
