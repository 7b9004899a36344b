//! Our side of the link to the parent: one MQTT 5 connection for both directions.
//!
//! Rules:
//! - Every connection begins with nothing from the one before: what the parent has not acknowledged is sent again from the
//!   spool, and what we have not acknowledged it sends again. Both sides know what they have seen.
//! - A parent of our kind keeps what is for us in its spool, so the session there begins anew with each connection. One of
//!   another kind, which does not greet us, keeps its session for us.
//! - What goes up leaves in the order of its queue, at most [`UP_WINDOW`] of it unacknowledged.
//! - What comes down is acknowledged in the order of arrival, after it is durable where it has to be, and was given to the
//!   clients here.
//! - What the parent refuses for now (quota, authorisation, any error of its own) stays in the spool and is tried again
//!   after a pause; only what it can never take (payload, topic, size) is dropped and counted.
//!
//! ```text
//!             ┌─ drain ──── spool `up` ─PUBLISH─▶
//! connection ─┼─ subscribe ─ wanted ───SUBSCRIBE▶  parent
//!             └─ settle ◀── turns ◀────PUBLISH───
//! ```

mod flight;
mod options;

use super::hub::{Delivery, Refused, Subscribers, Tiers, UP};
use super::passport::{ASKED_TOPIC, properties};
use super::told;
use crate::client::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use crate::spool::{Durable, SpoolError};
use flight::{Acked, Flight};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, Packet, PubAckReason, Publish, PublishProperties, RetainForwardRule, SubscribeReasonCode, UnsubAckReason,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Publishes on their way up that are not acknowledged.
pub(super) const UP_WINDOW: u16 = 128;
/// Publishes on their way down that are not acknowledged.
pub(super) const DOWN_WINDOW: u16 = 256;
/// Requests that may wait for the connection: more than both windows, so that an acknowledgement never waits for room.
const REQUESTS_MAX: usize = 1024;
/// Filters in one SUBSCRIBE.
const FILTERS_PER_PACKET: usize = 64;
/// How long a parent of our kind may take to greet us.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long subscriptions from before a restart are kept, so that clients can come back to them.
const START_GRACE: Duration = Duration::from_secs(30);

const _: () = assert!(REQUESTS_MAX > 2 * (UP_WINDOW as usize + DOWN_WINDOW as usize));

/// Why one connection ended.
enum End {
    /// We are told to stop.
    Stopped,
    /// Something cannot be taken for now, here or there.
    Retreat(String),
    /// It broke.
    Lost(String),
}

/// A publish that came down and waits for its turn to be settled.
struct Turn {
    /// Packet id and quality of service; topic and payload are gone.
    receipt: Publish,
    delivery: Option<Delivery>,
    durable: Option<Durable>,
}

/// The client of the parent.
pub(crate) struct Uplink {
    tiers: Arc<Tiers>,
    subscribers: Arc<dyn Subscribers>,
    options: MqttOptions,
    stopping: watch::Receiver<bool>,
    started: Instant,
}

/// What the tasks of one connection share.
struct Connection {
    tiers: Arc<Tiers>,
    subscribers: Arc<dyn Subscribers>,
    client: AsyncClient,
    flight: Flight,
    /// Why the connection has to end, said by any task.
    trouble: std::sync::Mutex<Option<String>>,
    retreat: Notify,
    /// The parent has greeted us as one of our kind.
    greeted: Notify,
}

impl Connection {
    fn give_up(&self, why: String) {
        let mut trouble = crate::client::lock(&self.trouble);
        if trouble.is_none() {
            *trouble = Some(why);
        }
        drop(trouble);
        self.retreat.notify_one();
    }
}

