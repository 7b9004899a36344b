//! Thing Descriptions: what a device says of itself (W3C Web of Things, Thing Description 1.1).
//!
//! # Rules
//! - A description is accepted if it has the members that TD 1.1 requires, each of the right kind, and whatever it has
//!   beside them of TD 1.1 is of the right kind too. That is the specification's JSON schema, written out, so that a
//!   refusal says where and what. Two things differ: names under `security` must be defined, which the schema cannot say,
//!   and the elements of an `enum` need not be distinct.
//! - Members of other vocabularies are left alone. Nothing is looked up: no context is fetched, no address tried.
//! - A description is kept and hashed as the bytes it came in.

mod schema;
mod security;

use serde_json::{Map, Value};
use std::collections::BTreeSet;
use thiserror::Error;

/// Bytes of a Thing Description.
pub const THING_BYTES_MAX: usize = 64 * 1024;
/// Bytes of what a refusal quotes.
const QUOTE_BYTES_MAX: usize = 200;

/// The vocabulary of TD 1.1, and that of TD 1.0 before it.
const CONTEXTS: [&str; 2] = ["https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2019/wot/td/v1"];
const OPS_THING: [&str; 9] = [
    "readallproperties",
    "writeallproperties",
    "readmultipleproperties",
    "writemultipleproperties",
    "observeallproperties",
    "unobserveallproperties",
    "queryallactions",
    "subscribeallevents",
    "unsubscribeallevents",
];
const OPS_PROPERTY: [&str; 4] = ["readproperty", "writeproperty", "observeproperty", "unobserveproperty"];
const OPS_ACTION: [&str; 3] = ["invokeaction", "queryaction", "cancelaction"];
const OPS_EVENT: [&str; 2] = ["subscribeevent", "unsubscribeevent"];

/// What is wrong at one place of a description.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A member that must be there.
    #[error("{0:?} is missing")]
    Missing(&'static str),
    /// A value of another kind.
    #[error("it must be {0}")]
    Kind(&'static str),
    /// A word that TD 1.1 does not know there.
    #[error("{0:?} is none of the words that TD 1.1 has for this")]
    Word(String),
    /// A security scheme that nobody defined.
    #[error("{0:?} is not among securityDefinitions")]
    Undefined(String),
    /// The context is not that of a Thing Description.
    #[error("it must begin with {}", CONTEXTS[0])]
    Context,
    /// A model, from which descriptions are made.
    #[error("this is a Thing Model: make a Thing Description of it")]
    Model,
}

/// Why a Thing Description is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ThingError {
    /// Too many bytes.
    #[error("it has {0} bytes, the limit is {THING_BYTES_MAX}")]
    TooLarge(usize),
    /// Not a JSON object.
    #[error("it is not a JSON object: {0}")]
    Json(String),
    /// Something in it.
    #[error("at {at}: {fault}")]
    At {
        /// Where, as a JSON pointer (RFC 6901); `/` for the whole.
        at: String,
        /// What is wrong.
        fault: Fault,
    },
}

/// What is read of a description that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// What people call it.
    pub title: String,
    /// Its identifier, a URI, if it has one.
    pub id: Option<String>,
    /// How many properties, actions and events it offers.
    pub affordances: [usize; 3],
}

/// Checks a description.
///
/// # Errors
/// [`ThingError`] naming the first thing that is wrong.
pub fn check(bytes: &[u8]) -> Result<Thing, ThingError> {
    if bytes.len() > THING_BYTES_MAX {
        return Err(ThingError::TooLarge(bytes.len()));
    }
    let thing: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| ThingError::Json(quoted(&e.to_string())))?;
    let root = Place::root();
    let title = required(&root, &thing, "title")?;
    let title = text(&root.child("title"), title)?.to_owned();
    context(&root.child("@context"), required(&root, &thing, "@context")?)?;
    words_of(&root, &thing)?;
    let defined = security::definitions(&root.child("securityDefinitions"), required(&root, &thing, "securityDefinitions")?)?;
    security::names(&root.child("security"), required(&root, &thing, "security")?, &defined)?;
    for name in ["id", "base", "support", "created", "modified"] {
        optional(&root, &thing, name, |at, value| text(at, value).map(drop))?;
    }
    optional(&root, &thing, "version", |at, value| {
        let version = object(at, value)?;
        text(&at.child("instance"), required(at, version, "instance")?).map(drop)
    })?;
    optional(&root, &thing, "profile", |at, value| one_or_more(at, value).map(drop))?;
    optional(&root, &thing, "links", |at, value| list(at, value, 0)?.iter().enumerate().try_for_each(|(i, l)| link(&at.item(i), l)))?;
    optional(&root, &thing, "schemaDefinitions", |at, value| match object(at, value)?.is_empty() {
        true => Err(at.fault(Fault::Kind("an object with members"))),
        false => schema::all(at, value),
    })?;
    optional(&root, &thing, "uriVariables", schema::all)?;
    optional(&root, &thing, "forms", |at, value| {
        let with_op = |at: &Place<'_>, value: &Value| {
            required(at, object(at, value)?, "op")?;
            form(at, value, &OPS_THING, &defined)
        };
        list(at, value, 1)?.iter().enumerate().try_for_each(|(i, f)| with_op(&at.item(i), f))
    })?;
    let mut affordances = [0; 3];
    let kinds: [(&str, &[&str]); 3] = [("properties", &OPS_PROPERTY), ("actions", &OPS_ACTION), ("events", &OPS_EVENT)];
    for ((kind, ops), count) in kinds.into_iter().zip(&mut affordances) {
        optional(&root, &thing, kind, |at, value| {
            let all = object(at, value)?;
            *count = all.len();
            all.iter().try_for_each(|(name, value)| affordance(&at.child(name), value, kind, ops, &defined))
        })?;
    }
    let id = thing.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(Thing { title, id, affordances })
}

