//! The file: `<data_dir>/wallets.sqlite`.
//!
//! | table | a row for | until |
//! |---|---|---|
//! | `place` | the height up to which milestones were read | |
//! | `services` | a service that somebody offered, or bought | the ledger forgets none either |
//! | `spends` | a request that a confirmed message carries, or that the replica told of | [`SPENDS_MAX`] newer ones |
//!
//! Nothing here is the truth: a damaged file, or one of another version, is put aside and read again from the milestones.

use crate::sqlite::Tables;
use protocol::{Id, Name, PublicKey, Request};
use replica::{PurseRecord, SpendEvent, SpendStatus};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Requests that are kept.
pub(super) const SPENDS_MAX: u64 = 500_000;
/// After how many new ones those beyond are deleted.
const TRIM_EVERY: u64 = 1_024;
/// Requests of one purse whose end is found out at a time.
const SETTLED_AT_ONCE_MAX: u32 = 10_000;
// what is open has a status below 2
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL);
    INSERT INTO place VALUES (1, 0);
    CREATE TABLE services (seen INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, provider BLOB NOT NULL, name TEXT NOT NULL);
    CREATE INDEX services_of ON services (provider, seen);
    CREATE TABLE spends (seen INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, wallet BLOB NOT NULL, number INTEGER NOT NULL,
        epoch INTEGER NOT NULL, state BLOB NOT NULL, next BLOB NOT NULL, message BLOB, status INTEGER NOT NULL, height INTEGER);
    CREATE INDEX spends_of ON spends (wallet, number);
    PRAGMA user_version = 1;
    COMMIT;";
const TABLES: Tables = Tables { schema: SCHEMA, version: 1, pragmas: "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" };
const COLUMNS: &str = "id, wallet, number, epoch, next, message, status, height";

/// Why there is no list of what wallets spend.
#[derive(Debug, Error)]
pub(crate) enum SpendsError {
    /// The file can be neither opened nor made anew.
    #[error("cannot open {path}: {why}; it may be deleted while the node is stopped: it is made again from the ledger")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        why: String,
    },
    /// It was open, and fails now.
    #[error("the file of what wallets spend fails: {0}; it may be deleted while the node is stopped")]
    Fails(String),
}

impl From<rusqlite::Error> for SpendsError {
    fn from(why: rusqlite::Error) -> Self {
        Self::Fails(why.to_string())
    }
}

/// A request as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its id.
    pub(crate) id: Id,
    /// Whose it is.
    pub(crate) wallet: PublicKey,
    /// Its number.
    pub(crate) number: u64,
    /// The epoch in which it may be voted for.
    pub(crate) epoch: u64,
    /// The purse's State once it is executed.
    pub(crate) next: Id,
    /// A message that carries it, if one was seen.
    pub(crate) message: Option<Id>,
    /// How far it is. The height in it is 0 if it is not known.
    pub(crate) status: SpendStatus,
    /// The milestone that executed it, if that is known.
    pub(crate) height: Option<u64>,
}

/// Where a request stands in a list: its number, and when it was seen.
pub(crate) type Place = (i64, i64);

/// What a milestone's messages say.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Services: id, provider, name.
    pub(super) services: Vec<(Id, PublicKey, Name)>,
    /// Requests, each with the message that carries it.
    pub(super) requests: Vec<(Id, Request)>,
}

impl Found {
    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.requests.is_empty()
    }
}

/// The file, open.
pub(super) struct Store {
    connection: Mutex<Connection>,
}

/// A status as the file has it.
const fn number_of(status: SpendStatus) -> i64 {
    match status {
        SpendStatus::Pending => 0,
        SpendStatus::Certified => 1,
        SpendStatus::Final { .. } => FINAL,
        SpendStatus::Refused => 3,
        SpendStatus::Locked => 4,
        SpendStatus::Lapsed => LAPSED,
    }
}

const FINAL: i64 = 2;
const LAPSED: i64 = 5;

const fn status_of(number: i64, height: Option<u64>) -> SpendStatus {
    match number {
        0 => SpendStatus::Pending,
        1 => SpendStatus::Certified,
        FINAL => SpendStatus::Final {
            height: match height {
                Some(height) => height,
                None => 0,
            },
        },
        3 => SpendStatus::Refused,
        4 => SpendStatus::Locked,
        _ => SpendStatus::Lapsed,
    }
}

