//! Evidence: two signatures of one validator that no honest validator gives both.
//!
//! ```text
//! 0 Messages: head | head                                   one issuer, one sequence, two contents
//! 1 Votes:    validator [32] | phase u8 | epoch | view | ballot | ballot     one view, two proposals
//! ballot:     parent view | digest [32] | signature [64]
//! phase:      0 notarize, 1 finalize
//! ```
//! The two stand in ascending order (heads by `rest`, ballots by parent view and digest), so a pair has one form.
//! The same content signed twice proves nothing.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::finalization::{consensus_namespace, proposal_bytes};
use crate::head::Head;
use crate::keys::{Id, NetworkId, PublicKey, Signature};
use crate::message::MessageError;
use alloc::vec::Vec;
use thiserror::Error;

/// Which vote of the consensus engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first vote on a proposal.
    Notarize,
    /// The vote that makes it final.
    Finalize,
}

impl Phase {
    /// What the engine appends to the namespace of such a vote.
    #[must_use]
    pub const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Notarize => b"_NOTARIZE",
            Self::Finalize => b"_FINALIZE",
        }
    }
}

/// A vote on one proposal of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The view of the proposal's parent.
    pub parent_view: u64,
    /// The milestone proposed.
    pub digest: Id,
    /// The validator's signature over the proposal.
    pub signature: Signature,
}

impl Ballot {
    /// What must differ, and ascend.
    const fn choice(&self) -> (u64, Id) {
        (self.parent_view, self.digest)
    }
}

/// Two signatures that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two messages of one issuer with one sequence.
    Messages {
        /// That with the smaller `rest`.
        first: Head,
        /// The other.
        second: Head,
    },
    /// Two votes of one validator in one view and phase.
    Votes {
        /// Who voted.
        validator: PublicKey,
        /// Which vote.
        phase: Phase,
        /// The epoch.
        epoch: u64,
        /// The round of consensus.
        view: u64,
        /// That with the smaller parent view or digest.
        first: Ballot,
        /// The other.
        second: Ballot,
    },
}

/// What evidence proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// Who did it.
    pub offender: PublicKey,
    /// Names the offence: the same for every proof of it, so that it is punished once.
    pub id: Id,
}

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// Two issuers, or two sequences.
    #[error("the heads are not of one issuer and sequence: such messages do not contradict each other")]
    Unrelated,
    /// Twice the same content, or in the wrong order.
    #[error("the two contents are equal or not in ascending order")]
    Order,
    /// A head that does not hold.
    #[error("a head does not hold: {0}")]
    Head(#[from] MessageError),
    /// A vote that the validator did not sign.
    #[error("a vote's signature is not the validator's")]
    Signature,
}

impl Evidence {
    /// Two heads, put into order.
    #[must_use]
    pub fn messages(one: Head, other: Head) -> Self {
        let (first, second) = if one.rest <= other.rest { (one, other) } else { (other, one) };
        Self::Messages { first, second }
    }

    /// Two votes, put into order.
    #[must_use]
    pub fn votes(validator: PublicKey, phase: Phase, epoch: u64, view: u64, one: Ballot, other: Ballot) -> Self {
        let (first, second) = if one.choice() <= other.choice() { (one, other) } else { (other, one) };
        Self::Votes { validator, phase, epoch, view, first, second }
    }

    /// What it would prove if it holds.
    #[must_use]
    pub fn offence(&self) -> Offence {
        let (kind, offender, numbers) = match self {
            Self::Messages { first, .. } => (0u8, first.issuer, (first.sequence, 0)),
            Self::Votes { validator, epoch, view, .. } => (1, *validator, (*epoch, *view)),
        };
        let (a, b) = (numbers.0.to_be_bytes(), numbers.1.to_be_bytes());
        Offence { offender, id: Id::hash(&[b"wattle/offence/v1", &[kind], offender.as_bytes(), &a, &b]) }
    }

    /// Checks that the two contradict each other and that one validator signed both.
    ///
    /// # Errors
    /// [`EvidenceError`] naming what does not hold.
    pub fn verify(&self, network: &NetworkId, subnet: u16) -> Result<Offence, EvidenceError> {
        match self {
            Self::Messages { first, second } => {
                if first.issuer != second.issuer || first.sequence != second.sequence {
                    return Err(EvidenceError::Unrelated);
                }
                if first.rest >= second.rest {
                    return Err(EvidenceError::Order);
                }
                first.verify(network, subnet)?;
                second.verify(network, subnet)?;
            }
            Self::Votes { validator, phase, epoch, view, first, second } => {
                if first.choice() >= second.choice() {
                    return Err(EvidenceError::Order);
                }
                let namespace = [consensus_namespace(network).as_slice(), phase.suffix()].concat();
                for ballot in [first, second] {
                    let proposal = proposal_bytes(*epoch, *view, ballot.parent_view, &ballot.digest);
                    if !validator.verify(&namespace, &proposal, &ballot.signature) {
                        return Err(EvidenceError::Signature);
                    }
                }
            }
        }
        Ok(self.offence())
    }
}

impl Encode for Ballot {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.parent_view);
        self.digest.encode_to(out);
        self.signature.encode_to(out);
    }
}

impl Decode for Ballot {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            parent_view: reader.varint("a parent view")?,
            digest: Id::decode_from(reader)?,
            signature: Signature::decode_from(reader)?,
        })
    }
}

impl Encode for Evidence {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Messages { first, second } => {
                out.push(0);
                first.encode_to(out);
                second.encode_to(out);
            }
            Self::Votes { validator, phase, epoch, view, first, second } => {
                out.push(1);
                validator.encode_to(out);
                out.push(match phase {
                    Phase::Notarize => 0,
                    Phase::Finalize => 1,
                });
                put_varint(out, *epoch);
                put_varint(out, *view);
                first.encode_to(out);
                second.encode_to(out);
            }
        }
    }
}

impl Decode for Evidence {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("evidence")? {
            0 => {
                let (first, second) = (Head::decode_from(reader)?, Head::decode_from(reader)?);
                if first.rest >= second.rest {
                    return Err(DecodeError::NonCanonical("evidence"));
                }
                Ok(Self::Messages { first, second })
            }
            1 => {
                let validator = PublicKey::decode_from(reader)?;
                let phase = match reader.byte("a phase")? {
                    0 => Phase::Notarize,
                    1 => Phase::Finalize,
                    tag => return Err(DecodeError::UnknownTag { what: "a phase", tag }),
                };
                let (epoch, view) = (reader.varint("an epoch")?, reader.varint("a view")?);
                let (first, second) = (Ballot::decode_from(reader)?, Ballot::decode_from(reader)?);
                if first.choice() >= second.choice() {
                    return Err(DecodeError::NonCanonical("evidence"));
                }
                Ok(Self::Votes { validator, phase, epoch, view, first, second })
            }
            tag => Err(DecodeError::UnknownTag { what: "evidence", tag }),
        }
    }
}
