//! No two nodes have different milestones, orders or states at a height.

use crate::world::World;

pub async fn check(world: &World) {
    let running = world.running();
    let mut lowest = u64::MAX;
    for i in &running {
        lowest = lowest.min(world.handle(*i).status().await.expect("the node runs").height);
    }
    assert!(lowest > 0, "no progress: a node has executed nothing");
    for height in 0..=lowest {
        let first = world.handle(running[0]).milestone(height).await.expect("an executed milestone is there");
        for i in &running[1..] {
            let other = world.handle(*i).milestone(height).await.expect("an executed milestone is there");
            assert_eq!(first.digest, other.digest, "diverged: two milestones at height {height}");
            assert_eq!(first.messages, other.messages, "diverged: two orders at height {height}");
            assert_eq!(first.void, other.void, "diverged: two verdicts on conflicts at height {height}");
        }
    }
    // the state after a milestone is in the next one's header, which is the same everywhere; the last one's is not yet
    for i in &running {
        let status = world.handle(*i).status().await.expect("the node runs");
        for j in &running {
            let other = world.handle(*j).status().await.expect("the node runs");
            if status.height == other.height {
                assert_eq!(status.state_root, other.state_root, "diverged: two states at height {}", status.height);
            }
        }
    }
}
