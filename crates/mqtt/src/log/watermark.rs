//! The watermark file: below which offset readings are confirmed.

use super::error::LogError;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "forgotten";
const NEW_FILE: &str = "forgotten.new";
/// "wattlwm" and the version of the layout.
const MAGIC: &[u8; 8] = b"wattlwm\x01";
const FILE_BYTES: usize = 20;
/// Groups that may be written before a moved watermark is saved again.
const SAVE_GROUPS: u64 = 100;

/// The saved watermark.
pub(super) struct Watermark {
    dir: PathBuf,
    saved: Option<u64>,
    saved_at_groups: u64,
}

impl Watermark {
    /// The watermark of `dir`, where `saved` was found.
    pub(super) fn new(dir: PathBuf, saved: Option<u64>) -> Self {
        Self { dir, saved, saved_at_groups: 0 }
    }

    /// Saves `forgotten` if it moved and [`SAVE_GROUPS`] groups were written since the last time.
    pub(super) fn save_if_old(&mut self, forgotten: u64, groups: u64) -> Result<(), LogError> {
        if groups.saturating_sub(self.saved_at_groups) < SAVE_GROUPS { Ok(()) } else { self.save(forgotten, groups) }
    }

    /// Saves `forgotten` if it moved. It is durable on return.
    pub(super) fn save(&mut self, forgotten: u64, groups: u64) -> Result<(), LogError> {
        if self.saved == Some(forgotten) {
            return Ok(());
        }
        let (new, path) = (self.dir.join(NEW_FILE), self.dir.join(FILE));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
            file.write_all(&encode(forgotten))?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(LogError::io("save", &path))?;
        (self.saved, self.saved_at_groups) = (Some(forgotten), groups);
        Ok(())
    }
}

/// Where the watermark of `dir` is saved.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// What is saved in `dir`: nothing, a watermark, or bytes that are none.
pub(super) fn load(dir: &Path) -> Result<Option<Result<u64, &'static str>>, LogError> {
    let path = path(dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("read", &path)(error)),
    };
    Ok(Some(decode(&bytes).ok_or("it is not a watermark that this software wrote")))
}

fn encode(forgotten: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FILE_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&forgotten.to_be_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let offset = bytes.strip_prefix(MAGIC)?.first_chunk::<8>()?;
    let forgotten = u64::from_be_bytes(*offset);
    (bytes == encode(forgotten)).then_some(forgotten)
}
