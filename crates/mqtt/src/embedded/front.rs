//! What stands before rmqtt on every listener with TLS and on every one that is reached from outside this machine.
//!
//! rmqtt reads its certificates once, knows no optional client certificate and no revocation list, and lets a socket stay
//! that sends nothing. So these connections end here, and what they carry goes on to a listener of rmqtt on the loopback
//! interface ([decision 0016](../../../../docs/decisions/0016-a-front-before-rmqtt.md)).
//!
//! Rules:
//! - Whoever is let in on the inner listener was announced here before, under the address of our end. A process of this
//!   machine that connects to the inner listener by itself is a stranger and refused.
//! - TLS handshake and CONNECT have [`HANDSHAKE_TIMEOUT`] together. Who has not been admitted then is cut off.
//! - An announcement ends before its socket does, so an address never stands for two connections.
//! - A connection that said something and ended without a CONNECT is counted.
//!
//! ```text
//! client ══TLS══▶ accept ─▶ rate, room ─▶ handshake ─▶ announce (address, certificate) ─▶ ═══ 127.0.0.1 ═══▶ rmqtt ─▶ doorman
//!                    └─ too many: closed      └─ failed: closed                                            asks who was announced
//! ```

use super::tls::{self, Tls};
use crate::access::{AccessCounters, Certificate, ConnectionRates, Limits, Refused};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

/// How long a client may take from its first packet until it is admitted.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one side may take to close after the other did.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may take nothing of what it is sent. rmqtt gives up after ten seconds, and closes.
const STALL_MAX: Duration = Duration::from_secs(20);
/// The pause after the system gave no socket, for example because there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are carried at once, each way.
const CHUNK_BYTES: usize = 4096;
/// Time between two lines that connections are refused for their number.
const TELL_INTERVAL_US: u64 = 10_000_000;

/// A connection that the front made to rmqtt for a client.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where the client is.
    pub(super) address: SocketAddr,
    /// What it showed.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// The client has sent something.
    spoke: AtomicBool,
    /// It was a CONNECT, which the doorman judged.
    judged: AtomicBool,
    admitted: AtomicBool,
}

impl Peer {
    fn new(address: SocketAddr, certificate: Option<Arc<Certificate>>) -> Self {
        let no = || AtomicBool::new(false);
        Self { address, certificate, spoke: no(), judged: no(), admitted: no() }
    }

    /// The client has sent a CONNECT, whatever becomes of it.
    pub(super) fn judge(&self) {
        self.judged.store(true, Ordering::Relaxed);
    }

    /// The client has said something, and none of it was a CONNECT.
    fn babbled(&self) -> bool {
        self.spoke.load(Ordering::Relaxed) && !self.judged.load(Ordering::Relaxed)
    }

    /// The client is somebody.
    pub(super) fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }
}

/// Who is behind the addresses on the inner listeners.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<HashMap<SocketAddr, Arc<Peer>>>);

impl Peers {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who was announced under `address`.
    pub(super) fn get(&self, address: &SocketAddr) -> Option<Arc<Peer>> {
        self.lock().get(address).cloned()
    }

    fn announce(&self, address: SocketAddr, peer: Arc<Peer>) -> Announced<'_> {
        self.lock().insert(address, peer);
        Announced { peers: self, address }
    }
}

/// An announcement; it ends with this.
struct Announced<'a> {
    peers: &'a Peers,
    address: SocketAddr,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.peers.lock().remove(&self.address);
    }
}

/// What all doors share.
pub(super) struct Front {
    peers: Arc<Peers>,
    counters: Arc<AccessCounters>,
    rates: Mutex<ConnectionRates>,
    room: Arc<Semaphore>,
    started: Instant,
    told_us: AtomicU64,
    stop: watch::Receiver<bool>,
}

/// One listener.
pub(super) struct Door {
    /// Where clients come in.
    pub(super) listener: TcpListener,
    /// How they speak; without it in the clear.
    pub(super) tls: Option<Arc<Tls>>,
    /// Where rmqtt listens for what they say.
    pub(super) inner: SocketAddr,
}

