//! `/api/v1/requests`: what devices of this site asked of others, and others of them.

use super::AppState;
use super::listing::{Listing, ListingQuery};
use super::problem::Problem;
use crate::exchange::{LIST_MAX, Listed};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

const _: () = assert!(LIST_MAX >= super::listing::LIMIT_MAX);

/// `GET /api/v1/requests?limit=N`: the newest first.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let limit = Listing::of(query)?.limit()?;
    let Some(exchange) = &state.exchange else {
        return Err(Problem::not_found("this node takes no requests of devices: [requests] in its configuration says which"));
    };
    let requests = exchange.newest(limit).await.map_err(|why| Problem::internal(why.to_string()))?;
    Ok(Json(json!({ "requests": requests.iter().map(request_json).collect::<Vec<_>>() })))
}

fn request_json(request: &Listed) -> Value {
    json!({
        "request": request.request.to_string(),
        "way": request.way,
        "from": request.sender,
        "to": request.target,
        "number": request.number,
        "value": request.value,
        "state": request.state,
        "reason": request.reason,
        "message": request.message.map(|id| id.to_string()),
        "height": request.height,
        "at_ms": request.at_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Id;

    #[test]
    fn a_request_says_how_far_it_is() {
        let listed = Listed {
            request: Id([1; 32]),
            way: "out".into(),
            sender: "z1/button".into(),
            target: "z2/lamp/act/power".into(),
            number: "7".into(),
            value: "true".into(),
            state: "confirmed".into(),
            reason: String::new(),
            message: Some(Id([2; 32])),
            height: Some(9),
            at_ms: 5,
        };
        let value = request_json(&listed);
        assert_eq!((&value["from"], &value["state"], &value["height"]), (&json!("z1/button"), &json!("confirmed"), &json!(9)));
    }
}
