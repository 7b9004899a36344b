//! The broker in this process: rmqtt, driven so that an acknowledgement means "kept".
//!
//! Rules:
//! - Every device's publish passes the hooks, which wait for the log before the PUBACK or PUBREC is sent.
//! - Who a client is and what it may do is decided in [`crate::access`] and kept by the doorman; nobody is a superuser,
//!   because a superuser passes no hook.
//! - What is reached from outside this machine, and everything with TLS, comes in through the front.
//! - What the site says ([`Broker::publish`] and the relay) is injected behind the hooks.
//! - A broker with a place in the tree of brokers keeps what has to leave before it answers ([`crate::tiers`]).
//! - A stop takes no new connection, tells every client, and waits for those whose publish is being written.
//!
//! ```text
//! outside, TLS ─▶ front ─┐            ┌▶ doorman ─▶ access
//! this machine ──────────┴▶ rmqtt ─▶ hooks ─▶ ingress ─▶ log
//!                             ▲        └─▶ relay ─┐
//!                             └──── inject ◀──────┴── Broker::publish
//! ```

mod doorman;
mod faults;
mod front;
mod hooks;
mod keepers;
mod links;
mod roaming;
mod sharing;
mod subscriptions;
mod tier;
mod tls;
mod watch;

pub use keepers::KeeperStats;
pub use tls::TlsFiles;

use crate::access::{AccessConfig, AccessCounters, AccessError, AccessReport, Anonymous, Authority, Identity, Limits};
use crate::broker::{Broker, BrokerError, Luggage, PACKET_BYTES_MAX, Relay, RelayedCopy, Whom};
use crate::client::{PublishError, check};
use crate::ingress::Ingress;
use crate::log::SiteLog;
use crate::roles::COMMAND;
use crate::tiers::{TierConfig, TierError, TierStats, Tiers};
use async_trait::async_trait;
use doorman::Doorman;
use front::{Door, Front, Peers};
use hooks::{Gate, Hooks, Intake};
use keepers::Keepers;
use protocol::{DeviceName, Name};
use rmqtt::codec::v5::{Disconnect as DisconnectV5, DisconnectReasonCode, PublishProperties, UserProperties};
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;
use rmqtt::session::SessionState;
use rmqtt::types::{CodecPublish, Disconnect, From as Origin, Id, ListenerId, Message, Publish, QoS, Reason, TopicName};
use rmqtt::utils::timestamp_millis;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use subscriptions::WatchedRouter;
use tier::Tier;
use tls::Tls;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch as signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use watch::Keeper;

/// How long a client may take between its connection and its CONNECT.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Clients that may be authenticated at once; more wait their turn.
const HANDSHAKES_MAX: usize = 20_000;
/// Messages that wait for one client.
const CLIENT_QUEUE_MAX: usize = 1000;
/// How long a 3.1.1 client's session is kept after it left.
const SESSION_EXPIRY: Duration = Duration::from_secs(2 * 3600);
/// The longest a 5.0 client may have its session kept.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(7 * 86_400);
/// After this, what a client did not acknowledge is sent to it again.
const RETRY_INTERVAL: Duration = Duration::from_secs(20);
/// Topics that may hold a retained message.
const RETAINED_MAX: usize = 100_000;
/// How long a stop waits for clients to be gone. rmqtt itself takes half a second for a 5.0 client.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a stop looks.
const STOP_POLL: Duration = Duration::from_millis(10);
/// The plugin that keeps retained messages.
const RETAINER: &str = "rmqtt-retainer";
/// The client id that the site's own messages bear.
const OWN_CLIENT_ID: &str = "$wattle";
/// What the client id begins with of messages that are for some groups of clients only; see `sharing`.
const FOR_GROUPS: &str = "$wattle-groups/";

