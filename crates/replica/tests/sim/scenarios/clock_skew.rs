//! Clocks that are wrong by less than the tolerance: nobody's milestones are refused.

use crate::world::World;

/// In turn: ahead, behind, right, a little ahead. Any two are closer than the tolerance of half a second.
const OFFSETS_MS: [i64; 4] = [200, -200, 0, 100];

pub async fn scenario(mut world: World) -> World {
    for (i, offset) in world.honest().into_iter().zip(OFFSETS_MS.into_iter().cycle()) {
        world.offsets_ms[i] = offset;
    }
    world.start().await;
    world.traffic(&world.honest(), 10).await;
    world
}
