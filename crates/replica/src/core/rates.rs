//! Where the messages in memory stand in their issuers' chains, and what each needs to follow.
//!
//! A message is judged against its issuer's previous one: same issuer, next sequence, work enough for where the
//! meter stands. So its verdict is a function of the chain below it, the same on every node and for ever. A
//! message that arrives before its previous one is an *orphan*: it is judged when that one is, before the graph
//! can connect it.
//!
//! ```text
//!            previous known          enough work
//! message ──▶ judge ────────────────▶ place noted ──▶ orphans that wait for it are judged
//!       └──▶ orphan (pending in the graph) ◀───────────┘
//! ```

use super::allowances::{Backlog, Buckets};
use super::refusal::Refusal;
use protocol::parameters::Parameters;
use protocol::rate::Meter;
use protocol::{Id, Message, PublicKey};
use std::collections::{BTreeMap, VecDeque};

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) issuer: PublicKey,
    pub(super) sequence: u64,
    pub(super) issued_at_ms: u64,
}

impl From<&Message> for Step {
    fn from(message: &Message) -> Self {
        Self { issuer: message.issuer, sequence: message.sequence, issued_at_ms: message.issued_at_ms }
    }
}

/// Where a message leaves its issuer's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    issuer: PublicKey,
    next_sequence: u64,
    meter: Meter,
}

impl Place {
    /// Before an issuer's first message.
    pub(super) const fn start(issuer: PublicKey) -> Self {
        Self { issuer, next_sequence: 0, meter: Meter::from_us(0) }
    }

    /// After the message of an issuer that comes before `next_sequence`.
    pub(super) const fn reached(issuer: PublicKey, next_sequence: u64, meter: Meter) -> Self {
        Self { issuer, next_sequence, meter }
    }

    /// Before a message of whose previous one no more is known than a meter.
    pub(super) const fn before(step: &Step, meter: Meter) -> Self {
        Self { issuer: step.issuer, next_sequence: step.sequence, meter }
    }

    /// Where nothing can follow.
    pub(super) const fn dead_end(issuer: PublicKey) -> Self {
        Self { issuer, next_sequence: u64::MAX, meter: Meter::from_us(u64::MAX) }
    }

    /// After a message that left the meter at `meter`.
    pub(super) const fn after(step: &Step, meter: Meter) -> Self {
        Self { issuer: step.issuer, next_sequence: step.sequence.saturating_add(1), meter }
    }

    /// The meter there.
    pub(super) const fn meter(&self) -> Meter {
        self.meter
    }

    /// Whether a message may follow here. Its work is asked for only if it needs any.
    pub(super) fn judge(&self, parameters: &Parameters, step: &Step, work: impl FnOnce() -> u8) -> Result<(), Refusal> {
        if step.issuer != self.issuer || step.sequence != self.next_sequence {
            return Err(Refusal::Chain);
        }
        let needed = self.meter.required(parameters, step.issued_at_ms);
        if needed == 0 {
            return Ok(());
        }
        let found = work();
        if found < needed { Err(Refusal::Work { found, needed }) } else { Ok(()) }
    }

    /// The place after a message that is here whether it may follow or not.
    pub(super) fn follow(&self, parameters: &Parameters, step: &Step, work: impl FnOnce() -> u8) -> Self {
        match self.judge(parameters, step, work) {
            Ok(()) => self.advance(parameters, step),
            Err(_) => Self::dead_end(step.issuer),
        }
    }

    /// The place after a message that follows here.
    pub(super) fn advance(&self, parameters: &Parameters, step: &Step) -> Self {
        Self::after(step, self.meter.after(parameters, step.issued_at_ms, step.sequence))
    }
}

/// A pending message whose previous one has not been judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphan {
    pub(super) step: Step,
    pub(super) work: u8,
}

/// An orphan that turned out to be none that could ever follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcast {
    pub(super) id: Id,
    pub(super) issuer: PublicKey,
    pub(super) why: Refusal,
}

