//! `wattle init`: keys, a genesis and one configuration per node.
//!
//! ```text
//! DIR/genesis.json                     what a verifier needs
//! DIR/node1/{wattle.toml,node.key,genesis.json}
//! DIR/node2/…
//! ```
//! Nodes are named by the order of their keys, so `node1` is the committee's first member. The first node
//! serves the site: it has the broker.

use super::output::{note, print};
use super::{Exit, Failure, quantity};
use crate::config::Config;
use protocol::limits::COMMITTEE_MAX;
use protocol::{Committee, Genesis, Name, Parameters, SecretKey, Validator, WalletParameters};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Port of the first node's ledger traffic if nothing else is said.
pub(crate) const LEDGER_PORT: u16 = 7700;
/// Port of the first node's HTTP if nothing else is said.
pub(crate) const HTTP_PORT: u16 = 8080;
/// Port of the embedded broker if nothing else is said.
pub(crate) const MQTT_PORT: u16 = 1883;

/// `wattle init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle init --out net                          four nodes on this machine, site z1 at the first
  wattle init --nodes 1 --out solo
  wattle init --out net --base-port 21000        ledger 21000…, HTTP 21004…, MQTT 21008
  wattle init --out net --broker mqtt://127.0.0.1:1883
  wattle init --out net --epoch-milestones 500   a new committee every ten seconds under load
  wattle init --out net --difficulty 3           requests of wallets that cost more work

Then, for each node:  wattle up --config net/node1/wattle.toml
To spread the nodes over several machines, move each directory and change the addresses in its wattle.toml.")]
pub(crate) struct Arguments {
    /// Validators; up to a third of them, rounded down, may fail or lie
    #[arg(long, default_value_t = 4)]
    nodes: u16,
    /// Where to write; must not exist or be empty
    #[arg(long, value_name = "DIR", default_value = "net")]
    out: PathBuf,
    /// The network's name
    #[arg(long, default_value = "wattle", value_parser = quantity::name)]
    name: Name,
    /// The site that the first node serves
    #[arg(long, default_value = "z1", value_parser = quantity::site)]
    site: Name,
    /// Take all ports from here on: one per node for the ledger, then for HTTP, then one for MQTT
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Let the first node use this broker instead of its own
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Milestones after which a new committee is elected; at least 2. Under load there are up to 50 a second
    #[arg(long, value_name = "N", default_value_t = Parameters::default().epoch_milestones)]
    epoch_milestones: u64,
    /// Members that an elected committee has at most; up to 128
    #[arg(long, value_name = "N", default_value_t = Parameters::default().committee_max)]
    committee_max: u16,
    /// DCoin that a validator needs at stake to be elected
    #[arg(long, value_name = "DCOIN", default_value_t = Parameters::default().stake_min)]
    stake_min: u64,
    /// Epochs that stake stays bound, and punishable, after it was undelegated
    #[arg(long, value_name = "N", default_value_t = Parameters::default().unbonding_epochs)]
    unbonding_epochs: u64,
    #[command(flatten)]
    wallets: Wallets,
}

/// What the network agrees on about wallets; WAL-50 of docs/spec/wallet.md.
#[derive(Debug, clap::Args)]
struct Wallets {
    /// Percent of the committee that must vote for a request; 67 stands for more than two thirds
    #[arg(long, value_name = "PERCENT", default_value_t = WalletParameters::default().threshold_percent)]
    threshold: u8,
    /// Zero nibbles of work that a wallet's request needs; up to 16
    #[arg(long, value_name = "N", default_value_t = WalletParameters::default().difficulty)]
    difficulty: u8,
    /// Confirmed shares of data that earn a DCoin
    #[arg(long, value_name = "N", default_value_t = WalletParameters::default().shares_per_coin)]
    shares_per_coin: u32,
    /// What a vote for a request earns, in sub-units: 1000000 are a DCoin
    #[arg(long, value_name = "UNITS", default_value_t = WalletParameters::default().vote_reward)]
    vote_reward: u64,
    /// DCoin that the shares of one node earn in an epoch at most
    #[arg(long, value_name = "DCOIN", default_value_t = WalletParameters::default().share_cap)]
    share_cap: u64,
    /// DCoin that the votes of one member earn in an epoch at most
    #[arg(long, value_name = "DCOIN", default_value_t = WalletParameters::default().reward_cap)]
    reward_cap: u64,
}

