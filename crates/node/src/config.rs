//! The configuration of one node: `wattle.toml`.
//!
//! # Rules
//! - A key that is not known is an error; a key left out has the value written in the documented default
//!   file at the top of the repository, which a test compares with [`Config::default`].
//! - Relative paths are relative to the configuration file, never to the directory a process was started in.
//! - An error names the file, the key and what would be right. A configuration that loads is within its
//!   limits: whoever uses it does not check again.

mod broker;
mod http;
mod ledger;
mod log;
mod mqttsn;
mod paths;
mod requests;
mod roaming;
mod roles;
mod services;
mod tier;

pub(crate) use broker::{BrokerConfig, BrokerLogin};
pub(crate) use http::{HttpConfig, HttpTls, Open};
#[cfg(test)]
pub(crate) use ledger::PeerConfig;
pub(crate) use ledger::{LedgerConfig, RetentionConfig};
pub(crate) use log::{LogConfig, LogFormat};
pub(crate) use mqttsn::MqttSnConfig;
pub(crate) use requests::{AGE_S_MAX, RequestsConfig};
#[cfg(test)]
pub(crate) use requests::{AcceptRule, AllowRule};
pub(crate) use roaming::RoamingConfig;
pub(crate) use roles::RoleName;
pub(crate) use services::ServicesConfig;
pub(crate) use tier::TierSettings;

use protocol::Name;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The smallest file of a site's log: it must hold the largest payload several times.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// What one node runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Who it is and where its files are.
    pub(crate) node: NodeConfig,
    /// Its part in the ledger.
    pub(crate) ledger: LedgerConfig,
    /// Its HTTP interface.
    pub(crate) http: HttpConfig,
    /// What it tells on stderr.
    pub(crate) log: LogConfig,
    /// The site it serves; without one it serves no devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<SiteConfig>,
    /// The site's broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broker: Option<BrokerConfig>,
    /// The MQTT-SN gateway in front of a broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mqttsn: Option<MqttSnConfig>,
    /// The broker's place in a tree of brokers; without one it stands alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<TierSettings>,
    /// What becomes of readings on their way to that log.
    pub(crate) fog: FogConfig,
    /// The site's log of readings.
    pub(crate) cache: CacheConfig,
    /// What is asked of the site's devices.
    pub(crate) devices: DevicesConfig,
    /// What devices may ask of each other; without it, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<RequestsConfig>,
    /// What the node's wallet offers through devices here; without it, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<ServicesConfig>,
    /// Where devices may roam; without it, nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roaming: Option<RoamingConfig>,
    /// What relative paths are relative to: the directory of the configuration file. Not in the file.
    #[serde(skip)]
    pub(crate) base: PathBuf,
}

/// Who the node is and where its files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NodeConfig {
    /// How people call it. A [`Name`].
    pub(crate) name: String,
    /// The directory for everything it keeps.
    pub(crate) data_dir: PathBuf,
    /// The genesis of its network.
    pub(crate) genesis: PathBuf,
    /// The seed of its key, 64 hexadecimal digits.
    pub(crate) key_file: PathBuf,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self { name: "node".into(), data_dir: "data".into(), genesis: "genesis.json".into(), key_file: "node.key".into() }
    }
}

/// The site a node serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteConfig {
    /// The site's name: the first level of its devices' topics. A [`Name`].
    pub(crate) name: String,
    /// The parts of the site that this process runs, apart from each other. Without it, all that is named, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roles: Option<Vec<RoleName>>,
}

/// What becomes of readings on their way to the site's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FogConfig {
    /// The file of pipelines; without one readings go to the log as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pipelines: Option<PathBuf>,
    /// Readings that arrived and are not processed may take this much of the disk.
    pub(crate) intake_limit_bytes: u64,
}

impl Default for FogConfig {
    fn default() -> Self {
        Self { pipelines: None, intake_limit_bytes: 1 << 30 }
    }
}

/// The site's log of readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheConfig {
    /// Unconfirmed readings may take this much of the disk.
    pub(crate) limit_bytes: u64,
    /// Refuse new readings when the disk has less than this left.
    pub(crate) min_free_bytes: u64,
    /// Size of one file of the log.
    pub(crate) segment_bytes: u64,
    /// How many of the last publishes are remembered.
    pub(crate) window: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { limit_bytes: 1 << 30, min_free_bytes: 64 << 20, segment_bytes: 8 << 20, window: 100_000 }
    }
}

/// What is asked of the site's devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DevicesConfig {
    /// Refuse readings of devices that are not in the registry on the ledger.
    pub(crate) require_registration: bool,
    /// Tell each device which of its readings are confirmed.
    pub(crate) confirmations: bool,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// Why a configuration cannot be used. Each names the file, the place in it and what would be right.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {why}; `wattle init` writes one, --config names another")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The text is not TOML, or not the keys of a configuration.
    #[error("{path}: line {line}: {why}; the documented default, wattle.toml, shows every key")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// A value outside its limits, or two that do not fit together.
    #[error("{path}: {key}: {why}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its tables.
        key: String,
        /// What is wrong, and what would be right.
        why: String,
    },
}

