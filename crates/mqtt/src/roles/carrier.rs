//! A connection on which a service publishes.
//!
//! What was not acknowledged when a connection broke is sent again on the next one, in its order. Whoever keeps it knows it
//! again by what it says (readings have ids), not by its packet id. What the broker refuses is told to whoever published it.
//!
//! The library tells which packet ids it sends and which come back, but not whose they are. So a publish joins a queue in
//! the order in which it is handed over; the library sends in that order.
//!
//! ```text
//! publish ─▶ [submitted] ─sent as n─▶ [waiting: n] ─PUBACK n─▶ kept | refused
//!    └ waits for one of IN_FLIGHT_MAX places    └ connection lost: held, and submitted again
//! ```

use crate::broker::PACKET_BYTES_MAX;
use crate::client::{CLIENT_ID_BYTES_MAX, CONNECT_TIMEOUT, ConnectError, PublishError, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, check, lock};
use crate::credentials::{Credentials, ServerUrl};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing as Sent};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// Publishes of one carrier that may wait for their acknowledgement at a time.
const IN_FLIGHT_MAX: u16 = 256;
/// Requests that may wait for the connection: all that are in flight, and a DISCONNECT.
const REQUESTS_MAX: usize = IN_FLIGHT_MAX as usize + 8;
/// Silence after which the connection is probed. The broker holds a publish longer than other brokers do.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a DISCONNECT may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Something to publish, QoS 1, not retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its user properties.
    pub properties: Vec<(String, String)>,
}

impl Outgoing {
    /// Without properties.
    #[must_use]
    pub fn plain(topic: impl Into<String>, payload: Vec<u8>) -> Self {
        Self { topic: topic.into(), payload, properties: Vec::new() }
    }
}

/// Why something was not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CarryError {
    /// Topic or size are not allowed.
    #[error(transparent)]
    Invalid(#[from] PublishError),
    /// The broker does not take it for now.
    #[error("the broker does not take it now: {0}")]
    Later(String),
    /// The broker never will take it.
    #[error("the broker refuses it: {0}; look at its access control")]
    Never(String),
    /// The carrier was stopped.
    #[error("publishing has been stopped")]
    Stopped,
}

/// A publish that was handed over, and waits for its acknowledgement. It is published even if this is dropped.
#[must_use = "wait() tells whether it was taken"]
#[derive(Debug)]
pub struct Submitted(oneshot::Receiver<Result<(), CarryError>>);

impl Submitted {
    /// Until the broker has acknowledged it, through as many connections as it takes.
    ///
    /// # Errors
    /// [`CarryError`]: it was refused, or the carrier was stopped.
    pub async fn wait(self) -> Result<(), CarryError> {
        self.0.await.unwrap_or(Err(CarryError::Stopped))
    }
}

struct Job {
    number: u64,
    message: Outgoing,
    done: oneshot::Sender<Result<(), CarryError>>,
    _place: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Jobs {
    next: u64,
    /// The connection, while there is one.
    client: Option<AsyncClient>,
    /// Handed over and not sent yet, in order.
    submitted: VecDeque<Job>,
    /// Sent, by packet id.
    waiting: HashMap<u16, Job>,
    /// To be handed over when there is a connection again, in order.
    held: VecDeque<Job>,
}

impl Jobs {
    fn submit(&mut self, job: Job) {
        let Some(client) = &self.client else { return self.held.push_back(job) };
        let Outgoing { topic, payload, properties } = job.message.clone();
        let properties = PublishProperties { user_properties: properties, ..PublishProperties::default() };
        match client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties) {
            Ok(()) => self.submitted.push_back(job),
            // the queue has room for every place; so the connection has just ended
            Err(_) => self.held.push_back(job),
        }
    }

    fn connected(&mut self, client: AsyncClient) {
        self.client = Some(client);
        for job in std::mem::take(&mut self.held) {
            self.submit(job);
        }
    }

    fn sent(&mut self, id: u16) {
        if id != 0
            && !self.waiting.contains_key(&id)
            && let Some(job) = self.submitted.pop_front()
        {
            self.waiting.insert(id, job);
        }
    }

    fn lost(&mut self) {
        self.client = None;
        let mut all: Vec<Job> =
            self.waiting.drain().map(|(_, job)| job).chain(self.submitted.drain(..)).chain(self.held.drain(..)).collect();
        all.sort_by_key(|job| job.number);
        self.held = all.into();
    }
}