impl Front {
    pub(super) fn new(limits: &Limits, peers: Arc<Peers>, counters: Arc<AccessCounters>, stop: watch::Receiver<bool>) -> Self {
        Self {
            peers,
            counters,
            rates: Mutex::new(ConnectionRates::new(limits, 0)),
            room: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            started: Instant::now(),
            told_us: AtomicU64::new(0),
            stop,
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Tells now and then that connections are refused for their number: a storm must not fill the log too.
    fn turn_away(&self, address: SocketAddr, why: &str) {
        self.counters.refused(Refused::ConnectionRate);
        let now_us = self.now_us();
        let last_us = self.told_us.load(Ordering::Relaxed);
        let due = last_us == 0 || now_us.saturating_sub(last_us) >= TELL_INTERVAL_US;
        if due && self.told_us.compare_exchange(last_us, now_us.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::info!(%address, reason = Refused::ConnectionRate.reason(), "connections are refused: {why}");
        }
    }

    fn refuse(&self, address: SocketAddr, refused: Refused, why: &str) {
        self.counters.refused(refused);
        tracing::info!(%address, reason = refused.reason(), "connection refused: {why}");
    }

    /// Takes clients until the task is ended.
    pub(super) async fn serve(self: Arc<Self>, door: Door) {
        let Door { listener, tls, inner } = door;
        loop {
            let (socket, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection could be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let now_us = self.now_us();
            if !self.rates.lock().unwrap_or_else(PoisonError::into_inner).admit(address.ip(), now_us) {
                self.turn_away(address, "too many begin in a second");
                continue;
            }
            let Ok(room) = self.room.clone().try_acquire_owned() else {
                self.turn_away(address, "there are as many as broker.limits.connections allows");
                continue;
            };
            let (front, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                front.connection(socket, address, tls.as_deref(), inner).await;
                drop(room);
            });
        }
    }

    async fn connection(&self, socket: TcpStream, address: SocketAddr, tls: Option<&Tls>, inner: SocketAddr) {
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%address, %error, "the connection was gone at once");
            return;
        }
        let Some(tls) = tls else {
            return self.forward(socket, address, None, inner, deadline).await;
        };
        let stream = match timeout_at(deadline, TlsAcceptor::from(tls.config()).accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.refuse(address, tls::refusal(&error), &error.to_string()),
            Err(_) => return self.refuse(address, Refused::Handshake, "no TLS handshake in time"),
        };
        let shown = stream.get_ref().1.peer_certificates();
        let chain: Option<Vec<Vec<u8>>> = shown.map(|chain| chain.iter().map(|der| der.to_vec()).collect());
        let certificate = match chain.map(Certificate::new).transpose() {
            Ok(certificate) => certificate.map(Arc::new),
            Err(why) => return self.refuse(address, Refused::Subject, why),
        };
        self.forward(stream, address, certificate, inner, deadline).await;
    }

    /// Makes the connection to rmqtt, announces it, and carries bytes until one side ends.
    async fn forward<S>(&self, client: S, address: SocketAddr, certificate: Option<Arc<Certificate>>, inner: SocketAddr, deadline: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connected = async {
            let broker = TcpStream::connect(inner).await?;
            broker.set_nodelay(true)?;
            let ours = broker.local_addr()?;
            io::Result::Ok((broker, ours))
        };
        let (mut broker, ours) = match connected.await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::warn!(%address, %error, "the embedded broker does not take a connection");
                return;
            }
        };
        let peer = Arc::new(Peer::new(address, certificate));
        // Nothing has been sent yet, so rmqtt cannot have asked who this is.
        let announced = self.peers.announce(ours, peer.clone());
        if !carry(client, &mut broker, &peer, deadline, self.stop.clone()).await {
            self.refuse(address, Refused::Handshake, "no CONNECT in time");
        } else if peer.babbled() && !*self.stop.borrow() {
            self.refuse(address, Refused::NoConnect, "what was sent is no CONNECT");
        }
        drop(announced);
        drop(broker);
    }
}

/// Carries bytes both ways until one side ends, or the broker stops. False: the client was not admitted in time.
async fn carry<S>(client: S, broker: &mut TcpStream, peer: &Peer, deadline: Instant, mut stop: watch::Receiver<bool>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_broker, to_broker) = broker.split();
    let answered = AtomicBool::new(false);
    // the broker may take its time: it reads on when what it has is kept
    let mut up = pin!(copy(from_client, to_broker, &peer.spoke, None));
    let mut down = pin!(copy(from_broker, to_client, &answered, Some(STALL_MAX)));
    let late = async {
        sleep_until(deadline).await;
        if peer.admitted.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    // What the slower side still has to say goes out, but nobody is waited for without end.
    tokio::select! {
        () = &mut up => {
            let _ = timeout(CLOSE_TIMEOUT, &mut down).await;
            true
        }
        () = &mut down => {
            let _ = timeout(CLOSE_TIMEOUT, &mut up).await;
            true
        }
        () = late => false,
        () = stopped(&mut stop) => true,
    }
}

/// Resolves when the broker stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Carries bytes until the end or an error, or until the far side takes none for `patience`; then closes it. `some` becomes true
/// with the first byte.
async fn copy<R, W>(mut from: R, mut to: W, some: &AtomicBool, patience: Option<Duration>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
        let Some(read) = chunk.get(..bytes) else { break };
        some.store(true, Ordering::Relaxed);
        let write = async {
            to.write_all(read).await?;
            to.flush().await
        };
        let written = match patience {
            Some(patience) => timeout(patience, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            None => write.await,
        };
        if written.is_err() {
            break;
        }
    }
    // TLS takes leave with bytes of its own, which a client that takes none does not take either
    let _ = timeout(CLOSE_TIMEOUT, to.shutdown()).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_ends_with_its_guard() {
        let peers = Peers::default();
        let address: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let peer = Arc::new(Peer::new(address, None));
        let announced = peers.announce(address, peer);
        assert!(peers.get(&address).is_some());
        drop(announced);
        assert!(peers.get(&address).is_none());
    }

    /// A client that took nothing held its connection, and its place among those that are allowed, for ever.
    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        const SAID: &[u8] = &[0; 64];
        let (to, _silent) = tokio::io::duplex(16);
        let some = AtomicBool::new(false);
        let carried = copy(SAID, to, &some, Some(Duration::from_millis(20)));
        assert!(timeout(Duration::from_secs(30), carried).await.is_ok(), "it must end");
    }

    #[test]
    fn who_speaks_and_is_not_judged_has_babbled() {
        let peer = Peer::new("127.0.0.1:5".parse().unwrap(), None);
        assert!(!peer.babbled(), "a look at the port is none");
        peer.spoke.store(true, Ordering::Relaxed);
        assert!(peer.babbled());
        peer.judge();
        assert!(!peer.babbled());
    }
}
