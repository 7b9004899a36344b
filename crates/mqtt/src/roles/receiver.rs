//! The connection on which a service receives.
//!
//! Rules:
//! - A publish is acknowledged when its desk has judged it, in the order of arrival. What cannot be kept now is not
//!   acknowledged: the connection is dropped, and after a growing pause the broker sends it, and all after it, again.
//! - Several publishes are judged at a time, each begun in the order of arrival.
//! - The session is persistent: a broker of another kind collects for us while we are away, within its own bounds. Our own
//!   broker begins a new session each time and keeps publishers waiting instead; it greets us, and so we know it.
//! - Retained messages that come because we subscribe are old news of unknown age; they are acknowledged and left.
//!
//! ```text
//! broker ─PUBLISH─▶ poll ─▶ first step of the desk, in order ─▶ [ IN_PROGRESS_MAX under way ]
//!        ◀─PUBACK── poll ◀── acknowledge, in order ◀──────────────────┘
//! ```

use super::carrier::options;
use super::{COMMAND, GREETING_TOPIC, ORIGIN, READING, REPEATED, unhex};
use crate::broker::TOPIC_BYTES_MAX;
use crate::client::{ConnectError, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, lock};
use crate::credentials::Credentials;
use rumqttc::Outgoing as Sent;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, RetainForwardRule, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

/// Publishes that may be judged at a time.
const IN_PROGRESS_MAX: u16 = 512;
/// Publishes that may wait for their turn to be acknowledged.
const TURNS_MAX: usize = 2 * IN_PROGRESS_MAX as usize;
/// Requests that may wait for the connection: acknowledgements of all that is under way, and a few more.
const REQUESTS_MAX: usize = 4 * IN_PROGRESS_MAX as usize;
/// How long a broker of another kind is asked to collect for us while we are away.
const SESSION_EXPIRY_S: u32 = 7 * 86_400;
/// How long a stop waits for what is under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a DISCONNECT may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the operator is told that there is no connection: with the first failure, and then each so many.
const WARN_EACH: u64 = 12;

/// What a service receives from where.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// The broker: `mqtt://` or `mqtts://host[:port]`. It must speak MQTT 5.
    pub url: String,
    /// How to log in there.
    pub credentials: Credentials,
    /// Our client id there.
    pub client_id: String,
    /// What to subscribe to, QoS 1.
    pub filters: Vec<String>,
}

/// A publish that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// What names it among all publishes of its publisher, if that may send it again: our broker's word, else its packet id
    /// on our own connection.
    pub origin: Option<(String, u16)>,
    /// Whether its publisher, or the broker, may have sent it before.
    pub dup: bool,
    /// Whether it is a command.
    pub command: bool,
    /// The property that holds a reading's canonical bytes.
    pub reading: Option<String>,
}

impl Arrived {
    /// The fingerprint by which a repetition is recognised; none if its publisher does not send it again.
    #[must_use]
    pub fn fingerprint(&self) -> Option<[u8; 16]> {
        let (client, packet_id) = self.origin.as_ref()?;
        Some(super::origin(client, *packet_id, &self.topic, &self.payload))
    }
}

/// What a desk says of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is kept, or never will be.
    Settled,
    /// It cannot be kept now: let the broker send it, and all after it, again.
    Later,
}

/// A judgement to come.
pub type Judging = Pin<Box<dyn Future<Output = Judgement> + Send>>;

/// What a service does with what it receives.
pub trait Desk: Send + Sync + 'static {
    /// Judges a publish; done when it is kept. Up to its first wait, one is judged after the other, in their order.
    fn take(self: Arc<Self>, arrived: Arrived) -> Judging;

    /// Told when the broker has confirmed the subscriptions of a new connection. Must not block.
    fn subscribed(&self) {}
}

struct Shared {
    client_id: String,
    desk: Arc<dyn Desk>,
    connected: AtomicBool,
    acknowledged: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// A connection that receives. It connects by itself, again and again, until it is stopped.
pub struct Receiver {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Receiver {
    /// Starts to connect; what arrives goes to `desk`. The broker need not be there yet.
    ///
    /// # Errors
    /// [`ConnectError`]: the URL, the id or the credentials cannot be used.
    pub fn start(config: ReceiverConfig, desk: Arc<dyn Desk>) -> Result<Self, ConnectError> {
        let ReceiverConfig { url, credentials, client_id, filters } = config;
        let mut options = options(&url, &client_id, &credentials)?;
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(SESSION_EXPIRY_S));
        options.set_receive_maximum(Some(IN_PROGRESS_MAX));
        options.set_manual_acks(true);
        let shared = Arc::new(Shared {
            client_id,
            desk,
            connected: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            trouble: Mutex::new(Some("no connection yet".into())),
        });
        let (stop, stopping) = watch::channel(false);
        let places = Arc::new(Semaphore::new(usize::from(IN_PROGRESS_MAX)));
        let reader = Reader { options, url, filters, shared: shared.clone(), places, stopping };
        let driver = Mutex::new(Some(tokio::spawn(reader.run())));
        Ok(Self { shared, stop, driver })
    }

