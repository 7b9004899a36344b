//! Certificates as JSON. The certificate is lower-case hexadecimal, as the HTTP API has it; handovers are as in receipts.

use super::{HandoverJson, strict, to_handover_json, unhandover};
use crate::certificate::Certificate;
use crate::certificate_proof::{CertificateProof, CertificateProofError};
use crate::codec::{Decode, DecodeError, Encode};
use crate::limits::HANDOVERS_MAX;
use crate::receipt::ReceiptError;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The `format` field of a certificate.
pub const CERTIFICATE_FORMAT: &str = "wattle-certificate-v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateJson {
    format: String,
    certificate: String,
    handovers: Vec<HandoverJson>,
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |c: &u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    match rest.is_empty() {
        true => pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect(),
        false => None,
    }
}

impl Certificate {
    /// The certificate as lower-case hexadecimal.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.encode().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads a certificate from lower-case hexadecimal.
    ///
    /// # Errors
    /// [`DecodeError`] if the text is not hexadecimal, or the bytes are not a certificate.
    pub fn from_hex(text: &str) -> Result<Self, DecodeError> {
        Self::decode(&unhex(text).ok_or(DecodeError::Invalid("lower-case hexadecimal"))?)
    }
}

impl CertificateProof {
    /// The certificate as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = CertificateJson {
            format: CERTIFICATE_FORMAT.to_string(),
            certificate: self.certificate.to_hex(),
            handovers: self.handovers.iter().map(to_handover_json).collect(),
        };
        // a struct of strings always serialises
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads a certificate from JSON.
    ///
    /// # Errors
    /// [`CertificateProofError::Json`] if the text is not an object with exactly these fields,
    /// [`CertificateProofError::Decode`] if one is not in canonical form.
    pub fn from_json(text: &str) -> Result<Self, CertificateProofError> {
        let json: CertificateJson = strict(text).map_err(CertificateProofError::Json)?;
        if json.format != CERTIFICATE_FORMAT {
            return Err(CertificateProofError::Json(format!("its format is {:?}, known is {CERTIFICATE_FORMAT:?}", json.format)));
        }
        if json.handovers.len() > HANDOVERS_MAX {
            let why = DecodeError::OverLimit { what: "the handovers", limit: HANDOVERS_MAX, found: json.handovers.len() as u64 };
            return Err(CertificateProofError::Decode { part: "the handovers", why });
        }
        let part = "the certificate";
        let certificate = Certificate::from_hex(&json.certificate).map_err(|why| CertificateProofError::Decode { part, why })?;
        let handovers = json.handovers.iter().map(unhandover).collect::<Result<Vec<_>, ReceiptError>>().map_err(|error| match error {
            ReceiptError::Decode { part, why } => CertificateProofError::Decode { part, why },
            other => CertificateProofError::Json(other.to_string()),
        })?;
        Ok(Self { certificate, handovers })
    }
}
