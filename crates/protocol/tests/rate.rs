//! Rate and reputation (RATE-3 to RATE-6 of `docs/spec/message.md`): the meter as a function of an issuer's chain.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use proptest::prelude::*;
use protocol::limits::OWN_UNCONFIRMED_MAX;
use protocol::parameters::Parameters;
use protocol::pow::NIBBLES_MAX;
use protocol::rate::{BURST_US, FACTOR_MAX, Meter, REPUTATION_STEP, factor, reputation, share};

/// Some time after 1970, in milliseconds.
const NOW_MS: u64 = 1_750_000_000_000;

fn parameters(share_per_second: u32, pow_difficulty: u8) -> Parameters {
    Parameters { share_per_second, pow_difficulty, ..Parameters::default() }
}

/// The work that each message of a chain with these times needs, and the meter after the last.
fn chain(parameters: &Parameters, times_ms: &[u64]) -> (Vec<u8>, Meter) {
    let mut meter = Meter::default();
    let mut required = Vec::new();
    for (sequence, at) in (0..).zip(times_ms) {
        required.push(meter.required(parameters, *at));
        meter = meter.after(parameters, *at, sequence);
    }
    (required, meter)
}

#[test]
fn reputation_is_what_must_be_confirmed() {
    assert_eq!(reputation(0), 0);
    assert_eq!(reputation(OWN_UNCONFIRMED_MAX), 0);
    assert_eq!(reputation(OWN_UNCONFIRMED_MAX + 5), 5);
}

#[test]
fn reputation_raises_the_share_by_its_logarithm() {
    let steps = [(0, 1), (1, 2), (2, 2), (3, 3), (6, 3), (7, 4), (32_766, 15), (32_767, 16), (65_535, 16)];
    for (thousands, expected) in steps {
        assert_eq!(factor(thousands * REPUTATION_STEP), expected, "{thousands} × 1024 messages");
    }
    assert_eq!(factor(REPUTATION_STEP - 1), 1);
    assert_eq!(factor(u64::MAX), FACTOR_MAX);
    let parameters = parameters(4_000, 0);
    assert_eq!(share(&parameters, 0), 4_000);
    assert_eq!(share(&parameters, OWN_UNCONFIRMED_MAX + 3 * REPUTATION_STEP), 12_000);
}

#[test]
fn a_burst_of_a_second_s_share_is_free_and_the_next_second_is_not() {
    let parameters = parameters(100, 2);
    let (required, _) = chain(&parameters, &[NOW_MS; 302]);
    assert!(required[..=100].iter().all(|n| *n == 2), "{required:?}");
    assert!(required[101..=200].iter().all(|n| *n == 3), "{required:?}");
    assert!(required[201..=300].iter().all(|n| *n == 4), "{required:?}");
    assert_eq!(required[301], 5);
}

#[test]
fn a_pause_earns_no_more_than_a_burst() {
    let parameters = parameters(10, 0);
    let mut times = vec![NOW_MS];
    times.extend([NOW_MS + 3_600_000; 12]);
    let (required, _) = chain(&parameters, &times);
    assert_eq!(required[1..=11], [0u8; 11]);
    assert_eq!(required[12], 1, "an hour of silence does not count for more than a second");
}

#[test]
fn twice_the_share_costs_ever_more() {
    let parameters = parameters(50, 0);
    let times: Vec<u64> = (0..8_000).map(|i| NOW_MS + i * 10).collect();
    let (required, _) = chain(&parameters, &times);
    assert!(required.is_sorted());
    assert_eq!(required[50], 0);
    // after 10 s at twice the share the issuer is 10 s ahead: 9 bursts beyond the first
    assert_eq!(required[1_000], 9);
    assert_eq!(*required.last().unwrap(), NIBBLES_MAX, "and in the end what nobody can do");
}

#[test]
fn work_does_not_reset_the_meter() {
    // an issuer that pays for its excess is as far ahead as one that does not: the price rises for both
    let parameters = parameters(10, 0);
    let (required, meter) = chain(&parameters, &[NOW_MS; 61]);
    assert_eq!(required[60], 5);
    assert_eq!(meter.us(), NOW_MS * 1_000 + 61 * 100_000);
}

