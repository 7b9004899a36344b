//! The OpenAPI 3.1 document, and a page for people, both made from the table of routes.

use super::{AppState, routes, schema};
use crate::tokens::Scope;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Refusals that every path can give.
const REFUSALS: [(u16, &str); 13] = [
    (400, "It cannot be understood"),
    (401, "A token is needed, or another one"),
    (403, "Not for whoever asks"),
    (404, "It is not here"),
    (405, "Not with this method"),
    (408, "It took too long"),
    (409, "Not yet: try again"),
    (410, "Never any more"),
    (413, "More than is taken"),
    (415, "A body of another kind"),
    (422, "Understood, and cannot be done"),
    (429, "Too much at once: try again"),
    (503, "The node, or a part of it, does not answer"),
];

/// What a path takes as its body.
pub(super) struct Taken {
    /// Its media type.
    pub(super) media: &'static str,
    /// Its form.
    pub(super) schema: Value,
}

/// One method of one path.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What a token must allow; nothing is needed if none.
    pub(super) scope: Option<Scope>,
    /// Whether its answers carry an `ETag`.
    pub(super) tagged: bool,
    pub(super) handler: MethodRouter<AppState>,
    tag: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    taken: Option<Taken>,
    answers: Vec<(u16, Option<(&'static str, Value)>)>,
}

impl Endpoint {
    /// One that takes and answers nothing yet.
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        scope: Option<Scope>,
        tag: &'static str,
        summary: &'static str,
        handler: MethodRouter<AppState>,
    ) -> Self {
        Self { method, path, scope, tagged: false, handler, tag, summary, parameters: Vec::new(), taken: None, answers: Vec::new() }
    }

    /// It has this parameter in its path.
    pub(super) fn path(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": description }));
        self
    }

    /// It has this parameter behind the `?`.
    pub(super) fn query(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters.push(json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": description }));
        self
    }

    /// It takes a body.
    pub(super) fn takes(mut self, taken: Taken) -> Self {
        self.taken = Some(taken);
        self
    }

    /// It answers JSON of a named form.
    pub(super) fn json(self, name: &str) -> Self {
        self.answers_json(200, name)
    }

    /// The same with another status.
    pub(super) fn answers_json(self, status: u16, name: &str) -> Self {
        self.answers(status, "application/json", schema::named(name))
    }

    /// It answers this.
    pub(super) fn answers(mut self, status: u16, media: &'static str, schema: Value) -> Self {
        self.answers.push((status, Some((media, schema))));
        self
    }

    /// The same status in another form.
    pub(super) fn also(self, status: u16, media: &'static str, schema: Value) -> Self {
        self.answers(status, media, schema)
    }

    /// It answers without a body.
    pub(super) fn empty(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }

    /// Its answers carry an `ETag`.
    pub(super) fn tagged(mut self) -> Self {
        self.tagged = true;
        self
    }

    /// The path as OpenAPI writes it.
    fn template(&self) -> String {
        self.path.replace("{*", "{")
    }

    fn operation(&self) -> Value {
        let mut responses: Map<String, Value> = REFUSALS
            .iter()
            .map(|(status, _)| (status.to_string(), json!({ "$ref": format!("#/components/responses/{status}") })))
            .collect();
        for (status, answer) in &self.answers {
            let response = responses.entry(status.to_string()).or_insert_with(|| json!({ "description": self.summary }));
            if let (Some((media, schema)), Some(response)) = (answer, response.as_object_mut()) {
                let content = response.entry("content").or_insert_with(|| json!({}));
                if let Some(content) = content.as_object_mut() {
                    content.insert((*media).to_owned(), json!({ "schema": schema }));
                }
            }
        }
        if self.tagged {
            responses.insert("304".to_owned(), json!({ "description": "As the client has it (If-None-Match)" }));
        }
        let words = self.template().replace(['{', '}'], "");
        let words: Vec<&str> = words.split(['/', '-', '.']).filter(|word| !word.is_empty()).collect();
        let mut operation = json!({
            "operationId": format!("{}_{}", self.method, words.join("_")),
            "tags": [self.tag],
            "summary": self.summary,
            "responses": responses,
        });
        if let Some(fields) = operation.as_object_mut() {
            if !self.parameters.is_empty() {
                fields.insert("parameters".to_owned(), self.parameters.clone().into());
            }
            if let Some(taken) = &self.taken {
                let content = json!({ (taken.media): { "schema": taken.schema } });
                fields.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
            }
            let security = self.scope.map_or_else(|| json!([]), |scope| json!([{ "token": [scope.as_str()] }]));
            fields.insert("security".to_owned(), security);
        }
        operation
    }
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| made(&routes::table()).to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| written(&routes::table()));

/// `GET /api/openapi.json`.
pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// `GET /api`.
pub(super) async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)], PAGE.as_str())
}

