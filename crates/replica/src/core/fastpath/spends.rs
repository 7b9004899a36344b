//! What is known of the requests of one epoch: who carried them, who voted for them, what became of them.
//!
//! Every request in here has a good signature and the work that the network asks for.

use super::candidates::Slot;
use crate::handle::SpendStatus;
use protocol::{Certificate, Id, PublicKey, Reason, Rejection, Request};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Requests that are remembered: several seconds of what a fast network certifies.
const SPENDS_MAX: usize = 32_768;
/// Of those that come first, how many are passed over before one that still matters is forgotten.
const PASSED_OVER_MAX: usize = 64;
/// Requests of one wallet and number that are remembered. More than one is the wallet's fault.
const RIVALS_MAX: usize = 16;
/// Messages remembered as carriers of a request.
const CARRIERS_MAX: usize = 4;
/// Votes of one member for requests that are not known, or not known yet.
const STRAYS_MAX: usize = 8_192;
/// Milestones after which a request that too few voted for is carried again, if somebody asks.
const CARRIED_AGAIN: u64 = 2;
/// Certificates that were put together here and are kept: the latest. One of 33 votes takes up to 14 KiB.
const ASSEMBLED_MAX: usize = 1_024;
/// Kept rejections of a request: one of each member.
const REJECTIONS_MAX: usize = protocol::limits::COMMITTEE_MAX;

/// A request as a message carries it.
pub(in crate::core) struct Heard {
    pub(super) id: Id,
    pub(super) request: Arc<Request>,
    /// The message; the zero id if it is a caller's and in no message yet.
    pub(super) message: Id,
    /// Who issued that.
    pub(super) issuer: PublicKey,
}

/// A request and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Spend {
    pub(super) request: Arc<Request>,
    pub(super) next_state: Id,
    /// Messages that carry it, and their issuers.
    pub(super) carriers: Vec<(Id, PublicKey)>,
    /// The last milestone executed when one of them came last.
    carried_at: u64,
    /// The messages with votes for it, by the voters' places.
    pub(super) votes: BTreeMap<u8, Id>,
    /// A certificate that somebody put on the ledger, or that was put together here.
    pub(super) certificate: Option<Box<Certificate>>,
    /// The milestone after which it had votes enough.
    pub(super) complete_at: Option<u64>,
    /// That milestone's time, in milliseconds since 1970.
    pub(super) complete_ms: u64,
    /// It and all before it that wait for a milestone have votes enough.
    pub(super) certified: bool,
    /// The milestone that executed it.
    pub(super) executed: Option<u64>,
    pub(super) rejections: Vec<Rejection>,
    /// This node carried it for a caller.
    pub(super) mine: bool,
    /// This node has put its certificate on the ledger.
    pub(super) presented: bool,
    /// What was told last.
    told: SpendStatus,
}

/// What adding a request led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Votes that came before it are enough.
    pub(super) complete: bool,
    /// What was forgotten in its place.
    pub(super) evicted: Option<Slot>,
}

/// A member's votes for requests that are not known.
#[derive(Debug, Default)]
struct Strays {
    messages: BTreeMap<Id, Id>,
    order: VecDeque<Id>,
}

/// The requests of an epoch.
#[derive(Debug)]
pub(super) struct Spends {
    epoch: u64,
    committee: Vec<PublicKey>,
    needed: usize,
    over: bool,
    /// After the last milestone executed,
    height: u64,
    /// and its time, in milliseconds since 1970.
    time_ms: u64,
    by_id: BTreeMap<Id, Spend>,
    by_slot: BTreeMap<(PublicKey, u64), Vec<Id>>,
    order: VecDeque<Id>,
    /// Those with votes enough that no milestone executed.
    open: BTreeSet<Id>,
    /// Those whose certificates were put together here and are kept, oldest first.
    assembled: VecDeque<Id>,
    strays: BTreeMap<u8, Strays>,
    /// Members that said that they vote no more.
    farewells: BTreeSet<u8>,
}

/// Whether a validator that is not for a request for this reason may well be for it soon.
pub(super) const fn passes(reason: &Reason) -> bool {
    matches!(reason, Reason::Funds { .. } | Reason::Time { .. })
}

