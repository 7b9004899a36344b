//! *Acknowledged means kept*, where those who keep are other processes: a publish is held until the service that keeps it has
//! acknowledged its copy (ROLE-3 to ROLE-7).
//!
//! | hook | what |
//! |---|---|
//! | connected, subscribed | a service is there, and says by its subscription what it keeps |
//! | check a publish | a copy goes to the keeper; the answer waits for its PUBACK; then copies go to the other services |
//! | acknowledged | the copy is kept |
//! | disconnected | copies that were not acknowledged go to the keeper again when it is back |
//!
//! ```text
//! PUBLISH ─▶ hold ─▶ [ HELD_MAX ] ─▶ keeper's window (WINDOW) ─▶ its session ─▶ service
//!   PUBACK ◀─ kept ◀──────────────── acknowledged ◀──────────────────PUBACK──────┘
//!   0x97 ◀─ nobody there, no room     closed ◀─ sent, and no answer: only a repetition (DUP) can be told from a new one
//! ```
//! rmqtt does not look at the reason in a PUBACK, so a service that cannot keep something drops its connection. A service's
//! session begins anew with each connection (see `doorman`): rmqtt hands over an old one's messages in an order of its own.
//! What services subscribe to in an area is not routed by rmqtt (`subscriptions`), so they get one copy.

use super::inject::OWN_CLIENT_ID;
use crate::client::lock;
use crate::roles::{Area, COMMAND, COPY, GREETING_TOPIC, ORIGIN, READING, REPEATED, Service, hex, origin};
use async_trait::async_trait;
use protocol::Name;
use rmqtt::codec::v5::{PublishProperties, UserProperties};
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::session::Session;
use rmqtt::types::{CodecPublish, From as Origin, Id, Message, Publish, QoS, Tx};
use rmqtt::utils::timestamp_millis;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// How long a publish is held for a keeper that is not there or does not answer. Nobody waits for one that has been away
/// for longer.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(5);
/// How long the end of a session may take to be known.
const LEAVING: Duration = Duration::from_millis(50);
/// Publishes that are held at a time.
const HELD_MAX: usize = 8192;
/// Copies on their way to one service that are not acknowledged. rmqtt's own queue holds more.
const WINDOW: usize = 512;
/// Bytes of a property that travels on to the services.
const PROPERTY_BYTES_MAX: usize = 40_000;
/// Above rmqtt's lowest: services are known before anything else is asked of their connection.
const PRIORITY: u32 = 10;

const _: () = assert!(WINDOW < super::listening::CLIENT_QUEUE_MAX);
const _: () = assert!(PROPERTY_BYTES_MAX < u16::MAX as usize);

/// How the keeping of publishes goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeeperStats {
    /// The services that are connected.
    pub connected: Vec<Service>,
    /// Publishes that wait for their keeper now.
    pub held: u64,
    /// Publishes that were kept since the start.
    pub kept: u64,
    /// Publishes that were refused since the start, because nobody keeps them or too many wait.
    pub refused: u64,
    /// Publishes whose keeper did not answer in time; their clients were disconnected, to send them again.
    pub doubtful: u64,
    /// Copies that a service which is not their keeper did not get, because it took too long.
    pub missed: u64,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is kept.
    Yes,
    /// It is not, and why.
    No(&'static str),
    /// Nobody knows: it was sent, and there was no answer in time.
    Doubtful,
}

/// A service that is connected.
struct Present {
    session: Id,
    tx: Tx,
    areas: BTreeSet<Area>,
    window: Arc<Semaphore>,
    /// Copies that are not acknowledged, and who waits for them.
    open: HashMap<u64, (Option<oneshot::Sender<()>>, OwnedSemaphorePermit)>,
}

struct State {
    present: BTreeMap<Service, Present>,
    /// Since when nobody is there to keep an area.
    absent: BTreeMap<Area, Instant>,
    next: u64,
}

