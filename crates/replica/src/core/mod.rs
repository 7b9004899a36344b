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

mod actor;
mod admission;
mod cuts;
mod execution;
mod issuing;
mod queries;
mod request;
mod startup;

pub(crate) use actor::{ANNOUNCED_MAX, Core, CoreError, Limits, Outlets};
pub(crate) use execution::ACKS_MAX;
pub use issuing::OWN_UNCONFIRMED_MAX;
pub(crate) use issuing::unix_ms;
pub(crate) use request::{Finalized, Link, Request, Requests};
pub(crate) use startup::{Setup, history};
