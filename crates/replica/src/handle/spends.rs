//! Requests of wallets: handing them over, and where they stand.

use super::{Handle, IssueError};
use crate::core::Request;
use protocol::{Certificate, Id, PublicKey, Reason, Rejection};
use std::sync::Arc;

/// Where a request stands (WAL-18 of `docs/spec/wallet.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendStatus {
    /// Not certified yet.
    Pending,
    /// A certificate exists, for it and for each before it that no milestone executed.
    Certified,
    /// A milestone executed it.
    Final {
        /// Of this height.
        height: u64,
    },
    /// So many members are against it that it cannot be certified, or another one of its number was executed.
    Refused,
    /// Votes are split between it and others of its number: none is certified in this epoch.
    Locked,
    /// Its epoch has ended, and it was not executed: sign a new one.
    Lapsed,
}

impl SpendStatus {
    /// A word for it, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Certified => "certified",
            Self::Final { .. } => "final",
            Self::Refused => "refused",
            Self::Locked => "locked",
            Self::Lapsed => "lapsed",
        }
    }

    /// Whether nothing more is to be expected.
    #[must_use]
    pub const fn ended(self) -> bool {
        match self {
            Self::Pending | Self::Certified => false,
            Self::Final { .. } | Self::Refused | Self::Locked | Self::Lapsed => true,
        }
    }
}

/// A request and where it stands.
#[derive(Clone, Debug)]
pub struct SpendRecord {
    /// Its id.
    pub id: Id,
    /// The request.
    pub request: Arc<protocol::Request>,
    /// Where it stands.
    pub status: SpendStatus,
    /// Votes for it that this node knows.
    pub votes: u32,
    /// Votes that certify it.
    pub needed: u32,
    /// A message that carries it.
    pub carrier: Option<Id>,
    /// Why members are not for it, if this node carried it: the last word of each.
    pub rejections: Vec<Rejection>,
}

/// What a node says to a request: where it stands, or why this node does not carry it.
pub type SpendAnswer = Result<SpendRecord, Reason>;

/// A purse, as executed and beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurseRecord {
    /// Whose.
    pub wallet: PublicKey,
    /// The epoch that a request must name now.
    pub epoch: u64,
    /// Requests that milestones executed.
    pub number: u64,
    /// The State after them.
    pub state: Id,
    /// Sub-units after them.
    pub balance: u64,
    /// The number that the next request must have: after those that are certified or that this node voted for.
    pub next_number: u64,
    /// The State that it must name.
    pub next_state: Id,
    /// Sub-units that it may spend.
    pub available: u64,
}

impl Handle {
    /// Has this node carry requests of wallets, at most [`protocol::limits::REQUESTS_MAX`]; requests of one wallet one after
    /// another. Answers in their order, once those that it carries are durable here: they are not certified by then. A request that
    /// it knows is answered with its record.
    ///
    /// # Errors
    /// [`IssueError`] if no message could be issued; then all of them may be sent again.
    pub async fn spend(&self, requests: Vec<protocol::Request>) -> Result<Vec<SpendAnswer>, IssueError> {
        self.ask(|reply| Request::Spend { requests, reply }).await.unwrap_or(Err(IssueError::Stopped))
    }

    /// Where a request of this epoch or the one before stands, as far as this node remembers.
    pub async fn spend_record(&self, id: Id) -> Option<SpendRecord> {
        self.ask(|reply| Request::SpendRecord { id, reply }).await.flatten()
    }

    /// The certificate of a request, if enough votes are known and their messages are here. One that follows a request which has not
    /// enough proves nothing by itself: see [`SpendStatus::Certified`].
    pub async fn certificate(&self, id: Id) -> Option<Certificate> {
        self.ask(|reply| Request::Certificate { id, reply }).await.flatten()
    }

    /// A wallet's purse, also one that the ledger has not heard of; `None` if the replica has stopped.
    pub async fn purse(&self, wallet: PublicKey) -> Option<PurseRecord> {
        self.ask(|reply| Request::Purse { wallet, reply }).await
    }

    /// A service that was ever offered, by its id.
    pub async fn service(&self, id: Id) -> Option<ledger::Service> {
        self.ask(|reply| Request::Service { id, reply }).await.flatten()
    }

    /// The purchase that a request made, until it ends.
    pub async fn purchase(&self, request: Id) -> Option<ledger::Purchase> {
        self.ask(|reply| Request::Purchase { request, reply }).await.flatten()
    }

    /// The coins outside accounts and stakes; `None` if the replica has stopped.
    pub async fn coins(&self) -> Option<ledger::Coins> {
        self.ask(|reply| Request::Coins { reply }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_word_and_four_of_them_end_it() {
        let all = [
            SpendStatus::Pending,
            SpendStatus::Certified,
            SpendStatus::Final { height: 3 },
            SpendStatus::Refused,
            SpendStatus::Locked,
            SpendStatus::Lapsed,
        ];
        assert_eq!(all.map(SpendStatus::name), ["pending", "certified", "final", "refused", "locked", "lapsed"]);
        assert_eq!(all.map(SpendStatus::ended), [false, false, true, true, true, true]);
    }
}
