//! Pipelines, rule by rule; tests are named after the rules of `docs/spec/fog.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::fog::{Fog, Outcome, Refused, SnapshotError};
use protocol::{DeviceSignature, PublicKey, Reading, Signature, Value};

const SECOND_US: u64 = 1_000_000;
/// 2023-11-14T22:14:00Z: a whole minute, and an even one.
const START_S: u64 = 1_700_000_040;

/// A pipeline for every sensor of the site `plant`, with these stages.
fn fog(stages: &str) -> Fog {
    let text = format!("[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/+\"\n{stages}");
    Fog::load(&text, "pipelines.toml").unwrap_or_else(|why| panic!("{text}\n{why}"))
}

/// Microseconds since 1970 of a time in seconds after the start.
fn us(after_s: f64) -> u64 {
    START_S * SECOND_US + (after_s * 1e6) as u64
}

fn reading(data_type: &str, after_s: f64, value: impl Into<Sent>) -> Reading {
    let topic = format!("plant/m1/sense/{data_type}").parse().unwrap();
    Reading { topic, time_us: us(after_s), sequence: None, unit: None, value: value.into().0, signed: None }
}

/// A value in short.
struct Sent(Value);
impl From<f64> for Sent {
    fn from(number: f64) -> Self {
        Self(Value::Number(number))
    }
}
impl From<bool> for Sent {
    fn from(boolean: bool) -> Self {
        Self(Value::Boolean(boolean))
    }
}
impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.into()))
    }
}

/// Processes one reading that arrives at its own time.
fn one(fog: &mut Fog, reading: &Reading) -> Outcome {
    fog.process(std::slice::from_ref(reading), reading.time_us)
}

/// Sends numbers of one data type, a second apart; which of them came out.
fn passing(fog: &mut Fog, numbers: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    for (second, number) in numbers.iter().enumerate() {
        for accepted in one(fog, &reading("x", second as f64, *number)).accepted {
            let Value::Number(number) = accepted.value else { panic!("a number") };
            out.push(number);
        }
    }
    out
}

fn refused(outcome: &Outcome) -> &Refused {
    assert!(outcome.accepted.is_empty(), "{outcome:?}");
    &outcome.rejected[0].reason
}

/// Data type, time after the start in seconds and value of derived readings.
fn derived(outcome: &Outcome) -> Vec<String> {
    let start_us = START_S * SECOND_US;
    let one = |r: &Reading| format!("{} {} {}", r.topic.data_type, (r.time_us as i64 - start_us as i64) / 1_000_000, r.value);
    outcome.derived.iter().map(one).collect()
}

#[test]
fn a_fog_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Fog>();
}

#[test]
fn fog_2_the_first_pipeline_that_is_for_a_topic_takes_it() {
    let text = "[[pipeline]]\nname = \"voltage\"\nmatch = \"plant/+/sense/power.voltage\"\n[[pipeline.stage]]\ndo = \"validate\"\nmax = 250\n\
                [[pipeline]]\nname = \"power\"\nmatch = [\"plant/+/sense/power\", \"roof/+/sense/power\"]\n[[pipeline.stage]]\ndo = \"validate\"\nmax = 10\n";
    let mut fog = Fog::load(text, "p").unwrap();
    assert!(one(&mut fog, &reading("power.voltage", 0.0, 230.0)).rejected.is_empty());
    let outcome = one(&mut fog, &reading("power.current", 0.0, 20.0));
    assert_eq!((outcome.rejected[0].pipeline.as_deref(), outcome.rejected[0].stage), (Some("power"), Some(1)));
    let other = reading("energy", 0.0, 1e9);
    let outcome = one(&mut fog, &other);
    assert_eq!(outcome, Outcome { accepted: vec![other], ..Outcome::default() }, "no pipeline is for it");
}

