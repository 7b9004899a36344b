//! `/api/v1/milestones`: the committee's chain, as far as this node has executed it.

use super::AppState;
use super::listing::{Listing, ListingQuery};
use super::problem::Problem;
use super::status::ledger_status;
use axum::Json;
use axum::extract::{Path, State};
use protocol::Id;
use replica::MilestoneRecord;
use serde_json::{Value, json};

/// `GET /api/v1/milestones`.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let limit = u64::from(Listing::of(query)?.limit()?);
    let top = ledger_status(&state).await?.height;
    let mut milestones = Vec::new();
    for height in (0..=top).rev() {
        if milestones.len() as u64 >= limit {
            break;
        }
        match state.ledger.milestone(height).await {
            Some(record) => milestones.push(milestone_json(&record)),
            None => break, // nothing executed yet, or pruned
        }
    }
    Ok(Json(json!({ "milestones": milestones })))
}

/// `GET /api/v1/milestones/{height}`.
pub(super) async fn one(State(state): State<AppState>, Path(height): Path<String>) -> Result<Json<Value>, Problem> {
    let height: u64 = height.parse().map_err(|_| Problem::bad_request(format!("{height} is not a height: a number from 0")))?;
    let Some(record) = state.ledger.milestone(height).await else {
        let top = ledger_status(&state).await?.height;
        return Err(Problem::not_found(format!("this node has no milestone {height}: the last it executed is {top}")));
    };
    let mut value = milestone_json(&record);
    if let Value::Object(fields) = &mut value {
        fields.insert("message_ids".into(), record.messages.iter().map(Id::to_string).collect());
    }
    Ok(Json(value))
}

fn milestone_json(record: &MilestoneRecord) -> Value {
    let milestone = &record.milestone;
    json!({
        "height": milestone.height,
        "digest": record.digest.to_string(),
        "parent": milestone.parent.to_string(),
        "time_ms": milestone.time_ms,
        "epoch": milestone.epoch,
        "messages": milestone.message_count,
        "void": record.void.len(),
        "tips": milestone.tips.len(),
        "messages_root": milestone.messages_root.to_string(),
        "state_root": milestone.state_root.to_string(),
        "history_root": milestone.history_root.to_string(),
        "next_committee": milestone.next_committee.as_ref().map(|keys| keys.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "pruned": record.pruned,
    })
}
