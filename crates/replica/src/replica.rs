//! Wiring: opens the stores, starts dissemination, the core, marshal and consensus, in the order they need.
//!
//! Everything runs below one spawned task, so aborting its handle ends all of it; await the handle before the
//! same directory is opened again.

use crate::application::{Pace, Proposer, Sink};
use crate::core::{ACKS_MAX, Core, CoreError, Limits, Outlets, Request, Requests, Setup};
use crate::dissemination::{self, Port};
use crate::handle::Handle;
use crate::wire::{Block, Certificate, Digest, Scheme, private_key, public_key};
use commonware_broadcast::buffered;
use commonware_consensus::marshal::{
    self, Start,
    core::Actor,
    resolver::p2p as backfill,
    standard::{Inline, Standard},
};
use commonware_consensus::simplex::{
    self,
    config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy},
    elector::RoundRobin,
};
use commonware_consensus::types::{Epoch, FixedEpocher, ViewDelta};
use commonware_cryptography::{
    Digested, Sha256,
    certificate::{ConstantProvider, Verifier as _},
    ed25519::{PrivateKey, PublicKey},
};
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle as Task, Metrics, Spawner, Storage, Supervisor, buffer::paged::CacheRef};
use commonware_storage::{archive::prunable, translator::EightCap};
use commonware_utils::channel::mpsc;
use commonware_utils::sync::Notify;
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize, TryCollect as _, ordered::Set};
use protocol::{Genesis, SecretKey, finalization::consensus_namespace};
use rand_core::CryptoRng;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use thiserror::Error;
use tracing::error;

/// Requests that may wait for the core.
const REQUESTS_MAX: usize = 4096;
/// Milestones for which confirmed messages stay in memory.
const KEEP_MILESTONES: u64 = 64;
/// An epoch that does not end: elections come with epochs of their own.
const EPOCH_MILESTONES: u64 = 1 << 40;
/// A view is skipped if its leader stays silent for this long after there is work. Above the time a slow
/// link needs, below a person's patience.
pub(crate) const LEADER_TIMEOUT: Duration = Duration::from_millis(700);
/// Time from the beginning of a view until it is given up although its milestone was seen. Not much more than
/// the leader's: where the votes are split, everybody waits for this one.
const CERTIFICATION_TIMEOUT: Duration = Duration::from_millis(1_000);

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
    /// This node's key: a validator's of the genesis.
    pub key: SecretKey,
    /// How milestones follow each other.
    pub pace: Pace,
    /// Prefix of every storage partition: several replicas can share a directory.
    pub prefix: String,
}

/// Why a replica cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The key is not in the committee.
    #[error("the key {0} is not in the committee of the genesis: use the key that belongs to this node, or a genesis that names it")]
    Stranger(protocol::PublicKey),
    /// A key of the genesis is not a point of the curve, or appears twice.
    #[error("the committee of the genesis cannot be used by the consensus engine")]
    Committee,
    /// A member of the committee has no address.
    #[error("no address is configured for the validator {0}: add it under [ledger.peers]")]
    Address(protocol::PublicKey),
    /// The replica ended before it could answer: its log says why.
    #[error("the ledger node stopped while starting; its log says why")]
    Stopped,
}

struct Identity {
    key: PrivateKey,
    public: PublicKey,
    committee: Set<PublicKey>,
}

fn identity(options: &Options) -> Result<Identity, StartError> {
    let me = options.key.public_key();
    let validators = options.genesis.committee.validators();
    if !validators.iter().any(|v| v.key == me) {
        return Err(StartError::Stranger(me));
    }
    let keys: Option<Vec<PublicKey>> = validators.iter().map(|v| public_key(&v.key)).collect();
    let committee = keys.ok_or(StartError::Committee)?.into_iter().try_collect().map_err(|_| StartError::Committee)?;
    let (key, public) = private_key(&options.key).zip(public_key(&me)).ok_or(StartError::Committee)?;
    Ok(Identity { key, public, committee })
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
    let Options { genesis, key, pace, prefix } = options;
    let namespace = consensus_namespace(&genesis.network());
    let scheme = Scheme::signer(&namespace, identity.committee.clone(), identity.key.clone())
        .ok_or(CoreError::Inconsistent("the key is not in the committee"))?;
    let cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
    let first = Digested::compute(Block(genesis.milestone()), &Sequential).await;
    let epocher = FixedEpocher::new(NZU64!(EPOCH_MILESTONES));

    // archives of milestones and certificates, then marshal, which reads from them how far it got
    let opening = |_| CoreError::Inconsistent("the archive of milestones cannot be opened");
    let certificates = prunable::Archive::<EightCap, E, Digest, Certificate>::init(
        context.child("certificates"),
        archive(&prefix, "certificates", &cache, Scheme::certificate_codec_config_unbounded()),
    );
    let milestones =
        prunable::Archive::<EightCap, E, Digest, Arc<Block>>::init(context.child("milestones"), archive(&prefix, "milestones", &cache, ()));
    let config = marshal::Config {
        provider: ConstantProvider::<Scheme, Epoch>::new(scheme.clone()),
        epocher: epocher.clone(),
        start: Start::Genesis(first.clone()),
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
            public_key: identity.public.clone(),
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
    let outlets: Outlets = dissemination::start(
        &context,
        identity.public.clone(),
        peers.clone(),
        blocker.clone(),
        Port(requests.clone()),
        dissemination::Channels { push: channels.push, announce: channels.announce, pull: channels.pull },
    );
    let setup = Setup { genesis, key, prefix: prefix.clone(), limits: Limits { keep_milestones: KEEP_MILESTONES } };
    let core = Core::open(context.child("core"), setup, &cache, chain.clone(), outlets, bell.clone()).await?;
    let (finalized, finalized_inbox) = mpsc::unbounded_channel();
    // everything executed is final: no chain need be walked below it
    let final_height = Arc::new(AtomicU64::new(core.executed_height()));

    // marshal
    let (engine, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: identity.public.clone(),
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

    // consensus, last
    let proposer = Proposer { requests, bell, final_height, pace };
    let inline = Inline::new(context.child("inline"), proposer, chain, epocher);
    let config = simplex::Config {
        scheme,
        elector: RoundRobin::<Sha256>::default(),
        blocker,
        automaton: inline.clone(),
        relay: inline.clone(),
        reporter: inline,
        track_historical_votes: false,
        strategy: Sequential,
        partition: format!("{prefix}-consensus-0"),
        mailbox_size: NZUsize!(1024),
        epoch: Epoch::zero(),
        floor: Floor::Genesis(commonware_cryptography::Digestible::digest(&first)),
        replay_buffer: NZUsize!(256 * 1024),
        write_buffer: NZUsize!(64 * 1024),
        page_cache: cache,
        leader_timeout: LEADER_TIMEOUT,
        certification_timeout: CERTIFICATION_TIMEOUT,
        timeout_retry: LEADER_TIMEOUT * 2,
        view_retention: ViewDelta::new(64),
        skip: SkipPolicy::Enabled { timeout: LEADER_TIMEOUT * 5 / 2, budget: SkipBudget::Participants },
        fetch_timeout: NZDuration!(Duration::from_millis(500)),
        fetch_retry_delay: Duration::from_millis(50),
        forward: ForwardPolicy::Disabled,
    };
    simplex::Engine::new(context.child("consensus"), config).start(channels.votes, channels.certificates, channels.resolver);
    core.run(inbox, finalized_inbox).await
}