#[test]
fn fog_4_payloads_go_by_their_topic_and_readings_by_theirs() {
    let text = "[[pipeline]]\nname = \"voltage\"\nmatch = \"plant/+/sense/power.voltage\"\n[[pipeline.stage]]\ndo = \"validate\"\nmax = 250\n\
                [[pipeline]]\nname = \"power\"\nmatch = \"plant/+/sense/power\"\n[pipeline.parse]\nformat = \"senml+json\"\n";
    let mut fog = Fog::load(text, "p").unwrap();
    let topic = "plant/m1/sense/power".parse().unwrap();
    let outcome = fog.take(&topic, br#"[{"n":"voltage","v":400},{"n":"current","v":1}]"#, us(0.0));
    assert_eq!(outcome.accepted.len(), 1);
    assert_eq!(outcome.rejected[0].pipeline.as_deref(), Some("voltage"));
    let outcome = fog.take(&topic, b"21.5", us(0.0));
    assert_eq!(
        (outcome.rejected[0].pipeline.as_deref(), outcome.rejected[0].stage, outcome.rejected[0].time_us),
        (Some("power"), None, None)
    );
    assert!(matches!(refused(&outcome), Refused::Malformed(_)));
}

#[test]
fn fog_12_types_units_texts_and_lengths() {
    let mut fog =
        fog("[[pipeline.stage]]\ndo = \"validate\"\nonly = \"x\"\ntype = \"number\"\nunits = [\"W\", \"kW\"]\nunit_required = true\n\
                       [[pipeline.stage]]\ndo = \"validate\"\nonly = \"state\"\none_of = [\"on\", \"off\"]\n\
                       [[pipeline.stage]]\ndo = \"validate\"\nonly = \"note\"\nbytes_max = 4\n");
    let with_unit = |unit: &str| Reading { unit: Some(unit.into()), ..reading("x", 0.0, 1.0) };
    assert_eq!(one(&mut fog, &with_unit("kW")).accepted.len(), 1);
    assert_eq!(*refused(&one(&mut fog, &with_unit("V"))), Refused::Unit("V".into()));
    assert_eq!(*refused(&one(&mut fog, &reading("x", 0.0, 1.0))), Refused::NoUnit);
    assert_eq!(*refused(&one(&mut fog, &reading("x", 0.0, true))), Refused::Type { expected: "number", found: "boolean" });
    assert_eq!(one(&mut fog, &reading("state", 0.0, "on")).accepted.len(), 1);
    assert_eq!(*refused(&one(&mut fog, &reading("state", 0.0, "broken"))), Refused::NotOneOf);
    assert_eq!(one(&mut fog, &reading("note", 0.0, "four")).accepted.len(), 1);
    assert_eq!(*refused(&one(&mut fog, &reading("note", 0.0, "fives"))), Refused::TooLong { found: 5, limit: 4 });
    assert_eq!(one(&mut fog, &reading("other", 0.0, "anything")).accepted.len(), 1);
}

#[test]
fn fog_13_ranges() {
    let mut both = fog("[[pipeline.stage]]\ndo = \"validate\"\nmin = -1\nmax = 2.5\n");
    assert_eq!(passing(&mut both, &[-1.1, -1.0, 0.0, 2.5, 2.6]), [-1.0, 0.0, 2.5]);
    let mut least = fog("[[pipeline.stage]]\ndo = \"validate\"\nmin = 0\n");
    assert_eq!(passing(&mut least, &[-1.0, 1e300]), [1e300]);
    assert_eq!(*refused(&one(&mut least, &reading("x", 9.0, -1.0))), Refused::Below { value: -1.0, min: 0.0 });
    assert_eq!(*refused(&one(&mut both, &reading("x", 9.0, 3.0))), Refused::Above { value: 3.0, max: 2.5 });
}

#[test]
fn fog_14_rates_of_change() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"validate\"\nrate_max_per_s = 2\n");
    // 9 is a spike: refused, and not what 3 is compared with; a true jump is believed once enough time has gone by
    assert_eq!(passing(&mut fog, &[1.0, 9.0, 3.0, 5.0]), [1.0, 3.0, 5.0]);
    assert_eq!(passing(&mut fog, &[1.0]), [1.0], "what is older than the last is not compared");
    let outcome = one(&mut fog, &reading("x", 4.0, 105.0));
    assert_eq!(*refused(&outcome), Refused::Rate { found: 100.0, limit: 2.0 });
    assert_eq!(one(&mut fog, &reading("x", 53.0, 105.0)).accepted.len(), 1);
    assert_eq!(one(&mut fog, &reading("y", 4.0, 105.0)).accepted.len(), 1, "each data type has its own");
}

#[test]
fn fog_15_conditions() {
    let mut fog =
        fog("constants = { night = \"m2\" }\n[[pipeline.stage]]\ndo = \"validate\"\ncondition = \"value > 0 || device == night\"\n");
    assert_eq!(one(&mut fog, &reading("x", 0.0, 1.0)).accepted.len(), 1);
    assert!(matches!(refused(&one(&mut fog, &reading("x", 0.0, -1.0))), Refused::Condition(_)));
    let bytes = Reading { value: Value::Bytes(vec![1]), ..reading("x", 0.0, 1.0) };
    assert!(matches!(refused(&one(&mut fog, &bytes)), Refused::Expression { .. }));
}

