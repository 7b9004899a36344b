//! What a node, a broker and a committee can do, how much of it is used, and where it ends (SC-7 to SC-9).

use super::constants::Constants;
use super::links::{into_node_per_second, out_of_node_per_second};
use super::load::{Load, US, milestone_us};
use super::settings::{DEVICES_MAX, ScaleError, Settings};
use super::shape::Shape;
use crate::votes::quorum;

/// Messages a second that an issuer without reputation may send for nothing (`share_per_second`).
const SHARE_PER_SECOND: f64 = 4_000.0;
/// Most messages that a milestone confirms (FIN-5).
const CUT_MESSAGES_MAX: f64 = 16_384.0;
/// Below this pace of milestones a node counts as saturated.
const MILESTONES_PER_SECOND_MIN: f64 = 1.0;

/// What can be the first to have no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Connections of a site's broker.
    Connections,
    /// Memory of a site's node.
    Memory,
    /// Publishes that a site's broker acknowledges.
    Broker,
    /// The processor of a site's node that is in the committee.
    Processor,
    /// Messages that a site's node may issue without work.
    Share,
    /// The connection of a site's node.
    Network,
    /// Messages that a milestone holds.
    Cut,
    /// The link to a broker of this level.
    TierLink(u32),
    /// A broker of this level.
    TierBroker(u32),
    /// The committee above the subnets. Model only.
    Parent,
}

impl Part {
    /// What it is called in tables.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Connections => "connections of a site".to_owned(),
            Self::Memory => "memory of a node".to_owned(),
            Self::Broker => "broker of a site".to_owned(),
            Self::Processor => "processor of a node".to_owned(),
            Self::Share => "free messages of an issuer".to_owned(),
            Self::Network => "network of a node".to_owned(),
            Self::Cut => "messages of a milestone".to_owned(),
            Self::TierLink(level) => format!("link to tier {level}"),
            Self::TierBroker(level) => format!("broker of tier {level}"),
            Self::Parent => "parent committee (model)".to_owned(),
        }
    }

    /// What it is called in files.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Connections => "connections".to_owned(),
            Self::Memory => "memory".to_owned(),
            Self::Broker => "broker".to_owned(),
            Self::Processor => "processor".to_owned(),
            Self::Share => "share".to_owned(),
            Self::Network => "network".to_owned(),
            Self::Cut => "cut".to_owned(),
            Self::TierLink(level) => format!("tier_{level}_link"),
            Self::TierBroker(level) => format!("tier_{level}_broker"),
            Self::Parent => "parent".to_owned(),
        }
    }
}

/// How much of a part is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Utilisation {
    /// Which part; the busiest of its kind.
    pub part: Part,
    /// What is asked of it over what it can do.
    pub used: f64,
}

/// Where a part ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saturation {
    /// Which part.
    pub part: Part,
    /// Most devices with which it still keeps up; none if it does with [`DEVICES_MAX`].
    pub devices: Option<u64>,
}

/// How much of each part is used. The parts and their order depend on the tiers alone.
///
/// # Errors
/// [`ScaleError`] if the settings make no sense.
pub fn utilisations(settings: &Settings, constants: &Constants) -> Result<Vec<Utilisation>, ScaleError> {
    settings.check()?;
    let shape = Shape::of(settings);
    let load = Load::of(settings, &shape, constants);
    Ok(used(settings, &shape, &load, constants))
}

/// Where each part ends, the first to end first.
///
/// # Errors
/// [`ScaleError`] if the settings make no sense.
pub fn saturations(settings: &Settings, constants: &Constants) -> Result<Vec<Saturation>, ScaleError> {
    let parts = utilisations(settings, constants)?;
    let mut all: Vec<Saturation> =
        parts.iter().enumerate().map(|(at, one)| Saturation { part: one.part, devices: end(settings, constants, at) }).collect();
    // stable: parts that end together stay in their order
    all.sort_by_key(|saturation| saturation.devices.unwrap_or(u64::MAX));
    Ok(all)
}

/// Halves the interval in which the part goes from room to none: what is asked of it never falls when devices are added.
fn end(settings: &Settings, constants: &Constants, at: usize) -> Option<u64> {
    let keeps_up = |devices: u64| {
        let settings = settings.with_devices(devices);
        let shape = Shape::of(&settings);
        let load = Load::of(&settings, &shape, constants);
        used(&settings, &shape, &load, constants).get(at).is_none_or(|one| one.used <= 1.0)
    };
    if keeps_up(DEVICES_MAX) {
        return None;
    }
    let (mut low, mut high) = (0, DEVICES_MAX);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if keeps_up(middle) { low = middle } else { high = middle }
    }
    Some(low)
}

pub(super) fn used(settings: &Settings, shape: &Shape, load: &Load, constants: &Constants) -> Vec<Utilisation> {
    let all_us = load.cores * US;
    let work_us = all_us - load.left_us() + MILESTONES_PER_SECOND_MIN * load.milestone_us;
    let busy_s = if load.left_us() > 0.0 { load.milestone_us / load.left_us() } else { f64::INFINITY };
    let interval_s = load.wanted.interval_s.max(busy_s.min(1.0 / MILESTONES_PER_SECOND_MIN));
    let wire = out_of_node_per_second(load).max(into_node_per_second(settings, load));
    let mut parts = vec![
        (Part::Connections, shape.site_devices as f64 / f64::from(settings.connections_max)),
        (Part::Memory, memory_bytes(shape, constants) / settings.memory_bytes),
        (Part::Broker, load.rate / constants.publishes_per_second),
        (Part::Processor, work_us / all_us),
        (Part::Share, load.own / SHARE_PER_SECOND),
        (Part::Network, wire / load.bytes_per_second),
        (Part::Cut, load.all * interval_s / CUT_MESSAGES_MAX),
    ];
    let period_s = settings.period.as_secs_f64();
    for tier in &shape.tiers {
        let publishes = |devices: u64| devices as f64 / period_s * settings.up_share;
        parts.push((Part::TierLink(tier.level), publishes(tier.link_devices) / constants.link_publishes_per_second));
        parts.push((Part::TierBroker(tier.level), publishes(tier.devices) / constants.publishes_per_second));
    }
    let parent = if shape.children > 0 { 1.0 - parent_left_us(settings, shape, constants) / all_us } else { 0.0 };
    parts.push((Part::Parent, parent));
    parts.into_iter().map(|(part, used)| Utilisation { part, used }).collect()
}

/// Memory of the node of the busiest site.
pub(super) fn memory_bytes(shape: &Shape, constants: &Constants) -> f64 {
    constants.node_bytes + shape.site_devices as f64 * constants.connection_bytes
}

/// Microseconds a second that a member of the busiest parent has left after its children's checkpoints and a milestone a second.
pub(super) fn parent_left_us(settings: &Settings, shape: &Shape, constants: &Constants) -> f64 {
    let checkpoints = shape.children as f64 / settings.checkpoint_interval.as_secs_f64();
    let one_us = constants.admission_us + f64::from(quorum(settings.committee)) * constants.verify_us;
    settings.cores * US - checkpoints * one_us - MILESTONES_PER_SECOND_MIN * milestone_us(settings.committee, constants)
}
