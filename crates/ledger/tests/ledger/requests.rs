//! Requests, votes, certificates, services and rewards: the rules WAL-21 to WAL-44 of `docs/spec/wallet.md`.

use crate::world::{COINS, VALIDATORS, World, key, name, public, register};
use ledger::{
    AHEAD_MAX, Ahead, EARLY_MS_MAX, Effects, Key, OrderError, Overlay, PAID_ROOTS_MAX, Purse, RequestError, Tally, apply, executed_purse,
    following, judge, judging, may_close, read_coins, read_purchase, read_purse, read_registered, touched,
};
use protocol::service::service_id;
use protocol::{
    Action, Body, CastVote, Certificate, CertificateError, Draft, Id, Operation, Outcome, Reason, Request, ServiceKind, Share, Silence,
    Terms, UNITS_PER_COIN,
};

const UNIT: u64 = UNITS_PER_COIN;
/// Wallets that spend.
const A: u8 = 4;
const B: u8 = 5;
/// A wallet that nobody has heard of.
const STRANGER: u8 = 77;

pub(crate) fn purse(world: &World, seed: u8) -> Purse {
    executed_purse(&world.state(), &world.rules(), public(seed)).unwrap()
}

pub(crate) fn balance(world: &World, seed: u8) -> u64 {
    purse(world, seed).balance
}

pub(crate) fn fund(world: &mut World, seed: u8, coins: u64) {
    assert_eq!(world.run(seed, Action::Fund { amount: coins }), Ok(()));
}

/// A request in this State, by its number.
pub(crate) fn request_in(world: &World, seed: u8, (number, state): (u64, Id), operation: Operation, price: u64) -> Request {
    let draft = Draft { state, number, epoch: world.epoch, operation, price, from_ms: 0, until_ms: 10_000 };
    draft.sign(&world.network, &key(seed), world.genesis.wallet_parameters.difficulty, u64::MAX).unwrap().unwrap()
}

/// A wallet's next request.
pub(crate) fn request(world: &World, seed: u8, operation: Operation, price: u64) -> Request {
    let purse = purse(world, seed);
    request_in(world, seed, (purse.number, purse.state), operation, price)
}

pub(crate) fn pay(to: u8) -> Operation {
    Operation::Transfer { to: public(to) }
}

/// Carries requests in a message of nobody in particular.
pub(crate) fn carry(world: &mut World, requests: &[&Request]) -> Vec<OrderError> {
    let requests = requests.iter().map(|r| (*r).clone()).collect();
    world.send(Body::Requests(requests)).into_iter().map(|r| r.why).collect()
}

/// A validator votes.
pub(crate) fn vote(world: &mut World, validator: u8, ids: &[Id]) -> Effects {
    world.send_of(validator, ids.to_vec(), Body::Data(Vec::new()))
}

/// All validators vote: of three members all three are needed.
pub(crate) fn certify(world: &mut World, request: &Request) -> usize {
    assert_eq!(carry(world, &[request]), []);
    VALIDATORS.into_iter().map(|v| vote(world, v, &[request.id()]).executed.len()).sum()
}

fn place(world: &World, validator: u8) -> u8 {
    let members = world.genesis.committee.validators();
    members.iter().position(|m| m.key == public(validator)).unwrap() as u8
}

/// The vote of a validator in a message that no milestone holds.
pub(crate) fn cast(world: &World, validator: u8, request: &Request) -> CastVote {
    let others = (1..=4u8).map(|n| Id([n; 32]));
    let message = world.message_of(validator, others.chain([request.id()]).collect(), Body::Data(vec![9]));
    message.cast_vote(&request.id(), place(world, validator)).unwrap()
}

pub(crate) fn certificate(world: &World, request: &Request) -> Certificate {
    Certificate::assemble(request.clone(), VALIDATORS.map(|v| cast(world, v, request)), 3).unwrap()
}

#[test]
fn coins_move_between_account_and_purse() {
    let mut world = World::new();
    assert_eq!(world.run(A, Action::Fund { amount: COINS + 1 }), Err(OrderError::Funds { available: COINS, needed: COINS + 1 }));
    fund(&mut world, A, 100);
    assert_eq!((world.wallet(A).balance, balance(&world, A)), (COINS - 100, 100 * UNIT));
    let back = request(&world, A, Operation::Redeem, 30 * UNIT);
    assert_eq!(certify(&mut world, &back), 1);
    assert_eq!((world.wallet(A).balance, balance(&world, A)), (COINS - 70, 70 * UNIT));
    let coins = read_coins(&world.state()).unwrap();
    assert_eq!((coins.funded, coins.redeemed), (100, 30));
}

