//! The handle that the rest of the site holds.

use super::check::{self, LogReport};
use super::error::{AppendError, LogError};
use super::frame::{Key, PUBLISH_BYTES_MAX, PUBLISH_READINGS_MAX};
use super::read;
use super::recovery::{self, Recovered};
use super::state::{LogStats, Shared, State, lock};
use super::watermark::Watermark;
use super::writer::{Item, Job, Writer};
use protocol::limits::{UNIT_BYTES_MAX, VALUE_BYTES_MAX};
use protocol::{Encode, Reading, Value};
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Publishes that may wait in the queue: one of each connection that the embedded broker takes by default, and some.
const QUEUE_PUBLISHES_MAX: usize = 32_768;
/// What a publish takes in memory beside its readings' bytes, about.
const PUBLISH_OVERHEAD_BYTES: usize = 64;
/// What a reading takes in a frame beside its bytes, at most.
const READING_OVERHEAD_BYTES: usize = 4;

/// How a log behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment that would grow over so many bytes is followed by a new one. Default 8 MiB.
    pub segment_bytes: u64,
    /// Bytes of unconfirmed readings that are kept at most; then appends are refused. Default 1 GiB.
    pub limit_bytes: u64,
    /// Appends are refused while the disk has fewer bytes free. Default 64 MiB.
    pub min_free_bytes: u64,
    /// Publishes that are remembered for deduplication. Default 100 000.
    pub window: usize,
    /// Bytes of the publishes that may wait for the disk. Default 16 MiB.
    pub queue_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, limit_bytes: 1 << 30, min_free_bytes: 64 << 20, window: 100_000, queue_bytes: 16 << 20 }
    }
}

/// A publish to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The fingerprint of a publish that its publisher may send again (client, packet id, topic and bytes).
    pub origin: Option<[u8; 16]>,
    /// Whether the publisher says that it may have sent it before. Only then is the origin compared; it is
    /// remembered always.
    pub dup: bool,
    /// What it tells: 1 to [`PUBLISH_READINGS_MAX`] readings.
    pub readings: Vec<Reading>,
}

/// What became of a publish.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    /// Its new readings are durable.
    Stored {
        /// The offset of the first; the others follow.
        first_offset: u64,
        /// The readings that were new, in order, at least one.
        fresh: Vec<Reading>,
    },
    /// All of it was durable before.
    Duplicate,
}

/// The site's durable log of accepted readings. Clones are handles of the same log; it is closed by
/// [`SiteLog::close`] or when the last handle is dropped. Both wait for what is queued to be written.
#[derive(Clone)]
pub struct SiteLog {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    end: watch::Receiver<u64>,
    queue_bytes: usize,
    queue: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Locked while the log is open.
    _lock: File,
}

impl fmt::Debug for SiteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteLog({}, end {})", self.inner.shared.dir.display(), self.end())
    }
}

