//! The replica among processes: authenticated TCP between the committee's members, those who were or may become
//! members, and those who only look on.

mod book;

pub(crate) use book::Registered;

use crate::application::Pace;
use crate::core::Retention;
use crate::dissemination;
use crate::handle::Handle;
use crate::replica::{Channels, Engine, Options, StartError, start};
use crate::sync::Joining;
use crate::wire::{Block, Digest, Scheme, private_key, public_key};
use book::{Book, Peers, peers_max};
use commonware_consensus::{marshal, marshal::standard::Standard, simplex};
use commonware_cryptography::ChaCha20Poly1305;
use commonware_p2p::{Address, authenticated::lookup, utils::mux};
use commonware_runtime::{Handle as Task, Network, Quota, Resolver};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::channel::mpsc;
use commonware_utils::{NZU32, NZUsize};
use protocol::{Genesis, PublicKey, SecretKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use tracing::warn;

/// Clocks of two peers may differ by this much at the handshake.
const HANDSHAKE_SKEW_MAX: Duration = Duration::from_secs(5);
/// Age of a handshake that is still answered.
const HANDSHAKE_AGE_MAX: Duration = Duration::from_secs(10);
/// Members of a committee up to which a peer may send the messages of a whole second at once. In larger ones the
/// bursts are smaller: mailboxes hold a burst of every peer, so they would grow with the committee.
const FULL_BURST_MEMBERS: u32 = 8;

/// So many messages a second of one peer, on one channel, in a committee of `members`.
fn quota(per_second: u32, members: u32) -> Quota {
    let burst = per_second.saturating_mul(FULL_BURST_MEMBERS) / members.max(FULL_BURST_MEMBERS);
    let [per_second, burst] = [per_second, burst].map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
    Quota::per_second(per_second).allow_burst(burst)
}

/// What a replica on TCP is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network.
    pub genesis: Genesis,
    /// This node's key.
    pub key: SecretKey,
    /// Where peers reach this node.
    pub listen: SocketAddr,
    /// Where this node reaches its peers: members of the committee, and whoever else may connect to it. Its own address
    /// may be among them. Validators that registered an address need not be.
    pub peers: BTreeMap<PublicKey, SocketAddr>,
    /// How milestones follow each other.
    pub pace: Pace,
    /// Prefix of every storage partition, `"node"` for instance.
    pub prefix: String,
    /// Where a new node takes what the network has forgotten.
    pub joining: Joining,
    /// How long old messages stay.
    pub retention: Retention,
}

/// Starts the network and the replica on it.
pub(crate) fn start_tcp<E>(context: E, config: Config) -> Result<(Handle, Task<()>), StartError>
where
    E: Engine + Network + Resolver,
{
    let Config { genesis, key, listen, peers, pace, prefix, joining, retention } = config;
    let configured = addresses(&genesis, &key.public_key(), listen, &peers)?;
    let peers_max = peers_max(&genesis, peers.len());
    // every node must find the same: the largest committee there can be
    let participants =
        u32::from(genesis.parameters.committee_max).max(u32::try_from(genesis.committee.size()).map_err(|_| StartError::Key)?);
    let largest = commonware_p2p::max_message_size(&[
        mux::prefixed(simplex::max_payload_size::<Scheme, Digest>(participants)),
        marshal::max_payload_size::<Standard<Block>, Scheme>(participants, &()),
        dissemination::max_payload_bytes(),
    ]);
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: private_key(&key).ok_or(StartError::Key)?,
            synchrony_bound: HANDSHAKE_SKEW_MAX,
            max_handshake_age: HANDSHAKE_AGE_MAX,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let namespace = [b"wattle/network/v1/".as_slice(), &genesis.network().0].concat();
    let set_size = NonZeroUsize::new(peers_max).unwrap_or(NonZeroUsize::MIN);
    // local: private addresses and quick handshakes, as on a site's own network or one machine
    let mut lookup_config = lookup::Config::local(handshake, &namespace, listen, set_size, largest, NZUsize!(256));
    // the core names the committee before as well, so the present set is enough
    lookup_config.tracked_peer_sets = NZUsize!(1);
    // one dial goes out per tick: a node must reach its whole committee well within a leader's patience
    lookup_config.dial_frequency = Duration::from_millis(50);
    lookup_config.peer_connection_cooldown = Duration::from_millis(250);
    lookup_config.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(64));
    let (mut network, oracle) = lookup::Network::new(context.child("network"), lookup_config);
    let mut book = Book { manager: oracle.clone(), configured: configured.clone(), peers_max, next: 0 };
    book.track(configured);
    let members = u32::try_from(genesis.committee.size().max(peers.len())).unwrap_or(u32::MAX);
    // mailboxes are sized by the quotas, up front: small bursts keep memory low, a peer over its quota is delayed
    let (fast, slow) = (quota(512, members), quota(128, members));
    let channels = Channels {
        votes: network.register(0, fast),
        certificates: network.register(1, fast),
        resolver: network.register(2, slow),
        backfill: network.register(3, slow),
        milestones: network.register(4, slow),
        push: network.register(5, fast),
        announce: network.register(6, slow),
        pull: network.register(7, slow),
    };
    let (registered, registrations) = mpsc::unbounded_channel();
    let options = Options { joining, retention, registered: Some(registered), ..Options::new(genesis, key, pace, prefix) };
    let started = start(context.child("replica"), options, oracle.clone(), oracle, channels)?;
    context.child("book").spawn(move |context| book.run(context, registrations));
    network.start();
    Ok(started)
}

