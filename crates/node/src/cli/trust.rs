//! Whom commands believe that a node at `https://` is the one it says: authorities from a file, else those of the system.
//!
//! ```text
//! --ca FILE ─▶ WATTLE_CA ─▶ the system's ─▶ the first there is vouches, alone
//! ```
//! # Rules
//! - A certificate that does not verify ends the connection before anything is asked. Nothing turns this off.
//! - Files are read at the first `https://` address, once a process: who asks nodes at `http://` only needs none.

use super::client::ClientError;
use super::output::time_ms;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{self, CertificateError, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Bytes of a file of certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Names of a certificate that an error shows.
const NAMES_SHOWN: usize = 4;
/// Where the file is named if the command line names none.
const VARIABLE: &str = "WATTLE_CA";
/// What vouches if no file is named.
const SYSTEM: &str = "the system's authorities";

/// The file that was named on the command line, if one was.
static NAMED: OnceLock<Option<PathBuf>> = OnceLock::new();
/// Who vouches, once somebody had to.
static AUTHORITIES: OnceLock<Authorities> = OnceLock::new();

/// Who may vouch for a node.
#[derive(Clone, Debug)]
struct Authorities {
    roots: RootCerts,
    /// The file; `None` for the system's.
    file: Option<PathBuf>,
}

/// Every client from now on believes the authorities in this file.
pub(crate) fn believe(file: Option<PathBuf>) {
    let _ = NAMED.set(file); // once, when the program starts
}

/// TLS for nodes at `https://`.
///
/// # Errors
/// [`ClientError::Authority`] if there is nobody to believe.
pub(super) fn verified() -> Result<TlsConfig, ClientError> {
    let authorities = match AUTHORITIES.get() {
        Some(authorities) => authorities,
        None => {
            let read = authorities()?;
            AUTHORITIES.get_or_init(|| read)
        }
    };
    Ok(config(authorities.roots.clone()))
}

/// TLS for nodes at `http://`, which is none: nobody is believed.
pub(super) fn nobody() -> TlsConfig {
    config(RootCerts::new_with_certs(&[]))
}

fn config(roots: RootCerts) -> TlsConfig {
    TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(Arc::new(ring::default_provider())).build()
}

/// Who is to be believed, by command line, environment and system.
fn authorities() -> Result<Authorities, ClientError> {
    let variable = || std::env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
    match NAMED.get().cloned().flatten().or_else(variable) {
        Some(file) => {
            let roots = from_file(&file).map_err(|why| ClientError::Authority { from: file.display().to_string(), why })?;
            Ok(Authorities { roots, file: Some(file) })
        }
        None => Ok(Authorities { roots: of_system()?, file: None }),
    }
}

/// The certificates in a file, all of which must be usable.
fn from_file(file: &Path) -> Result<RootCerts, String> {
    let mut pem = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut pem));
    read.map_err(|e| e.to_string())?;
    if pem.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| "it is no PEM, or damaged".to_owned())?;
        RootCertStore::empty().add(certificate.clone()).map_err(|e| format!("certificate {} in it: {e}", found.len() + 1))?;
        found.push(certificate);
    }
    match found.is_empty() {
        true => Err("it holds no certificate in PEM".to_owned()),
        false => Ok(roots(&found)),
    }
}

/// What this machine believes anyway.
fn of_system() -> Result<RootCerts, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(ClientError::Authority { from: SYSTEM.to_owned(), why });
    }
    Ok(roots(&found.certs))
}

fn roots(certificates: &[CertificateDer<'static>]) -> RootCerts {
    RootCerts::from(certificates.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect::<Vec<_>>())
}

/// What TLS has against the node at `base`, if it is TLS that failed.
pub(super) fn refusal(base: &str, error: &ureq::Error) -> Option<ClientError> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    let file = AUTHORITIES.get().and_then(|authorities| authorities.file.as_deref());
    let (why, todo) = match error {
        rustls::Error::InvalidCertificate(why) => certificate(why, file),
        rustls::Error::InvalidMessage(_) => {
            ("what answers speaks no TLS".to_owned(), "write http:// if the node has no [http.tls]".to_owned())
        }
        other => (format!("TLS failed ({other})"), "see [http.tls] of the node, and its log".to_owned()),
    };
    Some(ClientError::Tls { base: base.to_owned(), why, todo })
}

