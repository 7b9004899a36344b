//! Where a site goes on after a start: from the ledger's payloads and the log alone.
//!
//! The ledger holds every batch this site issued; the log says up to where confirmations were handled. So the
//! batches are walked from the newest down until every offset from there on is explained: by a batch that counts or
//! waits, or by one whose message is void and that must be anchored again.
//!
//! ```text
//! offset   0 ······ forgotten ············································· next ······ end
//! log      (gone)  |  kept: confirmed or in flight, walked                  | to anchor |
//! ledger   ··· batch │ batch │ batch (void) │ batch │ batch (newest) ───────┘
//! ```
//! One thing the walk cannot see: after something was anchored *again*, the newest batch is not the last of the log.
//! So the issuer first writes the next offset to a file (the watermark); normal batches come after it.

use super::queue::InFlight;
use super::{SiteError, read_watermark};
use crate::index::{Index, Listed};
use mqtt::SiteLog;
use protocol::{Batch, Body, Decode as _, DecodeError, Id};
use replica::{Handle, MessageRecord, OwnPayload, Standing};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

/// Payloads asked for at a time.
const PAGE: usize = 64;

/// Where a site goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The next offset to anchor.
    pub(super) next: u64,
    /// Everything below was confirmed, and handled as such.
    pub(super) confirmed: u64,
    /// What lies between, in order; without a message where it must be anchored again.
    pub(super) in_flight: Vec<InFlight>,
}

/// One of our own batches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    message: Id,
    first: u64,
    count: u32,
    void: bool,
}

/// The walk over our own batches, from the newest down.
struct Walk {
    forgotten: u64,
    next: u64,
    found: BTreeMap<u64, Own>,
}

impl Walk {
    const fn new(forgotten: u64, watermark: u64) -> Self {
        Self { forgotten, next: watermark, found: BTreeMap::new() }
    }

    fn add(&mut self, own: Own) {
        let end = own.first.saturating_add(u64::from(own.count));
        self.next = self.next.max(end);
        if end <= self.forgotten {
            return;
        }
        match self.found.entry(own.first) {
            Entry::Vacant(place) => {
                place.insert(own);
            }
            // the one that is there is newer
            Entry::Occupied(mut place) => {
                if place.get().void && !own.void {
                    place.insert(own);
                }
            }
        }
    }

    /// The first offset that no batch explains; `None` if all are explained.
    fn hole(&self) -> Option<(u64, u64)> {
        let mut at = self.forgotten;
        for own in self.found.values() {
            if own.first > at {
                return Some((at, own.first));
            }
            at = at.max(own.first.saturating_add(u64::from(own.count)));
        }
        (at < self.next).then_some((at, self.next))
    }

    fn finish(self, log: &Path, end: u64) -> Result<Recovered, SiteError> {
        let Self { forgotten, next, .. } = self;
        if next < forgotten {
            return Err(SiteError::LedgerBehind { next, forgotten });
        }
        if let Some((from, to)) = self.hole() {
            return Err(SiteError::Hole { from, to });
        }
        if next > end {
            return Err(SiteError::LogLost { dir: log.into(), end, next });
        }
        let in_flight = self.found.into_values().map(|own| InFlight {
            first: own.first,
            count: own.count,
            message: (!own.void).then_some(own.message),
        });
        Ok(Recovered { next, confirmed: forgotten, in_flight: in_flight.collect() })
    }
}

fn own(record: &MessageRecord, payload: &[u8]) -> Result<Option<(Own, Batch)>, SiteError> {
    let message = record.message.id();
    let Body::Readings { count, .. } = &record.message.body else {
        return Ok(None);
    };
    let batch = Batch::decode(payload).map_err(|why| SiteError::Payload { message, why })?;
    if batch.readings.len() != *count as usize {
        return Err(SiteError::Payload { message, why: DecodeError::Invalid("the number of its readings") });
    }
    let void = matches!(record.standing, Standing::Void { .. });
    Ok(Some((Own { message, first: batch.first_offset, count: *count, void }, batch)))
}

/// Finds out where to go on. `watermark` is the issuer's file, `log_dir` is named in errors.
///
/// # Errors
/// [`SiteError`] if log and ledger do not fit together: one of them was lost, damaged or replaced by an older copy.
/// Going on would anchor readings twice or skip some.
pub(crate) async fn recover(ledger: &Handle, log: &SiteLog, log_dir: &Path, watermark: &Path) -> Result<Recovered, SiteError> {
    let mut walk = Walk::new(log.forgotten(), read_watermark(watermark)?);
    let mut before = None;
    loop {
        let page = ledger.own_payloads(before, PAGE).await;
        let last = page.len() < PAGE;
        for OwnPayload { place, record, payload } in page {
            before = Some(place);
            if let Some((own, _)) = own(&record, &payload)? {
                if own.void {
                    tracing::warn!(id = %own.message, first = own.first, count = own.count, "a message of ours is void");
                }
                walk.add(own);
            }
        }
        if last || walk.hole().is_none() {
            break;
        }
    }
    if ledger.status().await.is_none() {
        return Err(SiteError::LedgerStopped); // and the answers above were empty for that reason
    }
    let recovered = walk.finish(log_dir, log.end())?;
    tracing::info!(
        next = recovered.next,
        confirmed = recovered.confirmed,
        end = log.end(),
        in_flight = recovered.in_flight.len(),
        "the site goes on"
    );
    Ok(recovered)
}

