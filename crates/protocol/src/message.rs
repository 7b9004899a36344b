//! A message: one vertex of the DAG.
//!
//! ```text
//! version u8 | network tag [8] | subnet u16 | issuer [32] | sequence | parents n ≤ 8 × [32] |
//! issued at ms u64 | votes n × [32] | body (body.rs) | pow nonce u64 | signature [64]
//! ```
//! The version is 3 if there are votes, else 2. In version 3 the signature covers the votes by the root of a tree over them, so
//! that one of them can be shown alone ([`crate::certificate`]).
//!
//! The id is the SHA-256 of all of it. The signature covers the message's [`Head`]: everything up to the sequence, and
//! the SHA-256 of what stands between sequence and signature, under a namespace that holds the whole network id. So
//! it covers everything before it, and two heads prove equivocation. The first parent is the issuer's own previous
//! message ([`Unsigned::root`] for sequence 0), so the DAG is braided of one chain per issuer; the others are tips,
//! strictly ascending.

pub use crate::body::{Body, Share};
use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
pub use crate::head::Head;
use crate::head::signed_bytes;
use crate::keys::{Id, NetworkId, PublicKey, SecretKey, Signature, verify_batch};
use crate::limits::{PARENTS_MAX, VOTES_MAX};
use crate::merkle;
use alloc::vec::Vec;
use thiserror::Error;

/// The version of a message without votes,
pub(crate) const VERSION: u8 = 2;
/// and of one with votes.
pub(crate) const VOTING_VERSION: u8 = 3;
const REST_DOMAIN: &[u8] = b"wattle/message/v3";
const NAMESPACE: &[u8] = b"wattle/message/v2/";
/// Bytes of a signature at the end of a message.
const SIGNATURE_BYTES: usize = 64;

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

    /// The encoding up to the signature, and where in it the sequence ends and the votes stand.
    fn encode_unsigned(&self) -> (Vec<u8>, Places) {
        let mut out = Vec::with_capacity(512);
        out.push(version(&self.votes));
        out.extend_from_slice(self.network.tag());
        out.extend_from_slice(&self.subnet.to_be_bytes());
        self.issuer.encode_to(&mut out);
        put_varint(&mut out, self.sequence);
        let rest_at = out.len();
        put_varint(&mut out, self.parents.len() as u64);
        self.parents.iter().for_each(|p| p.encode_to(&mut out));
        out.extend_from_slice(&self.issued_at_ms.to_be_bytes());
        let votes_at = out.len();
        put_varint(&mut out, self.votes.len() as u64);
        self.votes.iter().for_each(|v| v.encode_to(&mut out));
        let votes_end = out.len();
        self.body.encode_to(&mut out);
        out.extend_from_slice(&self.pow_nonce.to_be_bytes());
        (out, Places { rest_at, votes_at, votes_end })
    }

    /// Signs the message with its issuer's key.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> Message {
        let (mut bytes, places) = self.encode_unsigned();
        let rest = rest(&bytes, places, &self.votes);
        let signed = signed_bytes(version(&self.votes), self.network.tag(), self.subnet, &self.issuer, self.sequence, &rest);
        let signature = key.sign(&namespace(&self.network), &signed);
        signature.encode_to(&mut bytes);
        let id = Id::hash(&[&bytes]);
        let Self { network, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce } = self;
        let network_tag = *network.tag();
        Message { id, network_tag, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce, signature, bytes, places }
    }
}

impl NetworkId {
    /// The first bytes of the id, carried in each message so that a stray one is recognised cheaply.
    #[must_use]
    pub fn tag(&self) -> &[u8; 8] {
        self.0.first_chunk().unwrap_or(&[0; 8])
    }
}

/// Where the parts of a message's encoding are that its signature takes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    /// Where the sequence ends.
    rest_at: usize,
    /// Where the list of votes begins,
    votes_at: usize,
    /// and ends.
    votes_end: usize,
}

/// The version of a message with these votes.
const fn version(votes: &[Id]) -> u8 {
    if votes.is_empty() { VERSION } else { VOTING_VERSION }
}

/// The leaf of a vote in the tree over a message's votes.
pub(crate) fn vote_leaf(request: &Id) -> Id {
    merkle::leaf(&request.0)
}

/// What the head of a message with votes has as its rest.
pub(crate) fn rest_of_votes(root: &Id, content: &Id) -> Id {
    Id::hash(&[REST_DOMAIN, &root.0, &content.0])
}

/// The hash of a message's content without its votes; `bytes` is the encoding up to the signature.
fn content(bytes: &[u8], places: Places) -> Id {
    let before = bytes.get(places.rest_at..places.votes_at).unwrap_or_default();
    Id::hash(&[before, bytes.get(places.votes_end..).unwrap_or_default()])
}

/// What stands in a message's head for all between sequence and signature.
fn rest(bytes: &[u8], places: Places, votes: &[Id]) -> Id {
    if votes.is_empty() {
        return Id::hash(&[bytes.get(places.rest_at..).unwrap_or_default()]);
    }
    let leaves: Vec<Id> = votes.iter().map(vote_leaf).collect();
    rest_of_votes(&merkle::root(&leaves), &content(bytes, places))
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
    places: Places,
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

    /// The encoding up to the signature.
    fn before_signature(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(SIGNATURE_BYTES);
        self.bytes.get(..end).unwrap_or_default()
    }

    /// The hash of everything between sequence and signature but the votes.
    #[must_use]
    pub fn content(&self) -> Id {
        content(self.before_signature(), self.places)
    }

    /// What the issuer signed, with the signature. Hashes the message's content.
    #[must_use]
    pub fn head(&self) -> Head {
        let rest = rest(self.before_signature(), self.places, &self.votes);
        let Self { network_tag, subnet, issuer, sequence, signature, .. } = *self;
        Head { version: version(&self.votes), network_tag, subnet, issuer, sequence, rest, signature }
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
        let stated = match reader.byte("a message's version")? {
            stated @ (VERSION | VOTING_VERSION) => stated,
            tag => return Err(DecodeError::UnknownTag { what: "a message's version", tag }),
        };
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
        let votes_at = start.remaining() - reader.remaining();
        let votes = ids(reader, VOTES_MAX, "a message's votes")?;
        let votes_end = start.remaining() - reader.remaining();
        if !votes.is_sorted_by(|a, b| a < b) || version(&votes) != stated {
            return Err(DecodeError::NonCanonical("a message's votes"));
        }
        let body = Body::decode_from(reader)?;
        if matches!(body, Body::Certificates(_)) && !votes.is_empty() {
            return Err(DecodeError::Invalid("a message's votes"));
        }
        let pow_nonce = reader.u64("a proof of work")?;
        let signature = Signature::decode_from(reader)?;
        let bytes = { start }.take_used(reader)?.to_vec();
        let id = Id::hash(&[&bytes]);
        let places = Places { rest_at, votes_at, votes_end };
        Ok(Self { id, network_tag, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce, signature, bytes, places })
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
