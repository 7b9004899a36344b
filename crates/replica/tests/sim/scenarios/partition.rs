//! Partitions of every shape: both sides go on issuing, and both branches end up in the ledger (M2).

use crate::checkers;
use crate::world::World;
use commonware_runtime::Clock as _;
use std::time::Duration;

/// Longer than any timeout of consensus.
const LONG: Duration = Duration::from_secs(5);
/// Milestones that a node can have seen on their way when it was cut off.
const ON_THEIR_WAY: u64 = 2;

/// One node alone on its side.
pub async fn cut_off(mut world: World) -> World {
    world.start().await;
    let (alone, others) = (world.last(), world.honest()[..world.last()].to_vec());
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    world.part(&[alone]).await;
    let before = world.status(alone).await;
    for i in &others {
        world.traffic(&[*i, alone], 8).await;
    }
    let height = before.height;
    if world.plan.hostile == 0 {
        world.reach(others[0], height + 3).await;
    }
    // a minority confirms nothing, whatever it issues, and goes on issuing
    let after = world.status(alone).await;
    assert!(after.height <= height + ON_THEIR_WAY, "diverged: a node that was cut off confirmed by itself");
    assert!(after.issued >= before.issued + 8, "no progress: a node that was cut off stopped issuing");
    world.wait(SILENCE).await;
    assert!(world.status(alone).await.cut_off, "no progress: a node that was cut off does not say so");
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    if world.plan.hostile == 0 {
        // it hears of milestones before it hears from every peer
        let back = world.context.current() + SILENCE;
        while world.status(alone).await.cut_off {
            assert!(world.context.current() < back, "no progress: a node that is back says that it is cut off");
            world.wait(LOOK).await;
        }
    }
    world
}

/// Longer than it takes until nobody is thought to be there any more.
const SILENCE: Duration = Duration::from_secs(6);
const LOOK: Duration = Duration::from_millis(20);

/// Two halves, neither with a quorum.
pub async fn halves(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 3).await;
    world.settle().await;
    let (one, other): (Vec<usize>, Vec<usize>) = world.honest().into_iter().partition(|i| i % 2 == 0);
    world.divide(&one, &other).await;
    world.traffic(&world.honest(), 8).await;
    world.wait(LONG).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world
}

/// Two sides that do not reach each other, and one node that reaches both.
pub async fn bridge(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 3).await;
    let (one, other): (Vec<usize>, Vec<usize>) = world.honest()[1..].iter().partition(|i| *i % 2 == 0);
    world.divide(&one, &other).await;
    world.traffic(&world.honest(), 8).await;
    world.wait(LONG).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world
}

/// Each honest node reaches its two neighbours only.
pub async fn ring(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 3).await;
    let honest = world.honest();
    let size = honest.len();
    for i in 0..size {
        for j in i + 1..size {
            if j - i != 1 && j - i != size - 1 {
                world.divide(&[i], &[j]).await;
            }
        }
    }
    world.traffic(&honest, 6).await;
    world.wait(LONG).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    world
}