struct Shared {
    jobs: Mutex<Jobs>,
    places: Arc<Semaphore>,
    connected: AtomicBool,
    acknowledged: AtomicU64,
    refused: AtomicU64,
}

/// A connection that publishes. It connects by itself, again and again, until it is stopped. Several tasks may share it.
pub struct Carrier {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Carrier {
    /// Starts to connect to `url` (`mqtt://` or `mqtts://host[:port]`) as `client_id`. The broker must speak MQTT 5; it need
    /// not be there yet.
    ///
    /// # Errors
    /// [`ConnectError`]: the URL, the id or the credentials cannot be used.
    pub fn start(url: &str, client_id: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let options = options(url, client_id, credentials)?;
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            places: Arc::new(Semaphore::new(usize::from(IN_FLIGHT_MAX))),
            connected: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let (stop, stopping) = watch::channel(false);
        let driver = Mutex::new(Some(tokio::spawn(drive(options, shared.clone(), stopping))));
        Ok(Self { shared, stop, driver })
    }

    /// Publishes, and waits until the broker has acknowledged it, through as many connections as it takes. It is published
    /// even if the future is dropped.
    ///
    /// # Errors
    /// [`CarryError`]: it was refused, cannot be sent, or the carrier was stopped.
    pub async fn publish(&self, message: Outgoing) -> Result<(), CarryError> {
        self.submit(message).await?.wait().await
    }

    /// Hands a publish over, once there is a place for it. What is to leave in an order is handed over one after another: tasks
    /// or futures that wait for places side by side are served in any order.
    ///
    /// # Errors
    /// [`CarryError`]: it cannot be sent, or the carrier was stopped.
    pub async fn submit(&self, message: Outgoing) -> Result<Submitted, CarryError> {
        check(&message.topic, message.payload.len(), 1)?;
        let place = self.shared.places.clone().acquire_owned().await.map_err(|_| CarryError::Stopped)?;
        let (done, answer) = oneshot::channel();
        {
            let mut jobs = lock(&self.shared.jobs);
            let number = jobs.next;
            jobs.next += 1;
            jobs.submit(Job { number, message, done, _place: place });
        }
        Ok(Submitted(answer))
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Publishes that the broker acknowledged, and that it refused.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.acknowledged.load(Ordering::Relaxed), self.shared.refused.load(Ordering::Relaxed))
    }

    /// Takes leave of the broker. What is not acknowledged by now fails with [`CarryError::Stopped`].
    pub async fn stop(&self) {
        let driver = lock(&self.driver).take();
        self.stop.send_replace(true);
        if let Some(driver) = driver {
            // it ends by itself within its own deadline
            let _ = driver.await;
        }
        self.shared.places.close();
        let mut jobs = lock(&self.shared.jobs);
        jobs.lost();
        jobs.held.clear();
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(driver) = lock(&self.driver).take() {
            driver.abort();
        }
    }
}

/// What both connections of a service have in common.
pub(super) fn options(url: &str, client_id: &str, credentials: &Credentials) -> Result<MqttOptions, ConnectError> {
    let url: ServerUrl = url.parse()?;
    if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX {
        return Err(ConnectError::ClientId(client_id.len()));
    }
    let mut options = MqttOptions::new(client_id, url.host(), url.port());
    options.set_keep_alive(KEEP_ALIVE);
    options.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    options.set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok());
    // twice the places: a packet id comes back late
    options.set_outgoing_inflight_upper_limit(2 * IN_FLIGHT_MAX);
    credentials.apply_v5(url.tls(), &mut options)?;
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    options.set_network_options(network);
    Ok(options)
}

