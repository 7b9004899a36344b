//! A device that moves to another site and back, with real processes (ROAM-1 to ROAM-9, M25): its session and what waited go along,
//! and every reading is anchored once, under one identity.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::Publisher;
use protocol::{Direction, Encode as _, Id, Name, SecretKey, Value as Measured};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use sdk::Signer;
use serde_json::Value;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, free_ports, get, now_us, run, until, verify};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);
const SEED: [u8; 32] = [0x41; 32];
const TOPIC: &str = "root/device/z1/m1/sense/power";

struct World {
    net: Net,
    /// The broker of z2.
    second: u16,
    /// When the reading under number 0 was measured; the others follow at a millisecond each.
    start_us: u64,
    runtime: Runtime,
}

impl World {
    /// Node 1 serves z1, node 2 serves z2; both sites' owners name them as gateways, and z1/m1 is registered.
    fn new() -> Self {
        let mut net = Net::init(2, &[]);
        let second = free_ports(1);
        net.configure(1, "\n[roaming]\nhosts = [\"z2\"]\n");
        net.configure(
            2,
            &format!("\n[site]\nname = \"z2\"\n[broker]\nembedded = \"127.0.0.1:{second}\"\n[roaming]\nvisitors = [\"z1\"]\n"),
        );
        (1..=2).for_each(|k| net.start(k));
        (1..=2).for_each(|k| net.wait_ready(k));
        let world = Self { net, second, start_us: now_us(), runtime: Runtime::new().unwrap() };
        let file = world.net.dir.path().join("m1.key");
        std::fs::write(&file, format!("{}\n", Id(SEED))).unwrap();
        world.order(1, &["register", "z1/m1", "--device-key", file.to_str().unwrap()]);
        for (k, site) in [(1, "z1"), (2, "z2")] {
            let key = world.net.status(k).unwrap()["key"].as_str().unwrap().to_owned();
            world.order(k, &["gateways", site, &key]);
        }
        for k in 1..=2 {
            let gateways =
                |site: &str| get(&world.net.http(k), &format!("/api/v1/sites/{site}")).is_some_and(|(_, text)| text.contains("[\""));
            until("both nodes know both sites", CONFIRM_TIMEOUT, || gateways("z1") && gateways("z2"));
        }
        world
    }

    fn order(&self, k: u16, arguments: &[&str]) {
        let wallet = self.net.node_dir(k).join("node.key");
        let (wallet, node) = (wallet.to_str().unwrap().to_owned(), self.net.http(k));
        run(&[["device"].as_slice(), arguments, &["--key", &wallet, "--node", &node]].concat()).ok();
    }

    fn port(&self, k: u16) -> u16 {
        if k == 1 { self.net.base + 2 * self.net.size } else { self.second }
    }

    /// The signed reading with number `n`.
    fn reading(&self, n: u64) -> Vec<u8> {
        let mut signer = Signer::new(self.net.genesis().network(), SecretKey::from_seed(&SEED), "z1/m1".parse().unwrap(), n);
        let power = Name::new("power").unwrap();
        let value = Measured::Number(n as f64);
        signer.sign((Direction::Sense, &power), self.start_us + n * 1_000, Some("W"), value).unwrap().encode()
    }

    fn reference(&self, n: u64) -> String {
        format!("z1/m1/sense/power@{}", self.start_us + n * 1_000)
    }

    fn roaming(&self, k: u16, name: &str) -> u64 {
        self.net.count(k, &format!("/exchange/roaming/{name}"))
    }

    /// Two messages of another device at z1, to which m1 has subscribed.
    fn messages(&self, values: [u32; 2]) {
        self.runtime.block_on(async {
            let other = Publisher::connect(&self.net.mqtt(), "m2").await.unwrap();
            for value in values {
                other.publish("root/device/z1/m2/sense/level", value.to_string().into(), 1).await.unwrap();
            }
            other.close().await;
        });
    }
}

/// The device: a client with a session, which reconnects and sends again what was not acknowledged.
struct Device {
    client: AsyncClient,
    events: EventLoop,
    heard: Vec<f64>,
}

impl Device {
    fn new(id: &str, port: u16) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_clean_session(false);
        options.set_keep_alive(Duration::from_secs(10));
        let (client, events) = AsyncClient::new(options, 16);
        Self { client, events, heard: Vec::new() }
    }

    /// Goes on until `done` says so of an acknowledgement or of what was heard.
    async fn until(&mut self, what: &str, mut done: impl FnMut(&Packet, &[f64]) -> bool) {
        let goes_on = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(packet)) => {
                        if let Packet::Publish(publish) = &packet {
                            let pack: Value = serde_json::from_slice(&publish.payload).unwrap();
                            self.heard.extend(pack[0]["v"].as_f64());
                        }
                        if done(&packet, &self.heard) {
                            return;
                        }
                    }
                    Ok(Event::Outgoing(_)) => {}
                    // closed because it must wait: it tries again
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        assert!(tokio::time::timeout(PATIENCE, goes_on).await.is_ok(), "not in time: {what}");
    }

    async fn publish(&mut self, payload: Vec<u8>) {
        self.client.publish(TOPIC, QoS::AtLeastOnce, false, payload).await.unwrap();
        self.until("a reading is acknowledged", |packet, _| matches!(packet, Packet::PubAck(_))).await;
    }

    async fn leave(mut self) {
        self.client.disconnect().await.unwrap();
        // it may be the client that closes
        while !matches!(self.events.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {}
    }
}

