//! Every metric of this crate, by name. What the engine counts follows them at `/metrics`.
//!
//! Most numbers are kept elsewhere (the replica, the log, the ingress) and copied when somebody asks; only the
//! latencies are counted here as they happen.

mod exchange;
mod fog;
mod mqttsn;
mod spends;

use crate::exchange::ExchangeStats;
use crate::site::SiteStats;
use crate::spends::SpendCounts;
use exchange::ExchangeMetrics;
use fog::FogMetrics;
use mqtt::sn::GatewayStats;
use mqttsn::MqttSnMetrics;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use replica::Status;
use spends::SpendMetrics;
use std::sync::atomic::Ordering;

/// What precedes every name of ours.
const PREFIX: &str = "wattle";
/// Upper bounds of the latency's buckets, in seconds.
const LATENCY_BOUNDS_S: [f64; 14] = [0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

/// A counter for each reason.
type ByReason = Family<[(&'static str, &'static str); 1], Counter>;

/// A counter for each reason for which something of a kind was refused.
type ByKind = Family<[(&'static str, &'static str); 2], Counter>;

/// The registry and what is in it.
pub(crate) struct Metrics {
    registry: Registry,
    latency: Histogram,
    ledger: LedgerMetrics,
    site: SiteMetrics,
    mqttsn: MqttSnMetrics,
    exchange: ExchangeMetrics,
    spends: SpendMetrics,
}

struct LedgerMetrics {
    height: Gauge,
    epoch: Gauge,
    committee: Gauge,
    validator: Gauge,
    cut_off: Gauge,
    orders_refused: Counter,
    messages: Counter,
    readings: Counter,
    issued: Counter,
    tips: Gauge,
    unconfirmed: Gauge,
    pending: Gauge,
    peers: Gauge,
    equivocations: Counter,
    refused: Counter,
    refusals: ByReason,
    pulled: Counter,
}

struct SiteMetrics {
    connected: Gauge,
    accepted: Counter,
    duplicates: Counter,
    rejected: Counter,
    unbelieved: ByReason,
    refused: Counter,
    readings: Counter,
    anchored: Counter,
    confirmed: Counter,
    in_flight: Gauge,
    cache_pending: Gauge,
    log_bytes: Gauge,
    log_syncs: Counter,
    relay_dropped: Counter,
    notices_dropped: Counter,
    confirmations_dropped: Counter,
    access_refused: ByKind,
    access_closed: Counter,
    access_reloads: Counter,
    access_reloads_failed: Counter,
    tier: TierMetrics,
    fog: FogMetrics,
}

struct TierMetrics {
    parent_connected: Gauge,
    links_connected: Gauge,
    queued: Gauge,
    spool_bytes: Gauge,
    connects: Counter,
    spooled: Counter,
    drained: Counter,
    from_above: Counter,
    from_below: Counter,
    duplicates: Counter,
    loops: Counter,
    refused: Counter,
    dropped: Counter,
    missed: Counter,
}

impl TierMetrics {
    fn new(r: &mut Registry) -> Self {
        Self {
            parent_connected: gauge(r, "tier_parent_connected", "1 while the parent broker can be reached"),
            links_connected: gauge(r, "tier_links_connected", "Brokers below that are connected"),
            queued: gauge(r, "tier_queued", "Publishes that wait for other brokers"),
            spool_bytes: gauge(r, "tier_spool_bytes", "Bytes of these publishes on disk"),
            connects: counter(r, "tier_connects", "Connections to the parent broker"),
            spooled: counter(r, "tier_spooled", "Publishes kept for another broker"),
            drained: counter(r, "tier_drained", "Publishes that another broker has acknowledged"),
            from_above: counter(r, "tier_from_above", "Publishes taken from the parent broker"),
            from_below: counter(r, "tier_from_below", "Publishes taken from brokers below"),
            duplicates: counter(r, "tier_duplicates", "Repetitions from other brokers that were recognised"),
            loops: counter(r, "tier_loops_refused", "Publishes refused because they came in a circle"),
            refused: counter(r, "tier_refused", "Publishes not taken because they could not be kept; their senders have them"),
            dropped: counter(r, "tier_dropped", "Publishes that the parent broker will never take"),
            missed: counter(r, "tier_missed", "Readings deleted from the log before they could go to other brokers"),
        }
    }

    fn copy(&self, tier: &mqtt::TierStats) {
        set(&self.parent_connected, u64::from(tier.connected));
        set(&self.links_connected, tier.links.iter().filter(|link| link.connected).count() as u64);
        set(&self.queued, tier.queued_up.saturating_add(tier.links.iter().map(|link| link.queued).sum()));
        set(&self.spool_bytes, tier.spool_bytes);
        raise(&self.connects, tier.connects);
        raise(&self.spooled, tier.spooled);
        raise(&self.drained, tier.drained);
        raise(&self.from_above, tier.from_above);
        raise(&self.from_below, tier.from_below);
        raise(&self.duplicates, tier.duplicates);
        raise(&self.loops, tier.loops);
        raise(&self.refused, tier.refused);
        raise(&self.dropped, tier.dropped);
        raise(&self.missed, tier.missed);
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

impl Metrics {
    /// A registry with every metric at zero.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        let latency = Histogram::new(LATENCY_BOUNDS_S);
        r.register("reading_latency_seconds", "From a publish being durable to its reading being confirmed here", latency.clone());
        let refusals = ByReason::default();
        r.register("messages_refused_by_reason", "Messages refused, by reason", refusals.clone());
        let unbelieved = ByReason::default();
        r.register("site_publishes_unbelieved", "Publishes whose device is not believed, by reason", unbelieved.clone());
        let access_refused = ByKind::default();
        r.register(
            "site_access_refused",
            "What the site's broker refused, by kind (connect, subscribe, publish, packet) and reason",
            access_refused.clone(),
        );
        let ledger = LedgerMetrics {
            height: gauge(r, "milestone_height", "Height of the last milestone executed"),
            epoch: gauge(r, "epoch", "Epoch of the next milestone"),
            committee: gauge(r, "committee_size", "Members of that epoch's committee"),
            validator: gauge(r, "validator", "1 while this node is one of them"),
            cut_off: gauge(r, "cut_off", "1 while too few of them are in touch with this node to confirm anything"),
            orders_refused: counter(r, "orders_refused", "Orders and evidence without effect"),
            messages: counter(r, "messages", "Messages that counted, on the whole network"),
            readings: counter(r, "readings", "Readings anchored by messages that counted, on the whole network"),
            issued: counter(r, "messages_issued", "Messages this node has issued"),
            tips: gauge(r, "tips", "Tips of the DAG"),
            unconfirmed: gauge(r, "messages_unconfirmed", "Messages in the DAG without a milestone"),
            pending: gauge(r, "messages_pending", "Messages that wait for a parent"),
            peers: gauge(r, "peers", "Other members of the committee heard of lately"),
            equivocations: counter(r, "equivocations", "Issuers caught with two messages of one sequence"),
            refused: counter(r, "messages_refused", "Messages refused"),
            refusals,
            pulled: counter(r, "messages_pulled", "Messages fetched because a push was missed"),
        };
        let site = SiteMetrics {
            connected: gauge(r, "site_connected", "1 while publishes can arrive"),
            accepted: counter(r, "site_publishes_accepted", "Publishes stored"),
            duplicates: counter(r, "site_publishes_duplicate", "Publishes recognised as seen before"),
            rejected: counter(r, "site_publishes_rejected", "Publishes with a malformed payload, or whose device is not believed"),
            unbelieved,
            refused: counter(r, "site_publishes_refused", "Publishes not acknowledged"),
            readings: counter(r, "site_readings_stored", "Readings stored"),
            anchored: counter(r, "site_readings_anchored", "Readings of the log that are in a message, ever"),
            confirmed: counter(r, "site_readings_confirmed", "Readings of the log that are confirmed, ever"),
            in_flight: gauge(r, "site_batches_in_flight", "Batches issued and not confirmed"),
            cache_pending: gauge(r, "site_cache_pending", "Readings of the log that are not confirmed"),
            log_bytes: gauge(r, "site_log_bytes", "Bytes of the log on disk"),
            log_syncs: counter(r, "site_log_syncs", "Groups written to the log, each with one sync"),
            relay_dropped: counter(r, "site_relay_dropped", "Processed copies dropped because nobody took them in time"),
            notices_dropped: counter(r, "site_notices_dropped", "Batches whose notices were dropped because the broker did not take them"),
            confirmations_dropped: counter(r, "site_confirmations_dropped", "Confirmed readings of which a device was not told"),
            access_refused,
            access_closed: counter(r, "site_access_closed", "Connections closed because the right to be there ended"),
            access_reloads: counter(r, "site_access_reloads", "Times that users, keys and certificates were read anew"),
            access_reloads_failed: counter(r, "site_access_reloads_failed", "Times that they could not be used and the old ones stayed"),
            tier: TierMetrics::new(r),
            fog: FogMetrics::new(r),
        };
        let mqttsn = MqttSnMetrics::new(r);
        let exchange = ExchangeMetrics::new(r);
        let spends = SpendMetrics::new(r);
        Self { registry, latency, ledger, site, mqttsn, exchange, spends }
    }

    /// Where a site counts its latencies, in seconds.
    #[must_use]
    pub(crate) fn latency(&self) -> Histogram {
        self.latency.clone()
    }

    /// Everything as Prometheus reads it (text format 0.0.4): ours, then the engine's.
    #[must_use]
    pub(crate) fn render(&self, ledger: Option<&Status>, site: Option<&SiteStats>, engine: &str) -> String {
        if let Some(status) = ledger {
            self.copy_ledger(status);
        }
        if let Some(stats) = site {
            self.copy_site(stats);
        }
        let mut text = String::new();
        if encode_registry(&mut text, &self.registry).is_err() {
            text.clear(); // writing to a string does not fail
        }
        for line in engine.lines().filter(|line| line.trim() != "# EOF") {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Takes over what the MQTT-SN gateway has counted.
    pub(crate) fn copy_gateway(&self, stats: &GatewayStats) {
        self.mqttsn.copy(stats);
    }

    /// Takes over what was counted of requests between devices, and of devices that roam.
    pub(crate) fn copy_exchange(&self, stats: &ExchangeStats) {
        self.exchange.copy(stats);
    }

    /// Where the times of wallets' requests are counted, in seconds: until certified, until final.
    #[must_use]
    pub(crate) fn spend_latencies(&self) -> [Histogram; 2] {
        self.spends.latencies()
    }

    /// Takes over what became of requests that this node carried, and how many coins there are.
    pub(crate) fn copy_spends(&self, counts: &SpendCounts, coins: Option<&ledger::Coins>) {
        self.spends.copy_counts(counts);
        if let Some(coins) = coins {
            self.spends.copy_coins(coins);
        }
    }

    fn copy_ledger(&self, status: &Status) {
        self.spends.copy_ledger(status);
        let m = &self.ledger;
        set(&m.height, status.height);
        set(&m.epoch, status.epoch);
        set(&m.committee, status.committee.len() as u64);
        set(&m.validator, u64::from(status.validator));
        set(&m.cut_off, u64::from(status.cut_off));
        raise(&m.orders_refused, status.orders_refused);
        raise(&m.messages, status.messages);
        raise(&m.readings, status.readings);
        raise(&m.issued, status.issued);
        set(&m.tips, status.tips as u64);
        set(&m.unconfirmed, status.unconfirmed as u64);
        set(&m.pending, status.pending as u64);
        set(&m.peers, status.peers as u64);
        raise(&m.equivocations, status.equivocations);
        raise(&m.refused, status.refused);
        for (reason, count) in &status.refusals {
            raise(&m.refusals.get_or_create(&[("reason", *reason)]), *count);
        }
        raise(&m.pulled, status.pulled);
    }

    fn copy_site(&self, stats: &SiteStats) {
        let m = &self.site;
        set(&m.connected, u64::from(stats.connected));
        raise(&m.accepted, stats.ingress.accepted);
        raise(&m.duplicates, stats.ingress.duplicates);
        raise(&m.rejected, stats.ingress.rejected);
        let i = &stats.identity;
        let reasons =
            [("unknown", i.unknown), ("unsigned", i.unsigned), ("revoked", i.revoked), ("forged", i.forged), ("replayed", i.replayed)];
        for (reason, count) in reasons {
            raise(&m.unbelieved.get_or_create(&[("reason", reason)]), count);
        }
        raise(&m.refused, stats.ingress.refused);
        raise(&m.readings, stats.ingress.readings);
        raise(&m.anchored, stats.anchored);
        raise(&m.confirmed, stats.confirmed);
        set(&m.in_flight, stats.in_flight as u64);
        set(&m.cache_pending, stats.cache_pending);
        set(&m.log_bytes, stats.log.disk_bytes);
        raise(&m.log_syncs, stats.log.groups);
        raise(&m.relay_dropped, stats.relay_dropped);
        raise(&m.notices_dropped, stats.notices_dropped);
        raise(&m.confirmations_dropped, stats.confirmations_dropped);
        for (kind, reason, count) in &stats.access.refused {
            raise(&m.access_refused.get_or_create(&[("kind", *kind), ("reason", *reason)]), *count);
        }
        raise(&m.access_closed, stats.access.closed);
        raise(&m.access_reloads, stats.access.reloads);
        raise(&m.access_reloads_failed, stats.access.reloads_failed);
        if let Some(tier) = &stats.tier {
            m.tier.copy(tier);
        }
        if let Some(fog) = &stats.fog {
            m.fog.copy(fog);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// A counter never falls, whoever copies first.
fn raise(counter: &Counter, value: u64) {
    counter.inner().fetch_max(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Id, PublicKey};

    #[test]
    fn ours_come_first_and_the_engine_s_follow() {
        let metrics = Metrics::new();
        let mut status = Status {
            key: PublicKey([1; 32]),
            height: 7,
            digest: Id([0; 32]),
            milestone_ms: 0,
            state_root: Id([0; 32]),
            epoch: 2,
            committee: vec![PublicKey([1; 32]), PublicKey([2; 32])],
            validator: true,
            cut_off: false,
            orders_refused: 6,
            messages: 9,
            readings: 90,
            issued: 3,
            peers: 3,
            tips: 2,
            unconfirmed: 1,
            pending: 0,
            wanted: 0,
            equivocations: 0,
            refused: 5,
            refusals: [("work", 2), ("rate", 3), ("future", 0)].into(),
            pulled: 0,
            votes_cast: 11,
            spends_certified: 12,
            spends_final: 10,
            spends_rejected: 2,
            certificates_issued: 1,
        };
        metrics.latency().observe(0.012);
        metrics.spend_latencies().iter().for_each(|seconds| seconds.observe(0.3));
        let text = metrics.render(Some(&status), None, "# HELP x y\nx 1\n# EOF\n");
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
        has("wattle_milestone_height 7");
        has("wattle_epoch 2");
        has("wattle_committee_size 2");
        has("wattle_validator 1");
        has("wattle_cut_off 0");
        has("wattle_orders_refused_total 6");
        has("wattle_readings_total 90");
        has("wattle_reading_latency_seconds_bucket{le=\"0.02\"} 1");
        has("wattle_messages_refused_total 5");
        has("wattle_messages_refused_by_reason_total{reason=\"work\"} 2");
        has("wattle_messages_refused_by_reason_total{reason=\"future\"} 0");
        has("wattle_spends_total{status=\"certified\"} 12");
        has("wattle_spends_total{status=\"final\"} 10");
        has("wattle_votes_cast_total 11");
        has("wattle_spend_rejections_total 2");
        has("wattle_certificates_total 1");
        has("wattle_spend_certified_seconds_count 1");
        has("wattle_spend_final_seconds_bucket{le=\"0.5\"} 1");
        has("x 1");
        assert!(!text.contains("# EOF"));
        let mut stats = GatewayStats { clients: 3, retries: 2, ..GatewayStats::default() };
        stats.refused.insert("congestion", 4);
        metrics.copy_gateway(&stats);
        let text = metrics.render(None, None, "");
        for line in ["wattle_mqttsn_clients 3", "wattle_mqttsn_retries_total 2", "wattle_mqttsn_refused_total{reason=\"congestion\"} 4"] {
            assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
        }
        metrics.copy_exchange(&ExchangeStats { issued: 3, held: 2, away: 1, ..ExchangeStats::default() });
        let text = metrics.render(None, None, "");
        for line in ["wattle_requests_issued_total 3", "wattle_requests_held 2", "wattle_roaming_devices_away 1"] {
            assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
        }
        let coins = ledger::Coins { funded: 3, redeemed: 1, minted: 7, circulating: 2_000_007, registered: 9 };
        metrics.copy_spends(&SpendCounts { locked: 2, ..SpendCounts::default() }, Some(&coins));
        let text = metrics.render(None, None, "");
        for line in ["wattle_spends_total{status=\"locked\"} 2", "wattle_coins_circulating_units 2000007", "wattle_coins_funded 3"] {
            assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
        }
        status.messages = 4; // a counter does not fall
        assert!(metrics.render(Some(&status), None, "").contains("wattle_messages_total 9"));
    }
}
