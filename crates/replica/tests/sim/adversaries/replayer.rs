//! Keeps what it heard first and says it again and again, also when it was confirmed and forgotten long ago.

use super::{PACE, STEPS, shadow};
use crate::world::World;
use commonware_runtime::{Spawner as _, Supervisor as _};
use protocol::{Id, Message};

/// Messages that it keeps: the oldest.
const KEPT: usize = 64;
/// Acts between two replays.
const REPLAY_EVERY: u64 = 12;
/// Messages in one replay.
const REPLAYED: usize = 16;

pub async fn play(world: &mut World, place: usize) {
    let mut puppet = shadow(world, place).await;
    world.context.child("replayer").spawn(move |_| async move {
        let mut kept: Vec<Message> = Vec::new();
        for step in 0..STEPS {
            let heard = puppet.listen(PACE).await;
            kept.extend(heard.into_iter().take(KEPT - kept.len()));
            if step % REPLAY_EVERY == REPLAY_EVERY - 1 && !kept.is_empty() {
                let from = (step as usize * 5) % kept.len();
                let again = &kept[from..(from + REPLAYED).min(kept.len())];
                let ids: Vec<Id> = again.iter().map(Message::id).collect();
                let again = again.to_vec();
                puppet.push_all(&again);
                puppet.announce(&ids);
            }
        }
    });
}
