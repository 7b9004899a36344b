//! Reads the files of access control anew when they change, and ends what has lost its right.
//!
//! A file that cannot be used is told once for each change, with the reason; what was in force stays in force.

use super::doorman::Doorman;
use super::tls::Tls;
use crate::access::AccessError;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often connections are looked at whose time may be over.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two looks at the files.
const TICKS_A_POLL: u64 = 2;
/// Ticks between two looks for sessions that rmqtt has forgotten.
const TICKS_A_CLEANING: u64 = 60;

/// A file as it was: seconds and nanoseconds of its last change, bytes, number of its inode. None: it was not there.
type Stamp = Option<(i64, i64, u64, u64)>;

/// Keeps access control in step with its files.
pub(super) struct Keeper {
    doorman: Arc<Doorman>,
    tls: Option<Arc<Tls>>,
    files: Vec<PathBuf>,
    stamps: Mutex<Vec<Stamp>>,
}

impl Keeper {
    /// `stamps` must have been taken before the files were read: see [`stamps`].
    pub(super) fn new(doorman: Arc<Doorman>, tls: Option<Arc<Tls>>, files: Vec<PathBuf>, stamps: Vec<Stamp>) -> Self {
        Self { doorman, tls, files, stamps: Mutex::new(stamps) }
    }

    /// Works until the task is ended.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 1u64.. {
            ticks.tick().await;
            self.doorman.expire().await;
            if tick.is_multiple_of(TICKS_A_POLL) && self.changed() {
                // It was told, and nobody else waits to hear it.
                let _ = self.reload().await;
            }
            if tick.is_multiple_of(TICKS_A_CLEANING) {
                self.doorman.forget().await;
            }
        }
    }

    fn changed(&self) -> bool {
        let now = stamps(&self.files);
        let mut last = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *last != now;
        *last = now;
        changed
    }

    /// Reads every file anew and closes what has lost its right.
    pub(super) async fn reload(&self) -> Result<(), AccessError> {
        self.changed(); // what is read now need not be read again
        let (authority, tls) = (self.doorman.authority().clone(), self.tls.clone());
        let read = move || (authority.reload(), tls.map_or(Ok(()), |tls| tls.reload()));
        let (users, certificates) = match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) => (Err(AccessError::Setting(format!("the reload failed: {error}"))), Ok(())),
        };
        let outcome = users.and(certificates.clone());
        self.doorman.counters().reloaded(outcome.is_ok());
        if let Err(error) = &outcome {
            tracing::error!("access control stays as it was: {error}");
        }
        if let (Err(error), Err(other)) = (&certificates, &outcome)
            && error != other
        {
            tracing::error!("the certificates stay as they were: {error}");
        }
        let closed = self.doorman.sweep().await;
        tracing::info!(successful = outcome.is_ok(), closed, "access control was read anew");
        outcome
    }
}

/// How the files are now.
pub(super) fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()))
    };
    files.iter().map(stamp).collect()
}
