use crate::drawing::{ROOT, connect, draw, empty, graph, id, ids, key, suspend};
use protocol::limits::PARENTS_MAX;

#[test]
fn a_tip_is_connected_and_not_named() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 2, 0, &[])]);
    assert_eq!(dag.tips().iter().copied().collect::<Vec<_>>(), ids(&[1, 2]));
    suspend(&mut dag, draw(9, 3, 1, &[8, 1]));
    assert_eq!(dag.tips().len(), 2, "a pending message neither is a tip nor ends one");
    connect(&mut dag, draw(3, 1, 1, &[1, 2]));
    assert_eq!(dag.tips().iter().copied().collect::<Vec<_>>(), ids(&[3]));
    connect(&mut dag, draw(4, 2, 1, &[2]));
    assert_eq!(dag.tips().iter().copied().collect::<Vec<_>>(), ids(&[3, 4]));
}

#[test]
fn confirmed_messages_stay_tips() {
    let mut dag = graph(&[draw(1, 1, 0, &[])]);
    dag.confirm(&ids(&[1]), 1);
    assert!(dag.tips().contains(&id(1)));
    connect(&mut dag, draw(2, 1, 1, &[1]));
    assert!(!dag.tips().contains(&id(1)));
}

#[test]
fn the_first_message_names_the_root_alone() {
    assert_eq!(empty().parents_for(&key(1), ROOT), vec![ROOT]);
}

#[test]
fn parents_are_the_previous_message_then_tips_of_others() {
    let dag = graph(&[draw(9, 1, 0, &[]), draw(5, 2, 0, &[]), draw(7, 3, 0, &[])]);
    assert_eq!(dag.parents_for(&key(1), id(9)), ids(&[9, 5, 7]));
    assert_eq!(dag.parents_for(&key(2), id(5)), ids(&[5, 7, 9]));
    // Whoever comes new stands on the root and on all of them.
    assert_eq!(dag.parents_for(&key(4), ROOT), [vec![ROOT], ids(&[5, 7, 9])].concat());
    // A previous message that another issuer's key would claim is named once.
    assert_eq!(dag.parents_for(&key(4), id(7)), ids(&[7, 5, 9]));
}

#[test]
fn two_tips_give_two_parents_even_if_both_are_confirmed() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 2, 0, &[])]);
    dag.confirm(&ids(&[1, 2]), 1);
    assert_eq!(dag.parents_for(&key(1), id(1)), ids(&[1, 2]));
}

#[test]
fn unconfirmed_tips_go_first_then_the_deepest_then_the_latest() {
    let mut dag = empty();
    // Issuers 1 to 9: one message each. 1 to 3 are confirmed, 9 has two more on top.
    for n in 1..=9 {
        connect(&mut dag, draw(n, n, 0, &[]));
    }
    dag.confirm(&ids(&[1, 2, 3]), 1);
    connect(&mut dag, draw(20, 9, 1, &[9]));
    connect(&mut dag, draw(21, 9, 2, &[20]));
    // 4 to 8 and 21 are unconfirmed: six. The seventh is the latest of the confirmed.
    assert_eq!(dag.parents_for(&key(99), ROOT), [vec![ROOT], ids(&[3, 4, 5, 6, 7, 8, 21])].concat());
    // With more unconfirmed ones than places, the shallow and early ones stay out and the deepest is in.
    for n in 30..=32 {
        connect(&mut dag, draw(n, n, 0, &[]));
    }
    let parents = dag.parents_for(&key(99), ROOT);
    assert_eq!(parents.len(), PARENTS_MAX);
    assert_eq!(parents[1..], ids(&[6, 7, 8, 21, 30, 31, 32]));
}

#[test]
fn an_equivocator_does_not_crowd_out_others() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 2, 0, &[])]);
    for n in 100..200 {
        connect(&mut dag, draw(n, 66, 0, &[]));
    }
    let parents = dag.parents_for(&key(3), ROOT);
    assert_eq!(parents.len(), PARENTS_MAX);
    assert!(parents.contains(&id(1)) && parents.contains(&id(2)), "{parents:?}");
}
