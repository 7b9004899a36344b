//! The replicated node: messages travel, milestones become final, the ledger is executed.
//!
//! Purpose: everything of design §4 that needs a network, a disk or the consensus engine
//! (`commonware-*` 2026.10.0), and the only crate that names it. The same code runs on TCP between processes
//! ([`Runtime`]) and on the engine's deterministic runtime with its simulated network ([`replica::start`]).
//!
//! ```text
//!             issue ┌────────┐ push, announce, pull     ┌───────┐
//!  process ────────▶│  core  │◀────────────────────────▶│ peers │   dissemination
//!          ◀─events─│ dag    │                          └───────┘
//!                   │ ledger │◀── Propose, Verify ──── simplex      votes, certificates
//!                   │ stores │◀── Finalized ───────── marshal       milestones, in order, once each
//!                   └────────┘
//! ```
//! - `core`: the one task that owns graph, archive and state;
//! - `dissemination`: messages between peers;
//! - `application`: what consensus asks;
//! - `store`, `state`: what is on disk;
//! - `network`, `runtime`: TCP, and the process around it;
//! - `check`: fsck.

mod application;
mod check;
mod core;
mod dissemination;
mod handle;
mod network;
pub mod replica;
mod runtime;
mod state;
mod store;
mod wire;

pub use self::core::OWN_UNCONFIRMED_MAX;
pub use application::Pace;
pub use check::{CheckReport, check};
pub use handle::{
    Confirmed, Event, Evidence, EvidenceError, Handle, IssueError, MessageRecord, MilestoneRecord, OwnPayload, Standing, Status,
};
pub use network::Config;
pub use replica::StartError;
pub use runtime::{Runtime, run};
