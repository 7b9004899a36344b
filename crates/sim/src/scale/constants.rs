//! What this software was measured to take. The defaults are the figures of `docs/performance.md`, each with its command.

use thiserror::Error;

/// Measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct Constants {
    /// Processor time of one node to admit one message. `wattle bench dag --nodes 48 --network simulated --seconds 20
    /// --warm-up 10 --runs 1`: two cores admitted 633 messages a second on each of 48 nodes, 2 / (48 · 633) s.
    pub admission_us: f64,
    /// Processor time to blind, hash and anchor one reading at its issuer. `wattle bench ingest --nodes 4 --seconds 5 --warm-up 1
    /// --runs 3`: two cores did 963 600 a second, whatever the other three nodes took included.
    pub anchor_us: f64,
    /// Processor time of a site for one reading: broker, log, index. `wattle bench connections --devices 10000 --readings 20
    /// --runs 3`: 19.3 s for 200 000 readings. The ledger of one node is in it, a few per cent.
    pub site_us: f64,
    /// Memory of the node for one connected device; same bench.
    pub connection_bytes: f64,
    /// Memory of a node without devices. `wattle bench ingest --nodes 1 --seconds 5 --warm-up 1 --runs 3`.
    pub node_bytes: f64,
    /// Publishes a second that a broker acknowledges at QoS 1, kept on disk. `wattle bench mqtt --publishers 100 --qos 1 --messages
    /// 100000 --runs 3`.
    pub publishes_per_second: f64,
    /// The same over one connection, as a link between two brokers is. `wattle bench mqtt --publishers 1 --qos 1 --messages 10000
    /// --runs 1`.
    pub link_publishes_per_second: f64,
    /// A durable write. `wattle bench vote --extrapolate --runs 3`.
    pub sync_us: f64,
    /// Signing a message; same bench.
    pub sign_us: f64,
    /// Verifying one signature; same bench.
    pub verify_us: f64,
    /// Processor time of one node for one milestone, without the votes. Assumed: a committee of 48 leaves 0 to 1.5 ms of its two
    /// cores for it when its messages and votes are taken off, and no bench has it alone.
    pub milestone_us: f64,
    /// How long a committee took, and how often it had a milestone.
    pub confirmation: Confirmation,
    /// Bytes on disk.
    pub storage: Storage,
}

/// One run of `wattle bench confirm --network simulated`: n replicas on one machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmation {
    /// Replicas, all in the committee.
    pub nodes: u32,
    /// Cores that they share.
    pub cores: f64,
    /// Readings a second, issued by one of them.
    pub rate_per_second: f64,
    /// From one to another.
    pub link_ms: f64,
    /// From issue to confirmation, the median.
    pub p50_ms: f64,
    /// Milestones a second.
    pub milestones_per_second: f64,
}

/// Bytes on disk for one reading, in batches of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoragePoint {
    /// Readings in a batch.
    pub batch: f64,
    /// In the ledger of the node that issues, payload included.
    pub ledger_bytes: f64,
    /// In its index.
    pub index_bytes: f64,
    /// In the ledger of any other node.
    pub other_bytes: f64,
    /// Readings that one milestone confirmed.
    pub readings_per_milestone: f64,
}

/// Bytes on disk by the size of batches; between two sizes by a power law.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    nodes: u32,
    points: Vec<StoragePoint>,
}

/// Why measurements of storage cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StorageError {
    /// There is nothing to go by.
    #[error("no size of batches was measured")]
    Empty,
    /// There is no other node.
    #[error("it has one node only, and other nodes keep less: two or more are needed")]
    Alone,
    /// A number is not above 0.
    #[error("its figures must be above 0, and each size of batches be there once")]
    Number,
}

impl Storage {
    /// From points measured with so many nodes, in any order.
    ///
    /// # Errors
    /// [`StorageError`] if they say too little.
    pub fn new(nodes: u32, mut points: Vec<StoragePoint>) -> Result<Self, StorageError> {
        if points.is_empty() {
            return Err(StorageError::Empty);
        }
        if nodes < 2 {
            return Err(StorageError::Alone);
        }
        let good = |x: f64| x.is_finite() && x > 0.0;
        points.sort_by(|a, b| a.batch.total_cmp(&b.batch));
        let all_good =
            points.iter().all(|p| [p.batch, p.ledger_bytes, p.index_bytes, p.other_bytes, p.readings_per_milestone].into_iter().all(good));
        let twice = points.iter().zip(points.iter().skip(1)).any(|(a, b)| a.batch == b.batch);
        if !all_good || twice {
            return Err(StorageError::Number);
        }
        Ok(Self { nodes, points })
    }

