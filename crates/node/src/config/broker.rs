//! `[broker]`: the site's broker, who may use it and how much.

use super::{check_range, wrong};
use mqtt::broker::PACKET_BYTES_MAX;
use mqtt::{
    AccessConfig, Anonymous, CredentialFiles, Credentials, Limits, Listeners, Security, ServerUrl, TlsFiles, TokenAlgorithm, TokenConfig,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The smallest limit of a packet, in bytes: a reading with a long topic must fit.
const PACKET_BYTES_MIN: u64 = 1024;
/// The largest rates and numbers.
const COUNT_MAX: u64 = 1_000_000_000_000;
/// The most connections at once.
const CONNECTIONS_MAX: u64 = 1_000_000;

/// A site's broker: one in this process, or another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BrokerConfig {
    /// Run a broker in this process, listening here in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) embedded: Option<SocketAddr>,
    /// Be a client of this broker: `mqtt://host:port`, or `mqtts://host:port` for TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external: Option<String>,
    /// The broker in this process listens here too, with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<SocketAddr>,
    /// And here, over WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) websocket: Option<SocketAddr>,
    /// And here, over WebSocket with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) websocket_tls: Option<SocketAddr>,
    /// Its certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// The authorities whose certificates clients may show, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Lists of certificates that these authorities revoked, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crl: Option<PathBuf>,
    /// Whether clients with TLS must show a certificate.
    pub(crate) require_client_certificate: bool,
    /// Who may connect.
    pub(crate) access: BrokerAccess,
    /// How much a client may ask for.
    pub(crate) limits: BrokerLimits,
    /// How we log in to a broker elsewhere.
    #[serde(skip_serializing_if = "BrokerLogin::is_default")]
    pub(crate) login: BrokerLogin,
}

/// How we log in to a broker elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BrokerLogin {
    /// Our user name there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The file with the password; without it, the environment variable `WATTLE_MQTT_PASSWORD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// The certificates of the authorities that may vouch for the broker, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Our own certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
}

impl BrokerLogin {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What the files hold; relative paths are relative to `base`. Blocks on files.
    ///
    /// # Errors
    /// [`mqtt::CredentialsError`] says which file cannot be used.
    pub(crate) fn credentials(&self, base: &Path) -> Result<Credentials, mqtt::CredentialsError> {
        let Self { username, password_file, ca, certificate, key } = self.clone();
        Credentials::load(&CredentialFiles { user: username, password_file, ca, certificate, key }, base)
    }

    /// Checks what can be checked without the files. `tls`: whether the broker speaks TLS.
    fn check(&self, tls: bool) -> Result<(), (String, String)> {
        if self.password_file.is_some() && self.username.is_none() {
            return wrong("broker.login.username", "a password needs a user name");
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("broker.login.certificate", "a certificate and its key go together: give both or neither");
        }
        if tls && self.ca.is_none() {
            return wrong("broker.login.ca", "a broker at mqtts:// needs the certificate of an authority");
        }
        if !tls && (self.ca.is_some() || self.certificate.is_some()) {
            return wrong("broker.login.ca", "`ca`, `certificate` and `key` are for a broker at mqtts://host:port");
        }
        Ok(())
    }
}

/// What becomes of clients without credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnonymousClients {
    /// They may publish as any device of the site, and read.
    #[default]
    Device,
    /// They are refused.
    Refuse,
}

/// Who may connect to the broker in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BrokerAccess {
    /// What becomes of clients without credentials.
    pub(crate) anonymous: AnonymousClients,
    /// Whether they are let in from elsewhere than this machine.
    pub(crate) allow_anonymous_beyond_loopback: bool,
    /// The file of users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) users: Option<PathBuf>,
    /// The list of revoked certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<PathBuf>,
    /// Which tokens are accepted as passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<BrokerToken>,
}

/// Which tokens are accepted as passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrokerToken {
    /// How they are signed: `HS256`, `ES256` or `EdDSA`.
    pub(crate) algorithm: TokenAlgorithm,
    /// The secret, or the public key in PEM.
    pub(crate) key: PathBuf,
    /// What they must be meant for.
    pub(crate) audience: String,
    /// Who must have issued them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
}

