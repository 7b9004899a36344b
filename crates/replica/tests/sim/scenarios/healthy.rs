//! Nothing goes wrong.

use crate::world::World;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 10).await;
    world
}
