//! A site with a gateway, and a device that speaks MQTT-SN on a socket of its own.

use crate::waiting::LOOK;
pub use crate::waiting::{patiently, until};
use mqtt::access::{Role, UserEntry, UserFile, hash_password};
use mqtt::sn::{self, Gateway, GatewayConfig};
use mqtt::{AccessConfig, Anonymous, Broker, EmbeddedConfig, Ingress, LogConfig, Security, SiteLog, embedded};
use protocol::sn::{Connect, Frame, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, Subscribe, TopicFilter, TopicRef};
use protocol::{Name, Value};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// T_retry in tests.
pub const RETRY: Duration = Duration::from_millis(300);
pub const LEVEL: &str = "root/device/s1/d/sense/level";
/// The predefined id of [`LEVEL`].
pub const LEVEL_ID: u16 = 7;

pub struct Site {
    pub dir: TempDir,
    pub log: SiteLog,
    pub broker: Arc<dyn Broker>,
    pub gateway: Gateway,
}

/// The settings of a gateway in front of `broker`: a free port, quick retries.
pub fn config(broker: &str) -> GatewayConfig {
    GatewayConfig {
        retry: RETRY,
        predefined: [(LEVEL_ID, LEVEL.to_string())].into(),
        ..GatewayConfig::new("127.0.0.1:0".parse().unwrap(), broker)
    }
}

pub async fn start_broker(dir: &TempDir, bind: &str) -> (SiteLog, Arc<dyn Broker>) {
    start_secured(dir, bind, Security::default()).await
}

