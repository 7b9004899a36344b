//! A device of role 2 from its registration to its revocation: registry, broker, receipt and proofs, with real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::Publisher;
use protocol::{Direction, Encode as _, Genesis, Id, Name, SecretKey, Value as Measured};
use sdk::Signer;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, Ran, get, run, until, verify};

const TOPIC: &str = "root/device/z1/m1/sense/power";
/// The time of the reading under number 0; the others follow at a second each.
const START_US: u64 = 1_470_009_600_000_000;
const OLD_SEED: [u8; 32] = [0x21; 32];
const NEW_SEED: [u8; 32] = [0x22; 32];

/// A node with a site, and what its owner works with.
struct World {
    net: Net,
    wallet: String,
    node: String,
    genesis_file: String,
    genesis: Genesis,
}

impl World {
    fn new() -> Self {
        let mut net = Net::init(1, &[]);
        let text = std::fs::read_to_string(net.config(1)).unwrap();
        // an idle network certifies its last state with the next heartbeat: here it comes soon
        std::fs::write(net.config(1), text.replacen("[ledger]\n", "[ledger]\nheartbeat_ms = 400\n", 1)).unwrap();
        net.start(1);
        net.wait_ready(1);
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (wallet, genesis_file) = (path(net.node_dir(1).join("node.key")), path(net.genesis_file()));
        let (node, genesis) = (net.http(1), net.genesis());
        Self { net, wallet, node, genesis_file, genesis }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.net.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// An order about a device, by the owner.
    fn order(&self, arguments: &[&str]) -> Ran {
        let more = ["--key", &self.wallet, "--node", &self.node];
        run(&[["device"].as_slice(), arguments, &more].concat())
    }

    fn light(&self, arguments: &[&str]) -> Ran {
        run(&[["light"].as_slice(), arguments, &["--genesis", &self.genesis_file, "--node", &self.node]].concat())
    }

    fn device(&self) -> Value {
        run(&["device", "show", "z1/m1", "--node", &self.node, "--json"]).json()
    }

    fn signer(&self, seed: [u8; 32], next: u64) -> Signer {
        Signer::new(self.genesis.network(), SecretKey::from_seed(&seed), "z1/m1".parse().unwrap(), next)
    }

    /// The payload with number `n`, in its binary form.
    fn payload(&self, seed: [u8; 32], n: u64) -> Vec<u8> {
        let at_us = START_US + n * 1_000_000;
        let power = Name::new("power").unwrap();
        self.signer(seed, n).sign((Direction::Sense, &power), at_us, Some("W"), Measured::Number(n as f64 + 0.5)).unwrap().encode()
    }

    fn publish(&self, payload: &[u8]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let publisher = Publisher::connect(&self.net.mqtt(), "meter").await.unwrap();
            // what is not believed is told on another topic; a 5.0 client is told here too
            let _ = publisher.publish(TOPIC, payload.to_vec(), 1).await;
            publisher.close().await;
        });
    }

    /// Publishes once; the broker may close the connection instead of answering.
    fn attempt(&self, payload: &[u8]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let publisher = Publisher::connect(&self.net.mqtt(), "meter").await.unwrap();
            let _ = tokio::time::timeout(Duration::from_secs(2), publisher.publish(TOPIC, payload.to_vec(), 1)).await;
        });
    }

    fn unbelieved(&self, why: &str) -> u64 {
        self.net.count(1, &format!("/site_stats/unbelieved/{why}"))
    }

    fn stored(&self) -> u64 {
        self.net.count(1, "/site_stats/readings")
    }

    /// Publishes until the site answers as the registry asks: it follows the ledger by some milliseconds.
    fn until_unbelieved(&self, why: &str, payload: &[u8]) {
        let before = self.unbelieved(why);
        until(&format!("a publish is refused as {why}"), CONFIRM_TIMEOUT, || {
            self.publish(payload);
            self.unbelieved(why) > before
        });
    }

    fn reference(n: u64) -> String {
        format!("z1/m1/sense/power@{}", START_US + n * 1_000_000)
    }
}

#[test]
fn a_device_signs_from_its_registration_to_its_revocation() {
    let mut world = World::new();
    registered(&world);
    receipts(&world);
    replays(&mut world);
    rotated(&world);
    described(&world);
    revoked(&world);
}

