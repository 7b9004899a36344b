//! Each number of a device's key is taken once.
//!
//! Publishes may arrive out of order: one that could not be kept comes again when later ones were. So a number is not
//! compared with the greatest alone; for each key the last [`WINDOW`] numbers are remembered one by one, as IPsec does it
//! (RFC 4303 §3.4.3).
//! ```text
//! too old, refused │ remembered one by one: new or taken │ new
//! ─────────────────┼─────────────────────────────────────┼─────▶ number
//!                greatest − 63                        greatest
//! ```
//! # Rules
//! - A number is taken *before* its reading is written, so that two publishes under way cannot both have it. It is settled
//!   when the reading is durable, and given back if it was not kept. What comes in between is told to come again later:
//!   nobody knows yet whether the first was kept.
//! - What was taken survives a restart: whoever opens the site notes it again ([`Replays::note`]).
//! - A device that roams is at one site at a time: elsewhere its key is *closed* ([`Replays::close`]), and a visitor's key
//!   is closed until its numbers have come ([`Replays::open`]). Closing is one step with taking: a number is taken before, or not
//!   at all. So [`Replays::window`] of a closed key is final.

use protocol::PublicKey;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers of a key that are remembered one by one, below and with the greatest.
pub const WINDOW: u64 = 64;
/// Keys that are remembered.
pub const KEYS_MAX: usize = 131_072;

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the caller's now.
    New,
    /// It was taken before, and its reading is durable.
    Again,
    /// It was taken, and its reading is still being written.
    UnderWay,
    /// It lies before everything that is remembered.
    Old,
    /// There is no room for another key.
    Full,
    /// The key is closed here: its device is elsewhere, or has just come.
    Elsewhere,
}

/// The numbers of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    greatest: u64,
    /// Bit `i`: whether `greatest − i` was taken.
    bits: u64,
}

impl Numbers {
    fn take(&mut self, number: u64) -> Taken {
        if number > self.greatest || self.bits == 0 && self.greatest == 0 {
            let ahead = number - self.greatest;
            self.bits = if ahead >= WINDOW { 0 } else { self.bits << ahead };
            (self.greatest, self.bits) = (number, self.bits | 1);
            return Taken::New;
        }
        let behind = self.greatest - number;
        if behind >= WINDOW {
            return Taken::Old;
        }
        let bit = 1u64 << behind;
        if self.bits & bit != 0 {
            return Taken::Again;
        }
        self.bits |= bit;
        Taken::New
    }

    fn give_back(&mut self, number: u64) {
        let behind = self.greatest.saturating_sub(number);
        if number <= self.greatest && behind < WINDOW {
            self.bits &= !(1u64 << behind);
        }
    }
}

/// The numbers that were taken, of every key.
#[derive(Debug, Default)]
pub struct Replays(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    keys: HashMap<PublicKey, Numbers>,
    /// Taken, neither settled nor given back: as many as publishes are being written.
    under_way: HashSet<(PublicKey, u64)>,
    /// Keys of devices that are elsewhere.
    closed: HashSet<PublicKey>,
    /// Keys of visitors whose numbers are known.
    guests: HashSet<PublicKey>,
}

impl State {
    fn take(&mut self, key: PublicKey, number: u64) -> Taken {
        let full = self.keys.len() >= KEYS_MAX;
        let taken = match self.keys.get_mut(&key) {
            Some(numbers) => numbers.take(number),
            None if full => Taken::Full,
            None => self.keys.entry(key).or_default().take(number),
        };
        match taken {
            Taken::New => {
                self.under_way.insert((key, number));
            }
            Taken::Again if self.under_way.contains(&(key, number)) => return Taken::UnderWay,
            _ => {}
        }
        taken
    }

    fn note(&mut self, key: PublicKey, number: u64) {
        if self.take(key, number) == Taken::New {
            self.under_way.remove(&(key, number));
        }
    }
}

impl Replays {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a number that was taken before this process started.
    pub fn note(&self, key: PublicKey, number: u64) {
        self.lock().note(key, number);
    }

    /// Closes a key: nothing of it is taken from now on.
    pub fn close(&self, key: PublicKey) {
        let mut state = self.lock();
        state.closed.insert(key);
        state.guests.remove(&key);
    }

