//! Subscribes and hands over what arrives.
//!
//! It is for applications and tests that watch: the session is clean, so what is published while the connection is
//! down is missed. The site's own ingestion never uses it.

use super::{CONNECT_TIMEOUT, ConnectError, Link, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, level, not_connected, quality};
use crate::credentials::{Credentials, ServerUrl};
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Messages that may wait to be received. When they are that many, the broker is left waiting.
const RECEIVED_MAX: usize = 1024;
/// Packet ids for what is sent: subscriptions only.
const PACKET_IDS: u16 = 16;
/// Requests that may wait for the connection: subscriptions and acknowledgements.
const REQUESTS_MAX: usize = 64;

/// One message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The quality of service it came with.
    pub qos: u8,
    /// Whether it is a retained message, sent because we subscribed.
    pub retain: bool,
    /// Whether the broker says that it may have sent it before.
    pub dup: bool,
}

/// A connection to a broker that receives. It reconnects by itself.
pub struct Subscriber {
    messages: mpsc::Receiver<Received>,
    driver: JoinHandle<()>,
}

impl Subscriber {
    /// Connects to `url` (`mqtt://host[:port]`) as `client_id` and nobody in particular, and subscribes to `filters` with
    /// at most `qos`. When this returns, the broker has confirmed the subscription.
    ///
    /// # Errors
    /// As [`Subscriber::connect_as`].
    pub async fn connect(url: &str, client_id: &str, filters: &[&str], qos: u8) -> Result<Self, ConnectError> {
        Self::connect_as(url, client_id, &Credentials::default(), filters, qos).await
    }

    /// The same at `mqtt://host[:port]`, or `mqtts://host[:port]` for TLS, logged in with `credentials`.
    ///
    /// # Errors
    /// [`ConnectError`]: the URL or the id is not valid, the credentials cannot be used, no broker answers, or it does not
    /// let us in or refuses the subscription (also if a filter is not valid or `qos` is above 2).
    pub async fn connect_as(
        url: &str,
        client_id: &str,
        credentials: &Credentials,
        filters: &[&str],
        qos: u8,
    ) -> Result<Self, ConnectError> {
        let url: ServerUrl = url.parse()?;
        let link = Link { clean_session: true, manual_acks: false, packet_ids: PACKET_IDS, requests_max: REQUESTS_MAX };
        let (client, events) = link.open_as(&url, client_id, credentials)?;
        let refused = ConnectError::Refused { url: url.to_string(), filters: filters.join(", ") };
        let quality = quality(qos).ok_or_else(|| refused.clone())?;
        let (messages, received) = mpsc::channel(RECEIVED_MAX);
        let (ready, confirmed) = oneshot::channel();
        let watcher = Watcher {
            client,
            events,
            url: url.to_string(),
            filters: filters.iter().map(ToString::to_string).collect(),
            quality,
            refused,
            messages,
            ready: Some(ready),
        };
        // Made before the wait, so that the task ends with it.
        let subscriber = Self { messages: received, driver: tokio::spawn(watcher.run()) };
        match tokio::time::timeout(CONNECT_TIMEOUT, confirmed).await {
            Ok(Ok(Ok(()))) => Ok(subscriber),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) | Err(_) => {
                let why = format!("it did not confirm the subscription within {} s", CONNECT_TIMEOUT.as_secs());
                Err(ConnectError::Unreachable { url: url.to_string(), why })
            }
        }
    }

    /// The next message; `None` once the broker no longer lets us subscribe.
    pub async fn recv(&mut self) -> Option<Received> {
        self.messages.recv().await
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Watcher {
    client: AsyncClient,
    events: EventLoop,
    url: String,
    filters: Vec<String>,
    quality: QoS,
    refused: ConnectError,
    messages: mpsc::Sender<Received>,
    /// Until the first subscription is confirmed.
    ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
}

impl Watcher {
    async fn run(mut self) {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let filters: Vec<_> = self.filters.iter().map(|path| SubscribeFilter::new(path.clone(), self.quality)).collect();
                    if self.client.try_subscribe_many(filters).is_err() {
                        return self.first(Err(self.refused.clone()));
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                        return self.first(Err(self.refused.clone()));
                    }
                    pause = RETRY_PAUSE_MIN;
                    self.first(Ok(()));
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let message = Received {
                        qos: level(publish.qos),
                        retain: publish.retain,
                        dup: publish.dup,
                        payload: publish.payload.to_vec(),
                        topic: publish.topic,
                    };
                    if self.messages.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    if self.ready.is_some() {
                        return self.first(Err(not_connected(&self.url, &error)));
                    }
                    tracing::debug!(%error, "the connection to the MQTT broker is lost");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
        }
    }

    /// Answers who waits for the first subscription; afterwards there is nobody to answer.
    fn first(&mut self, result: Result<(), ConnectError>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(result);
        }
    }
}
