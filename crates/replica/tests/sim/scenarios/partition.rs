//! One node is cut off, goes on issuing, and is healed: both branches end up in the ledger (M2).

use crate::{checkers, scenarios::each_seed, world::World};
use commonware_runtime::Clock as _;
use std::time::Duration;

async fn scenario(mut world: World) -> World {
    world.traffic(&[0, 1, 2, 3], 3).await;
    world.settle().await;
    world.part(&[3]).await;
    let cut_off = world.handle(3).status().await.expect("the node runs").height;
    world.traffic(&[0, 3, 1, 3, 2, 3], 8).await;
    world.reach(0, cut_off + 3).await;
    // a minority confirms nothing, whatever it issues
    let alone = world.handle(3).status().await.expect("the node runs");
    assert!(alone.height <= cut_off + 1, "a node that was cut off confirmed by itself");
    assert!(alone.unconfirmed >= 24, "it must go on issuing");
    // simulated time: the partition lasts longer than any timeout of consensus
    world.context.sleep(Duration::from_secs(2)).await;
    world.heal().await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn both_sides_of_a_partition_are_confirmed_after_it() {
    each_seed(60, 4, scenario);
}

async fn halves(mut world: World) -> World {
    world.traffic(&[0, 1, 2, 3], 3).await;
    world.settle().await;
    world.part(&[2, 3]).await;
    world.traffic(&[0, 2, 1, 3], 8).await;
    // simulated time: long enough for many views to fail
    world.context.sleep(Duration::from_secs(5)).await;
    world.heal().await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn two_halves_without_a_quorum_merge() {
    each_seed(60, 4, halves);
}
