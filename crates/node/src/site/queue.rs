//! The batches on their way: issued, not yet confirmed, in the order of the log.
//!
//! ```text
//! issuer ──pushed──▶ [ 0..3 | 3..9 | 9..12 | … ] ──settled──▶ follower
//!        ◀──again──────┘ void: the front keeps its place and waits for a new message
//! ```

use super::{IN_FLIGHT_BATCHES_MAX, Recovered};
use protocol::Id;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Confirmations remembered for messages that are not in the queue (yet).
const EARLY_MAX: usize = 2 * IN_FLIGHT_BATCHES_MAX;
/// How far behind the front one that is decided is looked for.
const OVERTAKEN_WITHIN: usize = 64;

/// A batch on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    /// Offset of its first reading.
    pub(super) first: u64,
    /// How many readings.
    pub(super) count: u32,
    /// The message that anchors it; `None` while it waits to be anchored again.
    pub(super) message: Option<Id>,
}

impl InFlight {
    /// The offset after its last reading.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// What can be said of the front of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// It is confirmed, and taken out: the batch, and the milestone's height.
    Settled(InFlight, u64),
    /// Its message is not known to be confirmed; the flag says whether a later one of ours is, so that this one is
    /// decided.
    Open(Id, bool),
    /// Nothing is on its way, or the front waits to be anchored again.
    Idle,
}

/// The queue itself, without locks.
struct Queue {
    batches: VecDeque<InFlight>,
    confirmed: HashMap<Id, u64>,
    again: VecDeque<(u64, u32)>,
    anchored: u64,
    settled: u64,
}

impl Queue {
    fn pushed(&mut self, first: u64, count: u32, message: Id) {
        match self.batches.iter_mut().find(|b| b.first == first && b.message.is_none()) {
            Some(batch) => batch.message = Some(message),
            None => {
                let batch = InFlight { first, count, message: Some(message) };
                self.anchored = self.anchored.max(batch.end());
                self.batches.push_back(batch);
            }
        }
    }

    fn note(&mut self, message: Id, height: u64) {
        if self.confirmed.len() >= EARLY_MAX {
            self.confirmed.clear(); // the regular questions find what this loses
        }
        self.confirmed.insert(message, height);
    }

    fn front(&mut self) -> Front {
        let Some(message) = self.batches.front().and_then(|b| b.message) else {
            return Front::Idle;
        };
        let Some(height) = self.confirmed.remove(&message) else {
            // one behind it is decided, so it is too
            let mut behind = self.batches.iter().skip(1).take(OVERTAKEN_WITHIN).filter_map(|b| b.message);
            return Front::Open(message, behind.any(|m| self.confirmed.contains_key(&m)));
        };
        match self.batches.pop_front() {
            Some(batch) => {
                self.settled = self.settled.max(batch.end());
                Front::Settled(batch, height)
            }
            None => Front::Idle,
        }
    }

    fn void(&mut self, message: Id) {
        if let Some(batch) = self.batches.front_mut().filter(|b| b.message == Some(message)) {
            batch.message = None;
            self.again.push_back((batch.first, batch.count));
        }
    }
}

/// The queue between the tasks of a site.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Told when the issuer may go on: there is room, or something to anchor again.
    pub(super) go_on: Notify,
    /// Told when a batch was pushed.
    pub(super) grown: Notify,
}