/// What the embedded broker needs to know.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Where to listen; port 0 takes a free one, see [`Broker::address`].
    pub bind: SocketAddr,
    /// The site whose devices publish here.
    pub site: Name,
    /// Told when a client publishes `root/node/<site>/active`: a ledger node is back. A full channel is not waited for.
    pub on_active: Option<mpsc::Sender<()>>,
}

/// Listeners beside the plain one of [`EmbeddedConfig::bind`]; port 0 takes a free one, see [`Broker::addresses`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// MQTT over TLS.
    pub tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS.
    pub websocket_tls: Option<SocketAddr>,
}

/// How the embedded broker is secured. By default: not, and therefore for this machine only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Listeners beside the plain one.
    pub listeners: Listeners,
    /// The files of TLS; needed by listeners with TLS.
    pub tls: Option<TlsFiles>,
    /// Where identities come from.
    pub access: AccessConfig,
    /// What clients may ask for.
    pub limits: Limits,
}

impl Security {
    /// Whether it can be, with a plain listener at `bind`.
    ///
    /// # Errors
    /// [`AccessError::Setting`] says what does not fit and what to do.
    pub fn check(&self, bind: SocketAddr) -> Result<(), AccessError> {
        let Listeners { tls, websocket, websocket_tls } = self.listeners;
        if (tls.is_some() || websocket_tls.is_some()) && self.tls.is_none() {
            return Err(AccessError::Setting("a listener with TLS needs a certificate and its key".into()));
        }
        // a client that must show a certificate is not anonymous
        let anonymous_tls = !self.tls.as_ref().is_some_and(|files| files.require_client_certificate);
        let open = [Some(bind), websocket].into_iter().chain([tls, websocket_tls].map(|a| a.filter(|_| anonymous_tls)));
        let anonymous = self.access.anonymous == Anonymous::Device && !self.access.allow_anonymous_beyond_loopback;
        match open.flatten().find(|address| !address.ip().is_loopback()) {
            Some(address) if anonymous => Err(AccessError::Setting(format!(
                "the listener {address} is reached from outside this machine, and clients without credentials may publish: set \
                 anonymous = \"refuse\", or allow_anonymous_beyond_loopback = true if that is meant"
            ))),
            _ => Ok(()),
        }
    }

    /// Reads the files once, for the broker of `site`: what is wrong with them can be told before anything runs.
    ///
    /// # Errors
    /// [`AccessError`] says which file cannot be used, and why.
    pub fn try_files(&self, site: &Name) -> Result<(), AccessError> {
        Authority::new(site.clone(), self.access.clone(), Arc::default())?;
        self.tls.clone().map(Tls::new).transpose()?;
        Ok(())
    }

    /// The files it names.
    fn files(&self) -> Vec<std::path::PathBuf> {
        let tls = self.tls.as_ref().map(TlsFiles::files).unwrap_or_default();
        self.access.files().into_iter().chain(tls).collect()
    }
}

/// Starts a broker whose clients' publishes go to `ingress`, secured as `security` says; by default it is for this machine
/// only. With `tier` it has a place in the tree of brokers, and what the site's log holds goes on to other brokers from
/// there; the parent need not be there yet. When this returns it accepts connections.
///
/// # Errors
/// [`BrokerError::Bind`] if an address cannot be listened on, [`BrokerError::Access`] if a file cannot be used or the
/// settings do not fit, [`BrokerError::Tier`] if the place does not fit or its spool cannot be used,
/// [`BrokerError::Engine`] if rmqtt does not start.
pub async fn start(
    config: EmbeddedConfig,
    security: Security,
    tier: Option<(TierConfig, SiteLog)>,
    ingress: Arc<Ingress>,
) -> Result<Arc<dyn Broker>, BrokerError> {
    start_with(config, security, tier, Some(ingress)).await
}

/// Starts a broker that keeps nothing itself: what its clients publish is acknowledged when another process, a service of the
/// site, has kept it ([`crate::roles`]). When this returns it accepts connections.
///
/// # Errors
/// As [`start`].
pub async fn start_for_services(config: EmbeddedConfig, security: Security) -> Result<Arc<dyn Broker>, BrokerError> {
    start_with(config, security, None, None).await
}

