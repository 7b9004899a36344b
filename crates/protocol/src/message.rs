//! A message: one vertex of the DAG.
//!
//! ```text
//! version=2 u8 | network tag [8] | subnet u16 | issuer [32] | sequence | parents n ≤ 8 × [32] |
//! issued at ms u64 | votes n × [32] | body | pow nonce u64 | signature [64]
//! body: 0 Readings: root [32] | count | bytes | first µs u64 | last µs u64 | blob [32] | shares n × (wallet [32] | count)
//!       1 Data:     bytes
//!       2 Orders:   n × order, 1 ≤ n ≤ 16              (order.rs)
//!       3 Evidence: evidence                           (evidence.rs)
//! ```
//! The id is the SHA-256 of all of it. The signature covers the message's [`Head`]: everything up to the sequence, and
//! the SHA-256 of what stands between sequence and signature, under a namespace that holds the whole network id. So
//! it covers everything before it, and two heads prove equivocation. The first parent is the issuer's own previous
//! message ([`Unsigned::root`] for sequence 0), so the DAG is braided of one chain per issuer; the others are tips,
//! strictly ascending.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_varint};
use crate::evidence::Evidence;
pub use crate::head::Head;
use crate::head::signed_bytes;
use crate::keys::{Id, NetworkId, PublicKey, SecretKey, Signature, verify_batch};
use crate::limits::{BATCH_BYTES_MAX, BATCH_READINGS_MAX, DATA_BYTES_MAX, ORDERS_MAX, PARENTS_MAX, SHARES_MAX, VOTES_MAX};
use crate::order::Order;
use alloc::boxed::Box;
use alloc::vec::Vec;
use thiserror::Error;

pub(crate) const VERSION: u8 = 2;
const NAMESPACE: &[u8] = b"wattle/message/v2/";
/// Bytes of a signature at the end of a message.
const SIGNATURE_BYTES: usize = 64;

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
}

impl Body {
    /// How many readings it anchors.
    #[must_use]
    pub const fn readings(&self) -> u32 {
        match self {
            Self::Readings { count, .. } => *count,
            Self::Data(_) | Self::Orders(_) | Self::Evidence(_) => 0,
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
            tag => Err(DecodeError::UnknownTag { what: "a body", tag }),
        }
    }
}

/// A message before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// The network it belongs to.
    pub network: NetworkId,
    /// The subnet within the network.
    pub subnet: u16,
    /// Who issues it.
    pub issuer: PublicKey,
    /// The issuer's own count of messages, from 0.
    pub sequence: u64,
    /// Own previous message, then tips, strictly ascending: 1 to [`PARENTS_MAX`].
    pub parents: Vec<Id>,
    /// The issuer's clock, in milliseconds since 1970.
    pub issued_at_ms: u64,
    /// Requests this validator votes for.
    pub votes: Vec<Id>,
    /// What it says.
    pub body: Body,
    /// Proof of work ([`crate::pow`]).
    pub pow_nonce: u64,
}

/// Why a well-formed message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Another network's: check which genesis both sides use.
    #[error("the message belongs to another network")]
    Network,
    /// Another subnet's.
    #[error("the message belongs to subnet {0}")]
    Subnet(u16),
    /// The signature is not the issuer's.
    #[error("the signature is not the issuer's")]
    Signature,
}

impl Unsigned {
    /// The parent of every issuer's first message: the network's id.
    #[must_use]
    pub const fn root(network: NetworkId) -> Id {
        Id(network.0)
    }

    /// The encoding up to the signature, and where the sequence ends in it.
    fn encode_unsigned(&self) -> (Vec<u8>, usize) {
        let mut out = Vec::with_capacity(512);
        out.push(VERSION);
        out.extend_from_slice(self.network.tag());
        out.extend_from_slice(&self.subnet.to_be_bytes());
        self.issuer.encode_to(&mut out);
        put_varint(&mut out, self.sequence);
        let rest_at = out.len();
        put_varint(&mut out, self.parents.len() as u64);
        self.parents.iter().for_each(|p| p.encode_to(&mut out));
        out.extend_from_slice(&self.issued_at_ms.to_be_bytes());
        put_varint(&mut out, self.votes.len() as u64);
        self.votes.iter().for_each(|v| v.encode_to(&mut out));
        self.body.encode_to(&mut out);
        out.extend_from_slice(&self.pow_nonce.to_be_bytes());
        (out, rest_at)
    }

    /// Signs the message with its issuer's key.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> Message {
        let (mut bytes, rest_at) = self.encode_unsigned();
        let rest = Id::hash(&[bytes.get(rest_at..).unwrap_or_default()]);
        let signed = signed_bytes(self.network.tag(), self.subnet, &self.issuer, self.sequence, &rest);
        let signature = key.sign(&namespace(&self.network), &signed);
        signature.encode_to(&mut bytes);
        let id = Id::hash(&[&bytes]);
        let Self { network, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce } = self;
        let network_tag = *network.tag();
        Message { id, network_tag, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce, signature, bytes, rest_at }
    }
}

impl NetworkId {
    /// The first bytes of the id, carried in each message so that a stray one is recognised cheaply.
    #[must_use]
    pub fn tag(&self) -> &[u8; 8] {
        self.0.first_chunk().unwrap_or(&[0; 8])
    }
}

