//! The system's clock: what arrivals, requests, windows and rules are timed by.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the clock that arrivals, requests, windows and rules are timed by")]
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
