//! The listener: connections, within bounds that slow clients meet.
//!
//! ```text
//! accept ─ a place? its share? ─▶ (TLS) ─▶ HTTP/1.1 ─▶ router
//! ```
//! | who is slow | what ends it |
//! |---|---|
//! | with a handshake | [`HANDSHAKE_TIMEOUT`] |
//! | with headers, or idle | [`HEADERS_TIMEOUT`] |
//! | with a body | the time that an answer may take (`access`) |
//! | with reading an answer | [`STALL_MAX`] without a byte taken |
//!
//! Nobody takes all places: one customer elsewhere has a share of them ([`SHARE`]).

use super::access::{Client, local};
use super::limits::customer;
use super::tls::Tls;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the headers of a request may take, from the end of the one before.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client may take no byte of an answer.
const STALL_MAX: Duration = Duration::from_secs(30);
/// The pause after a connection could not be accepted, as when files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may go on once the node stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of all headers of a request.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// One customer elsewhere has at most one place in so many.
const SHARE: usize = 4;

/// Serves until `stop` is set and the requests under way are answered.
pub(super) async fn serve(listener: TcpListener, router: Router, tls: Option<Tls>, connections: usize, mut stop: watch::Receiver<bool>) {
    let (places, guests) = (Arc::new(Semaphore::new(connections)), Arc::new(Guests::default()));
    let mut tasks = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = told(&mut stop) => break,
        };
        let Ok(place) = place else { break };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(why) => {
                    tracing::warn!("HTTP: a connection cannot be accepted: {why}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = told(&mut stop) => break,
        };
        while tasks.try_join_next().is_some() {}
        let most = if local(address.ip()) { usize::MAX } else { (connections / SHARE).max(1) };
        let Some(guest) = guests.enter(customer(address.ip()), most) else {
            tracing::debug!(%address, "HTTP: it has its share of connections");
            continue;
        };
        let tls = tls.as_ref().map(Tls::config);
        tasks.spawn(connection(stream, address, router.clone(), tls, stop.clone(), (place, guest)));
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// How many connections each customer has.
#[derive(Default)]
struct Guests(Mutex<HashMap<IpAddr, usize>>);

/// A connection of a customer, until it is dropped.
struct Guest {
    guests: Arc<Guests>,
    customer: IpAddr,
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection more, unless the customer has `most` of them, which are at least one.
    fn enter(self: &Arc<Self>, customer: IpAddr, most: usize) -> Option<Guest> {
        let mut counts = self.lock();
        let count = counts.entry(customer).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Guest { guests: self.clone(), customer })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.lock();
        let left = counts.get(&self.customer).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.customer);
        } else {
            counts.insert(self.customer, left);
        }
    }
}

/// Resolves when asked to stop, or when nobody is left to ask.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    stop: watch::Receiver<bool>,
    _held: (OwnedSemaphorePermit, Guest),
) {
    let _ = stream.set_nodelay(true);
    let stream = Impatient { stream, patience: STALL_MAX, deadline: None };
    let Some(config) = tls else { return speak(stream, address, router, stop).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, address, router, stop).await,
        Ok(Err(why)) => tracing::debug!(%address, "HTTPS: the handshake failed: {why}"),
        Err(_) => tracing::debug!(%address, "HTTPS: the handshake took too long"),
    }
}

/// Speaks HTTP until the connection ends.
async fn speak<S>(io: S, address: SocketAddr, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Client(address));
        inner.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT).max_buf_size(HEADER_BYTES_MAX).max_headers(HEADERS_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(why) = ended {
        tracing::debug!(%address, "HTTP: {why}");
    }
}

/// A stream that gives up when the other side takes nothing for too long.
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    /// What a write came to, unless it has waited for too long.
    fn watched<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.deadline = None;
            return done;
        }
        let patience = self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        deadline.as_mut().poll(cx).map(|()| Err(io::Error::from(ErrorKind::TimedOut)))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn asked(address: SocketAddr) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[test]
    fn a_customer_has_a_share_of_the_places() {
        let guests = Arc::new(Guests::default());
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap());
        let first = guests.enter(one, 2);
        let second = guests.enter(one, 2);
        assert!(first.is_some() && second.is_some() && guests.enter(one, 2).is_none());
        assert!(guests.enter(other, 2).is_some());
        drop(first);
        let third = guests.enter(one, 2);
        assert!(third.is_some());
        drop((second, third));
        assert!(guests.lock().is_empty(), "who is gone is forgotten");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = Impatient { stream, patience: Duration::from_millis(50), deadline: None };
        let piece = vec![0_u8; 1 << 16];
        // what the system holds for the client is full at some time
        let why = loop {
            if let Err(why) = stream.write_all(&piece).await {
                break why;
            }
        };
        assert_eq!(why.kind(), ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn it_answers_until_it_is_stopped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let seen = |request: axum::extract::Request| async move { request.extensions().get::<Client>().unwrap().0.ip().to_string() };
        let router = Router::new().route("/", get(seen));
        let served = tokio::spawn(serve(listener, router, None, 1, stopped));
        // one place, used again and again
        for _ in 0..3 {
            assert!(asked(address).await.ends_with("127.0.0.1"));
        }
        // a client that says nothing does not keep it from stopping
        let _silent = TcpStream::connect(address).await.unwrap();
        stop.send_replace(true);
        served.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
