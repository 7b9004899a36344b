//! The table of routes: for each path what it is, who may ask, what it takes and answers, and who does it. The router and the
//! OpenAPI document are both made from it, so neither can know a path that the other does not.

use super::access::{in_time, require};
use super::listing::{BODIES, STANDINGS, STATUSES};
use super::openapi::{Endpoint, Taken};
use super::schema::{flag, hex, limit, nullable_time, object, one_of, text, uint};
use super::{AppState, etag, openapi, server};
use super::{
    coins, committee, console, devices, events, export, genesis, head, messages, metrics, milestones, orders, overview, readings, receipts,
    requests,
};
use super::{services, session, spends, state, status, sync, things, validators, wallets};
use crate::tokens::Scope;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post, put};
use serde_json::{Value, json};

/// Every route.
pub(super) fn table() -> Vec<Endpoint> {
    [about(), ledger(), site(), wallet(), registry(), node()].into_iter().flatten().collect()
}

/// The router.
pub(super) fn router(state: &AppState) -> Router<AppState> {
    let mut router = Router::new();
    for endpoint in table() {
        let mut handler = endpoint.handler;
        if endpoint.tagged {
            handler = handler.route_layer(from_fn(etag::tag));
        }
        handler = match endpoint.scope {
            Some(scope) => handler.route_layer(from_fn_with_state((state.clone(), scope), require)),
            None => handler.route_layer(from_fn(in_time)),
        };
        router = router.route(endpoint.path, handler);
    }
    router
}

fn read(path: &'static str, tag: &'static str, summary: &'static str, handler: axum::routing::MethodRouter<AppState>) -> Endpoint {
    Endpoint::new("get", path, Some(Scope::Read), tag, summary, handler)
}

/// What a list takes beside filters.
fn list(endpoint: Endpoint) -> Endpoint {
    endpoint.query("cursor", text(), "where the page begins: `next` of the page before").query("limit", limit(), "entries of the page")
}

/// A list that can be of a span of time.
fn timed(endpoint: Endpoint) -> Endpoint {
    list(endpoint).query("from", nullable_time(), "not before this time: RFC 3339, or microseconds since 1970").query(
        "to",
        nullable_time(),
        "before this time",
    )
}

/// What needs no token.
fn about() -> Vec<Endpoint> {
    let open = |path, summary, handler| Endpoint::new("get", path, None, "about", summary, handler);
    let file = open("/console/{*path}", "A file of the console", get(console::file)).path("path", text(), "its path");
    vec![
        open("/healthz", "Whether the node is well", get(status::healthz)).answers(200, "text/plain", text()),
        open("/api/openapi.json", "This document", get(openapi::document)).json("Document").tagged(),
        open("/api/v1/openapi.json", "This document", get(openapi::document)).json("Document").tagged(),
        open("/api", "The interface for people", get(openapi::page)).answers(200, "text/html; charset=utf-8", text()),
        open("/", "The console", get(console::index)).answers(200, console::HTML, text()),
        open("/console", "The console", get(console::index)).answers(200, console::HTML, text()),
        console::KINDS.into_iter().fold(file, |file, kind| file.also(200, kind, text())),
    ]
}

fn ledger() -> Vec<Endpoint> {
    let read = |path, summary, handler| read(path, "ledger", summary, handler);
    let key = "a public key";
    vec![
        timed(read("/api/v1/messages", "Messages, the newest first", get(messages::list)))
            .query("issuer", hex(), "of this issuer")
            .query("body", one_of(&BODIES), "that say this")
            .query("standing", one_of(&STANDINGS), "that stand so")
            .json("Messages"),
        read("/api/v1/messages/{id}", "One message", get(messages::one)).path("id", hex(), "its id").json("Message").tagged(),
        timed(read("/api/v1/milestones", "Milestones, the newest first", get(milestones::list))).json("Milestones"),
        read("/api/v1/milestones/{height}", "One milestone", get(milestones::one))
            .path("height", uint(), "its height")
            .query("bodies", flag(), "whether its messages are counted by what they say")
            .json("Milestone")
            .tagged(),
        read("/api/v1/genesis", "What the network began with, as a genesis file", get(genesis::genesis)).json("Open").tagged(),
        read("/api/v1/committee", "Who signs milestones now", get(committee::committee)).json("Committee"),
        read("/api/v1/epoch", "The epoch, and what the network agreed on", get(validators::epoch)).json("Epoch"),
        read("/api/v1/validators", "Who can be elected", get(validators::list)).json("Validators"),
        read("/api/v1/validators/{key}", "One validator", get(validators::one)).path("key", hex(), key).json("Validator"),
        read("/api/v1/head", "The newest certified milestone, for light nodes", get(head::head))
            .query("epoch", uint(), "the epoch whose committee is known")
            .json("Open"),
        read("/api/v1/state/{kind}/{key}", "A value of the state with its proof", get(state::one))
            .path("kind", json!({ "type": "string", "enum": ["wallets", "validators", "accounts", "device-keys"] }), "of what")
            .path("key", hex(), key)
            .json("Proven"),
        read("/api/v1/state/sites/{*site}", "A site with its proof", get(state::site)).path("site", text(), "its name").json("Proven"),
        read("/api/v1/state/devices/{*device}", "A device with its proof", get(state::device))
            .path("device", text(), "site/ID")
            .json("Proven"),
        Endpoint::new(
            "post",
            "/api/v1/sync",
            Some(Scope::Read),
            "ledger",
            "A question of a node that joins",
            post(sync::answer).layer(DefaultBodyLimit::max(sync::QUESTION_BYTES_MAX)),
        )
        .takes(Taken { media: "application/octet-stream", schema: text() })
        .answers(200, "application/octet-stream", text()),
        read("/api/v1/events", "What happens, as server-sent events", get(events::events))
            .query("kinds", text(), "of milestone, spend, confirmed, alarm, message, reading, parted by commas")
            .answers(200, "text/event-stream", text()),
    ]
}

