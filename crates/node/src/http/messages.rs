//! `/api/v1/messages`: the DAG's vertices.

use super::AppState;
use super::listing::{LOOKED_AT_MAX, Listing, ListingQuery, cursor};
use super::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::{Body, Genesis, Id, Message, Request};
use replica::{MessageRecord, Standing};
use serde_json::{Value, json};

/// Messages that are asked for at a time.
const AT_ONCE: usize = 256;

/// `GET /api/v1/messages`: the newest first, in the order of their arrival here. `from` and `to` are of `issued_at_ms`.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let listing = Listing::of(query)?;
    let (limit, span, issuer) = (listing.limit()? as usize, listing.span()?, listing.issuer()?);
    let (body, standing) = (listing.body()?, listing.standing()?);
    let mut before = listing.cursor::<1>()?.map(|[place]| place);
    let wanted = |record: &MessageRecord| {
        let message = &record.message;
        issuer.is_none_or(|issuer| issuer == message.issuer)
            && body.is_none_or(|body| body == body_name(&message.body))
            && standing.is_none_or(|standing| standing == standing_parts(record.standing).0)
            && span.holds(message.issued_at_ms.saturating_mul(1_000))
    };
    let (mut messages, mut looked_at) = (Vec::new(), 0_usize);
    let mut next = None;
    while next.is_none() {
        let records = state.ledger.messages(before, AT_ONCE.min(limit.saturating_sub(messages.len()))).await;
        if records.is_empty() {
            break;
        }
        for (place, record) in &records {
            before = Some(*place);
            looked_at = looked_at.saturating_add(1);
            if wanted(record) {
                messages.push(message_json(record, &state.genesis));
            }
        }
        if messages.len() >= limit || looked_at >= LOOKED_AT_MAX {
            next = before;
        }
    }
    let next = next.filter(|place| *place > 0).map(|place| cursor([place]));
    Ok(Json(json!({ "messages": messages, "next": next })))
}

/// `GET /api/v1/messages/{id}`. One with orders, evidence, requests or certificates says which of them had no effect, as far as
/// this node remembers: the last 1024 since it started.
pub(super) async fn one(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id: Id = id.parse().map_err(|_| Problem::bad_request(format!("{id} is not a message id: 64 lower-case hexadecimal digits")))?;
    match state.ledger.message(id).await {
        Some(record) => {
            let mut value = message_json(&record, &state.genesis);
            if let Value::Object(fields) = &mut value {
                fields.extend(details(&record.message));
            }
            if let (Value::Object(fields), Body::Orders(_) | Body::Evidence(_) | Body::Requests(_) | Body::Certificates(_)) =
                (&mut value, &record.message.body)
            {
                let refused = state.ledger.refusals(id).await;
                let refused = refused.iter().map(|r| json!({ "index": r.index, "why": r.why }));
                fields.insert("refused".into(), refused.collect());
            }
            Ok(Json(value))
        }
        None => Err(Problem::not_found(format!("this node has no message {id}: it may be on its way, or of another network"))),
    }
}

/// A standing as JSON has it: the word, the milestone's height, the place in it.
pub(super) const fn standing_parts(standing: Standing) -> (&'static str, Option<u64>, Option<u64>) {
    match standing {
        Standing::Pending => ("pending", None, None),
        Standing::Confirmed { height, index } => ("confirmed", Some(height), Some(index)),
        Standing::Settled => ("settled", None, None),
        Standing::Void { height } => ("void", Some(height), None),
    }
}

/// A word for what a message says.
pub(super) const fn body_name(body: &Body) -> &'static str {
    match body {
        Body::Readings { .. } => "readings",
        Body::Data(_) => "data",
        Body::Orders(_) => "orders",
        Body::Evidence(_) => "evidence",
        Body::Requests(_) => "requests",
        Body::Certificates(_) => "certificates",
        Body::EndOfEpoch { .. } => "end of epoch",
    }
}

/// How many orders, requests or certificates a body has; none if it has no such list.
const fn entries(body: &Body) -> Option<usize> {
    match body {
        Body::Orders(orders) => Some(orders.len()),
        Body::Requests(requests) => Some(requests.len()),
        Body::Certificates(certificates) => Some(certificates.len()),
        Body::Readings { .. } | Body::Data(_) | Body::Evidence(_) | Body::EndOfEpoch { .. } => None,
    }
}

