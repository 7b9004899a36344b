//! Issues as fast as it may and faster: a chain of large messages, and beside it messages that wait for parents
//! which never come.

use super::{PACE, STEPS, shadow};
use crate::world::World;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use protocol::limits::DATA_BYTES_MAX;
use protocol::{Id, Message};

/// Bytes in each message.
const BYTES: usize = 1024;
const _: () = assert!(BYTES <= DATA_BYTES_MAX);

pub async fn play(world: &mut World, place: usize) {
    let each = world.plan.flood as u64;
    let mut puppet = shadow(world, place).await;
    world.context.child("flooder").spawn(move |context| async move {
        let key = puppet.key.clone();
        let (mut last, mut sequence) = (puppet.root(), 0);
        context.sleep(PACE * 8).await;
        for step in 0..STEPS {
            let mut flood: Vec<Message> = Vec::new();
            for i in 0..each {
                let message = puppet.draft(sequence, vec![last], &[step as u8; BYTES]).sign(&key);
                (last, sequence) = (message.id(), sequence + 1);
                flood.push(message);
                if i == 0 {
                    let nowhere = Id::hash(&[b"nowhere", &step.to_be_bytes(), &[puppet.me as u8]]);
                    flood.push(puppet.draft(1_000_000 + step, vec![nowhere], b"waits").sign(&key));
                }
            }
            puppet.push_all(&flood);
            context.sleep(PACE).await;
        }
    });
}
