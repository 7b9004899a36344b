//! Nothing forged, replayed or foreign is in a milestone: each message is its issuer's and of this network, an
//! issuer's messages that count are one chain without gaps, and milestones carry times that were so.

use crate::checkers::durability::held;
use crate::world::World;
use protocol::{PublicKey, Unsigned};
use replica::Retention;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// How far a milestone's time may be ahead of the simulated clock when a node executes it: what nodes tolerate, and
/// the most that an honest clock is wrong in `clock_skew`.
const AHEAD_MAX: Duration = Duration::from_millis(500 + 200);

pub async fn check(world: &World) {
    messages(world).await;
    times(world).await;
}

async fn messages(world: &World) {
    let (network, subnet) = (world.genesis.network(), world.genesis.subnet);
    // all have the same milestones: agreement was checked
    let i = world.running()[0];
    let mut chains: BTreeMap<PublicKey, (u64, protocol::Id)> = BTreeMap::new();
    let mut met = BTreeSet::new();
    for height in 1..=world.status(i).await.height {
        let record = world.handle(i).milestone(height).await.expect("an executed milestone is there");
        for id in record.messages.iter().chain(&record.void) {
            assert!(met.insert(*id), "diverged: message {id} is in two milestones, one of them {height}");
            let Some(message) = held(world, i, *id).await.map(|record| record.message) else { continue };
            if let Err(why) = message.verify(&network, subnet) {
                panic!("diverged: milestone {height} holds message {id}: {why}");
            }
        }
        for id in &record.messages {
            let Some(message) = held(world, i, *id).await.map(|record| record.message) else { continue };
            // where messages are forgotten, a chain begins with the first that is still here
            let start = match world.plan.retention == Retention::default() {
                true => (0, Unsigned::root(network)),
                false => (message.sequence, message.previous().copied().unwrap_or(Unsigned::root(network))),
            };
            let (expected, last) = chains.get(&message.issuer).copied().unwrap_or(start);
            assert_eq!(message.sequence, expected, "diverged: two messages of one sequence count, or none does");
            assert_eq!(message.previous(), Some(&last), "diverged: a message counts that does not follow its issuer's last");
            chains.insert(message.issuer, (expected + 1, *id));
        }
    }
}

async fn times(world: &World) {
    let i = world.running()[0];
    let mut before = world.genesis.created_ms;
    for height in 1..=world.status(i).await.height {
        let time_ms = world.handle(i).milestone(height).await.expect("an executed milestone is there").milestone.time_ms;
        assert!(time_ms > before, "diverged: milestone {height} is not later than the one before");
        before = time_ms;
    }
    for seen in world.seen.lock().unwrap().iter() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seen.time_ms);
        assert!(time <= seen.at + AHEAD_MAX, "diverged: milestone {} is from the future", seen.height);
    }
}