/// How much a client of the broker in this process may ask for. A rate of 0 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BrokerLimits {
    /// Publishes of a client in a second.
    pub(crate) publishes_per_second: u64,
    /// Bytes of payload of a client in a second.
    pub(crate) bytes_per_second: u64,
    /// Bytes of a packet.
    pub(crate) packet_bytes: u32,
    /// Publishes that may wait for their acknowledgement.
    pub(crate) in_flight: u16,
    /// Subscriptions of a client.
    pub(crate) subscriptions: usize,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Connections that begin in a second.
    pub(crate) connections_per_second: u64,
    /// The same from one address.
    pub(crate) connections_per_second_per_address: u64,
    /// The shortest keep-alive, in seconds.
    pub(crate) keep_alive_s_min: u16,
    /// The longest keep-alive, in seconds.
    pub(crate) keep_alive_s_max: u16,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            publishes_per_second: limits.publishes_per_second,
            bytes_per_second: limits.bytes_per_second,
            packet_bytes: limits.packet_bytes,
            in_flight: limits.in_flight,
            subscriptions: limits.subscriptions,
            connections: limits.connections,
            connections_per_second: limits.connections_per_second,
            connections_per_second_per_address: limits.connections_per_second_per_address,
            keep_alive_s_min: limits.keep_alive_s_min,
            keep_alive_s_max: limits.keep_alive_s_max,
        }
    }
}

impl BrokerConfig {
    /// How the broker in this process is secured; relative paths are relative to `base`.
    #[must_use]
    pub(crate) fn security(&self, base: &Path) -> Security {
        let path = |path: &PathBuf| base.join(path);
        let tls = self.certificate.as_ref().zip(self.key.as_ref()).map(|(certificate, key)| TlsFiles {
            certificate: path(certificate),
            key: path(key),
            client_ca: self.client_ca.as_ref().map(path),
            require_client_certificate: self.require_client_certificate,
            crl: self.crl.as_ref().map(path),
        });
        let token = self.access.token.as_ref().map(|token| TokenConfig {
            algorithm: token.algorithm,
            key: path(&token.key),
            audience: token.audience.clone(),
            issuer: token.issuer.clone(),
        });
        let access = AccessConfig {
            anonymous: match self.access.anonymous {
                AnonymousClients::Device => Anonymous::Device,
                AnonymousClients::Refuse => Anonymous::Refuse,
            },
            allow_anonymous_beyond_loopback: self.access.allow_anonymous_beyond_loopback,
            users: self.access.users.as_ref().map(path),
            token,
            revoked: self.access.revoked.as_ref().map(path),
            visitors: Vec::new(), // they are named in [roaming]
        };
        let listeners = Listeners { tls: self.tls, websocket: self.websocket, websocket_tls: self.websocket_tls };
        Security { listeners, tls, access, limits: self.limits.limits() }
    }

    /// Every address that the broker in this process listens on, with its key.
    #[must_use]
    pub(crate) fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let all = [
            ("broker.embedded", self.embedded),
            ("broker.tls", self.tls),
            ("broker.websocket", self.websocket),
            ("broker.websocket_tls", self.websocket_tls),
        ];
        all.into_iter().filter_map(|(key, address)| Some((key, address?))).collect()
    }

    pub(super) fn check(&self) -> Result<(), (String, String)> {
        match (self.embedded, &self.external) {
            (Some(bind), None) => {
                self.login.check(false)?;
                self.check_embedded(bind)
            }
            (None, Some(text)) => {
                let url: ServerUrl = text.parse().map_err(|why: mqtt::ConnectError| ("broker.external".to_owned(), why.to_string()))?;
                self.login.check(url.tls())?;
                let own = Self { external: self.external.clone(), login: self.login.clone(), ..Self::default() };
                match *self == own {
                    true => Ok(()),
                    false => wrong("broker.external", "listeners, certificates, access and limits are settings of the other broker"),
                }
            }
            _ => wrong("broker", "give exactly one of `embedded = \"address:port\"` and `external = \"mqtt://host:port\"`"),
        }
    }

    fn check_embedded(&self, bind: SocketAddr) -> Result<(), (String, String)> {
        let listeners = self.listeners();
        for (i, (key, address)) in listeners.iter().enumerate() {
            if let Some((other, _)) = listeners.iter().take(i).find(|(_, a)| a == address && a.port() != 0) {
                return wrong(*key, format!("{address} is also {other}"));
            }
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("broker.certificate", "a certificate and its key go together: give both `certificate` and `key`");
        }
        if (self.tls.is_some() || self.websocket_tls.is_some()) && self.certificate.is_none() {
            return wrong("broker.certificate", "a listener with TLS needs `certificate` and `key`");
        }
        if self.client_ca.is_none() && self.require_client_certificate {
            return wrong("broker.require_client_certificate", "it needs `client_ca`: who vouches for the clients");
        }
        if self.client_ca.is_none() && self.crl.is_some() {
            return wrong("broker.crl", "it needs `client_ca`: whose list it is");
        }
        if self.client_ca.is_some() && self.certificate.is_none() {
            return wrong("broker.client_ca", "clients can show certificates with TLS only: give `tls`, `certificate` and `key`");
        }
        if self.access.token.as_ref().is_some_and(|token| token.audience.is_empty()) {
            return wrong("broker.access.token.audience", "it is empty; say what the tokens must be meant for");
        }
        self.limits.check()?;
        self.security(Path::new("")).check(bind).map_err(|why| ("broker.access.anonymous".into(), why.to_string()))
    }
}

