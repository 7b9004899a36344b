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

use super::front::{Peer, Peers};
use super::tls::Tls;
use crate::access::{AccessCounters, Admission, Attempt, Authority, Identity, Limits, Meter, Proof, Refused, Verdict};
use crate::broker::{TOPIC_BYTES_MAX, Whom};
use crate::client::CLIENT_ID_BYTES_MAX;
use crate::roles::{SERVICE_PREFIX, Service};
use crate::tiers::passport::{LINK_PREFIX, link_scope};
use protocol::{DeviceName, Name, Topic};
use rmqtt::codec::v5::{Disconnect as DisconnectV5, DisconnectReasonCode, SubscribeAckReason};
use rmqtt::context::ServerContext;
use rmqtt::session::Session as Client;
use rmqtt::types::{AuthResult, ConnectInfo, Disconnect, Id, LastWill, ListenerId, Message, Reason, Subscribe};
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
/// How long a connection may take from its admission until rmqtt calls it connected.
const CONNECTING_MAX: Duration = Duration::from_secs(60);
/// Attempts to close a client that rmqtt is just busy with.
pub(super) const KICK_ATTEMPTS: usize = 100;
/// The pause between them.
pub(super) const KICK_PAUSE: Duration = Duration::from_millis(20);
/// Owners that are looked at without letting others run.
const SWEEP_STEP: usize = 256;

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

    /// Answers a CONNECT.
    pub(super) async fn authenticate(&self, client: &ConnectInfo) -> AuthResult {
        let refused = match self.admit(client).await {
            // Never as superuser: that would skip the check of publishes, and with it the log.
            Ok(()) => return AuthResult::Allow(false, None),
            Err(refused) => refused,
        };
        self.counters().refused(refused);
        let short = |text: &str| text.chars().take(CLIENT_ID_BYTES_MAX).collect::<String>();
        let user = client.username().map(|user| short(&user[..]));
        let address = self.address(client.id()).map(|(_, _, address)| address);
        tracing::info!(client = %short(&client.client_id()[..]), ?user, ?address, reason = refused.reason(), "connection refused");
        if refused.is_credentials() { AuthResult::BadUsernameOrPassword } else { AuthResult::NotAuthorized }
    }

    /// The connection, who was announced under it, and where the client is.
    fn address(&self, id: &Id) -> Option<(Link, Option<Arc<Peer>>, SocketAddr)> {
        let link = link(id)?;
        if !INNER_LISTENERS.contains(&link.0) {
            return Some((link, None, link.1));
        }
        let peer = self.peers.get(&link.1)?;
        let address = peer.address;
        Some((link, Some(peer), address))
    }

    /// A client has sent a CONNECT that somebody else refuses.
    pub(super) fn judged(&self, id: &Id) {
        if let Some((_, Some(peer), _)) = self.address(id) {
            peer.judge();
        }
    }

    async fn admit(&self, client: &ConnectInfo) -> Result<(), Refused> {
        let (link, peer, address) = self.address(client.id()).ok_or(Refused::Stranger)?;
        if let Some(peer) = &peer {
            peer.judge();
        }
        let client_id: &str = client.client_id();
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX || client_id.chars().any(char::is_control) {
            return Err(Refused::ClientId);
        }
        if !are_credentials(client) {
            return Err(Refused::Credentials);
        }
        let attempt = Attempt {
            client_id,
            user: client.username().map(|user| &**user),
            password: client.password().map(|password| &**password),
            certificate: peer.as_ref().and_then(|peer| peer.certificate.as_ref()),
            local: address.ip().to_canonical().is_loopback(),
            now_s: system_time_s(),
        };
        let admission = self.authority.authenticate(&attempt).await?;
        if !may_be_called(client_id, &admission.identity, attempt.local) || !may_serve(client_id, &admission, &self.site) {
            return Err(Refused::ClientId);
        }
        let will = client.last_will().map(|will| match will {
            LastWill::V3(will) => will.topic.to_string(),
            LastWill::V5(will) => will.topic.to_string(),
        });
        if let Some(topic) = will
            && !self.may_will(&admission, &topic)
        {
            return Err(Refused::Will);
        }
        self.take_over(client_id, &admission).await?;
        let session = Session {
            admission: admission.clone(),
            client_id: client_id.to_owned(),
            meter: Mutex::new(Meter::new(&self.limits, self.now_us())),
            since: Instant::now(),
            connected: AtomicBool::new(false),
            told: AtomicBool::new(false),
        };
        self.live.write().unwrap_or_else(PoisonError::into_inner).insert(link, Arc::new(session));
        self.owners().insert(client_id.to_owned(), Owner { admission: admission.clone(), link });
        // A reload since the question was asked has not seen this owner; one from now on will.
        if let Err(refused) = self.stands(&admission) {
            self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&link);
            self.owners().remove(client_id);
            return Err(refused);
        }
        if let Some(peer) = peer {
            peer.admit();
        }
        Ok(())
    }

    /// Whether a will may be left for `topic`: it must be one that is recorded, or that a service or link routes.
    pub(super) fn may_will(&self, who: &Admission, topic: &str) -> bool {
        let routes = matches!(who.identity, Identity::Service { .. } | Identity::Link { .. });
        who.rules.may_publish(topic) == Verdict::Allowed && (routes || self.is_own_device(topic))
    }

    /// Whether a client may have the session of rmqtt that its client id names. One that was made with other rights goes.
    async fn take_over(&self, client_id: &str, admission: &Admission) -> Result<(), Refused> {
        let known = self.owners().get(client_id).map(|owner| {
            let same = owner.admission.identity == admission.identity;
            (same, same && owner.admission.rules == admission.rules)
        });
        let exists = self.scx.extends.shared().await.exist(client_id);
        match known {
            Some((false, _)) if exists => Err(Refused::ClientId),
            Some((true, same)) if exists && (!same || Service::of(client_id, &self.site).is_some()) => {
                self.kick(client_id).await;
                Ok(())
            }
            _ => Ok(()),
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

    /// Looks at every right again, and closes those that ended. Gives how many connections or sessions went.
    pub(super) async fn sweep(&self) -> usize {
        let all: Vec<(String, Admission)> =
            self.owners().iter().map(|(client_id, owner)| (client_id.clone(), owner.admission.clone())).collect();
        let mut gone = 0;
        for (i, (client_id, admission)) in all.iter().enumerate() {
            if i % SWEEP_STEP == SWEEP_STEP - 1 {
                tokio::task::yield_now().await;
            }
            if let Err(refused) = self.stands(admission) {
                tracing::info!(client = %client_id, who = %admission.identity, reason = refused.reason(), "connection closed");
                gone += usize::from(self.end(client_id).await);
            }
        }
        gone
    }

    fn stands(&self, admission: &Admission) -> Result<(), Refused> {
        self.authority.stands(admission)?;
        match (&admission.proof, &self.tls) {
            // its end is left to `expire`, which keeps the session
            (Proof::Certificate { certificate }, Some(tls)) if certificate.not_after_s > system_time_s() => {
                tls.accepts(certificate).then_some(()).ok_or(Refused::Revoked)
            }
            _ => Ok(()),
        }
    }

    /// Closes whoever `whom` means. Gives how many went.
    pub(super) async fn disconnect(&self, whom: &Whom) -> usize {
        let mut all: Vec<String> = Vec::new();
        for (client_id, owner) in self.owners().iter() {
            let meant = match whom {
                Whom::Client(id) => id == client_id,
                Whom::Device(id) => owner.admission.identity.speaks_for(&self.site) == Some(id),
                Whom::Identity(identity) => owner.admission.identity == *identity,
            };
            if meant {
                all.push(client_id.clone());
            }
        }
        let mut gone = 0;
        for client_id in all {
            tracing::info!(client = %client_id, "connection closed on request");
            gone += usize::from(self.end(&client_id).await);
        }
        gone
    }

    /// Takes a client's right away and closes it, its session included.
    async fn end(&self, client_id: &str) -> bool {
        let Some(owner) = self.owners().remove(client_id) else { return false };
        self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&owner.link);
        self.counters().closed(1);
        self.kick(client_id).await;
        true
    }

    /// Closes connections whose token or certificate ended, and forgets what rmqtt has forgotten. To be called often.
    pub(super) async fn expire(&self) {
        let now_s = system_time_s();
        let mut ended = Vec::new();
        self.live.write().unwrap_or_else(PoisonError::into_inner).retain(|_, session| {
            let expired = session.admission.expires_at_s.is_some_and(|at| at <= now_s);
            if expired {
                ended.push(session.clone());
            }
            let stuck = !session.connected.load(Ordering::Relaxed) && session.since.elapsed() > CONNECTING_MAX;
            !expired && !stuck
        });
        for session in ended {
            let Session { client_id, admission, .. } = &*session;
            tracing::info!(client = %client_id, who = %admission.identity, reason = Refused::Expired.reason(), "connection closed");
            self.counters().closed(1);
            self.close(client_id).await;
        }
    }

    /// Forgets owners of sessions that rmqtt does not have any more.
    pub(super) async fn forget(&self) {
        let all: Vec<String> = self.owners().keys().cloned().collect();
        let gone: Vec<String> = {
            let shared = self.scx.extends.shared().await;
            all.into_iter().filter(|client_id| !shared.exist(client_id)).collect()
        };
        // one that is just being admitted has no session yet
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let mut owners = self.owners();
        for client_id in gone {
            if owners.get(&client_id).is_some_and(|owner| !live.contains_key(&owner.link)) {
                owners.remove(&client_id);
            }
        }
    }

    /// Ends a connection; rmqtt keeps the session as if the client had gone.
    async fn close(&self, client_id: &str) {
        let entry = self.scx.extends.shared().await.entry(self.by_name(client_id));
        if let Some(tx) = entry.tx() {
            let bye = DisconnectV5 { reason_code: DisconnectReasonCode::NotAuthorized, ..Default::default() };
            // It fails only for a client that is gone already.
            let _ = tx.unbounded_send(Message::Closed(Reason::ConnectDisconnect(Some(Disconnect::V5(bye)))));
        }
    }

    /// Ends a connection and its session.
    pub(super) async fn kick(&self, client_id: &str) {
        for _ in 0..KICK_ATTEMPTS {
            let entry = {
                let shared = self.scx.extends.shared().await;
                if !shared.exist(client_id) {
                    return;
                }
                shared.entry(self.by_name(client_id))
            };
            // It is locked while a client of this id connects.
            if let Ok(mut entry) = entry.try_lock().await {
                if let Err(error) = entry.kick(true, true, true).await {
                    tracing::warn!(client = %client_id, error = %format!("{error:#}"), "a client could not be closed");
                }
                return;
            }
            tokio::time::sleep(KICK_PAUSE).await;
        }
        tracing::warn!(client = %client_id, "a client could not be closed: it is always just connecting");
    }

    pub(super) fn by_name(&self, client_id: &str) -> Id {
        Id::new(self.scx.node.id(), 0, None, None, client_id.to_owned().into(), None)
    }
}

