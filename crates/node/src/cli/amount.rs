//! Amounts of DCoin as people type and read them. Purses count in sub-units; there are no fractions in between, and no floats.

use super::output::thousands;
use protocol::UNITS_PER_COIN;

/// Digits behind the point.
const DECIMALS: usize = 6;

const _: () = assert!(UNITS_PER_COIN == 1_000_000);

/// Reads an amount of DCoin, such as `2`, `0.5` or `0.000002`, into sub-units.
///
/// # Errors
/// A sentence saying what is accepted.
pub(crate) fn amount(text: &str) -> Result<u64, String> {
    let needed = || format!("an amount above 0 in DCoin with at most {DECIMALS} digits behind the point is needed, such as 2 or 0.5");
    let (whole, decimals) = text.split_once('.').map_or((text, "0"), |(whole, decimals)| (whole, decimals));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS {
        return Err(needed());
    }
    // six digits always fit
    let units = format!("{decimals:0<DECIMALS$}").parse::<u64>().map_err(|_| needed())?;
    let whole = whole.parse::<u64>().ok().and_then(|coins| coins.checked_mul(UNITS_PER_COIN));
    match whole.and_then(|whole| whole.checked_add(units)) {
        Some(0) => Err(needed()),
        Some(amount) => Ok(amount),
        None => Err(format!("at most {} is possible", coins(u64::MAX))),
    }
}

/// An amount of sub-units for people: `1 234.5 DCoin`.
pub(crate) fn coins(units: u64) -> String {
    let (whole, rest) = (units / UNITS_PER_COIN, units % UNITS_PER_COIN);
    let decimals = format!("{rest:0DECIMALS$}");
    match decimals.trim_end_matches('0') {
        "" => format!("{} DCoin", thousands(whole)),
        decimals => format!("{}.{decimals} DCoin", thousands(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_last_sub_unit() {
        for (text, units) in [("2", 2_000_000), ("0.5", 500_000), ("0.000002", 2), ("1.000000", 1_000_000), ("007", 7_000_000)] {
            assert_eq!(amount(text), Ok(units), "{text}");
        }
        assert_eq!(amount("18446744073709.551615"), Ok(u64::MAX));
        for text in ["18446744073709.551616", "18446744073710", "99999999999999999999999"] {
            assert!(amount(text).is_err_and(|why| why.contains("18 446 744 073 709.551615")), "{text}");
        }
        for text in ["", "0", "0.0", "-1", "+1", ".5", "5.", "1.0000001", "1e3", "1,5", "1 000", "0x10", "inf", "NaN", "١", "1.-5"] {
            assert!(amount(text).is_err_and(|why| why.contains("above 0")), "{text} was accepted");
        }
    }

    #[test]
    fn amounts_are_shown_as_they_are_read() {
        for (units, text) in [(0, "0 DCoin"), (2, "0.000002 DCoin"), (1_234_500_000, "1 234.5 DCoin"), (3_000_000, "3 DCoin")] {
            assert_eq!(coins(units), text);
        }
        for units in [1, 999_999, 1_000_000, 20_000_001, u64::MAX] {
            let text = coins(units).replace(' ', "");
            assert_eq!(amount(text.trim_end_matches("DCoin")), Ok(units), "{text}");
        }
    }
}
