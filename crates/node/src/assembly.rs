//! Puts a node together: checks what it was given, starts the parts in order, stops them in order.
//!
//! ```text
//! prepare: lock ─ genesis ─ key ─ network ─ ports          (nothing has been written to the ledger yet)
//! run:     replica ─▶ log ─▶ recovery ─▶ index ─▶ fog ─▶ broker ─▶ site ─▶ MQTT-SN ─▶ HTTP ─▶ ready
//! stop:    MQTT-SN ─▶ broker ─▶ site ─▶ index ─▶ HTTP      (first nothing comes in, then what is in is finished)
//! ```
//! A stop loses nothing that a kill would not keep: it only spares the next start some work.

mod brokers;
mod numbers;
mod prepare;
mod processing;
mod site;

pub(crate) use brokers::{credentials, reload_on_hangup, start_gateway};
pub(crate) use prepare::{Prepared, check_committee, prepare, read_genesis, read_key};
pub(crate) use site::open_log;

use crate::config::RetentionConfig;
use crate::http::{self, AppState, HttpError};
use crate::metrics::{Metrics, Watched};
use crate::roles::{Failed, RoleParts};
use crate::spends::Spends;
use crate::supervisor;
use crate::things::Things;
use anyhow::{Context as _, anyhow};
use protocol::NetworkId;
use site::{RunningSite, start_site};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long requests under way may take when the node stops.
const HTTP_STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Prefix of the replica's storage partitions.
const LEDGER_PREFIX: &str = "node";

/// A node that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// How people call it.
    pub(crate) name: String,
    /// Its network.
    pub(crate) network: NetworkId,
    /// Where peers reach it.
    pub(crate) ledger: SocketAddr,
    /// Where HTTP is served.
    pub(crate) http: SocketAddr,
    /// Whether over TLS.
    pub(crate) https: bool,
    /// Where devices publish, if it serves a site.
    pub(crate) broker: Option<String>,
    /// Where MQTT-SN clients come, if it runs a gateway.
    pub(crate) mqttsn: Option<SocketAddr>,
}

/// Starts the node and runs it until SIGINT or SIGTERM, or until a part of it fails. `ready` is called once, when
/// everything answers.
///
/// # Errors
/// One that says which part could not start, or has failed, and what to do.
pub(crate) async fn run(runtime: replica::Runtime, prepared: Prepared, ready: impl FnOnce(&Running)) -> anyhow::Result<()> {
    let mut asked = pin!(asked_to_stop()?);
    let ended = runtime.clone();
    let mut node = tokio::select! {
        node = Node::start(runtime, prepared) => node?,
        () = &mut asked => return Ok(()),
    };
    let Running { name, network, ledger, http, https: _, broker, mqttsn: _ } = &node.running;
    tracing::info!(node = %name, %network, %ledger, %http, broker = broker.as_deref().unwrap_or("none"), "the node runs");
    ready(&node.running);
    let outcome = tokio::select! {
        () = &mut asked => Ok(()),
        error = site_failed(&mut node.site) => Err(error),
        error = http_failed(&mut node.http) => Err(error),
        error = part_failed(&mut node.failed) => Err(error),
        () = ended.stopped() => Err(anyhow!(
            "the ledger node has stopped: its storage failed, the log above says how; see that the disk is neither full nor read-only, run `wattle check`, and start again"
        )),
    };
    tracing::info!("stopping");
    supervisor::stopping();
    node.stop().await;
    outcome
}

/// Resolves on SIGINT or SIGTERM. The handlers are set when this returns.
pub(crate) fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves when the site has failed.
async fn site_failed(site: &mut Option<RunningSite>) -> anyhow::Error {
    match site {
        Some(site) => site.tasks.failed().await.into(),
        None => std::future::pending().await,
    }
}

/// Resolves when another part of the site that runs here has failed.
async fn part_failed(failed: &mut mpsc::Receiver<String>) -> anyhow::Error {
    match failed.recv().await {
        Some(why) => anyhow!("{why}"),
        None => std::future::pending().await,
    }
}

/// Resolves when HTTP has ended without being asked to.
async fn http_failed(http: &mut Option<HttpTask>) -> anyhow::Error {
    let Some(task) = http.as_mut() else {
        return std::future::pending().await;
    };
    let ended = task.await;
    *http = None;
    match ended {
        Ok(Ok(())) => anyhow!("HTTP ended by itself: please report it"),
        Ok(Err(error)) => error.into(),
        Err(error) => anyhow!("HTTP ended by a fault of the program: {error}"),
    }
}

