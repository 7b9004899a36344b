//! What can go wrong with the log, and what its caller can do.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the log cannot be opened, read or trimmed.
#[derive(Debug, Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What it answered.
        source: io::Error,
    },
    /// Another process, or another part of this one, has the log open.
    #[error("the log in {} is open elsewhere: stop the other process, or give this one a directory of its own", .0.display())]
    Locked(PathBuf),
    /// Bytes that were durable are not what was written.
    #[error("{} is damaged at byte {at}: {why}; run `wattle check` on the directory and restore the file from a copy", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The byte at which the damaged part begins.
        at: u64,
        /// What is wrong there.
        why: String,
    },
    /// Readings were asked for that were confirmed and deleted.
    #[error("reading {asked} is no longer in the log, which begins at {first}: it was confirmed, ask the ledger for it")]
    Forgotten {
        /// The offset asked for.
        asked: u64,
        /// The first offset the log still has.
        first: u64,
    },
    /// An offset that the log has not reached: a mistake of the caller.
    #[error("offset {asked} is past the end of the log, {end}")]
    PastEnd {
        /// The offset asked for.
        asked: u64,
        /// The offset of the next reading.
        end: u64,
    },
}

impl LogError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}

/// Why a publish was not kept. It must not be acknowledged; the publisher sends it again later.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The unconfirmed readings fill their share of the disk: wait until the ledger confirms some, or raise the
    /// limit.
    #[error(
        "the site's log is full: {pending_bytes} bytes wait for the ledger, the limit is {limit_bytes}; it takes more when some are confirmed"
    )]
    Full {
        /// Bytes of unconfirmed readings.
        pending_bytes: u64,
        /// The limit of the configuration.
        limit_bytes: u64,
    },
    /// The disk is nearly full: free some space.
    #[error("the disk under {} is full: {free_bytes} bytes are free, {min_free_bytes} must stay free; delete something there", .dir.display())]
    DiskFull {
        /// The log's directory.
        dir: PathBuf,
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that must stay free.
        min_free_bytes: u64,
    },
    /// More publishes wait for the disk than the queue holds: send again, more slowly.
    #[error("the site's log is overloaded: the disk is slower than the publishers; send again, more slowly")]
    Overloaded,
    /// The entry breaks a bound of the log: a mistake of the caller.
    #[error("the publish cannot be stored: {0}")]
    Invalid(String),
    /// The group could not be written: the next append tries again.
    #[error("the site's log could not be written: {0}; it is tried again with the next publish")]
    Failed(String),
    /// The log was closed: the process is stopping.
    #[error("the site's log is closed: the process is stopping, send again later")]
    Closed,
}
