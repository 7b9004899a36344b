//! One of four stops for good: the others go on, with a quorum and no more.

use crate::{checkers, scenarios::each_seed, world::World};

async fn scenario(mut world: World) -> World {
    world.traffic(&[0, 1, 2, 3], 4).await;
    // what node 3 said must have left it before it stops, or nobody else can confirm it
    world.settle().await;
    world.crash(3).await;
    world.traffic(&[0, 1, 2], 8).await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn three_of_four_go_on() {
    each_seed(60, 4, scenario);
}
