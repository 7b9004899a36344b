//! The replica as the rest of the process sees it: a cheap handle, plain types, nothing of the engine.

mod events;
mod registry;
mod spends;
mod stakes;

pub use events::{Confirmed, Event, SpendEvent};
pub use registry::{DEVICES_AT_ONCE_MAX, DeviceRecord, SiteChanges};
pub use spends::{PurseRecord, SpendAnswer, SpendRecord, SpendStatus};
pub use stakes::{EpochRecord, OrderRefusal, StakeRecord, ValidatorRecord, WalletRecord};

use crate::core::{Request, Requests};
use crate::light::Head;
use crate::proof::{ProofError, StateProof};
use commonware_utils::channel::{mpsc, oneshot};
use protocol::receipt::Anchor;
use protocol::{Batch, Body, Finalization, Handover, Id, Message, Milestone, PublicKey, Receipt, batch, merkle};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why nothing could be issued. What was handed in is not on the ledger and may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IssueError {
    /// The replica is stopping or has failed: its log says why.
    #[error("the ledger node has stopped; its log says why")]
    Stopped,
    /// This node's key is not a registered validator's.
    #[error("the key {0} is not registered as a validator: register it first (`wattle validator register`)")]
    Stranger(PublicKey),
    /// So many void messages were signed with this node's key that none counts any more.
    #[error("the key {0} is barred, for too many of its messages contradict others: nothing of it counts any more; begin with a new key")]
    Barred(PublicKey),
    /// Too many messages of this node wait for a milestone, as when it is cut off from the committee: keep
    /// the data and try again when a milestone was confirmed.
    #[error("{0} messages of this node wait for confirmation: try again when a milestone has confirmed some")]
    Backlog(u64),
    /// This node issues faster than its share, and more work than it does for one message would be needed; or more callers than it can
    /// serve have requests carried. Keep the data and try again.
    #[error("this node is asked to issue faster than it may or can: try again in {retry_ms} ms")]
    Rate {
        /// Milliseconds after which it can be issued, or asked for again.
        retry_ms: u64,
    },
    /// A body over its limits.
    #[error("the body cannot be issued: {0}")]
    Invalid(protocol::DecodeError),
    /// The payload handed in is not the one the body names.
    #[error("the payload is not the one that the body names")]
    Payload,
}

/// What became of a message of this node, and of the payload handed in with it.
pub(crate) struct Issued {
    pub(crate) message: Id,
    pub(crate) place: Option<u64>,
}

/// A batch that this node has anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The message.
    pub message: Id,
    /// The batch's place among this node's payloads ([`Handle::own_payload`]).
    pub place: u64,
}

/// Why there is no evidence of a message's confirmation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// No such message here: it may be elsewhere, or not have arrived.
    #[error("this node has no message {0}")]
    Unknown(Id),
    /// The message waits for a milestone.
    #[error("message {0} is not confirmed yet: try again in a moment")]
    Pending(Id),
    /// The message lost against another of its issuer and counts for nothing.
    #[error("message {0} is void: its issuer equivocated")]
    Void(Id),
    /// The milestone that decided it is no longer here, or never was.
    #[error("this node no longer has what message {0} was confirmed with: ask a node that keeps more")]
    Dropped(Id),
    /// The milestone is final, but the certificate is not here yet.
    #[error("the certificate of milestone {0} has not arrived yet: try again in a moment")]
    Uncertified(u64),
    /// The certificate that closes an epoch is not here.
    #[error("the certificate that closes epoch {0} is not here: ask another node")]
    Handover(u64),
    /// The replica is stopping or has failed.
    #[error("the ledger node has stopped; its log says why")]
    Stopped,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the DAG, not confirmed.
    Pending,
    /// Confirmed.
    Confirmed {
        /// By the milestone of this height,
        height: u64,
        /// as the message of this place in it.
        index: u64,
    },
    /// Decided by a milestone that this node has dropped, or executed before this node joined.
    Settled,
    /// In the past cone of a milestone, but another message of its issuer counted in its place.
    Void {
        /// The milestone that decided it.
        height: u64,
    },
}

/// A message and where it stands.
#[derive(Clone, Debug)]
pub struct MessageRecord {
    /// The message.
    pub message: Arc<Message>,
    /// Where it stands.
    pub standing: Standing,
}

/// A payload of this node, with the message that names it.
#[derive(Clone, Debug)]
pub struct OwnPayload {
    /// Its place among this node's payloads: where a further question goes on.
    pub place: u64,
    /// The message.
    pub record: MessageRecord,
    /// The payload.
    pub payload: Vec<u8>,
}

