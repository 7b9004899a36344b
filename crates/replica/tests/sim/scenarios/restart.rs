//! A node stops in the middle of issuing and returns from its disk: what it had acknowledged is confirmed,
//! even where it never got around to pushing it. Then all stop at once.

use crate::world::World;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    let last = world.last();
    world.traffic(&world.honest(), 4).await;
    // acknowledged, durable, and perhaps not pushed
    world.issue(last).await;
    world.crash(last).await;
    world.traffic(&world.running(), 6).await;
    world.boot(last).await;
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    for i in world.honest() {
        world.crash(i).await;
    }
    for i in world.honest() {
        world.boot(i).await;
    }
    world.traffic(&world.honest(), 3).await;
    world
}
