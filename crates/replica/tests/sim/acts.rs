//! Each adversary acts: with the defence that stops it switched off, or with one adversary more than a committee
//! survives, some course fails its checkers. The same courses pass with the defence on.

use crate::adversaries::Adversary;
use crate::checkers;
use crate::course::{Play, verdict_of};
use crate::scenarios::{self, phase};
use crate::spending::Spending;
use crate::world::{Plan, World};
use protocol::Body;
use replica::Defences;
use std::time::Duration;

/// Seeds that are tried until one fails.
const SEEDS: u64 = 10;
const N: usize = 4;

/// The verdict of the first of some seeds whose course fails.
fn fails(plan: impl Fn(u64) -> Plan, scenario: Play) -> String {
    let found = (0..SEEDS).find_map(|seed| verdict_of(&plan(seed), scenario).err());
    let found = found.expect("the adversary does nothing: every course passes");
    assert!(found.contains("diverged: ") || found.contains("no progress: "), "no verdict: {found}");
    found
}

/// With the defences as they are, the course passes.
fn passes(plan: &Plan, scenario: Play) {
    if let Err(why) = verdict_of(plan, scenario) {
        panic!("seed {}: {why}", plan.seed);
    }
}

fn one(adversary: Adversary) -> impl Fn(u64) -> Plan {
    move |seed| Plan::hostile(seed, N, adversary, 1)
}

fn undefended(adversary: Adversary, defences: Defences) -> impl Fn(u64) -> Plan {
    move |seed| Plan { defences, ..Plan::hostile(seed, N, adversary, 1) }
}

/// Enough traffic for an adversary to come to words.
async fn busy(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 40).await;
    world
}

/// More milestones than messages stay in memory for.
async fn slow(mut world: World) -> World {
    world.start().await;
    for n in 0..110 {
        world.issue(n % world.honest().len()).await;
        world.wait(Duration::from_millis(60)).await;
    }
    world
}

#[test]
fn an_equivocating_issuer_acts() {
    let open = Defences { conflicts: false, ..Defences::default() };
    fails(undefended(Adversary::EquivocatingIssuer, open), phase!(slow));
    passes(&one(Adversary::EquivocatingIssuer)(0), phase!(slow));
}

/// Two of four are more than a committee of four survives.
async fn divided(mut world: World) -> World {
    let (one, other): (Vec<usize>, Vec<usize>) = world.honest().into_iter().partition(|i| i % 2 == 0);
    world.divide(&one, &other).await;
    world.start().await;
    world.traffic(&world.honest(), 10).await;
    world.wait(Duration::from_secs(3)).await;
    checkers::agreement::check(&world).await;
    world
}

#[test]
fn an_equivocating_leader_acts() {
    let found = fails(|seed| Plan::hostile(seed, N, Adversary::EquivocatingLeader, 2), phase!(divided));
    assert!(found.contains("diverged: two milestones"), "{found}");
    passes(&one(Adversary::EquivocatingLeader)(0), phase!(scenarios::partition::halves));
}

#[test]
fn a_withholder_acts() {
    let open = Defences { availability: false, ..Defences::default() };
    let found = fails(undefended(Adversary::Withholder, open), phase!(busy));
    assert!(found.starts_with("no progress: "), "{found}");
    passes(&one(Adversary::Withholder)(0), phase!(busy));
}

#[test]
fn a_forger_acts_on_signatures() {
    let open = Defences { signatures: false, ..Defences::default() };
    fails(undefended(Adversary::Forger, open), phase!(busy));
}

#[test]
fn a_forger_acts_on_networks() {
    let open = Defences { network: false, ..Defences::default() };
    let found = fails(undefended(Adversary::Forger, open), phase!(busy));
    assert!(found.contains("diverged: "), "{found}");
}

/// The forger's messages are refused, and counted.
async fn refused(mut world: World) -> World {
    world = busy(world).await;
    for i in world.honest() {
        assert!(world.status(i).await.refused > 0, "no progress: node {i} refused nothing of what a forger says");
    }
    world
}

#[test]
fn a_forger_is_refused() {
    passes(&one(Adversary::Forger)(0), phase!(refused));
}

#[test]
fn a_replayer_acts() {
    let open = Defences { archive: false, ..Defences::default() };
    let found = fails(undefended(Adversary::Replayer, open), phase!(slow));
    assert!(found.contains("diverged: "), "{found}");
    passes(&one(Adversary::Replayer)(0), phase!(slow));
}