impl Shared {
    /// The queue as it was found at the start.
    pub(super) fn new(recovered: Recovered) -> Self {
        let again = recovered.in_flight.iter().filter(|b| b.message.is_none()).map(|b| (b.first, b.count)).collect();
        let queue = Queue {
            batches: recovered.in_flight.into(),
            confirmed: HashMap::new(),
            again,
            anchored: recovered.next,
            settled: recovered.confirmed,
        };
        Self { queue: Mutex::new(queue), go_on: Notify::new(), grown: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another batch may be issued.
    pub(super) fn has_room(&self) -> bool {
        self.lock().batches.len() < IN_FLIGHT_BATCHES_MAX
    }

    /// The offset of the front's first reading; `None` if nothing is on its way.
    pub(super) fn front_offset(&self) -> Option<u64> {
        self.lock().batches.front().map(|batch| batch.first)
    }

    /// A batch was issued: a new one, or one anchored again.
    pub(super) fn pushed(&self, first: u64, count: u32, message: Id) {
        self.lock().pushed(first, count, message);
        self.grown.notify_one();
    }

    /// A message of ours was confirmed.
    pub(super) fn note(&self, message: Id, height: u64) {
        self.lock().note(message, height);
    }

    /// Looks at the front and takes it out if it is confirmed.
    pub(super) fn front(&self) -> Front {
        let front = self.lock().front();
        if matches!(front, Front::Settled(..)) {
            self.go_on.notify_one();
        }
        front
    }

    /// The front's message is void.
    pub(super) fn void(&self, message: Id) {
        self.lock().void(message);
        self.go_on.notify_one();
    }

    /// A range to anchor again: first offset and count.
    pub(super) fn take_again(&self) -> Option<(u64, u32)> {
        self.lock().again.pop_front()
    }

    /// Offsets below the first are anchored, below the second confirmed; and how many batches are between.
    pub(super) fn progress(&self) -> (u64, u64, usize) {
        let queue = self.lock();
        (queue.anchored, queue.settled, queue.batches.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Id {
        Id([n; 32])
    }

    fn shared() -> Shared {
        Shared::new(Recovered { next: 0, confirmed: 0, in_flight: Vec::new() })
    }

    #[test]
    fn batches_settle_in_the_order_of_the_log() {
        let shared = shared();
        shared.pushed(0, 3, id(1));
        shared.pushed(3, 2, id(2));
        assert_eq!(shared.front(), Front::Open(id(1), false));
        shared.note(id(2), 7);
        assert_eq!(shared.front(), Front::Open(id(1), true), "the second shows that the first is decided");
        shared.note(id(1), 7);
        assert_eq!(shared.front(), Front::Settled(InFlight { first: 0, count: 3, message: Some(id(1)) }, 7));
        assert_eq!(shared.progress(), (5, 3, 1));
        assert_eq!(shared.front(), Front::Settled(InFlight { first: 3, count: 2, message: Some(id(2)) }, 7));
        assert_eq!(shared.front(), Front::Idle);
        assert_eq!(shared.progress(), (5, 5, 0));
    }

    #[test]
    fn a_confirmation_may_come_before_the_push() {
        let shared = shared();
        shared.note(id(1), 4);
        assert_eq!(shared.front(), Front::Idle);
        shared.pushed(0, 1, id(1));
        assert!(matches!(shared.front(), Front::Settled(_, 4)));
    }

    #[test]
    fn a_void_batch_keeps_its_place_until_it_is_anchored_again() {
        let shared = shared();
        shared.pushed(0, 3, id(1));
        shared.pushed(3, 2, id(2));
        shared.note(id(2), 9);
        shared.void(id(1));
        shared.void(id(1)); // said twice, done once
        assert_eq!(shared.front(), Front::Idle);
        assert_eq!(shared.take_again(), Some((0, 3)));
        assert_eq!(shared.take_again(), None);
        shared.pushed(0, 3, id(5));
        assert_eq!(shared.progress(), (5, 0, 2), "the range is not counted again");
        shared.note(id(5), 10);
        assert!(matches!(shared.front(), Front::Settled(InFlight { first: 0, .. }, 10)));
        assert!(matches!(shared.front(), Front::Settled(InFlight { first: 3, .. }, 9)));
    }

    #[test]
    fn the_queue_and_what_it_remembers_are_bounded() {
        let shared = shared();
        for n in 0..IN_FLIGHT_BATCHES_MAX as u64 {
            assert!(shared.has_room());
            shared.pushed(n, 1, Id::hash(&[&n.to_be_bytes()]));
        }
        assert!(!shared.has_room());
        for n in 0..3 * EARLY_MAX as u64 {
            shared.note(Id::hash(&[b"other", &n.to_be_bytes()]), 1);
        }
        assert!(shared.lock().confirmed.len() <= EARLY_MAX);
    }
}
