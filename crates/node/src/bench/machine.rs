//! The machine, and what a process used of it, as `/proc` tells.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::fs::read_to_string;

/// Ticks a second in `/proc/<pid>/stat`: 100 on every Linux that is in use.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which processor, how many cores, which kernel.
pub(super) fn describe() -> Value {
    let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| cpuinfo.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned());
    let cpu = field("model name").or_else(|| field("Model")).unwrap_or_else(|| "unknown".to_owned());
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({ "cpu": cpu, "cores": cores, "kernel": kernel.trim() })
}

/// Allows this process so many open files, as far as the account's hard limit goes. What does not fit then says so.
pub(super) fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < count) {
        let current = Some(limit.maximum.map_or(count, |most| most.min(count)));
        let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time, user and system.
    pub(super) cpu_seconds: f64,
    /// Largest resident memory.
    pub(super) rss_bytes: u64,
}

/// What process `pid` has used so far; zeros if it is gone.
pub(super) fn usage(pid: u32) -> Usage {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Usage { cpu_seconds: cpu_seconds(&stat), rss_bytes: rss_bytes(&status) }
}

/// What several processes have used: their time together, the largest memory of one.
pub(super) fn usage_of(pids: &[u32]) -> Usage {
    pids.iter().map(|pid| usage(*pid)).fold(Usage::default(), |sum, one| Usage {
        cpu_seconds: sum.cpu_seconds + one.cpu_seconds,
        rss_bytes: sum.rss_bytes.max(one.rss_bytes),
    })
}

/// The fields `utime` and `stime`. The name before them may hold anything but ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

fn rss_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_and_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        allow_files(1);
        assert_eq!(getrlimit(Resource::Nofile), before);
        allow_files(u64::MAX);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }

    #[test]
    fn proc_is_read() {
        assert!((cpu_seconds("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0") - 3.0).abs() < 1e-9);
        assert_eq!(rss_bytes("Name:\tx\nVmHWM:\t  12 kB\n"), 12_288);
        assert!(usage(std::process::id()).rss_bytes > 0);
        assert!(cpu_seconds("").abs() < 1e-9);
    }
}
