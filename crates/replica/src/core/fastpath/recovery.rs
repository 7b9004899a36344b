//! After a start, and when an epoch begins: what the disk and the graph hold is heard again.

use super::spends::Spends;
use crate::core::actor::{Core, CoreError};
use crate::state::StateError;
use crate::store::{Ballot, Disk, Spent};
use commonware_runtime::Spawner;
use ledger::{Key, Purse};
use protocol::{Id, Message, PublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tracing::info;

/// Messages of the disk that are heard again after a start, beside those that no milestone confirmed.
const REHEARD_MAX: u64 = 8_192;
/// Of all that are heard again, how many are held before the signatures in them are verified.
const REHEARD_TOGETHER: u64 = 256;
/// Ballots are pruned when so many are not needed any more.
const BALLOTS_PRUNED: u64 = 65_536;

/// Executed purses.
type Purses = BTreeMap<PublicKey, Purse>;

/// The requests that lead to these purses, from the last one back as far as they are known.
fn executed(spends: &Spends, purses: &Purses) -> Vec<Id> {
    let wallets: BTreeSet<PublicKey> = spends.all().map(|(_, spend)| spend.request.wallet).collect();
    let mut found = Vec::new();
    for wallet in wallets {
        let Some(purse) = purses.get(&wallet) else { continue };
        let (mut number, mut state) = (purse.number, purse.state);
        while let Some(before) = number.checked_sub(1) {
            let led = spends.slot(&wallet, before).iter().find_map(|id| spends.get(id).filter(|s| s.next_state == state).map(|s| (*id, s)));
            let Some((id, spend)) = led else { break };
            found.push(id);
            (number, state) = (before, spend.request.state);
        }
    }
    found
}

impl<E: Disk + Spawner> Core<E> {
    /// Begins an epoch: what was heard of it before is heard again.
    pub(in crate::core) fn enter_fast_path(&mut self, epoch: u64, committee: Vec<PublicKey>) {
        self.fast.enter(epoch, committee, self.genesis.wallet_parameters.threshold_percent);
        // whoever issued a message of the new epoch had closed the old one, whose milestones do not confirm it
        let unconfirmed: Vec<Arc<Message>> = self.arrivals.keys().filter_map(|id| self.dag.get(id).cloned()).collect();
        unconfirmed.iter().for_each(|message| self.fast.hear(message));
    }

    /// After a start: brings back what this node voted for, and what is known of requests.
    pub(in crate::core) async fn recover_fast_path(&mut self) -> Result<(), CoreError> {
        self.read_ballots().await?;
        self.fast.now.reach(self.executed.height, self.executed.time_ms);
        let next = self.store.messages.next();
        let from = self.unconfirmed.first().copied().unwrap_or(next).min(next.saturating_sub(REHEARD_MAX));
        for index in from.max(self.store.messages.first()?)..next {
            let Some(bytes) = self.store.messages.at(index).await? else { continue };
            let message = self.stored(&bytes)?;
            self.fast.hear(&message);
            if index.is_multiple_of(REHEARD_TOGETHER) {
                self.check_heard();
                self.check_presented();
            }
        }
        self.check_heard();
        self.check_presented();
        let mut wallets: BTreeSet<PublicKey> = self.fast.now.all().map(|(_, spend)| spend.request.wallet).collect();
        wallets.extend(self.fast.locks.slots().map(|(wallet, _)| wallet));
        let purses = self.purses(wallets).await?;
        for id in executed(&self.fast.now, &purses) {
            match self.store.spent.get(id).await? {
                Some(bytes) => drop(self.fast.now.executed(&id, self.store.spent.decode::<Spent>(&bytes)?.height)),
                // executed before this node joined
                None => drop(self.fast.now.forget_done(&id)),
            }
        }
        let done = self.fast.locks.slots().filter(|(wallet, number)| purses.get(wallet).is_some_and(|p| *number < p.number));
        let done: Vec<(PublicKey, u64)> = done.collect();
        done.iter().for_each(|(wallet, number)| self.fast.locks.release(wallet, *number));
        let state = self.state.read(None, BTreeSet::from([Key::Farewells])).await?;
        let farewells = ledger::read_farewells(&state).map_err(StateError::from)?.of(self.fast.now.epoch());
        for seat in (0..u8::try_from(protocol::limits::COMMITTEE_MAX).unwrap_or(u8::MAX)).filter(|seat| (farewells >> seat) & 1 == 1) {
            self.fast.now.farewell(seat);
            self.fast.ended |= self.fast.seat() == Some(seat);
        }
        // nobody waits for an answer to what was heard before
        self.fast.take_rejections();
        self.fast.events.clear();
        self.fast.before = None;
        Ok(())
    }

    async fn purses(&self, wallets: BTreeSet<PublicKey>) -> Result<Purses, CoreError> {
        let state = self.state.read(None, wallets.iter().map(|wallet| Key::Purse(*wallet)).collect()).await?;
        let mut purses = BTreeMap::new();
        for wallet in wallets {
            if let Some(purse) = ledger::read_purse(&state, wallet).map_err(StateError::from)? {
                purses.insert(wallet, purse);
            }
        }
        Ok(purses)
    }

    /// Brings back the votes of the present epoch.
    async fn read_ballots(&mut self) -> Result<(), CoreError> {
        let (first, next) = (self.store.ballots.first()?, self.store.ballots.next());
        self.fast.pruned = first;
        let mut count = 0u64;
        for index in (first..next).rev() {
            let Some(bytes) = self.store.ballots.at(index).await? else { continue };
            let ballot: Ballot = self.store.ballots.decode(&bytes)?;
            // not the end: a crash may have undone an epoch in which this node had voted, and older ones stand behind
            if ballot.epoch() < self.fast.now.epoch() {
                continue;
            }
            self.fast.restore(index, ballot);
            count += 1;
        }
        if count > 0 {
            info!(count, epoch = self.fast.now.epoch(), "read back what this node voted for");
        }
        Ok(())
    }

    /// Lets go of ballots on disk that no vote can be asked for again. What milestones executed is durable.
    pub(in crate::core) async fn prune_ballots(&mut self) -> Result<(), CoreError> {
        let needed = self.fast.ballots_floor().unwrap_or_else(|| self.store.ballots.next());
        if needed >= self.fast.pruned.saturating_add(BALLOTS_PRUNED) {
            self.store.ballots.prune(needed).await?;
            self.fast.pruned = needed;
        }
        Ok(())
    }
}
