//! Wallets spend while one of them conflicts: nothing wrong, a partition, restarts between vote and certificate, and the
//! ends of epochs. In each the requests of honest wallets are executed in the end, and the checker judges the rest.

use crate::checkers;
use crate::spending::Spending;
use crate::traffic::PATIENCE;
use crate::world::World;
use commonware_runtime::Clock as _;
use std::time::Duration;

/// Longer than any timeout of consensus.
const LONG: Duration = Duration::from_secs(3);
/// How long a node stays away that was killed.
const AWAY: Duration = Duration::from_millis(200);
/// Epochs that `epochs` goes through at least.
const EPOCHS: u64 = 4;
/// Rounds in which it gets there at the latest.
const ROUNDS_MAX: u64 = 2_000;
/// Rounds of it between two more requests of each wallet.
const PLAN_EVERY: u64 = 4;

/// Nothing goes wrong but the wallet that conflicts.
pub async fn healthy(mut world: World) -> World {
    world.start().await;
    let mut spending = Spending::begin(&world).await;
    let honest = world.honest();
    for _ in 0..3 {
        spending.plan(&world, 4);
        spending.conflict(&world, &honest).await;
        spending.steps(&world, &honest, 4).await;
        world.traffic(&honest, 1).await;
    }
    spending.finish(&world).await;
    for i in honest {
        let status = world.status(i).await;
        assert!(status.votes_cast > 0, "no progress: node {i} cast no vote");
        assert!(status.spends_final > 0, "no progress: node {i} has executed requests and does not count them");
    }
    world
}

/// Two halves, or one node alone, for odd and even seeds; wallets spend on both sides, one of them conflicts.
pub async fn partition(mut world: World) -> World {
    world.start().await;
    let mut spending = Spending::begin(&world).await;
    spending.plan(&world, 3);
    spending.finish(&world).await;
    let honest = world.honest();
    let (one, other): (Vec<usize>, Vec<usize>) = match world.plan.seed.is_multiple_of(2) {
        true => (honest[..world.last()].to_vec(), vec![world.last()]),
        false => honest.iter().copied().partition(|i| i % 2 == 0),
    };
    world.divide(&one, &other).await;
    spending.plan(&world, 5);
    // every second node: with halves a whole side hears of one rival only
    spending.conflict(&world, &honest).await;
    spending.steps(&world, &one, 10).await;
    spending.steps(&world, &other, 10).await;
    spending.steps(&world, &honest, 10).await;
    world.traffic(&honest, 2).await;
    world.wait(LONG).await;
    world.heal().await;
    checkers::progress::resumes(&mut world).await;
    spending.finish(&world).await;
    world
}

/// A node is killed when it has voted and nobody has heard it; meanwhile the others hear of the rival, and it is asked for that
/// when it is back. Then each node in turn is killed when it has carried a chain.
pub async fn restart(mut world: World) -> World {
    world.start().await;
    let mut spending = Spending::begin(&world).await;
    let (last, others) = (world.last(), world.honest()[..world.last()].to_vec());
    spending.plan(&world, 3);
    spending.finish(&world).await;
    world.mute(last).await;
    let [one, other] = spending.pair(&world, last).await;
    let carried = world.handle(last).spend(vec![one]).await;
    let carried = carried.is_ok_and(|answers| answers.iter().all(Result::is_ok));
    // where epochs are short this one may be ending
    assert!(carried || world.plan.epoch < 1_000, "no progress: node {last} does not carry a sound request");
    world.crash(last).await;
    world.heal().await;
    for i in &others {
        drop(world.handle(*i).spend(vec![other.clone()]).await);
    }
    spending.plan(&world, 2);
    spending.steps(&world, &others, 6).await;
    world.boot(last).await;
    drop(world.handle(last).spend(vec![other]).await);
    spending.steps(&world, &world.honest(), 4).await;
    for i in world.honest() {
        spending.plan(&world, 2);
        spending.step(&world, &[i]).await;
        world.crash(i).await;
        world.wait(AWAY).await;
        world.boot(i).await;
        spending.steps(&world, &world.honest(), 4).await;
    }
    spending.finish(&world).await;
    world.traffic(&world.honest(), 1).await;
    world
}

/// Epochs end with requests in flight; a wallet that conflicted in all of them spends in the end as any other.
pub async fn epochs(mut world: World) -> World {
    world.start().await;
    let mut spending = Spending::begin(&world).await;
    let (honest, mut round) = (world.honest(), 0);
    while world.status(0).await.epoch < EPOCHS {
        assert!(round < ROUNDS_MAX, "no progress: the chain stays in epoch {}", world.status(0).await.epoch);
        if round % PLAN_EVERY == 0 {
            spending.plan(&world, 2);
        }
        spending.conflict(&world, &honest).await;
        spending.step(&world, &honest).await;
        world.traffic(&honest, 1).await;
        round += 1;
    }
    spending.reform(&world).await;
    spending.plan(&world, 2);
    let deadline = world.context.current() + PATIENCE;
    // a lock is gone with its epoch: epochs must go by
    while !spending.done() {
        assert!(world.context.current() < deadline, "no progress: requests are not executed, however many epochs end");
        spending.step(&world, &honest).await;
        world.traffic(&honest, 1).await;
    }
    world
}