async fn start_secured(dir: &TempDir, bind: &str, security: Security) -> (SiteLog, Arc<dyn Broker>) {
    let log = patiently("the log to be free", async {
        loop {
            match SiteLog::open(dir.path(), LogConfig::default()) {
                Ok(log) => return log,
                Err(mqtt::LogError::Locked(_)) => tokio::time::sleep(LOOK).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    let site = Name::new("s1").unwrap();
    let ingress = Arc::new(Ingress::new(site.clone(), log.clone()));
    let (on_active, _) = mpsc::channel(4);
    let broker = EmbeddedConfig { bind: bind.parse().unwrap(), site, on_active: Some(on_active) };
    (log, embedded::start(broker, security, None, ingress).await.unwrap())
}

impl Site {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (log, broker) = start_broker(&dir, "127.0.0.1:0").await;
        let mut config = config(&broker.address());
        change(&mut config);
        let gateway = sn::start(config).await.unwrap();
        Self { dir, log, broker, gateway }
    }

    /// A broker that asks for credentials: the gateway logs in as the user `gw`.
    pub async fn guarded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = dir.path().join("users.toml");
        let password = Some(hash_password(b"gw").unwrap());
        let user = UserEntry { name: "gw".into(), role: Role::Gateway, password, ..UserEntry::default() };
        UserFile { users: vec![user], ..UserFile::default() }.save(&users).unwrap();
        let access = AccessConfig { anonymous: Anonymous::Refuse, users: Some(users), ..AccessConfig::default() };
        let (log, broker) = start_secured(&dir, "127.0.0.1:0", Security { access, ..Security::default() }).await;
        let mut config = config(&broker.address());
        config.credentials = mqtt::Credentials { user: Some("gw".into()), password: Some("gw".into()), ..mqtt::Credentials::default() };
        let gateway = sn::start(config).await.unwrap();
        Self { dir, log, broker, gateway }
    }

    pub async fn device(&self) -> Device {
        Device::new(self.gateway.address()).await
    }

    /// The values in the log.
    pub fn values(&self) -> Vec<Value> {
        let mut all = Vec::new();
        while (all.len() as u64) < self.log.end() {
            let part = self.log.read(all.len() as u64, 1000).unwrap();
            assert!(!part.is_empty());
            all.extend(part.into_iter().map(|(_, reading)| reading.value));
        }
        all
    }

    pub async fn stop(self) {
        self.gateway.stop().await;
        self.broker.stop().await;
    }
}

/// A device, down at the messages.
pub struct Device {
    pub socket: UdpSocket,
    gateway: SocketAddr,
    next: u16,
}

impl Device {
    pub async fn new(gateway: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), gateway, next: 0 }
    }

    pub fn id(&mut self) -> u16 {
        self.next += 1;
        self.next
    }

    pub async fn send(&self, packet: Packet) {
        self.send_bytes(&packet.encode().unwrap()).await;
    }

    pub async fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.gateway).await.unwrap();
    }

    pub async fn hear_frame(&self) -> Frame {
        let mut bytes = vec![0; 65_536];
        let (length, from) = patiently("a datagram", self.socket.recv_from(&mut bytes)).await.unwrap();
        assert_eq!(from, self.gateway);
        Frame::decode(&bytes[..length]).unwrap()
    }

    pub async fn hear(&self) -> Packet {
        let Frame { route, packet } = self.hear_frame().await;
        assert_eq!(route, None);
        packet
    }

    /// The next PUBLISH; REGISTER on the way is accepted, and gives the topic.
    pub async fn hear_publish(&self) -> (Option<String>, Publish) {
        let mut registered = None;
        loop {
            match self.hear().await {
                Packet::Register { topic_id, message_id, topic } => {
                    self.send(Packet::RegAck { topic_id, message_id, code: ReturnCode::Accepted }).await;
                    registered = Some(topic);
                }
                Packet::Publish(publish) => return (registered, publish),
                other => panic!("{other:?} instead of a PUBLISH"),
            }
        }
    }

    pub async fn connect(&self, client_id: &str, clean_session: bool) -> ReturnCode {
        self.send(connect(client_id, clean_session, false, 60)).await;
        match self.hear().await {
            Packet::ConnAck(code) => code,
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    pub async fn register(&mut self, topic: &str) -> u16 {
        let message_id = self.id();
        self.send(Packet::Register { topic_id: 0, message_id, topic: topic.into() }).await;
        match self.hear().await {
            Packet::RegAck { topic_id, message_id: of, code: ReturnCode::Accepted } if of == message_id => topic_id,
            other => panic!("{other:?} instead of a REGACK"),
        }
    }

    /// Publishes at QoS 1; what PUBACK says.
    pub async fn publish(&mut self, topic: TopicRef, data: &[u8]) -> ReturnCode {
        let message_id = self.id();
        self.send(publish(Qos::AtLeastOnce, topic, message_id, data)).await;
        match self.hear().await {
            Packet::PubAck { topic_id, message_id: of, code } if (topic_id, of) == (topic.number(), message_id) => code,
            other => panic!("{other:?} instead of a PUBACK"),
        }
    }

    /// Subscribes with the QoS; the topic id that SUBACK tells.
    pub async fn subscribe(&mut self, topic: TopicFilter, qos: Qos) -> u16 {
        let message_id = self.id();
        self.send(Packet::Subscribe(Subscribe { dup: false, qos, message_id, topic })).await;
        match self.hear().await {
            Packet::SubAck { topic_id, message_id: of, code: ReturnCode::Accepted, qos: granted } if of == message_id => {
                assert_eq!(granted, qos);
                topic_id
            }
            other => panic!("{other:?} instead of a SUBACK"),
        }
    }

    pub async fn acknowledge(&self, publish: &Publish) {
        let (topic_id, message_id) = (publish.topic.number(), publish.message_id);
        self.send(Packet::PubAck { topic_id, message_id, code: ReturnCode::Accepted }).await;
    }

    /// Until the gateway has handled everything sent before.
    pub async fn ping(&self) {
        self.send(Packet::PingRequest { client_id: String::new() }).await;
        assert_eq!(self.hear().await, Packet::PingResponse);
    }
}

pub fn connect(client_id: &str, clean_session: bool, will: bool, keep_alive_s: u16) -> Packet {
    Packet::Connect(Connect { will, clean_session, protocol_id: PROTOCOL_ID, keep_alive_s, client_id: client_id.into() })
}

pub fn publish(qos: Qos, topic: TopicRef, message_id: u16, data: &[u8]) -> Packet {
    Packet::Publish(Publish { dup: false, qos, retain: false, topic, message_id, data: data.to_vec() })
}

pub fn name(topic: &str) -> TopicFilter {
    TopicFilter::Name(topic.into())
}

pub fn number(n: f64) -> Value {
    Value::number(n).unwrap()
}
