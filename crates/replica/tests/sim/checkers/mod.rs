//! What must hold at the end of every course, whatever happened in it.
//!
//! A checker that fails panics with a verdict: `no progress: …` if something that must happen did not, `diverged: …`
//! if something happened that must not. `course` adds the seed.

pub mod agreement;
pub mod durability;
pub mod fairness;
pub mod memory;
pub mod progress;
mod receipts;
pub mod spending;
mod validity;

use crate::world::World;

/// Runs every checker.
pub async fn check(world: &World) {
    agreement::check(world).await;
    durability::check(world).await;
    validity::check(world).await;
    receipts::check(world).await;
    spending::check(world).await;
    memory::check(world).await;
}