fn registered(world: &World) {
    let file = world.file("m1.key", format!("{}\n", Id(OLD_SEED)));
    world.order(&["register", "z1/m1", "--role", "1", "--device-key", &file]).refused(2, &["role 1"]);
    world.order(&["register", "z1/m1", "--device-key", &file]).ok();
    let device = world.device();
    let key = SecretKey::from_seed(&OLD_SEED).public_key().to_string();
    assert_eq!((&device["state"], &device["role"], &device["key"]), (&json!("active"), &json!(2), &json!(key)), "{device}");
    world.order(&["register", "z1/m1", "--device-key", &file]).refused(1, &["is registered"]);
    // the site has an owner now
    let other = world.file("other.key", "17".repeat(32));
    run(&["device", "register", "z1/m2", "--key", &other, "--node", &world.node]).refused(1, &["the site is the wallet's"]);
    // a key that never leaves its device
    let proof = run(&[
        "device",
        "prove",
        "z1/m3",
        "--device-key",
        &world.file("m3.key", "23".repeat(32)),
        "--owner",
        device["owner"].as_str().unwrap(),
        "--genesis",
        &world.genesis_file,
    ])
    .json();
    let (public, possession) = (proof["public_key"].as_str().unwrap(), proof["possession"].as_str().unwrap());
    world.order(&["register", "z1/m1b", "--public-key", public, "--possession", possession]).refused(2, &["does not hold"]);
    world.order(&["register", "z1/m3", "--public-key", public, "--possession", possession, "--role", "3"]).ok();
    let listed = run(&["device", "list", "--node", &world.node]).ok();
    assert!(listed.contains("z1/m1") && listed.contains("3 node"), "{listed}");
    assert_eq!(get(&world.node, "/api/v1/devices/z1/none").map(|(status, _)| status), Some(404));
    assert_eq!(get(&world.node, "/api/v1/devices?site=nowhere").map(|(status, _)| status), Some(200));

    // a site of several levels
    world.order(&["register", "agg1/loc1/m1", "--role", "1"]).ok();
    world.order(&["gateways", "agg1/loc1", device["owner"].as_str().unwrap()]).ok();
    let shown = run(&["device", "show", "agg1/loc1/m1", "--node", &world.node, "--json"]).json();
    assert_eq!(shown["device"], "agg1/loc1/m1");
    let listed = run(&["device", "list", "--site", "agg1/loc1", "--node", &world.node]).ok();
    assert!(listed.contains("agg1/loc1/m1") && !listed.contains("z1/m1"), "{listed}");
    for (path, status) in [
        ("devices/agg1/loc1/m1", 200),
        ("devices/agg1%2Floc1/m1", 200),
        ("devices/agg1/m1", 404),
        ("devices/m1", 400),
        ("devices/agg1/act/m1", 400),
        ("sites/agg1/loc1", 200),
        ("sites/agg1", 404),
        ("state/devices/agg1/loc1/none", 404),
        ("state/device-keys/agg1", 400),
        ("things/agg1/loc1/m1", 404),
    ] {
        assert_eq!(get(&world.node, &format!("/api/v1/{path}")).map(|(status, _)| status), Some(status), "{path}");
    }

    // the site believes it by its signature alone
    world.until_unbelieved("unsigned", b"412.5");
}

fn receipts(world: &World) {
    world.publish(&world.payload(OLD_SEED, 1));
    // the other form, as the command line signs it
    let file = world.net.dir.path().join("m1.key");
    let at = (START_US + 2_000_000).to_string();
    let arguments = ["device", "sign", "z1/m1/sense/power", "2.5", "--unit", "W", "--sequence", "2", "--time-us", &at];
    let more = ["--device-key", file.to_str().unwrap(), "--genesis", &world.genesis_file];
    world.publish(run(&[arguments.as_slice(), &more].concat()).ok().trim_end().as_bytes());
    let key = SecretKey::from_seed(&OLD_SEED).public_key();
    for n in [1, 2] {
        let text = world.net.receipt(&World::reference(n));
        let verified = verify(&text, &world.genesis).unwrap();
        assert_eq!((verified.reading.signed.map(|s| s.key), verified.reading.sequence), (Some(key), Some(n)));
        assert_eq!(verified.reading.value, Measured::Number(n as f64 + 0.5));
        let shown = world.net.wait_reading(&World::reference(n));
        assert_eq!((&shown["device_key"], &shown["registration"]["state"]), (&json!(key.to_string()), &json!("active")), "{shown}");
    }
    let said = world.light(&["receipt", &World::reference(1)]).ok();
    assert!(said.contains(&format!("signed by the device's key {key}")) && said.contains("registered for it since"), "{said}");
    let proved = world.light(&["device", "z1/m1", "--json"]).json();
    assert_eq!((&proved["verified"], &proved["value"]["key"]), (&json!(true), &json!(key.to_string())), "{proved}");
    let whose = world.light(&["device-key", &key.to_string(), "--json"]).json();
    assert_eq!(whose["value"]["device"], "z1/m1");
    assert_eq!(world.light(&["site", "z1", "--json"]).json()["value"]["devices"], 2);
    assert_eq!(world.light(&["site", "agg1/loc1", "--json"]).json()["value"]["devices"], 1);
    assert_eq!(world.light(&["device", "agg1/loc1/m1", "--json"]).json()["value"]["role"], 1);
    world.light(&["device", "z1/none"]).refused(1, &["absence cannot be proved"]);
}

