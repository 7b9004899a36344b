//! JSON web tokens (RFC 7519) in place of a password.
//!
//! The algorithm is fixed by the configuration, never taken from the token. `exp`, `aud` and `sub` must be there; `sub` is
//! `site/device`, `device`, or the name of a user.

use super::error::{AccessError, read};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a key file.
const KEY_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a shared secret at least: those of the hash (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// How far the clocks of issuer and broker may be apart, in seconds.
const LEEWAY_S: u64 = 5;
/// Parts of a token in the compact form.
const PARTS: usize = 3;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256: the key file is the secret.
    #[serde(rename = "HS256")]
    Hs256,
    /// ECDSA with P-256: the key file is a public key in PEM.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519: the key file is a public key in PEM.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// How they are signed.
    pub algorithm: TokenAlgorithm,
    /// The file of the key.
    pub key: PathBuf,
    /// What their `aud` must name.
    pub audience: String,
    /// What their `iss` must be, if it matters.
    pub issuer: Option<String>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// Its time is over.
    Expired,
    /// Anything else: what exactly is nobody's business.
    Bad,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    /// Seconds since 1970.
    pub(super) exp: u64,
}

/// Verifies tokens.
pub(super) struct Tokens {
    key: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(super) fn load(config: &TokenConfig) -> Result<Self, AccessError> {
        let bytes = zeroize::Zeroizing::new(read(&config.key, KEY_BYTES_MAX)?);
        let not_a_key = |_| AccessError::content(&config.key, "it is not a public key in PEM for the algorithm of the tokens");
        let (algorithm, key) = match config.algorithm {
            TokenAlgorithm::Hs256 => {
                let secret = bytes.trim_ascii();
                if secret.len() < SECRET_BYTES_MIN {
                    let why = format!("the secret has {} bytes, HS256 needs {SECRET_BYTES_MIN} or more", secret.len());
                    return Err(AccessError::content(&config.key, why));
                }
                (Algorithm::HS256, DecodingKey::from_secret(secret))
            }
            TokenAlgorithm::Es256 => (Algorithm::ES256, DecodingKey::from_ec_pem(&bytes).map_err(not_a_key)?),
            TokenAlgorithm::EdDsa => (Algorithm::EdDSA, DecodingKey::from_ed_pem(&bytes).map_err(not_a_key)?),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_audience(&[&config.audience]);
        let mut required = vec!["exp", "aud", "sub"];
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { key, validation })
    }

    /// What a genuine and timely token says. It ends [`LEEWAY_S`] after its `exp`, which `exp` here includes.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Bad);
        }
        match decode::<Claims>(token, &self.key, &self.validation) {
            Ok(data) => Ok(Claims { exp: data.claims.exp.saturating_add(LEEWAY_S), ..data.claims }),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => Err(TokenError::Expired),
            Err(_) => Err(TokenError::Bad),
        }
    }
}

/// Whether `text` has the shape of a token: three parts, the first a JSON object in base64url.
pub(super) fn looks_like(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == PARTS
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens(algorithm: TokenAlgorithm, key: &str, issuer: Option<&str>) -> Result<Tokens, AccessError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.key");
        std::fs::write(&path, format!("{key}\n")).unwrap();
        Tokens::load(&TokenConfig { algorithm, key: path, audience: "wattle".into(), issuer: issuer.map(str::to_owned) })
    }

    fn signed(claims: &Value) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_must_be_genuine_timely_and_for_us() {
        let tokens = tokens(TokenAlgorithm::Hs256, SECRET, None).unwrap();
        let now = get_current_timestamp();
        let good = json!({"sub": "z1/m1", "aud": "wattle", "exp": now + 60});
        let claims = tokens.verify(&signed(&good)).unwrap();
        assert_eq!((claims.sub.as_str(), claims.exp), ("z1/m1", now + 60 + LEEWAY_S));
        let with = |key: &str, value: Value| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().insert(key.into(), value);
            signed(&claims)
        };
        let without = |key: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(key);
            signed(&claims)
        };
        assert_eq!(tokens.verify(&with("exp", json!(now - 60))), Err(TokenError::Expired));
        for bad in [
            with("aud", json!("another")),
            with("nbf", json!(now + 600)),
            with("exp", json!("never")),
            without("exp"),
            without("aud"),
            without("sub"),
            String::new(),
            "a.b.c".into(),
            "eyJ".repeat(TOKEN_BYTES_MAX),
        ] {
            assert_eq!(tokens.verify(&bad), Err(TokenError::Bad), "{bad:.60}");
        }
        let mut forged = signed(&good);
        forged.pop();
        assert_eq!(tokens.verify(&forged), Err(TokenError::Bad));
    }

    #[test]
    fn the_algorithm_is_ours_to_choose() {
        let pair = rcgen::KeyPair::generate().unwrap(); // P-256
        let tokens = tokens(TokenAlgorithm::Es256, &pair.public_key_pem(), None).unwrap();
        let claims = json!({"sub": "m1", "aud": "wattle", "exp": get_current_timestamp() + 60});
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let good = encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap();
        assert_eq!(tokens.verify(&good).unwrap().sub, "m1");
        // The public key used as a shared secret, the classical confusion.
        let key = EncodingKey::from_secret(pair.public_key_pem().as_bytes());
        let confused = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        assert_eq!(tokens.verify(&confused), Err(TokenError::Bad));
        assert_eq!(tokens.verify(&signed(&claims)), Err(TokenError::Bad));
    }

    #[test]
    fn the_issuer_counts_if_it_is_named() {
        let tokens = tokens(TokenAlgorithm::Hs256, SECRET, Some("us")).unwrap();
        let claims = |iss: Option<&str>| json!({"sub": "m1", "aud": "wattle", "exp": get_current_timestamp() + 60, "iss": iss});
        assert!(tokens.verify(&signed(&claims(Some("us")))).is_ok());
        assert_eq!(tokens.verify(&signed(&claims(Some("them")))), Err(TokenError::Bad));
    }

    #[test]
    fn a_bad_key_is_named() {
        for (algorithm, key, why) in
            [(TokenAlgorithm::Hs256, "short", "32"), (TokenAlgorithm::Es256, SECRET, "PEM"), (TokenAlgorithm::EdDsa, SECRET, "PEM")]
        {
            let error = tokens(algorithm, key, None).unwrap_err().to_string();
            assert!(error.contains("token.key") && error.contains(why), "{error}");
            assert!(!error.contains(key), "{error}");
        }
    }

    #[test]
    fn passwords_are_told_from_tokens() {
        assert!(looks_like("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"));
        for text in ["", "secret", "eyJx", "a.b.c", "eyJ.b.c.d"] {
            assert!(!looks_like(text), "{text}");
        }
    }
}
