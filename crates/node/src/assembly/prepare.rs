//! What can be checked before anything starts.

use crate::config::{BrokerConfig, Config};
use crate::fog::Pipelines;
use crate::http;
use crate::lock::DirLock;
use anyhow::{Context as _, anyhow, bail};
use protocol::{Genesis, NetworkId, SecretKey};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A node that may start: everything that can be checked beforehand was.
pub(crate) struct Prepared {
    /// The configuration.
    pub(crate) config: Config,
    /// The network.
    pub(crate) genesis: Genesis,
    /// The node's key.
    pub(crate) key: SecretKey,
    /// Where a new node takes what the network has forgotten; nowhere unless somebody says so.
    pub(crate) joining: replica::Joining,
    pub(super) lock: DirLock,
    pub(super) http: TcpListener,
}

/// Takes the data directory and checks genesis, key, network and ports. To be called before the replica's runtime
/// touches the storage at [`Config::ledger_dir`].
///
/// # Errors
/// One that says what, where and what to do.
pub(crate) fn prepare(config: &Config) -> anyhow::Result<Prepared> {
    config.check().map_err(|(key, why)| anyhow!("configuration: {key}: {why}"))?;
    let genesis = read_genesis(&config.genesis_file())?;
    let key = read_key(&config.key_file())?;
    check_committee(config, &genesis, &key)?;
    let data = config.data_dir();
    std::fs::create_dir_all(config.ledger_dir())
        .with_context(|| format!("cannot make the data directory {}: choose another by node.data_dir", data.display()))?;
    let lock = DirLock::take(&data)?;
    claim_network(&data.join("network"), genesis.network())?;
    if let Some(tls) = config.http_tls() {
        http::try_tls(&tls).context("HTTPS")?;
    }
    let http = http::bind(config.http.listen)?;
    check_free(config.ledger.listen, "peers", "ledger.listen")?;
    for (key, address) in config.broker.iter().flat_map(BrokerConfig::listeners) {
        check_free(address, "MQTT", key)?;
    }
    if let (Some(broker), Some(site)) = (&config.broker, config.site_name()) {
        broker.security(&config.base).try_files(&site).context("the site's broker")?;
    }
    if let Some(file) = config.pipelines_file() {
        Pipelines::load(Some(&file)).context("fog.pipelines")?;
    }
    if let Some(mqttsn) = &config.mqttsn {
        check_free_udp(mqttsn.listen, "mqttsn.listen")?;
        if let Some(address) = mqttsn.dtls {
            check_free_udp(address, "mqttsn.dtls")?;
        }
    }
    Ok(Prepared { config: config.clone(), genesis, key, joining: replica::Joining::default(), lock, http })
}

/// Reads a genesis file.
///
/// # Errors
/// One that names the file, and says what to do.
pub(crate) fn read_genesis(file: &Path) -> anyhow::Result<Genesis> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the genesis {}: node.genesis names it, `wattle init` makes one", file.display()))?;
    Genesis::from_json(&text).with_context(|| format!("the genesis {}", file.display()))
}

/// Reads a node's key.
///
/// # Errors
/// One that names the file, and says what to do.
pub(crate) fn read_key(file: &Path) -> anyhow::Result<SecretKey> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the key {}: node.key_file names it, `wattle init` makes one", file.display()))?;
    let seed: protocol::Id = text
        .trim()
        .parse()
        .map_err(|_| anyhow!("the key {} is not 64 lower-case hexadecimal digits: restore it from a backup", file.display()))?;
    let mode = std::fs::metadata(file).map_or(0, |m| m.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!("others may read the key {} (mode {:o}): chmod 600 it", file.display(), mode & 0o777);
    }
    Ok(SecretKey::from_seed(&seed.0))
}

/// Whether the node has anybody to talk to. It need not be of the genesis' committee: others look on, and may be elected.
///
/// # Errors
/// One that says who or what is missing.
pub(crate) fn check_committee(config: &Config, genesis: &Genesis, key: &SecretKey) -> anyhow::Result<()> {
    let me = key.public_key();
    let (genesis_file, key_file) = (config.genesis_file(), config.key_file());
    let validators = genesis.committee.validators();
    let member = validators.iter().any(|v| v.key == me);
    let others = config.peers().keys().any(|key| *key != me);
    if !member && !others {
        bail!(
            "the key in {} ({me}) is not in the committee of {}, and [ledger.peers] names nobody else: use the key that belongs to this node, or the genesis of its network, or name peers",
            key_file.display(),
            genesis_file.display()
        );
    }
    match validators.iter().find(|v| v.key != me) {
        Some(missing) if !others => {
            bail!(
                "no address for the validator {} ({}): add [ledger.peers.{}] with key and address",
                missing.name,
                missing.key,
                missing.name
            )
        }
        _ => {}
    }
    if !member {
        tracing::info!(key = %me, "this node is not of the genesis' committee: it looks on until it is registered and elected");
    }
    Ok(())
}

