//! A disk fails in the middle of a write; the node stops rather than promise anything more. It gets its disk back,
//! with half of that write on it, and returns: what it had acknowledged is there.

use crate::checkers;
use crate::world::World;
use std::time::Duration;

/// Writes that still work: any number below this.
const WRITES_MAX: u64 = 400;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    let failing = world.last();
    let others = world.honest()[..failing].to_vec();
    world.traffic(&world.honest(), 3).await;
    world.disks[failing].fail_after(world.plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % WRITES_MAX);
    for _ in 0..24 {
        // a node that has stopped says so
        world.offer(failing).await;
        world.traffic(&others, 1).await;
        world.wait(Duration::from_millis(50)).await;
    }
    world.crash(failing).await;
    world.disks[failing].mend();
    world.boot(failing).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world.traffic(&world.honest(), 3).await;
    world
}
