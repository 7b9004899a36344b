//! A process that runs parts of a site and no ledger node: it needs no genesis and no key of a validator.
//!
//! Its HTTP interface has `/healthz` (503 while a part does not reach the broker), `/metrics` and `/api/v1/status`; the last two need
//! the scope read, as at a ledger node.

use super::{Failed, RoleParts};
use crate::config::{BrokerConfig, Config};
use crate::http;
use crate::lock::DirLock;
use crate::supervisor;
use anyhow::{Context as _, anyhow};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long requests under way may take when the process stops.
const HTTP_STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A process that may start: everything that can be checked beforehand was.
pub(crate) struct Prepared {
    config: Config,
    http: TcpListener,
    _lock: DirLock,
}

/// Parts that run.
#[derive(Clone, Debug)]
pub(crate) struct RolesRunning {
    /// How people call the process.
    pub(crate) name: String,
    /// The site.
    pub(crate) site: String,
    /// Its parts.
    pub(crate) roles: Vec<String>,
    /// Where HTTP is served.
    pub(crate) http: SocketAddr,
    /// Whether over TLS.
    pub(crate) https: bool,
    /// Where devices publish, if the broker is among them.
    pub(crate) broker: Option<String>,
    /// Where MQTT-SN clients come, if the gateway is.
    pub(crate) mqttsn: Option<SocketAddr>,
}

/// Takes the data directory and checks ports and files.
///
/// # Errors
/// One that says what, where and what to do.
pub(crate) fn prepare(config: &Config) -> anyhow::Result<Prepared> {
    config.check().map_err(|(key, why)| anyhow!("configuration: {key}: {why}"))?;
    let data = config.data_dir();
    std::fs::create_dir_all(&data)
        .with_context(|| format!("cannot make the data directory {}: choose another by node.data_dir", data.display()))?;
    let lock = DirLock::take(&data)?;
    if let Some(tls) = config.http_tls() {
        http::try_tls(&tls).context("HTTPS")?;
    }
    let http = http::bind(config.http.listen)?;
    for (key, address) in config.broker.iter().flat_map(BrokerConfig::listeners) {
        TcpListener::bind(address).map(drop).with_context(|| {
            format!("cannot listen for MQTT on {address}: stop the program that holds the port, or choose another by {key}")
        })?;
    }
    if let (Some(broker), Some(site)) = (&config.broker, config.site_name()) {
        broker.security(&config.base).try_files(&site).context("the site's broker")?;
    }
    Ok(Prepared { config: config.clone(), http, _lock: lock })
}

/// Runs the parts until SIGINT or SIGTERM, or until one of them fails. `ready` is called once, when they have started; whether
/// they reach the broker is `/healthz` to say.
///
/// # Errors
/// One that says which part could not start, or has failed, and what to do.
pub(crate) async fn run(prepared: Prepared, ready: impl FnOnce(&RolesRunning)) -> anyhow::Result<()> {
    let mut asked = std::pin::pin!(crate::assembly::asked_to_stop()?);
    let Prepared { config, http, _lock } = prepared;
    let (failed, mut heard) = Failed::channel();
    let parts = tokio::select! {
        parts = RoleParts::start(&config, &failed) => Arc::new(parts?),
        () = &mut asked => return Ok(()),
    };
    let roles: Vec<String> = config.roles().unwrap_or_default().iter().map(ToString::to_string).collect();
    let running = RolesRunning {
        name: config.node.name.clone(),
        site: config.site.as_ref().map(|site| site.name.clone()).unwrap_or_default(),
        roles,
        http: http.local_addr().context("the HTTP listener")?,
        https: config.http.tls.is_some(),
        broker: parts.broker_address(),
        mqttsn: parts.gateway().map(|gateway| gateway.address()),
    };
    let (stop, stopped) = watch::channel(false);
    let server = Arc::new(Server { running: running.clone(), started: Instant::now(), parts: parts.clone() });
    let mut served = tokio::spawn(serve(http, server, config, stopped));
    tracing::info!(name = %running.name, site = %running.site, parts = %running.roles.join(" "), http = %running.http, "parts of a site run");
    ready(&running);
    let outcome = tokio::select! {
        () = &mut asked => Ok(()),
        error = first(&mut heard) => Err(error),
        ended = &mut served => Err(anyhow!("HTTP ended: {ended:?}")),
    };
    tracing::info!("stopping");
    supervisor::stopping();
    parts.stop().await;
    stop.send_replace(true);
    end(served).await;
    outcome
}

async fn end(served: JoinHandle<anyhow::Result<()>>) {
    if served.is_finished() {
        return;
    }
    let abort = served.abort_handle();
    if tokio::time::timeout(HTTP_STOP_TIMEOUT, served).await.is_err() {
        abort.abort();
    }
}

/// The first part that says that it cannot go on.
async fn first(heard: &mut mpsc::Receiver<String>) -> anyhow::Error {
    match heard.recv().await {
        Some(why) => anyhow!("{why}"),
        None => std::future::pending().await,
    }
}

/// What the handlers share.
struct Server {
    running: RolesRunning,
    started: Instant,
    parts: Arc<RoleParts>,
}

async fn serve(listener: TcpListener, server: Arc<Server>, config: Config, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such path: /api/v1/status, /metrics and /healthz are here") })
        .with_state(server);
    http::serve_parts(listener, router, &config, stop).await.context("HTTP stopped")
}

async fn healthz(State(server): State<Arc<Server>>) -> (StatusCode, String) {
    match server.parts.trouble() {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        None => (StatusCode::OK, "ok".to_owned()),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let text = server.parts.report().await.metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn status(State(server): State<Arc<Server>>) -> Json<Value> {
    let RolesRunning { name, site, roles, .. } = &server.running;
    let parts = server.parts.report().await.json();
    Json(json!({
        "name": name,
        "site": site,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": u64::try_from(server.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "roles": roles,
        "trouble": server.parts.trouble(),
        "parts": parts,
        "mqttsn": server.parts.gateway().map(|gateway| http::gateway_json(gateway)),
    }))
}
