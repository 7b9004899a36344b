//! Metrics of requests between devices, and of devices that roam.

use super::{counter, gauge, raise, set};
use crate::exchange::ExchangeStats;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted; zeros at a site that takes no part.
pub(super) struct ExchangeMetrics {
    issued: Counter,
    refused: Counter,
    confirmed: Counter,
    accepted: Counter,
    declined: Counter,
    replayed: Counter,
    delivered: Counter,
    expired: Counter,
    held: Gauge,
    visitors: Gauge,
    away: Gauge,
    handed_over: Counter,
    parcels: Counter,
    dropped: Counter,
    malformed: Counter,
    missed: Counter,
}

impl ExchangeMetrics {
    /// Registers them.
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            issued: counter(r, "requests_issued", "Requests of devices here that were put on the ledger"),
            refused: counter(r, "requests_refused", "Requests of devices here that were refused"),
            confirmed: counter(r, "requests_confirmed", "Requests of devices here that a milestone confirmed"),
            accepted: counter(r, "requests_accepted", "Requests for devices here that were accepted"),
            declined: counter(r, "requests_declined", "Requests for devices here that were not"),
            replayed: counter(r, "requests_replayed", "Requests for devices here whose number was used before"),
            delivered: counter(r, "requests_delivered", "Commands that were handed to the broker"),
            expired: counter(r, "requests_expired", "Commands to which nobody subscribed in time"),
            held: gauge(r, "requests_held", "Commands that wait for a subscriber"),
            visitors: gauge(r, "roaming_devices_visiting", "Devices of other sites that are here"),
            away: gauge(r, "roaming_devices_away", "Devices of this site that are elsewhere"),
            handed_over: counter(r, "roaming_handovers", "Devices that were handed over to other sites"),
            parcels: counter(r, "roaming_messages", "Messages from elsewhere that were given to devices here"),
            dropped: counter(r, "exchange_dropped", "Notices to devices and other sites that were dropped"),
            malformed: counter(r, "exchange_malformed", "Bodies that begin like records of sites and are none"),
            missed: counter(r, "exchange_missed", "Milestones or messages that were not here any more when they were to be read"),
        }
    }

    /// Takes the counts over.
    pub(super) fn copy(&self, stats: &ExchangeStats) {
        raise(&self.issued, stats.issued);
        raise(&self.refused, stats.refused);
        raise(&self.confirmed, stats.confirmed);
        raise(&self.accepted, stats.accepted);
        raise(&self.declined, stats.declined);
        raise(&self.replayed, stats.replayed);
        raise(&self.delivered, stats.delivered);
        raise(&self.expired, stats.expired);
        set(&self.held, stats.held);
        set(&self.visitors, stats.visitors);
        set(&self.away, stats.away);
        raise(&self.handed_over, stats.handed_over);
        raise(&self.parcels, stats.parcels);
        raise(&self.dropped, stats.dropped);
        raise(&self.malformed, stats.malformed);
        raise(&self.missed, stats.missed);
    }
}
