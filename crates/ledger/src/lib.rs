//! The state machine: what the ledger knows after applying ordered messages, one after another.
//!
//! Purpose: every node applies the same messages in the same order to the same state, so all reach the same
//! `state_root`. Nothing here knows the DAG, disks or the network: the caller orders the messages, brings the
//! values of the keys they [touch](touched), and stores the changes.
//!
//! # Rules
//! - Only messages that *count* reach [`apply`]. Of void ones the state [remembers](remember) what no sequence settles.
//! - The state begins as [`genesis_state`]. A closing milestone [elects](elect) and then [closes its epoch](close_epoch).
//! - A value is written under the SHA-256 of its key, so that any authenticated map of 32-byte keys can hold it.
//! - A stored value that cannot be read is [`ApplyError::Corrupt`]: the state must be rebuilt, not guessed.
//! - An order that is [refused](Refusal) changes nothing. DCoin is neither made nor lost: balances, stakes, what is
//!   unbonding and what was burned add up to the supply, always.
//!
//! # Where things are
//! ```text
//! apply ─┬─ account ─ void              every message
//!        ├─ stake ─── wallet, validator orders
//!        ├─ registry ─ device           orders about sites and devices
//!        ├─ slashing ─ retained         evidence
//!        ├─ fastpath ─ purse, minting   requests, votes, certificates, ends of epochs; judging: a validator's rule
//!        └─ market                      orders about coins and services
//! founding: the first state · election: the next committee · read: one function for each kind of value
//! ```
//! Channels and contracts will each be a file of their own.

mod account;
mod apply;
mod device;
mod election;
mod fastpath;
mod founding;
mod judging;
mod market;
mod minting;
mod purse;
mod read;
mod registry;
pub mod retained;
mod rules;
mod slashing;
mod stake;
mod store;
mod validator;
mod void;
mod wallet;

pub use account::{Account, Totals};
pub use apply::{Effects, apply, apply_with_effects, touched};
pub use device::{Device, DeviceKey, SITE_CHANGES_KEPT, SITE_DEVICES_MAX, Site};
pub use election::{close_epoch, elect, electing};
pub use fastpath::{Executed, following, may_close};
pub use founding::genesis_state;
pub use judging::{Ahead, EARLY_MS_MAX, executed_purse, judge, judge_signed, judging};
pub use purse::{AHEAD_MAX, Coins, Earnings, Farewells, PAID_ROOTS_MAX, Purchase, Purse, REGISTERED_MAX, Service, Tally};
pub use read::{
    ApplyError, is_punished, read_account, read_candidates, read_coins, read_delegation, read_device, read_device_key, read_earnings,
    read_epoch, read_farewells, read_place, read_purchase, read_purse, read_registered, read_service, read_site, read_site_change,
    read_site_device, read_totals, read_unbonding, read_validator, read_void, read_waiting, read_wallet,
};
pub use registry::change_slot;
pub use retained::RETAINED_FULL;
pub use rules::{OrderError, Refusal, RequestError, Rules};
pub use store::{Changes, Key, MemoryStore, Overlay, StateStore};
pub use validator::{CANDIDATES_MAX, Candidates, Epoch, Validator};
pub use void::{VOID_IDS_MAX, VOIDS_MAX, VoidIds, is_void, remember, remembered};
pub use wallet::{Delegation, Release, UNBONDING_MAX, Unbonding, Wallet};
