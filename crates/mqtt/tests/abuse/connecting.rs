//! What is no CONNECT, or a bad one: nobody is let in.

use super::site::{Target, until};
use super::wire::{Connect, LEVELS, Raw, packet, prefixed, publish};
use tokio::net::TcpStream;

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Without a word, or with any CONNACK that lets nobody in.
    Refused,
    /// With a CONNACK of this code.
    Code(u8),
}

use End::{Code, Refused};

fn bytes(level: u8, change: impl FnOnce(&mut Connect)) -> Vec<u8> {
    let mut connect = Connect::good(level, "abuser", "m1");
    change(&mut connect);
    connect.bytes()
}

/// What is refused before it is asked who it is.
fn no_connect() -> Vec<(&'static str, Vec<u8>, End)> {
    let good = Connect::good(4, "abuser", "m1").bytes();
    let named = |name: &[u8]| bytes(4, |c| c.name = name.to_vec());
    let properties = |properties: &[u8]| bytes(5, |c| c.properties = properties.to_vec());
    vec![
        ("PUBLISH", publish(4, b"root/device/s1/m1/sense/t", b"1"), Refused),
        ("PINGREQ", vec![0xC0, 0x00], Refused),
        ("a web browser", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(), Refused),
        ("TLS where none is spoken", vec![0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0, 0, 1, 0], Refused),
        ("flags in the first byte", bytes(4, |c| c.first = 0x11), Refused),
        ("a remaining length of five bytes", [&[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01][..], &good[2..]].concat(), Refused),
        ("a remaining length beyond every limit", [&[0x10, 0xFF, 0xFF, 0xFF, 0x7F][..], &good[2..]].concat(), Refused),
        ("another protocol's name", named(b"MQXX"), Refused),
        ("its name in small letters", named(b"mqtt"), Refused),
        ("no name at all", named(b""), Refused),
        ("level 0", bytes(4, |c| c.level = 0), Refused),
        ("level 6", bytes(4, |c| c.level = 6), Refused),
        ("level 255", bytes(4, |c| c.level = 255), Refused),
        ("the reserved flag", bytes(4, |c| c.flags |= 1), Refused),
        ("the reserved flag, MQTT 5", bytes(5, |c| c.flags |= 1), Refused),
        ("a will's quality without a will", bytes(4, |c| c.flags |= 0b0000_1000), Refused),
        ("a will at QoS 3", bytes(4, |c| c.flags |= 0b0001_1100), Refused),
        ("a client id that is not UTF-8", bytes(4, |c| c.client_id = vec![0xC3, 0x28]), Refused),
        ("a client id that is not UTF-8, MQTT 5", bytes(5, |c| c.client_id = vec![0xFF]), Refused),
        ("a surrogate in a client id", bytes(4, |c| c.client_id = vec![0xED, 0xA0, 0x80]), Refused),
        ("no client id and no clean session", bytes(4, |c| (c.client_id, c.flags) = (vec![], 0b1100_0000)), Code(2)),
        ("a name that is announced and not there", bytes(4, |c| c.tail = vec![]), Refused),
        ("a name longer than the packet", bytes(4, |c| c.tail = vec![0xFF, 0xFF, b'm']), Refused),
        ("a CONNECT that ends in its flags", packet(0x10, &[0, 4, b'M', b'Q', b'T', b'T', 4, 2]), Refused),
        ("a property that there is not", properties(&[0x7F, 0]), Refused),
        ("a property twice", properties(&[0x21, 0, 9, 0x21, 0, 9]), Refused),
        ("a property that ends too early", properties(&[0x11, 0]), Refused),
        ("a receive maximum of 0", properties(&[0x21, 0, 0]), Refused),
        ("a packet size of 0", properties(&[0x27, 0, 0, 0, 0]), Refused),
        ("a request for problems of 2", properties(&[0x17, 2]), Refused),
        ("an unknown method", properties(&[0x15, 0, 1, b'x']), Code(0x8C)),
    ]
}

