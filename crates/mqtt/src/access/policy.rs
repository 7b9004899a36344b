//! What an identity may publish and subscribe to.
//!
//! | identity | publishes | subscribes |
//! |---|---|---|
//! | device | `root/device/<site>/<ID>/#` | `root/fog/<site>/<ID>/#`, `root/node/<site>/<ID>/#` |
//! | gateway, for a device | as the device | as the device |
//! | gateway, for itself | `root/device/<site>/#` | `root/fog/<site>/#`, `root/node/<site>/#` |
//! | link of a broker below | `root/{device,fog,node,cache}/<its scope>/#`; in a tree, as the tree says (TIER-11) | `root/#` |
//! | service | | |
//! | anonymous, where allowed | `root/device/<site>/#`, `root/node/<site>/active` | everything but `$…` |
//!
//! On top come the grants of its user, and for devices those of the whole site. They are filters in which a level may be
//! `{site}` (the identity's site) or `{id}` (the device).

use super::filter::{self, Filter, FilterError};
use super::identity::Identity;
use crate::broker::TOPIC_BYTES_MAX;
use protocol::Name;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// Patterns of one list of grants.
pub(super) const PATTERNS_MAX: usize = 256;

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Allowed,
    /// It is not.
    Denied,
    /// It cannot be asked for: no topic, or no filter.
    Invalid(FilterError),
}

/// Patterns that allow more than an identity has by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Filters of topics it may publish to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Filters it may subscribe to, and to whatever they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
}

impl Grants {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.publish.is_empty() && self.subscribe.is_empty()
    }
}

/// Why a pattern cannot be a grant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is not a topic filter.
    #[error("the pattern {pattern:?} is no topic filter: {why}")]
    Filter {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: FilterError,
    },
    /// It holds a placeholder that there is not, or that has no meaning for the identity.
    #[error("the pattern {pattern:?}: {{{placeholder}}} means nothing here; {{site}} and, for devices, {{id}} stand alone in a level")]
    Placeholder {
        /// The pattern.
        pattern: String,
        /// What stands between the braces.
        placeholder: String,
    },
    /// There are more than a list may have.
    #[error("{0} patterns in one list, the limit is {PATTERNS_MAX}")]
    TooMany(usize),
}

/// What one identity may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    publish: Vec<Filter>,
    subscribe: Vec<Filter>,
}

impl Rules {
    /// Whether a message may be published under `topic`.
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> Verdict {
        if topic.len() > TOPIC_BYTES_MAX {
            return Verdict::Invalid(FilterError::TooLong(topic.len()));
        }
        match filter::check(topic) {
            Err(why) => Verdict::Invalid(why),
            // a topic has no wildcards
            Ok(()) if topic.contains('#') => Verdict::Invalid(FilterError::Hash),
            Ok(()) if topic.contains('+') => Verdict::Invalid(FilterError::Plus),
            Ok(()) => among(&self.publish, topic),
        }
    }

    /// Whether `asked` may be subscribed to. `$share/<group>/<filter>` is judged as the filter.
    #[must_use]
    pub fn may_subscribe(&self, asked: &str) -> Verdict {
        let asked = match asked.strip_prefix("$share/") {
            Some(shared) => shared.split_once('/').map_or("", |(_, asked)| asked),
            None => asked,
        };
        match filter::check(asked) {
            Err(why) => Verdict::Invalid(why),
            Ok(()) => among(&self.subscribe, asked),
        }
    }
}

fn among(grants: &[Filter], asked: &str) -> Verdict {
    if grants.iter().any(|grant| grant.covers(asked)) { Verdict::Allowed } else { Verdict::Denied }
}

/// The policy of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    site: Name,
    devices: Grants,
    visitors: Vec<Name>,
}

impl Policy {
    /// The policy of `site`, whose devices have `devices` on top of what every device has.
    ///
    /// # Errors
    /// [`PatternError`] if a pattern of `devices` cannot be a grant.
    pub fn new(site: Name, devices: Grants) -> Result<Self, PatternError> {
        check_patterns(&devices, true)?;
        Ok(Self { site, devices, visitors: Vec::new() })
    }

    /// The same, where devices of other sites may come: without credentials one may be any of these too.
    #[must_use]
    pub fn with_visitors(self, visitors: Vec<Name>) -> Self {
        Self { visitors, ..self }
    }

