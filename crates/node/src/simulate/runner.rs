//! Independent jobs on several threads, and what they will take. The order of results is that of the jobs, whoever finishes first.

use crate::cli::output::note;
use crate::cli::{Exit, Failure};
use indicatif::{ProgressBar, ProgressStyle};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Memory that all jobs at a time may take.
const MEMORY_BYTES_MAX: f64 = 4e9;

/// What a job is expected to take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// On one core.
    pub(super) time: Duration,
    /// Memory.
    pub(super) bytes: f64,
}

/// What all jobs together may take, and what is said otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget<'a> {
    /// Jobs at a time.
    pub(super) threads: usize,
    /// Longest time.
    pub(super) time: Duration,
    /// The command.
    pub(super) at: &'a str,
    /// What to do if it takes too long,
    pub(super) if_slow: &'a str,
    /// and if it takes too much memory.
    pub(super) if_large: &'a str,
}

impl Budget<'_> {
    /// Says what jobs will take, and refuses what is too much.
    ///
    /// # Errors
    /// [`Failure`] (usage) with the estimate.
    pub(super) fn allow(&self, costs: &[Cost]) -> Result<(), Failure> {
        let threads = self.threads.max(1);
        let total_s: f64 = costs.iter().map(|cost| cost.time.as_secs_f64()).sum();
        let longest_s = costs.iter().map(|cost| cost.time.as_secs_f64()).fold(0.0, f64::max);
        let time_s = (total_s / threads as f64).max(longest_s);
        let mut bytes: Vec<f64> = costs.iter().map(|cost| cost.bytes).collect();
        bytes.sort_by(|a, b| b.total_cmp(a));
        let bytes: f64 = bytes.iter().take(threads).sum();
        note(&format!("{} runs, about {} and {:.0} MB on {threads} cores", costs.len(), roughly(time_s), bytes / 1e6));
        if time_s > self.time.as_secs_f64() {
            let what = format!("this would take about {}, more than {}", roughly(time_s), roughly(self.time.as_secs_f64()));
            return Err(Failure::new(Exit::Usage, what, self.at, self.if_slow));
        }
        if bytes > MEMORY_BYTES_MAX {
            let what = format!("this would take about {:.0} MB of memory, more than {:.0}", bytes / 1e6, MEMORY_BYTES_MAX / 1e6);
            return Err(Failure::new(Exit::Usage, what, self.at, self.if_large));
        }
        Ok(())
    }
}

fn roughly(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "a second".to_owned(),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3_600.0),
    }
}

/// Threads that can run at a time here.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A progress bar on stderr; it hides itself where nobody watches.
pub(super) fn progress_bar(total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {elapsed}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Does all jobs on so many threads, and tells the bar.
pub(super) fn all<J: Sync, R: Send>(jobs: &[J], threads: usize, bar: &ProgressBar, work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (next, work) = (&next, &work);
    let mut numbered: Vec<(usize, R)> = std::thread::scope(|scope| {
        let one = || {
            let mut own = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(number) else { return own };
                own.push((number, work(job)));
                bar.inc(1);
            }
        };
        let workers: Vec<_> = (0..threads.clamp(1, jobs.len().max(1))).map(|_| scope.spawn(one)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results.flat_map(|own| own.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_job_and_the_largest_ones_at_a_time_count() {
        let budget = Budget { threads: 2, time: Duration::from_secs(100), at: "sim", if_slow: "ask for less", if_large: "ask for fewer" };
        let cost = |seconds: u64, bytes: f64| Cost { time: Duration::from_secs(seconds), bytes };
        budget.allow(&[]).unwrap();
        // 190 s on two cores; the two largest of three need less than there is
        budget.allow(&[cost(90, 1.5e9), cost(90, 1.5e9), cost(10, 1.5e9)]).unwrap();
        let refused = |costs: &[Cost]| budget.allow(costs).unwrap_err().to_string();
        let slow = refused(&[cost(101, 0.0)]);
        assert!(slow.contains("101 s") && slow.contains("ask for less"), "{slow}");
        let large = refused(&[cost(1, 2.5e9), cost(1, 1.0), cost(1, 2.5e9)]);
        assert!(large.contains("5000 MB of memory") && large.contains("ask for fewer"), "{large}");
    }

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1_000).collect();
        for threads in [0, 1, 4, 5_000] {
            let squares = all(&jobs, threads, &ProgressBar::hidden(), |n| n * n);
            assert!(squares.into_iter().eq(jobs.iter().map(|n| n * n)));
        }
        assert!(all(&[0u8; 0], 2, &ProgressBar::hidden(), |n| *n).is_empty());
    }
}
