//! Follows the ledger: its milestones, and what the replica tells of requests meanwhile.
//!
//! Anybody can put a request into a message that its wallet has not signed: those are left out.

use super::carried::Carried;
use super::store::{Found, Store};
use crate::following::{Following, Milestone, News};
use protocol::order::Action;
use protocol::service::service_id;
use protocol::{Body, Id, Message, NetworkId, Operation, Request};
use replica::{Handle, SpendEvent};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events that may wait before the subscription is lost; then the milestones since are asked for.
const EVENTS_MAX: usize = 4096;
/// Signatures verified together.
const BATCH_MAX: usize = 256;
/// How often a failed write is tried, and the pause between.
const WRITE_TRIES_MAX: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The task that follows.
pub(super) struct Follower {
    network: NetworkId,
    ledger: Handle,
    following: Following,
    store: Arc<Store>,
    carried: Arc<Carried>,
}

impl Follower {
    /// One that goes on after the milestone of `height`.
    pub(super) fn new(network: NetworkId, ledger: Handle, store: Arc<Store>, carried: Arc<Carried>, height: u64) -> Self {
        let following = Following::new(ledger.clone(), EVENTS_MAX, height);
        Self { network, ledger, following, store, carried }
    }

    /// Follows until the ledger stops.
    pub(super) async fn run(mut self) {
        while let Some(news) = self.following.next().await {
            match news {
                News::Milestone(milestone) => self.milestone(milestone).await,
                News::Spends(told) => self.told(told).await,
                News::Lost => self.carried.clear(),
                News::Missed => {}
            }
        }
    }

    async fn milestone(&mut self, Milestone { height, messages, .. }: Milestone) {
        let mut found = Found::default();
        for id in messages {
            if let Some(record) = self.ledger.message(id).await {
                look(&record.message, &mut found);
            }
        }
        let (network, heard) = (self.network, std::mem::take(&mut found.requests));
        if !heard.is_empty() {
            let signed = tokio::task::spawn_blocking(move || authentic(&network, heard)).await;
            found.requests = signed.unwrap_or_else(|why| {
                tracing::warn!("the list of requests misses some: {why}");
                Vec::new()
            });
        }
        let bought = found.requests.iter().filter_map(|(_, request)| match &request.operation {
            Operation::Buy { service, .. } => Some(*service),
            Operation::Transfer { .. } | Operation::Redeem => None,
        });
        let bought: BTreeSet<Id> = bought.collect();
        self.bought(bought, &mut found).await;
        if !found.is_empty() || self.following.is_due() {
            self.write(move |store| store.milestone(height, &found)).await;
            self.following.noted();
        }
    }

    /// Services of which this node has not seen the order, because it joined later.
    async fn bought(&self, ids: BTreeSet<Id>, found: &mut Found) {
        for id in ids {
            let store = self.store.clone();
            let known = tokio::task::spawn_blocking(move || store.has_service(&id)).await;
            if !matches!(known, Ok(Ok(false))) {
                continue;
            }
            if let Some(service) = self.ledger.service(id).await {
                found.services.push((id, service.provider, service.name));
            }
        }
    }

    async fn told(&self, events: Arc<[SpendEvent]>) {
        self.carried.told(&events, Instant::now());
        self.write(move |store| store.told(&events)).await;
    }

    /// Writes, with patience. What cannot be written is missing in lists, and nowhere else.
    async fn write(&self, work: impl Fn(&Store) -> Result<(), super::SpendsError> + Send + Sync + 'static) {
        let work = Arc::new(work);
        for attempt in 1..=WRITE_TRIES_MAX {
            let (store, work) = (self.store.clone(), work.clone());
            match tokio::task::spawn_blocking(move || work(&store)).await {
                Ok(Ok(())) => return,
                Ok(Err(why)) => tracing::warn!("the list of requests misses some (attempt {attempt} of {WRITE_TRIES_MAX}): {why}"),
                Err(why) => tracing::warn!("the list of requests misses some (attempt {attempt} of {WRITE_TRIES_MAX}): {why}"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Those that their wallets have signed.
fn authentic(network: &NetworkId, heard: Vec<(Id, Request)>) -> Vec<(Id, Request)> {
    let mut seed = [0u8; 32];
    // without one each is verified alone
    let together = getrandom::fill(&mut seed).is_ok();
    let mut signed = Vec::with_capacity(heard.len());
    for batch in heard.chunks(BATCH_MAX) {
        let requests: Vec<&Request> = batch.iter().map(|(_, request)| request).collect();
        let all = together && Request::verify_all(&requests, network, seed);
        signed.extend(batch.iter().filter(|(_, request)| all || request.verify(network)).cloned());
    }
    signed
}

/// Takes out of a message what is noted. No signature is verified.
fn look(message: &Message, found: &mut Found) {
    let mut take = |request: &Request| found.requests.push((message.id(), request.clone()));
    match &message.body {
        Body::Requests(list) => list.iter().for_each(take),
        Body::Certificates(list) => list.iter().for_each(|c| take(&c.request)),
        Body::Orders(orders) => {
            for order in orders {
                if let Action::Service { name, .. } = &order.action {
                    found.services.push((service_id(&order.wallet, name), order.wallet, name.clone()));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Draft, PublicKey, SecretKey};

    /// Requests that nobody signed filled the list of whatever wallet they named.
    #[test]
    fn what_its_wallet_has_not_signed_is_left_out() {
        let network = NetworkId([7; 32]);
        let signed = |number| {
            let operation = Operation::Transfer { to: PublicKey([2; 32]) };
            let draft = Draft { state: Id([1; 32]), number, epoch: 0, operation, price: 5, from_ms: 0, until_ms: 1 };
            draft.sign(&network, &SecretKey::from_seed(&[1; 32]), 0, 1).unwrap().unwrap()
        };
        let junk = Request { number: u64::MAX, ..signed(0) };
        let mut heard: Vec<(Id, Request)> = (0..3).map(|number| (Id([9; 32]), signed(number))).collect();
        assert_eq!(authentic(&network, heard.clone()), heard);
        heard.insert(1, (Id([9; 32]), junk));
        let left: Vec<u64> = authentic(&network, heard.clone()).iter().map(|(_, request)| request.number).collect();
        assert_eq!(left, [0, 1, 2]);
        assert!(authentic(&NetworkId([8; 32]), heard).is_empty(), "another network's");
    }
}
