//! Who is connected to rmqtt, by what right, and until when.
//!
//! rmqtt asks at CONNECT, SUBSCRIBE and PUBLISH (`hooks.rs`); what is answered follows from the [`Admission`] that a
//! connection got. After a reload every right is looked at again.
//!
//! | kept under | what | from | until |
//! |---|---|---|---|
//! | listener and address | a [`Session`]: the connection | its admission | its end, or the end of its right |
//! | client id | an [`Owner`]: whose rmqtt's session is | its admission | rmqtt has no such session any more, or the end of the right |
//!
//! Rules:
//! - A session of rmqtt (subscriptions, queue) belongs to the identity that made it. Another identity with the same client
//!   id is refused while the session exists; the same identity with other rights gets a new one.
//! - Whoever loses the right to be there is closed at once, and the session goes too. A token's or certificate's end closes
//!   the connection only: the device comes back with a newer one and finds its session.
//! - The client id of a link (TIER-11) is for a link's user, and for the scope that this user is for; who logs in as a link
//!   has no other one. Without credentials one may be a link on this machine only.
//! - The client id of a part of the site (ROLE-2) is for a service that may publish what that part says. Its session begins
//!   anew with each connection.
//! - rmqtt answers a refused CONNECT with "bad user name or password" or "not authorised", whatever we would say.

mod entrance;
mod exit;

use super::front::Peers;
use super::tls::Tls;
use crate::access::{AccessCounters, Admission, Authority, Identity, Limits, Meter, Refused, Verdict};
use crate::broker::TOPIC_BYTES_MAX;
use crate::tiers::passport::LINK_PREFIX;
use protocol::{DeviceName, Name, Topic};
use rmqtt::codec::v5::SubscribeAckReason;
use rmqtt::context::ServerContext;
use rmqtt::session::Session as Client;
use rmqtt::types::{Id, ListenerId, Subscribe};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The listeners of rmqtt on the loopback interface that the front connects to; others are reached directly.
pub(super) const INNER_LISTENERS: [ListenerId; 2] = [INNER, INNER_WEBSOCKET];
/// Plain MQTT, reached directly.
pub(super) const PLAIN: ListenerId = 1;
/// MQTT over WebSocket, reached directly.
pub(super) const WEBSOCKET: ListenerId = 2;
/// MQTT behind the front.
pub(super) const INNER: ListenerId = 3;
/// MQTT over WebSocket behind the front.
pub(super) const INNER_WEBSOCKET: ListenerId = 4;

/// The longest that a 3.1.1 client is made to wait for its rate. It is closed if that is not enough.
const RATE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Attempts to close a client that rmqtt is just busy with.
pub(super) const KICK_ATTEMPTS: usize = 100;
/// The pause between them.
pub(super) const KICK_PAUSE: Duration = Duration::from_millis(20);

/// A connection: rmqtt's listener and the other end.
type Link = (ListenerId, SocketAddr);

/// A connection that was let in.
pub(super) struct Session {
    pub(super) admission: Admission,
    client_id: String,
    meter: Mutex<Meter>,
    since: Instant,
    connected: AtomicBool,
    told: AtomicBool,
}

/// Whose a session of rmqtt is.
struct Owner {
    admission: Admission,
    link: Link,
}

/// Who is connected.
pub(super) struct Doorman {
    site: Name,
    scx: ServerContext,
    authority: Arc<Authority>,
    tls: Option<Arc<Tls>>,
    peers: Arc<Peers>,
    limits: Limits,
    started: Instant,
    live: RwLock<HashMap<Link, Arc<Session>>>,
    owners: Mutex<HashMap<String, Owner>>,
}

impl Doorman {
    pub(super) fn new(
        site: Name,
        scx: ServerContext,
        authority: Arc<Authority>,
        tls: Option<Arc<Tls>>,
        peers: Arc<Peers>,
        limits: Limits,
    ) -> Self {
        let (live, owners) = (RwLock::default(), Mutex::default());
        Self { site, scx, authority, tls, peers, limits, started: Instant::now(), live, owners }
    }

    pub(super) fn counters(&self) -> &AccessCounters {
        self.authority.counters()
    }

    pub(super) fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether `topic` is one that a device of this site, or one that may come here, publishes to.
    pub(super) fn is_own_device(&self, topic: &str) -> bool {
        topic.len() <= TOPIC_BYTES_MAX
            && topic
                .parse::<Topic>()
                .ok()
                .and_then(|t| t.publisher())
                .is_some_and(|d| d.site == self.site || self.authority.visitors().contains(&d.site))
    }

    /// The clients whose sessions are a device's.
    pub(super) fn clients_of(&self, device: &DeviceName) -> Vec<String> {
        let (name, at_home) = (device.to_string(), device.site == self.site);
        let is_its = |(client_id, owner): &(&String, &Owner)| match &owner.admission.identity {
            Identity::Device { site, id } => *site == device.site && *id == device.device,
            Identity::Gateway { device: Some(id), .. } => at_home && *id == device.device,
            Identity::Anonymous => **client_id == name || (at_home && client_id.as_str() == device.device.as_str()),
            _ => false,
        };
        self.owners().iter().filter(is_its).map(|(client_id, _)| client_id.clone()).collect()
    }

