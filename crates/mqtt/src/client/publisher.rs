//! Publishes, many at a time, and knows which the broker has acknowledged.
//!
//! The library below tells which packet ids it sends and which come back, but not whose they are. So every publish
//! joins a queue in the very order in which it is handed to the library; the library sends in that order; each
//! "sent under id n" takes the queue's front, and the acknowledgement of n settles it.
//!
//! ```text
//! submit ─▶ [submitted, in order] ─sent as n─▶ [waiting: n] ─PUBACK n─▶ settled
//!    └ waits for one of IN_FLIGHT_MAX places            └ connection lost: held, sent again as n, flagged DUP
//! ```

use super::{CONNECT_TIMEOUT, ConnectError, Link, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, lock, not_connected, quality};
use crate::broker::{PACKET_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::credentials::{Credentials, ServerUrl};
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Outgoing, Packet, Request};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Publishes that may wait for their acknowledgement at a time.
pub const IN_FLIGHT_MAX: u16 = 500;
/// Packet ids, used in turn. Far more than are in flight, so that an id comes back late.
const PACKET_IDS: u16 = 2048;
/// Requests that may wait for the connection: all that are in flight, and a DISCONNECT.
const REQUESTS_MAX: usize = IN_FLIGHT_MAX as usize + 8;
/// Bytes of a PUBLISH packet besides topic and payload, at most.
const HEAD_BYTES_MAX: usize = 16;
/// How long a DISCONNECT may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

const _: () = assert!(IN_FLIGHT_MAX < PACKET_IDS / 2);

/// Why something was not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// Not a topic one can publish to.
    #[error("cannot publish to '{topic}': {why}")]
    Topic {
        /// The topic, cut off if it is long.
        topic: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than a packet may hold.
    #[error("cannot publish {bytes} bytes: a packet with its topic may have {PACKET_BYTES_MAX}; split it")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
    },
    /// Not 0, 1 or 2.
    #[error("{0} is not a quality of service: use 0, 1 or 2")]
    Qos(u8),
    /// The broker did not acknowledge everything in time. It is still tried.
    #[error("{left} publishes are not acknowledged after {after_ms} ms ({why}); they are still tried")]
    NotAcknowledged {
        /// How many.
        left: usize,
        /// How long was waited, in milliseconds.
        after_ms: u64,
        /// The last trouble with the connection.
        why: String,
    },
    /// The client or the broker was stopped. Whether the publish arrived is not known.
    #[error("publishing has been stopped")]
    Stopped,
}

/// Checks what every publish must keep to, whichever way it goes out.
pub(crate) fn check(topic: &str, payload_bytes: usize, qos: u8) -> Result<(), PublishError> {
    let bad = |why| Err(PublishError::Topic { topic: topic.chars().take(64).collect(), why });
    if topic.is_empty() {
        return bad("it is empty");
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return bad("it is too long");
    }
    if topic.contains(['+', '#', '\0']) {
        return bad("'+', '#' and NUL are not allowed in a topic that is published to");
    }
    if topic.len() + payload_bytes + HEAD_BYTES_MAX > PACKET_BYTES_MAX {
        return Err(PublishError::TooLarge { bytes: payload_bytes });
    }
    if qos > 2 {
        return Err(PublishError::Qos(qos));
    }
    Ok(())
}

/// A publish that is on its way. Dropping it does not stop the publish.
#[must_use = "wait() tells when the broker has acknowledged"]
pub struct Acknowledgement(oneshot::Receiver<()>);

impl Acknowledgement {
    /// Until the broker has acknowledged (PUBACK, PUBCOMP), or for QoS 0 until it is sent.
    ///
    /// # Errors
    /// [`PublishError::Stopped`] if the publisher was closed first.
    pub async fn wait(self) -> Result<(), PublishError> {
        self.0.await.map_err(|_| PublishError::Stopped)
    }
}

/// A publish that is not settled. Dropping it frees its place.
struct Submitted {
    done: oneshot::Sender<()>,
    place: OwnedSemaphorePermit,
}

