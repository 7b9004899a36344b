//! `/api/v1/status` and `/healthz`.

use super::AppState;
use super::committee::members;
use super::problem::Problem;
use crate::exchange::ExchangeStats;
use crate::fog::FogStats;
use crate::site::{LatencySummary, SiteStats};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the ledger may take to say how it is before it counts as stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How the replica is, within a deadline.
pub(super) async fn ledger_status(state: &AppState) -> Result<replica::Status, Problem> {
    tokio::time::timeout(ANSWER_TIMEOUT, state.ledger.status()).await.ok().flatten().ok_or_else(Problem::stopped)
}

/// `GET /api/v1/status`.
pub(super) async fn status(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let ledger = ledger_status(&state).await?;
    let committee = members(&ledger.committee, &state.genesis);
    let parts = match &state.roles {
        Some(parts) => Some(parts.report().await.json()),
        None => None,
    };
    Ok(Json(json!({
        "name": state.name,
        "site": state.site.as_ref().map(|s| s.name().as_str()),
        "network": state.genesis.network().to_string(),
        "subnet": state.genesis.subnet,
        "key": state.key.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ledger": ledger_json(&ledger),
        "committee": committee,
        "site_stats": state.site.as_ref().map(|s| site_json(&s.stats())),
        "mqttsn": state.gateway.as_ref().map(|g| gateway_json(g)),
        "parts": parts,
        "exchange": state.exchange.as_ref().map(|e| exchange_json(&e.stats())),
    })))
}

fn ledger_json(ledger: &replica::Status) -> Value {
    json!({
        "height": ledger.height,
        "digest": ledger.digest.to_string(),
        "milestone_ms": ledger.milestone_ms,
        "state_root": ledger.state_root.to_string(),
        "epoch": ledger.epoch,
        "committee_size": ledger.committee.len(),
        "validator": ledger.validator,
        "cut_off": ledger.cut_off,
        "orders_refused": ledger.orders_refused,
        "messages": ledger.messages,
        "readings": ledger.readings,
        "issued": ledger.issued,
        "tips": ledger.tips,
        "unconfirmed": ledger.unconfirmed,
        "pending": ledger.pending,
        "equivocations": ledger.equivocations,
        "peers": ledger.peers,
        "refused": ledger.refused,
        "refusals": ledger.refusals,
        "pulled": ledger.pulled,
        "votes_cast": ledger.votes_cast,
        "spends_certified": ledger.spends_certified,
        "spends_final": ledger.spends_final,
        "spends_rejected": ledger.spends_rejected,
        "certificates_issued": ledger.certificates_issued,
    })
}

fn site_json(stats: &SiteStats) -> Value {
    let latency = |l: LatencySummary| json!({ "p50": l.p50_ms, "p99": l.p99_ms, "max": l.max_ms });
    json!({
        "broker": stats.broker,
        "connected": stats.connected,
        "accepted": stats.ingress.accepted,
        "duplicates": stats.ingress.duplicates,
        "rejected": stats.ingress.rejected,
        "unbelieved": {
            "unknown": stats.identity.unknown,
            "unsigned": stats.identity.unsigned,
            "revoked": stats.identity.revoked,
            "forged": stats.identity.forged,
            "replayed": stats.identity.replayed,
        },
        "refused": stats.ingress.refused,
        "readings": stats.ingress.readings,
        "anchored": stats.anchored,
        "confirmed": stats.confirmed,
        "cache_pending": stats.cache_pending,
        "log_bytes": stats.log.disk_bytes,
        "notices_dropped": stats.notices_dropped,
        "confirmations_dropped": stats.confirmations_dropped,
        "latency_ms": stats.latency.map(latency),
        "tier": stats.tier.as_ref().map(tier_json),
        "fog": stats.fog.as_ref().map(fog_json),
    })
}

fn fog_json(fog: &FogStats) -> Value {
    json!({
        "pipelines": fog.pipelines,
        "configuration": fog.configuration,
        "refused": fog.refused,
        "stalled": fog.stalled,
        "intake_pending": fog.intake_pending,
        "intake_bytes": fog.intake_bytes,
        "lag_ms": fog.lag_us / 1_000,
        "readings_in": fog.readings_in,
        "readings_out": fog.accepted.saturating_add(fog.derived),
        "derived": fog.derived,
        "commands": fog.commands,
        "rejected": fog.rejected,
        "filtered": fog.filtered,
        "duplicates": fog.duplicates,
        "late": fog.late,
        "series": fog.series,
        "open_windows": fog.open_windows,
        "forgotten": fog.forgotten,
        "reloads": fog.reloads,
        "reloads_refused": fog.reloads_refused,
    })
}

fn tier_json(tier: &mqtt::TierStats) -> Value {
    let link = |link: &mqtt::tiers::LinkStats| {
        json!({
            "id": link.id,
            "scope": link.scope,
            "connected": link.connected,
            "filters": link.filters,
            "queued": link.queued,
        })
    };
    json!({
        "id": tier.id,
        "scope": tier.scope,
        "parent": tier.parent,
        "connected": tier.connected,
        "connects": tier.connects,
        "subscribed": tier.subscribed,
        "asked": tier.asked,
        "queued_up": tier.queued_up,
        "links": tier.links.iter().map(link).collect::<Vec<_>>(),
        "spool_bytes": tier.spool_bytes,
        "spooled": tier.spooled,
        "drained": tier.drained,
        "from_above": tier.from_above,
        "from_below": tier.from_below,
        "duplicates": tier.duplicates,
        "loops": tier.loops,
        "refused": tier.refused,
        "dropped": tier.dropped,
        "missed": tier.missed,
    })
}

/// The figures of an MQTT-SN gateway.
pub(crate) fn gateway_json(gateway: &mqtt::sn::Gateway) -> Value {
    let stats = gateway.stats();
    json!({
        "address": gateway.address().to_string(),
        "dtls_address": gateway.dtls_address().map(|a| a.to_string()),
        "clients": stats.clients,
        "asleep": stats.asleep,
        "buffered_bytes": stats.buffered_bytes,
        "connected": stats.connected,
        "lost": stats.lost,
        "publishes_in": stats.publishes_in,
        "publishes_out": stats.publishes_out,
        "retries": stats.retries,
        "malformed": stats.malformed,
        "refused": stats.refused,
        "dropped": stats.dropped,
    })
}

fn exchange_json(stats: &ExchangeStats) -> Value {
    json!({
        "requests": {
            "issued": stats.issued,
            "refused": stats.refused,
            "confirmed": stats.confirmed,
            "accepted": stats.accepted,
            "declined": stats.declined,
            "replayed": stats.replayed,
            "held": stats.held,
            "delivered": stats.delivered,
            "expired": stats.expired,
        },
        "roaming": {
            "visitors": stats.visitors,
            "away": stats.away,
            "handed_over": stats.handed_over,
            "parcels": stats.parcels,
        },
        "dropped": stats.dropped,
        "malformed": stats.malformed,
        "missed": stats.missed,
    })
}

/// `GET /healthz`.
pub(super) async fn healthz(State(state): State<AppState>) -> Result<&'static str, Problem> {
    ledger_status(&state).await?;
    match state.roles.as_ref().and_then(|parts| parts.trouble()) {
        Some(why) => Err(Problem::unwell(why)),
        None => Ok("ok"),
    }
}
