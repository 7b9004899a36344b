//! `/metrics`: what Prometheus scrapes.

use super::AppState;
use super::status::ledger_status;
use crate::metrics::{Scrape, Surroundings, WALLETS_TOLD_MAX, WalletBalance};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use protocol::PublicKey;

/// `GET /metrics`. A part that does not answer leaves its numbers as they were.
pub(super) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let ledger = ledger_status(&state).await.ok();
    let site = state.site.as_ref().map(|s| s.stats());
    let gateway = state.gateway.as_ref().map(|gateway| gateway.stats());
    let exchange = state.exchange.as_ref().map(|exchange| exchange.stats());
    let (spends, coins) = (state.spends.counts(), state.ledger.coins().await);
    let wallets = match &ledger {
        Some(status) => Some(balances(&state, &status.committee).await),
        None => None,
    };
    let surroundings = surroundings(&state).await;
    let scrape = Scrape {
        ledger: ledger.as_ref(),
        site: site.as_ref(),
        gateway: gateway.as_ref(),
        exchange: exchange.as_ref(),
        spends: Some(&spends),
        coins: coins.as_ref(),
        wallets: wallets.as_deref(),
        surroundings: surroundings.as_ref(),
    };
    let mut text = state.metrics.render(&scrape, &state.runtime.metrics());
    if let Some(parts) = &state.roles {
        text.push_str(&parts.report().await.metrics());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// What the committee's wallets have, and those that spent last or offer services. At most [`WALLETS_TOLD_MAX`].
async fn balances(state: &AppState, committee: &[PublicKey]) -> Vec<WalletBalance> {
    let mut keys = committee.to_vec();
    match state.spends.recent_wallets(WALLETS_TOLD_MAX).await {
        Ok(recent) => keys.extend(recent),
        Err(why) => tracing::debug!("wallets that spent last: {why}"),
    }
    let mut found: Vec<WalletBalance> = Vec::new();
    for key in keys {
        if found.len() >= WALLETS_TOLD_MAX {
            break;
        }
        if found.iter().any(|known| known.wallet == key) {
            continue;
        }
        let (Some(wallet), Some(purse)) = (state.ledger.wallet(key).await, state.ledger.purse(key).await) else { break };
        found.push(WalletBalance { wallet: key, account: wallet.balance, purse_units: purse.balance });
    }
    found
}

/// Looks at the disk and the certificates.
async fn surroundings(state: &AppState) -> Option<Surroundings> {
    let watched = state.watched.clone();
    tokio::task::spawn_blocking(move || watched.look()).await.ok()
}