#[test]
fn enough_votes_execute_a_request_once() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let request = request(&world, A, pay(STRANGER), 3 * UNIT);
    assert_eq!(carry(&mut world, &[&request, &request]), [], "twice is once");
    assert_eq!(vote(&mut world, 1, &[request.id()]).executed, []);
    assert_eq!(vote(&mut world, 1, &[request.id()]).executed, [], "a validator has one vote");
    assert_eq!(vote(&mut world, B, &[request.id()]).executed, [], "who is no member has none");
    assert_eq!(vote(&mut world, 2, &[Id([9; 32]), request.id()]).executed, []);
    assert_eq!(balance(&world, A), 10 * UNIT);
    let done = vote(&mut world, 3, &[request.id()]).executed;
    assert_eq!(done.iter().map(|e| (e.request, e.wallet, e.number)).collect::<Vec<_>>(), [(request.id(), public(A), 0)]);
    assert_eq!((balance(&world, A), balance(&world, STRANGER)), (7 * UNIT, 3 * UNIT));
    assert_eq!((purse(&world, A).number, purse(&world, A).state), (1, request.next_state()));
    // again: nothing
    assert_eq!(vote(&mut world, 3, &[request.id()]).executed, []);
    let spent = RequestError::State { number: 1, expected: request.next_state() };
    assert_eq!(carry(&mut world, &[&request]), [OrderError::Request(spent)]);
    for v in VALIDATORS {
        assert_eq!(balance(&world, v), world.genesis.wallet_parameters.vote_reward, "the reward of a vote");
    }
}

#[test]
fn of_two_requests_of_one_state_one_is_executed() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let (one, other) = (request(&world, A, pay(B), 8 * UNIT), request(&world, A, pay(STRANGER), 8 * UNIT));
    assert_eq!(carry(&mut world, &[&one, &other]), []);
    vote(&mut world, 1, &[one.id()]);
    vote(&mut world, 2, &[one.id(), other.id()]);
    assert_eq!(vote(&mut world, 3, &[one.id(), other.id()]).executed.len(), 1);
    assert_eq!((balance(&world, B), balance(&world, STRANGER)), (8 * UNIT, 0));
    // a committee with more than f Byzantine members may certify the other as well: it is not executed
    assert_eq!(vote(&mut world, 1, &[other.id()]).executed, []);
    assert_eq!(balance(&world, STRANGER), 0);
    let refused = carry(&mut world, &[&other]);
    assert!(matches!(refused[..], [OrderError::Request(RequestError::State { number: 1, .. })]), "the later is refused");
}

#[test]
fn a_chain_is_executed_in_its_order_whatever_the_order_of_votes() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let first = request(&world, A, pay(B), UNIT);
    let second = request_in(&world, A, (1, first.next_state()), pay(B), 2 * UNIT);
    let third = request_in(&world, A, (2, second.next_state()), pay(B), 4 * UNIT);
    assert_eq!(carry(&mut world, &[&third, &first, &second]), []);
    for v in [1, 2] {
        vote(&mut world, v, &[first.id(), second.id(), third.id()]);
    }
    assert_eq!(vote(&mut world, 3, &[third.id()]).executed, [], "it waits");
    assert_eq!(vote(&mut world, 3, &[second.id()]).executed, []);
    let numbers: Vec<u64> = vote(&mut world, 3, &[first.id()]).executed.iter().map(|e| e.number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!((balance(&world, A), balance(&world, B)), (3 * UNIT, 7 * UNIT));
    let far = request_in(&world, A, (3 + AHEAD_MAX + 1, Id([1; 32])), pay(B), 1);
    assert_eq!(carry(&mut world, &[&far]), [OrderError::Request(RequestError::Ahead { number: 3 })]);
}

