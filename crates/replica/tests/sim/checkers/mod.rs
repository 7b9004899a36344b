//! What must hold at the end of every scenario, whatever happened in it.

mod agreement;
mod durability;
mod receipts;

use crate::world::World;

/// Runs every checker.
pub async fn check(world: &World) {
    agreement::check(world).await;
    durability::check(world).await;
    receipts::check(world).await;
}
