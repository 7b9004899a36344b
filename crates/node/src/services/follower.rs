//! Follows the ledger and notes what is bought of this provider: every milestone once, in order, also those that were confirmed
//! while this node was down.
//!
//! ```text
//! milestone ─▶ its messages ─▶ requests, certificates ─▶ Buy of a service of ours ─▶ store "heard"
//! spends that are final ──────────────────────────────▶ the same, and the gateway looks at once
//! ```
//! A request is heard of in the message that carries it, and executed later. That it is, the ledger says: the purchase is there.
//! Rules: SRV-3.

use super::store::{self, Store};
use protocol::{Body, Id, Operation, PublicKey, Request};
use replica::{Event, Handle, SpendStatus};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Events that may wait before the subscription is lost; then everything since is asked for.
const EVENTS_MAX: usize = 1024;
/// Milestones without purchases after which the height is noted all the same.
const NOTE_HEIGHT_EVERY: u64 = 256;
/// Services whose provider is remembered.
const PROVIDERS_MAX: usize = 4_096;
/// The pause after the store has failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The task that follows.
pub(super) struct Follower {
    pub(super) ledger: Handle,
    /// Whose services are meant.
    pub(super) provider: PublicKey,
    pub(super) store: Arc<Store>,
    /// Told when there is something to look at.
    pub(super) changed: Arc<Notify>,
    /// The last milestone that was read.
    pub(super) height: u64,
    /// The last one that was noted.
    pub(super) noted: u64,
    /// Whose services are whose.
    pub(super) providers: BTreeMap<Id, PublicKey>,
}

impl Follower {
    /// Follows until the ledger stops.
    pub(super) async fn run(mut self) {
        while let Some(mut events) = self.ledger.subscribe(EVENTS_MAX).await {
            let Some(status) = self.ledger.status().await else { return };
            self.catch_up(status.height).await;
            while let Some(event) = events.recv().await {
                match event {
                    Event::Milestone { height, confirmed, .. } => {
                        if height <= self.height {
                            continue;
                        }
                        self.catch_up(height.saturating_sub(1)).await;
                        // a message that anchors readings holds no requests
                        let ids: Vec<Id> = confirmed.iter().filter(|c| c.readings == 0).map(|c| c.id).collect();
                        self.milestone(height, &ids).await;
                    }
                    Event::Spends(spends) => {
                        let done = spends.iter().filter(|spend| matches!(spend.status, SpendStatus::Final { .. }));
                        let bought = buys(done.map(|spend| spend.request.as_ref()));
                        let ours = self.ours(bought).await;
                        if !ours.is_empty() {
                            self.note(ours, None, true).await;
                            self.changed.notify_one();
                        }
                    }
                }
            }
        }
    }

    /// Reads milestones up to `to`.
    async fn catch_up(&mut self, to: u64) {
        while self.height < to {
            let height = self.height.saturating_add(1);
            match self.ledger.milestone(height).await {
                Some(record) if !record.pruned => self.milestone(height, &record.messages).await,
                _ => {
                    if self.ledger.status().await.is_none() {
                        return;
                    }
                    // before this node joined, or dropped since
                    self.height = height;
                }
            }
        }
    }

    /// Reads a milestone. Of one at which the ledger stops nothing is noted: the next start reads it again.
    async fn milestone(&mut self, height: u64, ids: &[Id]) {
        let mut ours = Vec::new();
        for id in ids {
            let Some(found) = self.ledger.message(*id).await else { continue };
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
        if !ours.is_empty() || height.saturating_sub(self.noted) >= NOTE_HEIGHT_EVERY {
            let heard = !ours.is_empty();
            self.note(ours, Some(height), false).await;
            self.noted = height;
            if heard {
                self.changed.notify_one();
            }
        }
        self.height = height;
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
                height.map_or(Ok(()), |height| store::set_height(t, height))
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
