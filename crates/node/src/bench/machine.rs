//! The machine, and what a process used of it, as `/proc` tells.

use crate::cli::{Exit, Failure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::fs::read_to_string;

/// Ticks a second in `/proc/<pid>/stat`: 100 on every Linux that is in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which processor, how many cores, which kernel.
pub(crate) fn describe() -> Value {
    let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| cpuinfo.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned());
    let cpu = field("model name").or_else(|| field("Model")).unwrap_or_else(|| "unknown".to_owned());
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({ "cpu": cpu, "cores": cores, "kernel": kernel.trim() })
}

/// Allows this process, and those that it starts, so many open files.
///
/// # Errors
/// [`Failure`] (usage) with what to do if the account's hard limit is below. `at` is the option that asks for them.
pub(crate) fn need_files(count: u64, at: &str) -> Result<(), Failure> {
    allow_files(count);
    match getrlimit(Resource::Nofile).current {
        Some(now) if now < count => {
            let what = format!("{count} open files are needed and {now} are allowed");
            let todo = "raise the hard limit (`ulimit -Hn` as root, LimitNOFILE= of a service), or choose fewer";
            Err(Failure::new(Exit::Usage, what, at, todo))
        }
        _ => Ok(()),
    }
}

/// How many open files this process, or one that it starts, can be allowed; `None` if there is no limit.
pub(crate) fn files_possible() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Memory that programs can still have without others being swapped out; `None` if the system does not say.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
    Some(status_bytes(&meminfo, "MemAvailable:")).filter(|bytes| *bytes > 0)
}

/// Allows so many open files, as far as the account's hard limit goes.
pub(super) fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < count) {
        let current = Some(limit.maximum.map_or(count, |most| most.min(count)));
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time, user and system.
    pub(crate) cpu_seconds: f64,
    /// Largest resident memory.
    pub(crate) rss_bytes: u64,
    /// Resident memory now.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// How much more memory is resident now than `before`, for each of `count`.
    pub(super) fn grown_for_each(&self, before: &Self, count: u64) -> f64 {
        self.resident_bytes.saturating_sub(before.resident_bytes) as f64 / count.max(1) as f64
    }
}

/// What process `pid` has used so far; zeros if it is gone.
pub(super) fn usage(pid: u32) -> Usage {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Usage { cpu_seconds: cpu_seconds(&stat), rss_bytes: status_bytes(&status, "VmHWM:"), resident_bytes: status_bytes(&status, "VmRSS:") }
}

/// What several processes have used: their time together, the largest memory of one, what is resident now together.
pub(crate) fn usage_of(pids: &[u32]) -> Usage {
    pids.iter().map(|pid| usage(*pid)).fold(Usage::default(), |sum, one| Usage {
        cpu_seconds: sum.cpu_seconds + one.cpu_seconds,
        rss_bytes: sum.rss_bytes.max(one.rss_bytes),
        resident_bytes: sum.resident_bytes + one.resident_bytes,
    })
}

/// The fields `utime` and `stime`. The name before them may hold anything but ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// A field of `/proc/<pid>/status` or `/proc/meminfo` that counts kilobytes.
fn status_bytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() * 1_024
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_and_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        allow_files(1);
        assert_eq!(getrlimit(Resource::Nofile), before);
        allow_files(u64::MAX);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
        if before.maximum.is_some() {
            let refused = need_files(u64::MAX, "--devices").map_err(|failure| failure.to_string()).unwrap_err();
            assert!(refused.contains("--devices") && refused.contains("ulimit"), "{refused}");
        }
    }

    #[test]
    fn proc_is_read() {
        assert!((cpu_seconds("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0") - 3.0).abs() < 1e-9);
        assert_eq!(status_bytes("Name:\tx\nVmHWM:\t  12 kB\n", "VmHWM:"), 12_288);
        let own = usage(std::process::id());
        assert!(own.resident_bytes > 0 && own.rss_bytes >= own.resident_bytes, "{own:?}");
        let before = Usage { resident_bytes: own.resident_bytes - 1_000, ..own };
        assert!((own.grown_for_each(&before, 4) - 250.0).abs() < 1e-9 && before.grown_for_each(&own, 4).abs() < 1e-9);
        assert!(cpu_seconds("").abs() < 1e-9);
        assert!(memory_available_bytes().is_some_and(|bytes| bytes > own.resident_bytes / 1_000));
    }
}