/// Rates of all issuers.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Of messages judged that are in memory.
    places: BTreeMap<Id, Place>,
    /// By the previous message that they wait for.
    orphans: BTreeMap<Id, BTreeMap<Id, Orphan>>,
    /// The previous message of each orphan.
    awaited: BTreeMap<Id, Id>,
    pub(super) buckets: Buckets,
    pub(super) backlog: Backlog,
}

impl Rates {
    /// The place of a message in memory.
    pub(super) fn place(&self, id: &Id) -> Option<Place> {
        self.places.get(id).copied()
    }

    /// Notes the place of a message that was judged before.
    pub(super) fn note(&mut self, id: Id, place: Place) {
        self.places.insert(id, place);
    }

    /// How many messages are remembered.
    pub(super) fn len(&self) -> usize {
        self.places.len().saturating_add(self.awaited.len())
    }

    /// Keeps a message until `previous`, its issuer's previous one, is judged.
    pub(super) fn wait(&mut self, id: Id, previous: Id, orphan: Orphan) {
        self.awaited.insert(id, previous);
        self.orphans.entry(previous).or_default().insert(id, orphan);
    }

    /// Notes the place of a message that may follow, and judges what waited for it, and so on. Gives those that
    /// may not: none of them may stay in the graph.
    pub(super) fn settle(&mut self, parameters: &Parameters, id: Id, place: Place) -> Vec<Outcast> {
        let mut outcasts = Vec::new();
        // what builds on an outcast is one too
        let mut settled = VecDeque::from([(id, Some(place))]);
        while let Some((id, place)) = settled.pop_front() {
            for (child, orphan) in self.orphans.remove(&id).unwrap_or_default() {
                self.awaited.remove(&child);
                let step = &orphan.step;
                let next = match place {
                    Some(place) => place.judge(parameters, step, || orphan.work).map(|()| place.advance(parameters, step)),
                    None => Err(Refusal::Chain),
                };
                settled.push_back((child, next.ok()));
                if let Err(why) = next {
                    outcasts.push(Outcast { id: child, issuer: step.issuer, why });
                }
            }
            if let Some(place) = place {
                self.places.insert(id, place);
            }
        }
        outcasts
    }

    /// A message that the graph did not take, or dropped.
    pub(super) fn forget(&mut self, id: &Id) {
        self.places.remove(id);
        let Some(previous) = self.awaited.remove(id) else { return };
        if let Some(orphans) = self.orphans.get_mut(&previous) {
            orphans.remove(id);
            if orphans.is_empty() {
                self.orphans.remove(&previous);
            }
        }
    }

