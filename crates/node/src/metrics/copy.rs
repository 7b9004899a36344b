//! What the parts of a node say of themselves, copied into the sections.

use super::row::{raise, raise_by, raise_float, set};
use super::surroundings::Surroundings;
use super::{Sections, WALLETS_TOLD_MAX};
use crate::exchange::ExchangeStats;
use crate::fog::FogStats;
use crate::site::SiteStats;
use crate::spends::SpendCounts;
use ledger::Coins;
use mqtt::TierStats;
use mqtt::sn::GatewayStats;
use protocol::{PublicKey, UNITS_PER_COIN};
use replica::Status;

/// Sub-units of a DCoin.
const UNITS_PER_DCOIN: f64 = UNITS_PER_COIN as f64;
const MS_PER_S: f64 = 1_000.0;
const US_PER_S: f64 = 1_000_000.0;

/// What a wallet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalletBalance {
    /// Whose it is.
    pub(crate) wallet: PublicKey,
    /// The account, in DCoin.
    pub(crate) account: u64,
    /// The purse, in sub-units.
    pub(crate) purse_units: u64,
}

/// What the parts say now. Of what is `None` the last numbers stay.
#[derive(Default)]
pub(crate) struct Scrape<'a> {
    /// The replica.
    pub(crate) ledger: Option<&'a Status>,
    /// The site.
    pub(crate) site: Option<&'a SiteStats>,
    /// The MQTT-SN gateway.
    pub(crate) gateway: Option<&'a GatewayStats>,
    /// Requests between devices.
    pub(crate) exchange: Option<&'a ExchangeStats>,
    /// Requests of wallets that this node carried.
    pub(crate) spends: Option<&'a SpendCounts>,
    /// How many coins there are.
    pub(crate) coins: Option<&'a Coins>,
    /// What wallets have; the first [`WALLETS_TOLD_MAX`] are told, and none of before.
    pub(crate) wallets: Option<&'a [WalletBalance]>,
    /// The disk and the certificates.
    pub(crate) surroundings: Option<&'a Surroundings>,
}

