//! Proposes milestones from the future: far off, or just beyond what is tolerated.

use super::{PACE, STEPS};
use crate::seat::{self, Rules};
use crate::world::World;
use commonware_p2p::simulated::SplitTarget;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use protocol::Body;
use std::sync::Arc;

/// An hour, for even seeds; for odd ones a little more than honest clocks can differ.
const FAR_MS: i64 = 3_600_000;
const NEAR_MS: i64 = 1_500;

pub async fn play(world: &mut World, place: usize) {
    let rules = Rules { out: Arc::new(|_, _, _, _| true), inward: Arc::new(|_, _, _| SplitTarget::Primary) };
    let seat = seat::take(world.place(place), rules).await;
    let offset_ms = if world.plan.seed.is_multiple_of(2) { FAR_MS } else { NEAR_MS };
    let handle = world.accomplice(place, "", seat.first, offset_ms);
    world.context.child("liar").spawn(move |context| async move {
        context.sleep(PACE * 8).await;
        for step in 0..STEPS {
            let _ = handle.issue(Body::Data(step.to_be_bytes().to_vec()), None).await;
            context.sleep(PACE * 4).await;
        }
    });
}
