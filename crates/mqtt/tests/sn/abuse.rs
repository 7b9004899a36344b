//! What no honest device sends over UDP: every message cut short, wrong lengths, floods; rights that end. An honest device on
//! the same gateway publishes throughout and is accepted every time.

use super::device::{Device, LEVEL, LEVEL_ID, Site, connect, name, number, patiently, publish, until};
use mqtt::access::UserFile;
use protocol::Name;
use protocol::sn::{Frame, Packet, Qos, ReturnCode, Route, Subscribe, TopicFilter, TopicRef, WillTopic};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Datagrams in a row before we wait until they were read: the system drops what does not fit a socket's buffer.
const BURST: usize = 40;

/// One of every kind.
fn every_message() -> Vec<Packet> {
    let will = || Some(WillTopic { qos: Qos::AtLeastOnce, retain: false, topic: LEVEL.into() });
    let topic = || TopicFilter::Name("root/fog/#".into());
    let code = ReturnCode::Accepted;
    vec![
        Packet::Advertise { gateway_id: 7, duration_s: 900 },
        Packet::SearchGateway { radius: 1 },
        Packet::GatewayInfo { gateway_id: 7, address: vec![127, 0, 0, 1] },
        connect("abuser", true, true, 60),
        Packet::ConnAck(code),
        Packet::WillTopicRequest,
        Packet::WillTopic(will()),
        Packet::WillMessageRequest,
        Packet::WillMessage(b"gone".to_vec()),
        Packet::Register { topic_id: 0, message_id: 1, topic: LEVEL.into() },
        Packet::RegAck { topic_id: 1, message_id: 1, code },
        publish(Qos::AtLeastOnce, TopicRef::Predefined(99), 2, b"666"),
        Packet::PubAck { topic_id: 1, message_id: 2, code },
        Packet::PubComp(3),
        Packet::PubRec(3),
        Packet::PubRel(3),
        Packet::Subscribe(Subscribe { dup: false, qos: Qos::AtLeastOnce, message_id: 4, topic: topic() }),
        Packet::SubAck { qos: Qos::AtLeastOnce, topic_id: 1, message_id: 4, code },
        Packet::Unsubscribe { message_id: 5, topic: topic() },
        Packet::UnsubAck(5),
        Packet::PingRequest { client_id: "abuser".into() },
        Packet::PingResponse,
        Packet::Disconnect { duration_s: Some(60) },
        Packet::WillTopicUpdate(will()),
        Packet::WillTopicResponse(code),
        Packet::WillMessageUpdate(b"never".to_vec()),
        Packet::WillMessageResponse(code),
    ]
}

/// The same message under a length of three octets.
fn wide(short: &[u8]) -> Vec<u8> {
    let length = (short.len() as u16 + 2).to_be_bytes();
    [&[0x01, length[0], length[1]][..], &short[1..]].concat()
}

/// Everything that can be wrong with one message: cut short with its length as it was, with the length that it then has, in
/// both forms, and with the lengths beside the right one.
fn wrong(packet: &Packet) -> Vec<Vec<u8>> {
    let whole = packet.encode().unwrap();
    let mut all = Vec::new();
    for end in 1..whole.len() {
        all.push(whole[..end].to_vec());
        let mut cut = whole[..end].to_vec();
        cut[0] = end as u8;
        all.push(cut.clone());
        if end > 1 {
            all.push(wide(&cut));
        }
        let long = wide(&whole);
        all.push(long[..end].to_vec());
    }
    for length in [0, 1, whole.len() as u8 - 1, whole.len() as u8 + 1, 0xFF] {
        all.push([&[length][..], &whole[1..]].concat());
    }
    for length in [0u16, 1, 2, 3, whole.len() as u16 + 1, whole.len() as u16 + 3, 0xFFFF] {
        all.push([&[0x01][..], &length.to_be_bytes(), &whole[1..]].concat());
    }
    all.push([whole.as_slice(), &[0]].concat());
    all
}

/// Sends everything from one device, while another one publishes; gives how many of them were no messages at all.
async fn abuse(site: &Site, honest: &mut Device, abuser: &Device, datagrams: &[Vec<u8>]) -> u64 {
    let mut malformed = site.gateway.stats().malformed;
    let before = malformed;
    for burst in datagrams.chunks(BURST) {
        for datagram in burst {
            malformed += u64::from(Frame::decode(datagram).is_err());
            abuser.send_bytes(datagram).await;
        }
        assert_eq!(honest.publish(TopicRef::Predefined(LEVEL_ID), b"1").await, ReturnCode::Accepted);
        until("the malformed ones to be counted", || site.gateway.stats().malformed == malformed).await;
    }
    malformed - before
}

