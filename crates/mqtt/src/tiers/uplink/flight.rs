//! What is on its way up: which packet id stands for which position of the queue.
//!
//! The library below tells which packet ids it sends and which come back, but not whose they are. It sends in the order it
//! was handed publishes, so each "sent under id n" takes the front of those that boarded.

use super::UP_WINDOW;
use crate::client::lock;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;
use tokio::sync::Semaphore;

/// What an acknowledgement means for the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Acked {
    /// Everything below this position has arrived.
    pub(super) below: u64,
    /// How many that are more than before.
    pub(super) count: u64,
}

#[derive(Default)]
struct State {
    boarded: VecDeque<u64>,
    sent: HashMap<u16, u64>,
    /// Boarded or sent, and not acknowledged.
    open: BTreeSet<u64>,
    /// The position after the last that boarded.
    next: u64,
    /// Everything below has arrived.
    below: u64,
}

/// The publishes of one connection that are not acknowledged.
pub(super) struct Flight {
    places: Semaphore,
    state: Mutex<State>,
}

impl Flight {
    /// Nothing is on its way; the queue begins at `first`.
    pub(super) fn new(first: u64) -> Self {
        let state = State { next: first, below: first, ..State::default() };
        Self { places: Semaphore::new(usize::from(UP_WINDOW)), state: Mutex::new(state) }
    }

    /// Waits for a place and takes it for the record at `position`, which is handed to the library next.
    pub(super) async fn board(&self, position: u64) {
        // It is never closed.
        if let Ok(place) = self.places.acquire().await {
            place.forget();
        }
        let mut state = lock(&self.state);
        state.boarded.push_back(position);
        state.open.insert(position);
        state.next = position.saturating_add(1);
    }

    /// The library has sent the next one under this packet id.
    pub(super) fn sent(&self, id: u16) {
        let mut state = lock(&self.state);
        if let Some(position) = state.boarded.pop_front() {
            state.sent.insert(id, position);
        }
    }

    /// The one with this packet id has arrived. Gives what that means for the queue, if it means anything.
    pub(super) fn acknowledged(&self, id: u16) -> Option<Acked> {
        let mut state = lock(&self.state);
        let position = state.sent.remove(&id)?;
        self.places.add_permits(1);
        state.open.remove(&position);
        let below = state.open.first().copied().unwrap_or(state.next);
        let count = below.saturating_sub(state.below);
        state.below = below;
        (count > 0).then_some(Acked { below, count })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_forgotten_up_to_the_first_gap() {
        let flight = Flight::new(5);
        for position in 5..9 {
            flight.board(position).await;
        }
        for id in 1..=3 {
            flight.sent(id);
        }
        assert_eq!(flight.acknowledged(2), None, "5 is still on its way");
        assert_eq!(flight.acknowledged(2), None, "twice");
        assert_eq!(flight.acknowledged(1), Some(Acked { below: 7, count: 2 }));
        assert_eq!(flight.acknowledged(3), Some(Acked { below: 8, count: 1 }));
        assert_eq!(flight.acknowledged(9), None, "never sent");
        flight.sent(1);
        assert_eq!(flight.acknowledged(1), Some(Acked { below: 9, count: 1 }));
    }

    #[tokio::test]
    async fn no_more_than_the_window_boards() {
        let flight = Flight::new(1);
        for position in 1..=u64::from(UP_WINDOW) {
            flight.board(position).await;
        }
        let mut more = std::pin::pin!(flight.board(u64::from(UP_WINDOW) + 1));
        let waits = std::future::poll_fn(|context| std::task::Poll::Ready(more.as_mut().poll(context).is_pending())).await;
        assert!(waits, "it must wait");
        flight.sent(1);
        flight.acknowledged(1).unwrap();
        more.await;
    }
}
