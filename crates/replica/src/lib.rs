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
//! - `proof`, `light`, `json`: what a stranger can check without a replica;
//! - `sync`: joining a network that has forgotten its beginnings;
//! - `network`, `runtime`: TCP, and the process around it;
//! - `laboratory`: a committee in one process, over links of a stated latency, for benches;
//! - `check`: fsck.

mod application;
mod check;
mod core;
mod defences;
mod dissemination;
mod epochs;
mod handle;
mod json;
mod laboratory;
mod light;
mod network;
mod proof;
pub mod replica;
mod runtime;
#[cfg(test)]
mod sample;
mod state;
mod store;
mod sync;
mod wire;

pub use self::core::{OWN_UNCONFIRMED_MAX, Retention};
pub use application::Pace;
pub use check::{CheckReport, check};
#[doc(hidden)]
pub use defences::Defences;
pub use handle::{
    Anchored, Confirmed, DEVICES_AT_ONCE_MAX, DeviceRecord, EpochRecord, Event, Evidence, EvidenceError, Handle, IssueError, MessageRecord,
    MilestoneRecord, OrderRefusal, OwnPayload, PurseRecord, SiteChanges, SpendAnswer, SpendEvent, SpendRecord, SpendStatus, StakeRecord,
    Standing, Status, ValidatorRecord, WalletRecord,
};
pub use json::{HEAD_FORMAT, JsonError, STATE_FORMAT, TRUSTED_FORMAT};
pub use laboratory::{Laboratory, LaboratoryConfig, LaboratoryError};
pub use light::{HANDOVERS_AT_ONCE_MAX, Head, HeadError, Step, TrustError, Trusted};
pub use network::Config;
pub use proof::{ProofError, StateProof, StateProofError, VerifiedState};
pub use replica::StartError;
pub use runtime::{Runtime, run};
pub use sync::{ANSWER_BYTES_MAX, Flaw, JoinError, Joining, Progress, Upstream, Watch};
