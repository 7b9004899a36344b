//! Bytes that a node writes in a year, and keeps (SC-12, SC-13).

use super::constants::{Constants, StoragePoint};
use super::links::{certificate_bytes, milestone_bytes};
use super::load::Load;
use super::settings::Settings;
use super::shape::Shape;

/// Bytes of a transaction in Nano, as the papers have it (M39).
pub const NANO_BYTES: f64 = 520.0;
/// Bytes of a transaction in IOTA.
pub const IOTA_BYTES: f64 = 1_600.0;
/// Seconds of a year of 365 days.
pub(super) const YEAR_S: f64 = 365.0 * 86_400.0;
const DAY_S: f64 = 86_400.0;
/// Of a milestone a node keeps the header twice (its own table and consensus' archive), its certificate, and keys around them.
const HEADERS: f64 = 2.0;
const KEYS_BYTES: f64 = 200.0;
/// For ever it keeps the header, two hashes of the tree of history, and a key.
const FOR_EVER_BYTES: f64 = 2.0 * 32.0 + 40.0;

/// A year of the busiest site's node: bytes, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Yearly {
    /// Readings of its subnet, a number.
    pub readings: f64,
    /// Its own readings in the ledger, payloads included.
    pub own: f64,
    /// The index of its own readings.
    pub index: f64,
    /// The messages of other nodes.
    pub others: f64,
    /// Milestones and certificates.
    pub milestones: f64,
    /// All of these: what a node writes that drops nothing.
    pub archive: f64,
    /// What is there after a year on a node that drops what is older than the retention.
    pub pruned: f64,
    /// The archive if it had the payloads of all other nodes too.
    pub everything: f64,
    /// The subnet's readings in Nano.
    pub nano: f64,
    /// The subnet's readings in IOTA.
    pub iota: f64,
}

pub(super) fn yearly(settings: &Settings, shape: &Shape, load: &Load, constants: &Constants) -> Yearly {
    let storage = &constants.storage;
    // what the bench's own milestones took, one tip each, is taken off: here they come at another pace
    let bare =
        |bytes: f64, point: &StoragePoint| (bytes - stored_milestone_bytes(1.0, storage.nodes()) / point.readings_per_milestone).max(0.0);
    let figures = |batch: f64| {
        let point = storage.at(batch);
        point.map_or((0.0, 0.0, 0.0), |p| (bare(p.ledger_bytes, &p), p.index_bytes, bare(p.other_bytes, &p)))
    };
    let (ledger_bytes, index_bytes, other_bytes) = figures(load.batch.size);
    let readings = load.subnet_rate * YEAR_S;
    let others_rate = (load.subnet_rate - load.rate).max(0.0);
    // the last site of a subnet that is not full has smaller batches
    let rest = shape.subnet_devices % u64::from(settings.devices_per_site).max(1);
    let rest_rate = if shape.subnet_sites > 1 { rest as f64 / settings.period.as_secs_f64() } else { 0.0 };
    let delay_s = settings.batch_delay.as_secs_f64();
    let rest_point = if rest_rate > 0.0 {
        figures(super::load::gathered(rest_rate, delay_s, f64::from(settings.batch_readings_max)).size)
    } else {
        (0.0, 0.0, 0.0)
    };
    let full_rate = (others_rate - rest_rate).max(0.0);
    let own = load.rate * YEAR_S * ledger_bytes;
    let index = load.rate * YEAR_S * index_bytes;
    let others = YEAR_S * (full_rate * other_bytes + rest_rate * rest_point.2);
    let count = load.milestones_per_second() * YEAR_S;
    // a tip for each message that it confirms, but one of each node at most
    let tips = (load.all / load.milestones_per_second()).min(load.nodes);
    let milestones = count * stored_milestone_bytes(tips, settings.committee);
    let archive = own + index + others + milestones;
    let for_ever = index + count * (milestone_bytes(tips) + FOR_EVER_BYTES);
    let kept = (f64::from(settings.retention_days) * DAY_S / YEAR_S).min(1.0);
    Yearly {
        readings,
        own,
        index,
        others,
        milestones,
        archive,
        pruned: for_ever + (archive - for_ever).max(0.0) * kept,
        everything: own + index + milestones + YEAR_S * (full_rate * ledger_bytes + rest_rate * rest_point.0),
        nano: readings * NANO_BYTES,
        iota: readings * IOTA_BYTES,
    }
}

/// What one milestone takes on disk.
fn stored_milestone_bytes(tips: f64, committee: u32) -> f64 {
    HEADERS * milestone_bytes(tips) + certificate_bytes(committee) + KEYS_BYTES
}

// a milestone's own header is less than what is kept of it, so nothing kept for ever exceeds what was written
const _: () = assert!(FOR_EVER_BYTES < KEYS_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milestone_of_four_takes_a_kilobyte() {
        // 2 · (147 + 4 · 32) + 40 + 3 · 65 + 200
        assert!((stored_milestone_bytes(4.0, 4) - 985.0).abs() < 1e-9);
    }
}