fn site() -> Vec<Endpoint> {
    let read = |path, summary, handler| read(path, "site", summary, handler);
    let of = |endpoint: Endpoint| {
        endpoint.query("topic", text(), "of this topic: site/ID/sense|act/type").query("device", text(), "of this device: site/ID")
    };
    let name = "its id, or site/ID/sense|act/type@microseconds";
    vec![
        of(timed(read("/api/v1/readings", "Readings that are anchored, the newest first", get(readings::list)))).json("Readings"),
        of(timed(read("/api/v1/readings/export", "Readings as a file", get(export::export))))
            .query("format", json!({ "type": "string", "enum": ["csv", "ndjson"] }), "csv or ndjson")
            .answers(200, "application/x-ndjson", text())
            .also(200, "text/csv; charset=utf-8; header=present", text()),
        read("/api/v1/readings/{*reference}", "One reading", get(readings::one)).path("reference", text(), name).json("Reading"),
        read("/api/v1/receipts", "Receipts by device and time", get(receipts::list))
            .query("device", text(), "of this device: site/ID")
            .query("time", nullable_time(), "for this time")
            .json("Receipts"),
        read("/api/v1/receipts/{*reference}", "The receipt of one reading", get(receipts::one))
            .path("reference", text(), name)
            .json("Open")
            .tagged(),
        Endpoint::new(
            "post",
            "/api/v1/receipts/verify",
            Some(Scope::Read),
            "site",
            "What a receipt proves",
            post(receipts::verify).layer(DefaultBodyLimit::max(receipts::RECEIPT_BYTES_MAX)),
        )
        .takes(Taken { media: "application/json", schema: object(&[]) })
        .json("Verdict"),
        timed(read("/api/v1/requests", "What devices asked of each other, the newest first", get(requests::list))).json("Requests"),
    ]
}

fn wallet() -> Vec<Endpoint> {
    let read = |path, summary, handler| read(path, "wallets", summary, handler);
    let act = |path, summary, handler| Endpoint::new("post", path, Some(Scope::Act), "wallets", summary, handler);
    let signed = |name: &str| {
        let list = json!({ "type": "array", "minItems": 1, "maxItems": 64, "items": { "type": "string", "pattern": "^([0-9a-f]{2})+$" } });
        Taken { media: "application/json", schema: object(&[(name, list)]) }
    };
    vec![
        read("/api/v1/wallets/{key}", "What a wallet has", get(wallets::one)).path("key", hex(), "its ID").json("Wallet"),
        read("/api/v1/wallets/{key}/stakes/{validator}", "What a wallet has at stake", get(wallets::stake))
            .path("key", hex(), "its ID")
            .path("validator", hex(), "the validator's key")
            .json("Stake"),
        act("/api/v1/orders", "Carries orders that wallets signed", post(orders::post))
            .takes(signed("orders"))
            .answers_json(202, "Ordered"),
        list(read("/api/v1/spends", "What wallets spend, the newest first", get(spends::list)))
            .query("wallet", hex(), "of this wallet")
            .query("status", one_of(&STATUSES), "that are so far")
            .json("Spends"),
        act("/api/v1/spends", "Carries requests that wallets signed", post(spends::post))
            .takes(signed("requests"))
            .answers_json(202, "Carried"),
        read("/api/v1/spends/{id}", "One request", get(spends::one)).path("id", hex(), "its id").json("Spend"),
        read("/api/v1/spends/{id}/certificate", "Its certificate", get(spends::certificate))
            .path("id", hex(), "its id")
            .json("Certificate")
            .tagged(),
        list(read("/api/v1/services", "What can be bought, the newest first", get(services::list)))
            .query("provider", hex(), "of this provider")
            .json("Services"),
        read("/api/v1/services/{id}", "One service", get(services::one)).path("id", hex(), "its id").json("Service").tagged(),
        read("/api/v1/purchases/{id}", "A purchase that has not ended", get(services::purchase))
            .path("id", hex(), "the request's id")
            .json("Purchase"),
        read("/api/v1/parameters", "What the network agreed on about wallets", get(coins::parameters)).json("WalletParameters"),
        read("/api/v1/coins", "The coins there are", get(coins::coins)).json("Coins"),
    ]
}

