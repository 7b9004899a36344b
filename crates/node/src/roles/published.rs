//! What the ledger node has said to be published, until the cache can forget it.
//!
//! The cache forgets in the order of its log. A notice may name a reading beyond the first that is pending; it is
//! remembered here until its turn comes. The memory is bounded: two generations, of which the older goes when the younger is
//! full. What is dropped with it is said again, because the cache asks for it again (ROLE-11).

use protocol::{DeviceTopic, Id, Reading};
use std::collections::HashSet;

/// Readings of one generation: about 16 MiB of memory each.
pub(crate) const GENERATION_MAX: usize = 1 << 18;

/// A reading's name, as notices have it: the half of a hash.
pub(crate) type Key = [u8; 16];

/// The key of a name.
#[must_use]
pub(crate) fn key(topic: &DeviceTopic, time_us: u64) -> Key {
    let text = topic.to_string();
    let hash = Id::hash(&[b"wattle/published/v1", &time_us.to_be_bytes(), text.as_bytes()]);
    let mut key = Key::default();
    key.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    key
}

/// The key of a reading.
#[must_use]
pub(crate) fn key_of(reading: &Reading) -> Key {
    key(&reading.topic, reading.time_us)
}

/// Names of published readings.
#[derive(Debug)]
pub(crate) struct Published {
    young: HashSet<Key>,
    old: HashSet<Key>,
    generation: usize,
    /// Names that were dropped because there were too many.
    dropped: u64,
}

impl Published {
    /// An empty memory of at most twice `generation` names.
    #[must_use]
    pub(crate) fn new(generation: usize) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), generation: generation.max(1), dropped: 0 }
    }

    /// Notes a name.
    pub(crate) fn note(&mut self, key: Key) {
        self.old.remove(&key);
        self.young.insert(key);
        if self.young.len() >= self.generation {
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.dropped = self.dropped.saturating_add(gone.len() as u64);
        }
    }

    /// Whether a name is there.
    #[must_use]
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.young.contains(key) || self.old.contains(key)
    }

    /// Takes a name out; whether it was there.
    pub(crate) fn take(&mut self, key: &Key) -> bool {
        self.young.remove(key) || self.old.remove(key)
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// How many were dropped because there were too many.
    #[must_use]
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(n: u64) -> Key {
        key(&"z1/m1/sense/power".parse().unwrap(), n)
    }

    /// ROLE-10
    #[test]
    fn a_name_is_taken_once() {
        let mut published = Published::new(8);
        published.note(name(1));
        published.note(name(1));
        assert!(published.has(&name(1)) && !published.has(&name(2)));
        assert!(published.take(&name(1)) && !published.take(&name(1)));
        assert_ne!(name(1), key(&"z1/m2/sense/power".parse().unwrap(), 1));
    }

    /// ROLE-10
    #[test]
    fn the_memory_is_bounded_and_the_oldest_go() {
        let mut published = Published::new(4);
        (0..10).for_each(|n| published.note(name(n)));
        assert_eq!((published.len(), published.dropped()), (6, 4));
        assert!(!published.has(&name(3)) && (4..10).all(|n| published.has(&name(n))));
        published.note(name(4));
        assert_eq!(published.len(), 6, "one that is noted again is young again, and one");
    }
}
