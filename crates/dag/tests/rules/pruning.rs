use crate::drawing::{ROOT, chain, connect, draw, empty, graph, id, ids, key, nothing, suspend};
use dag::Insertion;
use std::collections::BTreeSet;

#[test]
fn confirming_counts_once_and_ignores_what_is_not_connected() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1])]);
    suspend(&mut dag, draw(9, 2, 1, &[8]));
    dag.confirm(&ids(&[1, 7, 9]), 3);
    dag.confirm(&ids(&[1]), 5);
    assert_eq!(dag.confirmed_at(&id(1)), Some(3), "the first confirmation stands");
    assert!(dag.is_confirmed(&id(1)) && !dag.is_confirmed(&id(2)) && !dag.is_confirmed(&id(7)) && !dag.is_confirmed(&id(9)));
    assert_eq!((dag.len(), dag.unconfirmed(), dag.pending()), (2, 1, 1));
}

#[test]
fn forgetting_drops_what_was_confirmed_below_a_height_except_tips() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(3, 1, 2, &[2]), draw(4, 2, 0, &[])]);
    dag.confirm(&ids(&[1, 4]), 1);
    dag.confirm(&ids(&[2]), 2);
    assert_eq!(dag.forget(1), 0, "below, not at");
    assert_eq!(dag.forget(2), 1);
    assert!(!dag.contains(&id(1)) && dag.contains(&id(2)));
    assert!(dag.contains(&id(4)), "a tip is kept");
    assert_eq!(dag.forget(2), 0);
    // Named by another, the old tip goes too.
    connect(&mut dag, draw(5, 1, 3, &[3, 4]));
    assert_eq!(dag.forget(u64::MAX), 2);
    assert_eq!((dag.len(), dag.unconfirmed()), (2, 2));
    assert_eq!(dag.cut(&ids(&[5]), &nothing), Ok(ids(&[3, 5])), "unconfirmed messages and their order stay");
    assert_eq!(dag.proposal(&nothing), ids(&[5]));
}

#[test]
fn a_forgotten_parent_must_be_vouched_for() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1])]);
    dag.confirm(&ids(&[1, 2]), 1);
    assert_eq!(dag.forget(2), 1);
    let late = draw(3, 2, 1, &[1, 2]);
    assert_eq!(suspend(&mut dag, late.clone()), ids(&[1]));
    assert!(dag.take_pending(&id(3)).is_some());
    assert!(matches!(dag.insert(late, &BTreeSet::from([id(1)])), Ok(Insertion::Connected { .. })));
    assert_eq!(dag.tips().iter().copied().collect::<Vec<_>>(), ids(&[3]));
    assert_eq!(dag.cut(&ids(&[3]), &nothing), Ok(ids(&[3])));
}

#[test]
fn a_pending_message_outlives_a_parent_that_is_forgotten_meanwhile() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1])]);
    assert_eq!(suspend(&mut dag, draw(9, 3, 1, &[8, 1])), ids(&[8]));
    dag.confirm(&ids(&[1, 2]), 1);
    assert_eq!(dag.forget(2), 1);
    assert_eq!(connect(&mut dag, draw(8, 3, 0, &[])).0, ids(&[8, 9]));
}

#[test]
fn a_void_message_is_no_tip_and_is_forgotten() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(3, 1, 1, &[1]), draw(4, 2, 0, &[])]);
    dag.confirm(&ids(&[1, 2, 3, 4]), 1);
    dag.abandon(&ids(&[3, 7]));
    assert_eq!(dag.tips().iter().copied().collect::<Vec<_>>(), ids(&[2, 4]));
    assert_eq!(dag.parents_for(&key(9), ROOT), [vec![ROOT], ids(&[2, 4])].concat(), "nobody builds on it");
    // one that does all the same is connected, while it is in memory
    connect(&mut dag, draw(5, 1, 2, &[3]));
    assert_eq!(dag.forget(2), 2, "1 and 3");
    assert!(dag.contains(&id(2)) && dag.contains(&id(4)) && !dag.contains(&id(3)));
}

/// Why a node must ask whether a message that comes again is void: one that takes it in anew has another order.
#[test]
fn what_is_void_and_comes_again_must_be_known_to_be_settled() {
    let branch = [draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(3, 1, 1, &[1]), draw(4, 1, 2, &[3])];
    let late = [draw(5, 1, 2, &[2, 4]), draw(6, 2, 0, &[])];
    let mut remembers = graph(&branch);
    remembers.confirm(&ids(&[1, 2, 3, 4]), 1);
    late.iter().for_each(|v| drop(connect(&mut remembers, v.clone())));
    assert_eq!(remembers.cut(&ids(&[5, 6]), &nothing), Ok(ids(&[5, 6])));
    let passed = |id: &protocol::Id| *id == crate::drawing::id(3);
    // 2 and 3 are settled by their sequence, which is 1: the issuer's next one is 2
    let (settled, all) = (BTreeSet::from([id(2), id(3)]), BTreeSet::from([id(2), id(3), id(4)]));
    for (vouched, cut) in [(&settled, &[4, 6, 5][..]), (&all, &[5, 6][..])] {
        let mut forgot = empty();
        for v in branch[3..].iter().chain(&late).filter(|v| !vouched.contains(&v.id)) {
            assert!(matches!(forgot.insert(v.clone(), vouched), Ok(Insertion::Connected { .. })));
        }
        assert_eq!(forgot.cut(&ids(&[5, 6]), &passed), Ok(ids(cut)));
    }
}

#[test]
fn forgetting_makes_room_for_good() {
    // However long it runs, no more stays in memory than the span that is kept.
    let mut dag = empty();
    for vertex in chain(2000) {
        let height = vertex.sequence + 1;
        connect(&mut dag, vertex);
        dag.confirm(&dag.cut(&dag.proposal(&nothing), &nothing).unwrap(), height);
        dag.forget(height.saturating_sub(10));
        assert!(dag.len() <= 11, "{} in memory", dag.len());
    }
}
