//! Every scenario with every adversary, from one command.
//!
//! Seed `s` plays case `s mod cases`, so that a seed says everything and any number of them spreads evenly.

use crate::adversaries::Adversary;
use crate::course::{text, verdict};
use crate::scenarios::{self, Scenario};
use crate::world::Plan;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Sizes of the committee: the least that survives one adversary, and the least that survives two.
const SIZES: [usize; 2] = [4, 7];
/// Courses that CI plays.
const COURSES: u64 = 383;
/// Milestones in an epoch that ends several times in a course, and in one that does not.
const SHORT_EPOCH: u64 = 8;
const LONG_EPOCH: u64 = 1_000_000;
/// Every so many courses one is played twice: the same seed must give the same events to the last bit.
const TWICE_EVERY: u64 = 16;

/// A scenario, who disturbs it, and how many sit in the committee.
struct Case<'a> {
    scenario: &'a Scenario,
    adversary: Option<Adversary>,
    n: usize,
    hostile: usize,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{}/{}/{}", self.scenario.name, self.adversary.map_or("nobody", Adversary::name), self.n)
    }
}

/// All cases, in an order that does not change with the number of seeds.
fn cases(scenarios: &[Scenario]) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for scenario in scenarios {
        if scenario.alone {
            cases.push(Case { scenario, adversary: None, n: 1, hostile: 0 });
            continue;
        }
        for n in SIZES {
            cases.push(Case { scenario, adversary: None, n, hostile: 0 });
            // whoever goes for good in a scenario is one of the f that may fail
            let hostile = ((n - 1) / 3).saturating_sub(scenario.gone);
            if hostile > 0 {
                let adversaries = if scenario.spends { Adversary::SPENDING.to_vec() } else { Adversary::ALL.to_vec() };
                cases.extend(adversaries.into_iter().map(|a| Case { scenario, adversary: Some(a), n, hostile }));
            }
        }
    }
    cases
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name} is {v:?}, which is no number")))
}

/// Plays a seed; gives what was found, if anything was.
fn course(case: &Case<'_>, seed: u64) -> Option<String> {
    // every third course runs through epochs, whatever else happens in it
    let epoch = case.scenario.epoch.unwrap_or(if seed.is_multiple_of(3) { SHORT_EPOCH } else { LONG_EPOCH });
    let plan = Plan { adversary: case.adversary, hostile: case.hostile, extra: case.scenario.extra, epoch, ..Plan::honest(seed, case.n) };
    let run = || verdict(&plan, case.scenario.hardware, &case.scenario.phases);
    let found = match run() {
        Err(why) => why,
        Ok(first) if seed.is_multiple_of(TWICE_EVERY) && run().as_ref() != Ok(&first) => {
            "diverged: from itself when played again".to_owned()
        }
        Ok(_) => return None,
    };
    Some(format!("seed {seed}, {}: {found}\n    replay it with: just sim {seed}", case.name()))
}

/// Says something whether or not the test's output is captured.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[test]
fn every_scenario_passes_with_every_adversary() {
    let scenarios = scenarios::all();
    let cases = cases(&scenarios);
    let seeds: Vec<u64> = match (number("WATTLE_SIM_SEED"), number("WATTLE_SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(COURSES)).collect(),
    };
    let only = std::env::var("WATTLE_SIM_ONLY").unwrap_or_default();
    let case_of = |seed: u64| &cases[(seed % cases.len() as u64) as usize];
    let chosen: Vec<u64> = seeds.into_iter().filter(|s| case_of(*s).name().contains(&only)).collect();
    let (next, played, findings) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let player = || {
        while let Some(seed) = chosen.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if let Some(finding) = course(case_of(*seed), *seed) {
                say(&finding);
                findings.lock().unwrap().push(finding);
            }
            played.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let players: Vec<_> = (0..thread::available_parallelism().map_or(1, NonZeroUsize::get)).map(|_| scope.spawn(player)).collect();
        for player in players {
            if let Err(why) = player.join() {
                findings.lock().unwrap().push(format!("the harness itself panicked: {}", text(&*why)));
            }
        }
    });
    let findings = findings.into_inner().unwrap();
    let played = played.into_inner();
    say(&format!("sim: {played} courses played over {} cases, {} findings", cases.len(), findings.len()));
    assert!(played > 0, "no case's name contains {only:?} at these seeds");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
