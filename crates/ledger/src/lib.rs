//! The state machine: what the ledger knows after applying ordered messages, one after another.
//!
//! Purpose: every node applies the same messages in the same order to the same state, so all reach the same
//! `state_root`. Nothing here knows the DAG, disks or the network: the caller orders the messages, brings the
//! values of the keys they [touch](touched), and stores the changes.
//!
//! # Rules
//! - Only messages that *count* reach [`apply`]; void ones are no concern of the state.
//! - A value is written under the SHA-256 of its key, so that any authenticated map of 32-byte keys can hold it.
//! - A stored value that cannot be read is [`ApplyError::Corrupt`]: the state must be rebuilt, not guessed.
//!
//! Wallets, stake, epochs, the registry, channels and contracts will each be a file of their own here; today
//! the state holds one [`Account`] for each issuer and the [`Totals`] of the network.

mod account;
mod apply;
mod store;

pub use account::{Account, Totals};
pub use apply::{ApplyError, apply, read_account, read_totals, touched};
pub use store::{Key, MemoryStore, Overlay, StateStore};
