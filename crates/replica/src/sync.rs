//! Joining a network that has forgotten its beginnings: state, headers and handovers from nodes that nobody trusts.
//!
//! ```text
//!  genesis ──handovers──▶ committee of today ──certificate──▶ floor: milestone S+1
//!                                                               │ state_root    ◀── the state after S
//!                                                               │ parent        ◀── headers 1 … S
//!                                                               └ messages_root ◀── what the last milestones confirmed
//! ```
//! Nothing is taken over that does not fit the certificate. A source that gives something else is asked no more; the
//! next one goes on. The rules are in `docs/spec/sync.md`.

mod answer;
mod join;
mod source;
mod wire;

pub(crate) use answer::Summits;
pub(crate) use join::{join, origin};
pub(crate) use source::StateSource;
pub(crate) use wire::Question;

use commonware_utils::channel::oneshot;
use protocol::Encode as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;

/// Milestones before the place of joining whose messages a joining node gets to know: others build on them.
pub(crate) const CUTS: u64 = 256;
/// Bytes of one answer.
pub const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// An answer under way.
type Answering = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

/// A node that answers questions of [`crate::Handle::sync`], however it is reached. It is not trusted. `None` if it
/// could not be reached or has no answer.
#[derive(Clone)]
pub struct Upstream {
    name: Arc<str>,
    ask: Arc<dyn Fn(Vec<u8>) -> Answering + Send + Sync>,
}

impl Upstream {
    /// `name` is what messages call it, its address for instance.
    pub fn new<F, Fut>(name: &str, ask: F) -> Self
    where
        F: Fn(Vec<u8>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        Self { name: name.into(), ask: Arc::new(move |question| Box::pin(ask(question))) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn ask(&self, question: &Question) -> Option<Vec<u8>> {
        (self.ask)(question.encode()).await.filter(|answer| answer.len() <= ANSWER_BYTES_MAX)
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upstream").field(&self.name).finish()
    }
}

/// How far joining got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The certificate holds: joining at this milestone.
    Summit {
        /// Its height.
        height: u64,
        /// Its epoch.
        epoch: u64,
    },
    /// Headers taken over.
    Headers {
        /// So many,
        done: u64,
        /// of so many.
        of: u64,
    },
    /// The state is taken over and its root is the certified one.
    State,
    /// Joined.
    Done,
}

/// Told how joining proceeds.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Progress) + Send + Sync>);

impl Watch {
    /// Calls `tell` with each step.
    pub fn new(tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, progress: Progress) {
        (self.0)(progress);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

/// Where a new node takes what the network has forgotten.
#[derive(Clone, Debug, Default)]
pub struct Joining {
    /// Nodes to ask, in this order. None: begin at the genesis.
    pub upstreams: Vec<Upstream>,
    /// Hears of the progress.
    pub watch: Watch,
}

/// Why a network could not be joined.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Every source failed; the last reason.
    #[error("none of the {asked} sources gave what the committee's certificate asks for; the last one, {name}: {why}")]
    Sources {
        /// How many were asked.
        asked: usize,
        /// The last one.
        name: String,
        /// What was wrong with it.
        why: Flaw,
    },
    /// The directory holds a half-finished joining and no source was given.
    #[error("this data directory is half-way through joining a network: start again with --from-peer")]
    Unfinished,
    /// This node's disk failed.
    #[error("the data directory cannot be written: {0}")]
    Storage(String),
}

/// What is wrong with what a source gave.
#[derive(Debug, Error)]
pub enum Flaw {
    /// No answer.
    #[error("it did not answer, or has nothing to join at yet")]
    Silent,
    /// An answer that cannot be read.
    #[error("its answer cannot be read")]
    Unreadable,
    /// A handover that does not hold.
    #[error("its handovers do not hold: {0}")]
    Handover(#[from] protocol::HandoverError),
    /// A certificate that does not hold.
    #[error("its certificate does not hold: {0}")]
    Certificate(#[from] protocol::FinalizationError),
    /// Parts that do not fit the certificate.
    #[error("{0}")]
    Misfit(&'static str),
    /// A state with another root than the certified one.
    #[error("the state it gave has another root than the certified one")]
    Root,
}

/// A question on its way to the core.
pub(crate) type Reply = oneshot::Sender<Option<Vec<u8>>>;
