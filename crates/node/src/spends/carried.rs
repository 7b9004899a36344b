//! How long requests take that came to this node, and what became of them.

use prometheus_client::metrics::histogram::Histogram;
use protocol::Id;
use replica::{SpendEvent, SpendStatus};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests that are measured at a time. Those beyond go without.
const MEASURED_MAX: usize = 65_536;
/// How long one is measured for sure. What became of an older one was not told: it goes when there is no room.
const MEASURED_FOR: Duration = Duration::from_secs(600);
/// Least time between two looks for those.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What became of requests that this node carried, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpendCounts {
    /// No certificate can be: too many validators are against.
    pub(crate) refused: u64,
    /// No certificate can be in this epoch: votes are for rivals.
    pub(crate) locked: u64,
    /// Their epoch has ended.
    pub(crate) lapsed: u64,
}

/// A request on its way.
struct OnItsWay {
    since: Instant,
    certified: bool,
}

#[derive(Default)]
struct State {
    on_their_way: HashMap<Id, OnItsWay>,
    /// When old ones were looked for last.
    swept: Option<Instant>,
    counts: SpendCounts,
}

/// Measures what this node carries.
pub(super) struct Carried {
    state: Mutex<State>,
    certified_s: Histogram,
    final_s: Histogram,
}

impl Carried {
    /// Counts into these: seconds until certified, seconds until final.
    pub(super) fn new([certified_s, final_s]: [Histogram; 2]) -> Self {
        Self { state: Mutex::default(), certified_s, final_s }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests came in now. One that is measured already goes on as it is.
    pub(super) fn begin(&self, ids: impl IntoIterator<Item = Id>) {
        self.begin_at(ids, Instant::now());
    }

    fn begin_at(&self, ids: impl IntoIterator<Item = Id>, since: Instant) {
        let mut state = self.lock();
        for id in ids {
            let full = state.on_their_way.len() >= MEASURED_MAX;
            if full && state.swept.is_none_or(|at| since.saturating_duration_since(at) >= SWEEP_EVERY) {
                state.swept = Some(since);
                state.on_their_way.retain(|_, spend| since.saturating_duration_since(spend.since) < MEASURED_FOR);
            }
            if state.on_their_way.len() < MEASURED_MAX || state.on_their_way.contains_key(&id) {
                state.on_their_way.entry(id).or_insert(OnItsWay { since, certified: false });
            }
        }
    }

    /// Measures these no longer.
    pub(super) fn forget(&self, ids: impl IntoIterator<Item = Id>) {
        let mut state = self.lock();
        for id in ids {
            state.on_their_way.remove(&id);
        }
    }

    /// What was told meanwhile is lost: nothing that came before is measured.
    pub(super) fn clear(&self) {
        self.lock().on_their_way.clear();
    }

    /// Takes what the replica tells at `now`.
    pub(super) fn told(&self, events: &[SpendEvent], now: Instant) {
        let mut state = self.lock();
        for event in events {
            match event.status {
                SpendStatus::Pending => {}
                SpendStatus::Certified => {
                    if let Some(spend) = state.on_their_way.get_mut(&event.id).filter(|spend| !spend.certified) {
                        spend.certified = true;
                        self.certified_s.observe(now.saturating_duration_since(spend.since).as_secs_f64());
                    }
                }
                SpendStatus::Final { .. } => {
                    if let Some(spend) = state.on_their_way.remove(&event.id) {
                        self.final_s.observe(now.saturating_duration_since(spend.since).as_secs_f64());
                    }
                }
                SpendStatus::Refused | SpendStatus::Locked | SpendStatus::Lapsed => {
                    state.on_their_way.remove(&event.id);
                    let counts = &mut state.counts;
                    let count = match event.status {
                        SpendStatus::Refused => &mut counts.refused,
                        SpendStatus::Locked => &mut counts.locked,
                        _ => &mut counts.lapsed,
                    };
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// What became of them.
    pub(super) fn counts(&self) -> SpendCounts {
        self.lock().counts
    }

    #[cfg(test)]
    fn measured(&self) -> usize {
        self.lock().on_their_way.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode_registry;
    use prometheus_client::registry::Registry;
    use protocol::{Operation, PublicKey, Request, Signature};
    use std::sync::Arc;
    use std::time::Duration;

    fn event(n: u8, status: SpendStatus) -> SpendEvent {
        let request = Request {
            wallet: PublicKey([n; 32]),
            state: Id([0; 32]),
            number: 0,
            epoch: 0,
            operation: Operation::Redeem,
            price: 1_000_000,
            from_ms: 0,
            until_ms: 0,
            nonce: 0,
            signature: Signature([0; 64]),
        };
        SpendEvent { id: Id([n; 32]), request: Arc::new(request), status }
    }

    fn text(histograms: &[Histogram; 2]) -> String {
        let mut registry = Registry::default();
        registry.register("certified", "c", histograms[0].clone());
        registry.register("final", "f", histograms[1].clone());
        let mut text = String::new();
        encode_registry(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn only_what_came_here_is_measured_and_once() {
        let histograms = [Histogram::new([1.0]), Histogram::new([1.0])];
        let carried = Carried::new(histograms.clone());
        carried.begin([Id([1; 32]), Id([2; 32])]);
        let later = Instant::now() + Duration::from_secs(5);
        carried.told(&[event(1, SpendStatus::Certified), event(1, SpendStatus::Certified), event(9, SpendStatus::Certified)], later);
        carried.told(&[event(1, SpendStatus::Final { height: 4 }), event(1, SpendStatus::Final { height: 4 })], later);
        let text = text(&histograms);
        assert!(text.contains("certified_count 1") && text.contains("final_count 1"), "{text}");
        assert!(text.contains("final_bucket{le=\"1.0\"} 0"), "{text}");
        assert_eq!(carried.measured(), 1);
        carried.told(&[event(2, SpendStatus::Locked), event(3, SpendStatus::Refused), event(4, SpendStatus::Lapsed)], later);
        assert_eq!(carried.counts(), SpendCounts { refused: 1, locked: 1, lapsed: 1 });
        assert_eq!(carried.measured(), 0);
        carried.begin([Id([5; 32])]);
        carried.forget([Id([5; 32])]);
        assert_eq!(carried.measured(), 0);
    }

    #[test]
    fn what_is_measured_is_bounded() {
        let carried = Carried::new([Histogram::new([1.0]), Histogram::new([1.0])]);
        carried.begin((0..MEASURED_MAX as u64 + 9).map(|n| Id::hash(&[&n.to_be_bytes()])));
        assert_eq!(carried.measured(), MEASURED_MAX);
    }

    /// Requests of which no end was told took all the room, for ever.
    #[test]
    fn what_is_never_told_of_makes_room() {
        let carried = Carried::new([Histogram::new([1.0]), Histogram::new([1.0])]);
        let (start, id) = (Instant::now(), |n: usize| Id::hash(&[&n.to_be_bytes()]));
        carried.begin_at((0..MEASURED_MAX).map(id), start);
        carried.begin_at([id(MEASURED_MAX)], start + MEASURED_FOR - Duration::from_secs(1));
        assert_eq!(carried.measured(), MEASURED_MAX, "they may still come");
        carried.begin_at([id(MEASURED_MAX)], start + MEASURED_FOR + SWEEP_EVERY);
        assert_eq!(carried.measured(), 1);
        carried.clear();
        assert_eq!(carried.measured(), 0);
    }
}
