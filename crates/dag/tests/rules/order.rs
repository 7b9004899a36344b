use crate::drawing::{ROOT, chain, connect, draw, graph, id, ids, nothing, suspend};
use dag::CutError;
use protocol::Id;
use protocol::limits::CUT_MESSAGES_MAX;

#[test]
fn a_cut_is_ordered_by_depth_then_id() {
    // 9 ◀── 2 ◀── 3      depths: 9, 5 → 0;  2, 4 → 1;  3, 1 → 2
    // 5 ◀── 4 ◀── 1 (1 names 2 too)
    let dag = graph(&[
        draw(9, 1, 0, &[]),
        draw(5, 2, 0, &[]),
        draw(2, 1, 1, &[9]),
        draw(4, 2, 1, &[5]),
        draw(3, 1, 2, &[2]),
        draw(1, 2, 2, &[4, 2]),
    ]);
    assert_eq!(dag.cut(&ids(&[1, 3]), &nothing), Ok(ids(&[5, 9, 2, 4, 1, 3])));
    assert_eq!(dag.cut(&ids(&[3]), &nothing), Ok(ids(&[9, 2, 3])));
    assert_eq!(dag.cut(&ids(&[3, 2, 3]), &nothing), Ok(ids(&[9, 2, 3])), "tips under tips and twice change nothing");
    assert_eq!(dag.cut(&[], &nothing), Ok(vec![]));
}

#[test]
fn depth_is_the_longest_way() {
    // 4 names 1 directly and through 2 and 3; 5 lies on 1 alone.
    let dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(3, 1, 2, &[2]), draw(4, 2, 1, &[1, 3]), draw(5, 3, 1, &[1])]);
    assert_eq!(dag.cut(&ids(&[4, 5]), &nothing), Ok(ids(&[1, 2, 5, 3, 4])));
}

#[test]
fn confirmed_and_excluded_messages_lie_outside_and_do_not_add_depth() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(9, 1, 2, &[2]), draw(3, 2, 0, &[]), draw(4, 2, 1, &[3, 9])]);
    dag.confirm(&ids(&[1]), 1);
    assert_eq!(dag.cut(&ids(&[4]), &nothing), Ok(ids(&[2, 3, 9, 4])));
    let pipeline = ids(&[2]);
    assert_eq!(dag.cut(&ids(&[4]), &|id| pipeline.contains(id)), Ok(ids(&[3, 9, 4])));
}

#[test]
fn tips_that_are_not_connected_are_named() {
    let mut dag = graph(&[draw(1, 1, 0, &[])]);
    suspend(&mut dag, draw(7, 2, 1, &[6]));
    assert_eq!(dag.cut(&ids(&[8, 1, 7, 8]), &nothing), Err(CutError::Unknown(ids(&[7, 8]))));
}

#[test]
fn confirmed_or_excluded_tips_are_stale() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1]), draw(3, 1, 2, &[2])]);
    dag.confirm(&ids(&[1]), 1);
    assert_eq!(dag.cut(&ids(&[1]), &nothing), Err(CutError::Stale(id(1))));
    assert_eq!(dag.cut(&ids(&[3, 2]), &|other: &Id| *other == id(2)), Err(CutError::Stale(id(2))));
    assert_eq!(dag.cut(&[ROOT], &nothing), Err(CutError::Stale(ROOT)));
}

#[test]
fn a_cut_is_bounded() {
    let limit = CUT_MESSAGES_MAX as u32;
    let mut dag = graph(&chain(limit));
    assert_eq!(dag.cut(&ids(&[limit]), &nothing).map(|cut| cut.len()), Ok(CUT_MESSAGES_MAX));
    connect(&mut dag, draw(limit + 1, 1, u64::from(limit), &[limit]));
    let found = CUT_MESSAGES_MAX + 1;
    assert_eq!(dag.cut(&ids(&[limit + 1]), &nothing), Err(CutError::TooLarge { found, limit: CUT_MESSAGES_MAX }));
    // Excluding one message makes it fit.
    assert_eq!(dag.cut(&ids(&[limit + 1]), &|other: &Id| *other == id(1)).map(|cut| cut.len()), Ok(CUT_MESSAGES_MAX));
}
