//! What the executed state says of validators, wallets and the epoch.
//!
//! The state can be asked for a key, not for all there are. So the validators listed are those who stand for election,
//! the committee, and those who issued something that this node met.

use super::actor::{Core, CoreError};
use super::request::Request;
use crate::handle::{EpochRecord, OrderRefusal, StakeRecord, ValidatorRecord, WalletRecord};
use crate::state::StateError;
use crate::store::Disk;
use commonware_runtime::Spawner;
use ledger::{Key, MemoryStore, Validator, Wallet};
use protocol::{Id, PublicKey};
use std::collections::BTreeSet;

/// Validators in one answer beyond those who stand and the committee.
const OTHERS_MAX: usize = 1024;

impl<E: Disk + Spawner> Core<E> {
    /// Answers what is asked of stakes.
    pub(super) async fn answer_stakes(&self, query: Request) -> Result<(), CoreError> {
        match query {
            Request::Epoch { reply } => drop(reply.send(self.epoch_record())),
            Request::Validators { reply } => drop(reply.send(self.validators().await?)),
            Request::Validator { key, reply } => drop(reply.send(self.validator(key).await?)),
            Request::Wallet { key, reply } => drop(reply.send(self.wallet(key).await?)),
            Request::Stake { wallet, validator, reply } => drop(reply.send(self.stake(wallet, validator).await?)),
            Request::Refusals { message, reply } => drop(reply.send(self.refusals_of(&message))),
            other => self.answer_registry(other).await?,
        }
        Ok(())
    }

    async fn executed_state(&self, keys: BTreeSet<Key>) -> Result<MemoryStore, CoreError> {
        Ok(self.state.read(self.executed.state.as_ref(), keys).await?)
    }

    /// The epoch of the next milestone.
    fn epoch_record(&self) -> EpochRecord {
        let epoch = self.epoch_of(self.executed.height + 1);
        EpochRecord {
            height: self.executed.height,
            epoch,
            closing_height: self.genesis.parameters.closing_height(epoch),
            committee: self.committee.clone(),
        }
    }

    /// Keys of the validators that this node can name.
    async fn known_validators(&self) -> Result<BTreeSet<PublicKey>, CoreError> {
        let state = self.executed_state(BTreeSet::from([Key::Candidates])).await?;
        let candidates = ledger::read_candidates(&state).map_err(StateError::from)?.0;
        let mut keys: BTreeSet<PublicKey> = self.committee.iter().chain(&candidates).copied().collect();
        let others: Vec<PublicKey> = self.issuers.iter().filter(|key| !keys.contains(*key)).take(OTHERS_MAX).copied().collect();
        keys.extend(others);
        Ok(keys)
    }

    fn validator_record(&self, key: PublicKey, validator: Validator) -> ValidatorRecord {
        let Validator { name, address, stake, unbonding, jailed_until, registered, .. } = validator;
        let in_committee = self.committee.binary_search(&key).is_ok();
        ValidatorRecord { key, name, address, stake, unbonding, jailed_until, registered, in_committee }
    }

    /// A validator.
    async fn validator(&self, key: PublicKey) -> Result<Option<ValidatorRecord>, CoreError> {
        let state = self.executed_state(BTreeSet::from([Key::Validator(key)])).await?;
        let validator = ledger::read_validator(&state, key).map_err(StateError::from)?;
        Ok(validator.map(|validator| self.validator_record(key, validator)))
    }

    /// The validators that this node can name, by their keys.
    async fn validators(&self) -> Result<Vec<ValidatorRecord>, CoreError> {
        let keys = self.known_validators().await?;
        let state = self.executed_state(keys.iter().map(|key| Key::Validator(*key)).collect()).await?;
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(validator) = ledger::read_validator(&state, key).map_err(StateError::from)? {
                records.push(self.validator_record(key, validator));
            }
        }
        Ok(records)
    }

    /// A wallet, with what it has bound to validators that this node can name.
    async fn wallet(&self, key: PublicKey) -> Result<WalletRecord, CoreError> {
        let validators = self.known_validators().await?;
        let mut keys = BTreeSet::from([Key::Wallet(key)]);
        for v in &validators {
            keys.extend([Key::Validator(*v), Key::Delegation(key, *v), Key::Unbonding(key, *v)]);
        }
        let state = self.executed_state(keys).await?;
        let found = ledger::read_wallet(&state, key).map_err(StateError::from)?;
        let known = found.is_some();
        let Wallet { state: at, balance } = found.unwrap_or_else(|| Wallet::unheard(&self.network, &key));
        let mut stakes = Vec::new();
        for validator in validators {
            stakes.extend(stake_in(&state, key, validator)?.filter(|stake| stake.staked > 0 || !stake.unbonding.is_empty()));
        }
        Ok(WalletRecord { key, known, state: at, balance, stakes })
    }

    /// What a wallet has bound to a validator; `None` if there is no such validator.
    async fn stake(&self, wallet: PublicKey, validator: PublicKey) -> Result<Option<StakeRecord>, CoreError> {
        let keys = [Key::Validator(validator), Key::Delegation(wallet, validator), Key::Unbonding(wallet, validator)];
        stake_in(&self.executed_state(BTreeSet::from(keys)).await?, wallet, validator)
    }

    /// What in a message had no effect, as far as this node remembers.
    fn refusals_of(&self, message: &Id) -> Vec<OrderRefusal> {
        let refusals = self.counts.last_refused.of(message).into_iter();
        refusals.map(|refusal| OrderRefusal { index: refusal.index, why: refusal.why.to_string() }).collect()
    }
}

fn stake_in(state: &MemoryStore, wallet: PublicKey, validator: PublicKey) -> Result<Option<StakeRecord>, CoreError> {
    let Some(record) = ledger::read_validator(state, validator).map_err(StateError::from)? else { return Ok(None) };
    let factor = record.retained;
    let delegation = ledger::read_delegation(state, wallet, validator).map_err(StateError::from)?;
    let unbonding = ledger::read_unbonding(state, wallet, validator).map_err(StateError::from)?;
    Ok(Some(StakeRecord {
        validator,
        name: record.name,
        staked: delegation.map_or(0, |d| d.worth(factor)),
        unbonding: unbonding.0.iter().map(|release| (release.epoch, release.bound.worth(factor))).collect(),
    }))
}
