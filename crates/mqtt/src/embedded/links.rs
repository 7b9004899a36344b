//! The embedded broker's side of a link: a broker below is a client whose id begins with `wattle-link@` (TIER-11).
//!
//! | hook | for a link | for others |
//! |---|---|---|
//! | authenticate | MQTT 5, no will, a scope among our children; then as everybody, see `doorman` | as everybody |
//! | subscribed, unsubscribe | its filters are noted durably before SUBACK and UNSUBACK | |
//! | check a publish | taken into the tree while its right stands, durable before PUBACK; given to clients here | refused while the spool is full |
//! | acknowledged | the queue of the link forgets it | |
//! | connected, disconnected | its queue is pumped while it is connected | |
//!
//! ```text
//! spool, queue of the link ─▶ pump (PUMP_WINDOW unacknowledged) ─▶ rmqtt's session ─▶ broker below
//!          ▲── forget ◀─────────────── PUBACK ◀───────────────────────────────────────┘
//! ```
//! rmqtt keeps sessions in memory only, and hands over an old one's messages in an order of its own; so brokers below begin
//! a new session with every connection. The pump begins, at each connection, with everything that is not
//! acknowledged; what the broker below has seen already it recognises.

use super::doorman::Doorman;
use super::inject::{FOR_GROUPS, OWN_CLIENT_ID, inject_as, quality};
use crate::client::lock;
use crate::spool::Record;
use crate::tiers::passport::{ASKED_TOPIC, LINK_PREFIX, POSITION, properties};
use crate::tiers::{Delivery, Hello, Refused, Subscribers, Tiers};
use async_trait::async_trait;
use rmqtt::codec::types::MQTT_LEVEL_5;
use rmqtt::codec::v5::{PublishAckReason, PublishProperties, UserProperties};
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::session::Session;
use rmqtt::types::{AuthResult, CodecPublish, ConnectInfo, From as Origin, Id, Message, Publish, PublishAclResult, PublishResult, QoS, Tx};
use rmqtt::utils::timestamp_millis;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Publishes on their way to one broker below that are not acknowledged. rmqtt's own queue holds several times as many.
const PUMP_WINDOW: usize = 256;
/// Above rmqtt's lowest, so that links are looked at before the site's own hooks.
const PRIORITY: u32 = 10;
/// Bytes of the list of filters that a broker below is asked for.
const ASKED_BYTES_MAX: usize = 512 << 10;

const _: () = assert!(PUMP_WINDOW * 3 < super::listening::CLIENT_QUEUE_MAX);

/// What is on its way to one broker below.
#[derive(Default)]
struct Window {
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Default)]
struct Open {
    positions: BTreeSet<u64>,
    next: u64,
    below: u64,
}

impl Window {
    fn room(&self) -> usize {
        PUMP_WINDOW.saturating_sub(lock(&self.open).positions.len())
    }

    fn begin(&self, first: u64) {
        *lock(&self.open) = Open { positions: BTreeSet::new(), next: first, below: first };
    }

    fn sent(&self, position: u64) {
        let mut open = lock(&self.open);
        open.positions.insert(position);
        open.next = position.saturating_add(1);
    }

    /// Gives below which position all has arrived, and how many that are more than before.
    fn acknowledged(&self, position: u64) -> Option<(u64, u64)> {
        let moved = {
            let mut open = lock(&self.open);
            if !open.positions.remove(&position) {
                return None;
            }
            let below = open.positions.first().copied().unwrap_or(open.next);
            let count = below.saturating_sub(open.below);
            open.below = below;
            (below, count)
        };
        self.freed.notify_one();
        Some(moved)
    }
}

/// A pump that runs.
struct Pump {
    session: Id,
    window: Arc<Window>,
    task: JoinHandle<()>,
}

/// The handlers of links that are registered with rmqtt.
#[derive(Clone)]
pub(super) struct Links {
    tiers: Arc<Tiers>,
    scx: ServerContext,
    doorman: Arc<Doorman>,
    subscribers: Arc<dyn Subscribers>,
    pumps: Arc<Mutex<HashMap<String, Pump>>>,
}

