//! The capacity of a host: by hand, and what must hold whatever was measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use proptest::prelude::*;
use sim::capacity::{Answer, CapacityError, DEVICES_MAX, Host, PROBE_INTERVAL_MIN, PROBE_READINGS_MIN, Part};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn part(name: &'static str, per_reading: f64, per_message: f64, per_device: f64, capacity: f64) -> Part {
    Part { name, per_reading, per_message, per_device, capacity, exact: false }
}

/// Two cores and 50 µs a reading; a broker that takes 20 000 publishes a second; 20 000 bytes a device of 1 GB; 10 000 files.
fn host() -> Host {
    Host {
        parts: vec![
            part("processor", 50e-6, 0.0, 0.0, 2.0),
            part("broker", 50e-6, 0.0, 0.0, 1.0),
            part("ledger", 0.0, 100e-6, 0.0, 1.0),
            part("memory", 0.0, 0.0, 20_000.0, 1e9),
            Part { exact: true, ..part("files", 0.0, 0.0, 1.0, 10_000.0) },
        ],
        batch_delay: Duration::from_millis(5),
        admission_s: 100e-6,
    }
}

fn used(answer: &Answer, name: &str) -> f64 {
    answer.utilisation.iter().find(|(part, _)| *part == name).unwrap().1
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1e-9)
}

#[test]
fn by_hand_at_a_second() {
    // four tenths of the 20 000 that the broker takes in a second
    let answer = host().answer(SECOND, 0.4).unwrap();
    assert_eq!((answer.devices, answer.limited_by), (8_000, Some("broker")));
    assert!(near(answer.readings_per_second, 8_000.0) && near(used(&answer, "broker"), 0.4));
    assert!(near(used(&answer, "processor"), 0.2) && near(used(&answer, "memory"), 0.16) && near(used(&answer, "files"), 0.8));
    // a busy site issues every 5 ms: 200 messages a second of 0.1 ms each
    assert!(near(answer.messages_per_second, 200.0) && near(used(&answer, "ledger"), 0.02));
    // 0.4 s of admissions in a second are 4 000 messages: 20 hubs of 200
    assert_eq!(answer.hubs_per_node, 20);
}

#[test]
fn long_periods_are_limited_by_what_a_connection_takes() {
    let quarter = Duration::from_secs(900);
    let answer = host().answer(quarter, 0.5).unwrap();
    assert_eq!((answer.devices, answer.limited_by), (10_000, Some("files")));
    assert!(near(used(&answer, "files"), 1.0));
    // 11.1 readings a second are as many messages: 5 000 of them are 450 hubs
    assert!(near(answer.messages_per_second, 10_000.0 / 900.0));
    assert_eq!(answer.hubs_per_node, 450);
    let mut roomy = host();
    roomy.parts.retain(|part| part.name != "files");
    let answer = roomy.answer(quarter, 0.5).unwrap();
    assert_eq!((answer.devices, answer.limited_by), (25_000, Some("memory")));
}

#[test]
fn a_host_that_serves_nobody_or_everybody_says_so() {
    let mut host = host();
    host.parts.push(part("disk", 2.0, 0.0, 0.0, 1.0));
    let none = host.answer(SECOND, 0.5).unwrap();
    assert_eq!((none.devices, none.limited_by, none.hubs_per_node), (0, Some("disk"), 0));
    assert_eq!(none.probe(Duration::from_secs(10), 100), None);
    let idle = Host { parts: vec![part("idle", 0.0, 0.0, 0.0, 1.0)], ..host };
    let all = idle.answer(SECOND, 0.5).unwrap();
    assert_eq!((all.devices, all.limited_by), (DEVICES_MAX, None));
}

#[test]
fn without_a_delay_each_reading_is_a_message() {
    let host = Host { batch_delay: Duration::ZERO, ..host() };
    assert!(near(host.messages_per_second(12_345.0), 12_345.0));
}

#[test]
fn nonsense_is_refused() {
    assert_eq!(host().answer(Duration::ZERO, 0.5), Err(CapacityError::Period(Duration::ZERO)));
    for margin in [0.0, -0.1, 1.01, f64::INFINITY] {
        assert_eq!(host().answer(SECOND, margin), Err(CapacityError::Margin(margin)));
    }
    assert!(matches!(host().answer(SECOND, f64::NAN), Err(CapacityError::Margin(_))));
    assert_eq!(Host { parts: Vec::new(), ..host() }.answer(SECOND, 0.5), Err(CapacityError::NoParts));
    assert_eq!(Host { admission_s: 0.0, ..host() }.answer(SECOND, 0.5), Err(CapacityError::Admission(0.0)));
    for bad in [part("bad", -1.0, 0.0, 0.0, 1.0), part("bad", 0.0, f64::NAN, 0.0, 1.0), part("bad", 1.0, 0.0, 0.0, 0.0)] {
        let mut host = host();
        host.parts.push(bad);
        assert_eq!(host.answer(SECOND, 0.5), Err(CapacityError::Part("bad")));
    }
}

