//! Every node sends and takes 64 KiB per second, as over a bad modem, and gets its bandwidth back.

use crate::world::World;

const BYTES_PER_SECOND: usize = 64 * 1024;

pub async fn scenario(mut world: World) -> World {
    for i in world.honest() {
        world.narrow(i, Some(BYTES_PER_SECOND)).await;
    }
    world.start().await;
    world.traffic(&world.honest(), 10).await;
    world.wait(std::time::Duration::from_secs(4)).await;
    for i in world.honest() {
        world.narrow(i, None).await;
    }
    world
}
