//! The site's broker, in this process or elsewhere, and the MQTT-SN gateway in front of it.

use crate::config::{BrokerConfig, BrokerLogin, Config};
use crate::index::{Index, Lookup};
use crate::roles::{self, LedgerParts, RoleParts};
use anyhow::Context as _;
use mqtt::{Broker, Credentials, EmbeddedConfig, ExternalConfig, Ingress, Security, SiteLog, TierConfig};
use protocol::{Name, SecretKey};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What the broker of a site is started with.
pub(super) struct BrokerParts<'a> {
    /// The configuration.
    pub(super) config: &'a Config,
    /// Other parts of the site that run here, apart from the node.
    pub(super) apart: Option<&'a RoleParts>,
    /// The site.
    pub(super) site: &'a Name,
    /// The node's key.
    pub(super) key: &'a SecretKey,
    /// The replica.
    pub(super) ledger: &'a replica::Handle,
    /// The site's index.
    pub(super) index: &'a Index,
    /// The site's log.
    pub(super) log: &'a SiteLog,
    /// Takes what is published.
    pub(super) ingress: &'a Arc<Ingress>,
}

/// Starts the broker that the configuration names, or the node's place at it; `on_active` is told when a ledger node is back.
///
/// # Errors
/// One that says what is wrong, and what to do.
pub(super) async fn start(parts: BrokerParts<'_>, on_active: mpsc::Sender<()>) -> anyhow::Result<Option<Arc<dyn Broker>>> {
    let BrokerParts { config, apart, site, key, ledger, index, log, ingress } = parts;
    let Some(broker) = &config.broker else { return Ok(None) };
    if let Some(reach) = apart.and_then(|parts| parts.reach.as_ref()) {
        let lookup = Lookup::new(index.clone(), ledger.clone());
        let (ingress, log, ledger, window) = (ingress.clone(), log.clone(), ledger.clone(), config.cache.window);
        return Ok(Some(roles::connect_ledger(reach, LedgerParts { ingress, log, window, lookup, ledger })?));
    }
    let tier = place(config, site, log)?;
    let Some(bind) = broker.embedded else {
        return start_external((broker, &config.base), site, key, on_active, ingress.clone()).await;
    };
    let embedded = EmbeddedConfig { bind, site: site.clone(), on_active: Some(on_active) };
    let mut security = broker.security(&config.base);
    security.access.visitors = config.roaming.as_ref().map(|roaming| roaming.visitors()).unwrap_or_default();
    Ok(Some(start_embedded(security, embedded, tier, ingress.clone()).await?))
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
    let credentials = credentials(&broker.login, base).await?;
    let started = mqtt::external::start(ExternalConfig { url, credentials, client_id, site, on_active }, ingress).await;
    Ok(Some(started.context("cannot use the broker that broker.external names")?))
}

/// How we log in to a broker elsewhere.
///
/// # Errors
/// One that names the file that cannot be used.
pub(crate) async fn credentials(login: &BrokerLogin, base: &Path) -> anyhow::Result<Credentials> {
    let (login, base) = (login.clone(), base.to_path_buf());
    let credentials = tokio::task::spawn_blocking(move || login.credentials(&base)).await.context("reading credentials")?;
    credentials.context("configuration: broker.login")
}

/// Reads users, keys and certificates anew at every SIGHUP. What is wrong with them, the broker logs.
async fn reload_when_asked(mut asked: Signal, broker: Arc<dyn Broker>) {
    while asked.recv().await.is_some() {
        if broker.reload().await.is_ok() {
            tracing::info!("reloaded on SIGHUP");
        }
    }
}

/// The MQTT-SN gateway, if there is to be one, in front of the broker at `own` unless it has another.
///
/// # Errors
/// One that says which file cannot be used, or why it does not start.
pub(crate) async fn start_gateway(config: &Config, own: Option<&str>) -> anyhow::Result<Option<Arc<mqtt::sn::Gateway>>> {
    let Some(settings) = config.gateway(own)? else { return Ok(None) };
    let gateway = mqtt::sn::start(settings).await.context("cannot start the MQTT-SN gateway")?;
    Ok(Some(Arc::new(gateway)))
}
