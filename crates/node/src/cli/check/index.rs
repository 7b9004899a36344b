//! Checks a site's index without touching it: SQLite would make files beside the one it opens.
//!
//! First by itself, then batch by batch against what the ledger has.

use crate::index::{Entry, SCHEMA_VERSION, entry};
use crate::sqlite::{beside, signed};
use protocol::{Batch, DeviceTopic};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
const RULES: [(&str, &str); 6] = [
    (
        "a batch has no proper place or size",
        "SELECT first FROM batches WHERE first < 0 OR typeof(place) <> 'integer' OR place < -1
         OR typeof(readings) <> 'integer' OR readings < 1",
    ),
    (
        "a batch reaches into the next",
        "SELECT first FROM (SELECT first, readings, lead(first) OVER (ORDER BY first) AS next FROM batches)
         WHERE next < first + readings",
    ),
    ("a span is of no batch", "SELECT s.first FROM spans s LEFT JOIN batches b ON b.first = s.first WHERE b.first IS NULL"),
    (
        "a span is of no topic, or wider than its topic's widest",
        "SELECT s.first FROM spans s LEFT JOIN topics t ON t.number = s.topic
         WHERE t.number IS NULL OR s.width_us < 0 OR s.width_us > t.widest_us",
    ),
    ("a drawer holds more than entries", "SELECT number FROM drawers WHERE typeof(entries) <> 'blob' OR length(entries) % 5 <> 0"),
    (
        "a number of a device's key is none, or of no key",
        "SELECT length(key) FROM signed WHERE typeof(key) <> 'blob' OR length(key) <> 32
         OR typeof(number) <> 'blob' OR length(number) <> 8",
    ),
];
const _: () = assert!(size_of::<Entry>() == 5);

/// A copy of an index, checked by itself.
pub(super) struct IndexCheck {
    connection: Connection,
    report: IndexReport,
    sound: bool,
    /// First offsets and places of the batches compared.
    seen: BTreeSet<(u64, u64)>,
    _copy: TempDir,
}

impl IndexCheck {
    /// Checks the index at `file` by itself; `None` if it is one of another version.
    ///
    /// # Errors
    /// A sentence if it cannot be read at all.
    pub(super) fn open(file: &Path) -> Result<Option<Self>, String> {
        let directory = tempfile::tempdir().map_err(|e| format!("no temporary directory for a copy: {e}"))?;
        let copy = directory.path().join("index.sqlite");
        std::fs::copy(file, &copy).map_err(|e| e.to_string())?;
        let wal = beside(file, "-wal");
        if wal.exists() {
            std::fs::copy(&wal, beside(&copy, "-wal")).map_err(|e| e.to_string())?;
        }
        let connection = Connection::open(&copy).map_err(|e| e.to_string())?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(|e| e.to_string())?;
        if version != SCHEMA_VERSION {
            return Ok(None);
        }
        let mut report = IndexReport::default();
        let verdicts = list(&connection, &format!("PRAGMA integrity_check({DAMAGES_MAX})"), |row| row.get::<_, String>(0))?;
        report.damages.extend(verdicts.into_iter().filter(|v| v != "ok"));
        let sound = report.damages.is_empty();
        if sound {
            rules(&connection, &mut report)?; // queries on a broken tree say nothing
        }
        Ok(Some(Self { connection, report, sound, seen: BTreeSet::new(), _copy: directory }))
    }

    /// Compares what the index lists of the batch at a place with the batch. A batch it does not list yet is no damage: it
    /// is written behind, and filled in at the next start.
    pub(super) fn compare(&mut self, place: u64, batch: &Batch) {
        self.seen.insert((batch.first_offset, place));
        if !self.sound || self.report.damages.len() >= DAMAGES_MAX {
            return;
        }
        match self.leads_to(place, batch) {
            Ok(true) => {}
            Ok(false) => self.report.damages.push(format!("what is listed of the batch at place {place} is not that batch")),
            Err(why) => self.report.damages.push(format!("what is listed of the batch at place {place} cannot be read: {why}")),
        }
    }

