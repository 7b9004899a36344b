//! What is left of an amount that was bound to a validator, after everything that validator was slashed for.
//!
//! A validator does not know who delegated to it, so slashing cannot visit every delegation. Each validator keeps one
//! factor instead: the part of a coin bound from the beginning that is still there. Whoever binds an amount writes
//! down the factor of that moment; what it is worth later follows from the two.
//! ```text
//! worth = ⌊amount × factor now / factor then⌋            factor after a slash = ⌊factor × (100 − percent) / 100⌋
//! ```
//! Both round down, so all worths together never exceed what the validator holds. What rounding leaves stays with the
//! validator and is nobody's.

use protocol::DecodeError;
use protocol::codec::Reader;

/// The factor of a validator that lost nothing: 1 in fixed point.
pub const RETAINED_FULL: u64 = 1 << 63;
/// Below this factor a validator takes no more stake: rounding would begin to matter. It has lost all but a part in
/// 2³¹, and goes on under another key.
pub const RETAINED_MIN: u64 = 1 << 32;

/// What `amount`, bound at the factor `then`, is worth at the factor `now`.
#[must_use]
pub fn worth(amount: u64, now: u64, then: u64) -> u64 {
    // below 2^64 × 2^64: no overflow; a factor never rises, so the result is at most `amount`
    let worth = (u128::from(amount) * u128::from(now)).checked_div(u128::from(then)).unwrap_or(0);
    u64::try_from(worth).unwrap_or(amount).min(amount)
}

/// What `percent` of `value` are, rounded down.
#[must_use]
pub fn part(value: u64, percent: u8) -> u64 {
    let part = u128::from(value) * u128::from(percent.min(100)) / 100;
    u64::try_from(part).unwrap_or(value)
}

/// The factor after losing `percent`, rounded down.
#[must_use]
pub fn slashed(retained: u64, percent: u8) -> u64 {
    part(retained, 100 - percent.min(100))
}

/// Takes a factor, which is at most [`RETAINED_FULL`].
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match reader.u64("a retained factor")? {
        retained if retained <= RETAINED_FULL => Ok(retained),
        _ => Err(DecodeError::Invalid("a retained factor")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slash_halves() {
        assert_eq!(worth(1_000, RETAINED_FULL, RETAINED_FULL), 1_000);
        let half = slashed(RETAINED_FULL, 50);
        assert_eq!(half, RETAINED_FULL / 2);
        assert_eq!((worth(1_000, half, RETAINED_FULL), worth(1_001, half, RETAINED_FULL)), (500, 500));
        assert_eq!(worth(1_000, half, half), 1_000, "what is bound after the slash loses nothing");
        assert_eq!((slashed(half, 0), slashed(half, 100)), (half, 0));
        assert_eq!(worth(u64::MAX, 0, half), 0);
        assert_eq!((part(999, 50), part(u64::MAX, 100), part(u64::MAX, 0)), (499, u64::MAX, 0));
        assert_eq!(slashed(1, 1), 0);
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(amount in any::<u64>(), now in any::<u64>(), then in any::<u64>(), percent in any::<u8>()) {
            prop_assert!(worth(amount, now, then) <= amount);
            prop_assert!(part(amount, percent) <= amount);
            prop_assert!(slashed(now, percent) <= now);
        }

        /// Why a validator's stake always covers all that is bound to it.
        #[test]
        fn worths_shrink_at_least_as_much_as_the_whole(
            amounts in prop::collection::vec(0..=u64::MAX / 16, 1..16),
            percents in prop::collection::vec(0u8..=100, 0..8),
        ) {
            let mut whole: u64 = amounts.iter().sum();
            let mut now = RETAINED_FULL;
            for percent in percents {
                whole -= part(whole, percent);
                now = slashed(now, percent);
                let worths: u64 = amounts.iter().map(|a| worth(*a, now, RETAINED_FULL)).sum();
                prop_assert!(worths <= whole);
            }
        }
    }
}
