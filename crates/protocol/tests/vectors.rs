//! Golden vectors: the wire formats of version 2, byte by byte.
//!
//! `vectors/wire-v2.json` was made once. If a comparison fails, a wire format changed: nodes and receipts in the
//! field would no longer be understood. `WATTLE_WRITE_VECTORS=1` writes the file instead of comparing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![cfg(feature = "json")]

mod sample;

use protocol::batch::salt;
use protocol::device::{site_id, thing_hash};
use protocol::finalization::consensus_namespace;
use protocol::order::{first_state, next_state};
use protocol::{
    Batch, Decode, Encode, Evidence, Finalization, Genesis, Handover, Head, Message, Milestone, Order, Parameters, Reading, Receipt,
    SignedReading, merkle,
};
use serde_json::{Value, json};
use std::path::PathBuf;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/wire-v2.json")
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    assert!(text.is_ascii() && text.len().is_multiple_of(2));
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn stored() -> Value {
    let text = std::fs::read_to_string(file()).expect("tests/vectors/wire-v2.json is there");
    serde_json::from_str(&text).expect("tests/vectors/wire-v2.json is JSON")
}

fn message(message: &Message) -> Value {
    json!({"bytes": hex(message.bytes()), "id": message.id().to_string(), "head": hex(message.head().encode())})
}

fn messages() -> [Message; 4] {
    [sample::message(), sample::data_message(), sample::orders_message(), sample::evidence_message()]
}

fn milestone(milestone: &Milestone) -> Value {
    json!({"bytes": hex(milestone.encode()), "digest": milestone.digest().to_string()})
}

fn computed() -> Value {
    let (genesis, batch, chain) = (sample::genesis(), sample::batch(), sample::milestones());
    let body = batch.encode();
    let finalization = sample::finalization(chain[1].digest(), &[0, 1, 3]);
    let (orders, wallet) = (sample::orders(), sample::wallet().public_key());
    let first = first_state(&genesis.network(), &wallet);
    let next = next_state(&first, &orders[0].id());
    let reading = |r: &Reading| json!({"bytes": hex(r.encode()), "id": r.id().to_string(), "name": r.name().to_string()});
    let readings: Vec<Value> = batch.readings.iter().map(reading).collect();
    let signed_readings: Vec<Value> = sample::signed_readings().iter().map(reading).collect();
    json!({
        "format": "wattle-wire-v2",
        "genesis": {
            "json": genesis.to_json(),
            "network": genesis.network().to_string(),
            "parameters": hex(genesis.parameters.encode()),
        },
        "wallet": {"key": wallet.to_string(), "first_state": first.to_string(), "next_state": next.to_string()},
        "orders": orders.iter().map(|o| json!({"bytes": hex(o.encode()), "id": o.id().to_string()})).collect::<Vec<_>>(),
        "device_orders": sample::device_orders().iter().map(|o| json!({"bytes": hex(o.encode()), "id": o.id().to_string()})).collect::<Vec<_>>(),
        "device": {
            "name": sample::device().to_string(),
            "id": sample::device().id().to_string(),
            "site_id": site_id(&sample::device().site).to_string(),
            "key": sample::device_key().public_key().to_string(),
            "thing": thing_hash(b"{}").to_string(),
        },
        "envelopes": sample::envelopes().iter().map(|e| hex(e.encode())).collect::<Vec<_>>(),
        "signed_readings": signed_readings,
        "signed_batch": {"bytes": hex(sample::signed_batch().encode()), "root": merkle::root(&sample::signed_batch().leaves()).to_string()},
        "signed_receipt": sample::signed_receipt().to_json(),
        "evidence": sample::evidence().iter().map(|e| json!({"bytes": hex(e.encode()), "offence": e.offence().id.to_string()})).collect::<Vec<_>>(),
        "handover": hex(sample::handover().encode()),
        "readings": readings,
        "batch": {
            "bytes": hex(&body),
            "blob": Batch::blob_digest(&body).to_string(),
            "salts": (0..sample::READINGS as u32).map(|i| hex(salt(&batch.secret, i))).collect::<Vec<_>>(),
            "root": merkle::root(&batch.leaves()).to_string(),
        },
        "messages": messages().iter().map(message).collect::<Vec<_>>(),
        "milestones": [milestone(&chain[0]), milestone(&chain[1]), milestone(&chain[2]), milestone(&sample::last_of_epoch())],
        "finalization": {
            "bytes": hex(finalization.encode()),
            "proposal": hex(finalization.proposal()),
            "namespace": hex([consensus_namespace(&genesis.network()).as_slice(), b"_FINALIZE"].concat()),
        },
        "receipt": sample::receipt().to_json(),
        "anchored_receipt": sample::anchored_receipt().to_json(),
        "handed_over_receipt": sample::handed_over_receipt().to_json(),
    })
}

