//! A network of one: its own committee.

use crate::{checkers, scenarios::each_seed, world::World};

async fn scenario(mut world: World) -> World {
    world.traffic(&[0], 10).await;
    world.settle().await;
    world.crash(0).await;
    world.boot(0).await;
    world.traffic(&[0], 10).await;
    world.settle().await;
    checkers::check(&world).await;
    world
}

#[test]
fn one_node_is_a_network() {
    each_seed(60, 1, scenario);
}
