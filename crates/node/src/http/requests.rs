//! `/api/v1/requests`: what devices of this site asked of others, and others of them.

use super::AppState;
use super::listing::{Listing, ListingQuery, cursor};
use super::problem::Problem;
use crate::exchange::{LIST_MAX, Listed};
use axum::Json;
use axum::extract::State;
use protocol::Id;
use serde_json::{Value, json};

const _: () = assert!(LIST_MAX >= super::listing::LIMIT_MAX);

/// `GET /api/v1/requests?limit=N`: the newest first. `from` and `to` are of `at_ms`.
pub(super) async fn list(State(state): State<AppState>, query: ListingQuery) -> Result<Json<Value>, Problem> {
    let listing = Listing::of(query)?;
    let (limit, span) = (listing.limit()?, listing.span()?);
    let before = listing.cursor_text().map(|text| place(text).ok_or_else(|| listing.bad_cursor())).transpose()?;
    let Some(exchange) = &state.exchange else {
        return Err(Problem::not_found("this node takes no requests of devices: [requests] in its configuration says which"));
    };
    let before = before.or_else(|| end(span.to_us));
    let mut requests = exchange.newest(before, limit).await.map_err(|why| Problem::internal(why.to_string()))?;
    requests.retain(|request| request.at_ms.saturating_mul(1_000) >= span.from_us);
    // what was taken away, and all behind it, is older
    let full = requests.len() as u64 >= u64::from(limit);
    let next = requests.last().filter(|_| full).map(|last| cursor([last.at_ms.to_string(), last.request.to_string(), last.way.clone()]));
    Ok(Json(json!({ "requests": requests.iter().map(request_json).collect::<Vec<_>>(), "next": next })))
}

/// The place in a cursor: time, request, its way.
fn place(text: &str) -> Option<(u64, Id, String)> {
    let mut parts = text.split('-');
    let (at_ms, request, way) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.to_owned());
    (parts.next().is_none() && matches!(way.as_str(), "in" | "out")).then_some((at_ms, request, way))
}

/// The place above all that is before a time; none if everything is.
fn end(to_us: u64) -> Option<(u64, Id, String)> {
    (to_us < u64::MAX).then(|| (to_us.div_ceil(1_000), Id([0; 32]), String::new()))
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

    #[test]
    fn a_span_ends_before_its_end() {
        assert_eq!(end(u64::MAX), None);
        let at_ms = |to_us| end(to_us).map(|(at_ms, ..)| at_ms);
        // one at 5 ms is before 5.001 ms, and not before 5 ms
        assert_eq!((at_ms(5_000), at_ms(5_001)), (Some(5), Some(6)));
    }

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
