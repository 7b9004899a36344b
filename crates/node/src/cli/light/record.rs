//! What `follow` remembers from one run to the next: a file of its own.

use crate::cli::{Exit, Failure};
use protocol::Genesis;
use replica::Trusted;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of the file: a milestone and a committee, as text.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What was known when the file was written; what the genesis says if there is no file.
///
/// # Errors
/// [`Failure`] if it cannot be read, or is of another network.
pub(super) fn load(path: &Path, genesis: &Genesis) -> Result<Trusted, Failure> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Trusted::genesis(genesis)),
        Err(error) => return Err(Failure::file(path, &error, "name a file that can be read, or a new one")),
    }
    Trusted::from_json(&text, genesis).map_err(|why| {
        let todo = "remove it to begin at the genesis again, or name another with --state";
        Failure::new(Exit::Usage, format!("what was remembered cannot be used: {why}"), path.display(), todo)
    })
}

/// Replaces the file: afterwards it is the old one or the new one, whatever happens meanwhile.
///
/// # Errors
/// [`Failure`] if it cannot be written.
pub(super) fn save(path: &Path, trusted: &Trusted, genesis: &Genesis) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(trusted.to_json(genesis).as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error| Failure::file(path, &error, "name a file in a directory that can be written"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Committee, Name, SecretKey, Validator};

    fn genesis(seed: u8) -> Genesis {
        let key = SecretKey::from_seed(&[seed; 32]).public_key();
        let committee = Committee::new(vec![Validator { key, name: Name::new("n1").unwrap() }]).unwrap();
        Genesis::plain(Name::new("net").unwrap(), 0, 7, committee)
    }

    #[test]
    fn what_is_written_is_read_back_and_belongs_to_one_network() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("light.json");
        let trusted = load(&path, &genesis(1)).unwrap();
        assert_eq!(trusted, Trusted::genesis(&genesis(1)));
        save(&path, &trusted, &genesis(1)).unwrap();
        save(&path, &trusted, &genesis(1)).unwrap();
        assert_eq!(load(&path, &genesis(1)).unwrap(), trusted);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something was left beside the file");
        let failure = load(&path, &genesis(2)).unwrap_err();
        assert!(failure.to_string().contains("another") || failure.to_string().contains("network"), "{failure}");
        assert_eq!(failure.exit, Exit::Usage);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(load(&path, &genesis(1)).unwrap_err().exit, Exit::Usage);
        assert_eq!(save(&dir.path().join("no/light.json"), &trusted, &genesis(1)).unwrap_err().exit, Exit::Usage);
    }
}
