//! Cuts batches off the log and issues them.
//!
//! - Idle: a batch leaves at once. Under load the next leaves `batch_delay` after the one before, or as soon as it is
//!   full. So one reading is never kept waiting, and many share one signature.
//! - A batch covers consecutive offsets. Its message is durable here before the next is cut.
//! - Its message says who earns from it ([`super::shares`]). After a crash nothing is made again that was issued: the ledger has it,
//!   with its shares, and recovery finds it there. What was cut and not issued is cut anew.
//! - At most [`super::IN_FLIGHT_BATCHES_MAX`] batches are on their way; beyond, the log grows on disk.

use super::queue::Shared;
use super::shares::Earners;
use super::{SiteError, read_blocking, told};
use crate::index::Index;
use crate::traces::Traces;
use mqtt::SiteLog;
use protocol::limits::BATCH_BYTES_MAX;
use protocol::{Batch, Body, Encode as _, Reading, merkle};
use replica::{Handle, IssueError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Bytes of an encoded batch that we make: half of what is allowed.
const BATCH_BYTES_CUT: usize = BATCH_BYTES_MAX / 2;
/// What a reading can take in a batch beyond its own encoding: three table indices, a longer time and sequence.
const ROW_OVERHEAD_BYTES: usize = 28;
/// Version, secret, first offset and lengths of a batch.
const HEAD_BYTES: usize = 64;

/// Pause before a batch is offered again to a ledger that has too many of ours unconfirmed, and the longest one when
/// this node is above its share.
const BACKLOG_PAUSE: Duration = Duration::from_millis(100);

const _: () = assert!(protocol::limits::READING_BYTES_MAX + ROW_OVERHEAD_BYTES + HEAD_BYTES <= BATCH_BYTES_CUT);

/// The task that issues.
pub(super) struct Issuer {
    pub(super) ledger: Handle,
    pub(super) log: SiteLog,
    pub(super) index: Index,
    pub(super) shared: Arc<Shared>,
    pub(super) next: u64,
    pub(super) batch_delay: Duration,
    pub(super) batch_readings_max: usize,
    pub(super) watermark: PathBuf,
    pub(super) earners: Arc<Earners>,
    pub(super) traces: Traces,
}

/// A batch ready to be issued.
struct Prepared {
    batch: Arc<Batch>,
    body: Body,
    count: u32,
    encoded: Vec<u8>,
}

impl Issuer {
    /// Issues until told to stop.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), SiteError> {
        let mut last_issue: Option<Instant> = None;
        loop {
            if *stop.borrow() {
                return Ok(());
            }
            if let Some((first, count)) = self.shared.take_again() {
                self.anchor_again(first, count).await?;
                continue;
            }
            let room = self.shared.has_room();
            tokio::select! {
                () = told(&mut stop) => return Ok(()),
                () = self.shared.go_on.notified() => continue,
                () = self.worth_issuing(last_issue), if room => {}
            }
            let cut = Instant::now();
            let prepared = self.prepare(self.next, self.batch_readings_max, BATCH_BYTES_CUT).await?;
            last_issue = Some(Instant::now());
            self.next = self.next.saturating_add(u64::from(prepared.count));
            self.issue(prepared, cut).await?;
        }
    }

    /// Resolves when the log holds something and enough of it, or the time has come.
    async fn worth_issuing(&self, last_issue: Option<Instant>) {
        let end = self.log.wait_past(self.next).await;
        if end <= self.next {
            return std::future::pending().await; // the log was closed: nothing comes any more
        }
        let full = self.next.saturating_add(self.batch_readings_max as u64);
        if let Some(due) = last_issue.map(|last| last + self.batch_delay).filter(|_| end < full) {
            // whichever comes first
            let _ = timeout_at(due, self.log.wait_past(full.saturating_sub(1))).await;
        }
    }

    /// Anchors a range whose message is void.
    async fn anchor_again(&self, first: u64, count: u32) -> Result<(), SiteError> {
        // from now on the newest batch is not the last of the log: say where that ends
        save_watermark(self.watermark.clone(), self.next).await?;
        tracing::warn!(first, count, "readings whose message is void are anchored again");
        let cut = Instant::now();
        let prepared = self.prepare(first, count as usize, BATCH_BYTES_MAX).await?;
        if prepared.count != count {
            let given = format!("{} readings of {count}", prepared.count);
            return Err(SiteError::LogOrder { asked: first, given });
        }
        self.issue(prepared, cut).await
    }

    /// Reads the log from `first` and makes a batch of what fits, away from the tasks that must not block.
    async fn prepare(&self, first: u64, readings_max: usize, bytes_max: usize) -> Result<Prepared, SiteError> {
        let (log, earners) = (self.log.clone(), self.earners.clone());
        let work = move || -> Result<Prepared, SiteError> {
            let rows = read_blocking(&log, first, readings_max)?;
            let mut secret = [0u8; 32];
            getrandom::fill(&mut secret).map_err(|e| SiteError::Randomness(e.to_string()))?;
            let mut prepared = assemble(first, secret, rows, bytes_max)?;
            if let Body::Readings { shares, .. } = &mut prepared.body {
                *shares = earners.shares(&prepared.batch, prepared.count);
            }
            Ok(prepared)
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| SiteError::Task(e.to_string()))?
    }

    /// Issues what was `cut` then.
    async fn issue(&self, prepared: Prepared, cut: Instant) -> Result<(), SiteError> {
        let Prepared { batch, body, count, encoded } = prepared;
        let offered = Instant::now();
        let anchored = loop {
            match self.ledger.anchor(body.clone(), encoded.clone()).await {
                Ok(anchored) => break anchored,
                Err(IssueError::Stopped) => return Err(SiteError::LedgerStopped),
                // the log keeps what comes meanwhile
                Err(IssueError::Backlog(_)) => tokio::time::sleep(BACKLOG_PAUSE).await,
                Err(IssueError::Rate { retry_ms }) => tokio::time::sleep(Duration::from_millis(retry_ms).min(BACKLOG_PAUSE)).await,
                Err(other) => return Err(SiteError::Issue(other)),
            }
        };
        self.traces.issued(batch.first_offset, cut.into_std(), offered.into_std());
        self.shared.pushed(batch.first_offset, count, anchored.message);
        self.index.add(anchored.place, batch).await;
        Ok(())
    }
}

