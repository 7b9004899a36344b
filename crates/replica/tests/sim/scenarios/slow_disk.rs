//! One node's disk takes its time over every sync, then all of them do.

use crate::world::World;
use std::time::Duration;

const SYNC: Duration = Duration::from_millis(40);

pub async fn scenario(mut world: World) -> World {
    world.disks[world.last()].slow(SYNC);
    world.start().await;
    world.traffic(&world.honest(), 6).await;
    for disk in &world.disks {
        disk.slow(SYNC / 2);
    }
    world.traffic(&world.honest(), 4).await;
    world
}
