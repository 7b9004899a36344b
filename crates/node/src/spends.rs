//! What wallets spend and what services there are, as far as this node saw it: for lists, for requests of epochs that have ended,
//! and for the times that requests take which this node carries.
//!
//! ```text
//! replica ──events──▶ follower ─┬─▶ store (wallets.sqlite) ◀── lists, old requests ◀── HTTP
//!                               └─▶ carried (histograms)   ◀── POST /api/v1/spends
//! ```
//! # Rules
//! - The store says what to ask for, never what holds: terms of services and standings of the present epoch come from the
//!   replica. It may be deleted; the next start reads the milestones again.
//! - What became of a request of an ended epoch is what the purse's State says: it is a hash over all requests executed, so the
//!   requests that led to it are found one by one, from the last to the first.
//! - A store that fails is complained of and never stops the node.

mod carried;
mod follower;
mod store;

pub(crate) use carried::SpendCounts;
pub(crate) use store::{Place, Row, SpendsError};

use crate::asking::each;
use carried::Carried;
use follower::Follower;
use prometheus_client::metrics::histogram::Histogram;
use protocol::{Body, Id, NetworkId, PublicKey, Request};
use replica::{Handle, PurseRecord, SpendRecord, SpendStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use tokio::task::JoinHandle;

/// Entries of one list.
pub(crate) const LIST_MAX: u32 = 1000;

/// A request, and how far it is as far as this node knows.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// The replica knows it.
    Live(Box<SpendRecord>),
    /// It is of an epoch that has ended, or was never voted for here; the request itself is still in a message.
    Past(Row, Arc<Request>),
}

impl Known {
    /// How far it is. The height of one that is final is 0 if it is not known.
    #[must_use]
    pub(crate) fn status(&self) -> SpendStatus {
        match self {
            Self::Live(record) => record.status,
            Self::Past(row, _) => row.status,
        }
    }
}

/// Looks up what wallets spent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Spends {
    network: NetworkId,
    ledger: Handle,
    store: Arc<Store>,
    carried: Arc<Carried>,
}

impl Spends {
    /// Opens the file, or makes it, and follows the ledger from where it ends. `seconds`: from the moment a request came to this
    /// node until it was certified, and until it was final.
    ///
    /// # Errors
    /// [`SpendsError`] if not even a new file can be made.
    pub(crate) async fn start(
        network: NetworkId,
        ledger: Handle,
        file: PathBuf,
        seconds: [Histogram; 2],
    ) -> Result<(Self, JoinHandle<()>), SpendsError> {
        let opened = tokio::task::spawn_blocking(move || Store::open(&file)).await;
        let (store, height) = opened.map_err(|e| SpendsError::Fails(e.to_string()))??;
        let spends = Self { network, ledger, store: Arc::new(store), carried: Arc::new(Carried::new(seconds)) };
        let follower = Follower::new(network, spends.ledger.clone(), spends.store.clone(), spends.carried.clone(), height);
        let task = tokio::spawn(follower.run());
        Ok((spends, task))
    }

    /// Measures these requests from now on.
    pub(crate) fn begin(&self, ids: impl IntoIterator<Item = Id>) {
        self.carried.begin(ids);
    }

    /// These are not carried after all, or are at their end.
    pub(crate) fn forget(&self, ids: impl IntoIterator<Item = Id>) {
        self.carried.forget(ids);
    }

    /// What became of requests that this node carried.
    #[must_use]
    pub(crate) fn counts(&self) -> SpendCounts {
        self.carried.counts()
    }

    /// A request by its id; `None` if this node does not know it, or not any more what became of it.
    ///
    /// # Errors
    /// [`SpendsError`].
    pub(crate) async fn one(&self, id: Id) -> Result<Option<Known>, SpendsError> {
        let live = self.ledger.spend_record(id).await;
        if let Some(record) = live.clone().filter(|record| !doubtful(record.status)) {
            return Ok(Some(Known::Live(Box::new(record))));
        }
        let past = match self.ask(move |store| store.spend(id)).await? {
            Some(row) if live.is_none() || is_final(row.status) => self.past(vec![row]).await?.into_iter().next().flatten(),
            Some(_) | None => None,
        };
        Ok(past.or_else(|| live.map(|record| Known::Live(Box::new(record)))))
    }

