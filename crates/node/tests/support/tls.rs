//! Nodes that serve HTTPS: authorities and certificates by `openssl`, in a node's directory.
#![allow(dead_code)] // every test file uses another part of this one

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// What a configuration says to serve HTTPS with the files that are made here.
pub const TABLE: &str = "\n[http.tls]\ncertificate = \"http.pem\"\nkey = \"http.key\"\n";
/// Arguments for a new key.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn openssl(dir: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(dir).stdin(Stdio::null()).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority: NAME.pem and NAME.key.
pub fn authority(dir: &Path, name: &str) {
    let (subject, key, file) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.pem"));
    let named = ["-days", "30", "-subj", &subject, "-keyout", &key, "-out", &file];
    openssl(dir, &[["req", "-x509"].as_slice(), KEY.as_slice(), named.as_slice()].concat());
}

/// A key for a node, http.key, and what an authority needs to vouch for it.
pub fn key(dir: &Path) {
    let named = ["-subj", "/CN=node", "-keyout", "http.key", "-out", "http.csr"];
    openssl(dir, &[["req"].as_slice(), KEY.as_slice(), named.as_slice()].concat());
    std::fs::set_permissions(dir.join("http.key"), Permissions::from_mode(0o600)).expect("a key");
}

/// http.pem for that key, all at once: with these extensions, valid for so many days, vouched for by an authority or, without
/// one, by itself.
pub fn certificate(dir: &Path, authority: Option<&str>, extensions: &str, days: i32) {
    std::fs::write(dir.join("http.ext"), extensions).expect("a file");
    let (file, key) = (authority.map(|name| format!("{name}.pem")), authority.map(|name| format!("{name}.key")));
    let by = match (&file, &key) {
        (Some(file), Some(key)) => vec!["-CA", file, "-CAkey", key, "-CAcreateserial"],
        _ => vec!["-signkey", "http.key"],
    };
    let days = days.to_string();
    let rest = ["-days", &days, "-extfile", "http.ext", "-out", "http.new"];
    openssl(dir, &[["x509", "-req", "-in", "http.csr"].as_slice(), by.as_slice(), rest.as_slice()].concat());
    std::fs::rename(dir.join("http.new"), dir.join("http.pem")).expect("a file");
}

/// An HTTP client of a test's own that believes the authority in this file.
pub fn agent(authority: &Path) -> ureq::Agent {
    let pem = std::fs::read(authority).expect("a certificate");
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[Certificate::from_pem(&pem).expect("a certificate")]))
        .unversioned_rustls_crypto_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .build();
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10)));
    config.tls_config(tls).build().into()
}
