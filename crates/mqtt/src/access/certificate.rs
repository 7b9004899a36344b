//! Certificates of clients, as far as we look into them, and the list of those that are revoked.
//!
//! That a certificate is genuine is decided before, when the connection is made; here it is asked whose it is.

use super::error::{AccessError, read, read_text};
use protocol::Id;
use std::collections::HashSet;
use std::path::Path;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

/// Bytes of a file of certificates.
const CERTIFICATES_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a list of revoked certificates.
const LIST_BYTES_MAX: u64 = 16 << 20;
/// Hexadecimal digits of a SHA-256 fingerprint.
const FINGERPRINT_DIGITS: usize = 64;
/// Hexadecimal digits of a serial number: 20 octets (RFC 5280, 4.1.2.2), and a little tolerance.
const SERIAL_DIGITS_MAX: usize = 64;

/// The certificate of a client whose connection was made with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The common name of its subject.
    pub common_name: String,
    /// Its serial number: hexadecimal digits in lower case without leading zeros.
    pub serial: String,
    /// SHA-256 of its DER encoding.
    pub fingerprint: Id,
    /// When it ends, in seconds since 1970.
    pub not_after_s: u64,
    /// It and what it came with, in DER.
    pub chain: Vec<Vec<u8>>,
}

impl Certificate {
    /// Looks into the first certificate of `chain`, the client's own.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(chain: Vec<Vec<u8>>) -> Result<Self, &'static str> {
        let own = chain.first().ok_or("there is no certificate")?;
        let (common_name, serial, not_after_s) = look_into(own)?;
        let fingerprint = Id::hash(&[own.as_slice()]);
        Ok(Self { common_name, serial, fingerprint, not_after_s, chain })
    }
}

/// When the first of the certificates in a file (PEM) ends, in seconds since 1970. Blocks on the file.
///
/// # Errors
/// [`AccessError`] if the file cannot be read, or holds something else.
pub fn certificates_end_s(path: &Path) -> Result<u64, AccessError> {
    let bytes = read(path, CERTIFICATES_BYTES_MAX)?;
    let mut end_s: Option<u64> = None;
    for block in Pem::iter_from_buffer(&bytes) {
        let block = block.map_err(|why| AccessError::content(path, format!("it is not PEM: {why}")))?;
        if block.label != "CERTIFICATE" {
            continue;
        }
        let parsed = block.parse_x509().map_err(|why| AccessError::content(path, format!("a certificate is not X.509: {why}")))?;
        let not_after_s = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        end_s = Some(end_s.map_or(not_after_s, |end_s| end_s.min(not_after_s)));
    }
    end_s.ok_or_else(|| AccessError::content(path, "it holds no certificate in PEM"))
}

/// Common name, serial number and end.
fn look_into(der: &[u8]) -> Result<(String, String, u64), &'static str> {
    let (_, parsed) = parse_x509_certificate(der).map_err(|_| "the certificate is not X.509")?;
    let names: Vec<Option<String>> = parsed.subject().iter_common_name().map(|name| name.as_str().ok().map(str::to_owned)).collect();
    let [Some(common_name)] = names.as_slice() else {
        return Err("the certificate's subject has not exactly one common name");
    };
    let digits: String = parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    let not_after_s = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Ok((common_name.clone(), serial(&digits), not_after_s))
}

fn serial(digits: &str) -> String {
    digits.trim_start_matches('0').to_ascii_lowercase()
}

/// Certificates that are not valid any more, whatever their authority says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    fingerprints: HashSet<String>,
    serials: HashSet<String>,
}

impl Revoked {
    /// Reads a list: a line is `sha256:<fingerprint>`, `serial:<number>`, empty, or begins with `#`. Digits are
    /// hexadecimal; colons between them, as openssl prints them, do not matter.
    ///
    /// # Errors
    /// [`AccessError`] if the file cannot be read or a line is none of these.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let mut revoked = Self::default();
        for (number, line) in read_text(path, LIST_BYTES_MAX)?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || {
                let why = "is neither sha256:<64 hexadecimal digits> nor serial:<hexadecimal digits>";
                AccessError::content(path, format!("line {} {why}", number + 1))
            };
            let (kind, digits) = line.split_once(':').ok_or_else(bad)?;
            let digits: String = digits.chars().filter(|c| *c != ':' && !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
            if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(bad());
            }
            match kind.trim() {
                "sha256" if digits.len() == FINGERPRINT_DIGITS => revoked.fingerprints.insert(digits),
                "serial" if digits.len() <= SERIAL_DIGITS_MAX => revoked.serials.insert(serial(&digits)),
                _ => return Err(bad()),
            };
        }
        Ok(revoked)
    }

    /// Whether the list has this certificate.
    #[must_use]
    pub fn has(&self, certificate: &Certificate) -> bool {
        self.serials.contains(&certificate.serial) || self.fingerprints.contains(&certificate.fingerprint.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Revoked, AccessError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revoked.txt");
        std::fs::write(&path, text).unwrap();
        Revoked::load(&path)
    }

    fn certificate(name: &str) -> Certificate {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x0a, 0xbc]));
        let key = rcgen::KeyPair::generate().unwrap();
        Certificate::new(vec![params.self_signed(&key).unwrap().der().to_vec()]).unwrap()
    }

    #[test]
    fn a_certificate_tells_its_name_serial_and_end() {
        let certificate = certificate("z1/m1");
        assert_eq!((certificate.common_name.as_str(), certificate.serial.as_str()), ("z1/m1", "abc"));
        assert!(certificate.not_after_s > 1_700_000_000);
        assert!(Certificate::new(vec![]).is_err());
        assert!(Certificate::new(vec![vec![0x30, 0x03, 1, 1, 1]]).is_err());
    }

    #[test]
    fn of_several_certificates_the_first_to_end_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certificates.pem");
        let made = |year: i32| {
            let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        std::fs::write(&path, format!("{}{}", made(2033), made(2031))).unwrap();
        assert_eq!(certificates_end_s(&path), Ok(1_924_992_000), "the first day of 2031");
        std::fs::write(&path, "no PEM").unwrap();
        assert!(certificates_end_s(&path).unwrap_err().to_string().contains("no certificate"));
        assert!(certificates_end_s(&dir.path().join("none")).is_err());
    }

    #[test]
    fn the_list_has_what_it_names() {
        let certificate = certificate("m1");
        let fingerprint = certificate.fingerprint.to_string();
        let colons = fingerprint.to_uppercase().as_bytes().chunks(2).map(|c| str::from_utf8(c).unwrap()).collect::<Vec<_>>().join(":");
        for text in [format!("sha256:{fingerprint}"), format!("# lost in May\n\n  sha256:{colons}\n"), "serial:0ABC".into()] {
            assert!(list(&text).unwrap().has(&certificate), "{text}");
        }
        assert!(!list("serial:abd\n").unwrap().has(&certificate));
        assert!(!list("").unwrap().has(&certificate));
        for bad in ["abc", "sha256:ab", "serial:", "serial:xyz", "md5:00"] {
            let error = list(&format!("# a\n{bad}\n")).unwrap_err().to_string();
            assert!(error.contains("revoked.txt") && error.contains("line 2"), "{error}");
        }
    }
}
