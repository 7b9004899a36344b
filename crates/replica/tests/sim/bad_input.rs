//! What a validator sends that no honest one does: refused, counted, bounded, and without harm to the others.

use crate::adversaries;
use crate::checkers::memory;
use crate::course::verdict_of;
use crate::scenarios::phase;
use crate::seat::{self, Puppet, Rules};
use crate::traffic::PATIENCE;
use crate::void_branches::{counts, stands};
use crate::world::{PULL, PUSH, Plan, World};
use commonware_p2p::simulated::SplitTarget;
use commonware_runtime::Clock as _;
use protocol::codec::put_varint;
use protocol::limits::{DATA_BYTES_MAX, PARENTS_MAX};
use protocol::{Id, Message};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// A committee of four whose last member is a puppet.
fn plan(seed: u64) -> Plan {
    Plan { hostile: 1, ..Plan::honest(seed, 4) }
}

fn judge(seeds: std::ops::Range<u64>, scenario: crate::course::Play) {
    for seed in seeds {
        if let Err(why) = verdict_of(&plan(seed), scenario) {
            panic!("seed {seed}: {why}");
        }
    }
}

/// Three honest nodes that have confirmed something, and the puppet.
async fn begin(world: &mut World) -> Puppet {
    world.start().await;
    let puppet = adversaries::puppet(world, 3).await;
    world.traffic(&world.honest(), 2).await;
    puppet
}

/// Ids of nothing.
fn nowhere(n: u64) -> Id {
    Id::hash(&[b"nowhere", &n.to_be_bytes()])
}

fn ascending(mut ids: Vec<Id>) -> Vec<Id> {
    ids.sort_unstable();
    ids
}

/// Frames that no decoder takes: each course sends another one.
fn malformed(puppet: &Puppet) -> Vec<Vec<u8>> {
    let key = &puppet.key;
    let framed = |message: &Message| [&[1u8][..], message.bytes()].concat();
    let long = puppet.draft(0, vec![puppet.root()], &[0; DATA_BYTES_MAX + 1]).sign(key);
    let many = puppet.draft(0, ascending((0..=PARENTS_MAX as u64).map(nowhere).collect()), b"x").sign(key);
    let none = puppet.draft(0, vec![], b"x").sign(key);
    // the shortest cycle there could be: an id twice among the parents
    let twice = puppet.draft(0, vec![nowhere(1), nowhere(1)], b"x").sign(key);
    let mut crowd = Vec::new();
    put_varint(&mut crowd, 1 << 40);
    let mut version = framed(&puppet.draft(0, vec![puppet.root()], b"x").sign(key));
    version[1] ^= 0x80;
    vec![framed(&long), framed(&many), framed(&none), framed(&twice), crowd, version, Vec::new()]
}

const MALFORMED: u64 = 7;

async fn send_malformed(mut world: World) -> World {
    let mut puppet = begin(&mut world).await;
    let mut frames = malformed(&puppet);
    assert_eq!(frames.len() as u64, MALFORMED);
    let frame = frames.swap_remove((world.plan.seed % MALFORMED) as usize);
    for to in world.honest() {
        puppet.push_raw(to, frame.clone());
    }
    let deadline = world.context.current() + PATIENCE;
    for i in world.honest() {
        // whoever sends it is cut off
        while !world.oracle.blocked().await.unwrap().contains(&(world.book[i].clone(), world.book[3].clone())) {
            assert!(world.context.current() < deadline, "no progress: node {i} still listens to who sends no messages");
            world.wait(Duration::from_millis(20)).await;
        }
        assert_eq!(world.status(i).await.pending, 0, "diverged: node {i} kept something of it");
    }
    world.traffic(&world.honest(), 2).await;
    world
}

#[test]
fn whoever_sends_what_is_no_message_is_blocked() {
    judge(0..MALFORMED, phase!(send_malformed));
}

/// Waits until node `i` has this many pending messages.
async fn wait_pending(world: &World, i: usize, count: usize) {
    let deadline = world.context.current() + PATIENCE;
    while world.status(i).await.pending < count {
        let pending = world.status(i).await.pending;
        assert!(world.context.current() < deadline, "no progress: {pending} messages are pending on node {i}, {count} were sent");
        world.wait(Duration::from_millis(20)).await;
    }
}

/// Messages whose parents never come, as near to a circle as a hash lets one: each names what the next one says.
async fn send_orphans(mut world: World) -> World {
    const ORPHANS: u64 = 200;
    let mut puppet = begin(&mut world).await;
    let key = puppet.key.clone();
    let orphans: Vec<Message> = (0..ORPHANS)
        .map(|n| {
            let next = Id::hash(&[puppet.draft(n + 1, vec![puppet.root()], b"orphan").sign(&key).bytes(), b"?"]);
            puppet.draft(n, vec![next], b"orphan").sign(&key)
        })
        .collect();
    puppet.push_all(&orphans);
    for i in world.honest() {
        wait_pending(&world, i, orphans.len()).await;
    }
    world.traffic(&world.honest(), 4).await;
    world.settle().await;
    for i in world.honest() {
        let status = world.status(i).await;
        assert_eq!(status.pending, orphans.len(), "diverged: what has no parents is pending on node {i}, nothing else");
        assert!(status.unconfirmed <= 8, "diverged: an orphan is in the graph of node {i}");
    }
    world
}

#[test]
fn messages_whose_parents_never_come_wait_and_harm_nobody() {
    judge(0..3, phase!(send_orphans));
}

