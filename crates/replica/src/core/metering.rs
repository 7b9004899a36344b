//! Rates at work: what is pushed is counted, what is admitted is judged, what is issued here keeps the same rules.
//!
//! # Rules
//! - The *verdict* on a message ([`super::rates`]) is a function of its issuer's chain down to the last message of it that
//!   counts, whose meter is in the state. What builds on a void message is judged by a meter at 0, whatever this node
//!   remembers of the branch. So no node is more lenient than another because it remembers less.
//! - The *allowances* ([`super::allowances`]) are local and soft: they decide what is taken unasked, not what is
//!   admitted. The answer to a pull is exempt.
//! - A message of the future is refused for now and remembered by nobody; it is pulled when its time is near.

use super::actor::{Core, CoreError};
use super::allowances::tokens;
use super::issuing::unix_ms;
use super::rates::{Orphan, Place, Step};
use super::refusal::Refusal;
use crate::handle::IssueError;
use crate::state::StateError;
use crate::store::Disk;
use commonware_cryptography::ed25519;
use commonware_runtime::Spawner;
use ledger::{Account, Key};
use protocol::rate::Meter;
use protocol::{Id, Message, PublicKey, Unsigned};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far ahead of this node's clock the time of a message may be, in milliseconds.
const MESSAGE_SKEW_MS_MAX: u64 = 2_000;
/// Work that this node does for one of its own messages, in zero nibbles: about a millisecond. Where the network
/// asks more of everybody, it does that.
const OWN_WORK_MAX: u8 = 3;
/// Attempts at it. Three nibbles take 4096 on average, five a million; six can fail.
const OWN_ATTEMPTS_MAX: u64 = 1 << 24;
/// Messages remembered beyond what the graph holds, before those that it forgot are looked for.
const FORGOTTEN_MAX: usize = 4_096;

impl<E: Disk + Spawner> Core<E> {
    /// Whether a peer may push this message: it costs the peer a token, and more if there is much to verify in it.
    pub(super) fn may_push(&mut self, peer: &ed25519::PublicKey, message: &Message) -> bool {
        let allowed = self.charge(peer, tokens(&message.body));
        if !allowed {
            self.refuse(message.id(), message.issuer, Refusal::Rate);
        }
        allowed
    }

    /// Whether a peer may announce a tip that is not here, or hand over rejections: it costs the peer a token. If not, the tip is not
    /// asked for; it will be announced again.
    pub(super) fn may_announce(&mut self, peer: &ed25519::PublicKey) -> bool {
        self.charge(peer, 1)
    }

    fn charge(&mut self, peer: &ed25519::PublicKey, tokens: u64) -> bool {
        if !self.defences.rate {
            return true;
        }
        let key: &[u8] = peer.as_ref();
        let Ok(key) = <[u8; 32]>::try_from(key) else { return false };
        let now_us = self.clock_ms().saturating_mul(1_000);
        self.rates.buckets.charge(PublicKey(key), tokens, &self.genesis.parameters, now_us)
    }

    /// This node's clock, in milliseconds since 1970.
    fn clock_ms(&self) -> u64 {
        unix_ms(self.context.current())
    }

    /// Judges a message of a peer by its time, its issuer's backlog and its issuer's chain. Cheap, so it comes before
    /// the signature is verified; nothing the message says is kept.
    pub(super) async fn judge(&mut self, message: &Message, pushed: bool) -> Result<Result<(), Refusal>, CoreError> {
        if !self.defences.rate {
            return Ok(Ok(()));
        }
        // a final milestone shows what time it is as well: a slow clock does not shut out what the others confirmed
        let confirmed_ms = self.finalized.back().map_or(self.executed.time_ms, |f| f.link.milestone.time_ms);
        let ahead_ms = message.issued_at_ms.saturating_sub(self.clock_ms().max(confirmed_ms));
        if ahead_ms > MESSAGE_SKEW_MS_MAX {
            return Ok(Err(Refusal::Future { ahead_ms }));
        }
        if pushed && self.has_backlog(&message.issuer) {
            return Ok(Err(Refusal::Unconfirmed));
        }
        let step = Step::from(message);
        let previous = self.place_before(&step, message.previous()).await?;
        let parameters = &self.genesis.parameters;
        Ok(previous.map_or(Ok(()), |place| place.judge(parameters, &step, || message.work())))
    }

