//! Sites as a tree: which topics and filters belong to which part of it (TIER-1 to TIER-3).

use crate::broker::TOPIC_BYTES_MAX;
use protocol::limits::SITE_LEVELS_MAX;
use protocol::{Name, NameError};
use std::fmt;
use std::str::FromStr;

/// The second level of a topic that may leave its broker.
pub const AREAS: [&str; 4] = ["device", "fog", "node", "cache"];
/// Where the levels of the site begin in a topic.
const SITE_LEVEL: usize = 2;

/// A part of the tree of sites: all those whose names begin with these levels. The empty one is the whole tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Vec<String>);

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl FromStr for Scope {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        Name::site(text)?;
        Ok(Self(text.split('/').map(str::to_owned).collect()))
    }
}

impl Scope {
    /// Whether `other` is a part of this, or the same.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether `topic` is one of a site of this part: `root/<area>/<scope>/…`.
    #[must_use]
    pub fn holds(&self, topic: &str) -> bool {
        let mut levels = topic.split('/');
        levels.next() == Some("root")
            && levels.next().is_some_and(|area| AREAS.contains(&area))
            && self.0.iter().all(|own| levels.next() == Some(own.as_str()))
            && levels.next().is_some()
            && !topic.contains(['+', '#', '\0'])
    }

    /// Whether every topic that `filter` matches is one of this part, so that nobody else need be asked for it.
    #[must_use]
    pub fn covers(&self, filter: &str) -> bool {
        let mut levels = filter.split('/').skip(SITE_LEVEL);
        self.0.iter().all(|own| levels.next() == Some(own.as_str()))
    }

    /// Whether `filter` matches some topic of this part.
    #[must_use]
    pub fn meets(&self, filter: &str) -> bool {
        let mut levels = filter.split('/').skip(SITE_LEVEL);
        for own in &self.0 {
            match levels.next() {
                Some("#") => return true,
                Some("+") => {}
                Some(level) if level == own => {}
                _ => return false,
            }
        }
        levels.next().is_some()
    }
}

/// Whether `filter` matches `topic`, by the rules of MQTT.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether a subscription to `filter` may leave its broker: `root/<area>/…` or `root/+/…`, a valid filter, no longer than a
/// topic may be (TIER-3).
#[must_use]
pub fn crosses(filter: &str) -> bool {
    if filter.len() > TOPIC_BYTES_MAX || filter.chars().any(char::is_control) {
        return false;
    }
    let levels: Vec<&str> = filter.split('/').collect();
    let area = levels.get(1).is_some_and(|area| *area == "+" || AREAS.contains(area));
    let last = levels.len().saturating_sub(1);
    let wildcards = levels.iter().enumerate().all(|(at, level)| match *level {
        "#" => at == last,
        "+" => true,
        other => !other.contains(['+', '#']),
    });
    levels.first() == Some(&"root") && area && levels.len() > SITE_LEVEL && wildcards
}

const _: () = assert!(SITE_LEVELS_MAX >= 2); // an aggregation and a place in it

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn scopes_are_prefixes_of_sites() {
        assert!(scope("").contains(&scope("agg1/loc1")) && scope("agg1").contains(&scope("agg1/loc1")));
        assert!(scope("agg1").contains(&scope("agg1")) && !scope("agg1/loc1").contains(&scope("agg1")));
        assert!(!scope("agg1").contains(&scope("agg10")));
        assert_eq!(scope("agg1/loc1").to_string(), "agg1/loc1");
        for bad in ["/", "a/", "a//b", "a/#", "a/b/c/d/e", "a/act"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    /// TIER-2: the paper's example. T = root/fog/agg2/loc1/ID1/type1.
    #[test]
    fn the_topic_of_the_example_is_foreign_to_agg1() {
        let topic = "root/fog/agg2/loc1/ID1/sense/type1";
        assert!(!scope("agg1/loc1").covers(topic) && !scope("agg1").covers(topic));
        assert!(scope("").covers(topic) && scope("agg2").covers(topic) && scope("agg2/loc1").covers(topic));
        assert!(scope("agg2/loc1").holds(topic) && scope("agg2").holds(topic) && !scope("agg1").holds(topic));
    }

    #[test]
    fn filters_that_may_leave() {
        for filter in ["root/fog/#", "root/+/agg2/#", "root/node/agg2/loc1/tangle", "root/fog/+/+/sense/t"] {
            assert!(crosses(filter), "{filter}");
        }
        let long = format!("root/fog/{}", "x".repeat(TOPIC_BYTES_MAX));
        for filter in
            ["#", "+/fog/x", "root", "root/#", "root/fog", "root/other/x", "root/fog/#/x", "root/fog/a+", "root/fog/\u{1}", long.as_str()]
        {
            assert!(!crosses(filter), "{filter}");
        }
    }

    #[test]
    fn topics_of_a_scope() {
        for topic in ["root", "root/fog", "root/fog/agg1", "root/other/agg1/x", "x/fog/agg1/x", "root/fog/agg1/+", "root/fog/agg10/x"] {
            assert!(!scope("agg1").holds(topic), "{topic}");
        }
        assert!(scope("agg1").holds("root/fog/agg1/rejected"));
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c"])
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "c", "+"]);
        (prop::collection::vec(level, 1..5), any::<bool>())
            .prop_map(|(levels, rest)| format!("root/fog/{}{}", levels.join("/"), if rest { "/#" } else { "" }))
    }

    proptest! {
        /// Against the definition, over every topic of a small alphabet: `covers` is never wrong, `meets` is exact.
        #[test]
        fn covers_and_meets_by_brute_force(filter in filter(), scope in prop::collection::vec(level(), 0..3)) {
            let scope = Scope(scope.into_iter().map(str::to_owned).collect());
            let mut topics = vec!["root/fog".to_string()];
            let mut matched = Vec::new();
            for _ in 0..6 {
                topics = topics.iter().flat_map(|t| ["a", "b", "c"].map(|level| format!("{t}/{level}"))).collect();
                matched.extend(topics.iter().filter(|t| matches(&filter, t)).cloned());
            }
            let inside = matched.iter().filter(|t| scope.holds(t)).count();
            if scope.covers(&filter) {
                // a topic that ends at the scope itself is of no site of it
                prop_assert!(matched.iter().all(|t| scope.holds(t) || t.split('/').count() <= SITE_LEVEL + scope.0.len()));
            }
            prop_assert_eq!(scope.meets(&filter), inside > 0, "{} in {}", filter, scope);
        }
    }
}
