//! From a PUBLISH to its answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::payload::{Malformed, PAYLOAD_BYTES_MAX};
use mqtt::ingress::{Ingress, IngressCounters, Outcome, Publish, Refusal};
use mqtt::log::{AppendError, LogConfig, SiteLog};
use protocol::{DeviceTopic, Name, Reading, Value};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const NOW_US: u64 = 1_700_000_000_000_000;

/// A clock that stands still.
fn now_us() -> u64 {
    NOW_US
}

fn site() -> Name {
    Name::new("plant").unwrap()
}

fn ingress(dir: &Path) -> Ingress {
    Ingress::with_clock(site(), SiteLog::open(dir, LogConfig::default()).unwrap(), now_us)
}

fn publish(payload: &str) -> Publish<'_> {
    let topic = "root/device/plant/meter/sense/power";
    Publish { topic, payload: payload.as_bytes(), client: "meter-1", packet_id: Some(7), qos: 1, dup: false }
}

fn redelivery(payload: &str) -> Publish<'_> {
    Publish { dup: true, ..publish(payload) }
}

#[tokio::test]
async fn a_value_becomes_a_reading_and_is_told_on_the_fog_topic() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    let outcome = ingress.accept(publish("21.5")).await.unwrap();
    let Outcome::Stored { first_offset: 0, readings } = &outcome else { panic!("{outcome:?}") };
    assert_eq!((readings.len(), &readings[0].value, readings[0].time_us), (1, &Value::Number(21.5), NOW_US));
    let json = br#"[{"bn":"plant/meter/sense/power","bt":1700000000,"v":21.5}]"#.to_vec();
    assert_eq!(outcome.republish(&site()), [("root/fog/plant/meter/sense/power".to_owned(), json)]);
}

#[tokio::test]
async fn a_pack_of_several_names_is_told_on_several_topics() {
    let dir = TempDir::new().unwrap();
    let outcome = ingress(dir.path()).accept(publish(r#"[{"n":"a","v":1},{"n":"b","v":2}]"#)).await.unwrap();
    let topics: Vec<_> = outcome.republish(&site()).into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["root/fog/plant/meter/sense/power.a", "root/fog/plant/meter/sense/power.b"]);
}

#[tokio::test]
async fn two_equal_values_at_two_times_are_two_readings() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    for offset in 0..3 {
        let outcome = ingress.accept(publish("21.5")).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored { first_offset, .. } if first_offset == offset), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_redelivery_is_a_duplicate_even_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let first = ingress(dir.path());
    assert!(matches!(first.accept(redelivery("21.5")).await, Ok(Outcome::Stored { .. })), "its first delivery was lost");
    assert_eq!(first.accept(redelivery("21.5")).await, Ok(Outcome::Duplicate));
    drop(first);
    let again = ingress(dir.path());
    let outcome = again.accept(redelivery("21.5")).await.unwrap();
    assert_eq!(outcome, Outcome::Duplicate);
    assert!(outcome.republish(&site()).is_empty());
    for other in [
        Publish { client: "meter-2", ..redelivery("21.5") },
        Publish { packet_id: Some(8), ..redelivery("21.5") },
        Publish { topic: "root/device/plant/meter/sense/voltage", ..redelivery("21.5") },
        redelivery("21.6"),
        publish("21.5"),
    ] {
        assert!(matches!(again.accept(other).await, Ok(Outcome::Stored { .. })), "{other:?}");
    }
}

#[tokio::test]
async fn at_qos_0_there_are_no_redeliveries() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    for _ in 0..2 {
        let publish = Publish { qos: 0, packet_id: None, dup: true, ..publish("1") };
        assert!(matches!(ingress.accept(publish).await, Ok(Outcome::Stored { .. })));
    }
}

#[tokio::test]
async fn a_device_that_numbers_its_readings_sends_each_once() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    let numbered = r#"{"v": 1, "t": 1699999999000, "n": 5}"#;
    assert!(matches!(ingress.accept(publish(numbered)).await, Ok(Outcome::Stored { .. })));
    assert_eq!(ingress.accept(Publish { packet_id: Some(9), ..publish(numbered) }).await, Ok(Outcome::Duplicate));
}