impl Config {
    /// Reads a configuration file and checks it.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, is not TOML with the keys of a configuration, or a value is
    /// outside its limits.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Read { path: path.into(), why })?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |s| s.start);
            let line = text.bytes().take(start).filter(|b| *b == b'\n').count() + 1;
            // one line, however many the parser used
            let why = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            let key = text.lines().nth(line - 1).and_then(|l| l.split_once('=')).map(|(key, _)| format!("{}: ", key.trim()));
            ConfigError::Parse { path: path.into(), line, why: format!("{}{why}", key.unwrap_or_default()) }
        })?;
        config.base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        config.check().map_err(|(key, why)| ConfigError::Value { path: path.into(), key, why })?;
        Ok(config)
    }

    /// The configuration as a file would hold it: every key with its effective value.
    #[must_use]
    pub(crate) fn to_toml(&self) -> String {
        // tables of strings and numbers always serialise, numbers above TOML's 63 bits excepted
        toml::to_string_pretty(self).unwrap_or_else(|why| format!("# this configuration cannot be written as TOML: {why}\n"))
    }

    /// Checks every value against its limits: for a configuration that was changed after loading, or built.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        check_name("node.name", &self.node.name)?;
        self.check_ledger()?;
        self.http.check()?;
        self.log.check()?;
        if let Some(site) = &self.site {
            Name::site(&site.name).map_err(|why| ("site.name".to_owned(), format!("{:?} cannot be a site: {why}", site.name)))?;
        }
        if let Some(tier) = &self.tier {
            let (Some(site), Some(BrokerConfig { embedded: Some(_), .. })) = (&self.site, &self.broker) else {
                return wrong("tier", "only an embedded broker has a place in a tree of brokers: give [site] and broker.embedded");
            };
            tier.check(&site.name)?;
        }
        if let Some(broker) = &self.broker {
            if self.site.is_none() {
                return wrong("broker", "a broker needs a [site] with a name");
            }
            broker.check()?;
        }
        if let Some(mqttsn) = &self.mqttsn {
            mqttsn.check(self.broker.as_ref())?;
        }
        self.check_roles()?;
        if let Some(requests) = &self.requests {
            if self.broker.is_none() {
                return wrong("requests", "devices ask through a site's broker: give [site] and [broker]");
            }
            requests.check()?;
        }
        self.check_services()?;
        if let Some(roaming) = &self.roaming {
            let (Some(site), Some(BrokerConfig { embedded: Some(_), .. })) = (&self.site, &self.broker) else {
                return wrong("roaming", "only an embedded broker can hand sessions over: give [site] and broker.embedded");
            };
            roaming.check(&site.name)?;
        }
        let cache = &self.cache;
        if self.fog.pipelines.is_some() {
            if self.site.is_none() {
                return wrong("fog.pipelines", "pipelines need a [site] with a name");
            }
            check_range("fog.intake_limit_bytes", self.fog.intake_limit_bytes, 2 * cache.segment_bytes, i64::MAX.cast_unsigned())?;
        }
        check_range("cache.segment_bytes", cache.segment_bytes, SEGMENT_BYTES_MIN, 1 << 30)?;
        check_range("cache.limit_bytes", cache.limit_bytes, 2 * cache.segment_bytes, i64::MAX.cast_unsigned())?;
        check_range("cache.min_free_bytes", cache.min_free_bytes, 0, i64::MAX.cast_unsigned())?;
        check_range("cache.window", cache.window as u64, 1, 10_000_000)
    }

    /// The site's name, if the node serves one.
    #[must_use]
    pub(crate) fn site_name(&self) -> Option<Name> {
        self.site.as_ref().and_then(|s| Name::site(&s.name).ok())
    }

    /// What the MQTT-SN gateway is to be started with, if there is to be one. `own` is the URL of the site's broker.
    ///
    /// # Errors
    /// One that names the file that cannot be read, or what is wrong in it.
    pub(crate) fn gateway(&self, own: Option<&str>) -> anyhow::Result<Option<mqtt::sn::GatewayConfig>> {
        self.mqttsn.as_ref().map(|mqttsn| mqttsn.gateway(&self.base, own)).transpose()
    }
}

fn wrong(key: impl Into<String>, why: impl Into<String>) -> Result<(), (String, String)> {
    Err((key.into(), why.into()))
}

fn check_name(key: &str, name: &str) -> Result<(), (String, String)> {
    Name::new(name).map(|_| ()).map_err(|why| (key.into(), format!("{name:?} cannot be a name: {why}")))
}

fn check_range(key: &str, value: u64, least: u64, most: u64) -> Result<(), (String, String)> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => wrong(key, format!("{value} is outside {least} to {most}")),
    }
}

#[cfg(test)]
mod tests;
