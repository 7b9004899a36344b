//! Many runs: which there are, what they cost, and what they come to.

use super::outcome::Outcome;
use super::settings::{Balancing, Settings, SettingsError};
use super::theory::{Theory, predict};
use crate::Band;
use std::time::Duration;
use thiserror::Error;

/// Most runs of one campaign.
pub const RUNS_MAX: usize = 1_000_000;
/// What a service takes in the faster way on one core: an estimate, only for what is said before a campaign.
const RECURSION_SERVICE_NS: f64 = 12.0;
/// What a service and the events around it take in the calendar: an estimate, likewise.
const EVENTS_SERVICE_NS: f64 = 600.0;
/// What it takes to look at one broker more, for each message that goes to the shortest queue.
const LOOK_NS: f64 = 3.0;
/// What a message that waits for a second pass takes in the faster way.
const RECURSION_WAITING_BYTES: f64 = 16.0;
/// What any message in the model takes in the calendar.
const EVENTS_WAITING_BYTES: f64 = 64.0;
/// Queues grow by doubling.
const GROWTH: f64 = 2.0;
/// The runs of a campaign: all combinations.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Numbers of sources.
    pub sources: Vec<u32>,
    /// Numbers of brokers.
    pub brokers: Vec<u32>,
    /// Service times.
    pub services: Vec<Duration>,
    /// Periods.
    pub periods: Vec<Duration>,
    /// Seeds for each combination, counted from that of `base`; 1 is enough if nothing depends on chance.
    pub seeds: u32,
    /// Everything else.
    pub base: Settings,
}

/// Why there is no campaign.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GridError {
    /// A run makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A list is empty.
    #[error("no {0} given: name at least one")]
    Empty(&'static str),
    /// There are too many runs.
    #[error("{0} runs: at most {max} are possible in one campaign", max = RUNS_MAX)]
    Runs(usize),
}

/// One number of sources on a curve.
#[derive(Clone, Debug)]
pub struct Point {
    /// Sources.
    pub sources: u32,
    /// Mean latency in milliseconds, over the seeds in which anything was published.
    pub latency_ms: Option<Band>,
    /// Published per second.
    pub throughput_per_second: Band,
    /// What the closed forms say.
    pub theory: Theory,
}

/// Latency and throughput against sources, all else equal.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Period of the sources.
    pub period: Duration,
    /// Brokers.
    pub brokers: u32,
    /// Service time.
    pub service: Duration,
    /// By sources, in the grid's order.
    pub points: Vec<Point>,
}

impl Grid {
    /// The paper's: 1 to 100 sources; 1, 2 and 4 brokers; 5, 6 and 7 ms; periods of 1 s and 0.1 s.
    #[must_use]
    pub fn paper(base: Settings) -> Self {
        Self {
            sources: (1..=100).collect(),
            brokers: vec![1, 2, 4],
            services: [5, 6, 7].map(Duration::from_millis).to_vec(),
            periods: [1_000, 100].map(Duration::from_millis).to_vec(),
            seeds: 1,
            base,
        }
    }

