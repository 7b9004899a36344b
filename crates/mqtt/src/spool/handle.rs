//! The handle that the rest of the process holds.

use super::error::SpoolError;
use super::record::Record;
use super::store::{self, Step};
use super::writer::{Job, Shared, Writer, lengths};
use redb::Database;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Changes that may wait for the disk.
const WAITING_MAX: usize = 8192;
/// Bytes that may wait for the disk.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// What a change takes in memory beside its bytes, about.
const OVERHEAD_BYTES: usize = 128;
/// What a full spool may still have room for: a record of usual size.
const RESERVE_BYTES: u64 = 64 << 10;
/// How long a look at the free space holds.
const SPACE_AGE_MAX: Duration = Duration::from_millis(100);

/// How a spool behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes of records that it holds at most; then changes that append are refused. Default 1 GiB.
    pub limit_bytes: u64,
    /// Changes that append are refused while the disk has fewer bytes free. Default 64 MiB.
    pub min_free_bytes: u64,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { limit_bytes: 1 << 30, min_free_bytes: 64 << 20 }
    }
}

/// What is written together: all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Queues and the records to append to them, in order.
    pub append: Vec<(String, Record)>,
    /// Notes to set, or to remove.
    pub notes: Vec<(String, Option<Vec<u8>>)>,
}

/// A change on its way to the disk. It goes there even if this is dropped.
#[must_use = "wait() tells when it is durable"]
#[derive(Debug)]
pub struct Durable(oneshot::Receiver<Result<(), SpoolError>>);

impl Durable {
    /// Until the change is on the disk.
    ///
    /// # Errors
    /// [`SpoolError::Broken`] if the file could not be written, [`SpoolError::Closed`] if the spool was closed first.
    pub async fn wait(self) -> Result<(), SpoolError> {
        self.0.await.unwrap_or(Err(SpoolError::Closed))
    }
}

/// Figures of a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Bytes of records, stored and on their way.
    pub bytes: u64,
    /// Groups committed since the start.
    pub groups: u64,
    /// Records and bytes of each queue.
    pub queues: BTreeMap<String, (u64, u64)>,
}