    /// Whether too many messages of an issuer wait for a milestone to take more of it unasked.
    fn has_backlog(&mut self, issuer: &PublicKey) -> bool {
        let height = self.executed.height;
        let Self { rates, arrivals, dag, .. } = self;
        if rates.backlog.is_stale(issuer, height) {
            rates.backlog.count(height, arrivals.keys().filter_map(|id| dag.get(id)).map(|message| message.issuer));
        }
        rates.backlog.is_full(issuer)
    }

    /// Notes where a message that is authentic and was judged leaves its chain, just before it enters the graph.
    /// Pending messages that waited for it are judged now; those that can never follow leave the graph.
    pub(super) async fn enrol(&mut self, message: &Message) -> Result<(), CoreError> {
        if !self.defences.rate {
            return Ok(());
        }
        let step = Step::from(message);
        match self.place_before(&step, message.previous()).await? {
            Some(previous) => self.settle(message.id(), previous.advance(&self.genesis.parameters, &step)),
            None => {
                let orphan = Orphan { step, work: message.work() };
                let previous = message.previous().copied().unwrap_or(Unsigned::root(self.network));
                self.rates.wait(message.id(), previous, orphan);
            }
        }
        Ok(())
    }

    /// The same for a message that no milestone will ever confirm, and that is here only because others build on it. It
    /// is taken unjudged and its past need not be here; what builds on it is judged.
    pub(super) async fn enrol_settled(&mut self, message: &Message) -> Result<(), CoreError> {
        if self.defences.rate {
            let step = Step::from(message);
            let meter = self.meter_of_settled(step.issuer, message.id()).await?;
            self.settle(message.id(), Place::after(&step, meter));
        }
        Ok(())
    }

    fn settle(&mut self, id: Id, place: Place) {
        self.forget_places();
        for outcast in self.rates.settle(&self.genesis.parameters, id, place) {
            if self.needed.contains(&outcast.id) {
                continue;
            }
            self.dag.take_pending(&outcast.id);
            self.refuse(outcast.id, outcast.issuer, outcast.why);
        }
    }

    /// A message entered the graph for good.
    pub(super) fn count_in(&mut self, message: &Message) {
        self.rates.buckets.reached(&message.issuer, message.sequence);
        self.rates.backlog.add(message.issuer);
    }

    /// Forgets what the graph has forgotten, now and then: often enough for memory, seldom enough to cost nothing.
    fn forget_places(&mut self) {
        let Self { rates, dag, .. } = self;
        if rates.len() > 2 * (dag.len() + dag.pending()) + FORGOTTEN_MAX {
            rates.retain(|id| dag.contains(id) || dag.is_pending(id));
        }
    }

    /// Where the chain stands on which a message builds; `None` if the previous message is neither here nor was ever
    /// confirmed.
    async fn place_before(&mut self, step: &Step, previous: Option<&Id>) -> Result<Option<Place>, CoreError> {
        let Some(previous) = previous.copied().filter(|previous| *previous != Unsigned::root(self.network)) else {
            return Ok(Some(Place::start(step.issuer)));
        };
        if self.builds_on_void(step.issuer, step.sequence, &previous).await?
            && let Some(void) = self.find(previous).await?
        {
            return Ok(Some(Place::after(&Step::from(&*void), Meter::default())));
        }
        match self.place(previous).await? {
            None => self.ground(step, previous).await,
            here => Ok(here),
        }
    }

