//! Golden vectors of what sites tell each other: `vectors/exchange-v1.json`, made by another implementation of
//! `docs/spec/requests.md` and `roaming.md` (Python, with its own Ed25519). `WATTLE_WRITE_VECTORS=1` writes the file instead of
//! comparing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![cfg(feature = "json")]

use protocol::exchange::{Answer, Departure, Parcel, Record, RecordsWriter, Verdict, Visit, records};
use protocol::{DeviceName, DeviceRequest, Id, Name, NetworkId, PublicKey, SecretKey, Value};
use serde_json::json;
use std::path::PathBuf;

const NETWORK: NetworkId = NetworkId([7; 32]);

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/exchange-v1.json")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn device(text: &str) -> DeviceName {
    text.parse().unwrap()
}

fn plain() -> DeviceRequest {
    DeviceRequest {
        from: device("z1/button"),
        to: "agg/z2/lamp/act/power".parse().unwrap(),
        time_us: 1_750_000_000_000_000,
        number: 300,
        unit: Some("W".into()),
        value: Value::Number(21.5),
        signed: None,
    }
}

fn signed() -> DeviceRequest {
    DeviceRequest { unit: None, value: Value::Boolean(true), number: 7, ..plain() }.sign(&NETWORK, &SecretKey::from_seed(&[3; 32])).unwrap()
}

fn visit() -> Visit {
    Visit { device: device("z1/m1"), key: PublicKey([2; 32]), at: Name::site("agg/z2").unwrap(), time_us: 1_750_000_000_000_001 }
}

fn all() -> Vec<Record> {
    let (visit, request) = (visit(), signed().id());
    let (id, device, key) = (visit.id(), visit.device.clone(), visit.key);
    let filters = vec![("root/fog/z1/m1/#".to_owned(), 1)];
    vec![
        Record::Request(Box::new(plain())),
        Record::Request(Box::new(signed())),
        Record::Answer(Answer { request, verdict: Verdict::Refused, reason: "no rule accepts it".to_owned() }),
        Record::Visit(visit),
        Record::Handover(Departure { visit: id, device, key, greatest: 41, taken: 5, filters, parcels: 1, left: 2 }),
        Record::Parcel(Parcel { visit: id, index: 0, qos: 1, topic: "root/fog/z1/m1/act/valve".to_owned(), payload: b"on".to_vec() }),
    ]
}

#[test]
fn the_formats_are_those_of_version_1() {
    let bodies: Vec<String> = all()
        .iter()
        .map(|record| {
            let mut writer = RecordsWriter::default();
            assert!(writer.add(record));
            let body = writer.finish();
            assert_eq!(records(&body), Some(Ok(vec![record.clone()])));
            hex(&body)
        })
        .collect();
    let requests = [plain(), signed()].map(|r| json!({ "id": r.id().to_string(), "slot": r.slot().to_string() }));
    let computed = json!({ "format": "wattle-exchange-v1", "bodies": bodies, "requests": requests, "visit": visit().id().to_string() });
    if std::env::var("WATTLE_WRITE_VECTORS").is_ok_and(|v| v == "1") {
        std::fs::write(file(), serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
        return;
    }
    let stored: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    assert_eq!(stored, computed);
    assert!(signed().is_authentic(&NETWORK));
    assert_ne!(Id([0; 32]), visit().id());
}
