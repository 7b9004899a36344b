//! Devices that ask devices of another site, with real processes (REQ-1 to REQ-12); and devices that are told what is
//! confirmed (T-23).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::{Publisher, Received, Subscriber};
use protocol::{Id, SecretKey};
use sdk::{Signer, request_to_json};
use serde_json::{Value, json};
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, free_ports, get, now_us, run, until};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);
const SEED: [u8; 32] = [0x31; 32];
const ASK: &str = "root/device/z1/button/request";
const COMMAND: &str = "root/fog/z2/lamp/act/power";
/// What the site z1 lets its devices ask for, and what z2 obeys.
const RULES_1: &str =
    "[[requests.allow]]\nfrom = \"z1/+\"\nto = \"z2/lamp/act/#\"\n[[requests.allow]]\nfrom = \"z1/button\"\nto = \"z2/door/act/#\"\n";
const RULES_2: &str = "[[requests.accept]]\nfrom = \"z1/+\"\nto = \"z2/lamp/act/#\"\n";

/// Two nodes of one network: node 1 serves z1, node 2 serves z2.
struct World {
    net: Net,
    /// Where devices of z2 publish.
    second: String,
    runtime: Runtime,
    genesis_file: String,
}

impl World {
    fn new() -> Self {
        let mut net = Net::init(2, &[]);
        let port = free_ports(1);
        net.configure(1, &format!("\n{RULES_1}"));
        net.configure(2, &format!("\n[site]\nname = \"z2\"\n[broker]\nembedded = \"127.0.0.1:{port}\"\n\n{RULES_2}"));
        (1..=2).for_each(|k| net.start(k));
        (1..=2).for_each(|k| net.wait_ready(k));
        let second = format!("mqtt://127.0.0.1:{port}");
        let genesis_file = net.genesis_file().to_str().unwrap().to_owned();
        Self { net, second, runtime: Runtime::new().unwrap(), genesis_file }
    }

    /// Registers the button with its key. The wallet of node 1 owns z1.
    fn register(&self) {
        let wallet = self.net.node_dir(1).join("node.key");
        let file = self.net.dir.path().join("button.key");
        std::fs::write(&file, format!("{}\n", Id(SEED))).unwrap();
        let (wallet, file) = (wallet.to_str().unwrap(), file.to_str().unwrap());
        run(&["device", "register", "z1/button", "--device-key", file, "--key", wallet, "--node", &self.net.http(1)]).ok();
        let known = || get(&self.net.http(2), "/api/v1/devices/z1/button").is_some_and(|(status, _)| status == 200);
        until("the other node knows the device", CONFIRM_TIMEOUT, known);
        until("the device's site asks for its signature", CONFIRM_TIMEOUT, || {
            self.ask("root/device/z1/button/sense/pressed", "1");
            self.net.count(1, "/site_stats/unbelieved/unsigned") > 0
        });
    }

    fn signer(&self, next: u64) -> Signer {
        Signer::new(self.net.genesis().network(), SecretKey::from_seed(&SEED), "z1/button".parse().unwrap(), next)
    }

    /// A signed request for a command, made now.
    fn signed(&self, to: &str, number: u64) -> String {
        let request = self.signer(number).request(&to.parse().unwrap(), now_us(), None, protocol::Value::Boolean(true)).unwrap();
        request_to_json(&request).unwrap()
    }

    /// Publishes a request at z1, and waits for the broker's answer.
    fn ask(&self, topic: &str, payload: &str) {
        self.runtime.block_on(async {
            let device = Publisher::connect(&self.net.mqtt(), "asking").await.unwrap();
            let _ = device.publish(topic, payload.into(), 1).await; // a refusal is told on other topics
            device.close().await;
        });
    }

    fn listen(&self, url: &str, id: &str, topic: &str) -> Subscriber {
        self.runtime.block_on(Subscriber::connect(url, id, &[topic], 1)).unwrap()
    }

    fn next(&self, subscriber: &mut Subscriber) -> Received {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, subscriber.recv()).await.expect("nothing came").unwrap() })
    }

    /// Notices up to the one in a final state.
    fn states(&self, subscriber: &mut Subscriber, last: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        while all.last().is_none_or(|notice| notice["state"] != last) {
            all.push(serde_json::from_slice(&self.next(subscriber).payload).unwrap());
        }
        all
    }

    fn count(&self, k: u16, name: &str) -> u64 {
        self.net.count(k, &format!("/exchange/requests/{name}"))
    }
}