/// SN-2, SN-4: by a stranger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_cut_short_harms_nobody() {
    let site = Site::start().await;
    let (mut honest, abuser) = (site.device().await, site.device().await);
    honest.connect("honest", true).await;
    let datagrams: Vec<_> = every_message().iter().flat_map(wrong).collect();
    let bad = abuse(&site, &mut honest, &abuser, &datagrams).await;
    assert!(bad > 500, "{bad} of {}", datagrams.len());

    // every message type that there is not, in both forms, and within an encapsulation
    let mut datagrams = Vec::new();
    for kind in 0..=u8::MAX {
        datagrams.push(vec![2, kind]);
        datagrams.push(vec![1, 0, 4, kind]);
        datagrams.push(vec![4, 0xFE, 0, 9, 2, kind]);
    }
    abuse(&site, &mut honest, &abuser, &datagrams).await;
    let values = site.values();
    assert!(![6.0, 66.0, 666.0].map(number).iter().any(|abused| values.contains(abused)), "what the abuser published");
    site.stop().await;
}

/// SN-4: an encapsulation holds a message, never another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encapsulations_do_not_nest() {
    let site = Site::start().await;
    let (mut honest, abuser) = (site.device().await, site.device().await);
    honest.connect("honest", true).await;
    let wrap = |node: &[u8], inner: &[u8]| [&[node.len() as u8 + 3, 0xFE, 0][..], node, inner].concat();
    let message = connect("nested", true, false, 60).encode().unwrap();
    let mut datagrams = Vec::new();
    let mut nested = wrap(&[1], &message);
    for depth in 2..50 {
        nested = wrap(&[depth], &nested);
        datagrams.push(nested.clone());
    }
    datagrams.push(wrap(&[1], &[])); // of nothing
    datagrams.push(wrap(&[9; 252], &[]));
    datagrams.push(vec![0xFF, 0xFE, 0]); // longer than it is
    datagrams.push(vec![1, 0, 5, 0xFE, 0, 2, 0x17]); // its length has one octet only
    let whole = Frame { route: Some(Route { radius: 0, node: vec![1] }), packet: connect("cut", true, false, 60) }.encode().unwrap();
    datagrams.extend((1..whole.len()).map(|end| whole[..end].to_vec()));
    let bad = abuse(&site, &mut honest, &abuser, &datagrams).await;
    assert!(bad >= 50, "{bad}");
    assert_eq!(site.gateway.stats().clients, 1, "the honest one");
    site.stop().await;
}

/// SN-2: from a device that is connected, it costs that device nothing either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_a_device_s_own_address_does_not_end_its_session() {
    let site = Site::start().await;
    let (mut honest, mut noisy) = (site.device().await, site.device().await);
    honest.connect("honest", true).await;
    noisy.connect("noisy", true).await;
    let noise: Vec<Vec<u8>> = (0..200u16).map(|n| [&[0xFF, n as u8][..], &n.to_be_bytes()].concat()).collect();
    assert_eq!(abuse(&site, &mut honest, &noisy, &noise).await, 200);
    // what only a gateway says, and answers to nothing
    for packet in [Packet::ConnAck(ReturnCode::Accepted), Packet::PingResponse, Packet::UnsubAck(7), Packet::PubComp(9), Packet::PubRec(9)]
    {
        noisy.send(packet).await;
    }
    let accepted = patiently("its own publish", async {
        let message_id = noisy.id();
        noisy.send(publish(Qos::AtLeastOnce, TopicRef::Predefined(LEVEL_ID), message_id, b"1")).await;
        loop {
            match noisy.hear().await {
                Packet::PubAck { message_id: of, code, .. } if of == message_id => return code,
                _ => {}
            }
        }
    });
    assert_eq!(accepted.await, ReturnCode::Accepted);
    assert_eq!(site.gateway.stats().clients, 2);
    site.stop().await;
}

