//! Requests before milestones: what is known of them, what this node votes for, which are certified.
//!
//! ```text
//!  messages that connect ─▶ heard ─▶ verified ─▶ spends ◀── votes
//!  callers ────────────────▶ carried ──┘           │
//!                                         candidates ─▶ chains + locks ─▶ votes of the next own message
//!  milestones ─▶ executed: chains and locks move on ─▶ what waited is tried again
//! ```
//! # Rules
//! - They are WAL-10 to WAL-32 of `docs/spec/wallet.md`.
//! - `spends`, `locks`, `chains`, `candidates` and `judging` know neither clock, disk nor network; `voting`, `carrying`, `ending`,
//!   `records` and `recovery` are the core's side of them.
//! - A vote is recorded in memory when it is decided and on disk before the message that carries it. No message carries one that is
//!   not recorded.
//! - Everything here can be forgotten but the locks: milestones execute for all.

mod candidates;
mod carrying;
mod chains;
mod ending;
mod judging;
mod locks;
mod records;
mod recovery;
mod spends;
mod voting;

pub(super) use carrying::Carried;
pub(super) use spends::Heard;

use crate::handle::{SpendEvent, SpendStatus};
use crate::store::Ballot;
use candidates::Candidates;
use carrying::Carrying;
use chains::Chain;
use locks::Locks;
use protocol::certificate::needed;
use protocol::{Body, Certificate, Id, Message, PublicKey, Reason};
use spends::Spends;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// Rejections sent in one round.
const REJECTIONS_MAX: usize = crate::wire::FRAME_REJECTIONS_MAX;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpendCounts {
    /// Votes that own messages carried.
    pub(super) votes_cast: u64,
    /// Requests that became certified.
    pub(super) certified: u64,
    /// Requests that milestones executed.
    pub(super) executed: u64,
    /// Rejections that this node signed.
    pub(super) rejected: u64,
    /// Certificates that this node put on the ledger.
    pub(super) certificates: u64,
}

/// Requests before milestones.
pub(super) struct FastPath {
    /// Those of the present epoch,
    now: Spends,
    /// and of the one before.
    before: Option<Spends>,
    locks: Locks,
    /// Of wallets some of whose requests wait for a milestone.
    chains: BTreeMap<PublicKey, Chain>,
    candidates: Candidates,
    /// Requests of messages that connected, whose signatures are not verified yet.
    heard: Vec<Heard>,
    /// Certificates of such messages, those of one message together.
    presented: Vec<Vec<Certificate>>,
    /// Requests that have votes enough since the last round.
    complete: BTreeSet<Id>,
    /// Votes that wait for a message.
    pending: BTreeSet<Id>,
    /// Votes of own messages that are not on disk yet.
    casting: Vec<Ballot>,
    /// What callers want carried, in the order in which they asked,
    carried: VecDeque<Carried>,
    /// and what is in messages that are not on disk yet.
    carrying: Vec<Carrying>,
    /// Requests of callers that are judged in this round, and why this node is not for them.
    asked: BTreeMap<Id, Option<Reason>>,
    /// Answers to those that carried a request.
    rejections: Vec<(PublicKey, Id, Reason)>,
    /// Who heard in this round of a request that cost nobody anything, and for what reason.
    cheap: BTreeSet<(PublicKey, &'static str)>,
    /// Requests that this node carried and whose status may have changed.
    doubtful: BTreeSet<Id>,
    /// What is to be told.
    events: Vec<SpendEvent>,
    pub(super) counts: SpendCounts,
    me: PublicKey,
    /// When this node was started, in milliseconds since 1970.
    started_ms: u64,
    /// Whether a milestone younger than the start was executed: until then there may be own votes that this disk has not heard of.
    current: bool,
    /// Whether this node has ended the present epoch.
    ended: bool,
    /// When a message with nothing but votes may be issued.
    next_vote: SystemTime,
    /// Ballots on disk below this were pruned.
    pruned: u64,
    /// Ballots of an epoch that a crash undid, until it begins again: their places on disk, and what they say.
    later: Vec<(u64, Ballot)>,
}

impl FastPath {
    /// Nothing is known yet; [`FastPath::enter`] comes first.
    pub(super) fn new(me: PublicKey, started_ms: u64, now: SystemTime) -> Self {
        Self {
            now: Spends::new(0, Vec::new(), 0),
            before: None,
            locks: Locks::default(),
            chains: BTreeMap::new(),
            candidates: Candidates::default(),
            heard: Vec::new(),
            presented: Vec::new(),
            complete: BTreeSet::new(),
            pending: BTreeSet::new(),
            casting: Vec::new(),
            carried: VecDeque::new(),
            carrying: Vec::new(),
            asked: BTreeMap::new(),
            rejections: Vec::new(),
            cheap: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            events: Vec::new(),
            counts: SpendCounts::default(),
            me,
            started_ms,
            current: false,
            ended: false,
            next_vote: now,
            pruned: 0,
            later: Vec::new(),
        }
    }

