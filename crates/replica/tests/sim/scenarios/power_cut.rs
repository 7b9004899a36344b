//! The power fails everywhere at once, in the middle of everything. Of what was written and not synced any part may
//! be on the disks afterwards.

use crate::world::World;
use std::time::Duration;

pub async fn before(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 6).await;
    // anywhere between two milestones
    world.wait(Duration::from_millis(world.plan.seed % 97)).await;
    for i in world.honest() {
        world.issue(i).await;
    }
    world
}

pub async fn after(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 4).await;
    world
}
