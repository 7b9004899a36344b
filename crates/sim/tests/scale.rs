//! The scale model: against a case reckoned by hand, against the runs of `docs/performance.md` that its constants are not from, and
//! for what holds whatever the settings. Rules are those of `docs/spec/scale-model.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use proptest::prelude::*;
use sim::scale::{
    Confirmation, Constants, DEVICES_MAX, Estimate, Link, Part, ScaleError, Settings, alone, estimate, latency_chart, links_chart,
    processor_chart, saturations, storage_chart, utilisation_chart, utilisations,
};
use std::time::Duration;

/// How far the model may be from a run that its constants are not from.
const FACTOR: f64 = 2.5;

fn of(settings: &Settings) -> Estimate {
    estimate(settings, &Constants::default()).unwrap()
}

fn near(found: f64, expected: f64, within: f64) -> bool {
    (found / expected - 1.0).abs() <= within
}

fn within_factor(found: f64, measured: f64) -> bool {
    (1.0 / FACTOR..=FACTOR).contains(&(found / measured))
}

fn flow(estimate: &Estimate, link: Link) -> (f64, f64) {
    let flow = estimate.flows.iter().find(|flow| flow.link == link).unwrap();
    (flow.bytes_per_second, flow.total_bytes_per_second)
}

fn used(settings: &Settings, part: Part) -> f64 {
    let all = utilisations(settings, &Constants::default()).unwrap();
    all.iter().find(|one| one.part == part).unwrap().used
}

/// 1 000 devices at one site whose node is its own committee, a reading each 10 s, batches of one, round constants.
#[test]
fn a_small_network_is_what_one_reckons_by_hand() {
    let settings =
        Settings { committee: 1, tiers: 1, batch_delay: Duration::ZERO, link: Duration::ZERO, reading_bytes: 40, ..Settings::default() };
    let confirmation = Confirmation { milestones_per_second: 50.0, p50_ms: 0.001, ..Confirmation::default() };
    let constants = Constants {
        admission_us: 100.0,
        anchor_us: 1.0,
        site_us: 50.0,
        milestone_us: 1_000.0,
        verify_us: 0.0,
        sign_us: 20.0,
        sync_us: 100.0,
        publishes_per_second: 1_000.0,
        confirmation,
        ..Constants::default()
    };
    let found = estimate(&settings, &constants).unwrap();
    assert_eq!((found.shape.sites, found.shape.subnets, found.shape.nodes), (1, 1, 1));
    assert!(near(found.messages_per_second, 100.0, 1e-9) && near(found.batch_readings, 1.0, 1e-9), "{found:#?}");
    // two messages come in 20 ms, so 2 + e^-2 are in a milestone, and there is one each 21.35 ms
    let size = 2.0 + (-2.0f64).exp();
    assert!(near(found.milestones_per_second, 100.0 / size, 1e-9), "{found:#?}");
    // of two million microseconds a second
    assert!(near(found.processor.site, 100.0 * 50.0 / 2e6, 1e-9), "{found:#?}");
    assert!(near(found.processor.anchoring, 100.0 / 2e6, 1e-9), "{found:#?}");
    assert!(near(found.processor.admission, 100.0 * 100.0 / 2e6, 1e-9), "{found:#?}");
    assert!(near(found.processor.milestones, 100.0 / size * 1_000.0 / 2e6, 1e-9), "{found:#?}");
    assert!(near(found.memory_bytes, 60e6 + 1_000.0 * 19_800.0, 1e-9), "{found:#?}");
    // 40 + 6 + two headers of 40; 4 + 40; 40 + 6
    assert!(near(flow(&found, Link::DeviceToBroker).0, 12.6, 1e-9), "{found:#?}");
    assert!(near(flow(&found, Link::BrokerToDevice).0, 4.4, 1e-9), "{found:#?}");
    assert!(near(flow(&found, Link::SiteToLedger).0, 4_600.0, 1e-9), "{found:#?}");
    assert_eq!((flow(&found, Link::Replicas).1, flow(&found, Link::SubnetToParent).1), (0.0, 0.0));
    let latency = found.latency.unwrap();
    // a tenth busy: 1 ms of service and 0.056 ms of waiting for it, 0.1 ms to the disk
    assert!(near(latency.kept_ms, 1.0 + 0.1 / 1.8 + 0.1, 1e-9), "{latency:?}");
    assert!(latency.batch_ms == 0.0 && near(latency.issue_ms, 0.12, 1e-9) && latency.rest_ms == 0.0, "{latency:?}");
    // those two wait for 10 ms on average, the third not at all
    assert!(near(latency.milestone_ms, 20.0 / size, 1e-9), "{latency:?}");
    // three writes, and 1 000 µs of the 1.984 9 s a second that are left
    assert!(near(latency.agreement_ms, 0.3 + 1_000.0 / 1.984_9 / 1e3, 1e-4), "{latency:?}");
    // 100 readings a second for 365 days, in Nano and in IOTA
    assert!(near(found.yearly.nano, 3_153_600_000.0 * 520.0, 1e-9) && near(found.yearly.iota, 3_153_600_000.0 * 1_600.0, 1e-9));
}

