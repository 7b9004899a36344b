//! What is simulated, checked before anything runs.

use std::time::Duration;
use thiserror::Error;

/// Most sources of one run.
pub const SOURCES_MAX: u32 = 10_000_000;
/// Most brokers of one run.
pub const BROKERS_MAX: u32 = 10_000;
/// Longest time of any kind: a hundred days.
pub const TIME_MAX: Duration = Duration::from_secs(8_640_000);
/// Shortest service time and period: a microsecond.
pub const TIME_MIN: Duration = Duration::from_micros(1);

/// When sources publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All at the same instant of each period.
    Synchronised,
    /// One after another, evenly over the period.
    Staggered,
    /// Each at an instant of its own, drawn once, the same in each period.
    Uniform,
    /// At times that know nothing of each other: exponential gaps with the period as mean.
    Poisson,
}

/// How a time is distributed around its mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Always the mean.
    Constant,
    /// Exponentially.
    Exponential,
}

/// Whom a broker serves next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Who came first.
    Fifo,
    /// Fair queueing by start tags between first and second passes, of equal weights.
    Fair,
    /// Second passes first: what is nearer to the ledger.
    SecondFirst,
}

/// Which broker a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// Each source has its broker, and so have both passes of what it says.
    BySource,
    /// One broker after another, message by message.
    RoundRobin,
    /// Any broker, message by message.
    Random,
    /// The broker with the fewest messages; the first of equals.
    Shortest,
}

/// Whether a stage works on several messages at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// On as many as there are: a delay.
    Parallel,
    /// On one after another: a queue.
    Serial,
}

/// One run of the model. The default is the paper's Table 5 with one source, one broker of 5 ms and a period of 1 s.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sources, numbered from 0.
    pub sources: u32,
    /// Brokers that share the load.
    pub brokers: u32,
    /// Time a broker takes for one message of one pass.
    pub service: Duration,
    /// Time from one message of a source to its next.
    pub period: Duration,
    /// Simulated time.
    pub duration: Duration,
    /// What is published before this time is not counted.
    pub warm_up: Duration,
    /// Time of a message on one of the five links.
    pub channel: Duration,
    /// Time the gateway, the fog and the node each take for a message.
    pub elaboration: Duration,
    /// Time of one proof of work.
    pub pow: Duration,
    /// When sources publish.
    pub phase: Phase,
    /// How channel, elaboration and proof of work are distributed.
    pub delays: Spread,
    /// How service times are distributed.
    pub services: Spread,
    /// Whom a broker serves next.
    pub discipline: Discipline,
    /// Which broker a message goes to.
    pub balancing: Balancing,
    /// Whether the fog elaborates side by side.
    pub fog: Workers,
    /// Whether the node elaborates and proves side by side.
    pub node: Workers,
    /// Whether the node's notice of each publication passes the broker too (§3.4.1; the paper's simulation leaves its
    /// only reader, the cache, out).
    pub notices: bool,
    /// Where chance comes from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: 1,
            brokers: 1,
            service: Duration::from_millis(5),
            period: Duration::from_secs(1),
            duration: Duration::from_secs(7_200),
            warm_up: Duration::ZERO,
            channel: Duration::from_micros(500),
            elaboration: Duration::from_millis(2),
            pow: Duration::from_millis(100),
            phase: Phase::Synchronised,
            delays: Spread::Constant,
            services: Spread::Constant,
            discipline: Discipline::Fifo,
            balancing: Balancing::BySource,
            fog: Workers::Parallel,
            node: Workers::Parallel,
            notices: false,
            seed: 0,
        }
    }
}

/// Why settings make no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A count is out of its bounds.
    #[error("{given} {what}: between 1 and {max} are possible")]
    Count {
        /// What is counted.
        what: &'static str,
        /// What was given.
        given: u32,
        /// Most that is possible.
        max: u32,
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
    /// The warm-up leaves nothing to count.
    #[error("a warm-up of {warm_up:?} leaves nothing of {duration:?}: make the run longer or the warm-up shorter")]
    WarmUp {
        /// The warm-up.
        warm_up: Duration,
        /// The whole run.
        duration: Duration,
    },
}

impl Settings {
    /// Checks what was given.
    ///
    /// # Errors
    /// [`SettingsError`] naming the first value that makes no sense.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.plan().map(drop)
    }

    /// Whether nothing depends on chance, so that one seed says all.
    #[must_use]
    pub fn deterministic(&self) -> bool {
        matches!(self.phase, Phase::Synchronised | Phase::Staggered)
            && self.delays == Spread::Constant
            && self.services == Spread::Constant
            && self.balancing != Balancing::Random
    }

    /// Passes of a reading through the broker, its notice included.
    #[must_use]
    pub fn passes(&self) -> u32 {
        if self.notices { 3 } else { 2 }
    }

    /// Whether [`super::recursion`] can do it.
    pub(super) fn recursive(&self) -> bool {
        self.balancing == Balancing::BySource
            && self.discipline == Discipline::Fifo
            && self.delays == Spread::Constant
            && self.fog == Workers::Parallel
            && self.node == Workers::Parallel
    }

    /// Times as nanoseconds.
    ///
    /// # Errors
    /// [`SettingsError`] naming the first value that makes no sense.
    pub(super) fn plan(&self) -> Result<Plan, SettingsError> {
        for (what, given, max) in [("sources", self.sources, SOURCES_MAX), ("brokers", self.brokers, BROKERS_MAX)] {
            if given == 0 || given > max {
                return Err(SettingsError::Count { what, given, max });
            }
        }
        let plan = Plan {
            service_ns: nanoseconds("service time", self.service, TIME_MIN)?,
            period_ns: nanoseconds("period", self.period, TIME_MIN)?,
            end_ns: nanoseconds("simulated time", self.duration, TIME_MIN)?,
            warm_up_ns: nanoseconds("warm-up", self.warm_up, Duration::ZERO)?,
            channel_ns: nanoseconds("channel delay", self.channel, Duration::ZERO)?,
            elaboration_ns: nanoseconds("elaboration delay", self.elaboration, Duration::ZERO)?,
            pow_ns: nanoseconds("proof of work", self.pow, Duration::ZERO)?,
        };
        if plan.warm_up_ns >= plan.end_ns {
            return Err(SettingsError::WarmUp { warm_up: self.warm_up, duration: self.duration });
        }
        Ok(plan)
    }
}

/// The times of checked settings, in nanoseconds; sums of a few of them cannot overflow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) service_ns: u64,
    pub(super) period_ns: u64,
    pub(super) end_ns: u64,
    pub(super) warm_up_ns: u64,
    pub(super) channel_ns: u64,
    pub(super) elaboration_ns: u64,
    pub(super) pow_ns: u64,
}

impl Plan {
    /// From a source to the broker, with constant delays.
    pub(super) const fn lead_ns(&self) -> u64 {
        2 * self.channel_ns + self.elaboration_ns
    }

    /// From the broker over the fog back to the broker.
    pub(super) const fn loop_ns(&self) -> u64 {
        2 * self.channel_ns + self.elaboration_ns
    }

    /// From the broker to the ledger.
    pub(super) const fn tail_ns(&self) -> u64 {
        self.channel_ns + self.elaboration_ns + self.pow_ns
    }
}

fn nanoseconds(what: &'static str, given: Duration, min: Duration) -> Result<u64, SettingsError> {
    let error = SettingsError::Time { what, given, min, max: TIME_MAX };
    if given < min || given > TIME_MAX {
        return Err(error);
    }
    u64::try_from(given.as_nanos()).map_err(|_| error)
}
