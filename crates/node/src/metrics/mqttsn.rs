//! The MQTT-SN gateway's metrics.

use super::{ByReason, counter, gauge, raise, set};
use mqtt::sn::GatewayStats;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the gateway counts; zeros on a node without one.
pub(super) struct MqttSnMetrics {
    clients: Gauge,
    asleep: Gauge,
    buffered: Gauge,
    connected: Counter,
    lost: Counter,
    publishes_in: Counter,
    publishes_out: Counter,
    retries: Counter,
    malformed: Counter,
    refused: ByReason,
    dropped: ByReason,
}

impl MqttSnMetrics {
    /// Registers them.
    pub(super) fn new(r: &mut Registry) -> Self {
        let (refused, dropped) = (ByReason::default(), ByReason::default());
        r.register("mqttsn_refused", "Requests of MQTT-SN clients refused, by reason", refused.clone());
        r.register("mqttsn_dropped", "Messages the MQTT-SN gateway dropped, by reason", dropped.clone());
        Self {
            clients: gauge(r, "mqttsn_clients", "MQTT-SN clients, those that are connecting included"),
            asleep: gauge(r, "mqttsn_clients_asleep", "MQTT-SN clients that sleep"),
            buffered: gauge(r, "mqttsn_buffered_bytes", "Bytes of messages that wait for MQTT-SN clients or the broker"),
            connected: counter(r, "mqttsn_connects", "Connections of MQTT-SN clients accepted"),
            lost: counter(r, "mqttsn_clients_lost", "MQTT-SN clients that fell silent"),
            publishes_in: counter(r, "mqttsn_publishes_in", "Publishes of MQTT-SN clients handed to the broker"),
            publishes_out: counter(r, "mqttsn_publishes_out", "Publishes sent to MQTT-SN clients"),
            retries: counter(r, "mqttsn_retries", "Messages sent to MQTT-SN clients again"),
            malformed: counter(r, "mqttsn_malformed", "Datagrams that are no message of MQTT-SN"),
            refused,
            dropped,
        }
    }

    /// Takes the counts over.
    pub(super) fn copy(&self, stats: &GatewayStats) {
        set(&self.clients, stats.clients);
        set(&self.asleep, stats.asleep);
        set(&self.buffered, stats.buffered_bytes);
        raise(&self.connected, stats.connected);
        raise(&self.lost, stats.lost);
        raise(&self.publishes_in, stats.publishes_in);
        raise(&self.publishes_out, stats.publishes_out);
        raise(&self.retries, stats.retries);
        raise(&self.malformed, stats.malformed);
        for (family, counts) in [(&self.refused, &stats.refused), (&self.dropped, &stats.dropped)] {
            for (reason, count) in counts {
                raise(&family.get_or_create(&[("reason", *reason)]), *count);
            }
        }
    }
}
