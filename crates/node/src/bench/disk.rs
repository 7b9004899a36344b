//! Where benches put what they write, and what a directory takes on disk.

use crate::cli::Failure;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Bytes of a block in `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// A directory that has not changed its size for this long is at rest,
const REST: Duration = Duration::from_millis(600);
/// if it comes to rest at all.
const REST_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A directory for what a run writes; it is gone with what is given.
///
/// # Errors
/// [`Failure`] if it cannot be made.
pub(super) fn scratch() -> Result<TempDir, Failure> {
    tempfile::tempdir().map_err(|e| no_room(&e))
}

/// Nothing can be written where benches write.
pub(super) fn no_room(why: &std::io::Error) -> Failure {
    Failure::file(&std::env::temp_dir(), why, "set TMPDIR to a directory with room")
}

/// The size of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes as the files' lengths say.
    pub(super) bytes: u64,
    /// Bytes of the blocks they take: more than the length for a small file, less for one with holes.
    pub(super) allocated_bytes: u64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.allocated_bytes += other.allocated_bytes;
    }
}

/// The size of a file, or of all files below a directory. What vanishes while it is looked at counts nothing.
pub(super) fn size(path: &Path) -> Size {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Size::default() };
    if !metadata.is_dir() {
        return Size { bytes: metadata.len(), allocated_bytes: metadata.blocks() * BLOCK_BYTES };
    }
    let mut sum = Size::default();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        sum += size(&entry.path());
    }
    sum
}

/// The sizes of a replica's tables in a storage directory: of partition `<prefix>-<table>-<part>` by the table.
pub(super) fn tables(storage: &Path, prefix: &str) -> BTreeMap<String, Size> {
    let mut sizes: BTreeMap<String, Size> = BTreeMap::new();
    for entry in std::fs::read_dir(storage).into_iter().flatten().flatten() {
        if let Some(table) = table(&entry.file_name().to_string_lossy(), prefix) {
            *sizes.entry(table.to_owned()).or_default() += size(&entry.path());
        }
    }
    sizes
}

fn table<'a>(partition: &'a str, prefix: &str) -> Option<&'a str> {
    partition.strip_prefix(prefix)?.strip_prefix('-')?.split('-').next()
}

/// Waits until nothing grows or shrinks below `path`, for a moment; not for ever.
pub(super) async fn at_rest(path: &Path) {
    let start = Instant::now();
    let (mut last, mut since) = (size(path), start);
    while since.elapsed() < REST && start.elapsed() < REST_TIMEOUT {
        tokio::time::sleep(LOOK).await;
        let now = size(path);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_are_summed_by_table_of_one_node() {
        let dir = tempfile::tempdir().unwrap();
        let file = |partition: &str, bytes: usize| {
            let partition = dir.path().join(partition);
            std::fs::create_dir_all(&partition).unwrap();
            std::fs::write(partition.join("00"), vec![1; bytes]).unwrap();
        };
        file("node1-messages-key", 10);
        file("node1-messages-value", 100);
        file("node1-state-log", 7);
        file("node10-messages-key", 1_000);
        file("other", 5);
        let tables = tables(dir.path(), "node1");
        let bytes: Vec<(&str, u64)> = tables.iter().map(|(name, size)| (name.as_str(), size.bytes)).collect();
        assert_eq!(bytes, [("messages", 110), ("state", 7)]);
        assert_eq!(size(dir.path()).bytes, 1_122);
        assert!(size(dir.path()).allocated_bytes > 0);
        assert_eq!(size(&dir.path().join("nowhere")), Size::default());
    }
}
