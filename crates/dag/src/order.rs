//! The order of a cut: what a milestone confirms, the same on every node.
//!
//! The cut of some tips is everything they reach that no earlier milestone confirmed. It is sorted by
//! (depth within the cut, id); the depth of a message is the length of the longest way down inside the cut,
//! 0 if all its parents lie outside. Parents therefore stand before children, and an order cut off anywhere
//! is closed under ancestors.
//!
//! ```text
//!  outside │ depth 0   1     2
//!     ◀────│── a ◀──── c ◀── d      cut of d:       a, c, d
//!     ◀────│── b ◀──── e            cut of d and e: a, b, c, e, d   (if a < b and c < e)
//! ```

use crate::graph::Dag;
use crate::vertex::Vertex;
use protocol::Id;
use protocol::limits::CUT_MESSAGES_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use thiserror::Error;

/// Why tips have no cut.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CutError {
    /// These tips, ascending, are not connected: fetch them and what they wait for, then ask again. One that the
    /// archive holds was confirmed and forgotten: then the milestone is to be refused.
    #[error("{} tips of the milestone are not connected: fetch them and ask again", .0.len())]
    Unknown(Vec<Id>),
    /// The milestone confirms too much: refuse it.
    #[error("the tips reach {found} unconfirmed messages or more, a milestone confirms {limit} at most: refuse it")]
    TooLarge {
        /// Messages reached when the walk stopped.
        found: usize,
        /// [`CUT_MESSAGES_MAX`].
        limit: usize,
    },
    /// A tip is confirmed already, by a final milestone or by one of those before this one: refuse it.
    #[error("tip {0} is confirmed by an earlier milestone: refuse it")]
    Stale(Id),
}

/// A message of the cut: parents in the cut that are not ordered yet, and children in the cut.
#[derive(Default)]
struct Member {
    parents: usize,
    children: Vec<Id>,
}

type Cut = BTreeMap<Id, Member>;

impl<V: Vertex> Dag<V> {
    /// What is new in the past cone of `tips`: everything reachable that is not confirmed, not forgotten and not
    /// `excluded`, ordered by (depth within it, id).
    ///
    /// `excluded` names what milestones that are not final yet confirm: whole cuts, so with each message its
    /// unconfirmed ancestors. No tips give an empty cut.
    ///
    /// # Errors
    /// [`CutError`]: tips that are not connected, a tip that is confirmed or excluded, or more than
    /// [`CUT_MESSAGES_MAX`] messages, looked for in that order.
    pub fn cut(&self, tips: &[Id], excluded: &dyn Fn(&Id) -> bool) -> Result<Vec<Id>, CutError> {
        let unknown: BTreeSet<Id> = tips.iter().filter(|tip| !self.contains(tip)).copied().collect();
        if !unknown.is_empty() {
            return Err(CutError::Unknown(unknown.into_iter().collect()));
        }
        let inside = |id: &Id| self.is_open(id) && !excluded(id);
        if let Some(stale) = tips.iter().find(|tip| !inside(tip)) {
            return Err(CutError::Stale(*stale));
        }
        self.reach(tips, &inside).map(by_depth)
    }

    /// Everything `tips` reach while `inside` holds, with the edges between.
    fn reach(&self, tips: &[Id], inside: &dyn Fn(&Id) -> bool) -> Result<Cut, CutError> {
        let mut cut = Cut::new();
        let mut unvisited: Vec<Id> = Vec::new();
        for tip in tips {
            cut.entry(*tip).or_insert_with(|| {
                unvisited.push(*tip);
                Member::default()
            });
        }
        while let Some(id) = unvisited.pop() {
            if cut.len() > CUT_MESSAGES_MAX {
                return Err(CutError::TooLarge { found: cut.len(), limit: CUT_MESSAGES_MAX });
            }
            let Some(node) = self.nodes.get(&id) else { continue };
            let mut parents = 0;
            for parent in node.vertex.parents().iter().filter(|parent| inside(parent)) {
                parents += 1;
                let member = cut.entry(*parent).or_insert_with(|| {
                    unvisited.push(*parent);
                    Member::default()
                });
                member.children.push(id);
            }
            if let Some(member) = cut.get_mut(&id) {
                member.parents = parents;
            }
        }
        Ok(cut)
    }
}

/// Layer by layer: a message's depth is one more than that of its deepest parent, the last to be ordered.
fn by_depth(mut cut: Cut) -> Vec<Id> {
    let mut ordered = Vec::with_capacity(cut.len());
    let mut layer: Vec<Id> = cut.iter().filter(|(_, member)| member.parents == 0).map(|(id, _)| *id).collect();
    while !layer.is_empty() {
        let mut next = Vec::new();
        for id in &layer {
            let children = cut.get_mut(id).map(|member| mem::take(&mut member.children)).unwrap_or_default();
            for child in children {
                let Some(member) = cut.get_mut(&child) else { continue };
                member.parents = member.parents.saturating_sub(1);
                if member.parents == 0 {
                    next.push(child);
                }
            }
        }
        next.sort_unstable();
        ordered.append(&mut layer);
        layer = next;
    }
    ordered
}