/// `wattle bench confirm --network simulated` of `docs/performance.md`: nodes, milestones a second, p50 in ms. The constants are those
/// of four nodes and of other benches.
#[test]
fn committees_that_were_not_fitted_are_within_the_factor() {
    let constants = Constants::default();
    for (nodes, milestones, p50_ms) in [(4, 48.0, 31.0), (8, 42.0, 48.0), (16, 17.0, 121.0), (48, 4.0, 423.0)] {
        let run = Confirmation { nodes, ..Confirmation::default() };
        let (found, latency_ms) = alone(&run, &constants).unwrap();
        assert!(within_factor(found, milestones), "{nodes} nodes: {found} milestones a second, measured {milestones}");
        assert!(within_factor(latency_ms, p50_ms), "{nodes} nodes: {latency_ms} ms, measured {p50_ms}");
    }
    let (_, fitted_ms) = alone(&constants.confirmation, &constants).unwrap();
    assert!(near(fitted_ms, 31.0, 1e-9), "{fitted_ms} ms");
    // of a thousand on two cores none has time to admit the messages
    assert_eq!(alone(&Confirmation { nodes: 1_000, ..Confirmation::default() }, &constants), None);
}

/// `wattle bench connections --devices 10000`: one node, a reading a second each. Confirmed p50 19 ms, 19.3 s of processor in 20 s,
/// and the memory, which is of the same run.
#[test]
fn ten_thousand_devices_on_one_node_are_within_the_factor() {
    let settings = Settings {
        devices: 10_000,
        devices_per_site: 10_000,
        sites_per_subnet: 1,
        period: Duration::from_secs(1),
        committee: 1,
        tiers: 1,
        link: Duration::ZERO,
        ..Settings::default()
    };
    let found = of(&settings);
    let latency = found.latency.unwrap();
    assert!(within_factor(latency.total_ms, 19.0), "{latency:?}");
    assert!(within_factor(found.processor.total() * 2.0, 19.3 / 20.0), "{:?}", found.processor);
    assert!(near(found.memory_bytes, 60e6 + 198e6, 1e-9) && found.keeps_up(), "{found:#?}");
}

/// `wattle bench dag --network simulated`: messages a second that n nodes on two cores admit. Each has the n-th part of them.
#[test]
fn admission_ends_where_the_bench_ended() {
    for (nodes, measured) in [(4, 9_105.0), (8, 5_581.0), (16, 2_758.0), (48, 633.0)] {
        let settings = Settings {
            committee: nodes,
            sites_per_subnet: nodes,
            devices_per_site: 10_000_000,
            period: Duration::from_secs(1),
            batch_delay: Duration::ZERO,
            cores: 2.0 / f64::from(nodes),
            tiers: 1,
            ..Settings::default()
        };
        // no broker, no log, no index
        let constants = Constants { site_us: 1e-6, ..Constants::default() };
        // each site has its share of the messages, one a device and second
        let keeps_up = |messages: u32| {
            let one = Settings { devices: u64::from(messages) * u64::from(nodes), devices_per_site: messages, ..settings.clone() };
            let all = utilisations(&one, &constants).unwrap();
            all.iter().find(|part| part.part == Part::Processor).unwrap().used <= 1.0
        };
        let each = (1..20_000).rev().find(|messages| keeps_up(*messages)).unwrap();
        let found = f64::from(each * nodes);
        assert!(within_factor(found, measured), "{nodes} nodes: {found} messages a second, measured {measured}");
    }
}

