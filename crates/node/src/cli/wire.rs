//! The parts of the HTTP API's answers that tables, the demo and the benches use.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    /// The node.
    pub(crate) name: String,
    /// Its site, if it serves one.
    pub(crate) site: Option<String>,
    /// The network's id.
    pub(crate) network: String,
    /// The subnet within it.
    pub(crate) subnet: u16,
    /// The node's key.
    pub(crate) key: String,
    /// The program's version.
    pub(crate) version: String,
    /// Since when it runs.
    pub(crate) uptime_ms: u64,
    /// The ledger.
    pub(crate) ledger: Ledger,
    /// The validators.
    pub(crate) committee: Vec<Member>,
    /// The site, if the node serves one.
    pub(crate) site_stats: Option<SiteStats>,
    /// The MQTT-SN gateway, if the node runs one.
    #[serde(default)]
    pub(crate) mqttsn: Option<MqttSnStats>,
}

/// `GET /api/v1/requests`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DeviceRequests {
    /// The requests, the newest first.
    pub(crate) requests: Vec<DeviceRequest>,
}

/// What one device asks of another.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DeviceRequest {
    /// `out` or `in`.
    pub(crate) way: String,
    /// Who asks.
    pub(crate) from: String,
    /// For what.
    pub(crate) to: String,
    /// Under which number.
    pub(crate) number: String,
    /// With which value.
    pub(crate) value: String,
    /// How far it is.
    pub(crate) state: String,
    /// Why no further.
    pub(crate) reason: String,
    /// The milestone that confirmed it.
    pub(crate) height: Option<u64>,
    /// When that changed.
    pub(crate) at_ms: u64,
}

/// The MQTT-SN gateway's counts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MqttSnStats {
    /// Where clients reach it.
    pub(crate) address: String,
    /// Clients.
    pub(crate) clients: u64,
    /// Those that sleep.
    pub(crate) asleep: u64,
    /// Publishes handed to the broker.
    pub(crate) publishes_in: u64,
    /// Publishes sent to clients.
    pub(crate) publishes_out: u64,
    /// Messages sent again.
    pub(crate) retries: u64,
    /// Requests refused, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Messages dropped, by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
}

/// The ledger as one node sees it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ledger {
    /// Last milestone executed.
    pub(crate) height: u64,
    /// Its digest.
    pub(crate) digest: String,
    /// Its time.
    pub(crate) milestone_ms: u64,
    /// Root of the state after it.
    pub(crate) state_root: String,
    /// The epoch of the next milestone.
    pub(crate) epoch: u64,
    /// Whether the node is in that epoch's committee.
    pub(crate) validator: bool,
    /// Whether too few of the committee are in touch with it.
    pub(crate) cut_off: bool,
    /// Orders and evidence without effect.
    pub(crate) orders_refused: u64,
    /// Messages that counted, on the whole network.
    pub(crate) messages: u64,
    /// Readings they anchored.
    pub(crate) readings: u64,
    /// Messages of this node.
    pub(crate) issued: u64,
    /// Tips of the DAG.
    pub(crate) tips: u64,
    /// Messages without a milestone.
    pub(crate) unconfirmed: u64,
    /// Messages that wait for a parent.
    pub(crate) pending: u64,
    /// Issuers caught with two messages of one sequence.
    pub(crate) equivocations: u64,
    /// Other members of the committee heard of lately.
    pub(crate) peers: u64,
    /// Messages refused.
    pub(crate) refused: u64,
    /// The same by reason.
    #[serde(default)]
    pub(crate) refusals: BTreeMap<String, u64>,
    /// Votes of this node for requests of wallets.
    #[serde(default)]
    pub(crate) votes_cast: u64,
    /// Requests certified, as this node sees it.
    #[serde(default)]
    pub(crate) spends_certified: u64,
    /// Requests executed.
    #[serde(default)]
    pub(crate) spends_final: u64,
    /// Requests that this node rejected.
    #[serde(default)]
    pub(crate) spends_rejected: u64,
}

/// A validator.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Member {
    /// What people call it.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: String,
}

/// The broker's place in the tree of brokers.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TierStats {
    /// The sites that it is for.
    pub(crate) scope: String,
    /// The broker above.
    pub(crate) parent: Option<String>,
    /// Whether it can be reached.
    pub(crate) connected: bool,
    /// Publishes that wait to go up.
    pub(crate) queued_up: u64,
    /// The brokers below.
    pub(crate) links: Vec<LinkStats>,
    /// Publishes that another broker has acknowledged.
    pub(crate) drained: u64,
    /// Repetitions recognised.
    pub(crate) duplicates: u64,
    /// Publishes that came in a circle.
    pub(crate) loops: u64,
    /// Publishes not taken.
    pub(crate) refused: u64,
}

