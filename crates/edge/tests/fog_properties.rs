//! Pipelines against simple models, and against themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::fog::{Fog, Outcome};
use proptest::prelude::*;
use protocol::{Decode, Encode, Reading, Value};
use std::collections::BTreeMap;

const SECOND_US: u64 = 1_000_000;
const START_US: u64 = 1_700_000_000 * SECOND_US;

fn reading(device: u8, data_type: &str, after_s: u64, value: Value, sequence: Option<u64>) -> Reading {
    let topic = format!("plant/m{device}/sense/{data_type}").parse().unwrap();
    Reading { topic, time_us: START_US + after_s * SECOND_US, sequence, unit: None, value, signed: None }
}

fn load(stages: &str) -> Fog {
    Fog::load(&format!("[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/+\"\n{stages}"), "p").unwrap_or_else(|why| panic!("{why}"))
}

/// A window of the model: count, sum, min, max.
type Model = (u64, f64, f64, f64);

/// What windows should tell of readings that arrive in this order: each is in every window that holds its time and had
/// not closed when it came.
fn model(sent: &[(u64, f64)], size_s: u64, step_s: u64, lateness_s: u64) -> BTreeMap<u64, Model> {
    let mut windows: BTreeMap<u64, Model> = BTreeMap::new();
    let mut newest_us = 0;
    for (after_s, number) in sent {
        let time_us = START_US + after_s * SECOND_US;
        let closed_us = newest_us.max(lateness_s * SECOND_US) - lateness_s * SECOND_US;
        let first = (time_us / SECOND_US - size_s - step_s) / step_s;
        for start_us in (first..).map(|n| n * step_s * SECOND_US).take_while(|start_us| *start_us <= time_us) {
            let end_us = start_us + size_s * SECOND_US;
            if time_us < end_us && end_us > closed_us {
                let window = windows.entry(start_us).or_insert((0, 0.0, f64::INFINITY, f64::NEG_INFINITY));
                *window = (window.0 + 1, window.1 + number, window.2.min(*number), window.3.max(*number));
            }
        }
        newest_us = newest_us.max(time_us);
    }
    windows
}

/// Everything a fog still has to tell.
fn drained(fog: &mut Fog) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while let Some(due_us) = fog.next_tick_us() {
        outcomes.push(fog.tick(due_us));
    }
    outcomes
}

/// Stages that remember everything there is to remember.
const EVERYTHING: &str = r#"
constants = { hot = 5 }
[[pipeline.stage]]
do = "normalise"
duplicates = 4
[[pipeline.stage]]
do = "validate"
rate_max_per_s = 8
only = ["a", "b"]
[[pipeline.stage]]
do = "enrich"
data_type = "c"
expression = "a * b"
inputs = { a = "a", b = "b" }
age_max_s = 5
[[pipeline.stage]]
do = "window"
size_s = 10
step_s = 5
lateness_s = 3
emit = ["count", "sum", "min", "max", "last"]
[[pipeline.stage]]
do = "filter"
deadband = 0.5
silence_max_s = 7
only = ["a", "c"]
[[pipeline.stage]]
do = "filter"
every = 2
only = "b"
[[pipeline.stage]]
do = "rule"
name = "threshold"
only = "a"
on_above = 6
off_below = 4
hold_s = 4
publish = "+/+/act/v"
on = true
off = false
[[pipeline.stage]]
do = "rule"
name = "both"
when = "a > hot && b > hot"
until = "a < b"
inputs = { a = "a", b = "b" }
age_max_s = 10
hold_s = 2
publish = "plant/roof/act/v"
on = "open"
off = "shut"
"#;