#[test]
fn a_part_ends_where_its_use_is_one() {
    let settings = Settings { devices_per_site: 10_000_000, sites_per_subnet: 1_024, ..Settings::default() };
    let ends = saturations(&settings, &Constants::default()).unwrap();
    assert_eq!(ends.len(), utilisations(&settings, &Constants::default()).unwrap().len());
    let mut ended = 0;
    for pair in ends.windows(2) {
        assert!(pair[0].devices.unwrap_or(u64::MAX) <= pair[1].devices.unwrap_or(u64::MAX), "{ends:?}");
    }
    for end in &ends {
        let used = |devices| used(&settings.with_devices(devices), end.part);
        match end.devices {
            None => assert!(used(DEVICES_MAX) <= 1.0, "{end:?}"),
            Some(devices) => {
                ended += 1;
                assert!(used(devices) <= 1.0 && used(devices + 1) > 1.0, "{end:?}: {} and {}", used(devices), used(devices + 1));
            }
        }
    }
    assert!(ended >= 5, "{ends:?}");
    // the broker that takes everything: 33 800 publishes a second of 10 s each
    let central = ends.iter().find(|end| end.part == Part::TierBroker(3)).unwrap();
    assert_eq!(central.devices, Some(338_000));
    assert_eq!(ends[0].part, Part::Connections, "{ends:?}");
}

#[test]
fn the_default_network_ends_at_its_central_broker_and_without_tiers_nowhere() {
    let ends = saturations(&Settings::default(), &Constants::default()).unwrap();
    assert_eq!((ends[0].part, ends[0].devices), (Part::TierBroker(3), Some(338_000)));
    assert!(ends[1..].iter().all(|end| end.devices.is_none()), "{ends:?}");
    let flat = saturations(&Settings { tiers: 1, ..Settings::default() }, &Constants::default()).unwrap();
    assert!(flat.iter().all(|end| end.devices.is_none()), "{flat:?}");
}

#[test]
fn what_does_not_keep_up_has_no_latency() {
    let settings = Settings { devices: 1_000_000, devices_per_site: 1_000_000, period: Duration::from_secs(1), ..Settings::default() };
    let found = of(&settings);
    assert!(found.latency.is_none() && !found.keeps_up(), "{found:#?}");
}

#[test]
fn charts_are_drawn() {
    let estimates: Vec<Estimate> = [1_000, 100_000, 10_000_000].map(|devices| of(&Settings { devices, ..Settings::default() })).to_vec();
    for chart in [utilisation_chart, storage_chart, links_chart, latency_chart, processor_chart].map(|chart| chart(&estimates)) {
        assert!(chart.svg().unwrap().contains("devices"), "{}", chart.title);
        assert_eq!(chart.png().unwrap(), chart.png().unwrap());
    }
}

#[test]
fn nonsense_is_refused() {
    let refused = |settings: Settings| estimate(&settings, &Constants::default()).unwrap_err();
    let base = Settings::default;
    assert!(matches!(refused(Settings { devices: 0, ..base() }), ScaleError::Count { what: "devices", .. }));
    assert!(matches!(refused(Settings { devices: DEVICES_MAX + 1, ..base() }), ScaleError::Count { what: "devices", .. }));
    assert!(matches!(refused(Settings { committee: 129, ..base() }), ScaleError::Count { .. }));
    assert!(matches!(refused(Settings { tiers: 5, ..base() }), ScaleError::Count { .. }));
    assert!(matches!(refused(Settings { subnets_per_parent: 1, ..base() }), ScaleError::Count { .. }));
    assert!(matches!(refused(Settings { period: Duration::ZERO, ..base() }), ScaleError::Time { what: "period", .. }));
    assert!(matches!(refused(Settings { up_share: 1.5, ..base() }), ScaleError::Number { .. }));
    assert!(matches!(refused(Settings { cores: f64::NAN, ..base() }), ScaleError::Number { what: "cores", .. }));
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let counts = (1u32..20_000, 1u32..200, 1u32..=64, 1u32..=4, 1u32..100, 2u32..50);
    let rest = (10u64..600_000, 0u64..2_000, 0.0f64..=1.0, 1u32..=1_000, 1u32..400);
    (counts, rest).prop_map(|(counts, rest)| {
        let (devices_per_site, sites_per_subnet, committee, tiers, brokers_below, subnets_per_parent) = counts;
        let (period_ms, delay_ms, up_share, batch_readings_max, retention_days) = rest;
        Settings {
            period: Duration::from_millis(period_ms),
            batch_delay: Duration::from_millis(delay_ms),
            devices_per_site,
            sites_per_subnet,
            committee,
            tiers,
            brokers_below,
            subnets_per_parent,
            up_share,
            batch_readings_max,
            retention_days,
            ..Settings::default()
        }
    })
}