fn replays(world: &mut World) {
    let (payload, stored) = (world.payload(OLD_SEED, 1), world.stored());
    world.publish(&payload);
    until("a replay is refused", CONFIRM_TIMEOUT, || world.unbelieved("replayed") == 1);
    let mut forged = world.payload(OLD_SEED, 5);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    world.publish(&forged);
    until("a forged reading is refused", CONFIRM_TIMEOUT, || world.unbelieved("forged") == 1);
    assert_eq!(world.stored(), stored);
    // the numbers outlive the process, however it ended
    world.net.kill(1);
    world.net.start(1);
    world.net.wait_ready(1);
    world.publish(&payload);
    until("a replay is refused after a restart", CONFIRM_TIMEOUT, || world.unbelieved("replayed") == 1);
    world.publish(&world.payload(OLD_SEED, 3));
    verify(&world.net.receipt(&World::reference(3)), &world.genesis).unwrap();
}

fn rotated(world: &World) {
    let file = world.file("m1-new.key", format!("{}\n", Id(NEW_SEED)));
    world.order(&["rotate", "z1/m1", "--device-key", &file]).ok();
    world.until_unbelieved("forged", &world.payload(OLD_SEED, 6));
    // it may count anew
    world.publish(&world.payload(NEW_SEED, 10));
    let verified = verify(&world.net.receipt(&World::reference(10)), &world.genesis).unwrap();
    assert_eq!(verified.reading.signed.map(|s| s.key), Some(SecretKey::from_seed(&NEW_SEED).public_key()));
    assert_eq!(world.device()["key_epoch"], 2);
    let old = world.file("m1-old.key", format!("{}\n", Id(OLD_SEED)));
    world.order(&["rotate", "z1/m1", "--device-key", &old]).refused(1, &["was registered before"]);
    // what the old key signed in its time is still its
    let said = world.light(&["receipt", &World::reference(1)]).ok();
    assert!(said.contains("registered for it from milestone"), "{said}");
}

fn described(world: &World) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/things/intel-wot-ha__sensor.esp_grove_1_temperature_2.td.jsonld");
    let thing = std::fs::read(&path).unwrap();
    let broken = world.file("broken.jsonld", "{\"title\":\"x\"}");
    world.order(&["thing", "z1/m1", &broken]).refused(2, &["broken.jsonld", "@context"]);
    assert_eq!(get(&world.node, "/api/v1/things/z1/m1").map(|(status, _)| status), Some(404));
    world.order(&["thing", "z1/m1", path.to_str().unwrap()]).ok();
    let (status, text) = get(&world.node, "/api/v1/things/z1/m1").unwrap();
    assert_eq!((status, text.as_bytes()), (200, thing.as_slice()), "served as it came");
    let (_, list) = get(&world.node, "/api/v1/things").unwrap();
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(list, [serde_json::from_slice::<Value>(&thing).unwrap()]);
    let (_, directory) = get(&world.node, "/.well-known/wot").unwrap();
    edge::thing::check(directory.as_bytes()).unwrap();
    // another description than the ledger's
    let other = text.replacen("\"title\"", " \"title\"", 1);
    assert_eq!(put(&world.node, "/api/v1/things/z1/m1", &other), 422);
    assert_eq!(put(&world.node, "/api/v1/things/z1/none", &text), 404);
    assert_eq!(put(&world.node, "/api/v1/things/z1/m1", "{}"), 400);
    assert_eq!(put(&world.node, "/api/v1/things/z1/m1", &" ".repeat(65 * 1024)), 413);
    assert_eq!(put(&world.node, "/api/v1/things/z1/m1", &text), 204);
}

fn revoked(world: &World) {
    world.order(&["revoke", "z1/m1"]).ok();
    // the broker keeps it out
    let denied = |world: &World| -> u64 {
        let (_, metrics) = get(&world.node, "/metrics").unwrap();
        let line = metrics.lines().find(|line| {
            line.starts_with("wattle_site_access_refused_total") && line.contains("\"denied\"") && line.contains("\"publish\"")
        });
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
    };
    until("its publishes are denied", CONFIRM_TIMEOUT, || {
        world.attempt(&world.payload(NEW_SEED, 11));
        denied(world) > 0
    });
    let (stored, before) = (world.stored(), denied(world));
    world.attempt(b"412.5");
    world.attempt(&world.payload(NEW_SEED, 12));
    until("every publish of it is denied", CONFIRM_TIMEOUT, || denied(world) >= before + 2);
    assert_eq!(world.stored(), stored);
    world.order(&["revoke", "z1/m1"]).refused(1, &["was revoked"]);
    assert_eq!(get(&world.node, "/api/v1/things/z1/m1").map(|(status, _)| status), Some(404));
    // what is proved is the state of the milestone before
    until("the proof says so", CONFIRM_TIMEOUT, || world.light(&["device", "z1/m1", "--json"]).json()["value"]["state"] == "revoked");
    verify(&world.net.receipt(&World::reference(1)), &world.genesis).unwrap();
}

/// PUT; the status.
fn put(base: &str, path: &str, body: &str) -> u16 {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build();
    let agent: ureq::Agent = config.into();
    agent.put(&format!("{base}{path}")).content_type("application/td+json").send(body).unwrap().status().as_u16()
}
