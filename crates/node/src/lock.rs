//! One process per data directory.
//!
//! Two processes on one directory would issue two messages of one sequence, which is equivocation, and tear
//! each other's files. The lock is the system's own on `<dir>/lock`: it goes with the process, however that
//! ends, and leaves nothing to clean up.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a directory cannot be taken.
#[derive(Debug, Error)]
pub(crate) enum LockError {
    /// Another process has it.
    #[error(
        "the data directory {dir} is in use by another wattle process (pid {pid}): stop that one, or give this one its own node.data_dir"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// What the other process wrote into the lock file; `unknown` if it has not yet.
        pid: String,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock {file}: {why}; the directory must be writable and its file system must know locks")]
    Io {
        /// The lock file.
        file: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes `dir`, which must exist.
    ///
    /// # Errors
    /// [`LockError::InUse`] if another process has it, [`LockError::Io`] if the lock cannot be made.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let io = |why| LockError::Io { file: path.clone(), why };
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().into() };
                return Err(LockError::InUse { dir: dir.into(), pid });
            }
            Err(TryLockError::Error(why)) => return Err(io(why)),
        }
        // for people only: the lock holds whether or not this succeeds, on a full disk say
        if let Err(why) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
            tracing::warn!("cannot write this process's id into {}: {why}", path.display());
        }
        Ok(Self { _file: file })
    }
}

/// The id of the process that has `dir`, as it wrote it down; none if nobody has it. Changes nothing.
pub(crate) fn owner(dir: &Path) -> Option<String> {
    let file = File::open(dir.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let pid = io::read_to_string(&file).unwrap_or_default();
            Some(if pid.trim().is_empty() { "unknown".into() } else { pid.trim().into() })
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(owner(dir.path()), None);
        let first = DirLock::take(dir.path()).unwrap();
        assert_eq!(owner(dir.path()), Some(std::process::id().to_string()));
        let message = DirLock::take(dir.path()).unwrap_err().to_string();
        assert!(message.contains("in use by another wattle process"), "{message}");
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(first);
        assert_eq!(owner(dir.path()), None);
        DirLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = DirLock::take(&dir.path().join("no")).unwrap_err().to_string();
        assert!(message.contains("no/lock"), "{message}");
    }
}