#[test]
fn fog_16_units_are_converted() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"normalise\"\nunit = \"W\"\nassume_unit = \"kW\"\n");
    let with_unit = |unit: Option<&str>| Reading { unit: unit.map(str::to_owned), ..reading("x", 0.0, 1.5) };
    for (unit, value) in [(Some("W"), 1.5), (Some("kW"), 1500.0), (Some("mW"), 0.0015), (None, 1500.0)] {
        let outcome = one(&mut fog, &with_unit(unit));
        assert_eq!((&outcome.accepted[0].value, outcome.accepted[0].unit.as_deref()), (&Value::Number(value), Some("W")), "{unit:?}");
    }
    assert!(matches!(refused(&one(&mut fog, &with_unit(Some("V")))), Refused::Convert { .. }));
    assert_eq!(one(&mut fog, &reading("x", 0.0, "text")).accepted[0].unit, None, "only numbers have units to convert");
}

#[test]
fn fog_17_raw_numbers_are_scaled() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"normalise\"\nscale = 0.5\noffset = -40\nassume_unit = \"Cel\"\nunit = \"K\"\n");
    let outcome = one(&mut fog, &reading("x", 0.0, 120.0));
    assert_eq!((&outcome.accepted[0].value, outcome.accepted[0].unit.as_deref()), (&Value::Number(293.15), Some("K")));
    let mut beyond = self::fog("[[pipeline.stage]]\ndo = \"normalise\"\nscale = 10\n");
    assert_eq!(*refused(&one(&mut beyond, &reading("x", 0.0, f64::MAX))), Refused::NotFinite);
}

#[test]
fn fog_18_clocks_and_rounding() {
    let mut replaced =
        fog("[[pipeline.stage]]\ndo = \"normalise\"\nahead_max_s = 5\nbehind_max_s = 60\ntime = \"arrival\"\nround_s = 10\n");
    let at = |fog: &mut Fog, after_s: f64| fog.process(&[reading("x", after_s, 1.0)], us(100.0));
    for (sent, kept) in [(99.0, 90.0), (105.0, 100.0), (105.1, 100.0), (40.0, 40.0), (39.0, 100.0)] {
        assert_eq!(at(&mut replaced, sent).accepted[0].time_us, us(kept), "{sent}");
    }
    let mut rejected = fog("[[pipeline.stage]]\ndo = \"normalise\"\nahead_max_s = 5\nbehind_max_s = 60\ntime = \"reject\"\n");
    assert_eq!(*refused(&at(&mut rejected, 107.0)), Refused::Ahead(7));
    assert_eq!(*refused(&at(&mut rejected, 0.0)), Refused::Behind(100));
    assert_eq!(at(&mut rejected, 101.0).accepted[0].time_us, us(101.0));
}

#[test]
fn fog_19_repetitions_are_counted() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"normalise\"\nduplicates = 2\n");
    let numbered = |sequence: u64, value: f64| Reading { sequence: Some(sequence), ..reading("x", 0.0, value) };
    let passes = |fog: &mut Fog, reading: Reading| {
        let outcome = one(fog, &reading);
        assert_eq!(outcome.accepted.len() as u64 + outcome.counts.duplicates, 1);
        outcome.accepted.len() == 1
    };
    assert!(passes(&mut fog, numbered(1, 5.0)));
    assert!(!passes(&mut fog, numbered(1, 5.0)));
    assert!(passes(&mut fog, numbered(1, 6.0)), "a device that starts anew counts from the beginning");
    assert!(passes(&mut fog, numbered(2, 5.0)));
    assert!(passes(&mut fog, numbered(1, 5.0)), "two are remembered");
    assert!(passes(&mut fog, reading("x", 0.0, 5.0)) && passes(&mut fog, reading("x", 0.0, 5.0)), "without a number");
    let other = Reading { topic: "plant/m2/sense/x".parse().unwrap(), ..numbered(2, 5.0) };
    assert!(passes(&mut fog, other), "another device");
}

#[test]
fn fog_20_deadbands() {
    let mut absolute = fog("[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 0.5\n");
    assert_eq!(passing(&mut absolute, &[1.0, 1.5, 1.4, 1.6, 1.2, 1.0]), [1.0, 1.6, 1.0]);
    let mut percent = fog("[[pipeline.stage]]\ndo = \"filter\"\ndeadband_percent = 10\n");
    assert_eq!(passing(&mut percent, &[100.0, 109.0, 111.0, 120.0, 123.0]), [100.0, 111.0, 123.0]);
    let mut silence = fog("[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 0.5\nsilence_max_s = 3\n");
    assert_eq!(passing(&mut silence, &[1.0, 1.1, 1.2, 1.3, 1.4, 1.4, 1.4]), [1.0, 1.3, 1.4]);
    let mut texts = fog("[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 0\n");
    let passed: Vec<usize> = ["a", "a", "b", "b", "a"]
        .into_iter()
        .enumerate()
        .map(|(n, text)| one(&mut texts, &reading("x", n as f64, text)).accepted.len())
        .collect();
    assert_eq!(passed, [1, 0, 1, 0, 1]);
    let outcome = one(&mut texts, &reading("x", 9.0, "a"));
    assert_eq!((outcome.accepted.len(), outcome.counts.filtered), (0, 1));
}

