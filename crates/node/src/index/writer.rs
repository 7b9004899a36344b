//! The one who writes the index: a thread of its own, with patience.

use super::drawers::Entries;
use super::{NOWHERE, Op, signed};
use mqtt::replay::WINDOW;
use protocol::{Batch, DeviceTopic, PublicKey};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches in one transaction.
const TRANSACTION_OPS_MAX: usize = 64;
/// Topics whose numbers are remembered.
const TOPICS_REMEMBERED_MAX: usize = 100_000;
/// How often a failed write is tried.
const WRITE_TRIES_MAX: u32 = 6;
/// The pause after the first failure; it doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Numbers of topics, each with the width of its widest span in microseconds.
pub(super) type Topics = HashMap<DeviceTopic, (i64, i64)>;

/// Owns the connection that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) topics: Topics,
    pub(super) broken: Arc<AtomicBool>,
}

impl Writer {
    /// Writes until nobody is left to ask for more.
    pub(super) fn run(&mut self, mut queue: mpsc::Receiver<Op>) {
        while let Some(first) = queue.blocking_recv() {
            let mut ops = vec![first];
            while ops.len() < TRANSACTION_OPS_MAX
                && let Ok(op) = queue.try_recv()
            {
                ops.push(op);
            }
            self.write(&ops);
            for op in ops {
                if let Op::Flush(done) = op {
                    let _ = done.send(()); // who asked may be gone
                }
            }
        }
    }

    /// Writes in one transaction, with patience; gives up for good in the end.
    pub(super) fn write(&mut self, ops: &[Op]) {
        if self.broken.load(Ordering::Acquire) {
            return;
        }
        let mut pause = RETRY_PAUSE;
        for attempt in 1..=WRITE_TRIES_MAX {
            match self.transaction(ops) {
                Ok(()) => return,
                Err(why) => {
                    self.topics.clear(); // numbers given in a transaction that did not happen
                    tracing::warn!("the index cannot be written (attempt {attempt} of {WRITE_TRIES_MAX}): {why}");
                }
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.broken.store(true, Ordering::Release);
        tracing::error!(
            "the index takes nothing more until this node is started again: readings are still anchored, but new ones cannot be looked up here"
        );
    }

    fn transaction(&mut self, ops: &[Op]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut entries = Entries::default();
        for op in ops {
            match op {
                Op::Add { place, batch } => add(&transaction, &mut self.topics, &mut entries, *place, batch)?,
                Op::Remove { first } => {
                    let sql = "UPDATE batches SET place = ?2 WHERE first = ?1";
                    transaction.prepare_cached(sql)?.execute(params![signed(*first), NOWHERE])?;
                }
                Op::Filled => {
                    transaction.execute("UPDATE watermark SET filling = 0", [])?;
                }
                Op::Flush(_) => {}
            }
        }
        entries.write(&transaction)?;
        transaction.commit()
    }
}

fn add(transaction: &Transaction<'_>, topics: &mut Topics, entries: &mut Entries, place: u64, batch: &Batch) -> rusqlite::Result<()> {
    let (first, count) = (signed(batch.first_offset), signed(batch.readings.len() as u64));
    let mut find = transaction.prepare_cached("SELECT readings FROM batches WHERE first = ?1")?;
    if find.query_row(params![first], |r| r.get::<_, i64>(0)).optional()? == Some(count) {
        // the same readings, perhaps anchored again: the newest place counts
        let sql = "UPDATE batches SET place = ?2 WHERE first = ?1 AND place < ?2";
        transaction.prepare_cached(sql)?.execute(params![first, signed(place)])?;
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO batches (first, place, readings) VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(sql)?.execute(params![first, signed(place), count])?;
    let mut spans: BTreeMap<&DeviceTopic, (i64, i64)> = BTreeMap::new();
    for (offset, reading) in (batch.first_offset..).zip(&batch.readings) {
        let time = signed(reading.time_us);
        let (from, to) = spans.entry(&reading.topic).or_insert((time, time));
        (*from, *to) = ((*from).min(time), (*to).max(time));
        entries.put(offset, &reading.id());
    }
    let sql = "INSERT OR REPLACE INTO spans (topic, last_us, first, width_us) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = transaction.prepare_cached(sql)?;
    for (topic, (from, to)) in spans {
        let width = to.saturating_sub(from);
        let number = number_of(transaction, topics, topic, width)?;
        insert.execute(params![number, to, first, width])?;
    }
    note_numbers(transaction, batch)
}

/// Notes the numbers of signed readings, and forgets those that no site looks at any more.
fn note_numbers(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut keys: BTreeSet<PublicKey> = BTreeSet::new();
    for reading in &batch.readings {
        if let (Some(by), Some(number)) = (&reading.signed, reading.sequence) {
            let sql = "INSERT OR IGNORE INTO signed (key, number) VALUES (?1, ?2)";
            transaction.prepare_cached(sql)?.execute(params![by.key.0, number.to_be_bytes()])?;
            keys.insert(by.key);
        }
    }
    for key in keys {
        // big-endian numbers are in the order of their bytes; the greatest may be of another batch
        let sql = "SELECT max(number) FROM signed WHERE key = ?1";
        let greatest = transaction.prepare_cached(sql)?.query_row(params![key.0], |r| r.get(0)).map(u64::from_be_bytes)?;
        let sql = "DELETE FROM signed WHERE key = ?1 AND number < ?2";
        let first = greatest.saturating_sub(WINDOW - 1);
        transaction.prepare_cached(sql)?.execute(params![key.0, first.to_be_bytes()])?;
    }
    Ok(())
}

/// The number of a topic that has a span of this width.
fn number_of(transaction: &Transaction<'_>, topics: &mut Topics, topic: &DeviceTopic, width: i64) -> rusqlite::Result<i64> {
    if let Some((number, widest)) = topics.get(topic)
        && width <= *widest
    {
        return Ok(*number);
    }
    let sql = "INSERT INTO topics (name, widest_us) VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET widest_us = max(widest_us, excluded.widest_us) RETURNING number, widest_us";
    let mut insert = transaction.prepare_cached(sql)?;
    let found: (i64, i64) = insert.query_row(params![topic.to_string(), width], |r| Ok((r.get(0)?, r.get(1)?)))?;
    if topics.len() >= TOPICS_REMEMBERED_MAX {
        topics.clear();
    }
    topics.insert(topic.clone(), found);
    Ok(found.0)
}
