//! A finalization: the committee's certificate on a milestone.
//!
//! The consensus engine (`commonware-consensus` simplex) has each validator sign a *proposal*:
//! `epoch LEB128 | view LEB128 | parent view LEB128 | digest [32]` under the namespace
//! `"wattle/milestone/v1/" ‖ network id ‖ "_FINALIZE"`. This module verifies those signatures with nothing of
//! the engine; shared vectors tie the two together.
//!
//! Our own encoding, as receipts carry it:
//! ```text
//! epoch | view | parent view | digest [32] | votes n × ( validator index u8 | signature [64] )
//! ```

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::genesis::Committee;
use crate::keys::{Id, NetworkId, Signature};
use crate::limits::COMMITTEE_MAX;
use alloc::vec::Vec;
use thiserror::Error;

const _: () = assert!(COMMITTEE_MAX <= u8::MAX as usize);

/// The namespace under which the engine of a network signs.
#[must_use]
pub fn consensus_namespace(network: &NetworkId) -> Vec<u8> {
    [b"wattle/milestone/v1/".as_slice(), &network.0].concat()
}

/// A proposal as the engine encodes it: what votes sign.
pub(crate) fn proposal_bytes(epoch: u64, view: u64, parent_view: u64, digest: &Id) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    put_varint(&mut out, epoch);
    put_varint(&mut out, view);
    put_varint(&mut out, parent_view);
    digest.encode_to(&mut out);
    out
}

/// One validator's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Its place in the committee.
    pub validator: u8,
    /// Its signature.
    pub signature: Signature,
}

/// The certificate of more than two thirds of a committee on one milestone, and so on all before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalization {
    /// The epoch whose committee signed.
    pub epoch: u64,
    /// The round of consensus.
    pub view: u64,
    /// The round in which the parent was proposed.
    pub parent_view: u64,
    /// The milestone.
    pub digest: Id,
    /// Who signed, by ascending place in the committee.
    pub votes: Vec<Vote>,
}

/// Why a finalization proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FinalizationError {
    /// Not enough signatures.
    #[error("{found} validators signed, {needed} are needed")]
    Quorum {
        /// Signatures present.
        found: usize,
        /// The committee's quorum.
        needed: usize,
    },
    /// A signature of somebody who is not in the committee.
    #[error("validator {0} is not in the committee")]
    Stranger(u8),
    /// A signature that does not verify.
    #[error("the signature of {0} is not valid")]
    Signature(alloc::string::String),
}

impl Finalization {
    /// The bytes that each validator signs.
    #[must_use]
    pub fn proposal(&self) -> Vec<u8> {
        proposal_bytes(self.epoch, self.view, self.parent_view, &self.digest)
    }

    /// Checks every signature and the quorum.
    ///
    /// # Errors
    /// [`FinalizationError`] for the first thing that does not hold. A single bad signature refuses the
    /// whole, even where the others would suffice: a damaged certificate is never called good.
    pub fn verify(&self, network: &NetworkId, committee: &Committee) -> Result<(), FinalizationError> {
        let needed = committee.quorum();
        if self.votes.len() < needed {
            return Err(FinalizationError::Quorum { found: self.votes.len(), needed });
        }
        let namespace = [consensus_namespace(network).as_slice(), b"_FINALIZE"].concat();
        let proposal = self.proposal();
        for vote in &self.votes {
            let member = committee.validators().get(usize::from(vote.validator)).ok_or(FinalizationError::Stranger(vote.validator))?;
            if !member.key.verify(&namespace, &proposal, &vote.signature) {
                return Err(FinalizationError::Signature(member.name.as_str().into()));
            }
        }
        Ok(())
    }
}

impl Encode for Finalization {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.proposal());
        put_varint(out, self.votes.len() as u64);
        for vote in &self.votes {
            out.push(vote.validator);
            vote.signature.encode_to(out);
        }
    }
}

impl Decode for Finalization {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (epoch, view, parent_view) = (reader.varint("an epoch")?, reader.varint("a view")?, reader.varint("a parent view")?);
        let digest = Id::decode_from(reader)?;
        let n = reader.length(COMMITTEE_MAX, 65, "a finalization's votes")?;
        let mut votes = Vec::with_capacity(n);
        for _ in 0..n {
            votes.push(Vote { validator: reader.byte("a validator's index")?, signature: Signature::decode_from(reader)? });
        }
        if !votes.is_sorted_by(|a, b| a.validator < b.validator) {
            return Err(DecodeError::NonCanonical("a finalization's votes"));
        }
        Ok(Self { epoch, view, parent_view, digest, votes })
    }
}
