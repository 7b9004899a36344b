//! What happens: one short file each. Each leaves a network that is whole again; `course` settles and judges it.

mod burst;
mod clock_skew;
mod clogged;
mod crash;
mod failing_disk;
pub mod healthy;
pub mod late;
mod lossy;
mod one_way;
pub mod partition;
mod power_cut;
mod restart;
mod rolling;
mod single;
mod slow_disk;
mod slow_links;
pub mod spending;
pub mod turnover;

use crate::course::{Hardware, Play};

/// A row of the matrix.
pub struct Scenario {
    pub name: &'static str,
    /// What happens; between two phases the power fails everywhere.
    pub phases: Vec<Play>,
    /// Honest nodes that go and never return.
    pub gone: usize,
    /// It is about a network of one.
    pub alone: bool,
    pub hardware: Hardware,
    /// Nodes outside the first committee.
    pub extra: usize,
    /// Milestones in an epoch, if the scenario is about epochs.
    pub epoch: Option<u64>,
    /// It is about wallets that spend.
    pub spends: bool,
}

/// Makes a phase of an async function.
macro_rules! phase {
    ($function:path) => {{
        let phase: $crate::course::Play = |world| Box::pin($function(world));
        phase
    }};
}
pub(crate) use phase;

/// A scenario of one phase that everybody survives.
fn usual(name: &'static str, phase: Play) -> Scenario {
    Scenario { name, phases: vec![phase], gone: 0, alone: false, hardware: Hardware::default(), extra: 0, epoch: None, spends: false }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let failing = Hardware { failing: true, ..Hardware::default() };
    let torn = Hardware { torn: true, ..Hardware::default() };
    vec![
        usual("healthy", phase!(healthy::scenario)),
        Scenario { alone: true, ..usual("single", phase!(single::scenario)) },
        Scenario { gone: 1, ..usual("crash", phase!(crash::scenario)) },
        usual("restart", phase!(restart::scenario)),
        usual("rolling", phase!(rolling::scenario)),
        usual("cut-off", phase!(partition::cut_off)),
        usual("halves", phase!(partition::halves)),
        usual("bridge", phase!(partition::bridge)),
        usual("ring", phase!(partition::ring)),
        usual("one-way", phase!(one_way::scenario)),
        usual("lossy", phase!(lossy::scenario)),
        usual("slow-links", phase!(slow_links::scenario)),
        usual("clogged", phase!(clogged::scenario)),
        usual("clock-skew", phase!(clock_skew::scenario)),
        usual("late", phase!(late::scenario)),
        usual("burst", phase!(burst::scenario)),
        Scenario { extra: 2, epoch: Some(12), ..usual("turnover", phase!(turnover::scenario)) },
        usual("slow-disk", phase!(slow_disk::scenario)),
        Scenario { hardware: failing, ..usual("failing-disk", phase!(failing_disk::scenario)) },
        Scenario {
            hardware: torn,
            phases: vec![phase!(power_cut::before), phase!(power_cut::after)],
            ..usual("power-cut", phase!(power_cut::before))
        },
        Scenario { spends: true, ..usual("spending", phase!(spending::healthy)) },
        Scenario { spends: true, ..usual("spending-partition", phase!(spending::partition)) },
        Scenario { spends: true, ..usual("spending-restart", phase!(spending::restart)) },
        Scenario { spends: true, epoch: Some(8), ..usual("spending-epochs", phase!(spending::epochs)) },
    ]
}
