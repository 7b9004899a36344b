//! Milestones that are final: their effects, once and for all.

use super::actor::{Core, CoreError};
use super::cuts::{Cut, Evaluation, Executed};
use super::request::Link;
use super::settled::passed;
use crate::epochs::{Cue, Entry};
use crate::handle::{Confirmed, Event};
use crate::state::Speculation;
use crate::store::{Confirmation, CutRecord, Disk, Spent};
use crate::wire;
use commonware_consensus::types::Height;
use commonware_runtime::Spawner;
use commonware_utils::{Acknowledgement as _, acknowledgement::Exact};
use ledger::Key;
use protocol::{Encode, Handover, Id, Message, Milestone, PublicKey, merkle};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Milestones whose effects may wait to be made durable together,
const UNCOMMITTED_MAX: usize = 24;
/// and for how long.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);
/// Marshal hands out no more than this many milestones before the first is acknowledged.
pub(crate) const ACKS_MAX: usize = 64;
const _: () = assert!(UNCOMMITTED_MAX < ACKS_MAX);

/// Milestones executed whose effects are not durable yet. After a crash marshal, which was not told that they are
/// done, delivers them again.
#[derive(Default)]
pub(super) struct Uncommitted {
    /// The states after them, in order. None is applied before everything it was made from is durable.
    states: Vec<(u64, Speculation)>,
    acks: Vec<Exact>,
    /// The last epoch that they close.
    closed: Option<u64>,
    /// When they must be committed.
    pub(super) due: Option<SystemTime>,
}

impl Uncommitted {
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty() && self.acks.is_empty()
    }
}

impl<E: Disk + Spawner> Core<E> {
    /// Executes what is final and complete, in order, and tells. Gives whether anything was executed.
    ///
    /// That a message is confirmed may be told before its effects are durable here: what makes it final is the
    /// certificate, and marshal has that on disk.
    pub(super) async fn execute_finalized(&mut self) -> Result<bool, CoreError> {
        let mut executed = false;
        while let Some(front) = self.finalized.front() {
            let link = front.link.clone();
            if link.milestone.height > self.executed.height {
                if link.milestone.parent != self.executed.digest {
                    return Err(CoreError::Diverged { height: link.milestone.height, why: "it does not follow the last one executed" });
                }
                match self.evaluate(std::slice::from_ref(&link)).await? {
                    Evaluation::Holds => {
                        let event = self.execute(&link).await?;
                        self.emit(&event);
                        self.emit_spends();
                        executed = true;
                    }
                    Evaluation::Waits(missing) => {
                        for id in missing {
                            self.needed.insert(id);
                            self.want(id, Duration::ZERO);
                        }
                        break;
                    }
                    Evaluation::Fails(why) => return Err(CoreError::Diverged { height: link.milestone.height, why }),
                }
            }
            self.uncommitted.acks.extend(self.finalized.pop_front().map(|f| f.ack));
            self.commit_if_due().await?;
        }
        Ok(executed)
    }

    /// Makes what was executed durable, if it is time, and acknowledges it.
    pub(super) async fn commit_if_due(&mut self) -> Result<(), CoreError> {
        let now = self.context.current();
        let waiting = &mut self.uncommitted;
        if waiting.states.is_empty() {
            waiting.acks.drain(..).for_each(|ack| ack.acknowledge());
            return Ok(());
        }
        let due = *waiting.due.get_or_insert(now + COMMIT_INTERVAL);
        if waiting.states.len() < UNCOMMITTED_MAX && now < due {
            return Ok(());
        }
        let Uncommitted { states, acks, closed, .. } = std::mem::take(waiting);
        // that this node must not vote is known before what shows it
        self.save_ballots().await?;
        self.store.sync_messages().await?;
        self.store.sync_execution().await?;
        for (height, state) in &states {
            self.state.apply(*height, state).await?;
        }
        self.state.commit().await?;
        self.prune_ballots().await?;
        self.executed.state = None;
        acks.into_iter().for_each(|ack| ack.acknowledge());
        self.raise_summit().await?;
        if let Some(epoch) = closed {
            let _ = self.outlets.cues.send(Cue::Forget(epoch));
        }
        Ok(())
    }