impl BrokerLimits {
    fn limits(&self) -> Limits {
        Limits {
            publishes_per_second: self.publishes_per_second,
            bytes_per_second: self.bytes_per_second,
            packet_bytes: self.packet_bytes,
            in_flight: self.in_flight,
            subscriptions: self.subscriptions,
            connections: self.connections,
            connections_per_second: self.connections_per_second,
            connections_per_second_per_address: self.connections_per_second_per_address,
            keep_alive_s_min: self.keep_alive_s_min,
            keep_alive_s_max: self.keep_alive_s_max,
        }
    }

    fn check(&self) -> Result<(), (String, String)> {
        let range = |key: &str, value: u64, least: u64, most: u64| check_range(&format!("broker.limits.{key}"), value, least, most);
        range("publishes_per_second", self.publishes_per_second, 0, COUNT_MAX)?;
        range("bytes_per_second", self.bytes_per_second, 0, COUNT_MAX)?;
        range("packet_bytes", u64::from(self.packet_bytes), PACKET_BYTES_MIN, PACKET_BYTES_MAX as u64)?;
        range("in_flight", u64::from(self.in_flight), 1, u64::from(u16::MAX))?;
        range("subscriptions", self.subscriptions as u64, 0, COUNT_MAX)?;
        range("connections", self.connections as u64, 1, CONNECTIONS_MAX)?;
        range("connections_per_second", self.connections_per_second, 0, COUNT_MAX)?;
        range("connections_per_second_per_address", self.connections_per_second_per_address, 0, COUNT_MAX)?;
        range("keep_alive_s_max", u64::from(self.keep_alive_s_max), u64::from(self.keep_alive_s_min.max(1)), u64::from(u16::MAX))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn load(broker: &str) -> Result<Config, ConfigError> {
        super::super::tests::load(&format!("[site]\nname = \"z1\"\n[broker]\n{broker}"))
    }

    /// The lines of the documented default about the broker, without their comment signs.
    fn documented() -> String {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wattle.toml")).unwrap();
        let begin = text.find("# [broker]\n").expect("wattle.toml documents [broker]");
        let end = text.find("\n[cache]").expect("wattle.toml documents [cache]");
        let is_key = |line: &str| {
            let key = line.split(" = ").next().unwrap_or_default();
            line.starts_with('[') || (line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let lines = text.get(begin..end).unwrap().lines();
        let mut kept = Vec::new();
        let mut inside = false;
        for line in lines.filter_map(|line| line.strip_prefix("# ")).filter(|line| is_key(line)) {
            if line.starts_with('[') {
                // how we log in elsewhere is not for the broker in this process
                inside = line.starts_with("[broker") && line != "[broker.login]";
            }
            if inside {
                kept.push(line);
            }
        }
        kept.join("\n")
    }

    #[test]
    fn the_documented_broker_is_one_that_loads() {
        let text = documented().replacen("[broker]\n", "", 1);
        // it shows both kinds of broker
        let embedded: Vec<&str> = text.lines().filter(|line| !line.starts_with("external = ")).collect();
        let broker = load(&embedded.join("\n")).unwrap().broker.unwrap();
        assert_eq!(broker.limits, BrokerLimits::default(), "the limits in wattle.toml are the default");
        assert!(broker.embedded.is_some() && broker.tls.is_some() && broker.websocket.is_some() && broker.websocket_tls.is_some());
        assert!(broker.access.token.is_some() && broker.access.users.is_some() && broker.access.revoked.is_some() && broker.crl.is_some());
        let external: Vec<&str> = text.lines().filter(|line| line.starts_with("external = ")).collect();
        load(&external.join("\n")).unwrap();
    }

    #[test]
    fn paths_are_relative_to_the_file_and_nothing_is_lost() {
        let config = load(
            "embedded = \"127.0.0.1:1883\"\ntls = \"0.0.0.0:8883\"\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\nclient_ca = \"ca.pem\"\n\
             [broker.access]\nanonymous = \"refuse\"\nusers = \"users.toml\"\n\
             [broker.access.token]\nalgorithm = \"EdDSA\"\nkey = \"t.pem\"\naudience = \"wattle\"\n[broker.limits]\nin_flight = 7\n",
        )
        .unwrap();
        let broker = config.broker.clone().unwrap();
        let security = broker.security(Path::new("/etc/wattle"));
        let tls = security.tls.unwrap();
        assert_eq!((tls.certificate, tls.key), ("/etc/wattle/c.pem".into(), "/k.pem".into()));
        assert_eq!(security.access.users, Some("/etc/wattle/users.toml".into()));
        assert_eq!(security.access.token.unwrap().key, PathBuf::from("/etc/wattle/t.pem"));
        assert_eq!((security.limits.in_flight, security.limits.connections), (7, Limits::default().connections));
        let again: BrokerConfig = toml::from_str::<Config>(&config.to_toml()).unwrap().broker.unwrap();
        assert_eq!(again, broker);
        assert_eq!(broker.listeners().len(), 2);
    }

    #[test]
    fn a_broker_elsewhere_may_want_to_know_us() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "pass word\n").unwrap();
        std::fs::write(dir.path().join("ca.pem"), "authority").unwrap();
        let text = "external = \"mqtts://b\"\n[broker.login]\nusername = \"site\"\npassword_file = \"secret\"\nca = \"ca.pem\"\n";
        let config = load(text).unwrap();
        let broker = config.broker.clone().unwrap();
        let credentials = broker.login.credentials(dir.path()).unwrap();
        assert_eq!((credentials.user.as_deref(), credentials.password.as_deref()), (Some("site"), Some("pass word")));
        assert_eq!(credentials.ca.as_deref(), Some(b"authority".as_slice()));
        let again: BrokerConfig = toml::from_str::<Config>(&config.to_toml()).unwrap().broker.unwrap();
        assert_eq!(again, broker);
        let external = |rest: &str| load(&format!("external = \"mqtt://b\"\n[broker.login]\n{rest}")).unwrap_err().to_string();
        assert!(external("password_file = \"p\"\n").contains("broker.login.username"));
        assert!(external("ca = \"ca.pem\"\n").contains("broker.login.ca"));
        assert!(external("certificate = \"c.pem\"\n").contains("broker.login.certificate"));
        assert!(load("external = \"mqtts://b\"\n").unwrap_err().to_string().contains("broker.login.ca"));
        assert!(load("external = \"mqtt://u:p@b\"\n").unwrap_err().to_string().contains("broker.external"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let plain = "embedded = \"127.0.0.1:1883\"\n";
        let refuse = "[broker.access]\nanonymous = \"refuse\"\n";
        for (text, key) in [
            (format!("{plain}tls = \"127.0.0.1:8883\"\n"), "broker.certificate"),
            (format!("{plain}certificate = \"c.pem\"\n"), "broker.certificate"),
            (format!("{plain}websocket = \"127.0.0.1:1883\"\n"), "broker.websocket"),
            (format!("{plain}require_client_certificate = true\n"), "broker.require_client_certificate"),
            (format!("{plain}crl = \"ca.crl\"\n"), "broker.crl"),
            (format!("{plain}client_ca = \"ca.pem\"\n"), "broker.client_ca"),
            ("embedded = \"0.0.0.0:1883\"\n".to_string(), "broker.access.anonymous"),
            (format!("{plain}websocket = \"[::]:8083\"\n"), "broker.access.anonymous"),
            ("external = \"mqtt://b\"\n[broker.limits]\nin_flight = 3\n".to_string(), "broker.external"),
            (format!("{plain}[broker.limits]\nin_flight = 0\n"), "broker.limits.in_flight"),
            (format!("{plain}[broker.limits]\npacket_bytes = 9\n"), "broker.limits.packet_bytes"),
            (format!("{plain}[broker.limits]\nkeep_alive_s_min = 9\nkeep_alive_s_max = 8\n"), "broker.limits.keep_alive_s_max"),
            (format!("{plain}[broker.access.token]\nalgorithm = \"HS256\"\nkey = \"k\"\naudience = \"\"\n"), "token.audience"),
            (format!("{plain}[broker.access.token]\nalgorithm = \"none\"\nkey = \"k\"\naudience = \"a\"\n"), "line"),
        ] {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        load(&format!("embedded = \"0.0.0.0:1883\"\n{refuse}")).unwrap();
        load("embedded = \"0.0.0.0:1883\"\n[broker.access]\nallow_anonymous_beyond_loopback = true\n").unwrap();
    }
}