    /// Whether the connection stands and its subscriptions are confirmed.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Why there is no connection, if there is none.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.connected() { None } else { lock(&self.shared.trouble).clone() }
    }

    /// Stops receiving, and lets what is under way be judged, within a deadline.
    pub async fn stop(&self) {
        let Some(mut driver) = lock(&self.driver).take() else { return };
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, &mut driver).await.is_err() {
            tracing::warn!(client = %self.shared.client_id, "publishes are still being written; the broker will send them again");
            driver.abort();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(driver) = lock(&self.driver).take() {
            driver.abort();
        }
    }
}

/// Until the stop, also if whoever could ask for it is gone.
pub(super) async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Why one connection ended.
enum End {
    Stopped,
    /// Something cannot be kept for now.
    Retreat,
    Lost(String),
}

/// A publish whose acknowledgement waits for its turn.
struct Turn {
    /// Packet id and quality of service; topic and payload are gone.
    receipt: Publish,
    progress: Progress,
}

enum Progress {
    Done(Judgement),
    Running(JoinHandle<Judgement>),
}

/// Owns the connection.
struct Reader {
    options: MqttOptions,
    url: String,
    filters: Vec<String>,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Reader {
    /// One connection after the other, until the stop.
    async fn run(mut self) {
        let (mut pause, mut failures) = (RETRY_PAUSE_MIN, 0u64);
        loop {
            let before = self.shared.acknowledged.load(Ordering::Relaxed);
            let end = self.connection().await;
            let was_connected = self.shared.connected.swap(false, Ordering::Relaxed);
            // All that is under way is judged before anything of it can come again.
            let _ = self.places.acquire_many(u32::from(IN_PROGRESS_MAX)).await;
            let (why, fruitful) = match end {
                End::Stopped => return,
                End::Retreat => {
                    ("it has more than can be kept for now".to_owned(), self.shared.acknowledged.load(Ordering::Relaxed) > before)
                }
                End::Lost(why) => (why, was_connected),
            };
            if fruitful {
                (pause, failures) = (RETRY_PAUSE_MIN, 0);
            }
            if failures.is_multiple_of(WARN_EACH) {
                tracing::warn!(url = %self.url, client = %self.shared.client_id, %why, "no connection to the MQTT broker; trying again");
            }
            failures = failures.saturating_add(1);
            *lock(&self.shared.trouble) = Some(why);
            tokio::select! {
                () = told(&mut self.stopping) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// One connection, from CONNECT to its end.
    async fn connection(&mut self) -> End {
        let (client, mut events) = AsyncClient::new(self.options.clone(), REQUESTS_MAX);
        let (turns, queue) = mpsc::channel(TURNS_MAX);
        let retreat = Arc::new(Notify::new());
        let acknowledger = tokio::spawn(acknowledge(client.clone(), queue, retreat.clone(), self.shared.clone()));
        let mut ours = false;
        let end = loop {
            // The poll is cancelled only to end the connection: otherwise it could lose what it is about to send.
            let event = tokio::select! {
                biased;
                () = told(&mut self.stopping) => {
                    if self.shared.connected.load(Ordering::Relaxed) && client.try_disconnect().is_ok() {
                        let gone = async { while !matches!(events.poll().await, Ok(Event::Outgoing(Sent::Disconnect)) | Err(_)) {} };
                        // It is only politeness.
                        let _ = tokio::time::timeout(CLOSE_TIMEOUT, gone).await;
                    }
                    break End::Stopped;
                }
                () = retreat.notified() => break End::Retreat,
                event = events.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Packet::Publish(publish))) => match arrived(publish, &self.shared.client_id, ours) {
                    News::Greeting(receipt) => {
                        ours = true;
                        let _ = turns.send(Turn { receipt, progress: Progress::Done(Judgement::Settled) }).await;
                    }
                    News::Left(receipt) => {
                        // It fails only after a retreat, which ends the connection.
                        let _ = turns.send(Turn { receipt, progress: Progress::Done(Judgement::Settled) }).await;
                    }
                    News::Arrived(receipt, message) => self.take(receipt, message, &turns).await,
                },
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let filters: Vec<Filter> = self.filters.iter().map(|path| filter(path)).collect();
                    if client.try_subscribe_many(filters).is_err() {
                        break End::Lost("the subscription cannot be sent".into());
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    if ack.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
                        let filters = self.filters.join(", ");
                        break End::Lost(ConnectError::Refused { url: self.url.clone(), filters }.to_string());
                    }
                    self.shared.connected.store(true, Ordering::Relaxed);
                    tracing::info!(url = %self.url, client = %self.shared.client_id, "connected to the MQTT broker");
                    self.shared.desk.subscribed();
                }
                Ok(_) => {}
                Err(error) => break End::Lost(error.to_string()),
            }
        };
        acknowledger.abort();
        end
    }

    /// Starts a publish on its way and gives it its turn; waits while too many are under way.
    async fn take(&self, receipt: Publish, message: Arrived, turns: &mpsc::Sender<Turn>) {
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let mut work: Pin<Box<dyn Future<Output = Judgement> + Send>> = Box::pin(judge(self.shared.desk.clone(), message, place));
        // The first step happens here: one publish after the other, so that order is kept.
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        let progress = match first {
            Poll::Ready(judgement) => Progress::Done(judgement),
            Poll::Pending => Progress::Running(tokio::spawn(work)),
        };
        // It fails only after a retreat, which ends the connection.
        let _ = turns.send(Turn { receipt, progress }).await;
    }
}

/// Its place is free only when nothing of the desk is held any more.
async fn judge(desk: Arc<dyn Desk>, message: Arrived, place: OwnedSemaphorePermit) -> Judgement {
    let judgement = desk.take(message).await;
    drop(place);
    judgement
}

/// Acknowledges in the order of arrival, until one cannot be.
async fn acknowledge(client: AsyncClient, mut turns: mpsc::Receiver<Turn>, retreat: Arc<Notify>, shared: Arc<Shared>) {
    while let Some(turn) = turns.recv().await {
        let judgement = match turn.progress {
            Progress::Done(judgement) => judgement,
            Progress::Running(task) => task.await.unwrap_or(Judgement::Later),
        };
        if judgement == Judgement::Later {
            retreat.notify_one();
            return;
        }
        if client.ack(&turn.receipt).await.is_err() {
            return;
        }
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a publish is to us.
enum News {
    /// Our own broker's greeting.
    Greeting(Publish),
    /// Nothing: it is acknowledged and left.
    Left(Publish),
    /// For the desk.
    Arrived(Publish, Arrived),
}

fn arrived(publish: Publish, client_id: &str, ours: bool) -> News {
    let receipt = Publish { pkid: publish.pkid, qos: publish.qos, ..Publish::default() };
    let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else { return News::Left(receipt) };
    if topic == GREETING_TOPIC {
        return News::Greeting(receipt);
    }
    if publish.retain || topic.len() > TOPIC_BYTES_MAX {
        return News::Left(receipt);
    }
    let user = publish.properties.as_ref().map(|properties| properties.user_properties.as_slice()).unwrap_or_default();
    let property = |name: &str| user.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let said = property(ORIGIN).filter(|digits| unhex(digits).is_some_and(|bytes| bytes.len() == 16));
    let origin = match (ours, said, publish.qos) {
        (true, Some(digits), _) => Some((digits.to_owned(), 0)),
        (true, None, _) | (false, _, QoS::AtMostOnce) => None,
        (false, ..) => Some((client_id.to_owned(), publish.pkid)),
    };
    let dup = publish.dup || (ours && property(REPEATED) == Some("1"));
    let (command, reading) = (property(COMMAND) == Some("1"), property(READING).map(str::to_owned));
    News::Arrived(receipt, Arrived { topic, payload: publish.payload.to_vec(), origin, dup, command, reading })
}

fn filter(path: &str) -> Filter {
    Filter {
        path: path.to_owned(),
        qos: QoS::AtLeastOnce,
        nolocal: false,
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::PublishProperties;

    fn publish(topic: &str, user: &[(&str, &str)]) -> Publish {
        let user_properties = user.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Publish {
            qos: QoS::AtLeastOnce,
            pkid: 7,
            topic: topic.to_owned().into(),
            payload: b"1".to_vec().into(),
            properties: Some(PublishProperties { user_properties, ..PublishProperties::default() }),
            ..Publish::default()
        }
    }

    /// ROLE-7
    #[test]
    fn only_our_own_broker_is_believed_about_origins() {
        let origin = "00112233445566778899aabbccddeeff";
        let copy = publish("root/device/z1/d/sense/t", &[(ORIGIN, origin), (REPEATED, "1")]);
        for (ours, expected, dup) in [(true, (origin, 0), true), (false, ("me", 7), false)] {
            match arrived(copy.clone(), "me", ours) {
                News::Arrived(_, arrived) => {
                    assert_eq!((arrived.origin, arrived.dup), (Some((expected.0.to_owned(), expected.1)), dup), "ours: {ours}");
                }
                _ => panic!("it is for the desk"),
            }
        }
        let short = publish("root/device/z1/d/sense/t", &[(ORIGIN, "0011")]);
        assert!(matches!(arrived(short, "me", true), News::Arrived(_, Arrived { origin: None, .. })));
        assert!(matches!(arrived(publish(GREETING_TOPIC, &[]), "me", false), News::Greeting(_)));
        let retained = Publish { retain: true, ..publish("root/fog/z1/d/sense/t", &[]) };
        assert!(matches!(arrived(retained, "me", true), News::Left(_)));
    }
}
