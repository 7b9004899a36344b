//! Every link loses a tenth of what it carries: announcements and pulls fill the gaps.

use crate::{checkers, scenarios::each_seed, world::World};

async fn scenario(mut world: World) -> World {
    world.lose().await;
    world.traffic(&[0, 1, 2, 3], 8).await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn lost_pushes_are_pulled() {
    each_seed(60, 4, scenario);
}
