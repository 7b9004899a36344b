//! The wallets of this user: a directory with a key file each. A person may have as many as wanted; nothing ties them together on
//! the ledger.
//!
//! ```text
//! $XDG_DATA_HOME/wattle/wallets/NAME.key      (~/.local/share/wattle/wallets/NAME.key)
//! ```

use crate::cli::{Exit, Failure, keys};
use protocol::PublicKey;
use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// How a wallet's file ends.
const ENDING: &str = ".key";
/// Bytes of a wallet's name.
const NAME_BYTES_MAX: usize = 64;

/// Where the wallets are: `dir` if it was said.
///
/// # Errors
/// [`Failure`] if nothing was said and the user has no home.
pub(crate) fn directory(dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let found = match dir {
        Some(dir) => Some(dir.to_owned()),
        None => data_directory(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")),
    };
    found.ok_or_else(|| {
        Failure::new(Exit::Usage, "neither XDG_DATA_HOME nor HOME is set", "the environment", "say where wallets are with --dir")
    })
}

/// By the XDG base directory specification: a relative path counts as none.
fn data_directory(data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(data_home).or_else(|| absolute(home).map(|home| home.join(".local/share")))?;
    Some(base.join("wattle/wallets"))
}

/// Makes the directory, for this user alone.
///
/// # Errors
/// [`Failure`] if it cannot be made.
pub(crate) fn make(directory: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|e| Failure::file(directory, &e, "name a directory that can be written with --dir"))
}

/// The file of the wallet called `name`.
///
/// # Errors
/// [`Failure`] if nothing can be called so.
pub(crate) fn file(dir: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.len() {
        1..=NAME_BYTES_MAX if name.chars().all(plain) && !name.starts_with('.') => Ok(directory(dir)?.join(format!("{name}{ENDING}"))),
        _ => {
            let todo = format!("take letters, digits, '-', '_' and '.', no '.' at the beginning, at most {NAME_BYTES_MAX}");
            Err(Failure::new(Exit::Usage, "it is no name of a wallet", format!("{name:?}"), todo))
        }
    }
}

/// Who is meant: an ID, or the name of a wallet of this user.
///
/// # Errors
/// [`Failure`] if it is neither.
pub(crate) fn key_of(dir: Option<&Path>, text: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = text.parse::<PublicKey>() {
        return Ok(key);
    }
    let path = file(dir, text)?;
    match path.exists() {
        true => keys::public_key(&path),
        false => {
            let todo = "give 64 hexadecimal digits, or a name of `wattle wallet list`";
            Err(Failure::new(Exit::Usage, format!("{text} is neither the ID of a wallet nor the name of one here"), path.display(), todo))
        }
    }
}

/// All wallets, by their names. A directory that is not there has none.
///
/// # Errors
/// [`Failure`] if the directory or a key file in it cannot be read.
pub(crate) fn all(dir: Option<&Path>) -> Result<Vec<(String, PublicKey)>, Failure> {
    let directory = directory(dir)?;
    let failed = |e: std::io::Error| Failure::file(&directory, &e, "name a directory that can be read with --dir");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut wallets = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let file = entry.file_name();
        if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(ENDING)).filter(|name| !name.is_empty()) {
            wallets.push((name.to_owned(), keys::public_key(&entry.path())?));
        }
    }
    wallets.sort();
    Ok(wallets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn wallets_are_where_the_user_keeps_data() {
        let os = |text: &str| Some(OsString::from(text));
        assert_eq!(data_directory(os("/d"), os("/h")), Some("/d/wattle/wallets".into()));
        for none in [None, os(""), os("d")] {
            assert_eq!(data_directory(none, os("/h")), Some("/h/.local/share/wattle/wallets".into()));
        }
        assert_eq!(data_directory(None, None), None);
    }

    #[test]
    fn a_name_stays_in_its_directory() {
        let dir = Path::new("/w");
        assert_eq!(file(Some(dir), "a-b_c.1").unwrap(), Path::new("/w/a-b_c.1.key"));
        for bad in ["", ".", "..", ".a", "a/b", "../a", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert_eq!(file(Some(dir), bad).unwrap_err().exit, Exit::Usage, "{bad:?}");
        }
    }

    #[test]
    fn wallets_are_found_by_name_and_by_id() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("wallets");
        assert!(all(Some(&dir)).unwrap().is_empty(), "there is no directory yet");
        make(&dir).unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let (one, two) = (keys::draw().unwrap(), keys::draw().unwrap());
        keys::create(&file(Some(&dir), "two").unwrap(), &two, None).unwrap();
        keys::create(&file(Some(&dir), "one").unwrap(), &one, None).unwrap();
        std::fs::write(dir.join("notes.txt"), "no wallet").unwrap();
        assert_eq!(all(Some(&dir)).unwrap(), [("one".to_owned(), one.public_key()), ("two".to_owned(), two.public_key())]);
        assert_eq!(key_of(Some(&dir), "two").unwrap(), two.public_key());
        assert_eq!(key_of(Some(&dir), &one.public_key().to_string()).unwrap(), one.public_key());
        let nobody = key_of(Some(&dir), "three").unwrap_err();
        assert!(nobody.exit == Exit::Usage && nobody.to_string().contains("three"), "{nobody}");
    }
}
