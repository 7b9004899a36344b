//! Following a network without running a replica: certificates only.
//!
//! ```text
//! genesis ─▶ Trusted { epoch, committee, newest milestone } ◀─advance─ Head { milestone, certificate, handovers }
//! ```
//! # Rules
//! - They are S-19 to S-23 of `docs/spec/sync.md`.
//! - Nothing is believed that the committee of its epoch did not sign; a committee is believed because the one before
//!   it signed the handover.
//! - Two certified milestones of one height cannot be while more than two thirds of the committee are honest. Seeing
//!   them is an alarm ([`HeadError::Fork`]), not something to go on from.
//! - What was learned does not change on an error.

use protocol::{Committee, CommitteeError, Finalization, FinalizationError, Genesis, Handover, HandoverError, Id, Milestone, PublicKey};
use std::collections::BTreeMap;
use thiserror::Error;

/// Handovers in one head: who is further behind asks again.
pub const HANDOVERS_AT_ONCE_MAX: u64 = 256;
/// Digests of verified milestones that are remembered, to notice two of one height.
const SEEN_MAX: usize = 1024;

/// The newest certified milestone of a node, and what leads to its committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The milestone.
    pub milestone: Milestone,
    /// Its certificate.
    pub finalization: Finalization,
    /// The closing milestones of the epochs from the asked one on; [`HANDOVERS_AT_ONCE_MAX`] at most, so they may end
    /// before the milestone's epoch.
    pub handovers: Vec<Handover>,
}

/// What a head brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A newer milestone.
    Newer,
    /// A milestone that was known, or is older than the newest.
    Known,
    /// Handovers, but not all of them: ask again from the epoch reached.
    Partly,
}

/// Why a head is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// More handovers than asked for.
    #[error("it gave {0} handovers, the limit is {HANDOVERS_AT_ONCE_MAX}")]
    TooMany(usize),
    /// Another subnet's.
    #[error("its milestone belongs to another subnet")]
    Subnet,
    /// Epoch and height of the milestone, or the epoch of its certificate, do not fit.
    #[error("its milestone of height {height} and its certificate are not of one epoch")]
    Epoch {
        /// The milestone's height.
        height: u64,
    },
    /// The certificate is on another milestone.
    #[error("its certificate is on another milestone")]
    Digest,
    /// A node that is behind: its milestone is of an epoch whose committee is no longer remembered here.
    #[error("it is behind: its newest milestone is {height}, of epoch {epoch}")]
    Behind {
        /// The milestone's height.
        height: u64,
        /// The milestone's epoch.
        epoch: u64,
    },
    /// A handover does not hold.
    #[error("its handovers do not hold: {0}")]
    Handover(#[from] HandoverError),
    /// The certificate does not hold.
    #[error("its certificate does not hold: {0}")]
    Finalization(#[from] FinalizationError),
    /// Two milestones of one height, and both are certified: more than a third of the committee signed both, or their
    /// keys are in other hands.
    #[error("two milestones of height {height} are certified, {one} and {other}: the committee broke its promise")]
    Fork {
        /// Their height.
        height: u64,
        /// The one seen before.
        one: Id,
        /// The one seen now.
        other: Id,
    },
}

/// Why a stored record of what is trusted cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// The committee is not one.
    #[error("its committee is not valid: {0}")]
    Committee(#[from] CommitteeError),
    /// The parts are of different epochs, or of another network.
    #[error("its epoch, milestone and network do not fit together")]
    Misfit,
}

/// What somebody who follows a network believes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    epoch: u64,
    committee: Committee,
    milestone: Milestone,
    seen: BTreeMap<u64, Id>,
}

impl Trusted {
    /// What the genesis says.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        Self::at(0, genesis.committee.clone(), genesis.milestone())
    }

    /// What was believed before: the epoch whose committee is known, that committee, the newest milestone. To be taken
    /// only from where nobody else writes.
    ///
    /// # Errors
    /// [`TrustError`] if the parts do not fit each other.
    pub fn restore(genesis: &Genesis, epoch: u64, committee: &[PublicKey], milestone: Milestone) -> Result<Self, TrustError> {
        let parameters = &genesis.parameters;
        let next = milestone.epoch.saturating_add(u64::from(parameters.closes(milestone.height)));
        let own = milestone.subnet == genesis.subnet && parameters.epoch_of(milestone.height) == milestone.epoch;
        let first = milestone.height > 0 || milestone == genesis.milestone();
        if !own || !first || !(milestone.epoch..=next).contains(&epoch) {
            return Err(TrustError::Misfit);
        }
        Ok(Self::at(epoch, Committee::from_keys(committee, genesis)?, milestone))
    }

    fn at(epoch: u64, committee: Committee, milestone: Milestone) -> Self {
        let seen = BTreeMap::from([(milestone.height, milestone.digest())]);
        Self { epoch, committee, milestone, seen }
    }

    /// The epoch whose committee is known.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// That committee.
    #[must_use]
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }

    /// The newest certified milestone.
    #[must_use]
    pub const fn milestone(&self) -> &Milestone {
        &self.milestone
    }

    /// Takes over what a head brings, if it holds.
    ///
    /// # Errors
    /// [`HeadError`] naming what does not hold; nothing has changed then.
    pub fn advance(&mut self, genesis: &Genesis, head: &Head) -> Result<Step, HeadError> {
        let Head { milestone, finalization, handovers } = head;
        if handovers.len() as u64 > HANDOVERS_AT_ONCE_MAX {
            return Err(HeadError::TooMany(handovers.len()));
        }
        if milestone.subnet != genesis.subnet {
            return Err(HeadError::Subnet);
        }
        if genesis.parameters.epoch_of(milestone.height) != milestone.epoch || finalization.epoch != milestone.epoch {
            return Err(HeadError::Epoch { height: milestone.height });
        }
        if finalization.digest != milestone.digest() {
            return Err(HeadError::Digest);
        }
        let mut next = self.clone();
        for handover in handovers {
            next.committee = handover.verify(genesis, next.epoch, &next.committee)?;
            next.epoch = next.epoch.saturating_add(1);
            next.take(&handover.milestone)?;
        }
        let step = match milestone.epoch.cmp(&next.epoch) {
            std::cmp::Ordering::Less if handovers.is_empty() => {
                return Err(HeadError::Behind { height: milestone.height, epoch: milestone.epoch });
            }
            std::cmp::Ordering::Greater if !handovers.is_empty() => Step::Partly,
            std::cmp::Ordering::Less | std::cmp::Ordering::Greater => {
                return Err(HandoverError::Reached { epoch: milestone.epoch, reached: next.epoch }.into());
            }
            std::cmp::Ordering::Equal => {
                finalization.verify(&genesis.network(), &next.committee)?;
                next.take(milestone)?
            }
        };
        *self = next;
        Ok(step)
    }

    /// Notes a milestone whose certificate holds.
    fn take(&mut self, milestone: &Milestone) -> Result<Step, HeadError> {
        let (height, digest) = (milestone.height, milestone.digest());
        let parent = height.checked_sub(1).map(|below| (below, milestone.parent));
        for (height, other) in parent.into_iter().chain([(height, digest)]) {
            let one = *self.seen.entry(height).or_insert(other);
            if one != other {
                return Err(HeadError::Fork { height, one, other });
            }
        }
        while self.seen.len() > SEEN_MAX {
            self.seen.pop_first();
        }
        if height <= self.milestone.height {
            return Ok(Step::Known);
        }
        self.milestone = milestone.clone();
        Ok(Step::Newer)
    }
}

#[cfg(test)]
mod tests;
