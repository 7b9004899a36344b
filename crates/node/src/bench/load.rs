//! Messages that every replica of a committee issues, and what becomes of them.
//!
//! ```text
//! feeder k ─issue, at most N unconfirmed─▶ replica k ─▶ milestones ─events─▶ tracker k: latency
//!                                                                   tracker 0: readings and messages
//! ```
//! - For each message a batch is blinded with a secret of its own, its tree hashed, its body encoded and named: what a
//!   site does between its log and the ledger. Only the readings themselves are made before the run.
//! - With a rate, a message that had to wait for its turn counts from when it was due.

use super::batches::{Readings, seal, secret};
use super::committee::Member;
use crate::cli::{Exit, Failure};
use protocol::{Batch, Id, PublicKey};
use replica::{Event, Handle};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Batches whose readings are made before a run; then they are used again, with new secrets.
const PREPARED: u64 = 32;
/// Milestones a tracker may be behind.
const EVENTS_MAX: usize = 4_096;
/// Batches of so many readings are hashed where they are issued; larger ones make room for other tasks first.
const SMALL_BATCH: u32 = 16;
/// The longest that a feeder pauses between two messages.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What every replica issues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Readings in a message.
    pub(super) batch: u32,
    /// Messages that one replica may have unconfirmed.
    pub(super) in_flight: usize,
    /// Messages a second of all replicas together; as many as they take if `None`.
    pub(super) rate: Option<f64>,
}

/// The time that is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Its begin.
    pub(super) from: Instant,
    /// Its end.
    pub(super) until: Instant,
}

impl Window {
    /// So many seconds, after so many others.
    pub(super) fn after(warm_up_seconds: u64, seconds: u64) -> Self {
        let from = Instant::now() + Duration::from_secs(warm_up_seconds);
        Self { from, until: from + Duration::from_secs(seconds) }
    }

    /// How long it is.
    pub(super) fn seconds(&self) -> f64 {
        self.until.saturating_duration_since(self.from).as_secs_f64()
    }
}

/// What was confirmed while it was measured.
#[derive(Default)]
pub(super) struct Tally {
    /// Readings, as the first replica tells.
    pub(super) readings: u64,
    /// Messages, as the first replica tells.
    pub(super) messages: u64,
    /// Readings, those before the measuring included.
    pub(super) readings_ever: u64,
    /// From issued to confirmed, as the issuer sees it.
    pub(super) latency_ms: Vec<f64>,
}

/// Puts the load on `members` until the window ends.
///
/// # Errors
/// [`Failure`] if a replica stops.
pub(super) async fn run(members: &[Member], load: Load, window: Window) -> Result<Tally, Failure> {
    let broken = |why: String| Failure::new(Exit::Fault, why, "issuing", "run it with -v to see the log");
    let (mut feeders, mut trackers) = (JoinSet::new(), JoinSet::new());
    let start = Instant::now();
    for (index, (handle, key)) in members.iter().enumerate() {
        let (issued, arrivals) = mpsc::channel(load.in_flight);
        let events = handle.subscribe(EVENTS_MAX).await.ok_or_else(|| broken("a replica has stopped".to_owned()))?;
        let tracker = Tracker { key: *key, window, counts: index == 0, tally: Tally::default(), open: HashMap::new() };
        trackers.spawn(tracker.run(events, arrivals));
        let feeder = Feeder {
            handle: handle.clone(),
            batches: prepare(index, load.batch).map_err(|e| broken(e.to_string()))?,
            places: Arc::new(Semaphore::new(load.in_flight)),
            issued,
            until: window.until,
            schedule: Schedule::of(load.rate, index, members.len(), start),
        };
        feeders.spawn(feeder.run());
    }
    let mut all = Tally::default();
    while let Some(tally) = trackers.join_next().await {
        let tally = tally.map_err(|e| broken(e.to_string())).and_then(|t| t.map_err(broken))?;
        all.readings += tally.readings;
        all.messages += tally.messages;
        all.readings_ever += tally.readings_ever;
        all.latency_ms.extend(tally.latency_ms);
    }
    feeders.abort_all();
    Ok(all)
}

fn prepare(site: usize, count: u32) -> Result<Vec<Batch>, protocol::NameError> {
    let readings = Readings::of_site(site)?;
    let batch = |number: u64| {
        let readings = (0..u64::from(count)).map(|n| readings.reading(n, number * 1_000_000 + n)).collect();
        Batch { secret: [0; 32], first_offset: 0, readings }
    };
    Ok((0..PREPARED).map(batch).collect())
}

/// When one of several replicas issues its messages.
struct Schedule {
    due: Instant,
    /// Between two messages; `None` without a rate.
    every: Option<Duration>,
}

impl Schedule {
    /// That of number `index` of `nodes`, which take turns.
    fn of(rate: Option<f64>, index: usize, nodes: usize, start: Instant) -> Self {
        let turn = rate.map(|rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or(PAUSE_MAX).min(PAUSE_MAX));
        let times = |n: usize| turn.map(|turn| turn.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX)).min(PAUSE_MAX));
        Self { due: start + times(index).unwrap_or_default(), every: times(nodes) }
    }

    /// Waits for the turn; from when the message counts if there is a rate.
    async fn turn(&mut self) -> Option<Instant> {
        let every = self.every?;
        let due = self.due;
        self.due += every;
        if due <= Instant::now() {
            return Some(due); // late: the wait counts
        }
        tokio::time::sleep_until(due).await;
        Some(Instant::now())
    }
}

