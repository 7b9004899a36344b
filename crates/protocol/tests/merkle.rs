//! The trees, against RFC 9162 §2.1 written down naively, and against the vectors of another implementation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use protocol::Id;
use protocol::merkle::{Range, empty_root, leaf, node, path, path_from, position, root, verify};

/// Sizes that are tested completely: past 64, so that every shape up to seven levels occurs.
const SIZE_MAX: usize = 70;

/// `MTH(D[n])` of RFC 9162 §2.1.1.
fn naive_root(leaves: &[Id]) -> Id {
    match leaves {
        [] => Id::hash(&[b""]),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            Id::hash(&[&[0x01], &naive_root(left).0, &naive_root(right).0])
        }
    }
}

/// `PATH(m, D[n])` of RFC 9162 §2.1.3.1.
fn naive_path(m: usize, leaves: &[Id]) -> Vec<Id> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if m < k { (naive_path(m, left), right) } else { (naive_path(m - k, right), left) };
    path.push(naive_root(sibling));
    path
}

/// The largest power of two below `n`.
fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn leaves(n: usize) -> Vec<Id> {
    (0..n).map(|i| leaf(&[i as u8, 0xa5])).collect()
}

#[test]
fn leaves_and_nodes_are_hashed_in_domains_of_their_own() {
    assert_eq!(leaf(b"x"), Id::hash(&[&[0x00], b"x"]));
    let (a, b) = (leaf(b"a"), leaf(b"b"));
    assert_eq!(node(&a, &b), Id::hash(&[&[0x01], &a.0, &b.0]));
    assert_eq!(empty_root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn roots_and_paths_are_those_of_the_rfc() {
    for n in 0..=SIZE_MAX {
        let leaves = leaves(n);
        let expected = naive_root(&leaves);
        assert_eq!(root(&leaves), expected, "the root of {n} leaves");
        assert_eq!(path(&leaves, n), None, "there is no leaf {n} among {n}");
        for m in 0..n {
            let path = path(&leaves, m).unwrap();
            assert_eq!(path, naive_path(m, &leaves), "the path of leaf {m} of {n}");
            assert!(verify(&leaves[m], m as u64, n as u64, &path, &expected), "leaf {m} of {n}");
        }
    }
}

#[test]
fn a_path_proves_one_leaf_at_one_place_in_one_tree() {
    let foreign = leaf(b"foreign");
    for n in 1..=SIZE_MAX {
        let leaves = leaves(n);
        let (size, root) = (n as u64, naive_root(&leaves));
        for m in 0..n {
            let (index, path) = (m as u64, naive_path(m, &leaves));
            let refused = |leaf: &Id, index: u64, path: &[Id], root: &Id| !verify(leaf, index, size, path, root);
            for other in (0..size + 3).filter(|i| *i != index) {
                assert!(refused(&leaves[m], other, &path, &root), "leaf {m} of {n} as leaf {other}");
            }
            assert!(refused(&leaves[m], u64::MAX, &path, &root));
            assert!(refused(&foreign, index, &path, &root), "a foreign leaf");
            assert!(refused(&leaves[m], index, &path, &foreign), "a foreign root");
            assert!(refused(&leaves[m], index, &[path.as_slice(), &[foreign]].concat(), &root), "a longer path");
            assert!(!verify(&leaves[m], index, 0, &path, &root), "no tree at all");
            if let Some((_, shorter)) = path.split_last() {
                assert!(refused(&leaves[m], index, shorter, &root), "a shorter path");
                assert!(refused(&leaves[m], index, &path[1..], &root), "a path without its start");
            }
            for at in 0..path.len() {
                let mut wrong = path.clone();
                wrong[at].0[at % 32] ^= 1;
                assert!(refused(&leaves[m], index, &wrong, &root), "hash {at} of the path of leaf {m} of {n}");
            }
        }
    }
}

/// A path fixes the tree's size as far as the path's shape does: a size that gives another shape is refused.
#[test]
fn a_size_with_another_shape_is_refused() {
    for n in 1..=SIZE_MAX {
        let leaves = leaves(n);
        let root = naive_root(&leaves);
        // the last leaf: its shape changes with every size
        let path = naive_path(n - 1, &leaves);
        for other in (0..2 * n as u64 + 3).filter(|s| *s != n as u64) {
            let shape = |size: u64| directions(n as u64 - 1, size);
            let holds = verify(&leaves[n - 1], n as u64 - 1, other, &path, &root);
            assert_eq!(holds, other >= n as u64 && shape(other) == shape(n as u64), "leaf {} of {n} in a tree of {other}", n - 1);
        }
    }
}

/// From the root down: whether leaf `m` lies to the right at each fork of a tree of `n` leaves.
fn directions(mut m: u64, mut n: u64) -> Vec<bool> {
    let mut turns = Vec::new();
    while n > 1 {
        let k = naive_split(n as usize) as u64;
        let right = m >= k;
        (m, n) = if right { (m - k, n - k) } else { (m, k) };
        turns.push(right);
    }
    turns
}

#[test]
fn a_range_grows_to_the_same_roots_and_can_be_taken_up_again() {
    let leaves = leaves(SIZE_MAX);
    // what a store keeps: complete subtrees in the order in which they become complete
    let mut store: Vec<Id> = Vec::new();
    let mut range = Range::default();
    assert_eq!(range.root(), empty_root());
    for n in 1..=SIZE_MAX {
        let complete = range.push(leaves[n - 1]);
        assert_eq!(complete.len() as u32, 1 + (n as u64 - 1).trailing_ones(), "leaf {n} completes one subtree for each carry");
        assert_eq!(complete[0], leaves[n - 1]);
        store.extend(complete);
        assert_eq!(range.size(), n as u64);
        assert_eq!(range.root(), naive_root(&leaves[..n]));

        let peaks: Vec<Id> = Range::peaks_of(n as u64).into_iter().map(|(level, at)| store[position(level, at) as usize]).collect();
        assert_eq!(Range::from_peaks(n as u64, peaks.clone()), Some(range.clone()), "the peaks of {n} leaves");
        assert_eq!(Range::from_peaks(n as u64, [peaks, vec![leaves[0]]].concat()), None, "a peak too many");
        assert_eq!(Range::from_peaks(n as u64, Vec::new()), None, "no peaks");
    }
    assert_eq!(Range::from_peaks(0, Vec::new()), Some(Range::default()));
}

#[test]
fn a_store_finds_every_complete_subtree_and_builds_every_path_from_them() {
    let leaves = leaves(SIZE_MAX);
    let (mut store, mut range): (Vec<Id>, Range) = (Vec::new(), Range::default());
    for l in &leaves {
        store.extend(range.push(*l));
    }
    for level in 0..7u32 {
        let width = 1usize << level;
        for at in 0..SIZE_MAX / width {
            let covered = &leaves[at * width..(at + 1) * width];
            assert_eq!(store[position(level, at as u64) as usize], naive_root(covered), "subtree {at} of level {level}");
        }
    }
    for n in 1..=SIZE_MAX {
        for m in 0..n {
            let mut asked = Vec::new();
            let path = path_from(m as u64, n as u64, &mut |level, at| {
                asked.push((level, at));
                store[position(level, at) as usize]
            });
            assert_eq!(path, naive_path(m, &leaves[..n]), "the path of leaf {m} of {n}");
            assert!(asked.iter().all(|(level, at)| (at + 1) << level <= n as u64), "only subtrees that are complete");
            // asked once to record, once with the answers: the same questions
            let mut again = Vec::new();
            let _ = path_from(m as u64, n as u64, &mut |level, at| {
                again.push((level, at));
                empty_root()
            });
            assert_eq!(asked, again);
        }
    }
}

#[cfg(feature = "json")]
mod vectors {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde_json::Value;

    /// The inclusion vectors (see `vectors/SOURCE.md`). The consistency vectors in the same file are skipped: there is
    /// no consistency proof yet.
    #[test]
    fn inclusion_vectors_of_another_implementation() {
        let all: Value = serde_json::from_str(include_str!("vectors/merkle-rfc6962.json")).unwrap();
        let all = all.as_object().unwrap();
        let (inclusion, others): (Vec<_>, Vec<_>) = all.iter().partition(|(name, _)| name.starts_with("inclusion/"));
        assert_eq!((inclusion.len(), others.len()), (98, 98));
        assert!(others.iter().all(|(name, _)| name.starts_with("consistency/")));
        let mut accepted = 0;
        for (name, vector) in inclusion {
            let holds = check(vector);
            assert_eq!(holds, !vector["wantErr"].as_bool().unwrap(), "{name}");
            accepted += u32::from(holds);
        }
        assert_eq!(accepted, 6, "five happy paths and a tree of one leaf");
    }

    /// A hash of another length cannot even be said in our types: such a vector counts as refused.
    fn hash(value: &Value) -> Option<Id> {
        STANDARD.decode(value.as_str().unwrap()).unwrap().try_into().ok().map(Id)
    }

    fn check(vector: &Value) -> bool {
        let path: Option<Vec<Id>> = vector["proof"].as_array().map_or_else(|| Some(Vec::new()), |p| p.iter().map(hash).collect());
        let (Some(leaf), Some(root), Some(path)) = (hash(&vector["leafHash"]), hash(&vector["root"]), path) else {
            return false;
        };
        verify(&leaf, vector["leafIdx"].as_u64().unwrap(), vector["treeSize"].as_u64().unwrap(), &path, &root)
    }
}
