//! What a vote takes without any network: bytes in a message and in a certificate, and the time to sign and check.
//!
//! ```text
//! request ─▶ messages with votes, one of each member ─▶ a vote of each with its path ─▶ certificate
//! ```
//! Everything is made as a network would make it, with as many parents as a message has once there are so many issuers.

use super::committee::found;
use super::disk::no_room;
use crate::cli::{Exit, Failure};
use protocol::certificate::needed;
use protocol::limits::{PARENTS_MAX, WINDOW_MS_MAX};
use protocol::request::first_state;
use protocol::{
    Body, Certificate, Decode as _, Draft, Encode as _, Genesis, Id, Message, NetworkId, Operation, Request, SecretKey, Unsigned,
};
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// How long each thing is done again and again.
const SPAN: Duration = Duration::from_millis(150);
/// Messages that are verified at a time.
const TOGETHER: u8 = 64;
/// The sequence of a message that was issued some days after the network's begin.
const SEQUENCE: u64 = 100_000;
/// Bytes of a durable write, about those of a message with a vote.
const WRITE_BYTES: usize = 512;
/// Hashes that a request's work may take.
const ATTEMPTS_MAX: u64 = 1 << 16;

/// A committee of which each member has voted for a request.
pub(super) struct Ballots {
    genesis: Genesis,
    network: NetworkId,
    keys: Vec<SecretKey>,
    request: Request,
    messages: Vec<Message>,
}

fn bug(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Fault, why, "the bench's votes", "report this")
}

/// A request by which one wallet pays another.
fn request(network: &NetworkId, difficulty: u8, from_ms: u64) -> Result<Request, Failure> {
    let key = SecretKey::from_seed(&[201; 32]);
    draft(network, &key, from_ms)
        .sign(network, &key, difficulty, ATTEMPTS_MAX)
        .map_err(|e| bug(&e))?
        .ok_or_else(|| bug(&"a request could not be signed"))
}

fn draft(network: &NetworkId, key: &SecretKey, from_ms: u64) -> Draft {
    let to = SecretKey::from_seed(&[202; 32]).public_key();
    let until_ms = from_ms.saturating_add(WINDOW_MS_MAX);
    let state = first_state(network, &key.public_key());
    Draft { state, number: 0, epoch: 0, operation: Operation::Transfer { to }, price: 1_000_000, from_ms, until_ms }
}

/// An empty message of a member with so many parents, and these votes.
fn unsigned(network: NetworkId, key: &SecretKey, members: usize, votes: Vec<Id>, issued_at_ms: u64) -> Unsigned {
    let parent = |n: usize| Id::hash(&[b"wattle/bench/parent", &(n as u64).to_be_bytes()]);
    let mut others: Vec<Id> = (1..members.clamp(1, PARENTS_MAX)).map(parent).collect();
    others.sort_unstable();
    let parents = std::iter::once(parent(0)).chain(others).collect();
    let (issuer, body) = (key.public_key(), Body::Data(Vec::new()));
    Unsigned { network, subnet: 0, issuer, sequence: SEQUENCE, parents, issued_at_ms, votes, body, pow_nonce: 0 }
}

/// The votes of a message: for a request, and for as many others that there are `count`; in their order.
fn votes(request: &Id, count: usize) -> Vec<Id> {
    let others = (1..count as u64).map(|n| Id::hash(&[b"wattle/bench/vote", &n.to_be_bytes()]));
    let mut votes: Vec<Id> = std::iter::once(*request).chain(others).collect();
    votes.sort_unstable();
    votes
}

impl Ballots {
    /// Those of so many members, each in a message with so many votes.
    ///
    /// # Errors
    /// [`Failure`] if they cannot be made, which is a bug.
    pub(super) fn of(members: u8, in_message: u16) -> Result<Self, Failure> {
        let (genesis, keys) = found(members)?;
        let network = genesis.network();
        let request = request(&network, genesis.wallet_parameters.difficulty, genesis.created_ms)?;
        let votes = votes(&request.id(), usize::from(in_message));
        let message = |key: &SecretKey| unsigned(network, key, keys.len(), votes.clone(), genesis.created_ms).sign(key);
        let messages = keys.iter().map(message).collect();
        Ok(Self { genesis, network, keys, request, messages })
    }

    /// Votes that certify.
    pub(super) fn needed(&self) -> usize {
        needed(self.keys.len(), self.genesis.wallet_parameters.threshold_percent)
    }

    /// Bytes of the request.
    pub(super) fn request_bytes(&self) -> usize {
        self.request.encode().len()
    }

    /// Bytes of a message of one of them.
    pub(super) fn message_bytes(&self) -> usize {
        self.messages.first().map_or(0, |message| message.bytes().len())
    }

    /// Bytes of a vote in a certificate.
    pub(super) fn vote_bytes(&self) -> usize {
        let vote = self.messages.first().and_then(|message| message.cast_vote(&self.request.id(), 0));
        vote.map_or(0, |vote| vote.encode().len())
    }

    /// The certificate, made of the members' messages.
    ///
    /// # Errors
    /// [`Failure`] if the votes are not enough, which is a bug.
    pub(super) fn certificate(&self) -> Result<Certificate, Failure> {
        self.assemble().ok_or_else(|| bug(&"the votes are not enough"))
    }

