//! Wallets that spend, over HTTP alone.

use crate::support::{CONFIRM_TIMEOUT, Net, get, now_us, until};
use protocol::{Action, Draft, Encode, Id, Operation, Order, PublicKey, Request, SecretKey};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a request may be voted for.
const WINDOW_MS: u64 = 60_000;
/// Nonces tried for the work of a request.
const ATTEMPTS: u64 = 1 << 24;

/// POST of JSON; `None` if nobody answers.
pub fn post(base: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30))).build();
    let agent: ureq::Agent = config.into();
    let mut response = agent.post(&format!("{base}{path}")).content_type("application/json").send(body.to_string().as_str()).ok()?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// What a node answers, and its status.
pub fn ask(base: &str, path: &str) -> (u16, Value) {
    let (status, text) = get(base, path).expect("an answer");
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Lower-case hexadecimal of an encoding.
pub fn hex(value: &impl Encode) -> String {
    value.encode().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Somebody with a purse.
pub struct Wallet {
    pub key: SecretKey,
}

impl Wallet {
    /// The wallet of node `k`, which has an account in the genesis.
    pub fn of_node(net: &Net, k: u16) -> Self {
        let text = std::fs::read_to_string(net.node_dir(k).join("node.key")).expect("a key");
        let seed: Id = text.trim().parse().expect("a seed");
        Self { key: SecretKey::from_seed(&seed.0) }
    }

    /// A wallet that nobody has heard of.
    pub fn new(seed: u8) -> Self {
        Self { key: SecretKey::from_seed(&[seed; 32]) }
    }

    pub fn id(&self) -> PublicKey {
        self.key.public_key()
    }

    /// What a node says of it.
    pub fn at(&self, node: &str) -> Value {
        ask(node, &format!("/api/v1/wallets/{}", self.id())).1
    }

    /// What its purse has at a node, in sub-units, after what was executed.
    pub fn balance(&self, node: &str) -> u64 {
        self.at(node)["purse"]["balance"].as_u64().expect("a balance")
    }

    /// Puts `coins` of its account into its purse and waits until every node has executed it.
    pub fn fund(&self, net: &Net, coins: u64) {
        let node = net.http(1);
        let state: Id = self.at(&node)["state"].as_str().expect("a State").parse().expect("a State");
        let before = self.balance(&node);
        let order = Order::sign(&net.genesis().network(), &self.key, state, Action::Fund { amount: coins });
        let (status, said) = post(&node, "/api/v1/orders", &json!({ "orders": [hex(&order)] })).expect("an answer");
        assert_eq!(status, 202, "{said}");
        for k in 1..=net.size {
            let there = || self.balance(&net.http(k)) >= before + coins * 1_000_000;
            until(&format!("node{k} has executed the funding"), CONFIRM_TIMEOUT, there);
        }
    }

    /// Requests one after another, from where the purse is at a node.
    pub fn chain(&self, net: &Net, node: &str, what: &[(Operation, u64)]) -> Vec<Request> {
        let purse = self.at(node)["purse"].clone();
        let mut state: Id = purse["next_state"].as_str().expect("a State").parse().expect("a State");
        let mut number = purse["next_number"].as_u64().expect("a number");
        let epoch = purse["epoch"].as_u64().expect("an epoch");
        let mut made = Vec::new();
        for (operation, price) in what {
            let request = self.sign(net, (number, state, epoch), operation.clone(), *price);
            (number, state) = (number + 1, request.next_state());
            made.push(request);
        }
        made
    }

    /// One request at a given place of the purse: number, State, epoch.
    pub fn sign(&self, net: &Net, (number, state, epoch): (u64, Id, u64), operation: Operation, price: u64) -> Request {
        let (genesis, now_ms) = (net.genesis(), now_us() / 1_000);
        let draft = Draft { state, number, epoch, operation, price, from_ms: now_ms, until_ms: now_ms + WINDOW_MS };
        let difficulty = genesis.wallet_parameters.difficulty;
        draft.sign(&genesis.network(), &self.key, difficulty, ATTEMPTS).expect("a request").expect("the work")
    }
}

/// A transfer.
pub fn to(wallet: &Wallet) -> Operation {
    Operation::Transfer { to: wallet.id() }
}

/// Gives requests to a node: its answer for each.
pub fn send(node: &str, requests: &[Request]) -> Vec<Value> {
    let (status, said) = try_send(node, requests);
    assert_eq!(status, 202, "{said}");
    said["spends"].as_array().expect("answers").clone()
}

/// The same, whatever it answers.
pub fn try_send(node: &str, requests: &[Request]) -> (u16, Value) {
    let texts: Vec<String> = requests.iter().map(hex).collect();
    post(node, "/api/v1/spends", &json!({ "requests": texts })).expect("an answer")
}

/// What a node says of a request.
pub fn spend(node: &str, request: &Request) -> (u16, Value) {
    ask(node, &format!("/api/v1/spends/{}", request.id()))
}

/// How far a request is at a node; empty if it is not known there.
pub fn status(node: &str, request: &Request) -> String {
    spend(node, request).1["status"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a request has a status at a node.
pub fn wait_status(node: &str, request: &Request, status_: &str) -> Value {
    let what = format!("request {} is {status_} at {node}", request.id());
    until(&what, CONFIRM_TIMEOUT, || status(node, request) == status_);
    spend(node, request).1
}
