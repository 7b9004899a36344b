//! How a client of ours logs in to a broker: user name and password, and TLS with or without a certificate of its own.
//!
//! Rules:
//! - A password comes from a file or from the environment variable [`PASSWORD_VARIABLE`], never from a command line, a URL
//!   or the configuration itself, and is never shown.
//! - `mqtts://` believes the authorities of the given file and nobody else: a broker of one's own has an authority of
//!   one's own.
//! - A password goes over an unprotected connection only if the user wrote `mqtt://`; the operator decides that.

use crate::client::{BrokerUrl, ConnectError, DEFAULT_PORT};
use rumqttc::{TlsConfiguration, Transport};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The environment variable that may hold the password when no file does.
pub const PASSWORD_VARIABLE: &str = "WATTLE_MQTT_PASSWORD";
/// The port of MQTT over TLS.
pub const TLS_PORT: u16 = 8883;
/// Bytes of a password, and of a file of certificates or keys.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why credentials cannot be used. No message holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {path}: {why}")]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// What was given does not fit together.
    #[error("{0}")]
    Setting(String),
    /// Certificates or the key cannot be used.
    #[error("the {what} cannot be used: {why}")]
    Tls {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Where a broker listens: `mqtt://host[:port]`, or `mqtts://host[:port]` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    address: BrokerUrl,
    tls: bool,
}

impl ServerUrl {
    /// Its host; the brackets of an IPv6 address stay.
    #[must_use]
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host(), self.port())
    }
}

impl FromStr for ServerUrl {
    type Err = ConnectError;
    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let (plain, tls) = match text.strip_prefix("mqtts://") {
            Some(rest) => (format!("mqtt://{rest}"), true),
            None => (text.to_owned(), false),
        };
        let address = BrokerUrl::with_default_port(&plain, if tls { TLS_PORT } else { DEFAULT_PORT }).map_err(|error| match error {
            ConnectError::Url { why, .. } => ConnectError::Url { url: text.to_owned(), why },
            other => other,
        })?;
        Ok(Self { address, tls })
    }
}

/// The files that hold credentials. See [`Credentials::load`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// The user name.
    pub user: Option<String>,
    /// The file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The certificates of the authorities that may vouch for the broker, PEM.
    pub ca: Option<PathBuf>,
    /// Our own certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
}

/// How a client of ours logs in. By default: as nobody, without TLS.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The certificates of the authorities that may vouch for the broker, PEM; needed for `mqtts://`.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate, PEM, if the broker asks for one.
    pub certificate: Option<Vec<u8>>,
    /// Its key, PEM.
    pub key: Option<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // neither password nor key
        f.debug_struct("Credentials").field("user", &self.user).field("certificate", &self.certificate.is_some()).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files; relative paths are relative to `base`. Without a password file the password is that of the
    /// environment variable [`PASSWORD_VARIABLE`], if there is a user name and it is set. Blocks on files.
    ///
    /// # Errors
    /// [`CredentialsError`]: a file cannot be read, or a certificate has no key or a key no certificate.
    pub fn load(files: &CredentialFiles, base: &Path) -> Result<Self, CredentialsError> {
        if files.certificate.is_some() != files.key.is_some() {
            return Err(CredentialsError::Setting(
                "a client certificate needs its key, and a key its certificate: give both or neither".into(),
            ));
        }
        if files.user.is_none() && files.password_file.is_some() {
            return Err(CredentialsError::Setting("a password needs a user name".into()));
        }
        let pem = |what, path: &Option<PathBuf>| path.as_ref().map(|path| read(what, &base.join(path))).transpose();
        let password = match (&files.user, &files.password_file) {
            (Some(_), Some(path)) => Some(first_line(&base.join(path))?),
            (Some(_), None) => std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty()),
            (None, _) => None,
        };
        Ok(Self {
            user: files.user.clone(),
            password,
            ca: pem("certificates of authorities", &files.ca)?,
            certificate: pem("client certificate", &files.certificate)?,
            key: pem("client key", &files.key)?,
        })
    }

    /// Puts them into the options of an MQTT 3.1.1 client. `tls`: whether the broker speaks TLS ([`ServerUrl::tls`]).
    ///
    /// # Errors
    /// [`CredentialsError`]: TLS without an authority, or certificates or a key that cannot be used.
    pub fn apply(&self, tls: bool, options: &mut rumqttc::MqttOptions) -> Result<(), CredentialsError> {
        if let Some((user, password)) = self.login() {
            options.set_credentials(user, password);
        }
        if let Some(transport) = self.transport(tls)? {
            options.set_transport(transport);
        }
        Ok(())
    }

    /// Puts them into the options of an MQTT 5.0 client, as [`Credentials::apply`] does for 3.1.1.
    ///
    /// # Errors
    /// As [`Credentials::apply`].
    pub fn apply_v5(&self, tls: bool, options: &mut rumqttc::v5::MqttOptions) -> Result<(), CredentialsError> {
        if let Some((user, password)) = self.login() {
            options.set_credentials(user, password);
        }
        if let Some(transport) = self.transport(tls)? {
            options.set_transport(transport);
        }
        Ok(())
    }

    /// Whether a broker at `url` can be dialled with them, as far as it can be told before.
    ///
    /// # Errors
    /// As [`Credentials::apply`].
    pub fn check(&self, url: &ServerUrl) -> Result<(), CredentialsError> {
        self.transport(url.tls()).map(drop)
    }

    fn login(&self) -> Option<(&str, &str)> {
        self.user.as_deref().map(|user| (user, self.password.as_deref().unwrap_or_default()))
    }

    /// How the bytes travel, if not plainly.
    fn transport(&self, tls: bool) -> Result<Option<Transport>, CredentialsError> {
        if !tls {
            if self.ca.is_some() || self.certificate.is_some() {
                return Err(CredentialsError::Setting("certificates are for a broker at mqtts://host[:port]".into()));
            }
            return Ok(None);
        }
        Ok(Some(Transport::Tls(TlsConfiguration::Rustls(Arc::new(self.client_config()?)))))
    }

    /// What TLS needs: whom we believe, and who we are.
    ///
    /// # Errors
    /// As [`Credentials::apply`].
    pub fn client_config(&self) -> Result<ClientConfig, CredentialsError> {
        let ca = self.ca.as_ref();
        let ca =
            ca.ok_or_else(|| CredentialsError::Setting("a connection by mqtts:// needs the certificate of an authority (ca)".into()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca, "authority (ca)")? {
            roots.add(certificate).map_err(|e| tls("authority (ca)", &e))?;
        }
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = versions.map_err(|e| tls("TLS version", &e))?.with_root_certificates(roots);
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate, "client certificate")?;
        // the error could quote the file
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| CredentialsError::Tls { what: "client key", why: "there is no private key in PEM in it".into() })?;
        builder.with_client_auth_cert(chain, key).map_err(|e| tls("client key", &e))
    }
}