#[test]
fn fog_21_and_22_every_and_when() {
    let mut every = fog("[[pipeline.stage]]\ndo = \"filter\"\nevery = 3\n");
    assert_eq!(passing(&mut every, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [0.0, 3.0, 6.0]);
    let mut when = fog("[[pipeline.stage]]\ndo = \"filter\"\nwhen = \"value % 2 == 0\"\n");
    assert_eq!(passing(&mut when, &[0.0, 1.0, 2.0, 3.0]), [0.0, 2.0]);
    let mut unsure = fog("[[pipeline.stage]]\ndo = \"filter\"\nwhen = \"value\"\n");
    assert!(matches!(refused(&one(&mut unsure, &reading("x", 0.0, 1.0))), Refused::Expression { .. }));
    assert_eq!(one(&mut unsure, &reading("x", 0.0, true)).accepted.len(), 1);
}

const MINUTES: &str =
    "[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = [\"count\", \"mean\", \"min\", \"max\", \"sum\", \"first\", \"last\"]\n";

#[test]
fn fog_23_and_26_a_window_tells_what_was_in_it() {
    let mut fog = fog(MINUTES);
    for (after_s, number) in [(0.0, 3.0), (20.0, 1.0), (59.9, 5.0)] {
        let outcome = one(&mut fog, &reading("x", after_s, number));
        assert_eq!((outcome.accepted.len(), outcome.derived.len()), (1, 0));
    }
    let outcome = one(&mut fog, &reading("x", 60.0, 7.0));
    let expected = ["x.count 0 3", "x.mean 0 3", "x.min 0 1", "x.max 0 5", "x.sum 0 9", "x.first 0 3", "x.last 0 5"];
    assert_eq!(derived(&outcome), expected);
    assert_eq!(outcome.accepted.len(), 1);
    let long = "d".repeat(60);
    let mut fog = self::fog(MINUTES);
    one(&mut fog, &reading(&long, 0.0, 1.0));
    let outcome = one(&mut fog, &reading(&long, 60.0, 1.0));
    assert_eq!(derived(&outcome).len(), 3, "the names that fit");
    assert!(matches!(outcome.rejected[0].reason, Refused::Name { .. }));
}

#[test]
fn fog_23_windows_may_overlap() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nstep_s = 20\nemit = \"sum\"\n");
    for n in 0..6 {
        one(&mut fog, &reading("x", f64::from(n) * 20.0, 1.0));
    }
    // those that ended before are told; [100, 160) goes on
    let outcome = fog.process(&[reading("x", 140.0, 1.0)], us(140.0));
    assert_eq!(derived(&outcome), ["x.sum 60 3", "x.sum 80 2"]);
}

#[test]
fn fog_24_time_alone_closes_a_window() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nlateness_s = 10\nemit = \"count\"\n");
    // the reading is 100 s old when it arrives: its series is 100 s behind
    fog.process(&[reading("x", 30.0, 1.0)], us(130.0));
    assert_eq!(fog.next_tick_us(), Some(us(170.0)), "30 + 40 = 60 + 10");
    assert_eq!(fog.oldest_open_us(), Some(us(130.0)));
    assert_eq!(fog.tick(us(169.9)), Outcome::default());
    assert_eq!(derived(&fog.tick(us(170.0))), ["x.count 0 1"]);
    assert_eq!((fog.next_tick_us(), fog.oldest_open_us()), (None, None));
    assert_eq!(fog.tick(u64::MAX), Outcome::default());
}

#[test]
fn fog_25_late_readings_pass_and_are_counted() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nlateness_s = 10\nemit = \"count\"\n");
    one(&mut fog, &reading("x", 0.0, 1.0));
    one(&mut fog, &reading("x", 69.0, 1.0));
    assert_eq!(one(&mut fog, &reading("x", 59.0, 1.0)).counts.late, 0, "the first window waits until 70");
    assert_eq!(derived(&one(&mut fog, &reading("x", 70.0, 1.0))), ["x.count 0 2"]);
    let outcome = one(&mut fog, &reading("x", 59.5, 1.0));
    assert_eq!((outcome.accepted.len(), outcome.counts.late, outcome.derived.len()), (1, 1, 0));
}

