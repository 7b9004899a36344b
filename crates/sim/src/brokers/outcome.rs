//! What a run gives, and the way to it.

use super::settings::{Plan, Settings, SettingsError};
use super::{events, recursion};

/// End-to-end latency of what was published: from the source to the ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Mean, in milliseconds.
    pub mean_ms: f64,
    /// Longest, in milliseconds.
    pub max_ms: f64,
}

/// What a run gives. Counts are of the time after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Messages on the ledger.
    pub published: u64,
    /// Their latency; nothing if none was published.
    pub latency: Option<Latency>,
    /// Messages on the ledger per second.
    pub throughput_per_second: f64,
    /// Services the brokers did, the warm-up included.
    pub services: u64,
}

/// Runs the model, in the faster way if that can do it.
///
/// # Errors
/// [`SettingsError`] if the settings make no sense.
pub fn simulate(settings: &Settings) -> Result<Outcome, SettingsError> {
    let plan = settings.plan()?;
    let tally = if settings.recursive() { recursion::run(settings, &plan) } else { events::run(settings, &plan) };
    Ok(tally.outcome(&plan))
}

/// Runs the model event by event, whatever the settings are.
///
/// # Errors
/// [`SettingsError`] if the settings make no sense.
pub fn simulate_by_events(settings: &Settings) -> Result<Outcome, SettingsError> {
    let plan = settings.plan()?;
    Ok(events::run(settings, &plan).outcome(&plan))
}

/// Counts while a run goes on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    published: u64,
    latency_sum_ns: u128,
    latency_max_ns: u64,
    /// Services begun and finished within the run.
    pub(super) services: u64,
}

impl Tally {
    /// Something born then is on the ledger now, if now is within the time that counts.
    pub(super) fn publish(&mut self, born_ns: u64, now_ns: u64, plan: &Plan) {
        if now_ns >= plan.warm_up_ns && now_ns <= plan.end_ns {
            let latency_ns = now_ns.saturating_sub(born_ns);
            self.published += 1;
            self.latency_sum_ns += u128::from(latency_ns);
            self.latency_max_ns = self.latency_max_ns.max(latency_ns);
        }
    }

    fn outcome(&self, plan: &Plan) -> Outcome {
        let mean_ns = self.latency_sum_ns as f64 / self.published.max(1) as f64;
        let latency = Latency { mean_ms: mean_ns / 1e6, max_ms: self.latency_max_ns as f64 / 1e6 };
        let counted_s = (plan.end_ns - plan.warm_up_ns) as f64 / 1e9;
        Outcome {
            published: self.published,
            latency: (self.published > 0).then_some(latency),
            throughput_per_second: self.published as f64 / counted_s,
            services: self.services,
        }
    }
}