    /// The newest requests, or those of one wallet, or those of them before a place; with the place where the next begin, if
    /// there may be more. At most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`SpendsError`].
    pub(crate) async fn newest(
        &self,
        wallet: Option<PublicKey>,
        before: Option<Place>,
        limit: u32,
    ) -> Result<(Vec<Known>, Option<Place>), SpendsError> {
        let limit = limit.min(LIST_MAX);
        let rows = self.ask(move |store| store.spends(wallet, before, limit)).await?;
        let full = rows.len() as u64 >= u64::from(limit);
        let next = rows.last().filter(|_| full).map(|(place, _)| *place);
        let ids = rows.iter().map(|(_, row)| row.id).collect();
        let records = each(self.ledger.clone(), ids, |ledger, id| async move { ledger.spend_record(id).await }).await;
        let (mut found, mut others) = (Vec::with_capacity(rows.len()), Vec::new());
        for ((_, row), record) in rows.into_iter().zip(records) {
            match record {
                Some(record) if !(doubtful(record.status) && is_final(row.status)) => found.push(Some(Known::Live(Box::new(record)))),
                Some(_) | None => {
                    found.push(None);
                    others.push(row);
                }
            }
        }
        let mut past = self.past(others).await?.into_iter();
        Ok((found.into_iter().filter_map(|known| known.or_else(|| past.next().flatten())).collect(), next))
    }

    /// Services, the newest first, or those of one provider, or those before a place; each with its place. What they cost now is
    /// the ledger's to say. At most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`SpendsError`].
    pub(crate) async fn services(
        &self,
        provider: Option<PublicKey>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, Id)>, SpendsError> {
        self.ask(move |store| store.services(provider, before, limit.min(LIST_MAX))).await
    }

    /// Wallets that spent last, the latest first, then those that offer services. At most `limit`.
    ///
    /// # Errors
    /// [`SpendsError`].
    pub(crate) async fn recent_wallets(&self, limit: usize) -> Result<Vec<PublicKey>, SpendsError> {
        self.ask(move |store| store.recent_wallets(limit)).await
    }

    /// What became of requests that the replica does not know, each with the request itself out of its message, in their order;
    /// nothing for one of which this node cannot tell.
    async fn past(&self, rows: Vec<Row>) -> Result<Vec<Option<Known>>, SpendsError> {
        let (network, rows) = (self.network, self.outcomes(rows).await?);
        let found = each(self.ledger.clone(), rows, move |ledger, row: Option<Row>| async move {
            let row = row?;
            let record = ledger.message(row.message?).await?;
            let found = match &record.message.body {
                Body::Requests(list) => list.iter().find(|r| r.number == row.number && r.id() == row.id),
                Body::Certificates(list) => list.iter().map(|c| &c.request).find(|r| r.number == row.number && r.id() == row.id),
                _ => None,
            };
            // anybody can put a request into a message that its wallet has not signed
            let signed = |request: &&Request| is_final(row.status) || request.verify(&network);
            found.filter(signed).map(|request| Known::Past(row, Arc::new(request.clone())))
        });
        Ok(found.await)
    }