#[test]
fn one_device_asks_another_and_the_ledger_is_between_them() {
    let world = World::new();
    world.register();
    let mut lamp = world.listen(&world.second, "lamp", COMMAND);
    let mut notices = world.listen(&world.net.mqtt(), "button", "root/node/z1/button/requested");

    // REQ-2, REQ-10, REQ-12: it is signed from end to end
    let first = world.signed("z2/lamp/act/power", 7);
    world.ask(ASK, &first);
    let command = world.next(&mut lamp);
    let pack: Value = serde_json::from_slice(&command.payload).unwrap();
    assert_eq!((command.topic.as_str(), &pack[0]["vb"], &pack[0]["from"]), (COMMAND, &json!(true), &json!("z1/button")));
    let told = world.states(&mut notices, "delivered");
    let states: Vec<&str> = told.iter().map(|notice| notice["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["accepted", "confirmed", "delivered"], "{told:?}");
    assert!(told.iter().all(|notice| notice["n"] == 7 && notice["to"] == "z2/lamp/act/power"), "{told:?}");
    assert_eq!((&told[1]["message"], &told[1]["height"]), (&pack[0]["message"], &pack[0]["height"]));
    // anybody can look the message up, on any node
    let message = run(&["messages", pack[0]["message"].as_str().unwrap(), "--node", &world.net.http(2), "--json"]).json();
    assert_eq!((&message["body"], &message["height"]), (&json!("data"), &pack[0]["height"]));
    let listed = run(&["requests", "--node", &world.net.http(1)]).ok();
    assert!(listed.contains("z1/button") && listed.contains("delivered"), "{listed}");
    let within = |query: &str| {
        let (_, text) = get(&world.net.http(1), &format!("/api/v1/requests?{query}")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["requests"].as_array().expect("a list").len()
    };
    assert_eq!((within("to=2000-01-01T00:00:00Z"), within("from=2000-01-01T00:00:00Z") > 0), (0, true));

    refused_here(&world, &mut notices);
    declined_there(&world, &mut notices);
    replayed(&world, &first);
    the_command_line(&world, &mut lamp);
    // the lamp may have the second command a moment before it is counted
    until("the second command is counted", CONFIRM_TIMEOUT, || world.count(2, "delivered") == 2);
    assert_eq!(world.count(2, "replayed"), 0);
    let (_, metrics) = get(&world.net.http(2), "/metrics").unwrap();
    assert!(metrics.contains("wattle_requests_delivered_total 2"), "{metrics}");
}

/// REQ-4, REQ-5, REQ-6: what z1 does not let its devices ask for.
fn refused_here(world: &World, notices: &mut Subscriber) {
    let now = now_us();
    let stale = world.signer(21).request(&"z2/lamp/act/power".parse().unwrap(), now - 3_600_000_000, None, protocol::Value::Boolean(true));
    let stale = request_to_json(&stale.unwrap()).unwrap();
    let forged = world.signed("z2/lamp/act/power", 22).replace("\"v\":true", "\"v\":false");
    for (payload, says) in [
        ("nonsense".to_owned(), "not a request"),
        (world.signed("z2/oven/act/power", 23), "no rule of the site z1 allows"),
        (world.signed("z1/lamp/act/power", 24), "no rule of the site z1 allows"),
        (r#"{"to":"z2/lamp/act/power","v":true,"n":25}"#.to_owned(), "not signed"),
        (stale, "too old"),
        (forged, "signature"),
    ] {
        world.ask(ASK, &payload);
        let notice = world.states(notices, "refused").pop().unwrap();
        assert!(notice["reason"].as_str().unwrap().contains(says), "{payload}: {notice}");
    }
    assert_eq!((world.count(1, "refused"), world.count(1, "issued")), (6, 1));
}

/// REQ-8, REQ-12: z1 lets it through, z2 does not obey, and says so.
fn declined_there(world: &World, notices: &mut Subscriber) {
    world.ask(ASK, &world.signed("z2/door/act/open", 30));
    let told = world.states(notices, "declined");
    let last = told.last().unwrap();
    assert!(last["n"] == 30 && last["reason"].as_str().unwrap().contains("no rule of the site z2 accepts"), "{told:?}");
    // a device that does not sign: no owner has named a gateway of z1, and the rule wants signatures anyway
    world.ask("root/device/z1/bell/request", r#"{"to":"z2/lamp/act/power","v":true,"n":1}"#);
    until("an unsigned request is declined", CONFIRM_TIMEOUT, || world.count(2, "declined") == 2);
}

/// REQ-7: the same bytes again are answered, and are no second request; another request under a used number is refused.
fn replayed(world: &World, first: &str) {
    let issued = world.count(1, "issued");
    world.ask(ASK, first);
    world.ask(ASK, &world.signed("z2/lamp/act/power", 7));
    until("a used number is refused", CONFIRM_TIMEOUT, || world.count(1, "refused") == 7);
    assert_eq!(world.count(1, "issued"), issued);
}

/// The payload that the command line prints is one that the site takes.
fn the_command_line(world: &World, lamp: &mut Subscriber) {
    let file = world.net.dir.path().join("button.key");
    let arguments = ["device", "request", "z1/button", "z2/lamp/act/power", "42.5", "--unit", "W", "--number", "40"];
    let more = ["--device-key", file.to_str().unwrap(), "--genesis", &world.genesis_file];
    let payload = run(&[arguments.as_slice(), &more].concat()).ok();
    world.ask(ASK, payload.trim_end());
    let pack: Value = serde_json::from_slice(&world.next(lamp).payload).unwrap();
    assert_eq!((&pack[0]["v"], &pack[0]["u"], &pack[0]["number"]), (&json!(42.5), &json!("W"), &json!(40)));
}

/// REQ-10, REQ-11: the target's node is killed after the request was confirmed and before anybody was there to be given it; it is
/// delivered after the start, once.
#[test]
fn a_confirmed_request_outlives_the_target_s_node() {
    let mut world = World::new();
    world.register();
    let mut notices = world.listen(&world.net.mqtt(), "button", "root/node/z1/button/requested");
    let request = world.signed("z2/lamp/act/power", 7);
    world.ask(ASK, &request);
    until("the command waits", CONFIRM_TIMEOUT, || world.count(2, "held") == 1);
    world.net.kill(2);
    world.net.start(2);
    world.net.wait_ready(2);
    until("the command still waits", CONFIRM_TIMEOUT, || world.count(2, "held") == 1);

    let mut lamp = world.listen(&world.second, "lamp", COMMAND);
    let pack: Value = serde_json::from_slice(&world.next(&mut lamp).payload).unwrap();
    assert_eq!(pack[0]["number"], 7);
    world.states(&mut notices, "delivered");

    // nothing of it comes again, neither after a start of either node, nor if the device repeats it
    for k in [2, 1] {
        world.net.kill(k);
        world.net.start(k);
        world.net.wait_ready(k);
    }
    world.ask(ASK, &request);
    // a second request shows that everything before it was handled
    world.ask(ASK, &world.signed("z2/lamp/act/power", 8));
    let pack: Value = serde_json::from_slice(&world.next(&mut lamp).payload).unwrap();
    assert_eq!(pack[0]["number"], 8, "{pack}");
}

/// T-23: off by default; then each device is told of its own readings, with ids that lead to receipts.
#[test]
fn a_device_is_told_which_of_its_readings_are_confirmed() {
    let mut net = Net::init(1, &[]);
    let told = "root/node/z1/+/confirmed";
    let runtime = Runtime::new().unwrap();
    net.start(1);
    net.wait_ready(1);
    // without the setting only the notice for the cache comes
    runtime.block_on(async {
        let mut watcher = Subscriber::connect(&net.mqtt(), "watcher", &[told, "root/node/z1/tangle"], 1).await.unwrap();
        let device = Publisher::connect(&net.mqtt(), "m1").await.unwrap();
        device.publish("root/device/z1/m1/sense/power", "1".into(), 1).await.unwrap();
        let first = tokio::time::timeout(PATIENCE, watcher.recv()).await.expect("nothing came").unwrap();
        assert_eq!(first.topic, "root/node/z1/tangle");
        device.close().await;
    });
    net.stop(1);
    net.configure(1, "\n[devices]\nconfirmations = true\n");
    net.start(1);
    net.wait_ready(1);
    let confirmed = runtime.block_on(async {
        let mut watcher = Subscriber::connect(&net.mqtt(), "watcher", &[told], 1).await.unwrap();
        let device = Publisher::connect(&net.mqtt(), "m1").await.unwrap();
        device.publish("root/device/z1/m1/sense/power", r#"{"v":42,"t":1470009600000}"#.into(), 1).await.unwrap();
        let first = tokio::time::timeout(PATIENCE, watcher.recv()).await.expect("nothing came").unwrap();
        assert_eq!(first.topic, "root/node/z1/m1/confirmed");
        device.close().await;
        serde_json::from_slice::<Value>(&first.payload).unwrap()
    });
    assert_eq!((&confirmed[0][0], &confirmed[0][1]), (&json!("sense/power"), &json!(1_470_009_600_000_000_u64)), "{confirmed}");
    // the id leads to the reading
    let shown = net.wait_reading(confirmed[0][2].as_str().unwrap());
    assert_eq!(shown["time_us"], json!(1_470_009_600_000_000_u64), "{shown}");
    assert_eq!(net.count(1, "/site_stats/confirmations_dropped"), 0);
}
