//! The thread that owns the writing side of the file: it gathers groups, commits them and answers.

use super::error::SpoolError;
use super::store::{self, Extents, Step};
use redb::Database;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{oneshot, watch};

/// Bytes that one group gathers.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Steps that one group gathers.
const GROUP_STEPS_MAX: usize = 4096;
/// Groups that nobody waits for before one is synced all the same: until then their pages cannot be used again.
const UNSYNCED_GROUPS_MAX: u32 = 64;

/// A step on its way to the file.
pub(super) struct Job {
    pub(super) step: Step,
    /// What it takes in memory.
    pub(super) cost_bytes: usize,
    /// Who waits for it; nobody for what may be lost in a crash.
    pub(super) answer: Option<oneshot::Sender<Result<(), SpoolError>>>,
}

/// What the handles and the writer share.
pub(super) struct Shared {
    /// Where the queues stand, as of the last commit.
    pub(super) extents: Mutex<Extents>,
    /// Bytes of records, stored and on their way.
    pub(super) bytes: AtomicU64,
    /// Bytes that wait for the disk.
    pub(super) waiting_bytes: AtomicUsize,
    /// Why it takes nothing any more.
    pub(super) broken: Mutex<Option<String>>,
    /// Groups committed.
    pub(super) groups: AtomicU64,
}

impl Shared {
    pub(super) fn new(extents: Extents) -> Self {
        let bytes = extents.values().map(|e| e.bytes).sum();
        Self {
            extents: Mutex::new(extents),
            bytes: AtomicU64::new(bytes),
            waiting_bytes: AtomicUsize::new(0),
            broken: Mutex::new(None),
            groups: AtomicU64::new(0),
        }
    }

    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The owner of the writing side.
pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) shared: Arc<Shared>,
    pub(super) commits: watch::Sender<u64>,
}

impl Writer {
    /// Writes groups until every sender of the queue is gone and the queue is empty.
    pub(super) fn run(self, queue: &Receiver<Job>) {
        let mut extents = self.shared.extents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut unsynced = 0;
        while let Ok(first) = queue.recv() {
            let mut bytes = first.cost_bytes;
            let mut jobs = vec![first];
            while bytes < GROUP_BYTES_MAX
                && jobs.len() < GROUP_STEPS_MAX
                && let Ok(next) = queue.try_recv()
            {
                bytes += next.cost_bytes;
                jobs.push(next);
            }
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let durable = unsynced >= UNSYNCED_GROUPS_MAX || jobs.iter().any(|job| job.answer.is_some());
            self.group(jobs, &mut extents, durable);
            unsynced = if durable { 0 } else { unsynced + 1 };
        }
        // what nobody waited for is made durable at the end, so that the next start need not do it again
        if unsynced > 0
            && self.shared.broken().is_none()
            && let Err(error) = store::apply(&self.database, &[], &mut extents, true)
        {
            tracing::warn!(%error, "the last changes of the spool were not synced");
        }
    }

    /// Commits a group and answers.
    fn group(&self, jobs: Vec<Job>, extents: &mut Extents, durable: bool) {
        let (steps, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.step, job.answer)).unzip();
        let result = match self.shared.broken() {
            Some(why) => Err(SpoolError::Broken(why)),
            None => store::apply(&self.database, &steps, extents, durable).map_err(|error| {
                let why = error.to_string();
                tracing::error!(%why, "the spool could not be written; it takes nothing until it is opened again");
                *self.shared.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                SpoolError::Broken(why)
            }),
        };
        if let Ok(freed_bytes) = result {
            self.shared.bytes.fetch_sub(freed_bytes, Ordering::Relaxed);
            self.shared.groups.fetch_add(1, Ordering::Relaxed);
            *self.shared.extents.lock().unwrap_or_else(PoisonError::into_inner) = extents.clone();
            self.commits.send_modify(|commits| *commits += 1);
        }
        let answer = result.map(drop);
        for waiting in answers.into_iter().flatten() {
            // Nobody may be listening: that is the caller's choice.
            let _ = waiting.send(answer.clone());
        }
    }
}

/// Where each queue stands: how many records, of how many bytes.
pub(super) fn lengths(extents: &Extents) -> BTreeMap<String, (u64, u64)> {
    extents.iter().map(|(name, e)| (name.clone(), (e.next.saturating_sub(e.first), e.bytes))).collect()
}