/// A data directory belongs to one network: the first that used it.
fn claim_network(file: &Path, network: NetworkId) -> anyhow::Result<()> {
    match std::fs::read_to_string(file) {
        Ok(text) if text.trim() == network.to_string() => Ok(()),
        Ok(text) => bail!(
            "{} says that this data directory belongs to the network {}, but the genesis is of {network}: use the genesis it was made with, or another node.data_dir",
            file.display(),
            text.trim()
        ),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let write = || {
                let new = file.with_extension("new");
                std::fs::write(&new, format!("{network}\n"))?;
                std::fs::File::open(&new)?.sync_all()?;
                std::fs::rename(&new, file)
            };
            write().with_context(|| format!("cannot write {}: the data directory must be writable", file.display()))
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn check_free(address: SocketAddr, what: &str, key: &str) -> anyhow::Result<()> {
    TcpListener::bind(address).map(drop).with_context(|| {
        format!(
            "cannot listen for {what} on {address}: stop the program that holds the port, or choose another by {key} in the configuration"
        )
    })
}

fn check_free_udp(address: SocketAddr, key: &str) -> anyhow::Result<()> {
    UdpSocket::bind(address).map(drop).with_context(|| {
        format!(
            "cannot listen for MQTT-SN on {address}: stop the program that holds the port, or choose another by {key} in the configuration"
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::config::PeerConfig;
    use protocol::{Committee, Name, Validator};

    /// A directory with genesis, key and configuration of the first of two nodes.
    fn node(dir: &Path) -> Config {
        let mut keys = [SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32])];
        keys.sort_by_key(SecretKey::public_key);
        let validators = keys.iter().zip(["n1", "n2"]);
        let validators = validators.map(|(k, n)| Validator { key: k.public_key(), name: Name::new(n).unwrap() }).collect();
        let committee = Committee::new(validators).unwrap();
        let genesis = Genesis::plain(Name::new("net").unwrap(), 0, 7, committee);
        std::fs::write(dir.join("genesis.json"), genesis.to_json()).unwrap();
        let seed: String = keys[0].to_seed().iter().map(|b| format!("{b:02x}")).collect();
        std::fs::write(dir.join("node.key"), seed).unwrap();
        let mut config = Config { base: dir.to_path_buf(), ..Config::default() };
        config.http.listen.set_port(0);
        config.ledger.listen.set_port(0);
        for (key, name) in keys.iter().zip(["n1", "n2"]) {
            let peer = PeerConfig { key: key.public_key().to_string(), address: "127.0.0.1:1".parse().unwrap() };
            config.ledger.peers.insert(name.into(), peer);
        }
        config
    }

    fn refusal(config: &Config) -> String {
        let message = format!("{:#}", prepare(config).err().unwrap());
        assert!(!message.contains('\n'), "more than one line: {message}");
        message
    }

    #[test]
    fn a_node_is_prepared_once_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let config = node(dir.path());
        let prepared = prepare(&config).unwrap();
        assert!(config.ledger_dir().is_dir());
        assert!(refusal(&config).contains("in use by another wattle process"));
        drop(prepared);
        prepare(&config).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let config = node(dir.path());
        let mut other = config.clone();
        other.ledger.peers.remove("n2");
        assert!(refusal(&other).contains("[ledger.peers.n2]"));
        let mut other = config.clone();
        other.node.genesis = "no.json".into();
        assert!(refusal(&other).contains("no.json"));
        std::fs::write(dir.path().join("other.key"), "03".repeat(32)).unwrap();
        let mut other = config.clone();
        other.node.key_file = "other.key".into();
        drop(prepare(&other).unwrap()); // it looks on
        other.ledger.peers.clear();
        assert!(refusal(&other).contains("is not in the committee"));
        std::fs::write(dir.path().join("other.key"), "x").unwrap();
        assert!(refusal(&other).contains("64 lower-case hexadecimal digits"));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut other = config.clone();
        other.ledger.listen = taken.local_addr().unwrap();
        assert!(refusal(&other).contains("ledger.listen"));
    }

    #[test]
    fn a_data_directory_belongs_to_one_network() {
        let dir = tempfile::tempdir().unwrap();
        let config = node(dir.path());
        drop(prepare(&config).unwrap());
        std::fs::write(dir.path().join("data/network"), "ab".repeat(32)).unwrap();
        assert!(refusal(&config).contains("belongs to the network abab"));
    }
}
