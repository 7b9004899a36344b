//! A wallet that signs two requests of each of its States and hands one to every second honest node, the other to the rest:
//! through their front doors, at the same instant. As a member of the committee it keeps to the rules.

use super::{PACE, STEPS};
use crate::seat::{self, Rules};
use crate::spending::{FUND_COINS, Pen, Rivals, now_ms};
use crate::world::World;
use commonware_p2p::simulated::SplitTarget;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use protocol::Action;
use replica::Handle;
use std::sync::Arc;

/// Acts of a puppet between two of its own.
const SLOWER: u64 = 4;

pub async fn play(world: &mut World, place: usize) {
    let rules = Rules { out: Arc::new(|_, _, _, _| true), inward: Arc::new(|_, _, _| SplitTarget::Primary) };
    let seat = seat::take(world.place(place), rules).await;
    let own = world.accomplice(place, "", seat.first, 0);
    let (pen, doors) = (Pen::new(&world.genesis, world.key(place)), Arc::clone(&world.doors));
    let paid = [world.key(0).public_key(), world.key(1).public_key()];
    world.context.child("spender").spawn(move |context| async move {
        context.sleep(PACE * 8).await;
        while own.issue(pen.first_orders(&[Action::Fund { amount: FUND_COINS }]), None).await.is_err() {
            context.sleep(PACE * 8).await;
        }
        let mut rivals = Rivals::new(pen);
        for _ in 0..STEPS / SLOWER {
            let handles: Vec<Handle> = doors.lock().unwrap().values().cloned().collect();
            rivals.act(&handles, paid, now_ms(&context)).await;
            context.sleep(PACE * SLOWER as u32).await;
        }
    });
}
