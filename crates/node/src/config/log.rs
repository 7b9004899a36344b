//! `[log]`: what a node tells on stderr, and in which form.

use super::wrong;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Bytes of a filter.
const FILTER_BYTES_MAX: usize = 4096;

/// What a node tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// The level of everything, and of single modules: `LEVEL,MODULE=LEVEL,…`.
    pub(crate) filter: String,
    /// The form of a line.
    pub(crate) format: LogFormat,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "warn,wattle=info,mqtt=info,replica=info".into(), format: LogFormat::Text }
    }
}

impl LogConfig {
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        if self.filter.len() > FILTER_BYTES_MAX {
            return wrong("log.filter", format!("{} bytes are more than {FILTER_BYTES_MAX}", self.filter.len()));
        }
        match EnvFilter::try_new(&self.filter) {
            Ok(_) => Ok(()),
            Err(why) => {
                wrong("log.filter", format!("{:?} is no filter ({why}): give LEVEL,MODULE=LEVEL,… such as warn,mqtt=debug", self.filter))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        LogConfig::default().check().unwrap();
        let with = |filter: &str| LogConfig { filter: filter.into(), ..LogConfig::default() };
        with("info,mqtt=trace,wattle::site=off").check().unwrap();
        for bad in ["mqtt=loud".to_owned(), "a=b=c".to_owned(), "x".repeat(FILTER_BYTES_MAX + 1)] {
            assert_eq!(with(&bad).check().unwrap_err().0, "log.filter", "{bad}");
        }
    }
}
