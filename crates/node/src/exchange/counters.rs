//! What was counted of requests and roaming since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// After how many rows of the list of requests those that are too many are looked for.
const TRIM_EVERY: u64 = 256;

/// The counters, shared by the tasks.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests of devices here that were issued.
    pub(super) issued: AtomicU64,
    /// Requests of devices here that were refused.
    pub(super) refused: AtomicU64,
    /// Requests of devices here that a milestone confirmed.
    pub(super) confirmed: AtomicU64,
    /// Requests for devices here that were accepted.
    pub(super) accepted: AtomicU64,
    /// Requests for devices here that were not.
    pub(super) declined: AtomicU64,
    /// Requests for devices here whose number was used before.
    pub(super) replayed: AtomicU64,
    /// Commands that were handed to the broker.
    pub(super) delivered: AtomicU64,
    /// Commands that nobody subscribed to in time.
    pub(super) expired: AtomicU64,
    /// Notices to devices, and answers to other sites, that were dropped.
    pub(super) dropped: AtomicU64,
    /// Bodies that begin like records and are none.
    pub(super) malformed: AtomicU64,
    /// Milestones whose messages were not here any more.
    pub(super) missed: AtomicU64,
    /// Commands that wait.
    pub(super) held: AtomicU64,
    /// Devices of other sites that are here.
    pub(super) visitors: AtomicU64,
    /// Devices of this site that are elsewhere.
    pub(super) away: AtomicU64,
    /// Sessions that were handed over from here.
    pub(super) handed_over: AtomicU64,
    /// Messages that were handed over to devices here.
    pub(super) parcels: AtomicU64,
    /// Rows that were added to the list of requests.
    listed: AtomicU64,
}

/// The same as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExchangeStats {
    pub(crate) issued: u64,
    pub(crate) refused: u64,
    pub(crate) confirmed: u64,
    pub(crate) accepted: u64,
    pub(crate) declined: u64,
    pub(crate) replayed: u64,
    pub(crate) delivered: u64,
    pub(crate) expired: u64,
    pub(crate) dropped: u64,
    pub(crate) malformed: u64,
    pub(crate) missed: u64,
    pub(crate) held: u64,
    pub(crate) visitors: u64,
    pub(crate) away: u64,
    pub(crate) handed_over: u64,
    pub(crate) parcels: u64,
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// What was counted.
    pub(super) fn read(&self) -> ExchangeStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExchangeStats {
            issued: read(&self.issued),
            refused: read(&self.refused),
            confirmed: read(&self.confirmed),
            accepted: read(&self.accepted),
            declined: read(&self.declined),
            replayed: read(&self.replayed),
            delivered: read(&self.delivered),
            expired: read(&self.expired),
            dropped: read(&self.dropped),
            malformed: read(&self.malformed),
            missed: read(&self.missed),
            held: read(&self.held),
            visitors: read(&self.visitors),
            away: read(&self.away),
            handed_over: read(&self.handed_over),
            parcels: read(&self.parcels),
        }
    }

    /// Counts rows that are added to the list of requests; whether it is time to look for those that are too many.
    pub(super) fn trim_is_due(&self, added: usize) -> bool {
        let before = self.listed.fetch_add(added as u64, Ordering::Relaxed);
        before / TRIM_EVERY != before.saturating_add(added as u64) / TRIM_EVERY
    }
}
