//! `/api/v1/readings`: what this node's site anchored.
//!
//! The index says where a reading is; the reading itself comes from its batch, and its standing from the ledger.

use super::AppState;
use super::listing::{Listing, ListingQuery};
use super::messages::standing_parts;
use super::problem::Problem;
use crate::index::{IndexError, Row};
use axum::Json;
use axum::extract::{Path, State};
use protocol::{Batch, Decode as _, Id, Reading, ReadingName, Value};
use replica::Standing;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

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

    /// Where the index has it.
    pub(super) async fn find(self, state: &AppState) -> Result<Row, Problem> {
        let index = state.require_site()?.index();
        let (name, row) = match self {
            Self::Id(id) => (id.to_string(), index.by_id(id).await),
            Self::Name(name) => (name.to_string(), index.by_name(name).await),
        };
        row.map_err(unreadable)?.ok_or_else(|| {
            Problem::not_found(format!("this site has anchored no reading {name}: it may not have arrived yet, or be of another site"))
        })
    }
}

fn unreadable(error: IndexError) -> Problem {
    Problem::internal(error.to_string())
}

/// Something that the index names is not here: dropped because it is old, on a node that does not keep everything.
pub(super) fn dropped(state: &AppState, what: &str) -> Problem {
    match state.archive {
        true => Problem::internal(format!("{what} that the index names is not here: run `wattle check` on the data directory")),
        false => Problem::gone(format!("{what} is older than this node keeps ([ledger.retention]): ask a node that keeps more")),
    }
}

/// The batch that holds a row's reading.
pub(super) async fn batch_of(state: &AppState, row: &Row) -> Result<Batch, Problem> {
    let lost = |why: &str| {
        Problem::internal(format!("the payload {} of message {} {why}: run `wattle check` on the data directory", row.blob, row.message))
    };
    let missing = || dropped(state, &format!("the payload {} of message {}", row.blob, row.message));
    let payload = state.ledger.payload(row.blob).await.ok_or_else(missing)?;
    Batch::decode(&payload).map_err(|why| lost(&format!("cannot be read ({why})")))
}

/// The reading of a row, if the index tells the truth.
pub(super) fn reading_in<'a>(batch: &'a Batch, row: &Row) -> Result<&'a Reading, Problem> {
    batch.readings.get(row.leaf as usize).filter(|r| r.id() == row.id).ok_or_else(|| {
        Problem::internal(format!(
            "the index places reading {} where another one is: stop the node and delete index.sqlite, it is made again",
            row.id
        ))
    })
}

/// `GET /api/v1/readings`.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<serde_json::Value>, Problem> {
    let listing = Listing::of(query)?;
    let (limit, topic) = (listing.limit()?, listing.topic()?);
    let rows = state.require_site()?.index().newest(limit, topic).await.map_err(unreadable)?;
    let mut standings: HashMap<Id, Standing> = HashMap::new();
    let mut last: Option<(Id, Arc<Batch>)> = None; // neighbours share a batch
    let mut readings = Vec::with_capacity(rows.len());
    for row in &rows {
        let batch = match &last {
            Some((blob, batch)) if *blob == row.blob => batch.clone(),
            _ => match batch_of(&state, row).await {
                Ok(batch) => Arc::new(batch),
                // newest first: all that follow are older
                Err(problem) if problem.is_gone() => break,
                Err(problem) => return Err(problem),
            },
        };
        last = Some((row.blob, batch.clone()));
        let standing = match standings.get(&row.message) {
            Some(standing) => *standing,
            None => standing_of(&state, row).await?,
        };
        standings.insert(row.message, standing);
        readings.push(reading_json(reading_in(&batch, row)?, row, standing));
    }
    Ok(Json(json!({ "readings": readings })))
}

/// `GET /api/v1/readings/{reference}`.
pub(super) async fn one(State(state): State<AppState>, Path(reference): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    let row = Reference::parse(&reference)?.find(&state).await?;
    let batch = batch_of(&state, &row).await?;
    let standing = standing_of(&state, &row).await?;
    Ok(Json(reading_json(reading_in(&batch, &row)?, &row, standing)))
}

async fn standing_of(state: &AppState, row: &Row) -> Result<Standing, Problem> {
    let record = state.ledger.message(row.message).await;
    record.map(|r| r.standing).ok_or_else(|| dropped(state, &format!("the message {}", row.message)))
}

fn reading_json(reading: &Reading, row: &Row, standing: Standing) -> serde_json::Value {
    let (word, height, _) = standing_parts(standing);
    json!({
        "id": row.id.to_string(),
        "topic": reading.topic.to_string(),
        "time_us": reading.time_us,
        "sequence": reading.sequence,
        "unit": reading.unit,
        "value": value_json(reading),
        "message": row.message.to_string(),
        "batch_index": row.leaf,
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

    fn reading(value: Value) -> Reading {
        let topic = "z1/m1/sense/power".parse().unwrap();
        Reading { topic, time_us: 1_700_000_000_000_000, sequence: Some(4), unit: Some("W".into()), value }
    }

    fn row(reading: &Reading) -> Row {
        let (message, blob) = (Id([1; 32]), Id([2; 32]));
        Row { id: reading.id(), topic: reading.topic.clone(), time_us: reading.time_us, message, leaf: 0, blob }
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
        let json = |value| {
            let reading = reading(value);
            reading_json(&reading, &row(&reading), Standing::Confirmed { height: 3, index: 0 })
        };
        assert_eq!(json(Value::Number(42.0))["value"], json!(42.0));
        assert_eq!(json(Value::Boolean(true))["value"], json!(true));
        assert_eq!(json(Value::Text("on".into()))["value"], json!("on"));
        assert_eq!(json(Value::Bytes(vec![0xfb, 0xff]))["value"], json!({ "base64url": "-_8" }));
        let whole = json(Value::Number(1.5));
        assert_eq!((&whole["sequence"], &whole["unit"], &whole["height"]), (&json!(4), &json!("W"), &json!(3)));
    }

    #[test]
    fn an_index_that_lies_is_noticed() {
        let (right, other) = (reading(Value::Number(1.0)), reading(Value::Number(2.0)));
        let batch = Batch { secret: [0; 32], first_offset: 0, readings: vec![right.clone()] };
        assert_eq!(reading_in(&batch, &row(&right)).unwrap(), &right);
        assert_eq!(reading_in(&batch, &row(&other)).unwrap_err().status(), 500);
        assert_eq!(reading_in(&batch, &Row { leaf: 1, ..row(&right) }).unwrap_err().status(), 500);
    }
}