    /// Nodes that it was measured with.
    #[must_use]
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// What was measured, by ascending size.
    #[must_use]
    pub fn points(&self) -> &[StoragePoint] {
        &self.points
    }

    /// At batches of this size: as measured at a size that was measured, beyond the least and the greatest as at these.
    #[must_use]
    pub fn at(&self, batch: f64) -> Option<StoragePoint> {
        let above = self.points.iter().find(|point| point.batch >= batch).or(self.points.last())?;
        let below = self.points.iter().rev().find(|point| point.batch <= batch).or(self.points.first())?;
        if below.batch >= above.batch {
            return Some(StoragePoint { batch, ..*above });
        }
        let part = (batch / below.batch).ln() / (above.batch / below.batch).ln();
        let between = |of: fn(&StoragePoint) -> f64| of(below) * (of(above) / of(below)).powf(part);
        Some(StoragePoint {
            batch,
            ledger_bytes: between(|point| point.ledger_bytes),
            index_bytes: between(|point| point.index_bytes),
            other_bytes: between(|point| point.other_bytes),
            readings_per_milestone: between(|point| point.readings_per_milestone),
        })
    }
}

impl Default for Storage {
    /// `wattle bench storage --nodes 4 --runs 1`.
    fn default() -> Self {
        let rows = [
            (1.0, 572.0, 41.4, 456.0, 25.3),
            (10.0, 95.6, 30.9, 59.0, 166.0),
            (100.0, 23.7, 10.9, 6.1, 1_216.0),
            (1_000.0, 16.1, 6.1, 1.7, 7_843.0),
        ];
        let points = rows.map(|(batch, ledger_bytes, index_bytes, other_bytes, readings_per_milestone)| StoragePoint {
            batch,
            ledger_bytes,
            index_bytes,
            other_bytes,
            readings_per_milestone,
        });
        Self { nodes: 4, points: points.to_vec() }
    }
}

impl Default for Confirmation {
    /// `wattle bench confirm --nodes 4 --network simulated --rate 1000 --seconds 8 --runs 3`.
    fn default() -> Self {
        Self { nodes: 4, cores: 2.0, rate_per_second: 1_000.0, link_ms: 1.5, p50_ms: 31.0, milestones_per_second: 48.0 }
    }
}

impl Default for Constants {
    fn default() -> Self {
        Self {
            admission_us: 2e6 / (48.0 * 633.0),
            anchor_us: 2e6 / 963_600.0,
            site_us: 19.3e6 / 200_000.0,
            connection_bytes: 19_800.0,
            node_bytes: 60e6,
            publishes_per_second: 33_800.0,
            link_publishes_per_second: 3_200.0,
            sync_us: 142.0,
            sign_us: 31.0,
            verify_us: 47.0,
            milestone_us: 1_000.0,
            confirmation: Confirmation::default(),
            storage: Storage::default(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_comes_back_and_between_lies_a_power_law() {
        let storage = Storage::default();
        for point in storage.points() {
            let found = storage.at(point.batch).unwrap();
            assert!((found.ledger_bytes - point.ledger_bytes).abs() < 1e-9 && (found.other_bytes - point.other_bytes).abs() < 1e-9);
        }
        // half way between 1 and 10 by ratio is the root of both
        let middle = storage.at(10f64.sqrt()).unwrap();
        assert!((middle.ledger_bytes / (572.0f64 * 95.6).sqrt() - 1.0).abs() < 1e-9, "{middle:?}");
        assert_eq!(storage.at(4_096.0).unwrap().index_bytes, 6.1);
        assert_eq!(storage.at(0.5).unwrap().other_bytes, 456.0);
    }

    #[test]
    fn measurements_that_say_too_little_are_refused() {
        let point = StoragePoint { batch: 1.0, ledger_bytes: 1.0, index_bytes: 1.0, other_bytes: 1.0, readings_per_milestone: 1.0 };
        assert_eq!(Storage::new(4, Vec::new()), Err(StorageError::Empty));
        assert_eq!(Storage::new(1, vec![point]), Err(StorageError::Alone));
        assert_eq!(Storage::new(4, vec![point, point]), Err(StorageError::Number));
        assert_eq!(Storage::new(4, vec![StoragePoint { other_bytes: f64::NAN, ..point }]), Err(StorageError::Number));
        let other = StoragePoint { batch: 7.0, ..point };
        assert_eq!(Storage::new(4, vec![other, point]).unwrap().points(), &[point, other]);
    }
}
