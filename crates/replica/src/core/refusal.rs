//! Why a message is not admitted.

use dag::InsertError;
use protocol::MessageError;
use thiserror::Error;

/// Why a message is not admitted. Each kind is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Who signed it may not issue here.
    #[error("its issuer may not issue")]
    NotAnIssuer,
    /// It belongs to another network.
    #[error("it belongs to another network")]
    Network,
    /// It belongs to another subnet.
    #[error("it belongs to subnet {0}")]
    Subnet(u16),
    /// The signature is not the issuer's.
    #[error("the signature is not the issuer's")]
    Signature,
    /// It does not follow the message that it names as its issuer's previous one.
    #[error("its first parent is not its issuer's message of the sequence before")]
    Chain,
    /// Its issuer is above its share, and its proof of work does not make up for it.
    #[error("its proof of work has {found} zero nibbles and needs {needed}")]
    Work {
        /// Nibbles it has.
        found: u8,
        /// Nibbles it needs.
        needed: u8,
    },
    /// The peer pushes more than it may. The message is taken when it is asked for.
    #[error("the peer pushes faster than twice its share")]
    Rate,
    /// It claims a time that is to come. It is taken when that time is near.
    #[error("its time is {ahead_ms} ms ahead")]
    Future {
        /// How far ahead of this node's clock, in milliseconds.
        ahead_ms: u64,
    },
    /// No decoder gives such a list of parents.
    #[error("its parents are no list of parents")]
    Parents,
    /// Too many messages wait for parents. It is taken when its parents are here.
    #[error("too many messages wait for parents")]
    PendingFull,
    /// Too many messages of its issuer wait for a milestone. It is taken when it is asked for.
    #[error("too many messages of its issuer wait for a milestone")]
    Unconfirmed,
}

impl Refusal {
    /// Every kind, as the counters name them.
    pub(crate) const KINDS: [&'static str; 11] =
        ["issuer", "network", "subnet", "signature", "chain", "work", "rate", "future", "parents", "pending_full", "unconfirmed"];

    /// The name of its counter.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::NotAnIssuer => "issuer",
            Self::Network => "network",
            Self::Subnet(_) => "subnet",
            Self::Signature => "signature",
            Self::Chain => "chain",
            Self::Work { .. } => "work",
            Self::Rate => "rate",
            Self::Future { .. } => "future",
            Self::Parents => "parents",
            Self::PendingFull => "pending_full",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl From<MessageError> for Refusal {
    fn from(why: MessageError) -> Self {
        match why {
            MessageError::Network => Self::Network,
            MessageError::Subnet(subnet) => Self::Subnet(subnet),
            MessageError::Signature => Self::Signature,
        }
    }
}

impl From<InsertError> for Refusal {
    fn from(why: InsertError) -> Self {
        match why {
            InsertError::PendingFull { .. } | InsertError::IssuerPendingFull { .. } => Self::PendingFull,
            InsertError::Parents { .. } => Self::Parents,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_counter_of_its_own() {
        let all = [
            Refusal::NotAnIssuer,
            Refusal::Network,
            Refusal::Subnet(1),
            Refusal::Signature,
            Refusal::Chain,
            Refusal::Work { found: 0, needed: 1 },
            Refusal::Rate,
            Refusal::Future { ahead_ms: 1 },
            Refusal::Parents,
            Refusal::PendingFull,
            Refusal::Unconfirmed,
        ];
        let kinds: BTreeSet<&str> = all.iter().map(|refusal| refusal.kind()).collect();
        assert_eq!(kinds.len(), all.len());
        assert_eq!(kinds, BTreeSet::from(Refusal::KINDS));
    }
}
