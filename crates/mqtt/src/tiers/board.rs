//! Who wants what, and which way a publish goes: the rules of the tiers without sockets, files or clocks (TIER-4 to TIER-7,
//! TIER-12, TIER-13).
//!
//! ```text
//!            parent ── asked: what its side wants of us
//!              ▲ │
//!   wanted ────┘ ▼
//!         ┌── board ──┐── local: filters of clients here, and how many have each
//!   links:│ filters of│each broker below
//! ```
//! Everything is a set that is made again from its members, never a counter that is added to: the first subscriber makes a
//! filter wanted, the last one that goes makes it unwanted, and nothing drifts.

use super::balance::Balance;
use super::scope::{self, Scope};
use std::collections::{BTreeMap, BTreeSet};

/// Filters that one link may have.
pub const LINK_FILTERS_MAX: usize = 4096;
/// Filters that one broker is asked for; beyond, it is asked for everything of its scope.
pub const ASKED_MAX: usize = 1024;

/// What is fixed about a broker's place in the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The sites that it is for.
    pub scope: Scope,
    /// Whether other brokers have the same scope: then it cannot satisfy a subscription alone.
    pub shared: bool,
    /// Whether it has a parent.
    pub parent: bool,
    /// Filters of what always goes up.
    pub up: Vec<String>,
    /// Filters that are always subscribed to at the parent.
    pub down: Vec<String>,
}

/// A filter as a broker below asks for it: for a group of its site's clients, or for all.
pub type LinkFilter = (Option<String>, String);

/// A broker below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The sites that it is for.
    pub scope: Scope,
    /// How much of a group's work it takes, beside others of the same scope.
    pub weight: u32,
    /// Whether others have the same scope.
    pub shared: bool,
    /// What it asks for.
    pub filters: BTreeSet<LinkFilter>,
    /// Whether it is connected.
    pub connected: bool,
}

/// Who has a filter among the clients of this broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// Clients that have it for themselves.
    pub clients: usize,
    /// Groups that share it.
    pub groups: BTreeSet<String>,
}

/// Where a publish comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A client of this broker, or the site itself.
    Here,
    /// The broker below with this link.
    Below(&'a str),
    /// The parent.
    Above,
}

/// One way that a publish goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The link below, or `None` for up.
    pub link: Option<String>,
    /// Groups of our site that have it.
    pub served: Vec<String>,
    /// The groups it is for there; `None` for all.
    pub groups: Option<Vec<String>>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Board {
    place: Place,
    local: BTreeMap<String, Holders>,
    links: BTreeMap<String, Link>,
    asked: Vec<String>,
    balance: Balance,
}

impl Board {
    /// An empty one.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// Sets who has `filter` among the clients here. Gives whether that changes anything.
    pub fn set_local(&mut self, filter: &str, holders: Holders) -> bool {
        let before = match holders == Holders::default() {
            true => self.local.remove(filter),
            false => self.local.insert(filter.to_owned(), holders.clone()),
        };
        before.unwrap_or_default() != holders
    }

    /// The link with this client id, made if there is none.
    pub fn link_mut(&mut self, id: &str) -> &mut Link {
        self.links.entry(id.to_owned()).or_default()
    }

    /// The link with this client id.
    #[must_use]
    pub fn link(&self, id: &str) -> Option<&Link> {
        self.links.get(id)
    }

    /// All links by client id.
    #[must_use]
    pub const fn links(&self) -> &BTreeMap<String, Link> {
        &self.links
    }

    /// Drops a link for ever.
    pub fn remove_link(&mut self, id: &str) {
        self.links.remove(id);
        self.balance.forget(id);
    }

    /// Sets what the parent's side wants of us. Gives whether that changes anything.
    pub fn set_asked(&mut self, asked: Vec<String>) -> bool {
        let changed = self.asked != asked;
        self.asked = asked;
        changed
    }

    /// How many filters the parent's side asks for.
    #[must_use]
    pub const fn asked_count(&self) -> usize {
        self.asked.len()
    }

    /// Whether a subscription to `filter` cannot be satisfied here and below (TIER-4).
    fn is_foreign(&self, filter: &str) -> bool {
        self.place.parent && scope::crosses(filter) && (self.place.shared || !self.place.scope.covers(filter))
    }

