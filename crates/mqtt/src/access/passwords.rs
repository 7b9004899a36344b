//! Passwords: kept as Argon2id hashes, verified a few at a time.
//!
//! Rules:
//! - A verification takes tens of milliseconds and megabytes on purpose, so it runs on a thread for blocking work, at
//!   most [`AT_ONCE_MAX`] of them; beyond [`WAITING_MAX`] that wait, a client is told to come again.
//! - A user that is not known costs the same time, so that names cannot be found out by the clock.
//! - A success is remembered for [`REMEMBERED_FOR`], under a hash that a secret of this process goes into, so that
//!   thousands of devices can reconnect. It is forgotten whenever the users are read anew. A failure is not remembered.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{ARGON2ID_IDENT, Argon2, Params};
use protocol::Id;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Verifications that run at once.
const AT_ONCE_MAX: usize = 2;
/// Verifications that may wait for their turn.
const WAITING_MAX: usize = 4096;
/// How long a success is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Successes that are remembered.
const REMEMBERED_MAX: usize = 65_536;
/// Bytes of a hash's salt.
const SALT_BYTES: usize = 16;
/// The most memory a hash may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// The most passes over it.
const PASSES_MAX: u32 = 16;

/// Why a password cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// It is empty or too long.
    #[error("the password has {0} bytes; give it 1 to {PASSWORD_BYTES_MAX}")]
    Length(usize),
    /// The system gives no randomness, or the hash cannot be computed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// The Argon2id hash of a password, in the PHC string format.
///
/// # Errors
/// [`PasswordError`] if the password is empty or too long, or the system gives no randomness.
pub fn hash_password(password: &[u8]) -> Result<String, PasswordError> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::Length(password.len()));
    }
    let mut salt = [0u8; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|e| PasswordError::Hash(e.to_string()))?;
    let failed = |e: argon2::password_hash::Error| PasswordError::Hash(e.to_string());
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    Ok(Argon2::default().hash_password(password, &salt).map_err(failed)?.to_string())
}

/// Whether `hash` is an Argon2id hash that may be verified here.
pub(super) fn check_hash(hash: &str) -> Result<(), String> {
    let parsed = PasswordHash::new(hash).map_err(|e| format!("the password's hash cannot be read: {e}"))?;
    if parsed.algorithm != ARGON2ID_IDENT || parsed.hash.is_none() || parsed.salt.is_none() {
        return Err("the password's hash is not one of Argon2id: make it with `wattle user passwd`".to_string());
    }
    let params = Params::try_from(&parsed).map_err(|e| format!("the password's hash has parameters that cannot be used: {e}"))?;
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
        return Err(format!("the password's hash takes more than {MEMORY_KIB_MAX} KiB or {PASSES_MAX} passes"));
    }
    Ok(())
}

fn verify(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// Too many verifications wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// Verifies passwords.
pub(super) struct Verifier {
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    secret: Zeroizing<[u8; 32]>,
    remembered: Mutex<HashMap<Id, Instant>>,
    /// What an unknown user's password is verified against.
    decoy: String,
}

impl Verifier {
    pub(super) fn new() -> Result<Self, PasswordError> {
        let mut secret = Zeroizing::new([0u8; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(|e| PasswordError::Hash(e.to_string()))?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            secret,
            remembered: Mutex::new(HashMap::new()),
            decoy: hash_password(b"nobody has this user name")?,
        })
    }

    /// Whether `password` is the one of `hash`; without a hash, no, after the same time.
    pub(super) async fn verify(&self, user: &str, hash: Option<&str>, password: &[u8]) -> Result<bool, Busy> {
        if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let key = self.key(user, hash.unwrap_or_default(), password);
        if hash.is_some() && self.remembers(&key) {
            return Ok(true);
        }
        let _waiting = self.waiting.clone().try_acquire_owned().map_err(|_| Busy)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Busy)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        let password = Zeroizing::new(password.to_vec());
        let verifying = tokio::task::spawn_blocking(move || {
            let _permit = permit; // held until the thread is done, even if nobody waits for it any more
            verify(&password, &hash)
        });
        let right = verifying.await.map_err(|_| Busy)? && known;
        if right {
            self.remember(key);
        }
        Ok(right)
    }

    /// Forgets every success.
    pub(super) fn forget(&self) {
        self.remembered().clear();
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<Id, Instant>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, user: &str, hash: &str, password: &[u8]) -> Id {
        let length = |bytes: usize| (bytes as u64).to_be_bytes();
        let (u, h) = (length(user.len()), length(hash.len()));
        Id::hash(&[self.secret.as_slice(), &u, user.as_bytes(), &h, hash.as_bytes(), password])
    }

    fn remembers(&self, key: &Id) -> bool {
        self.remembered().get(key).is_some_and(|at| at.elapsed() < REMEMBERED_FOR)
    }

    fn remember(&self, key: Id) {
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, at| at.elapsed() < REMEMBERED_FOR);
        }
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(key, Instant::now());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_salted() {
        let (one, two) = (hash_password(b"secret").unwrap(), hash_password(b"secret").unwrap());
        assert!(one.starts_with("$argon2id$"), "{one}");
        assert_ne!(one, two);
        assert!(verify(b"secret", &one) && verify(b"secret", &two));
        assert!(!verify(b"Secret", &one) && !verify(b"", &one));
        check_hash(&one).unwrap();
        assert_eq!(hash_password(b""), Err(PasswordError::Length(0)));
        assert!(hash_password(&[b'x'; PASSWORD_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn hashes_of_another_kind_are_refused() {
        let good = hash_password(b"secret").unwrap();
        for bad in [
            String::new(),
            "secret".to_string(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=19456", "m=4194304"),
            good.replace("t=2", "t=4000"),
            good.rsplit_once('$').unwrap().0.to_string(),
        ] {
            assert!(check_hash(&bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_a_success_is_remembered_and_only_until_the_users_change() {
        let verifier = Verifier::new().unwrap();
        let hash = hash_password(b"secret").unwrap();
        assert_eq!(verifier.verify("d1", Some(&hash), b"wrong").await, Ok(false));
        assert!(verifier.remembered().is_empty());
        assert_eq!(verifier.verify("d1", Some(&hash), b"secret").await, Ok(true));
        assert_eq!(verifier.remembered().len(), 1);
        // Neither another password nor another user nor another hash profits.
        assert!(!verifier.remembers(&verifier.key("d1", &hash, b"wrong")));
        assert!(!verifier.remembers(&verifier.key("d2", &hash, b"secret")));
        assert!(!verifier.remembers(&verifier.key("d1", &hash_password(b"secret").unwrap(), b"secret")));
        assert_eq!(verifier.verify("d1", None, b"secret").await, Ok(false), "nobody has that name any more");
        verifier.forget();
        assert!(!verifier.remembers(&verifier.key("d1", &hash, b"secret")));
        assert_eq!(verifier.verify("d1", Some(&hash), &[b'x'; PASSWORD_BYTES_MAX + 1]).await, Ok(false));
    }
}
