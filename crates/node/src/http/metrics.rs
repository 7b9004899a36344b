//! `/metrics`: what Prometheus scrapes.

use super::AppState;
use super::status::ledger_status;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// `GET /metrics`. A ledger that does not answer leaves its numbers as they were.
pub(super) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let ledger = ledger_status(&state).await.ok();
    let site = state.site.as_ref().map(|s| s.stats());
    if let Some(gateway) = &state.gateway {
        state.metrics.copy_gateway(&gateway.stats());
    }
    if let Some(exchange) = &state.exchange {
        state.metrics.copy_exchange(&exchange.stats());
    }
    let coins = state.ledger.coins().await;
    state.metrics.copy_spends(&state.spends.counts(), coins.as_ref());
    let mut text = state.metrics.render(ledger.as_ref(), site.as_ref(), &state.runtime.metrics());
    if let Some(parts) = &state.roles {
        text.push_str(&parts.report().await.metrics());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