#[test]
fn a_certificate_does_what_votes_do() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let request = request(&world, A, pay(B), UNIT);
    let whole = certificate(&world, &request);
    let mut short = whole.clone();
    short.votes.pop();
    let refusals = world.send(Body::Certificates(vec![short]));
    let votes = CertificateError::Votes { found: 2, needed: 3 };
    assert_eq!(refusals[0].why, OrderError::Request(RequestError::Certificate(votes)));
    let mut forged = whole.clone();
    forged.votes[1].content = Id([0; 32]);
    let refusals = world.send(Body::Certificates(vec![forged]));
    assert!(matches!(refusals[0].why, OrderError::Request(RequestError::Certificate(CertificateError::Signature(_)))));
    assert_eq!(balance(&world, B), 0);
    let effects = world.send_of(200, Vec::new(), Body::Certificates(vec![whole.clone()]));
    assert_eq!((effects.refusals.len(), effects.executed.len()), (0, 1));
    assert_eq!(balance(&world, B), UNIT);
    let refusals = world.send(Body::Certificates(vec![whole]));
    assert!(matches!(refusals[0].why, OrderError::Request(RequestError::State { number: 1, .. })), "once");
}

#[test]
fn a_certificate_of_a_later_request_waits_for_the_earlier() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let first = request(&world, A, pay(B), UNIT);
    let second = request_in(&world, A, (1, first.next_state()), pay(B), UNIT);
    assert_eq!(world.send(Body::Certificates(vec![certificate(&world, &second)])), []);
    assert_eq!(balance(&world, B), 0);
    assert_eq!(certify(&mut world, &first), 2);
    assert_eq!(balance(&world, B), 2 * UNIT);
}

#[test]
fn an_epoch_ends_what_was_not_executed() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let old = request(&world, A, pay(B), UNIT);
    carry(&mut world, &[&old]);
    vote(&mut world, 1, &[old.id()]);
    vote(&mut world, 2, &[old.id()]);
    let late = certificate(&world, &old);
    world.close();
    assert_eq!(vote(&mut world, 3, &[old.id()]).executed, [], "a vote of another epoch");
    let now = OrderError::Request(RequestError::Epoch { now: 1 });
    assert_eq!(world.send(Body::Certificates(vec![late]))[0].why, now);
    assert_eq!(carry(&mut world, &[&old]), [now]);
    let new = request(&world, A, pay(B), UNIT);
    assert_eq!(certify(&mut world, &new), 1, "the purse is free again");
}

#[test]
fn who_ended_the_epoch_votes_no_more_and_enough_of_them_close_it() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let request = request(&world, A, pay(B), UNIT);
    carry(&mut world, &[&request]);
    let end = |world: &mut World, v: u8, votes: &[Id], epoch| world.send_of(v, votes.to_vec(), Body::EndOfEpoch { epoch }).refusals;
    assert_eq!(end(&mut world, 1, &[request.id()], 1)[0].why, OrderError::Request(RequestError::Epoch { now: 0 }));
    assert_eq!(end(&mut world, 1, &[request.id()], 0), [], "its last votes count");
    assert_eq!(end(&mut world, 1, &[], 0)[0].why, OrderError::Request(RequestError::NoMember), "once");
    assert_eq!(end(&mut world, B, &[], 0)[0].why, OrderError::Request(RequestError::NoMember));
    assert_eq!(end(&mut world, 2, &[], 0), []);
    vote(&mut world, 2, &[request.id()]);
    assert_eq!(vote(&mut world, 3, &[request.id()]).executed, [], "the vote of 2 came after its end");
    assert_eq!(may_close(&world.state(), &world.rules()), Ok(false));
    assert_eq!(end(&mut world, 3, &[], 0), []);
    assert_eq!(may_close(&world.state(), &world.rules()), Ok(true));
    world.close();
    assert_eq!(may_close(&world.state(), &world.rules()), Ok(false), "of this epoch");
}

fn terms(silence: Silence) -> Terms {
    let topic = "bar/machine-1/act/brew".parse().unwrap();
    Terms { kind: ServiceKind::Actuate(topic), price: 2 * UNIT, report_ms: 500, silence }
}