#[test]
fn a_device_keeps_identity_session_and_data_at_another_site() {
    let mut world = World::new();
    let runtime = Runtime::new().unwrap();
    // at home: it subscribes, publishes, and goes
    runtime.block_on(async {
        let mut device = Device::new("m1", world.port(1));
        device.client.subscribe("root/fog/z1/m2/sense/level", QoS::AtLeastOnce).await.unwrap();
        device.until("a subscription", |packet, _| matches!(packet, Packet::SubAck(_))).await;
        device.publish(world.reading(1)).await;
        device.publish(world.reading(2)).await;
        device.leave().await;
    });
    world.messages([71, 72]);
    until("the messages were processed", CONFIRM_TIMEOUT, || world.net.count(1, "/site_stats/readings") == 4);

    // at z2: it sends its last reading again, to be sure, and goes on
    let mut away = Device::new("z1/m1", world.port(2));
    runtime.block_on(async {
        away.publish(world.reading(3)).await;
        away.publish(world.reading(4)).await;
        away.until_heard(2).await;
        assert_eq!(away.heard, [71.0, 72.0], "what waited at home, once and in order");
    });
    assert_eq!((world.roaming(1, "away"), world.roaming(1, "handed_over"), world.roaming(2, "visitors")), (1, 1, 1));
    // ROAM-4: what was taken at home is a replay here
    runtime.block_on(async {
        let again = Publisher::connect(&format!("mqtt://127.0.0.1:{}", world.second), "again").await.unwrap();
        let _ = again.publish(TOPIC, world.reading(2), 1).await;
        again.close().await;
    });
    until("a reading that was taken at home is refused", CONFIRM_TIMEOUT, || world.net.count(2, "/site_stats/unbelieved/replayed") == 1);

    // both nodes forget nothing of it
    for k in [1, 2] {
        world.net.kill(k);
        world.net.start(k);
        world.net.wait_ready(k);
    }
    runtime.block_on(async {
        // the broker has forgotten its session, and the client drops what it had for it
        away.until("a new connection", |packet, _| matches!(packet, Packet::ConnAck(_))).await;
        away.publish(world.reading(5)).await;
        away.leave().await;
    });

    // home again: the same the other way round
    runtime.block_on(async {
        let mut device = Device::new("m1", world.port(1));
        device.publish(world.reading(6)).await;
        device.leave().await;
    });
    until("it is home", CONFIRM_TIMEOUT, || world.roaming(1, "away") == 0 && world.roaming(2, "visitors") == 0);
    anchored_once(&world);
}

impl Device {
    async fn until_heard(&mut self, count: usize) {
        if self.heard.len() < count {
            self.until("what waited is delivered", |_, heard| heard.len() >= count).await;
        }
    }
}

/// Each reading has one receipt, under one name and key, at the site where it was taken; and the ledger has not one more.
fn anchored_once(world: &World) {
    let genesis = world.net.genesis();
    let key = SecretKey::from_seed(&SEED).public_key();
    for (k, numbers) in [(1, [1, 2, 6]), (2, [3, 4, 5])] {
        let node = world.net.status(k).unwrap()["key"].as_str().unwrap().to_owned();
        for n in numbers {
            let text = run(&["receipt", &world.reference(n), "--node", &world.net.http(k), "--wait", "30s"]).ok();
            let verified = verify(&text, &genesis).unwrap();
            assert_eq!((verified.reading.signed.map(|s| s.key), verified.reading.sequence), (Some(key), Some(n)));
            assert_eq!((verified.reading.name().to_string(), verified.issuer.to_string()), (world.reference(n), node.clone()));
        }
    }
    // six of m1, two of m2
    world.net.wait_confirmed(8);
}

/// ROAM-2: nobody comes who is not let in, and nobody without a signature.
#[test]
fn strangers_and_unsigned_visitors_are_refused() {
    let world = World::new();
    let publish = |k: u16, topic: &str, payload: Vec<u8>| {
        world.runtime.block_on(async {
            let client = Publisher::connect(&format!("mqtt://127.0.0.1:{}", world.port(k)), "visitor").await.unwrap();
            let acknowledged = tokio::time::timeout(Duration::from_secs(3), client.publish(topic, payload, 1)).await;
            matches!(acknowledged, Ok(Ok(())))
        })
    };
    // z2 takes devices of z1 that sign; what is not signed is told as rejected
    until("an unsigned visitor is refused", CONFIRM_TIMEOUT, || {
        assert!(publish(2, TOPIC, b"12".to_vec()));
        world.net.count(2, "/site_stats/unbelieved/unsigned") > 0
    });
    let unknown = world.net.count(2, "/site_stats/unbelieved/unknown");
    assert!(publish(2, "root/device/z1/unknown/sense/power", b"12".to_vec()));
    until("an unknown visitor is refused", CONFIRM_TIMEOUT, || world.net.count(2, "/site_stats/unbelieved/unknown") > unknown);
    // z1 takes nobody's devices
    assert!(!publish(1, "root/device/z2/m9/sense/power", b"12".to_vec()));
    assert_eq!((world.roaming(2, "visitors"), world.net.count(2, "/site_stats/readings")), (0, 0));
}
