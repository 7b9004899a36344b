//! What Prometheus scrapes at `/metrics`: our own metrics, then the engine's.
//!
//! ```text
//! table ──▶ sections (fields, registered) ◀── copy ◀── Scrape: what the parts say of themselves now
//!   │                 └─▶ exposition ─▶ text format 0.0.4 ◀── the engine's registry
//!   └──▶ docs/metrics.md, the checks of ops/
//! ```
//! Most numbers are kept elsewhere (the replica, the log, the ingress) and copied when somebody asks; only the
//! latencies are counted here as they happen.

mod copy;
mod exposition;
mod parts;
mod row;
mod surroundings;
mod table;

pub(crate) use copy::{Scrape, WalletBalance};
pub(crate) use parts::render_parts;
pub(crate) use surroundings::{Surroundings, Watched};

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use row::PREFIX;
use std::sync::{Mutex, PoisonError};
use table::{
    AccessMetrics, ExchangeMetrics, FogMetrics, LedgerMetrics, MqttSnMetrics, ProcessMetrics, SiteMetrics, SpendMetrics, TierMetrics,
};

/// Wallets whose balances are told at once. The label has as many values.
pub(crate) const WALLETS_TOLD_MAX: usize = 64;

/// The registry and what is in it.
pub(crate) struct Metrics {
    registry: Registry,
    sections: Sections,
    /// One scrape after the other: labels that are gone are taken out in between.
    scraping: Mutex<()>,
}

/// What a ledger node tells.
struct Sections {
    process: ProcessMetrics,
    ledger: LedgerMetrics,
    spends: SpendMetrics,
    site: SiteMetrics,
    access: AccessMetrics,
    tier: TierMetrics,
    fog: FogMetrics,
    mqttsn: MqttSnMetrics,
    exchange: ExchangeMetrics,
}

impl Metrics {
    /// A registry with every metric at zero.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        let sections = Sections {
            process: ProcessMetrics::new(r),
            ledger: LedgerMetrics::new(r),
            spends: SpendMetrics::new(r),
            site: SiteMetrics::new(r),
            access: AccessMetrics::new(r),
            tier: TierMetrics::new(r),
            fog: FogMetrics::new(r),
            mqttsn: MqttSnMetrics::new(r),
            exchange: ExchangeMetrics::new(r),
        };
        sections.begin(crate::clock::now_us());
        Self { registry, sections, scraping: Mutex::new(()) }
    }

    /// Where a site counts its latencies, in seconds.
    #[must_use]
    pub(crate) fn latency(&self) -> Histogram {
        self.sections.site.latency_s.clone()
    }

    /// Where the times of wallets' requests are counted, in seconds: until certified, until final.
    #[must_use]
    pub(crate) fn spend_latencies(&self) -> [Histogram; 2] {
        [self.sections.spends.certified_s.clone(), self.sections.spends.final_s.clone()]
    }

    /// Takes over what the parts say, and gives everything as Prometheus reads it (text format 0.0.4): ours, then the engine's.
    /// What is not in `scrape` stays as it was.
    #[must_use]
    pub(crate) fn render(&self, scrape: &Scrape<'_>, engine: &str) -> String {
        let mut text = String::new();
        {
            let _one = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
            self.sections.copy(scrape);
            if encode_registry(&mut text, &self.registry).is_err() {
                text.clear(); // writing to a string does not fail
            }
        }
        exposition::plain(&text, engine)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
