//! A certificate: a request, and the votes of more than two thirds of a committee for it. It is checked without the DAG.
//!
//! ```text
//! version=1 u8 | request | votes n ≤ 128 × vote
//! vote: voter u8 | sequence | content [32] | index | count | path n ≤ 10 × [32] | signature [64]
//!
//! request id ─leaf─▶ path ─▶ votes root ─┬─▶ rest ─▶ head of a message ─▶ signature of the voter
//!                              content ──┘
//! ```
//! # Rules
//! - They are WAL-12 to WAL-16 of `docs/spec/wallet.md`.
//! - A vote is a signature on a whole message of votes; the path shows that the request is among them.
//! - The request names the epoch: the committee is that epoch's, and votes of no other can be taken for its votes.
//! - One thing that does not hold refuses the whole.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::genesis::{Committee, quorum};
use crate::head::Head;
use crate::keys::{Id, NetworkId, PublicKey, Signature, verify_batch};
use crate::limits::{CERTIFICATE_VOTES_MAX, COMMITTEE_MAX, VOTE_PATH_MAX, VOTES_MAX};
use crate::merkle;
use crate::message::{Message, VOTING_VERSION, ids, namespace, rest_of_votes, vote_leaf};
use crate::request::Request;
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

const VERSION: u8 = 1;
/// The least percentage of votes that a network may ask for. It stands for a quorum, `⌊2n/3⌋ + 1`.
pub const THRESHOLD_PERCENT_MIN: u8 = 67;

/// How many votes of `members` certify a request: a quorum, or more if `threshold_percent` is above [`THRESHOLD_PERCENT_MIN`]
/// and that part of the members is more.
#[must_use]
pub fn needed(members: usize, threshold_percent: u8) -> usize {
    if threshold_percent <= THRESHOLD_PERCENT_MIN {
        return quorum(members).min(members);
    }
    let asked = members.saturating_mul(usize::from(threshold_percent)).div_ceil(100);
    asked.clamp(quorum(members).min(members), members)
}

/// One vote, as a certificate carries it: all of a message that its signature needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CastVote {
    /// The voter's place in the committee.
    pub voter: u8,
    /// The message's sequence.
    pub sequence: u64,
    /// The hash of the message's content without its votes.
    pub content: Id,
    /// The request's place among the message's votes.
    pub index: u16,
    /// How many votes the message has.
    pub count: u16,
    /// The path from the request's leaf to the root of the votes.
    pub path: Vec<Id>,
    /// The voter's signature of the message.
    pub signature: Signature,
}

/// A request with the votes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What was voted for.
    pub request: Request,
    /// The votes, strictly ascending by voter.
    pub votes: Vec<CastVote>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The request's signature is not its wallet's.
    #[error("the request's signature is not its wallet's")]
    Request,
    /// Not enough votes.
    #[error("it has {found} votes, {needed} are needed")]
    Votes {
        /// Votes present.
        found: usize,
        /// Votes needed.
        needed: usize,
    },
    /// Voters that do not ascend: one is there twice.
    #[error("its voters are not strictly ascending")]
    Order,
    /// A vote of somebody who is not in the committee.
    #[error("voter {0} is not in the committee")]
    Stranger(u8),
    /// A path that does not lead from the request to the votes that were signed, or a signature that is not the voter's.
    #[error("{0} did not sign a message with this vote")]
    Signature(String),
}

impl Message {
    /// The vote of this message for a request, as the member at `voter` of a committee; `None` if it has none.
    #[must_use]
    pub fn cast_vote(&self, request: &Id, voter: u8) -> Option<CastVote> {
        let index = self.votes.binary_search(request).ok()?;
        let leaves: Vec<Id> = self.votes.iter().map(vote_leaf).collect();
        Some(CastVote {
            voter,
            sequence: self.sequence,
            content: self.content(),
            index: u16::try_from(index).ok()?,
            count: u16::try_from(leaves.len()).ok()?,
            path: merkle::path(&leaves, index)?,
            signature: self.signature,
        })
    }
}

