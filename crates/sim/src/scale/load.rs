//! What the busiest site, the busiest subnet and a node of both bear (SC-3 to SC-6).

use super::constants::{Confirmation, Constants};
use super::settings::Settings;
use super::shape::Shape;

/// Microseconds in a second.
pub(super) const US: f64 = 1e6;
/// Signatures that a node verifies for a milestone, for each member: two votes, and a certificate's that came before its votes.
const VERIFIED_PER_MEMBER: f64 = 3.0;
/// A milestone at least this often, whatever happens (`ledger.heartbeat_ms`).
const HEARTBEAT_S: f64 = 15.0;

/// What gathers by the rule of batches and of milestones: the next leaves a delay after the last, or later with the first
/// that comes, and at once when it is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gathered {
    /// How many leave together, on average.
    pub size: f64,
    /// From one to the next, on average.
    pub interval_s: f64,
    /// How long one of them waited, on average.
    pub wait_s: f64,
}

/// Poisson arrivals of a rate above 0 that leave together (SC-3).
#[must_use]
pub fn gathered(rate_per_second: f64, delay_s: f64, most: f64) -> Gathered {
    let during = rate_per_second * delay_s;
    let size = during + (-during).exp();
    if size > most {
        return Gathered { size: most, interval_s: most / rate_per_second, wait_s: (most - 1.0) / (2.0 * rate_per_second) };
    }
    Gathered { size, interval_s: size / rate_per_second, wait_s: during * delay_s / (2.0 * size) }
}

/// Parts of a node's processor, all cores together being 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Processor {
    /// Broker, log and index.
    pub site: f64,
    /// Blinding, hashing and issuing its readings.
    pub anchoring: f64,
    /// Admitting the messages of its subnet.
    pub admission: f64,
    /// Milestones and their votes.
    pub milestones: f64,
}

impl Processor {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.site + self.anchoring + self.admission + self.milestones
    }
}

/// What is borne.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Readings a second of the busiest site, and of all of its subnet.
    pub(super) rate: f64,
    pub(super) subnet_rate: f64,
    /// The busiest site's batches.
    pub(super) batch: Gathered,
    /// Messages a second of the busiest site, and of all of its subnet.
    pub(super) own: f64,
    pub(super) all: f64,
    pub(super) nodes: f64,
    pub(super) committee: u32,
    pub(super) cores: f64,
    pub(super) link_s: f64,
    pub(super) bytes_per_second: f64,
    /// Microseconds a second that a member of the committee with the busiest site works, milestones apart.
    pub(super) site_us: f64,
    pub(super) anchoring_us: f64,
    pub(super) admission_us: f64,
    /// Microseconds of one milestone.
    pub(super) milestone_us: f64,
    /// Milestones if the processor is not short of time.
    pub(super) wanted: Gathered,
}

impl Load {
    /// Of settings that were checked.
    pub(super) fn of(settings: &Settings, shape: &Shape, constants: &Constants) -> Self {
        let period_s = settings.period.as_secs_f64();
        let delay_s = settings.batch_delay.as_secs_f64();
        let most = f64::from(settings.batch_readings_max);
        let rate = shape.site_devices as f64 / period_s;
        let batch = gathered(rate, delay_s, most);
        let own = rate / batch.size;
        // the last site of the subnet may have fewer devices
        let per_site = u64::from(settings.devices_per_site).max(1);
        let full = shape.subnet_devices / per_site;
        let rest = (shape.subnet_devices % per_site) as f64 / period_s;
        let of_rest = if rest > 0.0 { rest / gathered(rest, delay_s, most).size } else { 0.0 };
        let all = full as f64 * own + of_rest;
        Self {
            rate,
            subnet_rate: shape.subnet_devices as f64 / period_s,
            batch,
            own,
            all,
            nodes: shape.nodes as f64,
            committee: settings.committee,
            cores: settings.cores,
            link_s: settings.link.as_secs_f64(),
            bytes_per_second: settings.bytes_per_second(),
            site_us: rate * constants.site_us,
            anchoring_us: rate * constants.anchor_us,
            admission_us: all * constants.admission_us,
            milestone_us: milestone_us(settings.committee, constants),
            wanted: pace(all, constants),
        }
    }

    /// Of a run of `wattle bench confirm --network simulated`: no broker, and all replicas share the cores.
    pub(super) fn of_bench(run: &Confirmation, constants: &Constants) -> Self {
        let defaults = Settings::default();
        let batch = gathered(run.rate_per_second, defaults.batch_delay.as_secs_f64(), f64::from(defaults.batch_readings_max));
        let all = run.rate_per_second / batch.size;
        let nodes = f64::from(run.nodes.max(1));
        Self {
            rate: run.rate_per_second,
            subnet_rate: run.rate_per_second,
            batch,
            own: all,
            all,
            nodes,
            committee: run.nodes.max(1),
            cores: run.cores / nodes,
            link_s: run.link_ms / 1e3,
            bytes_per_second: f64::INFINITY,
            site_us: 0.0,
            anchoring_us: run.rate_per_second * constants.anchor_us / nodes,
            admission_us: all * constants.admission_us,
            milestone_us: milestone_us(run.nodes.max(1), constants),
            wanted: pace(all, constants),
        }
    }

    /// Microseconds a second that are left to milestones; 0 or less if there are none.
    pub(super) fn left_us(&self) -> f64 {
        self.cores * US - self.site_us - self.anchoring_us - self.admission_us
    }

    /// Milestones a second: as many as are wanted, or as the processor has time for.
    pub(super) fn milestones_per_second(&self) -> f64 {
        (1.0 / self.wanted.interval_s).min(self.left_us().max(0.0) / self.milestone_us)
    }

    /// The node's processor.
    pub(super) fn processor(&self) -> Processor {
        let all_us = self.cores * US;
        Processor {
            site: self.site_us / all_us,
            anchoring: self.anchoring_us / all_us,
            admission: self.admission_us / all_us,
            milestones: self.milestones_per_second() * self.milestone_us / all_us,
        }
    }
}

/// Processor time of a milestone in a committee of so many.
pub(super) fn milestone_us(committee: u32, constants: &Constants) -> f64 {
    constants.milestone_us + VERIFIED_PER_MEMBER * f64::from(committee) * constants.verify_us
}

/// Milestones gather messages as batches gather readings, at the pace that was measured.
fn pace(messages_per_second: f64, constants: &Constants) -> Gathered {
    let gap_s = 1.0 / constants.confirmation.milestones_per_second;
    let free = gathered(messages_per_second, gap_s, f64::INFINITY);
    Gathered { interval_s: free.interval_s.min(HEARTBEAT_S), ..free }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_one_when_idle_and_a_delay_s_worth_under_load() {
        let idle = gathered(0.001, 0.005, 1_000.0);
        assert!((idle.size - 1.0).abs() < 1e-9 && idle.wait_s < 1e-7, "{idle:?}");
        let busy = gathered(100_000.0, 0.005, 1_000.0);
        assert!((busy.size - 500.0).abs() < 1e-9 && (busy.wait_s - 0.002_5).abs() < 1e-9, "{busy:?}");
        let full = gathered(1_000_000.0, 0.005, 1_000.0);
        assert!((full.size - 1_000.0).abs() < 1e-9 && (full.interval_s - 0.001).abs() < 1e-12, "{full:?}");
        // one arrival a delay: 1 + 1/e in a batch
        assert!((gathered(200.0, 0.005, 1_000.0).size - 1.367_879).abs() < 1e-6);
        assert!((gathered(7.0, 0.0, 1_000.0).size - 1.0).abs() < 1e-12);
    }
}
