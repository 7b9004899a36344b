//! What is settled: messages that no milestone to come can hold.
//!
//! # Rules
//! - Settled is what counted, whose sequence its issuer has gone past, and what was found void beyond that, which the state
//!   remembers ([`ledger::VoidIds`]). Both follow from the message and the state after the last milestone executed.
//! - The graph's open messages are never settled: what comes in is asked for when it comes, what a milestone settles is
//!   confirmed when that is executed, and a restart asks for all.
//! - A message named by its id alone is taken for settled only if others can have it from here, or have it themselves.
//!   Else it is pulled, and asked for. So nobody admits what somebody who remembers less could not.
//! - What is settled needs no parents here: others, who executed as much, took it in without. So a pending message that a
//!   milestone settles is asked for again then. Else it could wait for ever for a parent that only a liar ever had, and with it
//!   whatever was built on it, final milestones included.

use super::actor::{Core, CoreError};
use super::cuts::Frontier;
use super::retention::RETAINED_MIN;
use crate::state::StateError;
use crate::store::Disk;
use commonware_runtime::Spawner;
use ledger::{Account, Key};
use protocol::{Id, PublicKey, Unsigned};
use std::collections::BTreeSet;

/// Whether an issuer has gone past a sequence, or is barred.
pub(super) fn passed(frontier: &Frontier, issuer: &PublicKey, sequence: u64) -> bool {
    frontier.get(issuer).is_some_and(|(next, _)| sequence < *next || *next == u64::MAX)
}

impl<E: Disk + Spawner> Core<E> {
    /// Whether an issuer has gone past a sequence by the last milestone executed, or is barred.
    pub(super) fn has_passed(&self, issuer: &PublicKey, sequence: u64) -> bool {
        passed(&self.frontier, issuer, sequence)
    }

    /// Takes note of where an issuer stands.
    pub(super) fn mark(&mut self, issuer: PublicKey, account: &Account) {
        self.frontier.insert(issuer, (account.next_sequence, account.last));
        if account.voids > 0 {
            self.suspects.insert(issuer);
        } else {
            self.suspects.remove(&issuer);
        }
        if account.is_barred() {
            // what is open of it is settled with the rivals of what counts
            let Self { dag, arrivals, rivals, .. } = self;
            rivals.extend(arrivals.keys().filter(|id| dag.get(id).is_some_and(|m| m.issuer == issuer)).copied());
        }
    }

    /// Pending messages that the last milestone executed has settled: those that others wait for are taken in, the rest dropped.
    pub(super) async fn settle_pending(&mut self) -> Result<(), CoreError> {
        if !self.defences.archive || !self.defences.conflicts {
            return Ok(());
        }
        // what was found void beyond that was in the milestone's cone, so it is connected
        let passed = self.dag.waiting().filter(|message| self.has_passed(&message.issuer, message.sequence));
        let passed: Vec<Id> = passed.map(|message| message.id()).collect();
        for id in passed {
            // one of them may have connected with another
            let Some(message) = self.dag.take_pending(&id) else { continue };
            self.rates.forget(&id);
            self.insert_settled(&message, true).await?;
        }
        Ok(())
    }

    /// Whether the state remembers that a message is void.
    pub(super) async fn is_void(&self, issuer: PublicKey, sequence: u64, id: &Id) -> Result<bool, CoreError> {
        if !self.defences.void || !self.suspects.contains(&issuer) {
            return Ok(false);
        }
        let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Void(issuer, sequence)])).await?;
        Ok(ledger::is_void(&state, issuer, sequence, id).map_err(StateError::from)?)
    }

    /// Whether a message that its issuer has not gone past builds on one that can no longer count: then neither can it.
    pub(super) async fn builds_on_void(&self, issuer: PublicKey, sequence: u64, previous: &Id) -> Result<bool, CoreError> {
        let (next, last) = self.frontier.get(&issuer).copied().unwrap_or((0, Unsigned::root(self.network)));
        match sequence.checked_sub(1) {
            Some(_) if sequence == next => Ok(*previous != last),
            Some(before) if sequence > next => self.is_void(issuer, before, previous).await,
            _ => Ok(false),
        }
    }

    /// Whether a message that is not in memory is settled, as far as its id alone says: it is on disk, so it left memory
    /// settled; or it counted, and so lately that every peer keeps it; or it is its issuer's last that counts.
    pub(super) async fn was_settled(&self, id: &Id) -> Result<bool, CoreError> {
        let lately = self.executed.height.saturating_sub(RETAINED_MIN);
        Ok(self.store.messages.has(*id).await?
            || self.confirmation(*id).await?.is_some_and(|c| c.index.is_some() && c.height > lately)
            || self.frontier.values().any(|(_, last)| last == id))
    }
}
