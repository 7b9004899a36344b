//! `[mqttsn]`: the MQTT-SN gateway. Without the table there is none.

use super::{BrokerConfig, check_range, loopback, wrong};
use anyhow::{Context as _, anyhow};
use mqtt::sn::{self, DtlsConfig, GatewayConfig, PskKeys};
use mqtt::{CredentialFiles, Credentials, ServerUrl};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most clients that can be asked for.
const CLIENTS_MAX: u64 = 1_000_000;
/// The most messages that may wait for one client.
const CLIENT_MESSAGES_MAX: u64 = 10_000;

/// The MQTT-SN gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MqttSnConfig {
    /// Where clients reach it by UDP.
    pub(crate) listen: SocketAddr,
    /// The broker, `mqtt://host:port` or `mqtts://host:port`; the site's own if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broker: Option<String>,
    /// The gateway's user name there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The file with its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// The certificates of the authorities that may vouch for the broker, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The gateway's own certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// What it calls itself to those who search.
    pub(crate) gateway_id: u8,
    /// Where it advertises itself to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advertise: Option<SocketAddr>,
    /// How often, in seconds.
    pub(crate) advertise_s: u64,
    /// Pause before something that was not answered is sent again, in milliseconds.
    pub(crate) retry_ms: u64,
    /// How often it is sent again.
    pub(crate) retries: u32,
    /// Clients at a time.
    pub(crate) clients_max: u64,
    /// Messages that may wait for one client.
    pub(crate) client_messages_max: u64,
    /// Bytes of messages that may wait.
    pub(crate) buffered_bytes_max: u64,
    /// Bytes of one message towards a client.
    pub(crate) packet_bytes_max: u64,
    /// Where clients with a pre-shared key reach it by DTLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dtls: Option<SocketAddr>,
    /// The file of keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psk_file: Option<PathBuf>,
    /// Topics by the numbers that clients may use without registering them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) predefined: BTreeMap<String, String>,
}

impl Default for MqttSnConfig {
    fn default() -> Self {
        Self {
            listen: loopback(sn::DEFAULT_PORT),
            broker: None,
            username: None,
            password_file: None,
            ca: None,
            certificate: None,
            key: None,
            gateway_id: 1,
            advertise: None,
            advertise_s: sn::ADVERTISE_EVERY.as_secs(),
            retry_ms: u64::try_from(sn::RETRY.as_millis()).unwrap_or(u64::MAX),
            retries: sn::RETRIES,
            clients_max: sn::CLIENTS_MAX as u64,
            client_messages_max: sn::CLIENT_MESSAGES_MAX as u64,
            buffered_bytes_max: sn::BUFFERED_BYTES_MAX as u64,
            packet_bytes_max: sn::PACKET_BYTES as u64,
            dtls: None,
            psk_file: None,
            predefined: BTreeMap::new(),
        }
    }
}

impl MqttSnConfig {
    /// Checks every value. `site` is the site's broker, which is used if no other is named.
    pub(super) fn check(&self, site: Option<&BrokerConfig>) -> Result<(), (String, String)> {
        let tls = match self.broker.as_deref().map(str::parse::<ServerUrl>) {
            Some(Ok(url)) => url.tls(),
            Some(Err(why)) => return wrong("mqttsn.broker", why.to_string()),
            None if site.is_some() => false,
            None => return wrong("mqttsn.broker", "name the broker, mqtt://host:port, or give the site one in [broker]"),
        };
        if self.username.is_some() != self.password_file.is_some() {
            return wrong("mqttsn.username", "give username and password_file together, or neither");
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("mqttsn.certificate", "give certificate and key together, or neither");
        }
        if tls && self.ca.is_none() {
            return wrong("mqttsn.ca", "a broker at mqtts:// needs the certificate of an authority");
        }
        if !tls && (self.ca.is_some() || self.certificate.is_some()) {
            return wrong("mqttsn.ca", "ca, certificate and key are for a broker at mqtts://host:port");
        }
        if self.dtls.is_some() != self.psk_file.is_some() {
            return wrong("mqttsn.dtls", "give dtls and psk_file together, or neither");
        }
        check_range("mqttsn.gateway_id", u64::from(self.gateway_id), 1, 255)?;
        check_range("mqttsn.advertise_s", self.advertise_s, 1, u64::from(u16::MAX))?;
        check_range("mqttsn.retry_ms", self.retry_ms, 10, 3_600_000)?;
        check_range("mqttsn.retries", u64::from(self.retries), 0, 100)?;
        check_range("mqttsn.clients_max", self.clients_max, 1, CLIENTS_MAX)?;
        check_range("mqttsn.client_messages_max", self.client_messages_max, 1, CLIENT_MESSAGES_MAX)?;
        check_range("mqttsn.packet_bytes_max", self.packet_bytes_max, 64, sn::PACKET_BYTES_LIMIT as u64)?;
        check_range("mqttsn.buffered_bytes_max", self.buffered_bytes_max, self.packet_bytes_max, 1 << 40)?;
        for (id, topic) in &self.predefined {
            let at = format!("mqttsn.predefined.{id}");
            let Ok(number) = id.parse::<u16>() else { return wrong(at, "it is not a number from 1 to 65534") };
            let mut probe = GatewayConfig::new(self.listen, "");
            probe.predefined.insert(number, topic.clone());
            if let Err(why) = probe.check() {
                return wrong(at, format!("{topic:?}: {why}"));
            }
        }
        Ok(())
    }

