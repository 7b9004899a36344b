//! State proofs: what the ledger holds under a key, certified by the committee, for somebody who runs no replica.
//!
//! ```text
//! key, value ─proof─▶ certified.state_root          the state after the milestone before
//!         certified ─history_path─▶ anchor          (only if it has no certificate itself)
//!            anchor ─▶ finalization ─▶ > 2/3 of the committee of its epoch
//!           genesis ─handovers─▶ that committee
//! ```
//! # Rules
//! - They are S-14 to S-18 of `docs/spec/sync.md`; [`StateProof::verify`] applies them in that order.
//! - Only presence can be proved: the tree has no order, so nothing shows that a key is absent.
//! - A proof says what was so at its milestone. How old that may be is for whoever asks to decide.

use crate::state;
use ledger::Key;
use protocol::receipt::Anchor;
use protocol::{Finalization, FinalizationError, Genesis, Handover, HandoverError, Milestone, handover, merkle};
use thiserror::Error;

/// The proof of one value of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// What the value is about.
    pub key: Key,
    /// The value, as [`ledger`] encodes it.
    pub value: Vec<u8>,
    /// The engine's proof that the state holds it: a key-value proof of QMDB `current` (unordered), in the engine's codec.
    pub proof: Vec<u8>,
    /// The milestone whose `state_root` it is proved against: the one after the state.
    pub certified: Milestone,
    /// Present if the certificate is on a later milestone.
    pub anchor: Option<Anchor>,
    /// The committee's certificate on the anchor, or on `certified` itself.
    pub finalization: Finalization,
    /// The closing milestones of the epochs before the certificate's, first to last.
    pub handovers: Vec<Handover>,
}

/// What a verified state proof says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedState {
    /// The milestone after which the state holds the value.
    pub height: u64,
    /// Time of the milestone that certifies it, in milliseconds since 1970.
    pub time_ms: u64,
    /// The epoch whose committee signed.
    pub epoch: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// Why a state proof proves nothing: it is damaged, forged, or of another network than the genesis at hand.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateProofError {
    /// Another subnet's.
    #[error("the milestone belongs to another subnet")]
    Subnet,
    /// The milestone of the genesis certifies no state.
    #[error("the milestone of height 0 certifies no state")]
    Genesis,
    /// The milestone is not before the anchor.
    #[error("the milestone is not in the history of the certified one")]
    History,
    /// The certificate is on another milestone.
    #[error("the finalization is of another milestone")]
    Digest,
    /// The way from the genesis to the committee that certified does not hold, or leads to another.
    #[error("the committee is not known: {0}")]
    Handover(#[from] HandoverError),
    /// The certificate does not hold.
    #[error("the finalization does not hold: {0}")]
    Finalization(#[from] FinalizationError),
    /// The engine's proof cannot be read.
    #[error("the proof that the state holds the value cannot be read")]
    Proof,
    /// The state does not hold the value.
    #[error("the certified state does not hold this value under this key")]
    Value,
}

/// Why there is no state proof. None of them proves anything.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Nothing is stored under the key. That cannot be proved: ask another node if this one may be lying.
    #[error("the state after milestone {height} has nothing under this key; absence cannot be proved, so ask other nodes too")]
    Absent {
        /// The last milestone applied.
        height: u64,
    },
    /// The milestone that certifies the state, or its certificate, is not here yet.
    #[error("milestone {0}, which certifies the state, is not certified yet: try again in a moment")]
    Uncertified(u64),
    /// The certificate that closes an epoch is not here.
    #[error("the certificate that closes epoch {0} is not here: ask another node")]
    Handover(u64),
    /// The replica is stopping or has failed.
    #[error("the ledger node has stopped; its log says why")]
    Stopped,
}

impl StateProof {
    /// Checks the proof against a genesis. Needs nothing else: no replica, no network, no clock.
    ///
    /// # Errors
    /// [`StateProofError`] naming the first step that fails.
    pub fn verify(&self, genesis: &Genesis) -> Result<VerifiedState, StateProofError> {
        let certified = &self.certified;
        if certified.subnet != genesis.subnet {
            return Err(StateProofError::Subnet);
        }
        let height = certified.height.checked_sub(1).ok_or(StateProofError::Genesis)?;
        let signed = match &self.anchor {
            None => certified,
            Some(Anchor { milestone, history_path }) => {
                if milestone.subnet != genesis.subnet {
                    return Err(StateProofError::Subnet);
                }
                let leaf = Milestone::history_leaf(&certified.digest());
                if !merkle::verify(&leaf, certified.height, milestone.height, history_path, &milestone.history_root) {
                    return Err(StateProofError::History);
                }
                milestone
            }
        };
        if signed.digest() != self.finalization.digest {
            return Err(StateProofError::Digest);
        }
        let epoch = self.epoch(genesis, signed)?;
        let committee = handover::walk(genesis, &self.handovers)?;
        self.finalization.verify(&genesis.network(), &committee)?;
        match state::holds(self.key, &self.value, &self.proof, certified.state_root) {
            None => Err(StateProofError::Proof),
            Some(false) => Err(StateProofError::Value),
            Some(true) => Ok(VerifiedState { height, time_ms: certified.time_ms, epoch, value: self.value.clone() }),
        }
    }

    /// The epoch of the signed milestone, if all parts agree on it and the handovers lead there.
    fn epoch(&self, genesis: &Genesis, signed: &Milestone) -> Result<u64, HandoverError> {
        for Milestone { height, epoch, .. } in [&self.certified, signed] {
            if genesis.parameters.epoch_of(*height) != *epoch {
                return Err(HandoverError::Height { epoch: *epoch, height: *height });
            }
        }
        let (epoch, found) = (signed.epoch, self.finalization.epoch);
        if found != epoch {
            return Err(HandoverError::Epoch { expected: epoch, found });
        }
        match self.handovers.len() as u64 {
            reached if reached == epoch => Ok(epoch),
            reached => Err(HandoverError::Reached { epoch, reached }),
        }
    }
}

#[cfg(test)]
mod tests;
