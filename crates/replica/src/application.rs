//! What consensus asks of us: propose a milestone, check one, take one that is final.

use crate::core::{Finalized, Link, Request, Requests, shifted, unix_ms};
use crate::defences::Defences;
use crate::epochs::LEADER_TIMEOUT;
use crate::wire::{Block, Digest, Scheme, id};
use commonware_actor::Feedback;
use commonware_consensus::{
    Application, Heightable, Reporter,
    marshal::{Update, ancestry::Ancestry},
    simplex::types::Context,
};
use commonware_cryptography::{Digested, Digestible, ed25519::PublicKey};
use commonware_macros::select;
use commonware_parallel::Sequential;
use commonware_runtime::Clock;
use commonware_utils::channel::{mpsc, oneshot};
use commonware_utils::sync::Notify;
use futures::StreamExt as _;
use protocol::Milestone;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// How far a milestone's time may be ahead of our clock before we refuse it. Up to there we wait for the clock.
const CLOCK_SKEW_MAX: Duration = Duration::from_millis(500);

/// A leader begins no milestone in the last moments of its view: some would vote for it, others would have
/// given the view up, and neither side would have a quorum until the view's very end.
const TOO_LATE: Duration = Duration::from_millis(60);
const _: () = assert!(TOO_LATE.as_millis() < LEADER_TIMEOUT.as_millis() / 2);

/// How milestones follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Least time between two milestones under load.
    pub gap: Duration,
    /// Time after which an empty milestone is proposed. Consensus keeps memory for every view since the last
    /// final one, so a chain must never be idle for long.
    pub heartbeat: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { gap: Duration::from_millis(20), heartbeat: Duration::from_secs(15) }
    }
}

/// The engine's application.
#[derive(Clone)]
pub(crate) struct Proposer {
    pub(crate) requests: Requests,
    /// Rung when the graph grew.
    pub(crate) bell: Arc<Notify>,
    /// Height of the last milestone handed to the core as final.
    pub(crate) final_height: Arc<AtomicU64>,
    pub(crate) pace: Pace,
    pub(crate) defences: Defences,
    /// How far this node's wall clock is ahead of the machine's.
    pub(crate) clock_offset_ms: i64,
}

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

fn link(block: &Digested<Block>) -> Link {
    Link { digest: id(block.digest()), milestone: Arc::new(block.inner().0.clone()) }
}

impl Proposer {
    /// What this node's wall clock shows.
    fn now(&self, clock: &impl Clock) -> SystemTime {
        shifted(clock.current(), self.clock_offset_ms)
    }

    /// The machine's time when this node's wall clock shows `time`.
    fn machine(&self, time: SystemTime) -> SystemTime {
        shifted(time, self.clock_offset_ms.saturating_neg())
    }

    /// Milestones from the one after the last final one (or some more) to the newest of `ancestry`, oldest first. They
    /// travel newest first.
    async fn chain(&self, mut ancestry: impl Ancestry<Block>) -> Vec<Link> {
        let mut chain = Vec::new();
        while let Some(block) = ancestry.next().await {
            let height = block.height().get();
            chain.push(link(&block));
            // whatever is final reaches the core by itself, in order; a node that joined has nothing below
            if height <= self.final_height.load(Ordering::Acquire).saturating_add(1) {
                break;
            }
        }
        chain.reverse();
        chain
    }

    async fn build(&self, chain: &[Link], now_ms: u64, heartbeat: bool) -> Option<Milestone> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Propose { chain: chain.to_vec(), now_ms, heartbeat, reply };
        self.requests.send(request).await.ok()?;
        answer.await.ok().flatten()
    }
}

impl<E: Clock> Application<E> for Proposer {
    type SigningScheme = Scheme;
    type Context = Context<Digest, PublicKey>;
    type Block = Block;
    type Input = ();

    /// Waits for something to confirm, past the leader's timeout if need be: an idle view is skipped and
    /// leaves nothing behind. Consensus drops this future when the view is over.
    async fn propose(&mut self, (clock, _): (E, Self::Context), ancestry: impl Ancestry<Block>, (): ()) -> Option<Digested<Block>> {
        let entered = self.now(&clock);
        let chain = self.chain(ancestry).await;
        let parent = chain.last()?.milestone.clone();
        let earliest = at(parent.time_ms) + self.pace.gap;
        // the first milestone comes at once: it shows that the committee is there
        let heartbeat = if parent.height == 0 { earliest } else { at(parent.time_ms) + self.pace.heartbeat };
        let milestone = loop {
            let now = self.now(&clock);
            if now < earliest {
                // collect work until the pace allows another milestone
                clock.sleep_until(self.machine(earliest)).await;
                continue;
            }
            if now > entered + LEADER_TIMEOUT.saturating_sub(TOO_LATE) && now < heartbeat {
                return None; // the next leader's view is about to begin
            }
            if let Some(milestone) = self.build(&chain, unix_ms(now), now >= heartbeat).await {
                break milestone;
            }
            // past the heartbeat only a closing milestone waits, for the ends of members: they ring the bell
            let until = if now < heartbeat { heartbeat } else { entered + LEADER_TIMEOUT };
            if now >= until {
                return None;
            }
            select! {
                () = self.bell.notified() => {},
                () = clock.sleep_until(self.machine(until)) => {},
            }
        };
        Some(Digested::compute(Block(milestone), &Sequential).await)
    }

    /// A `false` is final, so everything that may yet come is waited for: messages by the core, time here.
    async fn verify(&mut self, (clock, _): (E, Self::Context), ancestry: impl Ancestry<Block>) -> bool {
        let chain = self.chain(ancestry).await;
        let Some(newest) = chain.last() else { return false };
        let time = at(newest.milestone.time_ms);
        if self.defences.clock {
            if time > self.now(&clock) + CLOCK_SKEW_MAX {
                return false;
            }
            clock.sleep_until(self.machine(time)).await;
        }
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Verify { chain, reply }).await.is_err() {
            return false;
        }
        // an unanswered question is no verdict: wait until consensus drops it
        match answer.await {
            Ok(verdict) => verdict,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Marshal's reporter: hands milestones that are final to the core and does not wait.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) finalized: mpsc::UnboundedSender<Finalized>,
    pub(crate) final_height: Arc<AtomicU64>,
}

impl Reporter for Sink {
    type Activity = Update<Block>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        if let Update::Block(block, ack) = update {
            let height = block.height().get();
            if self.finalized.send(Finalized { link: link(&block), ack }).is_err() {
                return Feedback::Closed;
            }
            // after the sending: a chain cut at this height finds the milestone waiting in the core, or executed
            self.final_height.fetch_max(height, Ordering::AcqRel);
        }
        Feedback::Ok
    }
}
