//! What `wattle bench NAME --json` printed, as a file.

use crate::cli::{Exit, Failure};
use serde_json::Value;
use std::path::Path;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Gives what a file holds to `take`. `todo` says which files are of use.
///
/// # Errors
/// [`Failure`]: usage (2) if the file is no JSON, or `take` says why it is of no use; else if it cannot be read.
pub(super) fn read(path: &Path, todo: &str, take: impl FnOnce(&Value) -> Result<(), String>) -> Result<(), Failure> {
    let unread = |error: std::io::Error| Failure::file(path, &error, "name a file that can be read");
    let wrong = |why: String| Failure::new(Exit::Usage, why, path.display(), todo);
    let size = std::fs::metadata(path).map_err(unread)?.len();
    if size > FILE_BYTES_MAX {
        return Err(wrong(format!("{size} bytes are no output of a bench")));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let object: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    take(&object).map_err(wrong)
}
