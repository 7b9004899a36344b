//! The figures of this host, each with the code that serves.
//!
//! | figure | with what |
//! |---|---|
//! | signatures | messages as a committee signs and verifies them, one thread |
//! | hashing | what a site does with a batch of 1 000 readings: blinded leaves, tree, body, its name; SHA-256 and BLAKE3 alone |
//! | disk | the site's log: one publish at a time, and many, which share a commit |
//! | broker | a node of its own process: memory of connections; publishes at QoS 1 as fast as they are taken, until all are confirmed |
//! | processor | the same node's time for a reading of devices that tell theirs when they are due: each wakes it, unlike in a burst |
//! | ledger | a ledger of one node that is given messages of one reading, in a process of its own |

use super::broker::Broker;
use super::disk::Disk;
use crate::bench::{Costs, Figures, OTHER_FILES, Readings, files_possible, mean_us, memory_available_bytes, run_in, seal};
use crate::cli::{Exit, Failure};
use indicatif::ProgressBar;
use protocol::{Batch, Id};
use serde_json::Value;
use sim::capacity::{Host, Part};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// Votes in the messages that are signed and verified.
const VOTES: u16 = 1;
/// Readings in the batch that is hashed: as many as a site puts into one under load.
const BATCH_READINGS: u64 = 1_000;
/// Bytes that are hashed at a time.
const HASHED_BYTES: u32 = 65_536;
/// Memory of a connection at least: what is resident grows by pages, and by none where pages were free before.
const CONNECTION_BYTES_MIN: f64 = 4_096.0;

/// How long and how much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Time for each kind of hashing.
    pub(super) hash: Duration,
    /// Time for commits of one publish.
    pub(super) alone: Duration,
    /// Time for commits of many.
    pub(super) together: Duration,
    /// Connections whose memory is measured.
    pub(super) connections: u32,
    /// Connections that publish.
    pub(super) publishers: u32,
    /// Publishes before the measured ones, to know how many these are to be.
    pub(super) pilot: u32,
    /// Time that the measured ones are to take.
    pub(super) burst: Duration,
    /// Time for which devices tell their readings when they are due.
    pub(super) paced: Duration,
    /// Seconds of messages to a ledger,
    pub(super) ledger_s: u32,
    /// and before them.
    pub(super) ledger_warm_up_s: u32,
    /// Seconds of the check if nobody says otherwise,
    pub(super) check_s: u32,
    /// and its devices at most.
    pub(super) check_devices: u32,
}

impl Effort {
    /// To plan by: about 30 s.
    pub(super) const FULL: Self = Self {
        hash: Duration::from_millis(200),
        alone: Duration::from_millis(500),
        together: Duration::from_secs(2),
        connections: 1_000,
        publishers: 100,
        pilot: 5_000,
        burst: Duration::from_secs(4),
        paced: Duration::from_secs(4),
        ledger_s: 3,
        ledger_warm_up_s: 1,
        check_s: 10,
        check_devices: 10_000,
    };
    /// To try the command: a few seconds.
    pub(super) const QUICK: Self = Self {
        hash: Duration::from_millis(30),
        alone: Duration::from_millis(100),
        together: Duration::from_millis(300),
        connections: 50,
        publishers: 10,
        pilot: 200,
        burst: Duration::from_millis(500),
        paced: Duration::from_secs(1),
        ledger_s: 1,
        ledger_warm_up_s: 0,
        check_s: 2,
        check_devices: 50,
    };

    /// Open files that measuring needs.
    pub(super) fn files(&self) -> u64 {
        u64::from(self.connections.max(self.publishers)) + OTHER_FILES
    }
}

/// Where the disk is measured.
pub(super) fn place(data: Option<&Path>) -> PathBuf {
    data.map_or_else(std::env::temp_dir, Path::to_path_buf)
}

