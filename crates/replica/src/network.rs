//! The replica among processes: authenticated TCP between the committee's members.

use crate::application::Pace;
use crate::dissemination;
use crate::handle::Handle;
use crate::replica::{Channels, Engine, Options, StartError, start};
use crate::wire::{Block, Digest, Scheme, private_key, public_key};
use commonware_consensus::{marshal, marshal::standard::Standard, simplex};
use commonware_cryptography::{ChaCha20Poly1305, ed25519};
use commonware_p2p::{Address, AddressableManager, authenticated::lookup};
use commonware_runtime::{Handle as Task, Network, Quota, Resolver};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, TryCollect as _, ordered::Map};
use protocol::{Genesis, PublicKey, SecretKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Clocks of two peers may differ by this much at the handshake.
const HANDSHAKE_SKEW_MAX: Duration = Duration::from_secs(5);
/// Age of a handshake that is still answered.
const HANDSHAKE_AGE_MAX: Duration = Duration::from_secs(10);

/// What a replica on TCP is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network.
    pub genesis: Genesis,
    /// This node's key.
    pub key: SecretKey,
    /// Where peers reach this node.
    pub listen: SocketAddr,
    /// Where this node reaches each member of the committee; its own address may be among them.
    pub peers: BTreeMap<PublicKey, SocketAddr>,
    /// How milestones follow each other.
    pub pace: Pace,
    /// Prefix of every storage partition, `"node"` for instance.
    pub prefix: String,
}

/// Starts the network and the replica on it.
pub(crate) fn start_tcp<E>(context: E, config: Config) -> Result<(Handle, Task<()>), StartError>
where
    E: Engine + Network + Resolver,
{
    let Config { genesis, key, listen, peers, pace, prefix } = config;
    let members = genesis.committee.validators().iter().map(|v| {
        let address = match v.key == key.public_key() {
            true => listen,
            false => *peers.get(&v.key).ok_or(StartError::Address(v.key))?,
        };
        Ok((public_key(&v.key).ok_or(StartError::Committee)?, Address::Symmetric(address)))
    });
    let members: Vec<(ed25519::PublicKey, Address)> = members.collect::<Result<_, StartError>>()?;
    let size = genesis.committee.size();
    let book: Map<ed25519::PublicKey, Address> = members.into_iter().try_collect().map_err(|_| StartError::Committee)?;
    let participants = u32::try_from(size).map_err(|_| StartError::Committee)?;
    let largest = commonware_p2p::max_message_size(&[
        simplex::max_payload_size::<Scheme, Digest>(participants),
        marshal::max_payload_size::<Standard<Block>, Scheme>(participants, &()),
        dissemination::max_payload_bytes(),
    ]);
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: private_key(&key).ok_or(StartError::Committee)?,
            synchrony_bound: HANDSHAKE_SKEW_MAX,
            max_handshake_age: HANDSHAKE_AGE_MAX,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let namespace = [b"wattle/network/v1/".as_slice(), &genesis.network().0].concat();
    let peers_max = NonZeroUsize::new(size + 1).unwrap_or(NonZeroUsize::MIN);
    // local: private addresses and quick handshakes, as on a site's own network or one machine
    let mut lookup_config = lookup::Config::local(handshake, &namespace, listen, peers_max, largest, NZUsize!(256));
    lookup_config.tracked_peer_sets = NZUsize!(2);
    // one dial goes out per tick: a node must reach its whole committee well within a leader's patience
    lookup_config.dial_frequency = Duration::from_millis(50);
    lookup_config.peer_connection_cooldown = Duration::from_millis(250);
    lookup_config.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(64));
    let (mut network, mut oracle) = lookup::Network::new(context.child("network"), lookup_config);
    AddressableManager::track(&mut oracle, 0, book);
    // mailboxes are sized by the quotas, up front: small bursts keep memory low, a peer over its quota is delayed
    let (fast, slow) = (Quota::per_second(NZU32!(512)), Quota::per_second(NZU32!(128)));
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
    let started = start(context.child("replica"), Options { genesis, key, pace, prefix }, oracle.clone(), oracle, channels)?;
    network.start();
    Ok(started)
}
