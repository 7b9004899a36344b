//! Void messages in the state: FIN-21 to FIN-24.

use crate::world::{World, key, public};
use ledger::{
    Account, Key, Overlay, Rules, VOID_IDS_MAX, VOIDS_MAX, VoidIds, apply, elect, is_void, read_account, read_void, remember, remembered,
    touched,
};
use proptest::prelude::*;
use protocol::{Body, Encode as _, Id, Message, Parameters, Unsigned};
use std::collections::{BTreeMap, BTreeSet};
use std::slice::from_ref;

const A: u8 = 201;
const B: u8 = 202;
/// Sequences that the property looks at.
const SEQUENCES: u64 = 12;

/// A message of its own kind for each `mark`.
fn message(world: &World, seed: u8, sequence: u64, mark: u64) -> Message {
    let unsigned = Unsigned {
        network: world.network,
        subnet: world.genesis.subnet,
        issuer: public(seed),
        sequence,
        parents: vec![Unsigned::root(world.network)],
        issued_at_ms: 0,
        votes: Vec::new(),
        body: Body::Data(mark.to_be_bytes().to_vec()),
        pow_nonce: 0,
    };
    unsigned.sign(&key(seed))
}

/// A milestone: what counts in it and what is void, applied on nothing but the values that are brought along.
fn milestone(world: &mut World, counted: &[Message], void: &[Message]) {
    let mut keys: Vec<Key> = counted.iter().flat_map(touched).collect();
    keys.extend(void.iter().map(|m| Key::Account(m.issuer)));
    keys.extend(remembered(&world.brought(&keys), counted.iter().chain(void)).unwrap());
    let base = world.brought(&keys);
    let mut overlay = Overlay::new(&base);
    let parameters = Parameters::default();
    let rules = Rules { parameters: &parameters, ..world.rules() };
    for m in counted {
        apply(&mut overlay, &rules, m).unwrap();
    }
    remember(&mut overlay, &rules, void).unwrap();
    let changes = overlay.into_changes();
    world.take(changes);
}

fn account(world: &World, seed: u8) -> Account {
    read_account(&world.state(), public(seed)).unwrap().unwrap()
}

fn remembers(world: &World, m: &Message) -> bool {
    is_void(&world.state(), m.issuer, m.sequence, &m.id()).unwrap()
}

#[test]
fn what_no_sequence_settles_is_remembered_until_one_does() {
    let mut world = World::new();
    let (a0, a1, a2) = (message(&world, A, 0, 0), message(&world, A, 1, 0), message(&world, A, 2, 0));
    let lost: Vec<Message> = (1..4).map(|sequence| message(&world, A, sequence, 1)).collect();
    milestone(&mut world, &[a0, a1], &lost);
    assert_eq!((account(&world, A).next_sequence, account(&world, A).voids), (2, 2));
    assert!(!remembers(&world, &lost[0]), "its sequence settles it");
    assert!(remembers(&world, &lost[1]) && remembers(&world, &lost[2]));
    // a rival of a milestone in which the sequence is reached needs no remembering, those before go
    let late = message(&world, A, 2, 9);
    milestone(&mut world, &[a2], &[late]);
    assert_eq!((account(&world, A).next_sequence, account(&world, A).voids), (3, 1));
    assert!(!world.values.contains_key(&Key::Void(public(A), 2)), "it is gone from the state");
    assert!(remembers(&world, &lost[2]));
}

#[test]
fn an_honest_issuer_costs_no_look_up() {
    let mut world = World::new();
    let (a0, b0) = (message(&world, A, 0, 0), message(&world, B, 0, 0));
    let (a1, lost) = (message(&world, A, 1, 0), message(&world, B, 5, 1));
    milestone(&mut world, &[a0, b0], from_ref(&lost));
    assert!(remembered(&world.state(), [&a1]).unwrap().is_empty());
    assert_eq!(remembered(&world.state(), [&a1, &lost]).unwrap(), [Key::Void(public(B), 5)]);
}

/// What is void says nothing of whether a node is there.
#[test]
fn a_void_message_elects_nobody() {
    let mut world = World::with(Parameters { stake_min: 0, ..Parameters::default() });
    world.run(4, crate::world::register()).unwrap();
    let lost = message(&world, 4, 3, 0);
    milestone(&mut world, &[], &[lost]);
    let heard = account(&world, 4);
    assert_eq!((heard.next_sequence, heard.last, heard.messages, heard.voids), (0, Unsigned::root(world.network), 0, 1));
    assert!(!elect(&world.state(), &world.rules()).unwrap().contains(&public(4)));
    // its first message counts all the same
    let first = message(&world, 4, 0, 0);
    milestone(&mut world, from_ref(&first), &[]);
    assert_eq!((account(&world, 4).next_sequence, account(&world, 4).last), (1, first.id()));
}