/// A milestone that is final, and what it confirmed.
#[derive(Clone, Debug)]
pub struct MilestoneRecord {
    /// The milestone.
    pub milestone: Milestone,
    /// Its digest.
    pub digest: Id,
    /// The messages it confirmed, in order.
    pub messages: Vec<Id>,
    /// Messages in its past cone that do not count. Of milestones before those that it executed itself a node does not
    /// know them.
    pub void: Vec<Id>,
    /// Whether this node has dropped what the milestone confirmed; both lists are then empty.
    pub pruned: bool,
}

/// Everything between a message and the committee's signatures.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The message.
    pub message: Arc<Message>,
    /// Its place in the milestone.
    pub message_index: u64,
    /// From the message to `messages_root`.
    pub message_path: Vec<Id>,
    /// The milestone that confirms it.
    pub milestone: Milestone,
    /// The later milestone that carries the certificate, if it is not this one.
    pub anchor: Option<Anchor>,
    /// The certificate.
    pub finalization: Finalization,
    /// The closing milestones of the epochs before the certificate's, first to last.
    pub handovers: Vec<Handover>,
}

impl Evidence {
    /// The receipt of reading `leaf` of the batch that the message anchors; `None` if the batch has no such
    /// reading. It verifies only if the batch is the right one.
    #[must_use]
    pub fn receipt(self, batch: &Batch, leaf: u32) -> Option<Receipt> {
        let index = usize::try_from(leaf).ok()?;
        let reading = batch.readings.get(index)?.clone();
        Some(Receipt {
            reading,
            salt: batch::salt(&batch.secret, leaf),
            leaf_index: leaf,
            batch_path: merkle::path(&batch.leaves(), index)?,
            message: (*self.message).clone(),
            message_index: self.message_index,
            message_path: self.message_path,
            milestone: self.milestone,
            anchor: self.anchor,
            finalization: self.finalization,
            handovers: self.handovers,
        })
    }
}

/// How the replica is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node's key.
    pub key: PublicKey,
    /// Height of the last milestone it executed.
    pub height: u64,
    /// Digest of that milestone.
    pub digest: Id,
    /// That milestone's time, in milliseconds since 1970.
    pub milestone_ms: u64,
    /// Root of the state after it.
    pub state_root: Id,
    /// The epoch of the next milestone.
    pub epoch: u64,
    /// Who signs milestones in this epoch, ascending.
    pub committee: Vec<PublicKey>,
    /// Whether this node is a member of the committee.
    pub validator: bool,
    /// Whether too few members of the committee are in touch with this node to confirm anything. It goes on
    /// taking in and issuing; all of it is confirmed when the network is whole again.
    pub cut_off: bool,
    /// Messages that counted so far, on the whole network.
    pub messages: u64,
    /// Readings these messages anchored.
    pub readings: u64,
    /// Messages this node has issued.
    pub issued: u64,
    /// Other members of the committee heard of in the last seconds.
    pub peers: usize,
    /// Tips of the DAG.
    pub tips: usize,
    /// Messages in the DAG that no milestone has confirmed yet.
    pub unconfirmed: usize,
    /// Messages that wait for a parent.
    pub pending: usize,
    /// Messages known to be missing, which are asked for.
    pub wanted: usize,
    /// Issuers caught with two messages of one sequence since this node started.
    pub equivocations: u64,
    /// Orders and evidence that had no effect, since this node started.
    pub orders_refused: u64,
    /// Messages refused since this node started.
    pub refused: u64,
    /// The same by reason, each of them listed.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Messages fetched from peers because a push was missed.
    pub pulled: u64,
    /// Votes for requests that this node's messages carried, since it started.
    pub votes_cast: u64,
    /// Requests that became certified, as far as this node knows, since it started.
    pub spends_certified: u64,
    /// Requests that milestones executed, since this node started.
    pub spends_final: u64,
    /// Rejections of requests that this node signed, since it started.
    pub spends_rejected: u64,
    /// Certificates that this node put on the ledger, since it started.
    pub certificates_issued: u64,
}

/// Speaks to a running replica.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: Requests,
}

