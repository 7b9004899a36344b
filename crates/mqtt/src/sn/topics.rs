//! The topic ids of one client (SN-20 to SN-24).
//!
//! An id belongs to one client, never changes its meaning while the session lives, and is used towards the client only
//! once the client knows it. Ids are given out in turn; what is full stays full until the session is cleaned.

use crate::broker::TOPIC_BYTES_MAX;
use std::collections::{BTreeMap, HashMap};

/// Topics that one client may have registered.
pub(super) const TOPICS_MAX: usize = 256;
/// Bytes of their names together.
pub(super) const TOPICS_BYTES_MAX: usize = 16 * 1024;
/// The greatest topic id: 0x0000 and 0xFFFF are reserved.
const TOPIC_ID_MAX: u16 = 0xFFFE;

const _: () = assert!(TOPICS_MAX < TOPIC_ID_MAX as usize);

/// Whether `topic` can be published to.
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` can be subscribed to.
pub(super) fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > TOPIC_BYTES_MAX || filter.contains('\0') {
        return false;
    }
    let last = filter.split('/').count() - 1;
    filter.split('/').enumerate().all(|(at, level)| match level {
        "+" => true,
        "#" => at == last,
        other => !other.contains(['+', '#']),
    })
}

/// Whether it matches more than one topic.
pub(super) fn has_wildcards(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    told: bool,
}

/// Topics by id and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicTable {
    names: BTreeMap<u16, Entry>,
    ids: HashMap<String, u16>,
    bytes: usize,
}

impl TopicTable {
    /// The id of `name`, a new one if need be; `None` if the table is full.
    pub(super) fn register(&mut self, name: &str) -> Option<u16> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        if self.names.len() >= TOPICS_MAX || self.bytes + name.len() > TOPICS_BYTES_MAX {
            return None;
        }
        let id = self.names.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        if id > TOPIC_ID_MAX {
            return None;
        }
        self.bytes += name.len();
        self.names.insert(id, Entry { name: name.to_string(), told: false });
        self.ids.insert(name.to_string(), id);
        Some(id)
    }

    /// The topic that `id` stands for.
    pub(super) fn name(&self, id: u16) -> Option<&str> {
        self.names.get(&id).map(|entry| entry.name.as_str())
    }

    /// The id of `name`, and whether the client knows it.
    pub(super) fn id(&self, name: &str) -> Option<(u16, bool)> {
        let id = *self.ids.get(name)?;
        Some((id, self.names.get(&id).is_some_and(|entry| entry.told)))
    }

    /// The client knows `id`, or does not.
    pub(super) fn set_told(&mut self, id: u16, told: bool) {
        if let Some(entry) = self.names.get_mut(&id) {
            entry.told = told;
        }
    }

    /// A new connection: the client may have forgotten everything, so it is told again.
    pub(super) fn forget_told(&mut self) {
        for entry in self.names.values_mut() {
            entry.told = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_meaning_and_the_table_its_bounds() {
        let mut table = TopicTable::default();
        let first = table.register("a/b").unwrap();
        assert_eq!((table.register("a/b"), table.name(first), table.id("a/b")), (Some(first), Some("a/b"), Some((first, false))));
        table.set_told(first, true);
        assert_eq!(table.id("a/b"), Some((first, true)));
        table.forget_told();
        assert_eq!(table.id("a/b"), Some((first, false)));
        assert_eq!((table.name(0), table.name(first + 1), table.id("x")), (None, None, None));
        let registered = (0..2 * TOPICS_MAX).filter(|n| table.register(&format!("t/{n}")).is_some()).count();
        assert_eq!(registered, TOPICS_MAX - 1);
        assert_eq!(table.register("a/b"), Some(first), "what is there stays");

        let mut table = TopicTable::default();
        let long = |n: usize| format!("{n}/{}", "x".repeat(500));
        let registered = (0..TOPICS_MAX).filter(|n| table.register(&long(*n)).is_some()).count();
        assert!(registered * 502 <= TOPICS_BYTES_MAX && registered > 30, "{registered}");
    }

    #[test]
    fn topics_and_filters() {
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        for (text, topic, filter) in [
            ("a/b", true, true),
            ("ab", true, true),
            ("/", true, true),
            ("", false, false),
            ("a\0", false, false),
            ("a/+", false, true),
            ("+/b/#", false, true),
            ("#", false, true),
            ("a/#/b", false, false),
            ("a+/b", false, false),
            ("a/b#", false, false),
            (long.as_str(), false, false),
        ] {
            assert_eq!((is_topic(text), is_filter(text)), (topic, filter), "{text:?}");
        }
    }
}
