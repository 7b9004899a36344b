//! Wallets with real processes: made, filled, paid from, emptied; refused with the reason; certificates checked offline; services
//! bought. The rules are those of `docs/spec/wallet.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::Value;
use std::cell::RefCell;
use std::path::PathBuf;
use support::{CONFIRM_TIMEOUT, Net, Ran, get, until, wattle};

const NODES: u16 = 4;
const PASSPHRASE: &str = "correct horse battery";
/// How long a request may take on a busy machine.
const WAIT: [&str; 2] = ["--wait", "60s"];

/// A network, and a user's wallets.
struct World {
    net: Net,
    dir: PathBuf,
    /// All that commands said: nothing secret may be in it.
    said: RefCell<String>,
}

impl World {
    fn new() -> Self {
        let net = Net::running(NODES);
        let dir = net.dir.path().join("wallets");
        Self { net, dir, said: RefCell::default() }
    }

    fn run_with(&self, passphrase: &str, words: &[&str]) -> Ran {
        let ran: Ran = wattle().env("WATTLE_PASSPHRASE", passphrase).args(words).output().expect("the program cannot be started").into();
        self.said.borrow_mut().push_str(&format!("{}{}", ran.stdout, ran.stderr));
        ran
    }

    /// Runs a command that looks at local wallets.
    fn local(&self, words: &[&str]) -> Ran {
        self.run_with(PASSPHRASE, &[words, &["--dir", self.dir.to_str().unwrap()]].concat())
    }

    /// The same, and asks node `k`.
    fn at(&self, k: u16, words: &[&str]) -> Ran {
        let node = self.net.http(k);
        self.local(&[words, &["--node", &node]].concat())
    }

    /// The same, and waits for what is sent.
    fn send(&self, k: u16, words: &[&str]) -> Ran {
        self.at(k, &[words, &WAIT].concat())
    }

    fn key(&self, k: u16) -> String {
        self.net.node_dir(k).join("node.key").to_str().unwrap().to_owned()
    }

