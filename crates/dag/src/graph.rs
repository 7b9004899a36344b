//! The graph itself: what is connected, and how a message gets there.
//!
//! Each connected message knows how many of its parents are unconfirmed, and each unconfirmed one knows its
//! children. So the floor (unconfirmed messages on confirmed ground) is always at hand, and nothing ever
//! walks the confirmed past.
//!
//! ```text
//!   confirmed │ unconfirmed
//!     a ◀─────│── d ◀─── f        floor = {d, e}   tips = {f, g}
//!     b ◀─────│── e ◀─── g
//! ```

use crate::evidence::{Equivocation, Positions};
use crate::insertion::{InsertError, Insertion};
use crate::pending::{Limits, Pending};
use crate::tips::{Rank, Tips};
use crate::vertex::Vertex;
use protocol::limits::PARENTS_MAX;
use protocol::{Id, PublicKey};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A connected message and what the graph knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Node<V> {
    pub(crate) vertex: V,
    /// The longest way down through what was in memory on arrival. A preference among tips, no more.
    level: u64,
    /// Messages connected before it.
    pub(crate) arrival: u64,
    /// Height of the milestone that confirmed it.
    pub(crate) confirmed: Option<u64>,
    /// Parents that are in memory and not confirmed.
    pub(crate) open_parents: usize,
    /// Who names it; kept while it is not confirmed.
    pub(crate) children: Vec<Id>,
}

impl<V: Vertex> Node<V> {
    pub(crate) fn rank(&self) -> Rank {
        Rank {
            confirmed: self.confirmed.is_some(),
            level: Reverse(self.level),
            arrival: Reverse(self.arrival),
            id: self.vertex.id(),
            issuer: self.vertex.issuer(),
        }
    }
}

/// The graph of messages that are not long confirmed. See the crate's head for the rules.
#[derive(Clone, Debug)]
pub struct Dag<V: Vertex> {
    root: Id,
    pub(crate) nodes: BTreeMap<Id, Node<V>>,
    pending: Pending<V>,
    pub(crate) tips: Tips,
    pub(crate) positions: Positions,
    /// Unconfirmed messages none of whose parents is unconfirmed.
    pub(crate) floor: BTreeSet<Id>,
    /// Confirmed messages in memory, by the height that confirmed them.
    pub(crate) heights: BTreeSet<(u64, Id)>,
    arrivals: u64,
}

impl<V: Vertex> Dag<V> {
    /// An empty graph. `root` is the parent of every issuer's first message: always known and confirmed, never
    /// listed in tips or cuts.
    #[must_use]
    pub fn new(root: Id, limits: Limits) -> Self {
        Self {
            root,
            nodes: BTreeMap::new(),
            pending: Pending::new(limits),
            tips: Tips::default(),
            positions: Positions::default(),
            floor: BTreeSet::new(),
            heights: BTreeSet::new(),
            arrivals: 0,
        }
    }

    /// The parent of every issuer's first message.
    #[must_use]
    pub const fn root(&self) -> Id {
        self.root
    }