/// What happens to a fog: readings arrive, or time passes.
#[derive(Clone, Debug)]
enum Event {
    Arrive { late_s: u64, readings: Vec<Reading> },
    Tick,
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let value = prop_oneof![
        8 => (-2.0..10.0f64).prop_map(|number| Value::number(number).unwrap()),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => "[a-c]{0,2}".prop_map(Value::Text),
    ];
    let one = (0..3u8, prop_oneof![Just("a"), Just("b"), Just("d")], 0..12u64, value, proptest::option::of(0..4u64));
    let readings = proptest::collection::vec(
        one.prop_map(|(device, data_type, back_s, value, n)| reading(device, data_type, 100 - back_s, value, n)),
        1..4,
    );
    let what =
        prop_oneof![4 => (0..5u64, readings).prop_map(|(late_s, readings)| Event::Arrive { late_s, readings }), 1 => Just(Event::Tick)];
    (0..6u64, what)
}

/// Lets events happen, the first so many seconds after the start; what came of each.
fn happen(fog: &mut Fog, now_s: &mut u64, events: &[(u64, Event)]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (wait_s, event) in events {
        *now_s += wait_s;
        let now_us = START_US + (100 + *now_s) * SECOND_US;
        outcomes.push(match event {
            Event::Tick => fog.tick(now_us),
            Event::Arrive { late_s, readings } => {
                let moved = |r: &Reading| Reading { time_us: r.time_us + (*now_s - (*now_s).min(*late_s)) * SECOND_US, ..r.clone() };
                fog.process(&readings.iter().map(moved).collect::<Vec<_>>(), now_us)
            }
        });
    }
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_are_those_of_a_simple_model(
        sent in proptest::collection::vec((0..200u64, -100.0..100.0f64), 1..60),
        size_s in 1..40u64, steps in 1..4u64, lateness_s in 0..30u64,
    ) {
        let step_s = size_s.div_ceil(steps);
        prop_assume!((size_s + lateness_s) / step_s <= 60);
        let mut fog = load(&format!("[[pipeline.stage]]\ndo = \"window\"\nsize_s = {size_s}\nstep_s = {step_s}\nlateness_s = {lateness_s}\nemit = [\"count\", \"sum\", \"min\", \"max\"]\n"));
        let mut outcomes = Vec::new();
        for (after_s, number) in &sent {
            let reading = reading(0, "x", *after_s, Value::Number(*number), None);
            outcomes.push(fog.process(std::slice::from_ref(&reading), reading.time_us));
        }
        outcomes.extend(drained(&mut fog));
        let mut found: BTreeMap<u64, BTreeMap<String, f64>> = BTreeMap::new();
        for told in outcomes.iter().flat_map(|outcome| &outcome.derived) {
            let Value::Number(number) = told.value else { panic!("a number") };
            let before = found.entry(told.time_us).or_default().insert(told.topic.data_type.to_string(), number);
            prop_assert!(before.is_none(), "a window is told once");
        }
        let expected: BTreeMap<u64, BTreeMap<String, f64>> = model(&sent, size_s, step_s, lateness_s)
            .into_iter()
            .map(|(start_us, (count, sum, min, max))| {
                let named = [("x.count", count as f64), ("x.sum", sum), ("x.min", min), ("x.max", max)];
                (start_us, named.into_iter().map(|(name, number)| (name.to_owned(), number)).collect())
            })
            .collect();
        prop_assert_eq!(found, expected);
    }

    /// The state is what the last reading beyond a threshold called for, and only changes are told.
    #[test]
    fn a_rule_is_a_switch_with_two_thresholds(numbers in proptest::collection::vec(0..10u8, 1..50), off in 1..5u8, gap in 0..4u8) {
        let on = off + gap;
        let mut fog = load(&format!("[[pipeline.stage]]\ndo = \"rule\"\nname = \"r\"\non_above = {on}\noff_below = {off}\npublish = \"+/+/act/v\"\non = true\noff = false\n"));
        let (mut state, mut expected, mut found) = (None, Vec::new(), Vec::new());
        for (second, number) in numbers.iter().enumerate() {
            let wanted = if *number > on { Some(true) } else if *number < off { Some(false) } else { None };
            if wanted.is_some() && wanted != state {
                state = wanted;
                expected.push((second, Value::Boolean(wanted == Some(true))));
            }
            let reading = reading(0, "x", second as u64, Value::Number(f64::from(*number)), None);
            let outcome = fog.process(std::slice::from_ref(&reading), reading.time_us);
            found.extend(outcome.commands.into_iter().map(|command| (second, command.value)));
        }
        prop_assert_eq!(found, expected);
    }

    /// Two changes of an actuator are never closer than the time it is to be held.
    #[test]
    fn a_held_state_is_held(events in proptest::collection::vec((0..10u64, 0..10u8), 1..60)) {
        let mut fog = load("[[pipeline.stage]]\ndo = \"rule\"\nname = \"r\"\non_above = 5\noff_below = 5\nhold_s = 15\npublish = \"+/+/act/v\"\non = true\noff = false\n");
        let (mut after_s, mut told) = (0, Vec::new());
        for (wait_s, number) in &events {
            after_s += wait_s;
            told.extend(fog.tick(START_US + after_s * SECOND_US).commands);
            let reading = reading(0, "x", after_s, Value::Number(f64::from(*number)), None);
            told.extend(fog.process(std::slice::from_ref(&reading), reading.time_us).commands);
        }
        told.extend(drained(&mut fog).into_iter().flat_map(|outcome| outcome.commands));
        for pair in told.windows(2) {
            prop_assert!(pair[1].time_us - pair[0].time_us >= 15 * SECOND_US);
            prop_assert_ne!(&pair[0].value, &pair[1].value);
        }
        let last = events.iter().rev().find(|(_, number)| *number != 5);
        let wanted = last.map(|(_, number)| Value::Boolean(*number > 5));
        prop_assert_eq!(told.last().map(|command| command.value.clone()), wanted, "in the end it is as the readings call for");
    }

    /// A restart from a snapshot between any two events goes unnoticed, and so do two runs of the same events.
    #[test]
    fn a_snapshot_goes_on_where_it_was_taken(events in proptest::collection::vec(event(), 1..40), cut in any::<prop::sample::Index>()) {
        let (mut whole, mut again) = (load(EVERYTHING), load(EVERYTHING));
        let (mut now_s, mut now_again_s) = (0, 0);
        let mut expected = happen(&mut whole, &mut now_s, &events);
        let (before, after) = events.split_at(cut.index(events.len() + 1));
        let mut found = happen(&mut again, &mut now_again_s, before);
        let snapshot = again.snapshot();
        let mut restored = load(EVERYTHING);
        restored.restore(&snapshot).unwrap();
        prop_assert_eq!(restored.snapshot(), snapshot);
        prop_assert_eq!((restored.next_tick_us(), restored.oldest_open_us()), (again.next_tick_us(), again.oldest_open_us()));
        found.extend(happen(&mut restored, &mut now_again_s, after));
        prop_assert_eq!(restored.snapshot(), whole.snapshot());
        expected.extend(drained(&mut whole));
        found.extend(drained(&mut restored));
        prop_assert_eq!(found, expected);
    }

    /// Whatever comes in is accounted for, and whatever comes out is a reading that can be kept.
    #[test]
    fn nothing_vanishes(events in proptest::collection::vec(event(), 1..40)) {
        let mut fog = load(EVERYTHING);
        let outcomes = happen(&mut fog, &mut 0, &events);
        for ((_, event), outcome) in events.iter().zip(&outcomes) {
            let sent = match event {
                Event::Arrive { readings, .. } => readings.len() as u64,
                Event::Tick => 0,
            };
            let ended = outcome.accepted.len() as u64 + outcome.counts.duplicates;
            prop_assert!(ended <= sent, "{outcome:?}");
            // derived readings may be filtered too, and rules refuse what they let pass
            prop_assert!(ended + outcome.counts.filtered + outcome.rejected.len() as u64 >= sent, "{outcome:?}");
            let commands = outcome.commands.iter().map(edge::fog::Command::reading);
            for reading in outcome.accepted.iter().chain(&outcome.derived).cloned().chain(commands) {
                prop_assert_eq!(Reading::decode(&reading.encode()).unwrap(), reading);
            }
        }
    }
}