impl Sections {
    /// What is known when the process starts, `now_us` microseconds after 1970.
    pub(super) fn begin(&self, now_us: u64) {
        self.process.start_s.set(now_us as f64 / US_PER_S);
        self.process.build.get_or_create(&[("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1.0);
    }

    /// Takes everything over.
    pub(super) fn copy(&self, scrape: &Scrape<'_>) {
        if let Some(surroundings) = scrape.surroundings {
            self.copy_surroundings(surroundings);
        }
        if let Some(status) = scrape.ledger {
            self.copy_ledger(status);
        }
        if let Some(stats) = scrape.site {
            self.copy_site(stats);
        }
        if let Some(stats) = scrape.gateway {
            self.copy_gateway(stats);
        }
        if let Some(stats) = scrape.exchange {
            self.copy_exchange(stats);
        }
        if let Some(counts) = scrape.spends {
            for (status, count) in [("refused", counts.refused), ("locked", counts.locked), ("lapsed", counts.lapsed)] {
                raise_by(&self.spends.by_status, "status", status, count);
            }
        }
        if let Some(coins) = scrape.coins {
            self.copy_coins(coins);
        }
        if let Some(wallets) = scrape.wallets {
            self.copy_wallets(wallets);
        }
    }

    fn copy_surroundings(&self, surroundings: &Surroundings) {
        let m = &self.process;
        if let Some(disk) = surroundings.disk {
            set(&m.disk_free, disk.free_bytes);
            set(&m.disk_size, disk.size_bytes);
        }
        m.certificate_ends_s.clear();
        for (name, not_after_s) in &surroundings.certificates {
            m.certificate_ends_s.get_or_create(&[("certificate", (*name).to_owned())]).set(*not_after_s as f64);
        }
    }

    fn copy_ledger(&self, status: &Status) {
        let m = &self.ledger;
        set(&m.height, status.height);
        m.milestone_s.set(status.milestone_ms as f64 / MS_PER_S);
        set(&m.epoch, status.epoch);
        set(&m.committee, status.committee.len() as u64);
        set(&m.validator, u64::from(status.validator));
        set(&m.cut_off, u64::from(status.cut_off));
        set(&m.peers, status.peers as u64);
        raise(&m.messages, status.messages);
        raise(&m.readings, status.readings);
        raise(&m.issued, status.issued);
        for (reason, count) in &status.refusals {
            raise_by(&m.refused, "reason", reason, *count);
        }
        raise(&m.pulled, status.pulled);
        set(&m.unconfirmed, status.unconfirmed as u64);
        set(&m.pending, status.pending as u64);
        set(&m.wanted, status.wanted as u64);
        set(&m.tips, status.tips as u64);
        raise(&m.equivocations, status.equivocations);
        raise(&m.orders_refused, status.orders_refused);
        let m = &self.spends;
        raise_by(&m.by_status, "status", "certified", status.spends_certified);
        raise_by(&m.by_status, "status", "final", status.spends_final);
        raise(&m.votes, status.votes_cast);
        raise(&m.certificates, status.certificates_issued);
        raise(&m.rejections, status.spends_rejected);
    }

    fn copy_coins(&self, coins: &Coins) {
        let m = &self.spends;
        raise_float(&m.funded, coins.funded as f64);
        raise_float(&m.redeemed, coins.redeemed as f64);
        raise_float(&m.minted, coins.minted as f64 / UNITS_PER_DCOIN);
        m.circulating.set(coins.circulating as f64 / UNITS_PER_DCOIN);
        raise(&m.registered, coins.registered);
    }

    fn copy_wallets(&self, wallets: &[WalletBalance]) {
        let balances = &self.spends.balances;
        balances.clear();
        for WalletBalance { wallet, account, purse_units } in wallets.iter().take(WALLETS_TOLD_MAX) {
            for (part, dcoin) in [("account", *account as f64), ("purse", *purse_units as f64 / UNITS_PER_DCOIN)] {
                balances.get_or_create(&[("wallet", wallet.to_string()), ("part", part.to_owned())]).set(dcoin);
            }
        }
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
            raise_by(&m.unbelieved, "reason", reason, count);
        }
        raise(&m.refused, stats.ingress.refused);
        raise(&m.readings, stats.ingress.readings);
        raise(&m.anchored, stats.anchored);
        raise(&m.confirmed, stats.confirmed);
        set(&m.in_flight, stats.in_flight as u64);
        set(&m.cache_pending, stats.cache_pending);
        set(&m.cache_pending_bytes, stats.log.pending_bytes);
        set(&m.log_bytes, stats.log.disk_bytes);
        raise(&m.log_syncs, stats.log.groups);
        raise(&m.relay_dropped, stats.relay_dropped);
        raise(&m.notices_dropped, stats.notices_dropped);
        raise(&m.confirmations_dropped, stats.confirmations_dropped);
        let m = &self.access;
        for (kind, reason, count) in &stats.access.refused {
            raise(&m.refused.get_or_create(&[("kind", *kind), ("reason", *reason)]), *count);
        }
        raise(&m.closed, stats.access.closed);
        raise(&m.reloads, stats.access.reloads);
        raise(&m.reloads_failed, stats.access.reloads_failed);
        if let Some(tier) = &stats.tier {
            self.copy_tier(tier);
        }
        if let Some(fog) = &stats.fog {
            self.copy_fog(fog);
        }
    }

    fn copy_tier(&self, tier: &TierStats) {
        let m = &self.tier;
        set(&m.parent_connected, u64::from(tier.connected));
        set(&m.links_connected, tier.links.iter().filter(|link| link.connected).count() as u64);
        set(&m.queued, tier.queued_up.saturating_add(tier.links.iter().map(|link| link.queued).sum()));
        set(&m.spool_bytes, tier.spool_bytes);
        raise(&m.connects, tier.connects);
        raise(&m.spooled, tier.spooled);
        raise(&m.drained, tier.drained);
        raise(&m.from_above, tier.from_above);
        raise(&m.from_below, tier.from_below);
        raise(&m.duplicates, tier.duplicates);
        raise(&m.loops, tier.loops);
        raise(&m.refused, tier.refused);
        raise(&m.dropped, tier.dropped);
        raise(&m.missed, tier.missed);
    }

    fn copy_fog(&self, stats: &FogStats) {
        let m = &self.fog;
        set(&m.pipelines, stats.pipelines as u64);
        set(&m.intake_pending, stats.intake_pending);
        set(&m.intake_bytes, stats.intake_bytes);
        m.lag_s.set(stats.lag_us as f64 / US_PER_S);
        set(&m.stalled, u64::from(stats.stalled.is_some()));
        raise(&m.readings_in, stats.readings_in);
        raise(&m.accepted, stats.accepted);
        raise(&m.derived, stats.derived);
        raise(&m.commands, stats.commands);
        for (reason, count) in &stats.rejected {
            raise_by(&m.rejected, "reason", reason, *count);
        }
        raise(&m.filtered, stats.filtered);
        raise(&m.duplicates, stats.duplicates);
        raise(&m.late, stats.late);
        set(&m.series, stats.series);
        set(&m.open_windows, stats.open_windows);
        raise(&m.forgotten, stats.forgotten);
        raise(&m.reloads, stats.reloads);
        raise(&m.reloads_refused, stats.reloads_refused);
        set(&m.refused, u64::from(stats.refused.is_some()));
    }

    fn copy_gateway(&self, stats: &GatewayStats) {
        let m = &self.mqttsn;
        set(&m.clients, stats.clients);
        set(&m.asleep, stats.asleep);
        set(&m.buffered, stats.buffered_bytes);
        raise(&m.connected, stats.connected);
        raise(&m.lost, stats.lost);
        raise(&m.publishes_in, stats.publishes_in);
        raise(&m.publishes_out, stats.publishes_out);
        raise(&m.retries, stats.retries);
        raise(&m.malformed, stats.malformed);
        for (family, counts) in [(&m.refused, &stats.refused), (&m.dropped, &stats.dropped)] {
            for (reason, count) in counts {
                raise_by(family, "reason", reason, *count);
            }
        }
    }

    fn copy_exchange(&self, stats: &ExchangeStats) {
        let m = &self.exchange;
        raise(&m.issued, stats.issued);
        raise(&m.refused, stats.refused);
        raise(&m.confirmed, stats.confirmed);
        raise(&m.accepted, stats.accepted);
        raise(&m.declined, stats.declined);
        raise(&m.replayed, stats.replayed);
        raise(&m.delivered, stats.delivered);
        raise(&m.expired, stats.expired);
        set(&m.held, stats.held);
        set(&m.visitors, stats.visitors);
        set(&m.away, stats.away);
        raise(&m.handed_over, stats.handed_over);
        raise(&m.parcels, stats.parcels);
        raise(&m.dropped, stats.dropped);
        raise(&m.malformed, stats.malformed);
        raise(&m.missed, stats.missed);
    }
}
