//! The gateway: sockets in front, a task for each client behind.
//!
//! Rules:
//! - One task reads datagrams and hands them to clients; it never waits for one. A client that says more than is taken
//!   loses datagrams, not others'.
//! - Memory is bounded before anything is known of a sender: clients in all, clients that are connecting, those of them
//!   behind one address, what waits (SN-60 to SN-63).
//! - A client id belongs to whoever connected with it last (SN-18); one that has a key only comes by DTLS (SN-72).
//!
//! ```text
//! UDP ──┐                 ┌─▶ announcer: GWINFO
//! DTLS ─┴▶ Door ──────────┼─▶ anonymous: QoS −1 ──────────▶ broker
//!           │ who is it?  └─▶ client task ── own link ────▶ broker
//!           └ remembered: persistent sessions that left
//! ```

use super::announcer::{Announcer, SEARCHES_MAX};
use super::anonymous::{self, Anonymous};
use super::budget::Budget;
use super::client::{Admission, Client, Ended, INBOX_MAX, Inbound, Shared};
use super::config::{
    CLIENT_ID_BYTES_MAX, DIALS_MAX, DtlsConfig, GatewayConfig, HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX, SnError, check_client_id,
};
use super::counters::{Counters, Dropped, GatewayStats, Reason};
use super::dtls::{self, Decrypted};
use super::keys::PskKeys;
use super::memory::Memory;
use super::peer::{Outlet, Peer, SECURE_QUEUE_MAX};
use super::session::{Session, Settings};
use super::topics::is_topic;
use super::upstream::Target;
use crate::client::lock;
use protocol::Topic;
use protocol::sn::{Connect, Frame, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, TopicRef};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{Id, JoinHandle, JoinSet};

/// Bytes of datagrams that the system may hold for us. When the log answers a group, all its devices speak at once; what does
/// not fit then is lost, and comes again after T_retry. The system gives less where `net.core.rmem_max` says so.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// How long a stop waits for clients to take leave of the broker.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// When as many addresses are known as sources of connecting clients, those that are through are forgotten.
const SOURCES_SWEEP: usize = 1024;

/// A gateway that runs.
pub struct Gateway {
    address: SocketAddr,
    dtls_address: Option<SocketAddr>,
    counters: Arc<Counters>,
    budget: Arc<Budget>,
    stop: watch::Sender<bool>,
    door: Mutex<Option<JoinHandle<()>>>,
}

/// Starts a gateway. When this returns it listens; the broker need not run yet.
///
/// # Errors
/// [`SnError`]: a setting or the broker's URL is not possible, or an address cannot be listened on.
pub async fn start(config: GatewayConfig) -> Result<Gateway, SnError> {
    config.check()?;
    let target = Target::new(&config.broker, &config.credentials)?;
    let plain = Arc::new(bind(config.listen, config.advertise).await?);
    let address = plain.local_addr().map_err(|e| taken(config.listen, &e))?;
    let counters = Arc::new(Counters::default());
    let (secure, dtls_address, decrypted) = start_dtls(config.dtls.as_ref(), &config).await?;
    let outlet = Outlet { plain: plain.clone(), secure, counters: counters.clone() };

    let shared =
        Arc::new(Shared { outlet: outlet.clone(), target, counters: counters.clone(), dials: Arc::new(Semaphore::new(DIALS_MAX)) });
    let (searches, asked) = mpsc::channel(SEARCHES_MAX);
    let announcer =
        Announcer { outlet, gateway_id: config.gateway_id, to: config.advertise, every: config.advertise_every, searches: asked };
    let (anonymous, publishes) = mpsc::channel(anonymous::QUEUE_MAX);
    let mut helpers = JoinSet::new();
    helpers.spawn(announcer.run());
    helpers.spawn(anonymous::run(shared.clone(), own_client_id(config.gateway_id), publishes));

    let budget = Budget::new(config.buffered_bytes_max);
    let (stop, stopped) = watch::channel(false);
    let door = Door {
        settings: Arc::new(settings(&config)),
        keys: config.dtls.map(|dtls| dtls.keys).unwrap_or_default(),
        clients_max: config.clients_max,
        budget: budget.clone(),
        shared,
        searches,
        anonymous,
        handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        sources: HashMap::new(),
        clients: HashMap::new(),
        peers: HashMap::new(),
        tasks: JoinSet::new(),
        task_ids: HashMap::new(),
        memory: Memory::new(config.clients_max),
    };
    tracing::info!(%address, dtls = ?dtls_address, "MQTT-SN gateway listening");
    let door = Mutex::new(Some(tokio::spawn(door.run(plain, decrypted, stopped, helpers))));
    Ok(Gateway { address, dtls_address, counters, budget, stop, door })
}

fn taken(address: SocketAddr, why: &std::io::Error) -> SnError {
    SnError::Bind { address, why: why.to_string() }
}

