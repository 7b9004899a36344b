//! The state that a network starts with.

use crate::account::Totals;
use crate::retained::RETAINED_FULL;
use crate::store::Key;
use crate::validator::{Candidates, Epoch, Validator};
use crate::wallet::{Delegation, Wallet};
use protocol::{Encode, Genesis};
use std::collections::BTreeMap;

/// The values of the state before the first message: wallets with their balances; the committee as registered
/// validators, each with its stake delegated by the wallet of its own key; the candidates among them; epoch 0; the
/// supply. The genesis is one that [`Genesis::check`] accepts.
#[must_use]
pub fn genesis_state(genesis: &Genesis) -> BTreeMap<Key, Vec<u8>> {
    let network = genesis.network();
    let mut values = BTreeMap::new();
    let mut candidates = Candidates::default();
    let members = genesis.committee.validators();
    for (member, stake) in members.iter().zip(genesis.stakes.iter().chain(std::iter::repeat(&0))) {
        let validator = Validator { stake: *stake, ..Validator::new(member.name.clone(), None) };
        // a committee has room on the list: see below
        let _ = candidates.place(member.key, validator.stands(genesis.parameters.stake_min));
        values.insert(Key::Validator(member.key), validator.encode());
        let delegation = Delegation { amount: *stake, retained: RETAINED_FULL };
        values.insert(Key::Delegation(member.key, member.key), delegation.encode());
    }
    for (key, balance) in &genesis.wallets {
        values.insert(Key::Wallet(*key), Wallet { balance: *balance, ..Wallet::unheard(&network, key) }.encode());
    }
    let committee = members.iter().map(|m| m.key).collect();
    values.insert(Key::Candidates, candidates.encode());
    values.insert(Key::Epoch, Epoch { epoch: 0, committee }.encode());
    values.insert(Key::Totals, Totals { supply: genesis.supply().unwrap_or(u64::MAX), ..Totals::default() }.encode());
    values
}

const _: () = assert!(protocol::limits::COMMITTEE_MAX <= crate::validator::CANDIDATES_MAX);