impl Wallets {
    const fn parameters(&self) -> WalletParameters {
        let Self { threshold, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap } = *self;
        WalletParameters { threshold_percent: threshold, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap }
    }
}

/// One node's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Ledger traffic between nodes.
    pub(crate) ledger: u16,
    /// HTTP.
    pub(crate) http: u16,
}

/// The broker of the first node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BrokerPlan {
    /// Its own, on this port.
    Embedded(u16),
    /// Somebody else's, at this URL.
    External(String),
}

/// What to write.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The network's name.
    pub(crate) name: Name,
    /// The first node's site.
    pub(crate) site: Name,
    /// Every node's ports.
    pub(crate) nodes: Vec<Ports>,
    /// The first node's broker.
    pub(crate) broker: BrokerPlan,
    /// What the genesis says beside its committee.
    pub(crate) parameters: Parameters,
    /// What it says about wallets.
    pub(crate) wallet_parameters: WalletParameters,
}

/// What was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The network's genesis.
    pub(crate) genesis: Genesis,
    /// Its file.
    pub(crate) genesis_file: PathBuf,
    /// Each node's directory, in the committee's order.
    pub(crate) directories: Vec<PathBuf>,
}

impl Plan {
    /// A plan with the default ports, or with all ports from `base` on.
    ///
    /// # Errors
    /// [`Failure`] if the ports do not fit below 65536.
    pub(crate) fn new(name: Name, site: Name, nodes: u16, base: Option<u16>) -> Result<Self, Failure> {
        let port = |start: u16, offset: u16| {
            start.checked_add(offset).ok_or_else(|| Failure::new(Exit::Usage, "a port above 65535", "--base-port", "choose a lower one"))
        };
        let (ledger, http, mqtt) = match base {
            None => (LEDGER_PORT, HTTP_PORT, MQTT_PORT),
            Some(base) => (base, port(base, nodes)?, port(port(base, nodes)?, nodes)?),
        };
        let ports = (0..nodes).map(|k| Ok(Ports { ledger: port(ledger, k)?, http: port(http, k)? }));
        let nodes = ports.collect::<Result<_, Failure>>()?;
        let (parameters, wallet_parameters) = (Parameters::default(), WalletParameters::default());
        Ok(Self { name, site, nodes, broker: BrokerPlan::Embedded(mqtt), parameters, wallet_parameters })
    }
}

/// Writes what was asked for and says how to go on.
///
/// # Errors
/// [`Failure`] if the plan makes no network or cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut plan = Plan::new(arguments.name.clone(), arguments.site.clone(), arguments.nodes, arguments.base_port)?;
    if let Some(url) = &arguments.broker {
        plan.broker = BrokerPlan::External(url.clone());
    }
    plan.parameters = Parameters {
        epoch_milestones: arguments.epoch_milestones,
        committee_max: arguments.committee_max,
        stake_min: arguments.stake_min,
        unbonding_epochs: arguments.unbonding_epochs,
        ..plan.parameters
    };
    plan.wallet_parameters = arguments.wallets.parameters();
    let written = write(&plan, &arguments.out)?;
    note(&format!("network {} with {} nodes; start them with:", written.genesis.network(), written.directories.len()));
    for directory in &written.directories {
        note(&format!("  wattle up --config {}", directory.join("wattle.toml").display()));
    }
    print(&written.genesis_file.display().to_string())
}

