//! Proof of work: the hash, its difficulty, and what a message's work covers (RATE-1, RATE-2 of `docs/spec/message.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod sample;

use protocol::pow::{NIBBLES_MAX, hash, leading_zero_nibbles, solve};
use protocol::{Body, Decode, Id, Message};

/// Far more attempts than the difficulties here ever take.
const PLENTY: u64 = 1 << 20;

#[test]
fn the_hash_is_that_of_prefix_and_nonce() {
    let known = [
        ([0; 32], 0, "2c34ce1df23b838c5abf2a7f6437cca3d3067ed509ff25f11df6b11b582b51eb"),
        ([0xab; 32], 0x0102_0304_0506_0708, "9d810680346d3593e5a01348d5a5505e0507aba241b42dc37b795713d62562a2"),
    ];
    for (prefix, nonce, expected) in known {
        assert_eq!(hash(&Id(prefix), nonce).to_string(), expected);
    }
}

#[test]
fn zero_nibbles_are_counted_from_the_front() {
    let mut bytes = [0; 32];
    assert_eq!(leading_zero_nibbles(&Id(bytes)), NIBBLES_MAX);
    bytes[31] = 0x01;
    assert_eq!(leading_zero_nibbles(&Id(bytes)), 63);
    bytes[31] = 0x10;
    assert_eq!(leading_zero_nibbles(&Id(bytes)), 62);
    bytes[2] = 0x0f;
    assert_eq!(leading_zero_nibbles(&Id(bytes)), 5);
    bytes[0] = 0xf0;
    assert_eq!(leading_zero_nibbles(&Id(bytes)), 0);
}

#[test]
fn a_nonce_is_found_within_the_attempts_or_not_at_all() {
    let prefix = Id::hash(&[b"a prefix"]);
    let nonce = solve(&prefix, 2, 0, PLENTY).unwrap();
    assert!(leading_zero_nibbles(&hash(&prefix, nonce)) >= 2);
    assert_eq!(solve(&prefix, 2, 0, nonce), None, "one attempt too few");
    assert_eq!(solve(&prefix, 2, nonce, 1), Some(nonce));
    assert_eq!(solve(&prefix, 0, 7, 1), Some(7), "no difficulty takes one attempt");
    assert_eq!(solve(&prefix, 0, 0, 0), None);
    assert_eq!(solve(&prefix, NIBBLES_MAX + 1, 0, PLENTY), None, "no hash has so many nibbles");
    let around = solve(&prefix, 1, u64::MAX, PLENTY).unwrap();
    assert!(leading_zero_nibbles(&hash(&prefix, around)) >= 1, "after the last nonce comes the first");
}

/// Wallance, Table III: 1, 15.96, 256.02 and 4104.01 nonces on average for 0 to 3 nibbles.
#[test]
fn the_attempts_are_those_of_wallance_s_table() {
    for (difficulty, samples, expected) in [(0, 400, 1), (1, 400, 16), (2, 400, 256), (3, 60, 4_096)] {
        let attempts = |sample: u64| {
            let prefix = Id::hash(&[b"wattle table III", &sample.to_be_bytes()]);
            solve(&prefix, difficulty, 0, PLENTY).unwrap() + 1
        };
        let average = (0..samples).map(attempts).sum::<u64>() / samples;
        let slack = if difficulty == 0 { 0 } else { expected / 4 };
        assert!(average.abs_diff(expected) <= slack, "{difficulty} nibbles take {average} attempts, not about {expected}");
    }
}

#[test]
fn work_is_done_before_the_signature_and_survives_the_wire() {
    let mut unsigned = sample::unsigned(Body::Data(b"worked for".to_vec()));
    assert!(unsigned.prove(3, PLENTY));
    let message = unsigned.sign(&sample::issuer());
    assert!(message.work() >= 3);
    assert_eq!(message.verify(&sample::genesis().network(), sample::SUBNET), Ok(()));
    let read = Message::decode(message.bytes()).unwrap();
    assert_eq!(read.work(), message.work());
}

#[test]
fn work_can_not_be_carried_to_another_message() {
    let mut unsigned = sample::unsigned(Body::Data(b"worked for".to_vec()));
    assert!(unsigned.prove(3, PLENTY));
    // of 64 messages with the same nonce hardly one in 4096 shows that much work by chance
    let carried = (1u64..=64).filter(|more| {
        let mut other = unsigned.clone();
        other.issued_at_ms += more;
        other.sign(&sample::issuer()).work() >= 3
    });
    assert!(carried.count() < 3);
}

#[test]
fn too_few_attempts_change_nothing() {
    let mut unsigned = sample::unsigned(Body::Data(Vec::new()));
    let before = unsigned.clone();
    assert!(!unsigned.prove(NIBBLES_MAX, 16));
    assert_eq!(unsigned, before);
}
