//! The deduplication window: which readings and which publishes were stored lately.
//!
//! A group is remembered while it is built, so that two equal readings of one group are seen, and is either
//! kept ([`Window::commit`]) or taken back ([`Window::rollback`]) as a whole.

use super::frame::{Key, PUBLISH_READINGS_MAX};
use std::collections::{HashMap, VecDeque};

/// Readings that the window remembers for each publish of its size, on average.
const READINGS_PER_PUBLISH: usize = 4;

/// Keys, each with the number of the publish that used it last.
#[derive(Default)]
struct Keys {
    last_use: HashMap<Key, u64>,
    /// What the group under construction replaced.
    undo: Vec<(Key, Option<u64>)>,
}

impl Keys {
    fn put(&mut self, key: Key, number: u64) {
        let before = self.last_use.insert(key, number);
        self.undo.push((key, before));
    }

    fn evict(&mut self, key: &Key, number: u64) {
        if self.last_use.get(key) == Some(&number) {
            self.last_use.remove(key);
        }
    }

    fn rollback(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(number) => self.last_use.insert(key, number),
                None => self.last_use.remove(&key),
            };
        }
    }
}

/// A remembered publish.
struct Mark {
    first_offset: u64,
    readings: usize,
    origin: Option<Key>,
}

/// See the head of this file.
pub(super) struct Window {
    publishes_max: usize,
    readings_max: usize,
    marks: VecDeque<Mark>,
    /// The number of the first mark; the others follow.
    first_number: u64,
    /// Ids of the marks' readings, in order.
    readings: VecDeque<Key>,
    ids: Keys,
    origins: Keys,
    /// Marks of the group under construction.
    uncommitted: usize,
}

impl Window {
    /// An empty window of `publishes_max` publishes.
    pub(super) fn new(publishes_max: usize) -> Self {
        Self {
            publishes_max,
            readings_max: publishes_max.saturating_mul(READINGS_PER_PUBLISH).max(PUBLISH_READINGS_MAX),
            marks: VecDeque::new(),
            first_number: 0,
            readings: VecDeque::new(),
            ids: Keys::default(),
            origins: Keys::default(),
            uncommitted: 0,
        }
    }

    pub(super) fn knows_reading(&self, id: &Key) -> bool {
        self.ids.last_use.contains_key(id)
    }

    pub(super) fn knows_origin(&self, origin: &Key) -> bool {
        self.origins.last_use.contains_key(origin)
    }

    /// The offset of the oldest reading that is remembered.
    pub(super) fn first_offset(&self) -> Option<u64> {
        self.marks.front().map(|mark| mark.first_offset)
    }

    /// Remembers a publish.
    pub(super) fn put(&mut self, first_offset: u64, ids: impl Iterator<Item = Key>, origin: Option<Key>) {
        let number = self.first_number + self.marks.len() as u64;
        let before = self.readings.len();
        for id in ids {
            self.ids.put(id, number);
            self.readings.push_back(id);
        }
        if let Some(origin) = origin {
            self.origins.put(origin, number);
        }
        self.marks.push_back(Mark { first_offset, readings: self.readings.len() - before, origin });
        self.uncommitted += 1;
    }

    /// Keeps the group, and lets the oldest publishes go that no longer fit.
    pub(super) fn commit(&mut self) {
        self.uncommitted = 0;
        self.ids.undo.clear();
        self.origins.undo.clear();
        while self.marks.len() > self.publishes_max || self.readings.len() > self.readings_max {
            let Some(mark) = self.marks.pop_front() else { return };
            for id in self.readings.drain(..mark.readings.min(self.readings.len())) {
                self.ids.evict(&id, self.first_number);
            }
            if let Some(origin) = &mark.origin {
                self.origins.evict(origin, self.first_number);
            }
            self.first_number += 1;
        }
    }

    /// Takes the group back.
    pub(super) fn rollback(&mut self) {
        for _ in 0..std::mem::take(&mut self.uncommitted) {
            let readings = self.marks.pop_back().map_or(0, |mark| mark.readings);
            self.readings.truncate(self.readings.len().saturating_sub(readings));
        }
        self.ids.rollback();
        self.origins.rollback();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::{Key, Window};

    fn key(n: u8) -> Key {
        [n; 16]
    }

    #[test]
    fn the_oldest_publish_goes_first() {
        let mut window = Window::new(2);
        for n in 0..3 {
            window.put(u64::from(n), [key(n)].into_iter(), Some(key(100 + n)));
            window.commit();
        }
        assert!(!window.knows_reading(&key(0)) && !window.knows_origin(&key(100)));
        assert!(window.knows_reading(&key(1)) && window.knows_origin(&key(102)));
        assert_eq!(window.first_offset(), Some(1));
    }

    #[test]
    fn a_repeated_origin_lives_as_long_as_its_last_use() {
        let mut window = Window::new(2);
        for n in 0..3 {
            window.put(u64::from(n), [key(n)].into_iter(), Some(key(100)));
            window.commit();
        }
        assert!(window.knows_origin(&key(100)));
        window.put(3, [key(3)].into_iter(), None);
        window.put(4, [key(4)].into_iter(), None);
        window.commit();
        assert!(!window.knows_origin(&key(100)));
    }

    #[test]
    fn readings_bound_the_window_too() {
        let mut window = Window::new(1_000);
        for n in 0..5u64 {
            let ids = (0..1_000u64).map(|i| u128::from(n * 1_000 + i).to_be_bytes());
            window.put(n * 1_000, ids, None);
            window.commit();
        }
        assert_eq!(window.first_offset(), Some(1_000));
        assert!(!window.knows_reading(&0u128.to_be_bytes()) && window.knows_reading(&1_000u128.to_be_bytes()));
    }

    #[test]
    fn a_group_is_taken_back_as_a_whole() {
        let mut window = Window::new(10);
        window.put(0, [key(0)].into_iter(), Some(key(100)));
        window.commit();
        window.put(1, [key(1), key(2)].into_iter(), Some(key(100)));
        window.put(3, [key(3)].into_iter(), Some(key(103)));
        assert!(window.knows_reading(&key(2)), "a group sees itself");
        window.rollback();
        assert!((1..=3).all(|n| !window.knows_reading(&key(n))));
        assert!(window.knows_origin(&key(100)) && !window.knows_origin(&key(103)));
        // The first publish is still the owner of its origin, and takes it along when it goes.
        for n in 10..20 {
            window.put(u64::from(n), [key(n)].into_iter(), None);
        }
        window.commit();
        assert!(!window.knows_reading(&key(0)) && !window.knows_origin(&key(100)));
    }
}
