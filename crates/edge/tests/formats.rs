//! What payloads mean where a pipeline names their format. Tests are named after the rules of `docs/spec/fog.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::fog::Fog;
use edge::payload::{Fault, FieldFault, LppFault, Malformed, PAYLOAD_BYTES_MAX, RECORDS_MAX};
use proptest::prelude::*;
use protocol::{Decode, DeviceTopic, Encode, Reading, Value};
use std::path::Path;

/// 2023-11-14T22:13:20Z.
const ARRIVAL_US: u64 = 1_700_000_000_000_000;

fn topic() -> DeviceTopic {
    "plant/m1/sense/env".parse().unwrap()
}

/// A pipeline for [`topic`] whose table `parse` has these lines.
fn fog(parse: &str) -> Fog {
    let text = format!("[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/env\"\n[pipeline.parse]\n{parse}\n");
    Fog::load(&text, "pipelines.toml").unwrap_or_else(|why| panic!("{text}\n{why}"))
}

fn parsed(parse: &str, payload: &[u8]) -> Result<Vec<Reading>, Malformed> {
    fog(parse).parse(&topic(), payload, ARRIVAL_US)
}

/// Data type, value and unit of each reading.
fn told(readings: &[Reading]) -> Vec<String> {
    let one = |r: &Reading| format!("{} {} {}", r.topic.data_type, r.value, r.unit.as_deref().unwrap_or("-"));
    readings.iter().map(one).collect()
}

