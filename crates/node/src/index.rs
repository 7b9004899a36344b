//! The site's index: which batch holds a reading, found by the reading's id, by `site/ID/type@time`, or by topic and time.
//!
//! Nothing here is the truth: the ledger's payloads are, and the index can be made from them again. So it is
//! written without haste and without a sync per batch; a damaged file is put aside and filled again, and so is one of
//! another version.
//!
//! ```text
//! site ──Op──▶ bounded queue ──▶ writer thread ──transaction──▶ index.sqlite (WAL) ◀── Index ◀── Lookup ◀── HTTP
//!                                                                               the ledger's payloads ──┘
//! ```
//!
//! | table | a row for | says |
//! |---|---|---|
//! | `batches` | a batch | its first offset in the site's log, its place among the ledger's payloads, its size |
//! | `spans` | a topic in a batch | from when to when its readings are |
//! | `topics` | a topic | its name, and the widest of its spans |
//! | `drawers` | some 745 readings | the beginnings of their ids ([`drawers`]) |
//! | `signed` | a number of a device's key | that a reading signed under it was anchored; the last numbers of each key |
//!
//! # Rules
//! - The index says where to look, never what is there: [`Lookup`] reads the batch and compares.
//! - Batches are added in the order in which the site issued them, each in one transaction. So a batch that is
//!   there says that all before it are, unless `watermark.filling` is set: then all of them are compared again.
//! - A write that fails is tried again; if it goes on failing, the index takes nothing more until the next
//!   start, which fills the gap. A failing index never stops the site.
//! - A batch is known by the offset of its first reading, so nothing is listed twice. One whose message is void has no
//!   place until it is anchored again.

mod drawers;
mod lookup;
mod writer;

use crate::sqlite::{BUSY_TIMEOUT, Tables, signed};
use protocol::{Batch, DeviceTopic, Id, PublicKey, ReadingName};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use writer::Writer;

pub(crate) use drawers::{Entry, entry};
pub(crate) use lookup::{Found, Lookup, LookupError, Span};

/// Batches that may wait for the writer; then the site waits.
pub(crate) const QUEUE_OPS_MAX: usize = 256;
/// Batches in one answer.
const BATCHES_AT_ONCE: u32 = 64;
/// Drawers that one question looks into.
const SPANS_AT_ONCE: u64 = 64;
/// The place of a batch that waits to be anchored again.
const NOWHERE: i64 = -1;
/// The version of the tables.
pub(crate) const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE topics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, widest_us INTEGER NOT NULL);
    CREATE TABLE batches (first INTEGER PRIMARY KEY, place INTEGER NOT NULL, readings INTEGER NOT NULL);
    CREATE TABLE spans (topic INTEGER NOT NULL, last_us INTEGER NOT NULL, first INTEGER NOT NULL, width_us INTEGER NOT NULL,
        PRIMARY KEY (topic, last_us, first)) WITHOUT ROWID;
    CREATE TABLE drawers (number INTEGER PRIMARY KEY, entries BLOB NOT NULL);
    CREATE TABLE signed (key BLOB NOT NULL, number BLOB NOT NULL, PRIMARY KEY (key, number)) WITHOUT ROWID;
    CREATE TABLE watermark (filling INTEGER NOT NULL);
    INSERT INTO watermark VALUES (1);
    PRAGMA user_version = 2;
    COMMIT;";
const PRAGMAS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 8000;";
const TABLES: Tables = Tables { schema: SCHEMA, version: SCHEMA_VERSION, pragmas: PRAGMAS };

/// Why the index does not answer.
#[derive(Debug, Error)]
pub(crate) enum IndexError {
    /// The file can be neither opened nor made anew.
    #[error("cannot open the index {path}: {why}; it may be deleted while the node is stopped: it is made again from the ledger")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        why: String,
    },
    /// A lookup failed.
    #[error("the index cannot be read: {0}; `wattle check` looks at it, and it may be deleted while the node is stopped")]
    Read(String),
    /// The writer has stopped.
    #[error("the index takes nothing more: its log entry says why; a restart fills the gap")]
    Stopped,
}

/// A batch that the index lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The offset of its first reading in the site's log.
    pub(crate) first: u64,
    /// Its place among the ledger's payloads.
    pub(crate) place: u64,
}

/// Where readings of an id may be.
#[derive(Debug, PartialEq, Eq)]
struct Candidates {
    /// Batches and places in them, the newest first.
    readings: Vec<(Listed, u32)>,
    /// Drawers of spans below this one were not looked into.
    next: Option<u64>,
}

