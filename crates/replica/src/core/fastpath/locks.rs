//! What this node voted for: one request for each wallet and number, in the present epoch (WAL-11).

use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    request: Id,
    /// Where it is on disk, once it is.
    index: Option<u64>,
}

/// The votes of the present epoch that may still matter.
#[derive(Debug, Default)]
pub(super) struct Locks {
    voted: BTreeMap<(PublicKey, u64), Lock>,
    /// Places on disk of all of them.
    indexes: BTreeSet<u64>,
    /// There may be votes of this node that its disk has not heard of (WAL-11a).
    abstains: bool,
}

impl Locks {
    /// What this node voted for.
    pub(super) fn voted(&self, wallet: &PublicKey, number: u64) -> Option<Id> {
        self.voted.get(&(*wallet, number)).map(|lock| lock.request)
    }

    /// Decides for a request. An earlier decision stands; gives whether this is the one.
    pub(super) fn lock(&mut self, wallet: PublicKey, number: u64, request: Id) -> bool {
        self.voted.entry((wallet, number)).or_insert(Lock { request, index: None }).request == request
    }

    /// The decision is on disk.
    pub(super) fn written(&mut self, wallet: PublicKey, number: u64, index: u64) {
        if let Some(lock) = self.voted.get_mut(&(wallet, number)) {
            // the first record is enough
            if lock.index.is_none() {
                lock.index = Some(index);
                self.indexes.insert(index);
            }
        }
    }

    /// Takes a decision for a request back that is neither on disk nor in a message; gives whether it was one.
    pub(super) fn retract(&mut self, wallet: &PublicKey, number: u64, request: &Id) -> bool {
        let place = (*wallet, number);
        let fresh = self.voted.get(&place).is_some_and(|lock| lock.request == *request && lock.index.is_none());
        fresh && self.voted.remove(&place).is_some()
    }

    /// A milestone executed a request of this number: no vote for it can be asked for again.
    pub(super) fn release(&mut self, wallet: &PublicKey, number: u64) {
        if let Some(index) = self.voted.remove(&(*wallet, number)).and_then(|lock| lock.index) {
            self.indexes.remove(&index);
        }
    }

    /// The first place on disk that is still needed.
    pub(super) fn floor(&self) -> Option<u64> {
        self.indexes.first().copied()
    }

    /// Whether this node must not vote in this epoch.
    pub(super) const fn abstains(&self) -> bool {
        self.abstains
    }

    /// Lets this node vote no more in this epoch; gives whether it did before.
    pub(super) const fn abstain(&mut self) -> bool {
        !std::mem::replace(&mut self.abstains, true)
    }

    /// Wallets and numbers of all of them.
    pub(super) fn slots(&self) -> impl Iterator<Item = (PublicKey, u64)> {
        self.voted.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: PublicKey = PublicKey([1; 32]);

    #[test]
    fn a_number_is_voted_for_once() {
        let mut locks = Locks::default();
        assert!(locks.lock(WALLET, 4, Id([7; 32])));
        assert!(locks.lock(WALLET, 4, Id([7; 32])), "again for the same");
        assert!(!locks.lock(WALLET, 4, Id([8; 32])));
        assert_eq!(locks.voted(&WALLET, 4), Some(Id([7; 32])));
        assert!(locks.lock(WALLET, 5, Id([8; 32])) && locks.lock(PublicKey([2; 32]), 4, Id([8; 32])));
    }

    /// A node that had no room for a request kept its vote for it: no other request of that number could be voted for.
    #[test]
    fn what_is_on_no_disk_can_be_taken_back() {
        let mut locks = Locks::default();
        locks.lock(WALLET, 4, Id([7; 32]));
        assert!(!locks.retract(&WALLET, 4, &Id([8; 32])) && !locks.retract(&WALLET, 5, &Id([7; 32])));
        assert!(locks.retract(&WALLET, 4, &Id([7; 32])));
        assert!(locks.lock(WALLET, 4, Id([8; 32])));
        locks.written(WALLET, 4, 10);
        assert!(!locks.retract(&WALLET, 4, &Id([8; 32])));
    }

    #[test]
    fn the_disk_is_needed_from_the_oldest_vote_on() {
        let mut locks = Locks::default();
        for number in 0..3 {
            locks.lock(WALLET, number, Id([1; 32]));
            locks.written(WALLET, number, 10 + number);
        }
        locks.written(WALLET, 0, 99);
        assert_eq!(locks.floor(), Some(10));
        locks.release(&WALLET, 1);
        assert_eq!(locks.floor(), Some(10));
        locks.release(&WALLET, 0);
        assert_eq!(locks.floor(), Some(12));
        assert_eq!(locks.slots().collect::<Vec<_>>(), [(WALLET, 2)]);
    }

    #[test]
    fn who_abstains_does_so_until_the_epoch_ends() {
        let mut locks = Locks::default();
        assert!(!locks.abstains());
        assert!(locks.abstain());
        assert!(!locks.abstain() && locks.abstains());
    }
}