    /// The rows with what became of them; nothing for one of which this node cannot tell. The purses of all are settled together.
    async fn outcomes(&self, rows: Vec<Row>) -> Result<Vec<Option<Row>>, SpendsError> {
        let wallets: BTreeSet<PublicKey> = rows.iter().filter(|row| !is_told(row.status)).map(|row| row.wallet).collect();
        let asked = each(self.ledger.clone(), wallets.into_iter().collect(), |ledger, wallet| async move { ledger.purse(wallet).await });
        let purses: BTreeMap<PublicKey, PurseRecord> = asked.await.into_iter().flatten().map(|purse| (purse.wallet, purse)).collect();
        let moved: BTreeSet<PublicKey> = rows.iter().filter(|row| outlook(row, &purses) == Outlook::Moved).map(|row| row.wallet).collect();
        let moved: Vec<PurseRecord> = moved.iter().filter_map(|wallet| purses.get(wallet).copied()).collect();
        self.ask(move |store| {
            if !moved.is_empty() {
                store.settle(&moved)?;
            }
            let mut outcomes = Vec::with_capacity(rows.len());
            for row in rows {
                outcomes.push(match outlook(&row, &purses) {
                    Outlook::Told | Outlook::Open => Some(row),
                    Outlook::Moved => store.spend(row.id)?.filter(|row| row.status.ended()),
                    Outlook::Unknown => None,
                });
            }
            Ok(outcomes)
        })
        .await
    }

    /// Runs a query away from the tasks that must not block.
    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Store) -> Result<T, SpendsError> + Send + 'static,
    ) -> Result<T, SpendsError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || query(&store)).await.map_err(|e| SpendsError::Fails(e.to_string()))?
    }
}

/// What is to be done about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    /// It says what became of the request.
    Told,
    /// The request's epoch goes on, and its purse does not stand on it.
    Open,
    /// The purse's State says more.
    Moved,
    /// The purse could not be asked for.
    Unknown,
}

fn outlook(row: &Row, purses: &BTreeMap<PublicKey, PurseRecord>) -> Outlook {
    match purses.get(&row.wallet) {
        _ if is_told(row.status) => Outlook::Told,
        None => Outlook::Unknown,
        Some(purse) if row.epoch >= purse.epoch && row.next != purse.state => Outlook::Open,
        Some(_) => Outlook::Moved,
    }
}

/// Whether a row of this status needs no second look: that validators were against a request does not say that it was not executed.
const fn is_told(status: SpendStatus) -> bool {
    matches!(status, SpendStatus::Final { .. } | SpendStatus::Lapsed)
}

const fn is_final(status: SpendStatus) -> bool {
    matches!(status, SpendStatus::Final { .. })
}

/// Whether a request of which the replica says this may have been executed: it forgets the oldest, and does not know what became
/// of one when it hears of it again.
const fn doubtful(status: SpendStatus) -> bool {
    !matches!(status, SpendStatus::Final { .. } | SpendStatus::Certified)
}

/// The height in a status, if it has one.
#[must_use]
pub(crate) const fn height_of(status: SpendStatus) -> Option<u64> {
    match status {
        SpendStatus::Final { height } => Some(height),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purse_is_settled_only_if_it_says_more_than_the_row() {
        let wallet = PublicKey([1; 32]);
        let row = |epoch, status| Row { id: Id([9; 32]), wallet, number: 4, epoch, next: Id([5; 32]), message: None, status, height: None };
        let purse =
            |epoch, state| PurseRecord { wallet, epoch, number: 5, state, balance: 0, next_number: 5, next_state: state, available: 0 };
        let looks = |row: Row, purse: PurseRecord| outlook(&row, &BTreeMap::from([(wallet, purse)]));
        let (here, elsewhere) = (Id([5; 32]), Id([6; 32]));
        assert_eq!(looks(row(3, SpendStatus::Pending), purse(3, elsewhere)), Outlook::Open);
        assert_eq!(looks(row(3, SpendStatus::Pending), purse(3, here)), Outlook::Moved);
        assert_eq!(looks(row(3, SpendStatus::Refused), purse(4, elsewhere)), Outlook::Moved);
        assert_eq!(looks(row(3, SpendStatus::Lapsed), purse(4, here)), Outlook::Told);
        assert_eq!(outlook(&row(3, SpendStatus::Pending), &BTreeMap::new()), Outlook::Unknown);
    }
}
