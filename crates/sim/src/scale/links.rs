//! Bytes a second on each kind of link (SC-10, SC-11).

use super::constants::Constants;
use super::load::Load;
use super::settings::Settings;
use super::shape::Shape;
use crate::votes::quorum;

/// Headers of IP and TCP without options.
const SEGMENT_BYTES: f64 = 40.0;
/// A PUBLISH beside topic and payload: type and length 2, length of the topic 2, packet id 2.
const PUBLISH_BYTES: f64 = 6.0;
/// A PUBACK.
const PUBACK_BYTES: f64 = 4.0;
/// The properties of a publish on a link between brokers (TIER-8): origin 34, sequence about 29, hops about 48, quality 15.
const TIER_PROPERTIES_BYTES: f64 = 126.0;
/// A message that anchors a batch, with one parent: 244 bytes (`docs/performance.md`), 32 of them the parent.
const MESSAGE_BYTES: f64 = 212.0;
/// An id.
const ID_BYTES: f64 = 32.0;
/// Most parents of a message.
const PARENTS_MAX: f64 = 8.0;
/// Most tips of a milestone.
const TIPS_MAX: f64 = 64.0;
/// Around what one node sends another: IP, TCP, encryption, channel.
const FRAME_BYTES: f64 = SEGMENT_BYTES + 24.0;
/// A vote on a milestone: proposal, place and signature.
const VOTE_BYTES: f64 = 106.0;
/// Votes of a member, and certificates that it passes on, for each milestone: to notarise and to finalise.
const ROUNDS: f64 = 2.0;
/// A milestone without tips.
const MILESTONE_BYTES: f64 = 147.0;
/// A certificate without votes, and each of its votes.
const CERTIFICATE_BYTES: f64 = 40.0;
const CERTIFICATE_VOTE_BYTES: f64 = 65.0;
/// A checkpoint beside its certificate: subnet, height, the roots of messages and of the state.
const CHECKPOINT_BYTES: f64 = 74.0;

/// A kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// A device's readings, headers of IP and TCP included.
    DeviceToBroker,
    /// The broker's acknowledgements to it.
    BrokerToDevice,
    /// A site's readings to its ledger node; no bytes of a network if both are one process.
    SiteToLedger,
    /// To a broker of this level from one below.
    TierUp(u32),
    /// From one member of a committee, with a site, to another.
    Replicas,
    /// Checkpoints. Model only.
    SubnetToParent,
}

impl Link {
    /// What it is called in tables.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::DeviceToBroker => "device to broker".to_owned(),
            Self::BrokerToDevice => "broker to device".to_owned(),
            Self::SiteToLedger => "site to ledger".to_owned(),
            Self::TierUp(level) => format!("broker up to tier {level}"),
            Self::Replicas => "replica to replica".to_owned(),
            Self::SubnetToParent => "subnet to parent (model)".to_owned(),
        }
    }

    /// What it is called in files.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::DeviceToBroker => "device_to_broker".to_owned(),
            Self::BrokerToDevice => "broker_to_device".to_owned(),
            Self::SiteToLedger => "site_to_ledger".to_owned(),
            Self::TierUp(level) => format!("up_to_tier_{level}"),
            Self::Replicas => "replica_to_replica".to_owned(),
            Self::SubnetToParent => "subnet_to_parent".to_owned(),
        }
    }
}

/// What flows on links of one kind, in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// Which kind.
    pub link: Link,
    /// How many there are.
    pub links: f64,
    /// On the busiest of them.
    pub bytes_per_second: f64,
    /// On all of them.
    pub total_bytes_per_second: f64,
}

/// All kinds, from the devices to the root.
pub(super) fn flows(settings: &Settings, shape: &Shape, load: &Load, constants: &Constants) -> Vec<Flow> {
    let (devices, period_s) = (settings.devices as f64, settings.period.as_secs_f64());
    let publish = publish_bytes(settings);
    let even =
        |link, links: f64, bytes_per_second: f64| Flow { link, links, bytes_per_second, total_bytes_per_second: links * bytes_per_second };
    let mut flows = vec![
        even(Link::DeviceToBroker, devices, device_bytes(settings) / period_s),
        even(Link::BrokerToDevice, devices, (PUBACK_BYTES + SEGMENT_BYTES) / period_s),
        Flow {
            link: Link::SiteToLedger,
            links: shape.sites as f64,
            bytes_per_second: load.rate * publish,
            total_bytes_per_second: devices / period_s * publish,
        },
    ];
    for tier in &shape.tiers {
        let bytes = settings.up_share * (publish + TIER_PROPERTIES_BYTES) / period_s;
        flows.push(Flow {
            link: Link::TierUp(tier.level),
            links: tier.links as f64,
            bytes_per_second: tier.link_devices as f64 * bytes,
            total_bytes_per_second: devices * bytes,
        });
    }
    flows.push(replicas(settings, shape, load, constants));
    let (subnets, bytes) = if shape.children > 0 { (shape.subnets as f64, checkpoint_bytes_per_second(settings)) } else { (0.0, 0.0) };
    flows.push(even(Link::SubnetToParent, subnets, bytes));
    flows
}

