//! Who is there in a laboratory: every member, from the beginning to the end.

use commonware_actor::Feedback;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{BlockedSubscription, Blocker, PeerSetSubscription, PeerSetUpdate, Provider, TrackedPeers};
use commonware_utils::channel::{mpsc, ring};
use commonware_utils::sync::Mutex;
use commonware_utils::{NZUsize, ordered::Set};
use std::sync::Arc;
use tracing::warn;

/// The members, as the engine asks for them.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    members: Set<PublicKey>,
    /// Kept, because a subscription that closes ends whoever reads it. As many as the replicas have parts that ask.
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<PeerSetUpdate<PublicKey>>>>>,
}

impl Peers {
    pub(super) fn new(members: &[PublicKey]) -> Self {
        Self { members: Set::from_iter_dedup(members.iter().cloned()), subscribers: Arc::default() }
    }

    fn tracked(&self) -> TrackedPeers<PublicKey> {
        TrackedPeers::primary(self.members.clone())
    }
}

impl Provider for Peers {
    type PublicKey = PublicKey;

    async fn peer_set(&mut self, _id: u64) -> Option<TrackedPeers<PublicKey>> {
        Some(self.tracked())
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<PublicKey> {
        let (sender, subscription) = mpsc::unbounded_channel();
        let _ = sender.send(PeerSetUpdate { index: 0, latest: self.tracked(), all: self.tracked() });
        self.subscribers.lock().push(sender);
        subscription
    }
}

/// Blocks nobody: all replicas are ours, so a block tells of a fault of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lenient;

impl Blocker for Lenient {
    type PublicKey = PublicKey;

    fn block(&mut self, peer: PublicKey) -> Feedback {
        warn!(%peer, "a replica of the laboratory would have blocked another");
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        let (sender, subscription) = ring::channel(NZUsize!(1));
        let _ = sender.send_lossy(Set::default());
        subscription
    }
}
