//! Each State of a purse is spent at most once, whoever signs and votes what; what is final stays so; no coin is made or lost.
//!
//! It goes by what honest nodes told, by their states, and by every message that any of them has. A purse's State is a hash over
//! all that was executed: a node that executed anything else than it told has another one.

use crate::spending::LOOK;
use crate::traffic::PATIENCE;
use crate::world::World;
use commonware_runtime::Clock as _;
use protocol::certificate::needed;
use protocol::request::first_state;
use protocol::{Body, Id, Message, Operation, PublicKey, Request, UNITS_PER_COIN};
use replica::SpendStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Newest messages of a node that are looked at, whether or not a milestone confirmed them.
const RECENT: usize = 1_000;

/// Requests told as final: by wallet and number, the request and its height.
type Executed = BTreeMap<(PublicKey, u64), (Arc<Request>, u64)>;

pub async fn check(world: &World) {
    if world.told.lock().unwrap().is_empty() {
        return;
    }
    votes(world).await;
    certified(world);
    let known = executed(world);
    for i in world.running() {
        states(world, i, &known).await;
        records(world, i, &known).await;
        conserved(world, i).await;
    }
}

/// All that nodes told as final. They agree, and there is one request of a wallet and number.
fn executed(world: &World) -> Executed {
    let mut executed = Executed::new();
    for told in world.told.lock().unwrap().iter() {
        let SpendStatus::Final { height } = told.status else { continue };
        let slot = (told.request.wallet, told.request.number);
        let (request, before) = executed.entry(slot).or_insert_with(|| (Arc::clone(&told.request), height));
        assert_eq!(request.id(), told.id, "diverged: two requests of one wallet and number are final, one of them on node {}", told.node);
        assert_eq!(*before, height, "diverged: node {} executed a request at another height", told.node);
    }
    executed
}

/// Of an epoch, wallet and number one request at most was told as certified.
fn certified(world: &World) {
    let mut certified = BTreeMap::new();
    for told in world.told.lock().unwrap().iter().filter(|told| told.status == SpendStatus::Certified) {
        let slot = (told.request.epoch, told.request.wallet, told.request.number);
        let id = *certified.entry(slot).or_insert(told.id);
        assert_eq!(id, told.id, "diverged: two requests of one State are certified, one of them on node {}", told.node);
    }
}

/// The States that a wallet went through.
fn chain(world: &World, executed: &Executed, wallet: PublicKey) -> Vec<Id> {
    let mut states = vec![first_state(&world.genesis.network(), &wallet)];
    while let Some((request, _)) = executed.get(&(wallet, states.len() as u64 - 1)) {
        assert_eq!(states.last(), Some(&request.state), "diverged: a final request names a State that its wallet did not have");
        states.push(request.next_state());
    }
    states
}

/// Node `i` executed what was told, all of it and nothing else.
async fn states(world: &World, i: usize, known: &Executed) {
    let deadline = world.context.current() + PATIENCE;
    let wallets: BTreeSet<PublicKey> = known.keys().map(|(wallet, _)| *wallet).collect();
    for (wallet, number) in known.keys() {
        let length = chain(world, known, *wallet).len() as u64;
        assert!(number + 1 < length, "diverged: number {number} of a wallet is final, and one before it is not");
    }
    for wallet in wallets {
        let least = chain(world, known, wallet).len() as u64 - 1;
        loop {
            let purse = world.handle(i).purse(wallet).await.expect("the node runs");
            // what it executed just now it tells a moment later
            let states = chain(world, &executed(world), wallet);
            match states.get(purse.number as usize) {
                Some(state) if purse.number >= least => {
                    assert_eq!(*state, purse.state, "diverged: node {i} executed other requests than were told");
                    break;
                }
                Some(_) => assert!(world.context.current() < deadline, "no progress: node {i} has not executed a final request"),
                None => assert!(world.context.current() < deadline, "diverged: node {i} executed a request that nobody told of"),
            }
            world.wait(LOOK).await;
        }
    }
}

/// What node `i` says of final requests, as far as it remembers them.
async fn records(world: &World, i: usize, known: &Executed) {
    for (request, executed) in known.values() {
        let Some(record) = world.handle(i).spend_record(request.id()).await else { continue };
        match record.status {
            SpendStatus::Final { height } => assert_eq!(height, *executed, "diverged: node {i} has a request at another height"),
            SpendStatus::Refused | SpendStatus::Locked | SpendStatus::Lapsed => {
                panic!("diverged: node {i} says of a final request that it is {}: executed at {executed}, {record:?}", record.status.name())
            }
            SpendStatus::Pending | SpendStatus::Certified => {}
        }
    }
}

/// The sums of node `i`'s state.
struct Sums {
    /// Sub-units in purses and purchases, and what they should be by two other counts.
    circulating: [u128; 3],
    /// DCoin in accounts and at stake, and that with what was burned.
    accounts: [u128; 2],
}