    async fn execute(&mut self, link: &Link) -> Result<Event, CoreError> {
        let Some(cut) = self.cuts.remove(&link.digest) else {
            return Err(CoreError::Inconsistent("a milestone that holds was not kept"));
        };
        let height = cut.milestone.height;
        let all: Vec<_> = cut.counted.iter().chain(&cut.void).copied().collect();
        let confirmed = self.describe(&cut);
        for c in confirmed.iter() {
            self.frontier.insert(c.issuer, (c.sequence + 1, c.id));
        }
        for (issuer, account) in &cut.suspects {
            self.mark(*issuer, account);
        }
        self.dag.confirm(&all, height);
        self.dag.abandon(&cut.void);
        let rivals = self.defences.conflicts && self.settle_rivals(height);
        for id in &all {
            if let Some(index) = self.arrivals.remove(id) {
                self.unconfirmed.remove(&index);
            }
        }
        if let Some(own) = confirmed.iter().rev().find(|c| c.issuer == self.me) {
            self.own.counted = own.sequence + 1;
        }
        while self.own.payloads.front().is_some_and(|(sequence, _)| *sequence < self.own.counted) {
            self.own.payloads.pop_front();
        }
        self.record(link, &cut).await?;
        self.uncommitted.states.push((height, cut.state.clone()));
        self.executed = Executed { height, digest: link.digest, time_ms: cut.milestone.time_ms, range: cut.range, state: Some(cut.state) };
        self.counts.orders_refused += cut.refused.count();
        self.counts.last_refused.take(cut.refused);
        self.settle_pending().await?;
        // what it executed was heard before, though perhaps in this very round
        self.check_heard();
        self.remember_spent(&cut.spent);
        self.fast.executed(cut.spent, height, cut.milestone.time_ms);
        if let Some(committee) = &cut.milestone.next_committee {
            self.close_epoch(link, committee.clone()).await?;
        }
        self.needed.clear();
        self.drop_orphans();
        self.dag.forget(height.saturating_sub(self.limits.keep_milestones));
        if let Some(own) = confirmed.iter().rev().find(|c| c.issuer == self.me && c.sequence >= self.own.next_sequence) {
            // issued before the data directory was restored from an older copy: go on after it
            self.abstain();
            self.own.next_sequence = own.sequence + 1;
            self.own.last = own.id;
        } else if (rivals || !cut.void.is_empty()) && self.own_chain_is_void() {
            self.rejoin().await?;
        }
        Ok(Event::Milestone { height, digest: link.digest, time_ms: cut.milestone.time_ms, confirmed })
    }

    /// Rivals of what counts now are void, without any milestone saying so. Gives whether there were any.
    fn settle_rivals(&mut self, height: u64) -> bool {
        let (dag, frontier) = (&self.dag, &self.frontier);
        let settled = |m: &Arc<Message>| passed(frontier, &m.issuer, m.sequence);
        let void: Vec<Id> = self.rivals.iter().filter(|id| dag.get(id).is_none_or(settled)).copied().collect();
        for id in &void {
            self.rivals.remove(id);
            if let Some(index) = self.arrivals.remove(id) {
                self.unconfirmed.remove(&index);
            }
        }
        let lost: Vec<Id> = void.iter().filter(|id| !self.dag.is_confirmed(id)).copied().collect();
        self.dag.confirm(&lost, height);
        self.dag.abandon(&lost);
        !void.is_empty()
    }

    /// A closing milestone is executed: keeps what hands the committee over, and begins the next epoch.
    async fn close_epoch(&mut self, link: &Link, committee: Vec<PublicKey>) -> Result<(), CoreError> {
        let epoch = link.milestone.epoch;
        let certificate = self.chain.get_finalization(Height::new(link.milestone.height)).await;
        match certificate.as_ref().and_then(wire::finalization) {
            Some(finalization) => {
                let handover = Handover { milestone: (*link.milestone).clone(), finalization };
                self.store.handovers.put(epoch, link.digest, &handover.encode()).await?;
            }
            // found again when it is asked for
            None => tracing::warn!(epoch, "the closing milestone's certificate is not here yet"),
        }
        self.enter_fast_path(epoch + 1, committee.clone());
        let previous = Some(std::mem::replace(&mut self.committee, committee.clone()));
        self.tell_addresses(previous.as_deref().unwrap_or_default()).await?;
        let _ = self.outlets.cues.send(Cue::Enter(Entry { epoch: epoch + 1, committee, previous, boundary: link.digest }));
        self.uncommitted.closed = Some(epoch);
        Ok(())
    }

