//! Requests on an honest network: chains at once, rivals, a restart between vote and certificate, ends of epochs.

use crate::course::{Play, verdict_of};
use crate::scenarios::phase;
use crate::traffic::PATIENCE;
use crate::world::{Plan, World};
use commonware_runtime::Clock as _;
use futures::future::join_all;
use protocol::order::first_state;
use protocol::{Action, Body, Draft, Id, Operation, Order, PublicKey, Reason, Request, SecretKey};
use replica::{PurseRecord, SpendAnswer, SpendStatus};
use std::time::{Duration, SystemTime};

/// Time between two looks at something awaited.
const LOOK: Duration = Duration::from_millis(20);
/// What the purse of node 0 holds at the beginning, in DCoin.
const FUNDS: u64 = 10;
const PRICE: u64 = 1_000;
const ATTEMPTS: u64 = 1 << 20;

/// Who is paid: no member, so that no reward mixes in.
fn payee() -> PublicKey {
    SecretKey::from_seed(&[200; 32]).public_key()
}

fn now_ms(world: &World) -> u64 {
    world.context.current().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64
}

async fn purse_at(world: &World, i: usize, wallet: PublicKey) -> PurseRecord {
    world.handle(i).purse(wallet).await.expect("no progress: a node has stopped")
}

/// Puts coins into the purse of node 0's wallet and waits until every running node has executed that.
async fn fund(world: &World) -> SecretKey {
    let key = world.key(0).clone();
    let (network, wallet) = (world.genesis.network(), key.public_key());
    let order = Order::sign(&network, &key, first_state(&network, &wallet), Action::Fund { amount: FUNDS });
    world.handle(0).issue(Body::Orders(vec![order]), None).await.expect("a running replica issues orders");
    for i in world.running() {
        let deadline = world.context.current() + PATIENCE;
        while purse_at(world, i, wallet).await.balance < FUNDS * protocol::UNITS_PER_COIN {
            assert!(world.context.current() < deadline, "no progress: node {i} does not fund a purse");
            world.wait(LOOK).await;
        }
    }
    key
}

fn sign(world: &World, key: &SecretKey, (number, state): (u64, Id), epoch: u64, price: u64) -> Request {
    let (from_ms, until_ms) = (now_ms(world), now_ms(world) + 60_000);
    let draft = Draft { state, number, epoch, operation: Operation::Transfer { to: payee() }, price, from_ms, until_ms };
    let difficulty = world.genesis.wallet_parameters.difficulty;
    draft.sign(&world.genesis.network(), key, difficulty, ATTEMPTS).unwrap().unwrap()
}

async fn hand(world: &World, i: usize, requests: Vec<Request>) -> Vec<SpendAnswer> {
    world.handle(i).spend(requests).await.expect("no progress: a running replica carries no requests")
}

/// Waits until a request has a status that `wanted` takes at node `i`.
async fn stands(world: &World, i: usize, id: Id, wanted: impl Fn(SpendStatus) -> bool) {
    let deadline = world.context.current() + PATIENCE;
    loop {
        let status = world.handle(i).spend_record(id).await.map(|record| record.status);
        if status.is_some_and(&wanted) {
            return;
        }
        assert!(world.context.current() < deadline, "no progress: at node {i} a request is {status:?}");
        world.wait(LOOK).await;
    }
}

fn is_final(status: SpendStatus) -> bool {
    matches!(status, SpendStatus::Final { .. })
}

