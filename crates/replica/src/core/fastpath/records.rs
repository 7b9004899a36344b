//! What callers ask of requests, purses and coins.

use super::chains::Chain;
use super::spends::{Spend, Spends};
use crate::core::actor::{Core, CoreError};
use crate::core::request::Request;
use crate::handle::{PurseRecord, SpendRecord};
use crate::state::StateError;
use crate::store::Disk;
use commonware_runtime::Spawner;
use ledger::Key;
use protocol::{Id, PublicKey};
use std::collections::BTreeSet;
use std::sync::Arc;

fn record(spends: &Spends, id: &Id, spend: &Spend) -> Option<SpendRecord> {
    Some(SpendRecord {
        id: *id,
        request: Arc::clone(&spend.request),
        status: spends.status(id)?,
        votes: u32::try_from(spend.votes.len()).unwrap_or(u32::MAX),
        needed: u32::try_from(spends.needed()).unwrap_or(u32::MAX),
        carrier: spend.carriers.first().map(|(message, _)| *message),
        rejections: spend.rejections.clone(),
    })
}

impl<E: Disk + Spawner> Core<E> {
    /// What is known of a request of this epoch or the one before.
    pub(super) fn spend_record(&self, id: &Id) -> Option<SpendRecord> {
        let known = [Some(&self.fast.now), self.fast.before.as_ref()];
        known.into_iter().flatten().find_map(|spends| record(spends, id, spends.get(id)?))
    }

    /// Answers what is asked of requests.
    pub(in crate::core) async fn answer_spends(&mut self, query: Request) -> Result<(), CoreError> {
        match query {
            Request::SpendRecord { id, reply } => drop(reply.send(self.spend_record(&id))),
            Request::Certificate { id, reply } => drop(reply.send(self.assemble(&id).await?)),
            Request::Purse { wallet, reply } => drop(reply.send(self.purse(wallet).await?)),
            Request::Service { id, reply } => {
                let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Service(id)])).await?;
                let _ = reply.send(ledger::read_service(&state, id).map_err(StateError::from)?);
            }
            Request::Purchase { request, reply } => {
                let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Purchase(request)])).await?;
                let _ = reply.send(ledger::read_purchase(&state, request).map_err(StateError::from)?);
            }
            Request::Coins { reply } => {
                let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Coins])).await?;
                let _ = reply.send(ledger::read_coins(&state).map_err(StateError::from)?);
            }
            other => self.answer_stakes(other).await?,
        }
        Ok(())
    }

    async fn purse(&self, wallet: PublicKey) -> Result<PurseRecord, CoreError> {
        let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Purse(wallet)])).await?;
        let found = ledger::read_purse(&state, wallet).map_err(StateError::from)?;
        let purse = found.unwrap_or_else(|| ledger::Purse::unheard(&self.network, &wallet));
        let mut chain = self.fast.chains.get(&wallet).cloned().unwrap_or_else(|| Chain::of(&purse));
        chain.follow(&purse);
        let end = chain.end();
        Ok(PurseRecord {
            wallet,
            epoch: self.fast.now.epoch(),
            number: purse.number,
            state: purse.state,
            balance: purse.balance,
            next_number: end.number,
            next_state: end.state,
            available: purse.balance.saturating_sub(end.reserved),
        })
    }
}
