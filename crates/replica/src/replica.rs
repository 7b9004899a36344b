//! Wiring: opens the stores, starts dissemination, the core, marshal and consensus, in the order they need.
//!
//! Everything runs below one spawned task, so aborting its handle ends all of it; await the handle before the
//! same directory is opened again.

use crate::application::{Pace, Proposer, Sink};
use crate::core::{ACKS_MAX, Core, CoreError, Limits, Outlets, Request, Requests, Retention, Setup};
use crate::defences::Defences;
use crate::dissemination::{self, Port};
use crate::epochs::{Committees, Conductor, Lines};
use crate::handle::Handle;
use crate::network::Registered;
use crate::store::{SECTION, Store};
use crate::sync::{Joining, join, origin};
use crate::wire::{Block, Certificate, Digest, Scheme, public_key};
use commonware_broadcast::buffered;
use commonware_consensus::marshal::{
    self, Start,
    core::Actor,
    resolver::p2p as backfill,
    standard::{Inline, Standard},
};
use commonware_consensus::types::{FixedEpocher, ViewDelta};
use commonware_cryptography::{Digested, certificate::Verifier as _, ed25519::PublicKey};
use commonware_macros::select;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle as Task, Metrics, Spawner, Storage, Supervisor, buffer::paged::CacheRef};
use commonware_storage::{archive::prunable, translator::EightCap};
use commonware_utils::channel::mpsc;
use commonware_utils::sync::Notify;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize};
use protocol::{Genesis, Id, SecretKey, finalization::consensus_namespace};
use rand_core::CryptoRng;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use thiserror::Error;
use tracing::error;

/// Requests that may wait for the core.
const REQUESTS_MAX: usize = 4096;
/// Milestones for which confirmed messages stay in memory.
const KEEP_MILESTONES: u64 = 64;
/// Everything the engine asks of a runtime.
pub trait Engine: Clock + CryptoRng + Spawner + Storage + Metrics + Supervisor {}
impl<T: Clock + CryptoRng + Spawner + Storage + Metrics + Supervisor> Engine for T {}

/// The channels of one subnet. Each is a pair of the network's sender and receiver.
pub struct Channels<S, R> {
    /// Votes of consensus.
    pub votes: (S, R),
    /// Certificates of consensus.
    pub certificates: (S, R),
    /// Certificates asked for.
    pub resolver: (S, R),
    /// Milestones asked for.
    pub backfill: (S, R),
    /// Milestones proposed.
    pub milestones: (S, R),
    /// Messages pushed.
    pub push: (S, R),
    /// Tips announced.
    pub announce: (S, R),
    /// Messages asked for.
    pub pull: (S, R),
}

/// What a replica is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network.
    pub genesis: Genesis,
    /// This node's key: a validator's, or of one who looks on until it is elected.
    pub key: SecretKey,
    /// How milestones follow each other.
    pub pace: Pace,
    /// Prefix of every storage partition: several replicas can share a directory.
    pub prefix: String,
    /// Where a new node takes what the network has forgotten.
    pub joining: Joining,
    /// How long old messages stay.
    pub retention: Retention,
    /// Records of a table that are pruned together; must stay the same for a directory.
    pub section: NonZeroU64,
    /// Switches of simulations; everything is on by default.
    #[doc(hidden)]
    pub defences: Defences,
    /// Milliseconds that this node's wall clock is ahead of the machine's, in simulations: what a node with a wrong
    /// clock would say in messages and milestones, and believe of those of others. 0 everywhere else.
    #[doc(hidden)]
    pub clock_offset_ms: i64,
    /// Who hears, once an epoch, which validators registered an address. Nobody where the network knows its peers, as
    /// in simulations.
    #[doc(hidden)]
    pub registered: Option<mpsc::UnboundedSender<Registered>>,
}

impl Options {
    /// What every replica needs; everything else as is usual.
    #[must_use]
    pub fn new(genesis: Genesis, key: SecretKey, pace: Pace, prefix: String) -> Self {
        Self {
            genesis,
            key,
            pace,
            prefix,
            joining: Joining::default(),
            retention: Retention::default(),
            section: SECTION,
            defences: Defences::default(),
            clock_offset_ms: 0,
            registered: None,
        }
    }
}

