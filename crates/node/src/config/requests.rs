//! `[requests]`: what the site's devices may ask of others, and what others may ask of them.

use super::{check_range, wrong};
use mqtt::access::Filter;
use serde::{Deserialize, Serialize};

/// Rules of one list.
const RULES_MAX: usize = 1024;
/// The longest that a request may be old, in seconds: its number is remembered longer than that.
pub(crate) const AGE_S_MAX: u64 = 86_400;
/// The longest that a command may wait for somebody to subscribe to it, in seconds.
const HOLD_S_MAX: u64 = 7 * 86_400;

/// Requests between devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestsConfig {
    /// Requests that are older when they are confirmed are refused, in seconds.
    pub(crate) max_age_s: u64,
    /// How long a command waits for somebody to subscribe to it, in seconds.
    pub(crate) hold_s: u64,
    /// What devices of this site may ask of others.
    pub(crate) allow: Vec<AllowRule>,
    /// What others may ask of devices of this site.
    pub(crate) accept: Vec<AcceptRule>,
}

/// Who may ask for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowRule {
    /// A filter of devices, `site/ID`.
    pub(crate) from: String,
    /// A filter of commands, `site/ID/act/<dataType>`.
    pub(crate) to: String,
}

/// Whose requests are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptRule {
    /// A filter of devices, `site/ID`.
    pub(crate) from: String,
    /// A filter of commands, `site/ID/act/<dataType>`.
    pub(crate) to: String,
    /// Also those that their devices did not sign, if a gateway of their site issued them.
    #[serde(default)]
    pub(crate) unsigned: bool,
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self { max_age_s: 600, hold_s: 600, allow: Vec::new(), accept: Vec::new() }
    }
}

impl RequestsConfig {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        check_range("requests.max_age_s", self.max_age_s, 1, AGE_S_MAX)?;
        check_range("requests.hold_s", self.hold_s, 1, HOLD_S_MAX)?;
        let allow = self.allow.iter().map(|rule| ("requests.allow", &rule.from, &rule.to));
        let accept = self.accept.iter().map(|rule| ("requests.accept", &rule.from, &rule.to));
        for (list, rules) in [("requests.allow", self.allow.len()), ("requests.accept", self.accept.len())] {
            if rules > RULES_MAX {
                return wrong(list, format!("{rules} rules, the limit is {RULES_MAX}"));
            }
        }
        for (list, from, to) in allow.chain(accept) {
            for (key, text) in [("from", from), ("to", to)] {
                if let Err(why) = Filter::new(text) {
                    return wrong(list, format!("{key} = {text:?} is no filter of levels: {why}"));
                }
            }
        }
        Ok(())
    }
}
