//! The forms of answers, as JSON Schema. Fields that are listed are always there; more may come with later versions.

use super::listing::{BODIES, STANDINGS, STATUSES};
use serde_json::{Map, Value, json};

/// A reference to a named form.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An id, a key or a hash.
pub(super) fn hex() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
}

/// A number that counts or is a time.
pub(super) fn uint() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// Any text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// Entries of a page.
pub(super) fn limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": super::listing::LIMIT_MAX, "default": super::listing::LIMIT_DEFAULT })
}

/// A time of a query.
pub(super) fn nullable_time() -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "format": "date-time" }] })
}

/// An object with at least these fields.
pub(super) fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|(name, form)| ((*name).to_owned(), form.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn or_null(form: &Value) -> Value {
    json!({ "anyOf": [form, { "type": "null" }] })
}

fn array(form: &Value) -> Value {
    json!({ "type": "array", "items": form })
}

/// Yes or no.
pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn number() -> Value {
    json!({ "type": "number" })
}

/// One of some words.
pub(super) fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A page of a list.
fn page(name: &str, entries: &str) -> Value {
    object(&[(name, array(&named(entries))), ("next", or_null(&text()))])
}

/// Every named form.
pub(super) fn all() -> Value {
    let parts = [general(), ledger(), site(), wallets(), registry(), node()];
    let forms: Map<String, Value> = parts.into_iter().flatten().map(|(name, form)| (name.to_owned(), form)).collect();
    Value::Object(forms)
}

type Forms = Vec<(&'static str, Value)>;

fn general() -> Forms {
    let problem = [("type", text()), ("title", text()), ("status", json!({ "type": "integer" })), ("detail", text())];
    vec![
        ("Problem", object(&problem)),
        ("Document", object(&[("openapi", text()), ("info", object(&[])), ("paths", object(&[])), ("components", object(&[]))])),
        // what other documents describe: docs/spec
        ("Open", object(&[])),
        ("Scope", one_of(&["read", "act", "admin"])),
    ]
}

fn ledger() -> Forms {
    let message = [
        ("id", hex()),
        ("issuer", hex()),
        ("issuer_name", or_null(&text())),
        ("sequence", uint()),
        ("issued_at_ms", uint()),
        ("parents", array(&hex())),
        ("body", one_of(&BODIES)),
        ("entries", or_null(&uint())),
        ("ends_epoch", or_null(&uint())),
        ("votes", uint()),
        ("readings", uint()),
        ("bytes", uint()),
        ("standing", one_of(&STANDINGS)),
        ("height", or_null(&uint())),
        ("index", or_null(&uint())),
    ];
    let milestone = [
        ("height", uint()),
        ("digest", hex()),
        ("parent", hex()),
        ("time_ms", uint()),
        ("epoch", uint()),
        ("messages", uint()),
        ("void", uint()),
        ("tips", uint()),
        ("messages_root", hex()),
        ("state_root", hex()),
        ("history_root", hex()),
        ("next_committee", or_null(&array(&hex()))),
        ("pruned", flag()),
    ];
    let validator = [
        ("name", text()),
        ("key", hex()),
        ("address", or_null(&text())),
        ("stake", uint()),
        ("unbonding", uint()),
        ("in_committee", flag()),
        ("registered", flag()),
        ("jailed", flag()),
        ("jailed_until", uint()),
    ];
    let member = object(&[("name", or_null(&text())), ("key", hex())]);
    let proven = [("height", uint()), ("time_ms", uint()), ("epoch", uint()), ("value", object(&[])), ("proof", object(&[]))];
    vec![
        ("Message", object(&message)),
        ("Messages", page("messages", "Message")),
        ("Milestone", object(&milestone)),
        ("Milestones", page("milestones", "Milestone")),
        ("Member", member),
        (
            "Committee",
            object(&[
                ("epoch", uint()),
                ("size", uint()),
                ("quorum", uint()),
                ("closing_height", uint()),
                ("members", array(&named("Member"))),
            ]),
        ),
        (
            "Epoch",
            object(&[
                ("network", hex()),
                ("subnet", uint()),
                ("epoch", uint()),
                ("height", uint()),
                ("closing_height", uint()),
                ("committee", array(&named("Member"))),
                ("parameters", object(&[])),
            ]),
        ),
        ("Validator", object(&validator)),
        ("Validators", object(&[("epoch", uint()), ("validators", array(&named("Validator")))])),
        ("Proven", object(&proven)),
    ]
}

fn site() -> Forms {
    let value = json!({ "anyOf": [number(), flag(), text(), object(&[("base64url", text())])] });
    let reading = [
        ("id", hex()),
        ("topic", text()),
        ("time_us", uint()),
        ("sequence", or_null(&uint())),
        ("unit", or_null(&text())),
        ("value", value),
        ("device_key", or_null(&hex())),
        ("device_signature", or_null(&text())),
        ("message", hex()),
        ("batch_index", uint()),
        ("standing", one_of(&STANDINGS)),
        ("height", or_null(&uint())),
    ];
    let request = [
        ("request", hex()),
        ("way", one_of(&["in", "out"])),
        ("from", text()),
        ("to", text()),
        ("number", text()),
        ("value", text()),
        ("state", text()),
        ("reason", text()),
        ("message", or_null(&hex())),
        ("height", or_null(&uint())),
        ("at_ms", uint()),
    ];
    vec![
        ("Reading", object(&reading)),
        ("Readings", page("readings", "Reading")),
        ("Receipts", object(&[("receipts", array(&object(&[("reading", hex()), ("topic", text()), ("receipt", named("Open"))])))])),
        ("Verdict", object(&[("valid", flag())])),
        ("Request", object(&request)),
        ("Requests", page("requests", "Request")),
    ]
}

fn wallets() -> Forms {
    let stake = [
        ("validator", hex()),
        ("name", text()),
        ("staked", uint()),
        ("unbonding", array(&object(&[("release_epoch", uint()), ("amount", uint())]))),
    ];
    let purse = [
        ("epoch", uint()),
        ("number", uint()),
        ("state", hex()),
        ("balance", uint()),
        ("next_number", uint()),
        ("next_state", hex()),
        ("available", uint()),
    ];
    let wallet = [
        ("key", hex()),
        ("known", flag()),
        ("state", hex()),
        ("balance", uint()),
        ("stakes", array(&named("Stake"))),
        ("purse", object(&purse)),
    ];
    let status = one_of(&STATUSES);
    let spend = [
        ("id", hex()),
        ("wallet", hex()),
        ("number", uint()),
        ("epoch", uint()),
        ("operation", object(&[("kind", text())])),
        ("price", uint()),
        ("from_ms", uint()),
        ("until_ms", uint()),
        ("status", status.clone()),
        ("height", or_null(&uint())),
        ("votes", uint()),
        ("needed", uint()),
        ("carrier", or_null(&hex())),
        ("rejections", array(&object(&[("validator", hex()), ("kind", text())]))),
    ];
    let service = [
        ("id", hex()),
        ("provider", hex()),
        ("name", text()),
        ("open", flag()),
        ("price", uint()),
        ("kind", object(&[("kind", text())])),
        ("report_ms", uint()),
        ("silence", one_of(&["pay", "refund"])),
    ];
    let purchase = [
        ("request", hex()),
        ("requester", hex()),
        ("provider", hex()),
        ("price", uint()),
        ("due_ms", uint()),
        ("silence", one_of(&["pay", "refund"])),
    ];
    let parameters = ["threshold_percent", "needed", "members", "difficulty", "shares_per_coin", "vote_reward", "epoch_milestones"];
    let parameters: Vec<(&str, Value)> = parameters.into_iter().map(|name| (name, uint())).collect();
    let coins: Vec<(&str, Value)> =
        ["funded", "redeemed", "minted", "circulating", "registered"].into_iter().map(|name| (name, uint())).collect();
    vec![
        ("Stake", object(&stake)),
        ("Wallet", object(&wallet)),
        ("Ordered", object(&[("message", hex()), ("orders", array(&hex()))])),
        ("Spend", object(&spend)),
        ("Spends", page("spends", "Spend")),
        ("Carried", object(&[("spends", array(&object(&[("id", hex()), ("status", status)])))])),
        ("Certificate", object(&[("id", hex()), ("needed", uint()), ("votes", uint()), ("certificate", text())])),
        ("Service", object(&service)),
        ("Services", page("services", "Service")),
        ("Purchase", object(&purchase)),
        ("WalletParameters", object(&parameters)),
        ("Coins", object(&coins)),
    ]
}

fn registry() -> Forms {
    let device = [
        ("device", text()),
        ("state", one_of(&["active", "revoked"])),
        ("owner", hex()),
        ("role", uint()),
        ("key", or_null(&hex())),
        ("key_epoch", uint()),
        ("key_since", uint()),
        ("thing", or_null(&hex())),
        ("registered", uint()),
        ("changed", uint()),
    ];
    let devices = [("site", text()), ("owner", or_null(&hex())), ("devices", array(&named("Device"))), ("next", or_null(&text()))];
    let site = [("site", text()), ("owner", hex()), ("gateways", array(&hex())), ("devices", uint()), ("changes", uint())];
    vec![
        ("Device", object(&device)),
        ("Devices", object(&devices)),
        ("Site", object(&site)),
        ("DeviceKey", object(&[("key", hex()), ("device", text()), ("from", uint()), ("until", or_null(&uint()))])),
    ]
}

fn node() -> Forms {
    let alarm = [("kind", text()), ("since_ms", uint()), ("text", text()), ("todo", text())];
    let overview = [
        ("name", text()),
        ("network", hex()),
        ("height", uint()),
        ("epoch", uint()),
        ("committee", uint()),
        ("validator", flag()),
        ("cut_off", flag()),
        ("readings_per_s", number()),
        ("confirmed_per_s", number()),
        ("latency_ms", or_null(&object(&[("p50", number()), ("p99", number())]))),
        ("cache_depth", uint()),
        ("peers", uint()),
        ("tips", uint()),
        ("unconfirmed", uint()),
        ("alarms", array(&object(&alarm))),
    ];
    let status = [
        ("name", text()),
        ("site", or_null(&text())),
        ("network", hex()),
        ("subnet", uint()),
        ("key", hex()),
        ("version", text()),
        ("uptime_ms", uint()),
        ("ledger", object(&[("height", uint()), ("epoch", uint())])),
        ("committee", array(&named("Member"))),
    ];
    let token = [
        ("id", json!({ "type": "string", "pattern": "^[0-9a-f]{8}$" })),
        ("name", text()),
        ("scopes", array(&named("Scope"))),
        ("created_ms", uint()),
        ("expires_ms", or_null(&uint())),
        ("expired", flag()),
    ];
    let mut made = token.to_vec();
    made.push(("token", text()));
    vec![
        ("Overview", object(&overview)),
        ("Status", object(&status)),
        ("Session", object(&[("scopes", array(&named("Scope"))), ("name", or_null(&text())), ("open", flag())])),
        ("Token", object(&token)),
        ("Tokens", page("tokens", "Token")),
        ("MadeToken", object(&made)),
    ]
}
