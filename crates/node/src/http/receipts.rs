//! `/api/v1/receipts`: the proofs of readings, each as a file; `/api/v1/receipts/verify`: what such a file proves.
//!
//! A receipt is verified here before it is handed out: what leaves this node holds.

use super::AppState;
use super::devices::device_in;
use super::listing::time_us;
use super::problem::Problem;
use super::readings::{Reference, dropped, topics_of};
use crate::index::{Found, Span};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use protocol::{Genesis, Receipt, batch, merkle};
use replica::{Evidence, EvidenceError};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Receipts of one answer.
const LIST_MAX: usize = 64;
/// Bytes of a receipt that is to be verified.
pub(super) const RECEIPT_BYTES_MAX: usize = 8 << 20;
/// Receipts that are verified at a time; others wait.
const VERIFYING_MAX: usize = 2;

static VERIFYING: Semaphore = Semaphore::const_new(VERIFYING_MAX);

/// `GET /api/v1/receipts/{reference}`.
pub(super) async fn one(State(state): State<AppState>, Path(reference): Path<String>) -> Result<impl IntoResponse, Problem> {
    let asked = Instant::now();
    let found = Reference::parse(&reference)?.find(&state).await?;
    let id = found.reading.id();
    let text = made(&state, found).await?;
    if let Some(site) = &state.site {
        site.traces().receipt(id, asked);
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}

/// What may stand after the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Of {
    device: Option<String>,
    time: Option<String>,
}

/// `GET /api/v1/receipts?device=site/ID&time=T`: of what a device sent for one time, each kind of value on its own.
pub(super) async fn list(State(state): State<AppState>, query: Result<Query<Of>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let Query(of) = query.map_err(|e| Problem::bad_request(format!("the query cannot be read: {e}")))?;
    let (Some(device), Some(time)) = (of.device, of.time) else {
        return Err(Problem::bad_request("say of what: ?device=site/ID&time=TIME; of one reading: /api/v1/receipts/{reference}"));
    };
    let (device, time_us) = (device_in(&device)?, time_us("time", &time)?);
    let topics = topics_of(&state, &device).await?;
    let span = Span { from_us: time_us, to_us: time_us.saturating_add(1) };
    let page = state.require_site()?.lookup().timed(&topics, None, span, LIST_MAX).await;
    let page = page.map_err(|why| Problem::internal(why.to_string()))?;
    if page.readings.is_empty() {
        return Err(Problem::not_found(format!("no reading of {device} for the time {time} is anchored here")));
    }
    let mut receipts = Vec::with_capacity(page.readings.len());
    for found in page.readings {
        let (id, topic) = (found.reading.id().to_string(), found.reading.topic.to_string());
        let receipt: Value = serde_json::from_str(&made(&state, found).await?).map_err(|e| Problem::internal(e.to_string()))?;
        receipts.push(json!({ "reading": id, "topic": topic, "receipt": receipt }));
    }
    Ok(Json(json!({ "receipts": receipts })))
}

/// `POST /api/v1/receipts/verify`: what a receipt proves about this node's network, or why it proves nothing.
pub(super) async fn verify(State(state): State<AppState>, body: Result<Bytes, BytesRejection>) -> Result<Json<Value>, Problem> {
    let body = body.map_err(|e| Problem::body(&e))?;
    let turn = VERIFYING.acquire().await.map_err(|_| Problem::stopped())?;
    let work = move || {
        let said = verdict(&String::from_utf8_lossy(&body), &state.genesis);
        // held by the work, not by whoever asked: that may have gone, and its receipt is verified all the same
        drop(turn);
        said
    };
    let verified = tokio::task::spawn_blocking(work).await;
    verified.map(Json).map_err(|e| Problem::internal(format!("the receipt could not be verified: {e}")))
}

/// What a text proves as a receipt.
fn verdict(text: &str, genesis: &Genesis) -> Value {
    match Receipt::from_json(text).and_then(|receipt| receipt.verify(genesis)) {
        Ok(verified) => {
            let mut said = crate::cli::verify::object(&verified, genesis);
            if let Value::Object(fields) = &mut said {
                fields.insert("valid".to_owned(), true.into());
                fields.insert("text".to_owned(), crate::cli::verify::sentence(&verified, genesis).into());
            }
            said
        }
        Err(why) => json!({ "valid": false, "why": why.to_string() }),
    }
}

