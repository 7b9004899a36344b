//! Hands commands to the broker: `root/fog/<site>/<ID>/act/<type>`, once each, when somebody has subscribed.
//!
//! ```text
//! store ──held──▶ subscribed? ──▶ publish ──▶ settled (transaction) ──▶ answer "delivered"
//!                    └─ not in time ─▶ settled, answer "expired"
//! ```
//! A command is settled after the broker has it. If the process is killed in the instant between, the command comes a second
//! time, with the same `request`; and if a broker elsewhere answers too late. There is no other repetition (REQ-11).

use super::counters::{Counters, count};
use super::issuing::Jobs;
use super::payload::command;
use super::store::{self, Held};
use crate::sqlite::{Store, StoreError};
use mqtt::Broker;
use protocol::Topic;
use protocol::exchange::{Answer, Record, Verdict};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;

/// How often it is looked whether somebody has subscribed.
const LOOK: Duration = Duration::from_millis(250);
/// How long the broker may take for one command.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The task that delivers.
pub(super) struct Delivery {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<Store>,
    pub(super) jobs: Jobs,
    pub(super) counters: Arc<Counters>,
    pub(super) held: Arc<Notify>,
}

impl Delivery {
    /// Delivers, for ever.
    pub(super) async fn run(self) {
        loop {
            match self.look().await {
                Ok(0) => self.held.notified().await,
                Ok(_) => {
                    let _ = tokio::time::timeout(LOOK, self.held.notified()).await; // a new one is looked at at once
                }
                Err(why) => {
                    tracing::error!("commands wait: {why}");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Looks at all that wait, and gives how many still do.
    async fn look(&self) -> Result<usize, StoreError> {
        let all = self.store.transact(store::held).await?;
        let mut left = 0;
        for held in all {
            match self.deliver(&held).await {
                Some(verdict) => self.settle(&held, verdict).await?,
                None => left += 1,
            }
        }
        self.counters.held.store(left as u64, Ordering::Relaxed);
        Ok(left)
    }

    /// Hands a command over, if it is time; `None`: it waits.
    async fn deliver(&self, held: &Held) -> Option<Verdict> {
        let topic = Topic::Fog(held.request.to.clone()).to_string();
        if self.broker.has_subscriber(&topic).await == Some(false) {
            return (super::now_us() / 1_000 > held.until_ms).then_some(Verdict::Expired);
        }
        let payload = command(&held.request, held.message, held.height);
        match tokio::time::timeout(PUBLISH_TIMEOUT, self.broker.command(&topic, payload)).await {
            Ok(Ok(())) => Some(Verdict::Delivered),
            Ok(Err(why)) => {
                tracing::debug!(topic, "a command waits: {why}");
                None
            }
            Err(_) => {
                tracing::debug!(topic, "a command waits: the broker did not take it in {} s", PUBLISH_TIMEOUT.as_secs());
                None
            }
        }
    }

    async fn settle(&self, held: &Held, verdict: Verdict) -> Result<(), StoreError> {
        let (request, at_ms) = (held.request.id(), super::now_us() / 1_000);
        self.store.transact(move |t| store::settle(t, request, verdict.as_str(), at_ms)).await?;
        count(if verdict == Verdict::Delivered { &self.counters.delivered } else { &self.counters.expired });
        let reason = if verdict == Verdict::Expired { "nobody has subscribed to the command in time" } else { "" };
        if !self.jobs.mention(Record::Answer(Answer { request, verdict, reason: reason.to_owned() })) {
            count(&self.counters.dropped);
        }
        Ok(())
    }
}
