//! Issues, announces and proposes what it never serves: its pushes and its answers to pulls go nowhere.

use super::{PACE, STEPS};
use crate::frames;
use crate::seat::{self, Rules};
use crate::world::{BACKFILL, PULL, PUSH, World};
use commonware_p2p::simulated::{SplitOrigin, SplitTarget};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use protocol::Body;
use std::sync::Arc;

pub async fn play(world: &mut World, place: usize) {
    let out = |channel: u64, _: SplitOrigin, _: usize, bytes: &[u8]| match channel {
        PUSH => false,
        PULL | BACKFILL => !frames::is_response(bytes),
        _ => true,
    };
    let rules = Rules { out: Arc::new(out), inward: Arc::new(|_, _, _| SplitTarget::Primary) };
    let seat = seat::take(world.place(place), rules).await;
    let handle = world.accomplice(place, "", seat.first, 0);
    world.context.child("withholder").spawn(move |context| async move {
        context.sleep(PACE * 8).await;
        for step in 0..STEPS {
            // a full backlog of its own is its own fault
            let _ = handle.issue(Body::Data(step.to_be_bytes().to_vec()), None).await;
            context.sleep(PACE).await;
        }
    });
}
