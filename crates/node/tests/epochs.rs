//! The committee changes while devices publish: stake moves, a node is killed across the end of an epoch, and one from
//! outside registers, is elected and takes readings in. Nothing is lost, and what the first epoch confirmed is proved
//! with the genesis alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[allow(dead_code)] // of it only what publishes all the time is needed here
#[path = "support/devices.rs"]
mod devices;
#[path = "support/durability.rs"]
mod durability;
mod support;

use devices::{Site, Traffic};
use durability::{Anchored, in_every_ledger, listed, sound};
use protocol::{Id, Reading, SecretKey};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, NODE_TIMEOUT, Net, Process, free_ports, get, run, table, until, verify, wattle};

const NODES: u16 = 4;
const EPOCH_MILESTONES: u64 = 40;
/// Epochs that the chain goes through at least.
const EPOCHS: u64 = 5;
/// How long an epoch may take on a busy machine, with devices publishing.
const EPOCH_TIMEOUT: Duration = Duration::from_secs(120);
/// Readings published at the node from outside.
const OUTSIDE_READINGS: u64 = 50;

/// A node that the genesis does not know.
struct Outsider {
    dir: PathBuf,
    base: u16,
    key: SecretKey,
    process: Option<Process>,
}

impl Outsider {
    /// Writes its directory: the network's genesis, a key of its own, the members as peers.
    fn new(net: &Net) -> Self {
        let (dir, base) = (net.dir.path().join("outside"), free_ports(3));
        fs::create_dir(&dir).unwrap();
        let key = SecretKey::from_seed(&[0x5a; 32]);
        fs::write(dir.join("node.key"), format!("{}\n", Id(key.to_seed()))).unwrap();
        fs::copy(net.genesis_file(), dir.join("genesis.json")).unwrap();
        let member = fs::read_to_string(net.config(1)).unwrap();
        let peers: Vec<&str> = member.lines().filter(|line| line.starts_with("node") && line.contains("address")).collect();
        assert_eq!(peers.len(), usize::from(NODES), "{member}");
        let config = format!(
            "[node]\nname = \"outside\"\n[ledger]\nlisten = \"127.0.0.1:{base}\"\n[ledger.peers]\n{}\n[http]\nlisten = \"127.0.0.1:{}\"\nopen = \"loopback\"\n\
             [site]\nname = \"z5\"\n[broker]\nembedded = \"127.0.0.1:{}\"\n",
            peers.join("\n"),
            base + 1,
            base + 2,
        );
        fs::write(dir.join("wattle.toml"), config).unwrap();
        Self { dir, base, key, process: None }
    }

    fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.base + 1)
    }

    fn key_file(&self) -> String {
        self.dir.join("node.key").to_str().unwrap().to_owned()
    }

    fn start(&mut self) {
        let log = fs::File::create(self.dir.join("log.txt")).unwrap();
        let mut command = wattle();
        command.args(["up", "--until-stdin-ends", "--config"]).arg(self.dir.join("wattle.toml"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.process = Some(Process(child));
        until("the node from outside answers", NODE_TIMEOUT, || {
            let ended = self.process.as_mut().and_then(Process::ended);
            assert_eq!(ended, None, "it ended:\n{}", self.log());
            get(&self.http(), "/healthz").is_some_and(|(status, _)| status == 200)
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log.txt")).unwrap_or_default()
    }
}

/// JSON at a node; null while it does not answer.
fn ask(node: &str, path: &str) -> Value {
    get(node, path).filter(|(status, _)| *status == 200).and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn epoch(node: &str) -> u64 {
    ask(node, "/api/v1/epoch")["epoch"].as_u64().unwrap_or(0)
}

/// Gives an order by the command line; it must have its effect.
fn order(net: &Net, command: &[&str], key: &str) -> Value {
    let mut arguments = command.to_vec();
    let node = net.http(1);
    arguments.extend(["--key", key, "--node", &node, "--wait", "60s", "--json"]);
    run(&arguments).json()
}

fn member_key(net: &Net, k: u16) -> String {
    net.node_dir(k).join("node.key").to_str().unwrap().to_owned()
}

/// The receipt of a reading, as the command line fetches and verifies it with the genesis.
fn proved(net: &Net, node: &str, reference: &str) -> Value {
    let file = net.dir.path().join("receipt.json");
    let (file, genesis) = (file.to_str().unwrap(), net.genesis_file());
    run(&["receipt", reference, "--node", node, "--wait", "60s", "-o", file]).ok();
    run(&["verify", file, "--genesis", genesis.to_str().unwrap(), "--json"]).json()
}

#[test]
fn a_node_from_outside_is_elected_and_nothing_is_lost() {
    let mut net = Net::init(NODES, &["--epoch-milestones", &EPOCH_MILESTONES.to_string(), "--unbonding-epochs", "1"]);
    (1..=NODES).for_each(|k| net.start(k));
    (1..=NODES).for_each(|k| net.wait_ready(k));
    let site = Site::new("z1", 1, net.mqtt());
    let traffic = Traffic::start(std::slice::from_ref(&site));

    // stake moves between wallets and validators, and what cannot be done says why
    let first = member_key(&net, 1);
    let second = format!("/api/v1/validators/{}", net.genesis().committee.validators()[1].key);
    let stake = |net: &Net| ask(&net.http(3), &second)["stake"].as_u64();
    let before = stake(&net).unwrap();
    order(&net, &["delegate", "--to", "node2", "--amount", "400000"], &first);
    until("node3 has executed it as well", CONFIRM_TIMEOUT, || stake(&net) == Some(before + 400_000));
    let node = net.http(1);
    let too_much = ["delegate", "--to", "node2", "--amount", "999999999", "--key", &first, "--node", &node, "--wait", "60s"];
    run(&too_much).refused(1, &["no effect", "the order needs 999999999"]);
    run(&["withdraw", "--from", "node2", "--key", &first, "--node", &node]).refused(1, &["nothing is released"]);

    a_killed_member_comes_back(&mut net);
    let outsider = somebody_joins(&net, &first);

    until("the chain is in epoch 5", EPOCH_TIMEOUT, || epoch(&net.http(1)) >= EPOCHS);
    traffic.finish();
    assert_eq!(site.acknowledged(), site.sent());

    let file = net.dir.path().join("outside.csv");
    let names = published_outside(&outsider, &file);
    receipts_hold(&net, &outsider, &site, &names);

    let mut anchored = Anchored::new();
    for (topic, numbers) in site.topics() {
        let readings: Vec<Reading> = numbers.map(|n| site.reading(n)).collect();
        listed(&net, 1, &topic, &readings, &mut anchored);
    }
    let outside = ask(&outsider.http(), "/api/v1/readings?limit=1000");
    for row in outside["readings"].as_array().unwrap() {
        *anchored.entry(row["message"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(anchored.values().sum::<u64>(), site.sent() + OUTSIDE_READINGS);
    in_every_ledger(&net, &anchored);
    (1..=NODES).for_each(|k| net.stop(k));
    sound(&net);
}

/// `kill -9` of a member; it comes back in a later epoch and catches up.
fn a_killed_member_comes_back(net: &mut Net) {
    net.kill(3);
    let killed_in = epoch(&net.http(1));
    until("an epoch ends without node3", EPOCH_TIMEOUT, || epoch(&net.http(1)) > killed_in);
    net.start(3);
    net.wait_ready(3);
    let height = net.count(1, "/ledger/height");
    until("node3 has caught up", EPOCH_TIMEOUT, || net.count(3, "/ledger/height") >= height);
    assert!(epoch(&net.http(3)) > killed_in, "it stayed in its epoch");
}

/// Starts a node from outside, registers it, gives it stake and waits until it is elected.
fn somebody_joins(net: &Net, wallet: &str) -> Outsider {
    let mut outsider = Outsider::new(net);
    outsider.start();
    let address = format!("127.0.0.1:{}", outsider.base);
    order(net, &["validator", "register", "--name", "outside", "--address", &address], &outsider.key_file());
    order(net, &["delegate", "--to", &outsider.key.public_key().to_string(), "--amount", "300000"], wallet);
    let key = outsider.key.public_key().to_string();
    let member = |node: &str| {
        let epoch = ask(node, "/api/v1/epoch");
        epoch["committee"].as_array().is_some_and(|all| all.iter().any(|m| m["key"] == key.as_str()))
    };
    until("it is elected", EPOCH_TIMEOUT, || member(&net.http(1)));
    until("it knows that it is elected", EPOCH_TIMEOUT, || member(&outsider.http()));
    let said = ask(&net.http(1), &format!("/api/v1/validators/{key}"));
    assert_eq!((said["name"].as_str(), said["address"].as_str()), (Some("outside"), Some(address.as_str())), "{said}");
    assert_eq!(said["in_committee"], true, "{said}");
    outsider
}

/// Publishes at the node from outside; gives the readings' names.
fn published_outside(outsider: &Outsider, file: &std::path::Path) -> Vec<String> {
    let names = table(file, OUTSIDE_READINGS).into_iter().map(|name| name.replacen("z1/", "z5/", 1)).collect();
    let broker = format!("mqtt://127.0.0.1:{}", outsider.base + 2);
    let mut replay = wattle();
    replay.arg("replay").arg(file).args(["--broker", &broker, "--site", "z5", "--json"]);
    let report = support::Ran::from(replay.output().unwrap()).json();
    assert_eq!(report["acknowledged"].as_u64(), Some(OUTSIDE_READINGS), "{report}\n{}", outsider.log());
    names
}

/// Receipts of the first epoch and of a late one verify with the genesis alone.
fn receipts_hold(net: &Net, outsider: &Outsider, site: &Site, names: &[String]) {
    let early = proved(net, &net.http(1), &site.reading(0).name().to_string());
    assert_eq!((early["verified"].as_bool(), early["epoch"].as_u64()), (Some(true), Some(0)), "{early}");
    for name in names.iter().step_by(10) {
        let late = proved(net, &outsider.http(), name);
        assert_eq!(late["verified"], true, "{late}");
        assert!(late["epoch"].as_u64().is_some_and(|epoch| epoch >= EPOCHS), "{late}");
        assert_eq!(late["committee"].as_u64(), Some(u64::from(NODES) + 1), "{late}");
    }
    // the library agrees, and another genesis proves nothing
    let text = run(&["receipt", &names[0], "--node", &outsider.http(), "--wait", "60s"]).ok();
    assert_eq!(verify(&text, &net.genesis()).unwrap().issuer, outsider.key.public_key());
    let other = Net::init(1, &[]);
    assert!(verify(&text, &other.genesis()).is_err());
}