impl Spends {
    pub(super) const fn new(epoch: u64, committee: Vec<PublicKey>, needed: usize) -> Self {
        Self {
            epoch,
            committee,
            needed,
            over: false,
            height: 0,
            time_ms: 0,
            by_id: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            order: VecDeque::new(),
            open: BTreeSet::new(),
            assembled: VecDeque::new(),
            strays: BTreeMap::new(),
            farewells: BTreeSet::new(),
        }
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn needed(&self) -> usize {
        self.needed
    }

    pub(super) fn members(&self) -> usize {
        self.committee.len()
    }

    /// A member's place in the committee.
    pub(super) fn place(&self, key: &PublicKey) -> Option<u8> {
        self.committee.binary_search(key).ok().and_then(|place| u8::try_from(place).ok())
    }

    pub(super) fn committee(&self) -> &[PublicKey] {
        &self.committee
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Spend> {
        self.by_id.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Id, &Spend)> {
        self.by_id.iter()
    }

    /// The requests of a wallet with this number.
    pub(super) fn slot(&self, wallet: &PublicKey, number: u64) -> &[Id] {
        self.by_slot.get(&(*wallet, number)).map_or(&[], Vec::as_slice)
    }

    /// Whether a request has votes enough.
    pub(super) fn is_complete(&self, id: &Id) -> bool {
        self.by_id.get(id).is_some_and(|spend| spend.complete_at.is_some())
    }

    /// Those with votes enough that no milestone executed.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Id, &Spend)> {
        self.open.iter().filter_map(|id| self.by_id.get(id).map(|spend| (id, spend)))
    }

    /// Takes in a request that is good.
    pub(super) fn add(&mut self, id: Id, request: &Arc<Request>) -> Kept {
        let slot = (request.wallet, request.number);
        if self.by_id.contains_key(&id) || self.slot(&slot.0, slot.1).len() >= RIVALS_MAX {
            return Kept::default();
        }
        let evicted = (self.by_id.len() >= SPENDS_MAX).then(|| self.evict()).flatten();
        let mut votes = BTreeMap::new();
        for (voter, strays) in &mut self.strays {
            votes.extend(strays.messages.remove(&id).map(|message| (*voter, message)));
        }
        let complete = self.needed > 0 && votes.len() >= self.needed;
        let spend = Spend {
            request: Arc::clone(request),
            next_state: protocol::request::next_state(&request.state, &id),
            carriers: Vec::new(),
            carried_at: self.height,
            votes,
            certificate: None,
            complete_at: complete.then_some(self.height),
            complete_ms: self.time_ms,
            certified: false,
            executed: None,
            rejections: Vec::new(),
            mine: false,
            presented: false,
            told: SpendStatus::Pending,
        };
        self.by_id.insert(id, spend);
        self.by_slot.entry(slot).or_default().push(id);
        self.order.push_back(id);
        if complete {
            self.open.insert(id);
        }
        Kept { complete, evicted }
    }

    /// Forgets one of the oldest, if possible one that is done with.
    fn evict(&mut self) -> Option<Slot> {
        for _ in 0..PASSED_OVER_MAX.min(self.order.len()) {
            let id = self.order.pop_front()?;
            match self.by_id.get(&id) {
                Some(spend) if spend.executed.is_none() && (spend.mine || !spend.votes.is_empty()) => self.order.push_back(id),
                _ => return self.remove(id),
            }
        }
        let id = self.order.pop_front()?;
        self.remove(id)
    }

    fn remove(&mut self, id: Id) -> Option<Slot> {
        let spend = self.by_id.remove(&id)?;
        self.open.remove(&id);
        if spend.certificate.is_some() {
            self.assembled.retain(|other| *other != id);
        }
        let slot = (spend.request.wallet, spend.request.number);
        if let Some(ids) = self.by_slot.get_mut(&slot) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_slot.remove(&slot);
            }
        }
        Some((slot.0, slot.1, id))
    }

    /// Forgets a request that nobody but this node has heard of.
    pub(super) fn forget_unheard(&mut self, id: &Id) {
        if self.by_id.get(id).is_some_and(|s| s.carriers.is_empty() && s.votes.is_empty() && s.executed.is_none()) {
            // it came last, or nearly
            if let Some(at) = self.order.iter().rposition(|other| other == id) {
                self.order.remove(at);
            }
            self.remove(*id);
        }
    }

    /// Forgets a request whose number a milestone has executed: this one, before it was heard of, or another. Those that this node
    /// carried stay, for their callers to be told, and so does what is known to be at its end.
    pub(super) fn forget_done(&mut self, id: &Id) -> bool {
        let stays = self.by_id.get(id).is_none_or(|spend| spend.mine) || self.status(id).is_some_and(SpendStatus::ended);
        if stays {
            return false;
        }
        if let Some(at) = self.order.iter().rposition(|other| other == id) {
            self.order.remove(at);
        }
        self.remove(*id).is_some()
    }

    /// Notes who carries a request; `false` if it is not known.
    pub(super) fn carried_by(&mut self, heard: &Heard) -> bool {
        let height = self.height;
        let Some(spend) = self.by_id.get_mut(&heard.id) else { return false };
        let known = spend.carriers.iter().any(|(message, _)| *message == heard.message);
        if !known && heard.message != Id([0; 32]) {
            spend.carried_at = height;
            if spend.carriers.len() < CARRIERS_MAX {
                spend.carriers.push((heard.message, heard.issuer));
            }
        }
        true
    }

    /// A request that too few have voted for although milestones were executed since a message carried it: who was not for it then may
    /// be now, and judges it again when it hears it again.
    pub(super) fn neglected(&self, id: &Id) -> Option<Arc<Request>> {
        let spend = self.by_id.get(id).filter(|s| s.executed.is_none() && s.complete_at.is_none())?;
        (self.height > spend.carried_at.saturating_add(CARRIED_AGAIN)).then(|| Arc::clone(&spend.request))
    }

    /// This node carries it for a caller.
    pub(super) fn carried_here(&mut self, id: &Id) {
        if let Some(spend) = self.by_id.get_mut(id) {
            spend.mine = true;
        }
    }

    /// Counts a vote; `true` if it made them enough.
    pub(super) fn vote(&mut self, id: &Id, voter: u8, message: Id) -> bool {
        let Some(spend) = self.by_id.get_mut(id) else {
            let strays = self.strays.entry(voter).or_default();
            if strays.messages.insert(*id, message).is_none() {
                strays.order.push_back(*id);
            }
            // some of those in the order were joined with their requests
            while strays.order.len() > STRAYS_MAX {
                let Some(oldest) = strays.order.pop_front() else { break };
                strays.messages.remove(&oldest);
            }
            return false;
        };
        spend.votes.entry(voter).or_insert(message);
        let complete = spend.complete_at.is_none() && spend.votes.len() >= self.needed;
        if complete {
            spend.complete_at = Some(self.height);
            spend.complete_ms = self.time_ms;
            if spend.executed.is_none() {
                self.open.insert(*id);
            }
        }
        complete
    }

    /// Takes a certificate that holds; `true` if the request had not votes enough before.
    pub(super) fn present(&mut self, id: &Id, certificate: Certificate) -> bool {
        let Some(spend) = self.by_id.get_mut(id) else { return false };
        if spend.complete_at.is_some() {
            return false;
        }
        spend.certificate = Some(Box::new(certificate));
        spend.complete_at = Some(self.height);
        spend.complete_ms = self.time_ms;
        if spend.executed.is_none() {
            self.open.insert(*id);
        }
        true
    }

    /// Keeps a certificate that was put together here, if the request is known and none is kept of it, in place of the oldest such one.
    pub(super) fn keep(&mut self, id: &Id, certificate: &Certificate) {
        let Some(spend) = self.by_id.get_mut(id).filter(|spend| spend.certificate.is_none()) else { return };
        spend.certificate = Some(Box::new(certificate.clone()));
        self.assembled.push_back(*id);
        if self.assembled.len() <= ASSEMBLED_MAX {
            return;
        }
        let oldest = self.assembled.pop_front().and_then(|oldest| self.by_id.get_mut(&oldest));
        if let Some(spend) = oldest {
            spend.certificate = None;
        }
    }

    /// This node has put the certificate on the ledger.
    pub(super) fn presented(&mut self, id: &Id) {
        if let Some(spend) = self.by_id.get_mut(id) {
            spend.presented = true;
        }
    }

    /// A request is certified: it and all before it have votes enough. Gives what there is to tell.
    pub(super) fn certified(&mut self, id: &Id) -> Option<Arc<Request>> {
        let spend = self.by_id.get_mut(id).filter(|spend| !spend.certified && spend.executed.is_none())?;
        spend.certified = true;
        spend.told = SpendStatus::Certified;
        Some(Arc::clone(&spend.request))
    }

    /// A milestone executed it; gives the request, if it is known.
    pub(super) fn executed(&mut self, id: &Id, height: u64) -> Option<Arc<Request>> {
        self.open.remove(id);
        let spend = self.by_id.get_mut(id)?;
        spend.executed = Some(height);
        spend.told = SpendStatus::Final { height };
        // those that a certificate needs are enough
        while spend.votes.len() > self.needed {
            spend.votes.pop_last();
        }
        Some(Arc::clone(&spend.request))
    }

    /// The last milestone executed has this height.
    pub(super) const fn reach(&mut self, height: u64, time_ms: u64) {
        (self.height, self.time_ms) = (height, time_ms);
    }

    /// Its height and time.
    pub(super) const fn reached(&self) -> (u64, u64) {
        (self.height, self.time_ms)
    }

    /// A member votes no more.
    pub(super) fn farewell(&mut self, member: u8) {
        self.farewells.insert(member);
    }

    /// Whether enough members vote no more for the epoch to end.
    pub(super) fn may_close(&self) -> bool {
        self.farewells.len() >= protocol::quorum(self.committee.len())
    }

    /// Whether a rejection is of a request that this node carried and gives another kind of reason than the validator's last one did:
    /// a clock or a balance that moves on is not worth another signature.
    pub(super) fn wants(&self, rejection: &Rejection) -> bool {
        let same = |r: &Rejection| r.validator == rejection.validator && r.reason.kind() == rejection.reason.kind();
        let known = |spend: &Spend| spend.rejections.iter().any(same);
        rejection.epoch == self.epoch
            && self.place(&rejection.validator).is_some()
            && self.by_id.get(&rejection.request).is_some_and(|spend| spend.mine && spend.executed.is_none() && !known(spend))
    }

    /// Keeps a rejection whose signature is good, in place of an older one of the same validator.
    pub(super) fn reject(&mut self, rejection: Rejection) {
        let Some(spend) = self.by_id.get_mut(&rejection.request) else { return };
        spend.rejections.retain(|r| r.validator != rejection.validator);
        if spend.rejections.len() < REJECTIONS_MAX {
            spend.rejections.push(rejection);
        }
    }

    /// Where a request stands.
    pub(super) fn status(&self, id: &Id) -> Option<SpendStatus> {
        let spend = self.by_id.get(id)?;
        let slot = self.slot(&spend.request.wallet, spend.request.number);
        let overtaken = || slot.iter().any(|other| self.by_id.get(other).is_some_and(|s| s.executed.is_some()));
        Some(match spend.executed {
            Some(height) => SpendStatus::Final { height },
            None if overtaken() => SpendStatus::Refused,
            None if self.over => SpendStatus::Lapsed,
            None if spend.certified => SpendStatus::Certified,
            None if spend.complete_at.is_some() => SpendStatus::Pending,
            None if self.is_locked(slot) => SpendStatus::Locked,
            None if self.is_refused(spend) => SpendStatus::Refused,
            None => SpendStatus::Pending,
        })
    }

    /// Whether none of these requests, of one wallet and number, can be certified unless somebody votes twice.
    fn is_locked(&self, slot: &[Id]) -> bool {
        let spends: Vec<&Spend> = slot.iter().filter_map(|id| self.by_id.get(id)).collect();
        let voters: BTreeSet<u8> = spends.iter().flat_map(|spend| spend.votes.keys().copied()).collect();
        let left = self.committee.len().saturating_sub(voters.len());
        spends.len() > 1 && spends.iter().all(|spend| spend.complete_at.is_none() && spend.votes.len() + left < self.needed)
    }

    /// Whether too many members are against it, for reasons that do not pass.
    fn is_refused(&self, spend: &Spend) -> bool {
        let voted = |key: &PublicKey| self.place(key).is_some_and(|place| spend.votes.contains_key(&place));
        let against = spend.rejections.iter().filter(|r| !passes(&r.reason) && !voted(&r.validator)).count();
        against > self.committee.len().saturating_sub(self.needed)
    }

    /// The requests of callers whose status votes on this one may change.
    pub(super) fn contested(&self, id: &Id) -> Vec<Id> {
        let Some(spend) = self.by_id.get(id) else { return Vec::new() };
        let slot = self.slot(&spend.request.wallet, spend.request.number);
        let mine = |id: &&Id| slot.len() > 1 && self.by_id.get(*id).is_some_and(|spend| spend.mine);
        slot.iter().filter(mine).copied().collect()
    }

    /// The status of a caller's request, if it is one that ends it and was not told.
    pub(super) fn told_anew(&mut self, id: &Id) -> Option<(Arc<Request>, SpendStatus)> {
        let status = self.status(id).filter(|status| status.ended())?;
        let spend = self.by_id.get_mut(id).filter(|spend| spend.mine && spend.told != status)?;
        spend.told = status;
        Some((Arc::clone(&spend.request), status))
    }

    /// The epoch is over.
    pub(super) fn end(&mut self) {
        self.over = true;
        self.strays.clear();
    }

    /// Requests of callers that the epoch's end made nothing.
    pub(super) fn lapsed(&self) -> Vec<(Id, Arc<Request>)> {
        let mine = self.by_id.iter().filter(|(id, spend)| spend.mine && self.status(id) == Some(SpendStatus::Lapsed));
        mine.map(|(id, spend)| (*id, Arc::clone(&spend.request))).collect()
    }
}

#[cfg(test)]
mod tests;
