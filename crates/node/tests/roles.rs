//! A site of which every part is a process of its own, and all talk only MQTT: the phases of the ledger-as-a-service paper
//! (§3.4.1 to 3.4.3), and `kill -9` of every part (M13, M15).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

#[path = "support/parts.rs"]
mod parts;

use mqtt::{Publisher, Received, Subscriber};
use parts::{Apart, Part};
use protocol::sn::{Connect, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, TopicRef};
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Process, free_ports, get, installed, mosquitto, run, table, until, wattle};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);
/// Topics of the sensor and of the actuator, without their area.
const SENSOR: &str = "z1/d1/sense/power";
const ACTUATOR: &str = "z1/d2/act/valve";

/// Somebody outside who writes down what the broker carries.
struct Observer {
    runtime: Runtime,
    messages: Subscriber,
    /// What was seen, in order.
    seen: Vec<Received>,
}

impl Observer {
    fn connect(url: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let messages = runtime.block_on(Subscriber::connect(url, "observer", &["root/#"], 1)).unwrap();
        Self { runtime, messages, seen: Vec::new() }
    }

    /// Watches until what was seen satisfies `enough`.
    fn watch(&mut self, what: &str, enough: impl Fn(&[Received]) -> bool) {
        while !enough(&self.seen) {
            let next = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.messages.recv()).await });
            let topics: Vec<&str> = self.seen.iter().map(|message| message.topic.as_str()).collect();
            self.seen.push(next.unwrap_or_else(|_| panic!("not seen: {what}; seen: {topics:?}")).expect("the observer is subscribed"));
        }
    }

    /// Where `topic` was seen first.
    fn place(&self, topic: &str) -> usize {
        self.seen.iter().position(|message| message.topic == topic).unwrap_or_else(|| panic!("{topic} was not seen"))
    }

    fn forget(&mut self) {
        self.seen.clear();
    }
}

fn has(seen: &[Received], topic: &str) -> bool {
    seen.iter().any(|message| message.topic == topic)
}

/// The names in the notices among `seen`.
fn noticed(seen: &[Received]) -> Vec<String> {
    let notices = seen.iter().filter(|message| message.topic == "root/node/z1/tangle");
    let pairs = notices.flat_map(|message| mqtt::notices::parse(&message.payload).unwrap());
    pairs.map(|(topic, time_us)| format!("{topic}@{time_us}")).collect()
}

/// Asserts that the ledger holds so many readings, and not one more.
fn exactly(site: &Apart, readings: u64) {
    site.net.wait_confirmed(readings);
    site.cache.wait_figure("/parts/cache/pending", 0);
    assert_eq!(site.net.count(1, "/ledger/readings"), readings, "a reading was anchored twice");
}