/// Not less, but for the rounding of sums.
fn not_less(more: f64, less: f64) -> bool {
    more >= less * (1.0 - 1e-9)
}

proptest! {
    /// Nothing that is asked of a part falls when devices are added.
    #[test]
    fn more_devices_ask_for_more(settings in any_settings(), devices in 1u64..50_000_000, added in 1u64..5_000_000) {
        let (few, many) = (of(&settings.with_devices(devices)), of(&settings.with_devices(devices + added)));
        prop_assert!(not_less(many.readings_per_second, few.readings_per_second));
        prop_assert!(not_less(many.messages_per_second, few.messages_per_second));
        prop_assert!(not_less(many.memory_bytes, few.memory_bytes));
        for (more, less) in many.utilisations.iter().zip(&few.utilisations) {
            prop_assert_eq!(more.part, less.part);
            prop_assert!(not_less(more.used, less.used), "{:?} after {:?}", more, less);
        }
        for (more, less) in many.flows.iter().zip(&few.flows) {
            prop_assert!(not_less(more.bytes_per_second, less.bytes_per_second), "{:?} after {:?}", more, less);
            prop_assert!(not_less(more.total_bytes_per_second, less.total_bytes_per_second), "{:?} after {:?}", more, less);
        }
    }

    /// What the devices send passes every level once: nothing is lost on the way up, nothing is told twice.
    #[test]
    fn bytes_are_conserved(settings in any_settings(), devices in 1u64..50_000_000) {
        let settings = settings.with_devices(devices);
        let found = of(&settings);
        let (rate, reading) = (found.readings_per_second, f64::from(settings.reading_bytes));
        prop_assert!(near(flow(&found, Link::DeviceToBroker).1, rate * (reading + 86.0), 1e-9));
        prop_assert!(near(flow(&found, Link::SiteToLedger).1, rate * (reading + 6.0), 1e-9));
        for tier in &found.shape.tiers {
            let (busiest, total) = flow(&found, Link::TierUp(tier.level));
            prop_assert!((total - settings.up_share * rate * (reading + 132.0)).abs() <= total * 1e-9);
            prop_assert!(not_less(total, busiest) && not_less(busiest * tier.links as f64, total), "{:?}", tier);
        }
        // each level's brokers have all devices below them
        if let Some(central) = found.shape.tiers.last() {
            prop_assert_eq!((central.brokers, central.devices), (1, devices));
        }
        prop_assert!(not_less(rate, found.subnet_readings_per_second));
        prop_assert!(not_less(found.subnet_readings_per_second, found.site_readings_per_second));
        prop_assert!(not_less(found.subnet_readings_per_second, found.messages_per_second), "a message without a reading");
        for one in &found.flows {
            prop_assert!(not_less(one.total_bytes_per_second, one.bytes_per_second), "{:?}", one);
        }
    }

    /// A node that drops keeps no more than one that does not; its parts are the whole; the papers' figures are as many bytes a reading.
    #[test]
    fn a_year_is_the_sum_of_its_parts(settings in any_settings(), devices in 1u64..5_000_000) {
        let found = of(&settings.with_devices(devices));
        let year = found.yearly;
        prop_assert!(near(year.archive, year.own + year.index + year.others + year.milestones, 1e-9));
        prop_assert!(not_less(year.archive, year.pruned) && year.pruned > 0.0, "{:?}", year);
        prop_assert!(not_less(year.everything, year.archive), "{:?}", year);
        prop_assert!(near(year.iota / year.nano, 1_600.0 / 520.0, 1e-9));
        let longer = Settings { retention_days: settings.retention_days + 30, ..settings.with_devices(devices) };
        prop_assert!(not_less(of(&longer).yearly.pruned, year.pruned));
    }

    /// The latency is the sum of its parts, and none of them is negative.
    #[test]
    fn a_latency_is_the_sum_of_its_parts(settings in any_settings(), devices in 1u64..5_000_000) {
        if let Some(l) = of(&settings.with_devices(devices)).latency {
            let parts = [l.device_ms, l.kept_ms, l.batch_ms, l.issue_ms, l.spread_ms, l.milestone_ms, l.agreement_ms, l.rest_ms];
            prop_assert!(parts.iter().all(|part| part.is_finite() && *part >= 0.0), "{:?}", l);
            prop_assert!(near(l.total_ms, parts.iter().sum(), 1e-9), "{:?}", l);
            prop_assert!(l.anchored_ms.is_none_or(|anchored| anchored > l.total_ms), "{:?}", l);
        }
    }
}
