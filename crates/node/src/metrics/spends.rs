//! Metrics of wallets: requests, votes, certificates, coins.

use super::{ByReason, LATENCY_BOUNDS_S, counter, gauge, raise, set};
use crate::spends::SpendCounts;
use ledger::Coins;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use replica::Status;

/// What is counted.
pub(super) struct SpendMetrics {
    by_status: ByReason,
    votes: Counter,
    certificates: Counter,
    rejections: Counter,
    certified_s: Histogram,
    final_s: Histogram,
    funded: Gauge,
    redeemed: Gauge,
    minted: Gauge,
    circulating: Gauge,
    registered: Gauge,
}

impl SpendMetrics {
    /// Registers them.
    pub(super) fn new(r: &mut Registry) -> Self {
        let by_status = ByReason::default();
        let help = "Requests of wallets: certified and final as seen here; refused, locked and lapsed of those that this node carried";
        r.register("spends", help, by_status.clone());
        let (certified_s, final_s) = (Histogram::new(LATENCY_BOUNDS_S), Histogram::new(LATENCY_BOUNDS_S));
        r.register("spend_certified_seconds", "From a request reaching this node to its certificate", certified_s.clone());
        r.register("spend_final_seconds", "From a request reaching this node to its execution", final_s.clone());
        Self {
            by_status,
            votes: counter(r, "votes_cast", "Votes of this node for requests of wallets"),
            certificates: counter(r, "certificates", "Certificates that this node put on the ledger because votes alone did not"),
            rejections: counter(r, "spend_rejections", "Requests of wallets that this node rejected"),
            certified_s,
            final_s,
            funded: gauge(r, "coins_funded", "DCoin that accounts put into purses"),
            redeemed: gauge(r, "coins_redeemed", "DCoin that purses gave back to accounts"),
            minted: gauge(r, "coins_minted_units", "Sub-units that shares and votes earned"),
            circulating: gauge(r, "coins_circulating_units", "Sub-units in purses and purchases"),
            registered: gauge(r, "coins_requests_registered", "Requests registered by the ledger so far"),
        }
    }

    /// Seconds until certified, seconds until final.
    pub(super) fn latencies(&self) -> [Histogram; 2] {
        [self.certified_s.clone(), self.final_s.clone()]
    }

    fn raise_status(&self, status: &'static str, count: u64) {
        raise(&self.by_status.get_or_create(&[("status", status)]), count);
    }

    /// Takes over what the replica has counted.
    pub(super) fn copy_ledger(&self, status: &Status) {
        self.raise_status("certified", status.spends_certified);
        self.raise_status("final", status.spends_final);
        raise(&self.votes, status.votes_cast);
        raise(&self.certificates, status.certificates_issued);
        raise(&self.rejections, status.spends_rejected);
    }

    /// Takes over what became of requests that this node carried.
    pub(super) fn copy_counts(&self, counts: &SpendCounts) {
        self.raise_status("refused", counts.refused);
        self.raise_status("locked", counts.locked);
        self.raise_status("lapsed", counts.lapsed);
    }

    /// Takes over how many coins there are.
    pub(super) fn copy_coins(&self, coins: &Coins) {
        set(&self.funded, coins.funded);
        set(&self.redeemed, coins.redeemed);
        set(&self.minted, coins.minted);
        set(&self.circulating, coins.circulating);
        set(&self.registered, coins.registered);
    }
}
