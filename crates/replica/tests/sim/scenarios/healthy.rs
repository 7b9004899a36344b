//! Four nodes, nothing goes wrong.

use crate::{checkers, scenarios::each_seed, world::World};

async fn scenario(mut world: World) -> World {
    world.traffic(&[0, 1, 2, 3], 10).await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn four_healthy_nodes_confirm_everything() {
    each_seed(60, 4, scenario);
}