    /// Whether every reading of a batch is found, if the batch is listed.
    fn leads_to(&self, place: u64, batch: &Batch) -> rusqlite::Result<bool> {
        let (first, size) = (signed(batch.first_offset), signed(batch.readings.len() as u64));
        let mut find = self.connection.prepare_cached("SELECT place, readings FROM batches WHERE first = ?1")?;
        let listed: Option<(i64, i64)> = find.query_row([first], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        match listed {
            Some((at, listed)) if at == signed(place) && listed != size => return Ok(false),
            Some((at, _)) if at == signed(place) => {}
            // another message anchors the same readings, or it is to be listed yet
            _ => return Ok(true),
        }
        let mut spans: BTreeMap<&DeviceTopic, (i64, i64)> = BTreeMap::new();
        let mut drawers: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
        for (offset, reading) in (batch.first_offset..).zip(&batch.readings) {
            let time = signed(reading.time_us);
            let (from, to) = spans.entry(&reading.topic).or_insert((time, time));
            (*from, *to) = ((*from).min(time), (*to).max(time));
            let (number, entry) = entry(offset, &reading.id());
            drawers.entry(number).or_default().push(entry);
        }
        let mut find = self.connection.prepare_cached(
            "SELECT 1 FROM topics t CROSS JOIN spans s WHERE t.name = ?1
             AND s.topic = t.number AND s.last_us = ?2 AND s.first = ?3 AND s.width_us = ?4",
        )?;
        for (topic, (from, to)) in spans {
            if !find.exists(params![topic.to_string(), to, first, to.saturating_sub(from)])? {
                return Ok(false);
            }
        }
        let mut find = self.connection.prepare_cached("SELECT entries FROM drawers WHERE number = ?1")?;
        for (number, expected) in drawers {
            let entries: Option<Vec<u8>> = find.query_row([signed(number)], |r| r.get(0)).optional()?;
            let entries = entries.unwrap_or_default();
            let held: BTreeSet<&Entry> = entries.as_chunks::<{ size_of::<Entry>() }>().0.iter().collect();
            if !expected.iter().all(|entry| held.contains(entry)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was found. To be asked when every batch of the ledger was compared.
    pub(super) fn finish(mut self) -> IndexReport {
        // what the ledger has dropped is listed still
        let kept_from = self.seen.iter().map(|(_, place)| *place).min();
        if let Some(kept_from) = kept_from.filter(|_| self.sound) {
            let query = format!("SELECT first, place FROM batches WHERE place >= {}", signed(kept_from));
            match list(&self.connection, &query, |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))) {
                Ok(listed) => {
                    let wrong = listed.into_iter().filter(|batch| !self.seen.contains(batch));
                    let room = DAMAGES_MAX.saturating_sub(self.report.damages.len());
                    let wrong = wrong.map(|(first, place)| format!("the ledger has no batch from reading {first} on at place {place}"));
                    self.report.damages.extend(wrong.take(room));
                }
                Err(why) => self.report.damages.push(why),
            }
        }
        self.report
    }
}

/// Counts, and checks the rules.
fn rules(connection: &Connection, report: &mut IndexReport) -> Result<(), String> {
    report.batches = number(connection, "SELECT count(*) FROM batches")?;
    report.readings = number(connection, "SELECT sum(readings) FROM batches")?;
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

fn list<T>(connection: &Connection, query: &str, take: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, String> {
    let mut statement = connection.prepare(query).map_err(|e| e.to_string())?;
    let rows = statement.query_map([], |row| take(row)).map_err(|e| e.to_string())?;
    rows.collect::<rusqlite::Result<Vec<T>>>().map_err(|e| e.to_string())
}

fn number(connection: &Connection, query: &str) -> Result<u64, String> {
    let found = list(connection, query, |row| row.get::<_, Option<i64>>(0))?;
    Ok(found.first().copied().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::index::Index;
    use protocol::{Reading, Value};
    use std::sync::Arc;

    fn check(file: &Path) -> Result<IndexReport, String> {
        IndexCheck::open(file).map(|check| check.unwrap().finish())
    }

    async fn filled(file: &Path) -> Batch {
        let reading = |n: u32| Reading {
            topic: format!("z1/m{}/sense/power", n % 3).parse().unwrap(),
            time_us: 1_470_009_600_000_000 + u64::from(n),
            sequence: None,
            unit: None,
            value: Value::Number(f64::from(n)),
            signed: None,
        };
        let index = Index::open(file).unwrap();
        let batch = Batch { secret: [1; 32], first_offset: 0, readings: (0..50).map(reading).collect() };
        index.add(4, Arc::new(batch.clone())).await;
        index.filled().await;
        index.flush().await.unwrap();
        batch
    }

    #[tokio::test]
    async fn a_batch_to_which_the_index_does_not_lead_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        let batch = filled(&file).await;
        let damages = |batch: &Batch| {
            let mut check = IndexCheck::open(&file).unwrap().unwrap();
            check.compare(4, batch);
            check.compare(9, &Batch { first_offset: 1_000, ..batch.clone() }); // not listed yet
            check.finish().damages
        };
        assert!(damages(&batch).is_empty());
        let changes: [fn(&mut Batch); 3] =
            [|b| b.readings[7].value = Value::Boolean(true), |b| b.readings[49].time_us += 3, |b| b.readings.truncate(49)];
        for change in changes {
            let mut other = batch.clone();
            change(&mut other);
            assert_eq!(damages(&other).len(), 1);
        }
        // the ledger has another batch where the index has this one
        let mut check = IndexCheck::open(&file).unwrap().unwrap();
        check.compare(3, &batch);
        assert_eq!(check.finish().damages.len(), 1);
    }

    #[test]
    fn an_index_of_another_version_is_not_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE anchored (place INTEGER); PRAGMA user_version = 1;").unwrap();
        assert!(IndexCheck::open(&file).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_sound_index_is_sound_and_a_broken_rule_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.sqlite");
        filled(&file).await;
        let report = check(&file).unwrap();
        assert_eq!((report.batches, report.readings, report.damages.len()), (1, 50, 0), "{:?}", report.damages);
        for (change, says) in [
            ("UPDATE spans SET first = 7 WHERE topic = 1", "entry 7"),
            ("UPDATE spans SET width_us = 1000000 WHERE topic = 2", "widest"),
            ("UPDATE batches SET readings = 0", "proper place or size"),
            ("INSERT INTO batches VALUES (20, 5, 1)", "reaches into the next"),
            ("UPDATE drawers SET entries = x'00'", "drawer"),
            ("INSERT INTO signed VALUES (zeroblob(32), x'07')", "number of a device's key"),
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