/// Why a replica cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The genesis does not add up.
    #[error("the genesis cannot be used: {0}")]
    Genesis(protocol::FoundingError),
    /// A key is not a point of the curve.
    #[error("a key of this node, of a peer or of the genesis cannot be used by the consensus engine")]
    Key,
    /// A member of the committee has no address, and nobody else has one.
    #[error("no address is configured for the validator {0}: add it under [ledger.peers]")]
    Address(protocol::PublicKey),
    /// The replica ended before it could answer: its log says why.
    #[error("the ledger node stopped while starting; its log says why")]
    Stopped,
}

struct Identity {
    public: PublicKey,
    committees: Committees,
    epocher: FixedEpocher,
}

fn identity(options: &Options) -> Result<Identity, StartError> {
    let Options { genesis, key, .. } = options;
    genesis.check().map_err(StartError::Genesis)?;
    let committees = Committees::new(&consensus_namespace(&genesis.network()), key).ok_or(StartError::Key)?;
    let public = public_key(&key.public_key()).ok_or(StartError::Key)?;
    let length = NonZeroU64::new(genesis.parameters.epoch_milestones).ok_or(StartError::Key)?;
    Ok(Identity { public, committees, epocher: FixedEpocher::new(length) })
}

/// Starts a replica on channels that exist already. The task ends when storage fails, or is aborted.
///
/// # Errors
/// [`StartError`] if the options do not fit together.
pub fn start<E, S, R>(
    context: E,
    options: Options,
    peers: impl Provider<PublicKey = PublicKey>,
    blocker: impl Blocker<PublicKey = PublicKey>,
    channels: Channels<S, R>,
) -> Result<(Handle, Task<()>), StartError>
where
    E: Engine,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let identity = identity(&options)?;
    let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
    let requests: Requests = sender.clone();
    let task = context.spawn(move |context| async move {
        if let Err(why) = run(context, options, identity, peers, blocker, channels, sender, receiver).await {
            error!(%why, "the ledger node stopped");
        }
    });
    Ok((Handle::new(requests), task))
}

pub(crate) fn archive<C>(prefix: &str, name: &str, cache: &CacheRef, codec_config: C) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{prefix}-{name}-metadata"),
        key_partition: format!("{prefix}-{name}-key"),
        key_page_cache: cache.clone(),
        value_partition: format!("{prefix}-{name}-value"),
        compression: None,
        codec_config,
        items_per_section: NZU64!(16_384),
        key_write_buffer: NZUsize!(16 * 1024),
        value_write_buffer: NZUsize!(64 * 1024),
        replay_buffer: NZUsize!(64 * 1024),
    }
}

