//! Bad input and bounds: whoever does not keep to them is refused, and harms nobody else.

use super::device::{LEVEL_ID, Site, config, connect, patiently, until};
use mqtt::sn::{self, HANDSHAKES_PER_SOURCE_MAX, SnError};
use protocol::sn::{Connect, Packet, ReturnCode, TopicRef};
use std::time::Duration;

/// SN-2, SN-13: no message, no client id, no protocol.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_nothing_is_counted_and_harms_nobody() {
    let site = Site::start().await;
    let mut good = site.device().await;
    good.connect("good", true).await;
    let bad = site.device().await;
    let garbage: [&[u8]; 6] = [&[], &[0], &[1, 0, 0], &[2, 0xFD], &[5, 0x0C, 0x03, 0, 0], &[0xFF; 2000]];
    for bytes in garbage {
        bad.send_bytes(bytes).await;
    }
    until("all of it", || site.gateway.stats().malformed == garbage.len() as u64).await;

    for client_id in ["", "a//c", "a+", "$SYS", &"x".repeat(65)] {
        assert_eq!(bad.connect(client_id, true).await, ReturnCode::NotSupported, "{client_id:?}");
    }
    let other = Connect { will: false, clean_session: true, protocol_id: 2, keep_alive_s: 1, client_id: "d".into() };
    bad.send(Packet::Connect(other)).await;
    assert_eq!(bad.hear().await, Packet::ConnAck(ReturnCode::NotSupported));
    // what only a gateway says, and a leave that was not a stay, are not answered
    bad.send(Packet::ConnAck(ReturnCode::Accepted)).await;
    bad.send(Packet::Disconnect { duration_s: None }).await;
    bad.send(Packet::PingRequest { client_id: "nobody".into() }).await;
    assert_eq!(bad.hear().await, Packet::Disconnect { duration_s: None }, "to PINGREQ");

    assert_eq!(good.publish(TopicRef::Predefined(LEVEL_ID), b"1").await, ReturnCode::Accepted);
    let refused = site.gateway.stats().refused;
    assert_eq!((refused["client_id"], refused["protocol"], refused["stranger"]), (5, 1, 1));
    site.stop().await;
}

/// SN-60: as many clients as there may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_have_a_bound() {
    let site = Site::with(|config| config.clients_max = 2).await;
    let devices = [site.device().await, site.device().await, site.device().await];
    assert_eq!(devices[0].connect("d0", true).await, ReturnCode::Accepted);
    assert_eq!(devices[1].connect("d1", true).await, ReturnCode::Accepted);
    assert_eq!(devices[2].connect("d2", true).await, ReturnCode::Congestion);
    assert_eq!(site.gateway.stats().refused["clients"], 1);
    devices[0].send(Packet::Disconnect { duration_s: None }).await;
    assert_eq!(devices[0].hear().await, Packet::Disconnect { duration_s: None });
    until("room", || site.gateway.stats().clients == 1).await;
    assert_eq!(devices[2].connect("d2", true).await, ReturnCode::Accepted);
    site.stop().await;
}

/// SN-62: a storm of half connections from one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_half_connections_is_held_back() {
    // so that none is given up before all have come
    let site = Site::with(|config| config.retry = Duration::from_secs(1)).await;
    let storm = site.device().await;
    for n in 0..HANDSHAKES_PER_SOURCE_MAX + 20 {
        // each asks to be prompted for a will, and never answers
        storm.send(connect(&format!("storm{n}"), true, true, 60)).await;
        let answer = storm.hear().await;
        let held_back = n >= HANDSHAKES_PER_SOURCE_MAX;
        assert_eq!(answer == Packet::ConnAck(ReturnCode::Congestion), held_back, "{n}: {answer:?}");
    }
    assert!(site.gateway.stats().refused["source"] >= 20);
    // they are given up after a while, and there is room again
    patiently("room", async {
        while storm.connect("calm", true).await != ReturnCode::Accepted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_do() {
    let taken = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut settings = config("mqtt://127.0.0.1:1");
    settings.listen = address;
    let Err(error) = sn::start(settings).await else { panic!("two on {address}") };
    assert!(matches!(error, SnError::Bind { .. }) && error.to_string().contains("choose another address"), "{error}");
    let Err(error) = sn::start(config("tcp://broker")).await else { panic!("a broker without a URL") };
    assert!(error.to_string().contains("mqtt://host:port"), "{error}");
    let mut settings = config("mqtt://127.0.0.1:1");
    settings.clients_max = 0;
    let Err(error) = sn::start(settings).await else { panic!("no clients at all") };
    assert!(error.to_string().contains("choose"), "{error}");
}
