//! `/api/v1/session`: who asks; `/api/v1/tokens` and `/api/v1/settings`: what an administrator sees and does.

use super::AppState;
use super::access::Caller;
use super::problem::Problem;
use crate::clock::now_us;
use crate::tokens::{Scope, Token, TokensError};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

/// Milliseconds of a second.
const SECOND_MS: u64 = 1_000;
/// Seconds that a token may last: a hundred years.
const LASTS_S_MAX: u64 = 3_155_760_000;

/// `GET /api/v1/session`.
pub(super) async fn session(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({ "scopes": caller.scopes, "name": caller.name, "open": caller.open }))
}

/// `GET /api/v1/tokens`: without what would let anybody in.
pub(super) async fn tokens(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let tokens = state.gate().tokens().list().map_err(|why| refused(&why))?;
    let now_ms = now_us() / SECOND_MS;
    Ok(Json(json!({ "tokens": tokens.iter().map(|token| token_json(token, now_ms)).collect::<Vec<_>>(), "next": null })))
}

/// A token that somebody wants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    #[serde(default)]
    expires_s: Option<u64>,
}

/// `POST /api/v1/tokens`: `{"name": …, "scopes": […], "expires_s": N|null}`. The answer holds the token, this once.
pub(super) async fn create(
    State(state): State<AppState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let body = body.map_err(|e| Problem::body(&e))?;
    let form = "{\"name\": TEXT, \"scopes\": [\"read\", …], \"expires_s\": SECONDS or null}";
    let wanted: Wanted =
        serde_json::from_slice(&body).map_err(|e| Problem::bad_request(format!("the body is not of the form {form}: {e}")))?;
    if wanted.expires_s.is_some_and(|s| s == 0 || s > LASTS_S_MAX) {
        return Err(Problem::bad_request(format!("expires_s is not a number from 1 to {LASTS_S_MAX}")));
    }
    let now_ms = now_us() / SECOND_MS;
    let expires_ms = wanted.expires_s.map(|s| now_ms.saturating_add(s.saturating_mul(SECOND_MS)));
    let made = state.gate().tokens().create(&wanted.name, &wanted.scopes, now_ms, expires_ms);
    let (text, token) = made.map_err(|why| refused(&why))?;
    tracing::info!(id = %token.id, name = %token.name, "a token was made over HTTP");
    let mut value = token_json(&token, now_ms);
    if let Value::Object(fields) = &mut value {
        fields.insert("token".to_owned(), text.into());
    }
    Ok((StatusCode::CREATED, Json(value)))
}

/// `DELETE /api/v1/tokens/{id}`.
pub(super) async fn revoke(State(state): State<AppState>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let token = state.gate().tokens().revoke(&id).map_err(|why| refused(&why))?;
    tracing::info!(id = %token.id, name = %token.name, "a token was revoked over HTTP");
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/settings`: the configuration with every default filled in. Secrets are in files of their own, which it names.
pub(super) async fn settings(State(state): State<AppState>) -> Json<Value> {
    Json(state.settings.clone())
}

fn refused(error: &TokensError) -> Problem {
    match error {
        TokensError::Name(_) | TokensError::Scopes => Problem::bad_request(error.to_string()),
        TokensError::Unknown(_) => Problem::not_found(error.to_string()),
        TokensError::Full => Problem::unprocessable(error.to_string()),
        TokensError::File { .. } | TokensError::Content { .. } | TokensError::Random(_) => Problem::internal(error.to_string()),
    }
}

fn token_json(token: &Token, now_ms: u64) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "created_ms": token.created_ms,
        "expires_ms": token.expires_ms,
        "expired": token.expired(now_ms),
    })
}
