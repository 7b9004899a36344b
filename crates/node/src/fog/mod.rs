//! The fog processor of a running site (M14): from the log of what arrived, through the pipelines, to where results go.
//! The rules have numbers in `docs/spec/fog.md`, FOG-39 to FOG-51; the pipelines themselves are `edge::fog`.
//!
//! ```text
//! PUBLISH ─▶ ingress, the pipelines' parsers ─▶ intake log (durable, then PUBACK) ─▶ runner, in log order ─▶ sink
//!                                                                                   │
//!               snapshot: state, offset, configuration  ◀── now and then ───────────┤
//!               journal: what each step since then was  ◀── before its results ─────┘
//! ```
//! - `machine`: what is done next, and the files; `runner`: the task that does it; `sink`: where results go; `journal`,
//!   `snapshot`: the files; `pipelines`: the configuration and its changes; `stats`: figures; `error`.
//!
//! # Why nothing is lost and nothing is said twice
//! 1. What a pipeline makes is a function of its configuration, its state and the calls made to it, times included
//!    (FOG-35). A *step* is such calls: readings up to an offset of the intake with bounds of their arrivals, a tick with its
//!    time, or the closing of windows before a change of the configuration.
//! 2. A step is written to the journal, durably, before any of its results leaves. What is written about it is all that its
//!    results depend on, beside the state before. So whoever takes the snapshot and makes the same steps gets the same
//!    results, bit by bit. A step without results need not be durable: if it is lost, its readings are taken again, and
//!    nobody has seen the difference.
//! 3. Results leave in pieces, one after another, each durable where it went before the journal goes on: the next step, or the
//!    next piece, is written only then. So after a kill all that may or may not have left is the last piece of the last step
//!    in the journal. It leaves again under the origin it had, and the site's log knows the newest origin whatever its
//!    window is: a piece is one publish of the log, whole or not there, and nobody else writes to that log.
//! 4. A snapshot is made when nothing is on its way. It holds the text of the configuration too: steps are made again under
//!    the pipelines under which they were made first, also if the file has changed since. A change takes effect by a
//!    snapshot, so no step has two configurations.
//! 5. The intake forgets what is below the offset of a durable snapshot, nothing else. Everything from there on is in the
//!    intake, and what was before is in the snapshot's state or has left.
//! 6. Numbers of commands, and those that devices signed, are counted in the snapshot and by the steps like everything else.

mod error;
mod journal;
mod machine;
mod pipelines;
mod runner;
mod sink;
mod snapshot;
mod stats;
#[cfg(test)]
mod tests;

pub(crate) use error::FogError;
pub(crate) use pipelines::Pipelines;
pub(crate) use runner::{FogRunner, RunnerParts};
pub(crate) use sink::{LogSink, Out, Sink, SinkError};
pub(crate) use stats::{FogHandle, FogStats};

use std::path::{Path, PathBuf};

/// What a check found of the processor's own files: what is wrong, and where.
#[must_use]
pub(crate) fn check(dir: &Path) -> Vec<(String, PathBuf)> {
    let told = |error: FogError| (error.to_string(), dir.to_path_buf());
    let snapshot = snapshot::Snapshot::load(dir).map_err(told);
    let journal = journal::Journal::read(dir).map_err(told);
    match (snapshot, journal) {
        (Ok(Some(snapshot)), Ok(Some(journal))) => machine::fits(dir, &snapshot, &journal).map_err(told).err().into_iter().collect(),
        (snapshot, journal) => [snapshot.err(), journal.err()].into_iter().flatten().collect(),
    }
}
