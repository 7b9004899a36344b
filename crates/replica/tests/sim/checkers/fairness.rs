//! Nobody gets more into the ledger than its share.

use crate::world::World;
use commonware_runtime::Clock as _;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Counts the messages of adversaries that count, for each second since the beginning.
pub async fn check(world: &World, per_second_max: u64) {
    let i = world.running()[0];
    let mut counted = BTreeMap::new();
    for height in 1..=world.status(i).await.height {
        let record = world.handle(i).milestone(height).await.expect("an executed milestone is there");
        for id in record.messages {
            let message = world.handle(i).message(id).await.expect("a confirmed message is there").message;
            if world.is_hostile(&message.issuer) {
                *counted.entry(message.issuer).or_insert(0u64) += 1;
            }
        }
    }
    let seconds = world.context.current().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().max(1);
    for (issuer, count) in counted {
        assert!(
            count <= per_second_max * seconds,
            "diverged: a flooder ({issuer}) got {count} messages into the ledger in {seconds} s, its share is {per_second_max} a second"
        );
    }
}
