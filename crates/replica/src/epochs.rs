//! Epochs: whose signatures count when, and one engine of consensus for each.
//!
//! ```text
//! core ──Cue::Enter(epoch, committee, closing milestone)──▶ Conductor ──▶ simplex of that epoch
//!                                                              │  votes, certificates, resolver: one subchannel each
//! marshal ◀── Committees: epoch → who may sign ◀───────────────┘
//! ```
//! The rules are in `docs/spec/epochs.md`. An engine never hears of another epoch: the muxers separate them, and
//! what arrives for an epoch that has not begun here only shows that this node is behind.

use crate::application::Proposer;
use crate::core::{CoreError, Request, Requests};
use crate::replica::Engine;
use crate::wire::{Block, Digest, Scheme, digest, private_key, public_key};
use commonware_actor::Feedback;
use commonware_consensus::marshal::{
    core::Mailbox,
    standard::{Inline, Standard},
};
use commonware_consensus::simplex::{
    self,
    config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy},
    elector::RoundRobin,
    types::Activity,
};
use commonware_consensus::types::{Epoch, Epocher as _, FixedEpocher, ViewDelta};
use commonware_consensus::{Reporter, types::Height};
use commonware_cryptography::{
    Sha256,
    certificate::{Provider, Scoped},
    ed25519::{PrivateKey, PublicKey},
};
use commonware_macros::select;
use commonware_p2p::utils::mux::{Builder as _, MuxHandle, Muxer};
use commonware_p2p::{Blocker, Message, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle as Task, buffer::paged::CacheRef};
use commonware_utils::channel::mpsc;
use commonware_utils::sync::RwLock;
use commonware_utils::{NZDuration, NZUsize, TryCollect as _, ordered::Set, vec::NonEmptyVec};
use protocol::{Id, SecretKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// A view is skipped if its leader stays silent for this long after there is work. Above the time a slow
/// link needs, below a person's patience.
pub(crate) const LEADER_TIMEOUT: Duration = Duration::from_millis(700);
/// Time from the beginning of a view until it is given up although its milestone was seen. Not much more than
/// the leader's: where the votes are split, everybody waits for this one.
const CERTIFICATION_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Epochs whose committees stay known: certificates of older ones are no longer asked for.
const COMMITTEES_KEPT: usize = 64;

/// Who may sign in which epoch, as marshal asks it.
#[derive(Clone)]
pub(crate) struct Committees {
    namespace: Arc<[u8]>,
    key: PrivateKey,
    known: Arc<RwLock<BTreeMap<u64, Arc<Scheme>>>>,
}

impl Committees {
    /// No epoch is known yet. `None` if the key is none of the engine's.
    pub(crate) fn new(namespace: &[u8], key: &SecretKey) -> Option<Self> {
        Some(Self { namespace: namespace.into(), key: private_key(key)?, known: Arc::default() })
    }

    /// Makes the committee of an epoch known. `false` if a key is no point of the curve or appears twice.
    pub(crate) fn install(&self, epoch: u64, members: &[protocol::PublicKey]) -> bool {
        let keys: Option<Vec<PublicKey>> = members.iter().map(public_key).collect();
        let set: Option<Set<PublicKey>> = keys.and_then(|keys| keys.into_iter().try_collect().ok());
        let Some(set) = set else { return false };
        let scheme =
            Scheme::signer(&self.namespace, set.clone(), self.key.clone()).unwrap_or_else(|| Scheme::verifier(&self.namespace, set));
        let mut known = self.known.write();
        known.insert(epoch, Arc::new(scheme));
        while known.len() > COMMITTEES_KEPT {
            known.pop_first();
        }
        true
    }

    fn of(&self, epoch: u64) -> Option<Arc<Scheme>> {
        self.known.read().get(&epoch).cloned()
    }
}

impl Provider for Committees {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.of(epoch.get()).map(Scoped::scheme)
    }
}

/// An epoch that begins.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) epoch: u64,
    pub(crate) committee: Vec<protocol::PublicKey>,
    /// The committee before, if this is not the first epoch.
    pub(crate) previous: Option<Vec<protocol::PublicKey>>,
    /// Digest of the closing milestone of the epoch before, or of the genesis.
    pub(crate) boundary: Id,
}

/// What the core tells the conductor.
#[derive(Clone, Debug)]
pub(crate) enum Cue {
    /// A closing milestone was executed: the next epoch begins.
    Enter(Entry),
    /// This epoch's closing milestone is durably executed: its votes need not be remembered.
    Forget(u64),
}

/// The three channels of consensus, divided by epoch.
pub(crate) struct Lines<S: Sender> {
    votes: MuxHandle<S>,
    certificates: MuxHandle<S>,
    resolver: MuxHandle<S>,
    strays: [mpsc::Receiver<(u64, Message<S::PublicKey>)>; 2],
}

impl<S: Sender<PublicKey = PublicKey>> Lines<S> {
    pub(crate) fn new<E: Engine, R: Receiver<PublicKey = PublicKey>>(
        context: &E,
        votes: (S, R),
        certificates: (S, R),
        resolver: (S, R),
    ) -> Self {
        let (muxer, votes, stray_votes) = Muxer::builder(context.child("votes"), votes.0, votes.1).with_backup().build();
        muxer.start();
        let (muxer, certificates, stray_certificates) =
            Muxer::builder(context.child("certificates"), certificates.0, certificates.1).with_backup().build();
        muxer.start();
        let (muxer, resolver) = Muxer::new(context.child("resolver"), resolver.0, resolver.1);
        muxer.start();
        Self { votes, certificates, resolver, strays: [stray_votes, stray_certificates] }
    }
}

