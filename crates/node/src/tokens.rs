//! Tokens for the HTTP interface: who may do what, until when.
//!
//! ```text
//! wattle_<number, 8 digits>_<secret, 64 digits>        the digits are lower-case hexadecimal
//!        └─ finds the entry  └─ its hash is compared
//! ```
//! # Rules
//! - The file, `<data_dir>/tokens.json`, holds SHA-256 of each secret, never a secret: a token is shown once, when it is made. A
//!   secret is 256 random bits, so a slow hash would protect nothing.
//! - The file is read anew when it changes, so a token that was made or revoked by `wattle token` counts at once. A file that
//!   cannot be read lets nobody in whom it did not let in before; one that is gone lets nobody in.
//! - Whoever changes it holds `tokens.lock` meanwhile, so that no change undoes another: least of all a revocation.
//! - Comparing takes the same time wherever the difference is.

use crate::hex::hex;
use protocol::Id;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Tokens of one node.
pub(crate) const TOKENS_MAX: usize = 1_000;
/// Bytes of a token's name.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Digits of a token's number,
const NUMBER_DIGITS: usize = 8;
/// and of its secret.
const SECRET_DIGITS: usize = 64;
/// What a token begins with.
const PREFIX: &str = "wattle_";
/// What is hashed before a secret.
const DOMAIN: &[u8] = b"wattle http token v1";

/// What a token allows. Each allows what stands before it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Look at everything but tokens and settings.
    Read,
    /// Hand in what wallets signed, and Thing Descriptions.
    Act,
    /// Make and revoke tokens, see the settings.
    Admin,
}

impl Scope {
    /// Every scope.
    pub(crate) const ALL: [Self; 3] = [Self::Read, Self::Act, Self::Admin];

    /// Its name.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Act => "act",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no scope: read, act or admin"))
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// Its number: 8 lower-case hexadecimal digits. No secret.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) scopes: Vec<Scope>,
    /// When it was made, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// From when on it is worth nothing, in milliseconds since 1970; never if none.
    pub(crate) expires_ms: Option<u64>,
    /// SHA-256 of its secret, 64 lower-case hexadecimal digits.
    hash: String,
}

impl Token {
    /// Whether it allows what needs `scope`.
    #[must_use]
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own >= scope)
    }

    /// Whether it is over at a time in milliseconds since 1970.
    #[must_use]
    pub(crate) fn expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|end| now_ms >= end)
    }
}

/// Why tokens cannot be used or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TokensError {
    /// The file cannot be read or written.
    #[error("cannot {what} {path}: {why}; it must be readable and writable by the account of the node")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It is not what `wattle token` writes.
    #[error("{path} is damaged: {why}; delete it and make new tokens with `wattle token create`")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A name that cannot be.
    #[error("{0:?} cannot be a token's name: 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name(String),
    /// A token that allows nothing.
    #[error("a token needs a scope: read, act or admin")]
    Scopes,
    /// Too many of them.
    #[error("there are {TOKENS_MAX} tokens already: revoke some")]
    Full,
    /// No such token.
    #[error("there is no token {0}: `wattle token list` shows them")]
    Unknown(String),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}; check that getrandom(2) works here")]
    Random(String),
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// It does not look like one.
    Malformed,
    /// No such token, or another secret.
    Unknown,
    /// It is over.
    Expired,
}

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    tokens: Vec<Token>,
}

/// Which state of the file was read: when it was changed, in nanoseconds, which file it is, its bytes.
type Stamp = (i64, i64, u64, u64);

/// What was read last.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    content: Content,
}

/// The tokens of a node.
pub(crate) struct Tokens {
    file: PathBuf,
    seen: Mutex<Seen>,
}

