//! What listeners are told, and what of it is kept for those who come back.
//!
//! ```text
//! pump ─▶ publish ─┬─▶ ring: the last events, each with a number       ◀─ subscribe(Last-Event-ID)
//!                  └─▶ broadcast ─▶ listeners
//! ```
//! # Rules
//! - Numbers have no holes: whoever has number n and gets n + 1 has missed nothing.
//! - Samples (messages, readings) carry the number of the event before them and are not kept.
//! - While nobody listens, and nobody did lately, nothing is kept; the numbers go on, so that a gap shows.

use serde_json::Value;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Events that are kept,
const EVENTS_MAX: usize = 8_192;
/// and bytes of them.
const BYTES_MAX: usize = 8 << 20;
/// How long events are kept when nobody listens any more.
const LINGER: Duration = Duration::from_secs(120);
/// Events that a listener may be behind.
const BEHIND_MAX: usize = 4_096;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A milestone was executed.
    Milestone,
    /// A wallet's request is certified, or at its end.
    Spend,
    /// A batch of readings of this site is confirmed.
    Confirmed,
    /// Something is wrong, or well again.
    Alarm,
    /// A message arrived: a sample.
    Message,
    /// A reading is confirmed: a sample.
    Reading,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 6] = [Self::Milestone, Self::Spend, Self::Confirmed, Self::Alarm, Self::Message, Self::Reading];
    /// Those that are told unless asked otherwise.
    pub(super) const USUAL: [Self; 4] = [Self::Milestone, Self::Spend, Self::Confirmed, Self::Alarm];

    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Milestone => "milestone",
            Self::Spend => "spend",
            Self::Confirmed => "confirmed",
            Self::Alarm => "alarm",
            Self::Message => "message",
            Self::Reading => "reading",
        }
    }

    /// Whether some stand for all.
    pub(super) const fn sampled(self) -> bool {
        matches!(self, Self::Message | Self::Reading)
    }
}

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Its number; of a sample, that of the event before.
    pub(super) number: u64,
    /// What it is about.
    pub(super) kind: Kind,
    /// JSON.
    pub(super) data: String,
}

/// What a listener that comes back gets first.
pub(super) struct Resumed {
    /// How many events it missed for good; none if not one.
    pub(super) gap: Option<u64>,
    /// What it missed and is still here.
    pub(super) missed: Vec<Arc<Told>>,
    /// What happens from now on.
    pub(super) live: broadcast::Receiver<Arc<Told>>,
}

/// What is kept.
struct Kept {
    /// The number of the last event.
    last: u64,
    events: VecDeque<Arc<Told>>,
    bytes: usize,
    listened: Option<Instant>,
}

/// Tells listeners.
pub(super) struct Ring {
    /// Tells this run of the node from others.
    run: u64,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<Told>>,
    samplers: AtomicUsize,
}

impl Ring {
    /// Nothing has happened. `run` is another at each start.
    pub(super) fn new(run: u64) -> Self {
        let kept = Mutex::new(Kept { last: 0, events: VecDeque::new(), bytes: 0, listened: None });
        Self { run, kept, live: broadcast::channel(BEHIND_MAX).0, samplers: AtomicUsize::new(0) }
    }