/// What is wrong with a certificate, and what to do; `file` is where the authorities came from.
fn certificate(error: &CertificateError, file: Option<&Path>) -> (String, String) {
    let renew = "renew it at the node ([http.tls]); see that the clock of this machine is right";
    let (why, todo) = match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => return unknown(file),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().take(NAMES_SHOWN).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name at all (subjectAltName)".to_owned() } else { names };
            let why = format!("its certificate is not for {}, but for {names}", expected.to_str());
            (why, "name the node as its certificate does, or give it one with this name in subjectAltName")
        }
        CertificateError::NotValidForName => {
            let todo = "name the node as its certificate does, or give it one with this name in subjectAltName";
            ("its certificate is for another name".to_owned(), todo)
        }
        CertificateError::ExpiredContext { not_after, .. } => (format!("its certificate expired {}", time(not_after.as_secs())), renew),
        CertificateError::Expired => ("its certificate expired".to_owned(), renew),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("its certificate begins {}", time(not_before.as_secs())), "see that the clock of this machine is right")
        }
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            ("its certificate is not for servers".to_owned(), "give the node one with extendedKeyUsage=serverAuth")
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            let todo = "give the node one with basicConstraints=critical,CA:FALSE (docs/operating.md)";
            ("its certificate is that of an authority (CA:TRUE)".to_owned(), todo)
        }
        other => (format!("its certificate cannot be used ({other})"), "give the node another one ([http.tls])"),
    };
    (why, todo.to_owned())
}

fn unknown(file: Option<&Path>) -> (String, String) {
    match file {
        Some(file) => (
            format!("nobody in {} vouches for its certificate", file.display()),
            "name the file of the authority that made it, by --ca or WATTLE_CA".to_owned(),
        ),
        None => (
            format!("none of {SYSTEM} vouches for its certificate"),
            "name the certificate of the node's own authority by --ca FILE or WATTLE_CA".to_owned(),
        ),
    }
}

/// `node.example` of `DnsName("node.example")`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').chars().filter(|c| !c.is_control()).collect()
}

fn time(seconds: u64) -> String {
    time_ms(seconds.saturating_mul(1_000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};

    #[test]
    fn a_file_that_vouches_for_nobody_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(from_file(&file).is_err(), "there is none");
        let wrapped = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, why) in [("", "no certificate"), ("key", "no certificate"), (wrapped, "certificate 1")] {
            std::fs::write(&file, text).unwrap();
            let said = from_file(&file).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
        }
        std::fs::write(&file, vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]).unwrap();
        assert!(from_file(&file).unwrap_err().contains("bytes"));
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_what_to_do() {
        let second = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("other.example").unwrap(),
            presented: vec!["DnsName(\"node.example\")".to_owned(), "IpAddress(192.0.2.7)".to_owned()],
        };
        let cases = [
            (name, "not for other.example, but for node.example, 192.0.2.7", "subjectAltName"),
            (CertificateError::UnknownIssuer, "nobody in ca.pem", "--ca"),
            (CertificateError::BadSignature, "nobody in ca.pem", "--ca"),
            (CertificateError::ExpiredContext { time: second(2), not_after: second(1) }, "1970-01-01T00:00:01Z", "renew"),
            (CertificateError::NotValidYetContext { time: second(1), not_before: second(2) }, "1970-01-01T00:00:02Z", "clock"),
            (CertificateError::InvalidPurpose, "not for servers", "serverAuth"),
            (CertificateError::BadEncoding, "cannot be used", "[http.tls]"),
        ];
        for (error, says, advises) in cases {
            let (why, todo) = certificate(&error, Some(Path::new("ca.pem")));
            assert!(why.contains(says) && todo.contains(advises), "{error:?}: {why}: {todo}");
        }
        let (why, todo) = certificate(&CertificateError::UnknownIssuer, None);
        assert!(why.contains("the system") && todo.contains("WATTLE_CA"), "{why}: {todo}");
    }

    #[test]
    fn only_what_tls_says_is_a_refusal_of_tls() {
        let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset");
        assert!(refusal("https://n", &ureq::Error::Io(broken)).is_none());
        let wrapped = std::io::Error::new(std::io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(CertificateError::Expired));
        let said = refusal("https://n", &ureq::Error::Io(wrapped)).unwrap().to_string();
        assert!(said.contains("expired: https://n: renew"), "{said}");
    }
}
