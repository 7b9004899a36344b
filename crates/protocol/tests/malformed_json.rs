//! Receipts and genesis files: text from strangers that is not exactly one is refused, with an error that says why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![cfg(feature = "json")]

mod sample;

use proptest::prelude::*;
use protocol::json::GenesisError;
use protocol::limits::{HANDOVERS_MAX, PATH_MAX, WALLETS_MAX};
use protocol::{CommitteeError, DecodeError, Encode, FoundingError, Genesis, ParametersError, Receipt, ReceiptError};
use serde_json::{Value as Json, json};

fn receipt() -> Json {
    serde_json::from_str(&sample::anchored_receipt().to_json()).unwrap()
}

fn changed(change: impl FnOnce(&mut Json)) -> ReceiptError {
    let mut json = receipt();
    change(&mut json);
    Receipt::from_json(&json.to_string()).expect_err("refused")
}

fn is_json(error: &ReceiptError) -> bool {
    matches!(error, ReceiptError::Json(_))
}

const FIELDS: [&str; 12] = [
    "format",
    "reading",
    "salt",
    "leaf_index",
    "batch_path",
    "message",
    "message_index",
    "message_path",
    "milestone",
    "anchor",
    "finalization",
    "handovers",
];

const GENESIS_FIELDS: [&str; 8] = ["format", "network", "name", "subnet", "created_ms", "parameters", "committee", "wallets"];

#[test]
fn layout_is_free_and_content_is_not() {
    let text = sample::anchored_receipt().to_json();
    let compact = receipt().to_string();
    assert_ne!(text, compact);
    assert_eq!(Receipt::from_json(&compact).unwrap(), sample::anchored_receipt());
    assert_eq!(Receipt::from_json(&format!("\r\n\t {text}\n")).unwrap(), sample::anchored_receipt());
    for bad in [format!("{text}x"), format!("{text}{text}"), format!("\u{feff}{text}"), String::new(), "null".to_string()] {
        assert!(is_json(&Receipt::from_json(&bad).unwrap_err()));
    }
}

#[test]
fn every_field_is_there_once_and_no_other() {
    assert_eq!(receipt().as_object().unwrap().len(), FIELDS.len());
    for field in FIELDS {
        let error = changed(|r| drop(r.as_object_mut().unwrap().remove(field)));
        assert!(is_json(&error), "without {field}: {error}");
        let text = sample::anchored_receipt().to_json();
        let value = receipt()[field].to_string();
        let twice = text.replacen('{', &format!("{{\"{field}\": {value},"), 1);
        assert!(is_json(&Receipt::from_json(&twice).unwrap_err()), "{field} twice");
        assert!(is_json(&changed(|r| r[field] = json!(true))), "{field} of another type");
    }
    assert!(is_json(&changed(|r| r["comment"] = json!("hello"))));
    assert!(is_json(&changed(|r| r["anchor"]["comment"] = json!("hello"))));
    assert!(is_json(&changed(|r| drop(r["anchor"].as_object_mut().unwrap().remove("milestone")))));
    assert!(is_json(&changed(|r| r["format"] = json!("wattle-receipt-v1"))));
}

/// A deserialiser of structs may take the values alone, in order: that would be a second form of every receipt.
#[test]
fn arrays_do_not_stand_for_objects() {
    let values = FIELDS.map(|field| receipt()[field].clone());
    assert!(is_json(&Receipt::from_json(&json!(values).to_string()).unwrap_err()), "a receipt");
    assert!(is_json(&changed(|r| r["anchor"] = json!([r["anchor"]["milestone"], r["anchor"]["history_path"]]))), "an anchor");

    let genesis: Json = serde_json::from_str(&sample::genesis().to_json()).unwrap();
    let values = GENESIS_FIELDS.map(|field| genesis[field].clone());
    assert!(matches!(Genesis::from_json(&json!(values).to_string()), Err(GenesisError::Json(_))), "a genesis");
    let mut inner = genesis.clone();
    inner["wallets"][0] = json!([inner["wallets"][0]["key"], inner["wallets"][0]["balance"]]);
    assert!(matches!(Genesis::from_json(&inner.to_string()), Err(GenesisError::Json(_))), "a wallet");
    let mut inner = genesis;
    inner["committee"][0] = json!([inner["committee"][0]["name"], inner["committee"][0]["key"], inner["committee"][0]["stake"]]);
    assert!(matches!(Genesis::from_json(&inner.to_string()), Err(GenesisError::Json(_))), "a validator");
}

