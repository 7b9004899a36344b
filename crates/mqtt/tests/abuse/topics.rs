//! Topics and filters that no honest client names.

use super::site::{OWN, Target, until};
use super::wire::{LEVELS, body, publish, subscribe, unsubscribe};

/// A topic of this many bytes in levels of one letter.
fn levels(bytes: usize) -> Vec<u8> {
    b"a/".iter().copied().cycle().take(bytes).collect()
}

/// What an MQTT 5 client is answered: the type of the packet and the reason.
async fn answered(target: &Target, client_id: &str, bytes: &[u8]) -> (u8, u8) {
    let mut raw = target.admitted(5, client_id).await;
    raw.send(bytes).await;
    let answer = raw.answer().await.expect("closed instead of answered");
    // behind the packet id; SUBACK has its properties, none, before it
    let code = body(&answer)[if answer[0] == 0x90 { 3 } else { 2 }];
    // and the connection stays
    raw.send(&[0xC0, 0]).await;
    assert_eq!(raw.answer().await, Some(vec![0xD0, 0]));
    (answer[0], code)
}

/// what one may not publish to is refused with a reason; a 3.1.1 client is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_others_are_refused() {
    let target = Target::direct().await;
    let (deep, wide) = (levels(65_535), vec![b'a'; 65_535]);
    let cases: [(&str, &[u8], u8); 7] = [
        ("$SYS", b"$SYS/brokers", 0x87),
        ("the tree's own", b"$wattle/asked", 0x87),
        ("a group", b"$share/g/root/device/s1/m1/sense/t", 0x87),
        ("another device", b"root/device/s1/m2/sense/t", 0x87),
        ("another site", b"root/device/s2/m1/sense/t", 0x87),
        ("32768 levels", &deep, 0x90),
        ("one level of 64 KiB", &wide, 0x90),
    ];
    for (i, (what, topic, code)) in cases.into_iter().enumerate() {
        assert_eq!(answered(&target, &format!("five-{i}"), &publish(5, topic, b"1")).await, (0x40, code), "{what}");
        let mut raw = target.admitted(4, &format!("three-{i}")).await;
        raw.send(&publish(4, topic, b"1")).await;
        let rest = raw.rest().await;
        assert!(rest.is_empty(), "{what}, MQTT 3.1.1: answered with {rest:02x?}");
    }
    assert_eq!(target.site.refused("publish", "denied"), 2 * 7);
    assert_eq!(target.site.refused("packet", "malformed"), 0);
    target.stays_well(0).await;
}

/// What is no topic at all closes the connection: 3.3.2.1 of MQTT 5, 3.3.2.1 and 1.5.3 of MQTT 3.1.1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_topic_closes_the_connection() {
    let target = Target::direct().await;
    let cases: [(&str, &[u8]); 9] = [
        ("+", b"root/device/s1/m1/+/t"),
        ("#", b"root/device/s1/m1/#"),
        ("# alone", b"#"),
        ("+ within a level", b"root/device/s1/m1/sense/t+"),
        ("NUL", b"root/device/s1/m1/sense/\0"),
        ("a broken sequence", b"root/device/s1/m1/sense/\xC3\x28"),
        ("an overlong slash", b"root/device/s1/m1/sense\xC0\xAFt"),
        ("a surrogate", b"root/device/s1/m1/sense/\xED\xA0\x80"),
        ("beyond Unicode", b"root/device/s1/m1/sense/\xF4\x90\x80\x80"),
    ];
    let mut count = 0;
    for level in LEVELS {
        for (what, topic) in cases {
            let mut raw = target.admitted(level, &format!("no-topic-{level}-{count}")).await;
            raw.send(&publish(level, topic, b"1")).await;
            let rest = raw.rest().await;
            assert!(rest.is_empty() || (level == 5 && rest[0] == 0xE0), "{what}, level {level}: {rest:02x?}");
            count += 1;
        }
    }
    until("each to be counted", || target.site.refused("packet", "malformed") == count).await;
    target.stays_well(0).await;
}

/// filters are refused one by one, and the connection stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_filter_is_refused() {
    let target = Target::direct().await;
    let deep = levels(65_535);
    let cases: [(&str, &[u8], u8); 9] = [
        ("# in the middle", b"root/#/t", 0x8F),
        ("# within a level", b"root/fog#", 0x8F),
        ("+ within a level", b"root/fog+/x", 0x8F),
        ("NUL", b"root/fog/s1/m1/\0", 0x8F),
        ("32768 levels", &deep, 0x8F),
        ("$SYS", b"$SYS/#", 0x87),
        ("everything", b"#", 0x87),
        ("another device", b"root/fog/s1/m2/#", 0x87),
        ("another device by a group", b"$share/g/root/fog/s1/m2/#", 0x87),
    ];
    for (i, (what, filter, code)) in cases.into_iter().enumerate() {
        assert_eq!(answered(&target, &format!("five-{i}"), &subscribe(5, filter, 1)).await, (0x90, code), "{what}");
        let mut raw = target.admitted(4, &format!("three-{i}")).await;
        raw.send(&subscribe(4, filter, 1)).await;
        assert_eq!(raw.answer().await, Some(vec![0x90, 3, 0, 8, 0x80]), "{what}, MQTT 3.1.1");
        // nobody has it, so nothing ends
        raw.send(&unsubscribe(4, filter)).await;
        assert_eq!(raw.answer().await, Some(vec![0xB0, 2, 0, 9]), "{what}, MQTT 3.1.1");
        raw.send(&publish(4, OWN.as_bytes(), b"{")).await;
        assert_eq!(raw.answer().await, Some(vec![0x40, 2, 0, 7]), "{what}: the connection did not stay");
    }
    // of these the engine says itself that they are none
    for (i, filter) in [&b""[..], b"$share/g", b"$share/g/", b"$share"].into_iter().enumerate() {
        assert_eq!(answered(&target, &format!("engine-{i}"), &subscribe(5, filter, 1)).await, (0x90, 0x8F), "{filter:?}");
    }
    assert_eq!((target.site.refused("subscribe", "filter"), target.site.refused("subscribe", "denied")), (2 * 5, 2 * 4));
    target.stays_well(0).await;
}
