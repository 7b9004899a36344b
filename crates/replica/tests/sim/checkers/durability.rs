//! Every message that a replica acknowledged is confirmed exactly once, and nothing else is.

use crate::world::World;
use std::collections::BTreeMap;

pub async fn check(world: &World) {
    for i in world.running() {
        let height = world.handle(i).status().await.expect("the node runs").height;
        let mut confirmed = BTreeMap::new();
        for height in 1..=height {
            let record = world.handle(i).milestone(height).await.expect("an executed milestone is there");
            assert!(record.void.is_empty(), "an honest network has no void messages");
            for id in record.messages {
                *confirmed.entry(id).or_insert(0u32) += 1;
            }
        }
        for issued in &world.issued {
            assert_eq!(confirmed.remove(&issued.message), Some(1), "a message of node {} on node {i}", issued.node);
        }
        assert!(confirmed.is_empty(), "node {i} confirmed what nobody was told was issued: {confirmed:?}");
    }
}