#[allow(clippy::too_many_arguments, reason = "called once, to wire everything")]
async fn run<E, S, R>(
    context: E,
    options: Options,
    identity: Identity,
    peers: impl Provider<PublicKey = PublicKey>,
    blocker: impl Blocker<PublicKey = PublicKey>,
    channels: Channels<S, R>,
    requests: Requests,
    inbox: mpsc::Receiver<Request>,
) -> Result<(), CoreError>
where
    E: Engine,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let Options { genesis, key, pace, prefix, joining, retention, section, defences, clock_offset_ms, registered } = options;
    let Identity { public, committees, epocher } = identity;
    let cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
    let first = Digested::compute(Block(genesis.milestone()), &Sequential).await;

    let secret = Id::hash(&[b"wattle/keys of tables", &key.to_seed()]);
    join(&context, &genesis, &prefix, &cache, section, secret, &joining).await?;
    let store = Store::open(&context.child("core"), &prefix, &cache, section, secret).await?;
    let origin = origin(&store).await?;
    let start = match &origin {
        None => Start::Genesis(first),
        Some(origin) => {
            let (epoch, committee) = origin.committee();
            committees.install(epoch, committee);
            Start::Floor(origin.certificate().ok_or(CoreError::Inconsistent("its record of joining is damaged"))?)
        }
    };

    // archives of milestones and certificates, then marshal, which reads from them how far it got
    let opening = |_| CoreError::Inconsistent("the archive of milestones cannot be opened");
    let certificates = prunable::Archive::<EightCap, E, Digest, Certificate>::init(
        context.child("certificates"),
        archive(&prefix, "certificates", &cache, Scheme::certificate_codec_config_unbounded()),
    );
    let milestones =
        prunable::Archive::<EightCap, E, Digest, Arc<Block>>::init(context.child("milestones"), archive(&prefix, "milestones", &cache, ()));
    let config = marshal::Config {
        provider: committees.clone(),
        epocher: epocher.clone(),
        start,
        partition_prefix: format!("{prefix}-marshal"),
        mailbox_size: NZUsize!(1024),
        view_retention: ViewDelta::new(64),
        prunable_items_per_section: NZU64!(256),
        page_cache: cache.clone(),
        replay_buffer: NZUsize!(64 * 1024),
        key_write_buffer: NZUsize!(16 * 1024),
        value_write_buffer: NZUsize!(64 * 1024),
        block_codec_config: (),
        max_repair: NZUsize!(64),
        max_pending_acks: NZUsize!(ACKS_MAX),
        strategy: Sequential,
    };
    let (certificates, milestones) = (certificates.await.map_err(opening)?, milestones.await.map_err(opening)?);
    let (actor, chain, _) =
        Actor::<_, Standard<Block>, _, _, _, _, _>::init(context.child("marshal"), certificates, milestones, config).await;
    let backfill = backfill::init(
        context.child("backfill"),
        backfill::Config {
            public_key: public.clone(),
            peer_provider: peers.clone(),
            blocker: blocker.clone(),
            mailbox_size: NZUsize!(1024),
            fetch_timeout: NZDuration!(Duration::from_millis(500)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        channels.backfill,
    );

    // dissemination and the core
    let bell = Arc::new(Notify::new());
    let (cues, cues_inbox) = mpsc::unbounded_channel();
    let mut outlets: Outlets = dissemination::start(
        &context,
        public.clone(),
        peers.clone(),
        blocker.clone(),
        Port(requests.clone()),
        dissemination::Channels { push: channels.push, announce: channels.announce, pull: channels.pull },
        cues,
    );
    if let Some(registered) = registered {
        outlets.registered = Box::new(move |list| drop(registered.send(list)));
    }
    let limits = Limits { keep_milestones: KEEP_MILESTONES, retention };
    let setup = Setup { genesis, key, prefix: prefix.clone(), limits, store, defences, clock_offset_ms };
    let core = Core::open(context.child("core"), setup, &cache, chain.clone(), outlets, bell.clone()).await?;
    let (finalized, finalized_inbox) = mpsc::unbounded_channel();
    // everything executed is final: no chain need be walked below it
    let final_height = Arc::new(AtomicU64::new(core.executed_height()));

    // marshal
    let (engine, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: public.clone(),
            mailbox_size: NZUsize!(256),
            deque_size: 16,
            priority: true,
            codec_config: (),
            peer_provider: peers,
            strategy: Sequential,
        },
    );
    engine.start(channels.milestones);
    actor.start(Sink { finalized, final_height: final_height.clone() }, buffer, backfill);

    // consensus, last: whichever of the two ends takes the other with it
    let proposer = Proposer { requests: requests.clone(), bell, final_height, pace, defences, clock_offset_ms };
    let consensus = Inline::new(context.child("inline"), proposer, chain.clone(), epocher.clone());
    let lines = Lines::new(&context.child("lines"), channels.votes, channels.certificates, channels.resolver);
    let conductor = Conductor { context: context.child("epochs"), committees, epocher, chain, consensus, blocker, requests, cache, prefix };
    let conductor = context.child("conductor").spawn(move |_| conductor.run(lines, cues_inbox));
    select! {
        ended = core.run(inbox, finalized_inbox) => ended,
        ended = conductor => ended.unwrap_or(Err(CoreError::Consensus)),
    }
}