/// Makes a batch of the rows that fit into `bytes_max`. Nobody earns from it yet.
fn assemble(first: u64, secret: [u8; 32], rows: Vec<(u64, Reading)>, bytes_max: usize) -> Result<Prepared, SiteError> {
    let (mut readings, mut bytes) = (Vec::with_capacity(rows.len()), HEAD_BYTES);
    for ((offset, reading), asked) in rows.into_iter().zip(first..) {
        if offset != asked {
            return Err(SiteError::LogOrder { asked, given: offset.to_string() });
        }
        bytes += reading.encode().len() + ROW_OVERHEAD_BYTES;
        if bytes > bytes_max && !readings.is_empty() {
            break;
        }
        readings.push(reading);
    }
    let batch = Batch { secret, first_offset: first, readings };
    let encoded = batch.encode();
    let (Ok(count), Ok(length)) = (u32::try_from(batch.readings.len()), u32::try_from(encoded.len())) else {
        return Err(SiteError::LogOrder { asked: first, given: "more readings than a batch can hold".into() });
    };
    if count == 0 {
        return Err(SiteError::LogOrder { asked: first, given: "nothing".into() });
    }
    let blob = Batch::blob_digest(&encoded);
    let body =
        Body::Readings { root: merkle::root(&batch.leaves()), count, bytes: length, span_us: batch.span_us(), blob, shares: Vec::new() };
    Ok(Prepared { batch: Arc::new(batch), body, count, encoded })
}

