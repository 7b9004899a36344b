//! One node hears everybody and is heard by nobody.

use crate::checkers;
use crate::world::World;
use std::time::Duration;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 3).await;
    world.mute(world.last()).await;
    world.traffic(&world.honest(), 8).await;
    world.wait(Duration::from_secs(3)).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world
}