#[test]
fn fog_26_units_of_a_window_are_one() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = [\"mean\", \"count\"]\n");
    let with_unit = |after_s: f64, unit: &str| Reading { unit: Some(unit.into()), ..reading("x", after_s, 1.0) };
    one(&mut fog, &with_unit(0.0, "W"));
    assert!(matches!(refused(&one(&mut fog, &with_unit(1.0, "kW"))), Refused::Mixed { .. }));
    let outcome = fog.tick(us(60.0));
    assert_eq!((outcome.derived[0].unit.as_deref(), outcome.derived[1].unit.as_deref()), (Some("W"), None));
    assert_eq!(one(&mut fog, &with_unit(70.0, "kW")).accepted.len(), 1, "a window of its own");
    let mut duty = self::fog("[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = \"mean\"\n");
    for (after_s, on) in [(0.0, true), (1.0, false), (2.0, true), (3.0, true)] {
        one(&mut duty, &reading("x", after_s, on));
    }
    assert_eq!(derived(&duty.tick(us(60.0))), ["x.mean 0 0.75"]);
    assert_eq!(one(&mut duty, &reading("x", 61.0, "text")).accepted.len(), 1);
}

#[test]
fn fog_27_windows_may_keep_nothing_and_feed_others() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = \"mean\"\nkeep = false\n\
                       [[pipeline.stage]]\ndo = \"window\"\nonly = \"x.mean\"\nsize_s = 120\nemit = \"max\"\n");
    let mut all = Vec::new();
    for n in 0..24 {
        let outcome = one(&mut fog, &reading("x", f64::from(n) * 10.0, f64::from(n)));
        assert_eq!((outcome.accepted.len(), outcome.counts.filtered), (0, 1));
        all.extend(derived(&outcome));
    }
    all.extend(derived(&fog.tick(us(240.0))));
    assert_eq!(all, ["x.mean 0 2.5", "x.mean 60 8.5", "x.mean.max 0 8.5", "x.mean 120 14.5", "x.mean 180 20.5"].map(str::to_owned));
}

#[test]
fn fog_28_readings_are_computed() {
    let mut fog = fog(
        "constants = { factor = 2 }\n[[pipeline.stage]]\ndo = \"enrich\"\nonly = \"x\"\ndata_type = \"x.double\"\nexpression = \"value * factor\"\nunit = \"W\"\n",
    );
    let outcome = one(&mut fog, &reading("x", 1.0, 21.0));
    assert_eq!((outcome.accepted.len(), derived(&outcome)), (1, vec!["x.double 1 42".to_owned()]));
    assert_eq!(outcome.derived[0].unit.as_deref(), Some("W"));
    let outcome = one(&mut fog, &reading("x", 1.0, "text"));
    assert!(matches!(outcome.rejected[0].reason, Refused::Expression { .. }));
    assert_eq!(outcome.accepted.len(), 1, "the reading itself goes on");
}

#[test]
fn fog_29_inputs_of_one_time_belong_together() {
    let stage = |more: &str| {
        format!(
            "[[pipeline.stage]]\ndo = \"enrich\"\ndata_type = \"power\"\nexpression = \"u * i\"\ninputs = {{ u = \"voltage\", i = \"current\" }}\n{more}"
        )
    };
    let mut exact = fog(&stage(""));
    assert!(derived(&one(&mut exact, &reading("voltage", 0.0, 230.0))).is_empty());
    assert_eq!(derived(&one(&mut exact, &reading("current", 0.0, 2.0))), ["power 0 460"]);
    assert!(derived(&one(&mut exact, &reading("voltage", 1.0, 231.0))).is_empty(), "the current is a second old");
    assert_eq!(derived(&one(&mut exact, &reading("current", 1.0, 3.0))), ["power 1 693"]);
    let mut aged = fog(&stage("age_max_s = 1"));
    one(&mut aged, &reading("voltage", 0.0, 230.0));
    one(&mut aged, &reading("current", 0.0, 2.0));
    assert_eq!(derived(&one(&mut aged, &reading("current", 1.0, 1.0))), ["power 1 230"]);
    assert!(derived(&one(&mut aged, &reading("current", 1.5, 1.0))).is_empty());
    let other = Reading { topic: "plant/m2/sense/voltage".parse().unwrap(), ..reading("voltage", 1.5, 1.0) };
    assert!(derived(&one(&mut aged, &other)).is_empty(), "inputs are of one device");
    let outcome = one(&mut aged, &reading("voltage", 2.0, &*"x".repeat(300)));
    assert!(matches!(outcome.rejected[0].reason, Refused::Input(256)));
}