    /// What `who` may do with `grants` of its own.
    ///
    /// # Errors
    /// [`PatternError`] if one of `grants` cannot be meant for this identity.
    pub fn rules(&self, who: &Identity, grants: &Grants) -> Result<Arc<Rules>, PatternError> {
        let (publish, subscribe) = self.own(who);
        let id = who.speaks_for(&self.site);
        let site = match who {
            Identity::Link { site, .. } | Identity::Device { site, .. } => site,
            _ => &self.site,
        };
        let shared = if id.is_some() { self.devices.clone() } else { Grants::default() };
        let all = |own: Vec<String>, shared: Vec<String>, grants: &[String]| -> Result<Vec<Filter>, PatternError> {
            let patterns = shared.iter().chain(grants).map(|pattern| resolve(pattern, site, id));
            own.iter().map(|text| parse(text, text)).chain(patterns).collect()
        };
        Ok(Arc::new(Rules {
            publish: all(publish, shared.publish, &grants.publish)?,
            subscribe: all(subscribe, shared.subscribe, &grants.subscribe)?,
        }))
    }

    /// Whether `who`, without grants of its own, may publish under `topic`.
    #[must_use]
    pub fn may_publish(&self, who: &Identity, topic: &str) -> Verdict {
        self.rules(who, &Grants::default()).map_or(Verdict::Denied, |rules| rules.may_publish(topic))
    }

    /// Whether `who`, without grants of its own, may subscribe to `filter`.
    #[must_use]
    pub fn may_subscribe(&self, who: &Identity, filter: &str) -> Verdict {
        self.rules(who, &Grants::default()).map_or(Verdict::Denied, |rules| rules.may_subscribe(filter))
    }

    /// What an identity has by itself: filters to publish under, filters to subscribe to.
    fn own(&self, who: &Identity) -> (Vec<String>, Vec<String>) {
        let here = &self.site;
        let device = |site: &Name, id: &Name| {
            let reads = vec![format!("root/fog/{site}/{id}/#"), format!("root/node/{site}/{id}/#")];
            (vec![format!("root/device/{site}/{id}/#")], reads)
        };
        match who {
            Identity::Anonymous => {
                let mut publish = vec![format!("root/device/{here}/#"), format!("root/node/{here}/active")];
                publish.extend(self.visitors.iter().map(|home| format!("root/device/{home}/#")));
                (publish, vec!["#".into()])
            }
            Identity::Device { site, id } => device(site, id),
            Identity::Gateway { device: Some(id), .. } => device(here, id),
            Identity::Gateway { device: None, .. } => {
                (vec![format!("root/device/{here}/#")], vec![format!("root/fog/{here}/#"), format!("root/node/{here}/#")])
            }
            Identity::Link { site, .. } => {
                let kinds = ["device", "fog", "node", "cache"];
                (kinds.iter().map(|kind| format!("root/{kind}/{site}/#")).collect(), vec!["root/#".into()])
            }
            Identity::Service { .. } => (Vec::new(), Vec::new()),
        }
    }
}

/// Whether every pattern of `grants` can be a grant; `device`: for a device.
pub(super) fn check_patterns(grants: &Grants, device: bool) -> Result<(), PatternError> {
    // any names do: a name has no character that means something in a filter
    let Ok(name) = Name::new("x") else { return Ok(()) };
    for list in [&grants.publish, &grants.subscribe] {
        if list.len() > PATTERNS_MAX {
            return Err(PatternError::TooMany(list.len()));
        }
        for pattern in list {
            resolve(pattern, &name, device.then_some(&name))?;
        }
    }
    Ok(())
}

fn resolve(pattern: &str, site: &Name, id: Option<&Name>) -> Result<Filter, PatternError> {
    let mut levels = Vec::new();
    for level in pattern.split('/') {
        levels.push(match (level, id) {
            ("{site}", _) => site.as_str(),
            ("{id}", Some(id)) => id.as_str(),
            _ if level.contains(['{', '}']) => {
                let placeholder = level.trim_matches(['{', '}']).to_owned();
                return Err(PatternError::Placeholder { pattern: pattern.to_owned(), placeholder });
            }
            _ => level,
        });
    }
    parse(&levels.join("/"), pattern)
}

