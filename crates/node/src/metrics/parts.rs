//! Metrics of parts of a site: a process that runs some has these, beside those of a ledger node if it runs one.

use super::exposition;
use super::row::{PREFIX, raise, set};
use super::table::{BrokerPartMetrics, CachePartMetrics, FogPartMetrics, MqttSnPartMetrics};
use crate::roles::RolesReport;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

/// Everything as Prometheus reads it (text format 0.0.4), for the parts that run.
#[must_use]
pub(crate) fn render_parts(report: &RolesReport) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    if let Some(part) = &report.broker {
        let (m, keepers) = (BrokerPartMetrics::new(&mut registry), &part.keepers);
        set(&m.services, keepers.connected.len() as u64);
        set(&m.held, keepers.held);
        raise(&m.kept, keepers.kept);
        raise(&m.refused, keepers.refused);
        raise(&m.doubtful, keepers.doubtful);
        raise(&m.missed, keepers.missed);
        raise(&m.closed, part.access.closed);
    }
    if let Some(cache) = &report.cache {
        let m = CachePartMetrics::new(&mut registry);
        set(&m.connected, u64::from(cache.connected));
        set(&m.pending, cache.pending);
        set(&m.pending_bytes, cache.pending_bytes);
        set(&m.limit_bytes, cache.limit_bytes);
        set(&m.alarm, u64::from(cache.alarm.is_some()));
        set(&m.ahead, cache.ahead);
        raise(&m.kept, cache.kept);
        raise(&m.duplicates, cache.duplicates);
        raise(&m.malformed, cache.malformed);
        raise(&m.refused, cache.refused);
        raise(&m.noticed, cache.noticed);
        raise(&m.dropped, cache.dropped);
        raise(&m.sent, cache.sent);
        raise(&m.rounds, cache.rounds);
    }
    if let Some(fog) = &report.fog {
        let m = FogPartMetrics::new(&mut registry);
        set(&m.connected, u64::from(fog.connected));
        set(&m.intake_pending, fog.pipelines.intake_pending);
        set(&m.stalled, u64::from(fog.pipelines.stalled.is_some()));
        raise(&m.accepted, fog.ingress.accepted.saturating_add(fog.signed));
        raise(&m.duplicates, fog.ingress.duplicates);
        raise(&m.rejected, fog.ingress.rejected);
        raise(&m.refused_in, fog.ingress.refused);
        raise(&m.published, fog.published);
        raise(&m.refused_out, fog.refused);
        raise(&m.readings_in, fog.pipelines.readings_in);
        raise(&m.commands, fog.pipelines.commands);
    }
    if let Some((_, gateway)) = &report.mqttsn {
        let m = MqttSnPartMetrics::new(&mut registry);
        set(&m.clients, gateway.clients);
        raise(&m.publishes_in, gateway.publishes_in);
        raise(&m.publishes_out, gateway.publishes_out);
        raise(&m.lost, gateway.lost);
        raise(&m.malformed, gateway.malformed);
    }
    let mut text = String::new();
    if encode_registry(&mut text, &registry).is_err() {
        text.clear(); // writing to a string does not fail
    }
    exposition::plain_one(&text)
}
