//! `/api/v1/things`: a directory of Thing Descriptions (W3C WoT Discovery), and `/.well-known/wot`: the directory's own.
//!
//! A description is taken from anybody, for a device whose owner wrote its hash on the ledger; it is served while it is the
//! one that the ledger names, and the device is not revoked.

use super::AppState;
use super::devices::{device_in, registered};
use super::problem::Problem;
use crate::config::Open;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use edge::thing::{THING_BYTES_MAX, check};
use protocol::DeviceName;
use protocol::device::thing_hash;
use serde::Deserialize;
use serde_json::{Value, json};

/// Media type of one description,
const TD_JSON: &str = "application/td+json";
/// and of a list of them.
const LD_JSON: &str = "application/ld+json";
/// Descriptions of a list, unless asked otherwise,
const LIMIT_DEFAULT: usize = 20;
/// and at most.
const LIMIT_MAX: usize = 100;

/// What may stand after the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    offset: Option<usize>,
    limit: Option<usize>,
}

/// `GET /api/v1/things?offset=N&limit=L`: a list of descriptions. A `Link` header names the next page, if there is one.
pub(super) async fn list(State(state): State<AppState>, query: Result<Query<Page>, QueryRejection>) -> Result<impl IntoResponse, Problem> {
    let Query(page) = query.map_err(|e| Problem::bad_request(format!("the query cannot be read: {e}")))?;
    let (offset, limit) = (page.offset.unwrap_or(0), page.limit.unwrap_or(LIMIT_DEFAULT));
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Problem::bad_request(format!("limit={limit} is not a number from 1 to {LIMIT_MAX}")));
    }
    let things = state.things.clone();
    let (names, all) = blocking(move || things.list(offset, limit)).await?;
    let mut bodies = Vec::with_capacity(names.len());
    for name in names {
        // one that was revoked or described anew meanwhile is left out
        if let Ok(body) = current(&state, name).await {
            bodies.push(body);
        }
    }
    let mut headers = vec![(header::CONTENT_TYPE, LD_JSON.to_owned())];
    let next = offset.saturating_add(limit);
    if next < all {
        headers.push((header::LINK, format!("</api/v1/things?offset={next}&limit={limit}>; rel=\"next\"")));
    }
    Ok((header_map(headers), [b"[".as_slice(), &bodies.join(b",".as_slice()), b"]"].concat()))
}

fn header_map(headers: Vec<(HeaderName, String)>) -> HeaderMap {
    headers.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

/// `GET /api/v1/things/{site}/{device}`.
pub(super) async fn one(State(state): State<AppState>, Path(device): Path<String>) -> Result<impl IntoResponse, Problem> {
    let body = current(&state, device_in(&device)?).await?;
    Ok(([(header::CONTENT_TYPE, TD_JSON)], body))
}

/// The description of a device that the ledger names.
async fn current(state: &AppState, name: DeviceName) -> Result<Vec<u8>, Problem> {
    let record = registered(state, name.clone()).await?;
    let hash = record.device.thing.filter(|_| !record.device.revoked);
    let hash = hash.ok_or_else(|| Problem::not_found(format!("the device {name} has no Thing Description, or was revoked")))?;
    let (things, asked) = (state.things.clone(), name.clone());
    let body = blocking(move || things.get(&asked)).await?.filter(|body| thing_hash(body) == hash);
    body.ok_or_else(|| {
        Problem::not_found(format!(
            "the Thing Description of {name} with the hash {hash} is not here: ask another node, or hand it in by `wattle device thing`"
        ))
    })
}

/// `PUT /api/v1/things/{site}/{device}`.
pub(super) async fn put(
    State(state): State<AppState>,
    Path(device): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let name = device_in(&device)?;
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(format!("a Thing Description has at most {THING_BYTES_MAX} bytes")),
        _ => Problem::bad_request(format!("the body cannot be read: {e}")),
    })?;
    check(&body).map_err(|why| Problem::bad_request(format!("the Thing Description is refused: {why}")))?;
    let record = registered(&state, name.clone()).await?;
    let found = thing_hash(&body);
    match record.device.thing {
        Some(hash) if hash == found && !record.device.revoked => {}
        _ => {
            return Err(Problem::unprocessable(format!(
                "the ledger does not name this description (hash {found}) for {name}: `wattle device thing` orders that first"
            )));
        }
    }
    let things = state.things.clone();
    blocking(move || things.put(&name, &body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Problem::internal(format!("Thing Descriptions: {e}")))?;
    done.map_err(|e| Problem::internal(format!("the Thing Descriptions in the data directory: {e}")))
}

/// `GET /.well-known/wot`.
pub(super) async fn well_known(State(state): State<AppState>, headers: HeaderMap) -> impl IntoResponse {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let base = format!("{}://{host}/", if state.tls.is_some() { "https" } else { "http" });
    let body = directory(&state.name, &state.key.to_string(), &base, state.http.open).to_string();
    ([(header::CONTENT_TYPE, TD_JSON)], body)
}

/// The Thing Description of this directory, reached at `base`.
fn directory(name: &str, key: &str, base: &str, open: Open) -> Value {
    let security = match open {
        Open::None => "token_sc",
        // programs of the node's machine need no token
        Open::Loopback => "either_sc",
    };
    json!({
        "@context": ["https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2022/wot/discovery"],
        "@type": "ThingDirectory",
        "id": format!("urn:wattle:node:{key}"),
        "title": format!("Thing Descriptions at {name}"),
        "base": base,
        "securityDefinitions": {
            "nosec_sc": { "scheme": "nosec" },
            "token_sc": { "scheme": "bearer", "in": "header", "format": "opaque" },
            "either_sc": { "scheme": "combo", "oneOf": ["nosec_sc", "token_sc"] },
        },
        "security": security,
        "properties": {
            "things": {
                "description": "The descriptions of registered devices that are here",
                "uriVariables": {
                    "offset": { "type": "number", "minimum": 0 },
                    "limit": { "type": "number", "minimum": 1, "maximum": LIMIT_MAX },
                },
                "forms": [{ "href": "api/v1/things{?offset,limit}", "htv:methodName": "GET", "response": { "contentType": LD_JSON } }],
            },
        },
        "actions": {
            "retrieveThing": {
                "safe": true,
                "uriVariables": { "site": { "type": "string" }, "device": { "type": "string" } },
                "output": { "type": "object" },
                "forms": [{ "href": "api/v1/things/{site}/{device}", "htv:methodName": "GET", "response": { "contentType": TD_JSON } }],
            },
            "createThing": {
                "description": "Hands in the description whose hash the device's owner wrote on the ledger",
                "uriVariables": { "site": { "type": "string" }, "device": { "type": "string" } },
                "input": { "type": "object" },
                "forms": [{ "href": "api/v1/things/{site}/{device}", "htv:methodName": "PUT", "contentType": TD_JSON }],
            },
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_describes_itself_by_its_own_rules() {
        let own = directory("node1", &"ab".repeat(32), "https://10.0.0.1:8080/", Open::None);
        let thing = check(own.to_string().as_bytes()).unwrap();
        assert_eq!((thing.title.as_str(), thing.affordances), ("Thing Descriptions at node1", [1, 2, 0]));
        // whatever a client says it is called
        let odd = directory("node1", "k", "http://a\"b\\/", Open::Loopback);
        assert_eq!((&own["security"], &odd["security"]), (&json!("token_sc"), &json!("either_sc")));
        assert!(check(odd.to_string().as_bytes()).is_ok());
    }
}