fn parse(text: &str, pattern: &str) -> Result<Filter, PatternError> {
    Filter::new(text).map_err(|why| PatternError::Filter { pattern: pattern.to_owned(), why })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn device(site: &str, id: &str) -> Identity {
        Identity::Device { site: name(site), id: name(id) }
    }

    fn policy(devices: Grants) -> Policy {
        Policy::new(name("z1"), devices).unwrap()
    }

    fn grants(publish: &[&str], subscribe: &[&str]) -> Grants {
        let list = |l: &[&str]| l.iter().map(ToString::to_string).collect();
        Grants { publish: list(publish), subscribe: list(subscribe) }
    }

    ///
    #[test]
    fn a_device_publishes_under_its_own_name_only() {
        let policy = policy(Grants::default());
        for (topic, allowed) in [
            ("root/device/z1/m1/sense/power", true),
            ("root/device/z1/m1/act/valve", true),
            ("root/device/z1/m2/sense/power", false),
            ("root/device/z2/m1/sense/power", false),
            ("root/device/z1/m11/sense/power", false),
            ("root/fog/z1/m1/sense/power", false),
            ("root/node/z1/active", false),
            ("$SYS/x", false),
        ] {
            let verdict = policy.may_publish(&device("z1", "m1"), topic);
            assert_eq!(verdict == Verdict::Allowed, allowed, "{topic}: {verdict:?}");
        }
        for topic in ["root/device/z1/m1/#", "root/device/z1/m1/+/power", "", "root/device/z1/m1/a\0"] {
            assert!(matches!(policy.may_publish(&device("z1", "m1"), topic), Verdict::Invalid(_)), "{topic:?}");
        }
    }

    ///
    #[test]
    fn a_device_reads_what_is_about_it_and_what_the_site_grants() {
        let plain = policy(Grants::default());
        let m1 = device("z1", "m1");
        for (filter, allowed) in [
            ("root/fog/z1/m1/#", true),
            ("root/fog/z1/m1/+/power", true),
            ("root/fog/z1/m1", true),
            ("root/node/z1/m1/confirmed", true),
            ("$share/g/root/fog/z1/m1/#", true),
            ("root/fog/z1/+/sense/power", false),
            ("root/fog/z1/#", false),
            ("root/#", false),
            ("#", false),
            ("$share/g/#", false),
            ("$SYS/#", false),
            ("root/node/z1/tangle", false),
        ] {
            let verdict = plain.may_subscribe(&m1, filter);
            assert_eq!(verdict == Verdict::Allowed, allowed, "{filter}: {verdict:?}");
        }
        let wide = policy(grants(&["root/fog/{site}/{id}/act/#"], &["root/node/{site}/tangle", "root/fog/{site}/+/act/#"]));
        assert_eq!(wide.may_subscribe(&m1, "root/node/z1/tangle"), Verdict::Allowed);
        assert_eq!(wide.may_subscribe(&m1, "root/fog/z1/m2/act/valve"), Verdict::Allowed);
        assert_eq!(wide.may_subscribe(&m1, "root/fog/z1/m2/#"), Verdict::Denied);
        assert_eq!(wide.may_publish(&m1, "root/fog/z1/m1/act/valve"), Verdict::Allowed);
        assert_eq!(wide.may_publish(&m1, "root/fog/z1/m2/act/valve"), Verdict::Denied);
        for filter in ["$share", "$share/g", "$share/g/", "a/#/b", ""] {
            assert_ne!(plain.may_subscribe(&m1, filter), Verdict::Allowed, "{filter:?}");
        }
    }

    ///
    #[test]
    fn services_have_what_they_are_granted() {
        let policy = policy(grants(&[], &["root/node/{site}/tangle"]));
        let fog = Identity::Service { name: "fog".into() };
        let rules = policy.rules(&fog, &grants(&["root/fog/{site}/#"], &["root/device/{site}/#", "$SYS/#"])).unwrap();
        assert_eq!(rules.may_publish("root/fog/z1/m1/sense/power"), Verdict::Allowed);
        assert_eq!(rules.may_publish("root/device/z1/m1/sense/power"), Verdict::Denied);
        assert_eq!(rules.may_subscribe("root/device/z1/+/sense/power"), Verdict::Allowed);
        assert_eq!(rules.may_subscribe("$SYS/brokers"), Verdict::Allowed);
        assert_eq!(rules.may_subscribe("root/node/z1/tangle"), Verdict::Denied, "grants of devices are for devices");
        assert!(policy.rules(&fog, &grants(&["root/fog/{id}/#"], &[])).is_err(), "a service has no ID");
    }

    ///
    #[test]
    fn gateways_and_links_speak_for_their_own() {
        let policy = policy(Grants::default());
        let gateway = |device: Option<&str>| Identity::Gateway { name: "gw".into(), device: device.map(name) };
        assert_eq!(policy.may_publish(&gateway(Some("m1")), "root/device/z1/m1/sense/t"), Verdict::Allowed);
        assert_eq!(policy.may_publish(&gateway(Some("m1")), "root/device/z1/m2/sense/t"), Verdict::Denied);
        assert_eq!(policy.may_publish(&gateway(None), "root/device/z1/m2/sense/t"), Verdict::Allowed);
        assert_eq!(policy.may_publish(&gateway(None), "root/fog/z1/m2/sense/t"), Verdict::Denied);
        let link = Identity::Link { name: "up".into(), site: name("loc1") };
        assert_eq!(policy.may_publish(&link, "root/fog/loc1/d/sense/t"), Verdict::Allowed);
        assert_eq!(policy.may_publish(&link, "root/fog/loc2/d/sense/t"), Verdict::Denied);
        assert_eq!(policy.may_subscribe(&link, "root/fog/loc2/#"), Verdict::Allowed);
        // whatever may cross by TIER-3
        for filter in ["root/device/#", "root/+/agg1/#", "$share/g/root/node/+/tangle"] {
            assert_eq!(policy.may_subscribe(&link, filter), Verdict::Allowed, "{filter}");
        }
        assert_eq!(policy.may_subscribe(&link, "#"), Verdict::Denied);
        assert_eq!(policy.may_subscribe(&link, "$SYS/#"), Verdict::Denied);
    }

    ///
    #[test]
    fn without_credentials_one_is_any_device_of_the_site() {
        let policy = policy(Grants::default());
        let anybody = Identity::Anonymous;
        assert_eq!(policy.may_publish(&anybody, "root/device/z1/m1/sense/t"), Verdict::Allowed);
        assert_eq!(policy.may_publish(&anybody, "root/node/z1/active"), Verdict::Allowed);
        assert_eq!(policy.may_publish(&anybody, "root/fog/z1/m1/sense/t"), Verdict::Denied);
        assert_eq!(policy.may_publish(&anybody, "root/device/z2/m1/sense/t"), Verdict::Denied);
        assert_eq!(policy.may_subscribe(&anybody, "#"), Verdict::Allowed);
        assert_eq!(policy.may_subscribe(&anybody, "$SYS/#"), Verdict::Denied);
    }

    /// TIER-1
    #[test]
    fn a_site_may_have_several_levels() {
        let site = Name::site("agg1/loc1").unwrap();
        let policy = Policy::new(site.clone(), grants(&[], &["root/node/{site}/tangle"])).unwrap();
        let m1 = Identity::Device { site, id: name("m1") };
        assert_eq!(policy.may_publish(&m1, "root/device/agg1/loc1/m1/sense/t"), Verdict::Allowed);
        assert_eq!(policy.may_publish(&m1, "root/device/agg1/loc2/m1/sense/t"), Verdict::Denied);
        assert_eq!(policy.may_publish(&m1, "root/device/agg1/m1/sense/t"), Verdict::Denied);
        assert_eq!(policy.may_subscribe(&m1, "root/fog/agg1/loc1/m1/#"), Verdict::Allowed);
        assert_eq!(policy.may_subscribe(&m1, "root/node/agg1/loc1/tangle"), Verdict::Allowed);
        assert_eq!(policy.may_subscribe(&m1, "root/fog/agg1/#"), Verdict::Denied);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let bad = |pattern: &str| Policy::new(name("z1"), grants(&[], &[pattern])).unwrap_err().to_string();
        assert!(bad("root/{place}/#").contains("{place}"), "{}", bad("root/{place}/#"));
        assert!(bad("root/x{id}/#").contains("root/x{id}/#"));
        assert!(bad("root/#/x").contains("last level"));
        let many = vec!["a".to_string(); PATTERNS_MAX + 1];
        let grants = Grants { publish: many, subscribe: vec![] };
        assert_eq!(Policy::new(name("z1"), grants), Err(PatternError::TooMany(PATTERNS_MAX + 1)));
    }
}
