//! Equivocation: two connected messages of one issuer with one sequence.
//!
//! One message per (issuer, sequence) is remembered, and each later one is reported against it: one pair is
//! proof enough, and an issuer of a thousand variants costs a thousand reports, not half a million. What is
//! forgotten is no longer compared; such a late variant can not count either ([`crate::settle()`]).

use protocol::{Id, PublicKey};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Two connected messages of one issuer with one sequence. Their encodings are the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Equivocation {
    /// Who signed both.
    pub issuer: PublicKey,
    /// The sequence both carry.
    pub sequence: u64,
    /// The smaller of the two ids.
    pub first: Id,
    /// The greater of the two ids.
    pub second: Id,
}

/// Who holds each (issuer, sequence).
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions(BTreeMap<(PublicKey, u64), Id>);

impl Positions {
    /// Notes a connected message; reports it when another one is already there.
    pub(crate) fn occupy(&mut self, issuer: PublicKey, sequence: u64, id: Id) -> Option<Equivocation> {
        match self.0.entry((issuer, sequence)) {
            Entry::Vacant(free) => {
                free.insert(id);
                None
            }
            Entry::Occupied(held) => {
                let other = *held.get();
                (other != id).then(|| Equivocation { issuer, sequence, first: other.min(id), second: other.max(id) })
            }
        }
    }

    /// Who holds a place.
    pub(crate) fn holder(&self, issuer: &PublicKey, sequence: u64) -> Option<Id> {
        self.0.get(&(*issuer, sequence)).copied()
    }

    /// Forgets a message, if it is the one that holds the place.
    pub(crate) fn release(&mut self, issuer: PublicKey, sequence: u64, id: &Id) {
        if self.0.get(&(issuer, sequence)) == Some(id) {
            self.0.remove(&(issuer, sequence));
        }
    }
}
