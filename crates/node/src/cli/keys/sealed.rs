//! An encrypted key file.
//!
//! ```text
//! passphrase ─Argon2id(salt, cost)─▶ 32 bytes ─XChaCha20-Poly1305(nonce)─▶ ciphertext of the seed
//!                                               associated data: format ‖ 0 ‖ public key
//! ```
//! # Rules
//! - JSON with exactly these fields; binary ones are lower-case hexadecimal. Whose key it is can be read without the passphrase.
//! - Nothing can be changed unnoticed: the public key is authenticated and compared, and any other cost, salt or nonce gives
//!   another key or keystream.
//! - The cost that a file may ask for is bounded, so that a file from somewhere else cannot take the machine.

use crate::hex;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use protocol::{DecodeError, PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// The `format` field.
const FORMAT: &str = "wattle-key-v1";
const KDF: &str = "argon2id";
const CIPHER: &str = "xchacha20-poly1305";
/// Bytes of the salt.
pub(super) const SALT_BYTES: usize = 16;
/// Bytes of the nonce.
pub(super) const NONCE_BYTES: usize = 24;
/// Bytes of a seed, and of the key that encrypts it.
const SEED_BYTES: usize = 32;
/// Bytes that authenticate the ciphertext.
const TAG_BYTES: usize = 16;
/// The greatest memory that a file may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 1 << 20;
/// The most passes that a file may ask for.
const PASSES_MAX: u32 = 64;
/// The most lanes that a file may ask for.
const LANES_MAX: u32 = 16;

/// What guessing a passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Memory, in KiB.
    pub(super) memory_kib: u32,
    /// Passes over it.
    pub(super) passes: u32,
    /// Lanes.
    pub(super) lanes: u32,
}

/// That of new files: the second recommendation of RFC 9106, with one lane.
pub(super) const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

/// Why a file gives no key. No message holds a secret.
#[derive(Debug, Error)]
pub(super) enum SealError {
    /// Not the fields of the format.
    #[error("it is not an encrypted key: {0}")]
    Format(String),
    /// A field that cannot be read.
    #[error("its {field} cannot be read: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: DecodeError,
    },
    /// A cost out of bounds.
    #[error("it asks for {0:?}; at most {MEMORY_KIB_MAX} KiB, {PASSES_MAX} passes and {LANES_MAX} lanes are allowed")]
    Cost(Cost),
    /// The hash refuses.
    #[error("the passphrase cannot be hashed: {0}")]
    Hash(String),
    /// The ciphertext is not of this passphrase.
    #[error("the passphrase is wrong, or the file was changed")]
    Passphrase,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedJson {
    format: String,
    public_key: String,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    ciphertext: String,
}

/// An encrypted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    public_key: PublicKey,
    cost: Cost,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    ciphertext: [u8; SEED_BYTES + TAG_BYTES],
}

impl Sealed {
    /// Encrypts a key. Salt and nonce must be drawn anew for every file.
    ///
    /// # Errors
    /// [`SealError`] if the cost is out of bounds.
    pub(super) fn seal(
        key: &SecretKey,
        passphrase: &str,
        cost: Cost,
        salt: &[u8; SALT_BYTES],
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Self, SealError> {
        let (public_key, cipher) = (key.public_key(), cipher(passphrase, cost, salt)?);
        // room for the tag: the seed is not copied elsewhere
        let mut buffer = Zeroizing::new(Vec::<u8>::with_capacity(SEED_BYTES + TAG_BYTES));
        buffer.extend_from_slice(Zeroizing::new(key.to_seed()).as_slice());
        let sealed = cipher.encrypt_in_place(&XNonce::from(*nonce), &associated(&public_key), &mut *buffer);
        sealed.map_err(|_| SealError::Passphrase)?;
        let ciphertext: [u8; SEED_BYTES + TAG_BYTES] = buffer.as_slice().try_into().map_err(|_| SealError::Passphrase)?;
        Ok(Self { public_key, cost, salt: *salt, nonce: *nonce, ciphertext })
    }

    /// Decrypts the key.
    ///
    /// # Errors
    /// [`SealError::Passphrase`] if the passphrase is another, or the file was changed.
    pub(super) fn open(&self, passphrase: &str) -> Result<SecretKey, SealError> {
        let cipher = cipher(passphrase, self.cost, &self.salt)?;
        let mut buffer = Zeroizing::new(self.ciphertext.to_vec());
        let opened = cipher.decrypt_in_place(&XNonce::from(self.nonce), &associated(&self.public_key), &mut *buffer);
        opened.map_err(|_| SealError::Passphrase)?;
        let seed: &[u8; SEED_BYTES] = buffer.as_slice().try_into().map_err(|_| SealError::Passphrase)?;
        let key = SecretKey::from_seed(seed);
        match key.public_key() == self.public_key {
            true => Ok(key),
            false => Err(SealError::Passphrase),
        }
    }

    /// Whose key it says it is; [`Sealed::open`] finds out.
    pub(super) const fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// The file.
    pub(super) fn to_json(&self) -> String {
        let json = SealedJson {
            format: FORMAT.to_owned(),
            public_key: self.public_key.to_string(),
            kdf: KDF.to_owned(),
            memory_kib: self.cost.memory_kib,
            passes: self.cost.passes,
            lanes: self.cost.lanes,
            salt: hex::hex(&self.salt),
            cipher: CIPHER.to_owned(),
            nonce: hex::hex(&self.nonce),
            ciphertext: hex::hex(&self.ciphertext),
        };
        // a struct of strings and numbers always serialises
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`SealError`] if it is not of the format, or its cost out of bounds.
    pub(super) fn from_json(text: &str) -> Result<Self, SealError> {
        let json: SealedJson = serde_json::from_str(text).map_err(|e| SealError::Format(e.to_string()))?;
        for (field, found, known) in [("format", &json.format, FORMAT), ("kdf", &json.kdf, KDF), ("cipher", &json.cipher, CIPHER)] {
            if found != known {
                return Err(SealError::Format(format!("its {field} is {found:?}, known is {known:?}")));
            }
        }
        let cost = Cost { memory_kib: json.memory_kib, passes: json.passes, lanes: json.lanes };
        bounded(cost)?;
        Ok(Self {
            public_key: json.public_key.parse::<PublicKey>().map_err(|why| SealError::Field { field: "public_key", why })?,
            cost,
            salt: unhex("salt", &json.salt)?,
            nonce: unhex("nonce", &json.nonce)?,
            ciphertext: unhex("ciphertext", &json.ciphertext)?,
        })
    }
}

fn bounded(cost: Cost) -> Result<(), SealError> {
    let Cost { memory_kib, passes, lanes } = cost;
    match memory_kib <= MEMORY_KIB_MAX && (1..=PASSES_MAX).contains(&passes) && (1..=LANES_MAX).contains(&lanes) {
        true => Ok(()),
        false => Err(SealError::Cost(cost)),
    }
}

/// The cipher whose key the passphrase gives.
fn cipher(passphrase: &str, cost: Cost, salt: &[u8; SALT_BYTES]) -> Result<XChaCha20Poly1305, SealError> {
    bounded(cost)?;
    let refused = |e: argon2::Error| SealError::Hash(e.to_string());
    let parameters = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(SEED_BYTES)).map_err(refused)?;
    let mut key = Zeroizing::new([0u8; SEED_BYTES]);
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    hash.hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice()).map_err(refused)?;
    XChaCha20Poly1305::new_from_slice(key.as_slice()).map_err(|e| SealError::Hash(e.to_string()))
}

