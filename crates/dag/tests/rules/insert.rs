use crate::drawing::{Drawn, ROOT, chain, connect, draw, empty, graph, id, ids, key, suspend};
use dag::{Dag, Equivocation, InsertError, Insertion, Limits, PENDING_MAX, PENDING_PER_ISSUER_MAX};
use protocol::limits::PARENTS_MAX;
use protocol::message::Unsigned;
use protocol::{Body, NetworkId, SecretKey};
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn the_root_is_known_and_nothing_else_is() {
    let mut dag = empty();
    assert!(dag.contains(&ROOT) && dag.is_confirmed(&ROOT) && dag.root() == ROOT);
    assert!(dag.is_empty() && dag.tips().is_empty() && dag.get(&ROOT).is_none());
    assert!(!dag.contains(&id(1)));
    let root = Drawn { id: ROOT, ..draw(1, 1, 0, &[]) };
    assert_eq!(dag.insert(root, &BTreeSet::new()), Ok(Insertion::Known));
}

#[test]
fn a_message_on_known_parents_is_connected_once() {
    let mut dag = empty();
    assert_eq!(connect(&mut dag, draw(1, 1, 0, &[])), (ids(&[1]), vec![]));
    assert_eq!(dag.insert(draw(1, 1, 0, &[]), &BTreeSet::new()), Ok(Insertion::Known));
    assert_eq!((dag.len(), dag.unconfirmed(), dag.pending()), (1, 1, 0));
    assert_eq!(dag.get(&id(1)), Some(&draw(1, 1, 0, &[])));
}

#[test]
fn pending_messages_are_released_parents_first() {
    let mut dag = empty();
    assert_eq!(suspend(&mut dag, draw(4, 1, 2, &[3, 2])), ids(&[2, 3]));
    assert_eq!(suspend(&mut dag, draw(3, 1, 1, &[1])), ids(&[1]));
    assert_eq!(suspend(&mut dag, draw(2, 2, 0, &[1])), ids(&[1]));
    assert_eq!(dag.insert(draw(4, 1, 2, &[3, 2]), &BTreeSet::new()), Ok(Insertion::Known));
    assert!(dag.is_pending(&id(4)) && !dag.contains(&id(4)));
    assert_eq!(connect(&mut dag, draw(1, 1, 0, &[])).0, ids(&[1, 2, 3, 4]));
    assert_eq!((dag.len(), dag.pending()), (4, 0));
    assert!(dag.missing().is_empty());
}

#[test]
fn missing_names_what_is_neither_connected_nor_pending() {
    let mut dag = graph(&[draw(1, 1, 0, &[])]);
    suspend(&mut dag, draw(9, 2, 2, &[8, 7]));
    suspend(&mut dag, draw(8, 2, 1, &[1, 5]));
    assert_eq!(dag.missing(), ids(&[5, 7]));
    // Its own list leaves out 8, which is pending.
    assert_eq!(suspend(&mut dag, draw(10, 3, 1, &[8, 6])), ids(&[6]));
    assert_eq!(dag.missing(), ids(&[5, 6, 7]));
    assert_eq!(dag.pending_tips(None), ids(&[9, 10]));
}

#[test]
fn settled_parents_count_as_known() {
    let mut dag = empty();
    let settled = BTreeSet::from([id(1), id(2)]);
    assert!(matches!(dag.insert(draw(3, 1, 1, &[1, 2]), &settled), Ok(Insertion::Connected { .. })));
    assert!(!dag.contains(&id(1)), "a settled parent is not in memory");
    assert_eq!(dag.cut(&ids(&[3]), &crate::drawing::nothing), Ok(ids(&[3])));
    // A message that is settled itself is not taken in again.
    assert_eq!(dag.insert(draw(2, 2, 0, &[]), &settled), Ok(Insertion::Known));
    assert_eq!(dag.len(), 1);
}

#[test]
fn a_pending_message_can_be_completed_by_what_turned_out_settled() {
    let mut dag = empty();
    suspend(&mut dag, draw(3, 1, 1, &[1, 2]));
    suspend(&mut dag, draw(4, 1, 2, &[3]));
    assert_eq!(dag.insert(draw(3, 1, 1, &[1, 2]), &BTreeSet::from([id(1)])), Ok(Insertion::Known));
    assert_eq!(dag.missing(), ids(&[2]));
    let done = dag.insert(draw(3, 1, 1, &[1, 2]), &BTreeSet::from([id(2)])).unwrap();
    let Insertion::Connected { vertices, .. } = done else { panic!("still pending") };
    assert_eq!(vertices.iter().map(|v| v.id).collect::<Vec<_>>(), ids(&[3, 4]));
    assert!(dag.missing().is_empty() && dag.pending() == 0);
}

#[test]
fn pending_messages_are_bounded_for_all_and_for_each_issuer() {
    let mut dag: Dag<Drawn> = Dag::new(ROOT, Limits { pending_max: 3, pending_per_issuer_max: 2 });
    let none = BTreeSet::new();
    suspend(&mut dag, draw(11, 1, 1, &[1]));
    suspend(&mut dag, draw(12, 1, 2, &[2]));
    let refused = dag.insert(draw(13, 1, 3, &[3]), &none);
    assert_eq!(refused, Err(InsertError::IssuerPendingFull { issuer: key(1), limit: 2 }));
    suspend(&mut dag, draw(14, 2, 1, &[4]));
    assert_eq!(dag.insert(draw(15, 3, 1, &[5]), &none), Err(InsertError::PendingFull { limit: 3 }));
    assert_eq!((dag.pending(), dag.missing()), (3, ids(&[1, 2, 4])), "a refused message leaves nothing behind");
    // What needs no room is connected all the same, and makes room.
    assert_eq!(connect(&mut dag, draw(1, 1, 0, &[])).0, ids(&[1, 11]));
    suspend(&mut dag, draw(13, 1, 3, &[3]));
    assert_eq!(dag.pending(), 3);
    assert_eq!(Limits::default(), Limits { pending_max: PENDING_MAX, pending_per_issuer_max: PENDING_PER_ISSUER_MAX });
}