/// A broker below.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LinkStats {
    /// The sites that it is for.
    pub(crate) scope: String,
    /// Whether it is connected.
    pub(crate) connected: bool,
    /// Publishes that wait for it.
    pub(crate) queued: u64,
}

/// The site's counts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SiteStats {
    /// Where devices publish.
    pub(crate) broker: Option<String>,
    /// Publishes accepted.
    pub(crate) accepted: u64,
    /// Publishes recognised as seen before.
    pub(crate) duplicates: u64,
    /// Malformed payloads.
    pub(crate) rejected: u64,
    /// Publishes not acknowledged.
    pub(crate) refused: u64,
    /// Readings in the publishes accepted.
    pub(crate) readings: u64,
    /// Readings that are in a message.
    pub(crate) anchored: u64,
    /// Readings that a milestone confirmed.
    pub(crate) confirmed: u64,
    /// The broker's place in the tree of brokers.
    #[serde(default)]
    pub(crate) tier: Option<TierStats>,
    /// The fog processor, if the site has pipelines.
    #[serde(default)]
    pub(crate) fog: Option<FogStats>,
    /// Readings in the cache.
    pub(crate) cache_pending: u64,
    /// Bytes of the site's log on disk.
    pub(crate) log_bytes: u64,
    /// From accepted to confirmed.
    pub(crate) latency_ms: Option<Latency>,
}

/// The fog processor's counts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FogStats {
    /// Pipelines in force.
    pub(crate) pipelines: u64,
    /// What is wrong with the file, if older pipelines are in force.
    pub(crate) refused: Option<String>,
    /// Why nothing goes on, if nothing does.
    pub(crate) stalled: Option<String>,
    /// Readings that wait to be processed.
    pub(crate) intake_pending: u64,
    /// How long the oldest of them can have waited.
    pub(crate) lag_ms: u64,
    /// Readings processed.
    pub(crate) readings_in: u64,
    /// Readings that came out.
    pub(crate) readings_out: u64,
    /// Commands to actuators.
    pub(crate) commands: u64,
    /// Readings refused, by reason.
    pub(crate) rejected: BTreeMap<String, u64>,
    /// Readings taken out.
    pub(crate) filtered: u64,
    /// Repetitions.
    pub(crate) duplicates: u64,
    /// Windows that are open.
    pub(crate) open_windows: u64,
    /// Devices and data types that were forgotten for want of room.
    pub(crate) forgotten: u64,
    /// Changes of the pipelines that were taken.
    pub(crate) reloads: u64,
    /// Changes that were refused.
    pub(crate) reloads_refused: u64,
}

/// A distribution of latencies.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50: f64,
    /// The 99th percentile.
    pub(crate) p99: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// `GET /api/v1/messages`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Messages {
    /// Newest first.
    pub(crate) messages: Vec<Message>,
}

/// A message.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Message {
    /// Its id.
    pub(crate) id: String,
    /// Who issued it, if the committee knows the key.
    pub(crate) issuer_name: Option<String>,
    /// The issuer's key.
    pub(crate) issuer: String,
    /// The issuer's count.
    pub(crate) sequence: u64,
    /// The issuer's clock.
    pub(crate) issued_at_ms: u64,
    /// Messages it names.
    pub(crate) parents: Vec<String>,
    /// What kind it is.
    pub(crate) body: String,
    /// Orders, requests or certificates in it.
    #[serde(default)]
    pub(crate) entries: Option<u64>,
    /// The epoch in which its issuer votes no more, if it says so.
    #[serde(default)]
    pub(crate) ends_epoch: Option<u64>,
    /// Requests of wallets that it votes for.
    #[serde(default)]
    pub(crate) votes: u64,
    /// Readings it anchors.
    pub(crate) readings: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// Where it stands.
    pub(crate) standing: String,
    /// The milestone that decided.
    pub(crate) height: Option<u64>,
}

/// `GET /api/v1/messages/{id}` of one with orders: where it stands, and what in it had no effect.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Carried {
    /// Where it stands.
    pub(crate) standing: String,
    /// The milestone that decided.
    pub(crate) height: Option<u64>,
    /// What had no effect.
    #[serde(default)]
    pub(crate) refused: Vec<Refused>,
}

/// An order that had no effect.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Refused {
    /// Its place in the message.
    pub(crate) index: usize,
    /// Why.
    pub(crate) why: String,
}

/// `POST /api/v1/orders`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Accepted {
    /// The message that carries the orders.
    pub(crate) message: String,
}

