//! Puts a node together: checks what it was given, starts the parts in order, stops them in order.
//!
//! ```text
//! prepare: lock ─ genesis ─ key ─ network ─ ports          (nothing has been written to the ledger yet)
//! run:     replica ─▶ log ─▶ recovery ─▶ index ─▶ fog ─▶ broker ─▶ site ─▶ MQTT-SN ─▶ HTTP ─▶ ready
//! stop:    MQTT-SN ─▶ broker ─▶ site ─▶ index ─▶ HTTP      (first nothing comes in, then what is in is finished)
//! ```
//! A stop loses nothing that a kill would not keep: it only spares the next start some work.

mod prepare;
mod processing;

pub(crate) use prepare::{Prepared, prepare};

use crate::config::{BrokerConfig, Config, RetentionConfig, RoleName};
use crate::devices::Devices;
use crate::exchange::{self, Exchange, ExchangeTasks, Foreigners};
use crate::http::{self, AppState, HttpError};
use crate::index::{Index, Lookup};
use crate::metrics::Metrics;
use crate::roles::{self, Failed, RoleParts};
use crate::site::{self, Site, SiteParts, SiteTasks};
use crate::things::Things;
use anyhow::{Context as _, anyhow};
use mqtt::{Broker, EmbeddedConfig, ExternalConfig, Identities, Ingress, LogConfig, Security, SiteLog, TierConfig};
use processing::Processing;
use protocol::{DeviceTopic, Name, NetworkId, SecretKey};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long requests under way may take when the node stops.
const HTTP_STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the index may take to write what it was given when the node stops. The rest is made again.
const INDEX_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Readings of the log that are looked at together.
const LOG_READINGS_AT_ONCE: usize = 4096;
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
    let Running { name, network, ledger, http, broker, mqttsn: _ } = &node.running;
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
    stop: watch::Sender<bool>,
}