enum Op {
    Add { place: u64, batch: Arc<Batch> },
    Remove { first: u64 },
    Filled,
    Flush(oneshot::Sender<()>),
}

/// Speaks to the index. Cheap to clone; the writer ends when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Index {
    ops: mpsc::Sender<Op>,
    reader: Arc<Mutex<Connection>>,
    broken: Arc<AtomicBool>,
}

impl Index {
    /// Opens the index, or makes it. A damaged file, or one of another version, is renamed to `<file>.damaged` and made
    /// anew; the caller then finds [`Index::is_filling`] and fills it.
    ///
    /// # Errors
    /// [`IndexError::Open`] if not even a new file can be made.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let fail = |why: String| IndexError::Open { path: path.into(), why };
        let writer = TABLES.open_or_renew(path).map_err(fail)?;
        let reader = Connection::open(path).map_err(|e| fail(e.to_string()))?;
        reader.busy_timeout(BUSY_TIMEOUT).map_err(|e| fail(e.to_string()))?;
        let (ops, queue) = mpsc::channel(QUEUE_OPS_MAX);
        let broken = Arc::new(AtomicBool::new(false));
        let mut writer = Writer { connection: writer, topics: HashMap::new(), broken: broken.clone() };
        let run = move || writer.run(queue);
        std::thread::Builder::new().name("index".into()).spawn(run).map_err(|e| fail(e.to_string()))?;
        Ok(Self { ops, reader: Arc::new(Mutex::new(reader)), broken })
    }

    /// Adds a batch that the site has issued, with its place among the ledger's payloads. Waits while the queue is full.
    pub(crate) async fn add(&self, place: u64, batch: Arc<Batch>) {
        let _ = self.ops.send(Op::Add { place, batch }).await; // a writer that is gone has said why
    }

    /// The message of the batch that begins at offset `first` is void: its readings are anchored again by another.
    pub(crate) async fn remove(&self, first: u64) {
        let _ = self.ops.send(Op::Remove { first }).await;
    }

    /// Says that every batch of the ledger has been added.
    pub(crate) async fn filled(&self) {
        let _ = self.ops.send(Op::Filled).await;
    }

    /// Waits until everything handed over so far is written.
    ///
    /// # Errors
    /// [`IndexError::Stopped`] if it cannot be.
    pub(crate) async fn flush(&self) -> Result<(), IndexError> {
        let (done, wait) = oneshot::channel();
        self.ops.send(Op::Flush(done)).await.map_err(|_| IndexError::Stopped)?;
        wait.await.map_err(|_| IndexError::Stopped)?;
        if self.broken.load(Ordering::Acquire) { Err(IndexError::Stopped) } else { Ok(()) }
    }

    /// Whether the index is new, or an earlier filling did not end: then every batch must be compared.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn is_filling(&self) -> Result<bool, IndexError> {
        self.ask(|c| c.query_row("SELECT max(filling) FROM watermark", [], |r| r.get::<_, Option<i64>>(0))).await.map(|n| n != Some(0))
    }

    /// Whether a batch is there, at this very place.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn knows(&self, batch: Listed) -> Result<bool, IndexError> {
        let Listed { first, place } = batch;
        let sql = "SELECT 1 FROM batches WHERE first = ?1 AND place = ?2";
        self.ask(move |c| c.prepare_cached(sql)?.exists(params![signed(first), signed(place)])).await
    }

    /// The last numbers under which each device's key signed a reading that was anchored here.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn taken(&self) -> Result<Vec<(PublicKey, u64)>, IndexError> {
        self.ask(|c| {
            let mut statement = c.prepare("SELECT key, number FROM signed")?;
            let rows = statement.query_map([], |r| Ok((PublicKey(r.get(0)?), u64::from_be_bytes(r.get(1)?))))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .await
    }

    /// Where a reading of this id may be, as far as the newest drawers tell, or those of spans below `before`.
    async fn candidates(&self, id: Id, before: Option<u64>) -> Result<Candidates, IndexError> {
        self.ask(move |c| {
            let highest = c.query_row("SELECT max(number) FROM drawers", [], |r| r.get::<_, Option<u64>>(0))?;
            let end = highest.map_or(0, |number| drawers::span(number).saturating_add(1));
            let end = before.map_or(end, |before| before.min(end));
            let from = end.saturating_sub(SPANS_AT_ONCE);
            let mut drawer = c.prepare_cached("SELECT entries FROM drawers WHERE number = ?1")?;
            let mut batch = c.prepare_cached("SELECT first, place, readings FROM batches WHERE first <= ?1 ORDER BY first DESC LIMIT 1")?;
            let mut readings = Vec::new();
            for span in (from..end).rev() {
                let entries: Option<Vec<u8>> = drawer.query_row(params![signed(drawers::number(span, &id))], |r| r.get(0)).optional()?;
                for offset in drawers::offsets(span, &entries.unwrap_or_default(), &id) {
                    readings.extend(holding(&mut batch, offset)?);
                }
            }
            Ok(Candidates { readings, next: (from > 0).then_some(from) })
        })
        .await
    }

    /// Batches that may hold a reading of this name, in the order of the log; the first of them, or of those after offset
    /// `after`.
    async fn named(&self, name: ReadingName, after: Option<u64>) -> Result<Vec<Listed>, IndexError> {
        let sql = "SELECT s.first, b.place FROM spans s CROSS JOIN batches b
            WHERE s.topic = ?1 AND s.last_us BETWEEN ?2 AND ?3 AND s.last_us - s.width_us <= ?2 AND s.first > ?4
            AND b.first = s.first AND b.place >= 0 ORDER BY s.first LIMIT ?5";
        let (topic, time, after) = (name.topic.to_string(), signed(name.time_us), after.map_or(-1, signed));
        self.ask(move |c| {
            let mut find = c.prepare_cached("SELECT number, widest_us FROM topics WHERE name = ?1")?;
            let found: Option<(i64, i64)> = find.query_row(params![topic], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
            let Some((number, widest)) = found else { return Ok(Vec::new()) };
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map(params![number, time, time.saturating_add(widest), after, BATCHES_AT_ONCE], listed)?;
            rows.collect()
        })
        .await
    }

    /// The newest batches in the order of the log, or those before offset `before`.
    async fn newest(&self, before: Option<u64>) -> Result<Vec<Listed>, IndexError> {
        let sql = "SELECT first, place FROM batches WHERE first < ?1 AND place >= 0 ORDER BY first DESC LIMIT ?2";
        let before = before.map_or(i64::MAX, signed);
        self.ask(move |c| c.prepare_cached(sql)?.query_map(params![before, BATCHES_AT_ONCE], listed)?.collect()).await
    }

    /// The batches with the newest readings of a topic by their time, each with the time of the last; or those before a time
    /// and offset.
    async fn newest_of(&self, topic: &DeviceTopic, before: Option<(u64, u64)>) -> Result<Vec<(Listed, u64)>, IndexError> {
        let sql = "SELECT s.first, b.place, s.last_us FROM spans s CROSS JOIN batches b
            WHERE s.topic = (SELECT number FROM topics WHERE name = ?1) AND (s.last_us, s.first) < (?2, ?3)
            AND b.first = s.first AND b.place >= 0 ORDER BY s.last_us DESC, s.first DESC LIMIT ?4";
        let (topic, before) = (topic.to_string(), before.map_or((i64::MAX, i64::MAX), |(time, first)| (signed(time), signed(first))));
        self.ask(move |c| {
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map(params![topic, before.0, before.1, BATCHES_AT_ONCE], |r| Ok((listed(r)?, r.get(2)?)))?;
            rows.collect()
        })
        .await
    }

    /// Runs a query away from the tasks that must not block.
    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, IndexError> {
        let reader = self.reader.clone();
        let answer = tokio::task::spawn_blocking(move || query(&lock(&reader))).await;
        answer.map_err(|e| IndexError::Read(e.to_string()))?.map_err(|e| IndexError::Read(e.to_string()))
    }
}

fn lock(reader: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listed(r: &rusqlite::Row<'_>) -> rusqlite::Result<Listed> {
    Ok(Listed { first: r.get(0)?, place: r.get(1)? })
}

/// The batch that holds an offset, and the place in it; `None` if none does, or if it waits to be anchored again.
fn holding(statement: &mut CachedStatement<'_>, offset: u64) -> rusqlite::Result<Option<(Listed, u32)>> {
    let found =
        statement.query_row(params![signed(offset)], |r| Ok((r.get::<_, u64>(0)?, r.get::<_, i64>(1)?, r.get::<_, u32>(2)?))).optional()?;
    let Some((first, place, readings)) = found else { return Ok(None) };
    let leaf = u32::try_from(offset.saturating_sub(first)).ok().filter(|leaf| *leaf < readings);
    Ok(u64::try_from(place).ok().zip(leaf).map(|(place, leaf)| (Listed { first, place }, leaf)))
}

#[cfg(test)]
mod tests;
