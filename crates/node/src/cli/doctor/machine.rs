//! The machine: room and speed of the disk, and how many files may be open.

use super::Report;
use crate::cli::output::thousands;
use crate::config::Config;
use rustix::fs::StatVfsMountFlags;
use rustix::process::{Resource, getrlimit};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Room beyond `cache.min_free_bytes` below which somebody should know, in bytes.
const FREE_BYTES_COMFORTABLE: u64 = 1 << 30;
/// Files that must be left on the file system.
const FREE_FILES_MIN: u64 = 10_000;
/// Writes that are timed.
const SYNCS: usize = 15;
/// Bytes of each.
const SYNC_BYTES: usize = 4096;
/// A slower disk makes every confirmation slow.
const SYNC_WARN: Duration = Duration::from_millis(20);
/// A slower disk cannot keep pace with the committee.
const SYNC_BAD: Duration = Duration::from_millis(250);
/// Open files that a node needs beside the connections of devices.
const FILES_OF_A_NODE: u64 = 512;

/// Looks at disk and limits.
pub(super) fn check(config: &Config, report: &mut Report) {
    let data = config.data_dir();
    match existing(&data) {
        Some(place) => {
            room(&place, config.cache.min_free_bytes, report);
            speed(&place, report);
        }
        None => report.bad("disk", format!("{} and all above it are missing", data.display()), "choose another by node.data_dir"),
    }
    open_files(config, report);
}

/// The directory, or the nearest above it that is there.
fn existing(dir: &Path) -> Option<PathBuf> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    dir.ancestors().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir }).find(|dir| dir.is_dir()).map(Path::to_path_buf)
}

fn room(dir: &Path, min_free_bytes: u64, report: &mut Report) {
    let found = match rustix::fs::statvfs(dir) {
        Ok(found) => found,
        Err(why) => {
            return report.bad("disk room", format!("{}: {why}", dir.display()), "see that the disk is there, and this user may read it");
        }
    };
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return report.bad(
            "disk room",
            format!("{} can only be read", dir.display()),
            "mount it for writing, or choose another by node.data_dir",
        );
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} has {} MiB free", dir.display(), thousands(free >> 20));
    let todo = "free some space; a site refuses readings below cache.min_free_bytes, and a node ends when nothing can be written";
    if free < min_free_bytes {
        report.bad("disk room", format!("{text}, less than cache.min_free_bytes"), todo);
    } else if free < min_free_bytes.saturating_add(FREE_BYTES_COMFORTABLE) {
        report.warn("disk room", text, todo);
    } else {
        report.ok("disk room", text);
    }
    if found.f_files > 0 && found.f_favail < FREE_FILES_MIN {
        let text = format!("{} can take {} files more", dir.display(), thousands(found.f_favail));
        report.warn("disk room", text, "remove small files, or make a file system with more inodes");
    }
}

/// How long it takes until something is on the disk for good.
fn speed(dir: &Path, report: &mut Report) {
    let times = match timed(dir) {
        Ok(times) => times,
        Err(why) => {
            let todo = "give this directory to the user that runs the node, or choose another by node.data_dir";
            return report.bad("disk speed", format!("{} cannot be written: {why}", dir.display()), todo);
        }
    };
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    let text = format!("a write is safe after {:.2} ms, at most {:.2} ms", median.as_secs_f64() * 1e3, longest.as_secs_f64() * 1e3);
    let todo = "put node.data_dir on a faster disk: every acknowledgement and every vote waits for it";
    if median > SYNC_BAD {
        report.bad("disk speed", text, todo);
    } else if median > SYNC_WARN {
        report.warn("disk speed", text, todo);
    } else {
        report.ok("disk speed", text);
    }
}

/// The times of some writes, the shortest first.
fn timed(dir: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(dir)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0x5a; SYNC_BYTES])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn open_files(config: &Config, report: &mut Report) {
    let devices = config.broker.as_ref().filter(|broker| broker.embedded.is_some()).map_or(0, |broker| broker.limits.connections as u64);
    let needed = FILES_OF_A_NODE.saturating_add(devices);
    let Some(allowed) = getrlimit(Resource::Nofile).current else {
        return report.ok("open files", "no limit");
    };
    let text = format!("{} are allowed here, {} may be needed", thousands(allowed), thousands(needed));
    let todo = "raise it (LimitNOFILE= of the service, ulimit -n in a shell), or lower broker.limits.connections";
    if allowed < FILES_OF_A_NODE {
        report.bad("open files", text, todo);
    } else if allowed < needed {
        report.warn("open files", text, todo);
    } else {
        report.ok("open files", text);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn the_nearest_directory_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(&dir.path().join("data/ledger")).as_deref(), Some(dir.path()));
        assert_eq!(existing(Path::new("no/such")).as_deref(), Some(Path::new(".")));
        assert_eq!(existing(Path::new("")).as_deref(), Some(Path::new(".")));
    }

    #[test]
    fn a_disk_is_full_if_less_is_free_than_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        room(dir.path(), u64::MAX, &mut report);
        assert_eq!(report.worst(), State::Bad);
        let mut report = Report::default();
        room(&dir.path().join("no"), 0, &mut report);
        assert_eq!(report.worst(), State::Bad);
    }

    #[test]
    fn writes_are_timed() {
        let dir = tempfile::tempdir().unwrap();
        let times = timed(dir.path()).unwrap();
        assert_eq!(times.len(), SYNCS);
        assert!(times.is_sorted() && timed(&dir.path().join("no")).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing stays");
    }
}
