//! What payloads mean, rule by rule; the packs are the examples of RFC 8428 §5.1 where it says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::payload::{AHEAD_US_MAX, Fault, Malformed, PAYLOAD_BYTES_MAX, RECORDS_MAX, TIME_US_MAX, decode, fog_json};
use proptest::prelude::*;
use protocol::limits::{UNIT_BYTES_MAX, VALUE_BYTES_MAX};
use protocol::{Decode, DeviceTopic, Encode, Reading, Value};

/// 2023-11-14T22:13:20Z.
const ARRIVAL_US: u64 = 1_700_000_000_000_000;
const SECOND_US: u64 = 1_000_000;

fn topic() -> DeviceTopic {
    "site-1/meter-7/sense/power".parse().unwrap()
}

fn readings(payload: &str) -> Vec<Reading> {
    decode(&topic(), payload.as_bytes(), ARRIVAL_US).unwrap_or_else(|why| panic!("{payload}: {why}"))
}

fn one(payload: &str) -> Reading {
    let mut all = readings(payload);
    assert_eq!(all.len(), 1, "{payload}");
    all.remove(0)
}

fn refused(payload: &str) -> Malformed {
    decode(&topic(), payload.as_bytes(), ARRIVAL_US).expect_err(payload)
}

fn fault(payload: &str) -> Fault {
    match refused(payload) {
        Malformed::Record { fault, .. } | Malformed::Value(fault) => fault,
        other => panic!("{payload}: {other}"),
    }
}

#[test]
fn a_json_number_alone_is_a_number() {
    for (payload, number) in
        [("21.5", 21.5), ("-3", -3.0), (" 7\n", 7.0), ("0", 0.0), ("-0", 0.0), ("1e3", 1000.0), ("2.5E-1", 0.25), ("1e+2", 100.0)]
    {
        let reading = one(payload);
        assert_eq!(reading.value, Value::Number(number), "{payload}");
        assert_eq!((reading.time_us, reading.sequence, reading.unit), (ARRIVAL_US, None, None));
        assert_eq!(reading.topic, topic());
    }
    let Value::Number(zero) = one("-0").value else { panic!("a number") };
    assert!(zero.is_sign_positive());
    assert_eq!(fault("1e999"), Fault::NotFinite);
}

#[test]
fn what_only_resembles_a_number_is_text() {
    for payload in ["+5", "007", "1.", ".5", "1e", "1e+", "0x10", "NaN", "inf", "1 2", "-", "--1", "1,5", "TRUE", "null", "\"a\""] {
        assert_eq!(one(payload).value, Value::Text(payload.into()), "{payload}");
    }
}

#[test]
fn truth_values_text_and_bytes() {
    assert_eq!(one("true").value, Value::Boolean(true));
    assert_eq!(one(" false ").value, Value::Boolean(false));
    assert_eq!(one("Tür offen ").value, Value::Text("Tür offen ".into()));
    assert_eq!(one("two\nlines").value, Value::Bytes(b"two\nlines".to_vec()));
    let raw = [0xff, 0x00, 0x17];
    assert_eq!(decode(&topic(), &raw, ARRIVAL_US).unwrap()[0].value, Value::Bytes(raw.to_vec()));
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(refused(""), Malformed::Empty);
    let longest = "x".repeat(VALUE_BYTES_MAX);
    assert_eq!(one(&longest).value, Value::Text(longest));
    assert_eq!(fault(&"x".repeat(VALUE_BYTES_MAX + 1)), Fault::ValueTooLong(VALUE_BYTES_MAX + 1));
    let bytes = vec![0xff; VALUE_BYTES_MAX + 1];
    assert_eq!(decode(&topic(), &bytes, ARRIVAL_US), Err(Malformed::Value(Fault::ValueTooLong(VALUE_BYTES_MAX + 1))));
    let found = PAYLOAD_BYTES_MAX + 1;
    assert_eq!(refused(&" ".repeat(found)), Malformed::TooLarge { found });
    let unit = "u".repeat(UNIT_BYTES_MAX + 1);
    assert_eq!(fault(&format!("{{\"v\":1,\"u\":\"{unit}\"}}")), Fault::UnitTooLong(UNIT_BYTES_MAX + 1));
    assert_eq!(fault(&format!("[{{\"v\":1,\"bu\":\"{unit}\"}}]")), Fault::UnitTooLong(UNIT_BYTES_MAX + 1));
    let name = "n".repeat(2000);
    assert_eq!(fault(&format!("[{{\"v\":1,\"bn\":\"{name}\"}}]")), Fault::NameTooLong(2000));
}

