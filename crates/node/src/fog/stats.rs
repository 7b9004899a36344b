//! Figures of the processor, for whoever asks.

use super::machine::Trial;
use edge::fog::{Counts, Outcome};
use mqtt::SiteLog;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How the processor is doing. Counts are since the start of the process; what is done again after a crash is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FogStats {
    /// Pipelines in force.
    pub(crate) pipelines: usize,
    /// The hash of what they say.
    pub(crate) configuration: String,
    /// Readings of the intake that were not processed yet.
    pub(crate) intake_pending: u64,
    /// Bytes of the intake on disk.
    pub(crate) intake_bytes: u64,
    /// How long ago the first of them can have arrived, in microseconds.
    pub(crate) lag_us: u64,
    /// Readings taken from the intake.
    pub(crate) readings_in: u64,
    /// Readings of devices that came out.
    pub(crate) accepted: u64,
    /// Readings that stages made.
    pub(crate) derived: u64,
    /// Commands to actuators.
    pub(crate) commands: u64,
    /// Readings refused by a stage, by reason.
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// Readings taken out by a filter, or by a window that keeps none.
    pub(crate) filtered: u64,
    /// Repetitions of numbered readings.
    pub(crate) duplicates: u64,
    /// Readings that came after each of their windows had closed.
    pub(crate) late: u64,
    /// Devices × data types that are remembered.
    pub(crate) series: u64,
    /// Windows that are open, as of the last second.
    pub(crate) open_windows: u64,
    /// Devices × data types that were forgotten because others needed the room.
    pub(crate) forgotten: u64,
    /// Changes of the pipelines that were taken.
    pub(crate) reloads: u64,
    /// Changes that could not be used.
    pub(crate) reloads_refused: u64,
    /// What is wrong with the file as it is now, if the pipelines in force are older: file, line, column and reason.
    pub(crate) refused: Option<String>,
    /// Why nothing goes on, if nothing does.
    pub(crate) stalled: Option<String>,
}

/// What the processor and whoever looks at it share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stats: Mutex<FogStats>,
    /// The next offset of the intake.
    pub(super) next: AtomicU64,
    /// When the reading there can have arrived at the earliest, in microseconds since 1970.
    pub(super) floor_us: AtomicU64,
    /// Whether the file is to be read anew.
    pub(super) asked: AtomicBool,
    /// Told when it is.
    pub(super) told: Notify,
}

impl Shared {
    /// The figures, to be changed.
    pub(super) fn stats(&self) -> MutexGuard<'_, FogStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a step made of `readings`.
    pub(super) fn count(&self, readings: u64, trial: &Trial) {
        let mut stats = self.stats();
        let Trial { accepted, derived, commands, rejected, counts, .. } = trial;
        stats.readings_in = stats.readings_in.saturating_add(readings);
        stats.accepted = stats.accepted.saturating_add(*accepted);
        stats.derived = stats.derived.saturating_add(*derived);
        stats.commands = stats.commands.saturating_add(*commands);
        for code in rejected {
            let count = stats.rejected.entry(*code).or_default();
            *count = count.saturating_add(1);
        }
        let Counts { filtered, duplicates, late, forgotten } = *counts;
        stats.filtered = stats.filtered.saturating_add(filtered);
        stats.duplicates = stats.duplicates.saturating_add(duplicates);
        stats.late = stats.late.saturating_add(late);
        stats.forgotten = stats.forgotten.saturating_add(forgotten);
    }
}

/// Adds what one call counted to what others did.
pub(super) fn add(counts: &mut Counts, outcome: &Outcome) {
    let Counts { filtered, duplicates, late, forgotten } = outcome.counts;
    counts.filtered = counts.filtered.saturating_add(filtered);
    counts.duplicates = counts.duplicates.saturating_add(duplicates);
    counts.late = counts.late.saturating_add(late);
    counts.forgotten = counts.forgotten.saturating_add(forgotten);
}

/// Looks at a running processor. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FogHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) intake: SiteLog,
    pub(super) now_us: fn() -> u64,
}

impl FogHandle {
    /// How it is doing.
    #[must_use]
    pub(crate) fn stats(&self) -> FogStats {
        let stats = self.shared.stats().clone();
        let intake_pending = self.intake.end().saturating_sub(self.shared.next.load(Ordering::Relaxed));
        let since_us = (self.now_us)().saturating_sub(self.shared.floor_us.load(Ordering::Relaxed));
        let lag_us = if intake_pending > 0 { since_us } else { 0 };
        FogStats { intake_pending, lag_us, intake_bytes: self.intake.stats().disk_bytes, ..stats }
    }

    /// Has the file of pipelines read anew, soon.
    pub(crate) fn reload(&self) {
        self.shared.asked.store(true, Ordering::Relaxed);
        self.shared.told.notify_one();
    }

    /// Closes the intake: what it was told to forget is saved. For the end, when nothing appends any more. Blocks on files.
    ///
    /// # Errors
    /// [`mqtt::LogError`] if that cannot be saved: readings that were processed are then still there at the next start.
    pub(crate) fn close(&self) -> Result<(), mqtt::LogError> {
        self.intake.close()
    }
}