impl State {
    fn keeper(&self, area: Area) -> Option<Service> {
        area.keepers().iter().copied().find(|service| self.present.get(service).is_some_and(|there| there.areas.contains(&area)))
    }

    /// Notes for which areas nobody is there.
    fn look(&mut self) {
        for area in Area::ALL {
            if self.keeper(area).is_some() {
                self.absent.remove(&area);
            } else {
                self.absent.entry(area).or_insert_with(Instant::now);
            }
        }
    }
}

#[derive(Default)]
struct Counters {
    kept: AtomicU64,
    refused: AtomicU64,
    doubtful: AtomicU64,
    missed: AtomicU64,
}

struct Inner {
    site: Name,
    scx: ServerContext,
    state: Mutex<State>,
    /// Changes whenever a service comes, subscribes or goes.
    changed: watch::Sender<u64>,
    held: Semaphore,
    counters: Counters,
}

/// Those who keep what is published. Clones are the same.
#[derive(Clone)]
pub(super) struct Keepers {
    inner: Arc<Inner>,
}

/// What a service is sent.
struct Copied<'a> {
    publish: &'a Publish,
    origin: Option<String>,
    again: bool,
}

impl Keepers {
    pub(super) fn new(site: Name, scx: ServerContext) -> Self {
        let mut state = State { present: BTreeMap::new(), absent: BTreeMap::new(), next: 0 };
        state.look();
        let (changed, _) = watch::channel(0);
        let (state, held) = (Mutex::new(state), Semaphore::new(HELD_MAX));
        Self { inner: Arc::new(Inner { site, scx, state, changed, held, counters: Counters::default() }) }
    }

    /// Registers and switches on.
    pub(super) async fn install(&self) {
        let register = self.inner.scx.extends.hook_mgr().register();
        for hook in [Type::ClientConnected, Type::ClientDisconnected, Type::SessionSubscribed, Type::MessageAcked] {
            register.add_priority(hook, PRIORITY, Box::new(self.clone())).await;
        }
        register.start().await;
    }

