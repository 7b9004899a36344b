//! Messages known to be missing, and when to pull each next.
//!
//! # Rules
//! - Each id is wanted on somebody's word: consensus names it, a message of an issuer builds on it, a peer announced it.
//! - Everybody's word counts for so many at a time. An issuer or peer that names what does not exist uses up its own
//!   share and nobody else's, for good: what never arrives stays wanted.
//! - What does not fit is not remembered. Consensus, the graph and the announcements name it again.

use commonware_cryptography::ed25519;
use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// Ids wanted on the word of consensus,
const CONSENSUS_MAX: usize = 4096;
/// because pending messages of anybody still lack them,
const GAP_MAX: usize = 2048;
/// because a message of one issuer builds on them,
const ISSUER_MAX: usize = 2048;
/// because one peer announced them.
const PEER_MAX: usize = 256;

/// On whose word an id is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A milestone names it.
    Consensus,
    /// Pending messages wait for it.
    Gap,
    /// A message of this issuer names it.
    Issuer(PublicKey),
    /// This peer announced it.
    Peer(ed25519::PublicKey),
}

impl Source {
    const fn limit(&self) -> usize {
        match self {
            Self::Consensus => CONSENSUS_MAX,
            Self::Gap => GAP_MAX,
            Self::Issuer(_) => ISSUER_MAX,
            Self::Peer(_) => PEER_MAX,
        }
    }
}

/// What is wanted, in the order in which it is due.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    entries: BTreeMap<Id, (SystemTime, Source)>,
    due: BTreeSet<(SystemTime, Id)>,
    held: BTreeMap<Source, usize>,
}

impl Wanted {
    /// How many ids are wanted.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Notes an id, to be pulled at `at`. Nothing happens if it is wanted already, or if `source` has its share.
    pub(super) fn add(&mut self, id: Id, at: SystemTime, source: Source) {
        let held = self.held.get(&source).copied().unwrap_or(0);
        if self.entries.contains_key(&id) || held >= source.limit() {
            return;
        }
        self.held.insert(source.clone(), held + 1);
        self.due.insert((at, id));
        self.entries.insert(id, (at, source));
    }

    /// It is here, or no longer of interest.
    pub(super) fn remove(&mut self, id: &Id) {
        let Some((at, source)) = self.entries.remove(id) else { return };
        self.due.remove(&(at, *id));
        if let Some(held) = self.held.get_mut(&source) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&source);
            }
        }
    }

    /// What is due at `now`. It is due again at `again`.
    pub(super) fn take_due(&mut self, now: SystemTime, again: SystemTime) -> Vec<Id> {
        let mut taken = Vec::new();
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            taken.push(id);
        }
        for id in &taken {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.0 = again;
            }
            self.due.insert((again, *id));
        }
        taken
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(n: usize) -> Id {
        Id::hash(&[&n.to_be_bytes()])
    }

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn one_source_takes_no_room_from_another() {
        let mut wanted = Wanted::default();
        let (flooder, honest) = (Source::Issuer(PublicKey([1; 32])), Source::Issuer(PublicKey([2; 32])));
        for n in 0..2 * ISSUER_MAX {
            wanted.add(id(n), at(1), flooder.clone());
        }
        assert_eq!(wanted.len(), ISSUER_MAX);
        wanted.add(id(1_000_000), at(1), honest);
        wanted.add(id(1_000_001), at(1), Source::Consensus);
        assert_eq!(wanted.len(), ISSUER_MAX + 2);
        wanted.remove(&id(0));
        wanted.add(id(1_000_002), at(1), flooder);
        assert_eq!(wanted.len(), ISSUER_MAX + 2, "what has arrived makes room");
    }

    #[test]
    fn what_is_due_comes_in_order_and_again() {
        let mut wanted = Wanted::default();
        wanted.add(id(1), at(20), Source::Consensus);
        wanted.add(id(2), at(10), Source::Gap);
        wanted.add(id(2), at(5), Source::Gap);
        assert_eq!(wanted.next(), Some(at(10)), "the first word counts");
        assert!(wanted.take_due(at(9), at(100)).is_empty());
        assert_eq!(wanted.take_due(at(20), at(100)), [id(2), id(1)]);
        assert_eq!(wanted.next(), Some(at(100)));
        wanted.remove(&id(1));
        assert_eq!(wanted.take_due(at(100), at(200)), [id(2)]);
        wanted.remove(&id(2));
        wanted.remove(&id(2));
        assert_eq!((wanted.len(), wanted.next()), (0, None));
        assert!(wanted.held.is_empty());
    }
}