/// Messages per second that a flooder with unlimited rates gets into the ledger at least.
const FLOOD_PER_SECOND: u64 = 200;

/// Counts what a flooder got in.
async fn flooded(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 60).await;
    world.settle().await;
    checkers::fairness::check(&world, FLOOD_PER_SECOND).await;
    world
}

#[test]
fn a_flooder_acts() {
    let defences = Defences { rate: false, ..Defences::default() };
    let plan = |seed| Plan { defences, flood: 16, ..Plan::hostile(seed, N, Adversary::Flooder, 1) };
    let found = fails(plan, phase!(flooded));
    assert!(found.contains("diverged: a flooder"), "{found}");
    // with rates, and a share that honest traffic stays within
    passes(&Plan { share: 40, flood: 16, ..Plan::hostile(0, N, Adversary::Flooder, 1) }, phase!(flooded));
}

#[test]
fn a_time_liar_acts() {
    let open = Defences { clock: false, ..Defences::default() };
    fails(undefended(Adversary::TimeLiar, open), phase!(busy));
    passes(&one(Adversary::TimeLiar)(0), phase!(busy));
    passes(&one(Adversary::TimeLiar)(1), phase!(busy));
}

#[test]
fn an_eclipser_acts() {
    let all = |seed| Plan { total_eclipse: true, ..Plan::hostile(seed, N, Adversary::Eclipser, 1) };
    let found = fails(all, phase!(scenarios::late::scenario));
    assert!(found.starts_with("no progress: "), "{found}");
    passes(&one(Adversary::Eclipser)(0), phase!(scenarios::late::scenario));
}

/// Nobody spends but the adversary. What it hands over is carried and refused: each State is voted for once.
async fn rivals_refused(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 60).await;
    let mut rejected = 0;
    for i in world.honest() {
        let status = world.status(i).await;
        assert!(status.votes_cast > 0, "no progress: node {i} votes for nothing of a double spender");
        rejected += status.spends_rejected;
    }
    assert!(rejected > 0, "no progress: nobody refuses anything of a double spender");
    world
}

#[test]
fn a_double_spender_acts() {
    for seed in 0..2 {
        passes(&one(Adversary::DoubleSpender)(seed), phase!(rivals_refused));
    }
}

/// A wallet conflicts, and members of the committee vote for whatever they hear.
async fn rivals_voted_for(mut world: World) -> World {
    world.start().await;
    let mut spending = Spending::begin(&world).await;
    for _ in 0..3 {
        spending.conflict(&world, &world.honest()).await;
        world.wait(Duration::from_millis(500)).await;
    }
    checkers::spending::check(&world).await;
    world
}

/// With two of four members that vote for both, two requests of one State are certified; with one they are not.
#[test]
fn a_vote_equivocator_acts() {
    let found = fails(|seed| Plan::hostile(seed, N, Adversary::VoteEquivocator, 2), phase!(rivals_voted_for));
    assert!(found.contains("diverged: two requests of one State"), "{found}");
    for seed in 0..2 {
        passes(&one(Adversary::VoteEquivocator)(seed), phase!(rivals_voted_for));
    }
}

/// What a vote replayer issues counts, and has no effect: the nodes say why.
async fn replays_refused(mut world: World) -> World {
    world = scenarios::spending::healthy(world).await;
    world.traffic(&world.honest(), 20).await;
    world.settle().await;
    let (mut forged, mut late) = (0, 0);
    for record in world.handle(0).recent_messages(1_000).await {
        if matches!(record.message.body, Body::Certificates(_)) && world.is_hostile(&record.message.issuer) {
            for refusal in world.handle(0).refusals(record.message.id()).await {
                forged += u32::from(refusal.why.contains("the certificate does not hold"));
                late += u32::from(refusal.why.contains("was executed"));
            }
        }
    }
    assert!(forged > 0, "no progress: no forged certificate of a vote replayer is refused");
    assert!(late > 0, "no progress: no certificate of an executed request is refused");
    world
}

#[test]
fn a_vote_replayer_acts() {
    for seed in 0..2 {
        passes(&one(Adversary::VoteReplayer)(seed), phase!(replays_refused));
    }
}