impl Handle {
    pub(crate) const fn new(requests: Requests) -> Self {
        Self { requests }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Issues a message. Returns its id once the message, and the payload it names, are durable here; the
    /// push to the peers is then under way.
    ///
    /// # Errors
    /// [`IssueError`]; then nothing was issued.
    pub async fn issue(&self, body: Body, payload: Option<Vec<u8>>) -> Result<Id, IssueError> {
        self.issued(body, payload).await.map(|issued| issued.message)
    }

    /// As [`Handle::issue`], of a body that names a payload: also tells where the payload is.
    ///
    /// # Errors
    /// [`IssueError`]; then nothing was issued.
    pub async fn anchor(&self, body: Body, payload: Vec<u8>) -> Result<Anchored, IssueError> {
        let Issued { message, place } = self.issued(body, Some(payload)).await?;
        place.map(|place| Anchored { message, place }).ok_or(IssueError::Payload)
    }

    async fn issued(&self, body: Body, payload: Option<Vec<u8>>) -> Result<Issued, IssueError> {
        self.ask(|reply| Request::Issue { body, payload, reply }).await.unwrap_or(Err(IssueError::Stopped))
    }

    /// How the replica is doing; `None` if it has stopped.
    pub async fn status(&self) -> Option<Status> {
        self.ask(|reply| Request::Status { reply }).await
    }

    /// A message by its id.
    pub async fn message(&self, id: Id) -> Option<MessageRecord> {
        self.ask(|reply| Request::Message { id, reply }).await.flatten()
    }

    /// The newest `limit` messages that arrived here, newest first. At most 1000.
    pub async fn recent_messages(&self, limit: usize) -> Vec<MessageRecord> {
        self.ask(|reply| Request::RecentMessages { limit, reply }).await.unwrap_or_default()
    }

    /// Messages in the order of their arrival, the newest first: those below the place `before`, or the newest, each with its
    /// place. At most 1000.
    pub async fn messages(&self, before: Option<u64>, limit: usize) -> Vec<(u64, MessageRecord)> {
        self.ask(|reply| Request::MessagesBefore { before, limit, reply }).await.unwrap_or_default()
    }

    /// A milestone this node has executed, by its height.
    pub async fn milestone(&self, height: u64) -> Option<MilestoneRecord> {
        self.ask(|reply| Request::Milestone { height, reply }).await.flatten()
    }

    /// Everything between a message and the committee's signatures.
    ///
    /// # Errors
    /// [`EvidenceError`] if the message is not here, not confirmed, void, or its certificate still on the way.
    pub async fn evidence(&self, id: Id) -> Result<Evidence, EvidenceError> {
        self.ask(|reply| Request::Evidence { id, reply }).await.unwrap_or(Err(EvidenceError::Stopped))
    }

    /// A payload this node stored, by its BLAKE3 digest.
    pub async fn payload(&self, blob: Id) -> Option<Vec<u8>> {
        self.ask(|reply| Request::Payload { blob, reply }).await.flatten()
    }

    /// The payload at a place among this node's own, and its message; `None` if one of them is no longer here.
    pub async fn own_payload(&self, place: u64) -> Option<OwnPayload> {
        self.ask(|reply| Request::OwnPayload { place, reply }).await.flatten()
    }

    /// This node's own payloads from the newest down, at most `limit` (and 1000), those before place `before` if
    /// given. A site uses it to find where it stopped. Fewer than `limit` means that there are no more.
    pub async fn own_payloads(&self, before: Option<u64>, limit: usize) -> Vec<OwnPayload> {
        self.ask(|reply| Request::OwnPayloads { before, limit, reply }).await.unwrap_or_default()
    }

    /// A value of the state as the committee certifies it, with its proof.
    ///
    /// # Errors
    /// [`ProofError`] if there is no value, or the certificate is not here yet: on an idle network it comes with the
    /// next heartbeat.
    pub async fn state_proof(&self, key: ledger::Key) -> Result<StateProof, ProofError> {
        self.ask(|reply| Request::StateProof { key, reply }).await.unwrap_or(Err(ProofError::Stopped))
    }

    /// The newest milestone with a certificate here, and the first handovers from epoch `from_epoch` on that lead to
    /// it; `None` if there is none yet, or a handover is missing here.
    pub async fn head(&self, from_epoch: u64) -> Option<Head> {
        self.ask(|reply| Request::Head { from_epoch, reply }).await.flatten()
    }

    /// The answer to a joining node's question, as [`crate::Upstream`] wants it.
    pub async fn sync(&self, question: Vec<u8>) -> Option<Vec<u8>> {
        self.ask(|reply| Request::Sync { question, reply }).await.flatten()
    }

    /// Makes durable what was executed, which otherwise happens within a quarter of a second: a node that is about to
    /// stop spares its next start the repetition.
    pub async fn commit(&self) {
        let _ = self.ask(|reply| Request::Commit { reply }).await;
    }

    /// Events from now on. A subscriber that lets `capacity` events pile up loses its subscription: the
    /// channel closes after the events it holds, and it asks again for what it missed.
    pub async fn subscribe(&self, capacity: usize) -> Option<mpsc::Receiver<Event>> {
        let (events, receiver) = mpsc::channel(capacity.max(1));
        self.ask(|reply| Request::Subscribe { events, reply }).await.map(|()| receiver)
    }
}