async fn start_with(
    config: EmbeddedConfig,
    security: Security,
    tier: Option<(TierConfig, SiteLog)>,
    ingress: Option<Arc<Ingress>>,
) -> Result<Arc<dyn Broker>, BrokerError> {
    security.check(config.bind)?;
    let tier = match tier {
        Some((tier, log)) => Some((tier::open(tier).await?, log)),
        None => None,
    };
    let files = security.files();
    let stamps = watch::stamps(&files);
    let counters = Arc::new(AccessCounters::default());
    let authority = Arc::new(Authority::new(config.site.clone(), security.access.clone(), counters.clone())?);
    let tls = security.tls.clone().map(Tls::new).transpose()?.map(Arc::new);
    let mut bound = Bound::bind(config.bind, &security, tls.as_ref()).await?;

    // Without the busy check: it refuses connections while the machine computes.
    let retained = format!(
        "storage.type = \"ram\"\nmax_retained_messages = {RETAINED_MAX}\nmax_payload_size = \"1MB\"\nretained_message_ttl = \"0m\""
    );
    let scx = ServerContext::new().busy_check_enable(false).plugins_config_map_add(RETAINER, retained).build().await;
    *scx.extends.shared_subscription_mut().await = Box::new(sharing::RoundRobin::default());
    let failed = |what| move |e: rmqtt::Error| BrokerError::Engine { what, why: format!("{e:#}") };
    rmqtt_retainer::register(&scx, true, false).await.map_err(failed("register the store of retained messages"))?;

    let peers = Arc::new(Peers::default());
    let site = config.site.clone();
    let doorman = Arc::new(Doorman::new(site, scx.clone(), authority, tls.clone(), peers.clone(), security.limits.clone()));
    let (relay, copies, dropped) = Relay::new();
    let keepers = ingress.is_none().then(|| Keepers::new(config.site.clone(), scx.clone()));
    if let Some(keepers) = &keepers {
        *scx.extends.router_mut().await = Box::new(WatchedRouter::of_services(&scx, config.site.clone()));
        keepers.install().await;
    }
    let intake = ingress.map_or_else(|| keepers.clone().map(Intake::Keepers), |ingress| Some(Intake::Ingress(ingress)));
    let intake = intake.ok_or_else(|| BrokerError::Engine { what: "start", why: "nobody keeps what is published".into() })?;
    let gate = Arc::new(Gate::new(config.site.clone(), doorman.clone(), intake, relay.clone(), config.on_active));
    let tiers = tier.as_ref().map(|(tiers, _)| tiers.clone());
    Hooks::new(gate.clone(), tiers.clone()).install(&scx).await;
    let tier = match tier {
        Some((tiers, log)) => Some(Tier::start(&scx, doorman.clone(), tiers, log).await?),
        None => None,
    };
    scx.plugins.start(RETAINER).await.map_err(failed("start the store of retained messages"))?;

    let courier = tokio::spawn(carry(scx.clone(), tiers, copies));
    let (stop, stopped) = signal::channel(false);
    let front = Arc::new(Front::new(&security.limits, peers, counters, stopped));
    let mut listening: Vec<JoinHandle<()>> = bound.doors.drain(..).map(|door| tokio::spawn(front.clone().serve(door))).collect();
    listening.extend(bound.inner.drain(..).map(|(socket, id)| tokio::spawn(listen(scx.clone(), socket, id))));
    let keeper = Arc::new(Keeper::new(doorman.clone(), tls, files, stamps));
    let keeping = tokio::spawn(keeper.clone().watch());
    tracing::info!(addresses = %bound.addresses.join(" "), "MQTT broker listening");
    let Bound { address, addresses, .. } = bound;
    let site = config.site;
    let stopped = AtomicBool::new(false);
    Ok(Arc::new(Embedded {
        site,
        scx,
        gate,
        doorman,
        relay,
        keeper,
        address,
        addresses,
        dropped,
        listening,
        keeping,
        courier,
        tier,
        keepers,
        stop,
        stopped,
    }))
}