/// A durable set of queues. Clones are handles of the same one; it is closed by [`Spool::close`] or when the last is dropped.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    config: SpoolConfig,
    shared: Arc<Shared>,
    database: Mutex<Option<Arc<Database>>>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    commits: watch::Receiver<u64>,
    space: Mutex<Option<(Instant, u64)>>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spool({})", self.inner.file.display())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spool {
    /// Opens the spool in `file`, which is created if need be. Blocks on files.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] if it is open elsewhere, [`SpoolError::Store`] if the file cannot be used.
    pub fn open(file: &Path, config: SpoolConfig) -> Result<Self, SpoolError> {
        let (database, extents) = store::open(file)?;
        let database = Arc::new(database);
        let shared = Arc::new(Shared::new(extents));
        let (jobs, queue) = mpsc::sync_channel(WAITING_MAX);
        let (commits, seen) = watch::channel(0);
        let writer = Writer { database: database.clone(), shared: shared.clone(), commits };
        let writer = std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(&queue))
            .map_err(|e| SpoolError::Store { file: file.to_path_buf(), why: format!("its thread does not start: {e}") })?;
        Ok(Self {
            inner: Arc::new(Inner {
                file: file.to_path_buf(),
                config,
                shared,
                database: Mutex::new(Some(database)),
                jobs: Mutex::new(Some(jobs)),
                writer: Mutex::new(Some(writer)),
                commits: seen,
                space: Mutex::new(None),
            }),
        })
    }

    /// Queues a change. It does not wait: the order of calls is the order in the file.
    ///
    /// # Errors
    /// [`SpoolError`]; nothing of the change is kept.
    pub fn submit(&self, change: Change) -> Result<Durable, SpoolError> {
        let (answer, wait) = oneshot::channel();
        self.enqueue(change, Some(answer))?;
        Ok(Durable(wait))
    }

    /// Queues a change that nobody waits for. In a crash it may be lost, though never before what was submitted earlier.
    ///
    /// # Errors
    /// As [`Spool::submit`].
    pub fn mention(&self, change: Change) -> Result<(), SpoolError> {
        self.enqueue(change, None)
    }

    fn enqueue(&self, change: Change, answer: Option<oneshot::Sender<Result<(), SpoolError>>>) -> Result<(), SpoolError> {
        if let Some(why) = self.inner.shared.broken() {
            return Err(SpoolError::Broken(why));
        }
        let mut appends = Vec::with_capacity(change.append.len());
        for (queue, record) in change.append {
            appends.push((queue, record.encode()?));
        }
        let record_bytes: usize = appends.iter().map(|(_, bytes)| bytes.len()).sum();
        let note_bytes: usize = change.notes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        if record_bytes > 0 {
            self.space()?;
            let limit_bytes = self.inner.config.limit_bytes;
            let bytes = self.inner.shared.bytes.fetch_add(record_bytes as u64, Ordering::Relaxed);
            if bytes.saturating_add(record_bytes as u64) > limit_bytes {
                self.inner.shared.bytes.fetch_sub(record_bytes as u64, Ordering::Relaxed);
                return Err(SpoolError::Full { bytes, limit_bytes });
            }
        }
        let cost_bytes = OVERHEAD_BYTES + record_bytes + note_bytes;
        let sent = self.send(Job { step: Step::Change { appends, notes: change.notes }, cost_bytes, answer });
        if sent.is_err() {
            self.inner.shared.bytes.fetch_sub(record_bytes as u64, Ordering::Relaxed);
        }
        sent
    }

    fn send(&self, job: Job) -> Result<(), SpoolError> {
        let (cost_bytes, waiting) = (job.cost_bytes, &self.inner.shared.waiting_bytes);
        let jobs = lock(&self.inner.jobs);
        let Some(jobs) = jobs.as_ref() else { return Err(SpoolError::Closed) };
        let refuse = |error| {
            waiting.fetch_sub(cost_bytes, Ordering::Relaxed);
            Err(error)
        };
        if waiting.fetch_add(cost_bytes, Ordering::Relaxed).saturating_add(cost_bytes) > WAITING_BYTES_MAX {
            return refuse(SpoolError::Overloaded);
        }
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => refuse(SpoolError::Overloaded),
            Err(TrySendError::Disconnected(_)) => refuse(SpoolError::Closed),
        }
    }

    /// Whether the disk has room.
    fn space(&self) -> Result<(), SpoolError> {
        let min_free_bytes = self.inner.config.min_free_bytes;
        let mut seen = lock(&self.inner.space);
        let free_bytes = match *seen {
            Some((at, free_bytes)) if at.elapsed() < SPACE_AGE_MAX => free_bytes,
            _ => {
                let failed = |why: String| SpoolError::Store { file: self.inner.file.clone(), why };
                let found = rustix::fs::statvfs(self.inner.file.as_path()).map_err(|e| failed(format!("its free space: {e}")))?;
                let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
                *seen = Some((Instant::now(), free_bytes));
                free_bytes
            }
        };
        if free_bytes < min_free_bytes {
            return Err(SpoolError::NoSpace { free_bytes, min_free_bytes });
        }
        Ok(())
    }

    /// Whether a larger record would be refused because of the limit: what a source should stop at.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let limit_bytes = self.inner.config.limit_bytes;
        let reserve_bytes = RESERVE_BYTES.min(limit_bytes / 8);
        self.inner.shared.bytes.load(Ordering::Relaxed).saturating_add(reserve_bytes) >= limit_bytes
    }

    /// Drops the records of `queue` below position `below`. In a crash some may come back. If too much waits for the disk
    /// nothing is done: the next call covers it.
    pub fn forget(&self, queue: &str, below: u64) {
        // Without room, or closed, the records stay and are offered again: allowed by the rules.
        let _ = self.send(Job { step: Step::Forget { queue: queue.to_owned(), below }, cost_bytes: OVERHEAD_BYTES, answer: None });
    }

    /// Up to `max` records of `queue` from position `from` on, in order; none at its end.
    ///
    /// # Errors
    /// [`SpoolError::Store`] if the file cannot be read, [`SpoolError::Closed`].
    pub async fn read(&self, queue: &str, from: u64, max: usize) -> Result<Vec<(u64, Record)>, SpoolError> {
        if self.end(queue) <= from {
            return Ok(Vec::new());
        }
        let (database, name) = (self.database()?, queue.to_owned());
        let read = tokio::task::spawn_blocking(move || store::read(&database, &name, from, max).map_err(|e| e.to_string()));
        let failed = |why: String| SpoolError::Store { file: self.inner.file.clone(), why };
        read.await.map_err(|e| failed(e.to_string()))?.map_err(failed)
    }

    /// The notes whose keys begin with `prefix`, in the order of their keys. Blocks on files.
    ///
    /// # Errors
    /// As [`Spool::read`].
    pub fn notes(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        let database = self.database()?;
        store::notes(&database, prefix).map_err(|e| SpoolError::Store { file: self.inner.file.clone(), why: e.to_string() })
    }

    fn database(&self) -> Result<Arc<Database>, SpoolError> {
        lock(&self.inner.database).clone().ok_or(SpoolError::Closed)
    }

    /// The position of the oldest record of `queue`, or of the next if there is none.
    #[must_use]
    pub fn first(&self, queue: &str) -> u64 {
        lock(&self.inner.shared.extents).get(queue).map_or(1, |e| e.first)
    }

    /// The position that the next record of `queue` gets.
    #[must_use]
    pub fn end(&self, queue: &str) -> u64 {
        lock(&self.inner.shared.extents).get(queue).map_or(1, |e| e.next)
    }

    /// Changes with every commit: there may be more to read.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.commits.clone()
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        SpoolStats {
            bytes: self.inner.shared.bytes.load(Ordering::Relaxed),
            groups: self.inner.shared.groups.load(Ordering::Relaxed),
            queues: lengths(&lock(&self.inner.shared.extents)),
        }
    }

    /// Writes what is queued and lets go of the file. Everything is refused from now on. Blocks on files.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        drop(lock(&self.jobs).take());
        if let Some(writer) = lock(&self.writer).take()
            && writer.join().is_err()
        {
            tracing::error!(file = %self.file.display(), "the thread that writes the spool panicked");
        }
        drop(lock(&self.database).take());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn record(n: u64) -> Record {
        Record {
            topic: format!("t/{n}"),
            payload: vec![7; 100],
            origin: "o".into(),
            sequence: n,
            properties: vec![("k".into(), "v".into())],
        }
    }

    fn append(queue: &str, n: u64) -> Change {
        Change { append: vec![(queue.into(), record(n))], notes: vec![("next".into(), Some(n.to_be_bytes().to_vec()))] }
    }

    fn open(dir: &Path, config: SpoolConfig) -> Spool {
        Spool::open(&dir.join("spool"), config).unwrap()
    }

    async fn sequences(spool: &Spool, queue: &str, from: u64) -> Vec<u64> {
        spool.read(queue, from, 1000).await.unwrap().into_iter().map(|(_, r)| r.sequence).collect()
    }

    #[tokio::test]
    async fn first_in_first_out_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), SpoolConfig::default());
        let waiting: Vec<_> = (1..=50).map(|n| spool.submit(append("up", n)).unwrap()).collect();
        for durable in waiting {
            durable.wait().await.unwrap();
        }
        spool.submit(append("down", 9)).unwrap().wait().await.unwrap();
        assert_eq!(sequences(&spool, "up", 1).await, (1..=50).collect::<Vec<_>>());
        assert_eq!(spool.read("up", 3, 2).await.unwrap(), [(3, record(3)), (4, record(4))]);
        spool.forget("up", 21);
        assert!(matches!(Spool::open(&dir.path().join("spool"), SpoolConfig::default()), Err(SpoolError::Locked(_))));
        spool.close();
        assert_eq!(spool.submit(append("up", 1)).err(), Some(SpoolError::Closed));

        let spool = open(dir.path(), SpoolConfig::default());
        assert_eq!((spool.first("up"), spool.end("up")), (21, 51));
        assert_eq!(sequences(&spool, "up", 0).await, (21..=50).collect::<Vec<_>>());
        assert_eq!(sequences(&spool, "down", 1).await, [9]);
        assert_eq!(spool.notes("ne").unwrap(), [("next".to_string(), 9u64.to_be_bytes().to_vec())]);
        spool.forget("up", u64::MAX);
        spool.submit(append("up", 60)).unwrap().wait().await.unwrap();
        assert_eq!(spool.read("up", 1, 9).await.unwrap(), [(51, record(60))], "positions are never used again");
    }

    /// What was durable is in a copy of the file as it is now, as after a kill: the copy is opened and read.
    #[tokio::test]
    async fn what_is_durable_survives_a_kill() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), SpoolConfig::default());
        for n in 1..=20 {
            spool.submit(append("up", n)).unwrap().wait().await.unwrap();
            if n % 5 == 0 {
                let copy = tempfile::tempdir().unwrap();
                std::fs::copy(dir.path().join("spool"), copy.path().join("spool")).unwrap();
                let again = open(copy.path(), SpoolConfig::default());
                assert_eq!(sequences(&again, "up", 1).await, (1..=n).collect::<Vec<_>>());
                assert_eq!(again.notes("next").unwrap()[0].1, n.to_be_bytes(), "the note belongs to the same change");
            }
        }
    }

    #[tokio::test]
    async fn a_full_spool_refuses_and_recovers() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), SpoolConfig { limit_bytes: 1000, ..SpoolConfig::default() });
        let mut kept = 0;
        let refused = loop {
            match spool.submit(append("up", kept + 1)) {
                Ok(durable) => durable.wait().await.unwrap(),
                Err(error) => break error,
            }
            kept += 1;
        };
        assert!(matches!(refused, SpoolError::Full { limit_bytes: 1000, .. }) && refused.is_passing(), "{refused}");
        assert!((5..10).contains(&kept), "{kept}");
        let note = Change { append: vec![], notes: vec![("n".into(), Some(vec![1]))] };
        spool.submit(note).unwrap().wait().await.unwrap();
        let bytes = spool.stats().bytes;
        spool.forget("up", 3);
        let mut commits = spool.commits();
        while spool.stats().bytes >= bytes {
            commits.changed().await.unwrap();
        }
        spool.submit(append("up", kept + 1)).unwrap().wait().await.unwrap();
        assert_eq!(sequences(&spool, "up", 1).await, (3..=kept + 1).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn without_room_on_the_disk_nothing_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let spool = open(dir.path(), SpoolConfig { min_free_bytes: u64::MAX, ..SpoolConfig::default() });
        assert!(matches!(spool.submit(append("up", 1)), Err(SpoolError::NoSpace { .. })));
        assert_eq!(spool.stats().bytes, 0);
    }

    #[test]
    fn a_file_that_is_no_spool_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("spool"), vec![b'x'; 5000]).unwrap();
        assert!(matches!(Spool::open(&dir.path().join("spool"), SpoolConfig::default()), Err(SpoolError::Store { .. })));
    }
}
