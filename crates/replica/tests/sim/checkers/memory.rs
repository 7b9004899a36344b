//! What peers decide takes bounded memory.

use crate::world::World;

/// Messages that may wait for parents on a node.
pub const PENDING_MAX: usize = 32_768;
/// Messages that a node may know to be missing: on the word of consensus and of the graph, and of each member of the
/// committee as an issuer and as a peer.
pub const fn wanted_max(members: usize) -> usize {
    4096 + 2048 + members * (2048 + 256)
}
/// Unconfirmed messages that a member of the committee may have on a node once everything honest is confirmed.
const UNCONFIRMED_EACH: usize = 8_192;

pub async fn check(world: &World) {
    for i in world.running() {
        let status = world.status(i).await;
        assert!(status.pending <= PENDING_MAX, "diverged: {} messages are pending on node {i}", status.pending);
        assert!(status.wanted <= wanted_max(world.plan.n), "diverged: {} messages are wanted on node {i}", status.wanted);
        let unconfirmed = status.unconfirmed;
        assert!(unconfirmed <= UNCONFIRMED_EACH * world.plan.n, "diverged: {unconfirmed} messages are unconfirmed on node {i}");
    }
}
