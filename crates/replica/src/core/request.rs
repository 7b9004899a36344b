//! What the core is asked.

use crate::handle::{DeviceRecord, EpochRecord, Event, Evidence, EvidenceError, IssueError, Issued, MessageRecord, MilestoneRecord};
use crate::handle::{OrderRefusal, OwnPayload, PurseRecord, SiteChanges, SpendAnswer, SpendRecord, StakeRecord, Status};
use crate::handle::{ValidatorRecord, WalletRecord};
use crate::light::Head;
use crate::proof::{ProofError, StateProof};
use crate::sync::Reply;
use crate::wire::Frame;
use commonware_cryptography::ed25519::PublicKey;
use commonware_resolver::Outcome;
use commonware_utils::acknowledgement::Exact;
use commonware_utils::channel::{mpsc, oneshot};
use protocol::{Body, Id, Milestone};
use std::sync::Arc;

/// The way to the core.
pub(crate) type Requests = mpsc::Sender<Request>;

/// A milestone with its digest.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) digest: Id,
    pub(crate) milestone: Arc<Milestone>,
}

/// A milestone that is final, and marshal's wish to hear when it is done.
pub(crate) struct Finalized {
    pub(crate) link: Link,
    pub(crate) ack: Exact,
}

pub(crate) enum Request {
    /// Issue a message.
    Issue {
        body: Body,
        payload: Option<Vec<u8>>,
        reply: oneshot::Sender<Result<Issued, IssueError>>,
    },
    /// Carry requests of wallets.
    Spend {
        requests: Vec<protocol::Request>,
        reply: oneshot::Sender<Result<Vec<SpendAnswer>, IssueError>>,
    },
    SpendRecord {
        id: Id,
        reply: oneshot::Sender<Option<SpendRecord>>,
    },
    Certificate {
        id: Id,
        reply: oneshot::Sender<Option<protocol::Certificate>>,
    },
    Purse {
        wallet: protocol::PublicKey,
        reply: oneshot::Sender<PurseRecord>,
    },
    Service {
        id: Id,
        reply: oneshot::Sender<Option<ledger::Service>>,
    },
    /// What a request bought.
    Purchase {
        request: Id,
        reply: oneshot::Sender<Option<ledger::Purchase>>,
    },
    Coins {
        reply: oneshot::Sender<ledger::Coins>,
    },
    Status {
        reply: oneshot::Sender<Status>,
    },
    Message {
        id: Id,
        reply: oneshot::Sender<Option<MessageRecord>>,
    },
    RecentMessages {
        limit: usize,
        reply: oneshot::Sender<Vec<MessageRecord>>,
    },
    /// Messages in the order of their arrival, the newest first, from before a place on.
    MessagesBefore {
        before: Option<u64>,
        limit: usize,
        reply: oneshot::Sender<Vec<(u64, MessageRecord)>>,
    },
    Milestone {
        height: u64,
        reply: oneshot::Sender<Option<MilestoneRecord>>,
    },
    Evidence {
        id: Id,
        reply: oneshot::Sender<Result<Evidence, EvidenceError>>,
    },
    Payload {
        blob: Id,
        reply: oneshot::Sender<Option<Vec<u8>>>,
    },
    /// A payload by its place.
    OwnPayload {
        place: u64,
        reply: oneshot::Sender<Option<OwnPayload>>,
    },
    OwnPayloads {
        before: Option<u64>,
        limit: usize,
        reply: oneshot::Sender<Vec<OwnPayload>>,
    },
    /// Prove a value of the state.
    StateProof {
        key: ledger::Key,
        reply: oneshot::Sender<Result<StateProof, ProofError>>,
    },
    /// The newest certified milestone.
    Head {
        from_epoch: u64,
        reply: oneshot::Sender<Option<Head>>,
    },
    Epoch {
        reply: oneshot::Sender<EpochRecord>,
    },
    Validators {
        reply: oneshot::Sender<Vec<ValidatorRecord>>,
    },
    Validator {
        key: protocol::PublicKey,
        reply: oneshot::Sender<Option<ValidatorRecord>>,
    },
    Wallet {
        key: protocol::PublicKey,
        reply: oneshot::Sender<WalletRecord>,
    },
    Stake {
        wallet: protocol::PublicKey,
        validator: protocol::PublicKey,
        reply: oneshot::Sender<Option<StakeRecord>>,
    },
    Site {
        name: protocol::Name,
        reply: oneshot::Sender<Option<ledger::Site>>,
    },
    Device {
        name: protocol::DeviceName,
        reply: oneshot::Sender<Option<DeviceRecord>>,
    },
    /// Devices of a site, by their numbers.
    Devices {
        site: protocol::Name,
        from: u32,
        limit: u32,
        reply: oneshot::Sender<Vec<DeviceRecord>>,
    },
    SiteChanges {
        site: protocol::Name,
        since: u64,
        reply: oneshot::Sender<Option<SiteChanges>>,
    },
    DeviceKey {
        key: protocol::PublicKey,
        reply: oneshot::Sender<Option<ledger::DeviceKey>>,
    },
    /// What in a message had no effect.
    Refusals {
        message: Id,
        reply: oneshot::Sender<Vec<OrderRefusal>>,
    },
    /// Make durable what was executed.
    Commit {
        reply: oneshot::Sender<()>,
    },
    /// A joining node asks.
    Sync {
        question: Vec<u8>,
        reply: Reply,
    },
    Subscribe {
        events: mpsc::Sender<Event>,
        reply: oneshot::Sender<()>,
    },
    /// Consensus saw a validator sign two milestones of one view; unverified.
    Misbehaviour(Box<protocol::Evidence>),
    /// Messages a peer pushed.
    Pushed {
        peer: PublicKey,
        frame: Frame,
    },
    /// Tips a peer has; none is a sign of life.
    Announced {
        peer: PublicKey,
        tips: Vec<Id>,
    },
    /// A peer's answer to a pull.
    Delivered {
        key: Id,
        value: bytes::Bytes,
        verdict: oneshot::Sender<Outcome>,
    },
    /// A peer pulls.
    Asked {
        key: Id,
        answer: oneshot::Sender<bytes::Bytes>,
    },
    /// Build a milestone on top of the last of `chain` (oldest first; older ones may be executed already).
    /// `None` if there is nothing to confirm and `heartbeat` is false.
    Propose {
        chain: Vec<Link>,
        now_ms: u64,
        heartbeat: bool,
        reply: oneshot::Sender<Option<Milestone>>,
    },
    /// Check the last of `chain`. Answered once everything it names is here and durable.
    Verify {
        chain: Vec<Link>,
        reply: oneshot::Sender<bool>,
    },
}