    fn topics(&self) -> BTreeMap<u16, String> {
        self.predefined.iter().filter_map(|(id, topic)| Some((id.parse().ok()?, topic.clone()))).collect()
    }

    /// What the gateway is to be started with. `own` is the URL of the site's broker; files are relative to `base`.
    pub(super) fn gateway(&self, base: &Path, own: Option<&str>) -> anyhow::Result<GatewayConfig> {
        let broker = self.broker.as_deref().or(own);
        let broker = broker.ok_or_else(|| anyhow!("mqttsn.broker is not set and the site has no broker"))?;
        let fits = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(GatewayConfig {
            credentials: self.credentials(base)?,
            gateway_id: self.gateway_id,
            advertise: self.advertise,
            advertise_every: Duration::from_secs(self.advertise_s),
            predefined: self.topics(),
            retry: Duration::from_millis(self.retry_ms),
            retries: self.retries,
            clients_max: fits(self.clients_max),
            client_messages_max: fits(self.client_messages_max),
            buffered_bytes_max: fits(self.buffered_bytes_max),
            packet_bytes_max: fits(self.packet_bytes_max),
            dtls: self.keys(base)?,
            ..GatewayConfig::new(self.listen, broker)
        })
    }

    fn credentials(&self, base: &Path) -> anyhow::Result<Credentials> {
        for (file, key) in [(&self.password_file, "mqttsn.password_file"), (&self.key, "mqttsn.key")] {
            if let Some(file) = file {
                warn_if_open(&base.join(file), key);
            }
        }
        let files = CredentialFiles {
            user: self.username.clone(),
            password_file: self.password_file.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
        };
        Credentials::load(&files, base).context("how the MQTT-SN gateway logs in, [mqttsn]")
    }

    fn keys(&self, base: &Path) -> anyhow::Result<Option<DtlsConfig>> {
        let (Some(listen), Some(file)) = (self.dtls, &self.psk_file) else { return Ok(None) };
        let file = base.join(file);
        let keys = PskKeys::parse(&secret(&file, "mqttsn.psk_file")?, &file)?;
        Ok(Some(DtlsConfig { listen, keys }))
    }
}

/// Reads a file that nobody else should.
fn secret(file: &Path, key: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}, which {key} names", file.display()))?;
    warn_if_open(file, key);
    Ok(text)
}

