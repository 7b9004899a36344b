//! Malformed packets of every type, by a client that is let in: the connection is closed, nothing is acknowledged, and it is
//! counted once.

use super::site::{OWN, Target, until};
use super::wire::{Connect, LEVELS, no_properties, packet, prefixed, publish, publish_with, subscribe};

/// PUBLISH with this first byte and this packet id.
fn publish_as(level: u8, first: u8, id: [u8; 2]) -> Vec<u8> {
    packet(first, &[&prefixed(OWN.as_bytes())[..], &id, no_properties(level), b"1"].concat())
}

/// What is malformed in both versions of the protocol.
fn of_both(level: u8) -> Vec<(&'static str, Vec<u8>)> {
    let none = no_properties(level);
    let list = |first: u8, id: [u8; 2], rest: &[u8]| packet(first, &[&id[..], none, rest].concat());
    let topic = prefixed(b"root/fog/s1/m1/#");
    vec![
        // the fixed header
        ("a remaining length of five bytes", vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ("a remaining length beyond every limit", vec![0x32, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("the reserved packet type 0", vec![0x00, 0x00]),
        ("packet type 15", vec![0xF0, 0x00]),
        ("PUBACK with flags", packet(0x41, &[0, 1])),
        ("PUBREL without its flags", packet(0x60, &[0, 1])),
        ("SUBSCRIBE without its flags", list(0x80, [0, 8], &[&topic[..], &[1]].concat())),
        ("UNSUBSCRIBE without its flags", list(0xA0, [0, 8], &topic)),
        ("PINGREQ with flags", vec![0xC1, 0x00]),
        ("DISCONNECT with flags", vec![0xE1, 0x00]),
        // what only a broker says, and what may come once only
        ("CONNACK", packet(0x20, &[&[0, 0][..], none].concat())),
        ("SUBACK", list(0x90, [0, 1], &[0])),
        ("UNSUBACK", list(0xB0, [0, 1], if level == 5 { &[0] } else { &[] })),
        ("PINGRESP", vec![0xD0, 0x00]),
        ("a second CONNECT", Connect::good(level, "again", "m1").bytes()),
        // PUBLISH
        ("PUBLISH at QoS 3", publish_as(level, 0x36, [0, 7])),
        ("PUBLISH at QoS 1 under the id 0", publish_as(level, 0x32, [0, 0])),
        ("PUBLISH at QoS 2 under the id 0", publish_as(level, 0x34, [0, 0])),
        ("PUBLISH without a topic", publish(level, b"", b"1")),
        ("PUBLISH whose topic is longer than it", packet(0x30, &[0xFF, 0xFF, b'a'])),
        ("PUBLISH that ends in its id", packet(0x32, &[&prefixed(OWN.as_bytes())[..], &[0]].concat())),
        ("PUBLISH of nothing", packet(0x30, &[])),
        // SUBSCRIBE and UNSUBSCRIBE
        ("SUBSCRIBE under the id 0", list(0x82, [0, 0], &[&topic[..], &[1]].concat())),
        ("SUBSCRIBE to nothing", list(0x82, [0, 8], &[])),
        ("SUBSCRIBE at QoS 3", subscribe(level, b"root/fog/s1/m1/#", 3)),
        ("SUBSCRIBE without options", list(0x82, [0, 8], &topic)),
        ("SUBSCRIBE whose filter is longer than it", list(0x82, [0, 8], &[0x01, 0x00, b'a'])),
        ("UNSUBSCRIBE under the id 0", list(0xA2, [0, 0], &topic)),
        ("UNSUBSCRIBE from nothing", list(0xA2, [0, 9], &[])),
        ("UNSUBSCRIBE whose filter is longer than it", list(0xA2, [0, 9], &[0x01, 0x00, b'a'])),
        // acknowledgements
        ("PUBACK of the id 0", packet(0x40, &[0, 0])),
        ("PUBACK of half an id", packet(0x40, &[1])),
        ("PUBREC of nothing", packet(0x50, &[])),
        ("PUBREL of the id 0", packet(0x62, &[0, 0])),
        ("PUBCOMP of half an id", packet(0x70, &[1])),
    ]
}

/// What only MQTT 3.1.1 forbids.
fn of_3_1_1() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("PUBACK with more than an id", packet(0x40, &[0, 1, 0])),
        ("PUBREL with more than an id", packet(0x62, &[0, 1, 0])),
        ("SUBSCRIBE to an empty filter", subscribe(4, b"", 1)),
    ]
}

/// What only MQTT 5 has: properties and reason codes.
fn of_5() -> Vec<(&'static str, Vec<u8>)> {
    let own = OWN.as_bytes();
    let with_id = |first: u8, rest: &[u8]| packet(first, &[&[0, 8][..], rest].concat());
    let filter = [&prefixed(b"root/fog/s1/m1/#")[..], &[1]].concat();
    vec![
        ("a property that there is not", publish_with(own, &[0x7F, 0])),
        ("a property of another packet", publish_with(own, &[0x11, 0, 0, 0, 9])),
        ("a property twice", publish_with(own, &[0x01, 0, 0x01, 0])),
        ("a property that ends too early", publish_with(own, &[0x02, 0, 0])),
        ("a payload format that there is not", publish_with(own, &[0x01, 2])),
        ("properties longer than the packet", packet(0x32, &[&prefixed(own)[..], &[0, 7, 100, 0x01]].concat())),
        ("properties whose length has five bytes", packet(0x32, &[&prefixed(own)[..], &[0, 7, 255, 255, 255, 255, 1]].concat())),
        ("the topic alias 0", publish_with(own, &[0x23, 0, 0])),
        ("a topic alias, and none was offered", publish_with(own, &[0x23, 0, 1])),
        ("a topic alias instead of a topic", publish_with(b"", &[0x23, 0, 1])),
        ("a subscription identifier in a publish", publish_with(own, &[0x0B, 1])),
        ("a response topic with a wildcard", publish_with(own, &[0x08, 0, 3, b'a', b'/', b'#'])),
        ("user properties that are not UTF-8", publish_with(own, &[0x26, 0, 1, 0xFF, 0, 1, b'x'])),
        ("the subscription identifier 0", with_id(0x82, &[&[2, 0x0B, 0][..], &filter].concat())),
        ("two subscription identifiers", with_id(0x82, &[&[4, 0x0B, 1, 0x0B, 2][..], &filter].concat())),
        ("reserved bits in the options of a subscription", subscribe(5, b"root/fog/s1/m1/#", 0xC1)),
        ("a retain handling that there is not", subscribe(5, b"root/fog/s1/m1/#", 0x31)),
        ("PUBACK with a reason that there is not", packet(0x40, &[0, 1, 0x01])),
        ("PUBREL with more than its properties", packet(0x62, &[0, 1, 0, 0, 9])),
        ("DISCONNECT with a reason that there is not", packet(0xE0, &[0x01])),
        ("DISCONNECT with a property twice", packet(0xE0, &[0, 10, 0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1])),
        ("AUTH, and no method was agreed", packet(0xF0, &[0x18, 0])),
    ]
}

async fn close_for_each(target: &Target) {
    for level in LEVELS {
        let of_one = if level == 5 { of_5() } else { of_3_1_1() };
        for (i, (what, bytes)) in of_both(level).into_iter().chain(of_one).enumerate() {
            let before = target.site.refused("packet", "malformed");
            let mut raw = target.admitted(level, &format!("abuser-{level}-{i}")).await;
            // what stands behind it is not looked at any more
            raw.send(&[bytes, publish(level, OWN.as_bytes(), b"666")].concat()).await;
            let rest = raw.rest().await;
            // a DISCONNECT with the reason is allowed to an MQTT 5 client, and nothing else
            assert!(rest.is_empty() || (level == 5 && rest[0] == 0xE0), "{what}, level {level}: answered with {rest:02x?}");
            until(&format!("{what}, level {level}, to be counted"), || target.site.refused("packet", "malformed") > before).await;
            assert_eq!(target.site.refused("packet", "malformed"), before + 1, "{what}, level {level}: counted twice");
        }
    }
    assert_eq!(target.refused("publish"), 0, "none of it was a publish that is merely not allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_closes_the_connection() {
    let target = Target::direct().await;
    close_for_each(&target).await;
    target.stays_well(0).await;
}

/// The same as it looks through the front, which only carries bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_closes_the_connection_from_outside() {
    let target = Target::fronted().await;
    close_for_each(&target).await;
    assert_eq!(target.refused("connect"), 0, "they were let in");
    target.stays_well(0).await;
}

/// What means nothing at its moment is no fault: it is left or answered, and the connection stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_nothing_leaves_the_connection() {
    let target = Target::direct().await;
    for level in LEVELS {
        let mut raw = target.admitted(level, &format!("odd-{level}")).await;
        // acknowledgements of what was never sent
        raw.send(&[packet(0x40, &[0, 99]), packet(0x70, &[0, 98])].concat()).await;
        // PUBREL is answered, as MQTT wants it, so that an exchange can end
        raw.send(&packet(0x62, &[0, 97])).await;
        let answer = raw.answer().await.expect("closed for a PUBREL");
        assert_eq!((answer[0], &answer[2..4]), (0x70, &[0, 97][..]), "level {level}");
        raw.send(&[0xC0, 0]).await;
        assert_eq!(raw.answer().await, Some(vec![0xD0, 0]), "a PINGRESP");
        raw.send(&publish(level, OWN.as_bytes(), b"1")).await;
        let answer = raw.answer().await.expect("closed for a good publish");
        assert_eq!((answer[0], &answer[2..4]), (0x40, &[0, 7][..]));
        assert!(answer.get(4).is_none_or(|code| *code == 0), "{answer:02x?}");
    }
    assert_eq!(target.site.refused("packet", "malformed"), 0);
    target.stays_well(2).await;
}
