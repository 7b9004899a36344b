//! Signatures: RFC 8032's vectors, and the edge cases in which verifiers differ. Ours is ZIP-215 (R-11 of
//! `docs/spec/receipt.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signer, SigningKey};
use protocol::keys::{signing_bytes, verify_batch};
use protocol::{Committee, CommitteeError, Name, PublicKey, SecretKey, Signature, Validator};
use std::collections::BTreeSet;

/// RFC 8032 §7.1, tests 1 to 3: seed, public key, message, signature.
const RFC_8032: [(&str, &str, &[u8], &str); 3] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
];

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0x10,
];

fn seed(text: &str) -> [u8; 32] {
    // a public key's text is any 32 bytes in hexadecimal
    text.parse::<PublicKey>().unwrap().0
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The 14 encodings of points of small order that ZIP-215 admits: for each of the five `y`, both signs of `x` (also
/// where `x = 0`), and `y + p` beside `y` where it fits into 255 bits.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let ys: BTreeSet<[u8; 32]> = EIGHT_TORSION
        .iter()
        .map(|point| {
            let mut y = point.compress().0;
            y[31] &= 0x7f;
            y
        })
        .collect();
    assert_eq!(ys.len(), 5);
    let mut encodings = Vec::new();
    for y in ys {
        let mut forms = vec![y];
        if y[0] < 19 && y[1..].iter().all(|b| *b == 0) {
            // p + y, with p = 2^255 − 19
            let mut form = [0xff; 32];
            form[0] = 0xed + y[0];
            form[31] = 0x7f;
            forms.push(form);
        }
        for form in forms {
            let mut negative = form;
            negative[31] |= 0x80;
            encodings.extend([form, negative]);
        }
    }
    encodings
}

/// Adds little-endian numbers.
fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0u16;
    let sum = a.iter().zip(b).map(|(a, b)| {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        carry = digit >> 8;
        digit as u8
    });
    let sum: Vec<u8> = sum.collect();
    assert_eq!(carry, 0);
    sum
}

fn signature(r: &[u8], s: &[u8]) -> Signature {
    Signature([r, s].concat().try_into().unwrap())
}

#[test]
fn rfc_8032() {
    for (secret, public, message, expected) in RFC_8032 {
        let key = SecretKey::from_seed(&seed(secret));
        assert_eq!(key.public_key().to_string(), public);
        assert_eq!(key.to_seed(), seed(secret));
        let expected: Signature = expected.parse().unwrap();
        assert!(key.public_key().verify_raw(message, &expected));
        assert!(!key.public_key().verify_raw(&[message, &[0]].concat(), &expected), "another message");
        for bit in 0..512 {
            let mut wrong = expected;
            wrong.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.public_key().verify_raw(message, &wrong), "bit {bit}");
        }
    }
}

#[test]
fn what_is_signed_is_the_length_of_the_namespace_the_namespace_and_the_message() {
    assert_eq!(signing_bytes(b"ns", b"message"), b"\x02nsmessage");
    let long = [b'n'; 300];
    assert_eq!(signing_bytes(&long, b"m")[..2], [0xac, 0x02]);
    for (secret, ..) in RFC_8032 {
        let key = SecretKey::from_seed(&seed(secret));
        let plain = SigningKey::from_bytes(&seed(secret)).sign(b"\x02nsmessage");
        let signature = key.sign(b"ns", b"message");
        assert_eq!(signature.0, plain.to_bytes());
        assert!(key.public_key().verify(b"ns", b"message", &signature));
        assert!(key.public_key().verify_raw(b"\x02nsmessage", &signature));
    }
}