    /// Whether the message is connected and in memory, or is the root.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        *id == self.root || self.nodes.contains_key(id)
    }

    /// Whether the message waits for parents.
    #[must_use]
    pub fn is_pending(&self, id: &Id) -> bool {
        self.pending.contains(id)
    }

    /// A connected message that is in memory.
    #[must_use]
    pub fn get(&self, id: &Id) -> Option<&V> {
        self.nodes.get(id).map(|node| &node.vertex)
    }

    /// Takes a message in. If its parents are known it is connected, and so is whatever waited for it;
    /// otherwise it waits.
    ///
    /// `settled` are ids that are not in memory but were confirmed and forgotten (the caller looked them up in
    /// its archive). A message that is itself among them is [`Insertion::Known`]: the caller must say so, for
    /// a forgotten message taken in again would be confirmed twice. Inserting a pending message again with
    /// more of its parents settled connects it as soon as it waits for nothing else.
    ///
    /// # Errors
    /// [`InsertError`] if too much is pending, or if the list of parents is one no decoder gives.
    pub fn insert(&mut self, vertex: V, settled: &BTreeSet<Id>) -> Result<Insertion<V>, InsertError> {
        let id = vertex.id();
        if self.contains(&id) || settled.contains(&id) {
            return Ok(Insertion::Known);
        }
        if self.pending.contains(&id) {
            let complete = self.pending.discharge(&id, settled);
            return Ok(complete.map_or(Insertion::Known, |vertex| self.connect(vertex)));
        }
        if !well_formed(&id, vertex.parents()) {
            return Err(InsertError::Parents { id });
        }
        let awaited: BTreeSet<Id> =
            vertex.parents().iter().filter(|parent| !self.contains(parent) && !settled.contains(*parent)).copied().collect();
        if awaited.is_empty() {
            return Ok(self.connect(vertex));
        }
        let missing = awaited.iter().filter(|parent| !self.pending.contains(parent)).copied().collect();
        self.pending.add(vertex, awaited)?;
        Ok(Insertion::Pending { missing })
    }

    /// A message that is not in memory turned out to be settled: connects what waited for nothing else.
    pub fn settle_parent(&mut self, id: &Id) -> Insertion<V> {
        let ready = self.pending.arrived(id);
        self.connect_all(ready.into())
    }

    /// The connected message that holds an issuer's sequence: the first of its rivals to arrive.
    #[must_use]
    pub fn at(&self, issuer: &PublicKey, sequence: u64) -> Option<Id> {
        self.positions.holder(issuer, sequence)
    }

    /// Ids that pending messages wait for and that are not pending themselves, ascending.
    #[must_use]
    pub fn missing(&self) -> Vec<Id> {
        self.pending.missing()
    }

    /// Pending messages, of one issuer or of anybody, that no pending message waits for, ascending: what to drop first
    /// when room is needed for their ancestors.
    #[must_use]
    pub fn pending_tips(&self, of: Option<&PublicKey>) -> Vec<Id> {
        self.pending.tips(of)
    }

    /// Whether a pending message waits for this one.
    #[must_use]
    pub fn awaits(&self, id: &Id) -> bool {
        self.pending.awaits(id)
    }

    /// The pending messages, ascending by id.
    pub fn waiting(&self) -> impl Iterator<Item = &V> {
        self.pending.vertices()
    }

    /// Takes out a pending message, if there is one. Messages that wait for it go on waiting, so it is
    /// [missing](Self::missing) then.
    pub fn take_pending(&mut self, id: &Id) -> Option<V> {
        self.pending.remove(id)
    }

    /// Connected messages that no connected message names, confirmed ones too.
    #[must_use]
    pub const fn tips(&self) -> &BTreeSet<Id> {
        self.tips.ids()
    }

    /// Parents for the next message of `issuer`: `previous` (its own last message, or the root before its
    /// first), then up to `PARENTS_MAX - 1` tips of other issuers, strictly ascending, never `previous`.
    ///
    /// Unconfirmed tips go first, then the deepest, then the latest to arrive; a second tip of one issuer
    /// (an equivocator) stands behind every other issuer's first of the same kind.
    #[must_use]
    pub fn parents_for(&self, issuer: &PublicKey, previous: Id) -> Vec<Id> {
        let mut parents = Vec::with_capacity(PARENTS_MAX);
        parents.push(previous);
        parents.extend(self.tips.choose(issuer, &previous, PARENTS_MAX - 1));
        parents
    }

    /// Connected messages in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no message is connected and in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Connected messages that no milestone confirmed yet.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.nodes.len().saturating_sub(self.heights.len())
    }

    /// Messages that wait for parents.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether a milestone may still confirm it: connected, in memory, unconfirmed.
    pub(crate) fn is_open(&self, id: &Id) -> bool {
        self.nodes.get(id).is_some_and(|node| node.confirmed.is_none())
    }

    /// Connects a message whose parents are known, then what waited for it, and so on.
    fn connect(&mut self, vertex: V) -> Insertion<V> {
        self.connect_all(VecDeque::from([vertex]))
    }

    fn connect_all(&mut self, mut ready: VecDeque<V>) -> Insertion<V> {
        let (mut vertices, mut evidence) = (Vec::new(), Vec::new());
        while let Some(vertex) = ready.pop_front() {
            evidence.extend(self.link(&vertex));
            ready.extend(self.pending.arrived(&vertex.id()));
            vertices.push(vertex);
        }
        Insertion::Connected { vertices, evidence }
    }

    /// Enters one message whose parents are known. A parent that is not in memory is settled.
    fn link(&mut self, vertex: &V) -> Option<Equivocation> {
        let id = vertex.id();
        let (mut level, mut open_parents) = (0_u64, 0_usize);
        for parent in vertex.parents() {
            let Some(node) = self.nodes.get_mut(parent) else { continue };
            level = level.max(node.level.saturating_add(1));
            self.tips.remove(&node.rank());
            if node.confirmed.is_none() {
                node.children.push(id);
                open_parents += 1;
            }
        }
        if open_parents == 0 {
            self.floor.insert(id);
        }
        let node = Node { vertex: vertex.clone(), level, arrival: self.arrivals, confirmed: None, open_parents, children: Vec::new() };
        self.arrivals += 1;
        self.tips.add(node.rank());
        self.nodes.insert(id, node);
        self.positions.occupy(vertex.issuer(), vertex.sequence(), id)
    }
}

/// Whether a list of parents is one that a decoder gives: some, not too many, each once, never the message.
fn well_formed(id: &Id, parents: &[Id]) -> bool {
    let distinct: BTreeSet<&Id> = parents.iter().take(PARENTS_MAX + 1).collect();
    !parents.is_empty() && parents.len() <= PARENTS_MAX && distinct.len() == parents.len() && !distinct.contains(id)
}