/// The sequence of everything that a barred issuer ever issued, or will, is settled.
fn is_barred(world: &World, seed: u8) -> bool {
    let account = account(world, seed);
    account.is_barred() && account.voids == 0 && [0, 1, u64::MAX].into_iter().all(|sequence| account.has_passed(sequence))
}

#[test]
fn an_issuer_with_too_many_void_messages_is_barred() {
    let mut world = World::new();
    let a0 = message(&world, A, 0, 0);
    milestone(&mut world, &[a0], &[]);
    let nearly = Account { voids: VOIDS_MAX - 1, ..account(&world, A) };
    world.values.insert(Key::Account(public(A)), nearly.encode());
    let (last, over, after) = (message(&world, A, 7, 1), message(&world, A, 8, 2), message(&world, A, 9, 3));
    milestone(&mut world, &[], from_ref(&last));
    assert!(!is_barred(&world, A) && remembers(&world, &last));
    milestone(&mut world, &[], &[last]);
    assert!(!is_barred(&world, A), "one message twice is one");
    milestone(&mut world, &[], &[over, after]);
    assert!(is_barred(&world, A));
    for sequence in [8, 9] {
        assert!(!world.values.contains_key(&Key::Void(public(A), sequence)), "nothing more is remembered");
    }
}

#[test]
fn an_issuer_with_too_many_void_messages_of_one_sequence_is_barred() {
    let mut world = World::new();
    let a0 = message(&world, A, 0, 0);
    milestone(&mut world, &[a0], &[]);
    let mut ids: Vec<Id> = (0..VOID_IDS_MAX as u64).map(|n| Id::hash(&[&n.to_be_bytes()])).collect();
    ids.sort_unstable();
    let full = Account { voids: VOID_IDS_MAX as u64, ..account(&world, A) };
    world.values.insert(Key::Account(public(A)), full.encode());
    world.values.insert(Key::Void(public(A), 3), VoidIds(ids).encode());
    let (beside, over) = (message(&world, A, 4, 0), message(&world, A, 3, 0));
    milestone(&mut world, &[], &[beside]);
    assert!(!is_barred(&world, A));
    milestone(&mut world, &[], &[over]);
    assert!(is_barred(&world, A));
}

#[derive(Clone, Debug)]
enum Step {
    /// The issuer's next message counts.
    Count(u8),
    /// A message so far ahead is void.
    Lose(u8, u64, u64),
    /// Both in one milestone.
    Both(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let issuer = prop::sample::select(vec![A, B]);
    prop_oneof![
        2 => issuer.clone().prop_map(Step::Count),
        3 => (issuer.clone(), 0..SEQUENCES, 0u64..3).prop_map(|(i, sequence, mark)| Step::Lose(i, sequence, mark)),
        1 => (issuer, 0..SEQUENCES).prop_map(|(i, sequence)| Step::Both(i, sequence)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The state remembers exactly the void messages that no sequence settles, and the accounts count them.
    #[test]
    fn the_state_remembers_what_no_sequence_settles(steps in prop::collection::vec(step(), 1..24)) {
        let mut world = World::new();
        let mut next = BTreeMap::from([(A, 0u64), (B, 0u64)]);
        let mut void: BTreeMap<(u8, u64), BTreeSet<Id>> = BTreeMap::new();
        for (n, step) in (100u64..).zip(steps) {
            let (issuer, counted, lost) = match step {
                Step::Count(i) => (i, vec![message(&world, i, next[&i], n)], vec![]),
                Step::Lose(i, sequence, mark) => (i, vec![], vec![message(&world, i, sequence, mark)]),
                Step::Both(i, sequence) => (i, vec![message(&world, i, next[&i], n)], vec![message(&world, i, sequence, n + 1_000)]),
            };
            milestone(&mut world, &counted, &lost);
            *next.get_mut(&issuer).unwrap() += counted.len() as u64;
            for m in lost {
                void.entry((issuer, m.sequence)).or_default().insert(m.id());
            }
            let state = world.state();
            for seed in [A, B] {
                let mut count = 0;
                for sequence in 0..SEQUENCES {
                    let of_sequence = void.get(&(seed, sequence)).filter(|_| sequence >= next[&seed]).cloned().unwrap_or_default();
                    count += of_sequence.len() as u64;
                    let stored = read_void(&state, public(seed), sequence).unwrap().0;
                    prop_assert_eq!(stored, of_sequence.into_iter().collect::<Vec<_>>());
                }
                let account = read_account(&state, public(seed)).unwrap();
                prop_assert_eq!(account.as_ref().map_or(0, |a| a.voids), count);
                prop_assert_eq!(account.map_or(0, |a| a.next_sequence), next[&seed]);
            }
        }
    }
}
