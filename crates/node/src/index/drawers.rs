//! From a reading's id to where it may be, in as few bytes as will do.
//!
//! The log's offsets are cut into *spans*. A span has a number of *drawers*; the first bytes of an id choose one, and what
//! is kept in it of a reading is the offset within the span and the next bytes of the id:
//!
//! ```text
//! id [32]:  drawer u32 | tail [3] | …          drawer = (u32 × DRAWERS) >> 32
//! entry:    offset within the span u16 | tail [3]
//! ```
//! # Rules
//! - An entry is a hint: ids that begin alike share a drawer and a tail. The reading itself decides.
//! - Entries are added and never taken back. What is anchored again has the offsets it had.
//! - A full span has about 745 entries in a drawer, which fill a page of SQLite and seldom more. A look-up reads one drawer
//!   of each span.

use protocol::Id;
use rusqlite::Transaction;
use std::collections::BTreeMap;

/// Offsets in a span.
const SPAN_OFFSETS: u64 = 1 << 16;
/// Drawers of a span.
const DRAWERS: u64 = 88;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 5;
const _: () = assert!(SPAN_OFFSETS * ENTRY_BYTES as u64 / DRAWERS < 3_900, "a drawer fits into a page");

/// What stands in a drawer for one reading.
pub(crate) type Entry = [u8; ENTRY_BYTES];

/// The drawer within each span, and the tail.
fn choose(id: &Id) -> (u64, [u8; 3]) {
    let [a, b, c, d, e, f, g, ..] = id.0;
    ((u64::from(u32::from_be_bytes([a, b, c, d])) * DRAWERS) >> 32, [e, f, g])
}

/// The number of the drawer for the reading at `offset`, and its entry.
pub(crate) fn entry(offset: u64, id: &Id) -> (u64, Entry) {
    let (drawer, [e, f, g]) = choose(id);
    let [.., high, low] = offset.to_be_bytes();
    (offset / SPAN_OFFSETS * DRAWERS + drawer, [high, low, e, f, g])
}

/// The span of a drawer.
pub(super) const fn span(number: u64) -> u64 {
    number / DRAWERS
}

/// The number of the drawer of a span in which a reading of this id would be.
pub(super) fn number(span: u64, id: &Id) -> u64 {
    span * DRAWERS + choose(id).0
}

/// The offsets of readings in a drawer whose ids may be this one, the newest first.
pub(super) fn offsets(span: u64, entries: &[u8], id: &Id) -> Vec<u64> {
    let (_, tail) = choose(id);
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    let alike = entries.iter().rev().filter(|[_, _, rest @ ..]| *rest == tail);
    alike.map(|[high, low, ..]| span * SPAN_OFFSETS + u64::from(u16::from_be_bytes([*high, *low]))).collect()
}

/// Entries that wait to be written together.
#[derive(Default)]
pub(super) struct Entries(BTreeMap<u64, Vec<u8>>);

impl Entries {
    /// Takes note of a reading.
    pub(super) fn put(&mut self, offset: u64, id: &Id) {
        let (number, entry) = entry(offset, id);
        self.0.entry(number).or_default().extend(entry);
    }

    /// Writes them.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        // what is concatenated is text to SQLite
        let sql = "INSERT INTO drawers (number, entries) VALUES (?1, ?2)
            ON CONFLICT (number) DO UPDATE SET entries = CAST(entries || excluded.entries AS BLOB)";
        let mut statement = transaction.prepare_cached(sql)?;
        for (number, entries) in self.0 {
            statement.execute((super::signed(number), entries))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_found_in_its_drawer_and_so_are_those_that_begin_alike() {
        let (one, mut alike, mut other) = (Id([0xa5; 32]), Id([0xa5; 32]), Id([0xa5; 32]));
        alike.0[7] = 0; // behind what is kept
        other.0[6] = 0;
        for offset in [0, 1, 65_535, 65_536, 1_000_000_007] {
            let (drawer, entry) = entry(offset, &one);
            let span = span(drawer);
            assert_eq!((span, number(span, &one)), (offset / 65_536, drawer));
            assert_eq!(offsets(span, &entry, &one), [offset]);
            assert_eq!(offsets(span, &entry, &alike), [offset]);
            assert!(offsets(span, &entry, &other).is_empty());
        }
    }

    #[test]
    fn drawers_are_as_many_as_there_should_be() {
        assert_eq!(entry(0, &Id([0; 32])).0, 0);
        assert_eq!(entry(0, &Id([0xff; 32])).0, DRAWERS - 1);
        assert_eq!(entry(SPAN_OFFSETS, &Id([0; 32])).0, DRAWERS);
    }

    #[test]
    fn the_newest_come_first_and_a_cut_entry_is_none() {
        let id = Id([7; 32]);
        let mut entries: Vec<u8> = [3u64, 9, 5].iter().flat_map(|offset| entry(*offset, &id).1).collect();
        entries.extend([0, 1]);
        assert_eq!(offsets(0, &entries, &id), [5, 9, 3]);
    }
}
