//! What can go wrong with the fog processor, and what to do.

use edge::fog::PipelineError;
use mqtt::LogError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the processor cannot start, or had to end. What is in the intake stays there.
#[derive(Debug, Error)]
pub(crate) enum FogError {
    /// The file of pipelines cannot be read.
    #[error("the pipelines {} cannot be read: {why}; fog.pipelines names the file", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// It is not right: file, line, column and reason.
    #[error(transparent)]
    Pipelines(#[from] PipelineError),
    /// The operating system refused.
    #[error("cannot {what} {}: {why}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What it answered.
        why: io::Error,
    },
    /// A file of ours is not what was written.
    #[error(
        "{} is damaged: {why}; restore the directories `fog` and `intake` from one copy, or delete `fog`: then open windows and rules begin anew", .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Snapshot, journal and intake are not of one time.
    #[error("{} does not fit to the intake beside it: {why}; restore the directories `fog` and `intake` from one copy", .dir.display())]
    Apart {
        /// The directory of snapshot and journal.
        dir: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The snapshot is of another version of this program, and steps were made after it.
    #[error(
        "{} is of another version of this program and was not closed by it ({why}): start and stop that version once, then start this one", .dir.display()
    )]
    Outdated {
        /// The directory of snapshot and journal.
        dir: PathBuf,
        /// What this version cannot do with it.
        why: String,
    },
    /// The intake cannot be read.
    #[error(transparent)]
    Intake(#[from] LogError),
    /// A result can never be taken: our own fault.
    #[error("{0}")]
    Invalid(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness for the fog processor's name: {0}")]
    Randomness(String),
    /// A task ended in a way it never should.
    #[error("a task of the fog processor ended: {0}: please report it")]
    Task(String),
}

impl FogError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |why| Self::Io { what, path, why }
    }
}

/// Why something could not be done now.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may go later.
    Busy(String),
    /// It never will.
    Fatal(FogError),
}

impl Trouble {
    /// A file that could not be written: there may be room later.
    pub(super) fn busy(error: &FogError) -> Self {
        Self::Busy(error.to_string())
    }
}

impl From<FogError> for Trouble {
    fn from(error: FogError) -> Self {
        Self::Fatal(error)
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self::Fatal(error.into())
    }
}
