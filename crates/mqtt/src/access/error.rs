//! Why access control cannot be set up as asked.

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why access control cannot be set up as asked. Each names the file or the setting, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccessError {
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {why}")]
    File {
        /// What was tried: "read", "write".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A file can be read and is not what it should be.
    #[error("{path}: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The settings do not fit together.
    #[error("{0}")]
    Setting(String),
}

impl AccessError {
    /// The file `path` holds what cannot be used.
    pub(crate) fn content(path: &Path, why: impl ToString) -> Self {
        Self::Content { path: path.into(), why: why.to_string() }
    }
}

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, AccessError> {
    let failed = |e: std::io::Error| AccessError::File { what: "read", path: path.into(), why: e.to_string() };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > bytes_max {
        return Err(AccessError::content(path, format!("it has {bytes} bytes, the limit is {bytes_max}")));
    }
    std::fs::read(path).map_err(failed)
}

/// Reads a text file of at most `bytes_max` bytes.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, AccessError> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| AccessError::content(path, "it is not UTF-8 text"))
}
