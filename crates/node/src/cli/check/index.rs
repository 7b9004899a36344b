//! Checks a site's index without touching it: SQLite would make files beside the one it opens.
//!
//! First by itself, then batch by batch against what the ledger has.

use protocol::{Batch, Id};
use rusqlite::{Connection, Row};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Damages that are listed.
const DAMAGES_MAX: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct IndexReport {
    /// Batches listed.
    pub(super) batches: u64,
    /// Readings listed.
    pub(super) readings: u64,
    /// What is wrong.
    pub(super) damages: Vec<String>,
}

/// Rules that every index keeps, as queries that list what breaks them.
const RULES: [(&str, &str); 4] = [
    (
        "a reading is in no batch, or outside it",
        "SELECT a.place FROM anchored a LEFT JOIN batches b ON b.number = a.batch
         WHERE b.number IS NULL OR a.place < b.first_place OR a.place >= b.first_place + b.readings",
    ),
    ("a reading has no topic", "SELECT a.place FROM anchored a LEFT JOIN topics t ON t.number = a.topic WHERE t.number IS NULL"),
    ("a reading's id is not 32 bytes", "SELECT place FROM anchored WHERE typeof(id) <> 'blob' OR length(id) <> 32"),
    (
        "a batch's message or body has no proper name",
        "SELECT number FROM batches WHERE typeof(message) <> 'blob' OR length(message) <> 32
         OR typeof(blob) <> 'blob' OR length(blob) <> 32 OR first_place < 0 OR readings < 1",
    ),
];

/// A reading as the index lists it: leaf, id, topic, time in microseconds.
type Listed = (i64, Vec<u8>, String, u64);

/// A copy of an index, checked by itself.
pub(super) struct IndexCheck {
    connection: Connection,
    report: IndexReport,
    sound: bool,
    _copy: TempDir,
}

impl IndexCheck {
    /// Checks the index at `file` by itself.
    ///
    /// # Errors
    /// A sentence if it cannot be read at all.
    pub(super) fn open(file: &Path) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|e| format!("no temporary directory for a copy: {e}"))?;
        let copy = directory.path().join("index.sqlite");
        std::fs::copy(file, &copy).map_err(|e| e.to_string())?;
        let wal = beside(file, "-wal");
        if wal.exists() {
            std::fs::copy(&wal, beside(&copy, "-wal")).map_err(|e| e.to_string())?;
        }
        let connection = Connection::open(&copy).map_err(|e| e.to_string())?;
        let mut report = IndexReport::default();
        let verdicts = list(&connection, &format!("PRAGMA integrity_check({DAMAGES_MAX})"), |row| row.get::<_, String>(0))?;
        report.damages.extend(verdicts.into_iter().filter(|v| v != "ok"));
        let sound = report.damages.is_empty();
        if sound {
            rules(&connection, &mut report)?; // queries on a broken tree say nothing
        }
        Ok(Self { connection, report, sound, _copy: directory })
    }

    /// Compares what the index lists of a batch with the batch. A batch it does not list yet is no damage: it
    /// is written behind, and filled in at the next start.
    pub(super) fn compare(&mut self, message: Id, batch: &Batch) {
        if !self.sound || self.report.damages.len() >= DAMAGES_MAX {
            return;
        }
        match self.listed(message) {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => {
                let expected = (0i64..).zip(&batch.readings).map(|(leaf, r)| (leaf, r.id().0.to_vec(), r.topic.to_string(), r.time_us));
                if !rows.into_iter().eq(expected) {
                    self.report.damages.push(format!("what is listed of message {message} is not its batch"));
                }
            }
            Err(why) => self.report.damages.push(format!("what is listed of message {message} cannot be read: {why}")),
        }
    }

    fn listed(&self, message: Id) -> rusqlite::Result<Vec<Listed>> {
        let mut statement =
            self.connection.prepare_cached("SELECT leaf, id, topic, time_us FROM readings WHERE message = ?1 ORDER BY leaf")?;
        let time = |row: &Row<'_>| row.get::<_, i64>(3).map(i64::cast_unsigned);
        let rows = statement.query_map([message.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, time(row)?)))?;
        rows.collect()
    }

    /// What was found.
    pub(super) fn finish(self) -> IndexReport {
        self.report
    }
}

