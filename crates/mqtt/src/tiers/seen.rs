//! Which publishes were seen: a window of sequences for each origin (TIER-10).
//!
//! One way leads from an origin to this broker, and queues keep their order, so sequences ascend but for repetitions. The
//! window remembers each of the last [`WINDOW`]; what is older counts as seen.

use std::collections::BTreeMap;

/// Sequences below the newest that are told apart.
pub const WINDOW: u64 = 1024;
/// Origins that are remembered; the one heard of least recently goes first.
pub const ORIGINS_MAX: usize = 4096;
/// Words of a window's bits.
const WORDS: usize = 16;
/// Bytes of an encoded window.
const WINDOW_BYTES: usize = 8 + WORDS * 8;

const _: () = assert!(WINDOW == WORDS as u64 * 64);

/// What was seen of one origin: the newest sequence, and a bit for each of the last ones, the newest at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    newest: u64,
    bits: [u64; WORDS],
}

impl Window {
    fn first(sequence: u64) -> Self {
        let mut window = Self { newest: sequence, bits: [0; WORDS] };
        window.mark(0);
        window
    }

    fn word(at: u64) -> (usize, u64) {
        // below WINDOW, so it is below WORDS
        (usize::try_from(at / 64).unwrap_or(usize::MAX), 1 << (at % 64))
    }

    fn mark(&mut self, at: u64) {
        let (word, bit) = Self::word(at);
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= bit;
        }
    }

    fn is_marked(&self, at: u64) -> bool {
        let (word, bit) = Self::word(at);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn has(&self, sequence: u64) -> bool {
        match self.newest.checked_sub(sequence) {
            Some(behind) => behind >= WINDOW || self.is_marked(behind),
            None => false,
        }
    }

    fn with(mut self, sequence: u64) -> Self {
        if let Some(ahead) = sequence.checked_sub(self.newest) {
            let mut moved = Self { newest: sequence, bits: [0; WORDS] };
            for at in 0..WINDOW.saturating_sub(ahead) {
                if self.is_marked(at) {
                    moved.mark(at + ahead);
                }
            }
            moved.mark(0);
            return moved;
        }
        self.mark(self.newest - sequence);
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = self.newest.to_be_bytes().to_vec();
        out.extend(self.bits.iter().flat_map(|word| word.to_be_bytes()));
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != WINDOW_BYTES {
            return None;
        }
        let (newest, rest) = bytes.split_first_chunk::<8>()?;
        let mut bits = [0; WORDS];
        for (word, bytes) in bits.iter_mut().zip(rest.chunks_exact(8)) {
            *word = u64::from_be_bytes(bytes.try_into().ok()?);
        }
        Some(Self { newest: u64::from_be_bytes(*newest), bits })
    }
}

/// What was seen of every origin.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    origins: BTreeMap<String, (Window, u64)>,
    /// Counts what was taken, to know who was heard of least recently.
    clock: u64,
}

impl Seen {
    /// Reads a window that [`Seen::take`] gave. One that cannot be read is left: then repetitions from before may pass.
    pub fn load(&mut self, origin: &str, bytes: &[u8]) {
        if let Some(window) = Window::decode(bytes) {
            self.origins.insert(origin.to_owned(), (window, self.clock));
        }
    }

    /// Whether the publish was seen, or is too old to tell.
    #[must_use]
    pub fn has(&self, origin: &str, sequence: u64) -> bool {
        self.origins.get(origin).is_some_and(|(window, _)| window.has(sequence))
    }

    /// Notes that a publish was seen. Gives what to remember of its origin, and an origin to forget if there are too many.
    pub fn take(&mut self, origin: &str, sequence: u64) -> (Vec<u8>, Option<String>) {
        self.clock += 1;
        let window = match self.origins.get(origin) {
            Some((window, _)) => window.with(sequence),
            None => Window::first(sequence),
        };
        self.origins.insert(origin.to_owned(), (window, self.clock));
        let forgotten = match self.origins.len() > ORIGINS_MAX {
            true => self.origins.iter().min_by_key(|(_, (_, used))| *used).map(|(origin, _)| origin.clone()),
            false => None,
        };
        if let Some(origin) = &forgotten {
            self.origins.remove(origin);
        }
        (window.encode(), forgotten)
    }

    /// What is known of an origin, to put it back with [`Seen::restore`].
    #[must_use]
    pub fn window(&self, origin: &str) -> Option<Window> {
        self.origins.get(origin).map(|(window, _)| *window)
    }

    /// Puts back what was known of an origin: the publish was not taken after all.
    pub fn restore(&mut self, origin: &str, window: Option<Window>) {
        match window {
            Some(window) => self.origins.insert(origin.to_owned(), (window, self.clock)),
            None => self.origins.remove(origin),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn too_many_origins() {
        let mut seen = Seen::default();
        for n in 0..ORIGINS_MAX {
            assert_eq!(seen.take(&n.to_string(), 1).1, None);
        }
        seen.take("0", 2);
        assert_eq!(seen.take("new", 1).1, Some("1".to_string()), "the one heard of least recently");
        assert!(seen.has("0", 2) && seen.has("new", 1) && !seen.has("1", 1));
    }

    #[test]
    fn a_refused_publish_is_not_seen() {
        let mut seen = Seen::default();
        let before = seen.window("o");
        seen.take("o", 5);
        seen.restore("o", before);
        assert!(!seen.has("o", 5));
        seen.take("o", 5);
        let before = seen.window("o");
        seen.take("o", 9);
        seen.restore("o", before);
        assert!(seen.has("o", 5) && !seen.has("o", 9));
    }

    proptest! {
        /// TIER-10 against a set: nothing passes twice; what is new and not older than the window passes; a restart from
        /// what was remembered changes nothing.
        #[test]
        fn like_a_set_with_a_horizon(
            steps in prop::collection::vec((0u64..40, any::<bool>()), 1..200),
            jumps in prop::collection::vec((any::<prop::sample::Index>(), 0u64..3000), 0..4),
        ) {
            let mut at = 100_000u64;
            let mut sequences = Vec::new();
            for (n, (step, forward)) in steps.iter().enumerate() {
                let jump: u64 = jumps.iter().filter(|(index, _)| index.index(steps.len()) == n).map(|(_, by)| *by).sum();
                at = if *forward { at + step + jump } else { at - step };
                sequences.push(at);
            }
            let (mut seen, mut all, mut newest) = (Seen::default(), BTreeSet::new(), 0);
            for (n, sequence) in sequences.into_iter().enumerate() {
                let old = newest >= sequence + WINDOW;
                prop_assert_eq!(seen.has("o", sequence), old || all.contains(&sequence), "{}", sequence);
                if !old {
                    let (bytes, _) = seen.take("o", sequence);
                    all.insert(sequence);
                    newest = newest.max(sequence);
                    if n % 7 == 0 {
                        seen = Seen::default();
                        seen.load("o", &bytes);
                    }
                }
            }
        }
    }
}
