//! Discrete-event models of the systems that wattle's source papers evaluate: the broker campaign of the
//! ledger-as-a-service paper and Wallance's vote latency; the charts that show them; and what a measured host can serve.
//!
//! Purpose: reproduce published figures, then extrapolate ours beside them. `wattle sim` is the command line; it lives in
//! `node`, which also owns threads, files and progress.
//!
//! # Rules
//! - Time is simulated and chance comes from a seed: the same settings give the same outcome, bit for bit, whatever runs
//!   beside. No clock, file, socket or thread is used here.
//! - A published number that a model is fitted to, and every assumption that a paper leaves open, has a name and a default,
//!   and the head of the module says which figure it reproduces.
//! - Nothing of the ledger is used: these are models, not the software.

mod band;
pub mod brokers;
pub mod capacity;
mod chance;
pub mod chart;
pub mod scale;
pub mod votes;

pub use band::Band;
