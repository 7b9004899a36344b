//! Every message that an honest node acknowledged is confirmed exactly once, and nothing of an honest node that
//! nobody asked it to issue. What honest nodes say does not become void.

use crate::world::World;
use protocol::{Body, Id};
use replica::{MessageRecord, Retention};
use std::collections::BTreeMap;

pub async fn check(world: &World) {
    for i in world.running() {
        let height = world.status(i).await.height;
        let mut confirmed = BTreeMap::new();
        for height in 1..=height {
            let record = world.handle(i).milestone(height).await.expect("an executed milestone is there");
            for id in record.messages {
                *confirmed.entry(id).or_insert(0u32) += 1;
            }
            for id in record.void {
                assert!(is_of_adversary(world, i, id).await, "diverged: message {id} of an honest node is void on node {i}");
            }
        }
        for issued in &world.issued {
            match confirmed.remove(&issued.message) {
                Some(1) => {}
                Some(times) => panic!("diverged: a message of node {} was confirmed {times} times on node {i}", issued.node),
                None => panic!("no progress: an acknowledged message of node {} is not confirmed on node {i}", issued.node),
            }
        }
        for (id, times) in confirmed {
            assert_eq!(times, 1, "diverged: message {id} was confirmed {times} times on node {i}");
            assert!(
                was_asked_for(world, i, id).await || is_of_adversary(world, i, id).await,
                "diverged: node {i} confirmed message {id}, which nobody issued"
            );
        }
    }
}

/// A confirmed message. Where messages are forgotten, it need not be here.
pub async fn held(world: &World, i: usize, id: Id) -> Option<MessageRecord> {
    let record = world.handle(i).message(id).await;
    assert!(record.is_some() || world.plan.retention != Retention::default(), "diverged: node {i} lacks message {id}, which it confirmed");
    record
}

async fn is_of_adversary(world: &World, i: usize, id: Id) -> bool {
    let Some(record) = held(world, i, id).await else { return true };
    world.is_hostile(&record.message.issuer)
}

/// Whether somebody handed it in, and was not told that it was issued: a crash came between. What is no reading a
/// node says by itself.
async fn was_asked_for(world: &World, i: usize, id: Id) -> bool {
    let Some(record) = held(world, i, id).await else { return true };
    match &record.message.body {
        Body::Readings { blob, .. } => world.attempted.contains(blob),
        // a validator outside the committee says that it is there
        Body::Data(data) => data.is_empty(),
        _ => true,
    }
}