#[test]
fn a_purchase_ends_as_its_provider_says_or_as_its_silence() {
    let mut world = World::new();
    fund(&mut world, A, 100);
    let id = service_id(&public(B), &name("espresso"));
    let offer = |terms| Action::Service { name: name("espresso"), terms };
    assert_eq!(world.run(B, offer(None)), Err(OrderError::Request(RequestError::NoService(id))));
    let buy = |world: &mut World, silence| {
        assert_eq!(world.run(B, offer(Some(terms(silence)))), Ok(()));
        let request = request(world, A, Operation::Buy { service: id, argument: b"double".to_vec() }, 2 * UNIT);
        assert_eq!(certify(world, &request), 1);
        request.id()
    };
    let end = |world: &mut World, by: u8, purchase, outcome| world.run(by, Action::Settle { purchase, outcome });
    let refused = |why| Err(OrderError::Request(why));

    let purchase = buy(&mut world, Silence::Refund);
    assert_eq!((balance(&world, A), balance(&world, B)), (98 * UNIT, 0), "held");
    assert_eq!(read_purchase(&world.state(), purchase).unwrap().unwrap().due_ms, 1_500);
    assert_eq!(end(&mut world, A, purchase, Outcome::Delivered), refused(RequestError::Provider { provider: public(B) }));
    assert_eq!(end(&mut world, A, purchase, Outcome::Due), refused(RequestError::Early { due_ms: 1_500 }));
    assert_eq!(end(&mut world, B, purchase, Outcome::Delivered), Ok(()));
    assert_eq!((balance(&world, A), balance(&world, B)), (98 * UNIT, 2 * UNIT));
    assert_eq!(end(&mut world, B, purchase, Outcome::Delivered), refused(RequestError::NoPurchase(purchase)), "once");

    let failed = buy(&mut world, Silence::Refund);
    assert_eq!(end(&mut world, B, failed, Outcome::Failed), Ok(()));
    assert_eq!(balance(&world, A), 98 * UNIT, "paid back");

    let (kept, back) = (buy(&mut world, Silence::Pay), buy(&mut world, Silence::Refund));
    world.time_ms = 1_501;
    assert_eq!(end(&mut world, B, kept, Outcome::Failed), refused(RequestError::Late { due_ms: 1_500 }));
    assert_eq!(end(&mut world, A, kept, Outcome::Due), Ok(()));
    assert_eq!(end(&mut world, A, back, Outcome::Due), Ok(()));
    assert_eq!((balance(&world, A), balance(&world, B)), (96 * UNIT, 4 * UNIT));
}

#[test]
fn a_purchase_may_end_in_the_milestone_that_made_it() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    fund(&mut world, B, 5);
    assert_eq!(world.run(B, Action::Service { name: name("espresso"), terms: Some(terms(Silence::Refund)) }), Ok(()));
    let service = service_id(&public(B), &name("espresso"));
    let request = request(&world, A, Operation::Buy { service, argument: Vec::new() }, 2 * UNIT);
    carry(&mut world, &[&request]);
    vote(&mut world, 1, &[request.id()]);
    vote(&mut world, 2, &[request.id()]);
    // the last vote and the provider's order stand in one milestone
    let settle = world.order(B, Action::Settle { purchase: request.id(), outcome: Outcome::Delivered });
    let messages = [world.message_of(3, vec![request.id()], Body::Data(Vec::new())), world.message(Body::Orders(vec![settle]))];
    let mut keys: Vec<Key> = messages.iter().flat_map(touched).collect();
    loop {
        let more = following(&world.brought(&keys), &messages).unwrap();
        if more.iter().all(|key| keys.contains(key)) {
            break;
        }
        keys.extend(more);
    }
    let base = world.brought(&keys);
    let mut overlay = Overlay::new(&base);
    for message in &messages {
        assert_eq!(apply(&mut overlay, &world.rules(), message), Ok(vec![]));
    }
    assert_eq!(read_purse(&overlay, public(B)).unwrap().unwrap().balance, 7 * UNIT, "what it had, and the price");
}

#[test]
fn a_long_run_that_waits_is_found_in_few_rounds() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let (mut at, mut chain) = ((0, purse(&world, A).state), Vec::new());
    for _ in 0..=100 {
        let next = request_in(&world, A, at, pay(B), 1);
        at = (next.number + 1, next.next_state());
        chain.push(next);
    }
    for request in &chain[1..] {
        let tally = Tally { voters: 7, request: request.clone() };
        world.values.insert(Key::Waiting(public(A), request.number), protocol::Encode::encode(&tally));
    }
    let message = world.message(Body::Requests(vec![chain[0].clone()]));
    let (mut keys, mut rounds) = (touched(&message), 0);
    loop {
        let more = following(&world.brought(&keys), [&message]).unwrap();
        if more.iter().all(|key| keys.contains(key)) {
            break;
        }
        keys.extend(more);
        rounds += 1;
    }
    assert!(keys.contains(&Key::Waiting(public(A), 101)), "up to the first that is not there");
    assert!(rounds <= 10, "{rounds}");
    assert_eq!(certify(&mut world, &chain[0]), 101);
}

