//! Confirming and forgetting: how the graph stays small.

use crate::graph::Dag;
use crate::vertex::Vertex;
use protocol::Id;
use std::mem;

impl<V: Vertex> Dag<V> {
    /// Marks messages confirmed by the milestone at `height`, ordered or void alike.
    ///
    /// Give whole cuts, in the order of the milestones: then everything under a confirmed message is confirmed
    /// too. Ids that are not connected or were confirmed before change nothing.
    pub fn confirm(&mut self, ids: &[Id], height: u64) {
        for id in ids {
            let Some(node) = self.nodes.get_mut(id).filter(|node| node.confirmed.is_none()) else { continue };
            let before = node.rank();
            node.confirmed = Some(height);
            self.tips.replace(&before, node.rank());
            let children = mem::take(&mut node.children);
            self.floor.remove(id);
            self.heights.insert((height, *id));
            for child in children {
                let Some(node) = self.nodes.get_mut(&child) else { continue };
                node.open_parents = node.open_parents.saturating_sub(1);
                if node.open_parents == 0 && node.confirmed.is_none() {
                    self.floor.insert(child);
                }
            }
        }
    }

    /// Messages that turned out void are tips no more, so that nobody builds on them, and [`Dag::forget`] drops them.
    pub fn abandon(&mut self, ids: &[Id]) {
        for id in ids {
            if let Some(node) = self.nodes.get(id) {
                self.tips.remove(&node.rank());
            }
        }
    }

    /// Whether a milestone confirmed the message. The root counts as confirmed; of what is forgotten the graph
    /// knows nothing (`false`): ask the archive.
    #[must_use]
    pub fn is_confirmed(&self, id: &Id) -> bool {
        *id == self.root() || self.confirmed_at(id).is_some()
    }

    /// Height of the milestone that confirmed a message in memory.
    #[must_use]
    pub fn confirmed_at(&self, id: &Id) -> Option<u64> {
        self.nodes.get(id).and_then(|node| node.confirmed)
    }

    /// Drops messages that a milestone below `below_height` confirmed, except tips; says how many.
    ///
    /// Tips, cuts and proposals are the same afterwards. A later message that names a forgotten one needs it
    /// among the `settled` of [`Dag::insert`], and the caller must know of each message that comes again whether it is
    /// settled: void ones as well.
    pub fn forget(&mut self, below_height: u64) -> usize {
        let old = self.heights.range(..(below_height, Id([0; 32])));
        let old: Vec<(u64, Id)> = old.filter(|(_, id)| !self.tips.contains(id)).copied().collect();
        for entry in &old {
            self.heights.remove(entry);
            if let Some(node) = self.nodes.remove(&entry.1) {
                self.positions.release(node.vertex.issuer(), node.vertex.sequence(), &entry.1);
            }
        }
        old.len()
    }
}
