//! The one who writes the index: a thread of its own, with patience.

use super::{Op, signed};
use protocol::{Batch, DeviceTopic, Id};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::collections::HashMap;
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

/// Owns the connection that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) topics: HashMap<DeviceTopic, i64>,
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
        for op in ops {
            match op {
                Op::Add { message, blob, batch } => add(&transaction, &mut self.topics, message, blob, batch)?,
                Op::Remove(message) => remove(&transaction, message)?,
                Op::Filled => {
                    transaction.execute("UPDATE watermark SET filling = 0", [])?;
                }
                Op::Flush(_) => {}
            }
        }
        transaction.commit()
    }
}

fn add(
    transaction: &Transaction<'_>,
    topics: &mut HashMap<DeviceTopic, i64>,
    message: &Id,
    blob: &Id,
    batch: &Batch,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO batches (message, blob, first_place, readings) VALUES (?1, ?2, ?3, ?4)";
    let count = signed(batch.readings.len() as u64);
    if transaction.prepare_cached(sql)?.execute(params![message.0, blob.0, signed(batch.first_offset), count])? == 0 {
        return Ok(()); // it is there
    }
    let number = transaction.last_insert_rowid();
    let sql = "INSERT OR IGNORE INTO anchored (place, id, topic, time_us, batch) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = transaction.prepare_cached(sql)?;
    for (place, reading) in (batch.first_offset..).zip(&batch.readings) {
        let topic = number_of(transaction, topics, &reading.topic)?;
        insert.execute(params![signed(place), reading.id().0, topic, signed(reading.time_us), number])?;
    }
    Ok(())
}

fn number_of(transaction: &Transaction<'_>, topics: &mut HashMap<DeviceTopic, i64>, topic: &DeviceTopic) -> rusqlite::Result<i64> {
    if let Some(number) = topics.get(topic) {
        return Ok(*number);
    }
    let name = topic.to_string();
    transaction.prepare_cached("INSERT OR IGNORE INTO topics (name) VALUES (?1)")?.execute(params![name])?;
    let number = transaction.prepare_cached("SELECT number FROM topics WHERE name = ?1")?.query_row(params![name], |r| r.get(0))?;
    if topics.len() >= TOPICS_REMEMBERED_MAX {
        topics.clear();
    }
    topics.insert(topic.clone(), number);
    Ok(number)
}

fn remove(transaction: &Transaction<'_>, message: &Id) -> rusqlite::Result<()> {
    let find = "SELECT number, first_place, readings FROM batches WHERE message = ?1";
    let found: Option<(i64, i64, i64)> =
        transaction.query_row(find, params![message.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional()?;
    if let Some((number, first, readings)) = found {
        let sql = "DELETE FROM anchored WHERE place >= ?1 AND place < ?2 AND batch = ?3";
        transaction.execute(sql, params![first, first.saturating_add(readings), number])?;
        transaction.execute("DELETE FROM batches WHERE number = ?1", params![number])?;
    }
    Ok(())
}
