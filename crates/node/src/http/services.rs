//! `/api/v1/services` and `/api/v1/purchases`: what can be bought, and what was bought and has not ended. Both as the state has
//! them now.

use super::AppState;
use super::listing::{Listing, ListingQuery, cursor};
use super::problem::Problem;
use crate::asking::each;
use axum::Json;
use axum::extract::{Path, State};
use ledger::{Purchase, Service};
use protocol::{Id, ServiceKind, Silence};
use serde_json::{Value, json};

/// `GET /api/v1/services?provider=KEY`: the newest first.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let listing = Listing::of(query)?;
    let (provider, limit) = (listing.provider()?, listing.limit()?);
    let before = listing.cursor::<1>()?.map(|[seen]| seen.cast_signed());
    let ids = state.spends.services(provider, before, limit).await.map_err(|why| Problem::internal(why.to_string()))?;
    let full = ids.len() as u64 >= u64::from(limit);
    let next = ids.last().filter(|_| full).map(|(seen, _)| cursor([*seen]));
    let ids = ids.into_iter().map(|(_, id)| id).collect();
    let found = each(state.ledger.clone(), ids, |ledger, id: Id| async move { Some((id, ledger.service(id).await?)) }).await;
    // an order that was refused made none
    let services: Vec<Value> = found.into_iter().flatten().map(|(id, service)| service_json(id, &service)).collect();
    Ok(Json(json!({ "services": services, "next": next })))
}

/// `GET /api/v1/services/{id}`.
pub(super) async fn one(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = id_in(&id, "a service's id")?;
    match state.ledger.service(id).await {
        Some(service) => Ok(Json(service_json(id, &service))),
        None => Err(Problem::not_found(format!("there is no service {id}: `wattle service list` shows them"))),
    }
}

/// `GET /api/v1/purchases/{request}`.
pub(super) async fn purchase(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = id_in(&id, "a request's id")?;
    match state.ledger.purchase(id).await {
        Some(purchase) => Ok(Json(purchase_json(id, &purchase))),
        None => Err(Problem::not_found(format!("no purchase {id} is open: it has ended, or the request bought nothing (yet)"))),
    }
}

fn id_in(text: &str, what: &str) -> Result<Id, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text} is not {what}: 64 lower-case hexadecimal digits")))
}

fn service_json(id: Id, service: &Service) -> Value {
    let terms = &service.terms;
    let kind = match &terms.kind {
        ServiceKind::Actuate(topic) => json!({ "kind": "actuate", "topic": topic.to_string() }),
        ServiceKind::Data(channel) => json!({ "kind": "data", "channel": channel.to_string() }),
        ServiceKind::Contract(contract) => json!({ "kind": "contract", "contract": contract.to_string() }),
    };
    json!({
        "id": id.to_string(),
        "provider": service.provider.to_string(),
        "name": service.name.as_str(),
        "open": service.open,
        "price": terms.price,
        "kind": kind,
        "report_ms": terms.report_ms,
        "silence": silence(terms.silence),
    })
}

fn purchase_json(request: Id, purchase: &Purchase) -> Value {
    json!({
        "request": request.to_string(),
        "requester": purchase.requester.to_string(),
        "provider": purchase.provider.to_string(),
        "price": purchase.price,
        "due_ms": purchase.due_ms,
        "silence": silence(purchase.silence),
    })
}

/// What happens to a purchase of which the provider says nothing.
const fn silence(silence: Silence) -> &'static str {
    match silence {
        Silence::Pay => "pay",
        Silence::Refund => "refund",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Name, PublicKey, Terms};

    #[test]
    fn a_service_says_what_it_does_and_costs() {
        let service = |kind| Service {
            provider: PublicKey([2; 32]),
            open: true,
            name: Name::new("espresso").unwrap(),
            terms: Terms { kind, price: 2_000_000, report_ms: 60_000, silence: Silence::Refund },
        };
        let value = service_json(Id([1; 32]), &service(ServiceKind::Actuate("z1/espresso/act/brew".parse().unwrap())));
        assert_eq!(value["kind"], json!({ "kind": "actuate", "topic": "z1/espresso/act/brew" }));
        assert_eq!((&value["price"], &value["silence"], &value["open"]), (&json!(2_000_000), &json!("refund"), &json!(true)));
        let value = service_json(Id([1; 32]), &service(ServiceKind::Data(Id([3; 32]))));
        assert_eq!(value["kind"], json!({ "kind": "data", "channel": "03".repeat(32) }));
        let value = service_json(Id([1; 32]), &service(ServiceKind::Contract(Id([4; 32]))));
        assert_eq!(value["kind"], json!({ "kind": "contract", "contract": "04".repeat(32) }));
    }

    #[test]
    fn a_purchase_says_until_when_it_waits() {
        let purchase = Purchase { requester: PublicKey([1; 32]), provider: PublicKey([2; 32]), price: 5, due_ms: 9, silence: Silence::Pay };
        let value = purchase_json(Id([7; 32]), &purchase);
        assert_eq!((&value["due_ms"], &value["silence"], &value["price"]), (&json!(9), &json!("pay"), &json!(5)));
        assert_eq!(id_in("AB", "a service's id").unwrap_err().status(), 400);
    }
}