impl Tokens {
    /// Those in a file, which need not be there.
    #[must_use]
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, seen: Mutex::default() }
    }

    /// The token, if it is one and counts at this time in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Invalid`].
    pub(crate) fn check(&self, text: &str, now_ms: u64) -> Result<Token, Invalid> {
        let (number, secret) = parts(text).ok_or(Invalid::Malformed)?;
        let hash = hashed(secret);
        let mut seen = self.lock();
        if let Err(why) = refresh(&self.file, &mut seen) {
            tracing::error!("{why}; the tokens that were known go on to count");
        }
        let found = seen.content.tokens.iter().find(|token| token.id == number);
        let found = found.filter(|token| same(&token.hash, &hash)).ok_or(Invalid::Unknown)?;
        if found.expired(now_ms) { Err(Invalid::Expired) } else { Ok(found.clone()) }
    }

    /// All of them, in the order in which they were made.
    ///
    /// # Errors
    /// [`TokensError`] if the file cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<Token>, TokensError> {
        let mut seen = self.lock();
        refresh(&self.file, &mut seen)?;
        Ok(seen.content.tokens.clone())
    }

    /// Makes a token: the text to show once, and what is kept of it.
    ///
    /// # Errors
    /// [`TokensError`] if it cannot be, or the file cannot be written.
    pub(crate) fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        created_ms: u64,
        expires_ms: Option<u64>,
    ) -> Result<(String, Token), TokensError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(TokensError::Name(name.to_owned()));
        }
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(TokensError::Scopes);
        }
        let mut seen = self.lock();
        let _alone = self.alone()?;
        refresh(&self.file, &mut seen)?;
        if seen.content.tokens.len() >= TOKENS_MAX {
            return Err(TokensError::Full);
        }
        let mut content = seen.content.clone();
        let mut id = random(NUMBER_DIGITS)?;
        while content.tokens.iter().any(|token| token.id == id) {
            id = random(NUMBER_DIGITS)?;
        }
        let secret = random(SECRET_DIGITS)?;
        let token = Token { id, name: name.to_owned(), scopes, created_ms, expires_ms, hash: hashed(&secret) };
        content.tokens.push(token.clone());
        self.write(&mut seen, content)?;
        Ok((format!("{PREFIX}{}_{secret}", token.id), token))
    }

    /// Revokes the token of a number.
    ///
    /// # Errors
    /// [`TokensError`] if there is none, or the file cannot be written.
    pub(crate) fn revoke(&self, id: &str) -> Result<Token, TokensError> {
        let mut seen = self.lock();
        let _alone = self.alone()?;
        refresh(&self.file, &mut seen)?;
        let mut content = seen.content.clone();
        let place = content.tokens.iter().position(|token| token.id == id);
        let token = place.map(|place| content.tokens.remove(place)).ok_or_else(|| TokensError::Unknown(id.to_owned()))?;
        self.write(&mut seen, content)?;
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other process changes the file, and keeps others from it until the answer is dropped.
    fn alone(&self) -> Result<File, TokensError> {
        let path = self.file.with_extension("lock");
        let open = || -> std::io::Result<File> {
            let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|why| TokensError::File { what: "lock", path: path.clone(), why: why.to_string() })
    }

    fn write(&self, seen: &mut Seen, content: Content) -> Result<(), TokensError> {
        let fail = |why: String| TokensError::File { what: "write", path: self.file.clone(), why };
        let text = serde_json::to_string_pretty(&content).map_err(|e| fail(e.to_string()))?;
        let new = self.file.with_extension("new");
        let write = || -> std::io::Result<()> {
            // one that was left behind may be open to others
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &self.file)
        };
        write().map_err(|e| fail(e.to_string()))?;
        *seen = Seen { stamp: stamp(&self.file).unwrap_or_default(), content };
        Ok(())
    }
}

/// Reads the file if it is not the one that was read last.
fn refresh(file: &Path, seen: &mut Seen) -> Result<(), TokensError> {
    let fail = |why: std::io::Error| TokensError::File { what: "read", path: file.into(), why: why.to_string() };
    let now = stamp(file).map_err(fail)?;
    if now.is_none() {
        *seen = Seen::default();
        return Ok(());
    }
    if now == seen.stamp {
        return Ok(());
    }
    let mut text = String::new();
    File::open(file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)).map_err(fail)?;
    let content = serde_json::from_str(&text).map_err(|e| TokensError::Content { path: file.into(), why: e.to_string() })?;
    *seen = Seen { stamp: now, content };
    Ok(())
}