    fn assemble(&self) -> Option<Certificate> {
        let (id, needed) = (self.request.id(), self.needed());
        let votes = (0u8..).zip(&self.messages).take(needed).filter_map(|(voter, message)| message.cast_vote(&id, voter));
        Certificate::assemble(self.request.clone(), votes, needed)
    }

    /// Microseconds to make the certificate of messages: paths and all.
    ///
    /// # Errors
    /// [`Failure`] if that fails, which is a bug.
    pub(super) fn assemble_us(&self) -> Result<f64, Failure> {
        mean_us(SPAN, || self.assemble().is_some())
    }

    /// Microseconds to check the certificate.
    ///
    /// # Errors
    /// [`Failure`] if it does not hold, which is a bug.
    pub(super) fn check_us(&self) -> Result<f64, Failure> {
        let (certificate, percent) = (self.certificate()?, self.genesis.wallet_parameters.threshold_percent);
        certificate.verify(&self.network, 0, &self.genesis.committee, percent).map_err(|e| bug(&e))?;
        mean_us(SPAN, || certificate.verify(&self.network, 0, &self.genesis.committee, percent).is_ok())
    }
}

/// Microseconds that one thing takes, one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// Encode and sign a message with votes.
    pub(crate) sign_us: f64,
    /// Verify a message's signature, one alone.
    pub(crate) verify_us: f64,
    /// The same, of 64 messages verified together.
    pub(crate) verify_batched_us: f64,
    /// Decode a message with votes, and verify it with 63 others.
    pub(crate) take_in_us: f64,
    /// Encode and sign a request, without its work.
    pub(crate) sign_request_us: f64,
    /// Verify a request.
    pub(crate) verify_request_us: f64,
    /// Make a write of some hundred bytes durable.
    pub(crate) sync_us: f64,
}

impl Costs {
    /// Measures them on this machine, with so many votes in a message.
    ///
    /// # Errors
    /// [`Failure`] if the temporary directory cannot be written.
    pub(crate) fn measure(in_message: u16) -> Result<Self, Failure> {
        let ballots = Ballots::of(TOGETHER, in_message)?;
        let Ballots { genesis, network, keys, request, messages } = &ballots;
        let (Some(key), Some(message)) = (keys.first(), messages.first()) else { return Err(bug(&"there is no message")) };
        let votes = message.votes.clone();
        let together: Vec<&Message> = messages.iter().collect();
        let encoded: Vec<&[u8]> = messages.iter().map(Message::bytes).collect();
        let each = f64::from(TOGETHER);
        let take_in = || {
            let read: Vec<Message> = encoded.iter().filter_map(|bytes| Message::decode(bytes).ok()).collect();
            read.len() == encoded.len() && Message::verify_all(&read.iter().collect::<Vec<_>>(), network, 0, [1; 32])
        };
        Ok(Self {
            sign_us: mean_us(SPAN, || {
                !unsigned(*network, key, keys.len(), votes.clone(), genesis.created_ms).sign(key).bytes().is_empty()
            })?,
            verify_us: mean_us(SPAN, || message.verify(network, 0).is_ok())?,
            verify_batched_us: mean_us(SPAN, || Message::verify_all(&together, network, 0, [1; 32]))? / each,
            take_in_us: mean_us(SPAN, take_in)? / each,
            sign_request_us: mean_us(SPAN, || draft(network, key, genesis.created_ms).sign(network, key, 0, 1).is_ok_and(|r| r.is_some()))?,
            verify_request_us: mean_us(SPAN, || request.verify(network))?,
            sync_us: sync_us()?,
        })
    }
}

/// Microseconds that a durable write takes where the benches have their storage.
fn sync_us() -> Result<f64, Failure> {
    let mut file: File = tempfile::tempfile().map_err(|e| no_room(&e))?;
    mean_us(SPAN, || file.write_all(&[0; WRITE_BYTES]).and_then(|()| file.sync_data()).is_ok())
}

/// Microseconds that one call takes on average over `span`.
///
/// # Errors
/// [`Failure`] if a call gives false: something that holds was refused.
pub(crate) fn mean_us(span: Duration, mut call: impl FnMut() -> bool) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut calls = 0u32;
    while start.elapsed() < span || calls == 0 {
        if !black_box(call()) {
            return Err(Failure::new(Exit::Fault, "something that holds was refused, or could not be written", "measuring", "report this"));
        }
        calls += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(calls))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_every_size_hold() {
        for (members, in_message) in [(1, 1), (4, 1), (8, 64), (48, 1_024)] {
            let ballots = Ballots::of(members, in_message).unwrap();
            let certificate = ballots.certificate().unwrap();
            assert_eq!(certificate.votes.len(), ballots.needed());
            certificate.verify(&ballots.network, 0, &ballots.genesis.committee, 67).unwrap();
        }
    }

    #[test]
    fn a_vote_takes_32_bytes_of_a_message_and_a_path_more_in_a_certificate() {
        let (one, many) = (Ballots::of(4, 1).unwrap(), Ballots::of(4, 64).unwrap());
        assert_eq!(many.message_bytes() - one.message_bytes(), 63 * 32);
        // 64 leaves: six levels
        assert_eq!(many.vote_bytes() - one.vote_bytes(), 6 * 32);
        assert_eq!(one.request_bytes(), many.request_bytes());
    }

    #[test]
    fn what_does_not_hold_is_no_figure() {
        assert!(mean_us(Duration::ZERO, || true).unwrap() >= 0.0);
        assert!(mean_us(Duration::ZERO, || false).is_err());
    }
}
