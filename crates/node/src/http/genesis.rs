//! `/api/v1/genesis`: what the network began with, as a genesis file (R-30 of `docs/spec/receipt.md`).
//!
//! Receipts and state are checked against it. Whoever relies on no node has it from somebody else, or compares the network id.

use super::AppState;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// `GET /api/v1/genesis`.
pub(super) async fn genesis(State(state): State<AppState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], state.genesis.to_json())
}
