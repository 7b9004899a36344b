//! What inserting a message leads to.

use crate::evidence::Equivocation;
use protocol::limits::PARENTS_MAX;
use protocol::{Id, PublicKey};
use thiserror::Error;

/// What became of a message that was inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insertion<V> {
    /// It was there before: connected, pending, the root, or settled by the caller's own word.
    Known,
    /// It waits for parents.
    Pending {
        /// Those of its parents that are neither connected nor pending, ascending: ask for them.
        missing: Vec<Id>,
    },
    /// It is connected, and so is what waited for it.
    Connected {
        /// This message first, then the released ones, parents before children.
        vertices: Vec<V>,
        /// Equivocations that came to light.
        evidence: Vec<Equivocation>,
    },
}

/// Why a message was not taken. The graph is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InsertError {
    /// Too many messages wait for parents. Fetch the past oldest first, or drop a pending message that nothing
    /// waits for ([`crate::Dag::pending_tips`]), and insert again.
    #[error("{limit} messages wait for parents already: fetch their past oldest first or drop some, then insert this one again")]
    PendingFull {
        /// The limit that is reached.
        limit: usize,
    },
    /// Too many messages of this issuer wait for parents. Others are not affected; fetch this issuer's past
    /// oldest first, or leave the message to its issuer to send again.
    #[error("{limit} messages of issuer {issuer} wait for parents already: fetch this issuer's past oldest first, then insert it again")]
    IssuerPendingFull {
        /// Whose messages they are.
        issuer: PublicKey,
        /// The limit that is reached.
        limit: usize,
    },
    /// No decoder gives such a list of parents: refuse the message for good and count it against its sender.
    #[error("message {id} must name 1 to {max} parents, each once and never itself: refuse it for good", max = PARENTS_MAX)]
    Parents {
        /// The message.
        id: Id,
    },
}
