//! Durable writes: the site's log, which answers a publish when the group it is in is on the disk.

use super::measure::{Effort, broken};
use crate::bench::Readings;
use crate::cli::{Exit, Failure};
use ::mqtt::{Entry, LogConfig, SiteLog};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, spawn_blocking};

/// Publishes that the log is given at a time.
const WRITERS: u32 = 256;

/// Durable writes of the site's log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    /// A publish that is written alone.
    pub(super) alone_ms: f64,
    /// Publishes of which many wait, a reading each.
    pub(super) readings_per_second: f64,
    /// Commits of these.
    pub(super) commits_per_second: f64,
}

impl Disk {
    /// Measures with a log in `directory`, which is made.
    ///
    /// # Errors
    /// [`Failure`] (usage) if it cannot be written.
    pub(super) async fn measure(directory: &Path, effort: &Effort) -> Result<Self, Failure> {
        let failed =
            |why: &dyn Display| Failure::new(Exit::Usage, why, directory.display(), "make room there, or name another with --data");
        let place = directory.to_path_buf();
        let log = spawn_blocking(move || SiteLog::open(&place, LogConfig::default())).await.map_err(|e| broken(&e))?;
        let log = log.map_err(|e| failed(&e))?;
        let writers = Writers { log: log.clone(), readings: Arc::new(Readings::of_site(1).map_err(|e| broken(&e))?), next: Arc::default() };
        let alone = writers.run(1, effort.alone).await.map_err(|why| failed(&why))?;
        let (before, start) = (log.stats().groups, Instant::now());
        let readings_per_second = writers.run(WRITERS, effort.together).await.map_err(|why| failed(&why))?;
        let commits_per_second = log.stats().groups.saturating_sub(before) as f64 / start.elapsed().as_secs_f64();
        spawn_blocking(move || log.close()).await.map_err(|e| broken(&e))?.map_err(|e| failed(&e))?;
        Ok(Self { alone_ms: 1e3 / alone, readings_per_second, commits_per_second })
    }
}

/// Tasks that store readings, each the next when the last is durable.
struct Writers {
    log: SiteLog,
    readings: Arc<Readings>,
    /// The number of the next reading: none comes twice.
    next: Arc<AtomicU64>,
}

impl Writers {
    /// So many of them for so long; how many readings a second were stored.
    async fn run(&self, count: u32, span: Duration) -> Result<f64, String> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (log, readings, next) = (self.log.clone(), Arc::clone(&self.readings), Arc::clone(&self.next));
            tasks.spawn(async move {
                let mut stored = 0u64;
                while stored == 0 || start.elapsed() < span {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let origin = Some(u128::from(n).to_be_bytes());
                    let entry = Entry { origin, dup: false, readings: vec![readings.reading(n, n.saturating_mul(1_000))] };
                    log.append(entry).await.map_err(|e| e.to_string())?;
                    stored += 1;
                }
                Ok::<u64, String>(stored)
            });
        }
        let mut stored = 0;
        while let Some(ended) = tasks.join_next().await {
            stored += ended.map_err(|e| e.to_string())??;
        }
        Ok(stored as f64 / start.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_log_is_written_alone_and_together() {
        let place = tempfile::tempdir().unwrap();
        let effort = Effort { alone: Duration::from_millis(20), together: Duration::from_millis(40), ..Effort::QUICK };
        let disk = Disk::measure(&place.path().join("log"), &effort).await.unwrap();
        assert!(disk.alone_ms > 0.0 && disk.readings_per_second > 0.0 && disk.commits_per_second > 0.0, "{disk:?}");
        let log = SiteLog::open(&place.path().join("log"), LogConfig::default()).unwrap();
        // each writer stores one reading at least
        assert!(log.end() > u64::from(WRITERS), "{}", log.end());
    }
}