#[test]
fn votes_of_who_is_no_member_are_not_looked_up() {
    let world = World::new();
    let votes = |issuer| {
        let message = world.message_of(issuer, vec![Id([9; 32])], Body::Data(Vec::new()));
        let keys = touched(&message);
        following(&world.brought(&keys), [&message]).unwrap().contains(&Key::Registered(Id([9; 32])))
    };
    assert!(votes(1) && !votes(B));
}

#[test]
fn nothing_is_taken_of_a_message_after_a_certificate_that_does_not_hold() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let request = request(&world, A, pay(B), UNIT);
    let whole = certificate(&world, &request);
    let mut forged = whole.clone();
    forged.votes[1].content = Id([0; 32]);
    assert_eq!(world.send(Body::Certificates(vec![forged, whole.clone()])).len(), 1);
    assert_eq!(balance(&world, B), 0);
    assert_eq!(world.send(Body::Certificates(vec![whole])), []);
    assert_eq!(balance(&world, B), UNIT);
}

#[test]
fn what_cannot_take_place_leaves_the_price_in_the_purse() {
    let mut world = World::new();
    fund(&mut world, A, 1);
    let request = request(&world, A, Operation::Buy { service: Id([3; 32]), argument: Vec::new() }, 5);
    assert_eq!(certify(&mut world, &request), 1);
    assert_eq!((purse(&world, A).number, balance(&world, A)), (1, UNIT));
}

fn batch(root: u8, count: u32, shares: &[(u8, u32)]) -> Body {
    let shares = shares.iter().map(|(w, count)| Share { wallet: public(*w), count: *count }).collect();
    Body::Readings { root: Id([root; 32]), count, bytes: 1, span_us: (0, 1), blob: Id([0; 32]), shares }
}

#[test]
fn shares_earn_what_the_genesis_says_and_no_more() {
    let mut genesis = World::new().genesis;
    genesis.wallet_parameters.share_cap = 3;
    let mut world = World::of(genesis);
    assert_eq!(world.send(batch(1, 5, &[(A, 2), (B, 3)])), []);
    assert_eq!((balance(&world, A), balance(&world, B)), (2 * UNIT / 5, 3 * UNIT / 5), "five shares are a DCoin");
    assert_eq!(world.send(batch(1, 5, &[(A, 5)]))[0].why, OrderError::Request(RequestError::PaidBefore));
    let many = RequestError::Shares { claimed: 6, readings: 5 };
    assert_eq!(world.send(batch(2, 5, &[(A, 3), (B, 3)]))[0].why, OrderError::Request(many));
    assert_eq!(world.send(batch(3, 50, &[(A, 50)])), []);
    assert_eq!(balance(&world, A), 2 * UNIT + 2 * UNIT / 5, "up to the cap of three DCoin in all");
    world.close();
    assert_eq!(world.send(batch(4, 5, &[(A, 5)])), []);
    assert_eq!(balance(&world, A), 3 * UNIT + 2 * UNIT / 5, "an epoch later");
    for n in 0..PAID_ROOTS_MAX as u8 {
        assert_eq!(world.send(batch(100 + n, 1, &[(A, 1)])), []);
    }
    assert_eq!(world.send(batch(1, 5, &[(A, 1)])), [], "only so many are remembered");
    assert_eq!(read_coins(&world.state()).unwrap().minted, balance(&world, A) + balance(&world, B));
}

#[test]
fn votes_earn_up_to_a_cap() {
    let mut genesis = World::new().genesis;
    (genesis.wallet_parameters.vote_reward, genesis.wallet_parameters.reward_cap) = (700_000, 1);
    let mut world = World::of(genesis);
    fund(&mut world, A, 10);
    for expected in [700_000, UNIT, UNIT] {
        let request = request(&world, A, pay(B), 1);
        assert_eq!(certify(&mut world, &request), 1);
        assert_eq!(balance(&world, 1), expected);
    }
}

