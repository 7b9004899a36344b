//! Reading the log in order, while it grows.

use super::error::LogError;
use super::frame::{Frame, Frames, Step};
use super::state::{Shared, Source, lock};
use protocol::{Decode, Reading};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// One read stops once its readings have so many bytes in canonical form.
pub const READ_BYTES_MAX: usize = 32 << 20;

/// See [`super::SiteLog::read`].
pub(super) fn read(shared: &Shared, from: u64, max: usize) -> Result<Vec<(u64, Reading)>, LogError> {
    let mut found = Found { next: from, max, readings: Vec::new(), bytes: 0 };
    while !found.is_full() {
        let source = lock(&shared.state).source(found.next, max - found.readings.len())?;
        match source {
            Source::End => break,
            Source::Memory(frames) => {
                for frame in frames {
                    found.take(&frame).map_err(|why| damaged(&shared.dir, 0, &why))?;
                }
            }
            Source::Disk { path, at, first_offset, bytes } => {
                let file = match File::open(&path) {
                    Ok(file) => file,
                    // Deleted since: it was forgotten, unless the file is missing for another reason.
                    Err(error) if error.kind() == ErrorKind::NotFound && lock(&shared.state).first() > found.next => continue,
                    Err(error) => return Err(LogError::io("open", &path)(error)),
                };
                found.take_segment(&path, Frames::new(&file, at, bytes, first_offset))?;
            }
        }
    }
    Ok(found.readings)
}

struct Found {
    next: u64,
    max: usize,
    readings: Vec<(u64, Reading)>,
    bytes: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.readings.len() >= self.max || self.bytes >= READ_BYTES_MAX
    }

    /// Takes what is wanted of a segment.
    fn take_segment(&mut self, path: &Path, mut frames: Frames<'_>) -> Result<(), LogError> {
        let start = self.next;
        while !self.is_full() {
            match frames.step().map_err(LogError::io("read", path))? {
                Step::End => break,
                Step::Frame { frame, at, .. } => self.take(&frame).map_err(|why| damaged(path, at, &why))?,
                Step::Bad(bad) => return Err(damaged(path, bad.at, &bad.why)),
            }
        }
        if self.next == start && !self.is_full() {
            return Err(damaged(path, frames.place().0, &format!("the reading {start} is not in it")));
        }
        Ok(())
    }

    /// Takes what is wanted of a frame.
    fn take(&mut self, frame: &Frame) -> Result<(), String> {
        if frame.end() <= self.next {
            return Ok(());
        }
        let mut offset = frame.first_offset;
        for publish in frame.publishes() {
            for bytes in publish.map_err(|e| e.to_string())?.readings {
                if self.is_full() {
                    return Ok(());
                }
                if offset == self.next {
                    let reading = Reading::decode(bytes).map_err(|e| format!("the reading {offset}: {e}"))?;
                    self.readings.push((offset, reading));
                    self.bytes += bytes.len();
                    self.next += 1;
                }
                offset += 1;
            }
        }
        Ok(())
    }
}

fn damaged(path: &Path, at: u64, why: &str) -> LogError {
    LogError::Damaged { file: path.to_path_buf(), at, why: why.to_owned() }
}