/// One connection after the other, until the stop.
async fn drive(mut options: MqttOptions, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    options.set_clean_start(true);
    let mut pause = RETRY_PAUSE_MIN;
    loop {
        let before = shared.acknowledged.load(Ordering::Relaxed);
        let why = connection(options.clone(), &shared, &mut stopping).await;
        shared.connected.store(false, Ordering::Relaxed);
        lock(&shared.jobs).lost();
        let Some(why) = why else { return };
        if shared.acknowledged.load(Ordering::Relaxed) > before {
            pause = RETRY_PAUSE_MIN;
        }
        tracing::debug!(client = %options.client_id(), %why, ?pause, "no connection to publish on; trying again");
        tokio::select! {
            () = super::receiver::told(&mut stopping) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

/// One connection, from CONNECT to its end. Gives why it ended; nothing if it was to stop.
async fn connection(options: MqttOptions, shared: &Shared, stopping: &mut watch::Receiver<bool>) -> Option<String> {
    let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
    loop {
        // The poll is cancelled only to end the connection: otherwise it could lose what it is about to send.
        let event = tokio::select! {
            biased;
            () = super::receiver::told(stopping) => {
                if shared.connected.load(Ordering::Relaxed) && client.try_disconnect().is_ok() {
                    let gone = async { while !matches!(events.poll().await, Ok(Event::Outgoing(Sent::Disconnect)) | Err(_)) {} };
                    // It is only politeness.
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, gone).await;
                }
                return None;
            }
            event = events.poll() => event,
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                shared.connected.store(true, Ordering::Relaxed);
                lock(&shared.jobs).connected(client.clone());
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                let job = lock(&shared.jobs).waiting.remove(&ack.pkid);
                let why = ack.properties.and_then(|properties| properties.reason_string);
                answer(shared, job, ack.reason, why);
            }
            Ok(Event::Outgoing(Sent::Publish(id))) => lock(&shared.jobs).sent(id),
            Ok(_) => {}
            Err(error) => return Some(error.to_string()),
        }
    }
}

fn answer(shared: &Shared, job: Option<Job>, reason: PubAckReason, why: Option<String>) {
    let Some(job) = job else { return };
    let why = why.unwrap_or_else(|| format!("{reason:?}"));
    let (answer, counter) = match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => (Ok(()), &shared.acknowledged),
        PubAckReason::NotAuthorized | PubAckReason::TopicNameInvalid | PubAckReason::PayloadFormatInvalid => {
            (Err(CarryError::Never(why)), &shared.refused)
        }
        _ => (Err(CarryError::Later(why)), &shared.refused),
    };
    counter.fetch_add(1, Ordering::Relaxed);
    // Nobody may be listening: that is the caller's choice.
    let _ = job.done.send(answer);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn job(jobs: &mut Jobs, places: &Arc<Semaphore>) -> oneshot::Receiver<Result<(), CarryError>> {
        let (done, answer) = oneshot::channel();
        let number = jobs.next;
        jobs.next += 1;
        let place = places.clone().try_acquire_owned().unwrap();
        jobs.submit(Job { number, message: Outgoing::plain("a", Vec::new()), done, _place: place });
        answer
    }

    #[tokio::test]
    async fn what_was_not_acknowledged_is_sent_again_in_order() {
        let places = Arc::new(Semaphore::new(8));
        let mut jobs = Jobs::default();
        let answers: Vec<_> = (0..4).map(|_| job(&mut jobs, &places)).collect();
        assert_eq!(jobs.held.len(), 4, "without a connection everything is held");
        let (client, _events) = AsyncClient::new(MqttOptions::new("x", "localhost", 1), 8);
        jobs.connected(client);
        jobs.sent(2);
        jobs.sent(1);
        jobs.sent(1);
        assert_eq!((jobs.submitted.len(), jobs.waiting.len()), (2, 2), "a packet id that is sent once more is not a new one");
        jobs.waiting.remove(&2);
        jobs.lost();
        assert_eq!(jobs.held.iter().map(|job| job.number).collect::<Vec<_>>(), [1, 2, 3]);
        drop(jobs);
        assert_eq!(places.available_permits(), 8);
        for answer in answers {
            assert!(answer.await.is_err());
        }
    }

    /// ROLE-12: more than a task may take at a time without letting others run. Futures that waited for places side by side
    /// were served newest first from there on.
    #[tokio::test]
    async fn what_is_handed_over_one_after_another_leaves_in_that_order() {
        let carrier = Carrier::start("mqtt://127.0.0.1:1", "x", &Credentials::default()).unwrap();
        let mut waiting = Vec::new();
        for n in 0..200 {
            waiting.push(carrier.submit(Outgoing::plain(n.to_string(), Vec::new())).await.unwrap());
        }
        let held: Vec<String> = lock(&carrier.shared.jobs).held.iter().map(|job| job.message.topic.clone()).collect();
        assert_eq!(held, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
        carrier.stop().await;
        for submitted in waiting {
            assert_eq!(submitted.wait().await, Err(CarryError::Stopped));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_said_at_once() {
        let none = Credentials::default();
        assert!(matches!(Carrier::start("tcp://x", "a", &none), Err(ConnectError::Url { .. })));
        assert!(matches!(Carrier::start("mqtt://x", "", &none), Err(ConnectError::ClientId(0))));
        assert!(matches!(Carrier::start("mqtts://x", "a", &none), Err(ConnectError::Credentials(_))));
    }
}
