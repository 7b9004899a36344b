//! Merkle trees as RFC 9162 §2.1 defines them: SHA-256, `H(0x00 ‖ leaf)`, `H(0x01 ‖ left ‖ right)`.
//!
//! Three uses: the readings of a batch, the messages of a milestone, the milestones of history. The last one
//! only ever grows; because the tree splits at powers of two, its complete subtrees never change, which makes
//! it a Mountain Range: [`Range`] keeps the peaks, and [`position`] says where a store that appends nodes as
//! they become complete finds each of them.

use crate::keys::Id;
use alloc::vec::Vec;

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Id {
    Id::hash(&[])
}

/// The hash of a leaf's bytes.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Id {
    Id::hash(&[&[0], bytes])
}

/// The hash of two subtrees.
#[must_use]
pub fn node(left: &Id, right: &Id) -> Id {
    Id::hash(&[&[1], &left.0, &right.0])
}

/// The largest power of two smaller than `n`, for `n > 1`.
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The root over leaf hashes.
#[must_use]
pub fn root(leaves: &[Id]) -> Id {
    let mut range = Range::default();
    leaves.iter().for_each(|l| {
        range.push(*l);
    });
    range.root()
}

/// The inclusion path of leaf `index`, nearest sibling first; `None` if there is no such leaf.
#[must_use]
pub fn path(leaves: &[Id], index: usize) -> Option<Vec<Id>> {
    (index < leaves.len()).then(|| {
        // complete subtrees, computed on the way
        let mut levels: Vec<Vec<Id>> = alloc::vec![leaves.to_vec()];
        while let Some(below) = levels.last().filter(|l| l.len() > 1) {
            let (pairs, _) = below.as_chunks::<2>();
            let next = pairs.iter().map(|[l, r]| node(l, r)).collect();
            levels.push(next);
        }
        let lookup = |level: u32, at: u64| {
            let row = levels.get(level as usize)?;
            row.get(usize::try_from(at).ok()?).copied()
        };
        path_from(index as u64, leaves.len() as u64, &mut |level, at| lookup(level, at).unwrap_or_else(empty_root))
    })
}

/// The inclusion path of leaf `index` in a tree of `size` leaves, from the hashes of complete subtrees:
/// `subtree(level, at)` covers the leaves `at·2^level .. (at+1)·2^level`.
///
/// A store that cannot answer at once calls this twice: first to record what is asked, then with the answers.
#[must_use]
pub fn path_from(index: u64, size: u64, subtree: &mut dyn FnMut(u32, u64) -> Id) -> Vec<Id> {
    let (mut lo, mut hi, mut siblings) = (0, size, Vec::new());
    while hi - lo > 1 {
        let mid = lo + split(hi - lo);
        if index < mid {
            siblings.push(span(mid, hi, subtree));
            hi = mid;
        } else {
            siblings.push(span(lo, mid, subtree));
            lo = mid;
        }
    }
    siblings.reverse();
    siblings
}

/// The hash over the leaves `lo..hi` of a tree, where `lo` is a multiple of the span's power of two.
fn span(lo: u64, hi: u64, subtree: &mut dyn FnMut(u32, u64) -> Id) -> Id {
    let n = hi - lo;
    if n.is_power_of_two() {
        return subtree(n.trailing_zeros(), lo / n);
    }
    let mid = lo + split(n);
    let (left, right) = (span(lo, mid, subtree), span(mid, hi, subtree));
    node(&left, &right)
}

/// Whether `path` leads from the leaf hash at `index` to `root` in a tree of `size` leaves (RFC 9162 §2.1.3.2).
#[must_use]
pub fn verify(leaf_hash: &Id, index: u64, size: u64, path: &[Id], root: &Id) -> bool {
    if index >= size {
        return false;
    }
    let (mut fn_, mut sn, mut r) = (index, size - 1, *leaf_hash);
    for p in path {
        if sn == 0 {
            return false;
        }
        if fn_ & 1 == 1 || fn_ == sn {
            r = node(p, &r);
            if fn_ & 1 == 0 {
                let shift = fn_.trailing_zeros();
                fn_ = fn_.checked_shr(shift).unwrap_or(0);
                sn = sn.checked_shr(shift).unwrap_or(0);
            }
        } else {
            r = node(&r, p);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    sn == 0 && r == *root
}

/// Where an append-only store keeps the complete subtree `(level, at)`, if after each leaf it appends every
/// subtree that this leaf completed, smallest first.
#[must_use]
pub const fn position(level: u32, at: u64) -> u64 {
    let last_leaf = ((at + 1) << level) - 1;
    2 * last_leaf - last_leaf.count_ones() as u64 + level as u64
}

/// The peaks of a growing tree: enough to append and to know the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    size: u64,
    /// Roots of complete subtrees, largest first: one for each bit of `size`.
    peaks: Vec<Id>,
}

impl Range {
    /// A range from stored peaks, largest first; `None` unless there is one for each bit of `size`.
    #[must_use]
    pub fn from_peaks(size: u64, peaks: Vec<Id>) -> Option<Self> {
        (peaks.len() as u64 == u64::from(size.count_ones())).then_some(Self { size, peaks })
    }

    /// The subtrees `(level, at)` whose hashes [`Range::from_peaks`] wants for a tree of `size` leaves.
    #[must_use]
    pub fn peaks_of(size: u64) -> Vec<(u32, u64)> {
        (0..64).rev().filter(|level| size >> level & 1 == 1).map(|level| (level, (size >> level) - 1)).collect()
    }

    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash; returns the subtrees that became complete, smallest first, the leaf among them.
    pub fn push(&mut self, leaf_hash: Id) -> Vec<Id> {
        let (mut complete, mut hash) = (alloc::vec![leaf_hash], leaf_hash);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
                complete.push(hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
        complete
    }

    /// The root: the peaks folded from the right.
    #[must_use]
    pub fn root(&self) -> Id {
        self.peaks.iter().rev().copied().reduce(|right, left| node(&left, &right)).unwrap_or_else(empty_root)
    }
}
