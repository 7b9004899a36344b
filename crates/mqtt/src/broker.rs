//! What the rest of a site needs of its broker, whichever kind it is.
//!
//! Rules:
//! - [`Broker::publish`] is for what the site itself says. It passes no ingress: a site does not ingest itself.
//! - What follows from a device's publish (`root/fog/x`, `rejected`) goes through one bounded queue, the relay,
//!   and never delays the device's acknowledgement. When the queue is full the copy is dropped and counted; the
//!   reading itself is in the log.
//!
//! ```text
//! ingress ─▶ Relay::offer ─▶ [ queue of RELAY_QUEUE_MAX ] ─▶ one task ─▶ subscribers
//!                  └─ full: dropped + 1
//! ```

use crate::access::{AccessError, AccessReport, Identity};
use crate::client::{ConnectError, PublishError};
use crate::embedded::KeeperStats;
use crate::tiers::{TierError, TierStats};
use async_trait::async_trait;
use protocol::{DeviceName, Name};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use tokio::sync::mpsc;

/// Bytes of one MQTT packet, in and out.
pub const PACKET_BYTES_MAX: usize = 1 << 20;
/// Bytes of a topic's name. The longest topic of the scheme has about 220.
pub const TOPIC_BYTES_MAX: usize = 512;
/// Copies (`root/fog/x`, `rejected`) that may wait to be published.
pub const RELAY_QUEUE_MAX: usize = 4096;

const _: () = assert!(TOPIC_BYTES_MAX > 4 * protocol::limits::NAME_BYTES_MAX);
const _: () = assert!(TOPIC_BYTES_MAX + protocol::limits::VALUE_BYTES_MAX < PACKET_BYTES_MAX);

/// Why a broker could not be started, or did not publish.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// The address cannot be listened on. Stop the program that holds it, or choose another.
    #[error("cannot listen for MQTT on {address}: {why}; stop the program that holds the port or choose another address")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        why: String,
    },
    /// The other broker cannot be reached or refuses us.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A publish cannot be sent.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Access control cannot be set up as asked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The broker cannot take its place in the tree of brokers, or cannot keep what has to leave.
    #[error(transparent)]
    Tier(#[from] TierError),
    /// The embedded broker failed where it should not.
    #[error("the embedded MQTT broker failed to {what}: {why}")]
    Engine {
        /// What it was doing.
        what: &'static str,
        /// What it said.
        why: String,
    },
}

/// Whom a broker is to disconnect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The client with this client id.
    Client(String),
    /// The site's device with this ID, and the gateway's connection that speaks for it.
    Device(Name),
    /// Every connection of this identity.
    Identity(Identity),
}

/// A message that waits for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its topic.
    pub topic: String,
    /// The quality of service that it waits with: 1 or 2.
    pub qos: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What a device that roams has at a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Luggage {
    /// What it has subscribed to, each with its quality of service.
    pub filters: Vec<(String, u8)>,
    /// What waits for it, the oldest first.
    pub messages: Vec<Waiting>,
    /// Messages that waited and cannot be handed over.
    pub left: u64,
}

