//! ADVERTISE, SEARCHGW, forwarders.

use super::device::{LEVEL_ID, Site, connect, patiently, publish};
use protocol::sn::{Frame, Packet, Qos, ReturnCode, Route, TopicRef};
use std::time::Duration;
use tokio::net::UdpSocket;

/// SN-5, SN-6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_tells_that_it_is_here() {
    let group = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = group.local_addr().unwrap();
    let site = Site::with(|config| {
        config.gateway_id = 42;
        config.advertise = Some(to);
        config.advertise_every = Duration::from_secs(1);
    })
    .await;
    let mut bytes = [0; 64];
    for _ in 0..2 {
        let (length, _) = patiently("an ADVERTISE", group.recv_from(&mut bytes)).await.unwrap();
        assert_eq!(Packet::decode(&bytes[..length]), Ok(Packet::Advertise { gateway_id: 42, duration_s: 1 }));
    }
    let device = site.device().await;
    device.send(Packet::SearchGateway { radius: 1 }).await;
    assert_eq!(device.hear().await, Packet::GatewayInfo { gateway_id: 42, address: vec![] });
    site.stop().await;
}

/// SN-4: nodes behind one forwarder are clients of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarder_speaks_for_many() {
    let site = Site::start().await;
    let forwarder = site.device().await;
    let frame = |node: u8, packet| Frame { route: Some(Route { radius: 0, node: vec![node, 0] }), packet };
    for node in 1..=3u8 {
        forwarder.send_bytes(&frame(node, connect(&format!("d{node}"), true, false, 60)).encode().unwrap()).await;
        assert_eq!(forwarder.hear_frame().await, frame(node, Packet::ConnAck(ReturnCode::Accepted)));
    }
    assert_eq!(site.gateway.stats().clients, 3);
    for node in 1..=3u8 {
        let message = publish(Qos::AtLeastOnce, TopicRef::Predefined(LEVEL_ID), 9, &[b'0' + node]);
        forwarder.send_bytes(&frame(node, message).encode().unwrap()).await;
        let accepted = Packet::PubAck { topic_id: LEVEL_ID, message_id: 9, code: ReturnCode::Accepted };
        assert_eq!(forwarder.hear_frame().await, frame(node, accepted));
    }
    assert_eq!(site.log.end(), 3);
    // without the encapsulation it is somebody else
    forwarder.send(Packet::PingRequest { client_id: String::new() }).await;
    assert_eq!(forwarder.hear().await, Packet::Disconnect { duration_s: None });
    site.stop().await;
}