/// Adds to the index what the ledger has and the index has not. Ends when everything is written.
///
/// # Errors
/// [`SiteError`] if a payload or the index cannot be read.
pub(crate) async fn fill_index(ledger: &Handle, index: &Index) -> Result<(), SiteError> {
    let all = index.is_filling().await?;
    let (mut before, mut added) = (None, 0u64);
    // from the newest down: a batch that is there says that all before it are, unless a filling was cut short
    'walk: loop {
        let page = ledger.own_payloads(before, PAGE).await;
        let last = page.len() < PAGE;
        for OwnPayload { place, record, payload } in page {
            before = Some(place);
            let Some((own, batch)) = own(&record, &payload)? else { continue };
            if !all && index.knows(Listed { first: own.first, place }).await? {
                break 'walk;
            }
            if !own.void {
                added += u64::from(own.count);
                index.add(place, Arc::new(batch)).await;
            }
        }
        if last {
            break;
        }
    }
    index.filled().await;
    if let Err(why) = index.flush().await {
        tracing::warn!("{why}"); // readings are anchored all the same
    }
    if added > 0 {
        tracing::info!(readings = added, "the index was filled from the ledger");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn own(n: u8, first: u64, count: u32) -> Own {
        Own { message: Id([n; 32]), first, count, void: false }
    }

    fn void(n: u8, first: u64, count: u32) -> Own {
        Own { void: true, ..own(n, first, count) }
    }

    /// Walks until everything is explained, as `recover` does with pages of one.
    fn walk(forgotten: u64, watermark: u64, end: u64, newest_first: &[Own]) -> (Result<Recovered, SiteError>, usize) {
        let (mut walk, mut walked) = (Walk::new(forgotten, watermark), 0);
        for own in newest_first {
            walk.add(own.clone());
            walked += 1;
            if walk.hole().is_none() {
                break;
            }
        }
        (walk.finish(Path::new("log"), end), walked)
    }

    fn places(recovered: &Recovered) -> Vec<(u64, Option<u8>)> {
        recovered.in_flight.iter().map(|b| (b.first, b.message.map(|m| m.0.first().copied().unwrap_or(0)))).collect()
    }

    #[test]
    fn a_new_site_starts_at_the_beginning() {
        let (recovered, _) = walk(0, 0, 5, &[]);
        assert_eq!(recovered.unwrap(), Recovered { next: 0, confirmed: 0, in_flight: Vec::new() });
    }

    #[test]
    fn the_newest_batch_says_where_to_go_on() {
        let (recovered, walked) = walk(3, 0, 20, &[own(4, 9, 3), own(3, 5, 4), own(2, 3, 2), own(1, 0, 3)]);
        let recovered = recovered.unwrap();
        assert_eq!((recovered.next, recovered.confirmed, walked), (12, 3, 3));
        assert_eq!(places(&recovered), [(3, Some(2)), (5, Some(3)), (9, Some(4))]);
    }

    #[test]
    fn everything_forgotten_needs_one_look() {
        let (recovered, walked) = walk(12, 0, 12, &[own(4, 9, 3), own(3, 5, 4)]);
        let recovered = recovered.unwrap();
        assert_eq!((recovered.next, recovered.in_flight.len(), walked), (12, 0, 1));
    }

    #[test]
    fn a_void_batch_is_anchored_again_and_its_neighbours_are_not() {
        let (recovered, _) = walk(0, 0, 12, &[own(3, 5, 4), void(2, 3, 2), own(1, 0, 3)]);
        let recovered = recovered.unwrap();
        assert_eq!(recovered.next, 9);
        assert_eq!(places(&recovered), [(0, Some(1)), (3, None), (5, Some(3))]);
    }

    #[test]
    fn what_was_anchored_again_hides_neither_the_end_nor_itself() {
        // the newest batch is the one that was anchored again; the watermark knows the end
        let ledger = [own(9, 0, 3), own(3, 5, 4), own(2, 3, 2), void(1, 0, 3)];
        let recovered = walk(0, 9, 12, &ledger).0.unwrap();
        assert_eq!(recovered.next, 9);
        assert_eq!(places(&recovered), [(0, Some(9)), (3, Some(2)), (5, Some(3))]);
        // later batches are ahead of an old watermark
        let recovered = walk(3, 9, 12, &[own(10, 9, 2), own(9, 0, 3), own(3, 5, 4), own(2, 3, 2)]).0.unwrap();
        assert_eq!(recovered.next, 11);
        assert_eq!(places(&recovered), [(3, Some(2)), (5, Some(3)), (9, Some(10))]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (lost, _) = walk(0, 0, 8, &[own(1, 0, 9)]);
        assert!(matches!(lost, Err(SiteError::LogLost { end: 8, next: 9, .. })));
        let (behind, _) = walk(5, 0, 9, &[own(1, 0, 3)]);
        assert!(matches!(behind, Err(SiteError::LedgerBehind { next: 3, forgotten: 5 })));
        let (wiped, _) = walk(5, 0, 9, &[]);
        assert!(matches!(wiped, Err(SiteError::LedgerBehind { next: 0, forgotten: 5 })));
        let (hole, _) = walk(0, 0, 9, &[own(3, 5, 4), own(1, 0, 3)]);
        assert!(matches!(hole, Err(SiteError::Hole { from: 3, to: 5 })));
        let (end_missing, _) = walk(0, 9, 9, &[own(1, 0, 3)]);
        assert!(matches!(end_missing, Err(SiteError::Hole { from: 3, to: 9 })));
    }
}