#[test]
fn the_wire_formats_are_those_of_version_2() {
    let computed = computed();
    if std::env::var("WATTLE_WRITE_VECTORS").is_ok_and(|v| v == "1") {
        std::fs::write(file(), serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
        return;
    }
    let stored = stored();
    // part by part, so that a failure names what changed
    for (part, value) in computed.as_object().unwrap() {
        assert_eq!(stored.get(part), Some(value), "the vectors of {part} differ");
    }
    assert_eq!(stored.as_object().unwrap().len(), computed.as_object().unwrap().len(), "the file holds vectors that nobody computes");
}

#[test]
fn the_stored_bytes_decode_to_the_values_they_were_made_of() {
    if std::env::var("WATTLE_WRITE_VECTORS").is_ok_and(|v| v == "1") {
        return;
    }
    let v = stored();
    for (stored, reading) in v["readings"].as_array().unwrap().iter().zip(sample::readings()) {
        assert_eq!(Reading::decode(&unhex(&stored["bytes"])).unwrap(), reading);
    }
    assert_eq!(Batch::decode(&unhex(&v["batch"]["bytes"])).unwrap(), sample::batch());
    let network = sample::genesis().network();
    for (stored, message) in v["messages"].as_array().unwrap().iter().zip(messages()) {
        let decoded = Message::decode(&unhex(&stored["bytes"])).unwrap();
        assert_eq!(decoded, message);
        decoded.verify(&network, sample::SUBNET).unwrap();
        assert_eq!(Head::decode(&unhex(&stored["head"])).unwrap(), decoded.head());
    }
    for (stored, order) in v["orders"].as_array().unwrap().iter().zip(sample::orders()) {
        let decoded = Order::decode(&unhex(&stored["bytes"])).unwrap();
        assert_eq!(decoded, order);
        assert!(decoded.verify(&network));
    }
    for (stored, order) in v["device_orders"].as_array().unwrap().iter().zip(sample::device_orders()) {
        let decoded = Order::decode(&unhex(&stored["bytes"])).unwrap();
        assert_eq!(decoded, order);
        assert!(decoded.verify(&network));
    }
    for (stored, envelope) in v["envelopes"].as_array().unwrap().iter().zip(sample::envelopes()) {
        assert_eq!(SignedReading::decode(&unhex(stored)).unwrap(), envelope);
    }
    for (stored, reading) in v["signed_readings"].as_array().unwrap().iter().zip(sample::signed_readings()) {
        let decoded = Reading::decode(&unhex(&stored["bytes"])).unwrap();
        assert_eq!(decoded, reading);
        assert!(decoded.is_authentic(&network));
    }
    assert_eq!(Batch::decode(&unhex(&v["signed_batch"]["bytes"])).unwrap(), sample::signed_batch());
    for (stored, evidence) in v["evidence"].as_array().unwrap().iter().zip(sample::evidence()) {
        let decoded = Evidence::decode(&unhex(&stored["bytes"])).unwrap();
        assert_eq!(decoded, evidence);
        decoded.verify(&network, sample::SUBNET).unwrap();
    }
    assert_eq!(Handover::decode(&unhex(&v["handover"])).unwrap(), sample::handover());
    assert_eq!(Parameters::decode(&unhex(&v["genesis"]["parameters"])).unwrap(), sample::genesis().parameters);
    let mut chain = sample::milestones();
    chain.push(sample::last_of_epoch());
    for (stored, milestone) in v["milestones"].as_array().unwrap().iter().zip(chain) {
        assert_eq!(Milestone::decode(&unhex(&stored["bytes"])).unwrap(), milestone);
    }
    let finalization = Finalization::decode(&unhex(&v["finalization"]["bytes"])).unwrap();
    let genesis = Genesis::from_json(v["genesis"]["json"].as_str().unwrap()).unwrap();
    finalization.verify(&genesis.network(), &genesis.committee).unwrap();
    for receipt in ["receipt", "anchored_receipt", "handed_over_receipt", "signed_receipt"] {
        Receipt::from_json(v[receipt].as_str().unwrap()).unwrap().verify(&genesis).unwrap();
    }
}
