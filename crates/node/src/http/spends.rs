//! `/api/v1/spends`: what wallets spend: requests, how far they are, their certificates.
//!
//! A request is signed by its wallet, so nobody need trust this node; a certificate can be checked with the committee's keys
//! alone. Amounts are in sub-units. The rules are those of `docs/spec/wallet.md`.

use super::AppState;
use super::listing::{LOOKED_AT_MAX, Listing, ListingQuery, cursor};
use super::orders::not_issued;
use super::problem::Problem;
use crate::hex::{hex, unhex};
use crate::spends::{Known, LIST_MAX, height_of};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::limits::{REQUESTS_MAX, WALLET_REQUEST_BYTES_MAX};
use protocol::{Decode as _, Encode as _, Id, Operation, Reason, Rejection, Request};
use replica::{SpendRecord, SpendStatus};
use serde::Deserialize;
use serde_json::{Value, json};

const _: () = assert!(LIST_MAX >= super::listing::LIMIT_MAX);

/// Bytes of a body: every request in hexadecimal, and what stands around it.
const BODY_BYTES_MAX: usize = REQUESTS_MAX * (2 * WALLET_REQUEST_BYTES_MAX + 64);

/// The body as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    /// Signed requests, each in hexadecimal.
    requests: Vec<String>,
}

/// `POST /api/v1/spends`: `{"requests": ["hexadecimal", …]}`, or the hexadecimal alone, one request a line. The answer has one
/// entry for each, in their order, once those that are carried are durable here.
pub(super) async fn post(State(state): State<AppState>, body: Result<Bytes, BytesRejection>) -> Result<(StatusCode, Json<Value>), Problem> {
    let body = body.map_err(|e| Problem::body(&e))?;
    let requests = requests_in(&body)?;
    let ids: Vec<Id> = requests.iter().map(Request::id).collect();
    state.spends.begin(ids.iter().copied());
    let answers = match state.ledger.spend(requests).await {
        Ok(answers) => answers,
        Err(error) => {
            state.spends.forget(ids);
            return Err(not_issued(&error, "requests"));
        }
    };
    let mut spends = Vec::with_capacity(answers.len());
    for (id, answer) in ids.into_iter().zip(answers) {
        spends.push(match answer {
            Ok(record) => {
                if record.status.ended() {
                    state.spends.forget([id]);
                }
                record_json(&record)
            }
            Err(reason) => {
                state.spends.forget([id]);
                not_carried(&state, id, &reason).await?
            }
        });
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "spends": spends }))))
}

/// What this node does not carry: it may have been executed long ago; then that is the answer.
async fn not_carried(state: &AppState, id: Id, reason: &Reason) -> Result<Value, Problem> {
    if matches!(reason, Reason::Epoch { .. } | Reason::State { .. })
        && let Some(known) = find(state, id).await?
        && matches!(known.status(), SpendStatus::Final { .. })
    {
        return Ok(known_json(&known));
    }
    Ok(json!({ "id": id.to_string(), "status": SpendStatus::Refused.name(), "reason": reason_json(reason) }))
}

/// `GET /api/v1/spends/{id}`.
pub(super) async fn one(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = id_in(&id)?;
    find(&state, id).await?.map(|known| Json(known_json(&known))).ok_or_else(|| unknown(id))
}

/// `GET /api/v1/spends/{id}/certificate`.
pub(super) async fn certificate(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = id_in(&id)?;
    if let Some(certificate) = state.ledger.certificate(id).await {
        let needed = state.ledger.spend_record(id).await.map_or(certificate.votes.len() as u64, |record| u64::from(record.needed));
        return Ok(Json(json!({
            "id": id.to_string(),
            "needed": needed,
            "votes": certificate.votes.len(),
            "certificate": hex(&certificate.encode()),
        })));
    }
    match find(&state, id).await? {
        None => Err(unknown(id)),
        Some(known) => match known.status() {
            SpendStatus::Pending | SpendStatus::Certified => {
                Err(Problem::not_yet(format!("request {id} is not certified yet: try again in a moment")))
            }
            SpendStatus::Final { .. } => Err(Problem::gone(format!(
                "request {id} was executed, but the votes for it are not here any more: what it did is in the state (/api/v1/wallets)"
            ))),
            SpendStatus::Refused | SpendStatus::Locked | SpendStatus::Lapsed => {
                Err(Problem::gone(format!("request {id} was not certified and cannot be any more: its wallet signs a new one")))
            }
        },
    }
}

