//! No two honest nodes have different milestones, orders or states at a height.

use crate::world::World;

pub async fn check(world: &World) {
    let running = world.running();
    let mut lowest = u64::MAX;
    for i in &running {
        lowest = lowest.min(world.status(*i).await.height);
    }
    assert!(lowest > 0, "no progress: a node has executed nothing");
    for height in 0..=lowest {
        let first = world.handle(running[0]).milestone(height).await.expect("an executed milestone is there");
        for i in &running[1..] {
            let other = world.handle(*i).milestone(height).await.expect("an executed milestone is there");
            assert_eq!(first.digest, other.digest, "diverged: two milestones at height {height}");
            if first.pruned || other.pruned {
                continue;
            }
            assert_eq!(first.messages, other.messages, "diverged: two orders at height {height}");
            if !world.joined.contains(i) || !other.void.is_empty() {
                assert_eq!(first.void, other.void, "diverged: two verdicts on conflicts at height {height}");
            }
        }
    }
    // the state after a milestone is in the next one's header, which is the same everywhere; the last one's is not yet
    for i in &running {
        let status = world.status(*i).await;
        for j in &running {
            let other = world.status(*j).await;
            if status.height == other.height {
                assert_eq!(status.state_root, other.state_root, "diverged: two states at height {}", status.height);
            }
        }
    }
    told(world);
}

/// What the nodes told while they ran is what they have: nobody took anything back, not even over a restart.
fn told(world: &World) {
    let mut first = std::collections::BTreeMap::new();
    for seen in world.seen.lock().unwrap().iter() {
        let told = (seen.time_ms, seen.confirmed.clone());
        let before = first.entry(seen.height).or_insert_with(|| told.clone());
        assert_eq!(*before, told, "diverged: node {} told of another milestone {}", seen.node, seen.height);
    }
}