impl Links {
    pub(super) fn new(tiers: Arc<Tiers>, scx: ServerContext, doorman: Arc<Doorman>, subscribers: Arc<dyn Subscribers>) -> Self {
        Self { tiers, scx, doorman, subscribers, pumps: Arc::default() }
    }

    /// Registers and switches on.
    pub(super) async fn install(&self) {
        let register = self.scx.extends.hook_mgr().register();
        for hook in [
            Type::ClientAuthenticate,
            Type::ClientConnected,
            Type::ClientDisconnected,
            Type::SessionSubscribed,
            Type::ClientUnsubscribe,
            Type::MessageAcked,
            Type::MessagePublishCheckAcl,
        ] {
            register.add_priority(hook, PRIORITY, Box::new(self.clone())).await;
        }
        register.start().await;
    }

    /// Stops every pump.
    pub(super) fn stop(&self) {
        for (_, pump) in lock(&self.pumps).drain() {
            pump.task.abort();
        }
    }

    /// Whether a client that says it is a broker below may enter; everybody else may as far as this goes.
    fn admit(&self, client: &ConnectInfo) -> Result<(), &'static str> {
        let id: &str = client.client_id();
        if !id.starts_with(LINK_PREFIX) {
            return Ok(());
        }
        if client.proto_ver() != MQTT_LEVEL_5 {
            return Err("a link speaks MQTT 5");
        }
        if client.last_will().is_some() {
            return Err("a link has no will");
        }
        if !self.tiers.may_link(id) {
            return Err("its scope is not among tier.children");
        }
        Ok(())
    }

    async fn connected(&self, session: &Session) {
        let id: &str = &session.id.client_id;
        let said = session.connect_info().await.map(|client| hello(&client)).unwrap_or(Hello { weight: 1, shared: false });
        self.tiers.link_connected(id, said);
        let window = Arc::new(Window::default());
        let task = tokio::spawn(pump(self.tiers.clone(), self.scx.clone(), session.id.clone(), window.clone()));
        let pump = Pump { session: session.id.clone(), window, task };
        tracing::info!(link = %id, "a broker below is linked");
        if let Some(before) = lock(&self.pumps).insert(id.to_owned(), pump) {
            before.task.abort();
        }
    }

    fn left(&self, session: &Session) {
        let id: &str = &session.id.client_id;
        let mut pumps = lock(&self.pumps);
        // a session that was taken over must not stop the pump of its successor
        if pumps.get(id).is_some_and(|pump| pump.session == session.id) {
            if let Some(pump) = pumps.remove(id) {
                pump.task.abort();
            }
            self.tiers.link_left(id);
            tracing::info!(link = %id, "a broker below has left");
        }
    }

    fn acked(&self, session: &Session, publish: &Publish) {
        let id: &str = &session.id.client_id;
        let position = user_properties(publish).find(|(key, _)| *key == POSITION).and_then(|(_, value)| value.parse().ok());
        let Some(position) = position else { return };
        let window = lock(&self.pumps).get(id).map(|pump| pump.window.clone());
        if let Some((below, count)) = window.and_then(|window| window.acknowledged(position))
            && count > 0
        {
            self.tiers.drained(id, below, count);
        }
    }

    /// Takes a publish of a broker below.
    async fn take(&self, session: &Session, publish: &Publish) -> PublishAclResult {
        let id: &str = &session.id.client_id;
        if self.doorman.session(&session.id).is_none() {
            return refuse(PublishAckReason::NotAuthorized, &"the right to be connected has ended");
        }
        let taken = match self.tiers.from_below(id, &publish.topic, &publish.payload, publish.qos.value(), user_properties(publish)) {
            Ok(taken) => taken,
            Err(refused) => {
                tracing::warn!(link = %id, topic = %publish.topic, %refused, "a publish of a broker below was not taken");
                return match refused {
                    // to be sent again, or not for us to say
                    Refused::Spool(_) => refuse(PublishAckReason::QuotaExceeded, &refused),
                    Refused::Topic { .. } => refuse(PublishAckReason::NotAuthorized, &refused),
                    // sending it again would not help
                    Refused::Passport(_) => refuse(PublishAckReason::PayloadFormatInvalid, &refused),
                    Refused::Loop => settled(),
                };
            }
        };
        if let Some(durable) = taken.durable
            && let Err(error) = durable.wait().await
        {
            return refuse(PublishAckReason::QuotaExceeded, &error);
        }
        if let Some(delivery) = taken.delivery {
            self.subscribers.deliver(delivery).await;
        }
        settled()
    }
}