    /// Forgets whatever `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&Id) -> bool) {
        self.places.retain(|id, _| keep(id));
        let gone: Vec<Id> = self.awaited.keys().filter(|id| !keep(id)).copied().collect();
        gone.iter().for_each(|id| self.forget(id));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_750_000_000_000;
    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);

    fn id(n: u64) -> Id {
        Id::hash(&[&n.to_be_bytes()])
    }

    fn step(sequence: u64) -> Step {
        Step { issuer: A, sequence, issued_at_ms: NOW_MS }
    }

    /// A share of one a second: the second message of a moment is free, every further one costs a nibble more.
    fn parameters() -> Parameters {
        Parameters { share_per_second: 1, pow_difficulty: 0, ..Parameters::default() }
    }

    /// The place after messages 0..n, all of one moment.
    fn place(n: u64) -> Place {
        (0..n).fold(Place::start(A), |place, sequence| place.advance(&parameters(), &step(sequence)))
    }

    #[test]
    fn a_message_follows_its_issuer_s_previous_one_only() {
        let place = place(1);
        let judge = |step: Step| place.judge(&parameters(), &step, || 64);
        assert_eq!(judge(step(1)), Ok(()));
        assert_eq!(judge(step(0)), Err(Refusal::Chain), "that sequence again");
        assert_eq!(judge(step(2)), Err(Refusal::Chain), "a gap would be reputation that nobody earned");
        assert_eq!(judge(Step { issuer: B, ..step(1) }), Err(Refusal::Chain), "another issuer's meter");
        assert_eq!(Place::start(B).judge(&parameters(), &step(0), || 64), Err(Refusal::Chain));
    }

    #[test]
    fn a_message_above_the_share_needs_work() {
        assert_eq!(place(1).judge(&parameters(), &step(1), || unreachable!("nobody asks for its work")), Ok(()));
        assert_eq!(place(4).judge(&parameters(), &step(4), || 2), Err(Refusal::Work { found: 2, needed: 3 }));
        assert_eq!(place(4).judge(&parameters(), &step(4), || 3), Ok(()));
        let later = Step { issued_at_ms: NOW_MS + 3_000, ..step(4) };
        assert_eq!(place(4).judge(&parameters(), &later, || 0), Ok(()), "it waited");
    }

    #[test]
    fn nothing_follows_what_could_not_follow() {
        let good = place(4).follow(&parameters(), &step(4), || 3);
        assert_eq!(good, place(5));
        let bad = place(4).follow(&parameters(), &step(4), || 2);
        for sequence in [0, 5, u64::MAX] {
            assert!(bad.judge(&parameters(), &step(sequence), || 63).is_err(), "message {sequence}");
        }
    }

    #[test]
    fn orphans_are_judged_in_the_order_of_the_chain() {
        let mut rates = Rates::default();
        // 4, 3 and 2 come before 1: message 2 needs one nibble, 3 needs two, 4 needs three
        for (sequence, work) in [(4, 3), (3, 2), (2, 1)] {
            rates.wait(id(sequence), id(sequence - 1), Orphan { step: step(sequence), work });
        }
        assert_eq!(rates.len(), 3);
        assert!(rates.settle(&parameters(), id(1), place(2)).is_empty());
        assert_eq!(rates.place(&id(4)), Some(place(5)));
        assert_eq!(rates.len(), 4);
    }

    #[test]
    fn an_orphan_without_its_work_goes_with_all_that_builds_on_it() {
        let mut rates = Rates::default();
        for (sequence, work) in [(4, 64), (3, 1), (2, 1)] {
            rates.wait(id(sequence), id(sequence - 1), Orphan { step: step(sequence), work });
        }
        let outcasts = rates.settle(&parameters(), id(1), place(2));
        let expected = [
            Outcast { id: id(3), issuer: A, why: Refusal::Work { found: 1, needed: 2 } },
            Outcast { id: id(4), issuer: A, why: Refusal::Chain },
        ];
        assert_eq!(outcasts, expected);
        assert_eq!(rates.place(&id(2)), Some(place(3)));
        assert_eq!(rates.place(&id(3)), None);
        assert_eq!(rates.len(), 2);
    }

    #[test]
    fn the_order_of_arrival_changes_no_verdict() {
        // a chain of ten with too little work at the sixth, in both orders
        let work = |sequence: u64| if sequence == 5 { 0 } else { 64 };
        let mut forwards = Rates::default();
        let mut last = Place::start(A);
        for sequence in 0..10 {
            if last.judge(&parameters(), &step(sequence), || work(sequence)).is_err() {
                break;
            }
            last = last.advance(&parameters(), &step(sequence));
            assert!(forwards.settle(&parameters(), id(sequence), last).is_empty());
        }
        let mut backwards = Rates::default();
        for sequence in (1..10).rev() {
            backwards.wait(id(sequence), id(sequence - 1), Orphan { step: step(sequence), work: work(sequence) });
        }
        let outcasts = backwards.settle(&parameters(), id(0), place(1));
        assert_eq!(outcasts.len(), 5);
        assert_eq!(forwards.places, backwards.places);
        assert_eq!(forwards.len(), 5);
    }

    #[test]
    fn what_the_graph_drops_is_forgotten() {
        let mut rates = Rates::default();
        rates.wait(id(2), id(1), Orphan { step: step(2), work: 64 });
        rates.wait(id(3), id(2), Orphan { step: step(3), work: 64 });
        rates.note(id(9), place(1));
        rates.forget(&id(2));
        assert_eq!(rates.len(), 2);
        let kept = id(9);
        rates.retain(|id| *id == kept);
        assert_eq!(rates.len(), 1);
        assert!(rates.orphans.is_empty());
        assert!(rates.settle(&parameters(), id(1), place(2)).is_empty());
        assert_eq!(rates.place(&id(2)), None);
    }
}