/// What is refused because of who it is, or how it is called: the doorman's answers, and under which reason they are counted.
fn no_client() -> Vec<(&'static str, Vec<u8>, End, &'static str)> {
    let m1 = prefixed(b"m1");
    let will = |topic: &[u8]| {
        let tail = [prefixed(topic), prefixed(b"gone"), m1.clone(), m1.clone()].concat();
        bytes(4, |c| (c.flags, c.tail) = (0b1100_1110, tail))
    };
    vec![
        ("NUL in a client id", bytes(4, |c| c.client_id = b"a\0b".to_vec()), Code(5), "client_id"),
        ("NUL in a client id, MQTT 5", bytes(5, |c| c.client_id = b"a\0b".to_vec()), Code(0x87), "client_id"),
        ("a line's end in a client id", bytes(4, |c| c.client_id = b"a\nb".to_vec()), Code(5), "client_id"),
        ("a client id of 65535 bytes", bytes(4, |c| c.client_id = vec![b'x'; 65_535]), Code(5), "client_id"),
        ("a client id of a link", bytes(5, |c| c.client_id = b"wattle-link@s1".to_vec()), Code(0x87), "client_id"),
        ("NUL in a name", bytes(4, |c| c.tail = [prefixed(b"m1\0"), m1.clone()].concat()), Code(4), "credentials"),
        ("NUL in a name, MQTT 5", bytes(5, |c| c.tail = [prefixed(b"m1\0"), m1.clone()].concat()), Code(0x86), "credentials"),
        ("a password without a name", bytes(4, |c| (c.flags, c.tail) = (0b0100_0010, m1.clone())), Code(4), "credentials"),
        ("a name without a password", bytes(4, |c| (c.flags, c.tail) = (0b1000_0010, m1.clone())), Code(4), "credentials"),
        ("a will with a wildcard", will(b"root/device/s1/m1/#"), Code(5), "will"),
        ("a will with NUL", will(b"root/device/s1/m1/a\0b"), Code(5), "will"),
        ("a will without a topic", will(b""), Code(5), "will"),
        ("another device's will", will(b"root/device/s1/m2/sense/t"), Code(5), "will"),
    ]
}

async fn refuse(raw: &mut Raw<TcpStream>, what: &str, bytes: &[u8], end: End) {
    raw.send(bytes).await;
    let rest = raw.rest().await;
    match end {
        Refused => assert!(rest.is_empty() || (rest[0] == 0x20 && rest[3] != 0), "{what}: answered with {rest:02x?}"),
        Code(code) => assert_eq!((rest.first(), rest.get(3)), (Some(&0x20), Some(&code)), "{what}: answered with {rest:02x?}"),
    }
}

/// Behind the front each is counted, as what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_from_outside_with_a_bad_connect() {
    let target = Target::fronted().await;
    for (what, bytes, end) in no_connect() {
        let before = target.site.refused("connect", "malformed");
        refuse(&mut target.open().await, what, &bytes, end).await;
        until(&format!("{what} to be counted"), || target.site.refused("connect", "malformed") == before + 1).await;
    }
    for (what, bytes, end, reason) in no_client() {
        let (before, malformed) = (target.site.refused("connect", reason), target.site.refused("connect", "malformed"));
        refuse(&mut target.open().await, what, &bytes, end).await;
        until(&format!("{what} to be counted"), || target.site.refused("connect", reason) == before + 1).await;
        assert_eq!(target.site.refused("connect", "malformed"), malformed, "{what}: it was a CONNECT");
    }
    // to look at a port is nothing
    let before = target.refused("connect");
    drop(target.open().await);
    let mut last = target.open().await;
    last.send(&[0xC0, 0x00]).await;
    last.rest().await;
    until("the one that spoke", || target.refused("connect") > before).await;
    assert_eq!(target.refused("connect"), before + 1);
    target.stays_well(0).await;
}

/// rmqtt's own listener answers the same; what is no CONNECT is not counted there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_from_this_machine_with_a_bad_connect() {
    let target = Target::direct().await;
    for (what, bytes, end) in no_connect() {
        refuse(&mut target.open().await, what, &bytes, end).await;
    }
    for (what, bytes, end, reason) in no_client() {
        let before = target.site.refused("connect", reason);
        refuse(&mut target.open().await, what, &bytes, end).await;
        assert_eq!(target.site.refused("connect", reason), before + 1, "{what}");
    }
    target.stays_well(0).await;
}

/// A client may take its time for a CONNECT, byte by byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_byte_by_byte_is_one() {
    for target in [Target::direct().await, Target::fronted().await] {
        for level in LEVELS {
            let mut raw = target.open().await;
            raw.0.set_nodelay(true).unwrap();
            for byte in Connect::good(level, &format!("slow-{level}"), "m1").bytes() {
                raw.send(&[byte]).await;
                tokio::task::yield_now().await;
            }
            assert_eq!(raw.answer().await.map(|answer| (answer[0], answer[3])), Some((0x20, 0)), "level {level}");
        }
        target.stays_well(0).await;
    }
}
