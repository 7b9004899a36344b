//! M2: a node that comes back brings thousands of messages, and live traffic does not starve while they merge.

use crate::course::verdict_of;
use crate::scenarios::phase;
use crate::traffic::percentile;
use crate::world::{Plan, World};
use std::time::Duration;

/// Messages that the node issues while it is cut off.
const BACKLOG: usize = 3_000;
/// Rounds of live traffic in each of the two measurements.
const ROUNDS: usize = 60;
/// While the backlog merges, 99 of 100 live messages take at most this many times as long as they took while the
/// node was away.
const SLOWER_MAX: u32 = 2;

async fn merge(mut world: World) -> World {
    world.start().await;
    let (alone, others) = (world.last(), world.honest()[..world.last()].to_vec());
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    world.part(&[alone]).await;
    // without the node first: with a leader that is away
    let start = world.issued.len();
    world.traffic(&others, ROUNDS).await;
    let away = start..world.issued.len();
    for _ in 0..BACKLOG {
        world.issue(alone).await;
    }
    world.wait(Duration::from_secs(3)).await;
    world.heal().await;
    let start = world.issued.len();
    world.traffic(&others, ROUNDS).await;
    let merging = start..world.issued.len();
    world.settle().await;
    let (before, during) = (percentile(&world.latencies(away), 99), percentile(&world.latencies(merging), 99));
    assert!(
        during <= before * SLOWER_MAX,
        "no progress: live messages took {during:?} while a backlog of {BACKLOG} merged, {before:?} before it came"
    );
    world
}

#[test]
fn a_backlog_does_not_starve_live_traffic() {
    for seed in 0..2 {
        if let Err(why) = verdict_of(&Plan::honest(seed, 4), phase!(merge)) {
            panic!("seed {seed}: {why}");
        }
    }
}