/// A site's broker, in this process or elsewhere.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Publishes `payload` under `topic`. With an external broker this returns when it has acknowledged (`qos` 1, 2).
    ///
    /// # Errors
    /// [`BrokerError::Publish`] if the topic, the size or the `qos` is not allowed, or the broker has stopped.
    async fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<(), BrokerError>;

    /// Publishes a command to an actuator on `root/fog/x`, QoS 1, not retained. Where MQTT 5 is spoken it bears the property
    /// [`COMMAND`](crate::roles::COMMAND): a command is no reading, and no part of the site keeps it as one (ROLE-8).
    ///
    /// # Errors
    /// As [`Broker::publish`].
    async fn command(&self, topic: &str, payload: Vec<u8>) -> Result<(), BrokerError> {
        self.publish(topic, payload, 1, false).await
    }

    /// Hands copies (`root/fog/x`, `rejected`; topic and payload) to subscribers, as after a publish of a device: without
    /// waiting, and without a trace if too many wait or it has stopped.
    fn relay(&self, copies: Vec<(String, Vec<u8>)>);

    /// Where clients reach it, such as `mqtt://127.0.0.1:1883`.
    fn address(&self) -> String;

    /// Whether publishes of devices can arrive now: always for the embedded broker until it stops; for an external
    /// one while we are connected and subscribed.
    fn connected(&self) -> bool;

    /// Copies (`root/fog/x`, `rejected`) that were dropped because [`RELAY_QUEUE_MAX`] were waiting.
    fn dropped(&self) -> u64;

    /// Where clients reach it, every listener: `mqtt://…`, `mqtts://…`, `ws://…`, `wss://…`.
    fn addresses(&self) -> Vec<String> {
        vec![self.address()]
    }

    /// Closes connections, their sessions included. Gives how many; always none with a broker that is not ours. Who may
    /// still log in comes back: see [`Broker::bar`].
    async fn disconnect(&self, _whom: &Whom) -> usize {
        0
    }

    /// Whether anybody, connected or away with a session, has subscribed to `topic`; `None` if that cannot be known here: with a
    /// broker that is not ours, or one that is not alone for its site.
    async fn has_subscriber(&self, _topic: &str) -> Option<bool> {
        None
    }

    /// A device has gone elsewhere: ends its connection and its session, and gives what it has here. A broker that is not ours
    /// gives nothing.
    async fn depart(&self, _device: &DeviceName) -> Luggage {
        Luggage::default()
    }

    /// A device has come: gives its session what it had elsewhere. False if it is not connected, and always with a broker
    /// that is not ours.
    async fn arrive(&self, _device: &DeviceName, _luggage: &Luggage) -> bool {
        false
    }

    /// Keeps a device of the site out from now on, whatever it shows, or lets it in again. Its connections are closed. A
    /// broker that is not ours does nothing.
    async fn bar(&self, _device: &Name, _barred: bool) {}

    /// Reads users, keys and certificates anew, and closes whoever lost the right to be there.
    ///
    /// # Errors
    /// [`AccessError`] says which file cannot be used. What was in force stays in force.
    async fn reload(&self) -> Result<(), AccessError> {
        Ok(())
    }

    /// What access control refused; nothing with a broker that is not ours.
    fn access(&self) -> AccessReport {
        AccessReport::default()
    }

    /// How it is doing in the tree of brokers, if it has a place there.
    fn tier(&self) -> Option<TierStats> {
        None
    }

    /// How the keeping of publishes goes, if other processes keep them ([`crate::roles`]).
    fn keepers(&self) -> Option<KeeperStats> {
        None
    }

    /// Stops taking publishes, lets those under way finish within a deadline, and lets go of the log. A second call
    /// does nothing.
    async fn stop(&self);
}

/// One copy on its way to subscribers: topic and payload.
pub(crate) type RelayedCopy = (String, Vec<u8>);

/// The queue between the ingress and the task that publishes its copies.
#[derive(Clone)]
pub(crate) struct Relay {
    queue: mpsc::Sender<RelayedCopy>,
    dropped: Arc<AtomicU64>,
}

impl Relay {
    /// The queue, the end to publish from, and the count of what was dropped.
    pub(crate) fn new() -> (Self, mpsc::Receiver<RelayedCopy>, Arc<AtomicU64>) {
        let (queue, copies) = mpsc::channel(RELAY_QUEUE_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        (Self { queue, dropped: dropped.clone() }, copies, dropped)
    }

    /// Queues copies without waiting; drops and counts those for which there is no room.
    pub(crate) fn offer(&self, copies: Vec<RelayedCopy>) {
        for copy in copies {
            if self.queue.try_send(copy).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_relay_drops_and_counts() {
        let (relay, mut copies, dropped) = Relay::new();
        relay.offer((0..RELAY_QUEUE_MAX + 3).map(|i| (i.to_string(), Vec::new())).collect());
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        assert_eq!(copies.try_recv().ok(), Some(("0".to_string(), Vec::new())), "the oldest is kept");
    }
}
