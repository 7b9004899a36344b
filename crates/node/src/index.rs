//! The site's index: which message anchors a reading, found by the reading's id or by `site/ID/type@time`.
//!
//! Nothing here is the truth: the ledger's payloads are, and the index can be made from them again. So it is
//! written without haste and without a sync per batch; a damaged file is put aside and filled again.
//!
//! ```text
//! site ──Op──▶ bounded queue ──▶ writer thread ──transaction──▶ index.sqlite (WAL) ◀── lookups (HTTP)
//! ```
//!
//! # Rules
//! - Batches are added in the order in which the site issued them, each in one transaction. So a batch that is
//!   there says that all before it are, unless `watermark.filling` is set: then all of them are compared again.
//! - A write that fails is tried again; if it goes on failing, the index takes nothing more until the next
//!   start, which fills the gap. A failing index never stops the site.
//! - A row's place is the reading's offset in the site's log, so nothing is listed twice.

mod writer;

use protocol::{Batch, DeviceTopic, Id, ReadingName};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use writer::Writer;

/// Batches that may wait for the writer; then the site waits.
pub(crate) const QUEUE_OPS_MAX: usize = 256;
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE topics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE batches (number INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE, blob BLOB NOT NULL,
        first_place INTEGER NOT NULL, readings INTEGER NOT NULL);
    CREATE TABLE anchored (place INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, topic INTEGER NOT NULL,
        time_us INTEGER NOT NULL, batch INTEGER NOT NULL);
    CREATE INDEX anchored_by_time ON anchored (topic, time_us);
    CREATE TABLE watermark (filling INTEGER NOT NULL);
    INSERT INTO watermark VALUES (1);
    CREATE VIEW readings AS
        SELECT a.id AS id, t.name AS topic, a.time_us AS time_us, b.message AS message,
            a.place - b.first_place AS leaf, b.blob AS blob, a.place AS place
        FROM anchored a CROSS JOIN topics t CROSS JOIN batches b WHERE t.number = a.topic AND b.number = a.batch;
    PRAGMA user_version = 1;
    COMMIT;";
const COLUMNS: &str = "SELECT id, topic, time_us, message, leaf, blob FROM readings";

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

/// Where a reading is anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The reading.
    pub(crate) id: Id,
    /// Its device, and what is measured.
    pub(crate) topic: DeviceTopic,
    /// Its time, in microseconds since 1970.
    pub(crate) time_us: u64,
    /// The message that anchors its batch.
    pub(crate) message: Id,
    /// Its place in the batch.
    pub(crate) leaf: u32,
    /// The batch's body.
    pub(crate) blob: Id,
}

