//! What a broker of the tree remembers in its spool, as notes.
//!
//! | key | holds |
//! |---|---|
//! | `broker` | this broker's id |
//! | `sequence` | the last sequence it gave |
//! | `log` | the offset of the site's log up to which readings were handed on |
//! | `subscribed` | filters that the parent may have of us, one a line |
//! | `foreign` | there if the parent is a broker of another kind |
//! | `seen` ␟ origin | the window of what was seen of it from above; from below `seen` ␟ link, space, origin |
//! | `link` ␟ id | weight and whether its scope is shared: `3 1` |
//! | `filter` ␟ id ␟ group ␟ filter | one filter of a link; an empty group is none |
//!
//! ␟ is U+001F, which no id, group or filter of ours holds.

use super::board::{Link, LinkFilter};
use super::config::{TierError, broker_id};
use super::passport::link_scope;
use super::seen::Seen;
use crate::spool::{Change, Spool, SpoolError};
use std::collections::{BTreeMap, BTreeSet};

/// Parts the levels of a key.
const PART: char = '\u{1f}';
/// The note with this broker's id.
const BROKER: &str = "broker";
/// The note with the last sequence.
pub(super) const SEQUENCE: &str = "sequence";
/// The note with the offset of the site's log.
pub(super) const LOG: &str = "log";
/// The note with what was subscribed to at the parent.
pub(super) const SUBSCRIBED: &str = "subscribed";

/// The note that the parent is a broker of another kind.
pub(super) const FOREIGN: &str = "foreign";

/// Everything that was remembered.
pub(super) struct Memory {
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) log: Option<u64>,
    pub(super) subscribed: BTreeSet<String>,
    pub(super) foreign: bool,
    pub(super) seen: Seen,
    pub(super) links: BTreeMap<String, Link>,
}

/// Reads what was remembered; a new broker gets its id. Blocks on files.
pub(super) fn recall(spool: &Spool) -> Result<Memory, TierError> {
    let one = |key: &str| -> Result<Option<Vec<u8>>, SpoolError> {
        Ok(spool.notes(key)?.into_iter().find(|(found, _)| found == key).map(|(_, value)| value))
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let number = |bytes: Option<Vec<u8>>| bytes.and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
    let mut seen = Seen::default();
    for (key, window) in spool.notes(&format!("seen{PART}"))? {
        seen.load(key.split(PART).nth(1).unwrap_or_default(), &window);
    }
    let mut links = BTreeMap::new();
    for (key, value) in spool.notes(&format!("link{PART}"))? {
        let id = key.split(PART).nth(1).unwrap_or_default();
        let (Some(scope), Some(said)) = (link_scope(id), text(value)) else { continue };
        let (weight, shared) = said.split_once(' ').unwrap_or((said.as_str(), "0"));
        let link = Link { scope, weight: weight.parse().unwrap_or(1), shared: shared == "1", ..Link::default() };
        links.insert(id.to_owned(), link);
    }
    for (key, _) in spool.notes(&format!("filter{PART}"))? {
        let mut parts = key.split(PART).skip(1);
        let (Some(id), Some(group), Some(filter)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if let Some(link) = links.get_mut(id) {
            link.filters.insert(((!group.is_empty()).then(|| group.to_owned()), filter.to_owned()));
        }
    }
    let subscribed = one(SUBSCRIBED)?.and_then(text).unwrap_or_default();
    let id = match one(BROKER)?.and_then(text) {
        Some(id) => id,
        None => broker_id()?,
    };
    Ok(Memory {
        id,
        sequence: number(one(SEQUENCE)?).unwrap_or(0),
        log: number(one(LOG)?),
        foreign: one(FOREIGN)?.is_some(),
        subscribed: subscribed.lines().map(str::to_owned).collect(),
        seen,
        links,
    })
}

/// The note of this broker's id.
pub(super) fn broker(id: &str) -> Change {
    note(BROKER, Some(id.as_bytes().to_vec()))
}

/// The change of one note.
pub(super) fn note(key: &str, value: Option<Vec<u8>>) -> Change {
    Change { append: Vec::new(), notes: vec![(key.to_owned(), value)] }
}

/// The key of the window of an origin.
pub(super) fn seen_key(origin: &str) -> String {
    format!("seen{PART}{origin}")
}

/// The note that a link exists.
pub(super) fn link(id: &str, link: &Link) -> (String, Option<Vec<u8>>) {
    (link_key(id), Some(format!("{} {}", link.weight, u8::from(link.shared)).into_bytes()))
}

fn link_key(id: &str) -> String {
    format!("link{PART}{id}")
}

/// The key of one filter of a link.
pub(super) fn filter_key(id: &str, (group, filter): &LinkFilter) -> String {
    format!("filter{PART}{id}{PART}{}{PART}{filter}", group.as_deref().unwrap_or_default())
}

/// Forgets a link and its filters.
pub(super) fn forget_link(id: &str, link: &Link) -> Change {
    let notes = link.filters.iter().map(|filter| filter_key(id, filter)).chain([link_key(id)]);
    Change { append: Vec::new(), notes: notes.map(|key| (key, None)).collect() }
}
