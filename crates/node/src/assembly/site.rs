//! The parts of a site that run in the node's process: started in order, stopped in order.
//!
//! ```text
//! log ─▶ recovery ─▶ index ─▶ devices ─▶ numbers ─▶ fog ─▶ broker ─▶ site
//! ```

use super::brokers::{self, BrokerParts};
use super::numbers::{note_numbers, note_processed};
use super::processing::Processing;
use crate::config::{Config, RoleName};
use crate::devices::Devices;
use crate::exchange::{self, Exchange, ExchangeTasks, Foreigners};
use crate::index::Index;
use crate::metrics::Metrics;
use crate::roles::RoleParts;
use crate::services::{self, ServiceTasks};
use crate::site::{self, Site, SiteParts, SiteTasks};
use anyhow::Context as _;
use mqtt::{Broker, Identities, Ingress, LogConfig, SiteLog};
use protocol::{DeviceTopic, Genesis, Name, NetworkId, SecretKey};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long the index may take to write what it was given when the node stops. The rest is made again.
const INDEX_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of a site.
pub(super) struct RunningSite {
    pub(super) site: Site,
    pub(super) tasks: SiteTasks,
    pub(super) broker: Option<Arc<dyn Broker>>,
    /// Follow the registry of devices.
    devices: Vec<JoinHandle<()>>,
    /// What sites tell each other, if this one takes part.
    pub(super) exchange: Option<(Exchange, ExchangeTasks)>,
    /// What the node's wallet offers here, if anything.
    services: Option<ServiceTasks>,
}

impl RunningSite {
    /// Stops them, in order.
    pub(super) async fn stop(self) {
        let Self { site, tasks, broker, devices, exchange, services } = self;
        devices.iter().for_each(JoinHandle::abort);
        if let Some(broker) = broker {
            broker.stop().await;
        }
        if let Some((_, tasks)) = exchange {
            tasks.stop();
        }
        if let Some(services) = services {
            services.stop();
        }
        tasks.stop().await;
        if tokio::time::timeout(INDEX_STOP_TIMEOUT, site.index().flush()).await.is_err() {
            tracing::warn!("the index is behind; the next start fills the gap");
        }
        site.close().await;
    }
}

/// Starts log, index, broker and site, in this order: devices are answered when their readings can go on.
pub(super) async fn start_site(
    config: &Config,
    apart: Option<&RoleParts>,
    (name, genesis): (Name, &Genesis),
    key: &SecretKey,
    ledger: &replica::Handle,
    metrics: &Metrics,
) -> anyhow::Result<RunningSite> {
    let network = genesis.network();
    let log_dir = config.log_dir();
    let watermark = config.data_dir().join("site.next");
    let log = open_log(config, log_dir.clone(), config.cache.limit_bytes).await?;
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
    let services = services::prepare(config, name.clone(), genesis, key, ledger).await?;
    let ingress = match &services {
        Some(services) => ingress.with_reports(services.desk()),
        None => ingress,
    };
    let ingress = admit(ingress.with_identities(identities), exchange.as_ref());
    let (on_active, active) = mpsc::channel(1);
    let broker_parts = BrokerParts { config, apart, site: &name, key, ledger, index: &index, log: &log, ingress: &ingress };
    let broker = brokers::start(broker_parts, on_active).await?;
    let fog = processing.map(|fog| fog.into_runner(broker.as_ref())).transpose()?;
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
        earners: config.earners(key.public_key()),
        fog,
        confirmations: config.devices.confirmations,
    };
    let (site, tasks) = site::start(parts, recovered);
    let mut following = foreigners.follow(ledger);
    let exchange = exchange.zip(broker.clone()).map(|(exchange, broker)| exchange.start(broker));
    let services = services.zip(broker.clone()).map(|(services, broker)| services.start(broker));
    let ledger = ledger.clone();
    let keeps_out = broker.clone();
    following.push(tokio::spawn(async move { devices.follow(ledger, keeps_out).await }));
    Ok(RunningSite { site, tasks, broker, devices: following, exchange, services })
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

/// Opens the log in `dir`, which may take `limit_bytes` of the disk.
///
/// # Errors
/// One that names the directory that cannot be made, or says what is wrong with the log.
pub(crate) async fn open_log(config: &Config, dir: PathBuf, limit_bytes: u64) -> anyhow::Result<SiteLog> {
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
    tokio::task::spawn_blocking(open).await.context("opening a log")?
}
