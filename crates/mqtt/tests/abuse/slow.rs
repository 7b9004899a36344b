//! Connections that take their time, and many at once.

use super::secured::{connect, patiently, tls_configuration};
use super::site::{Target, until};
use super::wire::{Connect, Raw};
use rumqttc::TlsConfiguration;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A request of a WebSocket client, up to its last header.
const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection that has said something and then waits.
async fn stalled(target: &Target, scheme: &str, said: &[u8]) -> Raw<TcpStream> {
    let mut raw = Raw::open(target.address(scheme)).await;
    raw.send(said).await;
    raw
}

/// Whether the other side has closed.
async fn ended<S: AsyncRead + AsyncWrite + Unpin>(mut raw: Raw<S>) -> bool {
    let mut byte = [0];
    patiently("the end of a connection", async { while let Ok(1) = raw.0.read(&mut byte).await {} }).await;
    true
}

/// whoever is not admitted in time is cut off, wherever it stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_half_way_is_cut_off() {
    let target = Target::fronted().await;
    let begin = Instant::now();
    let connect = Connect::good(4, "half", "m1").bytes();
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03];
    let plain = [
        stalled(&target, "mqtt", b"").await,
        stalled(&target, "mqtt", &connect[..1]).await,
        stalled(&target, "mqtt", &connect[..8]).await,
        stalled(&target, "mqtt", &connect[..connect.len() - 1]).await,
        stalled(&target, "mqtts", b"").await,
        stalled(&target, "mqtts", &hello).await,
        stalled(&target, "wss", &hello[..3]).await,
    ];
    // a TLS client that then says nothing
    let TlsConfiguration::Rustls(config) = tls_configuration(&target.ca, None) else { panic!("another kind of TLS") };
    let socket = TcpStream::connect(target.address("mqtts")).await.unwrap();
    let secure = TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();

    let mut all = JoinSet::new();
    for raw in plain {
        all.spawn(ended(raw));
    }
    all.spawn(ended(Raw(secure)));
    let count = all.len() as u64;
    while let Some(end) = all.join_next().await {
        assert!(end.unwrap());
    }
    assert!(begin.elapsed().as_secs() >= 10, "they were not given their time");
    until("each to be counted", || target.refused("connect") == count).await;
    assert!(target.site.refused("connect", "handshake") >= count - 1, "rmqtt's own patience ends in the same moment for one of them");
    target.stays_well(0).await;
}

/// An upgrade that is not finished, or is none, admits nobody. The WebSocket listener of this machine is rmqtt's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_none_admits_nobody() {
    let target = Target::fronted().await;
    let mut all = JoinSet::new();
    for said in [String::new(), UPGRADE[..30].to_string(), UPGRADE.to_string()] {
        all.spawn(ended(stalled(&target, "ws", said.as_bytes()).await));
    }
    let connect = Connect::good(4, "no-upgrade", "m1").bytes();
    for said in [
        "\r\n\r\n".to_string(),
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\n\r\n".to_string(),
        format!("{UPGRADE}\r\n"), // without the protocol
        format!("{UPGRADE}Sec-WebSocket-Protocol: chat\r\n\r\n"),
        format!("POST{}\r\n", &UPGRADE[3..]),
        format!("{UPGRADE}X-Long: {}\r\n\r\n", "x".repeat(200_000)),
    ] {
        let mut raw = stalled(&target, "ws", said.as_bytes()).await;
        raw.send(&connect).await;
        let rest = raw.rest().await;
        assert!(!rest.starts_with(b"HTTP/1.1 101"), "let in by {:?}", said.chars().take(60).collect::<String>());
    }
    // a good one, whose frames are no MQTT: text, and a frame that the client did not mask
    for frame in [&[0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'][..], &[0x82, 0x02, 0xC0, 0x00]] {
        let mut raw = stalled(&target, "ws", format!("{UPGRADE}Sec-WebSocket-Protocol: mqtt\r\n\r\n").as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        raw.send(frame).await;
        let rest = raw.rest().await;
        assert!(!rest.windows(2).any(|pair| pair == [0x20, 0x02]), "a CONNACK in {rest:02x?}");
    }
    while let Some(end) = all.join_next().await {
        assert!(end.unwrap());
    }
    target.stays_well(0).await;
}

/// Hundreds at once: those who behave are let in, and the broker serves whoever comes afterwards.
async fn storm(target: &Target, connections: usize) {
    let mut all = JoinSet::new();
    for i in 0..connections {
        let address = target.address("mqtt");
        all.spawn(async move {
            let mut raw = Raw::open(address).await;
            let good = Connect::good(if i % 2 == 0 { 4 } else { 5 }, &format!("storm-{i}"), "m1").bytes();
            match i % 4 {
                0 | 1 => {
                    raw.send(&good).await;
                    let answer = raw.answer().await.expect("closed instead of answered");
                    assert_eq!((answer[0], answer[3]), (0x20, 0));
                }
                2 => raw.send(&good[..good.len() / 2]).await,
                _ => {
                    raw.send(b"\0\0garbage\xFF\xFF").await;
                    raw.rest().await;
                }
            }
            raw // stays open until all are there
        });
    }
    let mut open = Vec::new();
    while let Some(raw) = all.join_next().await {
        open.push(raw.expect("one that behaved was not let in"));
    }
    assert_eq!(open.len(), connections);
    drop(connect(target.site.plain("after", Some("m2"))).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_passes() {
    let target = Target::direct().await;
    storm(&target, 240).await;
    target.stays_well(0).await;
    // one after the other: a process has so many sockets only
    let target = Target::fronted().await;
    storm(&target, 120).await;
    until("the babble to be counted", || target.site.refused("connect", "malformed") >= 30).await;
    target.stays_well(0).await;
}
