//! Chance from a seed: streams of numbers that do not disturb each other.

use oorandom::Rand64;

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Rand64);

impl Chance {
    /// The stream with this number of this seed. Two streams of one seed are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // neighbours must not begin alike, so both numbers are mixed first
        let high = mixed(seed);
        let low = mixed(stream.wrapping_add(high));
        Self(Rand64::new((u128::from(high) << 64) | u128::from(low)))
    }

    /// A number in 0..`limit`; 0 if `limit` is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        match limit {
            0 => 0,
            _ => self.0.rand_range(0..limit),
        }
    }

    /// An exponentially distributed time with this mean, in whole nanoseconds.
    #[allow(clippy::cast_possible_truncation, reason = "a cast from f64 saturates; the logarithm is at most 37")]
    pub(crate) fn exponential_ns(&mut self, mean_ns: f64) -> u64 {
        // 1 - [0, 1) is never 0, so the logarithm is finite
        (-(1.0 - self.0.rand_float()).ln() * mean_ns).round() as u64
    }
}

/// A one-to-one scrambling of 64 bits: the last steps of SplitMix64 (Steele, Lea, Flood 2014).
const fn mixed(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_first(seed: u64, stream: u64) -> u64 {
        Chance::new(seed, stream).below(u64::MAX)
    }

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            (0..8).map(|_| chance.below(1 << 40)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_eq!(Chance::new(1, 1).below(0), 0);
        let firsts: std::collections::BTreeSet<u64> = (0..100).flat_map(|n| (0..100).map(move |m| draw_first(n, m))).collect();
        assert_eq!(firsts.len(), 10_000, "some streams begin alike");
    }

    #[test]
    fn exponential_times_have_their_mean() {
        let mut chance = Chance::new(7, 0);
        let sum: u64 = (0..100_000).map(|_| chance.exponential_ns(1e6)).sum();
        let mean = sum as f64 / 1e5;
        // the standard error is 0.3 %; five of them
        assert!((mean / 1e6 - 1.0).abs() < 0.016, "mean {mean} ns");
    }
}
