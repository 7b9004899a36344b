//! The loop.

use super::cuts::{Cut, Executed, Frontier};
use super::execution::Uncommitted;
use super::fastpath::{Carried, FastPath};
use super::offences::Accusations;
use super::pace::Pace;
use super::rates::Rates;
use super::refused::LastRefused;
use super::request::{Finalized, Link, Request};
use super::retention::Retention;
use super::wanted::{Source, Wanted};
use crate::defences::Defences;
use crate::epochs::Cue;
use crate::handle::{Event, IssueError, Issued};
use crate::network::Registered;
use crate::state::{State, StateError};
use crate::store::{Disk, Store, StoreError};
use crate::sync::{JoinError, Summits};
use crate::wire::Block;
use crate::wire::{Digest, Frame, Scheme};
use commonware_consensus::marshal::{core::Mailbox, standard::Standard};
use commonware_cryptography::ed25519;
use commonware_macros::select;
use commonware_runtime::Spawner;
use commonware_utils::channel::{mpsc, oneshot};
use commonware_utils::sync::Notify;
use dag::Dag;
use protocol::{Genesis, Id, Message, Milestone, NetworkId, PublicKey, SecretKey};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// How long a missing parent may still arrive by itself before it is pulled.
pub(super) const PULL_DELAY: Duration = Duration::from_millis(50);
/// Time between two announcements of the tips while they change,
pub(super) const ANNOUNCE_BUSY: Duration = Duration::from_millis(250);
/// and while they do not.
pub(super) const ANNOUNCE_IDLE: Duration = Duration::from_secs(1);
/// A peer that announced nothing for this long is not there.
const PEER_SILENT: Duration = Duration::from_secs(5);
const _: () = assert!(ANNOUNCE_IDLE.as_millis() * 3 < PEER_SILENT.as_millis());
/// Subscribers of events.
const SUBSCRIBERS_MAX: usize = 256;
/// Tips in one announcement.
pub(crate) const ANNOUNCED_MAX: usize = 64;
/// Requests taken in one round of the loop, before what they wrote is synced.
const ROUND_MAX: usize = 512;

/// Why the core stopped.
#[derive(Debug, Error)]
pub(crate) enum CoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the data directory is of another network or damaged: {0}")]
    Inconsistent(&'static str),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("the task that runs consensus has ended")]
    Consensus,
    #[error("milestone {height} is final but does not hold here: {why}")]
    Diverged { height: u64, why: &'static str },
}

/// What the core can hold of things that peers decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Milestones after which a confirmed message leaves memory.
    pub(crate) keep_milestones: u64,
    /// What stays on disk.
    pub(crate) retention: Retention,
}

/// The ways out of the core. Each hands over without waiting.
pub(crate) struct Outlets {
    /// To one peer, or to all.
    pub(crate) push: Box<dyn FnMut(Option<ed25519::PublicKey>, Frame) + Send + Sync>,
    pub(crate) announce: Box<dyn FnMut(Vec<Digest>) + Send + Sync>,
    pub(crate) fetch: Box<dyn FnMut(Digest) + Send + Sync>,
    /// Which validators registered an address, as an epoch begins; nobody listens in a simulation.
    pub(crate) registered: Box<dyn FnMut(Registered) + Send + Sync>,
    /// To whoever runs consensus.
    pub(crate) cues: mpsc::UnboundedSender<Cue>,
}

/// A question of consensus that waits for messages.
pub(super) enum Job {
    Propose { chain: Vec<Link>, now_ms: u64, heartbeat: bool, reply: oneshot::Sender<Option<Milestone>> },
    Verify { chain: Vec<Link>, reply: oneshot::Sender<bool> },
}

/// Who waits to hear that a message is issued.
pub(super) type IssueReply = oneshot::Sender<Result<Issued, IssueError>>;

/// An own message, in the graph but not yet on disk.
pub(super) struct Unsaved {
    pub(super) message: Arc<Message>,
    pub(super) payload: Option<Vec<u8>>,
    /// Who waits to hear that it is on disk.
    pub(super) reply: IssueReply,
}

/// The issuer's side of the core.
pub(super) struct Own {
    pub(super) next_sequence: u64,
    pub(super) last: Id,
    /// The sequence after the last own message that counted.
    pub(super) counted: u64,
    pub(super) issued: u64,
    /// Messages of this round.
    pub(super) unsaved: Vec<Unsaved>,
    /// Sequence and place of payloads whose messages are not confirmed, oldest first.
    pub(super) payloads: VecDeque<(u64, u64)>,
    /// Messages to push once durable.
    pub(super) outbox: Vec<Arc<Message>>,
}

