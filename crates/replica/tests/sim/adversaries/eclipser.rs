//! Surrounds one honest node: of all peers it reaches, all but one are hostile. They keep to the rules towards
//! everybody else, say nothing of use to the victim, and announce to it what does not exist.

use super::{PACE, STEPS};
use crate::seat::{self, Puppet, Rules};
use crate::world::{ANNOUNCE, World};
use commonware_p2p::simulated::{SplitOrigin, SplitTarget};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use protocol::Id;
use std::sync::Arc;

/// Tips that do not exist in each announcement.
const INVENTED: u64 = 4;
/// It speaks this much more slowly than the others: every lie is asked for again and again.
const SLOWER: u64 = 4;

pub async fn play(world: &mut World, place: usize) {
    let victim = world.last();
    // the one honest peer is place 0, unless the scenario takes that away too
    let total = world.plan.total_eclipse;
    for other in world.honest().into_iter().filter(|i| *i != victim && (*i != 0 || total)) {
        world.deny(other, victim).await;
    }
    let out = move |channel: u64, origin: SplitOrigin, to: usize, _: &[u8]| {
        to != victim || (origin == SplitOrigin::Secondary && channel == ANNOUNCE)
    };
    let inward = move |_: u64, from: usize, _: &[u8]| if from == victim { SplitTarget::None } else { SplitTarget::Primary };
    let seat = seat::take(world.place(place), Rules { out: Arc::new(out), inward: Arc::new(inward) }).await;
    drop(world.accomplice(place, "", seat.first, 0));
    let mut puppet = Puppet::new(world.place(place), seat.second);
    world.context.child("eclipser").spawn(move |context| async move {
        for step in 0..STEPS / SLOWER {
            let tip = |i: u64| Id::hash(&[b"invented", &step.to_be_bytes(), &i.to_be_bytes(), &[puppet.me as u8]]);
            let tips: Vec<Id> = (0..INVENTED).map(tip).collect();
            puppet.announce(&tips);
            context.sleep(PACE * SLOWER as u32).await;
        }
    });
}