    /// Opens a key whose device has come, with the numbers that were taken elsewhere: the greatest, and as bit `i` whether
    /// `greatest − i` was. Numbers that were taken here stay taken.
    pub fn open(&self, key: PublicKey, greatest: u64, taken: u64) {
        let mut state = self.lock();
        for behind in (0..WINDOW).rev().filter(|behind| (taken >> *behind) & 1 == 1) {
            if let Some(number) = greatest.checked_sub(behind) {
                state.note(key, number);
            }
        }
        state.closed.remove(&key);
        state.guests.insert(key);
    }

    /// The numbers of a key that were taken: the greatest, and the bits below as in [`Replays::open`]; `None` while one of them
    /// is still being written.
    #[must_use]
    pub fn window(&self, key: PublicKey) -> Option<(u64, u64)> {
        let state = self.lock();
        if state.under_way.iter().any(|(other, _)| *other == key) {
            return None;
        }
        let numbers = state.keys.get(&key).copied().unwrap_or_default();
        // the greatest may have been given back: then its bit is clear, and the next below is the greatest
        let empty = u64::from(numbers.bits.trailing_zeros());
        match numbers.bits {
            0 => Some((0, 0)),
            bits => Some((numbers.greatest.saturating_sub(empty), bits >> empty)),
        }
    }

    /// The numbers of every key that [`Replays::note`] can make again: each key with its greatest number, and as bit `i`
    /// whether the greatest minus `i` was taken. In the order of the keys.
    #[must_use]
    pub fn taken(&self) -> Vec<(PublicKey, u64, u64)> {
        let state = self.lock();
        let mut taken: Vec<_> = state.keys.iter().map(|(key, numbers)| (*key, numbers.greatest, numbers.bits)).collect();
        taken.sort_unstable_by_key(|(key, ..)| *key);
        taken
    }

    /// Notes what [`Replays::taken`] gave of one key.
    pub fn note_all(&self, key: PublicKey, greatest: u64, bits: u64) {
        // the greatest last: numbers far below it would be too old
        for behind in (0..WINDOW).rev().filter(|behind| bits & (1u64 << behind) != 0) {
            if let Some(number) = greatest.checked_sub(behind) {
                self.note(key, number);
            }
        }
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.lock().keys.len()
    }

    /// Takes a number, if it is to be had. `guest`: whether the device is of another site.
    pub(crate) fn take(&self, key: PublicKey, number: u64, guest: bool) -> Taken {
        let mut state = self.lock();
        if state.closed.contains(&key) || (guest && !state.guests.contains(&key)) {
            return Taken::Elsewhere;
        }
        state.take(key, number)
    }

    /// The number's reading is durable.
    pub(crate) fn settle(&self, key: PublicKey, number: u64) {
        self.lock().under_way.remove(&(key, number));
    }

