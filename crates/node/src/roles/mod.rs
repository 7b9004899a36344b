//! The parts of a site as processes of their own (M13, M15): `[site] roles`. They talk only MQTT, so each can be stopped,
//! killed and started again without the others. The rules are ROLE-1 to ROLE-17 of `docs/spec/topics.md`; how they talk is in
//! `mqtt::roles`.
//!
//! | part | file | keeps |
//! |---|---|---|
//! | broker | `mqtt::embedded` | nothing: it answers when a part that keeps has kept |
//! | gateway | `mqtt::sn` | nothing |
//! | fog processor | `fog` | `data_dir/intake`, `data_dir/fog`, `data_dir/sealed` |
//! | cache | `cache`, `published` | `data_dir/cache` |
//! | ledger node | `ledger`, and all that a node is | `data_dir/log`, `data_dir/ledger`, … |
//!
//! ```text
//! start: broker ─▶ gateway ─▶ cache ─▶ fog (─▶ ledger node)      stop: the other way round
//! ```

mod cache;
mod fog;
mod ledger;
mod mouth;
mod process;
mod published;
mod report;

pub(crate) use ledger::{LedgerParts, connect as connect_ledger};
pub(crate) use process::{RolesRunning, prepare, run};
pub(crate) use report::RolesReport;

use crate::assembly::{credentials, open_log, reload_on_hangup, start_gateway};
use crate::clock::now_us;
use crate::config::{BrokerConfig, Config, RoleName};
use anyhow::{Context as _, anyhow};
use cache::Cache;
use fog::FogPart;
use mqtt::roles::{Carrier, Desk, Receiver, ReceiverConfig, Service};
use mqtt::{Broker, Credentials, EmbeddedConfig, LogError, SiteLog};
use protocol::Name;
use std::future::Future;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Why a part cannot go on. What it has acknowledged is on disk.
#[derive(Debug, Error)]
pub(crate) enum RoleError {
    /// Its log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The fog processor cannot go on.
    #[error(transparent)]
    Fog(#[from] crate::fog::FogError),
    /// A task ended in a way it never should.
    #[error("a task ended: {0}")]
    Task(String),
}

/// Where parts say that they cannot go on.
#[derive(Clone)]
pub(crate) struct Failed {
    said: mpsc::Sender<String>,
}

impl Failed {
    /// The end to say it to, and the end to hear it from.
    #[must_use]
    pub(crate) fn channel() -> (Self, mpsc::Receiver<String>) {
        let (said, heard) = mpsc::channel(1);
        (Self { said }, heard)
    }

    /// Runs `task` of the part `what`, and says if it fails.
    pub(crate) fn watch(&self, what: &'static str, task: impl Future<Output = Result<(), RoleError>> + Send + 'static) -> JoinHandle<()> {
        let said = self.said.clone();
        tokio::spawn(async move {
            if let Err(why) = task.await {
                // the first failure ends the process; others need not be heard
                let _ = said.try_send(format!("{what} cannot go on: {why}"));
            }
        })
    }
}

/// Until told to stop, or until nobody is left who could tell.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Closes a log: what it was told to forget is saved.
async fn close(log: SiteLog, what: &'static str) {
    match tokio::task::spawn_blocking(move || log.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::warn!("while closing the log of {what}: {why}"),
        Err(why) => tracing::warn!("while closing the log of {what}: {why}"),
    }
}

/// How the parts of this process reach the site's broker.
pub(crate) struct Reach {
    /// The site.
    pub(crate) site: Name,
    /// The broker's URL.
    pub(crate) url: String,
    credentials: Credentials,
}

impl Reach {
    /// A connection on which `service` publishes.
    ///
    /// # Errors
    /// If what is configured cannot be used.
    pub(crate) fn carrier(&self, service: Service, number: usize) -> anyhow::Result<Arc<Carrier>> {
        let carrier = Carrier::start(&self.url, &service.carrier_id(number, &self.site), &self.credentials);
        Ok(Arc::new(carrier.context("cannot use the broker that broker.external names")?))
    }

