//! What a row of the table is, and how a metric of each kind is made.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::sync::atomic::{AtomicU64, Ordering};

/// What precedes every name of ours.
pub(super) const PREFIX: &str = "wattle";
/// Upper bounds of the buckets of every latency, in seconds: fine where readings are confirmed (5 to 100 ms), coarse beyond.
pub(super) const LATENCY_BOUNDS_S: [f64; 14] = [0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

/// A gauge of seconds or DCoin.
pub(super) type FloatGauge = Gauge<f64, AtomicU64>;
/// A counter of DCoin.
pub(super) type FloatCounter = Counter<f64, AtomicU64>;
/// A counter for each reason, or each status.
pub(super) type CounterBy = Family<[(&'static str, &'static str); 1], Counter>;
/// A counter for each reason for which something of a kind was refused.
pub(super) type CounterByTwo = Family<[(&'static str, &'static str); 2], Counter>;
/// A gauge for each value of a label.
pub(super) type GaugeBy = Family<[(&'static str, String); 1], FloatGauge>;
/// A gauge for each pair of values of two labels.
pub(super) type GaugeByTwo = Family<[(&'static str, String); 2], FloatGauge>;

/// How Prometheus calls a kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// The word in `# TYPE`.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as the table has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What it belongs to.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the documentation, which a test compares"))]
    pub(crate) section: &'static str,
    /// Its name without `wattle_` and, if it is a counter, without `_total`.
    pub(crate) name: &'static str,
    /// What kind of metric it is.
    pub(crate) kind: Kind,
    /// Its labels.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the documentation, which a test compares"))]
    pub(crate) labels: &'static [&'static str],
    /// What it says, without a full stop.
    pub(crate) help: &'static str,
}

impl Row {
    /// The name at `/metrics`; a histogram's also with `_bucket`, `_sum` and `_count` behind it.
    #[must_use]
    pub(crate) fn full_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{PREFIX}_{}_total", self.name),
            Kind::Gauge | Kind::Histogram => format!("{PREFIX}_{}", self.name),
        }
    }

    /// Whether it is told by parts of a site, and not by ledger nodes.
    #[must_use]
    pub(crate) fn of_parts(&self) -> bool {
        self.name.starts_with("part_")
    }
}

/// A type of metric that the table may name.
pub(super) trait Kinded: Metric + Clone {
    /// Its kind.
    const KIND: Kind;

    /// One at zero.
    fn zero() -> Self;
}

impl Kinded for Counter {
    const KIND: Kind = Kind::Counter;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for FloatCounter {
    const KIND: Kind = Kind::Counter;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for FloatGauge {
    const KIND: Kind = Kind::Gauge;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for CounterBy {
    const KIND: Kind = Kind::Counter;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for CounterByTwo {
    const KIND: Kind = Kind::Counter;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for GaugeBy {
    const KIND: Kind = Kind::Gauge;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for GaugeByTwo {
    const KIND: Kind = Kind::Gauge;

    fn zero() -> Self {
        Self::default()
    }
}

impl Kinded for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn zero() -> Self {
        Self::new(LATENCY_BOUNDS_S)
    }
}

/// A metric at zero, which the registry knows.
pub(super) fn registered<M: Kinded>(registry: &mut Registry, name: &'static str, help: &'static str) -> M {
    let metric = M::zero();
    registry.register(name, help, metric.clone());
    metric
}

/// Sets a gauge.
pub(super) fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Raises a counter: it never falls, whoever copies first.
pub(super) fn raise(counter: &Counter, value: u64) {
    counter.inner().fetch_max(value, Ordering::Relaxed);
}

/// The same for one of fractions. The bits of numbers that are not negative have the order of the numbers.
pub(super) fn raise_float(counter: &FloatCounter, value: f64) {
    counter.inner().fetch_max(value.max(0.0).to_bits(), Ordering::Relaxed);
}

/// Raises one of a family.
pub(super) fn raise_by(family: &CounterBy, label: &'static str, value: &'static str, count: u64) {
    raise(&family.get_or_create(&[(label, value)]), count);
}
