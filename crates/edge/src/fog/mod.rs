//! The fog processing unit (M14): what becomes of readings on their way from a device to the ledger and to actuators.
//! The rules have numbers and examples in `docs/spec/fog.md`.
//!
//! # Rules
//! - Nothing here reads a clock, a file or a socket: times are arguments, so that a log of what arrived and of the ticks
//!   in between gives the same outcome each time it is read.
//! - Whatever a device sends ends as accepted, derived, rejected with a reason, or counted.
//! - What is remembered is bounded; what is dropped for that is counted.
//!
//! ```text
//!            first pipeline that is for the topic
//! payload ─▶ parse ─▶ readings ─▶ validate · normalise · filter · window · enrich · rule ─▶ accepted, derived
//!              └─▶ rejected           └─▶ rejected, counted   ▲                  └─▶ commands
//! time ───────────────────────────────────────── tick ────────┘
//! ```

mod enrich;
mod error;
mod expression;
mod filter;
mod inputs;
mod normalise;
mod outcome;
mod parse;
mod pattern;
mod pipeline;
mod processor;
mod rule;
mod snapshot;
mod stage;
mod state;
mod table;
mod units;
mod validate;
mod window;

pub use error::{PipelineError, SnapshotError};
pub use outcome::{Command, Counts, Outcome, Refused, Rejection};
pub use pipeline::{CONFIGURATION_BYTES_MAX, CONSTANTS_MAX, PATTERNS_MAX, PIPELINES_MAX, STAGES_MAX};
pub use processor::{Fog, Summary};
pub use snapshot::SNAPSHOT_BYTES_MAX;
pub use state::{CELLS_MAX, SERIES_MAX};
