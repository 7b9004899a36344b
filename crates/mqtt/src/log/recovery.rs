//! Opening a log: check every frame, cut a torn tail, rebuild the window.

use super::error::LogError;
use super::frame::{BODY_BYTES_MAX, Bad, BadKind, Frames, HEADER_BYTES, Step, find_header};
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment};
use super::site_log::identity;
use super::watermark;
use super::window::Window;
use protocol::{Decode, Reading};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

const LOCK_FILE: &str = "lock";

/// What an opened log begins with.
pub(super) struct Recovered {
    /// Locked.
    pub(super) lock: File,
    /// At least one.
    pub(super) segments: VecDeque<Segment>,
    /// The last segment's file.
    pub(super) file: File,
    pub(super) end: u64,
    pub(super) forgotten: u64,
    /// The watermark as it is saved.
    pub(super) saved: Option<u64>,
    pub(super) window: Window,
}

/// Opens the log in `dir`; `window`: publishes to remember.
pub(super) fn recover(dir: &Path, window: usize) -> Result<Recovered, LogError> {
    std::fs::create_dir_all(dir).map_err(LogError::io("create", dir))?;
    let lock = hold(dir)?;
    let saved = match watermark::load(dir)? {
        Some(Err(why)) => {
            tracing::warn!(file = %watermark::path(dir).display(), why, "the watermark is ignored; confirmed readings will be offered again");
            None
        }
        Some(Ok(saved)) => Some(saved),
        None => None,
    };
    let (mut segments, mut publishes, mut last_file) = (VecDeque::new(), Vec::new(), None);
    let mut listed = segment::list(dir)?.into_iter().peekable();
    let mut expected: Option<u64> = None;
    while let Some((first, path)) = listed.next() {
        if expected.is_some_and(|expected| expected != first) {
            let why = format!("it begins with reading {first}, the segment before ends at {}", expected.unwrap_or_default());
            return Err(LogError::Damaged { file: path, at: 0, why });
        }
        let is_last = listed.peek().is_none();
        let (file, segment, count) = open_segment(dir, &path, first, is_last)?;
        expected = Some(segment.end);
        segments.push_back(segment);
        publishes.push(count);
        last_file = Some(file);
    }
    let file = match last_file {
        Some(file) => file,
        None => {
            let first = saved.unwrap_or(0);
            let (file, segment) = segment::create(dir, first).map_err(LogError::io("create a segment in", dir))?;
            segments.push_back(segment);
            publishes.push(0);
            file
        }
    };
    let first = segments.front().map_or(0, |segment| segment.first);
    let end = segments.back().map_or(0, |segment| segment.end);
    let forgotten = saved.unwrap_or(first).max(first);
    if forgotten > end {
        let why = format!("it says that the readings below {forgotten} are confirmed, but the segments end at {end}");
        return Err(LogError::Damaged { file: watermark::path(dir), at: 0, why });
    }
    let window = rebuild_window(&segments, &publishes, window)?;
    Ok(Recovered { lock, segments, file, end, forgotten, saved, window })
}

fn hold(dir: &Path) -> Result<File, LogError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(LogError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked(dir.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(LogError::io("lock", &path)(error)),
    }
}

/// Checks a segment and counts its publishes. Of the last one a torn tail is cut off.
fn open_segment(dir: &Path, path: &Path, first: u64, is_last: bool) -> Result<(File, Segment, u64), LogError> {
    let file = OpenOptions::new().read(true).write(is_last).open(path).map_err(LogError::io("open", path))?;
    let file_bytes = file.metadata().map_err(LogError::io("read", path))?.len();
    if let Err(why) = segment::check_header(&file, file_bytes, first).map_err(LogError::io("read", path))? {
        if is_last && file_bytes <= SEGMENT_HEADER_BYTES {
            tracing::warn!(file = %path.display(), why, "a segment that was just being created is created anew");
            let (file, segment) = segment::create(dir, first).map_err(LogError::io("create", path))?;
            return Ok((file, segment, 0));
        }
        return Err(LogError::Damaged { file: path.to_path_buf(), at: 0, why: why.to_owned() });
    }
    let mut segment = Segment::new(path.to_path_buf(), first);
    let mut publishes = 0;
    let mut frames = Frames::new(&file, SEGMENT_HEADER_BYTES, file_bytes, first);
    loop {
        match frames.step().map_err(LogError::io("read", path))? {
            Step::End => return Ok((file, segment, publishes)),
            Step::Frame { frame, publishes: count, .. } => {
                segment.add(&frame);
                publishes += count;
            }
            Step::Bad(bad) => {
                if !is_last || !is_torn(&file, file_bytes, &bad, segment.end).map_err(LogError::io("read", path))? {
                    return Err(LogError::Damaged { file: path.to_path_buf(), at: bad.at, why: bad.why });
                }
                let torn_bytes = file_bytes - bad.at;
                tracing::warn!(file = %path.display(), at = bad.at, torn_bytes, why = bad.why, "a torn tail is cut off");
                file.set_len(bad.at).and_then(|()| file.sync_all()).map_err(LogError::io("cut the torn tail of", path))?;
                return Ok((file, segment, publishes));
            }
        }
    }
}

/// Whether a bad frame at the end of the last segment can be one that was never durable: nothing that was
/// written after it follows.
pub(super) fn is_torn(file: &File, file_bytes: u64, bad: &Bad, next_offset: u64) -> io::Result<bool> {
    match bad.kind {
        BadKind::Cut => Ok(true),
        BadKind::Body { end, .. } => Ok(end == file_bytes),
        BadKind::Offset { .. } => Ok(false),
        BadKind::Header => {
            let within_a_frame = file_bytes - bad.at <= (HEADER_BYTES + BODY_BYTES_MAX) as u64;
            Ok(within_a_frame && find_header(file, bad.at + 1, file_bytes, next_offset)?.is_none())
        }
    }
}

/// Remembers the newest publishes; `publishes`: how many each segment holds.
fn rebuild_window(segments: &VecDeque<Segment>, publishes: &[u64], limit: usize) -> Result<Window, LogError> {
    let mut window = Window::new(limit);
    let mut wanted = limit as u64;
    let mut start = segments.len();
    for count in publishes.iter().rev() {
        if wanted == 0 {
            break;
        }
        start = start.saturating_sub(1);
        wanted = wanted.saturating_sub(*count);
    }
    for segment in segments.iter().skip(start) {
        let file = File::open(&segment.path).map_err(LogError::io("open", &segment.path))?;
        let mut frames = Frames::new(&file, SEGMENT_HEADER_BYTES, segment.bytes, segment.first);
        loop {
            let (frame, at) = match frames.step().map_err(LogError::io("read", &segment.path))? {
                Step::End => break,
                Step::Frame { frame, at, .. } => (frame, at),
                Step::Bad(bad) => return Err(LogError::Damaged { file: segment.path.clone(), at: bad.at, why: bad.why }),
            };
            let damaged = |why: String| LogError::Damaged { file: segment.path.clone(), at, why };
            let mut offset = frame.first_offset;
            for publish in frame.publishes() {
                let publish = publish.map_err(|e| damaged(e.to_string()))?;
                let mut ids = Vec::with_capacity(publish.readings.len());
                for bytes in &publish.readings {
                    let reading = Reading::decode(bytes).map_err(|e| damaged(format!("a reading: {e}")))?;
                    ids.push(identity(&reading));
                }
                let count = ids.len() as u64;
                window.put(offset, ids.into_iter(), publish.origin);
                offset += count;
            }
            window.commit();
        }
    }
    Ok(window)
}