struct Shared {
    client: AsyncClient,
    places: Arc<Semaphore>,
    submitted: Mutex<VecDeque<Submitted>>,
    acknowledged: AtomicU64,
    connected: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    fn settle(&self, publish: Submitted) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        // Nobody may be listening: that is the caller's choice.
        let _ = publish.done.send(());
        drop(publish.place);
    }
}

/// A connection to a broker that publishes. Several tasks may share it.
pub struct Publisher {
    shared: Arc<Shared>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Publisher {
    /// Connects to `url` (`mqtt://host[:port]`) as `client_id` and nobody in particular, within [`CONNECT_TIMEOUT`].
    ///
    /// # Errors
    /// [`ConnectError`]: the URL or the id is not valid, no broker answers, or it does not let us in.
    pub async fn connect(url: &str, client_id: &str) -> Result<Self, ConnectError> {
        Self::connect_as(url, client_id, &Credentials::default()).await
    }

    /// Connects to `url` (`mqtt://host[:port]`, or `mqtts://host[:port]` for TLS) as `client_id`, logged in with
    /// `credentials`, within [`CONNECT_TIMEOUT`].
    ///
    /// # Errors
    /// [`ConnectError`]: the URL or the id is not valid, the credentials cannot be used, no broker answers, or it does not
    /// let us in.
    pub async fn connect_as(url: &str, client_id: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let url: ServerUrl = url.parse()?;
        let link = Link { clean_session: false, manual_acks: false, packet_ids: PACKET_IDS, requests_max: REQUESTS_MAX };
        let (client, mut events) = link.open_as(&url, client_id, credentials)?;
        // The first event of a loop is always the CONNACK.
        match tokio::time::timeout(CONNECT_TIMEOUT, events.poll()).await {
            Ok(Ok(_connack)) => {}
            Ok(Err(error)) => return Err(not_connected(&url, &error)),
            Err(_) => {
                let why = format!("it did not answer within {} s", CONNECT_TIMEOUT.as_secs());
                return Err(ConnectError::Unreachable { url: url.to_string(), why });
            }
        }
        let shared = Arc::new(Shared {
            client,
            places: Arc::new(Semaphore::new(usize::from(IN_FLIGHT_MAX))),
            submitted: Mutex::new(VecDeque::new()),
            acknowledged: AtomicU64::new(0),
            connected: AtomicBool::new(true),
            trouble: Mutex::new(None),
        });
        let driver = Driver { events, shared: shared.clone(), waiting: HashMap::new(), held: VecDeque::new(), pause: RETRY_PAUSE_MIN };
        let driver = Mutex::new(Some(tokio::spawn(driver.run())));
        Ok(Self { shared, driver })
    }

    /// Hands a publish over; waits only for a free place among those in flight.
    ///
    /// # Errors
    /// [`PublishError`]: topic, size or `qos` not allowed, or the publisher is closed.
    pub async fn submit(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<Acknowledgement, PublishError> {
        check(topic, payload.len(), qos)?;
        let quality = quality(qos).ok_or(PublishError::Qos(qos))?;
        let place = self.shared.places.clone().acquire_owned().await.map_err(|_| PublishError::Stopped)?;
        let (done, acknowledged) = oneshot::channel();
        // One lock around both: the queue's order is the order of sending.
        let mut submitted = lock(&self.shared.submitted);
        self.shared.client.try_publish(topic, quality, retain, payload).map_err(|_| PublishError::Stopped)?;
        submitted.push_back(Submitted { done, place });
        Ok(Acknowledgement(acknowledged))
    }

    /// Publishes and waits for the acknowledgement (PUBACK for `qos` 1, PUBCOMP for 2; for 0 until it is sent),
    /// through as many reconnections as it takes.
    ///
    /// # Errors
    /// [`PublishError`]: topic, size or `qos` not allowed, or the publisher was closed.
    pub async fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8) -> Result<(), PublishError> {
        self.submit(topic, payload, qos, false).await?.wait().await
    }

    /// Publishes that are acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Waits until everything submitted is acknowledged, `limit` at most; gives how many that are in all.
    ///
    /// # Errors
    /// [`PublishError::NotAcknowledged`] after `limit`, [`PublishError::Stopped`] if the publisher was closed.
    pub async fn finish(&self, limit: Duration) -> Result<u64, PublishError> {
        let all = self.shared.places.acquire_many(u32::from(IN_FLIGHT_MAX));
        match tokio::time::timeout(limit, all).await {
            Ok(Ok(_places)) => Ok(self.acknowledged()),
            Ok(Err(_)) => Err(PublishError::Stopped),
            Err(_) => Err(PublishError::NotAcknowledged {
                left: usize::from(IN_FLIGHT_MAX).saturating_sub(self.shared.places.available_permits()),
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                why: lock(&self.shared.trouble).clone().unwrap_or_else(|| "the broker is silent".to_string()),
            }),
        }
    }

    /// Takes leave of the broker. What is not acknowledged by now fails with [`PublishError::Stopped`].
    pub async fn close(&self) {
        let driver = lock(&self.driver).take();
        if let Some(mut driver) = driver {
            // It fails only if so much waits that a DISCONNECT would come too late anyhow.
            let _ = self.shared.client.try_disconnect();
            if tokio::time::timeout(CLOSE_TIMEOUT, &mut driver).await.is_err() {
                driver.abort();
            }
        }
        self.shared.connected.store(false, Ordering::Relaxed);
        self.shared.places.close();
        lock(&self.shared.submitted).clear();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(driver) = lock(&self.driver).take() {
            driver.abort();
        }
    }
}

/// Owns the connection. It is never cancelled between two events, except to end.
struct Driver {
    events: EventLoop,
    shared: Arc<Shared>,
    /// Sent and not acknowledged, by packet id.
    waiting: HashMap<u16, Submitted>,
    /// What to send, before anything new, once there is a connection again.
    held: VecDeque<Request>,
    pause: Duration,
}

impl Driver {
    async fn run(mut self) {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(packet)) => self.arrived(&packet),
                Ok(Event::Outgoing(Outgoing::Publish(id))) => self.sent(id),
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
                Ok(Event::Outgoing(_)) => {}
                Err(error) => self.lost(&error).await,
            }
        }
    }

    fn arrived(&mut self, packet: &Packet) {
        match packet {
            // The library forgets what was in flight when the broker has no session, so it gets it back from us.
            Packet::ConnAck(_) => {
                self.events.pending = std::mem::take(&mut self.held);
                self.shared.connected.store(true, Ordering::Relaxed);
            }
            Packet::PubAck(ack) => self.acknowledged(ack.pkid),
            Packet::PubComp(ack) => self.acknowledged(ack.pkid),
            _ => {}
        }
    }

    fn acknowledged(&mut self, id: u16) {
        self.pause = RETRY_PAUSE_MIN;
        if let Some(publish) = self.waiting.remove(&id) {
            self.shared.settle(publish);
        }
    }

    fn sent(&mut self, id: u16) {
        if self.waiting.contains_key(&id) {
            return; // once more
        }
        let Some(publish) = lock(&self.shared.submitted).pop_front() else { return };
        if id == 0 {
            self.shared.settle(publish); // QoS 0
        } else {
            self.waiting.insert(id, publish);
        }
    }

    async fn lost(&mut self, error: &ConnectionError) {
        tracing::debug!(%error, "the connection to the MQTT broker is lost");
        self.shared.connected.store(false, Ordering::Relaxed);
        *lock(&self.shared.trouble) = Some(error.to_string());
        self.held.extend(self.events.pending.drain(..));
        for request in &mut self.held {
            if let Request::Publish(publish) = request {
                publish.dup = publish.pkid != 0;
            }
        }
        // What has an id goes first (the sort is stable), else a new publish could be given the same one.
        self.held.make_contiguous().sort_by_key(|request| matches!(request, Request::Publish(publish) if publish.pkid == 0));
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(RETRY_PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_published() {
        assert_eq!(check("root/device/s/d/sense/t", 100, 2), Ok(()));
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        for topic in ["", "a/+", "a/#", "a\0", long.as_str()] {
            assert!(matches!(check(topic, 1, 1), Err(PublishError::Topic { .. })), "{topic:?}");
        }
        assert_eq!(check("a", PACKET_BYTES_MAX, 1), Err(PublishError::TooLarge { bytes: PACKET_BYTES_MAX }));
        assert_eq!(check("a", 1, 3), Err(PublishError::Qos(3)));
    }
}