#[test]
fn a_signature_serves_no_other_namespace_message_or_key() {
    let (key, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
    let signature = key.sign(b"ns", b"message");
    assert!(key.public_key().verify(b"ns", b"message", &signature));
    assert!(!key.public_key().verify(b"n", b"smessage", &signature), "the border between namespace and message moved");
    assert!(!key.public_key().verify(b"", b"nsmessage", &signature));
    assert!(!key.public_key().verify(b"ns2", b"message", &signature));
    assert!(!key.public_key().verify(b"ns", b"message2", &signature));
    assert!(!other.public_key().verify(b"ns", b"message", &signature));
}

#[test]
fn small_order_points_verify_in_every_encoding() {
    let encodings = small_order_encodings();
    assert_eq!(encodings.iter().collect::<BTreeSet<_>>().len(), 14);
    for a in &encodings {
        assert!(CompressedEdwardsY(*a).decompress().unwrap().is_small_order());
        for r in &encodings {
            for message in [b"".as_slice(), b"Zcash", b"any message"] {
                assert!(PublicKey(*a).verify_raw(message, &signature(r, &[0; 32])), "A {a:02x?}, R {r:02x?}");
            }
        }
    }
}

#[test]
fn s_must_be_below_the_order() {
    for a in small_order_encodings() {
        assert!(!PublicKey(a).verify_raw(b"Zcash", &signature(&a, &ORDER)), "s = order stands for zero");
    }
    for (_, public, message, good) in RFC_8032 {
        let key: PublicKey = public.parse().unwrap();
        let good: Signature = good.parse().unwrap();
        let (r, s) = good.0.split_at(32);
        assert!(key.verify_raw(message, &signature(r, s)));
        assert!(!key.verify_raw(message, &signature(r, &plus(s, &ORDER))), "s + order");
        assert!(!key.verify_raw(message, &signature(r, &[0xff; 32])));
    }
}

#[test]
fn a_small_order_part_of_r_is_cleared_by_the_cofactor() {
    // R' = R + T with T of order 8, signed over the k that R' gives: the plain equation fails, that with the cofactor holds
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use sha2::{Digest, Sha512};
    let (secret, nonce) = (Scalar::from(0x1234_5678u64), Scalar::from(0x9abc_def0u64));
    let a = EdwardsPoint::mul_base(&secret).compress().0;
    for torsion in EIGHT_TORSION {
        let r = (EdwardsPoint::mul_base(&nonce) + torsion).compress().0;
        let k: [u8; 64] = Sha512::new().chain_update(r).chain_update(a).chain_update(b"m").finalize().into();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&k) * secret;
        assert!(PublicKey(a).verify_raw(b"m", &signature(&r, &s.to_bytes())));
        assert!(!PublicKey(a).verify_raw(b"n", &signature(&r, &s.to_bytes())));
    }
}

#[test]
fn what_is_no_point_verifies_nothing() {
    let bad: Vec<[u8; 32]> = (2u8..30)
        .map(|y| {
            let mut bytes = [0; 32];
            bytes[0] = y;
            bytes
        })
        .filter(|bytes| CompressedEdwardsY(*bytes).decompress().is_none())
        .collect();
    assert!(!bad.is_empty());
    let neutral = EIGHT_TORSION[0].compress().0;
    assert!(PublicKey(neutral).verify_raw(b"m", &signature(&neutral, &[0; 32])));
    for bytes in bad {
        assert!(!PublicKey(bytes).is_sound());
        assert!(!PublicKey(bytes).verify_raw(b"m", &signature(&neutral, &[0; 32])), "as A");
        assert!(!PublicKey(neutral).verify_raw(b"m", &signature(&bytes, &[0; 32])), "as R");
    }
}

#[test]
fn a_committee_admits_no_key_that_signs_everything() {
    for encoding in small_order_encodings() {
        let key = PublicKey(encoding);
        assert!(!key.is_sound());
        let validator = Validator { key, name: name("weak") };
        assert_eq!(Committee::new(vec![validator]), Err(CommitteeError::Key(key)));
    }
    let key = SecretKey::from_seed(&[1; 32]).public_key();
    assert!(key.is_sound());
    assert!(Committee::new(vec![Validator { key, name: name("strong") }]).is_ok());
}

#[test]
fn a_secret_key_does_not_show_its_seed() {
    let text = format!("{:?}", SecretKey::from_seed(&[0xab; 32]));
    assert!(!text.contains("abab") && !text.contains("171, 171"), "{text}");
}

/// A signature with its namespace and message.
type Signed = (PublicKey, Vec<u8>, Vec<u8>, Signature);

fn batch(items: &[Signed], seed: u8) -> bool {
    let items: Vec<_> = items.iter().map(|(key, namespace, message, s)| (*key, namespace.as_slice(), message.as_slice(), *s)).collect();
    let batched = verify_batch(&items, [seed; 32]);
    let single = items.iter().all(|(key, namespace, message, s)| key.verify(namespace, message, s));
    assert_eq!(batched, single, "a batch says the same as its items one by one");
    batched
}

