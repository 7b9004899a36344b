//! Thing Descriptions of registered devices, one file each.
//!
//! ```text
//! <data_dir>/things/<device id>.td      first line: site/ID; then the description, as it came
//! ```
//! # Rules
//! - The ledger says which description is a device's, by its hash; so anybody may hand one in, and what is here and has
//!   another hash is not served.
//! - A description is replaced as a whole: after a crash the file is the old one or the new one.
//! - Nothing can be put elsewhere: a file's name is a hash.

use edge::thing::THING_BYTES_MAX;
use protocol::DeviceName;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of a file: a name, a line break, a description.
const FILE_BYTES_MAX: u64 = 256 + THING_BYTES_MAX as u64;
/// Descriptions that are kept. Anybody may hand one in, for any registered device, and devices cost little.
const THINGS_MAX: usize = 65_536;
/// How a file's name ends.
const ENDING: &str = "td";

/// The descriptions that are kept here. Cheap to clone. Every call blocks on files.
#[derive(Clone, Debug)]
pub(crate) struct Things {
    dir: PathBuf,
    max: usize,
}

impl Things {
    /// The descriptions in `dir`, which is made with the first.
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir, max: THINGS_MAX }
    }

    fn file(&self, device: &DeviceName) -> PathBuf {
        self.dir.join(format!("{}.{ENDING}", device.id()))
    }

    /// Keeps a description, durably.
    ///
    /// # Errors
    /// What the system says, or that there are too many.
    pub(crate) fn put(&self, device: &DeviceName, description: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let (path, new) = (self.file(device), self.dir.join(format!("{}.new", device.id())));
        if !path.exists() && std::fs::read_dir(&self.dir)?.take(self.max).count() >= self.max {
            let why = format!("{} descriptions are kept here, the limit; remove the files of devices that are none of yours", self.max);
            return Err(io::Error::other(why));
        }
        let mut file = File::create(&new)?;
        file.write_all(format!("{device}\n").as_bytes())?;
        file.write_all(description)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// The description of a device, if one is here.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn get(&self, device: &DeviceName) -> io::Result<Option<Vec<u8>>> {
        Ok(read(&self.file(device))?.filter(|(name, _)| name == device).map(|(_, description)| description))
    }

    /// The devices that have one here, in the order of their ids, from number `from` on and at most `limit`; and how many
    /// there are in all. A file that is none of ours is left out.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn list(&self, from: usize, limit: usize) -> io::Result<(Vec<DeviceName>, usize)> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(why) => return Err(why),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == ENDING) {
                paths.push(path);
            }
        }
        paths.sort();
        let all = paths.len();
        let mut names = Vec::new();
        for path in paths.into_iter().skip(from).take(limit) {
            names.extend(read(&path)?.map(|(name, _)| name).filter(|name| self.file(name) == path));
        }
        Ok((names, all))
    }
}

/// The name and the description in a file; `None` if there is no file, or it is none of ours.
fn read(path: &Path) -> io::Result<Option<(DeviceName, Vec<u8>)>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(name), Some(description)) = (parts.next(), parts.next()) else { return Ok(None) };
    let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    Ok(name.map(|name| (name, description.to_vec())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn device(text: &str) -> DeviceName {
        text.parse().unwrap()
    }

    #[test]
    fn a_description_is_read_back_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let things = Things::new(dir.path().join("things"));
        assert_eq!((things.get(&device("z1/m1")).unwrap(), things.list(0, 9).unwrap()), (None, (vec![], 0)));
        things.put(&device("z1/m1"), b"{\n\"a\":1}").unwrap();
        things.put(&device("../.."), b"{}").unwrap();
        assert_eq!(things.get(&device("z1/m1")).unwrap().unwrap(), b"{\n\"a\":1}");
        assert_eq!(things.get(&device("../..")).unwrap().unwrap(), b"{}");
        things.put(&device("z1/m1"), b"new").unwrap();
        assert_eq!(things.get(&device("z1/m1")).unwrap().unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside the directory");
    }

    #[test]
    fn there_are_only_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let things = Things { max: 2, ..Things::new(dir.path().join("things")) };
        things.put(&device("z1/m1"), b"{}").unwrap();
        things.put(&device("z1/m2"), b"{}").unwrap();
        assert!(things.put(&device("z1/m3"), b"{}").unwrap_err().to_string().contains("limit"));
        things.put(&device("z1/m2"), b"new").unwrap();
        assert_eq!(things.get(&device("z1/m2")).unwrap().unwrap(), b"new", "one that is here can be replaced");
        assert_eq!(things.get(&device("z1/m3")).unwrap(), None);
    }

    #[test]
    fn the_list_is_paged_and_holds_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let things = Things::new(dir.path().to_path_buf());
        let mut names: Vec<DeviceName> = (0..5).map(|n| device(&format!("z1/m{n}"))).collect();
        names.iter().for_each(|name| things.put(name, b"{}").unwrap());
        names.sort_by_key(|name| name.id().to_string());
        std::fs::write(dir.path().join("zz.td"), b"z1/m1\n{}").unwrap();
        std::fs::write(dir.path().join("zy.td"), b"\xff").unwrap();
        std::fs::write(dir.path().join("a.new"), b"z1/m1\n{}").unwrap();
        assert_eq!(things.list(0, 9).unwrap(), (names.clone(), 7));
        assert_eq!(things.list(1, 2).unwrap().0, names[1..3]);
        assert!(things.list(9, 2).unwrap().0.is_empty());
    }
}