#[test]
fn a_probe_asks_for_the_same_rate_with_fewer_devices() {
    let answer = host().answer(SECOND, 0.4).unwrap();
    let span = Duration::from_secs(10);
    let whole = answer.probe(span, 10_000).unwrap();
    assert_eq!((whole.devices, whole.interval, whole.readings), (8_000, SECOND, 10));
    assert_eq!(whole.readings_in_all(), 80_000);
    let fewer = answer.probe(span, 2_000).unwrap();
    assert_eq!((fewer.devices, fewer.interval, fewer.readings), (2_000, Duration::from_millis(250), 40));
    assert!(near(fewer.readings_per_second(), 8_000.0));
    // 10 000 devices, one reading each in 15 minutes: 55 that tell one every 5 s
    let rare = host().answer(Duration::from_secs(900), 0.5).unwrap().probe(span, 10_000).unwrap();
    assert_eq!((rare.devices, rare.interval, rare.readings), (55, Duration::from_millis(4_950), 2));
    assert_eq!(answer.probe(Duration::ZERO, 10), None);
    assert_eq!(answer.probe(span, 0), None);
    // one device cannot tell 8 000 readings a second
    assert_eq!(answer.probe(span, 1).unwrap().interval, PROBE_INTERVAL_MIN);
}

prop_compose! {
    fn any_host()(
        reading_us in 1.0..5_000.0f64,
        broker_us in 1.0..5_000.0f64,
        message_us in 1.0..50_000.0f64,
        device_bytes in 0.0..200_000.0f64,
        memory in 1e7..1e11f64,
        cores in 1u32..64,
        files in 1u32..2_000_000,
        delay_ms in 0u64..1_000,
    ) -> Host {
        Host {
            parts: vec![
                part("processor", reading_us / 1e6, 0.0, 0.0, f64::from(cores)),
                part("broker", broker_us / 1e6, 0.0, 0.0, 1.0),
                part("ledger", 0.0, message_us / 1e6, 0.0, 1.0),
                part("memory", 0.0, 0.0, device_bytes, memory),
                Part { exact: true, ..part("files", 0.0, 0.0, 1.0, f64::from(files)) },
            ],
            batch_delay: Duration::from_millis(delay_ms),
            admission_s: message_us / 1e6,
        }
    }
}

/// Each part over how far it may be filled.
fn filled(host: &Host, devices: u64, period: Duration, margin: f64) -> Vec<(&'static str, f64)> {
    let readings = devices as f64 / period.as_secs_f64();
    let messages = host.messages_per_second(readings);
    let bound = |part: &Part| if part.exact { 1.0 } else { margin };
    host.parts.iter().map(|part| (part.name, part.utilisation(devices, readings, messages) / bound(part))).collect()
}

proptest! {
    #[test]
    fn the_answer_fits_and_one_more_does_not(host in any_host(), period_ms in 1u64..86_400_000, margin in 0.01..1.0f64) {
        let period = Duration::from_millis(period_ms);
        let answer = host.answer(period, margin).unwrap();
        prop_assert!(filled(&host, answer.devices, period, margin).iter().all(|(_, filled)| *filled <= 1.0));
        let limit = answer.limited_by.expect("files limit every host");
        let over = filled(&host, answer.devices + 1, period, margin);
        let most = over.iter().map(|(_, filled)| *filled).fold(0.0, f64::max);
        prop_assert!(most > 1.0);
        prop_assert!(over.iter().any(|(name, filled)| *name == limit && *filled >= most));
        prop_assert_eq!(answer.utilisation.len(), host.parts.len());
    }

    #[test]
    fn longer_periods_wider_margins_and_more_of_a_part_never_serve_fewer(
        host in any_host(), period_ms in 1u64..10_000_000, longer_ms in 0u64..10_000_000, margin in 0.01..0.99f64, which in 0usize..5,
    ) {
        let period = Duration::from_millis(period_ms);
        let devices = host.answer(period, margin).unwrap().devices;
        prop_assert!(host.answer(period + Duration::from_millis(longer_ms), margin).unwrap().devices >= devices);
        prop_assert!(host.answer(period, margin + (1.0 - margin) / 2.0).unwrap().devices >= devices);
        let mut more = host.clone();
        more.parts[which].capacity *= 2.0;
        prop_assert!(more.answer(period, margin).unwrap().devices >= devices);
    }

    #[test]
    fn hubs_fit_into_what_a_node_admits(host in any_host(), period_ms in 1u64..86_400_000, margin in 0.01..1.0f64) {
        let answer = host.answer(Duration::from_millis(period_ms), margin).unwrap();
        let asked = |hubs: u64| hubs as f64 * answer.messages_per_second * host.admission_s;
        prop_assert!(asked(answer.hubs_per_node) <= margin * (1.0 + 1e-9));
        if answer.devices > 0 && answer.hubs_per_node < sim::capacity::HUBS_MAX {
            prop_assert!(asked(answer.hubs_per_node + 1) >= margin * (1.0 - 1e-9));
        }
    }

    #[test]
    fn a_probe_stays_within_its_bounds(
        host in any_host(), period_ms in 1u64..86_400_000, seconds in 1u64..600, devices_max in 1u32..100_000,
    ) {
        let answer = host.answer(Duration::from_millis(period_ms), 0.5).unwrap();
        let span = Duration::from_secs(seconds);
        let Some(probe) = answer.probe(span, devices_max) else {
            prop_assert_eq!(answer.devices, 0);
            return Ok(());
        };
        prop_assert!(probe.devices >= 1 && probe.devices <= devices_max && u64::from(probe.devices) <= answer.devices);
        prop_assert!(probe.interval >= PROBE_INTERVAL_MIN && probe.interval <= span / PROBE_READINGS_MIN);
        prop_assert!(probe.readings >= PROBE_READINGS_MIN && probe.interval * probe.readings <= span);
        // a single device tells twice in the span, however seldom the answer has it tell
        prop_assert!(probe.devices == 1 || probe.readings_per_second() <= answer.readings_per_second * (1.0 + 1e-6));
    }
}