/// A place in the document.
struct Place<'a> {
    above: Option<&'a Place<'a>>,
    name: String,
}

impl Place<'_> {
    fn root() -> Self {
        Self { above: None, name: String::new() }
    }

    fn child<'a>(&'a self, name: &str) -> Place<'a> {
        Place { above: Some(self), name: name.replace('~', "~0").replace('/', "~1") }
    }

    fn item(&self, index: usize) -> Place<'_> {
        Place { above: Some(self), name: index.to_string() }
    }

    fn pointer(&self) -> String {
        match self.above {
            None => String::new(),
            Some(above) => format!("{}/{}", above.pointer(), self.name),
        }
    }

    fn fault(&self, fault: Fault) -> ThingError {
        let pointer = self.pointer();
        let at = if pointer.is_empty() { "/".to_owned() } else { quoted(&pointer) };
        ThingError::At { at, fault }
    }
}

/// Text of a bounded length.
fn quoted(text: &str) -> String {
    let mut text = text.to_owned();
    text.truncate(text.floor_char_boundary(QUOTE_BYTES_MAX));
    text
}

fn required<'v>(at: &Place<'_>, members: &'v Map<String, Value>, name: &'static str) -> Result<&'v Value, ThingError> {
    members.get(name).ok_or_else(|| at.fault(Fault::Missing(name)))
}

