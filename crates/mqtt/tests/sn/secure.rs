//! DTLS with pre-shared keys: the identity is the client id.

use super::device::{Device, LEVEL_ID, Site, connect, patiently, publish, until};
use crate::waiting::PATIENCE;
use dimpl::{Config, Dtls, Output, PskResolver};
use mqtt::sn::{DtlsConfig, PskKeys};
use protocol::sn::{Packet, Qos, ReturnCode, TopicRef};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const KEYS: &str = "d:000102030405060708090a0b0c0d0e0f\ns1/e:101112131415161718191a1b1c1d1e1f\n";

struct Key(Vec<u8>);

impl PskResolver for Key {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }
}

/// A device that speaks DTLS.
struct Secured {
    socket: UdpSocket,
    gateway: SocketAddr,
    dtls: Dtls,
    connected: bool,
    /// The engine has given up.
    failed: bool,
    messages: VecDeque<Vec<u8>>,
    wake: Instant,
}

impl Secured {
    async fn new(gateway: SocketAddr, identity: &str, first: u8) -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").await.unwrap(), gateway, identity, first).await
    }

    async fn on(socket: UdpSocket, gateway: SocketAddr, identity: &str, first: u8) -> Self {
        let key = (first..first + 16).collect();
        let config = Config::builder().with_psk_client(identity.as_bytes().to_vec(), Arc::new(Key(key))).build().unwrap();
        let now = Instant::now();
        let mut dtls = Dtls::new_12_psk(Arc::new(config), now);
        dtls.set_active(true);
        let mut device = Self { socket, gateway, dtls, connected: false, failed: false, messages: VecDeque::new(), wake: now };
        device.dtls.handle_timeout(now).unwrap();
        device.drain().await;
        device
    }

    async fn drain(&mut self) {
        let mut buffer = vec![0; 16_384];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(record) => {
                    let record = record.to_vec();
                    self.socket.send_to(&record, self.gateway).await.unwrap();
                }
                Output::ApplicationData(message) => self.messages.push_back(message.to_vec()),
                Output::Connected => self.connected = true,
                Output::Timeout(wake) => {
                    self.wake = wake;
                    return;
                }
                _ => {}
            }
        }
    }

    /// Waits for a datagram or a timer.
    async fn step(&mut self) {
        let mut datagram = vec![0; 65_536];
        let pause = self.wake.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
        let received = tokio::time::timeout(pause, self.socket.recv_from(&mut datagram)).await;
        self.failed |= self.failed || self.dtls.handle_timeout(Instant::now()).is_err();
        if let (Ok(received), false) = (received, self.failed) {
            let (length, _) = received.unwrap();
            self.failed = self.dtls.handle_packet(&datagram[..length]).is_err();
        }
        if !self.failed {
            self.drain().await;
        }
    }

    async fn shake_hands(&mut self) {
        patiently("the handshake", async {
            while !self.connected {
                self.step().await;
                assert!(!self.failed, "the handshake failed");
            }
        })
        .await;
    }

    async fn ask(&mut self, packet: Packet) -> Packet {
        self.dtls.send_application_data(&packet.encode().unwrap()).unwrap();
        self.drain().await;
        patiently("an answer", async {
            while self.messages.is_empty() {
                self.step().await;
            }
        })
        .await;
        Packet::decode(&self.messages.pop_front().unwrap()).unwrap()
    }
}

async fn site() -> Site {
    let keys = PskKeys::parse(KEYS, Path::new("psk")).unwrap();
    Site::with(|config| config.dtls = Some(DtlsConfig { listen: "127.0.0.1:0".parse().unwrap(), keys })).await
}

