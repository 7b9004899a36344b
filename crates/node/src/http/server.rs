//! What the handlers share, the routes, and the listener.

use super::access::{self, Gate};
use super::overview::{self, Watch};
use super::problem::Problem;
use super::ring::Ring;
use super::tls::{Tls, TlsError};
use super::{events, listener as door, routes};
use crate::clock::now_us;
use crate::config::{Config, HttpConfig, HttpTls};
use crate::exchange::Exchange;
use crate::metrics::{Metrics, Watched};
use crate::roles::RoleParts;
use crate::site::Site;
use crate::spends::Spends;
use crate::things::Things;
use crate::tokens::Tokens;
use axum::Router;
use axum::middleware::from_fn_with_state;
use protocol::{Genesis, PublicKey};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};

/// Why HTTP cannot be served.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen for HTTP on {address}: {why}; stop the program that holds the port, or choose another by http.listen in the configuration"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// HTTPS cannot be spoken.
    #[error("HTTPS: {0}")]
    Tls(#[from] TlsError),
    /// The listener cannot be used.
    #[error("HTTP stopped: {0}")]
    Serve(io::Error),
}

/// What the handlers need to know.
pub(crate) struct Parts {
    /// How people call this node.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: PublicKey,
    /// Whether it keeps everything.
    pub(crate) archive: bool,
    /// Its network.
    pub(crate) genesis: Genesis,
    /// Its ledger.
    pub(crate) ledger: replica::Handle,
    /// The engine, for its metrics.
    pub(crate) runtime: replica::Runtime,
    /// Its site, if it serves one.
    pub(crate) site: Option<Site>,
    /// The Thing Descriptions it keeps.
    pub(crate) things: Things,
    /// Its MQTT-SN gateway, if it runs one.
    pub(crate) gateway: Option<Arc<mqtt::sn::Gateway>>,
    /// Other parts of the site that run in this process, apart from it.
    pub(crate) roles: Option<Arc<RoleParts>>,
    /// What its site and others tell each other, if it takes part.
    pub(crate) exchange: Option<Exchange>,
    /// What wallets spend, and what there is to buy.
    pub(crate) spends: Spends,
    /// Its metrics.
    pub(crate) metrics: Metrics,
    /// How its HTTP interface is configured,
    pub(crate) http: HttpConfig,
    /// where certificate and key of HTTPS are, if it is spoken,
    pub(crate) tls: Option<HttpTls>,
    /// and where its tokens are kept.
    pub(crate) tokens_file: PathBuf,
    /// The whole configuration, for people.
    pub(crate) settings: serde_json::Value,
    /// Bytes that unconfirmed readings may take.
    pub(crate) cache_limit_bytes: u64,
    /// What its metrics look at beside its parts.
    pub(crate) watched: Watched,
    /// When it started.
    pub(crate) started: Instant,
    /// Set when it stops, so that endless answers end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

/// The parts, and what they are watched and guarded by.
struct Shared {
    parts: Parts,
    gate: Gate,
    ring: Ring,
    watch: Watch,
    listeners: Arc<Semaphore>,
}

impl AppState {
    /// Shares the parts.
    #[must_use]
    pub(crate) fn new(parts: Parts) -> Self {
        let gate = Gate::new(&parts.http, Arc::new(Tokens::new(parts.tokens_file.clone())));
        let listeners = Arc::new(Semaphore::new(usize::try_from(parts.http.listeners).unwrap_or(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Shared { gate, ring: Ring::new(now_us()), watch: Watch::default(), listeners, parts }))
    }

    /// Who may ask.
    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// What listeners are told.
    pub(super) fn ring(&self) -> &Ring {
        &self.0.ring
    }

    /// How the node is at a glance.
    pub(super) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// Places of listeners to events.
    pub(super) fn listeners(&self) -> &Arc<Semaphore> {
        &self.0.listeners
    }

    /// The site, or the problem that there is none.
    pub(super) fn require_site(&self) -> Result<&Site, Problem> {
        self.site.as_ref().ok_or_else(|| {
            Problem::not_found("this node serves no site, so it has no readings of its own: ask the node of the devices' site")
        })
    }
}

impl Deref for AppState {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

/// Routes, with what stands before and behind all of them.
pub(super) fn finished(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .fallback(|| async {
            Problem::not_found("no such path: the API is under /api/v1 (/api lists it), with /metrics and /healthz beside it")
        })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(from_fn_with_state(state.clone(), access::outer))
        .with_state(state)
}

/// Takes the port.
///
/// # Errors
/// [`HttpError::Bind`] naming the address and what to do.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).map_err(|why| HttpError::Bind { address, why })
}

fn connections(config: &HttpConfig) -> usize {
    usize::try_from(config.connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Serves a process that has no ledger node, with the same tokens, limits and HTTPS, until `stop` is set and the requests under
/// way are answered.
///
/// # Errors
/// [`HttpError`] if the listener cannot be used, or the certificate.
pub(crate) async fn serve_parts(
    listener: TcpListener,
    routes: Router,
    config: &Config,
    stop: watch::Receiver<bool>,
) -> Result<(), HttpError> {
    listener.set_nonblocking(true).map_err(HttpError::Serve)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(HttpError::Serve)?;
    let tls = config.http_tls().map(Tls::new).transpose()?;
    let gate = Arc::new(Gate::new(&config.http, Arc::new(Tokens::new(config.tokens_file()))));
    let guarded = routes.layer(from_fn_with_state(gate, access::require_read));
    door::serve(listener, guarded, tls, connections(&config.http), stop).await;
    Ok(())
}

/// Serves until `state.stop` is set and the requests under way are answered.
///
/// # Errors
/// [`HttpError`] if the listener cannot be used, or the certificate.
pub(crate) async fn serve(listener: TcpListener, state: AppState) -> Result<(), HttpError> {
    listener.set_nonblocking(true).map_err(HttpError::Serve)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(HttpError::Serve)?;
    let tls = state.tls.clone().map(Tls::new).transpose()?;
    let connections = connections(&state.http);
    let helpers = [tokio::spawn(events::pump(state.clone())), tokio::spawn(overview::watch(state.clone()))];
    let stop = state.stop.clone();
    door::serve(listener, routes::all(state), tls, connections, stop).await;
    helpers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Open;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn asked(address: SocketAddr, path: &str) -> String {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        client.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn parts_without_a_ledger_node_ask_for_a_token_too() {
        for (open, status) in [(Open::None, "401"), (Open::Loopback, "200")] {
            let mut config = Config::default();
            config.http.open = open;
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let routes = Router::new().route("/healthz", get(|| async { "ok" })).route("/metrics", get(|| async { "figures" }));
            let (stop, stopped) = watch::channel(false);
            let served = tokio::spawn(async move { serve_parts(listener, routes, &config, stopped).await });
            assert!(asked(address, "/healthz").await.ends_with("ok"));
            assert!(asked(address, "/metrics").await.starts_with(&format!("HTTP/1.1 {status}")), "{open:?}");
            stop.send_replace(true);
            served.await.unwrap().unwrap();
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let message = bind(address).unwrap_err().to_string();
        assert!(message.contains(&address.to_string()) && message.contains("http.listen"), "{message}");
    }
}
