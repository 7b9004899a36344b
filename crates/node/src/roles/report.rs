//! What the parts of a process say of themselves: `/api/v1/status` and `/metrics`.

use super::cache::CacheStats;
use super::fog::FogPartStats;
use mqtt::sn::GatewayStats;
use mqtt::{AccessReport, KeeperStats};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The broker's part of a report.
pub(crate) struct BrokerPart {
    /// Where clients reach it.
    pub(crate) addresses: Vec<String>,
    /// How the keeping of publishes goes.
    pub(crate) keepers: KeeperStats,
    /// What access control refused.
    pub(crate) access: AccessReport,
}

/// How the parts of a process are doing.
pub(crate) struct RolesReport {
    /// The broker.
    pub(crate) broker: Option<BrokerPart>,
    /// The cache.
    pub(crate) cache: Option<CacheStats>,
    /// The fog processor.
    pub(crate) fog: Option<FogPartStats>,
    /// The MQTT-SN gateway: where it is, and its figures.
    pub(crate) mqttsn: Option<(SocketAddr, GatewayStats)>,
}

impl RolesReport {
    /// As JSON.
    #[must_use]
    pub(crate) fn json(&self) -> Value {
        json!({
            "broker": self.broker.as_ref().map(broker_json),
            "cache": self.cache.as_ref().map(cache_json),
            "fog": self.fog.as_ref().map(fog_json),
        })
    }

    /// As Prometheus reads it (text format 0.0.4).
    #[must_use]
    pub(crate) fn metrics(&self) -> String {
        crate::metrics::render_parts(self)
    }
}

fn broker_json(broker: &BrokerPart) -> Value {
    let KeeperStats { connected, held, kept, refused, doubtful, missed } = &broker.keepers;
    json!({
        "addresses": broker.addresses,
        "services": connected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "held": held,
        "kept": kept,
        "refused": refused,
        "doubtful": doubtful,
        "missed": missed,
    })
}

fn cache_json(cache: &CacheStats) -> Value {
    json!({
        "connected": cache.connected,
        "pending": cache.pending,
        "pending_bytes": cache.pending_bytes,
        "limit_bytes": cache.limit_bytes,
        "oldest_ms": cache.oldest_us.map(|us| us / 1_000),
        "alarm": cache.alarm,
        "kept": cache.kept,
        "duplicates": cache.duplicates,
        "malformed": cache.malformed,
        "refused": cache.refused,
        "noticed": cache.noticed,
        "ahead": cache.ahead,
        "dropped": cache.dropped,
        "sent": cache.sent,
        "rounds": cache.rounds,
    })
}

fn fog_json(fog: &FogPartStats) -> Value {
    json!({
        "connected": fog.connected,
        "accepted": fog.ingress.accepted,
        "signed": fog.signed,
        "duplicates": fog.ingress.duplicates,
        "rejected": fog.ingress.rejected,
        "refused": fog.ingress.refused,
        "published": fog.published,
        "not_taken": fog.refused,
        "dropped": fog.dropped,
        "pipelines": fog.pipelines.pipelines,
        "intake_pending": fog.pipelines.intake_pending,
        "readings_in": fog.pipelines.readings_in,
        "commands": fog.pipelines.commands,
        "pipelines_refused": fog.pipelines.refused,
        "stalled": fog.pipelines.stalled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_both_forms() {
        let cache = CacheStats { pending: 3, alarm: Some("full"), ..CacheStats::default() };
        let report = RolesReport { broker: None, cache: Some(cache), fog: None, mqttsn: None };
        assert_eq!(report.json().pointer("/cache/pending"), Some(&json!(3)));
        assert_eq!(report.json().pointer("/broker"), Some(&Value::Null));
        let text = report.metrics();
        assert!(text.contains("\nwattle_part_cache_pending 3\n") && text.contains("wattle_part_cache_alarm 1\n"), "{text}");
        assert!(text.contains("wattle_part_cache_rounds_total 0\n"), "{text}");
    }
}