/// Counts, and checks the rules.
fn rules(connection: &Connection, report: &mut IndexReport) -> Result<(), String> {
    report.batches = count(connection, "batches")?;
    report.readings = count(connection, "anchored")?;
    for (what, query) in RULES {
        let found = list(connection, &format!("{query} LIMIT {DAMAGES_MAX}"), |row| row.get::<_, i64>(0))?;
        report.damages.extend(found.into_iter().map(|place| format!("{what}: entry {place}")));
    }
    for name in list(connection, "SELECT name FROM topics", |row| row.get::<_, String>(0))? {
        if let Err(why) = name.parse::<protocol::DeviceTopic>() {
            report.damages.push(format!("the topic {name:?} is none: {why}"));
        }
    }
    report.damages.truncate(DAMAGES_MAX);
    Ok(())
}

fn beside(file: &Path, tail: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

fn list<T>(connection: &Connection, query: &str, take: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, String> {
    let mut statement = connection.prepare(query).map_err(|e| e.to_string())?;
    let rows = statement.query_map([], |row| take(row)).map_err(|e| e.to_string())?;
    rows.collect::<rusqlite::Result<Vec<T>>>().map_err(|e| e.to_string())
}

fn count(connection: &Connection, table: &str) -> Result<u64, String> {
    let found = list(connection, &format!("SELECT count(*) FROM {table}"), |row| row.get::<_, i64>(0))?;
    Ok(found.first().and_then(|n| u64::try_from(*n).ok()).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::index::Index;
    use protocol::{Reading, Value};
    use std::sync::Arc;

    fn check(file: &Path) -> Result<IndexReport, String> {
        IndexCheck::open(file).map(IndexCheck::finish)
    }

    async fn filled(file: &Path) -> Batch {
        let reading = |n: u32| Reading {
            topic: format!("z1/m{}/sense/power", n % 3).parse().unwrap(),
            time_us: 1_470_009_600_000_000 + u64::from(n),
            sequence: None,
            unit: None,
            value: Value::Number(f64::from(n)),
        };
        let index = Index::open(file).unwrap();
        let batch = Batch { secret: [1; 32], first_offset: 0, readings: (0..50).map(reading).collect() };
        index.add(Id([2; 32]), Id([3; 32]), Arc::new(batch.clone())).await;
        index.filled().await;
        index.flush().await.unwrap();
        batch
    }

    #[tokio::test]
    async fn a_row_that_is_not_its_batch_s_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        let mut batch = filled(&file).await;
        let mut check = IndexCheck::open(&file).unwrap();
        check.compare(Id([2; 32]), &batch);
        check.compare(Id([9; 32]), &batch); // not listed yet
        assert!(check.finish().damages.is_empty());
        batch.readings[7].value = Value::Boolean(true);
        let mut check = IndexCheck::open(&file).unwrap();
        check.compare(Id([2; 32]), &batch);
        assert_eq!(check.finish().damages.len(), 1);
    }

    #[tokio::test]
    async fn a_sound_index_is_sound_and_a_broken_rule_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        filled(&file).await;
        let report = check(&file).unwrap();
        assert_eq!((report.batches, report.readings, report.damages.len()), (1, 50, 0), "{:?}", report.damages);
        for (change, says) in [
            ("UPDATE anchored SET batch = 9 WHERE place = 7", "entry 7"),
            ("UPDATE batches SET blob = x'00'", "proper name"),
            ("UPDATE topics SET name = 'elsewhere' WHERE number = 1", "elsewhere"),
        ] {
            let copy = dir.path().join("changed.sqlite");
            let _ = std::fs::remove_file(&copy);
            let connection = Connection::open(&file).unwrap();
            connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
            Connection::open(&copy).unwrap().execute(change, []).unwrap();
            let report = check(&copy).unwrap();
            assert!(report.damages.iter().any(|d| d.contains(says)), "{change}: {:?}", report.damages);
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        std::fs::write(&file, vec![7u8; 8_192]).unwrap();
        assert!(check(&file).is_err());
    }
}