    /// The subscriptions we need at the parent, each once.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        if self.place.parent {
            wanted.extend(self.place.down.iter().cloned());
        }
        for (filter, holders) in self.local.iter().filter(|(filter, _)| self.is_foreign(filter)) {
            if holders.clients > 0 || (!self.place.shared && !holders.groups.is_empty()) {
                wanted.insert(filter.clone());
            }
            if self.place.shared {
                wanted.extend(holders.groups.iter().map(|group| format!("$share/{group}/{filter}")));
            }
        }
        for (_, filter) in self.links.values().flat_map(|link| &link.filters) {
            if self.is_foreign(filter) {
                wanted.insert(filter.clone());
            }
        }
        wanted
    }

    /// What the broker below is asked for: every filter of another that may match something of its scope (TIER-6).
    #[must_use]
    pub fn asked_of(&self, id: &str) -> Vec<String> {
        let Some(link) = self.links.get(id) else { return Vec::new() };
        let others = self.links.iter().filter(|(other, _)| *other != id).flat_map(|(_, l)| l.filters.iter().map(|(_, filter)| filter));
        let asked: BTreeSet<&String> = self
            .local
            .keys()
            .chain(others)
            .chain(&self.asked)
            .filter(|filter| scope::crosses(filter) && link.scope.meets(filter))
            .collect();
        if asked.len() > ASKED_MAX {
            return vec![format!("root/+/{}/#", link.scope)];
        }
        asked.into_iter().cloned().collect()
    }

    /// The ways that a publish goes, beside to the clients here. `served`: groups of the source's site that have it.
    pub fn route(&mut self, source: Source<'_>, topic: &str, served: &[String]) -> Vec<Way> {
        let mut ways = self.ways_down(source, topic, served);
        let up = self.place.parent
            && source != Source::Above
            && self.place.scope.holds(topic)
            && self.place.up.iter().chain(&self.asked).any(|filter| scope::matches(filter, topic));
        if up {
            ways.push(Way { link: None, served: self.served_here(topic), groups: None });
        }
        ways
    }

    /// Groups of clients here that have `topic`, if others of our scope have to know.
    fn served_here(&self, topic: &str) -> Vec<String> {
        if !self.place.shared {
            return Vec::new();
        }
        let matching = self.local.iter().filter(|(filter, _)| scope::matches(filter, topic));
        let groups: BTreeSet<&String> = matching.flat_map(|(_, holders)| &holders.groups).collect();
        groups.into_iter().cloned().collect()
    }

    fn ways_down(&mut self, source: Source<'_>, topic: &str, served: &[String]) -> Vec<Way> {
        let from = match source {
            Source::Below(id) => Some(id),
            _ => None,
        };
        let from_scope = from.and_then(|id| self.links.get(id)).map(|link| link.scope.clone());
        let mut plain = BTreeSet::new();
        // the members of each group of each site
        let mut groups: BTreeMap<(Scope, String), BTreeSet<String>> = BTreeMap::new();
        for (id, link) in self.links.iter().filter(|(id, _)| Some(id.as_str()) != from) {
            for (group, _) in link.filters.iter().filter(|(_, filter)| scope::matches(filter, topic)) {
                match group {
                    None => {
                        plain.insert(id.clone());
                    }
                    Some(group) => {
                        let has_it = served.contains(group) && from_scope.as_ref() == Some(&link.scope);
                        if !has_it {
                            groups.entry((link.scope.clone(), group.clone())).or_default().insert(id.clone());
                        }
                    }
                }
            }
        }
        let mut chosen: BTreeMap<String, Vec<String>> = plain.into_iter().map(|id| (id, Vec::new())).collect();
        for ((scope, group), members) in groups {
            let is_connected = |id: &&String| self.links.get(*id).is_some_and(|link| link.connected);
            let present: Vec<&String> = members.iter().filter(is_connected).collect();
            let eligible: Vec<&String> = if present.is_empty() { members.iter().collect() } else { present };
            let weight = |id: &String| self.links.get(id).map_or(1, |link| link.weight.max(1));
            let candidates: Vec<(&str, u32)> = eligible.into_iter().map(|id| (id.as_str(), weight(id))).collect();
            if let Some(id) = self.balance.choose(&format!("{scope}@{group}"), &candidates) {
                chosen.entry(id).or_default().push(group);
            }
        }
        let shared = |id: &str| self.links.get(id).is_some_and(|link| link.shared);
        chosen.into_iter().map(|(id, groups)| Way { groups: shared(&id).then_some(groups), served: Vec::new(), link: Some(id) }).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