    /// Begins an epoch: its requests, votes and locks are others.
    pub(super) fn enter(&mut self, epoch: u64, committee: Vec<PublicKey>, threshold_percent: u8) {
        let needed = needed(committee.len(), threshold_percent);
        let mut over = std::mem::replace(&mut self.now, Spends::new(epoch, committee, needed));
        let (height, time_ms) = over.reached();
        self.now.reach(height, time_ms);
        over.end();
        for (id, request) in over.lapsed() {
            self.events.push(SpendEvent { id, request, status: SpendStatus::Lapsed });
        }
        self.before = Some(over);
        // what this node met of its own while it caught up may be of an epoch to come
        let abstains = self.locks.abstains() && !self.current;
        self.locks = Locks::default();
        if abstains {
            self.locks.abstain();
            self.casting.push(Ballot::Abstain { epoch });
        }
        self.chains.clear();
        self.candidates = Candidates::default();
        self.heard.clear();
        self.presented.clear();
        self.complete.clear();
        self.pending.clear();
        self.doubtful.clear();
        self.take_rejections();
        self.ended = false;
        for (index, ballot) in std::mem::take(&mut self.later) {
            self.restore(index, ballot);
        }
    }

    /// A ballot was read back from its place on disk.
    fn restore(&mut self, index: u64, ballot: Ballot) {
        match ballot {
            _ if ballot.epoch() > self.now.epoch() => self.later.push((index, ballot)),
            _ if ballot.epoch() < self.now.epoch() => {}
            Ballot::Vote { wallet, number, request, .. } => {
                self.locks.lock(wallet, number, request);
                self.locks.written(wallet, number, index);
            }
            Ballot::Abstain { .. } => {
                self.locks.abstain();
            }
        }
    }

    /// The first ballot on disk that is still needed.
    fn ballots_floor(&self) -> Option<u64> {
        self.later.iter().map(|(index, _)| *index).chain(self.locks.floor()).min()
    }

    /// This node's place in the committee.
    fn seat(&self) -> Option<u8> {
        self.now.place(&self.me)
    }

    /// Whether this node votes.
    fn may_vote(&self) -> bool {
        self.current && !self.ended && !self.locks.abstains() && self.seat().is_some()
    }

    /// Takes note of a message that connected, or was issued here.
    pub(super) fn hear(&mut self, message: &Message) {
        let id = message.id();
        if let Some(voter) = self.now.place(&message.issuer) {
            for request in &message.votes {
                if self.now.vote(request, voter, id) {
                    self.complete.insert(*request);
                }
                self.doubtful.extend(self.now.contested(request));
            }
            if matches!(message.body, Body::EndOfEpoch { epoch } if epoch == self.now.epoch()) {
                self.now.farewell(voter);
                self.ended |= message.issuer == self.me;
            }
        }
        match &message.body {
            Body::Requests(requests) => {
                for request in requests {
                    self.hear_request(Heard { id: request.id(), request: Arc::new(request.clone()), message: id, issuer: message.issuer });
                }
            }
            Body::Certificates(certificates) => {
                let of_now = certificates.iter().filter(|c| c.request.epoch == self.now.epoch());
                self.presented.push(of_now.cloned().collect());
            }
            _ => {}
        }
    }

    fn hear_request(&mut self, heard: Heard) {
        let epoch = self.now.epoch();
        if heard.request.epoch == epoch {
            match self.now.carried_by(&heard) {
                // somebody sends it again: perhaps it can be voted for now
                true => self.try_again(&heard.id),
                false => self.heard.push(heard),
            }
        } else if heard.request.epoch != epoch.saturating_add(1) {
            // one of the next epoch is heard again when that begins
            self.answer(heard.id, heard.issuer, Reason::Epoch { now: epoch });
        }
    }

    /// Judges a request of which this node knows in the next round, unless it voted for it.
    fn try_again(&mut self, id: &Id) {
        let seat = self.seat();
        let Some(spend) = self.now.get(id).filter(|s| s.executed.is_none()) else { return };
        if seat.is_some_and(|seat| !spend.votes.contains_key(&seat)) {
            self.candidates.add((spend.request.wallet, spend.request.number, *id));
        }
    }

    /// A request is known now: it is judged in the next round.
    fn take(&mut self, heard: &Heard, carried_here: bool) {
        let kept = self.now.add(heard.id, &heard.request);
        self.now.carried_by(heard);
        if carried_here {
            self.now.carried_here(&heard.id);
        }
        if kept.complete {
            self.complete.insert(heard.id);
        }
        if let Some(gone) = kept.evicted {
            self.candidates.forget(&gone);
            self.pending.remove(&gone.2);
            self.complete.remove(&gone.2);
        }
        self.try_again(&heard.id);
    }