/// What a broker below says of itself.
fn hello(client: &ConnectInfo) -> Hello {
    let ConnectInfo::V5(_, connect) = client else { return Hello { weight: 1, shared: false } };
    let said = |wanted: &str| connect.user_properties.iter().find(|(key, _)| &**key == wanted).map(|(_, value)| value.to_string());
    let weight: u32 = said("wattle-weight").and_then(|weight| weight.parse().ok()).unwrap_or(1);
    Hello { weight: weight.clamp(1, crate::tiers::balance::WEIGHT_MAX), shared: said("wattle-shared").as_deref() == Some("1") }
}

fn user_properties(publish: &Publish) -> impl Iterator<Item = (&str, &str)> {
    publish.properties.iter().flat_map(|p| p.user_properties.iter()).map(|(key, value)| (&**key, &**value))
}

/// Acknowledged, and not routed by rmqtt: the tree has done it.
fn settled() -> PublishAclResult {
    PublishAclResult(PublishResult::reason_code(PublishAckReason::NoMatchingSubscribers, None, false))
}

fn refuse(code: PublishAckReason, why: &dyn std::fmt::Display) -> PublishAclResult {
    PublishAclResult(PublishResult::reason_code(code, Some(why.to_string().into()), false))
}

/// Sends what waits for one broker below, and what it is asked for, while it is connected.
async fn pump(tiers: Arc<Tiers>, scx: ServerContext, session: Id, window: Arc<Window>) {
    let link = session.client_id.to_string();
    let tx = { scx.extends.shared().await.entry(session.clone()).tx() };
    let Some(tx) = tx else { return };
    let from_us = Origin::from_system(Id::new(scx.node.id(), 0, None, None, OWN_CLIENT_ID.into(), None));
    let spool = tiers.spool().clone();
    let (mut commits, mut changed) = (spool.commits(), tiers.changed());
    let mut from = spool.first(&link);
    window.begin(from);
    let mut told: Option<Vec<String>> = None;
    let mut look = true;
    loop {
        if look {
            changed.borrow_and_update();
            let asked = tiers.asked_of(&link);
            if told.as_ref() != Some(&asked) {
                if !tell(&tx, &from_us, &link, &asked) {
                    return;
                }
                told = Some(asked);
            }
        }
        commits.borrow_and_update();
        let room = window.room();
        let found = if room > 0 { spool.read(&link, from, room).await } else { Ok(Vec::new()) };
        let records = match found {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(%link, %error, "what waits for a broker below cannot be read");
                return;
            }
        };
        for (position, record) in &records {
            window.sent(*position);
            if tx.unbounded_send(Message::Forward(from_us.clone(), packet(record.clone(), *position))).is_err() {
                return; // the session has ended
            }
            from = position.saturating_add(1);
        }
        look = false;
        if records.is_empty() {
            tokio::select! {
                more = commits.changed(), if room > 0 => {
                    if more.is_err() {
                        return; // the spool is closed
                    }
                }
                more = changed.changed() => {
                    if more.is_err() {
                        return;
                    }
                    look = true;
                }
                () = window.freed.notified() => {}
            }
        } else {
            look = changed.has_changed().unwrap_or(false);
        }
    }
}

/// Tells a broker below what our side asks of it. False if its session has ended.
fn tell(tx: &Tx, from: &Origin, link: &str, asked: &[String]) -> bool {
    let list = serde_json::to_vec(asked).unwrap_or_default(); // strings always have a JSON form
    if list.len() > ASKED_BYTES_MAX {
        tracing::warn!(%link, "a broker below is asked for more than it can be told");
        return true;
    }
    tx.unbounded_send(Message::Forward(from.clone(), publish(ASKED_TOPIC.to_owned(), list, Vec::new()))).is_ok()
}

/// The packet of a record.
fn packet(record: Record, position: u64) -> Publish {
    let (topic, payload, all) = properties(record);
    let mut user: UserProperties = all.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    user.push((POSITION.into(), position.to_string().into()));
    publish(topic, payload, user)
}

