//! Security schemes: what somebody who uses a thing must know or have.

use super::{Fault, Place, ThingError, list, object, one_or_more, optional, quoted, required, text, word, words_of};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const PLACES: [&str; 5] = ["header", "query", "body", "cookie", "auto"];
const KEY_PLACES: [&str; 6] = ["header", "query", "body", "cookie", "uri", "auto"];

/// The schemes that are defined, by name: at least one.
pub(super) fn definitions(at: &Place<'_>, value: &Value) -> Result<BTreeSet<String>, ThingError> {
    let members = object(at, value)?;
    if members.is_empty() {
        return Err(at.fault(Fault::Kind("an object with members")));
    }
    members.iter().try_for_each(|(name, value)| scheme(&at.child(name), value))?;
    Ok(members.keys().cloned().collect())
}

/// Names of schemes, at least one, each defined.
pub(super) fn names(at: &Place<'_>, value: &Value, defined: &BTreeSet<String>) -> Result<(), ThingError> {
    let names = one_or_more(at, value)?;
    match names.into_iter().find(|name| !defined.contains(*name)) {
        Some(name) => Err(at.fault(Fault::Undefined(quoted(name)))),
        None => Ok(()),
    }
}

fn scheme(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    let members = object(at, value)?;
    words_of(at, members)?;
    let texts = |names: &[&str]| names.iter().try_for_each(|name| optional(at, members, name, |at, value| text(at, value).map(drop)));
    let place = |places: &[&str]| optional(at, members, "in", |at, value| word(at, value, places));
    texts(&["proxy"])?;
    match text(&at.child("scheme"), required(at, members, "scheme")?)? {
        "nosec" => Ok(()),
        "auto" if members.contains_key("name") => Err(at.child("name").fault(Fault::Kind("left out for the scheme auto"))),
        "auto" => Ok(()),
        "combo" => combination(at, members),
        "basic" => place(&PLACES).and_then(|()| texts(&["name"])),
        "digest" => {
            optional(at, members, "qop", |at, value| word(at, value, &["auth", "auth-int"]))?;
            place(&PLACES).and_then(|()| texts(&["name"]))
        }
        "apikey" => place(&KEY_PLACES).and_then(|()| texts(&["name"])),
        "bearer" => place(&PLACES).and_then(|()| texts(&["name", "authorization", "alg", "format"])),
        "psk" => texts(&["identity"]),
        "oauth2" => {
            optional(at, members, "scopes", |at, value| match value {
                Value::Array(scopes) if scopes.is_empty() => Ok(()),
                _ => one_or_more(at, value).map(drop),
            })?;
            texts(&["authorization", "token", "refresh", "flow"])
        }
        // of another vocabulary
        other if other.find(':').is_some_and(|colon| colon > 0) => Ok(()),
        other => Err(at.child("scheme").fault(Fault::Word(quoted(other)))),
    }
}

/// A combination names others, all of which or one of which is needed.
fn combination(at: &Place<'_>, members: &Map<String, Value>) -> Result<(), ThingError> {
    let name = match (members.get("oneOf"), members.get("allOf")) {
        (Some(_), None) => "oneOf",
        (None, Some(_)) => "allOf",
        _ => return Err(at.fault(Fault::Kind("a combination by either oneOf or allOf"))),
    };
    optional(at, members, name, |at, value| {
        list(at, value, 2)?.iter().enumerate().try_for_each(|(i, scheme)| text(&at.item(i), scheme).map(drop))
    })
}