/// Signatures of three keys under two namespaces.
fn signed(count: u8) -> Vec<Signed> {
    let sign = |i: u8| {
        let (key, namespace, message) = (SecretKey::from_seed(&[i % 3; 32]), vec![b'n'; usize::from(i % 2)], vec![i; usize::from(i)]);
        let signature = key.sign(&namespace, &message);
        (key.public_key(), namespace, message, signature)
    };
    (0..count).map(sign).collect()
}

#[test]
fn batches_of_good_signatures_pass() {
    // 200 are enough for the other algorithm of the multiplication
    for count in [0, 1, 2, 3, 64, 200] {
        assert!(batch(&signed(count), 0) && batch(&signed(count), 7), "{count}");
    }
    let one = signed(3).swap_remove(2);
    assert!(batch(&vec![one; 9], 0), "the same again and again");
}

#[test]
fn one_bad_signature_spoils_the_batch() {
    let changes: [fn(&mut Signed); 6] = [
        |item| item.0 = SecretKey::from_seed(&[99; 32]).public_key(),
        |item| item.1.push(b'x'),
        |item| item.2.push(0),
        |item| item.3.0[0] ^= 1,
        |item| item.3.0[33] ^= 1,
        |item| item.3.0[63] = 0xff,
    ];
    for change in changes {
        for at in 0..7 {
            let mut items = signed(7);
            change(&mut items[at]);
            assert!(!batch(&items, at as u8));
        }
    }
    // two errors that cancel out in a sum without coefficients: s + 1 and s − 1
    let mut items = signed(2);
    for (item, change) in items.iter_mut().zip([1, -1]) {
        let s: [u8; 32] = item.3.0[32..].try_into().unwrap();
        let s = Option::<curve25519_dalek::Scalar>::from(curve25519_dalek::Scalar::from_canonical_bytes(s)).unwrap();
        let one = curve25519_dalek::Scalar::ONE;
        item.3.0[32..].copy_from_slice(&(if change > 0 { s + one } else { s - one }).to_bytes());
    }
    assert!(!batch(&items, 0));
    // signatures changed places
    let mut items = signed(4);
    (items[0].3, items[3].3) = (items[3].3, items[0].3);
    assert!(!batch(&items, 0));
}

#[test]
fn a_batch_accepts_what_zip_215_accepts() {
    // small-order keys and R in every encoding, beside honest signatures
    let mut items = signed(5);
    for a in small_order_encodings() {
        for r in small_order_encodings() {
            items.push((PublicKey(a), b"ns".to_vec(), b"m".to_vec(), signature(&r, &[0; 32])));
        }
    }
    assert!(batch(&items, 3));
    items[150].3 = signature(&small_order_encodings()[0], &ORDER);
    assert!(!batch(&items, 3), "s is not below the order");
    // a small-order part of R
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use sha2::{Digest, Sha512};
    let (secret, nonce) = (Scalar::from(0x1234_5678u64), Scalar::from(0x9abc_def0u64));
    let a = EdwardsPoint::mul_base(&secret).compress().0;
    let mixed = EIGHT_TORSION.map(|torsion| {
        let r = (EdwardsPoint::mul_base(&nonce) + torsion).compress().0;
        let k: [u8; 64] = Sha512::new().chain_update(r).chain_update(a).chain_update(signing_bytes(b"ns", b"m")).finalize().into();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&k) * secret;
        (PublicKey(a), b"ns".to_vec(), b"m".to_vec(), signature(&r, &s.to_bytes()))
    });
    for item in &mixed {
        assert!(batch(std::slice::from_ref(item), 1));
    }
    assert!(batch(&mixed, 1));
    // bytes that are no point
    let mut bad = signed(3);
    let no_point = (2u8..30).map(|y| [[y].as_slice(), &[0; 31]].concat()).map(|b| <[u8; 32]>::try_from(b).unwrap());
    let no_point = no_point.into_iter().find(|b| CompressedEdwardsY(*b).decompress().is_none()).unwrap();
    bad[1].0 = PublicKey(no_point);
    assert!(!batch(&bad, 0));
}
