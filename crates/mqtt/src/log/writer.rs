//! The thread that owns the files: it forms groups, writes them and answers.

use super::error::AppendError;
use super::frame::{Frame, FrameBuilder, GROUP_BYTES_MAX, HEADER_BYTES, Key};
use super::segment::{self, SEGMENT_HEADER_BYTES};
use super::site_log::{Appended, LogConfig};
use super::state::{Shared, lock};
use super::window::Window;
use protocol::Reading;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How long a look at the free space holds.
const SPACE_AGE_MAX: Duration = Duration::from_millis(100);
/// How many bytes may be written before the free space is looked at again.
const SPACE_WRITTEN_MAX: u64 = 1 << 20;

/// A reading on its way into the log.
pub(super) struct Item {
    pub(super) reading: Reading,
    pub(super) id: Key,
    pub(super) bytes: Vec<u8>,
}

/// A publish on its way into the log.
pub(super) struct Job {
    pub(super) origin: Option<Key>,
    pub(super) dup: bool,
    pub(super) items: Vec<Item>,
    /// What it takes in a frame, and in the queue.
    pub(super) cost_bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// A job and the answer it gets once its group is durable.
type Planned = (oneshot::Sender<Result<Appended, AppendError>>, Result<Appended, AppendError>);

/// How long a group is gathered under load,
const GATHER: Duration = Duration::from_micros(300);
/// which is when the last one had more publishes than this.
const COMPANY: usize = 4;

/// The owner of the files.
pub(super) struct Writer {
    shared: Arc<Shared>,
    config: LogConfig,
    window: Window,
    end: watch::Sender<u64>,
    file: File,
    /// Durable bytes of the file.
    file_bytes: u64,
    /// Whether the file may have bytes after them.
    dirty: bool,
    /// Whether a new segment was begun and not finished.
    rotating: bool,
    space: Space,
}

/// The free space as it was seen last.
struct Space {
    free_bytes: u64,
    seen: Option<Instant>,
    written_bytes: u64,
}

/// What may still be written.
struct Room {
    pending_bytes: u64,
    limit_bytes: u64,
}

impl Room {
    fn check(&self, bytes: usize) -> Result<(), AppendError> {
        if self.pending_bytes.saturating_add(bytes as u64) > self.limit_bytes {
            return Err(AppendError::Full { pending_bytes: self.pending_bytes, limit_bytes: self.limit_bytes });
        }
        Ok(())
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        config: LogConfig,
        window: Window,
        end: watch::Sender<u64>,
        file: File,
        file_bytes: u64,
    ) -> Self {
        let space = Space { free_bytes: 0, seen: None, written_bytes: 0 };
        Self { shared, config, window, end, file, file_bytes, dirty: false, rotating: false, space }
    }

    /// Writes groups until every sender of the queue is gone and the queue is empty.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        let (mut jobs, mut company) = (Vec::new(), false);
        while let Ok(first) = queue.recv() {
            if company {
                // alone, a publish is written at once; where the last group had several, many come: a moment more
                // makes the next one larger, and syncs and wake-ups fewer
                std::thread::sleep(GATHER);
            }
            let mut bytes = first.cost_bytes;
            jobs.push(first);
            while bytes < GROUP_BYTES_MAX
                && let Ok(next) = queue.try_recv()
            {
                bytes += next.cost_bytes;
                jobs.push(next);
            }
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            company = jobs.len() > COMPANY;
            self.group(&mut jobs, bytes);
        }
    }

    /// Stores and answers one group.
    fn group(&mut self, jobs: &mut Vec<Job>, bytes: usize) {
        let room = self.room();
        let mut frame = FrameBuilder::new(*self.end.borrow(), bytes);
        let planned: Vec<Planned> = jobs.drain(..).map(|job| self.plan(job, room.as_ref(), &mut frame)).collect();
        let written = match frame.finish() {
            Some(frame) => self.write(frame),
            None => Ok(()),
        };
        match &written {
            Ok(()) => {
                self.window.commit();
                let mut state = lock(&self.shared.state);
                state.window_first = self.window.first_offset().unwrap_or(state.end);
            }
            Err(_) => self.window.rollback(),
        }
        for (answer, outcome) in planned {
            let outcome = written.clone().and(outcome);
            self.count(&outcome);
            // A publisher that is gone needs no answer; its readings are kept all the same.
            let _ = answer.send(outcome);
        }
    }