/// What only the answer about one message has: whom it votes for, what it carries of wallets, who earns.
fn details(message: &Message) -> Vec<(String, Value)> {
    let ids = |ids: Vec<Id>| Value::from(ids.iter().map(Id::to_string).collect::<Vec<_>>());
    let mut fields = vec![("votes_for".to_owned(), ids(message.votes.clone()))];
    match &message.body {
        Body::Requests(list) => fields.push(("requests".into(), ids(list.iter().map(Request::id).collect()))),
        Body::Certificates(list) => fields.push(("requests".into(), ids(list.iter().map(|c| c.request.id()).collect()))),
        Body::Readings { shares, .. } => {
            let share = |s: &protocol::Share| json!({ "wallet": s.wallet.to_string(), "count": s.count });
            fields.push(("shares".into(), shares.iter().map(share).collect()));
        }
        Body::Data(_) | Body::Orders(_) | Body::Evidence(_) | Body::EndOfEpoch { .. } => {}
    }
    fields
}

fn message_json(record: &MessageRecord, genesis: &Genesis) -> Value {
    let message = &record.message;
    let (standing, height, index) = standing_parts(record.standing);
    let issuer = genesis.committee.validators().iter().find(|v| v.key == message.issuer);
    let ends_epoch = match message.body {
        Body::EndOfEpoch { epoch } => Some(epoch),
        _ => None,
    };
    json!({
        "id": message.id().to_string(),
        "issuer": message.issuer.to_string(),
        "issuer_name": issuer.map(|v| v.name.as_str()),
        "sequence": message.sequence,
        "issued_at_ms": message.issued_at_ms,
        "parents": message.parents.iter().map(Id::to_string).collect::<Vec<_>>(),
        "body": body_name(&message.body),
        "entries": entries(&message.body),
        "ends_epoch": ends_epoch,
        "votes": message.votes.len(),
        "readings": message.body.readings(),
        "bytes": message.bytes().len(),
        "standing": standing,
        "height": height,
        "index": index,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::listing::BODIES;
    use super::*;
    use protocol::{Committee, Name, SecretKey, Unsigned, Validator};
    use std::sync::Arc;

    #[test]
    fn a_message_says_who_issued_it_and_where_it_stands() {
        let key = SecretKey::from_seed(&[3; 32]);
        let member = Validator { key: key.public_key(), name: Name::new("n1").unwrap() };
        let committee = Committee::new(vec![member]).unwrap();
        let genesis = Genesis::plain(Name::new("net").unwrap(), 0, 0, committee);
        let network = genesis.network();
        let unsigned = Unsigned {
            network,
            subnet: 0,
            issuer: key.public_key(),
            sequence: 5,
            parents: vec![Unsigned::root(network)],
            issued_at_ms: 17,
            votes: Vec::new(),
            body: Body::Data(vec![1]),
            pow_nonce: 0,
        };
        let message = Arc::new(unsigned.sign(&key));
        let record = MessageRecord { message: message.clone(), standing: Standing::Confirmed { height: 4, index: 2 } };
        let value = message_json(&record, &genesis);
        assert_eq!(value["id"], message.id().to_string());
        assert_eq!(value["issuer_name"], "n1");
        assert_eq!((&value["standing"], &value["height"], &value["index"]), (&json!("confirmed"), &json!(4), &json!(2)));
        assert_eq!((&value["body"], &value["readings"], &value["sequence"]), (&json!("data"), &json!(0), &json!(5)));
        assert_eq!((&value["votes"], &value["entries"]), (&json!(0), &Value::Null));
        let record = MessageRecord { standing: Standing::Pending, ..record };
        assert_eq!(message_json(&record, &genesis)["height"], Value::Null);
    }

    #[test]
    fn a_message_says_what_it_carries_of_wallets() {
        let key = SecretKey::from_seed(&[3; 32]);
        let network = protocol::NetworkId([7; 32]);
        let sign = |votes: Vec<Id>, body: Body| {
            let (issuer, parents) = (key.public_key(), vec![Unsigned::root(network)]);
            Unsigned { network, subnet: 0, issuer, sequence: 0, parents, issued_at_ms: 1, votes, body, pow_nonce: 0 }.sign(&key)
        };
        let field = |message: &Message, name: &str| details(message).into_iter().find(|(n, _)| n == name).map(|(_, value)| value);
        assert!(BODIES.contains(&body_name(&Body::EndOfEpoch { epoch: 4 })) && BODIES.contains(&body_name(&Body::Data(Vec::new()))));
        let message = sign(vec![Id([5; 32])], Body::EndOfEpoch { epoch: 4 });
        assert_eq!(field(&message, "votes_for"), Some(json!(["05".repeat(32)])));
        assert_eq!((body_name(&message.body), entries(&message.body)), ("end of epoch", None));
        let share = protocol::Share { wallet: key.public_key(), count: 3 };
        let body = Body::Readings { root: Id([1; 32]), count: 3, bytes: 9, span_us: (1, 2), blob: Id([2; 32]), shares: vec![share] };
        let message = sign(Vec::new(), body);
        assert_eq!(field(&message, "shares"), Some(json!([{ "wallet": key.public_key().to_string(), "count": 3 }])));
        assert_eq!(field(&message, "requests"), None);
    }
}