    /// Takes a client's right away; its session is the caller's to end.
    pub(super) fn strike(&self, client_id: &str) {
        if let Some(owner) = self.owners().remove(client_id) {
            self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&owner.link);
        }
    }

    /// The connection that a client has, unless its right to be there has ended.
    pub(super) fn session(&self, id: &Id) -> Option<Arc<Session>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).get(&link(id)?).cloned()
    }

    /// By what right a client's session exists, connected or not.
    pub(super) fn owner(&self, client_id: &str) -> Option<Admission> {
        self.owners().get(client_id).map(|owner| owner.admission.clone())
    }

    /// rmqtt says that a client is connected. False: its right ended meanwhile, and it must go.
    pub(super) fn connected(&self, id: &Id) -> bool {
        let session = self.session(id);
        if let Some(session) = &session {
            session.connected.store(true, Ordering::Relaxed);
        }
        session.is_some()
    }

    /// rmqtt says that a connection has ended.
    pub(super) fn disconnected(&self, id: &Id) {
        if let Some(link) = link(id) {
            self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&link);
        }
    }

    /// rmqtt says that a session has ended. A newer one of the same client id stays.
    pub(super) fn terminated(&self, id: &Id) {
        let client_id: &str = &id.client_id;
        let mut owners = self.owners();
        if owners.get(client_id).is_some_and(|owner| Some(owner.link) == link(id)) {
            owners.remove(client_id);
        }
    }

    /// Whether a publish of `bytes` bytes is within the client's rate. A 3.1.1 client, which cannot be told, is made to
    /// wait a little.
    pub(super) async fn within_rate(&self, session: &Session, bytes: usize, mqtt5: bool) -> bool {
        let take = || {
            let mut meter = session.meter.lock().unwrap_or_else(PoisonError::into_inner);
            meter.take(bytes as u64, self.now_us())
        };
        let Err(wait) = take() else { return true };
        if !mqtt5 && wait <= RATE_WAIT_MAX {
            tokio::time::sleep(wait).await;
            if take().is_ok() {
                return true;
            }
        }
        self.counters().refused(Refused::PublishRate);
        self.tell(session, Refused::PublishRate, "");
        false
    }

    /// Counts a publish that was not the client's to make.
    pub(super) fn denied(&self, session: Option<&Session>, topic: &str) {
        self.counters().refused(Refused::PublishDenied);
        if let Some(session) = session {
            self.tell(session, Refused::PublishDenied, topic);
        }
    }

    /// One line a connection; the rest is in the counters.
    fn tell(&self, session: &Session, refused: Refused, topic: &str) {
        if !session.told.swap(true, Ordering::Relaxed) {
            let (client, who) = (&session.client_id, &session.admission.identity);
            tracing::info!(%client, %who, %topic, reason = refused.reason(), "publish refused; more of this connection are only counted");
        }
    }

    /// Whether any client, connected or not, subscribes to anything.
    pub(super) async fn is_anybody_subscribed(&self) -> bool {
        !self.scx.extends.router().await.relations().is_empty()
    }

    /// Why a subscription is refused; none: it is not.
    pub(super) async fn subscribe(&self, client: &Client, subscribe: &Subscribe) -> Option<SubscribeAckReason> {
        let filter: &str = &subscribe.topic_filter;
        let session = self.session(&client.id);
        let verdict = session.as_ref().map_or(Verdict::Denied, |session| session.admission.rules.may_subscribe(filter));
        if verdict == Verdict::Allowed && self.has_room(client, filter).await {
            return None;
        }
        let (refused, code) = match verdict {
            Verdict::Allowed => (Refused::SubscribeQuota, SubscribeAckReason::QuotaExceeded),
            Verdict::Denied => (Refused::SubscribeDenied, SubscribeAckReason::NotAuthorized),
            Verdict::Invalid(_) => (Refused::SubscribeFilter, SubscribeAckReason::TopicFilterInvalid),
        };
        self.counters().refused(refused);
        let who = session.as_ref().map(|session| session.admission.identity.to_string());
        let shown: String = filter.chars().take(crate::access::FILTER_BYTES_MAX).collect();
        tracing::info!(client = %client.id.client_id, ?who, filter = %shown, reason = refused.reason(), "subscription refused");
        Some(code)
    }

    async fn has_room(&self, client: &Client, filter: &str) -> bool {
        if client.id.client_id.starts_with(LINK_PREFIX) {
            return true; // it has those of all clients below; the tree has a bound of its own
        }
        match client.subscriptions().await {
            Ok(subscriptions) => {
                let subscriptions = subscriptions.read().await;
                subscriptions.len() < self.limits.subscriptions || subscriptions.contains_key(filter)
            }
            Err(_) => false,
        }
    }

    pub(super) fn by_name(&self, client_id: &str) -> Id {
        Id::new(self.scx.node.id(), 0, None, None, client_id.to_owned().into(), None)
    }
}

fn link(id: &Id) -> Option<Link> {
    Some((id.lid, id.remote_addr?))
}

#[allow(clippy::disallowed_methods, reason = "the clock that tokens and certificates end by")]
fn system_time_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