/// A directory of our own there; it goes when it is dropped.
///
/// # Errors
/// [`Failure`] (usage) if it cannot be made.
pub(super) fn directory(data: Option<&Path>) -> Result<TempDir, Failure> {
    let place = place(data);
    let todo = "name a directory that exists and can be written to, with --data";
    tempfile::Builder::new().prefix("wattle-capacity-").tempdir_in(&place).map_err(|e| Failure::file(&place, &e, todo))
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Signatures.
    pub(super) signatures: Costs,
    /// Hashing.
    pub(super) hashing: Hashing,
    /// The site's log.
    pub(super) disk: Disk,
    /// The broker, with the node it is part of.
    pub(super) broker: Broker,
    /// Messages a second that a ledger of one node admits.
    pub(super) messages_per_second: f64,
    /// Processors.
    pub(super) cores: u32,
    /// Memory that a node may still have; `None` if the system does not say.
    pub(super) memory_bytes: Option<u64>,
    /// Files that a node may have open; `None` without a limit.
    pub(super) files: Option<u64>,
}

/// One thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashing {
    /// Microseconds that a reading takes in a batch: leaf, tree, body, name of the body.
    pub(super) seal_us: f64,
    /// SHA-256 of a long text.
    pub(super) sha256_bytes_per_second: f64,
    /// BLAKE3 of a long text.
    pub(super) blake3_bytes_per_second: f64,
}

impl Measured {
    /// Measures one after the other.
    ///
    /// # Errors
    /// [`Failure`] if the directory cannot be written, or something does not start.
    pub(super) async fn take(effort: &Effort, directory: &Path, bar: &ProgressBar) -> Result<Self, Failure> {
        bar.set_message("signatures");
        let signatures = block_in_place(|| Costs::measure(VOTES))?;
        bar.inc(1);
        bar.set_message("hashing");
        let hashing = block_in_place(|| Hashing::measure(effort))?;
        bar.inc(1);
        bar.set_message("disk");
        let disk = Disk::measure(&directory.join("log"), effort).await?;
        bar.inc(1);
        bar.set_message("broker");
        let memory_bytes = memory_available_bytes();
        let broker = Broker::measure(&directory.join("broker"), effort).await?;
        bar.inc(1);
        bar.set_message("ledger");
        let messages_per_second = block_in_place(|| ledger(directory, effort))?;
        bar.inc(1);
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
        Ok(Self { signatures, hashing, disk, broker, messages_per_second, cores, memory_bytes, files: files_possible() })
    }

    /// Devices that may connect for all that open files say.
    pub(super) fn devices_by_files(&self) -> u32 {
        self.files.map_or(u32::MAX, |files| u32::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX))
    }

    /// The host as the model wants it.
    pub(super) fn host(&self, batch_delay: Duration, signed: bool) -> Host {
        let none = Part { name: "", per_reading: 0.0, per_message: 0.0, per_device: 0.0, capacity: 1.0, exact: false };
        let verify_us = if signed { self.signatures.verify_us } else { 0.0 };
        // a message of another node is verified besides, with others
        let admission_s = 1.0 / self.messages_per_second + self.signatures.verify_batched_us / 1e6;
        let mut parts = vec![
            Part { name: "processor", per_reading: (self.broker.cpu_us + verify_us) / 1e6, capacity: f64::from(self.cores), ..none },
            Part { name: "broker", per_reading: 1.0 / self.broker.publishes_per_second, ..none },
            Part { name: "disk", per_reading: 1.0 / self.disk.readings_per_second, ..none },
            Part { name: "hashing", per_reading: self.hashing.seal_us / 1e6, ..none },
            Part { name: "ledger", per_message: admission_s, ..none },
        ];
        if let Some(bytes) = self.memory_bytes {
            let per_device = self.broker.connection_bytes.max(CONNECTION_BYTES_MIN);
            parts.push(Part { name: "memory", per_device, capacity: bytes as f64, ..none });
        }
        if let Some(files) = self.files {
            let capacity = files.saturating_sub(OTHER_FILES).max(1) as f64;
            parts.push(Part { name: "open files", per_device: 1.0, capacity, exact: true, ..none });
        }
        Host { parts, batch_delay, admission_s }
    }
}

