//! Tips for the next milestone.
//!
//! The unconfirmed messages are ordered upwards from the floor, exactly as a cut is, until all of them or as
//! many as a milestone may confirm are taken. What is taken is closed under ancestors, so its maximal
//! messages reach all of it and nothing else. The cost follows what is taken, however long the backlog is.
//!
//! If there are more maximal messages than a milestone may name, each issuer gets one turn before anybody
//! gets a second, and within a turn the earliest to arrive goes first: an equivocator with a thousand tips
//! delays nobody but itself, and what waits longest is named next.

use crate::graph::Dag;
use crate::vertex::Vertex;
use protocol::limits::{CUT_MESSAGES_MAX, TIPS_MAX};
use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

impl<V: Vertex> Dag<V> {
    /// Tips for a milestone: maximal unconfirmed messages, strictly ascending, at most [`TIPS_MAX`], whose cut
    /// holds at most [`CUT_MESSAGES_MAX`] messages; maximal ones of the order's beginning if all is too much.
    ///
    /// `excluded` is that of [`Dag::cut`]. The answer is empty only if everything is confirmed or excluded.
    #[must_use]
    pub fn proposal(&self, excluded: &dyn Fn(&Id) -> bool) -> Vec<Id> {
        self.proposal_within(excluded, usize::MAX, &|_| 0)
    }

    /// As [`Dag::proposal`], of messages that cost at most `budget` together, or of a single one that costs more. What a milestone
    /// costs those who check it must stay below what they wait for it, however much waits to be confirmed.
    #[must_use]
    pub fn proposal_within(&self, excluded: &dyn Fn(&Id) -> bool, budget: usize, cost: &dyn Fn(&V) -> usize) -> Vec<Id> {
        let taken = self.lowest(excluded, budget, cost);
        let mut named: BTreeSet<&Id> = BTreeSet::new();
        for id in &taken {
            named.extend(self.nodes.get(id).map(|node| node.vertex.parents()).unwrap_or_default());
        }
        let mut heads: Vec<Id> = taken.iter().filter(|id| !named.contains(*id)).copied().collect();
        if heads.len() > TIPS_MAX {
            heads = self.in_turns(&heads);
            heads.truncate(TIPS_MAX);
        }
        heads.sort_unstable();
        heads
    }

    /// The first [`CUT_MESSAGES_MAX`], or what fits into the budget, of all messages that are neither confirmed nor excluded, by (depth, id).
    fn lowest(&self, excluded: &dyn Fn(&Id) -> bool, mut budget: usize, cost: &dyn Fn(&V) -> usize) -> Vec<Id> {
        let mut waiting: BTreeMap<Id, usize> = BTreeMap::new();
        let (mut passed, mut layer): (Vec<Id>, Vec<Id>) = self.floor.iter().partition(|id| excluded(id));
        while let Some(id) = passed.pop() {
            for child in self.raise(&id, &mut waiting) {
                if excluded(&child) { passed.push(child) } else { layer.push(child) }
            }
        }
        let mut taken = Vec::new();
        while !layer.is_empty() {
            layer.sort_unstable();
            layer.truncate(CUT_MESSAGES_MAX.saturating_sub(taken.len()));
            let mut fit = 0;
            for id in &layer {
                let cost = self.nodes.get(id).map_or(0, |node| cost(&node.vertex));
                let first = taken.is_empty() && fit == 0;
                if cost > budget && !first {
                    // nothing that comes after it is taken in its place
                    budget = 0;
                    break;
                }
                budget = budget.saturating_sub(cost);
                fit += 1;
            }
            layer.truncate(fit);
            let mut next = Vec::new();
            for id in &layer {
                next.extend(self.raise(id, &mut waiting).into_iter().filter(|child| !excluded(child)));
            }
            taken.append(&mut layer);
            layer = next;
        }
        taken
    }

    /// `id` is ordered: its unconfirmed children that wait for no other unconfirmed parent. `waiting` counts, for
    /// each child met so far, the parents it still waits for.
    fn raise(&self, id: &Id, waiting: &mut BTreeMap<Id, usize>) -> Vec<Id> {
        let mut ready = Vec::new();
        let Some(node) = self.nodes.get(id) else { return ready };
        for child in &node.children {
            let Some(open) = self.nodes.get(child).filter(|node| node.confirmed.is_none()) else { continue };
            let left = waiting.entry(*child).or_insert(open.open_parents);
            *left = left.saturating_sub(1);
            if *left == 0 {
                ready.push(*child);
            }
        }
        ready
    }

    /// Sorted by (how many of the same issuer stand before it, arrival).
    fn in_turns(&self, heads: &[Id]) -> Vec<Id> {
        let nodes = heads.iter().filter_map(|id| self.nodes.get(id).map(|node| (node.arrival, node.vertex.issuer(), *id)));
        let mut by_arrival: Vec<(u64, PublicKey, Id)> = nodes.collect();
        by_arrival.sort_unstable();
        let mut turns: BTreeMap<PublicKey, usize> = BTreeMap::new();
        let mut queue: Vec<(usize, u64, Id)> = Vec::with_capacity(by_arrival.len());
        for (arrival, issuer, id) in by_arrival {
            let turn = turns.entry(issuer).or_insert(0);
            queue.push((*turn, arrival, id));
            *turn += 1;
        }
        queue.sort_unstable();
        queue.into_iter().map(|(_, _, id)| id).collect()
    }
}
