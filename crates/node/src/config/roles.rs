//! `[site] roles`: which parts of a site this process runs. Without the key it runs what the configuration names, together.

use super::{Config, wrong};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the window of a ledger node's log must remember where other parts bring it readings. After a kill the fog processor
/// sends its last piece again, up to 1 024 readings, and so does the cache, up to 256, with what was on the way beside them.
const WINDOW_MIN: usize = 4_096;

/// A part of a site that can be a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleName {
    /// The broker.
    Broker,
    /// The MQTT-SN gateway.
    Gateway,
    /// The fog processor.
    Fog,
    /// The cache.
    Cache,
    /// The ledger node.
    Ledger,
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Gateway => "gateway",
            Self::Fog => "fog",
            Self::Cache => "cache",
            Self::Ledger => "ledger",
        })
    }
}

impl RoleName {
    /// Whether it talks to the broker as a service does.
    #[must_use]
    pub(crate) const fn is_service(self) -> bool {
        matches!(self, Self::Fog | Self::Cache | Self::Ledger)
    }
}

impl Config {
    /// The parts that this process runs apart from each other; none if it runs what it names together.
    #[must_use]
    pub(crate) fn roles(&self) -> Option<&[RoleName]> {
        self.site.as_ref().and_then(|site| site.roles.as_deref())
    }

    /// Whether it runs `role` as a part of its own.
    #[must_use]
    pub(crate) fn plays(&self, role: RoleName) -> bool {
        self.roles().is_some_and(|roles| roles.contains(&role))
    }

    /// Whether it runs a ledger node, together with other parts or apart.
    #[must_use]
    pub(crate) fn keeps_a_ledger(&self) -> bool {
        self.roles().is_none_or(|roles| roles.contains(&RoleName::Ledger))
    }

    /// Checks which parts are named against what is configured.
    pub(super) fn check_roles(&self) -> Result<(), (String, String)> {
        let embedded = self.broker.as_ref().is_some_and(|broker| broker.embedded.is_some());
        let login = self.broker.as_ref().is_some_and(|broker| broker.login != super::BrokerLogin::default());
        let Some(roles) = self.roles() else {
            return match login && embedded {
                true => wrong("broker.login", "it is for a broker elsewhere (`external`), or for parts of the site (site.roles)"),
                false => Ok(()),
            };
        };
        if roles.is_empty() {
            return wrong("site.roles", "name at least one of broker, gateway, fog, cache and ledger, or leave the key out");
        }
        if let Some((_, role)) = roles.iter().enumerate().find(|(i, role)| roles.iter().take(*i).any(|other| other == *role)) {
            return wrong("site.roles", format!("{role} is named twice"));
        }
        if self.tier.is_some() {
            return wrong("tier", "a place in a tree of brokers needs broker, log and ledger node in one process: leave site.roles out");
        }
        for (table, given) in [("requests", self.requests.is_some()), ("roaming", self.roaming.is_some())] {
            if given {
                return wrong(table, "it needs broker, log and ledger node in one process: leave site.roles out, or this table");
            }
        }
        if self.plays(RoleName::Broker) != embedded {
            return wrong(
                "site.roles",
                "the part `broker` and broker.embedded go together: give both, or name another broker by broker.external",
            );
        }
        if self.plays(RoleName::Gateway) != self.mqttsn.is_some() {
            return wrong("site.roles", "the part `gateway` and the table [mqttsn] go together: give both or neither");
        }
        if self.broker.is_none() && roles.iter().any(|role| role.is_service()) {
            return wrong("broker", "the parts fog, cache and ledger talk through a broker: name it by broker.external");
        }
        if self.plays(RoleName::Ledger) && self.cache.window < WINDOW_MIN {
            return wrong("cache.window", format!("by it the part `ledger` knows what other parts send again: at least {WINDOW_MIN}"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::tests::load;

    fn site(roles: &str, rest: &str) -> String {
        format!("[site]\nname = \"z1\"\nroles = [{roles}]\n{rest}")
    }

    const HERE: &str = "[broker]\nembedded = \"127.0.0.1:1883\"\n";
    const THERE: &str = "[broker]\nexternal = \"mqtt://b\"\n";

    /// ROLE-1
    #[test]
    fn parts_are_named_with_what_they_need() {
        for (roles, rest) in [
            ("\"broker\"", HERE.to_owned()),
            ("\"fog\"", THERE.to_owned()),
            ("\"cache\", \"ledger\"", THERE.to_owned()),
            ("\"gateway\"", "[mqttsn]\nbroker = \"mqtt://b\"\n".to_owned()),
            ("\"broker\", \"gateway\", \"fog\", \"cache\", \"ledger\"", format!("{HERE}[mqttsn]\n")),
        ] {
            let config = load(&site(roles, &rest)).unwrap();
            assert_eq!(config.keeps_a_ledger(), roles.contains("ledger"), "{roles}");
            assert_eq!(load(&config.to_toml()).unwrap().roles(), config.roles());
        }
        let together = load(&format!("[site]\nname = \"z1\"\n{HERE}")).unwrap();
        assert!(together.roles().is_none() && together.keeps_a_ledger() && !together.plays(RoleName::Broker));
    }

    /// ROLE-1, ROLE-17
    #[test]
    fn what_does_not_fit_is_named() {
        for (text, says) in [
            (site("", HERE), "site.roles: name at least one"),
            (site("\"fog\", \"fog\"", THERE), "site.roles: fog is named twice"),
            (site("\"fgo\"", THERE), "line 3"),
            (site("\"broker\"", THERE), "site.roles: the part `broker`"),
            (site("\"fog\"", HERE), "site.roles: the part `broker`"),
            (site("\"fog\"", ""), "broker: the parts"),
            (site("\"gateway\"", THERE), "site.roles: the part `gateway`"),
            (site("\"cache\", \"ledger\"", &format!("{THERE}[cache]\nwindow = 4095\n")), "cache.window: by it"),
            (site("\"broker\", \"ledger\"", &format!("{HERE}[tier]\n")), "tier: "),
            (site("\"broker\", \"ledger\"", &format!("{HERE}[requests]\n")), "requests: it needs"),
            (site("\"broker\", \"ledger\"", &format!("{HERE}[roaming]\n")), "roaming: it needs"),
            (format!("[site]\nname = \"z1\"\n{HERE}[broker.login]\nusername = \"u\"\n"), "broker.login"),
        ] {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
