//! What is remembered of clients with a persistent session that are away (SN-19): as many as may be connected, the latest.

use super::session::Remembered;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Remembered sessions by client id.
pub(super) struct Memory {
    sessions: HashMap<Arc<str>, (u64, Remembered)>,
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    max: usize,
}

impl Memory {
    pub(super) fn new(max: usize) -> Self {
        Self { sessions: HashMap::new(), order: BTreeMap::new(), next: 0, max }
    }

    /// Remembers a session, and forgets the oldest if there are too many.
    pub(super) fn put(&mut self, id: Arc<str>, remembered: Remembered) {
        self.next += 1;
        if let Some((before, _)) = self.sessions.insert(id.clone(), (self.next, remembered)) {
            self.order.remove(&before);
        }
        self.order.insert(self.next, id);
        if self.sessions.len() > self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.sessions.remove(&oldest);
        }
    }

    /// Takes a session back.
    pub(super) fn take(&mut self, id: &str) -> Option<Remembered> {
        let (at, remembered) = self.sessions.remove(id)?;
        self.order.remove(&at);
        Some(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_once() {
        let mut memory = Memory::new(2);
        for id in ["a", "b", "a", "c"] {
            memory.put(id.into(), Remembered::default());
        }
        assert!(memory.take("b").is_none(), "the oldest");
        assert!(memory.take("a").is_some() && memory.take("a").is_none());
        assert!(memory.take("c").is_some());
        assert!(memory.order.is_empty() && memory.sessions.is_empty());
    }
}
