//! Evidence and what it costs: E-18 to E-23.

use crate::world::{COINS, World, delegate, key, public, register, undelegate, withdraw};
use ledger::{OrderError, RETAINED_FULL, is_punished, read_totals};
use protocol::finalization::consensus_namespace;
use protocol::{Ballot, Evidence, EvidenceError, Finalization, Id, MessageError, Parameters, Phase};

fn burned(world: &World) -> u64 {
    read_totals(&world.state()).unwrap().burned
}

fn double_vote(world: &World, validator: u8, phase: Phase, digests: (u8, u8)) -> Evidence {
    let namespace = [consensus_namespace(&world.network).as_slice(), phase.suffix()].concat();
    let ballot = |digest: u8| {
        let digest = Id([digest; 32]);
        let proposal = Finalization { epoch: 0, view: 5, parent_view: 4, digest, votes: Vec::new() }.proposal();
        Ballot { parent_view: 4, digest, signature: key(validator).sign(&namespace, &proposal) }
    };
    Evidence::votes(public(validator), phase, 0, 5, ballot(digests.0), ballot(digests.1))
}

#[test]
fn equivocation_costs_stake_once() {
    let mut world = World::new();
    world.run(4, delegate(1, 1_001)).unwrap();
    let evidence = world.equivocation(1, 7);
    assert_eq!(world.prove(evidence.clone()), Ok(()));
    assert!(is_punished(&world.state(), evidence.offence().id));
    assert_eq!(burned(&world), (COINS + 1_001) / 2);
    assert_eq!((world.staked(1, 1), world.staked(4, 1)), (COINS / 2, 500));
    assert_eq!(world.validator(1).retained, RETAINED_FULL / 2);
    assert_eq!(world.prove(evidence), Err(OrderError::Punished), "old news");
    // another offence costs again
    let again = world.equivocation(1, 8);
    assert_eq!(world.prove(again), Ok(()));
    assert_eq!((world.staked(1, 1), world.staked(4, 1)), (COINS / 4, 250));
    assert_eq!(world.staked(2, 2), COINS, "of somebody else nothing");
}

#[test]
fn double_votes_cost_stake_once_for_a_view() {
    let mut world = World::new();
    let (notarize, finalize) = (double_vote(&world, 2, Phase::Notarize, (1, 2)), double_vote(&world, 2, Phase::Finalize, (1, 2)));
    assert_eq!(world.prove(notarize.clone()), Ok(()));
    assert_eq!(world.staked(2, 2), COINS / 2);
    let other = double_vote(&world, 2, Phase::Notarize, (2, 3));
    for evidence in [notarize, finalize, other] {
        assert_eq!(world.prove(evidence), Err(OrderError::Punished));
    }
}

#[test]
fn evidence_that_proves_nothing_costs_nothing() {
    let mut world = World::new();
    let Evidence::Messages { first, mut second } = world.equivocation(1, 0) else { panic!("messages") };
    second.signature.0[0] ^= 1;
    let forged = world.prove(Evidence::Messages { first, second });
    assert_eq!(forged, Err(OrderError::Evidence(EvidenceError::Head(MessageError::Signature))));
    let twice = double_vote(&world, 1, Phase::Notarize, (3, 3));
    assert_eq!(world.prove(twice), Err(OrderError::Evidence(EvidenceError::Order)));
    let stranger = world.equivocation(5, 0);
    assert_eq!(world.prove(stranger), Err(OrderError::Stranger(public(5))));
    assert_eq!((burned(&world), world.staked(1, 1)), (0, COINS));
    // the right evidence of the same offence still counts
    let right = world.equivocation(1, 0);
    assert_eq!(world.prove(right), Ok(()));
}

#[test]
fn what_is_unbonding_can_be_slashed_until_it_is_withdrawn() {
    let mut world = World::new();
    world.run(4, delegate(1, 1_000)).unwrap();
    world.run(4, undelegate(1, 600)).unwrap();
    let evidence = world.equivocation(1, 0);
    world.prove(evidence).unwrap();
    assert_eq!((world.staked(4, 1), world.unbonding(4, 1)), (200, 300));
    assert_eq!(burned(&world), COINS / 2 + 500);
    world.epoch = 2;
    // released, but not withdrawn
    let evidence = world.equivocation(1, 1);
    world.prove(evidence).unwrap();
    assert_eq!(world.run(4, withdraw(1)), Ok(()));
    assert_eq!(world.wallet(4).balance, COINS - 1_000 + 150);
    // withdrawn is withdrawn
    let evidence = world.equivocation(1, 2);
    world.prove(evidence).unwrap();
    assert_eq!(world.wallet(4).balance, COINS - 1_000 + 150);
}

#[test]
fn stake_that_came_after_a_slash_is_whole() {
    let mut world = World::new();
    world.run(4, delegate(1, 1_000)).unwrap();
    let evidence = world.equivocation(1, 0);
    world.prove(evidence).unwrap();
    world.run(5, delegate(1, 1_000)).unwrap();
    world.run(4, delegate(1, 1)).unwrap();
    assert_eq!((world.staked(5, 1), world.staked(4, 1)), (1_000, 501));
    let evidence = world.equivocation(1, 1);
    world.prove(evidence).unwrap();
    assert_eq!((world.staked(5, 1), world.staked(4, 1)), (500, 250));
}

#[test]
fn an_offender_is_jailed_and_its_delegators_may_leave() {
    let mut world = World::new();
    world.run(4, delegate(1, COINS)).unwrap();
    let evidence = world.equivocation(1, 0);
    world.prove(evidence).unwrap();
    assert_eq!(world.validator(1).jailed_until, 3);
    assert!(world.validator(1).stake >= 1_000, "it has enough to stand");
    assert_eq!(world.run(4, undelegate(1, 10)), Ok(()));
    for _ in 0..3 {
        assert!(!world.close().contains(&public(1)), "epoch {}", world.epoch);
    }
    world.hear(1);
    assert!(world.close().contains(&public(1)), "elected in epoch 3 for epoch 4");
    // registering again does not shorten it
    let evidence = world.equivocation(1, 1);
    world.prove(evidence).unwrap();
    world.run(1, register()).unwrap();
    assert!(!world.elected().contains(&public(1)));
}

#[test]
fn a_percentage_of_the_whole_range() {
    for (percent, left) in [(0, COINS), (1, COINS - COINS / 100), (99, COINS / 100), (100, 0)] {
        let mut world = World::with(Parameters { slash_percent: percent, ..Parameters::default() });
        let evidence = world.equivocation(1, 0);
        world.prove(evidence).unwrap();
        assert_eq!(world.validator(1).stake, left);
        assert!((left.saturating_sub(1)..=left).contains(&world.staked(1, 1)), "{percent} percent");
        assert_eq!(burned(&world), COINS - left);
        assert!(!world.elected().contains(&public(1)), "jailed");
        let more = world.run(4, delegate(1, 1));
        assert_eq!(more, if percent == 100 { Err(OrderError::Ruined(public(1))) } else { Ok(()) });
    }
}