fn vector(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/senml-rfc8428").join(file);
    std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn fog_5_without_a_format_payloads_are_told_apart() {
    assert_eq!(told(&parsed("format = \"auto\"", b"21.5").unwrap()), ["env 21.5 -"]);
    assert_eq!(told(&parsed("format = \"auto\"", b"{\"v\":1,\"u\":\"W\"}").unwrap()), ["env 1 W"]);
    let fog = Fog::load("[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/env\"\n", "p").unwrap();
    assert_eq!(told(&fog.parse(&topic(), b"true", ARRIVAL_US).unwrap()), ["env true -"]);
    let other = "other/m1/sense/env".parse().unwrap();
    assert_eq!(told(&fog.parse(&other, b"true", ARRIVAL_US).unwrap()), ["env true -"], "no pipeline is for it");
}

#[test]
fn fog_6_raw_is_bytes_whatever_they_look_like() {
    for payload in [b"21.5".as_slice(), b"[1]", b"\x00\xff", b" "] {
        assert_eq!(parsed("format = \"raw\"", payload).unwrap()[0].value, Value::Bytes(payload.to_vec()));
    }
    assert_eq!(parsed("format = \"raw\"", b""), Err(Malformed::Empty));
    let found = PAYLOAD_BYTES_MAX + 1;
    assert_eq!(parsed("format = \"raw\"", &vec![0; found]), Err(Malformed::TooLarge { found }));
}

const MAPPING: &str = r#"
format = "json"
time = "/at"
time_format = "s"
sequence = "/n"
[[pipeline.parse.field]]
pointer = "/sensors/0/t"
data_type = "temperature"
unit = "Cel"
type = "number"
required = true
[[pipeline.parse.field]]
pointer = "/door~1open"
data_type = "open"
[[pipeline.parse.field]]
pointer = "/state"
"#;

#[test]
fn fog_7_fields_of_documents_are_readings() {
    let document = br#"{"at":1699999999.5,"n":7,"sensors":[{"t":21.5}],"door/open":false,"state":"ok","more":{"x":1}}"#;
    let readings = parsed(MAPPING, document).unwrap();
    assert_eq!(told(&readings), ["env.temperature 21.5 Cel", "env.open false -", "env \"ok\" -"]);
    assert!(readings.iter().all(|r| r.time_us == 1_699_999_999_500_000 && r.sequence == Some(7)));
    let few = parsed(MAPPING, br#"{"sensors":[{"t":1}],"state":null}"#).unwrap();
    assert_eq!((told(&few), few[0].time_us, few[0].sequence), (vec!["env.temperature 1 Cel".to_owned()], ARRIVAL_US, None));
}

#[test]
fn fog_7_documents_that_do_not_fit_are_malformed() {
    let field = |document: &str| match parsed(MAPPING, document.as_bytes()).expect_err(document) {
        Malformed::Field { pointer, fault } => (pointer, fault),
        other => panic!("{document}: {other}"),
    };
    assert_eq!(field("{}"), ("/sensors/0/t".into(), FieldFault::Missing));
    assert!(matches!(field(r#"{"sensors":[{"t":"x"}]}"#).1, FieldFault::Type { expected: "number", .. }));
    assert!(matches!(field(r#"{"sensors":[{"t":[]}]}"#).1, FieldFault::Type { found: "an array", .. }));
    assert_eq!(field(r#"{"sensors":[{"t":1}],"at":-1}"#).1, FieldFault::Value(Fault::TimeRange));
    assert!(matches!(field(r#"{"sensors":[{"t":1}],"at":"x"}"#).1, FieldFault::Type { .. }));
    assert!(matches!(field(r#"{"sensors":[{"t":1}],"n":-1}"#).1, FieldFault::Type { .. }));
    for document in ["", "{", "[1] x", "{\"a\":1e999}"] {
        assert!(parsed(MAPPING, document.as_bytes()).is_err(), "{document}");
    }
    assert!(matches!(parsed(MAPPING, "[".repeat(100_000).as_bytes()), Err(Malformed::Document(_))));
    let optional = "format = \"json\"\n[[pipeline.parse.field]]\npointer = \"/a\"";
    assert_eq!(parsed(optional, b"{\"b\":1}"), Err(Malformed::NoFields), "a payload does not vanish silently");
}

#[test]
fn fog_7_times_of_documents() {
    let time = |format: &str, document: &str| {
        let parse = format!("format = \"json\"\ntime = \"/t\"\ntime_format = \"{format}\"\n[[pipeline.parse.field]]\npointer = \"/v\"");
        parsed(&parse, document.as_bytes()).unwrap()[0].time_us
    };
    assert_eq!(time("s", r#"{"v":1,"t":1699999999}"#), 1_699_999_999_000_000);
    assert_eq!(time("ms", r#"{"v":1,"t":1699999999001}"#), 1_699_999_999_001_000);
    assert_eq!(time("us", r#"{"v":1,"t":1699999999000001}"#), 1_699_999_999_000_001);
    assert_eq!(time("rfc3339", r#"{"v":1,"t":"2023-11-14T22:13:19.25Z"}"#), 1_699_999_999_250_000);
    assert_eq!(time("rfc3339", r#"{"v":1,"t":"2023-11-14T23:13:19+01:00"}"#), 1_699_999_999_000_000);
}

/// The resolved form of RFC 8428's own examples.
#[test]
fn fog_8_senml_json_vectors() {
    for n in [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12] {
        let resolved: Vec<serde_json::Value> = serde_json::from_slice(&vector(&format!("ex{n}.resolved.json"))).unwrap();
        // what has no time of its own bears the time at which the vectors were made
        let arrival_us = (resolved[0]["t"].as_f64().unwrap() * 1e6).round() as u64;
        let readings = fog("format = \"senml+json\"").parse(&topic(), &vector(&format!("ex{n}.json")), arrival_us).unwrap();
        let dropped = usize::from(n == 7);
        assert_eq!(readings.len(), resolved.len() + dropped, "ex{n}");
        for (reading, record) in readings.iter().zip(&resolved) {
            let value = match (&record["v"], &record["vs"], &record["vb"]) {
                (serde_json::Value::Number(v), _, _) => Value::Number(v.as_f64().unwrap()),
                (_, serde_json::Value::String(vs), _) => Value::Text(vs.clone()),
                (_, _, vb) => Value::Boolean(vb.as_bool().unwrap()),
            };
            assert_eq!(reading.value, value, "ex{n}");
            assert_eq!(reading.unit.as_deref(), record["u"].as_str(), "ex{n}");
            assert_eq!(reading.time_us, (record["t"].as_f64().unwrap() * 1e6).round() as u64, "ex{n}");
            let last = record["n"].as_str().unwrap().rsplit([':', '/']).next().unwrap();
            let own = reading.topic.data_type.as_str();
            assert!(own == "env" || own == format!("env.{last}"), "ex{n}: {own}");
        }
    }
    let two_devices = parsed("format = \"senml+json\"", &vector("ex6.json"));
    assert!(matches!(two_devices, Err(Malformed::Record { fault: Fault::NameClash(_), .. })));
}

#[test]
fn fog_9_senml_cbor_vectors() {
    for n in [3, 5] {
        let json = parsed("format = \"senml+json\"", &vector(&format!("ex{n}.json"))).unwrap();
        assert_eq!(parsed("format = \"senml+cbor\"", &vector(&format!("ex{n}.cbor"))).unwrap(), json, "ex{n}");
    }
}

#[test]
fn fog_9_senml_cbor_values() {
    // [{0: "a", 2: <value>}] with a value in each form of a number
    let number = |value: &[u8], number: f64| {
        let payload = [b"\x81\xa2\x00\x61a\x02".as_slice(), value].concat();
        assert_eq!(parsed("format = \"senml+cbor\"", &payload).unwrap()[0].value, Value::Number(number));
    };
    number(b"\x18\x2a", 42.0);
    number(b"\x38\x29", -42.0);
    number(b"\xf9\x3e\x00", 1.5);
    number(b"\xfa\x3f\xc0\x00\x00", 1.5);
    number(b"\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5);
    number(b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX as f64);
    // 273.15 as a decimal fraction (RFC 8949 §3.4.4)
    number(b"\xc4\x82\x21\x19\x6a\xb3", 273.15);
    // indefinite lengths, text, data, truth, sequence number; an unknown number and an unknown text are passed over
    let pack = b"\x9f\xbf\x00\x61a\x03\x62on\x18\x63\x82\x01\x02\xff\xbf\x00\x61b\x08\x42\x00\xff\x63seq\x07\xff\xa3\x00\x61c\x04\xf5\x63xyz\xa0\xff";
    let readings = parsed("format = \"senml+cbor\"", pack).unwrap();
    assert_eq!(told(&readings), ["env.a \"on\" -", "env.b 0x00ff -", "env.c true -"]);
    assert_eq!(readings[1].sequence, Some(7));
}

#[test]
fn fog_9_what_is_no_senml_cbor_is_malformed() {
    for payload in [
        b"\x80\x00".as_slice(),                  // something follows
        b"\xa1\x02\x01",                         // a record, no pack
        b"\x81\xa1\x02\x61x",                    // a text where a number must be
        b"\x81\xa2\x02\x01\x02\x02",             // a label twice
        b"\x81\xa1\x61v\x01",                    // a label of the RFC as text
        b"\x81\xa1\x02\xc5\x82\x01\x01",         // a bigfloat
        b"\x81\xa1\x03\x7f\x61a\x61b\xff",       // a text of indefinite length
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", // a length that nothing follows
        b"\x81",
        b"[{\"v\":1}]",
    ] {
        assert!(matches!(parsed("format = \"senml+cbor\"", payload), Err(Malformed::Cbor(_))), "{payload:02x?}");
    }
    assert_eq!(parsed("format = \"senml+cbor\"", b"\x80"), Err(Malformed::NoRecords));
    let not_finite = parsed("format = \"senml+cbor\"", b"\x81\xa1\x02\xf9\x7c\x00");
    assert_eq!(not_finite, Err(Malformed::Record { index: 0, fault: Fault::NotFinite }));
    let unknown = parsed("format = \"senml+cbor\"", b"\x81\xa2\x02\x01\x62x_\x01");
    assert_eq!(unknown, Err(Malformed::Record { index: 0, fault: Fault::MustUnderstand("x_".into()) }));
    let mut long = vec![0x9f];
    long.extend(std::iter::repeat_n([0xa1, 0x02, 0x01], RECORDS_MAX + 1).flatten());
    long.push(0xff);
    assert_eq!(parsed("format = \"senml+cbor\"", &long), Err(Malformed::TooManyRecords { found: RECORDS_MAX + 1 }));
    let deep = [vec![0x81u8, 0xa1, 0x18, 0x63], vec![0x81u8; 100_000]].concat();
    assert!(parsed("format = \"senml+cbor\"", &deep).is_err());
}

/// The examples that the makers of the format give, and one of each other type.
#[test]
fn fog_10_cayenne_lpp() {
    let tells = |payload: &[u8], expected: &[&str]| {
        let readings = parsed("format = \"cayenne-lpp\"", payload).unwrap_or_else(|why| panic!("{payload:02x?}: {why}"));
        assert_eq!(told(&readings), expected);
        assert!(readings.iter().all(|r| r.time_us == ARRIVAL_US && r.sequence.is_none()));
    };
    tells(b"\x03\x67\x01\x10\x05\x67\x00\xff", &["env.temperature_3 27.2 Cel", "env.temperature_5 25.5 Cel"]);
    tells(b"\x01\x67\xff\xd7", &["env.temperature_1 -4.1 Cel"]);
    tells(
        b"\x01\x88\x06\x76\x5f\xf2\x96\x0a\x00\x03\xe8",
        &["env.place_1.lat 42.3519 lat", "env.place_1.lon -87.9094 lon", "env.place_1.alt 10 m"],
    );
    tells(b"\x00\x00\x01\x01\x01\x00", &["env.digital_input_0 1 -", "env.digital_output_1 0 -"]);
    tells(b"\x02\x02\xff\x9c\x02\x03\x01\x2c", &["env.analog_input_2 -1 -", "env.analog_output_2 3 -"]);
    tells(b"\x07\x64\xff\xff\xff\xff", &["env.generic_7 4294967295 -"]);
    tells(b"\x07\x65\x03\xe8\x07\x66\x01", &["env.illuminance_7 1000 lx", "env.presence_7 1 -"]);
    tells(b"\x07\x68\x7f\x07\x73\x27\x94", &["env.humidity_7 63.5 %RH", "env.pressure_7 1013.2 hPa"]);
    tells(b"\x07\x74\x01\x4a\x07\x75\x00\x7d", &["env.voltage_7 3.3 V", "env.current_7 0.125 A"]);
    tells(b"\x07\x76\x00\x00\x00\x32\x07\x78\x63", &["env.frequency_7 50 Hz", "env.percentage_7 99 %"]);
    tells(b"\x07\x79\xff\xfe\x07\x7d\x01\x90", &["env.altitude_7 -2 m", "env.concentration_7 400 ppm"]);
    tells(b"\x07\x80\x05\xdc\x07\x82\x00\x00\x04\xd2", &["env.power_7 1500 W", "env.distance_7 1.234 m"]);
    tells(b"\x07\x83\x00\x00\x04\xd2\x07\x84\x01\x0e", &["env.energy_7 1.234 kWh", "env.direction_7 270 deg"]);
    tells(b"\x07\x85\x65\x53\xf1\x00\x07\x8e\x01", &["env.unixtime_7 1700000000 s", "env.switch_7 1 -"]);
    tells(b"\x07\x86\x00\x64\xff\x9c\x00\x00", &["env.gyration_7.x 1 deg/s", "env.gyration_7.y -1 deg/s", "env.gyration_7.z 0 deg/s"]);
    tells(b"\x07\x87\xff\x80\x00", &["env.colour_7.r 255 -", "env.colour_7.g 128 -", "env.colour_7.b 0 -"]);
    let axes = parsed("format = \"cayenne-lpp\"", b"\x06\x71\x04\xd2\xfb\x2e\x00\x00").unwrap();
    for (reading, (axis, gravities)) in axes.iter().zip([("x", 1.234), ("y", -1.234), ("z", 0.0)]) {
        assert_eq!(reading.topic.data_type.as_str(), format!("env.acceleration_6.{axis}"));
        let Value::Number(found) = reading.value else { panic!("a number") };
        assert!((found - gravities * 9.80665).abs() < 1e-9 && reading.unit.as_deref() == Some("m/s2"));
    }
}

#[test]
fn fog_10_channels_have_names() {
    let parse = "format = \"cayenne-lpp\"\n[[pipeline.parse.channel]]\nchannel = 3\ndata_type = \"inside\"\n\
                 [[pipeline.parse.channel]]\nchannel = 3\ntype = \"humidity\"\ndata_type = \"damp\"";
    assert_eq!(
        told(&parsed(parse, b"\x03\x67\x01\x10\x03\x68\x64\x04\x67\x00\x00").unwrap()),
        ["env.inside 27.2 Cel", "env.damp 50 %RH", "env.temperature_4 0 Cel"]
    );
    let clash = parsed(parse, b"\x03\x67\x01\x10\x03\x65\x00\x01");
    assert_eq!(clash, Err(Malformed::CayenneLpp { at: 4, fault: LppFault::Clash("env.inside".into()) }));
}

#[test]
fn fog_10_what_is_no_cayenne_lpp_is_malformed() {
    let fault = |payload: &[u8]| match parsed("format = \"cayenne-lpp\"", payload).unwrap_err() {
        Malformed::CayenneLpp { at, fault } => (at, fault),
        other => panic!("{payload:02x?}: {other}"),
    };
    assert_eq!(fault(b"\x01\x67\x00\x00\x01"), (4, LppFault::CutOff("header")));
    assert_eq!(fault(b"\x01\x67\x00"), (0, LppFault::CutOff("temperature")));
    assert_eq!(fault(b"\x01\x67\x00\x00\x01\x42\x00"), (4, LppFault::Type(0x42)));
    assert_eq!(fault(b"\x01\x67\x00\x00\x01\x67\x00\x01"), (4, LppFault::Clash("env.temperature_1".into())));
    assert!(matches!(fault(b"\x01\x88\x00\x00\x00"), (0, LppFault::CutOff("place"))));
}

#[test]
fn fog_11_required_data_types_and_bad_times() {
    let required = "format = \"cayenne-lpp\"\nrequired = [\"temperature_3\", \"humidity_3\"]";
    assert_eq!(parsed(required, b"\x03\x67\x01\x10"), Err(Malformed::Missing("humidity_3".into())));
    assert_eq!(parsed(required, b"\x03\x67\x01\x10\x03\x68\x64").unwrap().len(), 2);
    // a clock that is a year ahead, one that is in 2300, and one before 1970
    for time_ms in ["1731536000000", "10413792000000", "-1"] {
        let payload = format!("{{\"v\":1,\"t\":{time_ms}}}");
        assert!(parsed("format = \"auto\"", payload.as_bytes()).is_err());
        assert!(parsed("format = \"auto\"\nbad_time = \"reject\"", payload.as_bytes()).is_err());
        let replaced = parsed("format = \"auto\"\nbad_time = \"arrival\"", payload.as_bytes()).unwrap();
        assert_eq!(replaced[0].time_us, ARRIVAL_US);
    }
}

const FORMATS: [&str; 6] = [
    "format = \"auto\"",
    "format = \"raw\"",
    "format = \"json\"\ntime = \"/t\"\n[[pipeline.parse.field]]\npointer = \"/v\"",
    "format = \"senml+json\"",
    "format = \"senml+cbor\"",
    "format = \"cayenne-lpp\"",
];

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(format in 0..FORMATS.len(), payload in proptest::collection::vec(any::<u8>(), 0..200), arrival_us in any::<u64>()) {
        for reading in fog(FORMATS[format]).parse(&topic(), &payload, arrival_us).unwrap_or_default() {
            prop_assert_eq!(Reading::decode(&reading.encode()).unwrap(), reading);
        }
    }

    /// Bytes that CBOR packs are made of.
    #[test]
    fn almost_senml_cbor_never_panics(parts in proptest::collection::vec(prop_oneof![
        Just(b"\x81\xa2\x00\x61a\x02".to_vec()), Just(b"\x9f\xbf".to_vec()), Just(b"\xff".to_vec()), Just(b"\x18\x2a".to_vec()), Just(b"\x22".to_vec()),
        Just(b"\xf9\x3e\x00".to_vec()), Just(b"\x61b".to_vec()), Just(b"\xc4\x82".to_vec()), any::<u8>().prop_map(|b| vec![b]),
    ], 0..30)) {
        let _ = parsed("format = \"senml+cbor\"", &parts.concat());
    }
}
