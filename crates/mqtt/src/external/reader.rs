//! The connection on which an external broker's publishes arrive, and how each is answered.

use crate::broker::{Relay, TOPIC_BYTES_MAX};
use crate::client::{ConnectError, Link, RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, level};
use crate::credentials::{Credentials, ServerUrl};
use crate::ingress::{self, Ingress, Refusal};
use crate::log::AppendError;
use protocol::{Name, Topic};
use rumqttc::{AsyncClient, ConnAck, Event, EventLoop, Packet, Publish, QoS, SubAck, SubscribeFilter, SubscribeReasonCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Publishes that may be under way to the log at a time.
const IN_PROGRESS_MAX: u32 = 1000;
/// Publishes that may wait for their turn to be acknowledged.
const TURNS_MAX: usize = 1000;
/// Acknowledgements that may wait for the connection. A broker has at most 65 535 publishes unacknowledged, as many
/// as there are packet ids, so this is never full; if it could be, it and the loop could wait for each other.
const REQUESTS_MAX: usize = 1 << 17;
/// Packet ids for what is sent: subscriptions only.
const PACKET_IDS: u16 = 16;

/// What is needed to judge a publish.
pub(super) struct Desk {
    client_id: String,
    site: Name,
    /// `root/node/<site>/active`.
    active: String,
    ingress: Arc<Ingress>,
    relay: Relay,
    on_active: Option<mpsc::Sender<()>>,
}

/// How a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is kept, or never will be.
    Acknowledge,
    /// It cannot be kept now: let the broker send it, and all after it, again.
    Retreat,
}

impl Desk {
    pub(super) fn new(client_id: String, site: Name, ingress: Arc<Ingress>, relay: Relay, on_active: Option<mpsc::Sender<()>>) -> Self {
        let active = Topic::Active(site.clone()).to_string();
        Self { client_id, site, active, ingress, relay, on_active }
    }

    /// The verdict on a publish. Its place is free only when nothing of the site is held any more.
    async fn judge(self: Arc<Self>, message: Publish, place: OwnedSemaphorePermit) -> Verdict {
        let verdict = self.weigh(&message).await;
        drop(self);
        drop(place);
        verdict
    }

    async fn weigh(&self, message: &Publish) -> Verdict {
        let topic = message.topic.as_str();
        if message.retain {
            return Verdict::Acknowledge;
        }
        if topic.len() > TOPIC_BYTES_MAX {
            tracing::warn!(topic_bytes = topic.len(), "a publish was left: its topic is too long");
            return Verdict::Acknowledge;
        }
        if topic == self.active {
            if let Some(told) = &self.on_active {
                // Full means that the application has yet to act on an earlier one.
                let _ = told.try_send(());
            }
            return Verdict::Acknowledge;
        }
        let arrived = ingress::Publish {
            topic,
            payload: &message.payload,
            client: &self.client_id,
            packet_id: (message.qos != QoS::AtMostOnce).then_some(message.pkid),
            qos: level(message.qos),
            dup: message.dup,
        };
        match self.ingress.accept(arrived).await {
            Ok(outcome) => {
                self.relay.offer(self.ingress.copies(&outcome));
                Verdict::Acknowledge
            }
            Err(Refusal::Store(error)) if message.qos != QoS::AtMostOnce && !matches!(error, AppendError::Invalid(_)) => {
                tracing::warn!(%error, "a reading cannot be kept now; the MQTT broker has to send it again");
                Verdict::Retreat
            }
            Err(refusal) => {
                tracing::warn!(%topic, %refusal, "a publish was left");
                Verdict::Acknowledge
            }
        }
    }
}

/// A publish whose acknowledgement waits for its turn.
struct Turn {
    /// Packet id and quality of service; topic and payload are gone.
    receipt: Publish,
    progress: Progress,
}

enum Progress {
    Done(Verdict),
    Running(JoinHandle<Verdict>),
}