    /// How it goes.
    pub(super) fn stats(&self) -> KeeperStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.inner.counters;
        KeeperStats {
            connected: lock(&self.inner.state).present.keys().copied().collect(),
            held: HELD_MAX.saturating_sub(self.inner.held.available_permits()) as u64,
            kept: read(&counters.kept),
            refused: read(&counters.refused),
            doubtful: read(&counters.doubtful),
            missed: read(&counters.missed),
        }
    }

    /// Has a publish of `client` kept; at QoS 0 nothing is waited for.
    pub(super) async fn keep(&self, area: Area, client: &str, publish: &Publish) -> Kept {
        let digits = |id: NonZeroU16| hex(&origin(client, id.get(), &publish.topic, &publish.payload));
        let mut copy = Copied { publish, origin: publish.packet_id.map(digits), again: publish.dup };
        let counters = &self.inner.counters;
        let answer = if publish.qos == QoS::AtMostOnce {
            self.pass_on(area, &copy, None);
            Kept::Yes
        } else {
            self.hold(area, &mut copy).await
        };
        let counter = match answer {
            Kept::Yes => &counters.kept,
            Kept::No(_) => &counters.refused,
            Kept::Doubtful => &counters.doubtful,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    async fn hold(&self, area: Area, copy: &mut Copied<'_>) -> Kept {
        let Ok(_place) = self.inner.held.try_acquire() else { return Kept::No("too many publishes wait to be kept: send it again later") };
        let deadline = Instant::now() + HOLD_MAX;
        let mut changes = self.inner.changed.subscribe();
        let mut sent = false;
        loop {
            changes.borrow_and_update();
            let (keeper, absent) = {
                let state = lock(&self.inner.state);
                let keeper = state.keeper(area).and_then(|service| Some((service, state.present.get(&service)?.window.clone())));
                (keeper, state.absent.get(&area).copied())
            };
            let Some((service, window)) = keeper else {
                let until = absent.map_or(deadline, |since| deadline.min(since + HOLD_MAX));
                if timeout_at(until, changes.changed()).await.is_err() {
                    return if sent { Kept::Doubtful } else { Kept::No(area.nobody()) };
                }
                continue;
            };
            let permit = match timeout_at(deadline, window.acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => continue, // it has left meanwhile
                Err(_) if sent => return Kept::Doubtful,
                Err(_) => return Kept::No("the part of the site that keeps it is too slow: send it again later"),
            };
            copy.again |= sent;
            let Some(acknowledged) = self.send(service, permit, copy) else {
                // its session has ended, and we are about to hear of that
                let _ = timeout_at(deadline.min(Instant::now() + LEAVING), changes.changed()).await;
                if Instant::now() >= deadline {
                    return if sent { Kept::Doubtful } else { Kept::No(area.nobody()) };
                }
                continue;
            };
            sent = true;
            match timeout_at(deadline, acknowledged).await {
                Ok(Ok(())) => {
                    self.pass_on(area, copy, Some(service));
                    return Kept::Yes;
                }
                Ok(Err(_)) => {} // it has left meanwhile
                Err(_) => return Kept::Doubtful,
            }
        }
    }

    /// Sends a copy to the services that ask for it and are not its keeper, as far as they have room.
    fn pass_on(&self, area: Area, copy: &Copied<'_>, keeper: Option<Service>) {
        let others: Vec<(Service, Arc<Semaphore>)> = {
            let state = lock(&self.inner.state);
            let asking = state.present.iter().filter(|(service, there)| Some(**service) != keeper && there.areas.contains(&area));
            asking.map(|(service, there)| (*service, there.window.clone())).collect()
        };
        for (service, window) in others {
            match window.try_acquire_owned() {
                Ok(permit) => drop(self.send(service, permit, copy)),
                Err(_) => {
                    self.inner.counters.missed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Sends a copy. Gives what tells that it was acknowledged; nothing if the service has left.
    fn send(&self, service: Service, permit: OwnedSemaphorePermit, copy: &Copied<'_>) -> Option<oneshot::Receiver<()>> {
        let (done, acknowledged) = oneshot::channel();
        let mut state = lock(&self.inner.state);
        let number = state.next;
        state.next += 1;
        let there = state.present.get_mut(&service)?;
        there.open.insert(number, (Some(done), permit));
        if there.tx.unbounded_send(Message::Forward(self.us(), copy.packet(number))).is_err() {
            there.open.remove(&number);
            return None;
        }
        Some(acknowledged)
    }

    fn us(&self) -> Origin {
        Origin::from_system(Id::new(self.inner.scx.node.id(), 0, None, None, OWN_CLIENT_ID.into(), None))
    }

    fn service(&self, session: &Session) -> Option<Service> {
        match Service::of(&session.id.client_id, &self.inner.site) {
            Some((service, true)) => Some(service),
            _ => None,
        }
    }

    async fn connected(&self, service: Service, session: &Session) {
        let tx = { self.inner.scx.extends.shared().await.entry(session.id.clone()).tx() };
        let Some(tx) = tx else { return };
        // It fails only if the session has ended.
        let _ = tx.unbounded_send(Message::Forward(self.us(), greeting()));
        let window = Arc::new(Semaphore::new(WINDOW));
        let present = Present { session: session.id.clone(), tx, areas: BTreeSet::new(), window, open: HashMap::new() };
        let before = {
            let mut state = lock(&self.inner.state);
            let before = state.present.insert(service, present);
            state.look();
            before
        };
        if let Some(before) = before {
            before.window.close();
        }
        tracing::info!(%service, "a part of the site is connected");
        self.inner.changed.send_modify(|count| *count += 1);
    }

    fn subscribed(&self, service: Service, session: &Session, filter: &str) {
        let Some(area) = Area::of_filter(filter, &self.inner.site) else { return };
        {
            let mut state = lock(&self.inner.state);
            let Some(there) = state.present.get_mut(&service).filter(|there| there.session == session.id) else { return };
            there.areas.insert(area);
            state.look();
        }
        self.inner.changed.send_modify(|count| *count += 1);
    }

    fn left(&self, service: Service, session: &Session) {
        let gone = {
            let mut state = lock(&self.inner.state);
            // one that was taken over is not its successor
            let gone = match state.present.get(&service) {
                Some(there) if there.session == session.id => state.present.remove(&service),
                _ => None,
            };
            state.look();
            gone
        };
        if let Some(gone) = gone {
            gone.window.close();
            drop(gone); // whoever waits for its acknowledgements learns that there will be none
            tracing::warn!(%service, "a part of the site has left");
            self.inner.changed.send_modify(|count| *count += 1);
        }
    }

    fn acked(&self, service: Service, session: &Session, publish: &Publish) {
        let Some(number) = property(publish, COPY).and_then(|number| number.parse::<u64>().ok()) else { return };
        let mut state = lock(&self.inner.state);
        if let Some(there) = state.present.get_mut(&service).filter(|there| there.session == session.id)
            && let Some((done, permit)) = there.open.remove(&number)
        {
            drop(permit);
            if let Some(done) = done {
                let _ = done.send(()); // nobody may wait any more
            }
        }
    }
}

impl Copied<'_> {
    fn packet(&self, number: u64) -> Publish {
        let mut user: UserProperties = vec![(COPY.into(), number.to_string().into())];
        if let Some(origin) = &self.origin {
            user.push((ORIGIN.into(), origin.clone().into()));
        }
        if self.again {
            user.push((REPEATED.into(), "1".into()));
        }
        // these are a service's word; of devices nothing is passed on
        if !self.publish.topic.starts_with("root/device/") {
            for name in [COMMAND, READING] {
                if let Some(value) = property(self.publish, name).filter(|value| value.len() <= PROPERTY_BYTES_MAX) {
                    user.push((name.into(), value.to_owned().into()));
                }
            }
        }
        packet(self.publish.topic.clone(), self.publish.payload.clone(), QoS::AtLeastOnce, user)
    }
}

fn greeting() -> Publish {
    packet(GREETING_TOPIC.into(), Vec::new().into(), QoS::AtMostOnce, UserProperties::new())
}

fn packet(topic: rmqtt::types::TopicName, payload: bytes::Bytes, qos: QoS, user_properties: UserProperties) -> Publish {
    let packet = CodecPublish {
        dup: false,
        retain: false,
        qos,
        topic,
        packet_id: None,
        payload,
        properties: Some(PublishProperties { user_properties, ..PublishProperties::default() }),
    };
    let publish: Publish = packet.into();
    publish.create_time(timestamp_millis())
}

fn property<'a>(publish: &'a Publish, name: &str) -> Option<&'a str> {
    let all = publish.properties.iter().flat_map(|properties| properties.user_properties.iter());
    all.map(|(key, value)| (&**key, &**value)).find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[async_trait]
impl Handler for Keepers {
    async fn hook(&self, parameter: &Parameter, result: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientConnected(session) => {
                if let Some(service) = self.service(session) {
                    self.connected(service, session).await;
                }
            }
            Parameter::ClientDisconnected(session, _) => {
                if let Some(service) = self.service(session) {
                    self.left(service, session);
                }
            }
            Parameter::SessionSubscribed(session, subscribe) => {
                if let Some(service) = self.service(session) {
                    self.subscribed(service, session, &subscribe.topic_filter);
                }
            }
            Parameter::MessageAcked(session, _, publish) => {
                if let Some(service) = self.service(session) {
                    self.acked(service, session, publish);
                }
            }
            _ => {}
        }
        (true, result)
    }
}