/// Counts since the start.
#[derive(Default)]
pub(super) struct Counts {
    /// Messages refused, by [kind](super::refusal::Refusal::kind).
    pub(super) refusals: BTreeMap<&'static str, u64>,
    pub(super) pulled: u64,
    pub(super) equivocations: u64,
    pub(super) orders_refused: u64,
    /// The last of them.
    pub(super) last_refused: LastRefused,
}

/// The one task that owns graph, archive and state.
pub(crate) struct Core<E: Disk + Spawner> {
    pub(super) context: E,
    pub(super) genesis: Genesis,
    pub(super) network: NetworkId,
    pub(super) key: SecretKey,
    pub(super) me: PublicKey,
    /// Who signs milestones now.
    pub(super) committee: Vec<PublicKey>,
    /// Registered validators, who may issue: those met so far.
    pub(super) issuers: BTreeSet<PublicKey>,
    pub(super) accusations: Accusations,
    /// Where each issuer stands after the last milestone executed.
    pub(super) frontier: Frontier,
    /// Issuers of which the state, after that milestone, remembers void messages: those met so far.
    pub(super) suspects: BTreeSet<PublicKey>,
    /// Connected messages that have a rival of the same sequence and are not confirmed, or whose issuer is barred.
    pub(super) rivals: BTreeSet<Id>,
    pub(super) limits: Limits,
    pub(super) defences: Defences,
    pub(super) clock_offset_ms: i64,
    pub(super) dag: Dag<Arc<Message>>,
    /// Where each unconfirmed message stands in the table of messages.
    pub(super) arrivals: BTreeMap<Id, u64>,
    pub(super) unconfirmed: BTreeSet<u64>,
    pub(super) store: Store<E>,
    pub(crate) state: State<E>,
    pub(super) executed: Executed,
    /// Milestones verified but not executed, by digest.
    pub(super) cuts: BTreeMap<Id, Cut>,
    /// Milestones executed whose effects are not durable yet.
    pub(super) uncommitted: Uncommitted,
    pub(super) jobs: Vec<Job>,
    pub(super) pace: Pace,
    pub(super) finalized: VecDeque<Finalized>,
    pub(super) own: Own,
    pub(super) wanted: Wanted,
    pub(super) outlets: Outlets,
    pub(crate) chain: Mailbox<Scheme, Standard<Block>>,
    pub(super) bell: Arc<Notify>,
    pub(super) subscribers: Vec<mpsc::Sender<Event>>,
    pub(super) counts: Counts,
    pub(super) rates: Rates,
    pub(super) fast: FastPath,
    /// When each peer announced its tips last. There are no more peers than the network makes room for.
    pub(super) heard: BTreeMap<ed25519::PublicKey, SystemTime>,
    pub(super) next_push: SystemTime,
    pub(super) next_announce: SystemTime,
    pub(super) announced: Vec<Digest>,
    pub(crate) summits: Summits,
    /// What a final milestone waits for, and what that waits for.
    pub(super) needed: BTreeSet<Id>,
    /// The epoch in which this node, outside the committee, showed that it is there.
    pub(super) shown: Option<u64>,
    pub(super) next_prune: SystemTime,
    /// The highest milestone whose messages may be gone.
    pub(super) pruned: u64,
    /// Bytes of all messages and payloads ever written here.
    pub(super) stored_bytes: u64,
    /// What peers pushed in this round.
    pub(super) pushed: Vec<Arc<Message>>,
    /// A secret of this node, for verifying signatures together.
    pub(super) batch_seed: [u8; 32],
    /// Whether the graph grew since jobs were tried last.
    pub(super) grown: bool,
}

