//! The node's HTTP interface: where, for whom, how much.

use super::{Config, check_range, loopback, wrong};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Requests a second that can be configured at most.
const RATE_MAX: u64 = 1_000_000;
/// Connections that can be configured at most.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Origins that can be allowed at most.
const ORIGINS_MAX: usize = 64;

/// The node's HTTP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Who needs no token.
    pub(crate) open: Open,
    /// Origins whose pages may use it from a browser. A page of the node itself always may.
    pub(crate) allow_origins: Vec<String>,
    /// Requests a second of one address, and of one token; 0 is no limit. This machine without a token has none.
    pub(crate) requests_per_second: u32,
    /// Connections at a time.
    pub(crate) connections: u32,
    /// Of these, listeners to events.
    pub(crate) listeners: u32,
    /// Its certificate and key: then it speaks HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<HttpTls>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            open: Open::None,
            allow_origins: Vec::new(),
            requests_per_second: 500,
            connections: 4096,
            listeners: 2048,
            tls: None,
        }
    }
}

/// Who may read and act without a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Open {
    /// Nobody.
    #[default]
    None,
    /// Programs on this machine.
    Loopback,
}

/// HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpTls {
    /// The certificate with those in between, in PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, in PEM.
    pub(crate) key: PathBuf,
}

impl HttpConfig {
    /// Checks every value against its limits.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        if self.allow_origins.len() > ORIGINS_MAX {
            return wrong("http.allow_origins", format!("{} origins, at most {ORIGINS_MAX}", self.allow_origins.len()));
        }
        for origin in &self.allow_origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let fits =
                |host: &&str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'*' | b'?' | b'#'));
            if host.filter(fits).is_none() {
                return wrong("http.allow_origins", format!("{origin:?} is no origin: https://HOST or https://HOST:PORT, without a path"));
            }
        }
        check_range("http.requests_per_second", self.requests_per_second.into(), 0, RATE_MAX)?;
        check_range("http.connections", self.connections.into(), 1, CONNECTIONS_MAX)?;
        check_range("http.listeners", self.listeners.into(), 1, self.connections.into())
    }
}

impl Config {
    /// The tokens that the HTTP interface knows: `<data_dir>/tokens.json`.
    #[must_use]
    pub(crate) fn tokens_file(&self) -> PathBuf {
        self.data_dir().join("tokens.json")
    }

    /// Certificate and key of HTTPS, if it is spoken.
    #[must_use]
    pub(crate) fn http_tls(&self) -> Option<HttpTls> {
        let file = |path: &PathBuf| self.base.join(path);
        self.http.tls.as_ref().map(|tls| HttpTls { certificate: file(&tls.certificate), key: file(&tls.key) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn http_is_closed_unless_opened() {
        assert_eq!(Config::default().http.open, Open::None);
        assert_eq!(load("[http]\nopen = \"loopback\"\n").unwrap().http.open, Open::Loopback);
        let tls = "[http.tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n";
        let config = load(tls).unwrap();
        assert!(config.http_tls().unwrap().key.is_absolute());
        assert_eq!(load(&config.to_toml()).unwrap().http, config.http);
    }

    #[test]
    fn what_http_cannot_be_is_said() {
        for (bad, key) in [
            ("open = \"everybody\"", "open"),
            ("allow_origins = [\"*\"]", "http.allow_origins"),
            ("allow_origins = [\"https://a/b\"]", "http.allow_origins"),
            ("allow_origins = [\"ftp://a\"]", "http.allow_origins"),
            ("connections = 0", "http.connections"),
            ("connections = 10\nlisteners = 11", "http.listeners"),
            ("requests_per_second = 1000001", "http.requests_per_second"),
        ] {
            let message = load(&format!("[http]\n{bad}\n")).unwrap_err().to_string();
            assert!(message.contains(key), "{bad}: {message}");
        }
        assert!(load("[http]\nallow_origins = [\"https://a.example:8443\"]\n").is_ok());
    }
}
