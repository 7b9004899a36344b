//! An issuer builds long branches that are found void, and names them again when most nodes have forgotten them.
//!
//! ```text
//! at first      a0 ◀── a1                      a1 counts; its rivals and all that builds on them is void
//!               ╰──── r ◀── … ◀── t            (several such branches)
//!
//! node 0 keeps everything · node 1 forgets · node 2 joins from a liar and from node 1 · node 3 is the issuer's
//!
//! then          a1 ◀── a2                      a2 names t as well, and counts; e builds on t
//!                t ◀──╯
//!                t ◀── e
//! ```
//! Whoever remembers t has it outside the cut of a2; whoever pulled it again must too, else a2 lies deeper and the order
//! is another one.

use crate::adversaries::{self, PACE};
use crate::course::verdict_of;
use crate::joining::{honest, lying};
use crate::scenarios::phase;
use crate::seat::Puppet;
use crate::traffic::PATIENCE;
use crate::world::{Plan, World};
use commonware_runtime::Clock as _;
use protocol::{Id, Message};
use replica::{Defences, Joining, Retention, Standing, Watch};
use std::time::Duration;

/// Branches, and messages in each.
const BRANCHES: u64 = 8;
const LENGTH: u64 = 24;
/// Rounds of traffic: enough milestones for places to join at, and for messages to be forgotten.
const ROUNDS: usize = 2_000;
/// Rounds of traffic around each message that names an old branch.
const BUSY: usize = 4;
/// Between two looks at something awaited.
const LOOK: Duration = Duration::from_millis(20);
/// Seeds that are tried until a course fails without the defence.
const SEEDS: u64 = 3;

const ARCHIVE: usize = 0;
const FORGETFUL: usize = 1;

/// Waits until a message stands somewhere on a node.
pub async fn stands(world: &World, node: usize, id: Id, where_to: fn(Standing) -> bool) {
    let deadline = world.context.current() + PATIENCE;
    loop {
        let record = world.handle(node).message(id).await;
        if record.is_some_and(|record| where_to(record.standing)) {
            return;
        }
        assert!(world.context.current() < deadline, "no progress: message {id} of the equivocator does not get anywhere on node {node}");
        world.context.sleep(LOOK).await;
    }
}

pub const fn counts(standing: Standing) -> bool {
    matches!(standing, Standing::Confirmed { .. })
}

const fn is_void(standing: Standing) -> bool {
    matches!(standing, Standing::Void { .. })
}

/// Waits until one of several messages counts, and gives it.
async fn one_counts(world: &World, rivals: &[Message]) -> Id {
    let deadline = world.context.current() + PATIENCE;
    loop {
        for rival in rivals {
            if world.handle(ARCHIVE).message(rival.id()).await.is_some_and(|record| counts(record.standing)) {
                return rival.id();
            }
        }
        assert!(world.context.current() < deadline, "no progress: of several messages of one sequence none counts");
        world.context.sleep(LOOK).await;
    }
}

/// Builds and pushes the branches. Gives the message that counts beside them, and the end of each branch.
async fn branch(world: &World, puppet: &mut Puppet) -> (Id, Vec<Id>) {
    let key = puppet.key.clone();
    let first = puppet.draft(0, vec![puppet.root()], b"first").sign(&key);
    puppet.push_all(std::slice::from_ref(&first));
    for node in [ARCHIVE, FORGETFUL] {
        stands(world, node, first.id(), counts).await;
    }
    let rivals: Vec<Message> = (0..=BRANCHES).map(|n| puppet.draft(1, vec![first.id()], &n.to_be_bytes()).sign(&key)).collect();
    puppet.push_all(&rivals);
    let main = one_counts(world, &rivals).await;
    let mut ends = Vec::new();
    for root in rivals.iter().filter(|rival| rival.id() != main) {
        let (mut chain, mut last) = (Vec::new(), root.id());
        for sequence in 2..2 + LENGTH {
            let message = puppet.draft(sequence, vec![last], b"branch").sign(&key);
            last = message.id();
            chain.push(message);
        }
        puppet.push_all(&chain);
        ends.push(last);
    }
    for node in [ARCHIVE, FORGETFUL] {
        stands(world, node, main, counts).await;
        for end in &ends {
            stands(world, node, *end, is_void).await;
        }
    }
    (main, ends)
}

