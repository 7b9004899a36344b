//! Requests to be judged: those that can be now, and those that wait for something.

use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// A request by wallet and number: in this order they are judged, so that a chain that arrives at once is voted for at once.
pub(super) type Slot = (PublicKey, u64, Id);

/// Requests that wait for one before them.
const STATE_WAITING_MAX: usize = 4_096;
/// Requests that wait for funds. They are judged again after each milestone.
const FUNDS_WAITING_MAX: usize = 256;
/// Requests that wait for their time.
const TIME_WAITING_MAX: usize = 1_024;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    /// The requests before it.
    State,
    /// A credit, which only a milestone brings.
    Funds,
    /// This time, in milliseconds since 1970.
    Time(u64),
}

/// Requests to be judged.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    ready: BTreeSet<Slot>,
    waiting: BTreeMap<Slot, Wait>,
    funds: BTreeSet<Slot>,
    times: BTreeSet<(u64, Slot)>,
}

impl Candidates {
    /// To be judged in the next round.
    pub(super) fn add(&mut self, slot: Slot) {
        self.unpark(&slot);
        self.ready.insert(slot);
    }

    /// Everything that can be judged now, by wallet and number.
    pub(super) fn take(&mut self) -> BTreeSet<Slot> {
        std::mem::take(&mut self.ready)
    }

    /// Lets a request wait; `false` if too many do.
    pub(super) fn park(&mut self, slot: Slot, wait: Wait) -> bool {
        let state = self.waiting.len().saturating_sub(self.funds.len() + self.times.len());
        let room = match wait {
            Wait::State => state < STATE_WAITING_MAX,
            Wait::Funds => self.funds.len() < FUNDS_WAITING_MAX,
            Wait::Time(_) => self.times.len() < TIME_WAITING_MAX,
        };
        if !room {
            return false;
        }
        self.unpark(&slot);
        match wait {
            Wait::State => {}
            Wait::Funds => {
                self.funds.insert(slot);
            }
            Wait::Time(at_ms) => {
                self.times.insert((at_ms, slot));
            }
        }
        self.waiting.insert(slot, wait);
        true
    }

    fn unpark(&mut self, slot: &Slot) {
        match self.waiting.remove(slot) {
            None | Some(Wait::State) => {}
            Some(Wait::Funds) => {
                self.funds.remove(slot);
            }
            Some(Wait::Time(at_ms)) => {
                self.times.remove(&(at_ms, *slot));
            }
        }
    }

    fn wake(&mut self, slots: Vec<Slot>) {
        for slot in slots {
            self.add(slot);
        }
    }

    /// The wallet has moved on.
    pub(super) fn wake_wallet(&mut self, wallet: &PublicKey) {
        let first = (*wallet, 0, Id([0; 32]));
        let slots = self.waiting.range(first..).map(|(slot, _)| *slot).take_while(|slot| slot.0 == *wallet).collect();
        self.wake(slots);
    }

    /// A milestone was executed: somebody may have been credited.
    pub(super) fn wake_funds(&mut self) {
        let slots = self.funds.iter().copied().collect();
        self.wake(slots);
    }

    /// It is this time now.
    pub(super) fn wake_due(&mut self, now_ms: u64) {
        let slots = self.times.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).map(|(_, slot)| *slot).collect();
        self.wake(slots);
    }

    /// Nothing is known of this request any more.
    pub(super) fn forget(&mut self, slot: &Slot) {
        self.unpark(slot);
        self.ready.remove(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(wallet: u8, number: u64) -> Slot {
        (PublicKey([wallet; 32]), number, Id([wallet; 32]))
    }

    #[test]
    fn they_are_judged_in_the_order_of_their_numbers() {
        let mut candidates = Candidates::default();
        for number in [3, 1, 2] {
            candidates.add(slot(1, number));
        }
        let numbers: Vec<u64> = candidates.take().into_iter().map(|(_, number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(candidates.take().is_empty());
    }

    #[test]
    fn what_waits_is_woken_by_what_it_waits_for() {
        let mut candidates = Candidates::default();
        assert!(candidates.park(slot(1, 5), Wait::State));
        assert!(candidates.park(slot(2, 5), Wait::Funds));
        assert!(candidates.park(slot(3, 5), Wait::Time(70)));
        candidates.wake_wallet(&PublicKey([9; 32]));
        candidates.wake_due(69);
        assert!(candidates.take().is_empty());
        candidates.wake_wallet(&PublicKey([1; 32]));
        assert_eq!(candidates.take(), BTreeSet::from([slot(1, 5)]));
        candidates.wake_funds();
        assert_eq!(candidates.take(), BTreeSet::from([slot(2, 5)]));
        candidates.wake_due(70);
        assert_eq!(candidates.take(), BTreeSet::from([slot(3, 5)]));
        assert!(candidates.waiting.is_empty() && candidates.times.is_empty() && candidates.funds.is_empty());
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut candidates = Candidates::default();
        let parked = (0..=FUNDS_WAITING_MAX as u64).filter(|n| candidates.park(slot(1, *n), Wait::Funds)).count();
        assert_eq!(parked, FUNDS_WAITING_MAX);
        assert!(candidates.park(slot(1, 9_999), Wait::State), "each kind has its own room");
        candidates.forget(&slot(1, 0));
        assert!(candidates.park(slot(2, 0), Wait::Funds));
    }
}
