//! Files of SQLite as this node opens them: tables are made in a new file, and an old one is checked.
//!
//! | what is in it | who opens it | damaged, or of another version |
//! |---|---|---|
//! | what the ledger says, too | [`Tables::open_or_renew`] | it is put aside and made again |
//! | what is known nowhere else | [`Remembered::open`], as a [`Store`] | the node does not start |

mod store;

pub(crate) use store::{Remembered, Store, StoreError};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a question may wait for another program that uses the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a file holds, and how it is written.
pub(crate) struct Tables {
    /// Makes the tables, and sets `user_version`, in one transaction.
    pub(crate) schema: &'static str,
    /// That version.
    pub(crate) version: i64,
    /// What is set whenever the file is opened.
    pub(crate) pragmas: &'static str,
}

impl Tables {
    /// Opens or makes the file and checks it.
    ///
    /// # Errors
    /// A sentence without the path: it cannot be opened, is damaged, or of another version.
    pub(crate) fn open(&self, path: &Path) -> Result<Connection, String> {
        let text = |e: rusqlite::Error| e.to_string();
        let connection = Connection::open(path).map_err(text)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(text)?;
        connection.execute_batch(self.pragmas).map_err(text)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(text)?;
        match version {
            0 => connection.execute_batch(self.schema).map_err(text)?,
            known if known == self.version => {
                let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(text)?;
                if verdict != "ok" {
                    return Err(verdict);
                }
            }
            other => return Err(format!("its version is {other}, this software knows {}", self.version)),
        }
        Ok(connection)
    }

    /// The same for a file that can be made again: one that cannot be used is renamed to `<file>.damaged`, and a new one made.
    ///
    /// # Errors
    /// A sentence without the path, if not even a new file can be made.
    pub(crate) fn open_or_renew(&self, path: &Path) -> Result<Connection, String> {
        let why = match self.open(path) {
            Ok(connection) => return Ok(connection),
            Err(why) => why,
        };
        let aside = beside(path, ".damaged");
        tracing::warn!("{} cannot be used ({why}): it is put aside as {} and made again", path.display(), aside.display());
        std::fs::rename(path, &aside).map_err(|e| format!("{why}, and renaming it fails: {e}"))?;
        for tail in ["-wal", "-shm"] {
            match std::fs::remove_file(beside(path, tail)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.to_string()),
                _ => {}
            }
        }
        self.open(path)
    }
}

/// An integer as SQLite keeps it. Times, offsets and heights stay below 2^63: times end in the year 2200.
pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The file whose name is longer by `tail`.
pub(crate) fn beside(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    name.into()
}
