//! Who signs in the next epoch: E-10 to E-13.

use crate::world::{VALIDATORS, World, delegate, key, name, public, undelegate};
use ledger::{Account, ApplyError, Candidates, Key, MemoryStore, OrderError, Overlay, Validator, close_epoch, elect, read_epoch};
use proptest::prelude::*;
use protocol::{Action, Encode, Id, Parameters, PublicKey};
use std::collections::BTreeMap;

#[test]
fn the_greatest_stakes_are_elected_and_sorted_by_key() {
    let mut world = World::with(Parameters { committee_max: 2, ..Parameters::default() });
    let mut keys = VALIDATORS.map(public);
    keys.sort_unstable();
    assert_eq!(world.elected(), keys[..2], "of equal stakes the smaller keys");
    let last = VALIDATORS.into_iter().find(|s| public(*s) == keys[2]).unwrap();
    world.run(4, delegate(last, 1)).unwrap();
    assert_eq!(world.elected(), [keys[0], keys[2]]);
    let first = VALIDATORS.into_iter().find(|s| public(*s) == keys[0]).unwrap();
    world.run(first, undelegate(first, 1)).unwrap();
    assert_eq!(world.elected(), [keys[1], keys[2]]);
}

#[test]
fn an_election_changes_the_epoch_when_it_is_closed() {
    let mut world = World::new();
    world.run(1, Action::Retire).unwrap();
    let committee = world.elected();
    assert_eq!(committee.len(), 2);
    assert_eq!(read_epoch(&world.state()).unwrap().committee.len(), 3, "not yet");
    world.close();
    let epoch = read_epoch(&world.state()).unwrap();
    assert_eq!((epoch.epoch, epoch.committee), (1, committee));
}

/// Stake alone seats nobody who was not there before: a node that does not run confirms nothing.
#[test]
fn a_newcomer_is_elected_in_an_epoch_in_which_it_was_heard() {
    let mut world = World::with(Parameters { stake_min: 1, ..Parameters::default() });
    world.run(4, Action::Register { name: name("late"), address: None }).unwrap();
    world.run(4, delegate(4, 1)).unwrap();
    assert!(!world.elected().contains(&public(4)), "it has the stake, and nobody has heard of it");
    world.hear(4);
    assert!(world.elected().contains(&public(4)));
    world.close();
    world.close();
    assert!(world.elected().contains(&public(4)), "a member stays by its stake");
}

#[test]
fn the_committee_stays_if_nobody_stands() {
    let mut world = World::new();
    let committee = world.elected();
    for seed in VALIDATORS {
        world.run(seed, Action::Retire).unwrap();
    }
    assert_eq!(world.close(), committee);
    assert_eq!(world.close(), committee, "nor in the next epoch");
}

#[test]
fn an_election_without_its_values_is_no_election() {
    let world = World::new();
    let mut values = world.values.clone();
    values.remove(&Key::Validator(public(1)));
    let error = elect(&MemoryStore::from(values), &world.rules());
    assert_eq!(error, Err(ApplyError::Missing(Key::Validator(public(1)))));
    let error = elect(&MemoryStore::default(), &world.rules());
    assert_eq!(error, Err(ApplyError::Missing(Key::Epoch)));
}

#[test]
fn a_full_list_takes_no_further_candidate() {
    let mut world = World::with(Parameters { stake_min: 1, ..Parameters::default() });
    world.run(4, Action::Register { name: name("late"), address: None }).unwrap();
    // a list that others fill
    let mut others = Candidates(VALIDATORS.map(public).to_vec());
    others.0.sort_unstable();
    let mut filler = 0u64;
    while others.0.len() < ledger::CANDIDATES_MAX {
        filler += 1;
        let mut bytes = [0xaa; 32];
        bytes[24..].copy_from_slice(&filler.to_be_bytes());
        assert!(others.place(PublicKey(bytes), true));
    }
    let order = world.order(4, delegate(4, 1));
    let message = world.message(protocol::Body::Orders(vec![order]));
    let mut values = world.values.clone();
    values.insert(Key::Candidates, others.encode());
    let base = MemoryStore::from(values);
    let mut overlay = Overlay::new(&base);
    let refusals = ledger::apply(&mut overlay, &world.rules(), &message).unwrap();
    assert_eq!(refusals[0].why, OrderError::CandidatesFull);
    // with room on the list the same order holds
    assert_eq!(world.run(4, delegate(4, 1)), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the plain definition: sort all, take the first.
    #[test]
    fn elections_follow_their_definition(
        stakes in prop::collection::vec((0u64..5, any::<bool>(), 0u64..4, any::<bool>()), 0..20),
        committee_max in 1u16..8,
        stake_min in 0u64..4,
        epoch in 0u64..4,
    ) {
        let parameters = Parameters { committee_max, stake_min, ..Parameters::default() };
        let mut world = World::with(parameters);
        (world.values, world.epoch) = (BTreeMap::new(), epoch);
        let mut candidates = Candidates::default();
        let mut standing = Vec::new();
        for (seed, (stake, registered, jailed_until, awake)) in (10u8..).zip(stakes) {
            let validator = Validator { stake, registered, jailed_until, ..Validator::new(name("v"), None) };
            prop_assert!(candidates.place(public(seed), validator.stands(stake_min)));
            world.values.insert(Key::Validator(public(seed)), validator.encode());
            let last = if awake { epoch } else { epoch + 1 };
            let account = Account { next_sequence: 1, last: Id([seed; 32]), messages: 1, readings: 0, meter_us: 0, epoch: last, voids: 0 };
            world.values.insert(Key::Account(public(seed)), account.encode());
            if awake && registered && stake >= stake_min && jailed_until <= epoch {
                standing.push((u64::MAX - stake, public(seed)));
            }
        }
        world.values.insert(Key::Candidates, candidates.encode());
        let present = vec![key(9).public_key()];
        let base = world.state();
        let mut overlay = Overlay::new(&base);
        close_epoch(&mut overlay, &world.rules(), &present);
        world.take(overlay.into_changes());
        standing.sort();
        standing.truncate(usize::from(committee_max));
        let mut expected: Vec<PublicKey> = standing.into_iter().map(|(_, key)| key).collect();
        expected.sort();
        let elected = world.elected();
        prop_assert_eq!(elected, if expected.is_empty() { present } else { expected });
    }
}
