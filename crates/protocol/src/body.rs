//! What a message says.
//!
//! ```text
//! body: 0 Readings: root [32] | count | bytes | first µs u64 | last µs u64 | blob [32] | shares n × (wallet [32] | count)
//!       1 Data:     bytes
//!       2 Orders:   n × order, 1 ≤ n ≤ 16              (order.rs)
//!       3 Evidence: evidence                           (evidence.rs)
//!       4 Requests: n × request, 1 ≤ n ≤ 64            (request.rs)
//!       5 Certificates: n × certificate, 1 ≤ n ≤ 16    (certificate.rs); such a message has no votes
//!       6 EndOfEpoch: epoch
//! ```

use crate::certificate::Certificate;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_varint};
use crate::evidence::Evidence;
use crate::keys::{Id, PublicKey};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_READINGS_MAX, CERTIFICATES_BYTES_MAX, CERTIFICATES_MAX, DATA_BYTES_MAX, ORDERS_MAX, REQUESTS_MAX, SHARES_MAX,
};
use crate::order::Order;
use crate::request::Request;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The part of a batch's reward that a wallet earned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Who shared data.
    pub wallet: PublicKey,
    /// How many of the batch's readings.
    pub count: u32,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Anchors a batch of readings.
    Readings {
        /// Root of the batch's tree of blinded leaves.
        root: Id,
        /// Leaves in that tree.
        count: u32,
        /// Length of the encoded batch.
        bytes: u32,
        /// Earliest and latest reading, in microseconds since 1970.
        span_us: (u64, u64),
        /// BLAKE3 of the encoded batch: its name in the payload store.
        blob: Id,
        /// Who earns from it.
        shares: Vec<Share>,
    },
    /// Bytes of an application, on the ledger itself.
    Data(Vec<u8>),
    /// What wallets order: 1 to [`ORDERS_MAX`].
    Orders(Vec<Order>),
    /// That a validator broke the protocol. Boxed: it is rare, and larger than all the rest.
    Evidence(Box<Evidence>),
    /// What wallets spend: 1 to [`REQUESTS_MAX`].
    Requests(Vec<Request>),
    /// Certificates of requests that the ledger does not know to be certified: 1 to [`CERTIFICATES_MAX`].
    Certificates(Vec<Certificate>),
    /// That the issuer votes no more in an epoch.
    EndOfEpoch {
        /// The epoch.
        epoch: u64,
    },
}

impl Body {
    /// How many readings it anchors.
    #[must_use]
    pub const fn readings(&self) -> u32 {
        match self {
            Self::Readings { count, .. } => *count,
            Self::Data(_) | Self::Orders(_) | Self::Evidence(_) | Self::Requests(_) | Self::Certificates(_) | Self::EndOfEpoch { .. } => 0,
        }
    }
}

impl Encode for Body {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Readings { root, count, bytes, span_us, blob, shares } => {
                out.push(0);
                root.encode_to(out);
                put_varint(out, u64::from(*count));
                put_varint(out, u64::from(*bytes));
                out.extend_from_slice(&span_us.0.to_be_bytes());
                out.extend_from_slice(&span_us.1.to_be_bytes());
                blob.encode_to(out);
                put_varint(out, shares.len() as u64);
                for share in shares {
                    share.wallet.encode_to(out);
                    put_varint(out, u64::from(share.count));
                }
            }
            Self::Data(data) => {
                out.push(1);
                put_bytes(out, data);
            }
            Self::Orders(orders) => {
                out.push(2);
                put_varint(out, orders.len() as u64);
                orders.iter().for_each(|o| o.encode_to(out));
            }
            Self::Evidence(evidence) => {
                out.push(3);
                evidence.encode_to(out);
            }
            Self::Requests(requests) => {
                out.push(4);
                put_varint(out, requests.len() as u64);
                requests.iter().for_each(|r| r.encode_to(out));
            }
            Self::Certificates(certificates) => {
                out.push(5);
                put_varint(out, certificates.len() as u64);
                certificates.iter().for_each(|c| c.encode_to(out));
            }
            Self::EndOfEpoch { epoch } => {
                out.push(6);
                put_varint(out, *epoch);
            }
        }
    }
}

/// Takes a count that must lie within `1..=limit`.
fn count(reader: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<u32, DecodeError> {
    let found = reader.varint(what)?;
    match u32::try_from(found) {
        Ok(0) => Err(DecodeError::Invalid(what)),
        Ok(n) if n as usize <= limit => Ok(n),
        _ => Err(DecodeError::OverLimit { what, limit, found }),
    }
}

impl Decode for Body {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a body")? {
            0 => {
                let root = Id::decode_from(reader)?;
                let readings = count(reader, BATCH_READINGS_MAX, "a batch's count")?;
                let bytes = count(reader, BATCH_BYTES_MAX, "a batch's size")?;
                let span_us = (reader.u64("a batch's span")?, reader.u64("a batch's span")?);
                if span_us.0 > span_us.1 {
                    return Err(DecodeError::Invalid("a batch's span"));
                }
                let blob = Id::decode_from(reader)?;
                let mut shares = Vec::new();
                for _ in 0..reader.length(SHARES_MAX, 33, "a message's shares")? {
                    let wallet = PublicKey::decode_from(reader)?;
                    shares.push(Share { wallet, count: count(reader, BATCH_READINGS_MAX, "a share")? });
                }
                Ok(Self::Readings { root, count: readings, bytes, span_us, blob, shares })
            }
            1 => Ok(Self::Data(reader.bytes(DATA_BYTES_MAX, "a data body")?.into())),
            2 => {
                let n = count(reader, ORDERS_MAX, "a message's orders")?;
                Ok(Self::Orders((0..n).map(|_| Order::decode_from(reader)).collect::<Result<Vec<_>, _>>()?))
            }
            3 => Ok(Self::Evidence(Box::new(Evidence::decode_from(reader)?))),
            4 => {
                let n = count(reader, REQUESTS_MAX, "a message's requests")?;
                Ok(Self::Requests((0..n).map(|_| Request::decode_from(reader)).collect::<Result<Vec<_>, _>>()?))
            }
            5 => {
                let n = count(reader, CERTIFICATES_MAX, "a message's certificates")?;
                let before = reader.remaining();
                let certificates = (0..n).map(|_| Certificate::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
                let (limit, found) = (CERTIFICATES_BYTES_MAX, before - reader.remaining());
                if found > limit {
                    return Err(DecodeError::OverLimit { what: "a message's certificates", limit, found: found as u64 });
                }
                Ok(Self::Certificates(certificates))
            }
            6 => Ok(Self::EndOfEpoch { epoch: reader.varint("an epoch's end")? }),
            tag => Err(DecodeError::UnknownTag { what: "a body", tag }),
        }
    }
}
