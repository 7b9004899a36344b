//! Handovers: how a verifier that trusts nothing but the genesis comes to know the committee of any epoch.
//!
//! ```text
//! genesis ─committee 0─▶ closing milestone of epoch 0 ─next_committee─▶ closing milestone of epoch 1 ─▶ … ─▶ committee e
//! ```
//! The last milestone of an epoch names the next committee and is certified by its own: committee 0 vouches for
//! committee 1, and so on. The rules are E-14 to E-17 of `docs/spec/epochs.md`.
//!
//! Encoding: `milestone | finalization`.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::finalization::{Finalization, FinalizationError};
use crate::genesis::{Committee, CommitteeError, Genesis};
use crate::limits::HANDOVERS_MAX;
use crate::milestone::Milestone;
use alloc::vec::Vec;
use thiserror::Error;

/// The milestone that closes an epoch, with the certificate of that epoch's committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The closing milestone.
    pub milestone: Milestone,
    /// Its certificate.
    pub finalization: Finalization,
}

/// Why handovers do not lead to a committee.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HandoverError {
    /// More than [`HANDOVERS_MAX`].
    #[error("there are {0} handovers, the limit is {HANDOVERS_MAX}")]
    TooMany(usize),
    /// Too few or too many for the milestone they are to lead to.
    #[error("the certified milestone is of epoch {epoch}, the handovers lead to epoch {reached}")]
    Reached {
        /// The milestone's epoch.
        epoch: u64,
        /// The epoch after the last handover.
        reached: u64,
    },
    /// A milestone or certificate of another epoch.
    #[error("a part that must be of epoch {expected} is of epoch {found}")]
    Epoch {
        /// The epoch at its place.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// An epoch and a height that do not fit.
    #[error("a milestone of epoch {epoch} cannot have height {height} here")]
    Height {
        /// What the milestone says.
        epoch: u64,
        /// What the milestone says.
        height: u64,
    },
    /// Another subnet's.
    #[error("the handover of epoch {0} belongs to another subnet")]
    Subnet(u64),
    /// The certificate is on another milestone.
    #[error("the certificate in the handover of epoch {0} is of another milestone")]
    Digest(u64),
    /// The closing milestone names no next committee.
    #[error("the handover of epoch {0} names no next committee")]
    Missing(u64),
    /// The next committee is not one.
    #[error("the committee named in the handover of epoch {epoch} is not valid: {why}")]
    Committee {
        /// The epoch that it closes.
        epoch: u64,
        /// What is wrong with the committee.
        why: CommitteeError,
    },
    /// The certificate does not hold.
    #[error("the certificate in the handover of epoch {epoch} does not hold: {why}")]
    Finalization {
        /// The epoch that it closes.
        epoch: u64,
        /// What is wrong with the certificate.
        why: FinalizationError,
    },
}

impl Handover {
    /// Checks the handover of `epoch` against that epoch's committee, and gives the next one.
    ///
    /// # Errors
    /// [`HandoverError`] naming what does not hold.
    pub fn verify(&self, genesis: &Genesis, epoch: u64, committee: &Committee) -> Result<Committee, HandoverError> {
        let Self { milestone, finalization } = self;
        if let Some(found) = [milestone.epoch, finalization.epoch].into_iter().find(|found| *found != epoch) {
            return Err(HandoverError::Epoch { expected: epoch, found });
        }
        if genesis.parameters.closing_height(epoch) != Some(milestone.height) {
            return Err(HandoverError::Height { epoch, height: milestone.height });
        }
        if milestone.subnet != genesis.subnet {
            return Err(HandoverError::Subnet(epoch));
        }
        let next = milestone.next_committee.as_ref().ok_or(HandoverError::Missing(epoch))?;
        if finalization.digest != milestone.digest() {
            return Err(HandoverError::Digest(epoch));
        }
        finalization.verify(&genesis.network(), committee).map_err(|why| HandoverError::Finalization { epoch, why })?;
        Committee::from_keys(next, genesis).map_err(|why| HandoverError::Committee { epoch, why })
    }
}

/// The committee of the epoch after the last handover: handover `i` closes epoch `i`.
///
/// # Errors
/// [`HandoverError`] for the first handover that does not hold.
pub fn walk(genesis: &Genesis, handovers: &[Handover]) -> Result<Committee, HandoverError> {
    if handovers.len() > HANDOVERS_MAX {
        return Err(HandoverError::TooMany(handovers.len()));
    }
    let mut committee = genesis.committee.clone();
    for (epoch, handover) in (0u64..).zip(handovers) {
        committee = handover.verify(genesis, epoch, &committee)?;
    }
    Ok(committee)
}

impl Encode for Handover {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.milestone.encode_to(out);
        self.finalization.encode_to(out);
    }
}

impl Decode for Handover {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { milestone: Milestone::decode_from(reader)?, finalization: Finalization::decode_from(reader)? })
    }
}