async fn chain_of_64(mut world: World) -> World {
    world.start().await;
    let key = fund(&world).await;
    let purse = purse_at(&world, 1, key.public_key()).await;
    let (mut at, mut all) = ((purse.number, purse.state), Vec::new());
    for _ in 0..64 {
        let request = sign(&world, &key, at, purse.epoch, PRICE);
        at = (request.number + 1, request.next_state());
        all.push(request);
    }
    // one who forges is told so at once, and the rest is carried
    let mut handed = all.clone();
    handed[63].price += 1;
    let answers = hand(&world, 1, handed).await;
    assert!(answers[..63].iter().all(Result::is_ok) && answers[63].is_err(), "{answers:?}");
    assert!(hand(&world, 1, all.clone()).await.iter().all(Result::is_ok), "again, and all of them");
    let last = all[63].id();
    for i in world.honest() {
        stands(&world, i, last, is_final).await;
        let after = purse_at(&world, i, key.public_key()).await;
        assert_eq!((after.number, after.state), at, "diverged: node {i}");
        assert_eq!(purse_at(&world, i, payee()).await.balance, 64 * PRICE, "diverged: node {i}");
        let certificate = world.handle(i).certificate(last).await.expect("no certificate of what is final");
        let committee = world.status(i).await.committee;
        let percent = world.genesis.wallet_parameters.threshold_percent;
        certificate.verify_keys(&world.genesis.network(), world.genesis.subnet, &committee, percent).unwrap();
    }
    let status = world.status(1).await;
    assert!(status.votes_cast >= 64 && status.spends_final == 64 && status.spends_certified >= 1, "{status:?}");
    // more than there is
    let dear = sign(&world, &key, at, purse.epoch, (FUNDS + 1) * protocol::UNITS_PER_COIN);
    let answer = hand(&world, 2, vec![dear]).await.remove(0);
    assert!(matches!(answer, Err(protocol::Reason::Funds { .. })), "{answer:?}");
    world
}

/// Callers that are answered in one round, and more: each is answered, and in their order.
async fn many_callers(mut world: World) -> World {
    const CALLERS: usize = 40;
    world.start().await;
    let key = fund(&world).await;
    let purse = purse_at(&world, 1, key.public_key()).await;
    let first = sign(&world, &key, (purse.number, purse.state), purse.epoch, PRICE);
    let second = sign(&world, &key, (purse.number + 1, first.next_state()), purse.epoch, PRICE);
    let mut forged = second.clone();
    forged.price += 1;
    let handle = world.handle(1);
    let mut asked: Vec<_> = (1..CALLERS).map(|_| handle.spend(vec![first.clone(); protocol::limits::REQUESTS_MAX])).collect();
    asked.push(handle.spend(vec![second.clone(), forged]));
    let answers = join_all(asked).await;
    assert_eq!(answers.len(), CALLERS);
    for answer in &answers[..CALLERS - 1] {
        let answer = answer.as_ref().expect("no progress: a caller was turned away");
        assert!(answer.len() == protocol::limits::REQUESTS_MAX && answer.iter().all(Result::is_ok), "{answer:?}");
    }
    let last = answers[CALLERS - 1].as_ref().expect("no progress: the last caller was turned away");
    assert!(last[0].is_ok() && last[1].is_err(), "{last:?}");
    stands(&world, 1, second.id(), is_final).await;
    world
}

async fn rivals(mut world: World) -> World {
    world.start().await;
    let key = fund(&world).await;
    let purse = purse_at(&world, 0, key.public_key()).await;
    let at = (purse.number, purse.state);
    let (one, other) = (sign(&world, &key, at, purse.epoch, PRICE), sign(&world, &key, at, purse.epoch, 2 * PRICE));
    let (first, second) = futures::join!(hand(&world, 0, vec![one.clone()]), hand(&world, 3, vec![other.clone()]));
    assert!(first[0].is_ok() || second[0].is_ok(), "{first:?} {second:?}");
    for id in [one.id(), other.id()] {
        if world.handle(0).spend_record(id).await.is_some() {
            stands(&world, 0, id, SpendStatus::ended).await;
        }
    }
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    let mut paid = Vec::new();
    for i in world.honest() {
        let after = purse_at(&world, i, key.public_key()).await;
        assert!(after.number <= at.0 + 1, "diverged: both were executed");
        paid.push(purse_at(&world, i, payee()).await.balance);
    }
    assert!(paid.windows(2).all(|w| w[0] == w[1]) && [0, PRICE, 2 * PRICE].contains(&paid[0]), "diverged: {paid:?}");
    world
}

async fn restart_keeps_the_lock(mut world: World) -> World {
    world.start().await;
    let key = fund(&world).await;
    let purse = purse_at(&world, 0, key.public_key()).await;
    let at = (purse.number, purse.state);
    let (one, other) = (sign(&world, &key, at, purse.epoch, PRICE), sign(&world, &key, at, purse.epoch, 2 * PRICE));
    world.part(&[0, 1]).await;
    assert!(hand(&world, 0, vec![one.clone()]).await[0].is_ok());
    let deadline = world.context.current() + PATIENCE;
    while world.handle(0).spend_record(one.id()).await.is_none_or(|record| record.votes < 2) {
        assert!(world.context.current() < deadline, "no progress: half of the committee does not vote");
        world.wait(LOOK).await;
    }
    for i in [0, 1] {
        world.crash(i).await;
        world.boot(i).await;
    }
    assert!(hand(&world, 2, vec![other.clone()]).await[0].is_ok());
    world.heal().await;
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    for i in world.honest() {
        for id in [one.id(), other.id()] {
            stands(&world, i, id, |status| status == SpendStatus::Locked).await;
        }
        assert_eq!(purse_at(&world, i, key.public_key()).await.number, at.0, "diverged: one was executed");
    }
    world
}

