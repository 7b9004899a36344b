//! The listeners of the embedded broker: which are rmqtt's own, and which the front serves.

use super::doorman;
use super::front::Door;
use super::security::{Listeners, Security};
use super::tls::Tls;
use crate::access::Limits;
use crate::broker::{BrokerError, PACKET_BYTES_MAX};
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;
use rmqtt::types::ListenerId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long a client may take between its connection and its CONNECT.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Clients that may be authenticated at once; more wait their turn.
const HANDSHAKES_MAX: usize = 20_000;
/// Messages that wait for one client.
pub(super) const CLIENT_QUEUE_MAX: usize = 1000;
/// How long a 3.1.1 client's session is kept after it left.
const SESSION_EXPIRY: Duration = Duration::from_secs(2 * 3600);
/// The longest a 5.0 client may have its session kept.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(7 * 86_400);
/// After this, what a client did not acknowledge is sent to it again.
const RETRY_INTERVAL: Duration = Duration::from_secs(20);

/// Serves one listener of rmqtt.
pub(super) async fn listen(scx: ServerContext, socket: rmqtt::net::Listener, id: ListenerId) {
    if let Err(error) = MqttServer::new(scx).listener_by_id(socket, id).build().run().await {
        tracing::error!(%error, "the embedded MQTT broker stopped listening");
    }
}

/// Sockets that are bound and not served yet.
pub(super) struct Bound {
    /// The plain listener's address.
    pub(super) address: SocketAddr,
    /// Every listener, as a URL.
    pub(super) addresses: Vec<String>,
    /// Those that the front serves.
    pub(super) doors: Vec<Door>,
    /// Those that rmqtt serves.
    pub(super) inner: Vec<(rmqtt::net::Listener, ListenerId)>,
}

impl Bound {
    /// Binds every listener.
    pub(super) async fn bind(plain: SocketAddr, security: &Security, tls: Option<&Arc<Tls>>) -> Result<Self, BrokerError> {
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
