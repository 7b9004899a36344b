//! What can be said without simulating. Derived, with the same letters, in `docs/spec/broker-model.md` (BM-1 to BM-6).

use super::settings::{Balancing, Discipline, Phase, Plan, Settings, SettingsError, Spread, Workers};

/// Halvings of the interval in which the overload ratio lies: more than a double has digits.
const HALVINGS: u32 = 128;

/// What the closed forms say of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theory {
    /// Latency of a message that waits for nobody, in milliseconds, with delays at their means (BM-1).
    pub floor_ms: f64,
    /// Most sources of which no broker gets more than it can serve; of balanced sources (BM-2).
    pub saturation_sources: u64,
    /// Services asked of the busiest broker over those it can do (BM-2).
    pub utilisation: f64,
    /// Whether the busiest broker keeps up.
    pub stable: bool,
    /// Published per second (BM-3, BM-5); nothing for settings that no closed form covers.
    pub throughput_per_second: Option<f64>,
    /// Mean latency in milliseconds (BM-4, BM-6); nothing for settings that no closed form covers.
    pub latency_ms: Option<f64>,
}

/// Says what the closed forms say.
///
/// # Errors
/// [`SettingsError`] if the settings make no sense.
pub fn predict(settings: &Settings) -> Result<Theory, SettingsError> {
    let plan = settings.plan()?;
    let floor_ns = plan.lead_ns() + plan.loop_ns() + plan.tail_ns() + 2 * plan.service_ns;
    let asked_ns = u64::from(settings.passes()) * plan.service_ns;
    let busiest = settings.sources.div_ceil(settings.brokers);
    let utilisation = f64::from(busiest) * asked_ns as f64 / plan.period_ns as f64;
    let queued = settings.balancing == Balancing::BySource
        && settings.discipline == Discipline::Fifo
        && settings.fog == Workers::Parallel
        && settings.node == Workers::Parallel
        && settings.warm_up.is_zero();
    let (throughput, latency) = if queued { all_brokers(settings, &plan) } else { (None, None) };
    Ok(Theory {
        floor_ms: floor_ns as f64 / 1e6,
        saturation_sources: u64::from(settings.brokers) * (plan.period_ns / asked_ns),
        utilisation,
        stable: utilisation <= 1.0,
        throughput_per_second: throughput,
        latency_ms: latency,
    })
}

/// Sums over brokers: some have one source more than the others.
fn all_brokers(settings: &Settings, plan: &Plan) -> (Option<f64>, Option<f64>) {
    let (few, more) = (settings.sources / settings.brokers, settings.sources % settings.brokers);
    let kinds = [(few, settings.brokers - more), (few + 1, more)];
    let (mut throughput, mut weighted) = (0.0, Some(0.0));
    for (sources, brokers) in kinds.into_iter().filter(|(sources, brokers)| *sources > 0 && *brokers > 0) {
        let (one, latency_ms) = one_broker(sources, settings, plan);
        let share = one * f64::from(brokers);
        throughput += share;
        weighted = weighted.zip(latency_ms).map(|(sum, latency)| sum + share * latency);
    }
    (Some(throughput), weighted.filter(|_| throughput > 0.0).map(|sum| sum / throughput))
}

/// Throughput per second and mean latency in milliseconds of one broker with this many sources.
fn one_broker(sources: u32, settings: &Settings, plan: &Plan) -> (f64, Option<f64>) {
    let rate = f64::from(sources) * 1e9 / plan.period_ns as f64;
    let capacity = 1e9 / plan.service_ns as f64;
    let constant = settings.delays == Spread::Constant && settings.services == Spread::Constant;
    let burst_ms = burst_ns(sources, plan) / 1e6;
    let bursts = constant && settings.phase == Phase::Synchronised && !settings.notices;
    if rate * f64::from(settings.passes()) <= capacity {
        return (rate, (bursts && apart(sources, plan)).then_some(burst_ms));
    }
    let ratio = overload_ratio(rate, capacity, settings.passes());
    let squared = ratio * ratio;
    let waiting_ms = plan.end_ns as f64 / 1e6 * (1.0 - 1.0 / squared) / 2.0;
    (rate / squared, bursts.then_some(burst_ms + waiting_ms))
}

/// BM-4: mean latency of a burst of so many messages that finds an empty broker.
fn burst_ns(sources: u32, plan: &Plan) -> f64 {
    let (n, service_ns) = (f64::from(sources), plan.service_ns as f64);
    let second_begins_ns = (n * service_ns).max(service_ns + plan.loop_ns() as f64);
    (plan.lead_ns() + plan.tail_ns()) as f64 + second_begins_ns + (n + 1.0) / 2.0 * service_ns
}

/// Whether a burst is over before the next begins.
fn apart(sources: u32, plan: &Plan) -> bool {
    let all_ns = u128::from(sources) * u128::from(plan.service_ns);
    all_ns.max(u128::from(plan.service_ns + plan.loop_ns())) + all_ns <= u128::from(plan.period_ns)
}

/// BM-5: the root r > 1 of `capacity · r = rate · (1 + 1/r + … + 1/r^(passes - 1))`. The left side grows with r and the right
/// side falls, so there is one; at r = 1 the right side is greater, at `passes · rate / capacity` it is not.
fn overload_ratio(rate: f64, capacity: f64, passes: u32) -> f64 {
    let (mut low, mut high) = (1.0f64, f64::from(passes) * rate / capacity);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        let asked: f64 = (0..passes).fold((0.0, 1.0), |(sum, term), _| (sum + term, term / middle)).0 * rate;
        if asked > capacity * middle { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_passes_have_the_root_of_the_quadratic() {
        for (rate, capacity) in [(100.0, 142.857), (1_000.0, 142.857), (84.0, 166.667)] {
            let expected = (rate + f64::sqrt(rate * rate + 4.0 * rate * capacity)) / (2.0 * capacity);
            let found = overload_ratio(rate, capacity, 2);
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} instead of {expected}");
        }
    }
}
