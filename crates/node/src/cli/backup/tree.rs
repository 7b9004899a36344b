//! What there is to back up: the files and directories below a directory, in one order.

use super::tar::Entry;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files and directories of a node.
const ENTRIES_MAX: usize = 1_000_000;

/// Something to back up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it will be in the archive.
    pub(super) entry: Entry,
}

/// All that is below `dir`, except what is below `without`, as paths below `name`. What is neither a file nor a directory is noted.
pub(super) fn walk(dir: &Path, name: &str, without: Option<&Path>, left_out: &mut Vec<String>) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    let mut waiting = vec![(dir.to_path_buf(), name.to_owned())];
    while let Some((dir, name)) = waiting.pop() {
        let read = std::fs::read_dir(&dir).map_err(|e| named(&dir, &e))?;
        for entry in read {
            let path = entry.map_err(|e| named(&dir, &e))?.path();
            if without == Some(path.as_path()) {
                continue;
            }
            let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
                left_out.push(format!("{} is left out: its name is not UTF-8", path.display()));
                continue;
            };
            let name = format!("{name}/{file_name}");
            let link = std::fs::symlink_metadata(&path).map_err(|e| named(&path, &e))?.is_symlink();
            // of a link to a file, the file
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => all.push(Found { entry: described(name, &metadata), path }),
                Ok(metadata) if metadata.is_dir() && !link => {
                    all.push(Found { entry: described(name.clone(), &metadata), path: path.clone() });
                    waiting.push((path, name));
                }
                Ok(_) => left_out.push(format!("{} is left out: it is neither a file nor a directory", path.display())),
                Err(_) if link => left_out.push(format!("{} is left out: it leads nowhere", path.display())),
                Err(e) => return Err(named(&path, &e)),
            }
            if all.len() > ENTRIES_MAX {
                return Err(io::Error::other(format!("there are more than {ENTRIES_MAX} files: is this the directory of a node?")));
            }
        }
    }
    // a directory before what is in it
    all.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    Ok(all)
}

/// A single file.
pub(super) fn one(file: &Path, name: &str) -> io::Result<Found> {
    let metadata = std::fs::metadata(file).map_err(|e| named(file, &e))?;
    Ok(Found { path: file.to_path_buf(), entry: described(name.to_owned(), &metadata) })
}

/// Files that a configuration names by absolute paths outside of `roots`, genesis, key and data directory apart.
pub(super) fn elsewhere(config: &str, roots: &[&Path]) -> Vec<String> {
    let Ok(table) = config.parse::<toml::Table>() else { return Vec::new() };
    let (mut waiting, mut found): (Vec<&toml::Value>, Vec<String>) = (Vec::new(), Vec::new());
    waiting.extend(table.iter().filter(|(name, _)| *name != "node").map(|(_, value)| value));
    while let Some(value) = waiting.pop() {
        match value {
            toml::Value::Table(table) => waiting.extend(table.values()),
            toml::Value::Array(values) => waiting.extend(values),
            toml::Value::String(text) => {
                let path = Path::new(text);
                let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
                if path.is_absolute() && path.exists() && !roots.iter().any(|root| real.starts_with(root)) {
                    found.push(format!("{text} is left out: it is outside of the node's directory"));
                }
            }
            _ => {}
        }
    }
    found.sort();
    found
}

fn described(name: String, metadata: &Metadata) -> Entry {
    let directory = metadata.is_dir();
    let changed_s = u64::try_from(metadata.mtime()).unwrap_or(0);
    Entry { name, directory, mode: metadata.mode() & 0o777, changed_s, size: if directory { 0 } else { metadata.len() } }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_is_found_and_what_is_not_taken_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("data/log")).unwrap();
        std::fs::create_dir_all(at("certificates")).unwrap();
        for file in ["wattle.toml", "data/log/1", "certificates/a.pem"] {
            std::fs::write(at(file), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("wattle.toml"), at("link.toml")).unwrap();
        std::os::unix::fs::symlink(at("no"), at("nowhere")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let mut left = Vec::new();
        let found = walk(dir.path(), "config", Some(&at("data")), &mut left).unwrap();
        let names: Vec<&str> = found.iter().map(|found| found.entry.name.as_str()).collect();
        assert_eq!(names, ["config/certificates", "config/certificates/a.pem", "config/link.toml", "config/wattle.toml"]);
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn files_elsewhere_are_named() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (inside, outside) = (dir.path().join("a.pem"), other.path().join("b.pem"));
        std::fs::write(&inside, "x").unwrap();
        std::fs::write(&outside, "x").unwrap();
        let config = format!("[broker]\nkey = {inside:?}\ncertificate = {outside:?}\n[node]\ndata_dir = {:?}\n", other.path());
        let root = dir.path().canonicalize().unwrap();
        let found = elsewhere(&config, &[&root]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found.concat().contains("b.pem"));
    }
}