/// Writes the watermark so that it is there, whole, after any crash.
async fn save_watermark(file: PathBuf, next: u64) -> Result<(), SiteError> {
    let work = move || write_durably(&file, next).map_err(|why| SiteError::Watermark { file: file.clone(), why: why.to_string() });
    tokio::task::spawn_blocking(work).await.map_err(|e| SiteError::Task(e.to_string()))?
}

fn write_durably(file: &Path, next: u64) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let mut out = std::fs::File::create(&new)?;
    writeln!(out, "{next}")?;
    out.sync_all()?;
    std::fs::rename(&new, file)?;
    match file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::read_watermark;
    use super::*;
    use protocol::limits::VALUE_BYTES_MAX;
    use protocol::{Decode as _, Value};

    fn rows(first: u64, count: u64, bytes: usize) -> Vec<(u64, Reading)> {
        let reading = |n: u64| Reading {
            topic: "z1/m1/sense/power".parse().unwrap(),
            time_us: u64::MAX - n * 7919, // differences of any size
            sequence: Some(n),
            unit: Some("W".into()),
            value: Value::Bytes(vec![1; bytes]),
            signed: None,
        };
        (first..first + count).map(|n| (n, reading(n))).collect()
    }

    #[test]
    fn a_batch_says_what_the_log_holds() {
        let prepared = assemble(7, [3; 32], rows(7, 5, 1), BATCH_BYTES_CUT).unwrap();
        assert_eq!(Batch::decode(&prepared.encoded).unwrap(), *prepared.batch);
        assert_eq!((prepared.count, prepared.batch.first_offset), (5, 7));
        let Body::Readings { root, count, bytes, blob, span_us, .. } = prepared.body else { panic!("another body") };
        assert_eq!((count, bytes as usize, blob), (5, prepared.encoded.len(), Batch::blob_digest(&prepared.encoded)));
        assert_eq!(span_us, prepared.batch.span_us());
        assert_eq!(root, merkle::root(&prepared.batch.leaves()));
    }

    #[test]
    fn large_readings_make_small_batches() {
        let prepared = assemble(0, [3; 32], rows(0, 100, VALUE_BYTES_MAX), BATCH_BYTES_CUT).unwrap();
        assert!(prepared.encoded.len() <= BATCH_BYTES_CUT, "{}", prepared.encoded.len());
        assert!((20..40).contains(&prepared.count), "{}", prepared.count);
        // what is anchored again has the size it had
        let again = assemble(0, [4; 32], rows(0, u64::from(prepared.count), VALUE_BYTES_MAX), BATCH_BYTES_MAX).unwrap();
        assert_eq!(again.count, prepared.count);
    }

    #[test]
    fn a_gap_or_nothing_is_never_anchored() {
        let mut gap = rows(3, 4, 1);
        gap.remove(1);
        assert!(matches!(assemble(3, [0; 32], gap, BATCH_BYTES_CUT), Err(SiteError::LogOrder { asked: 4, .. })));
        assert!(matches!(assemble(3, [0; 32], rows(4, 1, 1), BATCH_BYTES_CUT), Err(SiteError::LogOrder { asked: 3, .. })));
        assert!(matches!(assemble(3, [0; 32], Vec::new(), BATCH_BYTES_CUT), Err(SiteError::LogOrder { asked: 3, .. })));
    }

    #[tokio::test]
    async fn the_watermark_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.next");
        assert_eq!(read_watermark(&file).unwrap(), 0);
        save_watermark(file.clone(), 42).await.unwrap();
        save_watermark(file.clone(), 43).await.unwrap();
        assert_eq!(read_watermark(&file).unwrap(), 43);
        std::fs::write(&file, "4x").unwrap();
        assert!(read_watermark(&file).unwrap_err().to_string().contains("site.next"));
    }
}
