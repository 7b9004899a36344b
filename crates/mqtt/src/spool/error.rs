//! What can go wrong with a spool, and what its caller can do.

use std::path::PathBuf;
use thiserror::Error;

/// Why a spool cannot be opened, or did not take a change.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpoolError {
    /// Another process, or another part of this one, has it open.
    #[error("the spool {} is open elsewhere: stop the other process, or give this one a directory of its own", .0.display())]
    Locked(PathBuf),
    /// The file cannot be opened or read.
    #[error("cannot use the spool {}: {why}; see that the disk is neither full nor read-only, and restore the file from a copy if it is damaged", .file.display())]
    Store {
        /// The file.
        file: PathBuf,
        /// What happened.
        why: String,
    },
    /// It holds as much as it may. It takes more once the other end has taken some.
    #[error("the spool holds {bytes} bytes, the limit is {limit_bytes}: the other end of a link is away or slow")]
    Full {
        /// Bytes of the records in it.
        bytes: u64,
        /// How many it may hold.
        limit_bytes: u64,
    },
    /// The disk is nearly full.
    #[error("the disk has {free_bytes} bytes free, at least {min_free_bytes} must stay: make room")]
    NoSpace {
        /// Bytes free.
        free_bytes: u64,
        /// Bytes that must stay free.
        min_free_bytes: u64,
    },
    /// More is on its way to the disk than may be.
    #[error("too much waits for the disk: try again later")]
    Overloaded,
    /// A record that cannot be kept: a mistake of the caller.
    #[error("it cannot be spooled: {0}")]
    Invalid(&'static str),
    /// An earlier write failed. It has to be opened again.
    #[error("the spool failed earlier: {0}; see that the disk works and start again")]
    Broken(String),
    /// It was closed.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    /// Whether it may pass by itself, or when the other end takes something.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoSpace { .. } | Self::Overloaded)
    }
}