async fn bind(address: SocketAddr, advertise: Option<SocketAddr>) -> Result<UdpSocket, SnError> {
    let socket = UdpSocket::bind(address).await.map_err(|e| taken(address, &e))?;
    enlarge(&socket);
    let joined = match advertise.map(|to| to.ip()) {
        None => Ok(()),
        Some(IpAddr::V4(group)) if group.is_multicast() => {
            let interface = if let IpAddr::V4(own) = address.ip() { own } else { Ipv4Addr::UNSPECIFIED };
            socket.join_multicast_v4(group, interface)
        }
        Some(IpAddr::V6(group)) if group.is_multicast() => socket.join_multicast_v6(&group, 0),
        Some(IpAddr::V4(_)) => socket.set_broadcast(true),
        Some(IpAddr::V6(_)) => Ok(()),
    };
    joined.map_err(|e| taken(address, &e))?;
    Ok(socket)
}

/// Makes room for what comes at once. Only a privileged process may have more than the system's limit; less does too.
fn enlarge(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES).is_ok() {
        return;
    }
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER_BYTES) {
        tracing::debug!(%error, "the receive buffer stays as it is");
    }
}

type Secure = (Option<mpsc::Sender<super::peer::Plaintext>>, Option<SocketAddr>, mpsc::Receiver<Decrypted>);

async fn start_dtls(dtls: Option<&DtlsConfig>, config: &GatewayConfig) -> Result<Secure, SnError> {
    let (incoming, decrypted) = mpsc::channel(SECURE_QUEUE_MAX);
    let Some(dtls) = dtls else { return Ok((None, None, decrypted)) };
    let socket = bind(dtls.listen, None).await?;
    let address = socket.local_addr().map_err(|e| taken(dtls.listen, &e))?;
    let (outgoing, plaintexts) = mpsc::channel(SECURE_QUEUE_MAX);
    let listener = dtls::Listener::new(socket, dtls.keys.clone(), config.clients_max, config.packet_bytes_max)?;
    tokio::spawn(listener.run(plaintexts, incoming));
    Ok((Some(outgoing), Some(address), decrypted))
}

/// The client id of the gateway's own link. No device has one that begins with `$` (A-4, SN-13).
fn own_client_id(gateway_id: u8) -> String {
    format!("$mqttsn-{gateway_id}")
}

fn settings(config: &GatewayConfig) -> Settings {
    Settings {
        retry_ms: u64::try_from(config.retry.as_millis()).unwrap_or(u64::MAX),
        retries: config.retries,
        predefined: config.predefined.clone(),
        messages_max: config.client_messages_max,
        packet_bytes_max: config.packet_bytes_max,
    }
}

impl Gateway {
    /// Where clients reach it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients with a pre-shared key reach it.
    #[must_use]
    pub const fn dtls_address(&self) -> Option<SocketAddr> {
        self.dtls_address
    }

    /// What it has counted since it started.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        self.counters.stats(&self.budget)
    }

    /// Tells every client that it stops, and takes leave of the broker for them: no will is published. A second call
    /// does nothing.
    pub async fn stop(&self) {
        let Some(mut door) = lock(&self.door).take() else { return };
        self.stop.send_replace(true);
        // its clients have STOP_TIMEOUT, and it needs a moment itself
        if tokio::time::timeout(STOP_TIMEOUT + STOP_TIMEOUT, &mut door).await.is_err() {
            door.abort();
        }
        tracing::info!(address = %self.address, "MQTT-SN gateway stopped");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(door) = lock(&self.door).take() {
            door.abort();
        }
    }
}

/// Until the stop, also if the gateway object is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// A client that has a task.
struct Entry {
    inbox: mpsc::Sender<Inbound>,
    peer: Peer,
    /// It connects again while its last session is still taking leave.
    again: Option<(Peer, Connect)>,
}

/// Whoever comes, comes by here.
struct Door {
    settings: Arc<Settings>,
    keys: PskKeys,
    clients_max: usize,
    budget: Arc<Budget>,
    shared: Arc<Shared>,
    searches: mpsc::Sender<Peer>,
    anonymous: mpsc::Sender<Anonymous>,
    handshakes: Arc<Semaphore>,
    /// Those of one address.
    sources: HashMap<IpAddr, Arc<Semaphore>>,
    clients: HashMap<Arc<str>, Entry>,
    peers: HashMap<Peer, Arc<str>>,
    tasks: JoinSet<Ended>,
    task_ids: HashMap<Id, Arc<str>>,
    memory: Memory,
}