/// The text of a reading's receipt.
async fn made(state: &AppState, found: Found) -> Result<String, Problem> {
    let evidence = state.ledger.evidence(found.anchored.message).await.map_err(|error| match error {
        // the index names it, so it was here
        EvidenceError::Unknown(id) => dropped(state, &format!("the message {id}")),
        other => no_evidence(&other),
    })?;
    let shared = state.clone();
    // hashing a whole batch takes milliseconds
    let text = tokio::task::spawn_blocking(move || receipt_text(found, evidence, &shared.genesis)).await;
    text.map_err(|e| Problem::internal(format!("the receipt could not be made: {e}")))?
}

fn no_evidence(error: &EvidenceError) -> Problem {
    match error {
        EvidenceError::Pending(_) | EvidenceError::Uncertified(_) => Problem::not_yet(error.to_string()),
        EvidenceError::Void(_) => Problem::gone(format!("{error}; the site anchors its readings again: look the reading up in a moment")),
        EvidenceError::Unknown(_) | EvidenceError::Handover(_) => Problem::not_found(error.to_string()),
        EvidenceError::Dropped(_) => Problem::gone(error.to_string()),
        EvidenceError::Stopped => Problem::stopped(),
    }
}

fn receipt_text(found: Found, evidence: Evidence, genesis: &Genesis) -> Result<String, Problem> {
    let Found { reading, leaf, anchored } = found;
    let id = reading.id();
    let path = merkle::path(&anchored.batch.leaves(), leaf as usize);
    let batch_path = path.ok_or_else(|| Problem::internal(format!("the batch of reading {id} has no such leaf")))?;
    let receipt = Receipt {
        reading,
        salt: batch::salt(&anchored.batch.secret, leaf),
        leaf_index: leaf,
        batch_path,
        message: evidence.message.as_ref().clone(),
        message_index: evidence.message_index,
        message_path: evidence.message_path,
        milestone: evidence.milestone,
        anchor: evidence.anchor,
        finalization: evidence.finalization,
        handovers: evidence.handovers,
    };
    match receipt.verify(genesis) {
        Ok(_) => Ok(receipt.to_json()),
        Err(why) => Err(Problem::internal(format!(
            "the receipt of reading {id} does not hold, so it is not given out: {why}; run `wattle check` on the data directory"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use protocol::Id;

    #[test]
    fn what_is_no_receipt_proves_nothing() {
        let key = protocol::SecretKey::from_seed(&[3; 32]);
        let member = protocol::Validator { key: key.public_key(), name: protocol::Name::new("n1").unwrap() };
        let committee = protocol::Committee::new(vec![member]).unwrap();
        let genesis = Genesis::plain(protocol::Name::new("net").unwrap(), 0, 0, committee);
        for bad in ["", "{}", "[]", "\u{fffd}"] {
            let said = verdict(bad, &genesis);
            assert!(said["valid"] == false && said["why"].is_string(), "{said}");
        }
    }

    #[test]
    fn what_is_missing_decides_the_status() {
        let id = Id([1; 32]);
        let status = |error| no_evidence(&error).status();
        assert_eq!(status(EvidenceError::Pending(id)), StatusCode::CONFLICT);
        assert_eq!(status(EvidenceError::Uncertified(3)), StatusCode::CONFLICT);
        assert_eq!(status(EvidenceError::Void(id)), StatusCode::GONE);
        assert_eq!(status(EvidenceError::Unknown(id)), StatusCode::NOT_FOUND);
        assert_eq!(status(EvidenceError::Handover(2)), StatusCode::NOT_FOUND);
        assert_eq!(status(EvidenceError::Dropped(id)), StatusCode::GONE);
        assert_eq!(status(EvidenceError::Stopped), StatusCode::SERVICE_UNAVAILABLE);
    }
}
