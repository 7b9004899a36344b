//! The configuration of one node: `wattle.toml`.
//!
//! # Rules
//! - A key that is not known is an error; a key left out has the value written in the documented default
//!   file at the top of the repository, which a test compares with [`Config::default`].
//! - Relative paths are relative to the configuration file, never to the directory a process was started in.
//! - An error names the file, the key and what would be right. A configuration that loads is within its
//!   limits: whoever uses it does not check again.

mod broker;
mod mqttsn;
mod requests;
mod roaming;
mod roles;
mod tier;

pub(crate) use broker::{BrokerConfig, BrokerLogin};
pub(crate) use mqttsn::MqttSnConfig;
pub(crate) use requests::{AGE_S_MAX, RequestsConfig};
#[cfg(test)]
pub(crate) use requests::{AcceptRule, AllowRule};
pub(crate) use roaming::RoamingConfig;
pub(crate) use roles::RoleName;
pub(crate) use tier::TierSettings;

use protocol::limits::BATCH_READINGS_MAX;
use protocol::{Name, PublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// The longest that a batch may wait for company, in milliseconds.
pub(crate) const BATCH_DELAY_MS_MAX: u64 = 10_000;
/// The longest pause between two milestones under load, in milliseconds.
pub(crate) const MILESTONE_GAP_MS_MAX: u64 = 10_000;
/// The shortest heartbeat, in milliseconds: below it an idle network would not be idle.
pub(crate) const HEARTBEAT_MS_MIN: u64 = 100;
/// The longest heartbeat, in milliseconds: consensus keeps a little of every view since the last milestone.
pub(crate) const HEARTBEAT_MS_MAX: u64 = 300_000;
/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;
/// The smallest file of a site's log: it must hold the largest payload several times.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// The longest that messages can be kept by age, in days; whoever wants more keeps all.
pub(crate) const RETENTION_AGE_DAYS_MAX: u64 = 36_500;
/// The smallest limit of messages and payloads, in bytes.
pub(crate) const RETENTION_BYTES_MIN: u64 = 16 << 20;

const _: () = assert!(BATCH_READINGS_MAX == 4096); // what the documented default says

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

/// A peer's place on the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerConfig {
    /// Its public key, 64 hexadecimal digits.
    pub(crate) key: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// The node's part in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerConfig {
    /// Where peers reach it.
    pub(crate) listen: SocketAddr,
    /// At least this long between two milestones under load, in milliseconds.
    pub(crate) milestone_gap_ms: u64,
    /// A milestone at least this often when nothing happens, in milliseconds.
    pub(crate) heartbeat_ms: u64,
    /// Under load a batch leaves at most this long after the one before, in milliseconds.
    pub(crate) batch_delay_ms: u64,
    /// At most this many readings in a batch.
    pub(crate) batch_readings_max: usize,
    /// How long old messages stay.
    pub(crate) retention: RetentionConfig,
    /// Whom this node talks to, by the name people use: validators of the genesis, and whoever else may connect to it.
    /// Its own entry may be left out, as may those of validators that registered an address.
    pub(crate) peers: BTreeMap<String, PeerConfig>,
}

/// How long a node keeps what its state no longer needs. Without a limit it keeps everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionConfig {
    /// Drop messages that were confirmed more days ago than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_days: Option<u64>,
    /// Drop the oldest messages while messages and payloads take more bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
}

impl RetentionConfig {
    /// The same for the replica.
    #[must_use]
    pub(crate) fn retention(&self) -> replica::Retention {
        let age = self.max_age_days.map(|days| Duration::from_secs(days.saturating_mul(DAY_S)));
        replica::Retention { age, bytes: self.max_bytes }
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            listen: loopback(7700),
            milestone_gap_ms: 20,
            heartbeat_ms: 15_000,
            batch_delay_ms: 5,
            batch_readings_max: 1000,
            retention: RetentionConfig::default(),
            peers: BTreeMap::new(),
        }
    }
}

