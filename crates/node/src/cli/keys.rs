//! Key files: the seed of an Ed25519 key as 64 hexadecimal digits, as `wattle init` writes them.

use super::Exit;
use super::Failure;
use protocol::{Id, SecretKey};
use std::path::Path;

/// Reads a key file.
///
/// # Errors
/// [`Failure`]: usage (2) if the file cannot be read or holds no key.
pub(crate) fn read(path: &Path) -> Result<SecretKey, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e, "name the key file of the wallet with --key"))?;
    let seed: Id = text
        .trim()
        .parse()
        .map_err(|_| Failure::new(Exit::Usage, "it is not a key", path.display(), "a key file holds 64 lower-case hexadecimal digits"))?;
    Ok(SecretKey::from_seed(&seed.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_a_seed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        std::fs::write(&path, format!("{}\n", "07".repeat(32))).unwrap();
        assert_eq!(read(&path).unwrap().to_seed(), [7; 32]);
        std::fs::write(&path, "07").unwrap();
        let failure = read(&path).err().unwrap();
        assert!(failure.exit == Exit::Usage && failure.to_string().contains("64"), "{failure}");
        assert!(read(&dir.path().join("none")).is_err());
    }
}
