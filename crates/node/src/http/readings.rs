//! `/api/v1/readings`: what this node's site anchored.
//!
//! The index says where a reading may be; the reading itself comes from its batch, and its standing from the ledger.

use super::AppState;
use super::listing::{Listing, ListingQuery, cursor};
use super::messages::standing_parts;
use super::problem::Problem;
use crate::index::{Found, LookupError, Span};
use axum::Json;
use axum::extract::{Path, State};
use protocol::{DeviceName, DeviceTopic, Id, Reading, ReadingName, Value};
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

/// What a list of readings is of.
pub(super) struct Wanted {
    /// Of these topics; of all if none are given.
    topics: Option<Vec<DeviceTopic>>,
    span: Span,
}

impl Wanted {
    /// As a query says. A device that never sent anything has no topics, and so no readings.
    pub(super) async fn of(state: &AppState, listing: &Listing) -> Result<Self, Problem> {
        let span = listing.span()?;
        let topics = match (listing.topic()?, listing.device()?) {
            (Some(_), Some(_)) => return Err(Problem::bad_request("give topic or device, not both")),
            (Some(topic), None) => Some(vec![topic]),
            (None, Some(device)) => Some(topics_of(state, &device).await?),
            (None, None) => None,
        };
        Ok(Self { topics, span })
    }

    /// A page: each reading with where it stands, and where the next page begins.
    pub(super) async fn page(&self, state: &AppState, listing: &Listing, limit: usize) -> Result<Page, Problem> {
        match &self.topics {
            None => self.arrived(state, listing.cursor::<1>()?.map(|[offset]| offset), limit).await,
            Some(_) => self.timed(state, listing.cursor::<2>()?.map(|[time_us, offset]| (time_us, offset)), limit).await,
        }
    }

    /// The page behind another.
    pub(super) async fn after(&self, state: &AppState, next: Next, limit: usize) -> Result<Page, Problem> {
        match next {
            Next::Arrived(offset) => self.arrived(state, Some(offset), limit).await,
            Next::Timed(time_us, offset) => self.timed(state, Some((time_us, offset)), limit).await,
        }
    }

    async fn arrived(&self, state: &AppState, before: Option<u64>, limit: usize) -> Result<Page, Problem> {
        let page = state.require_site()?.lookup().arrived(before, self.span, limit).await.map_err(|why| unreadable(state, &why))?;
        shown(state, page.readings, page.next.map(Next::Arrived), page.cut_short).await
    }

    async fn timed(&self, state: &AppState, before: Option<(u64, u64)>, limit: usize) -> Result<Page, Problem> {
        let (lookup, topics) = (state.require_site()?.lookup(), self.topics.as_deref().unwrap_or_default());
        let page = lookup.timed(topics, before, self.span, limit).await.map_err(|why| unreadable(state, &why))?;
        shown(state, page.readings, page.next.map(|(time_us, offset)| Next::Timed(time_us, offset)), page.cut_short).await
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Below an offset of the site's log.
    Arrived(u64),
    /// Below a time in microseconds since 1970, and an offset.
    Timed(u64, u64),
}

impl Next {
    fn text(self) -> String {
        match self {
            Self::Arrived(offset) => cursor([offset]),
            Self::Timed(time_us, offset) => cursor([time_us, offset]),
        }
    }
}

/// Readings as JSON, and where the next begin.
pub(super) struct Page {
    /// The readings.
    pub(super) readings: Vec<serde_json::Value>,
    /// Where the next page begins.
    pub(super) next: Option<Next>,
}

/// The topics of which a device has sent something here.
pub(super) async fn topics_of(state: &AppState, device: &DeviceName) -> Result<Vec<DeviceTopic>, Problem> {
    let topics = state.require_site()?.lookup().topics_of(device).await;
    topics.map_err(|why| Problem::internal(why.to_string()))
}

/// Readings with their standings. They are in an order in which all that follow are older: what this node no longer keeps ends
/// the list.
async fn shown(state: &AppState, found: Vec<Found>, next: Option<Next>, cut_short: Option<LookupError>) -> Result<Page, Problem> {
    if let Some(problem) = cut_short.map(|why| unreadable(state, &why)).filter(|problem| !problem.is_gone()) {
        return Err(problem);
    }
    let mut standings: HashMap<Id, Standing> = HashMap::new();
    let mut readings = Vec::with_capacity(found.len());
    for found in &found {
        let message = found.anchored.message;
        let standing = match standings.get(&message) {
            Some(standing) => *standing,
            None => match standing_of(state, found).await {
                Ok(standing) => standing,
                Err(problem) if problem.is_gone() => return Ok(Page { readings, next: None }),
                Err(problem) => return Err(problem),
            },
        };
        standings.insert(message, standing);
        readings.push(reading_json(found, standing));
    }
    Ok(Page { readings, next })
}

/// `GET /api/v1/readings`: the newest first: of all in the order of their arrival, of a topic or device in the order of their time.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<serde_json::Value>, Problem> {
    let listing = Listing::of(query)?;
    let limit = listing.limit()? as usize;
    let page = Wanted::of(&state, &listing).await?.page(&state, &listing, limit).await?;
    Ok(Json(json!({ "readings": page.readings, "next": page.next.map(Next::text) })))
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