    /// Notes why this node is not for a request, for whoever carried it. What costs neither work nor a wallet's signature is
    /// answered once for each carrier, reason and round: an honest node carries none such, but where an epoch ends.
    fn answer(&mut self, request: Id, carrier: PublicKey, reason: Reason) {
        if self.seat().is_none() || carrier == self.me || self.rejections.len() >= REJECTIONS_MAX {
            return;
        }
        let cheap = matches!(reason, Reason::Epoch { .. } | Reason::Work { .. } | Reason::Signature);
        if !cheap || self.cheap.insert((carrier, reason.kind())) {
            self.rejections.push((carrier, request, reason));
        }
    }

    /// What was noted for those that carried requests in this round.
    fn take_rejections(&mut self) -> Vec<(PublicKey, Id, Reason)> {
        self.cheap.clear();
        std::mem::take(&mut self.rejections)
    }

    /// The votes that the next own message, with this body, carries, ascending. One for a request that is in no message yet waits for
    /// the one that carries it: the ledger counts votes for what it has registered.
    pub(super) fn ballots(&self, body: &Body) -> Vec<Id> {
        if !self.may_vote() || matches!(body, Body::Certificates(_)) {
            return Vec::new();
        }
        let here: BTreeSet<Id> = match body {
            Body::Requests(requests) => requests.iter().map(protocol::Request::id).collect(),
            _ => BTreeSet::new(),
        };
        let carried = |id: &&Id| here.contains(*id) || self.now.get(id).is_none_or(|spend| !spend.carriers.is_empty());
        self.pending.iter().filter(carried).take(protocol::limits::VOTES_MAX).copied().collect()
    }

    /// A request of a caller got no message. A vote for it that is in no message either is taken back, so that its wallet may sign
    /// another one.
    fn retract(&mut self, id: &Id, wallet: &PublicKey, number: u64) {
        if self.pending.contains(id) && self.locks.retract(wallet, number, id) {
            self.pending.remove(id);
            if let Some(chain) = self.chains.get_mut(wallet) {
                chain.cut(number);
            }
        }
        self.now.forget_unheard(id);
    }

    /// These votes are in an own message: they must be on disk before it.
    pub(super) fn cast(&mut self, votes: &[Id]) {
        let epoch = self.now.epoch();
        for id in votes {
            self.pending.remove(id);
            if let Some(spend) = self.now.get(id) {
                let (wallet, number) = (spend.request.wallet, spend.request.number);
                self.casting.push(Ballot::Vote { epoch, wallet, number, request: *id });
            }
        }
        self.counts.votes_cast += votes.len() as u64;
    }

    /// A milestone of this height executed these requests.
    pub(super) fn executed(&mut self, done: Vec<ledger::Executed>, height: u64, time_ms: u64) {
        self.now.reach(height, time_ms);
        self.current |= time_ms > self.started_ms;
        self.counts.executed += done.len() as u64;
        for ledger::Executed { request: id, wallet, number, content } in done {
            self.locks.release(&wallet, number);
            self.candidates.wake_wallet(&wallet);
            self.pending.remove(&id);
            self.complete.remove(&id);
            self.doubtful.extend(self.now.slot(&wallet, number).iter().filter(|other| **other != id));
            // a chain that was executed to its end is not needed any more
            if self.chains.get(&wallet).is_some_and(|chain| chain.end().number <= number.saturating_add(1)) {
                self.chains.remove(&wallet);
            }
            let request = self.now.executed(&id, height).unwrap_or_else(|| Arc::new(content));
            self.events.push(SpendEvent { id, request, status: SpendStatus::Final { height } });
        }
        self.candidates.wake_funds();
    }

    /// Whether this node has ended the epoch, as the ledger says.
    pub(super) fn end_as(&mut self, farewells: &ledger::Farewells) {
        let bit = self.seat().and_then(|seat| 1u128.checked_shl(u32::from(seat))).unwrap_or(0);
        self.ended = farewells.of(self.now.epoch()) & bit != 0;
    }

    /// Whether enough members have ended the epoch for it to close, as far as this node has heard.
    pub(super) fn may_close(&self) -> bool {
        self.now.may_close()
    }

    /// What there is to tell.
    pub(super) fn take_events(&mut self) -> Vec<SpendEvent> {
        let doubtful = std::mem::take(&mut self.doubtful);
        for id in doubtful {
            let told = self.now.told_anew(&id);
            self.events.extend(told.map(|(request, status)| SpendEvent { id, request, status }));
        }
        std::mem::take(&mut self.events)
    }

    /// Whether callers wait for the next round.
    pub(super) fn has_callers(&self) -> bool {
        !self.carried.is_empty()
    }

    /// When the loop must go on for the sake of votes.
    pub(super) fn deadline(&self) -> Option<SystemTime> {
        (!self.pending.is_empty() && self.may_vote()).then_some(self.next_vote)
    }
}
