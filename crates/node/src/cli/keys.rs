//! Key files: the seed of an Ed25519 key, plain or encrypted.
//!
//! ```text
//! plain      64 hexadecimal digits, as `wattle init` writes them
//! encrypted  JSON, format wattle-key-v1 (sealed.rs), as `wattle wallet create` writes it
//! ```
//! # Rules
//! - A passphrase comes from a file, the environment variable [`PASSPHRASE_VARIABLE`] or the terminal, in this order; never from
//!   a command line. It is asked for only if the file is encrypted.
//! - A key file is written with mode 0600, whole or not at all, and never over another. A node that starts asks nobody: it takes
//!   an encrypted one only if the environment has the passphrase.
//! - No secret is in an error, in a log or on stdout.

mod sealed;

use super::{Exit, Failure, terminal};
use protocol::{Id, PublicKey, SecretKey};
use sealed::{COST, Sealed};
use std::io::{BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// The environment variable that may hold the passphrase when no file does.
pub(crate) const PASSPHRASE_VARIABLE: &str = "WATTLE_PASSPHRASE";
/// Characters that a new passphrase has at least.
const PASSPHRASE_CHARS_MIN: usize = 8;
/// Bytes of a passphrase.
const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Bytes of a key file.
const FILE_BYTES_MAX: u64 = 16 * 1024;
const NAME_THE_FILE: &str = "name the key file of the wallet with --key, or the wallet with --wallet";

/// What a file holds.
enum Content {
    Plain(Box<SecretKey>),
    Sealed(Box<Sealed>),
}

/// Reads a key file. The passphrase of an encrypted one is that of the environment, or asked for.
///
/// # Errors
/// [`Failure`]: usage (2) if the file cannot be read or holds no key, or the passphrase is wrong or nowhere to be had.
pub(crate) fn read(path: &Path) -> Result<SecretKey, Failure> {
    read_with(path, None)
}

/// The same with a file that holds the passphrase.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_with(path: &Path, passphrase_file: Option<&Path>) -> Result<SecretKey, Failure> {
    match load(path)? {
        Content::Plain(key) => Ok(*key),
        Content::Sealed(sealed) => {
            let passphrase = passphrase(passphrase_file, &format!("Passphrase of {}", path.display()), false)?;
            open(&sealed, &passphrase, path)
        }
    }
}

/// The same without asking anybody: the passphrase of an encrypted file must be in the environment.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_unasked(path: &Path) -> Result<SecretKey, Failure> {
    unasked(path, std::env::var(PASSPHRASE_VARIABLE).ok().map(Zeroizing::new))
}

fn unasked(path: &Path, passphrase: Option<Zeroizing<String>>) -> Result<SecretKey, Failure> {
    match (load(path)?, passphrase.filter(|text| !text.is_empty())) {
        (Content::Plain(key), _) => Ok(*key),
        (Content::Sealed(sealed), Some(passphrase)) => open(&sealed, &bounded(passphrase)?, path),
        (Content::Sealed(_), None) => {
            let todo =
                format!("name a file that is not encrypted, or put the passphrase into the environment variable {PASSPHRASE_VARIABLE}");
            Err(Failure::new(Exit::Usage, "it is encrypted, and a node that starts asks nobody for a passphrase", path.display(), todo))
        }
    }
}

fn open(sealed: &Sealed, passphrase: &str, path: &Path) -> Result<SecretKey, Failure> {
    sealed.open(passphrase).map_err(|why| {
        let todo = "give the passphrase that the wallet was created with; nobody can open the file without it";
        Failure::new(Exit::Usage, why, path.display(), todo)
    })
}

/// Whose key a file holds. An encrypted file says so itself: no passphrase is needed.
///
/// # Errors
/// [`Failure`]: usage (2) if the file cannot be read or holds no key.
pub(crate) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    Ok(match load(path)? {
        Content::Plain(key) => key.public_key(),
        Content::Sealed(sealed) => sealed.public_key(),
    })
}

/// A new key, drawn from the system's randomness.
///
/// # Errors
/// [`Failure`] if there is none.
pub(crate) fn draw() -> Result<SecretKey, Failure> {
    let mut seed = Zeroizing::new([0u8; 32]);
    random(seed.as_mut_slice())?;
    Ok(SecretKey::from_seed(&seed))
}

/// The passphrase of a new wallet.
///
/// # Errors
/// [`Failure`] if there is none to be had, or it is too short.
pub(crate) fn new_passphrase(passphrase_file: Option<&Path>, name: &str) -> Result<Zeroizing<String>, Failure> {
    let passphrase = passphrase(passphrase_file, &format!("Passphrase for {name}"), true)?;
    match passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
        true => {
            Err(Failure::new(Exit::Usage, "the passphrase is too short", name, format!("give {PASSPHRASE_CHARS_MIN} characters or more")))
        }
        false => Ok(passphrase),
    }
}

/// Writes a key to a new file, encrypted if there is a passphrase. Afterwards it is there whole and on the disk, or not at all.
///
/// # Errors
/// [`Failure`] if the file is there already, or cannot be written.
pub(crate) fn create(path: &Path, key: &SecretKey, passphrase: Option<&str>) -> Result<(), Failure> {
    let text = Zeroizing::new(match passphrase {
        None => format!("{}\n", Id(key.to_seed())),
        Some(passphrase) => {
            let (mut salt, mut nonce) = ([0u8; sealed::SALT_BYTES], [0u8; sealed::NONCE_BYTES]);
            random(&mut salt)?;
            random(&mut nonce)?;
            let sealed = Sealed::seal(key, passphrase, COST, &salt, &nonce);
            let sealed =
                sealed.map_err(|e| Failure::new(Exit::Fault, e, "encrypting the key", "report this with the command you typed"))?;
            format!("{}\n", sealed.to_json())
        }
    });
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        // of mode 0600, and gone if anything fails before it has its name
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|e| e.error)?;
        std::fs::File::open(dir)?.sync_all()
    };
    write().map_err(|e: std::io::Error| Failure::file(path, &e, "choose a new file that can be written"))
}

fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes)
        .map_err(|e| Failure::new(Exit::Fault, e, "the system's source of randomness", "check that getrandom(2) works here"))
}

fn load(path: &Path) -> Result<Content, Failure> {
    let failed = |e: std::io::Error| Failure::file(path, &e, NAME_THE_FILE);
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    if text.trim_start().starts_with('{') {
        let sealed = Sealed::from_json(&text).map_err(|why| Failure::new(Exit::Usage, why, path.display(), NAME_THE_FILE))?;
        return Ok(Content::Sealed(Box::new(sealed)));
    }
    let todo = "a key file holds 64 lower-case hexadecimal digits, or an encrypted key";
    let seed: Id = text.trim().parse().map_err(|_| Failure::new(Exit::Usage, "it is not a key", path.display(), todo))?;
    Ok(Content::Plain(Box::new(SecretKey::from_seed(&seed.0))))
}

/// The passphrase from where it is: a file, the environment, the terminal.
fn passphrase(file: Option<&Path>, what: &str, new: bool) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = file {
        let source = std::fs::File::open(path).map_err(|e| Failure::file(path, &e, "name the file of the passphrase"))?;
        return terminal::line(BufReader::new(source), &path.display().to_string(), PASSPHRASE_BYTES_MAX).and_then(bounded);
    }
    if let Ok(text) = std::env::var(PASSPHRASE_VARIABLE)
        && !text.is_empty()
    {
        return bounded(Zeroizing::new(text));
    }
    let instead = "give the passphrase in a file with --passphrase-file, or in the environment variable WATTLE_PASSPHRASE";
    match std::io::stdin().is_terminal() {
        true => terminal::asked(what, new, PASSPHRASE_BYTES_MAX, instead).and_then(bounded),
        false => Err(Failure::new(Exit::Usage, "a passphrase is needed, and there is no terminal to ask at", what, instead)),
    }
}

fn bounded(passphrase: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    match passphrase.len() {
        0 => Err(Failure::new(Exit::Usage, "it is empty", "the passphrase", "give it as one line of text")),
        1..=PASSPHRASE_BYTES_MAX => Ok(passphrase),
        _ => Err(Failure::new(Exit::Usage, "it is too long", "the passphrase", format!("at most {PASSPHRASE_BYTES_MAX} bytes are taken"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_file_holds_a_seed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        std::fs::write(&path, format!("{}\n", "07".repeat(32))).unwrap();
        assert_eq!(read(&path).unwrap().to_seed(), [7; 32]);
        assert_eq!(public_key(&path).unwrap(), SecretKey::from_seed(&[7; 32]).public_key());
        std::fs::write(&path, "07").unwrap();
        let failure = read(&path).err().unwrap();
        assert!(failure.exit == Exit::Usage && failure.to_string().contains("64"), "{failure}");
        assert!(read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn an_encrypted_key_is_opened_by_its_passphrase_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, right, wrong) = (dir.path().join("k"), dir.path().join("right"), dir.path().join("wrong"));
        std::fs::write(&right, "correct horse\nand more").unwrap();
        std::fs::write(&wrong, "correct  horse\n").unwrap();
        let key = draw().unwrap();
        create(&path, &key, Some("correct horse")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&Id(key.to_seed()).to_string()) && text.contains(&key.public_key().to_string()), "{text}");
        assert_eq!(public_key(&path).unwrap(), key.public_key(), "without a passphrase");
        assert_eq!(read_with(&path, Some(&right)).unwrap().to_seed(), key.to_seed());
        let failure = read_with(&path, Some(&wrong)).unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.to_string().contains("passphrase"), "{failure}");
        let again = create(&path, &key, None).unwrap_err();
        assert!(again.exit == Exit::Usage && std::fs::read_to_string(&path).unwrap() == text, "{again}");
        assert!(create(&dir.path().join("none/k"), &key, None).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "something was left beside the file");
    }

    /// A node asked for the passphrase where nobody saw it, and waited for ever.
    #[test]
    fn a_node_asks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
        let key = draw().unwrap();
        create(&plain, &key, None).unwrap();
        create(&sealed, &key, Some("correct horse")).unwrap();
        let given = |text: &str| Some(Zeroizing::new(text.to_owned()));
        assert_eq!(unasked(&plain, None).unwrap().to_seed(), key.to_seed());
        assert_eq!(unasked(&sealed, given("correct horse")).unwrap().to_seed(), key.to_seed());
        for passphrase in [None, given("")] {
            let failure = unasked(&sealed, passphrase).err().unwrap();
            assert!(failure.exit == Exit::Usage && failure.to_string().contains(PASSPHRASE_VARIABLE), "{failure}");
        }
        assert!(unasked(&sealed, given("wrong")).is_err());
    }

    #[test]
    fn a_new_passphrase_has_some_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let long = "x".repeat(1_025);
        for (text, good) in [("", false), ("1234567", false), ("12345678", true), (long.as_str(), false), ("äöüßäöüß", true)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(new_passphrase(Some(&path), "w").is_ok(), good, "{} characters", text.chars().count());
        }
        assert!(new_passphrase(Some(&dir.path().join("none")), "w").is_err());
    }
}
