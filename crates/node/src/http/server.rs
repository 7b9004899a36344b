//! What the handlers share, the routes, and the listener.

use super::problem::Problem;
use super::{
    coins, committee, devices, events, head, messages, metrics, milestones, orders, readings, receipts, requests, services, spends, state,
};
use super::{status, sync, things, validators, wallets};
use crate::exchange::Exchange;
use crate::metrics::Metrics;
use crate::roles::RoleParts;
use crate::site::Site;
use crate::spends::Spends;
use crate::things::Things;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use protocol::{Genesis, PublicKey};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tokio::sync::watch;

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
    /// When it started.
    pub(crate) started: Instant,
    /// Set when it stops, so that endless answers end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

/// The parts, and the source of events.
struct Shared {
    parts: Parts,
    told: events::Told,
}

impl AppState {
    /// Shares the parts.
    #[must_use]
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared { parts, told: events::Told::new() }))
    }

    /// The source of events that the replica tells.
    pub(super) fn told(&self) -> &events::Told {
        &self.0.told
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

/// Every route.
fn router(state: AppState) -> Router {
    Router::new()
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/messages", get(messages::list))
        .route("/api/v1/messages/{id}", get(messages::one))
        .route("/api/v1/milestones", get(milestones::list))
        .route("/api/v1/milestones/{height}", get(milestones::one))
        .route("/api/v1/readings", get(readings::list))
        .route("/api/v1/readings/{*reference}", get(readings::one))
        .route("/api/v1/receipts/{*reference}", get(receipts::one))
        .route("/api/v1/committee", get(committee::committee))
        .route("/api/v1/head", get(head::head))
        .route("/api/v1/state/{kind}/{key}", get(state::one))
        // the name of a site may have several levels
        .route("/api/v1/state/sites/{*site}", get(state::site))
        .route("/api/v1/state/devices/{*device}", get(state::device))
        .route("/api/v1/sync", post(sync::answer).layer(DefaultBodyLimit::max(sync::QUESTION_BYTES_MAX)))
        .route("/api/v1/validators", get(validators::list))
        .route("/api/v1/validators/{key}", get(validators::one))
        .route("/api/v1/epoch", get(validators::epoch))
        .route("/api/v1/wallets/{key}", get(wallets::one))
        .route("/api/v1/wallets/{key}/stakes/{validator}", get(wallets::stake))
        .route("/api/v1/orders", post(orders::post))
        .route("/api/v1/spends", get(spends::list).post(spends::post))
        .route("/api/v1/spends/{id}", get(spends::one))
        .route("/api/v1/spends/{id}/certificate", get(spends::certificate))
        .route("/api/v1/services", get(services::list))
        .route("/api/v1/services/{id}", get(services::one))
        .route("/api/v1/purchases/{id}", get(services::purchase))
        .route("/api/v1/parameters", get(coins::parameters))
        .route("/api/v1/coins", get(coins::coins))
        .route("/api/v1/devices", get(devices::list))
        .route("/api/v1/devices/{*device}", get(devices::one))
        .route("/api/v1/sites/{*site}", get(devices::site))
        .route("/api/v1/device-keys/{key}", get(devices::key))
        .route("/api/v1/things", get(things::list))
        .route("/api/v1/things/{*device}", get(things::one).put(things::put).layer(DefaultBodyLimit::max(edge::thing::THING_BYTES_MAX)))
        .route("/.well-known/wot", get(things::well_known))
        .route("/api/v1/requests", get(requests::list))
        .route("/api/v1/events", get(events::events))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(status::healthz))
        .fallback(|| async { Problem::not_found("no such path: the API is under /api/v1, with /metrics and /healthz beside it") })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .with_state(state)
}

/// Takes the port.
///
/// # Errors
/// [`HttpError::Bind`] naming the address and what to do.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    TcpListener::bind(address).map_err(|why| HttpError::Bind { address, why })
}

/// Serves until `state.stop` is set and the requests under way are answered.
///
/// # Errors
/// [`HttpError::Serve`] if the listener cannot be used.
pub(crate) async fn serve(listener: TcpListener, state: AppState) -> Result<(), HttpError> {
    listener.set_nonblocking(true).map_err(HttpError::Serve)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(HttpError::Serve)?;
    let pump = tokio::spawn(events::pump(state.clone()));
    let mut stop = state.stop.clone();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let served = axum::serve(listener, router(state)).with_graceful_shutdown(stopped).await;
    pump.abort();
    served.map_err(HttpError::Serve)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let message = bind(address).unwrap_err().to_string();
        assert!(message.contains(&address.to_string()) && message.contains("http.listen"), "{message}");
    }
}