    /// The meter that a settled message left: that of the last one of its issuer that counts, from the state. Any other
    /// is ground for void messages only.
    async fn meter_of_settled(&self, issuer: PublicKey, id: Id) -> Result<Meter, CoreError> {
        let last = self.account(issuer).await?.filter(|account| account.last == id);
        Ok(last.map_or_else(Meter::default, |account| Meter::from_us(account.meter_us)))
    }

    /// Where a message that is here left its issuer's chain: remembered, else from the state, else (after a restart) from
    /// the messages below it. `None` if the message is not here.
    async fn place(&mut self, id: Id) -> Result<Option<Place>, CoreError> {
        let root = Unsigned::root(self.network);
        let (mut at, mut unplaced) = (id, Vec::<Arc<Message>>::new());
        let mut place = loop {
            if let Some(place) = self.rates.place(&at) {
                break place;
            }
            let Some(message) = self.find(at).await? else {
                let Some(lowest) = unplaced.last().map(|lowest| Step::from(&**lowest)) else { return Ok(None) };
                break Place::before(&lowest, self.meter_of_settled(lowest.issuer, at).await?);
            };
            let step = Step::from(&*message);
            if !self.dag.contains(&at) || self.dag.is_confirmed(&at) {
                break Place::after(&step, self.meter_of_settled(step.issuer, at).await?);
            }
            let previous = message.previous().copied().unwrap_or(root);
            unplaced.push(message);
            if previous == root {
                break Place::start(step.issuer);
            }
            at = previous;
        };
        for message in unplaced.into_iter().rev() {
            place = place.follow(&self.genesis.parameters, &Step::from(&*message), || message.work());
            self.rates.note(message.id(), place);
        }
        Ok(Some(place))
    }

    /// The place below a message whose previous one this node has dropped or never had; `None` if that one may still
    /// come. Of each issuer the state knows the last message that counts. Nothing can follow another one that counted:
    /// messages whose sequence their issuer has gone past are not judged.
    async fn ground(&self, above: &Step, previous: Id) -> Result<Option<Place>, CoreError> {
        if let Some(account) = self.account(above.issuer).await?.filter(|account| account.last == previous) {
            return Ok(Some(Place::reached(above.issuer, account.next_sequence, Meter::from_us(account.meter_us))));
        }
        Ok(self.was_settled(&previous).await?.then(|| Place::dead_end(above.issuer)))
    }

    async fn account(&self, issuer: PublicKey) -> Result<Option<Account>, CoreError> {
        let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Account(issuer)])).await?;
        Ok(ledger::read_account(&state, issuer).map_err(StateError::from)?)
    }

    /// Makes a message of this node one that every peer will admit: its time does not fall below that of the one
    /// before, and it carries the work that it needs, if that is little; if not, it says when it will be.
    pub(super) async fn metered(&mut self, mut unsigned: Unsigned) -> Result<Result<Unsigned, IssueError>, CoreError> {
        let last = self.own.last;
        if let Some(message) = self.find(last).await? {
            unsigned.issued_at_ms = unsigned.issued_at_ms.max(message.issued_at_ms);
        }
        if !self.defences.rate {
            return Ok(Ok(unsigned));
        }
        let step = Step { issuer: self.me, sequence: unsigned.sequence, issued_at_ms: unsigned.issued_at_ms };
        let meter = self.place_before(&step, Some(&last)).await?.map_or_else(Meter::default, |place| place.meter());
        let parameters = &self.genesis.parameters;
        let affordable = OWN_WORK_MAX.max(parameters.pow_difficulty);
        let needed = meter.required(parameters, unsigned.issued_at_ms);
        if needed > affordable || (needed > 0 && !unsigned.prove(needed, OWN_ATTEMPTS_MAX)) {
            let ready_ms = meter.ready_at_ms(parameters, affordable);
            return Ok(Err(IssueError::Rate { retry_ms: ready_ms.saturating_sub(unsigned.issued_at_ms).max(1) }));
        }
        Ok(Ok(unsigned))
    }
}