#[test]
fn numbers_are_whole_and_in_range() {
    for bad in ["-1", "-0", "1.0", "1e0", "01", "4294967296", "1e400", "NaN", "\"1\"", "18446744073709551616", "null"] {
        let text = receipt().to_string();
        let index = text.replacen("\"leaf_index\":1", &format!("\"leaf_index\":{bad}"), 1);
        assert_ne!(index, text);
        assert!(is_json(&Receipt::from_json(&index).unwrap_err()), "{bad}");
    }
    let text = receipt().to_string().replacen("\"message_index\":1", "\"message_index\":18446744073709551616", 1);
    assert!(is_json(&Receipt::from_json(&text).unwrap_err()));
}

#[test]
fn base64url_in_its_one_form() {
    let bad = |part| ReceiptError::Decode { part, why: DecodeError::Invalid("base64url") };
    let salt = receipt()["salt"].as_str().unwrap().to_string();
    assert_eq!(salt.len(), 43, "32 bytes: the last digit has two unused bits");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&salt[42..]).unwrap();
    assert_eq!(last % 4, 0);
    for unused in 1..4 {
        let text = format!("{}{}", &salt[..42], &alphabet[last + unused..=last + unused]);
        assert_eq!(changed(|r| r["salt"] = json!(text)), bad("the salt"), "unused bits {unused}");
    }
    for text in [format!("{salt}="), format!("{salt}\n"), format!(" {salt}"), salt.replace(&salt[..1], "+"), salt.replace(&salt[..1], "/")]
    {
        assert_eq!(changed(|r| r["salt"] = json!(text)), bad("the salt"), "{text:?}");
    }
    assert_eq!(changed(|r| r["message"] = json!("A")), bad("the message"));
    let why = DecodeError::Invalid("its length");
    for length in [0, 31, 33] {
        let text = base64(&vec![0; length]);
        assert_eq!(changed(|r| r["salt"] = json!(text)), ReceiptError::Decode { part: "the salt", why });
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn each_part_is_complete_and_nothing_more() {
    let receipt = sample::anchored_receipt();
    let parts: [(&str, &str, Vec<u8>); 4] = [
        ("reading", "the reading", receipt.reading.encode()),
        ("message", "the message", receipt.message.encode()),
        ("milestone", "the milestone", receipt.milestone.encode()),
        ("finalization", "the finalization", receipt.finalization.encode()),
    ];
    for (field, part, bytes) in parts {
        let longer = base64(&[bytes.as_slice(), &[0]].concat());
        assert_eq!(changed(|r| r[field] = json!(longer)), ReceiptError::Decode { part, why: DecodeError::TrailingBytes(1) });
        let shorter = base64(&bytes[..bytes.len() - 1]);
        let error = changed(|r| r[field] = json!(shorter));
        assert!(matches!(error, ReceiptError::Decode { why: DecodeError::UnexpectedEnd(_), .. }), "{field}: {error}");
    }
    for (field, what) in [("batch_path", "the batch path"), ("message_path", "the message path")] {
        let hash = base64(&[0; 32]);
        let why = DecodeError::OverLimit { what, limit: PATH_MAX, found: PATH_MAX as u64 + 1 };
        let error = changed(|r| r[field] = json!(vec![hash.clone(); PATH_MAX + 1]));
        assert_eq!(error, ReceiptError::Decode { part: what, why });
        let short = base64(&[0; 31]);
        let error = changed(|r| r[field][0] = json!(short));
        assert!(matches!(error, ReceiptError::Decode { why: DecodeError::UnexpectedEnd(_), .. }), "{field}: {error}");
        assert!(is_json(&changed(|r| r[field][0] = json!(1))));
    }
}

#[test]
fn handovers_are_a_bounded_list_of_two_parts_each() {
    let good: Json = serde_json::from_str(&sample::handed_over_receipt().to_json()).unwrap();
    let changed = |change: &dyn Fn(&mut Json)| {
        let mut json = good.clone();
        change(&mut json);
        Receipt::from_json(&json.to_string()).expect_err("refused")
    };
    assert!(is_json(&changed(&|r| r["handovers"] = json!(null))));
    assert!(is_json(&changed(&|r| r["handovers"][0] = json!("x"))));
    assert!(is_json(&changed(&|r| r["handovers"][0]["more"] = json!("x"))));
    assert!(is_json(&changed(&|r| drop(r["handovers"][0].as_object_mut().unwrap().remove("finalization")))));
    let why = DecodeError::Invalid("base64url");
    let error = changed(&|r| r["handovers"][0]["milestone"] = json!("A"));
    assert_eq!(error, ReceiptError::Decode { part: "a handover's milestone", why });
    let error = changed(&|r| r["handovers"][0]["finalization"] = r["finalization"].as_str().map(|f| json!(format!("{f}AA"))).unwrap());
    assert!(matches!(error, ReceiptError::Decode { part: "a handover's finalization", .. }), "{error}");
    let error = changed(&|r| r["handovers"] = json!(vec![r["handovers"][0].clone(); HANDOVERS_MAX + 1]));
    let why = DecodeError::OverLimit { what: "the handovers", limit: HANDOVERS_MAX, found: HANDOVERS_MAX as u64 + 1 };
    assert_eq!(error, ReceiptError::Decode { part: "the handovers", why });
}

#[test]
fn a_genesis_that_is_not_one() {
    let good: Json = serde_json::from_str(&sample::genesis().to_json()).unwrap();
    let changed = |change: &dyn Fn(&mut Json)| {
        let mut json = good.clone();
        change(&mut json);
        Genesis::from_json(&json.to_string()).expect_err("refused")
    };
    let is_json = |error: &GenesisError| matches!(error, GenesisError::Json(_));
    for field in GENESIS_FIELDS {
        assert!(is_json(&changed(&|g| drop(g.as_object_mut().unwrap().remove(field)))), "without {field}");
    }
    assert!(is_json(&changed(&|g| g["more"] = json!(1))));
    assert!(is_json(&changed(&|g| g["format"] = json!("wattle-genesis-v1"))));
    assert!(is_json(&changed(&|g| g["subnet"] = json!(65536))));
    assert!(is_json(&changed(&|g| g["name"] = json!("a/b"))));
    assert!(is_json(&changed(&|g| g["committee"][0]["name"] = json!(""))));
    assert!(is_json(&changed(&|g| g["committee"][0]["key"] = json!("00"))));
    assert_eq!(changed(&|g| g["committee"] = json!([])), GenesisError::Committee(CommitteeError::Size(0)));
    let swapped = changed(&|g| g["committee"].as_array_mut().unwrap().swap(0, 1));
    assert_eq!(swapped, GenesisError::Committee(CommitteeError::Order));
    let weak = changed(&|g| g["committee"] = json!([{"name": "weak", "key": format!("01{}", "00".repeat(31)), "stake": 1}]));
    assert!(matches!(weak, GenesisError::Committee(CommitteeError::Key(_))));
    assert!(is_json(&changed(&|g| drop(g["parameters"].as_object_mut().unwrap().remove("stake_min")))));
    assert!(is_json(&changed(&|g| g["parameters"]["more"] = json!(1))));
    assert!(is_json(&changed(&|g| g["committee"][0]["stake"] = json!(-1))));
    assert!(is_json(&changed(&|g| g["wallets"][0]["balance"] = json!("1"))));
    let founding = |change: &dyn Fn(&mut Json)| match changed(change) {
        GenesisError::Founding(why) => why,
        other => panic!("{other}"),
    };
    assert_eq!(founding(&|g| g["wallets"].as_array_mut().unwrap().swap(0, 1)), FoundingError::WalletOrder);
    assert_eq!(founding(&|g| g["committee"][0]["stake"] = json!(u64::MAX)), FoundingError::Supply);
    let slash = founding(&|g| g["parameters"]["slash_percent"] = json!(101));
    assert_eq!(slash, FoundingError::Parameters(ParametersError::SlashPercent(101)));
    let wallet = |n: usize| json!({"key": format!("{n:064x}"), "balance": 0});
    let many = founding(&|g| g["wallets"] = (0..=WALLETS_MAX).map(wallet).collect());
    assert_eq!(many, FoundingError::Wallets(WALLETS_MAX + 1));
    let stated = changed(&|g| g["network"] = json!("00".repeat(32)));
    assert!(matches!(stated, GenesisError::Network { .. }));
}

proptest! {
    #[test]
    fn arbitrary_json_never_panics(text in "[\\[\\]{}\",:a-f0-9\\\\ue+-]{0,80}", at in any::<prop::sample::Index>()) {
        let _ = Receipt::from_json(&text);
        let _ = Genesis::from_json(&text);
        let good = sample::receipt().to_json();
        let at = at.index(good.len());
        let _ = Receipt::from_json(&format!("{}{text}{}", &good[..at], &good[at..]));
    }
}