/// Serves one listener of rmqtt.
async fn listen(scx: ServerContext, socket: rmqtt::net::Listener, id: ListenerId) {
    if let Err(error) = MqttServer::new(scx).listener_by_id(socket, id).build().run().await {
        tracing::error!(%error, "the embedded MQTT broker stopped listening");
    }
}

/// Sockets that are bound and not served yet.
struct Bound {
    /// The plain listener's address.
    address: SocketAddr,
    /// Every listener, as a URL.
    addresses: Vec<String>,
    /// Those that the front serves.
    doors: Vec<Door>,
    /// Those that rmqtt serves.
    inner: Vec<(rmqtt::net::Listener, ListenerId)>,
}

impl Bound {
    async fn bind(plain: SocketAddr, security: &Security, tls: Option<&Arc<Tls>>) -> Result<Self, BrokerError> {
        let mut bound = Self { address: plain, addresses: Vec::new(), doors: Vec::new(), inner: Vec::new() };
        let Listeners { tls: secure, websocket, websocket_tls } = security.listeners;
        bound.address = bound.open("mqtt", plain, false, None, security).await?;
        if let Some(address) = secure {
            bound.open("mqtts", address, false, tls, security).await?;
        }
        if let Some(address) = websocket {
            bound.open("ws", address, true, None, security).await?;
        }
        if let Some(address) = websocket_tls {
            bound.open("wss", address, true, tls, security).await?;
        }
        Ok(bound)
    }

    /// Binds a listener: directly if it is plain and of this machine only, otherwise behind the front.
    async fn open(
        &mut self,
        scheme: &str,
        address: SocketAddr,
        websocket: bool,
        tls: Option<&Arc<Tls>>,
        security: &Security,
    ) -> Result<SocketAddr, BrokerError> {
        let taken = |why: String| BrokerError::Bind { address, why };
        let local = if tls.is_none() && address.ip().is_loopback() {
            let id = if websocket { doorman::WEBSOCKET } else { doorman::PLAIN };
            self.serve(address, websocket, id, security).map_err(taken)?
        } else {
            let listener = TcpListener::bind(address).await.map_err(|e| taken(e.to_string()))?;
            let local = listener.local_addr().map_err(|e| taken(e.to_string()))?;
            let inner = self.behind(websocket, security)?;
            self.doors.push(Door { listener, tls: tls.cloned(), inner });
            local
        };
        self.addresses.push(format!("{scheme}://{local}"));
        Ok(local)
    }

    /// The listener of rmqtt that the front connects to; one for all.
    fn behind(&mut self, websocket: bool, security: &Security) -> Result<SocketAddr, BrokerError> {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let failed = |why: String| BrokerError::Bind { address, why };
        let id = if websocket { doorman::INNER_WEBSOCKET } else { doorman::INNER };
        match self.inner.iter().find(|(_, other)| *other == id) {
            Some((socket, _)) => socket.local_addr().map_err(|e| failed(format!("{e:#}"))),
            None => self.serve(address, websocket, id, security).map_err(failed),
        }
    }

    fn serve(&mut self, address: SocketAddr, websocket: bool, id: ListenerId, security: &Security) -> Result<SocketAddr, String> {
        let why = |e: rmqtt::Error| format!("{e:#}");
        let socket = listener(address, &security.limits).bind().map_err(why)?;
        let socket = if websocket { socket.ws() } else { socket.tcp() }.map_err(why)?;
        let local = socket.local_addr().map_err(why)?;
        self.inner.push((socket, id));
        Ok(local)
    }
}