#[test]
fn registered_requests_do_not_grow_without_bound() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let oldest = request(&world, A, pay(B), 1);
    carry(&mut world, &[&oldest]);
    let mut coins = read_coins(&world.state()).unwrap();
    coins.registered = ledger::REGISTERED_MAX;
    world.values.insert(ledger::Key::Coins, protocol::Encode::encode(&coins));
    let next = request(&world, A, pay(B), 2);
    carry(&mut world, &[&next]);
    assert_eq!(read_registered(&world.state(), oldest.id()), Ok(None), "the next one took its place");
    for v in VALIDATORS {
        assert_eq!(vote(&mut world, v, &[oldest.id()]).executed, [], "its votes are not counted any more");
    }
    let refusals = world.send(Body::Certificates(vec![certificate(&world, &oldest)]));
    assert_eq!((refusals.len(), balance(&world, B)), (0, 1), "and its certificate brings it all the same");
}

#[test]
fn a_validator_says_why_it_is_not_for_a_request() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let first = request(&world, A, pay(B), 9 * UNIT);
    let verdict = |world: &World, ahead: Option<&Ahead>, r: &Request, now_ms| {
        judge(&world.brought(&judging(r)), &world.rules(), ahead, r, now_ms).unwrap()
    };
    assert_eq!(verdict(&world, None, &first, 0), None);
    assert_eq!(verdict(&world, None, &first, 10_000), None);
    assert_eq!(verdict(&world, None, &first, 10_001), Some(Reason::Time { clock_ms: 10_001 }));
    let draft = |from_ms, epoch, number, price, operation| {
        let state = purse(&world, A).state;
        let draft = Draft { state, number, epoch, operation, price, from_ms, until_ms: from_ms + 1 };
        draft.sign(&world.network, &key(A), 1, u64::MAX).unwrap().unwrap()
    };
    let soon = draft(EARLY_MS_MAX, 0, 0, 1, pay(B));
    assert_eq!(verdict(&world, None, &soon, 0), None);
    let early = draft(EARLY_MS_MAX + 1, 0, 0, 1, pay(B));
    assert_eq!(verdict(&world, None, &early, 0), Some(Reason::Time { clock_ms: 0 }));
    assert_eq!(verdict(&world, None, &draft(0, 1, 0, 1, pay(B)), 0), Some(Reason::Epoch { now: 0 }));
    let here = Reason::State { number: 0, state: purse(&world, A).state };
    assert_eq!(verdict(&world, None, &draft(0, 0, 1, 1, pay(B)), 0), Some(here));
    let huge = draft(0, 0, 0, u64::MAX, pay(B));
    assert_eq!(verdict(&world, None, &huge, 0), Some(Reason::Funds { available: 10 * UNIT }));
    let nobody = Operation::Transfer { to: protocol::PublicKey([0; 32]) };
    assert_eq!(verdict(&world, None, &draft(0, 0, 0, 1, nobody), 0), Some(Reason::Recipient));
    let unknown = Operation::Buy { service: Id([1; 32]), argument: Vec::new() };
    assert_eq!(verdict(&world, None, &draft(0, 0, 0, 1, unknown), 0), Some(Reason::Service));
    let forged = Request { signature: protocol::Signature([0; 64]), ..first.clone() };
    assert_eq!(verdict(&world, None, &forged, 0), Some(Reason::Signature));
    let lazy = (0..).map(|nonce| Request { nonce, ..first.clone() }).find(|r| r.work() == 0).unwrap();
    assert_eq!(verdict(&world, None, &lazy, 0), Some(Reason::Work { needed: 1 }));
    // the next one, when the first is certified and no milestone has executed it
    let ahead = Ahead::of(&purse(&world, A)).after(&first);
    let second = request_in(&world, A, (1, first.next_state()), pay(B), UNIT);
    assert_eq!(verdict(&world, Some(&ahead), &second, 0), None);
    let dear = request_in(&world, A, (1, first.next_state()), pay(B), UNIT + 1);
    assert_eq!(verdict(&world, Some(&ahead), &dear, 0), Some(Reason::Funds { available: UNIT }));
    assert_eq!(verdict(&world, Some(&ahead), &first, 0), Some(Reason::State { number: 1, state: first.next_state() }));
}

#[test]
fn orders_and_requests_have_states_of_their_own() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let request = request(&world, A, pay(B), UNIT);
    assert_eq!(world.run(A, register()), Ok(()), "an order between a request and its votes");
    assert_eq!(certify(&mut world, &request), 1);
    assert_eq!(read_purse(&world.state(), public(A)).unwrap().map(|p| p.number), Some(1));
}
