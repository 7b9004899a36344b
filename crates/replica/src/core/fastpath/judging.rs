//! One round: which requests this node votes for, which are certified. A function of the state, the clock and what is known.

use super::FastPath;
use super::candidates::{Slot, Wait};
use super::chains::Chain;
use super::spends::passes;
use crate::handle::{SpendEvent, SpendStatus};
use ledger::{ApplyError, EARLY_MS_MAX, Key, MemoryStore, Rules};
use protocol::{Id, PublicKey, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// What a round looks at.
pub(super) struct Round {
    /// Requests to be judged, by wallet and number.
    slots: BTreeSet<Slot>,
    /// Requests that have votes enough since the last round.
    complete: BTreeSet<Id>,
    /// All wallets of these.
    wallets: BTreeSet<PublicKey>,
}

impl FastPath {
    /// What there is to look at; `None` if nothing.
    pub(super) fn round(&mut self, now_ms: u64) -> Option<Round> {
        self.candidates.wake_due(now_ms);
        let complete = std::mem::take(&mut self.complete);
        let mut wallets: BTreeSet<PublicKey> = complete.iter().filter_map(|id| self.now.get(id)).map(|s| s.request.wallet).collect();
        let mut slots = BTreeSet::new();
        if self.ended {
            for (_, _, id) in self.candidates.take() {
                self.answer_carrier(id, Reason::Ended);
            }
        } else if self.may_vote() {
            for wallet in &wallets {
                self.candidates.wake_wallet(wallet);
            }
            slots = self.candidates.take();
            // those of one wallet that wait for each other come together
            let ready: BTreeSet<PublicKey> = slots.iter().map(|(wallet, _, _)| *wallet).collect();
            for wallet in ready {
                self.candidates.wake_wallet(&wallet);
                wallets.insert(wallet);
            }
            slots.append(&mut self.candidates.take());
        }
        (!wallets.is_empty()).then_some(Round { slots, complete, wallets })
    }

    /// The keys that [`FastPath::judge`] reads.
    pub(super) fn keys(&self, round: &Round) -> BTreeSet<Key> {
        let mut keys: BTreeSet<Key> = round.wallets.iter().map(|wallet| Key::Purse(*wallet)).collect();
        for (_, _, id) in &round.slots {
            keys.extend(self.now.get(id).map(|spend| ledger::judging(&spend.request)).unwrap_or_default());
        }
        keys
    }

    /// Judges what there is, wallet by wallet.
    ///
    /// # Errors
    /// [`ApplyError`] if the state is damaged.
    pub(super) fn judge(&mut self, round: &Round, store: &MemoryStore, rules: &Rules<'_>, now_ms: u64) -> Result<(), ApplyError> {
        let mut complete: BTreeMap<PublicKey, Vec<(u64, Id)>> = BTreeMap::new();
        for id in &round.complete {
            let Some(spend) = self.now.get(id) else { continue };
            complete.entry(spend.request.wallet).or_default().push((spend.request.number, *id));
        }
        for wallet in &round.wallets {
            let purse = ledger::executed_purse(store, rules, *wallet)?;
            let mut chain = self.chains.remove(wallet).unwrap_or_else(|| Chain::of(&purse));
            chain.follow(&purse);
            for (number, id) in complete.remove(wallet).unwrap_or_default() {
                // the committee decided for another request than this node
                if chain.at(number).is_some_and(|link| link.id != id) {
                    chain.cut(number);
                }
            }
            self.extend(&mut chain, wallet);
            let of_wallet = (*wallet, 0, Id([0; 32]))..=(*wallet, u64::MAX, Id([0xff; 32]));
            for slot in round.slots.range(of_wallet) {
                self.judge_one(&mut chain, *slot, purse.number, store, rules, now_ms)?;
            }
            let certified = chain.certify(|id| self.now.is_complete(id));
            for id in certified {
                let Some(request) = self.now.certified(&id) else { continue };
                self.counts.certified += 1;
                self.events.push(SpendEvent { id, request, status: SpendStatus::Certified });
            }
            if !chain.is_empty() {
                self.chains.insert(*wallet, chain);
            }
        }
        Ok(())
    }

    /// Adds to a chain what is known to follow: what is certified, else what this node voted for.
    fn extend(&self, chain: &mut Chain, wallet: &PublicKey) {
        while !chain.is_full() {
            let end = chain.end();
            let here = |id: &&Id| self.now.get(id).is_some_and(|spend| spend.request.state == end.state);
            let slot = self.now.slot(wallet, end.number);
            let certified = slot.iter().filter(here).find(|id| self.now.is_complete(id)).copied();
            let voted = || self.locks.voted(wallet, end.number).filter(|id| slot.contains(id) && here(&id));
            let Some(spend) = certified.or_else(voted).and_then(|id| self.now.get(&id).map(|spend| (id, spend))) else { return };
            chain.push(spend.0, &spend.1.request, spend.1.next_state);
        }
    }

    /// Judges one. `executed`: the number of the wallet's executed purse.
    fn judge_one(
        &mut self,
        chain: &mut Chain,
        slot: Slot,
        executed: u64,
        store: &MemoryStore,
        rules: &Rules<'_>,
        now_ms: u64,
    ) -> Result<(), ApplyError> {
        let (wallet, number, id) = slot;
        let Some(spend) = self.now.get(&id).filter(|spend| spend.executed.is_none()) else { return Ok(()) };
        let request = spend.request.clone();
        let cast = self.seat().is_some_and(|seat| spend.votes.contains_key(&seat));
        let next_state = spend.next_state;
        let reason = match self.locks.voted(&wallet, number) {
            _ if number < executed => Some(Reason::State { number: chain.end().number, state: chain.end().state }),
            Some(voted) if voted == id => None,
            Some(voted) => Some(Reason::Locked { voted }),
            // enough others voted for it: some of their votes may be in messages that never count
            None if chain.at(number).is_some_and(|link| link.id == id) => None,
            None => ledger::judge_signed(store, rules, Some(&chain.end()), &request, now_ms)?,
        };
        let Some(reason) = reason else {
            // the record comes first, whether the vote is new or repeated
            if self.locks.lock(wallet, number, id) && !cast {
                self.pending.insert(id);
            }
            let end = chain.end();
            if end.number == number && end.state == request.state {
                chain.push(id, &request, next_state);
                self.extend(chain, &wallet);
            }
            return Ok(());
        };
        if let Some(asked) = self.asked.get_mut(&id) {
            // whoever asks hears it, and may ask again
            *asked = Some(reason);
            return Ok(());
        }
        let wait = match reason {
            Reason::State { number: at, .. } if number > at => Some(Wait::State),
            Reason::Funds { .. } => Some(Wait::Funds),
            Reason::Time { .. } if request.from_ms > now_ms => Some(Wait::Time(request.from_ms.saturating_sub(EARLY_MS_MAX))),
            _ => None,
        };
        let waits = wait.is_some_and(|wait| self.candidates.park(slot, wait));
        if !waits || passes(&reason) {
            self.answer_carrier(id, reason);
        }
        if number < executed && self.now.forget_done(&id) {
            self.pending.remove(&id);
            self.complete.remove(&id);
        }
        Ok(())
    }

    /// Tells whoever carried a request last.
    fn answer_carrier(&mut self, id: Id, reason: Reason) {
        let carrier = self.now.get(&id).and_then(|spend| spend.carriers.last().map(|(_, issuer)| *issuer));
        if let Some(carrier) = carrier {
            self.answer(id, carrier, reason);
        }
    }
}

#[cfg(test)]
mod tests;
