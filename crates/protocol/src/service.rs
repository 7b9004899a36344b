//! Services: what a wallet offers, and how a purchase ends.
//!
//! ```text
//! terms: kind | price | report ms u64 | silence u8
//! kind:  0 Actuate: device topic (act)     1 Data: channel [32]     2 Contract: contract [32]
//! ```
//! The rules are WAL-33 to WAL-37 of `docs/spec/wallet.md`.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::keys::{Id, PublicKey};
use crate::topic::{DeviceTopic, Direction, Name};
use alloc::vec::Vec;

const ID_DOMAIN: &[u8] = b"wattle/service/v1";
/// Longest time in which a provider may report, in milliseconds: a week.
pub const REPORT_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// The hash that stands for a service: no wallet can take another's name.
#[must_use]
pub fn service_id(provider: &PublicKey, name: &Name) -> Id {
    Id::hash(&[ID_DOMAIN, &provider.0, name.as_str().as_bytes()])
}

/// What a service does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// Drives an actuator: the argument is published on this topic, whose direction is `act`.
    Actuate(DeviceTopic),
    /// Opens data: a grant on this channel.
    Data(Id),
    /// Calls this contract.
    Contract(Id),
}

/// What becomes of a purchase of which the provider says nothing in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// The provider is paid.
    Pay,
    /// The requester gets the price back.
    #[default]
    Refund,
}

/// How a purchase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider says that it did what was bought.
    Delivered,
    /// The provider says that it could not.
    Failed,
    /// Somebody says that the time to report is over.
    Due,
}

/// What a service costs, and what holds for its purchases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it does.
    pub kind: ServiceKind,
    /// Its price in sub-units; at least 1.
    pub price: u64,
    /// How long the provider may take to report, in milliseconds; at most [`REPORT_MS_MAX`].
    pub report_ms: u64,
    /// What happens if it does not.
    pub silence: Silence,
}

impl Encode for Silence {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Pay => 0,
            Self::Refund => 1,
        });
    }
}

impl Decode for Silence {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a service's silence")? {
            0 => Ok(Self::Pay),
            1 => Ok(Self::Refund),
            tag => Err(DecodeError::UnknownTag { what: "a service's silence", tag }),
        }
    }
}

impl Encode for Outcome {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Delivered => 0,
            Self::Failed => 1,
            Self::Due => 2,
        });
    }
}

impl Decode for Outcome {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a purchase's outcome")? {
            0 => Ok(Self::Delivered),
            1 => Ok(Self::Failed),
            2 => Ok(Self::Due),
            tag => Err(DecodeError::UnknownTag { what: "a purchase's outcome", tag }),
        }
    }
}

impl Encode for ServiceKind {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Actuate(topic) => {
                out.push(0);
                topic.encode_to(out);
            }
            Self::Data(channel) => {
                out.push(1);
                channel.encode_to(out);
            }
            Self::Contract(contract) => {
                out.push(2);
                contract.encode_to(out);
            }
        }
    }
}

impl Decode for ServiceKind {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a service's kind")? {
            0 => {
                let topic = DeviceTopic::decode_from(reader)?;
                match topic.direction {
                    Direction::Act => Ok(Self::Actuate(topic)),
                    Direction::Sense => Err(DecodeError::Invalid("a service's topic")),
                }
            }
            1 => Ok(Self::Data(Id::decode_from(reader)?)),
            2 => Ok(Self::Contract(Id::decode_from(reader)?)),
            tag => Err(DecodeError::UnknownTag { what: "a service's kind", tag }),
        }
    }
}

impl Encode for Terms {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.kind.encode_to(out);
        put_varint(out, self.price);
        out.extend_from_slice(&self.report_ms.to_be_bytes());
        self.silence.encode_to(out);
    }
}

impl Decode for Terms {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = ServiceKind::decode_from(reader)?;
        let (price, report_ms) = (reader.varint("a service's price")?, reader.u64("a service's report")?);
        if price == 0 {
            return Err(DecodeError::Invalid("a service's price"));
        }
        if report_ms > REPORT_MS_MAX {
            return Err(DecodeError::Invalid("a service's report"));
        }
        Ok(Self { kind, price, report_ms, silence: Silence::decode_from(reader)? })
    }
}
