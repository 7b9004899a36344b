//! Follows the ledger and notes what is bought of this provider.
//!
//! ```text
//! milestone ─▶ its messages ─▶ requests, certificates ─▶ Buy of a service of ours ─▶ store "heard"
//! spends that are final ──────────────────────────────▶ the same, and the gateway looks at once
//! ```
//! A request is heard of in the message that carries it, and executed later. That it is, the ledger says: the purchase is there.
//! Rules: SRV-3.

use super::store;
use crate::following::{Following, Milestone, News, place};
use crate::sqlite::Store;
use protocol::{Body, Id, Operation, PublicKey, Request};
use replica::{Handle, SpendStatus};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Events that may wait before the subscription is lost; then everything since is asked for.
pub(super) const EVENTS_MAX: usize = 1024;
/// Services whose provider is remembered.
const PROVIDERS_MAX: usize = 4_096;
/// The pause after the store has failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The task that follows.
pub(super) struct Follower {
    pub(super) ledger: Handle,
    pub(super) following: Following,
    /// Whose services are meant.
    pub(super) provider: PublicKey,
    pub(super) store: Arc<Store>,
    /// Told when there is something to look at.
    pub(super) changed: Arc<Notify>,
    /// Whose services are whose.
    pub(super) providers: BTreeMap<Id, PublicKey>,
}

impl Follower {
    /// Follows until the ledger stops.
    pub(super) async fn run(mut self) {
        while let Some(news) = self.following.next().await {
            match news {
                News::Milestone(milestone) => self.milestone(milestone).await,
                News::Spends(spends) => {
                    let done = spends.iter().filter(|spend| matches!(spend.status, SpendStatus::Final { .. }));
                    let bought = buys(done.map(|spend| spend.request.as_ref()));
                    let ours = self.ours(bought).await;
                    if !ours.is_empty() {
                        self.note(ours, None, true).await;
                        self.changed.notify_one();
                    }
                }
                News::Missed | News::Lost => {}
            }
        }
    }

    /// Reads a milestone. Of one at which the ledger stops nothing is noted: the next start reads it again.
    async fn milestone(&mut self, Milestone { height, messages, .. }: Milestone) {
        let mut ours = Vec::new();
        for id in messages {
            let Some(found) = self.ledger.message(id).await else { continue };
            let bought = match &found.message.body {
                Body::Requests(requests) => buys(requests.iter()),
                Body::Certificates(certificates) => buys(certificates.iter().map(|c| &c.request)),
                Body::Readings { .. } | Body::Data(_) | Body::Orders(_) | Body::Evidence(_) | Body::EndOfEpoch { .. } => continue,
            };
            ours.extend(self.ours(bought).await);
        }
        if self.ledger.status().await.is_none() {
            return;
        }
        let heard = !ours.is_empty();
        if heard || self.following.is_due() {
            self.note(ours, Some(height), false).await;
            self.following.noted();
        }
        if heard {
            self.changed.notify_one();
        }
    }

    /// Those of `requests` that buy a service of this provider.
    async fn ours(&mut self, requests: Vec<Request>) -> Vec<Request> {
        let mut ours = Vec::new();
        for request in requests {
            if let Operation::Buy { service, .. } = request.operation
                && self.provider_of(service).await == Some(self.provider)
            {
                ours.push(request);
            }
        }
        ours
    }

    /// Who offers a service; it never changes.
    async fn provider_of(&mut self, service: Id) -> Option<PublicKey> {
        if let Some(provider) = self.providers.get(&service) {
            return Some(*provider);
        }
        let provider = self.ledger.service(service).await?.provider;
        if self.providers.len() >= PROVIDERS_MAX {
            self.providers.clear();
        }
        self.providers.insert(service, provider);
        Some(provider)
    }

    /// Notes requests, whether they are executed, and the height. Until it is on the disk nothing follows.
    async fn note(&self, requests: Vec<Request>, height: Option<u64>, executed: bool) {
        loop {
            let rows = requests.clone();
            let noted = self.store.transact(move |t| {
                store::hear(t, &rows)?;
                if executed {
                    store::executed(t, &rows)?;
                }
                height.map_or(Ok(()), |height| place::set_height(t, height))
            });
            match noted.await {
                Ok(()) => return,
                Err(why) => tracing::error!("what was bought cannot be noted: {why}; trying again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Those that buy something.
fn buys<'a>(requests: impl Iterator<Item = &'a Request>) -> Vec<Request> {
    requests.filter(|request| matches!(request.operation, Operation::Buy { .. })).cloned().collect()
}