/// What actuators were told: topic, value.
fn told(outcome: &Outcome) -> Vec<String> {
    outcome.commands.iter().map(|c| format!("{} {}", c.topic, c.value)).collect()
}

#[test]
fn fog_30_thresholds_have_hysteresis() {
    let mut fog = fog(
        "[[pipeline.stage]]\ndo = \"rule\"\nname = \"fan\"\nonly = \"x\"\non_above = 28\noff_below = 25\npublish = \"+/+/act/fan\"\non = true\noff = false\n",
    );
    let mut all = Vec::new();
    for (second, number) in [26.0, 28.0, 28.1, 30.0, 26.0, 25.0, 24.9, 26.0, 29.0].into_iter().enumerate() {
        let outcome = one(&mut fog, &reading("x", second as f64, number));
        assert_eq!(outcome.accepted.len(), 1);
        all.extend(told(&outcome).into_iter().map(|told| format!("{number}: {told}")));
    }
    assert_eq!(all, ["28.1: plant/m1/act/fan true", "24.9: plant/m1/act/fan false", "29: plant/m1/act/fan true"].map(str::to_owned));
    assert!(told(&one(&mut fog, &reading("x", 3.0, 0.0))).is_empty(), "what is older than the newest calls for nothing");
    let other = Reading { topic: "plant/m2/sense/x".parse().unwrap(), ..reading("x", 0.0, 20.0) };
    let outcome = one(&mut fog, &other);
    assert_eq!(told(&outcome), ["plant/m2/act/fan false"], "each device has a state; the first that is clear is told");
    let command = &outcome.commands[0];
    assert_eq!((command.pipeline.as_str(), command.rule.as_str(), command.time_us), ("p", "fan", us(0.0)));
    assert_eq!(command.cause.as_ref().unwrap().to_string(), format!("plant/m2/sense/x@{}", us(0.0)));
    assert_eq!(command.reading().topic.to_string(), "plant/m2/act/fan");
    let mut heat = self::fog(
        "[[pipeline.stage]]\ndo = \"rule\"\nname = \"heat\"\non_below = 18\noff_above = 20\npublish = \"plant/boiler/act/heat\"\non = 1\n",
    );
    assert_eq!(told(&one(&mut heat, &reading("x", 0.0, 17.0))), ["plant/boiler/act/heat 1"]);
    assert!(told(&one(&mut heat, &reading("x", 1.0, 21.0))).is_empty(), "nothing is told of what has no value");
    assert_eq!(told(&one(&mut heat, &reading("x", 2.0, 17.0))), ["plant/boiler/act/heat 1"]);
}

#[test]
fn fog_31_conditions_with_and_without_an_end() {
    let rule = |more: &str| {
        format!("[[pipeline.stage]]\ndo = \"rule\"\nname = \"r\"\npublish = \"+/+/act/v\"\non = \"open\"\noff = \"shut\"\n{more}")
    };
    let mut plain = fog(&rule("only = \"x\"\nwhen = \"value > 3\"\n"));
    let values: Vec<String> =
        [1.0, 4.0, 4.0, 3.0].iter().enumerate().flat_map(|(n, v)| told(&one(&mut plain, &reading("x", n as f64, *v)))).collect();
    assert_eq!(values, ["plant/m1/act/v \"shut\"", "plant/m1/act/v \"open\"", "plant/m1/act/v \"shut\""].map(str::to_owned));
    let mut until = fog(&rule(
        "when = \"t > 28 && rh < 60\"\nuntil = \"t < 25\"\ninputs = { t = \"temperature\", rh = \"humidity\" }\nage_max_s = 60\n",
    ));
    let mut send = |data_type: &str, after_s: f64, number: f64| told(&one(&mut until, &reading(data_type, after_s, number))).len();
    assert_eq!(send("temperature", 0.0, 29.0), 0, "the humidity is not known");
    assert_eq!(send("humidity", 1.0, 50.0), 1);
    assert_eq!(send("humidity", 2.0, 70.0), 0);
    assert_eq!(send("temperature", 3.0, 26.0), 0);
    assert_eq!(send("temperature", 4.0, 24.0), 1);
    assert_eq!(send("temperature", 65.0, 29.0), 0, "the humidity is too old");
}