/// The settings of a listener. rmqtt's defaults do not fit in several places.
fn listener(address: SocketAddr, limits: &Limits) -> Builder {
    Builder::new()
        .name("mqtt")
        .laddr(address)
        .nodelay(true) // else small answers wait for each other
        .reuseaddr(Some(true)) // restart while old connections linger
        .allow_anonymous(false) // else the authentication hook is not asked
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .max_handshaking_limit(HANDSHAKES_MAX)
        .min_keepalive(limits.keep_alive_s_min)
        .max_keepalive(limits.keep_alive_s_max)
        .allow_zero_keepalive(limits.keep_alive_s_max == u16::MAX)
        .max_inflight(NonZeroU16::new(limits.in_flight).unwrap_or(NonZeroU16::MIN))
        .max_mqueue_len(CLIENT_QUEUE_MAX)
        .message_expiry_interval(Duration::ZERO) // never
        .session_expiry_interval(SESSION_EXPIRY)
        .max_session_expiry_interval(SESSION_EXPIRY_MAX)
        .message_retry_interval(RETRY_INTERVAL)
        .max_packet_size(limits.packet_bytes.min(u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX)))
}

/// Publishes what the hooks queued, in order.
async fn carry(scx: ServerContext, tiers: Option<Arc<Tiers>>, mut copies: mpsc::Receiver<RelayedCopy>) {
    while let Some((topic, payload)) = copies.recv().await {
        // What was processed goes on to other brokers from the log; what was rejected is not in it.
        if topic.ends_with("/rejected")
            && let Some(tiers) = &tiers
            && let Err(error) = tiers.offer(&topic, &payload, 1)
        {
            tracing::warn!(%topic, %error, "not handed to other brokers");
        }
        if let Err(error) = inject(&scx, &topic, payload, QoS::AtLeastOnce, false).await {
            tracing::warn!(%topic, %error, "not handed to subscribers");
        }
    }
}

/// A publish from inside: no hook runs, it goes to the retained messages and to subscribers.
async fn inject(scx: &ServerContext, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), rmqtt::Error> {
    inject_as(scx, OWN_CLIENT_ID, topic, payload, qos, retain).await
}

/// As [`inject`], with the client id `sender`.
async fn inject_as(scx: &ServerContext, sender: &str, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), rmqtt::Error> {
    inject_with(scx, sender, (topic, payload), (qos, retain), UserProperties::new()).await
}

/// The same, with user properties.
async fn inject_with(
    scx: &ServerContext,
    sender: &str,
    (topic, payload): (&str, Vec<u8>),
    (qos, retain): (QoS, bool),
    user_properties: UserProperties,
) -> Result<(), rmqtt::Error> {
    let from = Origin::from_system(Id::new(scx.node.id(), 0, None, None, sender.into(), None));
    let publish = CodecPublish {
        dup: false,
        retain,
        qos,
        topic: topic.into(),
        packet_id: None,
        payload: payload.into(),
        // without any 5.0 subscribers lose their identifiers
        properties: Some(PublishProperties { user_properties, ..PublishProperties::default() }),
    };
    let publish: Publish = publish.into();
    SessionState::forwards(scx, from, publish.create_time(timestamp_millis()), false, None).await
}

