//! Signs two messages of one sequence and shows one to half of its peers, the other to the rest; goes on from either,
//! and now and then from both.

use super::{PACE, STEPS, shadow};
use crate::world::World;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};

pub async fn play(world: &mut World, place: usize) {
    let mut puppet = shadow(world, place).await;
    world.context.child("issuer").spawn(move |context| async move {
        let key = puppet.key.clone();
        // whoever is not there yet would never hear of the first message, and so of none
        context.sleep(PACE * 8).await;
        let mut last = puppet.root();
        for step in 0..STEPS {
            let fork = [b"left", b"rite"].map(|side| puppet.draft(step, vec![last], side).sign(&key));
            for to in puppet.others() {
                let (shown, hidden) = (to % 2, 1 - to % 2);
                puppet.push(to, &fork[shown..=shown]);
                if step % 16 == 15 {
                    // both branches in one place
                    puppet.push(to, &fork[hidden..=hidden]);
                }
            }
            last = fork[usize::from(step % 3 == 0)].id();
            context.sleep(PACE).await;
        }
    });
}
