//! How long a reading takes: from the moment its publish was durable to its confirmation here.
//!
//! The log says only how far it reaches. So a task notes the time whenever it has grown; readings below one mark
//! and not below the one before were accepted then.

use super::SiteError;
use mqtt::SiteLog;
use prometheus_client::metrics::histogram::Histogram;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Marks kept. When confirmations lag further, the oldest readings go without a measurement.
const MARKS_MAX: usize = 65_536;
/// Measurements that a summary covers.
const RECENT_MAX: usize = 100_000;

/// A distribution, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LatencySummary {
    /// The median.
    pub(crate) p50_ms: f64,
    /// The 99th percentile.
    pub(crate) p99_ms: f64,
    /// The largest.
    pub(crate) max_ms: f64,
}

/// Measures latencies.
pub(super) struct Latency {
    state: Mutex<State>,
    histogram: Histogram,
}

struct Mark {
    from: u64,
    to: u64,
    at: Instant,
}

struct State {
    end: u64,
    marks: VecDeque<Mark>,
    recent_us: VecDeque<u32>,
}

impl Latency {
    /// Starts at `end` of the log; older readings are not measured.
    pub(super) const fn new(end: u64, histogram: Histogram) -> Self {
        let state = State { end, marks: VecDeque::new(), recent_us: VecDeque::new() };
        Self { state: Mutex::new(state), histogram }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log reaches to `end` now.
    pub(super) fn accepted(&self, end: u64, now: Instant) {
        let mut state = self.lock();
        if end > state.end {
            let from = std::mem::replace(&mut state.end, end);
            if state.marks.len() >= MARKS_MAX {
                state.marks.pop_front();
            }
            state.marks.push_back(Mark { from, to: end, at: now });
        }
    }

    /// When the reading at `offset` was accepted, if that is still known.
    pub(super) fn accepted_at(&self, offset: u64) -> Option<Instant> {
        let state = self.lock();
        let place = state.marks.partition_point(|mark| mark.to <= offset);
        state.marks.get(place).filter(|mark| mark.from <= offset).map(|mark| mark.at)
    }

    /// The readings `from..to` are confirmed now.
    pub(super) fn confirmed(&self, from: u64, to: u64, now: Instant) {
        let mut state = self.lock();
        let mut at = from;
        while let Some(mark) = state.marks.front() {
            let (mark_from, mark_to, accepted) = (mark.from, mark.to, mark.at);
            if mark_from >= to {
                break;
            }
            at = at.max(mark_from);
            let until = mark_to.min(to);
            let elapsed = now.saturating_duration_since(accepted);
            let us = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
            while at < until {
                self.histogram.observe(elapsed.as_secs_f64());
                if state.recent_us.len() >= RECENT_MAX {
                    state.recent_us.pop_front();
                }
                state.recent_us.push_back(us);
                at += 1;
            }
            if mark_to > to {
                break;
            }
            state.marks.pop_front();
        }
    }

    /// The last measurements; `None` before the first.
    pub(super) fn summary(&self) -> Option<LatencySummary> {
        let mut sorted: Vec<u32> = self.lock().recent_us.iter().copied().collect();
        sorted.sort_unstable();
        let quantile = |percent: usize| {
            let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(place).map(|us| f64::from(*us) / 1000.0)
        };
        Some(LatencySummary { p50_ms: quantile(50)?, p99_ms: quantile(99)?, max_ms: quantile(100)? })
    }
}

/// Notes how far the log reaches, whenever that changes.
pub(super) async fn mark(log: SiteLog, latency: Arc<Latency>, mut stop: watch::Receiver<bool>) -> Result<(), SiteError> {
    let mut seen = latency.lock().end;
    loop {
        tokio::select! {
            () = super::told(&mut stop) => return Ok(()),
            end = log.wait_past(seen) => {
                if end <= seen {
                    return Ok(()); // the log was closed
                }
                latency.accepted(end, Instant::now());
                seen = end;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn latency(end: u64) -> Latency {
        Latency::new(end, Histogram::new([0.1, 1.0]))
    }

    #[test]
    fn a_reading_is_measured_from_the_mark_it_lies_under() {
        let (latency, start) = (latency(10), Instant::now());
        let ms = |n| start + Duration::from_millis(n);
        assert_eq!(latency.summary(), None);
        latency.accepted(12, ms(0)); // 10, 11
        latency.accepted(13, ms(100)); // 12
        assert_eq!([9, 10, 11, 12, 13].map(|n| latency.accepted_at(n)), [None, Some(ms(0)), Some(ms(0)), Some(ms(100)), None]);
        latency.confirmed(0, 11, ms(150)); // only 10 was accepted since the start
        assert_eq!(latency.summary(), Some(LatencySummary { p50_ms: 150.0, p99_ms: 150.0, max_ms: 150.0 }));
        latency.confirmed(11, 13, ms(300)); // 11: 300, 12: 200
        assert_eq!(latency.summary(), Some(LatencySummary { p50_ms: 200.0, p99_ms: 300.0, max_ms: 300.0 }));
        assert!(latency.lock().marks.is_empty());
    }

    #[test]
    fn nothing_grows_without_bound() {
        let (latency, now) = (latency(0), Instant::now());
        let end = 2 * MARKS_MAX as u64;
        (1..=end).for_each(|n| latency.accepted(n, now));
        assert_eq!(latency.lock().marks.len(), MARKS_MAX);
        latency.confirmed(0, end, now);
        assert_eq!(latency.lock().recent_us.len(), MARKS_MAX.min(RECENT_MAX));
        latency.accepted(end + 200_000, now);
        latency.confirmed(end, end + 200_000, now);
        assert_eq!(latency.lock().recent_us.len(), RECENT_MAX);
    }
}