impl Store {
    /// Opens the file, or makes it: with the height up to which milestones were read.
    pub(super) fn open(path: &Path) -> Result<(Self, u64), SpendsError> {
        let fail = |why: String| SpendsError::Open { path: path.into(), why };
        let connection = TABLES.open_or_renew(path).map_err(fail)?;
        let height: i64 = connection.query_row("SELECT height FROM place", [], |r| r.get(0)).map_err(|e| fail(e.to_string()))?;
        Ok((Self { connection: Mutex::new(connection) }, height.cast_unsigned()))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the messages of a milestone say.
    pub(super) fn milestone(&self, height: u64, found: &Found) -> Result<(), SpendsError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for (id, provider, name) in &found.services {
            let sql = "INSERT OR IGNORE INTO services (id, provider, name) VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(sql)?.execute(params![id.0, provider.0, name.as_str()])?;
        }
        for (message, request) in &found.requests {
            put(&transaction, &request.id(), request, Some(message), SpendStatus::Pending)?;
        }
        transaction.execute("UPDATE place SET height = ?1", params![height.cast_signed()])?;
        trim(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Takes what the replica tells.
    pub(super) fn told(&self, events: &[SpendEvent]) -> Result<(), SpendsError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for event in events {
            put(&transaction, &event.id, &event.request, None, event.status)?;
        }
        trim(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Finds out which requests led to the purses' States, and that those of epochs that have ended came to nothing. Of those below
    /// the oldest one found nothing is said.
    pub(super) fn settle(&self, purses: &[PurseRecord]) -> Result<(), SpendsError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for purse in purses {
            settle_one(&transaction, purse)?;
        }
        Ok(transaction.commit()?)
    }

    /// A request.
    pub(super) fn spend(&self, id: Id) -> Result<Option<Row>, SpendsError> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM spends WHERE id = ?1");
        let mut statement = connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![id.0], row).optional()?)
    }

    /// The newest requests, or those before a place: of a wallet by their numbers, of all as they came. Each with its place.
    pub(super) fn spends(&self, wallet: Option<PublicKey>, before: Option<Place>, limit: u32) -> Result<Vec<(Place, Row)>, SpendsError> {
        let connection = self.lock();
        let (number, seen) = before.unwrap_or((i64::MAX, i64::MAX));
        let placed = |r: &rusqlite::Row<'_>| Ok(((r.get(2)?, r.get(8)?), row(r)?));
        let rows = match wallet {
            Some(wallet) => {
                let sql = format!(
                    "SELECT {COLUMNS}, seen FROM spends WHERE wallet = ?1 AND (number, seen) < (?2, ?3) ORDER BY number DESC, seen DESC LIMIT ?4"
                );
                let mut statement = connection.prepare_cached(&sql)?;
                statement.query_map(params![wallet.0, number, seen, limit], placed)?.collect::<rusqlite::Result<Vec<_>>>()?
            }
            None => {
                let sql = format!("SELECT {COLUMNS}, seen FROM spends WHERE seen < ?1 ORDER BY seen DESC LIMIT ?2");
                let mut statement = connection.prepare_cached(&sql)?;
                statement.query_map(params![seen, limit], placed)?.collect::<rusqlite::Result<Vec<_>>>()?
            }
        };
        Ok(rows)
    }

    /// Whether a service is listed.
    pub(super) fn has_service(&self, id: &Id) -> Result<bool, SpendsError> {
        Ok(self.lock().prepare_cached("SELECT 1 FROM services WHERE id = ?1")?.exists(params![id.0])?)
    }

    /// The newest services, or those seen before a place, each with its place.
    pub(super) fn services(&self, provider: Option<PublicKey>, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Id)>, SpendsError> {
        let (connection, before) = (self.lock(), before.unwrap_or(i64::MAX));
        let id = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, Id(r.get(1)?)));
        let ids = match provider {
            Some(provider) => {
                let sql = "SELECT seen, id FROM services WHERE provider = ?1 AND seen < ?2 ORDER BY seen DESC LIMIT ?3";
                let mut statement = connection.prepare_cached(sql)?;
                statement.query_map(params![provider.0, before, limit], id)?.collect::<rusqlite::Result<Vec<_>>>()?
            }
            None => {
                let mut statement =
                    connection.prepare_cached("SELECT seen, id FROM services WHERE seen < ?1 ORDER BY seen DESC LIMIT ?2")?;
                statement.query_map(params![before, limit], id)?.collect::<rusqlite::Result<Vec<_>>>()?
            }
        };
        Ok(ids)
    }
}