#[test]
fn the_short_object() {
    let reading = one(r#"{"v": 21.5, "t": 1699999999123, "n": 42, "u": "Cel"}"#);
    assert_eq!(reading.value, Value::Number(21.5));
    assert_eq!(reading.time_us, 1_699_999_999_123_000);
    assert_eq!((reading.sequence, reading.unit.as_deref()), (Some(42), Some("Cel")));
    assert_eq!(one(r#" {"v": true}"#).value, Value::Boolean(true));
    let text = one(r#"{"v": "open"}"#);
    assert_eq!((text.value, text.time_us), (Value::Text("open".into()), ARRIVAL_US));
    assert_eq!(one(r#"{"v": 1, "t": 0}"#).time_us, 0);
    assert_eq!(one(r#"{"v": 1, "u": ""}"#).unit, None);
}

/// A unit with a control character used to pass: the reading was kept and batched, but no decoder takes such a unit,
/// so the batch could never be read again. Its publisher must hear of it instead.
#[test]
fn a_unit_with_a_control_character_is_malformed() {
    for (written, control) in [(r"\n", '\n'), (r"W\u0000", '\0'), (r"\u0085", '\u{85}')] {
        assert_eq!(fault(&format!("{{\"v\":1,\"u\":\"{written}\"}}")), Fault::UnitCharacter(control));
        assert_eq!(fault(&format!("[{{\"v\":1,\"u\":\"{written}\"}}]")), Fault::UnitCharacter(control));
        assert_eq!(fault(&format!("[{{\"v\":1,\"bu\":\"{written}\"}}]")), Fault::UnitCharacter(control));
    }
}

#[test]
fn other_objects_are_malformed() {
    for payload in [
        "{}",
        "{",
        r#"{"v":null}"#,
        r#"{"v":[1]}"#,
        r#"{"v":1,"x":2}"#,
        r#"{"v":1,"v":2}"#,
        r#"{"v":1} x"#,
        r#"{"v":1e999}"#,
        r#"{"v":1,"n":-1}"#,
        r#"{"v":1,"n":1.5}"#,
        r#"{"bn":"a","v":1,"bver":10}"#,
    ] {
        assert!(matches!(refused(payload), Malformed::Json(_)), "{payload}");
    }
    assert_eq!(fault(r#"{"v":1,"t":"now"}"#), Fault::TimeRange);
    assert_eq!(fault(r#"{"v":1,"t":-1}"#), Fault::TimeRange);
    assert_eq!(fault(r#"{"v":1,"t":1e300}"#), Fault::TimeRange);
}

#[test]
fn a_clock_far_ahead_is_malformed() {
    let limit_ms = (ARRIVAL_US + AHEAD_US_MAX) / 1000;
    assert_eq!(one(&format!("{{\"v\":1,\"t\":{limit_ms}}}")).time_us, limit_ms * 1000);
    assert_eq!(fault(&format!("{{\"v\":1,\"t\":{}}}", limit_ms + 1)), Fault::TimeAhead(24 * 3600));
    assert_eq!(fault(&format!("{{\"v\":1,\"t\":{}}}", TIME_US_MAX / 1000)), Fault::TimeRange);
    assert!(matches!(fault(r#"[{"v":1,"t":1800000000}]"#), Fault::TimeAhead(_)));
    assert!(matches!(fault(r#"[{"v":1,"t":86401}]"#), Fault::TimeAhead(_)));
    assert_eq!(fault(r#"[{"v":1,"t":-1700000001}]"#), Fault::TimeRange);
    assert_eq!(fault(r#"[{"v":1,"t":1e300}]"#), Fault::TimeRange);
}

/// RFC 8428 §5.1.1.
#[test]
fn senml_single_data_point() {
    let reading = one(r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#);
    assert_eq!(reading.topic, topic());
    assert_eq!((reading.time_us, reading.unit.as_deref(), reading.value), (ARRIVAL_US, Some("Cel"), Value::Number(23.1)));
}

/// RFC 8428 §5.1.2: base fields, relative offsets, several names.
#[test]
fn senml_multiple_data_points() {
    let all = readings(
        r#"[ {"bn":"urn:dev:ow:10e2073a01080063:","bt":1.276020076001e+09, "bu":"A","bver":5,
              "n":"voltage","u":"V","v":120.1},
             {"n":"current","t":-5,"v":1.2}, {"n":"current","t":-4,"v":1.3}, {"n":"current","t":-3,"v":1.4},
             {"n":"current","t":-2,"v":1.5}, {"n":"current","t":-1,"v":1.6}, {"n":"current","v":1.7} ]"#,
    );
    assert_eq!(all.len(), 7);
    let base_us = 1_276_020_076_001_000;
    assert_eq!(all[0].topic.to_string(), "site-1/meter-7/sense/power.voltage");
    assert_eq!((all[0].time_us, all[0].unit.as_deref(), &all[0].value), (base_us, Some("V"), &Value::Number(120.1)));
    for (age, reading) in (0..=5).rev().zip(&all[1..]) {
        assert_eq!(reading.topic.to_string(), "site-1/meter-7/sense/power.current");
        assert_eq!((reading.time_us, reading.unit.as_deref()), (base_us - age * SECOND_US, Some("A")));
    }
    assert_eq!(all[6].value, Value::Number(1.7));
}

/// RFC 8428 §5.1.3: one name, a base unit that some records replace.
#[test]
fn senml_one_name_is_the_topics_own_data_type() {
    let all = readings(
        r#"[ {"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09, "bu":"%RH","v":20},
             {"u":"lon","v":24.30621}, {"u":"lat","v":60.07965}, {"t":60,"v":20.3} ]"#,
    );
    assert!(all.iter().all(|reading| reading.topic == topic()));
    let units: Vec<_> = all.iter().map(|reading| reading.unit.as_deref().unwrap()).collect();
    assert_eq!(units, ["%RH", "lon", "lat", "%RH"]);
    assert_eq!(all[3].time_us, 1_320_067_524_000_000);
}

/// RFC 8428 §5.1.5: numbers, text, truth values and data in one pack.
#[test]
fn senml_multiple_data_types() {
    let all = readings(
        r#"[ {"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1}, {"n":"label","vs":"Machine Room"},
             {"n":"open","vb":false}, {"n":"nfc-reader","vd":"aGkgCg"} ]"#,
    );
    let values: Vec<_> = all.iter().map(|reading| reading.value.clone()).collect();
    let expected = [Value::Number(23.1), Value::Text("Machine Room".into()), Value::Boolean(false), Value::Bytes(b"hi \n".to_vec())];
    assert_eq!(values, expected);
    assert_eq!(all[3].topic.data_type.as_str(), "power.nfc-reader");
}

#[test]
fn senml_times_below_two_to_the_28_are_relative() {
    assert_eq!(one(r#"[{"v":1,"t":-0.5}]"#).time_us, ARRIVAL_US - SECOND_US / 2);
    assert_eq!(one(r#"[{"v":1,"bt":-10,"t":4}]"#).time_us, ARRIVAL_US - 6 * SECOND_US);
    assert_eq!(one(r#"[{"v":1,"t":268435456}]"#).time_us, 268_435_456 * SECOND_US);
    // One second less is relative, and so 8.5 years ahead.
    assert_eq!(fault(r#"[{"v":1,"bt":268435456,"t":-1}]"#), Fault::TimeAhead(268_435_455));
}

#[test]
fn senml_base_value_and_sums() {
    let all = readings(r#"[{"bv":100,"v":1.5,"s":9},{"v":-0.5,"bs":2,"s":3},{"vb":true,"ut":5}]"#);
    let values: Vec<_> = all.into_iter().map(|reading| reading.value).collect();
    assert_eq!(values, [Value::Number(101.5), Value::Number(99.5), Value::Boolean(true)]);
    assert_eq!(fault(r#"[{"n":"energy","s":12.5}]"#), Fault::SumOnly);
    assert_eq!(fault(r#"[{"bv":1.5e308,"v":1.5e308}]"#), Fault::NotFinite);
}

#[test]
fn senml_labels() {
    assert_eq!(one(r#"[{"v":1,"seq":9,"mac":{"deep":[1,2]}}]"#).sequence, Some(9));
    assert_eq!(fault(r#"[{"v":1,"must_":1}]"#), Fault::MustUnderstand("must_".into()));
    assert_eq!(fault(r#"[{"bver":11,"v":1}]"#), Fault::Version(11));
    assert_eq!(one(r#"[{"bver":10,"v":1}]"#).value, Value::Number(1.0));
    assert_eq!(fault(r#"[{"n":"a"}]"#), Fault::NoValue);
    assert_eq!(fault(r#"[{"v":1,"vs":"a"}]"#), Fault::SeveralValues);
    assert_eq!(fault(r#"[{"vd":"aGkgCg=="}]"#), Fault::Base64);
    for payload in
        ["[", "[1]", "[{\"v\":1},]", "[{\"v\":\"1\"}]", "[{\"v\":1,\"v\":2}]", "[{\"v\":null}]", "[{\"v\":1}] [", "[[{\"v\":1}]]"]
    {
        assert!(matches!(refused(payload), Malformed::Json(_)), "{payload}");
    }
    assert_eq!(refused("[]"), Malformed::NoRecords);
}

#[test]
fn senml_names_must_tell_readings_apart() {
    assert_eq!(fault(r#"[{"n":"a/temp","v":1},{"n":"b/temp","v":1}]"#), Fault::NameClash("temp".into()));
    assert_eq!(fault(r#"[{"n":"a","v":1},{"v":1}]"#), Fault::NameEmpty);
    assert_eq!(fault(r#"[{"n":"a:","v":1},{"n":"b","v":1}]"#), Fault::NameEmpty);
    assert!(matches!(fault(r#"[{"n":"a+b","v":1},{"n":"b","v":1}]"#), Fault::Name { .. }));
    let index_1 = refused(r#"[{"n":"a","v":1},{"n":"a#","v":1}]"#);
    assert!(matches!(index_1, Malformed::Record { index: 1, .. }));
}

#[test]
fn senml_records_are_bounded() {
    let pack = |records: usize| format!("[{}]", vec!["{\"v\":1}"; records].join(","));
    assert_eq!(readings(&pack(RECORDS_MAX)).len(), RECORDS_MAX);
    assert_eq!(refused(&pack(RECORDS_MAX + 3)), Malformed::TooManyRecords { found: RECORDS_MAX + 3 });
}

/// A parser quotes what it did not expect; the complaint must not grow with the payload.
#[test]
fn complaints_are_short() {
    let long = "é".repeat(50_000);
    assert!(refused(&format!("[\"{long}\"]")).to_string().len() < 500);
    assert!(refused(&format!("{{\"{long}\":1}}")).to_string().len() < 500);
    assert!(refused(&format!("[{{\"{long}_\":1,\"v\":1}}]")).to_string().len() < 500);
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    assert!(matches!(refused(&"[".repeat(100_000)), Malformed::Json(_)));
    assert!(matches!(refused(&format!("[{{\"x\":{}", "[".repeat(100_000))), Malformed::Json(_)));
}

#[test]
fn fog_json_is_a_pack_of_one_record() {
    let reading = one(r#"{"v": 21.5, "t": 1699999999123, "n": 42, "u": "Cel"}"#);
    let text = String::from_utf8(fog_json(&reading)).unwrap();
    assert_eq!(text, r#"[{"bn":"site-1/meter-7/sense/power","bt":1699999999,"t":0.123,"u":"Cel","v":21.5,"seq":42}]"#);
    let early = Reading { time_us: 5, ..reading };
    assert!(!String::from_utf8(fog_json(&early)).unwrap().contains("\"bt\""), "SenML cannot say this time");
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter_map("finite", Value::number),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    let time_us = (1u64 << 28) * SECOND_US..TIME_US_MAX;
    let unit = proptest::option::of("[a-zA-Z%/]{1,16}");
    (value(), time_us, any::<Option<u64>>(), unit).prop_map(|(value, time_us, sequence, unit)| Reading {
        topic: topic(),
        time_us,
        sequence,
        unit,
        value,
        signed: None,
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), arrival_us in any::<u64>()) {
        for reading in decode(&topic(), &payload, arrival_us).unwrap_or_default() {
            prop_assert_eq!(Reading::decode(&reading.encode()).unwrap(), reading);
        }
    }

    #[test]
    fn arbitrary_json_never_panics(payload in r#"[\[{]([\[\]{}:,]|"(bn|bt|bu|bv|bver|n|u|v|vs|vb|vd|t|s|seq)":|-?[0-9]{1,3}(e[0-9]{1,3})?|true|"[a-z:/_]{0,4}"){0,30}"#, arrival_us in any::<u64>()) {
        for reading in decode(&topic(), payload.as_bytes(), arrival_us).unwrap_or_default() {
            prop_assert_eq!(Reading::decode(&reading.encode()).unwrap(), reading);
        }
    }

    #[test]
    fn fog_json_says_the_same_reading(reading in reading()) {
        let again = decode(&reading.topic, &fog_json(&reading), reading.time_us).unwrap();
        prop_assert_eq!(again, vec![reading]);
    }
}
