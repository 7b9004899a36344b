//! TLS of the listeners: certificates from files, exchanged while connections live.
//!
//! Rules:
//! - A connection keeps the configuration it was made with; the next one gets the newest that could be read.
//! - Session tickets of one configuration are worth nothing under the next: what was revoked does not come back by one.
//! - TLS is named in this file and in `front.rs` only.

use crate::access::{AccessError, Certificate, Refused};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, RootCertStore, ServerConfig};

/// Bytes of a file of certificates or keys.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The files that TLS needs, all in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The broker's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates clients may show.
    pub client_ca: Option<PathBuf>,
    /// Whether they must show one.
    pub require_client_certificate: bool,
    /// Lists of certificates that these authorities revoked.
    pub crl: Option<PathBuf>,
}

impl TlsFiles {
    /// The files it names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let some = [Some(self.certificate.clone()), Some(self.key.clone()), self.client_ca.clone(), self.crl.clone()];
        some.into_iter().flatten().collect()
    }
}

/// What the files say.
struct Loaded {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// TLS as it is now.
pub(super) struct Tls {
    files: TlsFiles,
    loaded: RwLock<Arc<Loaded>>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn new(files: TlsFiles) -> Result<Self, AccessError> {
        let loaded = RwLock::new(Arc::new(load(&files)?));
        Ok(Self { files, loaded })
    }

    /// Reads the files anew. If one cannot be used, all stays as it was.
    pub(super) fn reload(&self) -> Result<(), AccessError> {
        let loaded = Arc::new(load(&self.files)?);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the next connection is made with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.loaded().config.clone()
    }

    /// Whether a client's certificate would be accepted now.
    pub(super) fn accepts(&self, certificate: &Certificate) -> bool {
        let loaded = self.loaded();
        let Some(verifier) = &loaded.verifier else { return false };
        let mut chain = certificate.chain.iter().map(|der| CertificateDer::from(der.as_slice()));
        let Some(own) = chain.next() else { return false };
        let between: Vec<CertificateDer<'_>> = chain.collect();
        verifier.verify_client_cert(&own, &between, UnixTime::now()).is_ok()
    }
}

/// Why a handshake failed, as far as it is counted apart.
pub(super) fn refusal(error: &io::Error) -> Refused {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(CertificateError::Revoked)) => Refused::Revoked,
        Some(TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => Refused::Expired,
        _ => Refused::Handshake,
    }
}

fn load(files: &TlsFiles) -> Result<Loaded, AccessError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let bytes = zeroize::Zeroizing::new(crate::access::read_file(&files.key, FILE_BYTES_MAX)?);
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| AccessError::Content { path: files.key.clone(), why: "it holds no private key in PEM".into() })?;
    let verifier = match &files.client_ca {
        None => None,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| content(path, &e))?;
            }
            let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            if !files.require_client_certificate {
                builder = builder.allow_unauthenticated();
            }
            if let Some(path) = &files.crl {
                // an authority that gave no list, or one in between, is believed
                builder = builder.with_crls(revocations(path)?).only_check_end_entity_revocation().allow_unknown_revocation_status();
            }
            let named = files.crl.as_ref().unwrap_or(path);
            Some(builder.build().map_err(|e| content(named, &e))?)
        }
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| content(&files.certificate, &e))?
        .with_client_cert_verifier(verifier.clone().unwrap_or_else(WebPkiClientVerifier::no_client_auth))
        .with_single_cert(chain, key)
        .map_err(|e| AccessError::Content { path: files.key.clone(), why: format!("with {}: {e}", files.certificate.display()) })?;
    Ok(Loaded { config: Arc::new(config), verifier })
}

fn content(path: &Path, why: &impl ToString) -> AccessError {
    AccessError::Content { path: path.into(), why: why.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let bytes = crate::access::read_file(path, FILE_BYTES_MAX)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(AccessError::Content { path: path.into(), why: "it holds no certificate in PEM, or a damaged one".into() }),
    }
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, AccessError> {
    let bytes = crate::access::read_file(path, FILE_BYTES_MAX)?;
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(AccessError::Content { path: path.into(), why: "it holds no revocation list in PEM, or a damaged one".into() }),
    }
}
