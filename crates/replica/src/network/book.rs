//! Whom this node talks to: the peers that its configuration names, and validators that registered an address.
//!
//! ```text
//! configuration ─▶ set 0 ─┐
//! core ── who registered, as each epoch begins ──▶ set 1, 2, … ─▶ the network's tracker
//! ```
//! # Rules
//! - An address of the configuration wins over a registered one: the operator knows better.
//! - Whoever comes first in the core's list gets room first: the committee, then candidates by stake.
//! - A name is looked up when its set is made. One that nobody knows is left out until the next epoch.

use crate::wire::public_key;
use commonware_cryptography::ed25519;
use commonware_macros::select;
use commonware_p2p::{Address, AddressableManager, Ingress};
use commonware_runtime::{Clock, Resolver};
use commonware_utils::channel::mpsc;
use commonware_utils::{Hostname, TryCollect as _, ordered::Map};
use futures::future::join_all;
use protocol::{Genesis, PublicKey};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tracing::{debug, warn};

/// Peers for which a node makes room beside the largest committee there can be, or beside those its configuration names
/// if they are more. Mailboxes are sized by it up front.
pub(super) const PEERS_SPARE: usize = 4;
/// How long looking up a name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Validators and where they say that they can be reached, the most important first.
pub(crate) type Registered = Vec<(PublicKey, protocol::Address)>;
/// Peers and where they are.
pub(super) type Peers = BTreeMap<ed25519::PublicKey, Address>;

/// How many peers a set may hold, this node included.
pub(super) fn peers_max(genesis: &Genesis, configured: usize) -> usize {
    let seats = usize::from(genesis.parameters.committee_max);
    genesis.committee.size().max(seats).max(configured).saturating_add(PEERS_SPARE + 1)
}

/// The sets of peers, one after another.
pub(super) struct Book<M> {
    pub(super) manager: M,
    /// Those of the configuration, this node included.
    pub(super) configured: Peers,
    pub(super) peers_max: usize,
    /// Number of the next set.
    pub(super) next: u64,
}

impl<M: AddressableManager<PublicKey = ed25519::PublicKey>> Book<M> {
    /// Makes `peers` the present set. At most [`peers_max`].
    pub(super) fn track(&mut self, peers: Peers) {
        // the keys of a map are all different
        let Ok(peers) = peers.into_iter().try_collect::<Map<_, _>>() else { return };
        let _ = AddressableManager::track(&mut self.manager, self.next, peers);
        self.next += 1;
    }

    /// Follows what is registered, until the core is gone.
    pub(super) async fn run<E: Clock + Resolver>(mut self, context: E, mut registered: mpsc::UnboundedReceiver<Registered>) {
        while let Some(mut newest) = registered.recv().await {
            while let Ok(newer) = registered.try_recv() {
                newest = newer;
            }
            let peers = extended(&context, self.configured.clone(), newest, self.peers_max).await;
            debug!(set = self.next, peers = peers.len(), "a new set of peers");
            self.track(peers);
        }
    }
}

/// `peers` with those of `registered` that they lack, at most `peers_max` in all.
async fn extended<E: Clock + Resolver>(context: &E, mut peers: Peers, registered: Registered, peers_max: usize) -> Peers {
    let room = peers_max.saturating_sub(peers.len());
    let others = registered.into_iter().filter_map(|(key, address)| Some((public_key(&key)?, address)));
    let mut others: Vec<_> = others.filter(|(peer, _)| !peers.contains_key(peer)).collect();
    if others.len() > room {
        warn!(
            room,
            registered = others.len(),
            "more validators are registered than this node makes room for: name those it needs under [ledger.peers]"
        );
        others.truncate(room);
    }
    let lookups = others.into_iter().map(|(peer, address)| async move {
        let found = locate(context, &address).await;
        (peer, address, found)
    });
    for (peer, address, found) in join_all(lookups).await {
        match found {
            Some(found) => drop(peers.insert(peer, found)),
            None => warn!(%peer, %address, "the address that a validator registered leads nowhere: not connected to it in this epoch"),
        }
    }
    peers
}

/// What to dial, and from where a connection is expected: for a name the smallest of its addresses.
async fn locate<E: Clock + Resolver>(context: &E, address: &protocol::Address) -> Option<Address> {
    let text = address.as_str();
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Address::Symmetric(socket));
    }
    let (host, port) = text.rsplit_once(':')?;
    let (host, port) = (Hostname::new(host).ok()?, port.parse::<u16>().ok()?);
    let found: Vec<IpAddr> = select! {
        found = context.resolve(host.as_str()) => found.ok()?,
        _ = context.sleep(LOOKUP_TIMEOUT) => return None,
    };
    let egress = SocketAddr::new(found.into_iter().min()?, port);
    Some(Address::Asymmetric { ingress: Ingress::Dns { host, port }, egress })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use commonware_runtime::{Runner as _, deterministic};
    use protocol::SecretKey;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public_key()
    }

    fn address(text: &str) -> protocol::Address {
        protocol::Address::new(text).unwrap()
    }

    fn symmetric(text: &str) -> Address {
        Address::Symmetric(text.parse().unwrap())
    }

    #[test]
    fn registered_addresses_fill_what_the_configuration_leaves() {
        deterministic::Runner::default().start(|context| async move {
            context.resolver_register("n3.example", Some(vec!["10.0.0.9".parse().unwrap(), "10.0.0.3".parse().unwrap()]));
            let configured = Peers::from([(public_key(&key(1)).unwrap(), symmetric("127.0.0.1:1"))]);
            let registered = vec![
                (key(1), address("10.9.9.9:9")),
                (key(2), address("[::1]:2")),
                (key(3), address("n3.example:3")),
                (key(4), address("nowhere.example:4")),
                (key(5), address("no_host_name:5")),
            ];
            let peers = extended(&context, configured, registered, 10).await;
            let of = |seed| peers.get(&public_key(&key(seed)).unwrap());
            assert_eq!(of(1), Some(&symmetric("127.0.0.1:1")), "the configuration wins");
            assert_eq!(of(2), Some(&symmetric("[::1]:2")));
            let ingress = Ingress::Dns { host: Hostname::new("n3.example").unwrap(), port: 3 };
            assert_eq!(of(3), Some(&Address::Asymmetric { ingress, egress: "10.0.0.3:3".parse().unwrap() }));
            assert_eq!((of(4), of(5)), (None, None));
        });
    }

    #[test]
    fn room_goes_to_the_first() {
        deterministic::Runner::default().start(|context| async move {
            let configured = Peers::from([(public_key(&key(1)).unwrap(), symmetric("127.0.0.1:1"))]);
            let registered: Registered = (1..=5).map(|seed| (key(seed), address("10.0.0.1:1"))).collect();
            let peers = extended(&context, configured, registered, 3).await;
            assert_eq!(peers.len(), 3);
            for seed in 1..=3 {
                assert!(peers.contains_key(&public_key(&key(seed)).unwrap()), "peer {seed}");
            }
        });
    }
}