fn tls(what: &'static str, why: &dyn fmt::Display) -> CredentialsError {
    CredentialsError::Tls { what, why: why.to_string() }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| tls(what, &e))?;
    if found.is_empty() { Err(tls(what, &"there is no certificate in it")) } else { Ok(found) }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let failed = |why: String| CredentialsError::Read { what, path: path.into(), why };
    let bytes = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(format!("it has {bytes} bytes, the limit is {FILE_BYTES_MAX}")));
    }
    std::fs::read(path).map_err(|e| failed(e.to_string()))
}

fn first_line(path: &Path) -> Result<String, CredentialsError> {
    let what = "password file";
    let text = String::from_utf8(read(what, path)?).map_err(|_| CredentialsError::Read {
        what,
        path: path.into(),
        why: "it is not UTF-8 text".into(),
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_whether_tls_is_spoken() {
        for (text, meant, tls) in [
            ("mqtt://b", "mqtt://b:1883", false),
            ("mqtts://b", "mqtts://b:8883", true),
            ("mqtts://b:1/", "mqtts://b:1", true),
            ("mqtts://[::1]", "mqtts://[::1]:8883", true),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.tls()), (meant, tls));
        }
        for text in ["", "b", "mqtts://", "ssl://b", "mqtts://b:0", "mqtts://user:secret@b"] {
            assert!(matches!(text.parse::<ServerUrl>(), Err(ConnectError::Url { .. })), "{text}");
        }
    }

    #[test]
    fn a_password_comes_from_a_file_and_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("password"), "secret one\n# more\n").unwrap();
        let files = CredentialFiles { user: Some("fog".into()), password_file: Some("password".into()), ..CredentialFiles::default() };
        let credentials = Credentials::load(&files, dir.path()).unwrap();
        assert_eq!(credentials.password.as_deref(), Some("secret one"));
        assert!(!format!("{credentials:?}").contains("secret"));
        let mut options = rumqttc::MqttOptions::new("id", "b", 1);
        credentials.apply(false, &mut options).unwrap();
        assert_eq!(options.credentials().map(|login| login.password), Some("secret one".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty.pem"), "").unwrap();
        let file = || Some(PathBuf::from("empty.pem"));
        let none = CredentialFiles::default();
        for files in [
            CredentialFiles { certificate: file(), ..none.clone() },
            CredentialFiles { key: file(), ..none.clone() },
            CredentialFiles { password_file: file(), ..none.clone() },
            CredentialFiles { ca: Some("missing.pem".into()), ..none.clone() },
        ] {
            assert!(Credentials::load(&files, dir.path()).is_err(), "{files:?}");
        }
        let tls: ServerUrl = "mqtts://b".parse().unwrap();
        let plain: ServerUrl = "mqtt://b".parse().unwrap();
        assert!(matches!(Credentials::default().check(&tls), Err(CredentialsError::Setting(_))));
        Credentials::default().check(&plain).unwrap();
        let empty = Credentials::load(&CredentialFiles { ca: file(), ..none }, dir.path()).unwrap();
        assert!(matches!(empty.check(&tls), Err(CredentialsError::Tls { what: "authority (ca)", .. })));
        assert!(matches!(empty.check(&plain), Err(CredentialsError::Setting(_))));
    }
}
