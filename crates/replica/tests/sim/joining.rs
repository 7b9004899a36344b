//! A node joins a network that has forgotten its beginnings, from sources that nobody trusts.

use crate::course::{Play, verdict_of};
use crate::scenarios::phase;
use crate::world::{Plan, World};
use replica::{Handle, Joining, Retention, Standing, Upstream, Watch};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Rounds of traffic: enough milestones for places to join at, and for messages to be forgotten.
const ROUNDS: usize = 2_000;

pub fn honest(world: &World, i: usize) -> Upstream {
    let handle: Handle = world.handle(i).clone();
    Upstream::new(&format!("node{i}"), move |question| {
        let handle = handle.clone();
        async move { handle.sync(question).await }
    })
}

/// Alters one byte of every answer to questions of a kind.
pub fn lying(world: &World, i: usize, kind: u8, at: usize) -> Upstream {
    let handle: Handle = world.handle(i).clone();
    Upstream::new(&format!("liar{kind}"), move |question| {
        let handle = handle.clone();
        async move {
            let about = question.first() == Some(&kind);
            let mut answer = handle.sync(question).await?;
            if about && !answer.is_empty() {
                let at = at % answer.len();
                answer[at] ^= 1;
            }
            Some(answer)
        }
    })
}

/// Everybody but the last runs, forgets, and is joined by the last.
async fn network(world: &mut World) -> usize {
    let late = world.last();
    world.start_without(&[late]).await;
    let running = world.running();
    for round in 0..ROUNDS {
        world.issue(running[round % running.len()]).await;
        world.wait(Duration::from_millis(60)).await;
    }
    world.settle().await;
    let old = world.issued[0].message;
    for i in &running {
        let record = world.handle(*i).message(old).await;
        assert!(record.is_none_or(|r| r.standing == Standing::Settled), "node {i} still has what it should have forgotten");
    }
    // what is older than the joining cannot be asked of everybody any more
    world.issued.clear();
    late
}

fn plan(seed: u64) -> Plan {
    let retention = Retention { age: None, bytes: Some(20_000) };
    Plan { retention, section: 16, epoch: 100, ..Plan::honest(seed, 4) }
}

async fn joins(mut world: World, upstreams: impl Fn(&World) -> Vec<Upstream>) -> World {
    let late = network(&mut world).await;
    let progress: Arc<Mutex<Vec<replica::Progress>>> = Arc::default();
    let told = Arc::clone(&progress);
    let watch = Watch::new(move |step| told.lock().unwrap().push(step));
    world.joining = Some(Joining { upstreams: upstreams(&world), watch });
    world.boot(late).await;
    let height = world.status(0).await.height;
    world.reach(late, height).await;
    assert_eq!(progress.lock().unwrap().last(), Some(&replica::Progress::Done), "no progress: the node did not join, it began anew");
    let status = world.status(late).await;
    assert!(status.epoch > 1 && status.validator, "diverged: the node that joined is in epoch {}", status.epoch);
    // it takes part, and comes back from its own disk
    world.traffic(&world.honest(), 6).await;
    world.settle().await;
    world.crash(late).await;
    world.boot(late).await;
    world.traffic(&world.honest(), 6).await;
    world
}

async fn from_an_honest_one(world: World) -> World {
    joins(world, |world| vec![honest(world, 0)]).await
}

async fn from_liars_and_one(world: World) -> World {
    let liars = |world: &World| {
        let mut all = Vec::new();
        for (kind, at) in [(0, 0), (0, 40), (0, 150), (0, 300), (1, 5), (1, 200), (2, 40), (2, 400), (3, 10), (3, 90), (4, 20), (4, 300)] {
            all.push(lying(world, 1, kind, at));
        }
        all.push(Upstream::new("silent", |_| async { None }));
        all.push(Upstream::new("babbling", |_| async { Some(vec![0xff; 100]) }));
        all.push(honest(world, 2));
        all
    };
    joins(world, liars).await
}

fn passes(plan: &Plan, play: Play) {
    if let Err(why) = verdict_of(plan, play) {
        panic!("seed {}: {why}", plan.seed);
    }
}

/// S-1 … S-9: what a joining node takes over fits the certificate.
#[test]
fn a_node_joins_a_network_that_forgot() {
    passes(&plan(1), phase!(from_an_honest_one));
}

#[test]
fn a_joining_node_believes_no_liar() {
    passes(&plan(2), phase!(from_liars_and_one));
}
