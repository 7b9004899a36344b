//! `/api/v1/sync`: the questions of nodes that join.
//!
//! Question and answer are bytes that only replicas understand. Whoever asks trusts nothing of the answer, so anybody may
//! ask.

use super::AppState;
use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use tokio::sync::Semaphore;

/// Bytes of a question.
pub(super) const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// Questions that are answered at a time: each reads the disk, and the ledger's one task does it. Others wait.
const ANSWERING_MAX: usize = 4;
/// What question and answer are.
const KIND: &str = "application/octet-stream";

static ANSWERING: Semaphore = Semaphore::const_new(ANSWERING_MAX);

/// `POST /api/v1/sync`.
pub(super) async fn answer(
    State(state): State<AppState>,
    headers: HeaderMap,
    question: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind != Some(KIND) {
        return Err(Problem::media_type(format!("a question is of the type {KIND}")));
    }
    let question = question.map_err(|_| Problem::too_large(format!("a question has at most {QUESTION_BYTES_MAX} bytes")))?;
    let _turn = ANSWERING.acquire().await.map_err(|_| Problem::stopped())?;
    let none =
        || Problem::not_found("no answer: that is no question, or this node has no place to join at yet, or no longer what is asked for");
    let answer = state.ledger.sync(question.to_vec()).await.ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, KIND)], answer))
}
