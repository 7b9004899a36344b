//! A broker that was there before us, such as mosquitto: we are one of its clients.
//!
//! Rules:
//! - **Manual acknowledgements, in order.** A publish is acknowledged to the broker only when it is in the log (or
//!   never can be). What is not acknowledged when the connection breaks comes again, flagged DUP under its old packet
//!   id, and is recognised.
//! - When the log cannot take more, nothing is acknowledged: the connection is dropped, and after a growing pause the
//!   broker sends the rest again. So the broker's queue holds what we cannot.
//! - The session is persistent: the broker collects for us while we are away. **Its own bounds apply then**: mosquitto
//!   drops what exceeds `max_queued_messages` (1000 unless configured), so set that to what an absence may bring.
//! - Retained messages that come because we subscribe are old news of unknown age; they are acknowledged and left.
//! - What we publish uses a second connection (`<client id>-out`): its acknowledgements never wait behind readings.
//!
//! ```text
//! broker ─PUBLISH─▶ poll ─▶ first step of the ingress, in order ─▶ [ IN_PROGRESS_MAX under way ] ─▶ log
//!        ◀─PUBACK── poll ◀── acknowledge, in order ◀───────────────────┘
//! ```

mod reader;

use crate::broker::{Broker, BrokerError, Relay, RelayedCopy};
use crate::client::{CONNECT_TIMEOUT, ConnectError, PublishError, Publisher};
use crate::credentials::{Credentials, ServerUrl};
use crate::ingress::Ingress;
use async_trait::async_trait;
use protocol::Name;
use reader::{Desk, Reader};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How long a publish of ours may wait for the broker's acknowledgement before it is reported as failed.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stop waits for readings that are being written.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is needed to use another broker.
#[derive(Clone, Debug)]
pub struct ExternalConfig {
    /// The broker: `mqtt://host[:port]`, or `mqtts://host[:port]` for TLS.
    pub url: String,
    /// How to log in there.
    pub credentials: Credentials,
    /// Our client id there. It names the session in which the broker collects for us: keep it the same for ever, and
    /// give every site its own.
    pub client_id: String,
    /// The site whose devices publish there.
    pub site: Name,
    /// Told when somebody publishes `root/node/<site>/active`: a ledger node is back. A full channel is not waited for.
    pub on_active: Option<mpsc::Sender<()>>,
}

/// Connects to the broker and hands its devices' publishes to `ingress`. When this returns, the broker has confirmed
/// the subscription; later losses of the connection are repaired for ever.
///
/// # Errors
/// [`BrokerError::Connect`]: the URL, client id or credentials are not valid, no broker answers, or it refuses us or the
/// subscription.
pub async fn start(config: ExternalConfig, ingress: Arc<Ingress>) -> Result<Arc<dyn Broker>, BrokerError> {
    let url: ServerUrl = config.url.parse()?;
    let publisher = Arc::new(Publisher::connect_as(&config.url, &format!("{}-out", config.client_id), &config.credentials).await?);

    let (relay, copies, dropped) = Relay::new();
    let desk = Desk::new(config.client_id, config.site, ingress, relay.clone(), config.on_active);
    let (stop, stopping) = watch::channel(false);
    let (connected, connection) = watch::channel(false);
    let (ready, subscribed) = oneshot::channel();
    let reader = Reader::new((&url, &config.credentials), desk, stopping, connected, ready)?;
    // Put together before the wait, so that everything ends with it.
    let broker = External {
        url: url.to_string(),
        publisher: publisher.clone(),
        relay,
        dropped,
        connection,
        stop,
        reader: Mutex::new(Some(tokio::spawn(reader.run()))),
        courier: tokio::spawn(carry(publisher, copies)),
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, subscribed).await {
        Ok(Ok(result)) => result?,
        Ok(Err(_)) | Err(_) => {
            let why = format!("it did not confirm the subscription within {} s", CONNECT_TIMEOUT.as_secs());
            return Err(ConnectError::Unreachable { url: broker.url.clone(), why }.into());
        }
    }
    tracing::info!(url = %broker.url, "connected to the MQTT broker");
    Ok(Arc::new(broker))
}

/// Publishes what the ingress queued. It waits for a free place among those in flight, not for acknowledgements.
async fn carry(publisher: Arc<Publisher>, mut copies: mpsc::Receiver<RelayedCopy>) {
    while let Some((topic, payload)) = copies.recv().await {
        match publisher.submit(&topic, payload, 1, false).await {
            Ok(acknowledgement) => drop(acknowledgement),
            Err(PublishError::Stopped) => return,
            Err(error) => tracing::warn!(%topic, %error, "not handed to subscribers"),
        }
    }
}

struct External {
    url: String,
    publisher: Arc<Publisher>,
    relay: Relay,
    dropped: Arc<AtomicU64>,
    connection: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    reader: Mutex<Option<JoinHandle<()>>>,
    courier: JoinHandle<()>,
}

#[async_trait]
impl Broker for External {
    async fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<(), BrokerError> {
        let published = async { self.publisher.submit(topic, payload, qos, retain).await?.wait().await };
        match tokio::time::timeout(PUBLISH_TIMEOUT, published).await {
            Ok(result) => Ok(result?),
            Err(_) => {
                let after_ms = u64::try_from(PUBLISH_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
                let why = if self.publisher.connected() { "the broker is silent" } else { "the connection is down" };
                Err(PublishError::NotAcknowledged { left: 1, after_ms, why: why.to_string() }.into())
            }
        }
    }

    fn relay(&self, copies: Vec<(String, Vec<u8>)>) {
        self.relay.offer(copies);
    }

    fn address(&self) -> String {
        self.url.clone()
    }

    fn connected(&self) -> bool {
        *self.connection.borrow() && self.publisher.connected()
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    async fn stop(&self) {
        let Some(mut reader) = crate::client::lock(&self.reader).take() else { return };
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, &mut reader).await.is_err() {
            tracing::warn!("readings from the MQTT broker are still being written; the broker will send them again");
            reader.abort();
        }
        self.courier.abort();
        self.publisher.close().await;
        tracing::info!(url = %self.url, "disconnected from the MQTT broker");
    }
}

impl Drop for External {
    fn drop(&mut self) {
        if let Some(reader) = crate::client::lock(&self.reader).take() {
            reader.abort();
        }
        self.courier.abort();
    }
}
