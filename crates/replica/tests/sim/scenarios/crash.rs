//! One stops for good: the others go on.

use crate::world::World;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 4).await;
    // what the node said must have left it before it stops, or nobody else can confirm it
    world.settle().await;
    world.crash(world.last()).await;
    world.traffic(&world.running(), 8).await;
    world
}