/// `GET /api/v1/spends?wallet=KEY&status=WORD`: the newest first.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let listing = Listing::of(query)?;
    let (wallet, limit) = (listing.wallet()?, listing.limit()? as usize);
    let mut before = listing.cursor::<2>()?.map(|[number, seen]| (number.cast_signed(), seen.cast_signed()));
    let status = listing.status()?;
    let wanted = |known: &Known| status.is_none_or(|status| status == known.status().name());
    let (mut spends, mut looked_at) = (Vec::new(), 0_usize);
    let next = loop {
        let room = u32::try_from(limit.saturating_sub(spends.len())).unwrap_or(LIST_MAX);
        let (found, next) = state.spends.newest(wallet, before, room).await.map_err(|why| Problem::internal(why.to_string()))?;
        looked_at = looked_at.saturating_add(found.len());
        spends.extend(found.iter().filter(|&known| wanted(known)).map(known_json));
        if next.is_none() || spends.len() >= limit || looked_at >= LOOKED_AT_MAX {
            break next;
        }
        before = next;
    };
    let next = next.map(|(number, seen)| cursor([number.cast_unsigned(), seen.cast_unsigned()]));
    Ok(Json(json!({ "spends": spends, "next": next })))
}

async fn find(state: &AppState, id: Id) -> Result<Option<Known>, Problem> {
    state.spends.one(id).await.map_err(|why| Problem::internal(why.to_string()))
}

fn unknown(id: Id) -> Problem {
    Problem::not_found(format!(
        "this node knows no request {id}, or not any more what became of it: ask the node that carried it, or look at the wallet's purse"
    ))
}

fn id_in(text: &str) -> Result<Id, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text} is not a request's id: 64 lower-case hexadecimal digits")))
}

/// Reads the requests of a body. Whether they are their wallets' is for the ledger node to say, one by one.
fn requests_in(body: &[u8]) -> Result<Vec<Request>, Problem> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Problem::bad_request(format!("the body has {} bytes, the limit is {BODY_BYTES_MAX}", body.len())));
    }
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the body is not text: give requests in hexadecimal"))?;
    let texts: Vec<String> = match text.trim_start().starts_with('{') {
        true => {
            let posted: Posted = serde_json::from_str(text)
                .map_err(|e| Problem::bad_request(format!("the body is not of the form {{\"requests\": [\"hexadecimal\", …]}}: {e}")))?;
            posted.requests
        }
        false => text.split_whitespace().map(str::to_owned).collect(),
    };
    if texts.is_empty() || texts.len() > REQUESTS_MAX {
        return Err(Problem::bad_request(format!("there are {} requests, allowed are 1 to {REQUESTS_MAX}", texts.len())));
    }
    let mut requests = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let bytes = unhex(text).ok_or_else(|| Problem::bad_request(format!("request {index} is not lower-case hexadecimal")))?;
        let request = Request::decode(&bytes).map_err(|why| Problem::bad_request(format!("request {index} cannot be read: {why}")))?;
        requests.push(request);
    }
    Ok(requests)
}

fn known_json(known: &Known) -> Value {
    match known {
        Known::Live(record) => record_json(record),
        Known::Past(row, request) => {
            // the votes of an ended epoch are not kept
            let votes = Votes { votes: 0, needed: 0, carrier: row.message, rejections: &[] };
            spend_json(row.id, request, row.status.name(), row.height, &votes)
        }
    }
}

fn record_json(record: &SpendRecord) -> Value {
    let votes = Votes { votes: record.votes, needed: record.needed, carrier: record.carrier, rejections: &record.rejections };
    spend_json(record.id, &record.request, record.status.name(), height_of(record.status), &votes)
}

/// Who is for a request, and who against.
struct Votes<'a> {
    votes: u32,
    needed: u32,
    carrier: Option<Id>,
    rejections: &'a [Rejection],
}

