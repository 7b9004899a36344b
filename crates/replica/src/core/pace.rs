//! How much a milestone may ask of those who check it.
//!
//! A milestone that is checked for longer than a leader has time is never final, however often it is proposed. How much fits
//! depends on the slowest of the members that a quorum needs, which nobody knows beforehand: so it is found out.
//!
//! # Rules
//! - Each height begins with what went well before. Each proposal for the same height that came to nothing halves it.
//! - A height that took one proposal makes it half as much again for the next; one that took more leaves it where it ended.
//! - That the next height is proposed tells that one of this height was not in vain.
//! - It stays within [`BUDGET_MIN`] and [`BUDGET_MAX`]. Fewer than a third of the leaders, whatever they propose, do not hold it
//!   down: what they halve, two others make good.

use protocol::Id;
use std::collections::BTreeSet;

/// What the messages of a milestone may cost at most, in a few microseconds each: well below a leader's timeout on a processor of
/// one's own.
const BUDGET_MAX: usize = 65_536;
/// The least: some twenty requests with the votes of a large committee.
const BUDGET_MIN: usize = 1_024;
/// Proposals of one height that are remembered: they halve the greatest budget to less than the least.
const PROPOSALS_MAX: usize = 8;
const _: () = assert!(BUDGET_MAX >> PROPOSALS_MAX < BUDGET_MIN);

/// The budget of milestones.
#[derive(Debug)]
pub(super) struct Pace {
    budget: usize,
    /// The height that is being decided, as far as this node heard,
    height: u64,
    /// and what was proposed for it.
    proposals: BTreeSet<Id>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { budget: BUDGET_MAX, height: 0, proposals: BTreeSet::new() }
    }
}

impl Pace {
    /// Somebody proposes this milestone.
    pub(super) fn proposed(&mut self, height: u64, digest: Id) {
        if height > self.height {
            self.budget = self.budget(height);
            self.height = height;
            self.proposals.clear();
        }
        if height == self.height && self.proposals.len() < PROPOSALS_MAX {
            self.proposals.insert(digest);
        }
    }

    /// What a milestone of this height may cost.
    pub(super) fn budget(&self, height: u64) -> usize {
        if height == self.height {
            return self.after(self.proposals.len());
        }
        // it builds on the last one that was proposed before
        match self.proposals.len().saturating_sub(1) {
            0 => (self.budget + self.budget / 2).min(BUDGET_MAX),
            failed => self.after(failed),
        }
    }

    fn after(&self, failed: usize) -> usize {
        (self.budget >> failed.min(PROPOSALS_MAX)).max(BUDGET_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Id {
        Id::hash(&[&n.to_be_bytes()])
    }

    #[test]
    fn a_milestone_that_comes_to_nothing_halves_the_next_one() {
        let mut pace = Pace::default();
        assert_eq!(pace.budget(1), BUDGET_MAX);
        pace.proposed(1, id(1));
        pace.proposed(1, id(1));
        assert_eq!(pace.budget(1), BUDGET_MAX / 2, "one proposal that came twice is one");
        assert_eq!(pace.budget(2), BUDGET_MAX, "the next height builds on it: it was not in vain");
        pace.proposed(1, id(2));
        assert_eq!(pace.budget(1), BUDGET_MAX / 4);
        assert_eq!(pace.budget(2), BUDGET_MAX / 2, "one was in vain");
        for n in 0..100 {
            pace.proposed(2, id(n));
        }
        assert_eq!(pace.budget(2), BUDGET_MIN);
        assert!(pace.proposals.len() <= PROPOSALS_MAX);
        pace.proposed(1, id(200));
        assert_eq!(pace.budget(2), BUDGET_MIN, "what comes late changes nothing");
    }

    #[test]
    fn what_goes_well_makes_the_next_one_larger() {
        let mut pace = Pace { budget: BUDGET_MIN, ..Pace::default() };
        for height in 1..=20 {
            pace.proposed(height, id(height));
            assert!(pace.budget(height + 1) <= BUDGET_MAX);
        }
        assert_eq!(pace.budget(21), BUDGET_MAX);
    }

    /// Of every four leaders one proposes what nobody votes for.
    #[test]
    fn a_third_of_the_leaders_does_not_hold_it_down() {
        let mut pace = Pace { budget: BUDGET_MIN, ..Pace::default() };
        for height in 1..=600 {
            if height % 3 == 0 {
                pace.proposed(height, id(1_000 + height));
            }
            pace.proposed(height, id(height));
        }
        assert!(pace.budget(601) >= BUDGET_MAX / 2, "{pace:?}");
    }
}