fn associated(public_key: &PublicKey) -> Vec<u8> {
    [FORMAT.as_bytes(), &[0], public_key.as_bytes()].concat()
}

fn unhex<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], SealError> {
    let wrong = || SealError::Field { field, why: DecodeError::Invalid("lower-case hexadecimal of the right length") };
    hex::unhex(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn sealed() -> Sealed {
        Sealed::seal(&SecretKey::from_seed(&[3; 32]), "correct horse", CHEAP, &[1; SALT_BYTES], &[2; NONCE_BYTES]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_and_no_other() {
        let sealed = sealed();
        let read = Sealed::from_json(&sealed.to_json()).unwrap();
        assert_eq!(read, sealed);
        assert_eq!(read.open("correct horse").unwrap().to_seed(), [3; 32]);
        for wrong in ["", "correct horse ", "Correct horse"] {
            assert!(matches!(read.open(wrong), Err(SealError::Passphrase)), "{wrong:?}");
        }
        let other = Sealed::seal(&SecretKey::from_seed(&[3; 32]), "correct horse", CHEAP, &[4; SALT_BYTES], &[2; NONCE_BYTES]).unwrap();
        assert_ne!(other.ciphertext, sealed.ciphertext, "another salt gives another key");
    }

    #[test]
    fn no_part_can_be_changed_unnoticed() {
        let whole = sealed();
        let with = |change: fn(&mut Sealed)| {
            let mut sealed = whole.clone();
            change(&mut sealed);
            assert_ne!(sealed.to_json(), whole.to_json());
            sealed.open("correct horse").is_err()
        };
        assert!(with(|s| s.public_key = SecretKey::from_seed(&[4; 32]).public_key()));
        assert!(with(|s| s.cost.memory_kib += 8) && with(|s| s.cost.passes += 1));
        assert!(with(|s| s.salt[0] ^= 1) && with(|s| s.nonce[23] ^= 1));
        assert!(with(|s| s.ciphertext[0] ^= 1) && with(|s| s.ciphertext[47] ^= 1));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let text = sealed().to_json();
        let changes = [
            ("wattle-key-v1", "wattle-key-v2"),
            ("argon2id", "argon2i"),
            ("xchacha20", "aes"),
            ("\"passes\": 1", "\"passes\": 65"),
            ("\"passes\": 1", "\"passes\": 0"),
            ("\"memory_kib\": 64", "\"memory_kib\": 4294967295"),
            ("\"lanes\": 1", "\"lanes\": 17"),
            ("\"salt\": \"01", "\"salt\": \""),
            ("\"salt\": \"01", "\"salt\": \"0G"),
            ("\"nonce\": \"02", "\"nonce\": \"0202"),
            ("\"lanes\": 1,", ""),
            ("\"lanes\": 1,", "\"lanes\": 1, \"more\": 1,"),
        ];
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in {text}");
            assert!(Sealed::from_json(&text.replace(from, to)).is_err(), "{to} was accepted");
        }
        assert!(Sealed::from_json("{").is_err());
    }
}
