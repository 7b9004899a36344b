//! The core: one task that owns the graph, the archive and the state, and answers everybody else.
//!
//! ```text
//!  process ── Issue, queries ──▶ ┌──────┐ ── push, announce, fetch ──▶ peers
//!  peers ──── Pushed, Announced, │ core │
//!             Delivered, Asked ─▶│      │ ── events ──▶ subscribers
//!  consensus ─ Propose, Verify ─▶│      │
//!  marshal ─── Finalized ───────▶└──────┘ ── acknowledgement, once durable ──▶ marshal
//! ```
//! # Rules
//! - One owner: the engine's storage handles are consumed by writes, so nobody else may hold them.
//! - Durable first: an own message before its push, a milestone's cone before the vote for it, a milestone's
//!   effects before marshal's acknowledgement. Syncs are shared: by all messages issued in a round, by the
//!   milestones of a quarter of a second.
//! - Nothing here panics on what a peer sends: it is refused, counted, and at most the peer is blocked.
//! - A vote is on disk before the message that carries it (`fastpath`).
//! - What is settled follows from the messages and the state, never from what this node remembers (`settled`).
//! - The verdict on a message is a function of the chain below it, the same on every node (`rates`, `metering`); what is
//!   taken unasked is each node's own affair (`allowances`).

mod actor;
mod addresses;
mod admission;
mod allowances;
mod cuts;
mod execution;
mod fastpath;
mod issuing;
mod metering;
mod offences;
mod pace;
mod proofs;
mod queries;
mod rates;
mod refusal;
mod refused;
mod registry;
mod request;
mod retention;
mod settled;
mod spreading;
mod stakes;
mod startup;
mod wanted;

pub(crate) use actor::{ANNOUNCED_MAX, Core, CoreError, Limits, Outlets};
pub(crate) use execution::ACKS_MAX;
pub use issuing::OWN_UNCONFIRMED_MAX;
pub(crate) use issuing::{shifted, unix_ms};
pub(crate) use refused::Refused;
pub(crate) use request::{Finalized, Link, Request, Requests};
pub use retention::Retention;
pub(crate) use startup::{Setup, history};