/// The parts of a site.
struct RunningSite {
    site: Site,
    tasks: SiteTasks,
    broker: Option<Arc<dyn Broker>>,
    /// Follow the registry of devices.
    devices: Vec<JoinHandle<()>>,
    /// What sites tell each other, if this one takes part.
    exchange: Option<(Exchange, ExchangeTasks)>,
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
        let (failing, failed) = Failed::channel();
        let roles = match config.roles() {
            Some(_) => Some(Arc::new(RoleParts::start(&config, &failing).await?)),
            None => None,
        };
        if roles.is_some() {
            config.fog.pipelines = None; // they are the fog processor's, which is another part
        }
        let site = match config.site_name() {
            Some(name) => Some(start_site(&config, roles.as_deref(), (name, network), &key, &ledger, &metrics).await?),
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
            broker,
            mqttsn: gateway.as_ref().map(|g| g.address()),
        };
        let (stop, stopped) = watch::channel(false);
        let things = Things::new(config.things_dir());
        let state = AppState::new(http::Parts {
            name: config.node.name,
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
            metrics,
            started,
            stop: stopped,
        });
        let http = Some(tokio::spawn(http::serve(listener, state)));
        Ok(Self { running, ledger, site, gateway, roles, failed, http, stop })
    }

    /// Stops what runs, in order.
    async fn stop(self) {
        let Self { ledger, site, gateway, roles, http, stop, .. } = self;
        if let Some(gateway) = gateway {
            gateway.stop().await;
        }
        if let Some(RunningSite { site, tasks, broker, devices, exchange }) = site {
            devices.iter().for_each(JoinHandle::abort);
            if let Some(broker) = broker {
                broker.stop().await;
            }
            if let Some((_, tasks)) = exchange {
                tasks.stop();
            }
            tasks.stop().await;
            if tokio::time::timeout(INDEX_STOP_TIMEOUT, site.index().flush()).await.is_err() {
                tracing::warn!("the index is behind; the next start fills the gap");
            }
            site.close().await;
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

/// Starts log, index, broker and site, in this order: devices are answered when their readings can go on.
async fn start_site(
    config: &Config,
    apart: Option<&RoleParts>,
    (name, network): (Name, NetworkId),
    key: &SecretKey,
    ledger: &replica::Handle,
    metrics: &Metrics,
) -> anyhow::Result<RunningSite> {
    let log_dir = config.log_dir();
    let watermark = config.data_dir().join("site.next");
    let log = open_log(config, LogSettings { dir: log_dir.clone(), limit_bytes: config.cache.limit_bytes }).await?;
    let recovered = site::recover(ledger, &log, &log_dir, &watermark).await?;
    let index_file = config.index_file();
    let index = tokio::task::spawn_blocking(move || Index::open(&index_file)).await.context("opening the index")??;
    site::fill_index(ledger, &index).await?;
    let devices = Arc::new(Devices::load(ledger, name.clone()).await);
    let visitors = config.roaming.as_ref().map(|roaming| roaming.visitors()).unwrap_or_default();
    let foreigners = Foreigners::load(ledger, visitors).await;
    let identities = identities(config, network, &devices, &foreigners);
    note_numbers(&identities, (devices.as_ref(), &foreigners), &index, &log).await?;
    let processing = match config.plays(RoleName::Fog) {
        true => None, // the intake is that part's
        false => Processing::open(config, &name, &log).await?,
    };
    let ingress = match &processing {
        Some(fog) => {
            note_processed(&identities, (devices.as_ref(), &foreigners), fog).await?;
            Ingress::new(name.clone(), fog.intake.clone()).with_parser(fog.parser.clone())
        }
        None => Ingress::new(name.clone(), log.clone()),
    };
    let exchange = exchange::prepare(config, (name.clone(), network), ledger, &devices, &foreigners).await?;
    let ingress = admit(ingress.with_identities(identities), exchange.as_ref());
    let (on_active, active) = mpsc::channel(1);
    let broker = match (&config.broker, apart.and_then(|parts| parts.reach.as_ref())) {
        (Some(_), Some(reach)) => {
            let lookup = Lookup::new(index.clone(), ledger.clone());
            let (ingress, log, ledger, window) = (ingress.clone(), log.clone(), ledger.clone(), config.cache.window);
            Some(roles::connect_ledger(reach, roles::LedgerParts { ingress, log, window, lookup, ledger })?)
        }
        (Some(broker), None) => {
            let tier = place(config, &name, &log)?;
            let embedded = broker.embedded.map(|bind| EmbeddedConfig { bind, site: name.clone(), on_active: Some(on_active.clone()) });
            match embedded {
                Some(embedded) => {
                    let mut security = broker.security(&config.base);
                    security.access.visitors = config.roaming.as_ref().map(|roaming| roaming.visitors()).unwrap_or_default();
                    Some(start_embedded(security, embedded, tier, ingress.clone()).await?)
                }
                None => start_external((broker, &config.base), &name, key, on_active, ingress.clone()).await?,
            }
        }
        (None, _) => None,
    };
    let fog = match processing {
        Some(Processing { mut runner, .. }) => {
            runner.sink_mut().broker.clone_from(&broker);
            let asked = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
            tokio::spawn(processing::reload_when_asked(asked, runner.handle()));
            Some(runner)
        }
        None => None,
    };
    let parts = SiteParts {
        name,
        ledger: ledger.clone(),
        log,
        ingress,
        broker: broker.clone(),
        active,
        says_active: apart.is_none_or(|parts| parts.reach.is_none()),
        index,
        histogram: metrics.latency(),
        batch_delay: Duration::from_millis(config.ledger.batch_delay_ms),
        batch_readings_max: config.ledger.batch_readings_max,
        watermark,
        fog,
        confirmations: config.devices.confirmations,
    };
    let (site, tasks) = site::start(parts, recovered);
    let mut following = foreigners.follow(ledger);
    let exchange = exchange.zip(broker.clone()).map(|(exchange, broker)| exchange.start(broker));
    let ledger = ledger.clone();
    let keeps_out = broker.clone();
    following.push(tokio::spawn(async move { devices.follow(ledger, keeps_out).await }));
    Ok(RunningSite { site, tasks, broker, devices: following, exchange })
}

/// The MQTT-SN gateway, if there is to be one, in front of the broker at `own` unless it has another.
async fn start_gateway(config: &Config, own: Option<&str>) -> anyhow::Result<Option<Arc<mqtt::sn::Gateway>>> {
    let Some(settings) = config.gateway(own)? else { return Ok(None) };
    let gateway = mqtt::sn::start(settings).await.context("cannot start the MQTT-SN gateway")?;
    Ok(Some(Arc::new(gateway)))
}

/// Opens the way in for what devices ask of each other, and for devices that roam, as far as the site takes part.
fn admit(mut ingress: Ingress, exchange: Option<&exchange::Prepared>) -> Arc<Ingress> {
    let Some(exchange) = exchange else { return Arc::new(ingress) };
    if let Some(desk) = exchange.desk() {
        ingress = ingress.with_requests(desk);
    }
    let Some(roaming) = exchange.roaming() else { return Arc::new(ingress) };
    let ingress = Arc::new(ingress.with_visitors(roaming.visitors(), roaming.arrivals()));
    roaming.attach(&ingress);
    ingress
}

/// What devices are believed by: the registry on the ledger.
fn identities(config: &Config, network: NetworkId, devices: &Arc<Devices>, foreigners: &Foreigners) -> Identities {
    let (devices, foreigners, site) = (devices.clone(), foreigners.clone(), config.site_name());
    let registry = Arc::new(move |topic: &DeviceTopic| match Some(&topic.site) == site.as_ref() {
        true => devices.registered(topic),
        false => foreigners.registered(topic),
    });
    Identities::new(network, registry, config.devices.require_registration)
}

/// Notes which numbers of the devices' keys were taken before this start: those that are anchored, and those in the log.
async fn note_numbers(
    identities: &Identities,
    (devices, foreigners): (&Devices, &Foreigners),
    index: &Index,
    log: &SiteLog,
) -> anyhow::Result<()> {
    // a key that is no device's any more needs no place
    let mut keys = devices.keys();
    keys.extend(foreigners.keys());
    for (key, number) in index.taken().await?.into_iter().filter(|(key, _)| keys.contains(key)) {
        identities.replays().note(key, number);
    }
    note_log(identities, log).await
}

/// The same of what the fog processor has taken out of its intake, and of what is still there.
async fn note_processed(identities: &Identities, (devices, foreigners): (&Devices, &Foreigners), fog: &Processing) -> anyhow::Result<()> {
    let mut keys = devices.keys();
    keys.extend(foreigners.keys());
    for (key, greatest, bits) in fog.runner.numbers().into_iter().filter(|(key, ..)| keys.contains(key)) {
        identities.replays().note_all(key, greatest, bits);
    }
    note_log(identities, &fog.intake).await
}

/// Notes the numbers of the readings in a log.
async fn note_log(identities: &Identities, log: &SiteLog) -> anyhow::Result<()> {
    let mut at = log.forgotten();
    while at < log.end() {
        let reader = log.clone();
        let rows = tokio::task::spawn_blocking(move || reader.read(at, LOG_READINGS_AT_ONCE)).await.context("reading the site's log")??;
        let Some((last, _)) = rows.last() else { break };
        at = last.saturating_add(1);
        for (_, reading) in rows {
            if let (Some(by), Some(number)) = (reading.signed, reading.sequence) {
                identities.replays().note(by.key, number);
            }
        }
    }
    Ok(())
}

/// What one log has for itself.
struct LogSettings {
    /// Its directory.
    dir: PathBuf,
    /// How much of the disk it may take.
    limit_bytes: u64,
}

async fn open_log(config: &Config, LogSettings { dir, limit_bytes }: LogSettings) -> anyhow::Result<SiteLog> {
    let settings = LogConfig {
        segment_bytes: config.cache.segment_bytes,
        limit_bytes,
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

/// The broker's place in the tree of brokers, and the log that its readings leave from.
fn place(config: &Config, site: &Name, log: &SiteLog) -> anyhow::Result<Option<(TierConfig, SiteLog)>> {
    let Some(tier) = &config.tier else { return Ok(None) };
    let tier = tier.resolve(site.as_str(), &config.base, config.spool_file(), config.cache.min_free_bytes)?;
    Ok(Some((tier, log.clone())))
}

/// The broker in this process. It reads its files anew at every SIGHUP.
async fn start_embedded(
    security: Security,
    config: EmbeddedConfig,
    tier: Option<(TierConfig, SiteLog)>,
    ingress: Arc<Ingress>,
) -> anyhow::Result<Arc<dyn Broker>> {
    let broker = mqtt::embedded::start(config, security, tier, ingress).await?;
    reload_on_hangup(broker.clone())?;
    Ok(broker)
}

/// Has a broker read its files anew at every SIGHUP.
///
/// # Errors
/// If the system does not let us watch for it.
pub(crate) fn reload_on_hangup(broker: Arc<dyn Broker>) -> anyhow::Result<()> {
    tokio::spawn(reload_when_asked(signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?, broker));
    Ok(())
}

/// Our place at another broker, if the configuration names one.
async fn start_external(
    (broker, base): (&BrokerConfig, &Path),
    site: &Name,
    key: &SecretKey,
    on_active: mpsc::Sender<()>,
    ingress: Arc<Ingress>,
) -> anyhow::Result<Option<Arc<dyn Broker>>> {
    let (site, on_active) = (site.clone(), Some(on_active));
    let Some(url) = broker.external.clone() else {
        return Ok(None);
    };
    // It names our session at that broker, so it must stay the same; 23 characters suit every broker.
    let client_id: String = "wattle-".chars().chain(key.public_key().to_string().chars().take(16)).collect();
    let (login, base) = (broker.login.clone(), base.to_path_buf());
    let credentials = tokio::task::spawn_blocking(move || login.credentials(&base)).await.context("reading credentials")?;
    let credentials = credentials.context("configuration: broker.login")?;
    let started = mqtt::external::start(ExternalConfig { url, credentials, client_id, site, on_active }, ingress).await;
    Ok(Some(started.context("cannot use the broker that broker.external names")?))
}

/// Reads users, keys and certificates anew at every SIGHUP. What is wrong with them, the broker logs.
async fn reload_when_asked(mut asked: Signal, broker: Arc<dyn Broker>) {
    while asked.recv().await.is_some() {
        if broker.reload().await.is_ok() {
            tracing::info!("reloaded on SIGHUP");
        }
    }
}