impl<E: Disk + Spawner> Core<E> {
    /// Runs until every way to ask it is gone, or storage fails.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut finalized: mpsc::UnboundedReceiver<Finalized>,
    ) -> Result<(), CoreError> {
        loop {
            let (deadline, waiting) = (self.deadline(), self.jobs.len());
            select! {
                _ = self.context.sleep_until(deadline) => {},
                item = finalized.recv() => match item {
                    Some(item) => self.finalized.push_back(item),
                    None => return Ok(()),
                },
                request = requests.recv() => match request {
                    Some(request) => self.handle(request).await?,
                    None => return Ok(()),
                },
            }
            for _ in 0..ROUND_MAX {
                let Ok(request) = requests.try_recv() else { break };
                self.handle(request).await?;
            }
            self.admit_pushed().await?;
            self.accuse().await?;
            self.spend_round().await?;
            while let Ok(item) = finalized.try_recv() {
                self.finalized.push_back(item);
            }
            let executed = self.execute_finalized().await?;
            if executed {
                self.present_certificates().await?;
                self.spend_round().await?;
            }
            if std::mem::take(&mut self.grown) || executed || self.jobs.len() > waiting {
                self.try_jobs().await?;
            }
            self.commit_if_due().await?;
            self.prune_if_due().await?;
            self.sign_of_life().await?;
            self.pull_missing();
            self.push_outbox();
            self.announce_tips();
        }
    }

    /// Peers heard of lately.
    pub(super) fn peers(&self) -> usize {
        let now = self.context.current();
        self.heard.values().filter(|at| now < **at + PEER_SILENT).count()
    }

    /// Whether fewer members of the committee are in touch with this node than it takes to confirm anything. The
    /// node goes on issuing; what it issues is confirmed when the network is whole again.
    pub(super) fn cut_off(&self) -> bool {
        let now = self.context.current();
        let there = |member: &&PublicKey| {
            **member == self.me
                || crate::wire::public_key(member).and_then(|k| self.heard.get(&k)).is_some_and(|at| now < *at + PEER_SILENT)
        };
        self.committee.iter().filter(there).count() < protocol::quorum(self.committee.len())
    }

    /// Height of the last milestone executed.
    pub(crate) const fn executed_height(&self) -> u64 {
        self.executed.height
    }

    /// When the loop must go on even if nobody asks anything.
    fn deadline(&self) -> SystemTime {
        if self.fast.has_callers() {
            return self.context.current();
        }
        let mut deadline = self.next_announce;
        if let Some(at) = self.wanted.next() {
            deadline = deadline.min(at);
        }
        if !self.own.outbox.is_empty() {
            deadline = deadline.min(self.next_push);
        }
        if let Some(at) = self.uncommitted.due {
            deadline = deadline.min(at);
        }
        if let Some(at) = self.fast.deadline() {
            deadline = deadline.min(at);
        }
        deadline
    }

    async fn handle(&mut self, request: Request) -> Result<(), CoreError> {
        match request {
            Request::Issue { body, payload, reply } => self.issue(body, payload, reply).await?,
            Request::Pushed { peer, frame } => {
                let Frame(messages, rejections) = frame;
                for message in messages {
                    if self.may_push(&peer, &message) {
                        self.pushed.push(message);
                    }
                }
                self.rejected(&peer, rejections);
            }
            Request::Announced { peer, tips } => {
                self.heard.insert(peer.clone(), self.context.current());
                for id in tips {
                    if !self.knows(&id).await? && self.may_announce(&peer) {
                        self.want_from(id, PULL_DELAY, Source::Peer(peer.clone()));
                    }
                }
            }
            Request::Delivered { key, value, verdict } => self.delivered(key, &value, verdict).await?,
            Request::Asked { key, answer } => self.produce(key, answer).await?,
            // taken up at the end of the round, when what is final by now has been executed
            Request::Propose { chain, now_ms, heartbeat, reply } => self.jobs.push(Job::Propose { chain, now_ms, heartbeat, reply }),
            Request::Verify { chain, reply } => {
                if let Some(link) = chain.last() {
                    self.pace.proposed(link.milestone.height, link.digest);
                }
                self.jobs.push(Job::Verify { chain, reply });
            }
            Request::Subscribe { events, reply } => {
                self.subscribers.retain(|s| !s.is_closed());
                if self.subscribers.len() < SUBSCRIBERS_MAX {
                    self.subscribers.push(events);
                    let _ = reply.send(());
                }
            }
            Request::Commit { reply } => {
                self.uncommitted.due = Some(self.context.current());
                self.commit_if_due().await?;
                let _ = reply.send(());
            }
            Request::Spend { requests, reply } => self.carry(Carried { requests, reply }),
            Request::Misbehaviour(evidence) => self.accusations.hear(*evidence),
            query => self.answer(query).await?,
        }
        Ok(())
    }

    /// Notes that a message which a milestone needs is missing.
    pub(super) fn want(&mut self, id: Id, delay: Duration) {
        self.want_from(id, delay, Source::Consensus);
    }

    /// Notes that a message is missing, on somebody's word.
    pub(super) fn want_from(&mut self, id: Id, delay: Duration, source: Source) {
        let at = self.context.current() + delay;
        self.wanted.add(id, at, source);
    }

    /// Sends an event to everybody who keeps up.
    pub(super) fn emit(&mut self, event: &Event) {
        self.subscribers.retain(|s| s.try_send(event.clone()).is_ok());
    }
}