/// Traffic until one node has forgotten what the other keeps.
async fn forget(world: &mut World, old: &[Id]) {
    for round in 0..ROUNDS {
        world.issue(round % 2).await;
        world.wait(Duration::from_millis(60)).await;
    }
    world.settle().await;
    for id in old {
        assert!(world.handle(FORGETFUL).message(*id).await.is_none(), "the node still has what it should have forgotten");
        stands(world, ARCHIVE, *id, is_void).await;
    }
    // what is older than the joining cannot be asked of everybody any more
    world.issued.clear();
}

/// A liar first, who says another thing of what the last milestones confirmed; then an honest node that forgot.
async fn join(world: &mut World) -> usize {
    let late = world.last();
    let upstreams = vec![lying(world, ARCHIVE, 2, 40), lying(world, ARCHIVE, 2, 4_000), honest(world, FORGETFUL)];
    world.joining = Some(Joining { upstreams, watch: Watch::default() });
    world.boot(late).await;
    let height = world.status(ARCHIVE).await.height;
    world.reach(late, height).await;
    late
}

/// Names each branch again from a new message that counts, and builds on every second one.
async fn revive(world: &mut World, puppet: &mut Puppet, main: Id, ends: &[Id], nodes: &[usize]) {
    let key = puppet.key.clone();
    let mut last = main;
    for (sequence, end) in (2u64..).zip(ends) {
        world.traffic(nodes, BUSY / 2).await;
        let next = puppet.draft(sequence, vec![last, *end], b"names a branch").sign(&key);
        last = next.id();
        puppet.push_all(std::slice::from_ref(&next));
        let extension = puppet.draft(2 + LENGTH, vec![*end], b"extends a branch").sign(&key);
        let extends = sequence.is_multiple_of(2);
        if extends {
            puppet.push_all(std::slice::from_ref(&extension));
        }
        world.traffic(nodes, BUSY / 2).await;
        for node in nodes {
            stands(world, *node, last, counts).await;
            if extends {
                stands(world, *node, extension.id(), is_void).await;
            }
        }
    }
}

async fn forgotten(mut world: World) -> World {
    let issuer = world.hostile()[0];
    // its own replica keeps the branches, so that they can be had
    let limited = std::mem::take(&mut world.plan.retention);
    let mut puppet = adversaries::shadow(&mut world, issuer).await;
    world.boot(ARCHIVE).await;
    world.plan.retention = limited;
    world.boot(FORGETFUL).await;
    world.wait(PACE * 8).await;
    let (main, ends) = branch(&world, &mut puppet).await;
    forget(&mut world, &ends).await;
    let late = join(&mut world).await;
    let nodes = [ARCHIVE, FORGETFUL, late];
    revive(&mut world, &mut puppet, main, &ends, &nodes).await;
    // it comes back from its own disk, and still knows
    world.settle().await;
    world.crash(late).await;
    world.boot(late).await;
    world.traffic(&nodes, BUSY).await;
    world
}

fn plan(seed: u64) -> Plan {
    let retention = Retention { age: None, bytes: Some(20_000) };
    Plan { hostile: 1, retention, section: 16, ..Plan::honest(seed, 4) }
}

/// FIN-21 to FIN-23: what was found void stays so for nodes that never heard of it.
#[test]
fn old_void_branches_part_nobody() {
    let plan = plan(4);
    if let Err(why) = verdict_of(&plan, phase!(forgotten)) {
        panic!("seed {}: {why}", plan.seed);
    }
}

/// The same, with nobody asking the state: nodes that remember and nodes that forgot have different cuts.
#[test]
fn old_void_branches_part_nodes_that_do_not_ask_the_state() {
    let defences = Defences { void: false, ..Defences::default() };
    let found = (0..SEEDS).find_map(|seed| verdict_of(&Plan { defences, ..plan(seed) }, phase!(forgotten)).err());
    let found = found.expect("it makes no difference who remembers: every course passes");
    assert!(found.contains("diverged: ") || found.contains("no progress: "), "no verdict: {found}");
}
