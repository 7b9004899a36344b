//! The broker in this process: rmqtt, driven so that an acknowledgement means "kept".
//!
//! Rules:
//! - Every device's publish passes the hooks, which wait for the log before the PUBACK or PUBREC is sent.
//! - Everybody may connect and subscribe for now; nobody is a superuser, because a superuser passes no hook.
//! - What the site says ([`Broker::publish`] and the relay) is injected behind the hooks.
//! - A stop takes no new connection, tells every client, and waits for those whose publish is being written.
//!
//! ```text
//! sockets ─▶ rmqtt ─▶ hooks ─▶ ingress ─▶ log
//!              ▲        └─▶ relay ─┐
//!              └──── inject ◀──────┴── Broker::publish
//! ```

mod hooks;
mod sharing;

use crate::broker::{Broker, BrokerError, PACKET_BYTES_MAX, Relay, RelayedCopy};
use crate::client::{PublishError, check};
use crate::ingress::Ingress;
use async_trait::async_trait;
use hooks::{Gate, Hooks};
use protocol::Name;
use rmqtt::codec::v5::{Disconnect as DisconnectV5, DisconnectReasonCode, PublishProperties};
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;
use rmqtt::session::SessionState;
use rmqtt::types::{CodecPublish, Disconnect, From as Origin, Id, Message, Publish, QoS, Reason};
use rmqtt::utils::timestamp_millis;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Messages in flight to one client, and QoS 2 publishes of one client that are not complete.
const IN_FLIGHT_MAX: NonZeroU16 = match NonZeroU16::new(1000) {
    Some(n) => n,
    None => NonZeroU16::MIN,
};
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

/// Starts a broker whose clients' publishes go to `ingress`. When this returns it accepts connections.
///
/// # Errors
/// [`BrokerError::Bind`] if the address cannot be listened on, [`BrokerError::Engine`] if rmqtt does not start.
pub async fn start(config: EmbeddedConfig, ingress: Arc<Ingress>) -> Result<Arc<dyn Broker>, BrokerError> {
    let address = config.bind;
    let taken = |why: String| BrokerError::Bind { address, why };
    let socket = listener(address).bind().and_then(|l| l.tcp()).map_err(|e| taken(format!("{e:#}")))?;
    let address = socket.local_addr().map_err(|e| taken(format!("{e:#}")))?;

    // Without the busy check: it refuses connections while the machine computes.
    let retained = format!(
        "storage.type = \"ram\"\nmax_retained_messages = {RETAINED_MAX}\nmax_payload_size = \"1MB\"\nretained_message_ttl = \"0m\""
    );
    let scx = ServerContext::new().busy_check_enable(false).plugins_config_map_add(RETAINER, retained).build().await;
    *scx.extends.shared_subscription_mut().await = Box::new(sharing::RoundRobin::default());
    let failed = |what| move |e: rmqtt::Error| BrokerError::Engine { what, why: format!("{e:#}") };
    rmqtt_retainer::register(&scx, true, false).await.map_err(failed("register the store of retained messages"))?;

    let (relay, copies, dropped) = Relay::new();
    let gate = Arc::new(Gate::new(config.site, ingress, relay, config.on_active));
    Hooks::new(gate.clone()).install(&scx).await;
    scx.plugins.start(RETAINER).await.map_err(failed("start the store of retained messages"))?;

    let courier = tokio::spawn(carry(scx.clone(), copies));
    let server = MqttServer::new(scx.clone()).listener_by_id(socket, address.port()).build();
    let listening = tokio::spawn(async move {
        if let Err(error) = server.run().await {
            tracing::error!(%error, "the embedded MQTT broker stopped listening");
        }
    });
    tracing::info!(%address, "MQTT broker listening");
    Ok(Arc::new(Embedded { scx, gate, address, dropped, listening, courier, stopped: AtomicBool::new(false) }))
}

/// The settings of a listener. rmqtt's defaults do not fit in several places.
fn listener(address: SocketAddr) -> Builder {
    Builder::new()
        .name("mqtt")
        .laddr(address)
        .nodelay(true) // else small answers wait for each other
        .reuseaddr(Some(true)) // restart while old connections linger
        .allow_anonymous(false) // else the authentication hook, which looks at wills, is not asked
        .max_inflight(IN_FLIGHT_MAX)
        .max_mqueue_len(CLIENT_QUEUE_MAX)
        .message_expiry_interval(Duration::ZERO) // never
        .session_expiry_interval(SESSION_EXPIRY)
        .max_session_expiry_interval(SESSION_EXPIRY_MAX)
        .message_retry_interval(RETRY_INTERVAL)
        .max_packet_size(u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX))
}

/// Publishes what the hooks queued, in order.
async fn carry(scx: ServerContext, mut copies: mpsc::Receiver<RelayedCopy>) {
    while let Some((topic, payload)) = copies.recv().await {
        if let Err(error) = inject(&scx, &topic, payload, QoS::AtLeastOnce, false).await {
            tracing::warn!(%topic, %error, "not handed to subscribers");
        }
    }
}

/// A publish from inside: no hook runs, it goes to the retained messages and to subscribers.
async fn inject(scx: &ServerContext, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), rmqtt::Error> {
    let from = Origin::from_system(Id::new(scx.node.id(), 0, None, None, OWN_CLIENT_ID.into(), None));
    let publish = CodecPublish {
        dup: false,
        retain,
        qos,
        topic: topic.into(),
        packet_id: None,
        payload: payload.into(),
        properties: Some(PublishProperties::default()), // without them 5.0 subscribers lose their identifiers
    };
    let publish: Publish = publish.into();
    SessionState::forwards(scx, from, publish.create_time(timestamp_millis()), false, None).await
}

struct Embedded {
    scx: ServerContext,
    gate: Arc<Gate>,
    address: SocketAddr,
    dropped: Arc<AtomicU64>,
    listening: JoinHandle<()>,
    courier: JoinHandle<()>,
    stopped: AtomicBool,
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<(), BrokerError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(PublishError::Stopped.into());
        }
        check(topic, payload.len(), qos)?;
        let qos = match qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let failed = |e: rmqtt::Error| BrokerError::Engine { what: "publish", why: format!("{e:#}") };
        inject(&self.scx, topic, payload, qos, retain).await.map_err(failed)
    }

    fn address(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    fn connected(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    async fn stop(&self) {
        if self.stopped.swap(true, Ordering::Relaxed) {
            return;
        }
        self.listening.abort(); // closes the listening socket; connections are tasks of their own
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
        // Sessions of absent clients live on inside rmqtt; the log must not live on with them.
        self.gate.close();
        self.courier.abort();
        tracing::info!(address = %self.address, "MQTT broker stopped");
    }
}
