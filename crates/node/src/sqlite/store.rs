//! A file that remembers what is known nowhere else.
//!
//! # Rules
//! - A transaction is on the disk before anything follows from it.

use super::Tables;
use rusqlite::{Connection, Transaction};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Every transaction is synced.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

/// What a file remembers.
pub(crate) struct Remembered {
    /// What it is called: the file of …
    pub(crate) name: &'static str,
    /// What is lost with it, and what to do.
    pub(crate) lost: &'static str,
    /// Makes the tables, and sets `user_version`, in one transaction.
    pub(crate) schema: &'static str,
    /// That version.
    pub(crate) version: i64,
}

/// Why nothing can be remembered.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The file cannot be used.
    #[error("cannot use {path}: {why}; {lost}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What is lost with it, and what to do.
        lost: &'static str,
    },
    /// It was open, and fails now.
    #[error("the file of {name} fails: {why}")]
    Fails {
        /// What it is called.
        name: &'static str,
        /// What SQLite says.
        why: String,
    },
}

/// The file, open.
pub(crate) struct Store {
    connection: Mutex<Connection>,
    name: &'static str,
}

impl Remembered {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub(crate) fn open(&self, path: &Path) -> Result<Store, StoreError> {
        let Self { name, lost, schema, version } = *self;
        let opened = Tables { schema, version, pragmas: PRAGMAS }.open(path);
        let connection = opened.map_err(|why| StoreError::Open { path: path.into(), why, lost })?;
        Ok(Store { connection: Mutex::new(connection), name })
    }
}

impl Store {
    /// Does `work` in one transaction, where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError::Fails`]; then nothing of it was done.
    pub(crate) async fn transact<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || store.transact_blocking(work)).await;
        done.map_err(|e| self.fails(&e))?
    }

    /// As [`Store::transact`], blocking.
    ///
    /// # Errors
    /// [`StoreError::Fails`].
    pub(crate) fn transact_blocking<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || -> rusqlite::Result<T> {
            let transaction = connection.transaction()?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        };
        run().map_err(|e| self.fails(&e))
    }

    fn fails(&self, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Fails { name: self.name, why: why.to_string() }
    }
}
