//! What a replica tells its process.

use super::spends::SpendStatus;
use protocol::{Id, PublicKey, Request};
use std::sync::Arc;

/// A message as a milestone confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The message.
    pub id: Id,
    /// Who issued it.
    pub issuer: PublicKey,
    /// Its sequence.
    pub sequence: u64,
    /// How many readings it anchors.
    pub readings: u32,
}

/// What happened. Milestones are final; after a crash of this node what happened may be told again.
#[derive(Clone, Debug)]
pub enum Event {
    /// A milestone was executed.
    Milestone {
        /// Its height.
        height: u64,
        /// Its digest.
        digest: Id,
        /// Its time, in milliseconds since 1970.
        time_ms: u64,
        /// The messages it confirmed, in order.
        confirmed: Arc<[Confirmed]>,
    },
    /// Requests have another status. Those that a milestone executed come after its event.
    Spends(Arc<[SpendEvent]>),
}

/// A request has another status: it is certified, it is final, or, if this node carried it, it can be neither.
#[derive(Clone, Debug)]
pub struct SpendEvent {
    /// The request.
    pub id: Id,
    /// All of it.
    pub request: Arc<Request>,
    /// Where it stands now.
    pub status: SpendStatus,
}
