//! The conflict rule: which messages of an ordered cut count.
//!
//! A message counts if and only if its sequence is its issuer's next one and its first parent is the issuer's
//! last message that counts (the root before the first). Everything else is void: it stays in the graph, as
//! evidence perhaps, and has no effect. So the messages of an issuer that count are one unbroken chain, and of
//! two with one sequence the earlier in the order counts, with all that builds on it; the other never does.
//!
//! ```text
//! order:  a0   a1   a1'  a2' (on a1')  a2 (on a1)
//!         ✓    ✓    void void          ✓
//! ```

use crate::vertex::Vertex;
use protocol::{Id, PublicKey};
use std::collections::BTreeMap;

/// A cut divided by the conflict rule. Both parts keep the order of the cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Messages that count.
    pub counted: Vec<Id>,
    /// Messages that have no effect.
    pub void: Vec<Id>,
}

/// Divides an ordered cut into what counts and what is void.
///
/// `frontier` gives each issuer's (next sequence, last message that counts) before the cut; an issuer that is
/// not in it starts at sequence 0 on `root`. The last possible sequence never counts, for nothing follows it.
#[must_use]
pub fn settle<'a, V: Vertex + 'a>(
    root: Id,
    ordered: impl IntoIterator<Item = &'a V>,
    frontier: &BTreeMap<PublicKey, (u64, Id)>,
) -> Settled {
    let mut advanced: BTreeMap<PublicKey, (u64, Id)> = BTreeMap::new();
    let mut settled = Settled::default();
    for vertex in ordered {
        let (id, issuer, sequence) = (vertex.id(), vertex.issuer(), vertex.sequence());
        let (expected, last) = advanced.get(&issuer).or_else(|| frontier.get(&issuer)).copied().unwrap_or((0, root));
        let fits = sequence == expected && vertex.parents().first() == Some(&last);
        match sequence.checked_add(1).filter(|_| fits) {
            Some(following) => {
                advanced.insert(issuer, (following, id));
                settled.counted.push(id);
            }
            None => settled.void.push(id),
        }
    }
    settled
}