/// The peers that the configuration names, and this node. A member of the genesis' committee may be missing if there is
/// anybody else to talk to: it may have registered an address, or left.
fn addresses(genesis: &Genesis, me: &PublicKey, listen: SocketAddr, peers: &BTreeMap<PublicKey, SocketAddr>) -> Result<Peers, StartError> {
    let mut book = Peers::new();
    for (key, address) in peers.iter().filter(|(key, _)| *key != me) {
        book.insert(public_key(key).ok_or(StartError::Key)?, Address::Symmetric(*address));
    }
    let alone = book.is_empty();
    for missing in genesis.committee.validators().iter().filter(|v| v.key != *me && !peers.contains_key(&v.key)) {
        if alone {
            return Err(StartError::Address(missing.key));
        }
        warn!(name = missing.name.as_str(), key = %missing.key, "no address is configured for this member of the genesis' committee");
    }
    book.insert(public_key(me).ok_or(StartError::Key)?, Address::Symmetric(listen));
    Ok(book)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Committee, Name, Validator};

    #[test]
    fn a_member_without_an_address_is_a_warning_unless_nobody_is_left() {
        let mut keys: Vec<PublicKey> = (1..=3).map(|seed| SecretKey::from_seed(&[seed; 32]).public_key()).collect();
        keys.sort_unstable();
        let validators = keys.iter().map(|key| Validator { key: *key, name: Name::new("n").unwrap() }).collect();
        let genesis = Genesis::plain(Name::new("net").unwrap(), 0, 0, Committee::new(validators).unwrap());
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let outside = SecretKey::from_seed(&[9; 32]).public_key();
        let book = |me: &PublicKey, peers: &[PublicKey]| {
            let peers = peers.iter().map(|key| (*key, at(2))).collect();
            addresses(&genesis, me, at(1), &peers)
        };
        let [first, second, third] = *keys.as_slice() else { unreachable!("three keys") };
        assert!(matches!(book(&first, &[first]), Err(StartError::Address(key)) if key == second));
        assert!(matches!(book(&outside, &[]), Err(StartError::Address(key)) if key == first));
        let some = book(&first, &[third, outside]).unwrap();
        assert_eq!(some.len(), 3, "itself, a member and somebody from outside");
        assert_eq!(some.get(&public_key(&first).unwrap()), Some(&Address::Symmetric(at(1))));
        assert_eq!(book(&outside, &[first]).unwrap().len(), 2);
    }

    #[test]
    fn bursts_shrink_in_large_committees_and_rates_do_not() {
        for (members, burst) in [(1, 512), (4, 512), (8, 512), (16, 256), (48, 85), (128, 32), (u32::MAX, 1)] {
            let quota = quota(512, members);
            assert_eq!(quota.burst_size().get(), burst, "{members} members");
            assert_eq!(quota.replenish_interval(), Duration::from_secs(1) / 512, "{members} members");
        }
    }
}
