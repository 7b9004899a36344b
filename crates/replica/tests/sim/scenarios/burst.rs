//! A node that was cut off brings a backlog when it returns; what the others issue meanwhile is confirmed in time (M2).
//! The figure is in `tests/sim/burst.rs`, with thousands of messages.

use crate::checkers;
use crate::world::World;
use std::time::Duration;

/// Messages of the backlog.
const BACKLOG: usize = 300;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    let alone = world.last();
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    world.part(&[alone]).await;
    for _ in 0..BACKLOG {
        world.issue(alone).await;
    }
    world.wait(Duration::from_secs(1)).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world.traffic(&world.honest(), 6).await;
    world
}
