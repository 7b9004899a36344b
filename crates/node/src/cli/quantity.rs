//! Quantities as people type them.

use std::time::Duration;

/// Longest span that may be typed: a day.
const SECONDS_MAX: f64 = 86_400.0;

/// Reads `10s`, `500ms`, `2m`, `1h` or a number of seconds.
///
/// # Errors
/// A sentence saying what is accepted.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("the unit {unit:?} is unknown: use ms, s, m or h")),
    };
    match number.parse::<f64>().map(|n| n * factor) {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a duration between 0 and 24h is needed, such as 500ms, 10s or 2m".to_owned()),
    }
}

/// Reads a finite number above zero.
///
/// # Errors
/// A sentence saying what is accepted.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 => Ok(n),
        _ => Err("a number above 0 is needed".to_owned()),
    }
}

/// Reads one level of a topic.
///
/// # Errors
/// A sentence saying what is wrong with it.
pub(crate) fn name(text: &str) -> Result<protocol::Name, String> {
    protocol::Name::new(text).map_err(|why| why.to_string())
}

/// Reads `site/ID`.
///
/// # Errors
/// A sentence saying what is wrong with it.
pub(crate) fn device(text: &str) -> Result<protocol::DeviceName, String> {
    text.parse().map_err(|why: protocol::DeviceNameError| why.to_string())
}

/// Reads the name of a site: one level of a topic, or several parted by `/`.
///
/// # Errors
/// A sentence saying what is wrong with it.
pub(crate) fn site(text: &str) -> Result<protocol::Name, String> {
    protocol::Name::site(text).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_units() {
        for (text, ms) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("0", 0), ("1.5", 1_500), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "10d", "25h", "NaN", "inf", "1e999"] {
            assert!(duration(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn only_finite_numbers_above_zero_are_positive() {
        assert_eq!(positive("2.5"), Ok(2.5));
        for text in ["0", "-1", "inf", "NaN", "x"] {
            assert!(positive(text).is_err(), "{text} was accepted");
        }
    }
}
