use crate::drawing::{Drawn, ROOT, draw, id, ids, key};
use dag::{Settled, settle};
use std::collections::BTreeMap;

fn fresh(ordered: &[Drawn]) -> Settled {
    settle(ROOT, ordered, &BTreeMap::new())
}

fn settled(counted: &[u32], void: &[u32]) -> Settled {
    Settled { counted: ids(counted), void: ids(void) }
}

#[test]
fn chains_of_several_issuers_count_side_by_side() {
    let ordered = [draw(1, 1, 0, &[]), draw(2, 2, 0, &[]), draw(3, 1, 1, &[1, 2]), draw(4, 2, 1, &[2, 1])];
    assert_eq!(fresh(&ordered), settled(&[1, 2, 3, 4], &[]));
    assert_eq!(fresh(&[]), settled(&[], &[]));
}

#[test]
fn of_two_with_one_sequence_the_earlier_counts_with_all_that_builds_on_it() {
    let ordered = [draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(3, 1, 1, &[1]), draw(4, 1, 2, &[3]), draw(5, 1, 2, &[2])];
    assert_eq!(fresh(&ordered), settled(&[1, 2, 5], &[3, 4]));
}

#[test]
fn a_gap_a_repeat_and_a_wrong_first_message_are_void() {
    let ordered = [draw(1, 1, 0, &[]), draw(2, 1, 2, &[1]), draw(3, 1, 0, &[]), draw(4, 2, 1, &[]), draw(5, 3, 0, &[1])];
    assert_eq!(fresh(&ordered), settled(&[1], &[2, 3, 4, 5]));
}

#[test]
fn the_first_parent_must_be_the_last_counted_message() {
    // 3 names the right message, but not first.
    let ordered = [draw(1, 1, 0, &[]), draw(2, 2, 0, &[]), draw(3, 1, 1, &[2, 1])];
    assert_eq!(fresh(&ordered), settled(&[1, 2], &[3]));
}

#[test]
fn the_frontier_says_where_each_issuer_goes_on() {
    let frontier = BTreeMap::from([(key(1), (7, id(1)))]);
    let ordered = [draw(2, 1, 7, &[1]), draw(3, 1, 8, &[2]), draw(4, 2, 0, &[]), draw(5, 1, 0, &[])];
    assert_eq!(settle(ROOT, &ordered, &frontier), settled(&[2, 3, 4], &[5]));
}

#[test]
fn the_last_possible_sequence_never_counts() {
    let frontier = BTreeMap::from([(key(1), (u64::MAX, id(1)))]);
    assert_eq!(settle(ROOT, &[draw(2, 1, u64::MAX, &[1])], &frontier), settled(&[], &[2]));
}
