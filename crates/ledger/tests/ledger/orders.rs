//! Registering, delegating, undelegating, withdrawing: E-1 to E-9.

use crate::world::{COINS, VALIDATORS, WALLETS, World, delegate, key, name, public, register, undelegate, withdraw};
use ledger::{ApplyError, Key, MemoryStore, OrderError, Overlay, UNBONDING_MAX, apply, read_epoch, read_totals, touched};
use protocol::order::{first_state, next_state};
use protocol::{Action, Body, NetworkId, Order, Parameters};

#[test]
fn the_genesis_state_is_what_the_genesis_says() {
    let world = World::new();
    for seed in WALLETS {
        assert_eq!(world.wallet(seed).balance, COINS);
        assert_eq!(world.wallet(seed).state, first_state(&world.network, &public(seed)));
    }
    for seed in VALIDATORS {
        let validator = world.validator(seed);
        assert_eq!((validator.stake, validator.unbonding, validator.registered), (COINS, 0, true));
        assert_eq!(validator.name, name(&format!("v{seed}")));
        assert_eq!(world.staked(seed, seed), COINS);
    }
    let totals = read_totals(&world.state()).unwrap();
    assert_eq!((totals.supply, totals.burned), (9 * COINS, 0));
    let epoch = read_epoch(&world.state()).unwrap();
    assert_eq!((epoch.epoch, epoch.committee), (0, world.elected()));
}

#[test]
fn an_order_is_executed_once_and_in_its_place() {
    let mut world = World::new();
    let order = world.order(4, delegate(1, 10));
    let first = order.state;
    assert_eq!(world.submit(order.clone()), Ok(()));
    let expected = next_state(&first, &order.id());
    assert_eq!(world.wallet(4).state, expected);
    assert_eq!(world.submit(order.clone()), Err(OrderError::State { expected }), "again");
    // two in one message, each in the State the other leaves
    let second = world.order(4, delegate(1, 20));
    let third = Order::sign(&world.network, &key(4), next_state(&second.state, &second.id()), delegate(1, 30));
    let refusals = world.send(Body::Orders(vec![third.clone(), second, third.clone(), third]));
    let places: Vec<usize> = refusals.iter().map(|r| r.index).collect();
    assert_eq!(places, [0, 3], "too early, and again");
    assert_eq!((world.staked(4, 1), world.wallet(4).balance), (60, COINS - 60));
}

#[test]
fn a_refused_order_does_not_refuse_its_message() {
    let mut world = World::new();
    let orders = vec![world.order(4, delegate(9, 1)), world.order(5, delegate(1, 5)), world.order(6, delegate(1, COINS + 1))];
    let refusals = world.send(Body::Orders(orders));
    assert_eq!(refusals.len(), 2);
    assert_eq!((refusals[0].index, &refusals[0].why), (0, &OrderError::Stranger(public(9))));
    assert_eq!((refusals[1].index, &refusals[1].why), (2, &OrderError::Funds { available: COINS, needed: COINS + 1 }));
    assert!(refusals[1].to_string().starts_with("order 2: the wallet has 10000 DCoin"), "{}", refusals[1]);
    assert_eq!(world.staked(5, 1), 5);
    assert_eq!(read_totals(&world.state()).unwrap().messages, 1);
}

#[test]
fn orders_need_their_wallets_signature_for_this_network() {
    let mut world = World::new();
    let state = world.wallet(4).state;
    let other = NetworkId([9; 32]);
    assert_eq!(world.submit(Order::sign(&other, &key(4), state, delegate(1, 1))), Err(OrderError::Signature));
    let mut forged = Order::sign(&world.network, &key(5), state, delegate(1, 1));
    forged.wallet = public(4);
    assert_eq!(world.submit(forged), Err(OrderError::Signature));
}