/// ROLE-14: the paper's §3.4.1, §3.4.2 and §3.4.3, one after the other.
#[test]
fn the_phases_of_the_paper() {
    let mut site = Apart::running(None);
    let mut observer = Observer::connect(&site.url);

    // §3.4.1: a sensor behind the gateway
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(("127.0.0.1", site.mqttsn)).unwrap();
    let ask = |packet: &Packet| {
        socket.send(&packet.encode().unwrap()).unwrap();
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).expect("no answer");
        Packet::decode(&bytes[..length]).unwrap()
    };
    let connect = Connect { will: false, clean_session: true, protocol_id: PROTOCOL_ID, keep_alive_s: 600, client_id: "d1".into() };
    assert_eq!(ask(&Packet::Connect(connect)), Packet::ConnAck(ReturnCode::Accepted));
    let data = b"{\"v\":42,\"t\":1470009600000,\"u\":\"W\"}".to_vec();
    let topic = TopicRef::Predefined(1);
    let publish = Publish { dup: false, qos: Qos::AtLeastOnce, retain: false, topic, message_id: 7, data };
    assert_eq!(ask(&Packet::Publish(publish)), Packet::PubAck { topic_id: 1, message_id: 7, code: ReturnCode::Accepted });
    observer.watch("a notice of the sensor's reading", |seen| has(seen, "root/node/z1/tangle"));
    let order = ["root/device/z1/d1/sense/power", "root/fog/z1/d1/sense/power", "root/node/z1/tangle"].map(|topic| observer.place(topic));
    assert!(order.is_sorted(), "{order:?} in {:?}", observer.seen);
    let names = noticed(&observer.seen);
    assert_eq!(names, [format!("{SENSOR}@1470009600000000")]);
    exactly(&site, 1);
    assert_eq!(site.cache.figure("/parts/cache/kept"), Some(1));

    // §3.4.2: an actuator reads what was processed, and says what it did
    observer.forget();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let processed = format!("root/fog/{SENSOR}");
        let mut reads = Subscriber::connect(&site.url, "d2-reads", &[processed.as_str()], 1).await.unwrap();
        let sensor = Publisher::connect(&site.url, "d1-again").await.unwrap();
        sensor.publish(&format!("root/device/{SENSOR}"), b"{\"v\":43,\"t\":1470009601000}".to_vec(), 1).await.unwrap();
        let told = tokio::time::timeout(PATIENCE, reads.recv()).await.expect("the actuator is told nothing").unwrap();
        assert_eq!(told.topic, processed);
        let actuator = Publisher::connect(&site.url, "d2").await.unwrap();
        actuator.publish(&format!("root/device/{ACTUATOR}"), b"{\"v\":\"open\",\"t\":1470009602000}".to_vec(), 1).await.unwrap();
    });
    let done = format!("{ACTUATOR}@1470009602000000");
    observer.watch("a notice of what the actuator did", |seen| noticed(seen).contains(&done));
    let order =
        [format!("root/device/{SENSOR}"), format!("root/fog/{SENSOR}"), format!("root/device/{ACTUATOR}"), format!("root/fog/{ACTUATOR}")];
    let order = order.map(|topic| observer.place(&topic));
    assert!(order.is_sorted(), "{order:?} in {:?}", observer.seen);
    exactly(&site, 3);

    // §3.4.3: the ledger node is away
    observer.forget();
    site.net.kill(1);
    let away: Vec<String> = (0..20).map(|n| format!("{SENSOR}@{}", 1_470_009_700_000_000u64 + n * 1_000)).collect();
    runtime.block_on(async {
        let sensor = Publisher::connect(&site.url, "d1-while-away").await.unwrap();
        for n in 0..20u64 {
            let payload = format!("{{\"v\":{n},\"t\":{}}}", 1_470_009_700_000u64 + n);
            sensor.publish(&format!("root/device/{SENSOR}"), payload.into_bytes(), 1).await.unwrap();
        }
    });
    site.cache.wait_figure("/parts/cache/pending", 20);
    let processed = format!("root/fog/{SENSOR}");
    observer.watch("what is processed meanwhile", |seen| seen.iter().filter(|message| message.topic == processed).count() >= 20);
    assert!(noticed(&observer.seen).is_empty(), "nobody can have published them");
    observer.forget();
    site.net.start(1);
    site.wait_node();
    observer.watch("notices of all of them", |seen| {
        let names = noticed(seen);
        away.iter().all(|name| names.contains(name))
    });
    // a node that starts may repeat notices of what was published before
    let published = observer.seen.iter().position(|message| noticed(std::slice::from_ref(message)).contains(&away[0])).unwrap();
    let order = [observer.place("root/node/z1/active"), observer.place("root/cache/z1/pending"), published];
    assert!(order.is_sorted(), "{order:?} in {:?}", observer.seen);
    let actives = observer.seen.iter().filter(|message| message.topic == "root/node/z1/active").count();
    assert_eq!(actives, 1, "the node says once that it is back");
    exactly(&site, 23);
    for name in &away {
        site.net.wait_reading(name);
    }
    looked_at(&site);
}

