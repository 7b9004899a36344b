//! Pipelines: payloads of every format, configurations, snapshots.

use crate::draw::Draw;
use edge::fog::{Fog, Outcome};
use protocol::{Decode, DeviceTopic, Encode, Reading, Value};

/// The parsers; those after them are a configuration and a snapshot. seed.py counts on the order.
const PARSERS: [&str; 6] = [
    "format = \"auto\"\nbad_time = \"arrival\"",
    "format = \"raw\"",
    "format = \"json\"\ntime = \"/t\"\nsequence = \"/n\"\n[[pipeline.parse.field]]\npointer = \"/v\"\n\
     [[pipeline.parse.field]]\npointer = \"/a/0\"\ndata_type = \"first\"\nunit = \"W\"",
    "format = \"senml+json\"",
    "format = \"senml+cbor\"",
    "format = \"cayenne-lpp\"\n[[pipeline.parse.channel]]\nchannel = 1\ndata_type = \"one\"",
];
/// A stage of each kind that remembers something; seed.py counts on the order.
const STAGES: &str = r#"
[[pipeline.stage]]
do = "normalise"
duplicates = 4
ahead_max_s = 60
[[pipeline.stage]]
do = "validate"
rate_max_per_s = 1e6
[[pipeline.stage]]
do = "filter"
deadband = 0.5
silence_max_s = 60
[[pipeline.stage]]
do = "window"
size_s = 60
step_s = 20
lateness_s = 10
emit = ["count", "min", "max", "mean", "sum", "first", "last"]
[[pipeline.stage]]
do = "enrich"
data_type = "both"
expression = "a * b"
inputs = { a = "power.a", b = "power.b" }
age_max_s = 60
[[pipeline.stage]]
do = "rule"
name = "r"
on_above = 5
off_below = 4
hold_s = 30
publish = "+/+/act/v"
on = true
off = false
"#;
/// Bytes of a snapshot before its series: the version and the hash of the configuration.
const SNAPSHOT_HEAD_BYTES: usize = 33;
/// Bytes of the text of an error: it may quote names of 1 024 bytes with every character escaped.
const COMPLAINT_BYTES_MAX: usize = 10 * 1024;
/// Times of arrival to choose from: the first moments, a usual time, the last.
const ARRIVALS_US: [u64; 3] = [0, 1_750_000_000_123_456, u64::MAX];

/// The first byte chooses what the rest is: a payload for one of the parsers (after a byte for the time of its arrival), a
/// configuration, or the series of a snapshot. Whatever comes out of a payload can be kept; a configuration that loads
/// works on readings; a snapshot that is taken goes on. What is refused is refused with an error of bounded length.
///
/// Returns whether it was accepted: the payload parsed, the configuration loaded, the snapshot restored.
///
/// # Panics
/// If that does not hold.
pub fn fog(data: &[u8]) -> bool {
    let mut draw = Draw::new(data);
    match draw.below(PARSERS.len() + 2) {
        6 => configuration(draw.rest()),
        7 => snapshot(draw.rest()),
        parser => payload(PARSERS[parser], &mut draw),
    }
}

fn load(parse: &str) -> Fog {
    let head = "[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/power\"\n[pipeline.parse]\n";
    Fog::load(&format!("{head}{parse}\n{STAGES}"), "p").expect("the pipeline of this target")
}

/// What comes out is readings that can be kept, and errors of bounded length.
fn check(outcome: &Outcome) {
    let commands = outcome.commands.iter().map(edge::fog::Command::reading);
    for reading in outcome.accepted.iter().chain(&outcome.derived).cloned().chain(commands) {
        assert_eq!(Reading::decode(&reading.encode()), Ok(reading));
    }
    for rejection in &outcome.rejected {
        assert!((1..=COMPLAINT_BYTES_MAX).contains(&rejection.reason.to_string().len()), "{}", rejection.reason);
    }
}

/// Lets time pass, takes a snapshot and goes on from it: both give the same.
fn go_on(fog: &mut Fog, again: &mut Fog, now_us: u64) {
    let snapshot = fog.snapshot();
    again.restore(&snapshot).expect("a snapshot of the same pipelines");
    assert_eq!(again.snapshot(), snapshot);
    assert_eq!(again.next_tick_us(), fog.next_tick_us());
    for time_us in [now_us.saturating_add(30_000_000), now_us.saturating_add(600_000_000), u64::MAX] {
        let outcome = fog.tick(time_us);
        check(&outcome);
        assert_eq!(again.tick(time_us), outcome);
    }
}

fn payload(parse: &str, draw: &mut Draw<'_>) -> bool {
    let arrival_us = ARRIVALS_US[draw.below(ARRIVALS_US.len())];
    let topic: DeviceTopic = "plant/meter-1/sense/power".parse().expect("a topic");
    let bytes = draw.clone().rest();
    let mut fog = load(parse);
    let accepted = match fog.parse(&topic, bytes, arrival_us) {
        Ok(readings) => {
            assert!(!readings.is_empty());
            for reading in readings {
                assert_eq!(Reading::decode(&reading.encode()), Ok(reading));
            }
            true
        }
        Err(why) => {
            assert!((1..=COMPLAINT_BYTES_MAX).contains(&why.to_string().len()), "{why}");
            false
        }
    };
    let outcome = fog.take(&topic, bytes, arrival_us);
    check(&outcome);
    assert_eq!(accepted, outcome.rejected.iter().all(|rejection| rejection.stage.is_some()));
    go_on(&mut fog, &mut load(parse), arrival_us);
    accepted
}

fn configuration(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut fog = match Fog::load(text, "p") {
        Ok(fog) => fog,
        Err(why) => {
            assert!(why.line >= 1 && why.column >= 1 && why.line <= text.lines().count() + 1, "{why}");
            assert!((1..=COMPLAINT_BYTES_MAX).contains(&why.to_string().len()), "{why}");
            return false;
        }
    };
    let now_us = 1_750_000_000_000_000;
    for (second, data_type) in (0u32..).zip(["power", "power.a", "power.b", "power", "power.a", "power.b"]) {
        for value in
            [Value::Number(f64::from(second) * 2.5), Value::Boolean(second % 2 == 0), Value::Text("on".into()), Value::Bytes(vec![7])]
        {
            let topic = format!("plant/meter-1/sense/{data_type}").parse().expect("a topic");
            let time_us = now_us + u64::from(second) * 20_000_000;
            let reading = Reading { topic, time_us, sequence: Some(u64::from(second / 2)), unit: Some("W".into()), value, signed: None };
            check(&fog.process(std::slice::from_ref(&reading), time_us));
        }
    }
    go_on(&mut fog, &mut Fog::load(text, "p").expect("it loaded before"), now_us + 120_000_000);
    true
}

fn snapshot(series: &[u8]) -> bool {
    let mut fog = load(PARSERS[0]);
    let mut bytes = fog.snapshot();
    bytes.truncate(SNAPSHOT_HEAD_BYTES);
    bytes.extend_from_slice(series);
    if let Err(why) = fog.restore(&bytes) {
        assert!((1..=COMPLAINT_BYTES_MAX).contains(&why.to_string().len()), "{why}");
        return false;
    }
    let topic: DeviceTopic = "plant/meter-1/sense/power".parse().expect("a topic");
    for arrival_us in ARRIVALS_US {
        check(&fog.take(&topic, b"{\"v\":7,\"n\":1}", arrival_us));
        check(&fog.tick(arrival_us));
        let _ = (fog.oldest_open_us(), fog.series());
    }
    go_on(&mut fog, &mut load(PARSERS[0]), ARRIVALS_US[1]);
    true
}