fn publish(topic: String, payload: Vec<u8>, user_properties: UserProperties) -> Publish {
    let packet = CodecPublish {
        dup: false,
        retain: false,
        qos: QoS::AtLeastOnce,
        topic: topic.into(),
        packet_id: None,
        payload: payload.into(),
        properties: Some(PublishProperties { user_properties, ..PublishProperties::default() }),
    };
    let publish: Publish = packet.into();
    publish.create_time(timestamp_millis())
}

/// The clients of the embedded broker.
pub(super) struct Clients {
    scx: ServerContext,
}

impl Clients {
    pub(super) fn new(scx: ServerContext) -> Self {
        Self { scx }
    }
}

#[async_trait]
impl Subscribers for Clients {
    async fn deliver(&self, delivery: Delivery) {
        let Delivery { topic, payload, qos, groups } = delivery;
        let sender = groups.map_or_else(|| OWN_CLIENT_ID.to_owned(), |groups| format!("{FOR_GROUPS}{}", groups.join("/")));
        if let Err(error) = inject_as(&self.scx, &sender, &topic, payload, quality(qos), false).await {
            tracing::warn!(%topic, %error, "not handed to subscribers");
        }
    }
}

#[async_trait]
impl Handler for Links {
    async fn hook(&self, parameter: &Parameter, result: Option<HookResult>) -> ReturnType {
        let is_link = |session: &Session| session.id.client_id.starts_with(LINK_PREFIX);
        match parameter {
            Parameter::ClientAuthenticate(client) => {
                if let Err(why) = self.admit(client) {
                    self.doorman.judged(client.id());
                    tracing::warn!(client = %client.client_id(), address = ?client.ipaddress(), %why, "a link was refused");
                    return (false, Some(HookResult::AuthResult(AuthResult::NotAuthorized)));
                }
            }
            Parameter::ClientConnected(session) if is_link(session) => self.connected(session).await,
            Parameter::ClientDisconnected(session, _) if is_link(session) => self.left(session),
            Parameter::SessionSubscribed(session, subscribe) if is_link(session) => {
                let filter = (subscribe.opts.shared_group().map(ToString::to_string), subscribe.topic_filter.to_string());
                if let Some(durable) = self.tiers.link_filter(&session.id.client_id, filter, true) {
                    // A broken spool is told by whoever publishes next.
                    let _ = durable.wait().await;
                }
            }
            Parameter::ClientUnsubscribe(session, unsubscribe) if is_link(session) => {
                let filter = (unsubscribe.shared_group.as_ref().map(ToString::to_string), unsubscribe.topic_filter.to_string());
                if let Some(durable) = self.tiers.link_filter(&session.id.client_id, filter, false) {
                    let _ = durable.wait().await;
                }
            }
            Parameter::MessageAcked(session, _, publish) if is_link(session) => self.acked(session, publish),
            Parameter::MessagePublishCheckAcl(session, publish) if is_link(session) => {
                let answer = self.take(session, publish).await;
                return (false, Some(HookResult::PublishAclResult(answer)));
            }
            // What the site takes in has to leave again: with a full spool it must wait at the device.
            Parameter::MessagePublishCheckAcl(session, publish) if self.tiers.is_full() => {
                let mqtt5 = session.protocol().await.is_ok_and(|level| level == MQTT_LEVEL_5);
                let close = !mqtt5 && publish.qos != QoS::AtMostOnce;
                let why = "the spool to other brokers is full".to_string();
                let answer = PublishResult::reason_code(PublishAckReason::QuotaExceeded, Some(why.into()), close);
                return (false, Some(HookResult::PublishAclResult(PublishAclResult(answer))));
            }
            _ => {}
        }
        (true, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_forgotten_up_to_the_first_gap() {
        let window = Window::default();
        window.begin(4);
        (4..7).for_each(|position| window.sent(position));
        assert_eq!(window.room(), PUMP_WINDOW - 3);
        assert_eq!(window.acknowledged(5), Some((4, 0)));
        assert_eq!(window.acknowledged(5), None, "twice");
        assert_eq!(window.acknowledged(4), Some((6, 2)));
        assert_eq!(window.acknowledged(6), Some((7, 1)));
        assert_eq!(window.acknowledged(3), None, "of an earlier connection");
    }
}