fn spend_json(id: Id, request: &Request, status: &str, height: Option<u64>, votes: &Votes<'_>) -> Value {
    json!({
        "id": id.to_string(),
        "wallet": request.wallet.to_string(),
        "number": request.number,
        "epoch": request.epoch,
        "operation": operation_json(&request.operation),
        "price": request.price,
        "from_ms": request.from_ms,
        "until_ms": request.until_ms,
        "status": status,
        "height": height,
        "votes": votes.votes,
        "needed": votes.needed,
        "carrier": votes.carrier.map(|id| id.to_string()),
        "rejections": votes.rejections.iter().map(rejection_json).collect::<Vec<_>>(),
    })
}

/// What the price is for.
fn operation_json(operation: &Operation) -> Value {
    match operation {
        Operation::Transfer { to } => json!({ "kind": "transfer", "to": to.to_string() }),
        Operation::Buy { service, argument } => json!({ "kind": "buy", "service": service.to_string(), "argument": hex(argument) }),
        Operation::Redeem => json!({ "kind": "redeem" }),
    }
}

fn reason_json(reason: &Reason) -> Value {
    json!({ "kind": reason.kind(), "text": reason.to_string() })
}

fn rejection_json(rejection: &Rejection) -> Value {
    json!({
        "validator": rejection.validator.to_string(),
        "kind": rejection.reason.kind(),
        "text": rejection.reason.to_string(),
        "at_ms": rejection.at_ms,
        "rejection": hex(&rejection.encode()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Draft, NetworkId, SecretKey};
    use std::sync::Arc;

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn request() -> Request {
        let draft = Draft {
            state: Id([2; 32]),
            number: 4,
            epoch: 3,
            operation: Operation::Buy { service: Id([5; 32]), argument: vec![0xab, 0x01] },
            price: 2_500_000,
            from_ms: 10,
            until_ms: 20,
        };
        draft.sign(&NETWORK, &SecretKey::from_seed(&[1; 32]), 0, 1).unwrap().unwrap()
    }

    #[test]
    fn requests_are_read_as_json_and_as_lines() {
        let (request, text) = (request(), hex(&request().encode()));
        let json = json!({ "requests": [text, text] }).to_string();
        assert_eq!(requests_in(json.as_bytes()).unwrap(), [request.clone(), request.clone()]);
        assert_eq!(requests_in(format!("{text}\n{text}\n").as_bytes()).unwrap(), [request.clone(), request]);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let text = hex(&request().encode());
        let many = vec![text.as_str(); REQUESTS_MAX + 1].join("\n");
        let unknown = json!({ "requests": [text], "more": 1 }).to_string();
        let (upper, long) = (text.to_uppercase(), format!("{text}00"));
        for bad in ["", " ", "{}", "{\"requests\": []}", "zz", "0", &upper, &long, &many, &unknown] {
            assert_eq!(requests_in(bad.as_bytes()).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(requests_in(&[0xff]).unwrap_err().status(), 400);
        assert_eq!(requests_in(&vec![b'0'; BODY_BYTES_MAX + 1]).unwrap_err().status(), 400);
        for bad in ["", "AB", "request"] {
            assert_eq!(id_in(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn a_record_says_who_is_for_it_and_who_is_not() {
        let (request, key) = (request(), SecretKey::from_seed(&[9; 32]));
        let rejection = Rejection::sign(&NETWORK, &key, 3, request.id(), Reason::Funds { available: 12 }, 77);
        let record = SpendRecord {
            id: request.id(),
            request: Arc::new(request.clone()),
            status: SpendStatus::Final { height: 8 },
            votes: 3,
            needed: 3,
            carrier: Some(Id([6; 32])),
            rejections: vec![rejection.clone()],
        };
        let value = record_json(&record);
        assert_eq!((&value["status"], &value["height"], &value["votes"]), (&json!("final"), &json!(8), &json!(3)));
        assert_eq!(value["operation"], json!({ "kind": "buy", "service": "05".repeat(32), "argument": "ab01" }));
        assert_eq!((&value["rejections"][0]["kind"], &value["rejections"][0]["at_ms"]), (&json!("funds"), &json!(77)));
        // whoever has it can check it
        let bytes = unhex(value["rejections"][0]["rejection"].as_str().unwrap()).unwrap();
        let read = Rejection::decode(&bytes).unwrap();
        assert!(read == rejection && read.verify(&NETWORK));
        let record = SpendRecord { status: SpendStatus::Pending, carrier: None, ..record };
        let value = record_json(&record);
        assert_eq!((&value["status"], &value["height"], &value["carrier"]), (&json!("pending"), &Value::Null, &Value::Null));
    }
}
