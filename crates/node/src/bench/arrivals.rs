//! Readings that arrive at one replica at a steady rate and are gathered as a site gathers them, but without broker,
//! log and index: what the ledger alone takes of the way from publish to confirmed.
//!
//! ```text
//! arrivals ─▶ issuer: what is due, by the site's rules ─▶ replica ─▶ milestones ─events─▶ latency of each reading
//! ```

use super::batches::{Readings, seal};
use super::committee::Member;
use super::figures::{Figures, fields, latency};
use super::machine::usage;
use crate::cli::{Exit, Failure};
use crate::config::LedgerConfig;
use crate::demo::POLL;
use protocol::Id;
use replica::{Event, Handle, IssueError};
use serde_json::json;
use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// How long the last confirmation may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Milestones that may wait to be looked at.
const EVENTS_MAX: usize = 4_096;
/// Batches issued that may wait to be looked at.
const ISSUED_MAX: usize = 4_096;

/// When readings arrive.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    start: Instant,
    rate: f64,
    total: u64,
}

impl Arrivals {
    /// When reading `number` arrives.
    fn due(&self, number: u64) -> Instant {
        self.start + Duration::try_from_secs_f64(number as f64 / self.rate).unwrap_or_default()
    }

    /// The end of a batch that begins with `first`: what has arrived by `now`, one reading at least.
    fn end(&self, first: u64, now: Instant, readings_max: u64) -> u64 {
        let full = first.saturating_add(readings_max).min(self.total);
        let mut end = first + 1;
        while end < full && self.due(end) <= now {
            end += 1;
        }
        end
    }
}

/// The messages that anchor readings, and which; or why there are no more.
type Issued = Result<(Id, Range<u64>), String>;

/// Lets readings arrive for so many seconds and waits until all are confirmed.
///
/// # Errors
/// [`Failure`] if the replica stops, or does not confirm them in time.
pub(super) async fn run((handle, key): &Member, rate: f64, seconds: u32) -> Result<Figures, Failure> {
    let broken = |why: String| Failure::new(Exit::Fault, why, "bench confirm", "run it with -v to see the log");
    let stopped = || broken("a replica stopped, or its events were not taken fast enough".to_owned());
    let total = Duration::try_from_secs_f64(rate * f64::from(seconds)).map_or(u64::MAX, |n| n.as_secs()).max(1);
    let mut events = handle.subscribe(EVENTS_MAX).await.ok_or_else(stopped)?;
    let before = handle.status().await.ok_or_else(stopped)?.height;
    let arrivals = Arrivals { start: Instant::now(), rate, total };
    let deadline = arrivals.due(total) + PATIENCE;
    let (sender, mut issued) = mpsc::channel(ISSUED_MAX);
    let issuer = tokio::spawn(issue(handle.clone(), arrivals, sender));
    let mut tracker = Tracker { arrivals, open: HashMap::new(), early: HashMap::new(), latency_ms: Vec::new() };
    while (tracker.latency_ms.len() as u64) < total {
        tokio::select! {
            () = sleep_until(deadline) => {
                let what = format!("{} of {total} readings were confirmed", tracker.latency_ms.len());
                return Err(Failure::new(Exit::Refused, what, "bench confirm", "choose a lower --rate"));
            }
            Some(batch) = issued.recv() => {
                let (id, readings) = batch.map_err(broken)?;
                tracker.issued(id, readings);
            }
            event = events.recv() => {
                let Event::Milestone { confirmed, .. } = event.ok_or_else(stopped)? else { continue };
                let own = confirmed.iter().filter(|message| message.issuer == *key);
                own.for_each(|message| tracker.confirmed(message.id));
            }
        }
    }
    let elapsed = arrivals.start.elapsed().as_secs_f64();
    issuer.abort(); // it has issued everything
    let after = handle.status().await.ok_or_else(stopped)?.height;
    let used = usage(std::process::id());
    let latency = latency(tracker.latency_ms);
    Ok(fields(json!({
        "readings_published": total,
        "readings_confirmed": total,
        "readings_per_second": total as f64 / elapsed,
        "milestones_per_second": (after - before) as f64 / elapsed,
        "latency_p50_ms": latency.map(|l| l.p50),
        "latency_ms": latency,
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })))
}

