//! What the graph needs to know of a message.

use protocol::{Id, Message, PublicKey};
use std::sync::Arc;

/// A message as the graph sees it; the graph hands the value back when its parents are there.
///
/// The answers must never change, and the id must be a hash over all of them: then no two messages have one
/// id and no message is its own ancestor.
pub trait Vertex: Clone {
    /// The hash that names it.
    fn id(&self) -> Id;
    /// Who issued it.
    fn issuer(&self) -> PublicKey;
    /// The issuer's own count of messages, from 0.
    fn sequence(&self) -> u64;
    /// What it names: the issuer's previous message (the root for sequence 0), then tips.
    fn parents(&self) -> &[Id];
}

impl Vertex for Arc<Message> {
    fn id(&self) -> Id {
        Message::id(self)
    }

    fn issuer(&self) -> PublicKey {
        self.issuer
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn parents(&self) -> &[Id] {
        &self.parents
    }
}
