//! Segment files: their names, their headers, and where a reading is in them.

use super::error::LogError;
use super::frame::Frame;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 20;
/// Readings between two entries of the sparse index.
const INDEX_READINGS: u64 = 256;
/// Digits of a segment's name.
const NAME_DIGITS: usize = 20;
/// "wattlog" and the version of the layout.
const MAGIC: &[u8; 8] = b"wattlog\x01";

/// What is known of one segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Offset of its first reading.
    pub(super) first: u64,
    /// Offset after its last reading.
    pub(super) end: u64,
    /// Its bytes, as far as they are durable.
    pub(super) bytes: u64,
    /// Offsets and places of some frames, ascending.
    index: Vec<(u64, u64)>,
}

impl Segment {
    /// A segment without frames.
    pub(super) fn new(path: PathBuf, first: u64) -> Self {
        Self { path, first, end: first, bytes: SEGMENT_HEADER_BYTES, index: Vec::new() }
    }

    /// Takes note of a frame at the segment's end.
    pub(super) fn add(&mut self, frame: &Frame) {
        if self.index.last().is_none_or(|(offset, _)| frame.first_offset - offset >= INDEX_READINGS) {
            self.index.push((frame.first_offset, self.bytes));
        }
        self.end = frame.end();
        self.bytes += frame.bytes().len() as u64;
    }

    /// A frame at or before the one that holds `offset`: the offset of its first reading, and its place.
    pub(super) fn place(&self, offset: u64) -> (u64, u64) {
        let after = self.index.partition_point(|(first, _)| *first <= offset);
        after.checked_sub(1).and_then(|i| self.index.get(i)).copied().unwrap_or((self.first, SEGMENT_HEADER_BYTES))
    }

    /// About how many bytes the readings from `offset` on take, at least as many as they do.
    pub(super) fn bytes_from(&self, offset: u64) -> u64 {
        if offset >= self.end {
            return 0;
        }
        self.bytes - self.place(offset).1
    }
}

/// The path of the segment that begins with reading `first`.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0NAME_DIGITS$}.log"))
}

/// The segments in `dir` by their names, ascending.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let path = entry.map_err(LogError::io("list", dir))?.path();
        let digits = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
        let digits = digits.filter(|d| d.len() == NAME_DIGITS && d.bytes().all(|b| b.is_ascii_digit()));
        if let Some(first) = digits.and_then(|d| d.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Creates a segment, durable together with its name. An unfinished one of that name is replaced.
pub(super) fn create(dir: &Path, first: u64) -> io::Result<(File, Segment)> {
    let path = path(dir, first);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.write_all_at(&header(first), 0)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok((file, Segment::new(path, first)))
}

fn header(first: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&first.to_be_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// Checks the header of the segment that begins with reading `first`; a text says what is wrong.
pub(super) fn check_header(file: &File, file_bytes: u64, first: u64) -> io::Result<Result<(), &'static str>> {
    if file_bytes < SEGMENT_HEADER_BYTES {
        return Ok(Err("the file ends inside the segment's header"));
    }
    let expected = header(first);
    let mut found = vec![0; expected.len()];
    file.read_exact_at(&mut found, 0)?;
    Ok(if found == expected {
        Ok(())
    } else if found.starts_with(b"wattlog") && !found.starts_with(MAGIC) {
        Err("the segment was written in another version of the layout: use the software that wrote it")
    } else {
        Err("the segment's header is not the one its name calls for")
    })
}
