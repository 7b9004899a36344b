//! What the parts of a process say of themselves: `/api/v1/status` and `/metrics`.

use super::cache::CacheStats;
use super::fog::FogPartStats;
use mqtt::sn::GatewayStats;
use mqtt::{AccessReport, KeeperStats};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// What precedes the name of every figure here: a ledger node in the same process has figures of its own.
const PREFIX: &str = "wattle_part_";

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
        let mut lines = Lines::default();
        if let Some(BrokerPart { keepers, access, .. }) = &self.broker {
            lines.gauge("broker_services_connected", "Parts of the site that are connected", keepers.connected.len() as u64);
            lines.gauge("broker_held", "Publishes that wait for the part that keeps them", keepers.held);
            lines.counter("broker_kept", "Publishes that a part of the site has kept", keepers.kept);
            lines.counter("broker_refused", "Publishes refused because nobody keeps them now", keepers.refused);
            lines.counter("broker_doubtful", "Publishes whose keeper did not answer in time", keepers.doubtful);
            lines.counter("broker_missed", "Copies that a part of the site did not get in time", keepers.missed);
            lines.counter("broker_access_closed", "Connections closed because the right to be there ended", access.closed);
        }
        if let Some(cache) = &self.cache {
            lines.gauge("cache_connected", "1 while publishes can arrive", u64::from(cache.connected));
            lines.gauge("cache_pending", "Readings that wait to be published", cache.pending);
            lines.gauge("cache_pending_bytes", "About how many bytes they take on disk", cache.pending_bytes);
            lines.gauge("cache_limit_bytes", "How many they may take", cache.limit_bytes);
            lines.gauge("cache_alarm", "1 while the cache is full or nearly so", u64::from(cache.alarm.is_some()));
            lines.gauge("cache_ahead", "Published readings that wait for earlier ones to be forgotten", cache.ahead);
            lines.counter("cache_readings_kept", "Readings kept", cache.kept);
            lines.counter("cache_publishes_duplicate", "Publishes recognised as kept before", cache.duplicates);
            lines.counter("cache_publishes_malformed", "Publishes that mean nothing", cache.malformed);
            lines.counter("cache_publishes_refused", "Publishes that could not be kept and were not acknowledged", cache.refused);
            lines.counter("cache_readings_noticed", "Readings named by notices", cache.noticed);
            lines.counter("cache_notices_dropped", "Names of published readings dropped for want of room", cache.dropped);
            lines.counter("cache_readings_sent", "Readings sent as pending", cache.sent);
            lines.counter("cache_rounds", "Times that what is pending was sent", cache.rounds);
        }
        if let Some(fog) = &self.fog {
            lines.gauge("fog_connected", "1 while publishes can arrive and leave", u64::from(fog.connected));
            lines.gauge("fog_intake_pending", "Readings that arrived and are not processed", fog.pipelines.intake_pending);
            lines.gauge("fog_stalled", "1 while results cannot be kept", u64::from(fog.pipelines.stalled.is_some()));
            lines.counter("fog_publishes_accepted", "Publishes stored", fog.ingress.accepted.saturating_add(fog.signed));
            lines.counter("fog_publishes_duplicate", "Publishes recognised as seen before", fog.ingress.duplicates);
            lines.counter("fog_publishes_rejected", "Publishes with a malformed payload", fog.ingress.rejected);
            lines.counter("fog_publishes_refused", "Publishes not acknowledged", fog.ingress.refused);
            lines.counter("fog_published", "Publishes that the broker acknowledged", fog.published);
            lines.counter("fog_refused", "Publishes that the broker did not take for now", fog.refused);
            lines.counter("fog_readings_in", "Readings processed", fog.pipelines.readings_in);
            lines.counter("fog_commands", "Commands to actuators", fog.pipelines.commands);
        }
        if let Some((_, gateway)) = &self.mqttsn {
            lines.gauge("mqttsn_clients", "Clients of the MQTT-SN gateway", gateway.clients);
            lines.counter("mqttsn_publishes_in", "Publishes of its clients", gateway.publishes_in);
            lines.counter("mqttsn_publishes_out", "Publishes to its clients", gateway.publishes_out);
            lines.counter("mqttsn_lost", "Clients that fell silent", gateway.lost);
            lines.counter("mqttsn_malformed", "Datagrams that mean nothing", gateway.malformed);
        }
        lines.0
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn one(&mut self, name: &str, kind: &str, help: &str, suffix: &str, value: u64) {
        // writing to a string does not fail
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}.\n# TYPE {PREFIX}{name} {kind}\n{PREFIX}{name}{suffix} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.one(name, "gauge", help, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.one(name, "counter", help, "_total", value);
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