/// The node's HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: loopback(8080) }
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

    fn check_ledger(&self) -> Result<(), (String, String)> {
        let ledger = &self.ledger;
        check_range("ledger.milestone_gap_ms", ledger.milestone_gap_ms, 1, MILESTONE_GAP_MS_MAX)?;
        check_range("ledger.heartbeat_ms", ledger.heartbeat_ms, HEARTBEAT_MS_MIN.max(ledger.milestone_gap_ms), HEARTBEAT_MS_MAX)?;
        check_range("ledger.batch_delay_ms", ledger.batch_delay_ms, 0, BATCH_DELAY_MS_MAX)?;
        check_range("ledger.batch_readings_max", ledger.batch_readings_max as u64, 1, BATCH_READINGS_MAX as u64)?;
        if let Some(days) = ledger.retention.max_age_days {
            check_range("ledger.retention.max_age_days", days, 1, RETENTION_AGE_DAYS_MAX)?;
        }
        if let Some(bytes) = ledger.retention.max_bytes {
            check_range("ledger.retention.max_bytes", bytes, RETENTION_BYTES_MIN, i64::MAX.cast_unsigned())?;
        }
        let mut keys = BTreeMap::new();
        for (name, peer) in &ledger.peers {
            let at = format!("ledger.peers.{name}");
            check_name(&at, name)?;
            let key = peer.key.parse::<PublicKey>().map_err(|why| (format!("{at}.key"), why.to_string()))?;
            if let Some(other) = keys.insert(key, name) {
                return wrong(format!("{at}.key"), format!("it is also the key of {other}"));
            }
        }
        Ok(())
    }

    /// Where the peers listen, by their keys.
    #[must_use]
    pub(crate) fn peers(&self) -> BTreeMap<PublicKey, SocketAddr> {
        self.ledger.peers.values().filter_map(|p| Some((p.key.parse().ok()?, p.address))).collect()
    }

    /// The site's name, if the node serves one.
    #[must_use]
    pub(crate) fn site_name(&self) -> Option<Name> {
        self.site.as_ref().and_then(|s| Name::site(&s.name).ok())
    }

    /// The directory for everything the node keeps.
    #[must_use]
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.base.join(&self.node.data_dir)
    }

    /// Where the replica keeps its part: `<data_dir>/ledger`.
    #[must_use]
    pub(crate) fn ledger_dir(&self) -> PathBuf {
        self.data_dir().join("ledger")
    }

    /// Where the site's log of readings is: `<data_dir>/log`.
    #[must_use]
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data_dir().join("log")
    }

    /// Where what arrived waits to be processed: `<data_dir>/intake`.
    #[must_use]
    pub(crate) fn intake_dir(&self) -> PathBuf {
        self.data_dir().join("intake")
    }

    /// What the fog processor remembers: `<data_dir>/fog`.
    #[must_use]
    pub(crate) fn fog_dir(&self) -> PathBuf {
        self.data_dir().join("fog")
    }

    /// The file of pipelines, if there is one.
    #[must_use]
    pub(crate) fn pipelines_file(&self) -> Option<PathBuf> {
        self.fog.pipelines.as_ref().map(|file| self.base.join(file))
    }

    /// What the cache of a site keeps that is a process of its own: `<data_dir>/cache`.
    #[must_use]
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.data_dir().join("cache")
    }

    /// What is on its way to other brokers: `<data_dir>/spool.redb`.
    #[must_use]
    pub(crate) fn spool_file(&self) -> PathBuf {
        self.data_dir().join("spool.redb")
    }

    /// The site's index: `<data_dir>/index.sqlite`.
    #[must_use]
    pub(crate) fn index_file(&self) -> PathBuf {
        self.data_dir().join("index.sqlite")
    }

    /// What sites told each other, and what was done about it: `<data_dir>/exchange.sqlite`.
    #[must_use]
    pub(crate) fn exchange_file(&self) -> PathBuf {
        self.data_dir().join("exchange.sqlite")
    }

    /// The Thing Descriptions: `<data_dir>/things`.
    #[must_use]
    pub(crate) fn things_dir(&self) -> PathBuf {
        self.data_dir().join("things")
    }

    /// The genesis file.
    #[must_use]
    pub(crate) fn genesis_file(&self) -> PathBuf {
        self.base.join(&self.node.genesis)
    }

    /// What the MQTT-SN gateway is to be started with, if there is to be one. `own` is the URL of the site's broker.
    ///
    /// # Errors
    /// One that names the file that cannot be read, or what is wrong in it.
    pub(crate) fn gateway(&self, own: Option<&str>) -> anyhow::Result<Option<mqtt::sn::GatewayConfig>> {
        self.mqttsn.as_ref().map(|mqttsn| mqttsn.gateway(&self.base, own)).transpose()
    }

    /// The key file.
    #[must_use]
    pub(crate) fn key_file(&self) -> PathBuf {
        self.base.join(&self.node.key_file)
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
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wattle.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn refusal(text: &str) -> String {
        let message = load(text).unwrap_err().to_string();
        assert!(!message.contains('\n'), "more than one line: {message}");
        assert!(message.contains("wattle.toml"), "no file in: {message}");
        message
    }

    #[test]
    fn the_documented_default_is_the_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wattle.toml");
        let loaded = Config::load(&path).unwrap();
        assert_eq!(loaded, Config { base: path.parent().unwrap().to_path_buf(), ..Config::default() });
    }

    #[test]
    fn the_documented_default_documents_every_key() {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wattle.toml")).unwrap();
        for line in Config::default().to_toml().lines().filter(|l| !l.is_empty() && *l != "[ledger.peers]") {
            assert!(text.lines().any(|l| l == line), "wattle.toml lacks {line:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let key = "ab".repeat(32);
        let peer = PeerConfig { key: key.clone(), address: loopback(7701) };
        let mut config = Config { site: Some(SiteConfig { name: "z1".into(), roles: None }), ..Config::default() };
        config.broker = Some(BrokerConfig { embedded: Some(loopback(1883)), ..BrokerConfig::default() });
        config.ledger.peers.insert("n1".into(), peer);
        let mut again = load(&config.to_toml()).unwrap();
        assert!(again.base.is_absolute());
        assert_eq!(again.peers().into_iter().collect::<Vec<_>>(), [(key.parse().unwrap(), loopback(7701))]);
        again.base = PathBuf::new();
        assert_eq!(again, config);
    }

    #[test]
    fn retention_is_everything_unless_limited() {
        assert_eq!(Config::default().ledger.retention.retention(), replica::Retention::default());
        let config = load("[ledger.retention]\nmax_age_days = 2\n").unwrap();
        let age = Some(Duration::from_secs(172_800));
        assert_eq!(config.ledger.retention.retention(), replica::Retention { age, bytes: None });
        let config = load("[ledger.retention]\nmax_bytes = 16777216\n").unwrap();
        assert_eq!(config.ledger.retention.retention(), replica::Retention { age: None, bytes: Some(16 << 20) });
        assert_eq!(load(&config.to_toml()).unwrap().ledger, config.ledger);
        for (bad, key) in [("max_age_days = 0", "max_age_days"), ("max_age_days = 36501", "max_age_days"), ("max_bytes = 1", "max_bytes")] {
            assert!(refusal(&format!("[ledger.retention]\n{bad}\n")).contains(&format!("ledger.retention.{key}")));
        }
        assert!(refusal("[ledger.retention]\nmax_days = 1\n").contains("max_days"));
    }

    #[test]
    fn a_place_in_the_tree_of_brokers() {
        let with = |tier: &str| format!("[site]\nname = \"agg1/loc1\"\n[broker]\nembedded = \"127.0.0.1:1883\"\n[tier]\n{tier}");
        let config = load(&with("parent = \"mqtt://agg1.example\"\n")).unwrap();
        assert_eq!(config.tier.clone().unwrap().up, ["root/fog/#"]);
        assert_eq!(load(&config.to_toml()).unwrap().tier, config.tier);
        let place = config.tier.unwrap().resolve("agg1/loc1", Path::new("/"), "spool".into(), 7).unwrap();
        assert_eq!((place.scope.to_string().as_str(), place.limits.min_free_bytes), ("agg1/loc1", 7));
        for (tier, says) in [
            ("parent = \"tcp://x\"\n", "tier.parent"),
            ("parent = \"mqtts://x\"\n", "(ca)"),
            ("parent = \"mqtt://x\"\nca = \"ca.pem\"\n", "tier.parent"),
            ("parent = \"mqtt://x\"\nusername = \"u\"\n", "tier.username"),
            ("parent = \"mqtt://x\"\nscope = \"\"\n", "needs a scope"),
            ("scope = \"a//b\"\n", "tier.scope"),
            ("children = [\"agg2\"]\n", "not below"),
            ("up = [\"#\"]\n", "root/<device"),
            ("spool_bytes = 1\n", "tier.spool_bytes"),
            ("parnet = \"mqtt://x\"\n", "parnet"),
        ] {
            assert!(refusal(&with(tier)).contains(says), "{tier}");
        }
        assert!(refusal("[tier]\n").contains("only an embedded broker"));
        assert!(refusal("[site]\nname = \"a/act\"\n").contains("site.name"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "pass word\n").unwrap();
        let tier = TierSettings {
            parent: Some("mqtt://x".into()),
            username: Some("loc1".into()),
            password_file: Some("secret".into()),
            ..TierSettings::default()
        };
        let login = tier.resolve("agg1/loc1", dir.path(), "spool".into(), 0).unwrap().parent.unwrap().login;
        assert_eq!(login, Some(("loc1".to_string(), "pass word".to_string())));
        let missing = TierSettings { password_file: Some("none".into()), ..tier }.resolve("agg1/loc1", dir.path(), "spool".into(), 0);
        assert!(missing.unwrap_err().to_string().contains("tier.password_file"));
    }

    #[test]
    fn pipelines_need_a_site() {
        let config = load("[site]\nname = \"z1\"\n[fog]\npipelines = \"pipelines.toml\"\n").unwrap();
        assert_eq!(config.pipelines_file().unwrap(), config.base.join("pipelines.toml"));
        assert_eq!(load(&config.to_toml()).unwrap().fog, config.fog);
        assert!(refusal("[fog]\npipelines = \"pipelines.toml\"\n").contains("fog.pipelines"));
        let small = "[site]\nname = \"z1\"\n[fog]\npipelines = \"p.toml\"\nintake_limit_bytes = 1\n";
        assert!(refusal(small).contains("fog.intake_limit_bytes"));
        assert!(refusal("[fog]\npipeline = \"x\"\n").contains("pipeline"));
    }

    #[test]
    fn requests_and_roaming() {
        let with = |more: &str| format!("[site]\nname = \"z1\"\n[broker]\nembedded = \"127.0.0.1:1883\"\n{more}");
        let rules = "[requests]\nmax_age_s = 60\n[[requests.allow]]\nfrom = \"z1/+\"\nto = \"z2/lamp/act/#\"\n\
             [[requests.accept]]\nfrom = \"z2/+\"\nto = \"z1/#\"\nunsigned = true\n[roaming]\nhosts = [\"z2\"]\nvisitors = [\"a/b\"]\n";
        let config = load(&with(rules)).unwrap();
        let requests = config.requests.clone().unwrap();
        assert_eq!((requests.max_age_s, requests.hold_s, requests.allow.len(), requests.accept.len()), (60, 600, 1, 1));
        let again = load(&config.to_toml()).unwrap();
        assert_eq!((again.requests, again.roaming), (config.requests.clone(), config.roaming.clone()));
        for (more, says) in [
            ("[requests]\nmax_age_s = 0\n", "requests.max_age_s"),
            ("[[requests.allow]]\nfrom = \"z1/#/x\"\nto = \"z2/#\"\n", "requests.allow"),
            ("[[requests.accept]]\nfrom = \"z1/x\"\n", "missing field"),
            ("[roaming]\nhosts = [\"z1\"]\n", "roaming.hosts"),
            ("[roaming]\nvisitors = [\"a//b\"]\n", "roaming.visitors"),
        ] {
            assert!(refusal(&with(more)).contains(says), "{more}");
        }
        assert!(refusal("[requests]\n").contains("[broker]"));
        assert!(refusal("[site]\nname = \"z1\"\n[broker]\nexternal = \"mqtt://x\"\n[roaming]\n").contains("embedded broker"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config { base: "/etc/wattle".into(), ..Config::default() };
        assert_eq!(config.ledger_dir(), Path::new("/etc/wattle/data/ledger"));
        let mut config = config;
        config.node.data_dir = "/var/lib/wattle".into();
        assert_eq!(config.index_file(), Path::new("/var/lib/wattle/index.sqlite"));
    }

    #[test]
    fn errors_name_file_place_and_reason() {
        assert!(refusal("[node]\nname = \"a\"\nnmae = \"b\"\n").contains("line 3: nmae: unknown field `nmae`"));
        assert!(refusal("[ledger]\nlisten = \"nowhere\"\n").contains("line 2: listen:"));
        assert!(refusal("[ledger\n").contains(": line "));
        assert!(refusal("[node]\nname = \"a/b\"\n").contains("node.name"));
        assert!(refusal("[ledger]\nbatch_readings_max = 0\n").contains("ledger.batch_readings_max: 0 is outside 1 to 4096"));
        assert!(refusal("[broker]\nembedded = \"127.0.0.1:1883\"\n").contains("needs a [site]"));
        assert!(refusal("[site]\nname = \"z1\"\n[broker]\n").contains("exactly one of"));
        assert!(refusal("[site]\nname = \"z1\"\n[broker]\nexternal = \"tcp://x\"\n").contains("broker.external"));
        assert!(refusal("[ledger.peers.n1]\nkey = \"12\"\naddress = \"127.0.0.1:1\"\n").contains("ledger.peers.n1.key"));
        let key = "ab".repeat(32);
        let twice = ["n1", "n2"].map(|n| format!("[ledger.peers.{n}]\nkey = \"{key}\"\naddress = \"127.0.0.1:1\"\n")).concat();
        assert!(refusal(&twice).contains("ledger.peers.n2.key: it is also the key of n1"));
        let missing = Config::load(Path::new("/nowhere/wattle.toml")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/wattle.toml") && missing.contains("wattle init"));
    }
}
