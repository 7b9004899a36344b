//! The graph of messages: insertion, tips, the order of a cut, evidence of equivocation.
//!
//! Purpose: keep the messages that are not long confirmed, braided of one chain per issuer, and answer the
//! questions consensus asks: what may be named next, what is new under these tips and in which order, which
//! of it counts. Everything is synchronous and a function of its arguments: no clock, no chance, no I/O.
//!
//! # Rules
//! - **Parents before children.** A message is connected once every parent is connected, is the root, or was
//!   confirmed and forgotten. Until then it is pending, and pending messages are bounded ([`Limits`]).
//! - **One order on every node.** A cut depends on its tips and on what was confirmed before, never on the
//!   order of arrival: messages are sorted by (depth within the cut, id) ([`Dag::cut`]).
//! - **At most one counts.** Of an issuer's messages with one sequence at most one counts ([`settle()`]); two of
//!   them are evidence ([`Equivocation`]), and both stay in the graph.
//! - **The confirmed past costs nothing.** Cuts and proposals walk unconfirmed messages only, and
//!   [`Dag::forget`] drops the others.
//! - **No recursion.** A chain may be as long as a partition lasted.
//!
//! # The way of a message
//! ```text
//!            parents missing                 all parents known
//! insert ──▶ pending ─────────────────────▶ connected ──cut, confirm──▶ confirmed ──forget──▶ (archive only)
//!               └─ take_pending               └─ a tip until another connected message names it
//! ```
//!
//! # Where things are
//! `graph` insertion and look-ups · `pending` who waits for whom · `tips` what to name next · `order` cuts ·
//! `proposal` tips for a milestone · `pruning` confirm and forget · `evidence` equivocation · `settle` what counts

mod evidence;
mod graph;
mod insertion;
mod order;
mod pending;
mod proposal;
mod pruning;
mod settle;
mod tips;
mod vertex;

pub use evidence::Equivocation;
pub use graph::Dag;
pub use insertion::{InsertError, Insertion};
pub use order::CutError;
pub use pending::{Limits, PENDING_MAX, PENDING_PER_ISSUER_MAX};
pub use settle::{Settled, settle};
pub use vertex::Vertex;
