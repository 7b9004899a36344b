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
mod inject;
mod keepers;
mod links;
mod listening;
mod roaming;
mod security;
mod sharing;
mod subscriptions;
mod tier;
mod tls;
mod watch;

pub use keepers::KeeperStats;
pub use security::{Listeners, Security};
pub use tls::TlsFiles;

use crate::access::{AccessCounters, AccessError, AccessReport, Authority, Identity};
use crate::broker::{Broker, BrokerError, Luggage, Relay, Whom};
use crate::client::{PublishError, check};
use crate::ingress::Ingress;
use crate::log::SiteLog;
use crate::roles::COMMAND;
use crate::tiers::{TierConfig, TierError, TierStats};
use async_trait::async_trait;
use doorman::Doorman;
use front::{Front, Peers};
use hooks::{Gate, Hooks, Intake};
use inject::{OWN_CLIENT_ID, carry, inject_with, quality};
use keepers::Keepers;
use listening::{Bound, listen};
use protocol::{DeviceName, Name};
use rmqtt::codec::v5::{Disconnect as DisconnectV5, DisconnectReasonCode, UserProperties};
use rmqtt::context::ServerContext;
use rmqtt::types::{Disconnect, Id, Message, Reason, TopicName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use subscriptions::WatchedRouter;
use tier::Tier;
use tls::Tls;
use tokio::sync::{mpsc, watch as signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use watch::Keeper;

/// Topics that may hold a retained message.
const RETAINED_MAX: usize = 100_000;
/// How long a stop waits for clients to be gone. rmqtt itself takes half a second for a 5.0 client.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a stop looks.
const STOP_POLL: Duration = Duration::from_millis(10);
/// The plugin that keeps retained messages.
const RETAINER: &str = "rmqtt-retainer";

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
    let scx = context().await?;

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

/// A context of rmqtt, with a store of retained messages that is still to be started.
async fn context() -> Result<ServerContext, BrokerError> {
    // Without the busy check: it refuses connections while the machine computes.
    let retained = format!(
        "storage.type = \"ram\"\nmax_retained_messages = {RETAINED_MAX}\nmax_payload_size = \"1MB\"\nretained_message_ttl = \"0m\""
    );
    let scx = ServerContext::new().busy_check_enable(false).plugins_config_map_add(RETAINER, retained).build().await;
    *scx.extends.shared_subscription_mut().await = Box::new(sharing::RoundRobin::default());
    rmqtt_retainer::register(&scx, true, false).await.map_err(failed("register the store of retained messages"))?;
    Ok(scx)
}

/// What rmqtt says, as our error; `what` is what it was doing.
fn failed(what: &'static str) -> impl FnOnce(rmqtt::Error) -> BrokerError {
    move |e: rmqtt::Error| BrokerError::Engine { what, why: format!("{e:#}") }
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
        inject_with(&self.scx, OWN_CLIENT_ID, (topic, payload), (quality(qos), retain), user).await.map_err(failed("publish"))
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
