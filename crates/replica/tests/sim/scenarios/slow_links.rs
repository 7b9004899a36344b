//! 200 milliseconds from node to node.

use crate::world::World;
use commonware_p2p::simulated::Link;
use commonware_utils::probability;
use std::time::Duration;

pub async fn scenario(mut world: World) -> World {
    let link = Link { latency: Duration::from_millis(200), jitter: Duration::from_millis(20), success_rate: probability!(1.0) };
    world.set_link(link).await;
    world.start().await;
    world.traffic(&world.honest(), 8).await;
    world
}
