//! A site's broker as its ledger node sees it, where both are processes of their own.

use super::{COMMAND, Carrier, CarryError, Outgoing, Receiver};
use crate::broker::{Broker, BrokerError, Relay, RelayedCopy};
use crate::client::{PublishError, lock};
use async_trait::async_trait;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a publish may wait for the broker's acknowledgement before it is reported as failed. It is still tried.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The broker at `url`, on which `receiver` receives and `carrier` publishes.
#[must_use]
pub fn link(url: String, receiver: Receiver, carrier: Arc<Carrier>) -> Arc<dyn Broker> {
    let (relay, copies, dropped) = Relay::new();
    let courier = Mutex::new(Some(tokio::spawn(carry(carrier.clone(), copies))));
    Arc::new(Link { url, receiver, carrier, relay, dropped, courier })
}

struct Link {
    url: String,
    receiver: Receiver,
    carrier: Arc<Carrier>,
    relay: Relay,
    dropped: Arc<AtomicU64>,
    courier: Mutex<Option<JoinHandle<()>>>,
}

/// Publishes what was queued, in order.
async fn carry(carrier: Arc<Carrier>, mut copies: mpsc::Receiver<RelayedCopy>) {
    while let Some((topic, payload)) = copies.recv().await {
        match carrier.publish(Outgoing::plain(topic.clone(), payload)).await {
            Ok(()) => {}
            Err(CarryError::Stopped) => return,
            Err(error) => tracing::warn!(%topic, %error, "not handed to subscribers"),
        }
    }
}

impl Link {
    async fn say(&self, message: Outgoing) -> Result<(), BrokerError> {
        let failed = |why: String| {
            let after_ms = u64::try_from(PUBLISH_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
            BrokerError::Publish(PublishError::NotAcknowledged { left: 1, after_ms, why })
        };
        match tokio::time::timeout(PUBLISH_TIMEOUT, self.carrier.publish(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(CarryError::Invalid(error))) => Err(error.into()),
            Ok(Err(CarryError::Stopped)) => Err(PublishError::Stopped.into()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(if self.carrier.connected() { "the broker is silent" } else { "the connection is down" }.to_owned())),
        }
    }
}

#[async_trait]
impl Broker for Link {
    async fn publish(&self, topic: &str, payload: Vec<u8>, _qos: u8, _retain: bool) -> Result<(), BrokerError> {
        self.say(Outgoing::plain(topic, payload)).await
    }

    async fn command(&self, topic: &str, payload: Vec<u8>) -> Result<(), BrokerError> {
        self.say(Outgoing { properties: vec![(COMMAND.to_owned(), "1".to_owned())], ..Outgoing::plain(topic, payload) }).await
    }

    fn relay(&self, copies: Vec<(String, Vec<u8>)>) {
        self.relay.offer(copies);
    }

    fn address(&self) -> String {
        self.url.clone()
    }

    fn connected(&self) -> bool {
        self.receiver.connected() && self.carrier.connected()
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    async fn stop(&self) {
        self.receiver.stop().await;
        if let Some(courier) = lock(&self.courier).take() {
            courier.abort();
        }
        self.carrier.stop().await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(courier) = lock(&self.courier).take() {
            courier.abort();
        }
    }
}