    /// The connection on which `service` receives.
    ///
    /// # Errors
    /// As [`Reach::carrier`].
    pub(crate) fn receiver(&self, service: Service, desk: Arc<dyn Desk>) -> anyhow::Result<Receiver> {
        let (url, credentials) = (self.url.clone(), self.credentials.clone());
        let config = ReceiverConfig { url, credentials, client_id: service.client_id(&self.site), filters: service.filters(&self.site) };
        Receiver::start(config, desk).context("cannot use the broker that broker.external names")
    }
}

/// The parts of a site that run in this process, the ledger node apart.
pub(crate) struct RoleParts {
    /// How they reach the broker; none if only a gateway runs here, which has its own way.
    pub(crate) reach: Option<Reach>,
    broker: Option<Arc<dyn Broker>>,
    gateway: Option<Arc<mqtt::sn::Gateway>>,
    cache: Option<Cache>,
    fog: Option<FogPart>,
    stop: watch::Sender<bool>,
}

impl RoleParts {
    /// Starts the parts that the configuration names, the ledger node apart. One that fails later says so on `failed`.
    ///
    /// # Errors
    /// One that says which part cannot start, and what to do.
    pub(crate) async fn start(config: &Config, failed: &Failed) -> anyhow::Result<Self> {
        let site = config.site_name().ok_or_else(|| anyhow!("site.roles needs a site with a name"))?;
        let (stop, stopped) = watch::channel(false);
        let broker = match &config.broker {
            Some(settings) if config.plays(RoleName::Broker) => Some(start_broker(settings, config, &site).await?),
            _ => None,
        };
        let reach = match &config.broker {
            Some(settings) => Some(reach(settings, config, &site, broker.as_ref()).await?),
            None => None,
        };
        let gateway = start_gateway(config, reach.as_ref().map(|reach| reach.url.as_str())).await?;
        let mut parts = Self { reach, broker, gateway, cache: None, fog: None, stop };
        if let Some(reach) = &parts.reach {
            if config.plays(RoleName::Cache) {
                parts.cache = Some(start_cache(config, reach, &stopped, failed).await?);
            }
            if config.plays(RoleName::Fog) {
                parts.fog = Some(FogPart::start(config, reach, &stopped, failed).await?);
            }
        }
        Ok(parts)
    }

    /// The address of the broker that runs here.
    #[must_use]
    pub(crate) fn broker_address(&self) -> Option<String> {
        self.broker.as_ref().map(|broker| broker.address())
    }

    /// The MQTT-SN gateway that runs here.
    #[must_use]
    pub(crate) fn gateway(&self) -> Option<&Arc<mqtt::sn::Gateway>> {
        self.gateway.as_ref()
    }

    /// Why the parts are not well; nothing if they are.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        let parts = [self.cache.as_ref().and_then(Cache::trouble), self.fog.as_ref().and_then(FogPart::trouble)];
        let said: Vec<String> = parts.into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// How the parts are doing.
    pub(crate) async fn report(&self) -> RolesReport {
        RolesReport {
            broker: self.broker.as_ref().map(|broker| report::BrokerPart {
                addresses: broker.addresses(),
                keepers: broker.keepers().unwrap_or_default(),
                access: broker.access(),
            }),
            cache: match &self.cache {
                Some(cache) => Some(cache.stats().await),
                None => None,
            },
            fog: self.fog.as_ref().map(FogPart::stats),
            mqttsn: self.gateway.as_ref().map(|gateway| (gateway.address(), gateway.stats())),
        }
    }

    /// Stops them, in order: first nothing comes in, then what is in is finished, and the broker goes last.
    pub(crate) async fn stop(&self) {
        if let Some(gateway) = &self.gateway {
            gateway.stop().await;
        }
        self.stop.send_replace(true);
        if let Some(fog) = &self.fog {
            fog.stop().await;
        }
        if let Some(cache) = &self.cache {
            cache.stop().await;
        }
        if let Some(broker) = &self.broker {
            broker.stop().await;
        }
    }
}

async fn start_broker(settings: &BrokerConfig, config: &Config, site: &Name) -> anyhow::Result<Arc<dyn Broker>> {
    let bind = settings.embedded.ok_or_else(|| anyhow!("configuration: broker.embedded: the part `broker` needs it"))?;
    let embedded = EmbeddedConfig { bind, site: site.clone(), on_active: None };
    let broker = mqtt::embedded::start_for_services(embedded, settings.security(&config.base)).await?;
    reload_on_hangup(broker.clone())?;
    Ok(broker)
}

async fn reach(settings: &BrokerConfig, config: &Config, site: &Name, own: Option<&Arc<dyn Broker>>) -> anyhow::Result<Reach> {
    let url = own.map(|broker| broker.address()).or_else(|| settings.external.clone());
    let url = url.ok_or_else(|| anyhow!("configuration: broker.external: name the broker"))?;
    let credentials = credentials(&settings.login, &config.base).await?;
    Ok(Reach { site: site.clone(), url, credentials })
}

async fn start_cache(config: &Config, reach: &Reach, stop: &watch::Receiver<bool>, failed: &Failed) -> anyhow::Result<Cache> {
    let log = open_log(config, config.cache_dir(), config.cache.limit_bytes).await?;
    let shared = Arc::new(cache::Shared::new(reach.site.clone(), log, config.cache.limit_bytes));
    let carrier = reach.carrier(Service::Cache, 0)?;
    let receiver = reach.receiver(Service::Cache, shared.clone())?;
    Ok(Cache::start(shared, (receiver, carrier), stop, failed))
}