    /// What becomes of a publish if its group can be written.
    fn plan(&mut self, job: Job, room: Result<&Room, &AppendError>, frame: &mut FrameBuilder) -> Planned {
        let Job { origin, dup, mut items, cost_bytes, answer } = job;
        if dup && origin.is_some_and(|origin| self.window.knows_origin(&origin)) {
            return (answer, Ok(Appended::Duplicate));
        }
        let (mut own, alone) = (HashSet::new(), items.len() == 1);
        items.retain(|item| !self.window.knows_reading(&item.id) && (alone || own.insert(item.id)));
        if items.is_empty() {
            return (answer, Ok(Appended::Duplicate));
        }
        if let Err(full) = room.map_err(Clone::clone).and_then(|room| room.check(frame.len() + cost_bytes)) {
            return (answer, Err(full));
        }
        let first_offset = frame.next_offset();
        self.window.put(first_offset, items.iter().map(|item| item.id), origin);
        frame.push(origin.as_ref(), items.iter().map(|item| item.bytes.as_slice()));
        let fresh = items.into_iter().map(|item| item.reading).collect();
        (answer, Ok(Appended::Stored { first_offset, fresh }))
    }

    fn count(&self, outcome: &Result<Appended, AppendError>) {
        let counters = &self.shared.counters;
        match outcome {
            Ok(Appended::Stored { fresh, .. }) => {
                counters.publishes.fetch_add(1, Ordering::Relaxed);
                counters.readings.fetch_add(fresh.len() as u64, Ordering::Relaxed);
            }
            Ok(Appended::Duplicate) => {
                counters.duplicates.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    /// How much may be written now.
    fn room(&mut self) -> Result<Room, AppendError> {
        let (dir, min_free_bytes) = (&self.shared.dir, self.config.min_free_bytes);
        let fresh = self.space.seen.is_some_and(|seen| seen.elapsed() < SPACE_AGE_MAX) && self.space.written_bytes < SPACE_WRITTEN_MAX;
        if !fresh {
            let found = rustix::fs::statvfs(dir.as_path())
                .map_err(|e| AppendError::Failed(format!("the free space under {} cannot be read: {e}", dir.display())))?;
            let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
            self.space = Space { free_bytes, seen: Some(Instant::now()), written_bytes: 0 };
        }
        let free_bytes = self.space.free_bytes.saturating_sub(self.space.written_bytes);
        if free_bytes < min_free_bytes {
            return Err(AppendError::DiskFull { dir: dir.clone(), free_bytes, min_free_bytes });
        }
        Ok(Room { pending_bytes: lock(&self.shared.state).pending_bytes(), limit_bytes: self.config.limit_bytes })
    }

    /// Makes a frame durable and lets readers see it, or leaves nothing of it.
    fn write(&mut self, frame: Frame) -> Result<(), AppendError> {
        if let Err(error) = self.try_write(&frame) {
            self.dirty = true;
            tracing::warn!(dir = %self.shared.dir.display(), %error, "a group of readings could not be written");
            // If the cut fails too, the next group begins with it.
            if let Err(error) = self.cut() {
                tracing::warn!(dir = %self.shared.dir.display(), %error, "the unwritten group could not be cut off");
            }
            self.space.seen = None;
            return Err(match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    AppendError::DiskFull { dir: self.shared.dir.clone(), free_bytes: 0, min_free_bytes: self.config.min_free_bytes }
                }
                _ => AppendError::Failed(format!("{}: {error}", self.shared.dir.display())),
            });
        }
        self.file_bytes += frame.bytes().len() as u64;
        self.space.written_bytes += frame.bytes().len() as u64;
        self.shared.counters.groups.fetch_add(1, Ordering::Relaxed);
        let end = frame.end();
        lock(&self.shared.state).add(frame);
        self.end.send_replace(end);
        Ok(())
    }

    fn try_write(&mut self, frame: &Frame) -> io::Result<()> {
        self.cut()?;
        let after = self.file_bytes.saturating_add(frame.bytes().len() as u64);
        if self.file_bytes > SEGMENT_HEADER_BYTES && (self.rotating || after > self.config.segment_bytes) {
            // once begun, a rotation is finished: an unfinished segment's file must not end up inside the old one's range
            self.rotating = true;
            let (file, segment) = segment::create(&self.shared.dir, frame.first_offset)?;
            (self.file, self.file_bytes) = (file, SEGMENT_HEADER_BYTES);
            self.rotating = false;
            lock(&self.shared.state).segments.push_back(segment);
        }
        self.file.write_all_at(frame.bytes(), self.file_bytes)?;
        self.file.sync_data()
    }

    /// Cuts off what a failed write may have left.
    fn cut(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.file_bytes)?;
            self.file.sync_all()?;
            self.dirty = false;
        }
        Ok(())
    }
}

// A whole group fits one frame: the last publish is taken below GROUP_BYTES_MAX.
const _: () = assert!(HEADER_BYTES + GROUP_BYTES_MAX + super::frame::PUBLISH_BYTES_MAX <= u32::MAX as usize);
