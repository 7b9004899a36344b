//! From the publish to the confirmation, by its parts (SC-14, SC-15).

use super::constants::{Confirmation, Constants};
use super::load::{Load, US, milestone_us};
use super::parts::parent_left_us;
use super::settings::Settings;
use super::shape::Shape;

/// Links that a milestone takes: proposal, votes to notarise, votes to finalise.
const HOPS: f64 = 3.0;
/// Durable writes that stand in a row between a proposal and its certificate: messages, marshal, votes.
const SYNCS: f64 = 3.0;

/// Milliseconds that the median reading takes: the sum of the means of what it waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// From the device to the broker.
    pub device_ms: f64,
    /// Until it is kept and acknowledged.
    pub kept_ms: f64,
    /// Until its batch leaves.
    pub batch_ms: f64,
    /// Until its message is signed and kept.
    pub issue_ms: f64,
    /// Until the others have the message.
    pub spread_ms: f64,
    /// Until the next milestone is proposed.
    pub milestone_ms: f64,
    /// Until that is final.
    pub agreement_ms: f64,
    /// What the sum lacked in the one measured run that it is fitted to.
    pub rest_ms: f64,
    /// All of these.
    pub total_ms: f64,
    /// Until it is anchored in the root, if there is one. Model only.
    pub anchored_ms: Option<f64>,
}

/// Seconds from the log to the confirmation.
struct Confirming {
    batch_s: f64,
    issue_s: f64,
    spread_s: f64,
    milestone_s: f64,
    agreement_s: f64,
}

impl Confirming {
    /// Nothing if the processor has no time left for milestones.
    fn of(load: &Load, constants: &Constants) -> Option<Self> {
        let left_us = load.left_us();
        if left_us <= 0.0 {
            return None;
        }
        let busy_s = load.milestone_us / left_us;
        // paced by the processor, milestones follow each other without rest
        let milestone_s = if busy_s > load.wanted.interval_s { busy_s / 2.0 } else { load.wanted.wait_s };
        let spread_s = if load.nodes > 1.0 { load.link_s + super::links::fan_out_s(load) } else { 0.0 };
        Some(Self {
            batch_s: load.batch.wait_s,
            issue_s: (constants.sign_us + constants.sync_us) / US,
            spread_s,
            milestone_s,
            agreement_s: agreement_s(load.committee, load.link_s, load.milestone_us, left_us, constants),
        })
    }

    fn total_s(&self) -> f64 {
        self.batch_s + self.issue_s + self.spread_s + self.milestone_s + self.agreement_s
    }
}

fn agreement_s(committee: u32, link_s: f64, milestone_us: f64, left_us: f64, constants: &Constants) -> f64 {
    let hops_s = if committee > 1 { HOPS * link_s } else { 0.0 };
    hops_s + SYNCS * constants.sync_us / US + milestone_us / left_us
}

/// What the model says of a run of `wattle bench confirm --network simulated`: milestones a second, and the latency in
/// milliseconds. Of `run` it takes nodes, cores, rate and link. Nothing if the machine cannot bear it.
#[must_use]
pub fn alone(run: &Confirmation, constants: &Constants) -> Option<(f64, f64)> {
    let load = Load::of_bench(run, constants);
    let confirming = Confirming::of(&load, constants)?;
    Some((load.milestones_per_second(), confirming.total_s() * 1e3 + rest_ms(constants)))
}

/// What the sum lacks in the run that the constants are from; 0 if it lacks nothing.
fn rest_ms(constants: &Constants) -> f64 {
    let run = &constants.confirmation;
    let sum = Confirming::of(&Load::of_bench(run, constants), constants);
    sum.map_or(0.0, |sum| (run.p50_ms - sum.total_s() * 1e3).max(0.0))
}

/// Nothing if a broker or a processor does not keep up: then it grows as long as that lasts.
pub(super) fn latency(settings: &Settings, shape: &Shape, load: &Load, constants: &Constants) -> Option<Latency> {
    let confirming = Confirming::of(load, constants)?;
    let (device_s, rest_ms) = (load.link_s, rest_ms(constants));
    let kept_s = kept_s(load.rate, constants)?;
    let total_ms = (device_s + kept_s + confirming.total_s()) * 1e3 + rest_ms;
    let above_s = anchoring_s(settings, shape, constants);
    Some(Latency {
        device_ms: device_s * 1e3,
        kept_ms: kept_s * 1e3,
        batch_ms: confirming.batch_s * 1e3,
        issue_ms: confirming.issue_s * 1e3,
        spread_ms: confirming.spread_s * 1e3,
        milestone_ms: confirming.milestone_s * 1e3,
        agreement_ms: confirming.agreement_s * 1e3,
        rest_ms,
        total_ms,
        anchored_ms: above_s.map(|above_s| total_ms + above_s * 1e3),
    })
}

/// A broker is a queue of constant services, then a durable write.
fn kept_s(rate: f64, constants: &Constants) -> Option<f64> {
    let capacity = constants.publishes_per_second;
    let busy = rate / capacity;
    let waiting = busy / (2.0 * (1.0 - busy));
    (busy < 1.0).then_some((1.0 + waiting) / capacity + constants.sync_us / US)
}

/// Through all levels of parents, each taken as the busiest.
fn anchoring_s(settings: &Settings, shape: &Shape, constants: &Constants) -> Option<f64> {
    if shape.parents.is_empty() {
        return None;
    }
    let left_us = parent_left_us(settings, shape, constants);
    if left_us <= 0.0 {
        return None;
    }
    let link_s = settings.link.as_secs_f64();
    let gap_s = 1.0 / constants.confirmation.milestones_per_second;
    let agreement_s = agreement_s(settings.committee, link_s, milestone_us(settings.committee, constants), left_us, constants);
    let one_s = settings.checkpoint_interval.as_secs_f64() / 2.0 + link_s + gap_s / 2.0 + agreement_s;
    Some(shape.parents.len() as f64 * one_s)
}
