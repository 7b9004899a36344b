//! Twins: two production replicas with one key, each speaking to its own half of the honest nodes. When the place
//! leads, each half hears another milestone; when it votes, each half hears another vote.
//!
//! ```text
//! even honest places ◀──▶ first twin          first twins hear each other, second twins hear each other:
//! odd honest places  ◀──▶ second twin         each half sees one consistent validator
//! ```

use crate::seat::{self, Rules};
use crate::world::World;
use commonware_p2p::simulated::{SplitOrigin, SplitTarget};
use protocol::Id;
use std::sync::Arc;

/// The second twin's clock: its milestones differ from the first one's even where nothing else does.
const OFFSET_MS: i64 = 7;

pub async fn play(world: &mut World, place: usize) {
    let senders = Arc::clone(&world.twins);
    let honest = world.plan.n - world.plan.hostile;
    let marks = Arc::clone(&senders);
    let out = move |channel: u64, origin: SplitOrigin, to: usize, bytes: &[u8]| {
        let first = origin == SplitOrigin::Primary;
        if to >= honest {
            let mut marks = marks.lock().unwrap();
            let mark = marks.entry((place, to, channel, Id::hash(&[bytes]))).or_default();
            mark.0 |= first;
            mark.1 |= !first;
            return true;
        }
        to.is_multiple_of(2) == first
    };
    let inward = move |channel: u64, from: usize, bytes: &[u8]| {
        if from >= honest {
            return match senders.lock().unwrap().get(&(from, place, channel, Id::hash(&[bytes]))) {
                Some((true, true)) => SplitTarget::Both,
                Some((true, false)) => SplitTarget::Primary,
                Some((false, true)) => SplitTarget::Secondary,
                _ => SplitTarget::None,
            };
        }
        if from.is_multiple_of(2) { SplitTarget::Primary } else { SplitTarget::Secondary }
    };
    let seat = seat::take(world.place(place), Rules { out: Arc::new(out), inward: Arc::new(inward) }).await;
    drop(world.accomplice(place, "-first", seat.first, 0));
    drop(world.accomplice(place, "-second", seat.second, OFFSET_MS));
}
