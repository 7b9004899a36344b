//! Every link loses a tenth of what it carries: announcements and pulls fill the gaps.

use crate::world::World;
use commonware_p2p::simulated::Link;
use commonware_utils::probability;
use std::time::Duration;

pub async fn scenario(mut world: World) -> World {
    let link = Link { latency: Duration::from_millis(5), jitter: Duration::from_millis(2), success_rate: probability!(9, 10) };
    world.set_link(link).await;
    world.start().await;
    world.traffic(&world.honest(), 8).await;
    world
}
