//! Who a datagram comes from, and how one goes out.

use super::counters::{Counters, Dropped};
use protocol::sn::{Frame, Packet, Route};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Datagrams that may wait to be encrypted.
pub(super) const SECURE_QUEUE_MAX: usize = 4096;

/// Where a client is: an address, and the node behind it if a forwarder is in between (SN-4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whose key it came with, if it came by DTLS. At one address another key may follow: that is another peer.
    pub(super) secure: Option<Arc<str>>,
    /// The wireless node id, if a forwarder encapsulates.
    pub(super) node: Option<Vec<u8>>,
}

/// A datagram for the DTLS listener to encrypt: where it goes, for whose key only, and what it is.
pub(super) type Plaintext = (SocketAddr, Arc<str>, Vec<u8>);

/// The ways out.
#[derive(Clone)]
pub(super) struct Outlet {
    pub(super) plain: Arc<UdpSocket>,
    pub(super) secure: Option<mpsc::Sender<Plaintext>>,
    pub(super) counters: Arc<Counters>,
}

fn datagram(peer: &Peer, packet: Packet) -> Option<Vec<u8>> {
    let route = peer.node.clone().map(|node| Route { radius: 0, node });
    match (Frame { route, packet }).encode() {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::debug!(%error, address = %peer.address, "a message cannot be written");
            None
        }
    }
}

impl Outlet {
    /// Sends; waits while the socket is full.
    pub(super) async fn send(&self, peer: &Peer, packet: Packet) {
        if peer.secure.is_some() {
            return self.offer(peer, packet);
        }
        let Some(bytes) = datagram(peer, packet) else { return };
        if let Err(error) = self.plain.send_to(&bytes, peer.address).await {
            tracing::debug!(%error, address = %peer.address, "a datagram was not sent");
            self.counters.drop_one(Dropped::Socket);
        }
    }

    /// Sends without waiting: what cannot go out now is dropped and counted. Whoever expects it asks again.
    pub(super) fn offer(&self, peer: &Peer, packet: Packet) {
        let Some(bytes) = datagram(peer, packet) else { return };
        let sent = match (&self.secure, &peer.secure) {
            (Some(queue), Some(identity)) => queue.try_send((peer.address, identity.clone(), bytes)).is_ok(),
            // what is for a key never goes out in the clear
            (None, Some(_)) => false,
            (_, None) => self.plain.try_send_to(&bytes, peer.address).is_ok(),
        };
        if !sent {
            self.counters.drop_one(Dropped::Socket);
        }
    }
}
