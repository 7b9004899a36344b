//! A rejection: a validator's signed answer to a request that it is not for.
//!
//! ```text
//! version=1 u8 | validator [32] | epoch | request [32] | reason | at ms u64 | signature [64]
//! reason: 0 Signature  1 Work: needed u8  2 Epoch: now  3 State: number | state [32]  4 Funds: available  5 Time: clock ms u64
//!         6 Service    7 Price: asked     8 Recipient   9 Locked: request [32]        10 Ended
//! ```
//! It is an answer and no vote: a validator may vote later, except where the reason is [`Reason::Locked`]. The rule is
//! WAL-20 of `docs/spec/wallet.md`.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::keys::{Id, NetworkId, PublicKey, SecretKey, Signature};
use alloc::vec::Vec;
use thiserror::Error;

const VERSION: u8 = 1;
const NAMESPACE: &[u8] = b"wattle/rejection/v1/";

/// Why a validator does not vote for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// The signature is not the wallet's.
    #[error("the signature is not the wallet's: sign it for this network")]
    Signature,
    /// Too little work.
    #[error("its work is too little: {needed} zero nibbles are needed")]
    Work {
        /// Zero nibbles that are needed.
        needed: u8,
    },
    /// It names another epoch.
    #[error("the epoch is {now}: sign it again for that")]
    Epoch {
        /// The present epoch.
        now: u64,
    },
    /// It was made in another State: it was executed already, another came first, or one before it is not certified.
    #[error("the purse has number {number} and State {state}")]
    State {
        /// Requests that were certified before.
        number: u64,
        /// The State after them.
        state: Id,
    },
    /// The purse has less.
    #[error("the purse has {available} sub-units that are not spent")]
    Funds {
        /// What it has.
        available: u64,
    },
    /// The validator's clock is outside the window.
    #[error("the time is {clock_ms} ms since 1970, outside its window")]
    Time {
        /// What the validator's clock says.
        clock_ms: u64,
    },
    /// There is no such service, or it is closed.
    #[error("there is no such service, or it is closed")]
    Service,
    /// The service has another price.
    #[error("the service costs {asked} sub-units")]
    Price {
        /// What it costs.
        asked: u64,
    },
    /// Nobody could spend what this recipient gets.
    #[error("the recipient's key is not a sound Ed25519 key")]
    Recipient,
    /// The validator voted for another request of this State.
    #[error("it voted for {voted} in this State: send that again, or wait for the next epoch")]
    Locked {
        /// What it voted for.
        voted: Id,
    },
    /// The validator votes no more in this epoch.
    #[error("the epoch is ending: sign it again for the next")]
    Ended,
}

impl Reason {
    /// A word for it, for counters and programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Work { .. } => "work",
            Self::Epoch { .. } => "epoch",
            Self::State { .. } => "state",
            Self::Funds { .. } => "funds",
            Self::Time { .. } => "time",
            Self::Service => "service",
            Self::Price { .. } => "price",
            Self::Recipient => "recipient",
            Self::Locked { .. } => "locked",
            Self::Ended => "ended",
        }
    }
}

impl Encode for Reason {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Signature => out.push(0),
            Self::Work { needed } => out.extend([1, *needed]),
            Self::Epoch { now } => {
                out.push(2);
                put_varint(out, *now);
            }
            Self::State { number, state } => {
                out.push(3);
                put_varint(out, *number);
                state.encode_to(out);
            }
            Self::Funds { available } => {
                out.push(4);
                put_varint(out, *available);
            }
            Self::Time { clock_ms } => {
                out.push(5);
                out.extend_from_slice(&clock_ms.to_be_bytes());
            }
            Self::Service => out.push(6),
            Self::Price { asked } => {
                out.push(7);
                put_varint(out, *asked);
            }
            Self::Recipient => out.push(8),
            Self::Locked { voted } => {
                out.push(9);
                voted.encode_to(out);
            }
            Self::Ended => out.push(10),
        }
    }
}

impl Decode for Reason {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.byte("a rejection's reason")? {
            0 => Self::Signature,
            1 => Self::Work { needed: reader.byte("a rejection's work")? },
            2 => Self::Epoch { now: reader.varint("a rejection's epoch")? },
            3 => Self::State { number: reader.varint("a rejection's number")?, state: Id::decode_from(reader)? },
            4 => Self::Funds { available: reader.varint("a rejection's funds")? },
            5 => Self::Time { clock_ms: reader.u64("a rejection's clock")? },
            6 => Self::Service,
            7 => Self::Price { asked: reader.varint("a rejection's price")? },
            8 => Self::Recipient,
            9 => Self::Locked { voted: Id::decode_from(reader)? },
            10 => Self::Ended,
            tag => return Err(DecodeError::UnknownTag { what: "a rejection's reason", tag }),
        })
    }
}

/// A validator's signed answer to a request that it is not for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Who answers.
    pub validator: PublicKey,
    /// In which epoch.
    pub epoch: u64,
    /// What it answers.
    pub request: Id,
    /// Why.
    pub reason: Reason,
    /// When, by the validator's clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// The validator's signature.
    pub signature: Signature,
}

impl Rejection {
    /// The answer of the validator that `key` belongs to.
    #[must_use]
    pub fn sign(network: &NetworkId, key: &SecretKey, epoch: u64, request: Id, reason: Reason, at_ms: u64) -> Self {
        let mut rejection = Self { validator: key.public_key(), epoch, request, reason, at_ms, signature: Signature([0; 64]) };
        rejection.signature = key.sign(&[NAMESPACE, &network.0].concat(), &rejection.content());
        rejection
    }

    /// Whether the signature is the validator's, for this network. Whether it is a member of the committee is another question.
    #[must_use]
    pub fn verify(&self, network: &NetworkId) -> bool {
        self.validator.verify(&[NAMESPACE, &network.0].concat(), &self.content(), &self.signature)
    }

    fn content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.push(VERSION);
        self.validator.encode_to(&mut out);
        put_varint(&mut out, self.epoch);
        self.request.encode_to(&mut out);
        self.reason.encode_to(&mut out);
        out.extend_from_slice(&self.at_ms.to_be_bytes());
        out
    }
}

impl Encode for Rejection {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.content());
        self.signature.encode_to(out);
    }
}

impl Decode for Rejection {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "a rejection's version")?;
        Ok(Self {
            validator: PublicKey::decode_from(reader)?,
            epoch: reader.varint("a rejection's epoch")?,
            request: Id::decode_from(reader)?,
            reason: Reason::decode_from(reader)?,
            at_ms: reader.u64("a rejection's time")?,
            signature: Signature::decode_from(reader)?,
        })
    }
}
