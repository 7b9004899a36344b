//! Checking a log on disk without changing it.

use super::error::LogError;
use super::frame::{Bad, BadKind, Frame, Frames, Step, find_header};
use super::recovery::is_torn;
use super::segment::{self, SEGMENT_HEADER_BYTES};
use super::watermark;
use protocol::{Decode, Reading};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Damages that a report lists at most.
const DAMAGES_MAX: usize = 1000;

/// A part of a file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The byte at which the damaged part begins.
    pub at: u64,
    /// What is wrong there.
    pub why: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Segment files.
    pub segments: u64,
    /// Their bytes.
    pub disk_bytes: u64,
    /// Whole groups.
    pub groups: u64,
    /// Publishes in them.
    pub publishes: u64,
    /// Readings in them.
    pub readings: u64,
    /// Offset of the first reading.
    pub first: u64,
    /// Offset after the last.
    pub end: u64,
    /// The saved watermark, if there is one.
    pub forgotten: Option<u64>,
    /// Bytes of a torn tail, which opening the log cuts off. They were never acknowledged; this is no damage.
    pub torn_bytes: u64,
    /// The damages, in order, the first thousand.
    pub damages: Vec<Damage>,
}

impl LogReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty()
    }

    fn damage(&mut self, file: &Path, at: u64, why: impl Into<String>) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(Damage { file: file.to_path_buf(), at, why: why.into() });
        }
    }
}

/// See [`super::SiteLog::check`].
pub(super) fn check(dir: &Path) -> Result<LogReport, LogError> {
    let mut report = LogReport::default();
    let listed = segment::list(dir)?;
    let last = listed.len().saturating_sub(1);
    for (i, (first, path)) in listed.iter().enumerate() {
        if i == 0 {
            report.first = *first;
        } else if *first != report.end {
            report.damage(path, 0, format!("it begins with reading {first}, the segment before ends at {}", report.end));
        }
        check_segment(&mut report, path, *first, i == last)?;
    }
    match watermark::load(dir)? {
        None => {}
        Some(Ok(forgotten)) => {
            report.forgotten = Some(forgotten);
            if forgotten > report.end && !listed.is_empty() {
                let why = format!("it says that the readings below {forgotten} are confirmed, but the segments end at {}", report.end);
                report.damage(&watermark::path(dir), 0, why);
            }
        }
        Some(Err(why)) => report.damage(&watermark::path(dir), 0, why),
    }
    Ok(report)
}

fn check_segment(report: &mut LogReport, path: &Path, first: u64, is_last: bool) -> Result<(), LogError> {
    let file = File::open(path).map_err(LogError::io("open", path))?;
    let file_bytes = file.metadata().map_err(LogError::io("read", path))?.len();
    report.segments += 1;
    report.disk_bytes += file_bytes;
    report.end = first;
    if let Err(why) = segment::check_header(&file, file_bytes, first).map_err(LogError::io("read", path))? {
        if is_last && file_bytes <= SEGMENT_HEADER_BYTES {
            report.torn_bytes = file_bytes;
            return Ok(());
        }
        report.damage(path, 0, why);
    }
    let mut frames = Frames::new(&file, SEGMENT_HEADER_BYTES, file_bytes, first);
    loop {
        match frames.step().map_err(LogError::io("read", path))? {
            Step::End => return Ok(()),
            Step::Frame { frame, publishes, at } => {
                report.groups += 1;
                report.publishes += publishes;
                report.readings += u64::from(frame.readings);
                report.end = frame.end();
                check_readings(report, path, at, &frame);
            }
            Step::Bad(bad) => {
                if is_last && is_torn(&file, file_bytes, &bad, report.end).map_err(LogError::io("read", path))? {
                    report.torn_bytes = file_bytes - bad.at;
                    return Ok(());
                }
                report.damage(path, bad.at, bad.why.as_str());
                let Some((at, offset)) = after(&file, file_bytes, &bad, report.end).map_err(LogError::io("read", path))? else {
                    return Ok(());
                };
                report.end = offset;
                frames.resume(at, offset);
            }
        }
    }
}

/// Where the check goes on after a bad frame.
fn after(file: &File, file_bytes: u64, bad: &Bad, next_offset: u64) -> std::io::Result<Option<(u64, u64)>> {
    match bad.kind {
        BadKind::Cut => Ok(None),
        BadKind::Body { end, next_offset } => Ok(Some((end, next_offset))),
        BadKind::Offset { first_offset } => Ok(Some((bad.at, first_offset))),
        BadKind::Header => find_header(file, bad.at + 1, file_bytes, next_offset),
    }
}

fn check_readings(report: &mut LogReport, path: &Path, at: u64, frame: &Frame) {
    let mut offset = frame.first_offset;
    for publish in frame.publishes() {
        // The frame was well formed when it was counted.
        for bytes in publish.map(|publish| publish.readings).unwrap_or_default() {
            if let Err(error) = Reading::decode(bytes) {
                report.damage(path, at, format!("the reading {offset} cannot be decoded: {error}"));
            }
            offset += 1;
        }
    }
}