/// ROLE-15: what each process says of itself.
fn looked_at(site: &Apart) {
    let broker = site.broker.as_ref().unwrap();
    for (part, says) in
        [(broker, "cache, fog"), (&site.cache, "cache: pending"), (&site.fog, "fog: intake"), (&site.gateway, "MQTT-SN clients")]
    {
        let shown = run(&["status", "--node", &part.url()]).ok();
        let parts_named = says != "cache, fog" || ["fog", "cache", "ledger"].iter().all(|name| shown.contains(name));
        assert!(parts_named && (says == "cache, fog" || shown.contains(says)), "{shown}");
    }
    let metrics = |part: &Part| get(&part.url(), "/metrics").unwrap().1;
    assert!(metrics(broker).contains("\nwattle_part_broker_services_connected 3\n"), "{}", metrics(broker));
    assert!(metrics(&site.cache).contains("\nwattle_part_cache_pending 0\n"), "{}", metrics(&site.cache));
    assert!(metrics(&site.fog).contains("\nwattle_part_fog_connected 1\n"), "{}", metrics(&site.fog));
}

const READINGS: u64 = 900;

/// Starts to publish a table; gives the readings' names.
fn publish(site: &Apart, file: &std::path::Path) -> (Process, Vec<String>) {
    let names = table(file, READINGS);
    let mut replay = wattle();
    replay.arg("replay").arg(file).args(["--broker", &site.url, "--site", "z1", "--rate", "40", "--json"]);
    (Process(replay.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()), names)
}

/// Waits until the ledger has some readings more.
fn progress(site: &Apart, readings: u64) {
    let wanted = (site.net.count(1, "/ledger/readings") + readings).min(READINGS);
    until("readings arrive", CONFIRM_TIMEOUT, || site.net.count(1, "/ledger/readings") >= wanted);
}

/// ROLE-16
#[test]
fn every_part_is_killed_while_a_device_publishes() {
    let mut site = Apart::running(None);
    let dir = tempfile::tempdir().unwrap();
    let (mut replay, names) = publish(&site, &dir.path().join("table.csv"));
    progress(&site, 40);
    for turn in 0..5 {
        match turn {
            0 => {
                let broker = site.broker.as_mut().unwrap();
                broker.kill();
                broker.start();
                broker.wait_ready();
                site.fog.wait_ready();
                site.cache.wait_ready();
                site.wait_node();
            }
            1 => {
                site.fog.kill();
                site.fog.start();
                site.fog.wait_ready();
            }
            2 => {
                site.cache.kill();
                site.cache.start();
                site.cache.wait_ready();
            }
            3 => {
                site.net.kill(1);
                site.net.start(1);
                site.wait_node();
            }
            _ => {
                site.gateway.kill();
                site.gateway.start();
                site.gateway.wait_ready();
            }
        }
        progress(&site, 40);
    }
    assert_eq!(replay.wait(Duration::from_secs(180)), 0, "not everything was acknowledged");
    exactly(&site, READINGS);
    for name in names {
        site.net.wait_reading(&name);
    }
    // what is left on disk is whole, and ends well
    site.cache.stop();
    site.fog.stop();
    for part in [&site.cache, &site.fog] {
        run(&["check", part.dir().to_str().unwrap()]).ok();
    }
    site.broker.as_mut().unwrap().stop();
    site.gateway.stop();
}

/// ROLE-16, with another broker: its own memory bridges what ours holds.
#[test]
fn parts_of_a_site_around_mosquitto() {
    let Some(program) = installed("mosquitto") else {
        eprintln!("skipped: mosquitto is not installed here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let port = free_ports(1);
    let _broker = mosquitto(&program, dir.path(), port);
    let mut site = Apart::running(Some(&format!("mqtt://127.0.0.1:{port}")));
    let (mut replay, names) = publish(&site, &dir.path().join("table.csv"));
    progress(&site, 40);
    site.fog.kill();
    site.fog.start();
    site.fog.wait_ready();
    progress(&site, 40);
    site.cache.kill();
    site.cache.start();
    site.cache.wait_ready();
    progress(&site, 40);
    site.net.kill(1);
    site.net.start(1);
    site.wait_node();
    progress(&site, 40);
    assert_eq!(replay.wait(Duration::from_secs(180)), 0, "not everything was acknowledged");
    exactly(&site, READINGS);
    for name in names {
        site.net.wait_reading(&name);
    }
}

/// ROLE-1
#[test]
fn the_examples_are_configurations() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/roles");
    let mut seen = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            let shown = run(&["up", "--dump-config", "--config", file.to_str().unwrap()]).ok();
            assert!(shown.contains("roles = ["), "{}: {shown}", file.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}