#[test]
fn extremes_saturate() {
    let parameters = parameters(u32::MAX, u8::MAX);
    let end = Meter::from_us(u64::MAX);
    assert_eq!(end.after(&parameters, u64::MAX, u64::MAX), end);
    assert_eq!(end.required(&parameters, 0), NIBBLES_MAX);
    assert_eq!(Meter::default().required(&parameters, u64::MAX), NIBBLES_MAX, "what the network asks is capped too");
    assert_eq!(end.ready_at_ms(&parameters, 3), u64::MAX, "never");
    assert_eq!(share(&Parameters { share_per_second: 0, ..parameters }, 0), 1, "a share of nothing is not divided by");
}

proptest! {
    #[test]
    fn an_issuer_below_its_share_never_needs_work(
        share_per_second in 1u32..=2_000,
        pow_difficulty in 0u8..=4,
        pauses in proptest::collection::vec(0u64..50, 1..200),
    ) {
        let parameters = parameters(share_per_second, pow_difficulty);
        let gap_ms = 1_000u64.div_ceil(u64::from(share_per_second));
        let mut at = NOW_MS;
        let times: Vec<u64> = pauses.iter().map(|pause| { at += gap_ms + pause; at }).collect();
        let (required, _) = chain(&parameters, &times);
        prop_assert!(required.iter().all(|n| *n == pow_difficulty));
    }

    #[test]
    fn lateness_within_a_burst_is_forgiven(
        share_per_second in 1u32..=500,
        jitters in proptest::collection::vec(0u64..=900, 1..200),
    ) {
        // at most the share in the long run; each message up to 0.9 s late, so they bunch
        let parameters = parameters(share_per_second, 0);
        let gap_ms = 1_000u64.div_ceil(u64::from(share_per_second));
        let mut times: Vec<u64> = (0..).zip(&jitters).map(|(i, jitter)| NOW_MS + i * gap_ms + jitter).collect();
        times.sort_unstable();
        let (required, _) = chain(&parameters, &times);
        prop_assert!(required.iter().all(|n| *n == 0), "{required:?}");
    }

    #[test]
    fn a_sustained_rate_above_the_share_needs_ever_more(share_per_second in 1u32..=100, times_share in 2u64..=8) {
        let parameters = parameters(share_per_second, 0);
        let per_second = u64::from(share_per_second) * times_share;
        let times: Vec<u64> = (0..per_second * 20).map(|i| NOW_MS + i * 1_000 / per_second).collect();
        let (required, _) = chain(&parameters, &times);
        // in each second the meter gains at least one beyond the clock, and the first is free
        for second in 3..20 {
            let first = required[(per_second * second) as usize];
            prop_assert!(u64::from(first) + 2 >= second, "second {second}: {first} nibbles");
        }
        prop_assert!(required.last() > required.first());
    }

    #[test]
    fn no_order_of_times_gains_anything(given in proptest::collection::vec(0u64..100_000, 1..60)) {
        let parameters = parameters(3, 0);
        let (_, as_given) = chain(&parameters, &given);
        let mut times = given;
        times.sort_unstable();
        let (_, in_order) = chain(&parameters, &times);
        prop_assert!(in_order <= as_given);
    }

    #[test]
    fn the_meter_never_falls_and_never_panics(
        us in any::<u64>(), at in any::<u64>(), sequence in any::<u64>(), share in any::<u32>(), difficulty in any::<u8>(),
    ) {
        let parameters = parameters(share, difficulty);
        let meter = Meter::from_us(us);
        let after = meter.after(&parameters, at, sequence);
        prop_assert!(after >= meter);
        prop_assert!(after.us() >= at.saturating_mul(1_000));
        prop_assert!(after.required(&parameters, at) >= meter.required(&parameters, at));
        prop_assert!(meter.required(&parameters, at) >= difficulty.min(NIBBLES_MAX));
    }

    #[test]
    fn waiting_makes_it_cheap(us in any::<u64>(), nibbles in any::<u8>(), difficulty in 0u8..=16) {
        let parameters = parameters(4_000, difficulty);
        let meter = Meter::from_us(us);
        let ready = meter.ready_at_ms(&parameters, nibbles);
        if nibbles < difficulty {
            prop_assert_eq!(ready, u64::MAX);
        } else {
            prop_assert!(meter.required(&parameters, ready) <= nibbles);
            if ready > 0 {
                prop_assert!(meter.required(&parameters, ready - 1) > nibbles, "not a millisecond earlier");
            }
        }
    }
}

#[test]
fn a_second_of_share_is_the_burst() {
    // what the tests above take for granted
    assert_eq!(BURST_US, 1_000_000);
}