/// `GET /api/v1/epoch`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Epoch {
    /// The network's id.
    pub(crate) network: String,
    /// The present epoch.
    pub(crate) epoch: u64,
    /// The last milestone executed.
    pub(crate) height: u64,
    /// The milestone that ends the epoch.
    pub(crate) closing_height: Option<u64>,
}

/// `GET /api/v1/validators`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Validators {
    /// By their keys.
    pub(crate) validators: Vec<Validator>,
}

/// Somebody who can be elected, or could.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Validator {
    /// What people call it.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: String,
    /// Where its node can be reached.
    pub(crate) address: Option<String>,
    /// What is at stake with it.
    pub(crate) stake: u64,
    /// What was undelegated from it and not withdrawn.
    pub(crate) unbonding: u64,
    /// Whether it signs milestones.
    pub(crate) in_committee: bool,
    /// Whether it wants to be elected.
    pub(crate) registered: bool,
    /// Whether it may not be elected.
    pub(crate) jailed: bool,
    /// Until which epoch.
    pub(crate) jailed_until: u64,
}

/// `GET /api/v1/wallets/{key}`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Wallet {
    /// Its key.
    pub(crate) key: String,
    /// The State that its next order must name.
    pub(crate) state: String,
    /// What it can spend.
    pub(crate) balance: u64,
    /// What it has bound.
    pub(crate) stakes: Vec<Stake>,
}

/// What a wallet has bound to a validator.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Stake {
    /// The validator's key.
    pub(crate) validator: String,
    /// Its name.
    pub(crate) name: String,
    /// At stake.
    pub(crate) staked: u64,
    /// On its way back.
    pub(crate) unbonding: Vec<Release>,
}

/// An amount on its way back.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Release {
    /// The first epoch in which it can be withdrawn.
    pub(crate) release_epoch: u64,
    /// How much.
    pub(crate) amount: u64,
}

/// `GET /api/v1/devices`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Devices {
    /// In the order of their registration.
    pub(crate) devices: Vec<Device>,
    /// Where a further question goes on.
    pub(crate) next: Option<String>,
}

/// A registered device. Times are heights of milestones.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Device {
    /// `site/ID`.
    pub(crate) device: String,
    /// Active or revoked.
    pub(crate) state: String,
    /// The wallet that registered it.
    pub(crate) owner: String,
    /// 1 to 3.
    pub(crate) role: u8,
    /// Its key.
    pub(crate) key: Option<String>,
    /// Which of its keys that is.
    pub(crate) key_epoch: u64,
    /// Since when.
    pub(crate) key_since: u64,
    /// The hash of its Thing Description.
    pub(crate) thing: Option<String>,
    /// When it was registered.
    pub(crate) registered: u64,
    /// When it changed last.
    pub(crate) changed: u64,
}

/// `GET /api/v1/milestones`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Milestones {
    /// Newest first.
    pub(crate) milestones: Vec<Milestone>,
}

/// A milestone.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Milestone {
    /// Its height.
    pub(crate) height: u64,
    /// Its digest.
    pub(crate) digest: String,
    /// Its time.
    pub(crate) time_ms: u64,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Whom it elects, if it closes its epoch.
    #[serde(default)]
    pub(crate) next_committee: Option<Vec<String>>,
    /// Messages it confirms.
    pub(crate) messages: u64,
    /// Messages it found void.
    pub(crate) void: u64,
    /// Tips it names.
    pub(crate) tips: u64,
    /// The ledger's state after the milestone before it.
    pub(crate) state_root: String,
}

/// `GET /api/v1/readings`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Readings {
    /// Newest first.
    pub(crate) readings: Vec<Reading>,
}

/// A reading this node's site anchored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reading {
    /// Its id.
    pub(crate) id: String,
    /// The device and what it measures.
    pub(crate) topic: String,
    /// When.
    pub(crate) time_us: u64,
    /// The unit.
    pub(crate) unit: Option<String>,
    /// The value; bytes are an object with base64url.
    pub(crate) value: Value,
    /// The key of the device that signed it.
    #[serde(default)]
    pub(crate) device_key: Option<String>,
    /// The message that anchors it.
    pub(crate) message: String,
    /// Where that stands.
    pub(crate) standing: String,
    /// The milestone that decided.
    pub(crate) height: Option<u64>,
}

impl Reading {
    /// The value and its unit, for people.
    pub(crate) fn shown(&self) -> String {
        let value = match self.value.get("base64url").and_then(Value::as_str) {
            Some(bytes) => format!("base64url:{bytes}"),
            None => self.value.to_string(),
        };
        match &self.unit {
            Some(unit) => format!("{value} {unit}"),
            None => value,
        }
    }
}
