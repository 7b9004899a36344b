//! `/api/v1/receipts/{reference}`: the proof of one reading, as a file.
//!
//! A receipt is verified here before it is handed out: what leaves this node holds.

use super::AppState;
use super::problem::Problem;
use super::readings::{Reference, dropped};
use crate::index::Found;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use protocol::{Genesis, Receipt, batch, merkle};
use replica::{Evidence, EvidenceError};

/// `GET /api/v1/receipts/{reference}`.
pub(super) async fn one(State(state): State<AppState>, Path(reference): Path<String>) -> Result<impl IntoResponse, Problem> {
    let found = Reference::parse(&reference)?.find(&state).await?;
    let evidence = state.ledger.evidence(found.anchored.message).await.map_err(|error| match error {
        // the index names it, so it was here
        EvidenceError::Unknown(id) => dropped(&state, &format!("the message {id}")),
        other => no_evidence(&other),
    })?;
    let shared = state.clone();
    // hashing a whole batch takes milliseconds
    let text = tokio::task::spawn_blocking(move || receipt_text(found, evidence, &shared.genesis)).await;
    let text = text.map_err(|e| Problem::internal(format!("the receipt could not be made: {e}")))??;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
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
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use protocol::Id;

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
