//! `/api/v1/status` and `/healthz`.

use super::AppState;
use super::committee::members;
use super::problem::Problem;
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
        "refused": stats.ingress.refused,
        "readings": stats.ingress.readings,
        "anchored": stats.anchored,
        "confirmed": stats.confirmed,
        "cache_pending": stats.cache_pending,
        "log_bytes": stats.log.disk_bytes,
        "latency_ms": stats.latency.map(latency),
    })
}

/// `GET /healthz`.
pub(super) async fn healthz(State(state): State<AppState>) -> Result<&'static str, Problem> {
    ledger_status(&state).await.map(|_| "ok")
}
