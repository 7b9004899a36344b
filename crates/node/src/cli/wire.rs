//! The parts of the HTTP API's answers that tables, the demo and the benches use.

use serde::Deserialize;
use serde_json::Value;

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
}

/// A validator.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Member {
    /// What people call it.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: String,
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
    /// Readings in the cache.
    pub(crate) cache_pending: u64,
    /// Bytes of the site's log on disk.
    pub(crate) log_bytes: u64,
    /// From accepted to confirmed.
    pub(crate) latency_ms: Option<Latency>,
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
    /// Readings it anchors.
    pub(crate) readings: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// Where it stands.
    pub(crate) standing: String,
    /// The milestone that decided.
    pub(crate) height: Option<u64>,
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