#[test]
fn fog_32_a_state_is_held() {
    let mut fog = fog(
        "[[pipeline.stage]]\ndo = \"rule\"\nname = \"pump\"\nonly = \"x\"\non_above = 5\noff_below = 5\nhold_s = 60\npublish = \"+/+/act/pump\"\non = 1\noff = 0\n",
    );
    assert_eq!(told(&one(&mut fog, &reading("x", 0.0, 6.0))), ["plant/m1/act/pump 1"]);
    assert_eq!(fog.next_tick_us(), None);
    assert!(told(&one(&mut fog, &reading("x", 10.0, 4.0))).is_empty());
    assert_eq!(fog.next_tick_us(), Some(us(60.0)));
    assert!(told(&one(&mut fog, &reading("x", 20.0, 6.0))).is_empty());
    assert_eq!(fog.next_tick_us(), None, "it is as it should be again");
    assert!(told(&one(&mut fog, &reading("x", 30.0, 4.0))).is_empty());
    assert!(told(&fog.tick(us(59.0))).is_empty());
    let outcome = fog.tick(us(60.0));
    assert_eq!(told(&outcome), ["plant/m1/act/pump 0"]);
    assert_eq!((outcome.commands[0].cause.is_none(), outcome.commands[0].time_us), (true, us(60.0)));
    assert!(told(&fog.tick(us(61.0))).is_empty());
    assert_eq!(told(&one(&mut fog, &reading("x", 120.0, 6.0))), ["plant/m1/act/pump 1"]);
}

#[test]
fn fog_33_what_is_remembered_is_bounded() {
    let mut fog = fog("[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 0\n");
    let of = |n: usize| Reading { topic: format!("plant/d{n}/sense/x").parse().unwrap(), ..reading("x", 0.0, 1.0) };
    let readings: Vec<Reading> = (0..=edge::fog::SERIES_MAX).map(of).collect();
    let outcome = fog.process(&readings, us(0.0));
    assert_eq!((outcome.accepted.len(), outcome.counts.forgotten), (readings.len(), 1));
    assert_eq!(fog.series(), edge::fog::SERIES_MAX);
    assert_eq!(one(&mut fog, &of(1)).counts.filtered, 1, "remembered");
    assert_eq!(one(&mut fog, &of(0)).accepted.len(), 1, "the one used longest ago is forgotten");
}

#[test]
fn fog_34_a_snapshot_is_of_one_configuration() {
    let stages = "[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 0.5\n";
    let mut fog = fog(stages);
    one(&mut fog, &reading("x", 0.0, 1.0));
    let snapshot = fog.snapshot();
    let mut same = self::fog(&format!("# a comment\n{stages}\n"));
    same.restore(&snapshot).unwrap();
    assert_eq!(one(&mut same, &reading("x", 1.0, 1.2)).counts.filtered, 1);
    let mut other = self::fog("[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 0.6\n");
    assert_eq!(other.restore(&snapshot), Err(SnapshotError::OtherPipelines));
    assert_eq!(one(&mut other, &reading("x", 1.0, 1.2)).accepted.len(), 1, "it begins anew");
    let mut newer = snapshot.clone();
    newer[0] = 9;
    assert_eq!(same.restore(&newer), Err(SnapshotError::Version(9)));
    for cut in 0..snapshot.len() {
        assert!(same.restore(&snapshot[..cut]).is_err(), "{cut}");
    }
    assert!(same.restore(&[snapshot, vec![0]].concat()).is_err());
}

#[test]
fn fog_36_an_expression_cannot_run_away() {
    let sum = |terms: usize| format!("[[pipeline.stage]]\ndo = \"filter\"\nwhen = \"value > {}\"\n", vec!["1"; terms].join("+"));
    let mut fog = fog(&sum(50));
    assert_eq!(passing(&mut fog, &[49.0, 51.0]), [51.0]);
    // each sum holds the one before it
    let deep = format!("[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/+\"\n{}", sum(240));
    let why = Fog::load(&deep, "pipelines.toml").unwrap_err().to_string();
    assert!(why.starts_with("pipelines.toml:6:") && why.contains("complex"), "{why}");
}

/// Of many windows that are due, a caller takes as many as it likes at a time.
#[test]
fn fog_49_a_tick_may_be_taken_in_parts() {
    let stages = "[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = \"count\"\n";
    let of = |n: usize| Reading { topic: format!("plant/d{n}/sense/x").parse().unwrap(), ..reading("x", 1.0, 1.0) };
    let (mut whole, mut parts) = (fog(stages), fog(stages));
    (0..5).for_each(|n| drop((one(&mut whole, &of(n)), one(&mut parts, &of(n)))));
    let mut told = Vec::new();
    for left in [5, 3, 1] {
        assert_eq!((parts.open_windows(), parts.next_tick_us()), (left, Some(us(60.0))));
        told.extend(parts.tick_some(us(60.0), 2).derived);
    }
    assert_eq!((parts.open_windows(), parts.next_tick_us()), (0, None));
    assert_eq!(told, whole.tick(us(60.0)).derived);
}

