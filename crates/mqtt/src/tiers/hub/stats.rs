//! What is counted, and how a broker is doing in the tree.

use super::{Tiers, UP, lock};
use crate::tiers::board::Link;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was counted since the start.
#[derive(Debug, Default)]
pub(in crate::tiers) struct Counters {
    pub(in crate::tiers) spooled: AtomicU64,
    pub(in crate::tiers) drained: AtomicU64,
    pub(in crate::tiers) from_above: AtomicU64,
    pub(in crate::tiers) from_below: AtomicU64,
    pub(in crate::tiers) duplicates: AtomicU64,
    pub(in crate::tiers) loops: AtomicU64,
    pub(in crate::tiers) refused: AtomicU64,
    pub(in crate::tiers) dropped: AtomicU64,
    pub(in crate::tiers) missed: AtomicU64,
    pub(in crate::tiers) connects: AtomicU64,
}

/// One broker below, or the memory of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStats {
    /// Its client id.
    pub id: String,
    /// The sites that it is for.
    pub scope: String,
    /// Whether it is connected.
    pub connected: bool,
    /// How many filters it has here.
    pub filters: usize,
    /// Publishes that wait for it.
    pub queued: u64,
}

/// How a broker is doing in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    /// This broker's id.
    pub id: String,
    /// The sites that it is for.
    pub scope: String,
    /// Where its parent is, if it has one.
    pub parent: Option<String>,
    /// Whether the parent can be reached now.
    pub connected: bool,
    /// Connections to the parent since the start.
    pub connects: u64,
    /// Subscriptions that the parent has confirmed.
    pub subscribed: u64,
    /// Filters that the parent's side asks for.
    pub asked: u64,
    /// Publishes that wait to go up.
    pub queued_up: u64,
    /// The brokers below.
    pub links: Vec<LinkStats>,
    /// Bytes of the publishes in the spool.
    pub spool_bytes: u64,
    /// Publishes put into a queue.
    pub spooled: u64,
    /// Publishes that the other end of a link has acknowledged.
    pub drained: u64,
    /// Publishes taken from the parent.
    pub from_above: u64,
    /// Publishes taken from brokers below.
    pub from_below: u64,
    /// Repetitions that were recognised.
    pub duplicates: u64,
    /// Publishes refused because they came in a circle.
    pub loops: u64,
    /// Publishes not taken because they could not be kept; the sender has them.
    pub refused: u64,
    /// Publishes that the parent will never take.
    pub dropped: u64,
    /// Readings that the site's log had deleted before they could be handed on.
    pub missed: u64,
}

impl Tiers {
    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> TierStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let spool = self.spool.stats();
        let queued = |queue: &str| spool.queues.get(queue).map_or(0, |(records, _)| *records);
        let state = lock(&self.state);
        let link = |(id, link): (&String, &Link)| LinkStats {
            id: id.clone(),
            scope: link.scope.to_string(),
            connected: link.connected,
            filters: link.filters.len(),
            queued: queued(id),
        };
        let c = &self.counters;
        TierStats {
            id: self.id.clone(),
            scope: self.config.scope.to_string(),
            parent: self.config.parent.as_ref().map(|parent| parent.url.to_string()),
            connected: self.connected.load(Ordering::Relaxed),
            connects: read(&c.connects),
            subscribed: read(&self.confirmed),
            asked: state.board.asked_count() as u64,
            queued_up: queued(UP),
            links: state.board.links().iter().map(link).collect(),
            spool_bytes: spool.bytes,
            spooled: read(&c.spooled),
            drained: read(&c.drained),
            from_above: read(&c.from_above),
            from_below: read(&c.from_below),
            duplicates: read(&c.duplicates),
            loops: read(&c.loops),
            refused: read(&c.refused),
            dropped: read(&c.dropped),
            missed: read(&c.missed),
        }
    }
}