/// SN-70, SN-71, SN-72.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_with_a_key_is_who_it_says() {
    let site = site().await;
    let gateway = site.gateway.dtls_address().unwrap();
    let mut device = Secured::new(gateway, "d", 0).await;
    device.shake_hands().await;
    assert_eq!(device.ask(connect("other", true, false, 60)).await, Packet::ConnAck(ReturnCode::NotSupported), "not its own id");
    assert_eq!(device.ask(connect("d", true, false, 60)).await, Packet::ConnAck(ReturnCode::Accepted));
    let message = publish(Qos::AtLeastOnce, TopicRef::Predefined(LEVEL_ID), 5, &vec![b'x'; 2000]);
    let accepted = Packet::PubAck { topic_id: LEVEL_ID, message_id: 5, code: ReturnCode::Accepted };
    assert_eq!(device.ask(message).await, accepted);
    assert_eq!(site.log.end(), 1);

    let mut second = Secured::new(gateway, "s1/e", 16).await;
    second.shake_hands().await;
    assert_eq!(second.ask(connect("s1/e", true, false, 60)).await, Packet::ConnAck(ReturnCode::Accepted));

    // without the key, in the clear, the id is not to be had
    let plain = Device::new(site.gateway.address()).await;
    assert_eq!(plain.connect("d", true).await, ReturnCode::NotSupported);
    plain.send(Packet::PingRequest { client_id: "d".into() }).await;
    assert_eq!(plain.hear().await, Packet::Disconnect { duration_s: None });
    assert_eq!(plain.connect("without-key", true).await, ReturnCode::Accepted);
    assert_eq!(site.gateway.stats().refused["identity"], 2);
    assert_eq!(device.ask(Packet::PingRequest { client_id: String::new() }).await, Packet::PingResponse, "nobody took it over");
    site.stop().await;
}

/// SN-73, SN-74: a wrong key, and datagrams that are no DTLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_nothing_is_heard() {
    let site = site().await;
    let gateway = site.gateway.dtls_address().unwrap();
    let stranger = Device::new(gateway).await;
    stranger.send(connect("d", true, false, 60)).await;
    stranger.send_bytes(&[22; 3000]).await;
    let mut wrong = Secured::new(gateway, "d", 99).await;
    let mut unknown = Secured::new(gateway, "nobody", 0).await;
    // as long as an honest one needs, who comes after them
    let mut honest = Secured::new(gateway, "d", 0).await;
    tokio::time::timeout(PATIENCE, async {
        while !honest.connected {
            wrong.step().await;
            unknown.step().await;
            honest.step().await;
        }
    })
    .await
    .unwrap();
    assert!(!wrong.connected && !unknown.connected);
    assert_eq!(honest.ask(connect("d", true, false, 60)).await, Packet::ConnAck(ReturnCode::Accepted));
    assert_eq!(site.gateway.stats().clients, 1);
    site.stop().await;
}

/// SN-72, SN-74: another key at the address of a client is another client: it neither speaks for it nor hears what is for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_at_the_same_address_is_another_client() {
    let site = site().await;
    let gateway = site.gateway.dtls_address().unwrap();
    let mut device = Secured::new(gateway, "d", 0).await;
    device.shake_hands().await;
    assert_eq!(device.ask(connect("d", true, false, 60)).await, Packet::ConnAck(ReturnCode::Accepted));

    let mut other = Secured::on(device.socket, gateway, "s1/e", 16).await;
    other.shake_hands().await;
    let message = publish(Qos::AtLeastOnce, TopicRef::Predefined(LEVEL_ID), 5, b"1");
    assert_eq!(other.ask(message).await, Packet::Disconnect { duration_s: None }, "it is not connected");
    assert_eq!(other.ask(Packet::PingRequest { client_id: String::new() }).await, Packet::Disconnect { duration_s: None });
    assert_eq!(site.log.end(), 0);
    site.stop().await;
}

/// SN-36, SN-72: a device that has a key says nothing at QoS −1 without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_for_a_device_with_a_key_at_minus_one() {
    let site = site().await;
    let message = |payload: &[u8]| publish(Qos::MinusOne, TopicRef::Predefined(LEVEL_ID), 0, payload);
    let plain = Device::new(site.gateway.address()).await;
    plain.send(message(b"1")).await;
    until("it to be dropped", || site.gateway.stats().dropped["anonymous"] == 1).await;

    let gateway = site.gateway.dtls_address().unwrap();
    let mut other = Secured::new(gateway, "s1/e", 16).await;
    other.shake_hands().await;
    other.dtls.send_application_data(&message(b"2").encode().unwrap()).unwrap();
    other.drain().await;
    until("it to be dropped", || site.gateway.stats().dropped["anonymous"] == 2).await;

    let mut device = Secured::new(gateway, "d", 0).await;
    device.shake_hands().await;
    device.dtls.send_application_data(&message(b"3").encode().unwrap()).unwrap();
    device.drain().await;
    patiently("the reading", site.log.wait_past(0)).await;
    assert_eq!(site.values(), [protocol::Value::Number(3.0)]);
    site.stop().await;
}