/// Writes a network.
///
/// # Errors
/// [`Failure`] if `out` holds something already, the plan makes no network, or the disk refuses.
pub(crate) fn write(plan: &Plan, out: &Path) -> Result<Written, Failure> {
    if plan.nodes.is_empty() || plan.nodes.len() > COMMITTEE_MAX {
        let what = format!("{} nodes", plan.nodes.len());
        return Err(Failure::new(Exit::Usage, what, "--nodes", format!("choose 1 to {COMMITTEE_MAX}")));
    }
    let refused = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, why, "the parameters of the genesis", "see `wattle init --help`");
    plan.parameters.check().map_err(|why| refused(&why))?;
    plan.wallet_parameters.check().map_err(|why| refused(&why))?;
    let occupied = fs::read_dir(out).map(|mut entries| entries.next().is_some());
    match occupied {
        Ok(true) => {
            return Err(Failure::new(Exit::Usage, "the directory is not empty", out.display(), "name another with --out, or empty it"));
        }
        Ok(false) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::file(out, &error, "name a directory that can be written")),
    }
    let (genesis, keys) = found(plan)?;
    let genesis_file = out.join("genesis.json");
    create_dir(out)?;
    write_file(&genesis_file, &genesis.to_json(), 0o644)?;
    let mut directories = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let directory = out.join(format!("node{}", index + 1));
        create_dir(&directory)?;
        write_file(&directory.join("genesis.json"), &genesis.to_json(), 0o644)?;
        write_file(&directory.join("node.key"), &format!("{}\n", protocol::Id(key.to_seed())), 0o600)?;
        let config = directory.join("wattle.toml");
        write_file(&config, &toml(plan, &genesis, index), 0o644)?;
        Config::load(&config).map_err(|e| Failure::said(Exit::Usage, e))?;
        directories.push(directory);
    }
    Ok(Written { genesis, genesis_file, directories })
}

/// Draws the keys and founds the network.
fn found(plan: &Plan) -> Result<(Genesis, Vec<SecretKey>), Failure> {
    let mut keys = Vec::with_capacity(plan.nodes.len());
    for _ in &plan.nodes {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed)
            .map_err(|e| Failure::new(Exit::Fault, e, "the system's source of randomness", "check that getrandom(2) works here"))?;
        keys.push(SecretKey::from_seed(&seed));
    }
    keys.sort_by_key(SecretKey::public_key);
    let refused = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, why, "the genesis", "choose other names or fewer nodes");
    let mut validators = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let name = Name::new(&node_name(index)).map_err(|e| refused(&e))?;
        validators.push(Validator { key: key.public_key(), name });
    }
    let created_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let committee = Committee::new(validators).map_err(|e| refused(&e))?;
    let (parameters, wallet_parameters) = (plan.parameters.clone(), plan.wallet_parameters);
    let genesis = Genesis { parameters, wallet_parameters, ..Genesis::plain(plan.name.clone(), 0, created_ms, committee) };
    Ok((genesis, keys))
}

fn node_name(index: usize) -> String {
    format!("node{}", index + 1)
}

/// Text as TOML writes it.
fn quoted(text: &str) -> String {
    ::toml::Value::from(text).to_string()
}

/// The configuration of node `index`, with what a reader needs to change it.
fn toml(plan: &Plan, genesis: &Genesis, index: usize) -> String {
    let mut text = String::new();
    let ports = plan.nodes.get(index).copied().unwrap_or(Ports { ledger: LEDGER_PORT, http: HTTP_PORT });
    // writing to a String cannot fail
    let _ = write!(
        text,
        "# Written by `wattle init`. `wattle up --dump-config` shows every setting with its value.\n\n\
         [node]\nname = {}\ndata_dir = \"data\"\ngenesis = \"genesis.json\"\nkey_file = \"node.key\"\n\n\
         [ledger]\n# where the other nodes reach this one\nlisten = \"127.0.0.1:{}\"\n\n\
         # whom this node talks to; validators that register an address need no line\n[ledger.peers]\n",
        quoted(&node_name(index)),
        ports.ledger,
    );
    for (validator, ports) in genesis.committee.validators().iter().zip(&plan.nodes) {
        let name = validator.name.as_str();
        let _ = writeln!(text, "{name} = {{ key = \"{}\", address = \"127.0.0.1:{}\" }}", validator.key, ports.ledger);
    }
    let _ =
        write!(text, "\n[http]\nlisten = \"127.0.0.1:{}\"\n# programs on this machine need no token\nopen = \"loopback\"\n", ports.http);
    if index == 0 {
        let broker = match &plan.broker {
            BrokerPlan::Embedded(port) => format!("embedded = \"127.0.0.1:{port}\""),
            BrokerPlan::External(url) => format!("external = {}", quoted(url)),
        };
        let _ = write!(text, "\n# the place whose devices this node serves\n[site]\nname = {}\n", quoted(plan.site.as_str()));
        let _ = write!(text, "\n# where they publish\n[broker]\n{broker}\n");
    }
    text
}