fn registry() -> Vec<Endpoint> {
    let read = |path, summary, handler| read(path, "registry", summary, handler);
    let device = "site/ID";
    vec![
        list(read("/api/v1/devices", "Devices of a site", get(devices::list)))
            .query("site", text(), "the site; the node's own if left out")
            .json("Devices"),
        read("/api/v1/devices/{*device}", "One device", get(devices::one)).path("device", text(), device).json("Device"),
        read("/api/v1/sites/{*site}", "Whose a site is", get(devices::site)).path("site", text(), "its name").json("Site"),
        read("/api/v1/device-keys/{key}", "Whose a device's key is", get(devices::key)).path("key", hex(), "the key").json("DeviceKey"),
        read("/api/v1/things", "Thing Descriptions", get(things::list))
            .query("offset", uint(), "so many are passed over")
            .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 100 }), "entries of the page")
            .answers(200, "application/ld+json", json!({ "type": "array" })),
        read("/api/v1/things/{*device}", "One Thing Description", get(things::one)).path("device", text(), device).answers(
            200,
            "application/td+json",
            object(&[]),
        ),
        Endpoint::new(
            "put",
            "/api/v1/things/{*device}",
            Some(Scope::Act),
            "registry",
            "Hands in the description that the ledger names",
            put(things::put).layer(DefaultBodyLimit::max(edge::thing::THING_BYTES_MAX)),
        )
        .path("device", text(), device)
        .takes(Taken { media: "application/td+json", schema: object(&[]) })
        .empty(204),
        read("/.well-known/wot", "The directory of Thing Descriptions", get(things::well_known)).answers(
            200,
            "application/td+json",
            object(&[]),
        ),
    ]
}

fn node() -> Vec<Endpoint> {
    let read = |path, summary, handler| read(path, "node", summary, handler);
    let admin = |method, path, summary, handler| Endpoint::new(method, path, Some(Scope::Admin), "node", summary, handler);
    let scopes: Value = json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/components/schemas/Scope" } });
    let name = json!({ "type": "string", "minLength": 1, "maxLength": crate::tokens::NAME_BYTES_MAX });
    let wanted = json!({
        "type": "object",
        "required": ["name", "scopes"],
        "properties": { "name": name, "scopes": scopes, "expires_s": { "type": ["integer", "null"], "minimum": 1 } },
        "additionalProperties": false,
    });
    vec![
        read("/api/v1/overview", "The node at a glance", get(overview::overview)).json("Overview"),
        read("/api/v1/status", "The node in detail", get(status::status)).json("Status"),
        read("/api/v1/session", "Who asks, and what it may", get(session::session)).json("Session"),
        read("/metrics", "What Prometheus scrapes", get(metrics::metrics)).answers(200, "text/plain; version=0.0.4; charset=utf-8", text()),
        admin("get", "/api/v1/tokens", "Tokens, without their secrets", get(session::tokens)).json("Tokens"),
        admin("post", "/api/v1/tokens", "Makes a token, shown this once", post(session::create))
            .takes(Taken { media: "application/json", schema: wanted })
            .answers_json(201, "MadeToken"),
        admin("delete", "/api/v1/tokens/{id}", "Revokes a token", delete(session::revoke)).path("id", text(), "its number").empty(204),
        admin("get", "/api/v1/settings", "The configuration in force", get(session::settings)).json("Open"),
    ]
}

/// Everything, with what stands before and behind all paths.
pub(super) fn all(state: AppState) -> Router {
    server::finished(router(&state), state)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The console's files hold nothing of this node; what they ask the interface for does.
    const OPEN: [&str; 7] = ["/", "/api", "/api/openapi.json", "/api/v1/openapi.json", "/console", "/console/{*path}", "/healthz"];

    #[test]
    fn only_what_tells_nothing_needs_no_token() {
        let open: BTreeSet<_> = table().iter().filter(|endpoint| endpoint.scope.is_none()).map(|endpoint| endpoint.path).collect();
        assert_eq!(open.into_iter().collect::<Vec<_>>(), OPEN);
        for endpoint in table() {
            let needs = match (endpoint.method, endpoint.path) {
                (_, "/api/v1/settings") => Scope::Admin,
                (_, path) if path.starts_with("/api/v1/tokens") => Scope::Admin,
                ("get", _) | (_, "/api/v1/sync" | "/api/v1/receipts/verify") => Scope::Read,
                _ => Scope::Act,
            };
            assert!(endpoint.scope.is_none_or(|scope| scope == needs), "{} {}", endpoint.method, endpoint.path);
        }
    }
}