/// Pipelines that stay as they are take their state along; of those that go, windows are told as they are.
#[test]
fn fog_46_what_is_unchanged_goes_on() {
    const POWER: &str = "[[pipeline]]\nname = \"power\"\nmatch = \"plant/+/sense/power\"\n[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = \"sum\"\n";
    const HEAT: &str = "[[pipeline]]\nname = \"heat\"\nmatch = \"plant/+/sense/heat\"\n[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 1\n[[pipeline.stage]]\ndo = \"window\"\nsize_s = 60\nemit = \"sum\"\n[[pipeline.stage]]\ndo = \"enrich\"\ndata_type = \"heat.twice\"\nexpression = \"s * 2\"\ninputs = { s = \"heat.sum\" }\n";
    let load = |text: &str| Fog::load(text, "pipelines.toml").unwrap();
    let mut older = load(&format!("{HEAT}{POWER}"));
    for (second, number) in [(0.0, 1.0), (1.0, 2.0)] {
        one(&mut older, &reading("power", second, number));
        one(&mut older, &reading("heat", second, 10.0 * number));
    }
    // only comments and places differ: nothing goes
    assert!(older.outdated_by(&load(&format!("# power first\n{POWER}{HEAT}"))).is_empty());
    let mut newer = load(&format!("{POWER}{}", HEAT.replace("deadband = 1", "deadband = 2")));
    let gone = older.outdated_by(&newer);
    assert_eq!(gone, [0, 1, 2]);
    let (outcome, more) = older.close_some(&gone, us(2.0), 10);
    assert_eq!((derived(&outcome), more), (vec!["heat.sum 0 30".to_owned(), "heat.twice 0 60".to_owned()], false));
    assert_eq!(derived(&older.close_some(&gone, us(2.0), 10).0), Vec::<String>::new(), "they are told once");
    newer.adopt(&older);
    assert_eq!(newer.open_windows(), 1);
    one(&mut newer, &reading("heat", 2.0, 20.5));
    assert_eq!(derived(&one(&mut newer, &reading("power", 60.0, 0.0))), ["power.sum 0 3"]);
    assert_eq!(derived(&one(&mut newer, &reading("heat", 60.0, 0.0))), ["heat.sum 0 20.5", "heat.twice 0 41"]);
}

/// What the windows of one stage tell when they are closed may open windows of a later one: these are told too.
#[test]
fn fog_46_windows_behind_windows_are_told_too() {
    let minutes = "[[pipeline.stage]]\ndo = \"window\"\nonly = \"power\"\nsize_s = 60\nemit = \"mean\"\n";
    let longer = "[[pipeline.stage]]\ndo = \"window\"\nonly = \"power.mean\"\nsize_s = 120\nemit = \"count\"\n";
    let mut older = fog(&format!("{minutes}{longer}"));
    one(&mut older, &reading("power", 0.0, 1.0));
    one(&mut older, &reading("power", 1.0, 3.0));
    let (outcome, more) = older.close_some(&[0, 1], us(2.0), 1);
    assert_eq!((derived(&outcome), more), (vec!["power.mean 0 2".to_owned()], true));
    let (outcome, more) = older.close_some(&[0, 1], us(2.0), 1);
    assert_eq!(derived(&outcome), ["power.mean.count 0 1"]);
    assert!(!more && older.open_windows() == 0);
}

/// A signature is of what the device signed: whoever changes a reading takes it off.
#[test]
fn fog_50_a_changed_reading_bears_no_signature() {
    let by = DeviceSignature { key: PublicKey([1; 32]), signature: Signature([2; 64]) };
    let signed = Reading { unit: Some("V".into()), sequence: Some(7), signed: Some(by), ..reading("x", 0.0, 5.0) };
    let mut same =
        fog("[[pipeline.stage]]\ndo = \"normalise\"\nunit = \"V\"\nduplicates = 4\n[[pipeline.stage]]\ndo = \"filter\"\ndeadband = 1\n");
    assert_eq!(one(&mut same, &signed).accepted, std::slice::from_ref(&signed));
    let mut other = fog("[[pipeline.stage]]\ndo = \"normalise\"\nunit = \"mV\"\n");
    let outcome = one(&mut other, &signed);
    let changed = Reading { unit: Some("mV".into()), value: Value::Number(5000.0), signed: None, ..signed };
    assert_eq!((outcome.accepted, outcome.derived), (Vec::new(), vec![changed]));
}
