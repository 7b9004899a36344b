//! Puts a node together: checks what it was given, starts the parts in order, stops them in order.
//!
//! ```text
//! prepare: lock ─ genesis ─ key ─ network ─ ports          (nothing has been written to the ledger yet)
//! run:     replica ─▶ log ─▶ recovery ─▶ index ─▶ broker ─▶ site ─▶ HTTP ─▶ ready
//! stop:    broker ─▶ site ─▶ index ─▶ HTTP                 (first nothing comes in, then what is in is finished)
//! ```
//! A stop loses nothing that a kill would not keep: it only spares the next start some work.

mod prepare;

pub(crate) use prepare::{Prepared, prepare};

use crate::config::{BrokerConfig, Config, RetentionConfig};
use crate::http::{self, AppState, HttpError};
use crate::index::Index;
use crate::metrics::Metrics;
use crate::site::{self, Site, SiteParts, SiteTasks};
use anyhow::{Context as _, anyhow};
use mqtt::{Broker, EmbeddedConfig, ExternalConfig, Ingress, LogConfig, SiteLog};
use protocol::{Name, NetworkId, SecretKey};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long requests under way may take when the node stops.
const HTTP_STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the index may take to write what it was given when the node stops. The rest is made again.
const INDEX_STOP_TIMEOUT: Duration = Duration::from_secs(5);
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
    /// Where devices publish, if it serves a site.
    pub(crate) broker: Option<String>,
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
    let Running { name, network, ledger, http, broker } = &node.running;
    tracing::info!(node = %name, %network, %ledger, %http, broker = broker.as_deref().unwrap_or("none"), "the node runs");
    ready(&node.running);
    let outcome = tokio::select! {
        () = &mut asked => Ok(()),
        error = site_failed(&mut node.site) => Err(error),
        error = http_failed(&mut node.http) => Err(error),
        () = ended.stopped() => Err(anyhow!(
            "the ledger node has stopped: its storage failed, the log above says how; see that the disk is neither full nor read-only, run `wattle check`, and start again"
        )),
    };
    tracing::info!("stopping");
    node.stop().await;
    outcome
}

/// Resolves on SIGINT or SIGTERM. The handlers are set when this returns.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
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
    http: Option<HttpTask>,
    stop: watch::Sender<bool>,
}

/// The parts of a site.
struct RunningSite {
    site: Site,
    tasks: SiteTasks,
    broker: Option<Arc<dyn Broker>>,
}

impl Node {
    async fn start(runtime: replica::Runtime, prepared: Prepared) -> anyhow::Result<Self> {
        let started = Instant::now();
        let Prepared { config, genesis, key, joining, lock, http: listener } = prepared;
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
        let site = match config.site_name() {
            Some(name) => Some(start_site(&config, name, &key, &ledger, &metrics).await?),
            None => None,
        };
        let running = Running {
            name: config.node.name.clone(),
            network,
            ledger: config.ledger.listen,
            http: listener.local_addr().context("the HTTP listener")?,
            broker: site.as_ref().and_then(|s| s.broker.as_ref()).map(|b| b.address()),
        };
        let (stop, stopped) = watch::channel(false);
        let state = AppState::new(http::Parts {
            name: config.node.name,
            key: key.public_key(),
            archive: config.ledger.retention == RetentionConfig::default(),
            genesis,
            ledger: ledger.clone(),
            runtime,
            site: site.as_ref().map(|s| s.site.clone()),
            metrics,
            started,
            stop: stopped,
        });
        let http = Some(tokio::spawn(http::serve(listener, state)));
        Ok(Self { running, ledger, site, http, stop })
    }

    /// Stops what runs, in order.
    async fn stop(self) {
        let Self { ledger, site, http, stop, .. } = self;
        if let Some(RunningSite { site, tasks, broker }) = site {
            if let Some(broker) = broker {
                broker.stop().await;
            }
            tasks.stop().await;
            if tokio::time::timeout(INDEX_STOP_TIMEOUT, site.index().flush()).await.is_err() {
                tracing::warn!("the index is behind; the next start fills the gap");
            }
            site.close().await;
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

/// Starts log, index, broker and site, in this order: devices are answered when their readings can go on.
async fn start_site(
    config: &Config,
    name: Name,
    key: &SecretKey,
    ledger: &replica::Handle,
    metrics: &Metrics,
) -> anyhow::Result<RunningSite> {
    let log_dir = config.log_dir();
    let watermark = config.data_dir().join("site.next");
    let log = open_log(config, log_dir.clone()).await?;
    let recovered = site::recover(ledger, &log, &log_dir, &watermark).await?;
    let index_file = config.index_file();
    let index = tokio::task::spawn_blocking(move || Index::open(&index_file)).await.context("opening the index")??;
    site::fill_index(ledger, &index).await?;
    let ingress = Arc::new(Ingress::new(name.clone(), log.clone()));
    let (on_active, active) = mpsc::channel(1);
    let broker = match &config.broker {
        Some(broker) => start_broker(broker, &name, key, on_active, ingress.clone()).await?,
        None => None,
    };
    let parts = SiteParts {
        name,
        ledger: ledger.clone(),
        log,
        ingress,
        broker: broker.clone(),
        active,
        index,
        histogram: metrics.latency(),
        batch_delay: Duration::from_millis(config.ledger.batch_delay_ms),
        batch_readings_max: config.ledger.batch_readings_max,
        watermark,
    };
    let (site, tasks) = site::start(parts, recovered);
    Ok(RunningSite { site, tasks, broker })
}

async fn open_log(config: &Config, dir: PathBuf) -> anyhow::Result<SiteLog> {
    let settings = LogConfig {
        segment_bytes: config.cache.segment_bytes,
        limit_bytes: config.cache.limit_bytes,
        min_free_bytes: config.cache.min_free_bytes,
        window: config.cache.window,
        ..LogConfig::default()
    };
    let open = move || -> anyhow::Result<SiteLog> {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the log's directory {}", dir.display()))?;
        Ok(SiteLog::open(&dir, settings)?)
    };
    tokio::task::spawn_blocking(open).await.context("opening the site's log")?
}

async fn start_broker(
    broker: &BrokerConfig,
    site: &Name,
    key: &SecretKey,
    on_active: mpsc::Sender<()>,
    ingress: Arc<Ingress>,
) -> anyhow::Result<Option<Arc<dyn Broker>>> {
    let (site, on_active) = (site.clone(), Some(on_active));
    if let Some(bind) = broker.embedded {
        return Ok(Some(mqtt::embedded::start(EmbeddedConfig { bind, site, on_active }, ingress).await?));
    }
    let Some(url) = broker.external.clone() else {
        return Ok(None);
    };
    // It names our session at that broker, so it must stay the same; 23 characters suit every broker.
    let client_id: String = "wattle-".chars().chain(key.public_key().to_string().chars().take(16)).collect();
    let started = mqtt::external::start(ExternalConfig { url, client_id, site, on_active }, ingress).await;
    Ok(Some(started.context("cannot use the broker that broker.external names")?))
}