    /// All runs: by period, brokers, service time, sources and seed, the last fastest.
    ///
    /// # Errors
    /// [`GridError`] if there are none, too many, or one that makes no sense.
    pub fn runs(&self) -> Result<Vec<Settings>, GridError> {
        let lengths = [
            ("sources", self.sources.len()),
            ("brokers", self.brokers.len()),
            ("service times", self.services.len()),
            ("periods", self.periods.len()),
            ("seeds", self.seeds as usize),
        ];
        if let Some(&(what, _)) = lengths.iter().find(|(_, length)| *length == 0) {
            return Err(GridError::Empty(what));
        }
        let count = lengths.iter().fold(1usize, |product, (_, length)| product.saturating_mul(*length));
        if count > RUNS_MAX {
            return Err(GridError::Runs(count));
        }
        let mut runs = Vec::with_capacity(count);
        for (period, brokers, service) in self.curves() {
            for &sources in &self.sources {
                for seed in 0..self.seeds {
                    let seed = self.base.seed.wrapping_add(u64::from(seed));
                    let run = Settings { sources, brokers, service, period, seed, ..self.base.clone() };
                    run.check()?;
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    }

    fn curves(&self) -> impl Iterator<Item = (Duration, u32, Duration)> + '_ {
        let of_period = move |period: Duration| {
            self.brokers.iter().flat_map(move |brokers| self.services.iter().map(move |service| (period, *brokers, *service)))
        };
        self.periods.iter().flat_map(move |period| of_period(*period))
    }

    /// Puts the outcomes of [`Grid::runs`], in that order, on curves. What is missing at the end is left out.
    ///
    /// # Errors
    /// [`GridError`] if a run makes no sense.
    pub fn summarise(&self, outcomes: &[Outcome]) -> Result<Vec<Curve>, GridError> {
        let mut of_point = outcomes.chunks(self.seeds.max(1) as usize);
        let mut curves = Vec::new();
        for (period, brokers, service) in self.curves() {
            let mut points = Vec::with_capacity(self.sources.len());
            for (&sources, outcomes) in self.sources.iter().zip(of_point.by_ref()) {
                let theory = predict(&Settings { sources, brokers, service, period, ..self.base.clone() })?;
                let latencies: Vec<f64> = outcomes.iter().filter_map(|o| o.latency.map(|l| l.mean_ms)).collect();
                let throughputs: Vec<f64> = outcomes.iter().map(|o| o.throughput_per_second).collect();
                let throughput_per_second = Band::over(&throughputs).unwrap_or(Band { mean: 0.0, low: 0.0, high: 0.0 });
                points.push(Point { sources, latency_ms: Band::over(&latencies), throughput_per_second, theory });
            }
            curves.push(Curve { period, brokers, service, points });
        }
        Ok(curves)
    }
}

impl Settings {
    /// Services that the brokers will do at most.
    #[must_use]
    pub fn services_max(&self) -> f64 {
        let duration_s = self.duration.as_secs_f64();
        let asked = f64::from(self.sources) * f64::from(self.passes()) * duration_s / self.period.as_secs_f64();
        asked.min(f64::from(self.brokers) * duration_s / self.service.as_secs_f64())
    }

    /// Processor time that the run will take on one core, roughly.
    #[must_use]
    pub fn estimated_time(&self) -> Duration {
        let published = f64::from(self.sources) * self.duration.as_secs_f64() / self.period.as_secs_f64();
        let ns = match self.recursive() {
            true => self.services_max() * RECURSION_SERVICE_NS + f64::from(self.sources),
            // what waits for ever was published and has arrived, too
            false => (self.services_max() + published) * (EVENTS_SERVICE_NS + self.looks() * LOOK_NS),
        };
        Duration::try_from_secs_f64(ns / 1e9).unwrap_or(Duration::MAX)
    }

    /// Brokers that are looked at for each message.
    fn looks(&self) -> f64 {
        if self.balancing == Balancing::Shortest { f64::from(self.brokers) } else { 0.0 }
    }

    /// Memory that the run will take, roughly.
    #[must_use]
    pub fn estimated_bytes(&self) -> f64 {
        let published = f64::from(self.sources) * self.duration.as_secs_f64() / self.period.as_secs_f64();
        let asked = published * f64::from(self.passes());
        let behind = (asked - self.services_max()).max(0.0);
        match self.recursive() {
            // only what was served once can wait here
            true => GROWTH * behind.min(self.services_max()) * RECURSION_WAITING_BYTES + f64::from(self.sources) * 8.0,
            false => GROWTH * (behind.min(published) + 2.0 * f64::from(self.sources)) * EVENTS_WAITING_BYTES,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::simulate;
    use super::*;

    #[test]
    fn outcomes_find_their_curves() {
        let base = Settings { duration: Duration::from_secs(20), ..Settings::default() };
        let grid = Grid { sources: vec![1, 5], brokers: vec![1, 2], seeds: 2, ..Grid::paper(base) };
        let runs = grid.runs().unwrap();
        assert_eq!(runs.len(), 2 * 2 * 3 * 2 * 2);
        let outcomes: Vec<Outcome> = runs.iter().map(|run| simulate(run).unwrap()).collect();
        let curves = grid.summarise(&outcomes).unwrap();
        assert_eq!(curves.len(), 12);
        let last = &curves[11];
        assert_eq!((last.brokers, last.service, last.period), (2, Duration::from_millis(7), Duration::from_millis(100)));
        let expected = simulate(runs.last().unwrap()).unwrap();
        assert_eq!(last.points[1].throughput_per_second.mean, expected.throughput_per_second);
        assert_eq!(last.points[1].latency_ms.unwrap().mean, expected.latency.unwrap().mean_ms);
    }

    #[test]
    fn a_grid_that_makes_no_sense_is_refused() {
        let paper = || Grid::paper(Settings::default());
        assert_eq!(Grid { brokers: vec![], ..paper() }.runs(), Err(GridError::Empty("brokers")));
        assert_eq!(Grid { seeds: 0, ..paper() }.runs(), Err(GridError::Empty("seeds")));
        assert_eq!(Grid { seeds: 1_000, ..paper() }.runs(), Err(GridError::Runs(1_800_000)));
        assert!(matches!(Grid { brokers: vec![0], ..paper() }.runs(), Err(GridError::Settings(_))));
    }

    #[test]
    fn looking_at_all_brokers_is_estimated_to_take_its_time() {
        let of = |balancing, brokers| Settings { balancing, brokers, ..Settings::default() }.estimated_time();
        assert_eq!(of(Balancing::Random, 10_000), of(Balancing::Random, 1));
        assert!(of(Balancing::Shortest, 10_000) > 10 * of(Balancing::Shortest, 1));
    }

    #[test]
    fn the_papers_campaign_is_estimated_well_below_a_minute_on_two_cores() {
        let runs = Grid::paper(Settings::default()).runs().unwrap();
        let time: Duration = runs.iter().map(Settings::estimated_time).sum();
        assert!(time < Duration::from_secs(100), "{time:?} of processor time");
        assert!(runs.iter().all(|run| run.estimated_bytes() < 256e6));
    }
}