#[test]
fn dropping_a_pending_message_makes_it_missing_and_makes_room() {
    let mut dag: Dag<Drawn> = Dag::new(ROOT, Limits { pending_max: 2, pending_per_issuer_max: 2 });
    suspend(&mut dag, draw(2, 1, 1, &[1]));
    suspend(&mut dag, draw(3, 1, 2, &[2]));
    assert_eq!(dag.take_pending(&id(2)).map(|v| v.id), Some(id(2)));
    assert!(dag.take_pending(&id(2)).is_none() && !dag.is_pending(&id(2)));
    assert_eq!(dag.missing(), ids(&[2]), "3 still waits for 2, nobody waits for 1");
    assert_eq!(connect(&mut dag, draw(1, 1, 0, &[])).0, ids(&[1]));
    assert_eq!(connect(&mut dag, draw(2, 1, 1, &[1])).0, ids(&[2, 3]));
}

#[test]
fn impossible_lists_of_parents_are_refused() {
    let mut dag = graph(&[draw(1, 1, 0, &[])]);
    let many: Vec<u32> = (10..10 + PARENTS_MAX as u32 + 1).collect();
    let none = Drawn { parents: vec![], ..draw(2, 1, 1, &[]) };
    for bad in [none, draw(2, 1, 1, &[1, 1]), draw(2, 1, 1, &[1, 2]), draw(2, 1, 1, &many)] {
        assert_eq!(dag.insert(bad, &BTreeSet::new()), Err(InsertError::Parents { id: id(2) }));
    }
    assert_eq!((dag.len(), dag.pending()), (1, 0));
    assert_eq!(suspend(&mut dag, draw(2, 1, 1, &many[1..])).len(), PARENTS_MAX);
}

#[test]
fn two_messages_with_one_sequence_are_evidence() {
    let mut dag = empty();
    assert!(connect(&mut dag, draw(5, 1, 0, &[])).1.is_empty());
    assert!(connect(&mut dag, draw(6, 2, 0, &[])).1.is_empty(), "another issuer's sequence is its own");
    let pair = Equivocation { issuer: key(1), sequence: 0, first: id(3), second: id(5) };
    assert_eq!(connect(&mut dag, draw(3, 1, 0, &[])).1, vec![pair]);
    assert_eq!(dag.insert(draw(3, 1, 0, &[]), &BTreeSet::new()), Ok(Insertion::Known));
    // Each further variant is reported once; both stay in the graph.
    assert_eq!(connect(&mut dag, draw(4, 1, 0, &[])).1.len(), 1);
    assert_eq!(dag.len(), 4);
}

#[test]
fn evidence_is_found_among_released_messages_and_not_among_pending_ones() {
    let mut dag = graph(&[draw(1, 1, 0, &[])]);
    suspend(&mut dag, draw(3, 2, 1, &[2]));
    suspend(&mut dag, draw(4, 2, 1, &[2]));
    let (connected, evidence) = connect(&mut dag, draw(2, 2, 0, &[]));
    assert_eq!(connected, ids(&[2, 3, 4]));
    assert_eq!(evidence, vec![Equivocation { issuer: key(2), sequence: 1, first: id(3), second: id(4) }]);
}

#[test]
fn a_long_chain_may_arrive_backwards() {
    let length = 100_000;
    let limits = Limits { pending_max: length as usize, pending_per_issuer_max: length as usize };
    let mut dag: Dag<Drawn> = Dag::new(ROOT, limits);
    let vertices = chain(length);
    for vertex in vertices[1..].iter().rev() {
        suspend(&mut dag, vertex.clone());
    }
    let (connected, _) = connect(&mut dag, vertices[0].clone());
    assert_eq!(connected, vertices.iter().map(|v| v.id).collect::<Vec<_>>());
    assert_eq!(dag.tips().iter().copied().collect::<Vec<_>>(), ids(&[length]));
}

#[test]
fn real_messages_are_vertices() {
    let network = NetworkId([7; 32]);
    let secret = SecretKey::from_seed(&[1; 32]);
    let sign = |sequence, parents| {
        let issuer = secret.public_key();
        let body = Body::Data(vec![1, 2, 3]);
        let unsigned = Unsigned { network, subnet: 0, issuer, sequence, parents, issued_at_ms: 5, votes: vec![], body, pow_nonce: 0 };
        Arc::new(unsigned.sign(&secret))
    };
    let root = Unsigned::root(network);
    let first = sign(0, vec![root]);
    let second = sign(1, vec![first.id()]);
    let mut dag = Dag::new(root, Limits::default());
    let waits = dag.insert(second.clone(), &BTreeSet::new()).unwrap();
    assert_eq!(waits, Insertion::Pending { missing: vec![first.id()] });
    let released = dag.insert(first.clone(), &BTreeSet::new()).unwrap();
    assert_eq!(released, Insertion::Connected { vertices: vec![first.clone(), second.clone()], evidence: vec![] });
    let cut = dag.cut(&dag.proposal(&|_| false), &|_| false).unwrap();
    assert_eq!(cut, vec![first.id(), second.id()]);
    let in_order = cut.iter().filter_map(|id| dag.get(id));
    assert_eq!(dag::settle(root, in_order, &Default::default()).counted, cut);
}
