//! When sources publish.

use super::settings::{Phase, Plan, Settings};
use crate::chance::Chance;

/// The stream of chance that draws phases.
pub(super) const PHASES: u64 = 0;
/// The first stream of chance that draws something else; each broker or stage takes one from here on.
pub(super) const OTHERS: u64 = 1;

/// The first publication of each source, in nanoseconds; for Poisson sources all 0, which nobody should use.
pub(super) fn phases(settings: &Settings, plan: &Plan) -> Vec<u64> {
    let count = u64::from(settings.sources);
    let mut chance = Chance::new(settings.seed, PHASES);
    let first = |source: u64| match settings.phase {
        Phase::Synchronised | Phase::Poisson => 0,
        // source < count, so this is below the period; the product needs more than 64 bits
        Phase::Staggered => {
            let at = u128::from(plan.period_ns) * u128::from(source) / u128::from(count.max(1));
            u64::try_from(at).unwrap_or(plan.period_ns)
        }
        Phase::Uniform => chance.below(plan.period_ns),
    };
    (0..count).map(first).collect()
}

/// What the sources of one broker publish, in order of time.
pub(super) enum Publications {
    /// Sources of one period, by their phases.
    Cyclic {
        /// First publications, ascending.
        phases: Vec<u64>,
        /// Which of them is next.
        index: usize,
        /// The beginning of the period that it falls into.
        base_ns: u64,
        /// The period.
        period_ns: u64,
    },
    /// Independent sources: together they have exponential gaps, too.
    Poisson {
        /// Time of the next.
        next_ns: u64,
        /// Mean gap.
        gap_ns: f64,
        /// Draws gaps.
        chance: Chance,
    },
}

impl Publications {
    /// Of the sources with these phases.
    pub(super) fn new(mut phases: Vec<u64>, settings: &Settings, plan: &Plan, mut chance: Chance) -> Self {
        match settings.phase {
            Phase::Poisson => {
                let gap_ns = plan.period_ns as f64 / phases.len().max(1) as f64;
                Self::Poisson { next_ns: chance.exponential_ns(gap_ns), gap_ns, chance }
            }
            _ => {
                phases.sort_unstable();
                Self::Cyclic { phases, index: 0, base_ns: 0, period_ns: plan.period_ns }
            }
        }
    }

    /// When the next is; never, if there are no sources.
    pub(super) fn next_ns(&self) -> u64 {
        match self {
            Self::Cyclic { phases, index, base_ns, .. } => phases.get(*index).map_or(u64::MAX, |phase| base_ns + phase),
            Self::Poisson { next_ns, .. } => *next_ns,
        }
    }

    /// Goes on to the one after.
    pub(super) fn advance(&mut self) {
        match self {
            Self::Cyclic { phases, index, base_ns, period_ns } => {
                *index += 1;
                if *index == phases.len() {
                    *index = 0;
                    *base_ns += *period_ns;
                }
            }
            Self::Poisson { next_ns, gap_ns, chance } => *next_ns += chance.exponential_ns(*gap_ns),
        }
    }
}