enum Op {
    Add { message: Id, blob: Id, batch: Arc<Batch> },
    Remove(Id),
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
    /// Opens the index, or makes it. A damaged file is renamed to `<file>.damaged` and made anew; the caller
    /// then finds [`Index::is_filling`] and fills it.
    ///
    /// # Errors
    /// [`IndexError::Open`] if not even a new file can be made.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let fail = |why: String| IndexError::Open { path: path.into(), why };
        let writer = match connect(path) {
            Ok(connection) => connection,
            Err(why) => {
                let aside = suffixed(path, ".damaged");
                tracing::warn!("the index {} is damaged ({why}): it is put aside as {} and made again", path.display(), aside.display());
                std::fs::rename(path, &aside).map_err(|e| fail(format!("{why}, and renaming it fails: {e}")))?;
                for tail in ["-wal", "-shm"] {
                    match std::fs::remove_file(suffixed(path, tail)) {
                        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e.to_string())),
                        _ => {}
                    }
                }
                connect(path).map_err(fail)?
            }
        };
        let reader = Connection::open(path).map_err(|e| fail(e.to_string()))?;
        reader.busy_timeout(Duration::from_secs(5)).map_err(|e| fail(e.to_string()))?;
        let (ops, queue) = mpsc::channel(QUEUE_OPS_MAX);
        let broken = Arc::new(AtomicBool::new(false));
        let mut writer = Writer { connection: writer, topics: HashMap::new(), broken: broken.clone() };
        let run = move || writer.run(queue);
        std::thread::Builder::new().name("index".into()).spawn(run).map_err(|e| fail(e.to_string()))?;
        Ok(Self { ops, reader: Arc::new(Mutex::new(reader)), broken })
    }

    /// Adds a batch that the site has issued. Waits while the queue is full.
    pub(crate) async fn add(&self, message: Id, blob: Id, batch: Arc<Batch>) {
        let _ = self.ops.send(Op::Add { message, blob, batch }).await; // a writer that is gone has said why
    }

    /// Removes a batch whose message is void: its readings are anchored again by another.
    pub(crate) async fn remove(&self, message: Id) {
        let _ = self.ops.send(Op::Remove(message)).await;
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

    /// Whether the batch of `message` is there.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn knows(&self, message: Id) -> Result<bool, IndexError> {
        self.ask(move |c| c.prepare_cached("SELECT 1 FROM batches WHERE message = ?1")?.exists(params![message.0])).await
    }

    /// Where the reading of this id is anchored.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn by_id(&self, id: Id) -> Result<Option<Row>, IndexError> {
        self.ask(move |c| c.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?.query_row(params![id.0], row).optional()).await
    }

    /// Where the reading of this name is anchored; the first, if one device sent several for one time.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn by_name(&self, name: ReadingName) -> Result<Option<Row>, IndexError> {
        let sql = "SELECT r.id, r.topic, r.time_us, r.message, r.leaf, r.blob FROM anchored a CROSS JOIN readings r
            WHERE a.topic = (SELECT number FROM topics WHERE name = ?1) AND a.time_us = ?2 AND r.place = a.place
            ORDER BY a.place LIMIT 1";
        let (topic, time) = (name.topic.to_string(), signed(name.time_us));
        self.ask(move |c| c.prepare_cached(sql)?.query_row(params![topic, time], row).optional()).await
    }

    /// The newest `limit` readings: of all in the order of their arrival, of one topic in the order of their time.
    ///
    /// # Errors
    /// [`IndexError::Read`].
    pub(crate) async fn newest(&self, limit: u32, topic: Option<DeviceTopic>) -> Result<Vec<Row>, IndexError> {
        self.ask(move |c| match topic {
            None => {
                let mut statement = c.prepare_cached(&format!("{COLUMNS} ORDER BY place DESC LIMIT ?1"))?;
                statement.query_map(params![limit], row)?.collect::<rusqlite::Result<Vec<Row>>>()
            }
            Some(topic) => {
                let sql = "SELECT r.id, r.topic, r.time_us, r.message, r.leaf, r.blob FROM anchored a CROSS JOIN readings r
                    WHERE a.topic = (SELECT number FROM topics WHERE name = ?1) AND r.place = a.place
                    ORDER BY a.time_us DESC, a.place DESC LIMIT ?2";
                let mut statement = c.prepare_cached(sql)?;
                statement.query_map(params![topic.to_string(), limit], row)?.collect::<rusqlite::Result<Vec<Row>>>()
            }
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

fn suffixed(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

/// Times and offsets as SQLite keeps integers. Both stay below 2^63: times end in the year 2200.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let bad = |column, why: String| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into());
    let topic: String = r.get(1)?;
    let time: i64 = r.get(2)?;
    Ok(Row {
        id: Id(r.get(0)?),
        topic: topic.parse().map_err(|e: protocol::TopicError| bad(1, e.to_string()))?,
        time_us: u64::try_from(time).map_err(|e| bad(2, e.to_string()))?,
        message: Id(r.get(3)?),
        leaf: r.get(4)?,
        blob: Id(r.get(5)?),
    })
}

/// Opens or makes the file and checks it. The error is text: whatever it is, the file is put aside.
fn connect(path: &Path) -> Result<Connection, String> {
    let text = |e: rusqlite::Error| e.to_string();
    let connection = Connection::open(path).map_err(text)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(text)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 8000;",
        )
        .map_err(text)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(text)?;
    match version {
        0 => connection.execute_batch(SCHEMA).map_err(text)?,
        SCHEMA_VERSION => {
            let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(text)?;
            if verdict != "ok" {
                return Err(verdict);
            }
        }
        other => return Err(format!("its version is {other}, this software knows {SCHEMA_VERSION}")),
    }
    Ok(connection)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Reading, Value};

    fn batch(first_offset: u64, values: &[u32]) -> Arc<Batch> {
        let reading = |v: &u32| Reading {
            topic: format!("z1/m{}/sense/power", v % 2).parse().unwrap(),
            time_us: 1_000_000 + u64::from(*v),
            sequence: None,
            unit: None,
            value: Value::Number(f64::from(*v)),
        };
        Arc::new(Batch { secret: [7; 32], first_offset, readings: values.iter().map(reading).collect() })
    }

    fn id(n: u8) -> Id {
        Id([n; 32])
    }

    #[tokio::test]
    async fn readings_are_found_by_id_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index.sqlite")).unwrap();
        let (first, second) = (batch(0, &[1, 2]), batch(2, &[3]));
        index.add(id(1), id(11), first.clone()).await;
        index.add(id(2), id(12), second.clone()).await;
        index.flush().await.unwrap();
        let two = &first.readings[1];
        let row = index.by_id(two.id()).await.unwrap().unwrap();
        assert_eq!((row.message, row.blob, row.leaf, row.time_us), (id(1), id(11), 1, two.time_us));
        assert_eq!(index.by_name(two.name()).await.unwrap(), Some(row));
        assert_eq!(index.by_id(id(9)).await.unwrap(), None);
        let newest = index.newest(10, None).await.unwrap();
        assert_eq!(newest.iter().map(|r| r.time_us).collect::<Vec<_>>(), [1_000_003, 1_000_002, 1_000_001]);
        let odd = index.newest(1, Some("z1/m1/sense/power".parse().unwrap())).await.unwrap();
        assert_eq!(odd.iter().map(|r| r.id).collect::<Vec<_>>(), [second.readings[0].id()]);
        assert!(index.knows(id(2)).await.unwrap() && !index.knows(id(3)).await.unwrap());
    }

    #[tokio::test]
    async fn a_batch_added_again_or_replaced_lists_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index.sqlite")).unwrap();
        let body = batch(0, &[1, 2]);
        index.add(id(1), id(11), body.clone()).await;
        index.add(id(1), id(11), body.clone()).await;
        index.remove(id(1)).await;
        index.remove(id(5)).await;
        index.add(id(2), id(12), body.clone()).await;
        index.flush().await.unwrap();
        let rows = index.newest(10, None).await.unwrap();
        assert_eq!(rows.iter().map(|r| (r.message, r.leaf)).collect::<Vec<_>>(), [(id(2), 1), (id(2), 0)]);
    }

    #[tokio::test]
    async fn it_survives_a_restart_and_knows_whether_it_was_filled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        let index = Index::open(&path).unwrap();
        assert!(index.is_filling().await.unwrap());
        index.add(id(1), id(11), batch(0, &[1])).await;
        index.filled().await;
        index.flush().await.unwrap();
        drop(index);
        let index = Index::open(&path).unwrap();
        assert!(!index.is_filling().await.unwrap());
        assert_eq!(index.newest(10, None).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_damaged_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        std::fs::write(&path, b"this is no database, however long one looks at it. ".repeat(100)).unwrap();
        let index = Index::open(&path).unwrap();
        assert!(index.is_filling().await.unwrap());
        assert!(dir.path().join("index.sqlite.damaged").exists());
        index.add(id(1), id(11), batch(0, &[1])).await;
        index.flush().await.unwrap();
        assert_eq!(index.newest(10, None).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_flipped_page_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        let many: Vec<u32> = (0..2000).collect();
        {
            let connection = connect(&path).unwrap();
            let mut writer = Writer { connection, topics: HashMap::new(), broken: Arc::default() };
            writer.write(&[Op::Add { message: id(1), blob: id(2), batch: batch(0, &many) }, Op::Filled]);
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let page = bytes.len() / 4096 / 2 * 4096;
        bytes[page..page + 64].fill(0xee);
        std::fs::write(&path, bytes).unwrap();
        let index = Index::open(&path).unwrap();
        assert!(index.is_filling().await.unwrap());
        assert!(dir.path().join("index.sqlite.damaged").exists());
    }
}
