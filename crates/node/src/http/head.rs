//! `/api/v1/head`: the newest certified milestone, for light nodes.

use super::AppState;
use super::problem::Problem;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;

/// What may stand after the `?`.
#[derive(Debug, Deserialize)]
pub(super) struct Since {
    /// The epoch whose committee is known to whoever asks.
    #[serde(default)]
    epoch: u64,
}

/// `GET /api/v1/head`.
pub(super) async fn head(State(state): State<AppState>, since: Result<Query<Since>, QueryRejection>) -> Result<impl IntoResponse, Problem> {
    let Query(Since { epoch }) = since.map_err(|e| Problem::bad_request(format!("the query cannot be read: {e}; epoch is a number")))?;
    let none = || Problem::not_yet("no milestone has a certificate here yet, or the way to it is not complete: try again in a moment");
    let head = state.ledger.head(epoch).await.ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], head.to_json()))
}
