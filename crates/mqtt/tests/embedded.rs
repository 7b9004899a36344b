//! The embedded broker over real sockets: what it acknowledges is kept, what it cannot keep it does not acknowledge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use mqtt::broker::{PACKET_BYTES_MAX, TOPIC_BYTES_MAX};
use mqtt::{Broker, BrokerError, EmbeddedConfig, Ingress, LogConfig, LogError, Publisher, Security, SiteLog, Subscriber, embedded};
use protocol::{DeviceTopic, Name, Reading, Value};
use rumqttc::v5::mqttbytes::v5::{Packet as Packet5, PubAckReason};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use waiting::{LOOK, PATIENCE, patiently};

#[allow(dead_code, reason = "others use the rest")]
mod waiting;

const ANY_PORT: &str = "127.0.0.1:0";

struct Site {
    dir: TempDir,
    log: SiteLog,
    ingress: Arc<Ingress>,
    broker: Arc<dyn Broker>,
    active: mpsc::Receiver<()>,
}

async fn site_with(bind: &str, config: LogConfig) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let log = SiteLog::open(dir.path(), config).unwrap();
    let ingress = Arc::new(Ingress::new(Name::new("s1").unwrap(), log.clone()));
    let (on_active, active) = mpsc::channel(4);
    let config = EmbeddedConfig { bind: bind.parse().unwrap(), site: Name::new("s1").unwrap(), on_active: Some(on_active) };
    let broker = embedded::start(config, Security::default(), None, ingress.clone()).await.unwrap();
    Site { dir, log, ingress, broker, active }
}

async fn site() -> Site {
    site_with(ANY_PORT, LogConfig::default()).await
}

fn address(broker: &Arc<dyn Broker>) -> SocketAddr {
    broker.address().strip_prefix("mqtt://").unwrap().parse().unwrap()
}

fn everything(log: &SiteLog) -> Vec<Reading> {
    let mut all = Vec::new();
    while (all.len() as u64) < log.end() {
        let part = log.read(all.len() as u64, 1000).unwrap();
        assert!(!part.is_empty(), "the log ends at {} and gives nothing from {}", log.end(), all.len());
        all.extend(part.into_iter().map(|(_, reading)| reading));
    }
    all
}

/// What a log holds that is opened from a copy of the files as they are now.
fn on_disk(dir: &Path) -> Vec<Reading> {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    everything(&SiteLog::open(copy.path(), LogConfig::default()).unwrap())
}

fn values(readings: &[Reading]) -> Vec<Value> {
    readings.iter().map(|r| r.value.clone()).collect()
}

fn number(n: f64) -> Value {
    Value::number(n).unwrap()
}

/// A 5.0 client whose incoming packets can be awaited. The channel ends when the connection does.
fn client5(broker: &Arc<dyn Broker>, id: &str) -> (rumqttc::v5::AsyncClient, mpsc::UnboundedReceiver<Packet5>) {
    let address = address(broker);
    let mut options = rumqttc::v5::MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_outgoing_inflight_upper_limit(100);
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 100);
    let (packets, arrived) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let rumqttc::v5::Event::Incoming(packet) = event {
                let _ = packets.send(packet);
            }
        }
    });
    (client, arrived)
}

/// Publishes at QoS 1 and gives the answer: the code and its text.
async fn puback5(
    client: &rumqttc::v5::AsyncClient,
    arrived: &mut mpsc::UnboundedReceiver<Packet5>,
    topic: &str,
    payload: &str,
) -> (PubAckReason, String) {
    client.publish(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, payload.to_string()).await.unwrap();
    loop {
        let packet = patiently("a PUBACK", arrived.recv()).await.expect("the connection was closed");
        if let Packet5::PubAck(ack) = packet {
            let text = ack.properties.and_then(|p| p.reason_string).unwrap_or_default();
            return (ack.reason, text);
        }
    }
}

/// A 3.1.1 client down at the bytes.
struct Raw(TcpStream);