fn optional(
    at: &Place<'_>,
    members: &Map<String, Value>,
    name: &str,
    check: impl FnOnce(&Place<'_>, &Value) -> Result<(), ThingError>,
) -> Result<(), ThingError> {
    members.get(name).map_or(Ok(()), |value| check(&at.child(name), value))
}

fn object<'v>(at: &Place<'_>, value: &'v Value) -> Result<&'v Map<String, Value>, ThingError> {
    value.as_object().ok_or_else(|| at.fault(Fault::Kind("an object")))
}

fn text<'v>(at: &Place<'_>, value: &'v Value) -> Result<&'v str, ThingError> {
    value.as_str().ok_or_else(|| at.fault(Fault::Kind("text")))
}

fn flag(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    value.as_bool().map(drop).ok_or_else(|| at.fault(Fault::Kind("true or false")))
}

/// A list of at least `least` elements.
fn list<'v>(at: &Place<'_>, value: &'v Value, least: usize) -> Result<&'v [Value], ThingError> {
    let list = value.as_array().ok_or_else(|| at.fault(Fault::Kind("a list")))?;
    match list.len() < least {
        true => Err(at.fault(Fault::Kind("a list with enough elements"))),
        false => Ok(list),
    }
}

/// A text, or a list of texts, at least one.
fn one_or_more<'v>(at: &Place<'_>, value: &'v Value) -> Result<Vec<&'v str>, ThingError> {
    match value {
        Value::String(one) => Ok(vec![one]),
        _ => list(at, value, 1)?.iter().enumerate().map(|(i, v)| text(&at.item(i), v)).collect(),
    }
}

/// A text that is one of `words`.
fn word(at: &Place<'_>, value: &Value, words: &[&str]) -> Result<(), ThingError> {
    let found = text(at, value)?;
    match words.contains(&found) {
        true => Ok(()),
        false => Err(at.fault(Fault::Word(quoted(found)))),
    }
}

/// What every part may say of itself: types, titles, descriptions.
fn words_of(at: &Place<'_>, members: &Map<String, Value>) -> Result<(), ThingError> {
    optional(at, members, "@type", |at, value| {
        let types = match value {
            Value::Array(types) if types.is_empty() => Vec::new(),
            _ => one_or_more(at, value)?,
        };
        match types.contains(&"tm:ThingModel") {
            true => Err(at.fault(Fault::Model)),
            false => Ok(()),
        }
    })?;
    for name in ["title", "description"] {
        optional(at, members, name, |at, value| text(at, value).map(drop))?;
    }
    for name in ["titles", "descriptions"] {
        optional(at, members, name, |at, value| {
            object(at, value)?.iter().try_for_each(|(language, value)| text(&at.child(language), value).map(drop))
        })?;
    }
    Ok(())
}

/// The context: that of TD 1.1, or that of TD 1.0 and what follows it.
fn context(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    let rest = match value {
        Value::String(one) if CONTEXTS.contains(&one.as_str()) => return Ok(()),
        Value::Array(list) => match list.split_first() {
            Some((Value::String(first), rest)) if CONTEXTS.contains(&first.as_str()) => rest,
            _ => return Err(at.fault(Fault::Context)),
        },
        _ => return Err(at.fault(Fault::Context)),
    };
    match rest.iter().all(|v| v.is_string() || v.is_object()) {
        true => Ok(()),
        false => Err(at.fault(Fault::Kind("a list of addresses and objects"))),
    }
}

fn link(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    let members = object(at, value)?;
    text(&at.child("href"), required(at, members, "href")?)?;
    for name in ["type", "rel", "anchor", "sizes"] {
        optional(at, members, name, |at, value| text(at, value).map(drop))?;
    }
    optional(at, members, "hreflang", |at, value| one_or_more(at, value).map(drop))?;
    match members.get("rel").and_then(Value::as_str) {
        Some("tm:extends") => Err(at.fault(Fault::Word("tm:extends".to_owned()))),
        rel if rel != Some("icon") && members.contains_key("sizes") => {
            Err(at.child("sizes").fault(Fault::Kind("left out: only icons have sizes")))
        }
        _ => Ok(()),
    }
}

/// A form: how to do one or more of `ops`.
fn form(at: &Place<'_>, value: &Value, ops: &[&str], defined: &BTreeSet<String>) -> Result<(), ThingError> {
    let members = object(at, value)?;
    text(&at.child("href"), required(at, members, "href")?)?;
    optional(at, members, "op", |at, value| match value {
        Value::Array(_) => list(at, value, 1)?.iter().enumerate().try_for_each(|(i, v)| word(&at.item(i), v, ops)),
        _ => word(at, value, ops),
    })?;
    for name in ["contentType", "contentCoding", "subprotocol"] {
        optional(at, members, name, |at, value| text(at, value).map(drop))?;
    }
    optional(at, members, "security", |at, value| security::names(at, value, defined))?;
    optional(at, members, "scopes", |at, value| match value {
        Value::Array(list) if list.is_empty() => Ok(()),
        _ => one_or_more(at, value).map(drop),
    })?;
    optional(at, members, "response", |at, value| {
        text(&at.child("contentType"), required(at, object(at, value)?, "contentType")?).map(drop)
    })?;
    optional(at, members, "additionalResponses", |at, value| {
        list(at, value, 0)?.iter().enumerate().try_for_each(|(i, response)| {
            let (at, members) = (at.item(i), object(&at.item(i), response)?);
            for name in ["contentType", "schema"] {
                optional(&at, members, name, |at, value| text(at, value).map(drop))?;
            }
            optional(&at, members, "success", flag)
        })
    })
}

/// A property, an action or an event.
fn affordance(at: &Place<'_>, value: &Value, kind: &str, ops: &[&str], defined: &BTreeSet<String>) -> Result<(), ThingError> {
    let members = object(at, value)?;
    words_of(at, members)?;
    let (forms, place) = (required(at, members, "forms")?, at.child("forms"));
    list(&place, forms, 1)?.iter().enumerate().try_for_each(|(i, f)| form(&place.item(i), f, ops, defined))?;
    optional(at, members, "uriVariables", schema::all)?;
    let (schemas, flags): (&[&str], &[&str]) = match kind {
        "actions" => (&["input", "output"], &["safe", "idempotent", "synchronous"]),
        "events" => (&["subscription", "data", "dataResponse", "cancellation"], &[]),
        _ => (&[], &["observable"]),
    };
    schemas.iter().try_for_each(|name| optional(at, members, name, schema::one))?;
    flags.iter().try_for_each(|name| optional(at, members, name, flag))?;
    // a property is a data schema itself
    if kind == "properties" { schema::one(at, value) } else { Ok(()) }
}