#[tokio::test]
async fn a_malformed_payload_is_rejected_with_a_reason() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    let outcome = ingress.accept(publish("[1]")).await.unwrap();
    let Outcome::Rejected(rejection) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((rejection.topic.as_str(), rejection.bytes), ("root/device/plant/meter/sense/power", 3));
    let told = outcome.republish(&site());
    assert_eq!((told.len(), told[0].0.as_str()), (1, "root/fog/plant/rejected"));
    let json: serde_json::Value = serde_json::from_slice(&told[0].1).unwrap();
    assert_eq!(json, serde_json::json!({ "topic": rejection.topic, "reason": rejection.reason, "bytes": 3 }));
    assert!(rejection.reason.contains("SenML"), "{}", rejection.reason);
}

#[tokio::test]
async fn other_topics_are_refused() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    for topic in [
        "",
        "plant/meter",
        "root/device/plant/meter/power",
        "root/device/plant/+/sense/power",
        "root/device/plant/meter/sense/#",
        "root/device/elsewhere/meter/sense/power",
        "root/fog/plant/meter/sense/power",
        "root/fog/plant/rejected",
        "root/node/plant/tangle",
        "root/cache/plant/pending",
    ] {
        let refusal = ingress.accept(Publish { topic, ..publish("1") }).await.unwrap_err();
        assert!(matches!(&refusal, Refusal::Topic(why) if why.contains("root/device/")), "{topic}: {refusal}");
    }
}

#[tokio::test]
async fn a_payload_over_the_limit_is_refused() {
    let dir = TempDir::new().unwrap();
    let payload = "x".repeat(PAYLOAD_BYTES_MAX + 1);
    let refusal = ingress(dir.path()).accept(publish(&payload)).await.unwrap_err();
    assert_eq!(refusal, Refusal::TooLarge { bytes: PAYLOAD_BYTES_MAX + 1, limit_bytes: PAYLOAD_BYTES_MAX });
}

#[tokio::test]
async fn what_the_log_does_not_take_is_refused() {
    let dir = TempDir::new().unwrap();
    let log = SiteLog::open(dir.path(), LogConfig { limit_bytes: 0, ..LogConfig::default() }).unwrap();
    let ingress = Ingress::new(site(), log);
    let refusal = ingress.accept(publish("1")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Store(AppendError::Full { limit_bytes: 0, .. })), "{refusal}");
    assert_eq!(ingress.counters(), IngressCounters { refused: 1, ..IngressCounters::default() });
}

#[tokio::test]
async fn every_publish_is_counted_once() {
    let dir = TempDir::new().unwrap();
    let ingress = ingress(dir.path());
    let _ = ingress.accept(publish("1")).await;
    let _ = ingress.accept(publish(r#"[{"v":1},{"v":2}]"#)).await;
    let _ = ingress.accept(redelivery("1")).await;
    let _ = ingress.accept(publish("")).await;
    let _ = ingress.accept(Publish { topic: "elsewhere", ..publish("1") }).await;
    assert_eq!(ingress.counters(), IngressCounters { accepted: 2, duplicates: 1, rejected: 1, refused: 1, readings: 3 });
}

#[tokio::test]
async fn an_intake_keeps_what_a_parser_of_its_own_reads_and_tells_nobody() {
    let dir = TempDir::new().unwrap();
    let raw = |topic: &DeviceTopic, payload: &[u8], time_us: u64| {
        let topic = DeviceTopic { data_type: Name::new("raw").unwrap(), ..topic.clone() };
        match payload {
            b"bad" => Err(Malformed::Empty),
            _ => Ok(vec![Reading { topic, time_us, sequence: None, unit: None, value: Value::Bytes(payload.to_vec()), signed: None }]),
        }
    };
    let ingress = ingress(dir.path()).with_parser(Arc::new(raw));
    let outcome = ingress.accept(publish("21.5")).await.unwrap();
    let Outcome::Stored { readings, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!((readings[0].topic.data_type.as_str(), &readings[0].value), ("raw", &Value::Bytes(b"21.5".to_vec())));
    assert!(ingress.copies(&outcome).is_empty(), "it is told when it was processed");
    let outcome = ingress.accept(publish("bad")).await.unwrap();
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    assert_eq!(ingress.copies(&outcome), outcome.republish(&site()));
    // a document of another kind may have the label of a signature; what begins as an envelope must be one
    assert!(matches!(ingress.accept(publish(r#"{"sig": 1, "value": 2}"#)).await, Ok(Outcome::Stored { .. })));
    let envelope = Publish { payload: b"\xF7wr", ..publish("") };
    assert!(matches!(ingress.accept(envelope).await, Ok(Outcome::Rejected(_))));
}
