//! The receipt of every reading verifies, whichever node gives the evidence, and a changed one does not.

use crate::world::World;
use protocol::Value;
use std::collections::BTreeSet;

pub async fn check(world: &World) {
    let mut direct = BTreeSet::new();
    for (n, issued) in world.issued.iter().enumerate() {
        // every node for a few, one node in turn for the rest
        let running = world.running();
        let givers = if n % 16 == 0 { running.clone() } else { vec![running[n % running.len()]] };
        for i in givers {
            let evidence = match world.handle(i).evidence(issued.message).await {
                Ok(evidence) => evidence,
                // the newest certificate may still be on its way to this node
                Err(replica::EvidenceError::Uncertified(_)) => continue,
                Err(why) => panic!("no progress: node {i} has no evidence: {why}"),
            };
            direct.insert(evidence.anchor.is_none());
            let leaf = (n % 3) as u32;
            let receipt = evidence.receipt(&issued.batch, leaf).expect("the batch has three readings");
            let verified = receipt.verify(&world.genesis).unwrap_or_else(|why| panic!("diverged: the receipt from node {i}: {why}"));
            assert_eq!(verified.reading, issued.batch.readings[leaf as usize], "diverged: a receipt of another reading");
            assert!(verified.signers.len() >= protocol::quorum(verified.committee), "diverged: a receipt without a quorum");
            let mut forged = receipt;
            forged.reading.value = Value::Boolean(true);
            assert!(forged.verify(&world.genesis).is_err(), "diverged: a changed value verifies");
        }
    }
    assert!(!direct.is_empty() || world.issued.is_empty(), "no progress: no receipt could be had at all");
}
