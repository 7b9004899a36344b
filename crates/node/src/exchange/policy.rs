//! Who may ask whom for what: filters over `site/ID` and `site/ID/act/<dataType>`. What no rule allows is denied.

use crate::config::RequestsConfig;
use mqtt::access::{Filter, FilterError};
use protocol::{DeviceName, DeviceTopic};

/// A rule: whose requests, for what.
#[derive(Clone, Debug)]
struct Rule {
    from: Filter,
    to: Filter,
    unsigned: bool,
}

impl Rule {
    fn holds(&self, from: &DeviceName, to: &DeviceTopic) -> bool {
        self.from.matches(&from.to_string()) && self.to.matches(&to.to_string())
    }
}

/// What a target's rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// Nothing allows it.
    Denied,
    /// Only if its device signed it.
    Signed,
    /// Also if it did not.
    Any,
}

/// The rules of a site.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    allow: Vec<Rule>,
    accept: Vec<Rule>,
}

impl Policy {
    /// The rules that a configuration names.
    ///
    /// # Errors
    /// [`FilterError`] for a filter that is none; a configuration that was checked has none of these.
    pub(super) fn new(config: &RequestsConfig) -> Result<Self, FilterError> {
        let rule = |from: &str, to: &str, unsigned| -> Result<Rule, FilterError> {
            Ok(Rule { from: Filter::new(from)?, to: Filter::new(to)?, unsigned })
        };
        Ok(Self {
            allow: config.allow.iter().map(|r| rule(&r.from, &r.to, true)).collect::<Result<_, _>>()?,
            accept: config.accept.iter().map(|r| rule(&r.from, &r.to, r.unsigned)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a device of this site may ask for it.
    pub(super) fn allows(&self, from: &DeviceName, to: &DeviceTopic) -> bool {
        self.allow.iter().any(|rule| rule.holds(from, to))
    }

    /// Whether a device of this site obeys.
    pub(super) fn accepts(&self, from: &DeviceName, to: &DeviceTopic) -> Acceptance {
        let mut found = Acceptance::Denied;
        for rule in self.accept.iter().filter(|rule| rule.holds(from, to)) {
            match rule.unsigned {
                true => return Acceptance::Any,
                false => found = Acceptance::Signed,
            }
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{AcceptRule, AllowRule};

    fn accept(from: &str, to: &str, unsigned: bool) -> AcceptRule {
        AcceptRule { from: from.into(), to: to.into(), unsigned }
    }

    /// REQ-5, REQ-8
    #[test]
    fn what_no_rule_names_is_denied() {
        let config = RequestsConfig {
            allow: vec![AllowRule { from: "z1/button".into(), to: "z2/+/act/power".into() }],
            accept: vec![accept("z1/+", "z2/lamp/act/#", false), accept("z1/gate", "z2/#", true)],
            ..RequestsConfig::default()
        };
        let policy = Policy::new(&config).unwrap();
        let (device, topic) = (|text: &str| text.parse().unwrap(), |text: &str| text.parse().unwrap());
        assert!(policy.allows(&device("z1/button"), &topic("z2/lamp/act/power")));
        assert!(!policy.allows(&device("z1/button"), &topic("z2/lamp/act/colour")));
        assert!(!policy.allows(&device("z1/other"), &topic("z2/lamp/act/power")));
        assert!(!policy.allows(&device("z1/button"), &topic("agg/z2/lamp/act/power")));
        assert_eq!(policy.accepts(&device("z1/button"), &topic("z2/lamp/act/power")), Acceptance::Signed);
        assert_eq!(policy.accepts(&device("z1/gate"), &topic("z2/lamp/act/power")), Acceptance::Any);
        assert_eq!(policy.accepts(&device("z3/button"), &topic("z2/lamp/act/power")), Acceptance::Denied);
        let nothing = Policy::new(&RequestsConfig::default()).unwrap();
        assert!(!nothing.allows(&device("z1/a"), &topic("z1/b/act/c")));
        assert_eq!(nothing.accepts(&device("z1/a"), &topic("z1/b/act/c")), Acceptance::Denied);
    }
}
