//! `/api/v1/state/{kind}/{key}` and `/api/v1/state/devices/{site}/{device}`: values of the state, each with the proof that the committee certified it.
//!
//! A proof is verified here before it is handed out. What is certified is the state after the milestone before the
//! newest; on an idle network there may be a moment without one, so the answer waits for it a little.

use super::AppState;
use super::devices::{device_in, site_in};
use super::problem::Problem;
use crate::values::{Kind, Subject};
use axum::Json;
use axum::extract::{Path, State};
use ledger::Key;
use protocol::{Genesis, PublicKey};
use replica::{ProofError, StateProof};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long an answer waits for a certificate,
const WAIT_MAX: Duration = Duration::from_secs(3);
/// how often it looks,
const POLL: Duration = Duration::from_millis(50);
/// and how many may wait at a time.
const WAITING_MAX: usize = 64;

static WAITING: Semaphore = Semaphore::const_new(WAITING_MAX);

/// `GET /api/v1/state/{kind}/{key}`.
pub(super) async fn one(State(state): State<AppState>, Path((kind, key)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let named = |k: &Kind| k.plural() == kind;
    let Some(kind) = Kind::ALL.into_iter().find(named) else {
        let known = "wallets, validators, accounts, device-keys, sites or devices";
        return Err(Problem::not_found(format!("there is no state of {kind}: ask for {known}")));
    };
    let key: PublicKey =
        key.parse().map_err(|_| Problem::bad_request(format!("{key} is not a public key: 64 lower-case hexadecimal digits")))?;
    of(state, Subject::Key(kind, key)).await
}

/// `GET /api/v1/state/sites/{site}`.
pub(super) async fn site(State(state): State<AppState>, Path(site): Path<String>) -> Result<Json<Value>, Problem> {
    of(state, Subject::Site(site_in(&site)?)).await
}

/// `GET /api/v1/state/devices/{site}/{device}`.
pub(super) async fn device(State(state): State<AppState>, Path(device): Path<String>) -> Result<Json<Value>, Problem> {
    of(state, Subject::Device(device_in(&device)?)).await
}

async fn of(state: AppState, subject: Subject) -> Result<Json<Value>, Problem> {
    let proof = certified(&state, subject.key()).await?;
    let shared = state.clone();
    // a few signatures for each epoch
    let answer = tokio::task::spawn_blocking(move || answer(&subject, &proof, &shared.genesis)).await;
    answer.map_err(|e| Problem::internal(format!("the proof could not be checked: {e}")))?.map(Json)
}

/// A proof, or the problem after waiting for one.
async fn certified(state: &AppState, key: Key) -> Result<StateProof, Problem> {
    let _turn = WAITING.try_acquire().map_err(|_| Problem::not_yet("too many ask for proofs: try again in a moment"))?;
    let start = Instant::now();
    loop {
        match state.ledger.state_proof(key).await {
            Err(ProofError::Uncertified(_)) if start.elapsed() < WAIT_MAX => tokio::time::sleep(POLL).await,
            answer => return answer.map_err(|error| no_proof(&error)),
        }
    }
}

fn no_proof(error: &ProofError) -> Problem {
    match error {
        ProofError::Uncertified(_) => Problem::not_yet(error.to_string()),
        ProofError::Absent { .. } | ProofError::Handover(_) => Problem::not_found(error.to_string()),
        ProofError::Stopped => Problem::stopped(),
    }
}

fn answer(subject: &Subject, proof: &StateProof, genesis: &Genesis) -> Result<Value, Problem> {
    let wrong = |why: &dyn std::fmt::Display| {
        Problem::internal(format!("the proof does not hold, so it is not given out: {why}; run `wattle check` on the data directory"))
    };
    let verified = proof.verify(genesis).map_err(|e| wrong(&e))?;
    let value = subject.show(&verified.value).map_err(|e| wrong(&e))?;
    let proof: Value = serde_json::from_str(&proof.to_json()).map_err(|e| wrong(&e))?;
    Ok(json!({ "height": verified.height, "time_ms": verified.time_ms, "epoch": verified.epoch, "value": value, "proof": proof }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[test]
    fn what_is_missing_decides_the_status() {
        let status = |error| no_proof(&error).status();
        assert_eq!(status(ProofError::Uncertified(3)), StatusCode::CONFLICT);
        assert_eq!(status(ProofError::Absent { height: 3 }), StatusCode::NOT_FOUND);
        assert_eq!(status(ProofError::Handover(3)), StatusCode::NOT_FOUND);
        assert_eq!(status(ProofError::Stopped), StatusCode::SERVICE_UNAVAILABLE);
    }
}
