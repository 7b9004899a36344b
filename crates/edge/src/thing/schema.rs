//! Data schemas: what the values of a thing look like.

use super::{Fault, Place, ThingError, flag, list, object, optional, text, word, words_of};
use serde_json::Value;

const TYPES: [&str; 7] = ["boolean", "integer", "number", "string", "object", "array", "null"];

/// Named schemas.
pub(super) fn all(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    object(at, value)?.iter().try_for_each(|(name, value)| one(&at.child(name), value))
}

/// A list of schemas.
fn several(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    list(at, value, 0)?.iter().enumerate().try_for_each(|(i, value)| one(&at.item(i), value))
}

fn number(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    value.as_f64().map(drop).ok_or_else(|| at.fault(Fault::Kind("a number")))
}

/// A count; also one written as `3.0`.
fn count(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    let whole = value.as_u64().is_some() || value.as_f64().is_some_and(|n| n >= 0.0 && n.fract() == 0.0);
    if whole { Ok(()) } else { Err(at.fault(Fault::Kind("a whole number from 0 on"))) }
}

/// One schema. Its depth is bounded by the depth of what was parsed.
pub(super) fn one(at: &Place<'_>, value: &Value) -> Result<(), ThingError> {
    let members = object(at, value)?;
    words_of(at, members)?;
    optional(at, members, "type", |at, value| word(at, value, &TYPES))?;
    for name in ["readOnly", "writeOnly"] {
        optional(at, members, name, flag)?;
    }
    for name in ["unit", "format", "contentEncoding", "contentMediaType"] {
        optional(at, members, name, |at, value| text(at, value).map(drop))?;
    }
    for name in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
        optional(at, members, name, number)?;
    }
    for name in ["minItems", "maxItems", "minLength", "maxLength"] {
        optional(at, members, name, count)?;
    }
    optional(at, members, "multipleOf", |at, value| match value.as_f64() {
        Some(n) if n > 0.0 => Ok(()),
        _ => Err(at.fault(Fault::Kind("a number above 0"))),
    })?;
    optional(at, members, "enum", |at, value| list(at, value, 1).map(drop))?;
    optional(at, members, "required", |at, value| {
        list(at, value, 0)?.iter().enumerate().try_for_each(|(i, name)| text(&at.item(i), name).map(drop))
    })?;
    optional(at, members, "oneOf", several)?;
    optional(at, members, "items", |at, value| if value.is_array() { several(at, value) } else { one(at, value) })?;
    optional(at, members, "properties", |at, value| if value.is_object() { all(at, value) } else { Ok(()) })
}