/// No coin is made or lost. Between two answers a milestone may be executed, and told a moment later: such sums are taken again.
async fn conserved(world: &World, i: usize) {
    let deadline = world.context.current() + PATIENCE;
    loop {
        let height = world.status(i).await.height;
        let sums = sums(world, i).await;
        let steady = world.status(i).await.height == height;
        let [all, counted, made] = sums.circulating;
        let [found, given] = sums.accounts;
        // only slashing burns, and nobody slashes an honest network
        let whole = found == given || (world.plan.hostile > 0 && found < given);
        if steady && all == counted && counted == made && whole {
            return;
        }
        assert!(
            world.context.current() < deadline,
            "diverged: on node {i} purses and purchases hold {all}, counted are {counted}, funded and minted were {made}; accounts and \
             stakes hold {found} of {given}"
        );
        world.wait(LOOK).await;
    }
}

async fn sums(world: &World, i: usize) -> Sums {
    let handle = world.handle(i);
    let (mut all, mut found) = (0, 0);
    for place in 0..world.nodes.len() {
        let key = world.key(place).public_key();
        all += u128::from(handle.purse(key).await.expect("the node runs").balance);
        found += u128::from(handle.wallet(key).await.expect("the node runs").balance);
        found += handle.validator(key).await.map_or(0, |v| u128::from(v.stake) + u128::from(v.unbonding));
    }
    let members: BTreeSet<PublicKey> = (0..world.nodes.len()).map(|place| world.key(place).public_key()).collect();
    let mut others = BTreeSet::new();
    for (request, _) in executed(world).values() {
        match &request.operation {
            Operation::Buy { .. } => all += handle.purchase(request.id()).await.map_or(0, |p| u128::from(p.price)),
            Operation::Transfer { to } if !members.contains(to) => drop(others.insert(*to)),
            _ => {}
        }
    }
    for wallet in others {
        all += u128::from(handle.purse(wallet).await.expect("the node runs").balance);
    }
    let coins = handle.coins().await.expect("the node runs");
    let (funded, redeemed) = (u128::from(coins.funded), u128::from(coins.redeemed));
    let made = u128::from(UNITS_PER_COIN) * funded + u128::from(coins.minted) - u128::from(UNITS_PER_COIN) * redeemed;
    let supply = u128::from(world.genesis.supply().expect("the supply is less than 64 bits"));
    Sums { circulating: [all, u128::from(coins.circulating), made], accounts: [found, supply + redeemed - funded] }
}

/// Every message that any honest node has.
async fn messages(world: &World) -> BTreeMap<Id, Arc<Message>> {
    let mut messages = BTreeMap::new();
    let running = world.running();
    let first = world.handle(running[0]);
    for height in 1..=world.status(running[0]).await.height {
        let record = first.milestone(height).await.expect("an executed milestone is there");
        for id in record.messages.iter().chain(&record.void) {
            messages.extend(first.message(*id).await.map(|record| (*id, record.message)));
        }
    }
    for i in running {
        let recent = world.handle(i).recent_messages(RECENT).await;
        messages.extend(recent.into_iter().map(|record| (record.message.id(), record.message)));
    }
    messages
}

/// No honest member signed votes for two requests of one epoch, wallet and number; and no two such have votes enough.
async fn votes(world: &World) {
    let messages = messages(world).await;
    let mut requests: BTreeMap<Id, Request> = BTreeMap::new();
    for message in messages.values() {
        match &message.body {
            Body::Requests(list) => requests.extend(list.iter().map(|r| (r.id(), r.clone()))),
            Body::Certificates(list) => requests.extend(list.iter().map(|c| (c.request.id(), c.request.clone()))),
            _ => {}
        }
    }
    let members: BTreeSet<PublicKey> = (0..world.plan.n).map(|i| world.key(i).public_key()).collect();
    let needed = needed(world.plan.n, world.genesis.wallet_parameters.threshold_percent);
    let mut chosen = BTreeMap::new();
    let mut voters: BTreeMap<Id, BTreeSet<PublicKey>> = BTreeMap::new();
    for message in messages.values().filter(|m| members.contains(&m.issuer)) {
        for id in &message.votes {
            voters.entry(*id).or_default().insert(message.issuer);
            let Some(request) = requests.get(id) else { continue };
            if world.is_hostile(&message.issuer) {
                continue;
            }
            let slot = (message.issuer, request.epoch, request.wallet, request.number);
            let before = *chosen.entry(slot).or_insert(*id);
            assert_eq!(before, *id, "diverged: an honest member ({}) voted for two requests of one State", message.issuer);
        }
    }
    let mut enough = BTreeMap::new();
    for (id, _) in voters.iter().filter(|(_, voters)| voters.len() >= needed) {
        let Some(request) = requests.get(id) else { continue };
        let slot = (request.epoch, request.wallet, request.number);
        let before = *enough.entry(slot).or_insert(*id);
        assert_eq!(before, *id, "diverged: two requests of one State have votes enough for a certificate");
    }
}