/// Says so if others may read a file with a secret.
fn warn_if_open(file: &Path, key: &str) {
    let mode = std::fs::metadata(file).map_or(0, |m| m.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!("others may read {}, which {key} names (mode {:o}): chmod 600 it", file.display(), mode & 0o777);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::tests::load;

    #[test]
    fn the_documented_table_has_every_default() {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wattle.toml")).unwrap();
        let at = text.find("# [mqttsn]").unwrap();
        let rest = text.get(at..).unwrap();
        // the table ends with its last commented line
        let table: Vec<&str> = rest.lines().take_while(|line| line.starts_with('#')).collect();
        for line in toml::to_string(&MqttSnConfig::default()).unwrap().lines().filter(|l| !l.is_empty()) {
            assert!(table.iter().any(|l| l.trim_start_matches("# ") == line), "wattle.toml lacks {line:?} in [mqttsn]");
        }
        // uncommented it is a configuration; prose is told from settings by having no " = " or bracket
        let settings: Vec<&str> = table
            .iter()
            .map(|l| l.trim_start_matches("# "))
            .filter(|l| l.starts_with('[') || l.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
            .collect();
        let loaded = load(&settings.join("\n")).unwrap().mqttsn.unwrap();
        assert!(loaded.broker.is_some() && loaded.dtls.is_some() && loaded.advertise.is_some() && !loaded.predefined.is_empty());
        assert!(loaded.ca.is_some() && loaded.certificate.is_some() && loaded.key.is_some());
        assert_eq!(
            MqttSnConfig {
                broker: None,
                username: None,
                password_file: None,
                ca: None,
                certificate: None,
                key: None,
                advertise: None,
                dtls: None,
                psk_file: None,
                predefined: BTreeMap::new(),
                ..loaded
            },
            MqttSnConfig::default()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let broker = "broker = \"mqtt://b\"\n";
        for (text, says) in [
            ("[mqttsn]\n".to_owned(), "mqttsn.broker"),
            ("[mqttsn]\nbroker = \"tcp://b\"\n".to_owned(), "mqttsn.broker"),
            (format!("[mqttsn]\n{broker}gateway_id = 0\n"), "mqttsn.gateway_id: 0 is outside 1 to 255"),
            (format!("[mqttsn]\n{broker}username = \"g\"\n"), "password_file"),
            (format!("[mqttsn]\n{broker}ca = \"ca.pem\"\n"), "mqtts://host:port"),
            ("[mqttsn]\nbroker = \"mqtts://b\"\n".to_owned(), "mqttsn.ca"),
            ("[mqttsn]\nbroker = \"mqtts://b\"\nca = \"c\"\nkey = \"k\"\n".to_owned(), "mqttsn.certificate"),
            (format!("[mqttsn]\n{broker}dtls = \"127.0.0.1:1\"\n"), "psk_file"),
            (format!("[mqttsn]\n{broker}packet_bytes_max = 20000\n"), "mqttsn.packet_bytes_max"),
            (format!("[mqttsn]\n{broker}[mqttsn.predefined]\nx = \"a/b\"\n"), "mqttsn.predefined.x"),
            (format!("[mqttsn]\n{broker}[mqttsn.predefined]\n1 = \"a/#\"\n"), "mqttsn.predefined.1"),
            (format!("[mqttsn]\n{broker}lsiten = 1\n"), "lsiten"),
        ] {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains('\n'), "{text:?}: {error}");
        }
    }

    #[test]
    fn files_are_read_when_the_gateway_starts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "secret\n").unwrap();
        std::fs::write(dir.path().join("keys"), "d:000102030405060708090a0b0c0d0e0f\n").unwrap();
        let config = MqttSnConfig {
            username: Some("gateway".into()),
            password_file: Some("password".into()),
            dtls: Some(loopback(0)),
            psk_file: Some("keys".into()),
            predefined: [("7".to_owned(), "a/b".to_owned())].into(),
            ..MqttSnConfig::default()
        };
        let gateway = config.gateway(dir.path(), Some("mqtt://own:1")).unwrap();
        let expected = Credentials { user: Some("gateway".into()), password: Some("secret".into()), ..Credentials::default() };
        assert_eq!(gateway.credentials, expected);
        assert!(gateway.dtls.unwrap().keys.has("d"));
        assert_eq!((gateway.broker.as_str(), gateway.predefined), ("mqtt://own:1", [(7, "a/b".to_owned())].into()));
        assert!(config.gateway(dir.path(), None).unwrap_err().to_string().contains("mqttsn.broker"));
        std::fs::remove_file(dir.path().join("keys")).unwrap();
        let error = format!("{:#}", config.gateway(dir.path(), Some("mqtt://own:1")).unwrap_err());
        assert!(error.contains("keys") && error.contains("mqttsn.psk_file"), "{error}");
    }
}