impl Door {
    async fn run(
        mut self,
        socket: Arc<UdpSocket>,
        mut decrypted: mpsc::Receiver<Decrypted>,
        mut stopped: watch::Receiver<bool>,
        mut helpers: JoinSet<()>,
    ) {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        let mut secure = true;
        loop {
            tokio::select! {
                () = told(&mut stopped) => break,
                received = socket.recv_from(&mut datagram) => match received {
                    Ok((length, address)) => {
                        let peer = Peer { address, secure: None, node: None };
                        self.take(peer, None, datagram.get(..length).unwrap_or_default());
                    }
                    // such as "port unreachable" about something sent before
                    Err(error) => tracing::debug!(%error, "receiving failed"),
                },
                incoming = decrypted.recv(), if secure => match incoming {
                    Some(Decrypted { address, identity, bytes }) => {
                        let peer = Peer { address, secure: Some(identity.clone()), node: None };
                        self.take(peer, Some(&*identity), &bytes);
                    }
                    None => secure = false,
                },
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.ended(ended),
            }
        }
        self.stop().await;
        // the announcer ends as nobody can ask it any more, the other after it has published what it has
        if tokio::time::timeout(STOP_TIMEOUT, async { while helpers.join_next().await.is_some() {} }).await.is_err() {
            helpers.shutdown().await;
        }
    }

