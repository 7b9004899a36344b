//! Messages that wait for parents.
//!
//! ```text
//! waiters:  missing or pending parent ──▶ {pending messages that name it}
//! vertices: pending message ──▶ the parents it still waits for
//! ```
//! Both maps hold the same edges. They are bounded by the limits times the parents a message may name, in
//! total and for each issuer, so one issuer can not take the room of all.

use crate::insertion::InsertError;
use crate::vertex::Vertex;
use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// Messages that may wait for parents, unless the caller says otherwise.
pub const PENDING_MAX: usize = 4096;
/// Messages of one issuer that may wait for parents, unless the caller says otherwise.
pub const PENDING_PER_ISSUER_MAX: usize = 1024;

const _: () = assert!(PENDING_PER_ISSUER_MAX <= PENDING_MAX);

/// How many messages may wait for parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all issuers together.
    pub pending_max: usize,
    /// Of one issuer.
    pub pending_per_issuer_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pending_max: PENDING_MAX, pending_per_issuer_max: PENDING_PER_ISSUER_MAX }
    }
}

#[derive(Clone, Debug)]
struct Waiting<V> {
    vertex: V,
    parents: BTreeSet<Id>,
}

/// The messages that wait, and what they wait for.
#[derive(Clone, Debug)]
pub(crate) struct Pending<V> {
    limits: Limits,
    vertices: BTreeMap<Id, Waiting<V>>,
    waiters: BTreeMap<Id, BTreeSet<Id>>,
    per_issuer: BTreeMap<PublicKey, usize>,
}

impl<V: Vertex> Pending<V> {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, vertices: BTreeMap::new(), waiters: BTreeMap::new(), per_issuer: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.vertices.len()
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.vertices.contains_key(id)
    }

    /// Takes a message that waits for `parents` (not empty).
    pub(crate) fn add(&mut self, vertex: V, parents: BTreeSet<Id>) -> Result<(), InsertError> {
        let (id, issuer) = (vertex.id(), vertex.issuer());
        let Limits { pending_max, pending_per_issuer_max } = self.limits;
        let of_issuer = self.per_issuer.get(&issuer).copied().unwrap_or(0);
        if of_issuer >= pending_per_issuer_max {
            return Err(InsertError::IssuerPendingFull { issuer, limit: pending_per_issuer_max });
        }
        if self.vertices.len() >= pending_max {
            return Err(InsertError::PendingFull { limit: pending_max });
        }
        self.per_issuer.insert(issuer, of_issuer + 1);
        for parent in &parents {
            self.waiters.entry(*parent).or_default().insert(id);
        }
        self.vertices.insert(id, Waiting { vertex, parents });
        Ok(())
    }

    /// Takes a message out, whatever it still waits for. Who waits for it goes on waiting.
    pub(crate) fn remove(&mut self, id: &Id) -> Option<V> {
        let Waiting { vertex, parents } = self.vertices.remove(id)?;
        for parent in &parents {
            self.unlink(parent, id);
        }
        let issuer = vertex.issuer();
        if let Some(count) = self.per_issuer.get_mut(&issuer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_issuer.remove(&issuer);
            }
        }
        Some(vertex)
    }

    /// The messages, ascending by id.
    pub(crate) fn vertices(&self) -> impl Iterator<Item = &V> {
        self.vertices.values().map(|waiting| &waiting.vertex)
    }

    /// `parent` is connected: gives the messages that waited for nothing else, ascending by id.
    pub(crate) fn arrived(&mut self, parent: &Id) -> Vec<V> {
        let mut released = Vec::new();
        for id in self.waiters.remove(parent).unwrap_or_default() {
            let Some(waiting) = self.vertices.get_mut(&id) else { continue };
            waiting.parents.remove(parent);
            if waiting.parents.is_empty() {
                released.extend(self.remove(&id));
            }
        }
        released
    }

    /// A pending message no longer waits for `settled`; gives it back if it waits for nothing else.
    pub(crate) fn discharge(&mut self, id: &Id, settled: &BTreeSet<Id>) -> Option<V> {
        let waiting = self.vertices.get_mut(id)?;
        let found: Vec<Id> = waiting.parents.intersection(settled).copied().collect();
        waiting.parents.retain(|parent| !settled.contains(parent));
        let done = waiting.parents.is_empty();
        for parent in &found {
            self.unlink(parent, id);
        }
        if done { self.remove(id) } else { None }
    }

    /// What is waited for and not pending itself, ascending.
    pub(crate) fn missing(&self) -> Vec<Id> {
        self.waiters.keys().filter(|id| !self.contains(id)).copied().collect()
    }

    /// Pending messages that no pending message waits for, ascending.
    pub(crate) fn tips(&self, of: Option<&PublicKey>) -> Vec<Id> {
        let asked = |waiting: &Waiting<V>| of.is_none_or(|issuer| waiting.vertex.issuer() == *issuer);
        let tips = self.vertices.iter().filter(|(id, waiting)| !self.waiters.contains_key(*id) && asked(waiting));
        tips.map(|(id, _)| *id).collect()
    }

    /// Whether anybody waits for this message.
    pub(crate) fn awaits(&self, id: &Id) -> bool {
        self.waiters.contains_key(id)
    }

    fn unlink(&mut self, parent: &Id, waiter: &Id) {
        if let Some(waiters) = self.waiters.get_mut(parent) {
            waiters.remove(waiter);
            if waiters.is_empty() {
                self.waiters.remove(parent);
            }
        }
    }
}
