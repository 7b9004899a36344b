//! The file: three tables, changed by one transaction at a time.
//!
//! | table | key | value |
//! |---|---|---|
//! | `records` | queue, position | a record |
//! | `queues` | queue | first position, next position, bytes |
//! | `notes` | key | bytes |

use super::error::SpoolError;
use super::record::Record;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const RECORDS: TableDefinition<'static, (&'static str, u64), &'static [u8]> = TableDefinition::new("records");
const QUEUES: TableDefinition<'static, &'static str, (u64, u64, u64)> = TableDefinition::new("queues");
const NOTES: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("notes");

/// Pages that are kept in memory.
const CACHE_BYTES: usize = 8 << 20;
/// Bytes of records that one read gives, unless the first alone has more.
const READ_BYTES_MAX: usize = 4 << 20;

/// Where a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The position of the oldest record, or of the next if there is none.
    pub(super) first: u64,
    /// The position of the next record.
    pub(super) next: u64,
    /// Bytes of the records.
    pub(super) bytes: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self { first: 1, next: 1, bytes: 0 }
    }
}

/// Where all queues stand, by name.
pub(super) type Extents = BTreeMap<String, Extent>;

/// One step of a group.
pub(super) enum Step {
    /// Append and note.
    Change { appends: Vec<(String, Vec<u8>)>, notes: Vec<(String, Option<Vec<u8>>)> },
    /// Drop the records of a queue below a position.
    Forget { queue: String, below: u64 },
}

/// Opens or creates the file and reads where its queues stand.
pub(super) fn open(file: &Path) -> Result<(Database, Extents), SpoolError> {
    let failed = |why: String| SpoolError::Store { file: file.to_path_buf(), why };
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(file).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => SpoolError::Locked(file.to_path_buf()),
        other => failed(other.to_string()),
    })?;
    let extents = prepare(&database).map_err(|e| failed(e.to_string()))?;
    Ok((database, extents))
}

fn prepare(database: &Database) -> Result<Extents, redb::Error> {
    let transaction = database.begin_write()?;
    let mut extents = Extents::new();
    {
        transaction.open_table(RECORDS)?;
        transaction.open_table(NOTES)?;
        let queues = transaction.open_table(QUEUES)?;
        for entry in queues.iter()? {
            let (name, extent) = entry?;
            let (first, next, bytes) = extent.value();
            extents.insert(name.value().to_owned(), Extent { first, next, bytes });
        }
    }
    transaction.commit()?;
    Ok(extents)
}

/// Writes a group: all of it or nothing. `extents` are those before, and those after if it succeeds. Gives how many bytes
/// of records it dropped.
pub(super) fn apply(database: &Database, steps: &[Step], extents: &mut Extents, durable: bool) -> Result<u64, redb::Error> {
    let mut after = extents.clone();
    let mut touched = BTreeSet::new();
    let mut freed_bytes = 0;
    let mut transaction = database.begin_write()?;
    if !durable {
        transaction.set_durability(Durability::None)?;
    }
    {
        let mut records = transaction.open_table(RECORDS)?;
        let mut kept = transaction.open_table(NOTES)?;
        for step in steps {
            match step {
                Step::Change { appends, notes } => {
                    for (queue, bytes) in appends {
                        let extent = after.entry(queue.clone()).or_default();
                        records.insert((queue.as_str(), extent.next), bytes.as_slice())?;
                        extent.next += 1;
                        extent.bytes += bytes.len() as u64;
                        touched.insert(queue.clone());
                    }
                    for (key, value) in notes {
                        match value {
                            Some(value) => drop(kept.insert(key.as_str(), value.as_slice())?),
                            None => drop(kept.remove(key.as_str())?),
                        }
                    }
                }
                Step::Forget { queue, below } => {
                    let Some(extent) = after.get_mut(queue) else { continue };
                    while extent.first < (*below).min(extent.next) {
                        let bytes = records.remove((queue.as_str(), extent.first))?.map_or(0, |old| old.value().len() as u64);
                        extent.bytes = extent.bytes.saturating_sub(bytes);
                        freed_bytes += bytes;
                        extent.first += 1;
                    }
                    touched.insert(queue.clone());
                }
            }
        }
        let mut queues = transaction.open_table(QUEUES)?;
        for name in &touched {
            if let Some(extent) = after.get(name) {
                queues.insert(name.as_str(), (extent.first, extent.next, extent.bytes))?;
            }
        }
    }
    transaction.commit()?;
    *extents = after;
    Ok(freed_bytes)
}

/// Up to `max` records of a queue from a position on, in order.
pub(super) fn read(database: &Database, queue: &str, from: u64, max: usize) -> Result<Vec<(u64, Record)>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(RECORDS)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    for entry in table.range((queue, from)..=(queue, u64::MAX))? {
        if found.len() >= max || bytes >= READ_BYTES_MAX {
            break;
        }
        let (key, value) = entry?;
        let position = key.value().1;
        bytes += value.value().len();
        let record = Record::decode(value.value())
            .ok_or_else(|| redb::Error::Corrupted(format!("the record {position} of the queue {queue} cannot be read")))?;
        found.push((position, record));
    }
    Ok(found)
}

/// The notes whose keys begin with `prefix`, in the order of their keys.
pub(super) fn notes(database: &Database, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(NOTES)?;
    let mut found = Vec::new();
    for entry in table.range(prefix..)? {
        let (key, value) = entry?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(found)
}
