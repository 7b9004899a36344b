//! When the network is whole again, milestones go on within a stated number of rounds.

use crate::world::World;
use commonware_runtime::Clock as _;
use std::time::Duration;

/// Rounds of consensus after which every honest node has a new milestone: f leaders in a row may be hostile, views
/// that are half over count, and a node that was away first fetches what it missed.
pub const RESUME_ROUNDS: u32 = 12;
/// The longest that a round lasts before consensus gives it up.
const ROUND: Duration = Duration::from_millis(1_000);
const LOOK: Duration = Duration::from_millis(20);

/// Waits until every running node has executed a milestone above the highest there was at the healing.
pub async fn resumes(world: &mut World) {
    let (healed, height) = world.healed.expect("the network was healed");
    let nodes = world.running();
    // something to confirm
    for i in &nodes {
        world.issue(*i).await;
    }
    for i in nodes {
        while world.status(i).await.height <= height {
            let waited = world.context.current().duration_since(healed).unwrap_or_default();
            assert!(
                waited < ROUND * RESUME_ROUNDS,
                "no progress: node {i} has no new milestone {RESUME_ROUNDS} rounds after the network was whole again"
            );
            world.context.sleep(LOOK).await;
        }
    }
}