    /// Lets every client go.
    async fn stop(self) {
        let Self { clients, mut tasks, .. } = self;
        drop(clients); // their inboxes close, which they take for the stop
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
            tasks.shutdown().await;
        }
    }

    fn refuse(&self, reason: Reason, peer: &Peer, answer: Packet) {
        self.shared.counters.refuse(reason);
        self.shared.outlet.offer(peer, answer);
    }

    /// A datagram. `identity` is whom its key belongs to, if it came by DTLS.
    fn take(&mut self, mut peer: Peer, identity: Option<&str>, bytes: &[u8]) {
        let Frame { route, packet } = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.shared.counters.malformed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, address = %peer.address, "not a message of MQTT-SN");
                return;
            }
        };
        peer.node = route.map(|route| route.node);
        match packet {
            // full: whoever searches, searches again
            Packet::SearchGateway { .. } => drop(self.searches.try_send(peer)),
            Packet::Connect(connect) => self.connect(peer, identity, connect),
            Packet::PingRequest { client_id } => self.ping(peer, identity, client_id),
            Packet::Publish(publish) if publish.qos == Qos::MinusOne && !self.peers.contains_key(&peer) => self.publish(publish, identity),
            packet => self.forward(peer, packet),
        }
    }

    /// Hands a message to the client that it is of.
    fn forward(&mut self, peer: Peer, packet: Packet) {
        if let Some(entry) = self.peers.get(&peer).and_then(|id| self.clients.get(id)) {
            if entry.inbox.try_send(Inbound { peer, packet }).is_err() {
                self.shared.counters.drop_one(Dropped::Inbox);
            }
            return;
        }
        // Only what a connected client asks for is answered. Two gateways would else talk to each other for ever.
        match packet {
            Packet::Register { .. }
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe { .. }
            | Packet::PingRequest { .. }
            | Packet::WillTopicUpdate(_)
            | Packet::WillMessageUpdate(_) => self.refuse(Reason::Stranger, &peer, Packet::Disconnect { duration_s: None }),
            _ => {}
        }
    }

    /// PINGREQ. With a client id it comes from one that slept, perhaps under a new address.
    fn ping(&mut self, peer: Peer, identity: Option<&str>, client_id: String) {
        let moved = !client_id.is_empty() && !self.peers.contains_key(&peer) && self.may_be(&client_id, identity);
        if moved && let Some((id, _)) = self.clients.get_key_value(client_id.as_str()) {
            let id = id.clone();
            self.take_over(&id, peer.clone());
        }
        self.forward(peer, Packet::PingRequest { client_id });
    }

    /// Whether somebody with the key of `identity`, or with none, may be `client_id`.
    fn may_be(&self, client_id: &str, identity: Option<&str>) -> bool {
        match identity {
            Some(identity) => identity == client_id,
            None => !self.keys.has(client_id),
        }
    }

    /// The client is at `peer` from now on.
    fn take_over(&mut self, id: &Arc<str>, peer: Peer) {
        let Some(entry) = self.clients.get_mut(id) else { return };
        if entry.peer != peer {
            let before = std::mem::replace(&mut entry.peer, peer.clone());
            if self.peers.get(&before) == Some(id) {
                self.peers.remove(&before);
            }
        }
        self.peers.insert(peer, id.clone());
    }

    fn connect(&mut self, peer: Peer, identity: Option<&str>, connect: Connect) {
        let id = connect.client_id.as_str();
        if connect.protocol_id != PROTOCOL_ID {
            return self.refuse(Reason::Protocol, &peer, Packet::ConnAck(ReturnCode::NotSupported));
        }
        if id.len() > CLIENT_ID_BYTES_MAX || check_client_id(id).is_err() {
            return self.refuse(Reason::ClientId, &peer, Packet::ConnAck(ReturnCode::NotSupported));
        }
        if !self.may_be(id, identity) {
            tracing::info!(client = id, address = %peer.address, "refused: the client id belongs to another key");
            return self.refuse(Reason::Identity, &peer, Packet::ConnAck(ReturnCode::NotSupported));
        }
        let id: Arc<str> = id.into();
        match self.clients.get_mut(&id) {
            Some(entry) if entry.inbox.is_closed() => entry.again = Some((peer, connect)),
            Some(_) => self.enter(&id, peer, connect),
            None => {
                let Some(admission) = self.admit(&peer) else { return };
                self.spawn(&id, &peer, admission);
                self.enter(&id, peer, connect);
            }
        }
    }

    /// Its CONNECT goes to the client's task; the client is where it came from.
    fn enter(&mut self, id: &Arc<str>, peer: Peer, connect: Connect) {
        self.take_over(id, peer.clone());
        self.forward(peer, Packet::Connect(connect));
    }

    /// Whether there is room for one more; whoever is not let in is told so.
    fn admit(&mut self, peer: &Peer) -> Option<Admission> {
        let congestion = Packet::ConnAck(ReturnCode::Congestion);
        if self.clients.len() >= self.clients_max {
            self.refuse(Reason::Clients, peer, congestion);
            return None;
        }
        if self.sources.len() >= SOURCES_SWEEP {
            self.sources.retain(|_, source| source.available_permits() < HANDSHAKES_PER_SOURCE_MAX);
        }
        let source = self.sources.entry(peer.address.ip()).or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES_PER_SOURCE_MAX)));
        let Ok(source) = source.clone().try_acquire_owned() else {
            self.refuse(Reason::Source, peer, congestion);
            return None;
        };
        let Ok(all) = self.handshakes.clone().try_acquire_owned() else {
            self.refuse(Reason::Handshakes, peer, congestion);
            return None;
        };
        Some(Admission { _all: all, _source: source })
    }

    fn spawn(&mut self, id: &Arc<str>, peer: &Peer, admission: Admission) {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let session = Session::new(self.settings.clone(), self.budget.clone(), self.memory.take(id));
        let client = Client::new(id.clone(), peer.clone(), session, messages, admission, self.shared.clone());
        let task = self.tasks.spawn(client.run()).id();
        self.task_ids.insert(task, id.clone());
        self.clients.insert(id.clone(), Entry { inbox, peer: peer.clone(), again: None });
        self.shared.counters.clients.store(self.clients.len() as u64, Ordering::Relaxed);
    }

    /// A client's task is over.
    fn ended(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (task, Ended { remembered, again }) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a fault of the program ended an MQTT-SN session: please report it");
                (error.id(), Ended::default())
            }
        };
        let Some(id) = self.task_ids.remove(&task) else { return };
        let entry = self.clients.remove(&id);
        self.shared.counters.clients.store(self.clients.len() as u64, Ordering::Relaxed);
        if let Some(remembered) = remembered {
            self.memory.put(id.clone(), remembered);
        }
        let Some(entry) = entry else { return };
        if self.peers.get(&entry.peer) == Some(&id) {
            self.peers.remove(&entry.peer);
        }
        if let Some((peer, connect)) = entry.again.or(again)
            && let Some(admission) = self.admit(&peer)
        {
            self.spawn(&id, &peer, admission);
            self.enter(&id, peer, connect);
        }
    }

    /// Whether somebody with the key of `identity`, or with none, may say what is on `topic`: not for a device that has a key
    /// and comes by it (SN-72). Which client id a device has is not known here, its ID or its full name.
    fn may_say(&self, topic: &str, identity: Option<&str>) -> bool {
        let Some(device) = topic.parse::<Topic>().ok().and_then(|topic| topic.publisher()) else { return true };
        let ids = [device.device.to_string(), device.to_string()];
        ids.iter().any(|id| identity == Some(id.as_str())) || !ids.iter().any(|id| self.keys.has(id))
    }

    /// A publish of QoS −1 of somebody who is not connected.
    fn publish(&mut self, publish: Publish, identity: Option<&str>) {
        let Publish { topic, data: payload, retain, .. } = publish;
        let topic = match topic {
            TopicRef::Normal(_) => None,
            TopicRef::Predefined(id) => self.settings.predefined.get(&id).cloned(),
            TopicRef::Short(name) => std::str::from_utf8(&name).ok().map(ToString::to_string),
        };
        let sent = topic.filter(|topic| is_topic(topic) && self.may_say(topic, identity)).is_some_and(|topic| {
            let publish = Anonymous { topic, payload, retain };
            self.anonymous.try_send(publish).is_ok()
        });
        if !sent {
            self.shared.counters.drop_one(Dropped::Anonymous);
        }
    }
}