    /// Gives back a number whose reading was not kept.
    pub(crate) fn give_back(&self, key: PublicKey, number: u64) {
        let mut state = self.lock();
        state.under_way.remove(&(key, number));
        if let Some(numbers) = state.keys.get_mut(&key) {
            numbers.give_back(number);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const KEY: PublicKey = PublicKey([1; 32]);

    #[test]
    fn a_number_is_taken_once_and_may_come_late() {
        let replays = Replays::default();
        let take = |n| {
            let taken = replays.take(KEY, n, false);
            replays.settle(KEY, n);
            taken
        };
        assert_eq!([0, 0, 5, 3, 3, 5, 4].map(take), {
            use Taken::{Again, New};
            [New, Again, New, New, Again, Again, New]
        });
        assert_eq!([100, 37, 36, 3].map(take), [Taken::New, Taken::New, Taken::Old, Taken::Old]);
        assert_eq!(replays.take(PublicKey([2; 32]), 3, false), Taken::New, "of another key");
        assert_eq!([u64::MAX, u64::MAX, 101].map(take), [Taken::New, Taken::Again, Taken::Old]);
    }

    #[test]
    fn what_was_not_kept_can_come_again() {
        let replays = Replays::default();
        assert_eq!((replays.take(KEY, 7, false), replays.take(KEY, 8, false)), (Taken::New, Taken::New));
        replays.give_back(KEY, 7);
        replays.give_back(KEY, 8);
        replays.give_back(KEY, 1_000);
        replays.give_back(PublicKey([9; 32]), 7);
        assert_eq!((replays.take(KEY, 8, false), replays.take(KEY, 7, false)), (Taken::New, Taken::New));
        assert_eq!((replays.take(KEY, 8, false), replays.take(KEY, 7, false)), (Taken::UnderWay, Taken::UnderWay));
        replays.settle(KEY, 8);
        assert_eq!((replays.take(KEY, 8, false), replays.take(KEY, 7, false)), (Taken::Again, Taken::UnderWay));
    }

    #[test]
    fn what_was_taken_before_the_start_is_noted() {
        let replays = Replays::default();
        [3, 9, 3].into_iter().for_each(|n| replays.note(KEY, n));
        assert_eq!([3, 9, 4].map(|n| replays.take(KEY, n, false)), [Taken::Again, Taken::Again, Taken::New]);
        assert_eq!(replays.keys(), 1);
    }

    #[test]
    fn what_was_taken_can_be_written_down_and_noted_again() {
        let replays = Replays::default();
        [3, 9, 70, 71].into_iter().for_each(|n| replays.note(KEY, n));
        replays.note(PublicKey([0; 32]), 0);
        let again = Replays::default();
        replays.taken().into_iter().for_each(|(key, greatest, bits)| again.note_all(key, greatest, bits));
        assert_eq!(again.taken(), replays.taken());
        assert_eq!([9, 70, 71, 8].map(|n| again.take(KEY, n, false)), [Taken::Again, Taken::Again, Taken::Again, Taken::New]);
    }

    #[test]
    fn a_number_given_back_at_the_beginning_is_free() {
        let replays = Replays::default();
        assert_eq!(replays.take(KEY, 0, false), Taken::New);
        replays.give_back(KEY, 0);
        assert_eq!(replays.take(KEY, 0, false), Taken::New);
        assert_eq!(replays.take(KEY, 0, false), Taken::UnderWay);
    }

    /// ROAM-4, ROAM-6
    #[test]
    fn a_closed_key_takes_nothing_and_its_numbers_go_along() {
        let (home, away) = (Replays::default(), Replays::default());
        for n in [3, 5, 900] {
            home.note(KEY, n);
        }
        assert_eq!(home.take(KEY, 901, false), Taken::New);
        home.close(KEY);
        assert_eq!(home.take(KEY, 902, false), Taken::Elsewhere);
        assert_eq!(home.window(KEY), None, "901 is still being written");
        home.settle(KEY, 901);
        assert_eq!(home.window(KEY), Some((901, 0b11)));
        assert_eq!(away.take(KEY, 901, true), Taken::Elsewhere, "before its numbers have come");
        let (greatest, taken) = home.window(KEY).unwrap();
        away.open(KEY, greatest, taken);
        assert_eq!([901, 900, 5, 902].map(|n| away.take(KEY, n, true)), [Taken::Again, Taken::Again, Taken::Old, Taken::New]);
        away.settle(KEY, 902);
        away.close(KEY);
        let (greatest, taken) = away.window(KEY).unwrap();
        home.open(KEY, greatest, taken);
        assert_eq!([902, 903].map(|n| home.take(KEY, n, false)), [Taken::Again, Taken::New]);
        assert_eq!(Replays::default().window(KEY), Some((0, 0)));
    }

    #[test]
    fn a_number_that_was_given_back_is_in_no_window() {
        let replays = Replays::default();
        replays.note(KEY, 7);
        assert_eq!(replays.take(KEY, 9, false), Taken::New);
        replays.give_back(KEY, 9);
        assert_eq!(replays.window(KEY), Some((7, 1)));
    }

    proptest! {
        /// Against a set: no number twice, and none refused that is within the window and free.
        #[test]
        fn it_agrees_with_a_set(steps in prop::collection::vec((0u64..200, any::<bool>()), 1..200)) {
            let (replays, mut taken, mut greatest) = (Replays::default(), BTreeSet::new(), None::<u64>);
            for (number, back) in steps {
                if back {
                    replays.give_back(KEY, number);
                    // what is too old stays taken
                    if greatest.is_some_and(|g| number <= g && g - number < WINDOW) {
                        taken.remove(&number);
                    }
                    continue;
                }
                let old = greatest.is_some_and(|g| g >= number + WINDOW);
                let expected = match (old, taken.contains(&number)) {
                    (true, _) => Taken::Old,
                    (false, true) => Taken::Again,
                    (false, false) => Taken::New,
                };
                prop_assert_eq!(replays.take(KEY, number, false), expected, "{} after {:?}", number, greatest);
                replays.settle(KEY, number);
                if expected == Taken::New {
                    taken.insert(number);
                    greatest = Some(greatest.map_or(number, |g| g.max(number)));
                }
            }
        }
    }
}
