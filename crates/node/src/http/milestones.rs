//! `/api/v1/milestones`: the committee's chain, as far as this node has executed it.

use super::AppState;
use super::listing::{Listing, ListingQuery, cursor};
use super::messages::body_name;
use super::problem::Problem;
use super::status::ledger_status;
use crate::asking::each;
use axum::Json;
use axum::extract::{Path, State};
use protocol::Id;
use replica::MilestoneRecord;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Messages of a milestone that are counted by what they say.
const COUNTED_MAX: usize = 1000;

/// `GET /api/v1/milestones`: the newest first. `from` and `to` are of `time_ms`.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let listing = Listing::of(query)?;
    let (limit, span) = (listing.limit()?, listing.span()?);
    let top = ledger_status(&state).await?.height;
    let end = match listing.cursor::<1>()? {
        Some([height]) => height.min(top.saturating_add(1)),
        None => first_at(&state, top.saturating_add(1), span.to_us).await,
    };
    let lowest = end.saturating_sub(u64::from(limit));
    let found =
        each(state.ledger.clone(), (lowest..end).rev().collect(), |ledger, height: u64| async move { ledger.milestone(height).await });
    let kept = |record: &MilestoneRecord| record.milestone.time_ms.saturating_mul(1_000) >= span.from_us;
    // none is there before the first was executed, and below those that are kept
    let milestones: Vec<Value> =
        found.await.into_iter().map_while(|record| record.filter(kept).map(|record| milestone_json(&record))).collect();
    let full = milestones.len() as u64 >= u64::from(limit);
    let next = (full && lowest > 0).then(|| cursor([lowest]));
    Ok(Json(json!({ "milestones": milestones, "next": next })))
}

/// The first height below `end` whose milestone is not before a time, or `end`: times do not go back.
async fn first_at(state: &AppState, end: u64, time_us: u64) -> u64 {
    let (mut low, mut high) = (0, end);
    while time_us < u64::MAX && low < high {
        let middle = low.midpoint(high);
        let record = state.ledger.milestone(middle).await;
        // what is not here any more is older
        match record.is_none_or(|record| record.milestone.time_ms.saturating_mul(1_000) < time_us) {
            true => low = middle.saturating_add(1),
            false => high = middle,
        }
    }
    high
}

/// `GET /api/v1/milestones/{height}?bodies=true`.
pub(super) async fn one(State(state): State<AppState>, Path(height): Path<String>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let counted = Listing::of(query)?.bodies()?;
    let height: u64 = height.parse().map_err(|_| Problem::bad_request(format!("{height} is not a height: a number from 0")))?;
    let Some(record) = state.ledger.milestone(height).await else {
        let top = ledger_status(&state).await?.height;
        return Err(Problem::not_found(format!("this node has no milestone {height}: the last it executed is {top}")));
    };
    let mut value = milestone_json(&record);
    if let Value::Object(fields) = &mut value {
        fields.insert("message_ids".into(), record.messages.iter().map(Id::to_string).collect());
        if counted {
            fields.insert("bodies".into(), bodies(&state, &record).await);
        }
    }
    Ok(Json(value))
}

/// How many of the first messages say what: by the word for their body.
async fn bodies(state: &AppState, record: &MilestoneRecord) -> Value {
    let ids: Vec<Id> = record.messages.iter().take(COUNTED_MAX).copied().collect();
    let names =
        each(state.ledger.clone(), ids, |ledger, id| async move { ledger.message(id).await.map(|found| body_name(&found.message.body)) });
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for name in names.await.into_iter().flatten() {
        let count = counts.entry(name).or_default();
        *count = count.saturating_add(1);
    }
    json!(counts)
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
