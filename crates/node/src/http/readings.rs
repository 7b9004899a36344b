//! `/api/v1/readings`: what this node's site anchored.
//!
//! The index says where a reading may be; the reading itself comes from its batch, and its standing from the ledger.

use super::AppState;
use super::listing::{Listing, ListingQuery};
use super::messages::standing_parts;
use super::problem::Problem;
use crate::index::{Found, LookupError};
use axum::Json;
use axum::extract::{Path, State};
use protocol::{DeviceName, Id, Reading, ReadingName, Value};
use replica::Standing;
use serde_json::json;
use std::collections::HashMap;

/// How a request names a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// By its id.
    Id(Id),
    /// By `site/ID/type@time`.
    Name(ReadingName),
}

impl Reference {
    /// Reads the end of a path.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Name).map_err(|_| {
            let form = "64 lower-case hexadecimal digits, or site/ID/sense|act/<dataType>@<microseconds since 1970>";
            Problem::bad_request(format!("{text} names no reading: give {form}"))
        })
    }

    /// The reading, and where it is anchored.
    pub(super) async fn find(self, state: &AppState) -> Result<Found, Problem> {
        let lookup = state.require_site()?.lookup();
        let (name, found) = match self {
            Self::Id(id) => (id.to_string(), lookup.by_id(id).await),
            Self::Name(name) => (name.to_string(), lookup.by_name(&name).await),
        };
        found.map_err(|why| unreadable(state, &why))?.ok_or_else(|| {
            Problem::not_found(format!("this site has anchored no reading {name}: it may not have arrived yet, or be of another site"))
        })
    }
}

fn unreadable(state: &AppState, error: &LookupError) -> Problem {
    match error {
        LookupError::Dropped(_) => dropped(state, &error.to_string()),
        other => Problem::internal(other.to_string()),
    }
}

/// Something that the index names is not here: dropped because it is old, on a node that does not keep everything.
pub(super) fn dropped(state: &AppState, what: &str) -> Problem {
    match state.archive {
        true => Problem::internal(format!("{what} that the index names is not here: run `wattle check` on the data directory")),
        false => Problem::gone(format!("{what} is older than this node keeps ([ledger.retention]): ask a node that keeps more")),
    }
}

/// `GET /api/v1/readings`.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<serde_json::Value>, Problem> {
    let listing = Listing::of(query)?;
    let (limit, topic) = (listing.limit()?, listing.topic()?);
    let newest = state.require_site()?.lookup().newest(limit as usize, topic.as_ref()).await;
    let newest = newest.map_err(|why| unreadable(&state, &why))?;
    // newest first: all that would follow are older
    if let Some(problem) = newest.cut_short.map(|why| unreadable(&state, &why)).filter(|problem| !problem.is_gone()) {
        return Err(problem);
    }
    let mut standings: HashMap<Id, Standing> = HashMap::new();
    let mut readings = Vec::with_capacity(newest.readings.len());
    for found in &newest.readings {
        let message = found.anchored.message;
        let standing = match standings.get(&message) {
            Some(standing) => *standing,
            None => match standing_of(&state, found).await {
                Ok(standing) => standing,
                Err(problem) if problem.is_gone() => break,
                Err(problem) => return Err(problem),
            },
        };
        standings.insert(message, standing);
        readings.push(reading_json(found, standing));
    }
    Ok(Json(json!({ "readings": readings })))
}

/// `GET /api/v1/readings/{reference}`.
pub(super) async fn one(State(state): State<AppState>, Path(reference): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    let found = Reference::parse(&reference)?.find(&state).await?;
    let standing = standing_of(&state, &found).await?;
    let mut shown = reading_json(&found, standing);
    if let serde_json::Value::Object(members) = &mut shown {
        members.insert("registration".to_owned(), registration(&state, &found.reading).await);
    }
    Ok(Json(shown))
}

/// What the registry says of a reading's device, and of the key that signed it; null if nobody registered it.
async fn registration(state: &AppState, reading: &Reading) -> serde_json::Value {
    let name = DeviceName::of(&reading.topic);
    let Some(record) = state.ledger.device(name.clone()).await else { return serde_json::Value::Null };
    let key = match reading.signed {
        Some(by) => state.ledger.device_key(by.key).await.filter(|key| key.device == name),
        None => None,
    };
    json!({
        "state": if record.device.revoked { "revoked" } else { "active" },
        "role": record.device.role.number(),
        "key_from": key.as_ref().map(|key| key.from),
        "key_until": key.as_ref().and_then(|key| key.until),
    })
}

async fn standing_of(state: &AppState, found: &Found) -> Result<Standing, Problem> {
    let message = found.anchored.message;
    let record = state.ledger.message(message).await;
    record.map(|r| r.standing).ok_or_else(|| dropped(state, &format!("the message {message}")))
}

fn reading_json(found: &Found, standing: Standing) -> serde_json::Value {
    let (word, height, _) = standing_parts(standing);
    let reading = &found.reading;
    json!({
        "id": reading.id().to_string(),
        "topic": reading.topic.to_string(),
        "time_us": reading.time_us,
        "sequence": reading.sequence,
        "unit": reading.unit,
        "value": value_json(reading),
        "device_key": reading.signed.map(|s| s.key.to_string()),
        "device_signature": reading.signed.map(|s| s.signature.to_string()),
        "message": found.anchored.message.to_string(),
        "batch_index": found.leaf,
        "standing": word,
        "height": height,
    })
}

fn value_json(reading: &Reading) -> serde_json::Value {
    match &reading.value {
        Value::Number(number) => json!(number),
        Value::Boolean(truth) => json!(truth),
        Value::Text(text) => json!(text),
        // SenML has it as base64url too
        Value::Bytes(_) => json!({ "base64url": crate::site::record(reading).get("vd") }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::Batch;

    fn reading(value: Value) -> Reading {
        let topic = "z1/m1/sense/power".parse().unwrap();
        Reading { topic, time_us: 1_700_000_000_000_000, sequence: Some(4), unit: Some("W".into()), value, signed: None }
    }

    fn found(reading: Reading) -> Found {
        let batch = Batch { secret: [0; 32], first_offset: 0, readings: vec![reading] };
        Found::sample(Id([1; 32]), batch, 0).unwrap()
    }

    #[test]
    fn references() {
        let name = "z1/m1/sense/power@1700000000000000";
        assert_eq!(Reference::parse(name).unwrap(), Reference::Name(name.parse().unwrap()));
        let id = "ab".repeat(32);
        assert_eq!(Reference::parse(&id).unwrap(), Reference::Id(id.parse().unwrap()));
        for bad in ["", "AB", "z1/m1/sense/power", "z1/m1/sense/power@", "z1/m1/power@5"] {
            assert_eq!(Reference::parse(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn values_keep_their_kind() {
        let json = |value| reading_json(&found(reading(value)), Standing::Confirmed { height: 3, index: 0 });
        assert_eq!(json(Value::Number(42.0))["value"], json!(42.0));
        assert_eq!(json(Value::Boolean(true))["value"], json!(true));
        assert_eq!(json(Value::Text("on".into()))["value"], json!("on"));
        assert_eq!(json(Value::Bytes(vec![0xfb, 0xff]))["value"], json!({ "base64url": "-_8" }));
        let whole = json(Value::Number(1.5));
        assert_eq!((&whole["sequence"], &whole["unit"], &whole["height"]), (&json!(4), &json!("W"), &json!(3)));
    }
}