/// SN-62: half connections from many ports of one address are held back, and those of others are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_many_ports_holds_up_its_own_address_only() {
    const PORTS: usize = 320; // more than may be connecting behind one address
    // so that none is given up before all have come
    let site = Site::with(|config| config.retry = Duration::from_secs(1)).await;
    let mut honest = site.device().await;
    honest.connect("honest", true).await;
    let mut flood = Vec::new();
    for n in 0..PORTS {
        let device = site.device().await;
        // each asks to be prompted for a will, and never answers
        device.send(connect(&format!("flood-{n}"), true, true, 60)).await;
        flood.push(device);
        if n % BURST == 0 {
            assert_eq!(honest.publish(TopicRef::Predefined(LEVEL_ID), b"1").await, ReturnCode::Accepted);
        }
    }
    until("the last to be held back", || site.gateway.stats().refused["source"] > 0).await;
    // another address of this machine
    let socket = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    socket.connect(site.gateway.address()).await.unwrap();
    socket.send(&connect("elsewhere", true, false, 60).encode().unwrap()).await.unwrap();
    let mut bytes = [0; 64];
    let length = patiently("a CONNACK", socket.recv(&mut bytes)).await.unwrap();
    assert_eq!(Packet::decode(&bytes[..length]), Ok(Packet::ConnAck(ReturnCode::Accepted)));
    assert_eq!(honest.publish(TopicRef::Predefined(LEVEL_ID), b"1").await, ReturnCode::Accepted);
    site.stop().await;
}

/// SN-60: what waits for devices that sleep has a bound for all of them, and does not keep anybody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleepers_do_not_fill_the_memory() {
    const ROOM: usize = 8192;
    let site = Site::with(|config| config.buffered_bytes_max = ROOM).await;
    let mut honest = site.device().await;
    honest.connect("honest", true).await;
    let mut sleepers = Vec::new();
    for n in 0..12 {
        let mut device = site.device().await;
        device.connect(&format!("sleeper-{n}"), true).await;
        device.subscribe(name("root/node/s1/tangle"), Qos::AtMostOnce).await;
        device.send(Packet::Disconnect { duration_s: Some(600) }).await;
        assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
        sleepers.push(device);
    }
    until("all to sleep", || site.gateway.stats().asleep == 12).await;
    for n in 0..40 {
        site.broker.publish("root/node/s1/tangle", vec![n; 1000], 0, false).await.unwrap();
        assert_eq!(honest.publish(TopicRef::Predefined(LEVEL_ID), b"1").await, ReturnCode::Accepted);
        assert!(site.gateway.stats().buffered_bytes <= ROOM as u64);
    }
    until("some to be dropped", || site.gateway.stats().dropped["full"] > 0).await;
    assert!(site.gateway.stats().buffered_bytes <= ROOM as u64);
    assert_eq!(site.gateway.stats().clients, 13, "nobody was lost");
    site.stop().await;
}

/// A-10, SN-14: a device that the registry bars is told, and does not come back; neither does its will.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barred_device_is_sent_away() {
    let site = Site::guarded().await;
    let (mut honest, mut barred) = (site.device().await, site.device().await);
    assert_eq!(honest.connect("e", true).await, ReturnCode::Accepted);
    assert_eq!(barred.connect("d", true).await, ReturnCode::Accepted);
    let own = |id: &str| format!("root/device/s1/{id}/sense/level");
    let (of_e, of_d) = (TopicRef::Normal(honest.register(&own("e")).await), TopicRef::Normal(barred.register(&own("d")).await));
    assert_eq!(honest.publish(of_e, b"1").await, ReturnCode::Accepted);
    assert_eq!(barred.publish(of_d, b"2").await, ReturnCode::Accepted);

    site.broker.bar(&Name::new("d").unwrap(), true).await;
    assert_eq!(barred.hear().await, Packet::Disconnect { duration_s: None }, "it is told");
    assert_eq!(barred.connect("d", true).await, ReturnCode::NotSupported);
    assert_eq!(honest.publish(of_e, b"3").await, ReturnCode::Accepted);
    // whatever it calls itself: what is its own is nobody's now
    let elsewhere = TopicRef::Normal(honest.register(&own("d")).await);
    assert_eq!(honest.publish(elsewhere, b"4").await, ReturnCode::NotSupported);
    assert_eq!(site.log.end(), 3);

    site.broker.bar(&Name::new("d").unwrap(), false).await;
    assert_eq!(barred.connect("d", true).await, ReturnCode::Accepted, "forgiven");
    site.stop().await;
}

/// without its user the gateway is nobody, and so are all who come through it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_gateway_loses_its_devices() {
    let site = Site::guarded().await;
    let device = site.device().await;
    assert_eq!(device.connect("d", true).await, ReturnCode::Accepted);
    let path = site.dir.path().join("users.toml");
    let mut users = UserFile::load(&path).unwrap();
    users.find("gw").unwrap().disabled = true;
    users.save(&path).unwrap();
    site.broker.reload().await.unwrap();
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    assert_eq!(device.connect("d", true).await, ReturnCode::NotSupported);
    assert!(site.broker.access().refused.iter().any(|(kind, reason, count)| (*kind, *reason) == ("connect", "disabled") && *count > 0));
    site.stop().await;
}