/// An issued message: its id, when it was handed over, and the place it takes until it is confirmed.
type Issued = (Id, Instant, OwnedSemaphorePermit);

/// Issues batches, as many at a time as there are places.
struct Feeder {
    handle: Handle,
    batches: Vec<Batch>,
    places: Arc<Semaphore>,
    issued: mpsc::Sender<Issued>,
    until: Instant,
    schedule: Schedule,
}

impl Feeder {
    async fn run(mut self) {
        let mut tasks = JoinSet::new();
        let mut offset = 0u64;
        loop {
            for batch in &mut self.batches {
                let due = self.schedule.turn().await;
                let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
                if Instant::now() >= self.until {
                    return;
                }
                while tasks.try_join_next().is_some() {}
                batch.first_offset = offset;
                batch.secret = secret(offset);
                let count = u32::try_from(batch.readings.len()).unwrap_or(u32::MAX);
                offset += u64::from(count);
                let at = due.unwrap_or_else(Instant::now);
                let (body, payload) = match count {
                    0..=SMALL_BATCH => seal(batch),
                    _ => tokio::task::block_in_place(|| seal(batch)),
                };
                let (handle, issued) = (self.handle.clone(), self.issued.clone());
                tasks.spawn(async move {
                    // a replica that stopped closes its events, which the tracker reports
                    if let Ok(id) = handle.issue(body, Some(payload)).await {
                        let _ = issued.send((id, at, place)).await;
                    }
                });
            }
        }
    }
}

/// One half of a message's story; whichever comes first waits for the other.
enum Half {
    Issued(Instant, OwnedSemaphorePermit),
    Confirmed(Instant),
}

struct Tracker {
    key: PublicKey,
    window: Window,
    counts: bool,
    tally: Tally,
    open: HashMap<Id, Half>,
}

impl Tracker {
    async fn run(mut self, mut events: mpsc::Receiver<Event>, mut arrivals: mpsc::Receiver<Issued>) -> Result<Tally, String> {
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.window.until) => return Ok(self.tally),
                Some((id, at, place)) = arrivals.recv() => self.issued(id, at, place),
                event = events.recv() => match event {
                    Some(event) => self.happened(&event),
                    None => return Err("a replica stopped, or its events were not taken fast enough".to_owned()),
                },
            }
        }
    }

    fn issued(&mut self, id: Id, at: Instant, place: OwnedSemaphorePermit) {
        match self.open.remove(&id) {
            Some(Half::Confirmed(confirmed)) => self.sample(at, confirmed),
            _ => drop(self.open.insert(id, Half::Issued(at, place))),
        }
    }

    fn happened(&mut self, event: &Event) {
        let now = Instant::now();
        let Event::Milestone { confirmed, .. } = event else { return };
        for message in confirmed.iter() {
            if self.counts {
                self.tally.readings_ever += u64::from(message.readings);
                if now >= self.window.from {
                    self.tally.messages += 1;
                    self.tally.readings += u64::from(message.readings);
                }
            }
            if message.issuer == self.key {
                match self.open.remove(&message.id) {
                    Some(Half::Issued(at, _place)) => self.sample(at, now),
                    _ => drop(self.open.insert(message.id, Half::Confirmed(now))),
                }
            }
        }
    }

    fn sample(&mut self, issued: Instant, confirmed: Instant) {
        if issued >= self.window.from {
            self.tally.latency_ms.push(confirmed.saturating_duration_since(issued).as_secs_f64() * 1e3);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replicas_take_turns_and_late_messages_count_from_their_turn() {
        let start = Instant::now();
        // two replicas at 400 a second together: each every 5 ms, the second 2.5 ms after the first
        let mut second = Schedule::of(Some(400.0), 1, 2, start);
        for n in 0..4u32 {
            let due = start + Duration::from_micros(2_500) + Duration::from_millis(5) * n;
            assert!(second.turn().await.unwrap() >= due);
        }
        let long_ago = start.checked_sub(Duration::from_secs(1)).unwrap_or(start);
        let mut late = Schedule::of(Some(1_000.0), 0, 1, long_ago);
        assert_eq!(late.turn().await, Some(long_ago));
        assert!(Schedule::of(None, 0, 1, start).turn().await.is_none());
        assert_eq!(Schedule::of(Some(f64::MIN_POSITIVE), 0, 4, start).every, Some(PAUSE_MAX));
    }

    #[test]
    fn prepared_batches_have_readings_of_their_own() {
        let batches = prepare(2, 5).unwrap();
        assert_eq!(batches.len() as u64, PREPARED);
        let ids: std::collections::BTreeSet<Id> = batches.iter().flat_map(|b| &b.readings).map(protocol::Reading::id).collect();
        assert_eq!(ids.len() as u64, 5 * PREPARED);
    }
}