/// Which state the file is in; `None` if there is none.
fn stamp(file: &Path) -> std::io::Result<Option<Stamp>> {
    match std::fs::metadata(file) {
        Ok(data) => Ok(Some((data.mtime(), data.mtime_nsec(), data.ino(), data.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Number and secret.
fn parts(text: &str) -> Option<(&str, &str)> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (number, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    (digits(number, NUMBER_DIGITS) && digits(secret, SECRET_DIGITS)).then_some((number, secret))
}

fn hashed(secret: &str) -> String {
    Id::hash(&[DOMAIN, secret.as_bytes()]).to_string()
}

/// Whether two texts are the same, in a time that depends on their lengths only.
fn same(a: &str, b: &str) -> bool {
    let difference = a.bytes().zip(b.bytes()).fold(0u8, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0 && a.len() == b.len()
}

/// So many random hexadecimal digits.
fn random(digits: usize) -> Result<String, TokensError> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut bytes).map_err(|e| TokensError::Random(e.to_string()))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tokens() -> (tempfile::TempDir, Tokens) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(dir.path().join("tokens.json"));
        (dir, tokens)
    }

    #[test]
    fn a_token_counts_until_it_expires_or_is_revoked() {
        let (dir, tokens) = tokens();
        let (text, made) = tokens.create("grafana", &[Scope::Read], 10, Some(100)).unwrap();
        assert_eq!(tokens.check(&text, 99).unwrap(), made);
        assert_eq!(tokens.check(&text, 100), Err(Invalid::Expired));
        // what is on the disk does not let anybody in
        let file = std::fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        let secret = text.rsplit_once('_').unwrap().1;
        assert!(!file.contains(secret) && file.contains("grafana"), "{file}");
        let mode = std::fs::metadata(dir.path().join("tokens.json")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        // another program revokes it
        let other = Tokens::new(dir.path().join("tokens.json"));
        assert_eq!(other.revoke(&made.id).unwrap(), made);
        assert_eq!(tokens.check(&text, 20), Err(Invalid::Unknown));
        assert_eq!(other.revoke(&made.id), Err(TokensError::Unknown(made.id)));
    }

    #[test]
    fn no_change_undoes_another() {
        let (dir, tokens) = tokens();
        let (text, made) = tokens.create("old", &[Scope::Admin], 0, None).unwrap();
        // left behind by a process that was killed, and open to everybody
        std::fs::write(dir.path().join("tokens.new"), "{").unwrap();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let other = Tokens::new(dir.path().join("tokens.json"));
                scope.spawn(move || (0..10).for_each(|m| drop(other.create(&format!("{n}.{m}"), &[Scope::Read], 0, None).unwrap())));
            }
            let other = Tokens::new(dir.path().join("tokens.json"));
            scope.spawn(move || other.revoke(&made.id).unwrap());
        });
        assert_eq!(tokens.list().unwrap().len(), 40);
        assert_eq!(tokens.check(&text, 0), Err(Invalid::Unknown));
        let mode = std::fs::metadata(dir.path().join("tokens.json")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let (_dir, tokens) = tokens();
        let (text, _) = tokens.create("a", &[Scope::Act], 0, None).unwrap();
        let last = text.chars().last().unwrap();
        let forged = format!("{}{}", &text[..text.len() - 1], if last == '0' { '1' } else { '0' });
        assert_eq!(tokens.check(&forged, 0), Err(Invalid::Unknown));
        let longer = format!("{text}0");
        for bad in ["", "wattle_", "wattle__", &text[1..], &longer, &text.to_uppercase(), "wattle_00000000_\u{e9}"] {
            assert_eq!(tokens.check(bad, 0), Err(Invalid::Malformed), "{bad}");
        }
        assert!(matches!(tokens.create("", &[Scope::Read], 0, None), Err(TokensError::Name(_))));
        assert!(matches!(tokens.create("a\nb", &[Scope::Read], 0, None), Err(TokensError::Name(_))));
        assert_eq!(tokens.create("a", &[], 0, None), Err(TokensError::Scopes));
    }

    #[test]
    fn a_scope_allows_what_stands_before_it() {
        let (_dir, tokens) = tokens();
        let (_, token) = tokens.create("a", &[Scope::Act, Scope::Act], 0, None).unwrap();
        assert_eq!(token.scopes, [Scope::Act]);
        assert!(token.allows(Scope::Read) && token.allows(Scope::Act) && !token.allows(Scope::Admin));
        assert!("write".parse::<Scope>().unwrap_err().contains("admin"));
        assert_eq!("admin".parse::<Scope>().unwrap(), Scope::Admin);
    }

    #[test]
    fn a_damaged_file_lets_nobody_new_in_and_is_not_overwritten() {
        let (dir, tokens) = tokens();
        let (text, _) = tokens.create("a", &[Scope::Read], 0, None).unwrap();
        std::fs::write(dir.path().join("tokens.json"), "{").unwrap();
        assert!(tokens.check(&text, 0).is_ok());
        assert!(Tokens::new(dir.path().join("tokens.json")).check(&text, 0).is_err());
        assert!(matches!(tokens.create("b", &[Scope::Read], 0, None), Err(TokensError::Content { .. })));
        std::fs::remove_file(dir.path().join("tokens.json")).unwrap();
        assert_eq!(tokens.check(&text, 0), Err(Invalid::Unknown));
    }
}