impl Hashing {
    fn measure(effort: &Effort) -> Result<Self, Failure> {
        let readings = Readings::of_site(1).map_err(|e| broken(&e))?;
        let batch = readings.batch(0, BATCH_READINGS);
        let text = vec![7u8; usize::try_from(HASHED_BYTES).unwrap_or_default()];
        let per_second = |us: f64| f64::from(HASHED_BYTES) / us.max(f64::MIN_POSITIVE) * 1e6;
        Ok(Self {
            seal_us: mean_us(effort.hash, || !seal(&batch).1.is_empty())? / BATCH_READINGS as f64,
            sha256_bytes_per_second: per_second(mean_us(effort.hash, || Id::hash(&[text.as_slice()]).0 != [0; 32])?),
            blake3_bytes_per_second: per_second(mean_us(effort.hash, || Batch::blob_digest(&text).0 != [0; 32])?),
        })
    }
}

/// Messages a second that a ledger of one node admits.
fn ledger(directory: &Path, effort: &Effort) -> Result<f64, Failure> {
    let options = [
        ("--nodes", "1".to_owned()),
        ("--network", "tcp".to_owned()),
        ("--seconds", effort.ledger_s.to_string()),
        ("--warm-up", effort.ledger_warm_up_s.to_string()),
    ];
    let figures: Figures = run_in(Some(directory), "dag", &options)?;
    let rate = figures.get("admitted_messages_per_second").and_then(Value::as_f64).filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| broken(&"a ledger of one node admitted nothing"))
}

/// Something that cannot be measured.
pub(super) fn broken(why: &dyn Display) -> Failure {
    Failure::new(Exit::Fault, why, "measuring", "run it with -v to see the log")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    /// A host that was never measured.
    pub(in super::super) fn sample() -> Measured {
        let signatures = Costs {
            sign_us: 20.0,
            verify_us: 50.0,
            verify_batched_us: 25.0,
            take_in_us: 26.0,
            sign_request_us: 21.0,
            verify_request_us: 51.0,
            sync_us: 150.0,
        };
        Measured {
            signatures,
            hashing: Hashing { seal_us: 1.0, sha256_bytes_per_second: 1e9, blake3_bytes_per_second: 4e9 },
            disk: Disk { alone_ms: 0.2, readings_per_second: 100_000.0, commits_per_second: 1_000.0 },
            broker: Broker { publishes_per_second: 20_000.0, cpu_us: 40.0, connection_bytes: 20_000.0 },
            messages_per_second: 10_000.0,
            cores: 2,
            memory_bytes: Some(1_000_000_000),
            files: Some(20_512),
        }
    }

    #[test]
    fn measured_parts_become_a_host_that_answers() {
        let delay = Duration::from_millis(5);
        let plain = sample().host(delay, false).answer(Duration::from_secs(1), 0.5).unwrap();
        assert_eq!((plain.devices, plain.limited_by), (10_000, Some("broker")));
        // 40 µs and 50 µs for a signature, of two cores: the broker still comes first, at 1 core it does not
        let one_core = Measured { cores: 1, ..sample() };
        let signed = one_core.host(delay, true).answer(Duration::from_secs(1), 0.5).unwrap();
        assert_eq!((signed.devices, signed.limited_by), (5_555, Some("processor")));
        let seldom = sample().host(delay, false).answer(Duration::from_secs(900), 0.5).unwrap();
        assert_eq!((seldom.devices, seldom.limited_by), (20_000, Some("open files")));
        assert_eq!(sample().devices_by_files(), 20_000);
        let boundless = Measured { files: None, memory_bytes: None, ..sample() };
        assert_eq!((boundless.devices_by_files(), boundless.host(delay, false).parts.len()), (u32::MAX, 5));
    }

    #[test]
    fn what_is_planned_leaves_half_of_a_minute_to_starting_and_waiting() {
        let Effort { hash, alone, together, burst, paced, ledger_s, ledger_warm_up_s, check_s, .. } = Effort::FULL;
        let whole = Duration::from_secs(u64::from(ledger_s + ledger_warm_up_s + check_s));
        let planned = hash * 3 + alone + together + burst + paced + whole;
        assert!(planned <= Duration::from_secs(30), "{planned:?}");
    }

    #[test]
    fn a_directory_that_is_none_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bad in [file.path().to_path_buf(), file.path().join("below")] {
            let refused = directory(Some(bad.as_path())).unwrap_err();
            assert!(refused.exit == Exit::Usage && refused.to_string().contains("--data"), "{refused}");
        }
        assert!(directory(None).unwrap().path().starts_with(std::env::temp_dir()));
    }
}