/// The document of a table.
fn made(table: &[Endpoint]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in table {
        let path = paths.entry(endpoint.template()).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(endpoint.method.to_owned(), endpoint.operation());
        }
    }
    let refusals = REFUSALS.iter().map(|(status, words)| {
        let content = json!({ "application/problem+json": { "schema": schema::named("Problem") } });
        (status.to_string(), json!({ "description": words, "content": content }))
    });
    let token = "wattle_NUMBER_SECRET, as `wattle token create` makes it; programs on the node's machine may need none ([http] open)";
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "wattle",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A node of the wattle ledger. Ids and keys are lower-case hexadecimal; times are integers in the unit their name says.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schema::all(),
            "responses": refusals.collect::<Map<String, Value>>(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": token } },
        },
    })
}

/// The page of a table.
fn written(table: &[Endpoint]) -> String {
    let mut rows = String::new();
    for endpoint in table {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = |p: &Value| format!("<li><code>{}</code> {}</li>", escaped(&text(p, "name")), escaped(&text(p, "description")));
        let parameters: String = endpoint.parameters.iter().map(line).collect();
        rows.push_str(&format!(
            "<tr><td><code>{} {}</code></td><td>{}<ul>{parameters}</ul></td><td>{}</td></tr>\n",
            endpoint.method.to_uppercase(),
            escaped(&endpoint.template()),
            escaped(endpoint.summary),
            endpoint.scope.map_or("none", Scope::as_str),
        ));
    }
    format!(
        "<!doctype html>\n<html lang=\"en-GB\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>wattle: HTTP interface</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:70rem;margin:2rem auto;padding:0 1rem}}table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;\
         vertical-align:top;padding:.5rem;border-top:1px solid #8885}}code{{overflow-wrap:anywhere}}ul{{margin:0}}</style></head><body>\
         <h1>HTTP interface</h1><p>The same for programs: <a href=\"/api/openapi.json\">OpenAPI 3.1</a>. A token comes in \
         <code>Authorization: Bearer</code>.</p>\n<table><thead><tr><th scope=\"col\">Path</th><th scope=\"col\">What</th>\
         <th scope=\"col\">Scope</th></tr></thead><tbody>\n{rows}</tbody></table></body></html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match (name.as_str(), value) {
                ("$ref", Value::String(to)) => found.push(to.clone()),
                _ => references(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_refers_to_nothing_that_is_not_there() {
        let document = made(&routes::table());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for to in found {
            assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to} is not there");
        }
        // nor is there a schema that nobody refers to
        let mut used = Vec::new();
        references(&document, &mut used);
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(used.iter().any(|to| to.ends_with(&format!("/{name}"))), "nobody uses the schema {name}");
        }
    }

    #[test]
    fn each_operation_is_whole() {
        let (table, mut ids) = (routes::table(), BTreeSet::new());
        let document = made(&table);
        for endpoint in &table {
            let operation = &document["paths"][endpoint.template()][endpoint.method];
            assert!(ids.insert(operation["operationId"].to_string()), "{} twice", operation["operationId"]);
            assert!(!endpoint.answers.is_empty(), "{} answers nothing", endpoint.path);
            for part in endpoint.template().split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let declared = |p: &&Value| p["name"] == name && p["in"] == "path";
                assert_eq!(endpoint.parameters.iter().filter(declared).count(), 1, "{name} of {}", endpoint.path);
            }
        }
        assert!(written(&table).contains("/api/v1/receipts/{reference}"));
    }
}