#[test]
fn a_wallet_registers_as_a_validator_and_retires() {
    let mut world = World::new();
    world.hear(5);
    assert_eq!(world.run(4, delegate(5, 1)), Err(OrderError::Stranger(public(5))));
    assert_eq!(world.run(5, Action::Retire), Err(OrderError::Stranger(public(5))));
    let address: Option<protocol::Address> = Some("10.0.0.5:7700".parse().unwrap());
    assert_eq!(world.run(5, Action::Register { name: name("fifth"), address: address.clone() }), Ok(()));
    let validator = world.validator(5);
    assert_eq!((validator.name, validator.address, validator.stake), (name("fifth"), address, 0));
    assert!(!world.elected().contains(&public(5)), "without stake");
    assert_eq!(world.run(4, delegate(5, 999)), Ok(()));
    assert!(!world.elected().contains(&public(5)), "with too little");
    assert_eq!(world.run(5, delegate(5, 1)), Ok(()));
    assert!(world.elected().contains(&public(5)));
    // registering again says something else about the same validator
    assert_eq!(world.run(5, register()), Ok(()));
    let validator = world.validator(5);
    assert_eq!((validator.name, validator.address, validator.stake), (name("new"), None, 1_000));
    assert_eq!(world.run(5, Action::Retire), Ok(()));
    assert!(!world.elected().contains(&public(5)));
    assert_eq!(world.run(4, delegate(5, 1)), Err(OrderError::Retired(public(5))));
    assert_eq!(world.run(4, undelegate(5, 999)), Ok(()), "from a retired validator");
    assert_eq!(world.run(5, register()), Ok(()));
    assert!(!world.elected().contains(&public(5)), "its stake has left");
}

#[test]
fn a_key_that_signs_everything_cannot_register() {
    let mut world = World::new();
    // the neutral element as key and R, and 0 as s, is a signature of it for anything
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let wallet = protocol::PublicKey(neutral);
    let mut signature = [0; 64];
    signature[0] = 1;
    let state = first_state(&world.network, &wallet);
    let order = Order { wallet, state, action: register(), signature: protocol::Signature(signature) };
    assert!(order.verify(&world.network));
    assert_eq!(world.submit(order), Err(OrderError::Key));
}

#[test]
fn undelegated_stake_comes_back_after_the_unbonding_epochs() {
    let mut world = World::new();
    assert_eq!(world.run(4, delegate(1, 100)), Ok(()));
    assert_eq!(world.run(4, undelegate(1, 101)), Err(OrderError::Funds { available: 100, needed: 101 }));
    assert_eq!(world.run(5, undelegate(1, 1)), Err(OrderError::Funds { available: 0, needed: 1 }), "of somebody else");
    assert_eq!(world.run(4, undelegate(1, 40)), Ok(()));
    assert_eq!((world.staked(4, 1), world.unbonding(4, 1)), (60, 40));
    assert_eq!((world.validator(1).stake, world.validator(1).unbonding), (COINS + 60, 40));
    for epoch in 0..2 {
        assert_eq!(world.run(4, withdraw(1)), Err(OrderError::NothingReleased { epoch }));
        world.close();
    }
    // what is undelegated now is released later
    assert_eq!(world.run(4, undelegate(1, 7)), Ok(()));
    assert_eq!(world.run(4, withdraw(1)), Ok(()));
    assert_eq!((world.wallet(4).balance, world.unbonding(4, 1)), (COINS - 60, 7));
    assert_eq!(world.run(4, withdraw(1)), Err(OrderError::NothingReleased { epoch: 2 }));
    assert_eq!(world.run(5, withdraw(1)), Err(OrderError::NothingReleased { epoch: 2 }));
    assert_eq!(world.run(5, withdraw(9)), Err(OrderError::Stranger(public(9))));
}

#[test]
fn what_is_undelegated_in_one_epoch_is_one_amount() {
    let mut world = World::with(Parameters { unbonding_epochs: 100, ..Parameters::default() });
    assert_eq!(world.run(4, delegate(1, 1_000)), Ok(()));
    for n in 0..UNBONDING_MAX as u64 {
        assert_eq!(world.run(4, undelegate(1, 1)), Ok(()));
        assert_eq!(world.run(4, undelegate(1, 2)), Ok(()), "the same epoch takes no place");
        assert_eq!(world.unbonding(4, 1), 3 * (n + 1));
        world.close();
    }
    assert_eq!(world.run(4, undelegate(1, 1)), Err(OrderError::UnbondingFull));
    world.epoch = 100;
    assert_eq!(world.run(4, withdraw(1)), Ok(()));
    assert_eq!(world.run(4, undelegate(1, 1)), Ok(()));
}