impl Uplink {
    /// The link of `tiers`, if it has a parent. Nothing is sent before it runs.
    ///
    /// # Errors
    /// [`super::TierError`] if the link's TLS files cannot be used.
    pub(crate) fn new(
        tiers: Arc<Tiers>,
        subscribers: Arc<dyn Subscribers>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Option<Self>, super::TierError> {
        let Some(options) = options::options(&tiers)? else { return Ok(None) };
        Ok(Some(Self { tiers, subscribers, options, stopping, started: Instant::now() }))
    }

    /// One connection after the other, until the stop.
    pub(crate) async fn run(mut self) {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let drained = self.tiers.counters.drained.load(Ordering::Relaxed);
            let end = self.connection().await;
            let was_connected = self.tiers.connected.swap(false, Ordering::Relaxed);
            self.tiers.confirmed.store(0, Ordering::Relaxed);
            let (why, fruitful) = match end {
                End::Stopped => return,
                End::Lost(why) => (why, was_connected),
                End::Retreat(why) => (why, self.tiers.counters.drained.load(Ordering::Relaxed) > drained),
            };
            if fruitful {
                pause = RETRY_PAUSE_MIN;
            }
            tracing::warn!(parent = ?self.tiers.config().parent, %why, ?pause, "no link to the parent broker; trying again");
            tokio::select! {
                () = told(&mut self.stopping) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// One connection, from CONNECT to its end.
    async fn connection(&mut self) -> End {
        let mut options = self.options.clone();
        options.set_clean_start(!self.tiers.parent_is_foreign());
        let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
        let shared = Arc::new(Connection {
            tiers: self.tiers.clone(),
            subscribers: self.subscribers.clone(),
            client,
            flight: Flight::new(self.tiers.spool().first(UP)),
            trouble: std::sync::Mutex::new(None),
            retreat: Notify::new(),
            greeted: Notify::new(),
        });
        let (turns, queue) = mpsc::channel(usize::from(DOWN_WINDOW) + 1);
        let settling = tokio::spawn(settle(shared.clone(), queue));
        let end = self.converse(shared, events, turns).await;
        // What was taken counts as seen, so it reaches the clients here, though nobody is left to be told that it did.
        if let Err(error) = settling.await {
            tracing::error!(%error, "what came down was not handed on");
        }
        end
    }

    /// Says and hears what there is, until the connection ends. Nothing comes down after it.
    async fn converse(&mut self, shared: Arc<Connection>, mut events: EventLoop, turns: mpsc::Sender<Turn>) -> End {
        let (answers, answered) = mpsc::channel(1);
        // Tasks end with the connection: dropping the set aborts them.
        let mut tasks = JoinSet::new();
        let mut waiting = Some(answered);
        loop {
            // The poll is cancelled only to end the connection: otherwise it could lose what it is about to send.
            let event = tokio::select! {
                biased;
                () = told(&mut self.stopping) => return self.leave(&shared, &mut events).await,
                () = shared.retreat.notified() => {
                    let why = crate::client::lock(&shared.trouble).take();
                    return End::Retreat(why.unwrap_or_default());
                }
                event = events.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let Some(answered) = waiting.take() else { continue };
                    self.tiers.connected.store(true, Ordering::Relaxed);
                    self.tiers.counters.connects.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(parent = ?self.tiers.config().parent, "linked to the parent broker");
                    tasks.spawn(recognise(shared.clone()));
                    tasks.spawn(drain(shared.clone()));
                    tasks.spawn(subscribe(shared.clone(), answered, self.started + START_GRACE));
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => take(&shared, &turns, publish).await,
                Ok(Event::Incoming(Packet::PubAck(ack))) => acknowledged(&shared, ack.pkid, ack.reason),
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let fine = ack.return_codes.iter().map(|code| matches!(code, SubscribeReasonCode::Success(_))).collect();
                    let _ = answers.try_send(fine); // one is waited for at a time
                }
                Ok(Event::Incoming(Packet::UnsubAck(ack))) => {
                    let gone = |reason: &UnsubAckReason| matches!(reason, UnsubAckReason::Success | UnsubAckReason::NoSubscriptionExisted);
                    let _ = answers.try_send(ack.reasons.iter().map(gone).collect());
                }
                Ok(Event::Outgoing(Outgoing::Publish(id))) => shared.flight.sent(id),
                Ok(_) => {}
                Err(error) => return End::Lost(lost(&error)),
            }
        }
    }

    /// Takes leave of the parent: it knows at once that we are gone.
    async fn leave(&self, shared: &Connection, events: &mut EventLoop) -> End {
        if self.tiers.connected.load(Ordering::Relaxed) && shared.client.try_disconnect().is_ok() {
            let gone = async { while !matches!(events.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {} };
            // It is only politeness.
            let _ = tokio::time::timeout(Duration::from_millis(500), gone).await;
        }
        End::Stopped
    }
}

/// Why a connection could not be made, or broke.
fn lost(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Tls(_) => {
            format!("{error}; see that tier.ca vouches for the parent's certificate, and that it is for the host in tier.parent")
        }
        error => error.to_string(),
    }
}

/// Finds out of which kind the parent is: one of ours says at once what it asks for.
async fn recognise(shared: Arc<Connection>) {
    let greeted = tokio::time::timeout(GREETING_TIMEOUT, shared.greeted.notified()).await.is_ok();
    shared.tiers.set_parent_foreign(!greeted);
}

/// Sends what waits to go up, and what is added to it.
async fn drain(shared: Arc<Connection>) {
    let spool = shared.tiers.spool().clone();
    let (mut from, mut commits) = (spool.first(UP), spool.commits());
    loop {
        commits.borrow_and_update();
        let records = match spool.read(UP, from, usize::from(UP_WINDOW)).await {
            Ok(records) => records,
            Err(error) => return shared.give_up(error.to_string()),
        };
        if records.is_empty() && commits.changed().await.is_err() {
            return; // the spool is closed
        }
        for (position, record) in records {
            shared.flight.board(position).await;
            let (topic, payload, user_properties) = properties(record);
            let properties = PublishProperties { user_properties, ..PublishProperties::default() };
            let sent = shared.client.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).await;
            if let Err(error) = sent {
                return shared.give_up(format!("publish {position} of the queue cannot be sent: {error}"));
            }
            from = position.saturating_add(1);
        }
    }
}

/// The parent has answered a publish.
fn acknowledged(shared: &Connection, id: u16, reason: PubAckReason) {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {}
        PubAckReason::PayloadFormatInvalid | PubAckReason::TopicNameInvalid => {
            tracing::warn!(?reason, "the parent broker will never take a publish; it is dropped");
            shared.tiers.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        other => return shared.give_up(format!("it refuses a publish: {other:?}")),
    }
    if let Some(Acked { below, count }) = shared.flight.acknowledged(id) {
        shared.tiers.drained(UP, below, count);
    }
}

/// Keeps the parent's idea of what we want up to date.
async fn subscribe(shared: Arc<Connection>, mut answered: mpsc::Receiver<Vec<bool>>, grace: Instant) {
    let tiers = &shared.tiers;
    let mut changed = tiers.changed();
    // what the parent may have of us, what it has confirmed on this connection, and what it refuses
    let (mut known, mut confirmed, mut refused) = (tiers.subscribed(), BTreeSet::new(), BTreeSet::new());
    loop {
        changed.borrow_and_update();
        let wanted = tiers.wanted();
        let missing: Vec<String> = wanted.iter().filter(|f| !confirmed.contains(*f) && !refused.contains(*f)).cloned().collect();
        for filters in missing.chunks(FILTERS_PER_PACKET) {
            known.extend(filters.iter().cloned());
            if let Err(error) = remember(&shared, &known).await {
                return shared.give_up(error.to_string());
            }
            let answers = match shared.client.subscribe_many(filters.iter().map(|path| filter(path))).await {
                Ok(()) => answered.recv().await,
                Err(_) => None,
            };
            let Some(answers) = answers else { return shared.give_up("the subscription could not be sent".into()) };
            for (filter, fine) in filters.iter().zip(answers) {
                if fine {
                    confirmed.insert(filter.clone());
                } else {
                    tracing::warn!(%filter, "the parent broker refuses a subscription; it is tried again on the next connection");
                    refused.insert(filter.clone());
                }
            }
            tiers.confirmed.store(confirmed.len() as u64, Ordering::Relaxed);
        }
        let early = Instant::now() < grace;
        // What was confirmed by now has a client that left; the rest is from before a restart.
        let stale: Vec<String> = known.difference(&wanted).filter(|f| !early || confirmed.contains(*f)).cloned().collect();
        for filter in &stale {
            let gone = match shared.client.unsubscribe(filter.clone()).await {
                Ok(()) => answered.recv().await,
                Err(_) => None,
            };
            if gone.is_none() {
                return shared.give_up("the end of a subscription could not be sent".into());
            }
            known.remove(filter);
            confirmed.remove(filter);
            if let Err(error) = remember(&shared, &known).await {
                return shared.give_up(error.to_string());
            }
        }
        tiers.confirmed.store(confirmed.len() as u64, Ordering::Relaxed);
        tokio::select! {
            more = changed.changed() => {
                if more.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep_until(grace), if early => {}
        }
    }
}

async fn remember(shared: &Connection, known: &BTreeSet<String>) -> Result<(), SpoolError> {
    shared.tiers.remember_subscribed(known)?.wait().await
}

fn filter(path: &str) -> Filter {
    Filter {
        path: path.to_owned(),
        qos: QoS::AtLeastOnce,
        // a shared subscription must not have it (MQTT 5, 3.8.3.1)
        nolocal: !path.starts_with("$share/"),
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::Never,
    }
}

/// A publish has come down: decides about it and gives it its turn.
async fn take(shared: &Connection, turns: &mpsc::Sender<Turn>, publish: Publish) {
    let receipt = Publish { pkid: publish.pkid, qos: publish.qos, ..Publish::default() };
    let settled = Turn { receipt: receipt.clone(), delivery: None, durable: None };
    let turn = match std::str::from_utf8(&publish.topic) {
        Ok(ASKED_TOPIC) => {
            asked(&shared.tiers, &publish.payload);
            shared.greeted.notify_one();
            settled
        }
        // retained messages stay at their broker
        Ok(topic) if !publish.retain => {
            let user = publish.properties.iter().flat_map(|p| &p.user_properties).map(|(key, value)| (key.as_str(), value.as_str()));
            match shared.tiers.from_above(topic, &publish.payload, level(publish.qos), user) {
                Ok(taken) => Turn { receipt, delivery: taken.delivery, durable: taken.durable },
                Err(Refused::Spool(error)) => return shared.give_up(format!("a publish of it cannot be kept: {error}")),
                Err(why) => {
                    tracing::warn!(%topic, %why, "a publish of the parent broker was left");
                    settled
                }
            }
        }
        _ => settled,
    };
    // It fails only when the connection ends.
    let _ = turns.send(turn).await;
}

fn asked(tiers: &Tiers, payload: &[u8]) {
    match serde_json::from_slice::<Vec<String>>(payload) {
        Ok(asked) => tiers.set_asked(asked),
        Err(error) => tracing::warn!(%error, "the parent broker asks for something that cannot be read"),
    }
}

const fn level(qos: QoS) -> u8 {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}

/// Gives what came down to the clients here and acknowledges it, in order. Goes on to the last turn when the connection has
/// ended.
async fn settle(shared: Arc<Connection>, mut turns: mpsc::Receiver<Turn>) {
    while let Some(Turn { receipt, delivery, durable }) = turns.recv().await {
        if let Some(durable) = durable
            && let Err(error) = durable.wait().await
        {
            return shared.give_up(format!("a publish of it was not kept: {error}"));
        }
        if let Some(delivery) = delivery {
            shared.subscribers.deliver(delivery).await;
        }
        // It fails only when the connection has ended: then the parent sends it again, and hears that it was seen.
        let _ = shared.client.ack(&receipt).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Parent;
    use super::super::passport::Passport;
    use super::*;
    use crate::spool::SpoolConfig;

    /// The id of the broker above.
    const CENTRAL: &str = "00000000000000aa";

    /// Notes what the clients here get.
    #[derive(Default)]
    struct Clients(std::sync::Mutex<Vec<Vec<u8>>>);

    #[async_trait::async_trait]
    impl Subscribers for Clients {
        async fn deliver(&self, delivery: Delivery) {
            crate::client::lock(&self.0).push(delivery.payload);
        }
    }

    /// TIER-10: publishes that came down were counted as seen, waited for their turn when the link broke, and were
    /// dropped with the connection. Sent again, they passed for repetitions: the clients here never got them.
    #[tokio::test]
    async fn what_was_taken_is_handed_on_when_the_link_breaks() {
        let dir = tempfile::tempdir().unwrap();
        let config = super::super::TierConfig {
            scope: "agg1/loc1".parse().unwrap(),
            member: None,
            parent: Some(Parent { url: "mqtt://127.0.0.1:1".parse().unwrap(), login: None, tls: None }),
            children: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            spool: dir.path().join("spool"),
            limits: SpoolConfig::default(),
        };
        let tiers = Arc::new(Tiers::open(config).unwrap());
        let clients = Arc::new(Clients::default());
        let (client, events) = AsyncClient::new(MqttOptions::new("link", "127.0.0.1", 1), 1);
        let shared = Arc::new(Connection {
            tiers: tiers.clone(),
            subscribers: clients.clone(),
            client,
            flight: Flight::new(0),
            trouble: std::sync::Mutex::new(None),
            retreat: Notify::new(),
            greeted: Notify::new(),
        });
        let (turns, queue) = mpsc::channel(8);
        for n in 1..=3u8 {
            let (topic, payload, user_properties) =
                properties(Passport::new(CENTRAL, n.into(), 1).leave(CENTRAL, "root/fog/agg2/d/sense/t", &[n], &[], None));
            let properties = Some(PublishProperties { user_properties, ..PublishProperties::default() });
            let publish = Publish { pkid: n.into(), properties, ..Publish::new(topic, QoS::AtLeastOnce, payload, None) };
            take(&shared, &turns, publish).await;
        }
        drop((events, turns)); // the link breaks before anything is settled
        settle(shared, queue).await;
        assert_eq!(*crate::client::lock(&clients.0), [[1], [2], [3]]);
    }
}