async fn epochs_end(mut world: World) -> World {
    world.start().await;
    let key = fund(&world).await;
    let wallet = key.public_key();
    let before = purse_at(&world, 0, payee()).await.balance;
    let (mut done, mut lapsed, mut rounds) = (0, 0, 0);
    while world.status(0).await.epoch < 5 || done < 5 {
        rounds += 1;
        assert!(rounds < 2_000, "no progress: {done} requests were executed, {lapsed} lapsed");
        world.traffic(&world.honest(), 1).await;
        let purse = purse_at(&world, 1, wallet).await;
        let request = sign(&world, &key, (purse.number, purse.state), purse.epoch, PRICE);
        if hand(&world, 1, vec![request.clone()]).await[0].is_err() {
            continue; // the epoch is ending
        }
        stands(&world, 1, request.id(), SpendStatus::ended).await;
        let record = world.handle(1).spend_record(request.id()).await.expect("it was carried");
        // the others may have gone on to the next epoch before they heard of it
        let too_late = record.rejections.iter().all(|r| matches!(r.reason, Reason::Epoch { .. } | Reason::Ended));
        match record.status {
            SpendStatus::Final { .. } => done += 1,
            SpendStatus::Lapsed => lapsed += 1,
            SpendStatus::Refused if too_late => lapsed += 1,
            other => panic!("diverged: a sound request is {}: {record:?}", other.name()),
        }
    }
    world.settle().await;
    let height = world.status(1).await.height;
    for i in world.honest() {
        world.reach(i, height).await;
        assert_eq!(purse_at(&world, i, wallet).await.number, done, "diverged: node {i}");
        assert_eq!(purse_at(&world, i, payee()).await.balance - before, done * PRICE, "diverged: node {i}");
    }
    world
}

fn passes(plan: &Plan, play: Play) {
    if let Err(why) = verdict_of(plan, play) {
        panic!("seed {}: {why}", plan.seed);
    }
}

/// WAL-10, WAL-19: a chain is certified at once and executed in its order.
#[test]
fn a_chain_of_64_is_certified_and_executed() {
    passes(&Plan::honest(1, 4), phase!(chain_of_64));
}

/// WAL-9: a round takes so many requests of callers, the others are taken in the next ones.
#[test]
fn more_callers_than_a_round_takes_are_all_answered() {
    passes(&Plan::honest(2, 4), phase!(many_callers));
}

/// WAL-60: of two requests of one State at most one is executed.
#[test]
fn of_two_rivals_at_most_one_is_executed() {
    for seed in 0..4 {
        passes(&Plan::honest(seed, 4), phase!(rivals));
    }
}

/// WAL-11: who restarts votes for nothing else.
#[test]
fn a_restart_between_vote_and_certificate_keeps_the_lock() {
    passes(&Plan::honest(3, 4), phase!(restart_keeps_the_lock));
}

/// WAL-30 to WAL-32: epochs end with requests in flight, also where members have one milestone to say so.
#[test]
fn epochs_end_with_requests_in_flight() {
    for (seed, epoch) in [(5, 8), (6, 3)] {
        passes(&Plan { epoch, ..Plan::honest(seed, 4) }, phase!(epochs_end));
    }
}

/// WAL-30: a committee of one closes its epochs, the shortest there are.
#[test]
fn a_single_member_closes_the_shortest_epochs() {
    passes(&Plan { epoch: 2, ..Plan::honest(7, 1) }, phase!(short_epochs));
}

async fn short_epochs(mut world: World) -> World {
    world.start().await;
    let mut rounds = 0;
    while world.status(0).await.epoch < 4 {
        rounds += 1;
        assert!(rounds < 500, "no progress: the epoch does not end");
        world.traffic(&[0], 1).await;
        world.wait(LOOK).await;
        if rounds == 3 {
            world.crash(0).await;
            world.boot(0).await;
        }
    }
    world
}