#[test]
fn amounts_of_any_size_do_not_overflow() {
    let mut genesis = World::new().genesis;
    genesis.wallets.iter_mut().for_each(|w| w.1 = 0);
    genesis.wallets[0].1 = u64::MAX - 3 * COINS;
    let mut world = World::of(genesis);
    let rich = WALLETS.into_iter().find(|s| world.wallet(*s).balance > 0).unwrap();
    let validator = VALIDATORS.into_iter().find(|v| *v != rich).unwrap();
    for amount in [u64::MAX, u64::MAX - 3 * COINS + 1] {
        assert!(matches!(world.run(rich, delegate(validator, amount)), Err(OrderError::Funds { .. })));
    }
    assert_eq!(world.run(rich, delegate(validator, u64::MAX - 3 * COINS)), Ok(()));
    assert!(matches!(world.run(rich, undelegate(validator, u64::MAX)), Err(OrderError::Funds { .. })));
    let evidence = world.equivocation(validator, 0);
    assert_eq!(world.prove(evidence), Ok(()));
    let half = world.staked(rich, validator);
    assert_eq!(world.run(rich, undelegate(validator, half)), Ok(()));
    world.epoch = u64::MAX;
    assert_eq!(world.run(rich, withdraw(validator)), Ok(()));
    assert!(world.wallet(rich).balance >= (u64::MAX - 3 * COINS) / 2 - 1);
    assert_eq!(world.run(validator, undelegate(validator, 1)), Ok(()), "in the last epoch there can be");
}

#[test]
fn a_damaged_state_is_no_fault_of_the_order_and_changes_nothing() {
    let mut world = World::new();
    let orders = vec![world.order(5, delegate(1, 5)), world.order(4, delegate(2, 5))];
    let message = world.message(Body::Orders(orders));
    world.values.insert(Key::Validator(public(2)), vec![1, 2]);
    let state = world.state();
    let mut overlay = Overlay::new(&state);
    let error = apply(&mut overlay, &world.rules(), &message).unwrap_err();
    assert!(matches!(error, ApplyError::Corrupt { key: Key::Validator(v), .. } if v == public(2)), "{error}");
    assert!(overlay.into_changes().is_empty());
}

#[test]
fn values_of_every_kind_have_keys_of_their_own() {
    let (a, b, id) = (public(1), public(2), protocol::Id(public(1).0));
    let keys = [
        Key::Account(a),
        Key::Totals,
        Key::Wallet(a),
        Key::Validator(a),
        Key::Delegation(a, b),
        Key::Delegation(b, a),
        Key::Unbonding(a, b),
        Key::Unbonding(b, a),
        Key::Candidates,
        Key::Offence(id),
        Key::Epoch,
        Key::Void(a, 1),
        Key::Void(a, 2),
        Key::Void(b, 1),
        Key::Site(id),
        Key::Device(id),
        Key::DeviceKey(a),
        Key::SiteDevice(id, 0),
        Key::SiteDevice(id, 1),
        Key::SiteChange(id, 0),
        Key::SiteChange(id, 1),
    ];
    let hashes: std::collections::BTreeSet<_> = keys.iter().map(Key::hash).collect();
    assert_eq!(hashes.len(), keys.len());
}

#[test]
fn a_message_names_the_keys_it_touches() {
    let world = World::new();
    let message = world.message(Body::Orders(vec![world.order(4, undelegate(1, 1))]));
    let keys = touched(&message);
    for key in [Key::Wallet(public(4)), Key::Validator(public(1)), Key::Delegation(public(4), public(1)), Key::Candidates] {
        assert!(keys.contains(&key), "{key:?}");
    }
    // every other test applies on these keys alone; without them the order meets nobody
    let base = MemoryStore::default();
    let mut overlay = Overlay::new(&base);
    let refusals = apply(&mut overlay, &world.rules(), &message).unwrap();
    assert_eq!(refusals[0].why, OrderError::Stranger(public(1)));
}