    /// Forgets verified milestones that do not build on the executed one: their states can no longer be read.
    fn drop_orphans(&mut self) {
        let mut by_height: Vec<_> = self.cuts.iter().map(|(digest, c)| (c.milestone.height, c.milestone.parent, *digest)).collect();
        by_height.sort_unstable();
        let mut alive = BTreeSet::from([self.executed.digest]);
        for (_, parent, digest) in by_height {
            if alive.contains(&parent) {
                alive.insert(digest);
            } else {
                self.cuts.remove(&digest);
            }
        }
    }

    fn describe(&self, cut: &Cut) -> Arc<[Confirmed]> {
        let messages = cut.counted.iter().filter_map(|id| self.dag.get(id));
        messages.map(|m| Confirmed { id: m.id(), issuer: m.issuer, sequence: m.sequence, readings: m.body.readings() }).collect()
    }

    /// Writes what a milestone confirmed and executed. After a crash it may be written a second time.
    async fn record(&mut self, link: &Link, cut: &Cut) -> Result<(), CoreError> {
        let height = cut.milestone.height;
        let again = height < self.store.cuts.next();
        let before = self.store.confirmations.next();
        let places = (0u64..).zip(&cut.counted).map(|(i, id)| (*id, Some(i))).chain(cut.void.iter().map(|id| (*id, None)));
        for (id, index) in places {
            if !again || !self.store.confirmations.has(id).await? {
                self.store.confirmations.append(id, &Confirmation { height, index }.encode()).await?;
            }
        }
        let spent = self.store.spent.next();
        for executed in &cut.spent {
            if !again || !self.store.spent.has(executed.request).await? {
                self.store.spent.append(executed.request, &Spent { height }.encode()).await?;
            }
        }
        let floor = self.unconfirmed.first().copied().unwrap_or_else(|| self.store.messages.next());
        let payload_floor = self.own.payloads.front().map_or_else(|| self.store.payloads.next(), |(_, index)| *index);
        let (bytes, counted, void) = (self.stored_bytes, cut.counted.clone(), cut.void.clone());
        let record = CutRecord { floor, payload_floor, confirmations: before, spent, bytes, counted, void };
        self.store.headers.put(height, link.digest, &cut.milestone.encode()).await?;
        self.store.cuts.put(height, link.digest, &record.encode()).await?;
        let mut range = self.executed.range.clone();
        let nodes = range.push(Milestone::history_leaf(&link.digest));
        for (position, node) in (merkle::position(0, height)..).zip(nodes) {
            self.store.history.put(position, node, &node.encode()).await?;
        }
        Ok(())
    }

    /// Whether the unconfirmed end of the own chain does not build on the last own message that counts.
    fn own_chain_is_void(&self) -> bool {
        let Some((_, last)) = self.frontier.get(&self.me) else { return false };
        let mut at = self.own.last;
        while let Some(message) = self.dag.get(&at).filter(|_| !self.dag.is_confirmed(&at)) {
            let Some(previous) = message.previous() else { return false };
            at = *previous;
        }
        at != *last
    }

    /// Own messages turned out void, as after a data directory was restored from an old copy: goes on from
    /// the last one that counted.
    async fn rejoin(&mut self) -> Result<(), CoreError> {
        let accounts = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Account(self.me), Key::Farewells])).await?;
        if let Some(account) = ledger::read_account(&accounts, self.me).map_err(crate::state::StateError::from)? {
            self.abstain();
            // the message that ended the epoch may be among the void ones
            self.fast.end_as(&ledger::read_farewells(&accounts).map_err(crate::state::StateError::from)?);
            tracing::warn!(
                "own messages are void: this node had issued others of the same sequence; going on from {}",
                account.next_sequence
            );
            self.own.next_sequence = account.next_sequence;
            self.own.counted = account.next_sequence;
            self.own.last = account.last;
        }
        Ok(())
    }
}
