use crate::drawing::{chain, connect, draw, empty, graph, id, ids, nothing};
use dag::Vertex as _;
use protocol::Id;
use protocol::limits::{CUT_MESSAGES_MAX, TIPS_MAX};

#[test]
fn it_names_the_maximal_unconfirmed_messages() {
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 2, 0, &[]), draw(3, 1, 1, &[1])]);
    assert_eq!(dag.proposal(&nothing), ids(&[2, 3]));
    dag.confirm(&ids(&[1, 2]), 1);
    assert_eq!(dag.proposal(&nothing), ids(&[3]), "a confirmed tip is not named again");
    dag.confirm(&ids(&[3]), 2);
    assert!(dag.proposal(&nothing).is_empty());
}

#[test]
fn it_leaves_out_what_is_excluded() {
    let dag = graph(&[draw(1, 1, 0, &[]), draw(2, 2, 0, &[]), draw(3, 1, 1, &[1, 2]), draw(4, 2, 1, &[2])]);
    let pipeline = ids(&[1, 2, 4]);
    assert_eq!(dag.proposal(&|id| pipeline.contains(id)), ids(&[3]));
    let pipeline = ids(&[2]);
    assert_eq!(dag.proposal(&|id| pipeline.contains(id)), ids(&[3, 4]));
    assert!(dag.proposal(&|_| true).is_empty());
}

#[test]
fn a_backlog_longer_than_a_cut_is_taken_from_the_bottom() {
    let limit = CUT_MESSAGES_MAX as u32;
    let mut dag = graph(&chain(limit + 1000));
    let tips = dag.proposal(&nothing);
    assert_eq!(tips, ids(&[limit]));
    let first = dag.cut(&tips, &nothing).unwrap();
    assert_eq!(first.len(), CUT_MESSAGES_MAX);
    // The next milestone is proposed before this one is final.
    let pipeline = |other: &Id| *other <= id(limit);
    let next = dag.proposal(&pipeline);
    assert_eq!(next, ids(&[limit + 1000]));
    assert_eq!(dag.cut(&next, &pipeline).unwrap().len(), 1000);
    dag.confirm(&first, 1);
    assert_eq!(dag.proposal(&nothing), next);
}

/// Each leader proposed all of a burst of requests, however long checking it took the others.
#[test]
fn what_is_over_the_budget_waits_for_the_next_one() {
    let mut dag = graph(&chain(10));
    let mut parts = Vec::new();
    while dag.unconfirmed() > 0 {
        // the fifth costs more than there is, and comes alone
        let tips = dag.proposal_within(&nothing, 6, &|v| if v.id() == id(5) { 9 } else { 2 });
        let cut = dag.cut(&tips, &nothing).unwrap();
        dag.confirm(&cut, parts.len() as u64 + 1);
        parts.push(cut.len());
    }
    assert_eq!(parts, [3, 1, 1, 3, 2]);
}

#[test]
fn a_layer_wider_than_a_cut_is_named_in_parts() {
    let width = CUT_MESSAGES_MAX as u32 + 10;
    let mut dag = empty();
    for n in 1..=width {
        connect(&mut dag, draw(n, n, 0, &[]));
    }
    let tips = dag.proposal(&nothing);
    assert_eq!(tips.len(), TIPS_MAX);
    assert_eq!(dag.cut(&tips, &nothing), Ok(tips.clone()));
}

#[test]
fn more_tips_than_a_milestone_names_are_confirmed_by_several() {
    let mut dag = empty();
    let issuers = 3 * TIPS_MAX as u32 + 7;
    for n in 1..=issuers {
        connect(&mut dag, draw(n, n, 0, &[]));
    }
    let mut rounds = 0;
    while dag.unconfirmed() > 0 {
        let tips = dag.proposal(&nothing);
        assert!(!tips.is_empty() && tips.len() <= TIPS_MAX && tips.is_sorted_by(|a, b| a < b));
        rounds += 1;
        dag.confirm(&dag.cut(&tips, &nothing).unwrap(), rounds);
    }
    assert_eq!(rounds, 4);
}

#[test]
fn an_equivocator_with_many_tips_delays_nobody() {
    let mut dag = empty();
    for n in 1..=500 {
        connect(&mut dag, draw(n, 666, 0, &[]));
    }
    for n in 1001..=1020 {
        connect(&mut dag, draw(n, n, 0, &[]));
    }
    let tips = dag.proposal(&nothing);
    assert_eq!(tips.len(), TIPS_MAX);
    assert!((1001..=1020).all(|n| tips.contains(&id(n))), "{tips:?}");
    assert!(tips.contains(&id(1)), "what waits longest has its turn");
}

#[test]
fn confirming_out_of_order_hides_nothing() {
    // The caller's milestone named 2 and left out its parent 1: 1 is still offered.
    let mut dag = graph(&[draw(1, 1, 0, &[]), draw(2, 1, 1, &[1])]);
    dag.confirm(&ids(&[2]), 1);
    assert_eq!(dag.proposal(&nothing), ids(&[1]));
    dag.confirm(&ids(&[1]), 2);
    assert!(dag.proposal(&nothing).is_empty());
    assert_eq!(dag.unconfirmed(), 0);
}