/// The namespace under which the messages of a network are signed.
#[must_use]
pub fn namespace(network: &NetworkId) -> Vec<u8> {
    [NAMESPACE, &network.0].concat()
}

/// A signed message. It keeps its encoding, so that neither the id nor a forward costs anything again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    id: Id,
    network_tag: [u8; 8],
    /// The subnet within the network.
    pub subnet: u16,
    /// Who issued it.
    pub issuer: PublicKey,
    /// The issuer's own count of messages, from 0.
    pub sequence: u64,
    /// Own previous message, then tips.
    pub parents: Vec<Id>,
    /// The issuer's clock, in milliseconds since 1970.
    pub issued_at_ms: u64,
    /// Requests this validator votes for.
    pub votes: Vec<Id>,
    /// What it says.
    pub body: Body,
    /// Proof of work.
    pub pow_nonce: u64,
    /// The issuer's signature.
    pub signature: Signature,
    bytes: Vec<u8>,
    /// Where the sequence ends in `bytes`.
    rest_at: usize,
}

impl Message {
    /// The hash that names this message.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The canonical encoding.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The issuer's own previous message, or the network's root.
    #[must_use]
    pub fn previous(&self) -> Option<&Id> {
        self.parents.first()
    }

    /// What the issuer signed, with the signature. Hashes the message's content.
    #[must_use]
    pub fn head(&self) -> Head {
        let end = self.bytes.len().saturating_sub(SIGNATURE_BYTES);
        let rest = Id::hash(&[self.bytes.get(self.rest_at..end).unwrap_or_default()]);
        let Self { network_tag, subnet, issuer, sequence, signature, .. } = *self;
        Head { network_tag, subnet, issuer, sequence, rest, signature }
    }

    /// The bytes that are signed under [`namespace`]: what a batch verification needs beside it.
    #[must_use]
    pub fn signed(&self) -> Vec<u8> {
        self.head().signed()
    }

    /// Checks network, subnet and signature.
    ///
    /// # Errors
    /// [`MessageError`] naming what does not fit.
    pub fn verify(&self, network: &NetworkId, subnet: u16) -> Result<(), MessageError> {
        self.head().verify(network, subnet)
    }

    /// Whether [`Self::verify`] holds for every one of them, in about half the time. If not, verify them one by one.
    /// `seed`: see [`verify_batch`].
    #[must_use]
    pub fn verify_all(messages: &[&Self], network: &NetworkId, subnet: u16, seed: [u8; 32]) -> bool {
        let namespace = namespace(network);
        let signed: Vec<Vec<u8>> = messages.iter().map(|m| m.signed()).collect();
        let items: Vec<_> =
            messages.iter().zip(&signed).map(|(m, signed)| (m.issuer, namespace.as_slice(), signed.as_slice(), m.signature)).collect();
        messages.iter().all(|m| m.network_tag == *network.tag() && m.subnet == subnet) && verify_batch(&items, seed)
    }
}

impl Encode for Message {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }
}

impl Decode for Message {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        reader.version(VERSION, "a message's version")?;
        let network_tag = reader.array("a network tag")?;
        let subnet = reader.u16("a subnet")?;
        let issuer = PublicKey::decode_from(reader)?;
        let sequence = reader.varint("a sequence")?;
        let rest_at = start.remaining() - reader.remaining();
        let parents = ids(reader, PARENTS_MAX, "a message's parents")?;
        let others = parents.get(1..).ok_or(DecodeError::Invalid("a message's parents"))?;
        if !others.is_sorted_by(|a, b| a < b) || parents.first().is_some_and(|p| others.contains(p)) {
            return Err(DecodeError::NonCanonical("a message's parents"));
        }
        let issued_at_ms = reader.u64("a message's time")?;
        let votes = ids(reader, VOTES_MAX, "a message's votes")?;
        if !votes.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::NonCanonical("a message's votes"));
        }
        let body = Body::decode_from(reader)?;
        let pow_nonce = reader.u64("a proof of work")?;
        let signature = Signature::decode_from(reader)?;
        let bytes = { start }.take_used(reader)?.to_vec();
        let id = Id::hash(&[&bytes]);
        Ok(Self { id, network_tag, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce, signature, bytes, rest_at })
    }
}

impl Unsigned {
    /// The encoding before the nonce: what proof of work is done for.
    pub(crate) fn before_nonce(&self) -> Vec<u8> {
        let (mut bytes, _) = self.encode_unsigned();
        bytes.truncate(bytes.len().saturating_sub(size_of::<u64>()));
        bytes
    }
}

impl<'a> Reader<'a> {
    /// What `later`, a continuation of this reader, has taken since.
    fn take_used(mut self, later: &Self) -> Result<&'a [u8], DecodeError> {
        let used = self.remaining() - later.remaining();
        self.take(used, "a message")
    }
}

/// Takes a list of ids.
pub(crate) fn ids(reader: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<Vec<Id>, DecodeError> {
    let n = reader.length(limit, 32, what)?;
    (0..n).map(|_| Id::decode_from(reader)).collect()
}