/// The root that a path leads to from a leaf, as [`merkle::verify`] has it; `None` if no tree of this size has such a path.
fn root_of(leaf: &Id, index: u64, size: u64, path: &[Id]) -> Option<Id> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = merkle::node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = merkle::node(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

impl CastVote {
    /// The head that the voter must have signed for this to be its vote for a request; `None` if the path leads nowhere.
    #[must_use]
    pub fn head(&self, network: &NetworkId, subnet: u16, voter: PublicKey, request: &Id) -> Option<Head> {
        let root = root_of(&vote_leaf(request), u64::from(self.index), u64::from(self.count), &self.path)?;
        Some(Head {
            version: VOTING_VERSION,
            network_tag: *network.tag(),
            subnet,
            issuer: voter,
            sequence: self.sequence,
            rest: rest_of_votes(&root, &self.content),
            signature: self.signature,
        })
    }
}

impl Certificate {
    /// Joins a request and votes for it, in whatever order they came. Of several of one voter the first is taken, and no more
    /// than are `needed`. `None` if they are not enough. Nothing is verified.
    #[must_use]
    pub fn assemble(request: Request, votes: impl IntoIterator<Item = CastVote>, needed: usize) -> Option<Self> {
        let mut chosen: Vec<CastVote> = Vec::with_capacity(needed.min(COMMITTEE_MAX));
        for vote in votes {
            if chosen.len() >= needed {
                break;
            }
            if let Err(at) = chosen.binary_search_by_key(&vote.voter, |v| v.voter) {
                chosen.insert(at, vote);
            }
        }
        (chosen.len() >= needed).then_some(Self { request, votes: chosen })
    }

    /// Checks the request's signature, that the votes are enough, and each vote. `committee` is that of the epoch which the
    /// request names; `threshold_percent` is the network's.
    ///
    /// # Errors
    /// [`CertificateError`] for the first thing that does not hold. A single bad vote refuses the whole.
    pub fn verify(&self, network: &NetworkId, subnet: u16, committee: &Committee, threshold_percent: u8) -> Result<(), CertificateError> {
        let keys: Vec<PublicKey> = committee.validators().iter().map(|v| v.key).collect();
        self.verify_keys(network, subnet, &keys, threshold_percent)
    }

    /// As [`Certificate::verify`], by the committee's keys in its order.
    ///
    /// # Errors
    /// As [`Certificate::verify`].
    pub fn verify_keys(
        &self,
        network: &NetworkId,
        subnet: u16,
        committee: &[PublicKey],
        threshold_percent: u8,
    ) -> Result<(), CertificateError> {
        let needed = needed(committee.len(), threshold_percent);
        if self.votes.len() < needed || needed == 0 {
            return Err(CertificateError::Votes { found: self.votes.len(), needed });
        }
        if !self.votes.is_sorted_by(|a, b| a.voter < b.voter) {
            return Err(CertificateError::Order);
        }
        if !self.request.verify(network) {
            return Err(CertificateError::Request);
        }
        let request = self.request.id();
        let mut heads = Vec::with_capacity(self.votes.len());
        for vote in &self.votes {
            let voter = *committee.get(usize::from(vote.voter)).ok_or(CertificateError::Stranger(vote.voter))?;
            let head = vote.head(network, subnet, voter, &request);
            heads.push(head.ok_or_else(|| CertificateError::Signature(alloc::format!("{voter}")))?);
        }
        let namespace = namespace(network);
        let signed: Vec<Vec<u8>> = heads.iter().map(Head::signed).collect();
        let items: Vec<_> =
            heads.iter().zip(&signed).map(|(h, bytes)| (h.issuer, namespace.as_slice(), bytes.as_slice(), h.signature)).collect();
        if verify_batch(&items, request.0) {
            return Ok(());
        }
        match heads.iter().find(|h| h.verify(network, subnet).is_err()) {
            Some(head) => Err(CertificateError::Signature(alloc::format!("{}", head.issuer))),
            None => Ok(()),
        }
    }

    /// The places of its voters, as the bits of a number.
    #[must_use]
    pub fn voters(&self) -> u128 {
        self.votes.iter().fold(0, |bits, vote| bits | 1u128.checked_shl(u32::from(vote.voter)).unwrap_or(0))
    }
}

const _: () = assert!(COMMITTEE_MAX <= u128::BITS as usize);

impl Encode for CastVote {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.voter);
        put_varint(out, self.sequence);
        self.content.encode_to(out);
        put_varint(out, u64::from(self.index));
        put_varint(out, u64::from(self.count));
        put_varint(out, self.path.len() as u64);
        self.path.iter().for_each(|p| p.encode_to(out));
        self.signature.encode_to(out);
    }
}