    /// What node `k` says of a wallet.
    fn wallet(&self, k: u16, id: &str) -> Value {
        let answer = get(&self.net.http(k), &format!("/api/v1/wallets/{id}")).filter(|(status, _)| *status == 200);
        answer.and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Waits until node `k` has so many sub-units in the purse of a wallet.
    fn wait_purse(&self, k: u16, id: &str, units: u64) {
        let what = format!("node{k} has {units} sub-units in the purse of {id}");
        until(&what, CONFIRM_TIMEOUT, || self.wallet(k, id)["purse"]["balance"] == units);
    }
}

#[test]
fn wallets_pay_each_other_and_nobody_spends_what_is_not_there() {
    let world = World::new();
    let alice = world.local(&["wallet", "create", "alice"]).ok().trim().to_owned();
    let bob = world.local(&["wallet", "create", "bob", "--plain"]).ok().trim().to_owned();
    let listed = world.local(&["wallet", "list", "--json"]).json();
    assert_eq!((&listed[0]["wallet"], &listed[1]["name"]), (&alice.as_str().into(), &"bob".into()));
    world.local(&["wallet", "create", "alice"]).refused(2, &["alice", "another name"]);
    // nobody is asked where there is no terminal
    world.run_with("", &["wallet", "create", "carol", "--dir", world.dir.to_str().unwrap()]).refused(2, &["terminal", "--passphrase-file"]);

    // from the account of a validator to its purse, to alice, to bob
    let key = world.key(1);
    world.send(1, &["wallet", "fund", "20", "--key", &key]).ok();
    let sent = world.send(1, &["wallet", "send", "alice", "5.5", "--key", &key, "--json"]).json();
    assert_eq!((&sent["status"], &sent["price"]), (&"final".into(), &5_500_000.into()), "{sent}");
    (1..=NODES).for_each(|k| world.wait_purse(k, &alice, 5_500_000));
    let paid = world.send(2, &["wallet", "send", &bob, "1.25", "--wallet", "alice", "--json"]).json();
    assert_eq!(paid["status"], "final", "{paid}");
    world.wait_purse(3, &bob, 1_250_000);
    assert!(world.at(3, &["wallet", "show", "bob"]).ok().contains("1.25 DCoin"));

    // what cannot be spent
    let wrong = ["wallet", "send", "bob", "1", "--wallet", "alice", "--dir", world.dir.to_str().unwrap()];
    world.run_with("another passphrase", &[&wrong[..], &["--node", &world.net.http(2)]].concat()).refused(2, &["passphrase is wrong"]);
    world.send(2, &["wallet", "send", "bob", "100", "--wallet", "alice"]).refused(1, &["sub-units", "nothing was spent"]);
    for amount in ["0", "-1", "0.0000001", "1e3", "18446744073710"] {
        assert_eq!(world.send(2, &["wallet", "send", "bob", amount, "--wallet", "alice"]).code, 2, "{amount}");
    }
    world.send(2, &["wallet", "send", "nobody", "1", "--wallet", "alice"]).refused(2, &["nobody"]);
    world.wait_purse(2, &alice, 4_250_000);

    // and back to the account
    world.send(3, &["wallet", "redeem", "2", "--wallet", "alice"]).ok();
    until("alice has her DCoin back", CONFIRM_TIMEOUT, || world.wallet(4, &alice)["balance"] == 2);
    world.wait_purse(4, &alice, 2_250_000);
    let balances = world.at(4, &["wallet", "list", "--json"]).json();
    assert_eq!((&balances[0]["balance"], &balances[1]["purse"]), (&2.into(), &1_250_000.into()), "{balances}");
    let requests = world.at(2, &["request", "list", "--wallet", "alice", "--json"]).json();
    assert!(requests["spends"].as_array().is_some_and(|spends| spends.iter().any(|s| s["id"] == paid["id"])), "{requests}");
    let shown = world.run_with("", &["wallet", "parameters", "--node", &world.net.http(1)]);
    assert!(shown.ok().contains("3 votes of 4 members"));

    proved(&world, paid["id"].as_str().unwrap());
    nothing_secret_was_said(&world);
}

/// The certificate of a request is checked with the genesis alone.
fn proved(world: &World, request: &str) {
    let file = world.net.dir.path().join("certificate.json");
    let (file, genesis) = (file.to_str().unwrap(), world.net.genesis_file());
    let genesis = genesis.to_str().unwrap();
    let node = world.net.http(4);
    world.run_with("", &["request", "certificate", request, "--node", &node, "--wait", "60s", "--out", file]).ok();
    let verified = world.run_with("", &["verify", "--certificate", file, "--genesis", genesis, "--json"]).json();
    assert_eq!((&verified["verified"], &verified["request"]), (&true.into(), &request.into()), "{verified}");
    assert!(verified["voters"].as_array().is_some_and(|voters| voters.len() >= 3), "{verified}");
    let text = std::fs::read_to_string(file).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    // the last digits are of a voter's signature
    let mut digits = json["certificate"].as_str().unwrap().to_owned();
    let last = if digits.pop() == Some('0') { '1' } else { '0' };
    digits.push(last);
    json["certificate"] = digits.into();
    std::fs::write(file, json.to_string()).unwrap();
    world.run_with("", &["verify", "--certificate", file, "--genesis", genesis]).refused(1, &["certificate refused"]);
}

/// Neither a passphrase nor a key is in a log, or in what a command said.
fn nothing_secret_was_said(world: &World) {
    let mut secrets = vec![PASSPHRASE.to_owned(), std::fs::read_to_string(world.dir.join("bob.key")).unwrap().trim().to_owned()];
    secrets.extend((1..=NODES).map(|k| std::fs::read_to_string(world.key(k)).unwrap().trim().to_owned()));
    let logs = (1..=NODES).map(|k| world.net.log(k)).chain([world.said.borrow().clone()]);
    for (place, text) in logs.enumerate() {
        assert!(!text.is_empty(), "place {place} says nothing");
        for (number, secret) in secrets.iter().enumerate() {
            assert!(!text.contains(secret), "place {place} holds secret {number}");
        }
    }
}

#[test]
fn a_service_is_offered_bought_and_paid_when_it_is_delivered() {
    let world = World::new();
    let (shop, buyer) = (world.key(1), world.key(2));
    let contract = "ab".repeat(32);
    let terms = ["service", "register", "advice", "--contract", &contract, "--price", "0.5", "--key", &shop, "--json"];
    let offered = world.send(1, &terms).json();
    let service = offered["service"].as_str().unwrap().to_owned();
    until("another node knows the service", CONFIRM_TIMEOUT, || {
        world.at(3, &["service", "list", "--json"]).json()["services"]
            .as_array()
            .is_some_and(|all| all.iter().any(|s| s["id"] == service.as_str()))
    });
    assert!(world.run_with("", &["service", "show", &service, "--node", &world.net.http(3)]).ok().contains("0.5 DCoin"));

    world.send(2, &["wallet", "fund", "2", "--key", &buyer]).ok();
    world.send(2, &["service", "buy", &service, "--most", "0.4", "--key", &buyer]).refused(1, &["0.5 DCoin", "nothing was bought"]);
    let bought = world.send(2, &["service", "buy", &service, "--argument", "when?", "--key", &buyer, "--json"]).json();
    assert_eq!(bought["status"], "final", "{bought}");
    let request = bought["id"].as_str().unwrap();

    // only the provider says that it delivered, and only once
    world.send(2, &["service", "settle", request, "delivered", "--key", &buyer]).refused(1, &["no effect"]);
    world.send(1, &["service", "settle", request, "delivered", "--key", &shop]).ok();
    let provider = offered["wallet"].as_str().unwrap();
    until("the provider is paid", CONFIRM_TIMEOUT, || world.wallet(4, provider)["purse"]["balance"].as_u64() >= Some(500_000));
    world.send(1, &["service", "settle", request, "delivered", "--key", &shop]).refused(1, &["no effect"]);

    // what is closed is not sold
    world.send(1, &["service", "close", "advice", "--key", &shop]).ok();
    until("it is closed at the buyer's node", CONFIRM_TIMEOUT, || {
        world.run_with("", &["service", "show", &service, "--node", &world.net.http(2), "--json"]).json()["open"] == false
    });
    world.send(2, &["service", "buy", &service, "--key", &buyer]).refused(1, &["there is no such service"]);
}
