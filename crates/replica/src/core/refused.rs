//! Orders and evidence that had no effect, and why: of each milestone, and the last ones of all.
//!
//! They are no part of the state: every node finds the same, and remembers as many as it has room for.

use ledger::Refusal;
use protocol::Id;
use std::collections::VecDeque;

/// Refusals that a node remembers.
const REFUSALS_MAX: usize = 1024;

/// What a milestone's messages carried in vain.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    count: u64,
    /// The first [`REFUSALS_MAX`].
    first: Vec<(Id, Refusal)>,
}

impl Refused {
    /// Notes one more.
    pub(crate) fn push(&mut self, message: Id, refusal: Refusal) {
        self.count += 1;
        if self.first.len() < REFUSALS_MAX {
            self.first.push((message, refusal));
        }
    }

    /// How many.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

/// The last refusals of executed milestones.
#[derive(Debug, Default)]
pub(super) struct LastRefused(VecDeque<(Id, Refusal)>);

impl LastRefused {
    /// Takes over those of a milestone that is executed.
    pub(super) fn take(&mut self, refused: Refused) {
        self.0.extend(refused.first);
        let over = self.0.len().saturating_sub(REFUSALS_MAX);
        self.0.drain(..over);
    }

    /// Those of a message.
    pub(super) fn of(&self, message: &Id) -> Vec<Refusal> {
        self.0.iter().filter(|(id, _)| id == message).map(|(_, refusal)| refusal.clone()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use ledger::OrderError;

    fn id(n: usize) -> Id {
        Id::hash(&[&(n as u64).to_be_bytes()])
    }

    fn refused(messages: std::ops::Range<usize>) -> Refused {
        let mut refused = Refused::default();
        for n in messages {
            for index in 0..2 {
                refused.push(id(n), Refusal { index, why: OrderError::Signature });
            }
        }
        refused
    }

    #[test]
    fn the_last_refusals_are_remembered() {
        let mut last = LastRefused::default();
        last.take(refused(0..REFUSALS_MAX / 2));
        assert_eq!(last.of(&id(0)).len(), 2);
        assert_eq!(last.of(&id(7)).iter().map(|r| r.index).collect::<Vec<_>>(), [0, 1]);
        last.take(refused(REFUSALS_MAX..REFUSALS_MAX + 1));
        assert!(last.of(&id(0)).is_empty(), "the oldest made room");
        assert_eq!(last.of(&id(REFUSALS_MAX)).len(), 2);
        assert_eq!(last.0.len(), REFUSALS_MAX);
    }

    #[test]
    fn a_milestone_full_of_refusals_is_counted_and_takes_no_more_room() {
        let all = refused(0..REFUSALS_MAX);
        assert_eq!(all.count(), 2 * REFUSALS_MAX as u64);
        assert_eq!(all.first.len(), REFUSALS_MAX);
    }
}