impl SiteLog {
    /// Opens the log in `dir`, which is created if need be, and recovers it: every frame is checked, a torn tail
    /// of the last segment is cut off with a warning, and the deduplication window is rebuilt. Blocks on files.
    ///
    /// # Errors
    /// [`LogError::Locked`] if it is open elsewhere, [`LogError::Damaged`] if bytes that were durable are not
    /// what was written, [`LogError::Io`] if the operating system refuses.
    pub fn open(dir: &Path, config: LogConfig) -> Result<Self, LogError> {
        let Recovered { lock: held, segments, file, end, forgotten, saved, window } = recovery::recover(dir, config.window)?;
        let file_bytes = segments.back().map_or(0, |segment| segment.bytes);
        let window_first = window.first_offset().unwrap_or(end);
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            state: Mutex::new(State::new(segments, end, forgotten, window_first)),
            watermark: Mutex::new(Watermark::new(dir.to_path_buf(), saved)),
            counters: super::state::Counters::default(),
            queued_bytes: AtomicUsize::new(0),
        });
        let (queue, jobs) = mpsc::sync_channel(QUEUE_PUBLISHES_MAX);
        let (end, seen) = watch::channel(end);
        let queue_bytes = config.queue_bytes;
        let writer = Writer::new(shared.clone(), config, window, end, file, file_bytes);
        let writer = std::thread::Builder::new()
            .name("site-log".into())
            .spawn(move || writer.run(&jobs))
            .map_err(LogError::io("start the writer's thread for", dir))?;
        let (queue, writer) = (Mutex::new(Some(queue)), Mutex::new(Some(writer)));
        Ok(Self { inner: Arc::new(Inner { shared, end: seen, queue_bytes, queue, writer, _lock: held }) })
    }

    /// Stores a publish. Readings whose id is in the window are dropped; the answer comes after the `fdatasync`
    /// of its group. The publish is stored even if the future is dropped before.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the publish was kept, and it must not be acknowledged.
    pub async fn append(&self, entry: Entry) -> Result<Appended, AppendError> {
        let answer = self.enqueue(entry)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    fn enqueue(&self, entry: Entry) -> Result<oneshot::Receiver<Result<Appended, AppendError>>, AppendError> {
        let (answer, wait) = oneshot::channel();
        let job = job(entry, answer)?;
        let queue = lock(&self.inner.queue);
        let Some(queue) = queue.as_ref() else {
            return Err(AppendError::Closed);
        };
        let (cost_bytes, queued_bytes) = (job.cost_bytes, &self.inner.shared.queued_bytes);
        if queued_bytes.fetch_add(cost_bytes, Ordering::Relaxed).saturating_add(cost_bytes) > self.inner.queue_bytes {
            queued_bytes.fetch_sub(cost_bytes, Ordering::Relaxed);
            return Err(AppendError::Overloaded);
        }
        queue.try_send(job).map_err(|error| {
            queued_bytes.fetch_sub(cost_bytes, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => AppendError::Overloaded,
                TrySendError::Disconnected(_) => AppendError::Closed,
            }
        })?;
        Ok(wait)
    }

    /// The offset that the next reading will have; all below are durable.
    #[must_use]
    pub fn end(&self) -> u64 {
        *self.inner.end.borrow()
    }

    /// Waits until [`SiteLog::end`] is past `offset`, and gives it. Once the log is closed it gives the last end
    /// at once, which may not be past `offset`.
    pub async fn wait_past(&self, offset: u64) -> u64 {
        let mut end = self.inner.end.clone();
        let reached = end.wait_for(|end| *end > offset).await.map(|end| *end);
        reached.unwrap_or_else(|_| self.end())
    }

    /// Up to `max` readings in order, starting exactly at `from`, with their offsets; none if `from` is the end.
    /// It may give fewer than there are once it has [`super::READ_BYTES_MAX`] of them, but at least one. The newest
    /// are in memory; for older ones it blocks on files.
    ///
    /// # Errors
    /// [`LogError::Forgotten`] if `from` was deleted, [`LogError::PastEnd`] if it is past the end,
    /// [`LogError::Damaged`] or [`LogError::Io`] if a segment cannot be read.
    pub fn read(&self, from: u64, max: usize) -> Result<Vec<(u64, Reading)>, LogError> {
        read::read(&self.inner.shared, from, max)
    }

    /// Says that the readings below offset `below` are confirmed. Their whole segments are deleted, except what
    /// the deduplication window needs; the watermark never goes back. Blocks on files.
    ///
    /// # Errors
    /// [`LogError::PastEnd`] if `below` is past the end, [`LogError::Io`] if the operating system refuses; then
    /// the watermark has moved, and the next call tries again.
    pub fn forget(&self, below: u64) -> Result<(), LogError> {
        self.inner.shared.forget(below)
    }

    /// The watermark: readings below are confirmed. After a crash it may be older than what [`SiteLog::forget`]
    /// was told.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        lock(&self.inner.shared.state).forgotten
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.inner.shared.stats()
    }

    /// Stores what is queued, ends the writer's thread and saves the watermark. Appends are refused from now on;
    /// reading goes on. Blocks on files. The directory stays locked until the last handle is dropped.
    ///
    /// # Errors
    /// [`LogError::Io`] if the watermark cannot be saved: it stays older.
    pub fn close(&self) -> Result<(), LogError> {
        self.inner.close()
    }

    /// Checks a log without changing it: every checksum, every reading, every offset. The log may be open, but
    /// what is just being written may then show as a torn tail.
    ///
    /// # Errors
    /// [`LogError::Io`] if a file cannot be read. Damage is not an error but part of the report.
    pub fn check(dir: &Path) -> Result<LogReport, LogError> {
        check::check(dir)
    }
}

