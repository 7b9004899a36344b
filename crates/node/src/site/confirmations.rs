//! Tells devices which of their readings are on the ledger (M24): `root/node/<site>/<ID>/confirmed`, if the configuration wants it.
//!
//! ```text
//! follower ──a confirmed batch──▶ [ bounded queue ] ──▶ grouped by device ──▶ broker ──▶ that device
//!                                    └─ full: dropped, counted
//! ```
//! It is a task of its own, so that many devices never hold up the notices for the cache. Rules: T-23 of
//! `docs/spec/topics.md`.

use super::{SiteError, told};
use mqtt::Broker;
use mqtt::notices::{ConfirmedReading, confirmations};
use protocol::{Name, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long the broker may take for one payload before it is given up.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The task that tells.
pub(super) struct Confirmations {
    pub(super) name: Name,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) dropped: Arc<AtomicU64>,
}

impl Confirmations {
    /// Tells until told to stop.
    pub(super) async fn run(
        self,
        mut batches: mpsc::Receiver<Vec<ConfirmedReading>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), SiteError> {
        loop {
            let batch = tokio::select! {
                () = told(&mut stop) => return Ok(()),
                batch = batches.recv() => batch,
            };
            let Some(batch) = batch else {
                told(&mut stop).await;
                return Ok(());
            };
            tokio::select! {
                () = told(&mut stop) => return Ok(()),
                () = self.tell(&batch) => {}
            }
        }
    }

    async fn tell(&self, batch: &[ConfirmedReading]) {
        for (device, payload) in confirmations(batch) {
            let topic = Topic::Confirmed(device).to_string();
            let said = tokio::time::timeout(PUBLISH_TIMEOUT, self.broker.publish(&topic, payload, 1, false)).await;
            if !matches!(said, Ok(Ok(()))) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(site = %self.name, topic, "a device was not told what is confirmed");
            }
        }
    }
}
