//! What the log's readers, its writer and its callers share.

use super::error::LogError;
use super::frame::Frame;
use super::segment::Segment;
use super::watermark::Watermark;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the newest frames that are kept in memory for reading.
const TAIL_BYTES_MAX: usize = 4 << 20;
/// Confirmed segments that are kept for the deduplication window alone.
const WINDOW_SEGMENTS_MAX: usize = 2;

/// Shared by the handles and the writer.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) state: Mutex<State>,
    /// Also makes one trimming wait for another.
    pub(super) watermark: Mutex<Watermark>,
    pub(super) counters: Counters,
    /// Bytes of the publishes that wait in the queue.
    pub(super) queued_bytes: AtomicUsize,
}

/// Locks; a panic of another holder does not spread, because every holder leaves the state whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counted since the log was opened.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) publishes: AtomicU64,
    pub(super) readings: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) groups: AtomicU64,
}

/// Figures of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Publishes that were stored since the log was opened.
    pub publishes: u64,
    /// Readings that were stored since the log was opened.
    pub readings: u64,
    /// Publishes that were answered as duplicates since the log was opened.
    pub duplicates: u64,
    /// Groups that were written, each with one `fdatasync`, since the log was opened.
    pub groups: u64,
    /// Bytes of all segments on disk.
    pub disk_bytes: u64,
    /// Readings that are not confirmed.
    pub pending_readings: u64,
    /// About how many bytes of the segments they take; this is compared with the limit.
    pub pending_bytes: u64,
}

impl Shared {
    pub(super) fn stats(&self) -> LogStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = lock(&self.state);
        LogStats {
            publishes: count(&self.counters.publishes),
            readings: count(&self.counters.readings),
            duplicates: count(&self.counters.duplicates),
            groups: count(&self.counters.groups),
            disk_bytes: state.segments.iter().map(|s| s.bytes).sum(),
            pending_readings: state.end - state.forgotten,
            pending_bytes: state.pending_bytes(),
        }
    }

    /// Trims the log: see [`super::SiteLog::forget`].
    pub(super) fn forget(&self, below: u64) -> Result<(), LogError> {
        let mut watermark = lock(&self.watermark);
        let (forgotten, gone) = {
            let mut state = lock(&self.state);
            if below > state.end {
                return Err(LogError::PastEnd { asked: below, end: state.end });
            }
            state.forgotten = state.forgotten.max(below);
            (state.forgotten, state.deletable())
        };
        let groups = self.counters.groups.load(Ordering::Relaxed);
        if gone == 0 {
            return watermark.save_if_old(forgotten, groups);
        }
        watermark.save(forgotten, groups)?;
        // oldest first, one at a time: what cannot be deleted now is tried again, and nothing after it goes before it
        for _ in 0..gone {
            let Some(path) = lock(&self.state).segments.front().map(|s| s.path.clone()) else { break };
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(LogError::io("delete", &path)(error)),
                _ => drop(lock(&self.state).segments.pop_front()),
            }
        }
        Ok(())
    }

    /// Saves the watermark if it moved.
    pub(super) fn save_watermark(&self) -> Result<(), LogError> {
        let mut watermark = lock(&self.watermark);
        let forgotten = lock(&self.state).forgotten;
        watermark.save(forgotten, self.counters.groups.load(Ordering::Relaxed))
    }
}

/// What is durable.
pub(super) struct State {
    /// Ascending and without gap; the last is the one that is written. Never empty.
    pub(super) segments: VecDeque<Segment>,
    /// Offset of the next reading.
    pub(super) end: u64,
    /// Readings below are confirmed.
    pub(super) forgotten: u64,
    /// The oldest reading that the deduplication window remembers.
    pub(super) window_first: u64,
    tail: VecDeque<Arc<Frame>>,
    tail_bytes: usize,
}

/// Where the readings from some offset on are.
pub(super) enum Source {
    /// Nowhere yet.
    End,
    /// In these frames.
    Memory(Vec<Arc<Frame>>),
    /// In a segment: its path, the place of a frame at or before them, the offset that frame begins with, and
    /// the segment's durable bytes.
    Disk { path: PathBuf, at: u64, first_offset: u64, bytes: u64 },
}

impl State {
    /// The state after recovery.
    pub(super) fn new(segments: VecDeque<Segment>, end: u64, forgotten: u64, window_first: u64) -> Self {
        Self { segments, end, forgotten, window_first, tail: VecDeque::new(), tail_bytes: 0 }
    }

    /// The first reading that is still here.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.end, |segment| segment.first)
    }

    /// About how many bytes the unconfirmed readings take.
    pub(super) fn pending_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes_from(self.forgotten)).sum()
    }

    /// Takes note of a frame that became durable at the end of the last segment.
    pub(super) fn add(&mut self, frame: Frame) {
        if let Some(segment) = self.segments.back_mut() {
            segment.add(&frame);
        }
        self.end = frame.end();
        self.tail_bytes += frame.memory_bytes();
        self.tail.push_back(Arc::new(frame));
        while self.tail_bytes > TAIL_BYTES_MAX
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.memory_bytes();
        }
    }

    /// Where the readings from `offset` on are, `max` at most.
    pub(super) fn source(&self, offset: u64, max: usize) -> Result<Source, LogError> {
        if offset >= self.end {
            return if offset == self.end { Ok(Source::End) } else { Err(LogError::PastEnd { asked: offset, end: self.end }) };
        }
        if offset < self.first() {
            return Err(LogError::Forgotten { asked: offset, first: self.first() });
        }
        if self.tail.front().is_some_and(|frame| frame.first_offset <= offset) {
            let start = self.tail.partition_point(|frame| frame.end() <= offset);
            let wanted = offset.saturating_add(max as u64);
            let frames = self.tail.iter().skip(start).take_while(|frame| frame.first_offset < wanted);
            return Ok(Source::Memory(frames.cloned().collect()));
        }
        let after = self.segments.partition_point(|segment| segment.first <= offset);
        let Some(segment) = after.checked_sub(1).and_then(|i| self.segments.get(i)) else {
            return Err(LogError::Forgotten { asked: offset, first: self.first() });
        };
        let (first_offset, at) = segment.place(offset);
        Ok(Source::Disk { path: segment.path.clone(), at, first_offset, bytes: segment.bytes })
    }

    /// How many of the oldest segments may be deleted: confirmed, and not wanted by the window. Of those that
    /// only the window wants, the newest [`WINDOW_SEGMENTS_MAX`] stay. The last segment always stays.
    fn deletable(&self) -> usize {
        let closed = self.segments.len().saturating_sub(1);
        let confirmed = self.segments.iter().take(closed).take_while(|s| s.end <= self.forgotten).count();
        let beyond_window = self.segments.iter().take(confirmed).take_while(|s| s.end <= self.window_first).count();
        beyond_window.max(confirmed.saturating_sub(WINDOW_SEGMENTS_MAX))
    }
}