/// Acknowledges in the order of arrival (MQTT 3.1.1 §4.6), until one cannot be.
async fn acknowledge(client: AsyncClient, mut turns: mpsc::Receiver<Turn>, retreat: Arc<Notify>, count: Arc<AtomicU64>) {
    while let Some(turn) = turns.recv().await {
        let verdict = match turn.progress {
            Progress::Done(verdict) => verdict,
            Progress::Running(task) => task.await.unwrap_or(Verdict::Retreat),
        };
        if verdict == Verdict::Retreat {
            retreat.notify_one();
            return;
        }
        if client.ack(&turn.receipt).await.is_err() {
            return;
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why one connection ended.
enum End {
    /// We are told to stop.
    Stopped,
    /// The log cannot take more for now.
    Retreat,
    /// The broker does not let us subscribe.
    Refused,
    /// It broke.
    Lost(String),
}

impl End {
    fn why(&self) -> &str {
        match self {
            Self::Stopped => "it is stopped",
            Self::Retreat => "the log cannot take more for now",
            Self::Refused => "it refuses the subscription",
            Self::Lost(why) => why,
        }
    }
}

/// Until the stop, also if the broker object is gone.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Owns the connection.
pub(super) struct Reader {
    client: AsyncClient,
    events: EventLoop,
    url: String,
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
    acknowledged: Arc<AtomicU64>,
    /// Whether this process has subscribed in the session that the broker keeps.
    subscribed: bool,
    stopping: watch::Receiver<bool>,
    connected: watch::Sender<bool>,
    /// Until the first subscription is confirmed.
    ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
}

impl Reader {
    pub(super) fn new(
        (url, credentials): (&ServerUrl, &Credentials),
        desk: Desk,
        stopping: watch::Receiver<bool>,
        connected: watch::Sender<bool>,
        ready: oneshot::Sender<Result<(), ConnectError>>,
    ) -> Result<Self, ConnectError> {
        let link = Link { clean_session: false, manual_acks: true, packet_ids: PACKET_IDS, requests_max: REQUESTS_MAX };
        let (client, events) = link.open_as(url, &desk.client_id, credentials)?;
        Ok(Self {
            client,
            events,
            url: url.to_string(),
            desk: Arc::new(desk),
            places: Arc::new(Semaphore::new(IN_PROGRESS_MAX as usize)),
            acknowledged: Arc::new(AtomicU64::new(0)),
            subscribed: false,
            stopping,
            connected,
            ready: Some(ready),
        })
    }

    /// One connection after the other, until the stop. The first must succeed.
    pub(super) async fn run(mut self) {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let before = self.acknowledged.load(Ordering::Relaxed);
            let end = self.connection().await;
            let was_connected = self.connected.send_replace(false);
            // All that is under way reaches the log before anything of it can come again.
            let _ = self.places.acquire_many(IN_PROGRESS_MAX).await;
            if let Some(ready) = self.ready.take() {
                let url = self.url.clone();
                let error = match end {
                    End::Refused => ConnectError::Refused { url, filters: self.filters().join(", ") },
                    _ => ConnectError::Unreachable { url, why: end.why().to_string() },
                };
                let _ = ready.send(Err(error));
                return;
            }
            let fruitful = match &end {
                End::Stopped => return,
                End::Lost(_) => was_connected,
                End::Retreat | End::Refused => self.acknowledged.load(Ordering::Relaxed) > before,
            };
            if fruitful {
                pause = RETRY_PAUSE_MIN;
            }
            tracing::warn!(url = %self.url, why = end.why(), ?pause, "no connection to the MQTT broker; trying again");
            tokio::select! {
                () = told(&mut self.stopping) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// One connection, from CONNECT to its end.
    async fn connection(&mut self) -> End {
        let (turns, queue) = mpsc::channel(TURNS_MAX);
        let retreat = Arc::new(Notify::new());
        let acknowledger = tokio::spawn(acknowledge(self.client.clone(), queue, retreat.clone(), self.acknowledged.clone()));
        let end = loop {
            // The poll is cancelled only to end the connection: otherwise it could lose what it is about to send.
            let event = tokio::select! {
                biased;
                () = told(&mut self.stopping) => break End::Stopped,
                () = retreat.notified() => break End::Retreat,
                event = self.events.poll() => event,
            };
            let end = match event {
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    self.take(message, &turns).await;
                    None
                }
                Ok(Event::Incoming(Packet::ConnAck(ack))) => self.greeted(&ack),
                Ok(Event::Incoming(Packet::SubAck(ack))) => self.confirmed(&ack),
                Ok(_) => None,
                Err(error) => Some(End::Lost(error.to_string())),
            };
            if let Some(end) = end {
                break end;
            }
        };
        acknowledger.abort();
        // Nothing of this connection may be taken for the next one's: packet ids may mean something else there.
        self.events.clean();
        self.events.pending.clear();
        self.events.state.events.clear();
        end
    }

    fn filters(&self) -> [String; 2] {
        [format!("root/device/{}/#", self.desk.site), self.desk.active.clone()]
    }

    fn greeted(&mut self, ack: &ConnAck) -> Option<End> {
        if ack.session_present && self.subscribed {
            self.connected.send_replace(true);
            return None;
        }
        let filters = self.filters().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).is_err().then_some(End::Refused)
    }

    fn confirmed(&mut self, ack: &SubAck) -> Option<End> {
        if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
            return Some(End::Refused);
        }
        self.subscribed = true;
        self.connected.send_replace(true);
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Ok(()));
        }
        None
    }

    /// Starts a publish on its way to the log and gives it its turn; waits while too many are under way.
    async fn take(&mut self, message: Publish, turns: &mpsc::Sender<Turn>) {
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let mut receipt = Publish::new("", message.qos, Vec::<u8>::new());
        receipt.pkid = message.pkid;
        let mut work: Pin<Box<dyn Future<Output = Verdict> + Send>> = Box::pin(self.desk.clone().judge(message, place));
        // The first step, up to the log's queue, happens here: one publish after the other, so that order is kept.
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        let progress = match first {
            Poll::Ready(verdict) => Progress::Done(verdict),
            Poll::Pending => Progress::Running(tokio::spawn(work)),
        };
        // It fails only after a retreat, which ends the connection.
        let _ = turns.send(Turn { receipt, progress }).await;
    }
}