/// The quality of service a number names; anything above 1 is 2.
const fn quality(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

struct Embedded {
    site: Name,
    scx: ServerContext,
    gate: Arc<Gate>,
    doorman: Arc<Doorman>,
    relay: Relay,
    keeper: Arc<Keeper>,
    address: SocketAddr,
    addresses: Vec<String>,
    dropped: Arc<AtomicU64>,
    listening: Vec<JoinHandle<()>>,
    keeping: JoinHandle<()>,
    courier: JoinHandle<()>,
    tier: Option<Tier>,
    /// Those who keep what is published, if they are other processes.
    keepers: Option<Keepers>,
    /// Ends what the front still carries.
    stop: signal::Sender<bool>,
    stopped: AtomicBool,
}

impl Embedded {
    /// Publishes what the site itself says.
    async fn say(&self, topic: &str, payload: Vec<u8>, (qos, retain): (u8, bool), user: UserProperties) -> Result<(), BrokerError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(PublishError::Stopped.into());
        }
        check(topic, payload.len(), qos)?;
        if let Some(tier) = &self.tier
            && let Some(durable) = tier.tiers().offer(topic, &payload, qos).map_err(TierError::from)?
        {
            durable.wait().await.map_err(TierError::from)?;
        }
        let failed = |e: rmqtt::Error| BrokerError::Engine { what: "publish", why: format!("{e:#}") };
        inject_with(&self.scx, OWN_CLIENT_ID, (topic, payload), (quality(qos), retain), user).await.map_err(failed)
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<(), BrokerError> {
        self.say(topic, payload, (qos, retain), UserProperties::new()).await
    }

    async fn command(&self, topic: &str, payload: Vec<u8>) -> Result<(), BrokerError> {
        self.say(topic, payload, (1, false), vec![(COMMAND.into(), "1".into())]).await
    }

    fn relay(&self, copies: Vec<(String, Vec<u8>)>) {
        self.relay.offer(copies);
    }

    fn address(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    async fn disconnect(&self, whom: &Whom) -> usize {
        self.doorman.disconnect(whom).await
    }

    async fn has_subscriber(&self, topic: &str) -> Option<bool> {
        if self.tier.is_some() {
            return None;
        }
        let own = Id::new(self.scx.node.id(), 0, None, None, OWN_CLIENT_ID.into(), None);
        let topic: TopicName = topic.into();
        let matched = self.scx.extends.router().await.matches(own, &topic).await.ok()?;
        Some(matched.values().any(|subscribers| !subscribers.is_empty()))
    }

    async fn depart(&self, device: &DeviceName) -> Luggage {
        roaming::depart(&self.scx, &self.doorman, device).await
    }

    async fn arrive(&self, device: &DeviceName, luggage: &Luggage) -> bool {
        roaming::arrive(&self.scx, &self.doorman, device, luggage).await
    }

    async fn bar(&self, device: &Name, barred: bool) {
        self.doorman.authority().bar(Identity::Device { site: self.site.clone(), id: device.clone() }, barred);
        if barred {
            self.doorman.disconnect(&Whom::Device(device.clone())).await;
        }
    }

    async fn reload(&self) -> Result<(), AccessError> {
        self.keeper.reload().await
    }

    fn access(&self) -> AccessReport {
        self.doorman.counters().report()
    }

    fn connected(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn tier(&self) -> Option<TierStats> {
        self.tier.as_ref().map(|tier| tier.tiers().stats())
    }

    fn keepers(&self) -> Option<KeeperStats> {
        self.keepers.as_ref().map(Keepers::stats)
    }

    async fn stop(&self) {
        if self.stopped.swap(true, Ordering::Relaxed) {
            return;
        }
        self.keeping.abort();
        self.listening.iter().for_each(JoinHandle::abort); // closes the listening sockets; connections are tasks of their own
        if let Some(tier) = &self.tier {
            tier.leave().await;
        }
        let clients: Vec<_> = {
            let shared = self.scx.extends.shared().await;
            shared.iter().filter_map(|entry| entry.tx()).collect()
        };
        for client in clients {
            let bye = DisconnectV5 { reason_code: DisconnectReasonCode::ServerShuttingDown, ..Default::default() };
            // It fails only for a client that is gone already.
            let _ = client.unbounded_send(Message::Closed(Reason::ConnectDisconnect(Some(Disconnect::V5(bye)))));
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while (self.scx.connections.count() > 0 || self.gate.clients() > 0) && Instant::now() < deadline {
            tokio::time::sleep(STOP_POLL).await;
        }
        self.stop.send_replace(true);
        // Sessions of absent clients live on inside rmqtt; the log must not live on with them.
        self.gate.close();
        self.courier.abort();
        if let Some(tier) = &self.tier {
            tier.close().await;
        }
        tracing::info!(address = %self.address, "MQTT broker stopped");
    }
}
