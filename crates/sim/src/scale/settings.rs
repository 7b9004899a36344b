//! What is assumed, within its bounds.

use std::time::Duration;
use thiserror::Error;

/// Most devices.
pub const DEVICES_MAX: u64 = 1_000_000_000;
/// Most levels of brokers: as many as a site's name has (`docs/spec/tiers.md`, TIER-1).
pub const TIERS_MAX: u32 = 4;
/// Most members of a committee (`docs/spec/receipt.md`, R-22).
pub const COMMITTEE_MAX: u32 = 128;
/// Most sites of a subnet: as many validators stand (`docs/spec/epochs.md`, E-9), and each site issues as one.
const SITES_PER_SUBNET_MAX: u32 = 1_024;
const DEVICES_PER_SITE_MAX: u32 = 10_000_000;
const READING_BYTES_MAX: u32 = 16_384;
/// As many as the format allows in a batch.
const BATCH_READINGS_MAX: u32 = 4_096;
const FAN_MAX: u32 = 100_000;
const RETENTION_DAYS_MAX: u32 = 36_500;
const CONNECTIONS_MAX: u32 = 10_000_000;
const PERIOD_MIN: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
const LINK_MAX: Duration = Duration::from_secs(60);

/// One network.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Devices in all.
    pub devices: u64,
    /// Time from one reading of a device to its next.
    pub period: Duration,
    /// Topic and payload of a reading as it is published.
    pub reading_bytes: u32,
    /// Most readings in a batch (`ledger.batch_readings_max`).
    pub batch_readings_max: u32,
    /// Under load a batch leaves this long after the one before (`ledger.batch_delay_ms`).
    pub batch_delay: Duration,
    /// Devices of a full site.
    pub devices_per_site: u32,
    /// Sites of a full subnet.
    pub sites_per_subnet: u32,
    /// Members of a committee; a subnet of fewer sites has nodes without a site.
    pub committee: u32,
    /// Levels of brokers: 1 is one broker a site and none above, with more the last level is one central broker.
    pub tiers: u32,
    /// Brokers below each of a level that is neither the first nor the last.
    pub brokers_below: u32,
    /// Part of the readings that goes up the tree: 1 is `tier.up = ["root/fog/#"]`.
    pub up_share: f64,
    /// Days after which a pruned node drops what it confirmed (`ledger.retention.max_age_days`).
    pub retention_days: u32,
    /// Subnets, or parents of subnets, that have one parent. Model only.
    pub subnets_per_parent: u32,
    /// Time between two checkpoints of a subnet in its parent. Model only.
    pub checkpoint_interval: Duration,
    /// From a device to its broker, and from one node to another.
    pub link: Duration,
    /// What a node's connection carries each way, in millions of bits a second.
    pub bandwidth_mbit: f64,
    /// Cores of a node's machine.
    pub cores: f64,
    /// Memory of a node's machine.
    pub memory_bytes: f64,
    /// Most connections of a site's broker (`broker.limits.connections`).
    pub connections_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            devices: 1_000,
            period: Duration::from_secs(10),
            reading_bytes: 40,
            batch_readings_max: 1_000,
            batch_delay: Duration::from_millis(5),
            devices_per_site: 1_000,
            sites_per_subnet: 100,
            committee: 16,
            tiers: 3,
            brokers_below: 32,
            up_share: 1.0,
            retention_days: 30,
            subnets_per_parent: 100,
            checkpoint_interval: Duration::from_secs(10),
            link: Duration::from_micros(1_500),
            bandwidth_mbit: 1_000.0,
            cores: 2.0,
            memory_bytes: 4e9,
            connections_max: 20_000,
        }
    }
}

/// Why settings make no sense.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ScaleError {
    /// A count is out of its bounds.
    #[error("{given} {what}: between {min} and {max} are possible")]
    Count {
        /// What is counted.
        what: &'static str,
        /// What was given.
        given: u64,
        /// Fewest possible.
        min: u64,
        /// Most possible.
        max: u64,
    },
    /// A time is out of its bounds.
    #[error("{what} of {given:?}: between {min:?} and {max:?} is possible")]
    Time {
        /// Which time.
        what: &'static str,
        /// What was given.
        given: Duration,
        /// Shortest possible.
        min: Duration,
        /// Longest possible.
        max: Duration,
    },
    /// A number is out of its bounds.
    #[error("{what} of {given}: between {min} and {max} is possible")]
    Number {
        /// Which number.
        what: &'static str,
        /// What was given.
        given: f64,
        /// Least possible.
        min: f64,
        /// Most possible.
        max: f64,
    },
}

impl Settings {
    /// Checks what was given.
    ///
    /// # Errors
    /// [`ScaleError`] naming the first value that makes no sense.
    pub fn check(&self) -> Result<(), ScaleError> {
        let counts: [(&'static str, u64, u64, u64); 11] = [
            ("devices", self.devices, 1, DEVICES_MAX),
            ("bytes of a reading", self.reading_bytes.into(), 1, READING_BYTES_MAX.into()),
            ("readings in a batch", self.batch_readings_max.into(), 1, BATCH_READINGS_MAX.into()),
            ("devices per site", self.devices_per_site.into(), 1, DEVICES_PER_SITE_MAX.into()),
            ("sites per subnet", self.sites_per_subnet.into(), 1, SITES_PER_SUBNET_MAX.into()),
            ("members of a committee", self.committee.into(), 1, COMMITTEE_MAX.into()),
            ("tiers of brokers", self.tiers.into(), 1, TIERS_MAX.into()),
            ("brokers below one", self.brokers_below.into(), 1, FAN_MAX.into()),
            ("days of retention", self.retention_days.into(), 1, RETENTION_DAYS_MAX.into()),
            ("subnets per parent", self.subnets_per_parent.into(), 2, FAN_MAX.into()),
            ("connections of a broker", self.connections_max.into(), 1, CONNECTIONS_MAX.into()),
        ];
        for (what, given, min, max) in counts {
            if !(min..=max).contains(&given) {
                return Err(ScaleError::Count { what, given, min, max });
            }
        }
        let times = [
            ("period", self.period, PERIOD_MIN, DAY),
            ("batch delay", self.batch_delay, Duration::ZERO, LINK_MAX),
            ("checkpoint interval", self.checkpoint_interval, PERIOD_MIN, DAY),
            ("link", self.link, Duration::ZERO, LINK_MAX),
        ];
        for (what, given, min, max) in times {
            if given < min || given > max {
                return Err(ScaleError::Time { what, given, min, max });
            }
        }
        let numbers = [
            ("share of readings that go up", self.up_share, 0.0, 1.0),
            ("bandwidth in Mbit/s", self.bandwidth_mbit, 0.001, 1e6),
            ("cores", self.cores, 0.01, 1_024.0),
            ("memory in bytes", self.memory_bytes, 1e6, 1e15),
        ];
        for (what, given, min, max) in numbers {
            // a NaN is in no range
            if !(min..=max).contains(&given) {
                return Err(ScaleError::Number { what, given, min, max });
            }
        }
        Ok(())
    }

    /// The same with other devices.
    #[must_use]
    pub fn with_devices(&self, devices: u64) -> Self {
        Self { devices, ..self.clone() }
    }

    /// Bytes that a node's connection carries in a second, each way.
    pub(super) fn bytes_per_second(&self) -> f64 {
        self.bandwidth_mbit * 1e6 / 8.0
    }
}