/// More pending messages than one issuer may have, each with as many parents that do not exist as it may name.
async fn fill_pending(mut world: World) -> World {
    const PER_ISSUER_MAX: usize = 16_384;
    const BEYOND: usize = 256;
    let mut puppet = begin(&mut world).await;
    let key = puppet.key.clone();
    let total = PER_ISSUER_MAX + BEYOND;
    for frame in 0..(total / 64) as u64 {
        let flood: Vec<Message> = (frame * 64..(frame + 1) * 64)
            .map(|n| {
                let parents = ascending((0..PARENTS_MAX as u64).map(|i| nowhere(n * PARENTS_MAX as u64 + i)).collect());
                puppet.draft(n, parents, b"flood").sign(&key)
            })
            .collect();
        puppet.push(0, &flood);
        // within the quota of the channel
        world.wait(Duration::from_millis(2)).await;
    }
    wait_pending(&world, 0, PER_ISSUER_MAX).await;
    let deadline = world.context.current() + PATIENCE;
    while world.status(0).await.refused < BEYOND as u64 {
        assert!(world.context.current() < deadline, "no progress: what is over the limit is not refused");
        world.wait(Duration::from_millis(20)).await;
    }
    let status = world.status(0).await;
    assert_eq!(status.pending, PER_ISSUER_MAX, "diverged: more messages of one issuer are pending than allowed");
    assert!(status.wanted <= memory::wanted_max(4), "diverged: {} messages are wanted", status.wanted);
    // the others are not held up by it
    world.traffic(&world.honest(), 4).await;
    world
}

#[test]
fn one_peer_fills_its_own_share_of_memory_and_no_more() {
    judge(0..1, phase!(fill_pending));
}

/// Announcements of what does not exist, without end.
async fn announce_nothing(mut world: World) -> World {
    let mut puppet = begin(&mut world).await;
    for n in 0..400 {
        let tips: Vec<Id> = (0..64).map(|i| nowhere(n * 64 + i)).collect();
        puppet.announce(&tips);
        world.wait(Duration::from_millis(2)).await;
    }
    for i in world.honest() {
        let wanted = world.status(i).await.wanted;
        assert!(wanted <= memory::wanted_max(4), "diverged: {wanted} messages are wanted on node {i}");
    }
    // what the others announce is still believed
    world.part(&[2]).await;
    world.traffic(&[2], 5).await;
    world.heal().await;
    world
}

#[test]
fn announcements_of_nothing_leave_room_for_others() {
    judge(0..2, phase!(announce_nothing));
}

/// Two rivals: one counts; the other names a parent that does not exist, and one node hears of it before it is settled.
///
/// ```text
/// first ◀── next        rival comes to node 2 alone, before anything else, and waits there for its parent
///             │         first counts on every node: so rival is settled, and takes no parents any more
///  ? ◀─ rival ◀╯        next names rival: nodes 0 and 1 pull it and take it in as settled, and so must node 2
/// ```
async fn build_on_what_was_settled_while_it_waited(mut world: World) -> World {
    const EARLY: usize = 2;
    world.start().await;
    let place = world.hostile()[0];
    let inward = |channel: u64, _: usize, _: &[u8]| match channel {
        PUSH => SplitTarget::Secondary,
        PULL => SplitTarget::Primary,
        _ => SplitTarget::None,
    };
    let rules = Rules { out: Arc::new(|_, _, _, _| true), inward: Arc::new(inward) };
    let seat = seat::take(world.place(place), rules).await;
    let mut puppet = Puppet::new(world.place(place), seat.second);
    let key = puppet.key.clone();
    let first = puppet.draft(0, vec![puppet.root()], b"first").sign(&key);
    let rival = puppet.draft(0, vec![puppet.root(), nowhere(0)], b"rival").sign(&key);
    let next = puppet.draft(1, vec![first.id(), rival.id()], b"next").sign(&key);
    seat::serve(&puppet.context, seat.first.pull, rival.clone());
    world.traffic(&world.honest(), 2).await;
    world.settle().await;
    // from here on nothing but the rival can be pending
    puppet.push(EARLY, slice::from_ref(&rival));
    wait_pending(&world, EARLY, 1).await;
    for message in [first, next] {
        puppet.push_all(slice::from_ref(&message));
        for node in world.honest() {
            stands(&world, node, message.id(), counts).await;
        }
    }
    world.traffic(&world.honest(), 2).await;
    world
}

/// What came too early to be settled waits for its parents only until a milestone settles it. Else nothing that builds on
/// it could be had there, ever, final milestones included; and here, with a puppet that does not vote, the others confirm
/// nothing without that node.
#[test]
fn what_a_milestone_settles_waits_for_no_parent() {
    judge(0..3, phase!(build_on_what_was_settled_while_it_waited));
}

/// Proposals whose tips are never served get no vote; the other leaders go on.
async fn propose_unknown_tips(mut world: World) -> World {
    world.start().await;
    world.traffic(&world.honest(), 40).await;
    world.settle().await;
    for i in world.honest() {
        let status = world.status(i).await;
        assert!(status.unconfirmed <= 8, "diverged: what is never served is in the graph of node {i}");
        assert!(status.wanted > 0, "no progress: node {i} does not even ask for the tips that were proposed");
    }
    world
}

#[test]
fn proposals_with_unknown_tips_get_no_vote() {
    let plan = Plan::hostile(3, 4, adversaries::Adversary::Withholder, 1);
    if let Err(why) = verdict_of(&plan, phase!(propose_unknown_tips)) {
        panic!("seed 3: {why}");
    }
}
