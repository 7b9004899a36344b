//! Pushes what must be refused: others' signatures, other networks and subnets, parents that are not its own or do
//! not exist, sequences that skip, and proofs of work that prove nothing.

use super::{PACE, STEPS, shadow};
use crate::world::World;
use commonware_runtime::{Spawner as _, Supervisor as _};
use protocol::{Id, Message, NetworkId, Unsigned};

/// The forgeries of a step.
fn forgeries(step: u64, victim: protocol::PublicKey, draft: &impl Fn(u64, Vec<Id>) -> Unsigned, seen: &[Message]) -> Vec<Unsigned> {
    let (root, nowhere) = (draft(0, vec![]).network.0, Id::hash(&[b"nowhere", &step.to_be_bytes()]));
    let root = Id(root);
    let parent = seen.last().map_or(root, Message::id);
    // the victim's next message, if the forger has heard its last
    let of_victim = seen.iter().rev().find(|m| m.issuer == victim);
    let (sequence, previous) = of_victim.map_or((0, root), |m| (m.sequence + 1, m.id()));
    let mut forgeries = vec![
        Unsigned { issuer: victim, ..draft(sequence, vec![previous]) },
        Unsigned { network: NetworkId([7; 32]), ..draft(step, vec![Id([7; 32])]) },
        Unsigned { subnet: 7, ..draft(0, vec![root]) },
        Unsigned { pow_nonce: step, ..draft(step, vec![parent]) },
        draft(step + 1_000_000, vec![root]),
    ];
    if step.is_multiple_of(8) {
        forgeries.push(draft(step, vec![nowhere]));
    }
    forgeries
}

pub async fn play(world: &mut World, place: usize) {
    let mut puppet = shadow(world, place).await;
    let victim = world.key(0).public_key();
    world.context.child("forger").spawn(move |_| async move {
        let key = puppet.key.clone();
        let mut seen: Vec<Message> = Vec::new();
        for step in 0..STEPS {
            let heard = puppet.listen(PACE).await;
            seen.extend(heard);
            seen.drain(..seen.len().saturating_sub(64));
            let draft = |sequence, parents| puppet.draft(sequence, parents, &step.to_be_bytes());
            let forged: Vec<Message> = forgeries(step, victim, &draft, &seen).into_iter().map(|m| m.sign(&key)).collect();
            puppet.push_all(&forged);
        }
    });
}
