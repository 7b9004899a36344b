//! One node after another is restarted, as for an update, while the others go on issuing.

use crate::world::World;
use std::time::Duration;

/// How long each stays away.
const AWAY: Duration = Duration::from_millis(600);

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    for i in world.honest() {
        world.traffic(&world.honest(), 2).await;
        world.crash(i).await;
        world.traffic(&world.running(), 3).await;
        world.wait(AWAY).await;
        world.boot(i).await;
    }
    world.traffic(&world.honest(), 2).await;
    world
}
