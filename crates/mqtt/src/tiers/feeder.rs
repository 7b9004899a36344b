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
    let mut batch = BATCH_READINGS;
    loop {
        let end = tokio::select! {
            biased;
            () = told(&mut stopping) => return,
            end = log.wait_past(next) => end,
        };
        if end <= next {
            return; // the log is closed
        }
        let pause = match read(&log, next, batch).await {
            Ok(rows) => match hand_on(&tiers, &rows, next) {
                Ok(after) => {
                    (next, batch) = (after, BATCH_READINGS);
                    continue;
                }
                Err(why) => {
                    // All of a batch is taken or nothing: one that never fits must not stand in the way for ever.
                    batch = (rows.len() / 2).max(1);
                    why
                }
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

async fn read(log: &SiteLog, from: u64, max: usize) -> Result<Vec<(u64, Reading)>, LogError> {
    let log = log.clone();
    // A read fails to be joined only if it panicked; then it is tried again.
    tokio::task::spawn_blocking(move || log.read(from, max)).await.unwrap_or_else(|_| Ok(Vec::new()))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::hub::UP;
    use super::super::{Parent, TierConfig};
    use super::*;
    use crate::log::{Entry, LogConfig};
    use crate::spool::SpoolConfig;
    use protocol::Value;

    /// TIER-14: ten readings that the spool does not hold at once, though some of them at a time.
    #[tokio::test]
    async fn what_is_too_much_at_once_goes_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let config = TierConfig {
                scope: "agg1/loc1".parse().unwrap(),
                member: None,
                parent: Some(Parent { url: "mqtt://127.0.0.1:1".parse().unwrap(), login: None, tls: None }),
                children: Vec::new(),
                up: vec!["root/fog/#".into()],
                down: Vec::new(),
                spool: dir.path().join("spool"),
                limits: SpoolConfig { limit_bytes: 1000, min_free_bytes: 0 },
            };
            Arc::new(Tiers::open(config).unwrap())
        };
        let tiers = open();
        tiers.remember_log(0).unwrap().wait().await.unwrap();
        drop(tiers);
        let tiers = open();
        let log = SiteLog::open(&dir.path().join("log"), LogConfig { min_free_bytes: 0, ..LogConfig::default() }).unwrap();
        let reading = |n: u64| Reading {
            topic: "agg1/loc1/d/sense/t".parse().unwrap(),
            time_us: 1_750_000_000_000_000 + n,
            sequence: None,
            unit: None,
            value: Value::Number(1.0),
            signed: None,
        };
        log.append(Entry { origin: None, dup: false, readings: (0..10).map(reading).collect() }).await.unwrap();
        let (_stop, stopping) = watch::channel(false);
        let feeding = tokio::spawn(feed(tiers.clone(), log, stopping));
        let drain = async {
            let (mut commits, mut arrived) = (tiers.spool().commits(), 0);
            while arrived < 10 {
                commits.borrow_and_update();
                let records = tiers.spool().read(UP, arrived + 1, 100).await.unwrap();
                match records.last() {
                    Some((last, _)) => {
                        arrived = *last;
                        tiers.drained(UP, arrived + 1, records.len() as u64);
                    }
                    None => commits.changed().await.unwrap(),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), drain).await.unwrap();
        feeding.abort();
    }
}
