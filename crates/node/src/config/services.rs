//! `[services]`: what this node's wallet offers, as far as devices of its site do it.

use super::{Config, check_range, wrong};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The shortest time after which a command is published again, in milliseconds.
const ANSWER_MS_MIN: u64 = 100;
/// The longest, in milliseconds: an hour.
const ANSWER_MS_MAX: u64 = 3_600_000;

/// Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServicesConfig {
    /// The key file of the wallet that provides; without it, the node's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// A command that the device has not reported of is published again after so long, in milliseconds.
    pub(crate) answer_ms: u64,
}

impl Default for ServicesConfig {
    fn default() -> Self {
        Self { key: None, answer_ms: 5_000 }
    }
}

impl Config {
    /// Checks what is said of services.
    pub(super) fn check_services(&self) -> Result<(), (String, String)> {
        let Some(services) = &self.services else { return Ok(()) };
        if self.broker.is_none() {
            return wrong("services", "devices are told through a site's broker: give [site] and [broker]");
        }
        if self.roles().is_some() {
            return wrong("services", "it needs broker, log and ledger node in one process: leave site.roles out, or this table");
        }
        check_range("services.answer_ms", services.answer_ms, ANSWER_MS_MIN, ANSWER_MS_MAX)
    }

    /// What was bought of this node, and what became of it: `<data_dir>/services.sqlite`.
    #[must_use]
    pub(crate) fn services_file(&self) -> PathBuf {
        self.data_dir().join("services.sqlite")
    }

    /// The key file of the wallet that provides services, if it is not the node's.
    #[must_use]
    pub(crate) fn services_key(&self) -> Option<PathBuf> {
        self.services.as_ref().and_then(|services| services.key.as_ref()).map(|file| self.base.join(file))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::config::tests::load;

    const SITE: &str = "[site]\nname = \"z1\"\n[broker]\nembedded = \"127.0.0.1:1883\"\n";

    /// SRV-1
    #[test]
    fn services_need_a_broker_in_the_same_process() {
        let config = load(&format!("{SITE}[services]\nkey = \"till.key\"\n")).unwrap();
        assert_eq!(config.services.as_ref().unwrap().answer_ms, 5_000);
        assert!(config.services_key().unwrap().ends_with("till.key"));
        assert_eq!(load(&config.to_toml()).unwrap().services, config.services);
        assert!(load(&format!("{SITE}[services]\n")).unwrap().services_key().is_none());
        let roles = SITE.replacen("\"z1\"", "\"z1\"\nroles = [\"broker\", \"ledger\"]", 1);
        for (text, says) in [
            ("[services]\n".to_owned(), "services: devices are told through"),
            (format!("{SITE}[services]\nanswer_ms = 99\n"), "services.answer_ms: 99"),
            (format!("{SITE}[services]\nprice = 1\n"), "unknown field"),
            (format!("{roles}[services]\n"), "services: it needs"),
        ] {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