fn create_dir(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|e| Failure::file(path, &e, "name a directory that can be written"))
}

fn write_file(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| Failure::file(path, &e, "name an empty directory that can be written"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn plan(nodes: u16, base: Option<u16>) -> Plan {
        Plan::new(Name::new("net").unwrap(), Name::new("z1").unwrap(), nodes, base).unwrap()
    }

    #[test]
    fn ports_are_the_documented_ones() {
        let default = plan(2, None);
        assert_eq!(default.nodes, [Ports { ledger: 7700, http: 8080 }, Ports { ledger: 7701, http: 8081 }]);
        assert_eq!(default.broker, BrokerPlan::Embedded(1883));
        let based = plan(2, Some(21_000));
        assert_eq!(based.nodes, [Ports { ledger: 21_000, http: 21_002 }, Ports { ledger: 21_001, http: 21_003 }]);
        assert_eq!(based.broker, BrokerPlan::Embedded(21_004));
    }

    #[test]
    fn a_written_network_can_be_read_again_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("net");
        let written = write(&plan(4, None), &out).unwrap();
        assert_eq!(written.directories.len(), 4);
        for (index, directory) in written.directories.iter().enumerate() {
            let genesis = Genesis::from_json(&fs::read_to_string(directory.join("genesis.json")).unwrap()).unwrap();
            assert_eq!(genesis, written.genesis);
            let key = fs::read_to_string(directory.join("node.key")).unwrap();
            let seed: protocol::Id = key.trim().parse().unwrap();
            assert_eq!(SecretKey::from_seed(&seed.0).public_key(), genesis.committee.validators()[index].key);
            assert_eq!(fs::metadata(directory.join("node.key")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let again = write(&plan(4, None), &out).unwrap_err();
        assert_eq!(again.exit, Exit::Usage);
        assert!(again.to_string().contains("not empty"), "{again}");
    }

    #[test]
    fn the_genesis_has_the_parameters_of_the_plan() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan(1, None);
        plan.parameters.epoch_milestones = 40;
        assert_eq!(write(&plan, &dir.path().join("a")).unwrap().genesis.parameters, plan.parameters);
        plan.parameters.epoch_milestones = 1;
        let refused = write(&plan, &dir.path().join("b")).unwrap_err();
        assert!(refused.exit == Exit::Usage && refused.to_string().contains("at least 2"), "{refused}");
    }

    #[test]
    fn a_genesis_says_of_wallets_what_differs_from_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan(1, None);
        let plain = write(&plan, &dir.path().join("a")).unwrap();
        assert!(!fs::read_to_string(plain.genesis_file).unwrap().contains("wallet_parameters"));
        plan.wallet_parameters.difficulty = 3;
        let harder = write(&plan, &dir.path().join("b")).unwrap();
        assert_eq!(harder.genesis.wallet_parameters.difficulty, 3);
        assert!(fs::read_to_string(harder.genesis_file).unwrap().contains("wallet_parameters"));
        plan.wallet_parameters.threshold_percent = 60;
        let refused = write(&plan, &dir.path().join("c")).unwrap_err();
        assert!(refused.exit == Exit::Usage && refused.to_string().contains("67"), "{refused}");
    }

    #[test]
    fn a_network_needs_one_to_a_hundred_and_twenty_eight_nodes() {
        let dir = tempfile::tempdir().unwrap();
        for nodes in [0, 129] {
            assert_eq!(write(&plan(nodes, None), &dir.path().join("n")).unwrap_err().exit, Exit::Usage);
        }
        assert!(Plan::new(Name::new("n").unwrap(), Name::new("s").unwrap(), 4, Some(65_530)).is_err());
    }
}
