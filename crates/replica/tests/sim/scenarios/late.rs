//! A member of the committee starts for the first time long after the others.

use crate::checkers;
use crate::world::World;
use std::time::Duration;

pub async fn scenario(mut world: World) -> World {
    let late = world.last();
    world.start_without(&[late]).await;
    world.traffic(&world.running(), 20).await;
    world.wait(Duration::from_secs(3)).await;
    world.boot(late).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world.traffic(&world.honest(), 4).await;
    world
}