/// Whether name and password are what the protocol allows, which rmqtt does not look at: no NUL in a name (1.5.3 of
/// MQTT 3.1.1, 1.5.4 of MQTT 5), and in MQTT 3.1.1 no password without a name (3.1.2.9).
fn are_credentials(client: &ConnectInfo) -> bool {
    let nameless = matches!(client, ConnectInfo::V3(..)) && client.username().is_none() && client.password().is_some();
    !nameless && !client.username().is_some_and(|name| name.contains('\0'))
}

/// Whether `who` may have this client id, as far as links go.
fn may_be_called(client_id: &str, who: &Identity, local: bool) -> bool {
    let link = client_id.starts_with(LINK_PREFIX);
    match who {
        Identity::Link { site, .. } => link_scope(client_id).is_some_and(|scope| scope.to_string() == site.as_str()),
        Identity::Anonymous => !link || local,
        _ => !link,
    }
}

/// Whether a connection may have this client id, as far as parts of the site go.
fn may_serve(client_id: &str, admission: &Admission, site: &Name) -> bool {
    match Service::of(client_id, site) {
        Some((service, _)) => {
            let is_service = matches!(admission.identity, Identity::Service { .. });
            is_service && admission.rules.may_publish(&service.own_topic(site)) == Verdict::Allowed
        }
        None => !client_id.starts_with(SERVICE_PREFIX),
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// TIER-11
    #[test]
    fn client_ids_of_links_are_for_links() {
        let link = |site: &str| Identity::Link { name: "up".into(), site: Name::site(site).unwrap() };
        let service = Identity::Service { name: "fog".into() };
        for (who, client_id, local, may) in [
            (link("agg1/loc1"), "wattle-link@agg1/loc1", false, true),
            (link("agg1/loc1"), "wattle-link@agg1/loc1@b", false, true),
            (link("agg1/loc1"), "wattle-link@agg1/loc2", true, false),
            (link("agg1/loc1"), "wattle-link@agg1", true, false),
            (link("agg1"), "wattle-link@agg1/loc1", true, false),
            (link("agg1"), "up", true, false),
            (Identity::Anonymous, "wattle-link@agg1", true, true),
            (Identity::Anonymous, "wattle-link@agg1", false, false),
            (Identity::Anonymous, "meter", false, true),
            (service.clone(), "wattle-link@agg1", true, false),
            (service, "dashboard", false, true),
        ] {
            assert_eq!(may_be_called(client_id, &who, local), may, "{client_id} of {who}, local: {local}");
        }
    }
}