/// Runs one engine of consensus at a time.
pub(crate) struct Conductor<E: Engine, B> {
    pub(crate) context: E,
    pub(crate) committees: Committees,
    pub(crate) epocher: FixedEpocher,
    pub(crate) chain: Mailbox<Scheme, Standard<Block>>,
    pub(crate) consensus: Inline<E, Scheme, Proposer, Block, FixedEpocher>,
    pub(crate) blocker: B,
    pub(crate) requests: Requests,
    pub(crate) cache: CacheRef,
    pub(crate) prefix: String,
}

struct Running {
    epoch: u64,
    task: Task<()>,
}

impl<E: Engine, B: Blocker<PublicKey = PublicKey>> Conductor<E, B> {
    /// Follows the core's cues until it is gone.
    pub(crate) async fn run<S: Sender<PublicKey = PublicKey>>(
        mut self,
        mut lines: Lines<S>,
        mut cues: mpsc::UnboundedReceiver<Cue>,
    ) -> Result<(), CoreError> {
        let mut running: Option<Running> = None;
        loop {
            let [stray_votes, stray_certificates] = &mut lines.strays;
            let cue = select! {
                cue = cues.recv() => match cue {
                    Some(cue) => cue,
                    None => return Ok(()),
                },
                stray = stray_votes.recv() => {
                    self.behind(running.as_ref(), stray);
                    continue;
                },
                stray = stray_certificates.recv() => {
                    self.behind(running.as_ref(), stray);
                    continue;
                },
            };
            match cue {
                Cue::Enter(entry) => {
                    if let Some(Running { task, .. }) = running.take() {
                        task.abort();
                        let _ = task.await;
                    }
                    running = Some(self.enter(entry, &mut lines).await?);
                }
                // gone already, after a restart
                Cue::Forget(epoch) => drop(self.context.remove(&self.partition(epoch), None).await),
            }
        }
    }

    fn partition(&self, epoch: u64) -> String {
        format!("{}-consensus-{epoch}", self.prefix)
    }

    /// Somebody speaks of an epoch that has not begun here: asks it for the end of ours.
    fn behind(&self, running: Option<&Running>, stray: Option<(u64, Message<PublicKey>)>) {
        let (Some(running), Some((epoch, (from, _)))) = (running, stray) else { return };
        let last = self.epocher.last(Epoch::new(running.epoch));
        if let (true, Some(last)) = (epoch > running.epoch, last) {
            self.chain.hint_finalized(Height::new(last.get()), NonEmptyVec::new(from));
        }
    }

    async fn enter<S: Sender<PublicKey = PublicKey>>(&mut self, entry: Entry, lines: &mut Lines<S>) -> Result<Running, CoreError> {
        let Entry { epoch, committee, previous, boundary } = entry;
        if let (Some(previous), Some(before)) = (previous, epoch.checked_sub(1)) {
            self.committees.install(before, &previous);
        }
        if !self.committees.install(epoch, &committee) {
            return Err(CoreError::Inconsistent("the committee of an epoch cannot be used by the consensus engine"));
        }
        let scheme = self.committees.of(epoch).ok_or(CoreError::Inconsistent("the committee of an epoch was forgotten"))?;
        let config = simplex::Config {
            scheme: (*scheme).clone(),
            elector: RoundRobin::<Sha256>::default(),
            blocker: self.blocker.clone(),
            automaton: self.consensus.clone(),
            relay: self.consensus.clone(),
            reporter: Witness { inner: self.consensus.clone(), committee: committee.clone().into(), requests: self.requests.clone() },
            // both votes of an equivocator are needed to prove it
            track_historical_votes: true,
            strategy: Sequential,
            partition: self.partition(epoch),
            mailbox_size: NZUsize!(1024),
            epoch: Epoch::new(epoch),
            floor: Floor::Genesis(digest(boundary)),
            replay_buffer: NZUsize!(256 * 1024),
            write_buffer: NZUsize!(64 * 1024),
            page_cache: self.cache.clone(),
            leader_timeout: LEADER_TIMEOUT,
            certification_timeout: CERTIFICATION_TIMEOUT,
            timeout_retry: LEADER_TIMEOUT * 2,
            view_retention: ViewDelta::new(64),
            skip: SkipPolicy::Enabled { timeout: LEADER_TIMEOUT * 5 / 2, budget: SkipBudget::Participants },
            fetch_timeout: NZDuration!(Duration::from_millis(500)),
            fetch_retry_delay: Duration::from_millis(50),
            forward: ForwardPolicy::Disabled,
        };
        let closed = |_| CoreError::Inconsistent("the channels of consensus are closed");
        let votes = lines.votes.register(epoch).await.map_err(closed)?;
        let certificates = lines.certificates.register(epoch).await.map_err(closed)?;
        let resolver = lines.resolver.register(epoch).await.map_err(closed)?;
        let engine = simplex::Engine::new(self.context.child("consensus").with_attribute("epoch", epoch), config);
        let task = engine.start(votes, certificates, resolver);
        info!(epoch, committee = committee.len(), "an epoch begins");
        Ok(Running { epoch, task })
    }
}

/// Hands the activity of consensus on, and what proves misbehaviour to the core.
#[derive(Clone)]
struct Witness<R> {
    inner: R,
    committee: Arc<[protocol::PublicKey]>,
    requests: Requests,
}

impl<R: Reporter<Activity = Activity<Scheme, Digest>>> Reporter for Witness<R> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        if let Some(evidence) = crate::wire::misbehaviour(&activity, &self.committee) {
            warn!(?evidence, "a validator signed two milestones of one view");
            // full, or gone: whoever else saw it tells
            let _ = self.requests.try_send(Request::Misbehaviour(Box::new(evidence)));
        }
        self.inner.report(activity)
    }
}