impl Raw {
    /// Connects and gives the CONNACK's return code. `will`: topic and payload.
    async fn connect(to: SocketAddr, id: &str, will: Option<(&str, &str)>) -> (Self, u8) {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, if will.is_some() { 0b0000_1110 } else { 0b0000_0010 }, 0, 60];
        let mut text = |t: &str| {
            body.extend_from_slice(&(t.len() as u16).to_be_bytes());
            body.extend_from_slice(t.as_bytes());
        };
        text(id);
        if let Some((topic, payload)) = will {
            text(topic);
            text(payload);
        }
        let mut raw = Self(TcpStream::connect(to).await.unwrap());
        raw.send(0x10, &body).await;
        let answer = raw.packet().await.expect("no CONNACK");
        assert_eq!(answer[0], 0x20, "not a CONNACK");
        (raw, answer[3])
    }

    async fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut left = body.len();
        loop {
            let byte = (left % 128) as u8;
            left /= 128;
            packet.push(if left > 0 { byte | 128 } else { byte });
            if left == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        // The broker may close while we still send: the answer, or its absence, is what is looked at.
        let _ = self.0.write_all(&packet).await;
    }

    async fn publish(&mut self, topic: &str, payload: &[u8], id: u16, qos: u8, dup: bool) {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        if qos > 0 {
            body.extend_from_slice(&id.to_be_bytes());
        }
        body.extend_from_slice(payload);
        self.send(0x30 | (u8::from(dup) << 3) | (qos << 1), &body).await;
    }

    /// The next packet, all of it (they are short here); `None` when the broker closed.
    async fn packet(&mut self) -> Option<Vec<u8>> {
        patiently("a packet or the end of the connection", async {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).await.ok()?;
            let mut rest = vec![0; usize::from(head[1])];
            self.0.read_exact(&mut rest).await.ok()?;
            Some([head.to_vec(), rest].concat())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_3_1_1_client_is_told_is_kept_is_on_the_disk() {
    let site = site().await;
    let publisher = Publisher::connect(&site.broker.address(), "meter").await.unwrap();
    let topic = "root/device/s1/d1/sense/temperature";
    for (qos, payload) in [(1, "1.5"), (2, "2.5"), (1, "3.5")] {
        patiently("the acknowledgement", publisher.publish(topic, payload.into(), qos)).await.unwrap();
        let kept = on_disk(site.dir.path());
        assert_eq!(kept.last().map(|r| r.value.clone()), Some(number(payload.parse().unwrap())), "QoS {qos}");
        assert_eq!(kept.last().unwrap().topic, "s1/d1/sense/temperature".parse::<DeviceTopic>().unwrap());
    }
    publisher.publish(topic, "4.5".into(), 0).await.unwrap();
    patiently("the QoS 0 reading", site.log.wait_past(3)).await;
    assert_eq!(values(&on_disk(site.dir.path())), [1.5, 2.5, 3.5, 4.5].map(number));
    assert_eq!(publisher.finish(PATIENCE).await.unwrap(), 4);
    publisher.close().await;
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_5_0_client_is_told_is_kept_is_on_the_disk() {
    use rumqttc::v5::mqttbytes::QoS;
    let site = site().await;
    let (client, mut arrived) = client5(&site.broker, "meter5");
    let topic = "root/device/s1/d1/sense/power";
    assert_eq!(puback5(&client, &mut arrived, topic, "1").await.0, PubAckReason::Success);
    assert_eq!(values(&on_disk(site.dir.path())), [1.0].map(number));

    client.publish(topic, QoS::ExactlyOnce, false, "2").await.unwrap();
    while !matches!(patiently("a PUBCOMP", arrived.recv()).await.expect("the connection was closed"), Packet5::PubComp(_)) {}
    assert_eq!(values(&on_disk(site.dir.path())), [1.0, 2.0].map(number));

    client.publish(topic, QoS::AtMostOnce, false, "3").await.unwrap();
    patiently("the QoS 0 reading", site.log.wait_past(2)).await;
    assert_eq!(values(&everything(&site.log)), [1.0, 2.0, 3.0].map(number));
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_payload_is_answered_and_reported() {
    let site = site().await;
    let mut watcher = Subscriber::connect(&site.broker.address(), "operator", &["root/fog/s1/rejected"], 1).await.unwrap();
    let topic = "root/device/s1/d1/sense/temperature";

    let (client, mut arrived) = client5(&site.broker, "new");
    let (reason, text) = puback5(&client, &mut arrived, topic, "[{\"n\":\"x\"}]").await;
    assert_eq!(reason, PubAckReason::PayloadFormatInvalid);
    assert!(!text.is_empty(), "the reason is told");

    let publisher = Publisher::connect(&site.broker.address(), "old").await.unwrap();
    patiently("the acknowledgement", publisher.publish(topic, "{\"w\":1}".into(), 1)).await.unwrap();

    for _ in 0..2 {
        let report = patiently("a report", watcher.recv()).await.unwrap();
        assert_eq!(report.topic, "root/fog/s1/rejected");
        let report: serde_json::Value = serde_json::from_slice(&report.payload).unwrap();
        assert_eq!(report["topic"], topic);
        assert!(!report["reason"].as_str().unwrap().is_empty());
    }
    assert_eq!((site.log.end(), site.ingress.counters().rejected), (0, 2));
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_outside_the_scheme_are_refused() {
    let site = site().await;
    let long = format!("root/device/s1/{}/sense/t", "d".repeat(TOPIC_BYTES_MAX));
    let (client, mut arrived) = client5(&site.broker, "stranger-of-5.0");
    let mut strangers = 0;
    for topic in
        ["elsewhere", "root/device/s2/d/sense/t", "root/device/s1/d/t", "root/fog/s1/d/sense/t", "root/node/s1/tangle", long.as_str()]
    {
        // MQTT 5: a code and a text, and the connection stays.
        let (reason, text) = puback5(&client, &mut arrived, topic, "1").await;
        assert!(matches!(reason, PubAckReason::NotAuthorized | PubAckReason::TopicNameInvalid), "{topic}: {reason:?}");
        assert!(!text.is_empty(), "{topic}: no reason is told");
        // MQTT 3.1.1 knows no refusal: the connection is closed without a PUBACK, at QoS 0 too.
        for qos in [0, 1] {
            // each a client of its own: the end of one must not be in the way of the next
            strangers += 1;
            let (mut raw, code) = Raw::connect(address(&site.broker), &format!("stranger{strangers}"), None).await;
            assert_eq!(code, 0);
            raw.publish(topic, b"1", 1, qos, false).await;
            assert_eq!(raw.packet().await, None, "{topic} at QoS {qos} was answered");
        }
    }
    assert_eq!(puback5(&client, &mut arrived, "root/device/s1/d/sense/t", "1").await.0, PubAckReason::Success);
    assert_eq!(site.log.end(), 1);
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_have_a_limit() {
    let site = site().await;
    let topic = "root/device/s1/d/sense/image";
    let (mut raw, _) = Raw::connect(address(&site.broker), "camera", None).await;
    raw.publish(topic, &vec![0xff; PACKET_BYTES_MAX + 1], 1, 1, false).await;
    assert_eq!(raw.packet().await, None, "a packet over the limit was answered");

    let (client, mut arrived) = client5(&site.broker, "camera5");
    let (reason, _) = puback5(&client, &mut arrived, topic, &"x".repeat(PACKET_BYTES_MAX / 2)).await;
    assert!(!matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers), "{reason:?}");
    assert_eq!(site.log.end(), 0);
    assert_eq!(puback5(&client, &mut arrived, topic, "small").await.0, PubAckReason::Success);
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_is_recognised_and_not_routed_again() {
    let site = site().await;
    let mut watcher = Subscriber::connect(&site.broker.address(), "watcher", &["root/device/#"], 1).await.unwrap();
    let topic = "root/device/s1/d/sense/level";
    // The same bytes under the same id: first, again because the PUBACK got lost, and as a new publish.
    // On one connection: a client that comes again while its old connection still ends may be cut off once.
    let (mut raw, _) = Raw::connect(address(&site.broker), "sensor", None).await;
    for (dup, stored) in [(false, 1), (true, 1), (false, 2)] {
        raw.publish(topic, b"7", 9, 1, dup).await;
        assert_eq!(raw.packet().await, Some(vec![0x40, 2, 0, 9]), "a PUBACK for 9");
        assert_eq!(site.log.end(), stored, "after DUP = {dup}");
    }
    assert_eq!(site.ingress.counters().duplicates, 1);
    // A marker behind them shows that no third copy comes.
    raw.publish(topic, b"8", 10, 1, false).await;
    assert_eq!(raw.packet().await, Some(vec![0x40, 2, 0, 10]), "a PUBACK for the marker");
    let mut seen = Vec::new();
    while seen.last().map(Vec::as_slice) != Some(b"8".as_slice()) {
        seen.push(patiently("a message", watcher.recv()).await.unwrap().payload);
    }
    assert_eq!(seen, [b"7", b"7", b"8"].map(|p| p.to_vec()));
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processed_data_goes_to_root_fog() {
    let site = site().await;
    let mut watcher = Subscriber::connect(&site.broker.address(), "actuator", &["root/fog/#"], 2).await.unwrap();
    let publisher = Publisher::connect(&site.broker.address(), "sensor").await.unwrap();
    publisher.publish("root/device/s1/d/sense/temperature", "21.5".into(), 1).await.unwrap();
    let message = patiently("the processed reading", watcher.recv()).await.unwrap();
    assert_eq!((message.topic.as_str(), message.qos, message.retain), ("root/fog/s1/d/sense/temperature", 1, false));
    let topic: DeviceTopic = "s1/d/sense/temperature".parse().unwrap();
    let kept = everything(&site.log);
    let again = edge::payload::decode(&topic, &message.payload, kept[0].time_us).unwrap();
    assert_eq!(again, kept);
    assert_eq!(site.broker.dropped(), 0);
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_ledger_node_is_heard() {
    let mut site = site().await;
    let publisher = Publisher::connect(&site.broker.address(), "ledger-node").await.unwrap();
    publisher.publish("root/node/s1/active", Vec::new(), 1).await.unwrap();
    patiently("the word that a node is active", site.active.recv()).await.unwrap();
    assert_eq!(site.log.end(), 0);
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wills_are_checked_and_recorded() {
    let site = site().await;
    let (_, code) = Raw::connect(address(&site.broker), "mallory", Some(("root/fog/s1/d/act/valve", "open"))).await;
    assert_eq!(code, 5, "not authorised");

    let (raw, code) = Raw::connect(address(&site.broker), "sensor", Some(("root/device/s1/d/sense/state", "gone"))).await;
    assert_eq!(code, 0);
    drop(raw); // without a DISCONNECT
    patiently("the will", site.log.wait_past(0)).await;
    assert_eq!(values(&everything(&site.log)), [Value::Text("gone".into())]);
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_stored_is_not_acknowledged() {
    // More must stay free than any disk has.
    let site = site_with(ANY_PORT, LogConfig { min_free_bytes: u64::MAX, ..LogConfig::default() }).await;
    let topic = "root/device/s1/d/sense/t";
    let (client, mut arrived) = client5(&site.broker, "new");
    patiently("the refusal", async { while puback5(&client, &mut arrived, topic, "1").await.0 != PubAckReason::QuotaExceeded {} }).await;
    let end = site.log.end();
    let (mut raw, _) = Raw::connect(address(&site.broker), "old", None).await;
    raw.publish(topic, b"1", 1, 1, false).await;
    assert_eq!(raw.packet().await, None, "acknowledged and not stored");
    assert_eq!(site.log.end(), end);
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_site_publishes_and_retains() {
    let site = site().await;
    let mut early = Subscriber::connect(&site.broker.address(), "early", &["root/node/+/tangle"], 1).await.unwrap();
    site.broker.publish("root/node/s1/tangle", b"[]".to_vec(), 1, true).await.unwrap();
    let message = patiently("the notice", early.recv()).await.unwrap();
    assert_eq!((message.topic.as_str(), message.payload.as_slice(), message.retain), ("root/node/s1/tangle", b"[]".as_slice(), false));
    let mut late = Subscriber::connect(&site.broker.address(), "late", &["root/node/+/tangle"], 1).await.unwrap();
    assert!(patiently("the retained notice", late.recv()).await.unwrap().retain);
    for (topic, qos) in [("root/#", 1), ("", 1), ("root/x", 3)] {
        let error = site.broker.publish(topic, Vec::new(), qos, false).await.unwrap_err();
        assert!(matches!(error, BrokerError::Publish(_)), "{topic:?}: {error}");
    }
    site.broker.stop().await;
    assert!(site.broker.publish("root/x", Vec::new(), 0, false).await.is_err(), "it has stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_take_turns() {
    const MESSAGES: usize = 10;
    let site = site().await;
    let (seen, mut all) = mpsc::unbounded_channel();
    for member in ["one", "two"] {
        let mut subscriber = Subscriber::connect(&site.broker.address(), member, &["$share/group/root/fog/#"], 1).await.unwrap();
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Some(message) = subscriber.recv().await {
                let _ = seen.send((member, message.payload));
            }
        });
    }
    for i in 0..MESSAGES {
        site.broker.publish("root/fog/s1/d/sense/t", vec![i as u8], 1, false).await.unwrap();
    }
    let mut payloads = Vec::new();
    let mut members = std::collections::BTreeMap::new();
    for _ in 0..MESSAGES {
        let (member, payload) = patiently("a message for one of the group", all.recv()).await.unwrap();
        *members.entry(member).or_insert(0) += 1;
        payloads.push(payload);
    }
    payloads.sort();
    assert_eq!(payloads, (0..MESSAGES).map(|i| vec![i as u8]).collect::<Vec<_>>(), "each message once");
    assert_eq!(members.len(), 2, "{members:?}");
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_a_clear_error() {
    let site = site().await;
    let bind = address(&site.broker);
    let config = EmbeddedConfig { bind, site: Name::new("s1").unwrap(), on_active: None };
    let Err(error) = embedded::start(config, Security::default(), None, site.ingress.clone()).await else {
        panic!("two brokers on {bind}")
    };
    assert!(matches!(&error, BrokerError::Bind { address, .. } if *address == bind), "{error}");
    assert!(error.to_string().contains("choose another address"), "{error}");
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_outlives_its_broker() {
    let Site { dir, log, ingress, broker, active: _ } = site().await;
    let bind = address(&broker).to_string();
    let publisher = Publisher::connect(&broker.address(), "meter").await.unwrap();
    let topic = "root/device/s1/d/sense/count";
    let mut sent = 0..300u32;
    for i in sent.by_ref().take(100) {
        publisher.submit(topic, i.to_string().into(), 1, false).await.unwrap().wait().await.unwrap();
    }
    // The broker goes while publishes are on their way; more follow while it is away.
    let mut waiting = Vec::new();
    for i in sent.by_ref().take(100) {
        waiting.push(publisher.submit(topic, i.to_string().into(), 1, false).await.unwrap());
    }
    broker.stop().await;
    assert!(!broker.connected());
    assert_eq!(Arc::strong_count(&ingress), 1, "a stopped broker holds nothing of the site");
    for i in sent {
        waiting.push(publisher.submit(topic, i.to_string().into(), 1, false).await.unwrap());
    }
    drop((ingress, log));

    let log = patiently("the log to be free", async {
        loop {
            match SiteLog::open(dir.path(), LogConfig::default()) {
                Ok(log) => return log,
                Err(LogError::Locked(_)) => tokio::time::sleep(LOOK).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    let ingress = Arc::new(Ingress::new(Name::new("s1").unwrap(), log.clone()));
    let config = EmbeddedConfig { bind: bind.parse().unwrap(), site: Name::new("s1").unwrap(), on_active: None };
    let broker = embedded::start(config, Security::default(), None, ingress).await.unwrap();
    assert_eq!(publisher.finish(PATIENCE).await.unwrap(), 300);
    for acknowledgement in waiting {
        acknowledgement.wait().await.unwrap();
    }
    let mut kept: Vec<u32> = everything(&log)
        .iter()
        .map(|r| match r.value {
            Value::Number(n) => n as u32,
            _ => panic!("{r:?}"),
        })
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..300).collect::<Vec<_>>(), "nothing lost, nothing twice");
    broker.stop().await;
}
