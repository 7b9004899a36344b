//! Why a configuration or a snapshot cannot be used.

use thiserror::Error;

/// Bytes of a reason: it may quote the configuration.
const REASON_BYTES_MAX: usize = 800;

/// Why pipelines cannot be used: where in the file, and what would be right. What runs goes on as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct PipelineError {
    /// The file, as the caller calls it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

/// A place in a configuration and what is wrong there.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Bytes before it.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) reason: String,
}

/// What reading a configuration gives.
pub(crate) type Checked<T> = Result<T, Wrong>;

impl Wrong {
    /// Something wrong at a place.
    pub(crate) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// The same for people, who count lines and characters.
    pub(crate) fn locate(self, text: &str, file: &str) -> PipelineError {
        let before = text.get(..text.floor_char_boundary(self.at)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        // one line, however many the parser used
        let mut reason = self.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        PipelineError { file: file.to_owned(), line, column, reason }
    }
}

/// Why a snapshot was not restored: begin with no state and read again what is to be counted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It belongs to other pipelines: windows and rules begin anew.
    #[error("it was taken under other pipelines: start without it")]
    OtherPipelines,
    /// It is of a version that this software does not write.
    #[error("its version {0} is unknown: start without it")]
    Version(u8),
    /// It is longer than any snapshot.
    #[error("it has {0} bytes, more than any snapshot: start without it")]
    TooLarge(usize),
    /// It is cut off or was changed.
    #[error("it is damaged: {0}: start without it")]
    Damaged(#[from] protocol::DecodeError),
}