    /// Tells something that is kept. The text is made only if somebody will hear it.
    pub(super) fn tell(&self, kind: Kind, data: impl FnOnce() -> Value) {
        let mut kept = self.lock();
        kept.last = kept.last.saturating_add(1);
        let listening = self.live.receiver_count() > 0;
        if listening {
            kept.listened = Some(Instant::now());
        }
        if kept.listened.is_none_or(|at| at.elapsed() >= LINGER) {
            kept.events.clear();
            kept.bytes = 0;
            return;
        }
        let told = Arc::new(Told { number: kept.last, kind, data: data().to_string() });
        kept.bytes = kept.bytes.saturating_add(told.data.len());
        kept.events.push_back(told.clone());
        while kept.events.len() > EVENTS_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.data.len());
        }
        let _ = self.live.send(told); // nobody may listen
    }

    /// Tells a sample.
    pub(super) fn sample(&self, kind: Kind, data: &Value) {
        let kept = self.lock();
        let _ = self.live.send(Arc::new(Told { number: kept.last, kind, data: data.to_string() }));
    }

    /// Whether anybody wants samples.
    pub(super) fn wants_samples(&self) -> bool {
        self.samplers.load(Ordering::Relaxed) > 0
    }

    /// Counts listeners that want samples.
    pub(super) const fn samplers(&self) -> &AtomicUsize {
        &self.samplers
    }

    /// Listens from behind the event of this id on, or from now on.
    pub(super) fn subscribe(&self, last_id: Option<&str>) -> Resumed {
        let mut kept = self.lock();
        kept.listened = Some(Instant::now());
        let live = self.live.subscribe();
        let Some(id) = last_id else { return Resumed { gap: None, missed: Vec::new(), live } };
        let Some(number) = self.number(id).filter(|number| *number <= kept.last) else {
            // of another run, or of nobody's: what was missed cannot be counted
            return Resumed { gap: Some(0), missed: Vec::new(), live };
        };
        let missed: Vec<_> = kept.events.iter().filter(|told| told.number > number).cloned().collect();
        let lost = kept.last.saturating_sub(number).saturating_sub(missed.len() as u64);
        Resumed { gap: (lost > 0).then_some(lost), missed, live }
    }

    /// The id of a number.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.run)
    }

    /// The number of an id, if it is of this run.
    fn number(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        let this = u64::from_str_radix(run, 16).is_ok_and(|run| run == self.run);
        number.parse().ok().filter(|_| this)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let ring = Ring::new(7);
        ring.tell(Kind::Milestone, || unreachable!("nobody listens"));
        let first = ring.subscribe(None);
        assert!(first.gap.is_none() && first.missed.is_empty());
        for n in 0..5 {
            ring.tell(Kind::Milestone, || json!(n));
        }
        drop(first);
        ring.tell(Kind::Alarm, || json!("late"));
        let resumed = ring.subscribe(Some(&ring.id(4)));
        assert_eq!(resumed.gap, None);
        assert_eq!(resumed.missed.iter().map(|told| told.number).collect::<Vec<_>>(), [5, 6, 7]);
        // what was told while nobody listened is lost, and counted
        assert_eq!(ring.subscribe(Some(&ring.id(0))).gap, Some(1));
        for other in ["", "7", "8-4", "7-8", "7-x", "x-4"] {
            assert_eq!(ring.subscribe(Some(other)).gap, Some(0), "{other}");
        }
    }

    #[test]
    fn it_keeps_so_much_and_no_more() {
        let ring = Ring::new(1);
        let _listener = ring.subscribe(None);
        (0..EVENTS_MAX + 10).for_each(|n| ring.tell(Kind::Spend, || json!(n)));
        let resumed = ring.subscribe(Some(&ring.id(0)));
        assert_eq!((resumed.gap, resumed.missed.len()), (Some(10), EVENTS_MAX));
        let large = "x".repeat(BYTES_MAX / 2);
        (0..3).for_each(|_| ring.tell(Kind::Spend, || json!(large)));
        assert!(ring.subscribe(Some(&ring.id(0))).missed.len() <= 2);
    }

    #[tokio::test]
    async fn samples_are_told_and_not_kept() {
        let ring = Ring::new(1);
        let mut listener = ring.subscribe(None);
        ring.tell(Kind::Milestone, || json!(1));
        ring.sample(Kind::Message, &json!(2));
        assert_eq!(listener.live.recv().await.unwrap().number, 1);
        let sample = listener.live.recv().await.unwrap();
        assert_eq!((sample.number, sample.kind), (1, Kind::Message));
        assert_eq!(ring.subscribe(Some(&ring.id(0))).missed.len(), 1);
    }
}