/// Issues what arrives. As at a site: at once when idle; under load so long after the last batch, or when one is full.
async fn issue(handle: Handle, arrivals: Arrivals, issued: mpsc::Sender<Issued>) {
    let rules = LedgerConfig::default();
    let (delay, readings_max) = (Duration::from_millis(rules.batch_delay_ms), rules.batch_readings_max as u64);
    let readings = match Readings::of_site(1) {
        Ok(readings) => readings,
        Err(why) => {
            let _ = issued.send(Err(why.to_string())).await;
            return;
        }
    };
    let (mut next, mut last) = (0, None::<Instant>);
    while next < arrivals.total {
        let full = arrivals.due(next.saturating_add(readings_max).min(arrivals.total) - 1);
        let again = last.map_or(arrivals.start, |last| last + delay);
        sleep_until(arrivals.due(next).max(again.min(full))).await;
        let now = Instant::now();
        let end = arrivals.end(next, now, readings_max);
        let (body, payload) = seal(&readings.batch(next, end - next));
        let outcome = loop {
            match handle.issue(body.clone(), Some(payload.clone())).await {
                Err(IssueError::Backlog(_)) => sleep(POLL).await,
                outcome => break outcome,
            }
        };
        let batch = outcome.map(|id| (id, next..end)).map_err(|why| why.to_string());
        if issued.send(batch).await.is_err() {
            return;
        }
        (next, last) = (end, Some(now));
    }
}

/// Brings batches and their confirmations together; either may come first.
struct Tracker {
    arrivals: Arrivals,
    open: HashMap<Id, Range<u64>>,
    early: HashMap<Id, Instant>,
    latency_ms: Vec<f64>,
}

impl Tracker {
    fn issued(&mut self, id: Id, readings: Range<u64>) {
        match self.early.remove(&id) {
            Some(at) => self.sample(readings, at),
            None => {
                self.open.insert(id, readings);
            }
        }
    }

    fn confirmed(&mut self, id: Id) {
        let now = Instant::now();
        match self.open.remove(&id) {
            Some(readings) => self.sample(readings, now),
            None => {
                self.early.insert(id, now);
            }
        }
    }

    fn sample(&mut self, readings: Range<u64>, confirmed: Instant) {
        let arrivals = self.arrivals;
        let since = readings.map(|n| confirmed.saturating_duration_since(arrivals.due(n)).as_secs_f64() * 1e3);
        self.latency_ms.extend(since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(rate: f64, total: u64) -> Arrivals {
        Arrivals { start: Instant::now(), rate, total }
    }

    #[test]
    fn a_batch_takes_what_has_arrived() {
        let a = arrivals(1_000.0, 100);
        let at = |ms: u64| a.start + Duration::from_micros(ms * 1_000 + 500);
        assert_eq!(a.end(0, a.start, 1_000), 1, "one at least");
        assert_eq!(a.end(0, at(9), 1_000), 10);
        assert_eq!(a.end(4, at(9), 1_000), 10);
        assert_eq!(a.end(0, at(9), 3), 3, "no more than fit");
        assert_eq!(a.end(90, at(1_000), 1_000), 100, "no more than there are");
    }

    #[test]
    fn a_confirmation_may_come_before_its_batch_is_known() {
        let a = arrivals(1_000.0, 4);
        let mut tracker = Tracker { arrivals: a, open: HashMap::new(), early: HashMap::new(), latency_ms: Vec::new() };
        let (first, second) = (Id([1; 32]), Id([2; 32]));
        tracker.confirmed(second);
        tracker.issued(first, 0..2);
        assert!(tracker.latency_ms.is_empty());
        tracker.issued(second, 2..4);
        tracker.confirmed(first);
        assert_eq!(tracker.latency_ms.len(), 4);
        assert!(tracker.open.is_empty() && tracker.early.is_empty());
    }
}