/// Rows that are looked through for wallets that spent last.
const RECENT_ROWS_MAX: u32 = 1_000;

impl Store {
    /// Wallets of the newest requests, the latest first, then providers of the newest services; each once, at most `limit`.
    pub(super) fn recent_wallets(&self, limit: usize) -> Result<Vec<PublicKey>, SpendsError> {
        let connection = self.lock();
        let mut found: Vec<PublicKey> = Vec::new();
        let questions =
            ["SELECT wallet FROM spends ORDER BY seen DESC LIMIT ?1", "SELECT provider FROM services ORDER BY seen DESC LIMIT ?1"];
        for sql in questions {
            let mut statement = connection.prepare_cached(sql)?;
            for key in statement.query_map(params![RECENT_ROWS_MAX], |r| r.get(0).map(PublicKey))? {
                let key = key?;
                if found.len() >= limit {
                    return Ok(found);
                }
                if !found.contains(&key) {
                    found.push(key);
                }
            }
        }
        Ok(found)
    }
}

fn settle_one(transaction: &Transaction<'_>, purse: &PurseRecord) -> rusqlite::Result<()> {
    let (mut number, mut state) = (purse.number, purse.state);
    for _ in 0..SETTLED_AT_ONCE_MAX {
        let Some(before) = number.checked_sub(1) else { break };
        let sql = "SELECT seen, state, status FROM spends WHERE wallet = ?1 AND number = ?2 AND next = ?3";
        let row = transaction.prepare_cached(sql)?.query_row(params![purse.wallet.0, before.cast_signed(), state.0], |r| {
            Ok((r.get::<_, i64>(0)?, Id(r.get(1)?), r.get::<_, i64>(2)?))
        });
        let Some((seen, previous, status)) = row.optional()? else { break };
        (number, state) = (before, previous);
        if status == FINAL {
            break; // what led to this one was found out then
        }
        let sql = "UPDATE spends SET status = ?2 WHERE seen = ?1";
        transaction.prepare_cached(sql)?.execute(params![seen, FINAL])?;
    }
    let sql = "UPDATE spends SET status = ?4 WHERE wallet = ?1 AND number >= ?2 AND epoch < ?3 AND status < 2";
    transaction.execute(sql, params![purse.wallet.0, number.cast_signed(), purse.epoch.cast_signed(), LAPSED])?;
    Ok(())
}

/// Notes a request. What is at its end stays as it is, but for a height or a message that was missing.
fn put(transaction: &Transaction<'_>, id: &Id, request: &Request, message: Option<&Id>, status: SpendStatus) -> rusqlite::Result<()> {
    let sql = "INSERT INTO spends (id, wallet, number, epoch, state, next, message, status, height)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET
        message = coalesce(message, excluded.message),
        height = coalesce(height, excluded.height),
        status = CASE WHEN excluded.status = 2 THEN 2 WHEN status < 2 THEN max(status, excluded.status) ELSE status END";
    let height = super::height_of(status).map(u64::cast_signed);
    let (state, next) = (request.state.0, request.next_state().0);
    let message = message.map(|id| id.0);
    let (number, epoch) = (request.number.cast_signed(), request.epoch.cast_signed());
    let mut insert = transaction.prepare_cached(sql)?;
    insert.execute(params![id.0, request.wallet.0, number, epoch, state, next, message, number_of(status), height])?;
    Ok(())
}

/// Deletes the oldest requests beyond [`SPENDS_MAX`], now and then.
fn trim(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let ends = "SELECT min(seen), max(seen) FROM spends";
    let (first, last): (Option<i64>, Option<i64>) = transaction.prepare_cached(ends)?.query_row([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let kept_from = last.saturating_sub(SPENDS_MAX.cast_signed()).saturating_add(1);
    if kept_from.saturating_sub(first) >= TRIM_EVERY.cast_signed() {
        transaction.execute("DELETE FROM spends WHERE seen < ?1", params![kept_from])?;
    }
    Ok(())
}

fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let height = r.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned);
    Ok(Row {
        id: Id(r.get(0)?),
        wallet: PublicKey(r.get(1)?),
        number: r.get::<_, i64>(2)?.cast_unsigned(),
        epoch: r.get::<_, i64>(3)?.cast_unsigned(),
        next: Id(r.get(4)?),
        message: r.get::<_, Option<[u8; 32]>>(5)?.map(Id),
        status: status_of(r.get(6)?, height),
        height,
    })
}

#[cfg(test)]
mod tests;
