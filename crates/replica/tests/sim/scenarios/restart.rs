//! A node stops in the middle of issuing and returns from its disk: what it had acknowledged is confirmed,
//! even where it never got around to pushing it.

use crate::{checkers, scenarios::each_seed, world::World};

async fn scenario(mut world: World) -> World {
    world.traffic(&[0, 1, 2, 3], 4).await;
    // acknowledged, durable, and perhaps not pushed
    world.issue(3).await;
    world.crash(3).await;
    world.traffic(&[0, 1, 2], 6).await;
    world.boot(3).await;
    world.traffic(&[0, 1, 2, 3], 3).await;
    world.settle().await;
    // all at once, as after a power cut
    for i in 0..4 {
        world.crash(i).await;
    }
    for i in 0..4 {
        world.boot(i).await;
    }
    world.traffic(&[3, 2, 1, 0], 3).await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn acknowledged_messages_survive_restarts() {
    each_seed(60, 4, scenario);
}