impl Inner {
    fn close(&self) -> Result<(), LogError> {
        drop(lock(&self.queue).take());
        if let Some(writer) = lock(&self.writer).take()
            && writer.join().is_err()
        {
            tracing::error!(dir = %self.shared.dir.display(), "the thread that writes the log panicked");
        }
        self.shared.save_watermark()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the watermark of the log was not saved; some confirmed readings will be offered again");
        }
    }
}

/// Checks an entry's bounds, and encodes and hashes its readings on the caller's thread.
fn job(entry: Entry, answer: oneshot::Sender<Result<Appended, AppendError>>) -> Result<Job, AppendError> {
    let count = entry.readings.len();
    if count == 0 || count > PUBLISH_READINGS_MAX {
        return Err(AppendError::Invalid(format!("it has {count} readings, allowed are 1 to {PUBLISH_READINGS_MAX}")));
    }
    let mut cost_bytes = PUBLISH_OVERHEAD_BYTES;
    let mut items = Vec::with_capacity(count);
    for reading in entry.readings {
        storable(&reading).map_err(|why| AppendError::Invalid(format!("the reading {}: {why}", reading.name())))?;
        let bytes = reading.encode();
        let id = identity(&reading);
        cost_bytes += bytes.len() + READING_OVERHEAD_BYTES;
        items.push(Item { reading, id, bytes });
    }
    if cost_bytes > PUBLISH_BYTES_MAX {
        return Err(AppendError::Invalid(format!("its readings take {cost_bytes} bytes, the limit is {PUBLISH_BYTES_MAX}")));
    }
    Ok(Job { origin: entry.origin, dup: entry.dup, items, cost_bytes, answer })
}

/// Whether a reading's encoding can be read back.
fn storable(reading: &Reading) -> Result<(), &'static str> {
    if reading.unit.as_ref().is_some_and(|unit| unit.len() > UNIT_BYTES_MAX) {
        return Err("its unit is too long");
    }
    if reading.signed.is_some() && reading.sequence.is_none() {
        return Err("it is signed and has no sequence number");
    }
    match &reading.value {
        Value::Number(number) if !number.is_finite() => Err("its number is not finite"),
        Value::Number(number) if *number == 0.0 && number.is_sign_negative() => Err("its zero is negative"),
        Value::Text(text) if text.len() > VALUE_BYTES_MAX => Err("its text is too long"),
        Value::Bytes(bytes) if bytes.len() > VALUE_BYTES_MAX => Err("its bytes are too many"),
        _ => Ok(()),
    }
}

/// What a repetition of a reading has in common with it: its id; or, if its device numbers its readings, everything
/// but the time, since a repetition without a time of its own gets that of its arrival. The first half of a hash
/// is enough to tell the readings of one site apart.
pub(super) fn identity(reading: &Reading) -> Key {
    let hash = match reading.sequence {
        None => reading.id(),
        Some(_) => Reading { time_us: 0, ..reading.clone() }.id(),
    };
    let mut key = Key::default();
    key.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    key
}