/// Takes a number up to [`VOTES_MAX`].
fn small(reader: &mut Reader<'_>, what: &'static str) -> Result<u16, DecodeError> {
    let found = reader.varint(what)?;
    let limit = VOTES_MAX;
    u16::try_from(found).ok().filter(|n| usize::from(*n) <= limit).ok_or(DecodeError::OverLimit { what, limit, found })
}

impl Decode for CastVote {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let voter = reader.byte("a vote's voter")?;
        let (sequence, content) = (reader.varint("a vote's sequence")?, Id::decode_from(reader)?);
        let (index, count) = (small(reader, "a vote's index")?, small(reader, "a vote's count")?);
        if index >= count {
            return Err(DecodeError::Invalid("a vote's index"));
        }
        let path = ids(reader, VOTE_PATH_MAX, "a vote's path")?;
        Ok(Self { voter, sequence, content, index, count, path, signature: Signature::decode_from(reader)? })
    }
}

impl Encode for Certificate {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.request.encode_to(out);
        put_varint(out, self.votes.len() as u64);
        self.votes.iter().for_each(|v| v.encode_to(out));
    }
}

impl Decode for Certificate {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "a certificate's version")?;
        let request = Request::decode_from(reader)?;
        // a vote has at least voter, sequence, content, index, count, path length and signature
        let n = reader.length(CERTIFICATE_VOTES_MAX, 101, "a certificate's votes")?;
        let votes = (0..n).map(|_| CastVote::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
        match votes.is_sorted_by(|a, b| a.voter < b.voter) {
            true => Ok(Self { request, votes }),
            false => Err(DecodeError::NonCanonical("a certificate's votes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_never_below_a_quorum() {
        assert_eq!((needed(8, 67), needed(4, 67), needed(1, 67), needed(0, 67)), (6, 3, 1, 0));
        for members in 1..=COMMITTEE_MAX {
            for percent in 0..=100 {
                let votes = needed(members, percent);
                assert!(votes >= quorum(members) && votes <= members, "{percent}% of {members}");
            }
            assert_eq!(needed(members, 100), members);
            assert_eq!(needed(members, THRESHOLD_PERCENT_MIN), quorum(members), "{members}");
        }
    }

    #[test]
    fn a_path_leads_where_the_tree_has_its_root() {
        for size in 1..40u64 {
            let leaves: Vec<Id> = (0..size).map(|n| Id::hash(&[&n.to_be_bytes()])).collect();
            let root = merkle::root(&leaves);
            for (index, leaf) in (0u64..).zip(&leaves) {
                let path = merkle::path(&leaves, usize::try_from(index).unwrap_or(0)).unwrap_or_default();
                assert_eq!(root_of(leaf, index, size, &path), Some(root));
                assert_ne!(root_of(&Id([9; 32]), index, size, &path), Some(root));
                assert_eq!(root_of(leaf, size, size, &path), None);
            }
        }
    }
}
