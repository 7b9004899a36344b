//! Tips: connected messages that no connected message names, and which of them to name next.
//!
//! Tips are kept ranked, best first: unconfirmed before confirmed, then the deepest, then the latest to
//! arrive. Within the unconfirmed ones (and within the confirmed ones) every issuer's best tip comes before
//! any issuer's second: an honest issuer has one tip at most, so only equivocators lose by it.

use protocol::{Id, PublicKey};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Tips that are looked at when parents are chosen: keeps the choice cheap when somebody makes tips in heaps.
const CANDIDATES_MAX: usize = 256;

/// A tip's place among all tips, best first. The field order is the sort order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) confirmed: bool,
    pub(crate) level: Reverse<u64>,
    pub(crate) arrival: Reverse<u64>,
    pub(crate) id: Id,
    pub(crate) issuer: PublicKey,
}

/// All tips, by id and by rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tips {
    ids: BTreeSet<Id>,
    ranked: BTreeSet<Rank>,
}

impl Tips {
    pub(crate) const fn ids(&self) -> &BTreeSet<Id> {
        &self.ids
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.ids.contains(id)
    }

    pub(crate) fn add(&mut self, rank: Rank) {
        self.ids.insert(rank.id);
        self.ranked.insert(rank);
    }

    pub(crate) fn remove(&mut self, rank: &Rank) {
        if self.ids.remove(&rank.id) {
            self.ranked.remove(rank);
        }
    }

    /// A message's rank changed; nothing happens if it is not a tip.
    pub(crate) fn replace(&mut self, before: &Rank, after: Rank) {
        if self.ranked.remove(before) {
            self.ranked.insert(after);
        }
    }

    /// Up to `most` tips of others than `issuer`, never `previous`, strictly ascending.
    pub(crate) fn choose(&self, issuer: &PublicKey, previous: &Id, most: usize) -> Vec<Id> {
        let mut turns: BTreeMap<PublicKey, usize> = BTreeMap::new();
        let mut candidates: Vec<(bool, usize, usize, Id)> = Vec::new();
        let others = self.ranked.iter().filter(|rank| rank.issuer != *issuer && rank.id != *previous);
        for (place, rank) in others.take(CANDIDATES_MAX).enumerate() {
            let turn = turns.entry(rank.issuer).or_insert(0);
            candidates.push((rank.confirmed, *turn, place, rank.id));
            *turn += 1;
        }
        candidates.sort_unstable();
        let mut chosen: Vec<Id> = candidates.into_iter().take(most).map(|(_, _, _, id)| id).collect();
        chosen.sort_unstable();
        chosen
    }
}
