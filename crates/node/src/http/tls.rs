//! HTTPS: certificate and key from files, read anew when they change. Connections live on with what they were made with.

use crate::config::HttpTls;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Bytes of a file of certificates, or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What is spoken.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why HTTPS cannot be spoken.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {why}; [http.tls] names it")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It does not hold what it should.
    #[error("{path}: {why}; [http.tls] names it")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Which state a file is in: when it was changed, which it is, its bytes.
type Stamp = (i64, i64, u64, u64);

/// TLS as it is now.
pub(super) struct Tls {
    files: HttpTls,
    loaded: Mutex<(Vec<Stamp>, Arc<ServerConfig>)>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if one cannot be used.
    pub(super) fn new(files: HttpTls) -> Result<Self, TlsError> {
        let loaded = Mutex::new((stamps(&files), load(&files)?));
        Ok(Self { files, loaded })
    }

    /// What the next connection is made with. Files that cannot be used leave it as it was.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        if now != loaded.0 {
            loaded.0 = now;
            match load(&self.files) {
                Ok(config) => loaded.1 = config,
                Err(why) => tracing::error!("HTTPS goes on with the certificate it had: {why}"),
            }
        }
        loaded.1.clone()
    }
}

/// Whether HTTPS could be spoken with these files.
///
/// # Errors
/// [`TlsError`] if not.
pub(crate) fn try_tls(files: &HttpTls) -> Result<(), TlsError> {
    load(files).map(drop)
}

fn stamps(files: &HttpTls) -> Vec<Stamp> {
    let stamp =
        |path: &PathBuf| std::fs::metadata(path).map(|data| (data.mtime(), data.mtime_nsec(), data.ino(), data.len())).unwrap_or_default();
    [&files.certificate, &files.key].map(stamp).into()
}

fn load(files: &HttpTls) -> Result<Arc<ServerConfig>, TlsError> {
    let content = |path: &Path, why: String| TlsError::Content { path: path.into(), why };
    let pem = read(&files.certificate)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| content(&files.certificate, "it holds no certificate in PEM, or a damaged one".to_owned()))?;
    let pem = zeroize::Zeroizing::new(read(&files.key)?);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| content(&files.key, "it holds no private key in PEM".to_owned()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| content(&files.certificate, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| content(&files.key, format!("with {}: {e}", files.certificate.display())))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |why: String| TlsError::File { path: path.into(), why };
    let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fail(format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    std::fs::read(path).map_err(|e| fail(e.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = HttpTls { certificate: dir.path().join("a.pem"), key: dir.path().join("a.key") };
        assert!(try_tls(&files).unwrap_err().to_string().contains("a.pem"));
        std::fs::write(&files.certificate, "").unwrap();
        assert!(try_tls(&files).unwrap_err().to_string().contains("no certificate"));
        // what stands between the lines of PEM is not looked at before a connection
        std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        std::fs::write(&files.key, "no key").unwrap();
        assert!(try_tls(&files).unwrap_err().to_string().contains("a.key"));
    }
}
