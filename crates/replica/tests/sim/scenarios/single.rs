//! A network of one: its own committee.

use crate::world::World;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    world.traffic(&[0], 10).await;
    world.settle().await;
    world.crash(0).await;
    world.boot(0).await;
    world.traffic(&[0], 10).await;
    world
}
