//! Topic filters, and which of two holds the other.
//!
//! `+` stands for one level, `#` at the end for any number of levels, none included (`a/#` matches `a`). A wildcard in
//! the first level does not match what begins with `$` (MQTT 5, 4.7.2).

use std::fmt;
use thiserror::Error;

/// Bytes of a topic filter.
pub const FILTER_BYTES_MAX: usize = 512;

/// Why text is no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Longer than [`FILTER_BYTES_MAX`].
    #[error("it has {0} bytes, the limit is {FILTER_BYTES_MAX}")]
    TooLong(usize),
    /// The character NUL, which MQTT forbids.
    #[error("it holds the character NUL")]
    Nul,
    /// `#` stands somewhere else than alone in the last level.
    #[error("# may only stand alone in the last level")]
    Hash,
    /// `+` shares its level.
    #[error("+ may only stand alone in its level")]
    Plus,
}

/// A topic filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    levels: Vec<String>,
}

impl Filter {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`FilterError`] if it is not a topic filter.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        check(text)?;
        Ok(Self { levels: text.split('/').map(str::to_owned).collect() })
    }

    /// Whether a message under `topic` is for this filter. `topic` must have no wildcards.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        self.covers(topic)
    }

    /// Whether everything that `asked` matches, this filter matches. `asked` must be a topic or a filter.
    #[must_use]
    pub fn covers(&self, asked: &str) -> bool {
        let mut asked = asked.split('/');
        for (i, level) in self.levels.iter().enumerate() {
            if level == "#" {
                // `split` gives at least one level, so the first `#` always has one to look at
                return i > 0 || asked.next().is_some_and(|first| !first.starts_with('$'));
            }
            let Some(other) = asked.next() else { return false };
            let fits = match (level.as_str(), other) {
                // `#` alone matches what `+/#` does: every topic has a first level
                ("+", "#") => return i == 0 && self.levels.get(1).is_some_and(|next| next == "#"),
                ("+", other) => i > 0 || !other.starts_with('$'),
                (level, other) => level == other,
            };
            if !fits {
                return false;
            }
        }
        asked.next().is_none()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.levels.join("/"))
    }
}

/// Whether `text` is a topic filter.
pub(super) fn check(text: &str) -> Result<(), FilterError> {
    if text.is_empty() {
        return Err(FilterError::Empty);
    }
    if text.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLong(text.len()));
    }
    if text.contains('\0') {
        return Err(FilterError::Nul);
    }
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(FilterError::Hash);
        }
        if level.contains('+') && level != "+" {
            return Err(FilterError::Plus);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Topics and filters of at most this many levels over two letters.
    const LEVELS_MAX: usize = 4;

    /// What a filter matches, by the letter of the specification and without looking at [`Filter`].
    fn naive(filter: &[&str], topic: &[&str]) -> bool {
        let dollar = topic.first().is_some_and(|t| t.starts_with('$'));
        if dollar && matches!(filter.first(), Some(&"+" | &"#")) {
            return false;
        }
        match (filter.split_first(), topic.split_first()) {
            (None, None) => true,
            (Some((&"#", _)), _) => true,
            (Some((&"+", filter)), Some((_, topic))) => naive_rest(filter, topic),
            (Some((f, filter)), Some((t, topic))) => f == t && naive_rest(filter, topic),
            _ => false,
        }
    }

    fn naive_rest(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (None, None) => true,
            (Some((&"#", _)), _) => true,
            (Some((&"+", filter)), Some((_, topic))) => naive_rest(filter, topic),
            (Some((f, filter)), Some((t, topic))) => f == t && naive_rest(filter, topic),
            _ => false,
        }
    }

    /// Every topic over `letters` with 1 to `LEVELS_MAX + 1` levels: one more than any filter has.
    fn topics(letters: &[&'static str]) -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        let mut out = Vec::new();
        for _ in 0..=LEVELS_MAX {
            all = all.iter().flat_map(|t| letters.iter().map(move |l| [t.as_slice(), &[*l]].concat())).collect();
            out.extend(all.clone());
        }
        out
    }

    fn filters() -> impl Strategy<Value = Vec<&'static str>> {
        let level = || prop_oneof![Just("a"), Just("b"), Just("+"), Just("$s")];
        let head = proptest::collection::vec(level(), 0..LEVELS_MAX);
        (head, prop_oneof![level(), Just("#")]).prop_map(|(mut head, last)| {
            head.push(last);
            head
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Containment is what brute force over a small alphabet says. The alphabet has a letter more than the filters
        /// name, so that no list of letters can pass for `+`.
        #[test]
        fn containment_is_what_brute_force_says(grant in filters(), asked in filters()) {
            let covered = topics(&["a", "b", "c", "$s"])
                .iter()
                .filter(|t| naive(&asked, t))
                .all(|t| naive(&grant, t));
            let filter = Filter::new(&grant.join("/")).unwrap();
            prop_assert_eq!(filter.covers(&asked.join("/")), covered, "{:?} over {:?}", grant, asked);
        }

        #[test]
        fn matching_is_what_brute_force_says(grant in filters(), i in any::<prop::sample::Index>()) {
            let all = topics(&["a", "b", "$s"]);
            let topic = i.get(&all);
            let filter = Filter::new(&grant.join("/")).unwrap();
            prop_assert_eq!(filter.matches(&topic.join("/")), naive(&grant, topic));
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (text, why) in [
            ("", FilterError::Empty),
            ("a/#/b", FilterError::Hash),
            ("a#", FilterError::Hash),
            ("a/b+", FilterError::Plus),
            ("a\0", FilterError::Nul),
        ] {
            assert_eq!(Filter::new(text), Err(why), "{text:?}");
        }
        let long = "a".repeat(FILTER_BYTES_MAX + 1);
        assert_eq!(Filter::new(&long), Err(FilterError::TooLong(long.len())));
        for text in ["#", "+", "+/#", "/", "a//b", "a/+/c/#", "$SYS/#"] {
            assert_eq!(Filter::new(text).unwrap().to_string(), text);
        }
    }
}