type HttpTask = JoinHandle<Result<(), HttpError>>;

/// The parts that run.
struct Node {
    running: Running,
    ledger: replica::Handle,
    site: Option<RunningSite>,
    gateway: Option<Arc<mqtt::sn::Gateway>>,
    /// Other parts of the site that run here, apart from the node.
    roles: Option<Arc<RoleParts>>,
    failed: mpsc::Receiver<String>,
    http: Option<HttpTask>,
    /// Notes what wallets spend.
    following: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Node {
    async fn start(runtime: replica::Runtime, prepared: Prepared) -> anyhow::Result<Self> {
        let started = Instant::now();
        let Prepared { mut config, genesis, key, joining, lock, http: listener } = prepared;
        // The replica's tasks end after `run`. So the lock is left to the process, and goes with it.
        std::mem::forget(lock);
        let network = genesis.network();
        let pace = replica::Pace {
            gap: Duration::from_millis(config.ledger.milestone_gap_ms),
            heartbeat: Duration::from_millis(config.ledger.heartbeat_ms),
        };
        let ledger = runtime
            .start(replica::Config {
                genesis: genesis.clone(),
                key: key.clone(),
                listen: config.ledger.listen,
                peers: config.peers(),
                pace,
                prefix: LEDGER_PREFIX.into(),
                joining,
                retention: config.ledger.retention.retention(),
            })
            .await
            .context("cannot start the ledger node; `wattle check` looks at the data directory")?;
        let metrics = Metrics::new();
        let (spends, following) = Spends::start(network, ledger.clone(), config.spends_file(), metrics.spend_latencies()).await?;
        let (failing, failed) = Failed::channel();
        let roles = match config.roles() {
            Some(_) => Some(Arc::new(RoleParts::start(&config, &failing).await?)),
            None => None,
        };
        if roles.is_some() {
            config.fog.pipelines = None; // they are the fog processor's, which is another part
        }
        let site = match config.site_name() {
            Some(name) => Some(start_site(&config, roles.as_deref(), (name, &genesis), &key, &ledger, &metrics).await?),
            None => None,
        };
        let broker = site.as_ref().and_then(|s| s.broker.as_ref()).map(|b| b.address());
        let gateway = match &roles {
            Some(roles) => roles.gateway().cloned(),
            None => start_gateway(&config, broker.as_deref()).await?,
        };
        let running = Running {
            name: config.node.name.clone(),
            network,
            ledger: config.ledger.listen,
            http: listener.local_addr().context("the HTTP listener")?,
            https: config.http.tls.is_some(),
            broker,
            mqttsn: gateway.as_ref().map(|g| g.address()),
        };
        let (stop, stopped) = watch::channel(false);
        let things = Things::new(config.things_dir());
        let watched = Watched::new(&config);
        let state = AppState::new(http::Parts {
            name: config.node.name.clone(),
            key: key.public_key(),
            archive: config.ledger.retention == RetentionConfig::default(),
            genesis,
            ledger: ledger.clone(),
            runtime,
            site: site.as_ref().map(|s| s.site.clone()),
            things,
            gateway: gateway.clone(),
            roles: roles.clone(),
            exchange: site.as_ref().and_then(|s| s.exchange.as_ref()).map(|(exchange, _)| exchange.clone()),
            spends,
            metrics,
            settings: serde_json::to_value(&config).unwrap_or_default(),
            cache_limit_bytes: config.cache.limit_bytes,
            tokens_file: config.tokens_file(),
            tls: config.http_tls(),
            http: config.http,
            watched,
            started,
            stop: stopped,
        });
        let http = Some(tokio::spawn(http::serve(listener, state)));
        Ok(Self { running, ledger, site, gateway, roles, failed, http, following, stop })
    }

    /// Stops what runs, in order.
    async fn stop(self) {
        let Self { ledger, site, gateway, roles, http, following, stop, .. } = self;
        following.abort(); // what is being written is written; the next start goes on behind it
        if let Some(gateway) = gateway {
            gateway.stop().await;
        }
        if let Some(site) = site {
            site.stop().await;
        }
        if let Some(roles) = roles {
            roles.stop().await;
        }
        ledger.commit().await;
        stop.send_replace(true);
        if let Some(http) = http {
            let abort = http.abort_handle();
            if tokio::time::timeout(HTTP_STOP_TIMEOUT, http).await.is_err() {
                abort.abort();
            }
        }
    }
}