/// In a subnet each message goes to each other node once, and each member's votes to each other member.
fn replicas(settings: &Settings, shape: &Shape, load: &Load, constants: &Constants) -> Flow {
    let per_subnet = shape.subnet_devices.max(1);
    let (full, rest) = (settings.devices / per_subnet, settings.devices % per_subnet);
    let mut sum = (full as f64 * load.nodes * (load.nodes - 1.0), full as f64 * subnet_total(load));
    if rest > 0 {
        let last = settings.with_devices(rest);
        let shape = Shape::of(&last);
        let load = Load::of(&last, &shape, constants);
        sum = (sum.0 + load.nodes * (load.nodes - 1.0), sum.1 + subnet_total(&load));
    }
    let one = if load.nodes > 1.0 { load.own * message_bytes(load.nodes) + votes_per_second(load) } else { 0.0 };
    Flow { link: Link::Replicas, links: sum.0, bytes_per_second: one, total_bytes_per_second: sum.1 }
}

fn subnet_total(load: &Load) -> f64 {
    let members = f64::from(load.committee);
    load.all * (load.nodes - 1.0) * message_bytes(load.nodes) + members * (members - 1.0) * votes_per_second(load)
}

/// A message with its frame, its issuer's last one and tips of others being its parents.
fn message_bytes(nodes: f64) -> f64 {
    MESSAGE_BYTES + ID_BYTES * nodes.min(PARENTS_MAX) + FRAME_BYTES
}

/// From one member to another for milestones, as often as they are wanted: its part of the leaders' proposals, votes, certificates.
fn votes_per_second(load: &Load) -> f64 {
    if load.committee < 2 {
        return 0.0;
    }
    let proposal = (milestone_bytes(load.wanted.size.min(load.nodes)) + FRAME_BYTES) / f64::from(load.committee);
    let vote = VOTE_BYTES + FRAME_BYTES;
    let certificate = certificate_bytes(load.committee) + FRAME_BYTES;
    (proposal + ROUNDS * (vote + certificate)) / load.wanted.interval_s
}

/// A milestone with so many tips.
pub(super) fn milestone_bytes(tips: f64) -> f64 {
    MILESTONE_BYTES + ID_BYTES * tips.min(TIPS_MAX)
}

/// The certificate of a milestone.
pub(super) fn certificate_bytes(committee: u32) -> f64 {
    CERTIFICATE_BYTES + CERTIFICATE_VOTE_BYTES * f64::from(quorum(committee))
}

fn checkpoint_bytes_per_second(settings: &Settings) -> f64 {
    let bytes = message_bytes(f64::from(settings.committee)) + CHECKPOINT_BYTES + certificate_bytes(settings.committee);
    bytes / settings.checkpoint_interval.as_secs_f64()
}

fn publish_bytes(settings: &Settings) -> f64 {
    f64::from(settings.reading_bytes) + PUBLISH_BYTES
}

/// A reading on its way to the broker, with the segment that says that the PUBACK has come.
fn device_bytes(settings: &Settings) -> f64 {
    publish_bytes(settings) + 2.0 * SEGMENT_BYTES
}

/// What leaves a member of the committee with the busiest site: its messages to all, its votes to the members.
pub(super) fn out_of_node_per_second(load: &Load) -> f64 {
    load.own * (load.nodes - 1.0) * message_bytes(load.nodes) + f64::from(load.committee.saturating_sub(1)) * votes_per_second(load)
}

/// What reaches it: its devices' readings, the others' messages and votes.
pub(super) fn into_node_per_second(settings: &Settings, load: &Load) -> f64 {
    let messages = (load.all - load.own).max(0.0) * message_bytes(load.nodes);
    load.rate * device_bytes(settings) + messages + f64::from(load.committee.saturating_sub(1)) * votes_per_second(load)
}

/// How long a message takes to be sent to all others.
pub(super) fn fan_out_s(load: &Load) -> f64 {
    (load.nodes - 1.0) * message_bytes(load.nodes) / load.bytes_per_second
}
