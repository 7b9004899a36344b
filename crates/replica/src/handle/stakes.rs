//! Validators, wallets and epochs, as the executed state has them.

use super::Handle;
use crate::core::Request;
use protocol::{Address, Id, Name, PublicKey};

/// The present epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// Height of the last milestone executed.
    pub height: u64,
    /// The epoch of the next one.
    pub epoch: u64,
    /// Height of the milestone that closes it; `None` if it is beyond 64 bits.
    pub closing_height: Option<u64>,
    /// Who signs its milestones, ascending.
    pub committee: Vec<PublicKey>,
}

/// A validator. Amounts are in DCoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorRecord {
    /// Its key.
    pub key: PublicKey,
    /// What people call it.
    pub name: Name,
    /// Where its node can be reached, if it says so.
    pub address: Option<Address>,
    /// What is at stake with it.
    pub stake: u64,
    /// What was undelegated from it and not withdrawn yet.
    pub unbonding: u64,
    /// It is not elected while the epoch is below this.
    pub jailed_until: u64,
    /// Whether it wants to be elected.
    pub registered: bool,
    /// Whether it signs milestones in this epoch.
    pub in_committee: bool,
}

/// What a wallet has bound to one validator, in DCoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StakeRecord {
    /// The validator.
    pub validator: PublicKey,
    /// What people call it.
    pub name: Name,
    /// At stake.
    pub staked: u64,
    /// Undelegated: the first epoch in which it can be withdrawn, and how much.
    pub unbonding: Vec<(u64, u64)>,
}

/// A wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletRecord {
    /// Its key.
    pub key: PublicKey,
    /// Whether the ledger has heard of it.
    pub known: bool,
    /// The State that its next order must name.
    pub state: Id,
    /// DCoin it can spend.
    pub balance: u64,
    /// What it has bound to validators that the node can name: those who stand for election, the committee, and those
    /// who issued something that the node met.
    pub stakes: Vec<StakeRecord>,
}

/// An order, or evidence, that had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRefusal {
    /// Its place in the message, from 0.
    pub index: usize,
    /// Why.
    pub why: String,
}

impl Handle {
    /// The present epoch; `None` if the replica has stopped.
    pub async fn epoch(&self) -> Option<EpochRecord> {
        self.ask(|reply| Request::Epoch { reply }).await
    }

    /// The validators that this node can name, by ascending keys; `None` if the replica has stopped.
    pub async fn validators(&self) -> Option<Vec<ValidatorRecord>> {
        self.ask(|reply| Request::Validators { reply }).await
    }

    /// A validator that ever registered.
    pub async fn validator(&self, key: PublicKey) -> Option<ValidatorRecord> {
        self.ask(|reply| Request::Validator { key, reply }).await.flatten()
    }

    /// A wallet, also one that the ledger has not heard of; `None` if the replica has stopped.
    pub async fn wallet(&self, key: PublicKey) -> Option<WalletRecord> {
        self.ask(|reply| Request::Wallet { key, reply }).await
    }

    /// What a wallet has bound to a validator, whoever that is; `None` if there is no such validator.
    pub async fn stake(&self, wallet: PublicKey, validator: PublicKey) -> Option<StakeRecord> {
        self.ask(|reply| Request::Stake { wallet, validator, reply }).await.flatten()
    }

    /// What in a message had no effect, though the message counts. A node remembers the last 1024 of these since it
    /// started.
    pub async fn refusals(&self, message: Id) -> Vec<OrderRefusal> {
        self.ask(|reply| Request::Refusals { message, reply }).await.unwrap_or_default()
    }
}
