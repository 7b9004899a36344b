//! The committee changes while traffic goes on: two nodes from outside register and take over stake, one member
//! withdraws its own. Nothing is lost, and receipts of the first epoch verify with the genesis alone.

use crate::world::World;
use protocol::order::{first_state, next_state};
use protocol::{Action, Body, Name, Order};
use std::time::Duration;

/// More than what a founding member has at stake.
const STAKE: u64 = 5_000_000;
/// Epochs that the chain goes through at least.
pub const EPOCHS: u64 = 5;

pub async fn scenario(mut world: World) -> World {
    world.start().await;
    let (first, outside): (usize, Vec<usize>) = (0, (world.plan.n..world.plan.n + world.plan.extra).collect());
    for i in &outside {
        world.boot(*i).await;
    }
    world.traffic(&world.honest(), 3).await;
    for i in &outside {
        let key = world.key(*i).public_key();
        let name = Name::new(&format!("outside{i}")).unwrap();
        orders(&world, first, *i, &[Action::Register { name, address: None }, Action::Delegate { validator: key, amount: STAKE }]).await;
    }
    if world.plan.hostile == 0 {
        // a founding member leaves
        let leaving = world.last();
        let own = world.key(leaving).public_key();
        orders(&world, first, leaving, &[Action::Retire, Action::Undelegate { validator: own, amount: 1_000_000 }]).await;
    }
    let mut rounds = 0;
    while world.status(first).await.epoch < EPOCHS {
        assert!(rounds < 2_000, "no progress: the chain stays in epoch {}", world.status(first).await.epoch);
        world.traffic(&world.honest(), 1).await;
        // newcomers are elected once they were heard; until they are registered nobody listens
        for i in &outside {
            world.offer(*i).await;
        }
        world.wait(Duration::from_millis(40)).await;
        rounds += 1;
    }
    for i in &outside {
        let status = world.status(*i).await;
        let epoch = status.epoch;
        assert!(epoch < EPOCHS || status.validator, "diverged: node {i} has the stake and is not in the committee of epoch {epoch}");
    }
    // whoever came in issues as well
    world.traffic(&outside, 3).await;
    world
}

/// Has node `through` issue orders of the wallet of place `of`.
async fn orders(world: &World, through: usize, of: usize, actions: &[Action]) {
    let (network, key) = (world.genesis.network(), world.key(of));
    let mut state = first_state(&network, &key.public_key());
    let mut signed = Vec::new();
    for action in actions {
        let order = Order::sign(&network, key, state, action.clone());
        state = next_state(&state, &order.id());
        signed.push(order);
    }
    world.handle(through).issue(Body::Orders(signed), None).await.expect("a running replica issues orders");
}
