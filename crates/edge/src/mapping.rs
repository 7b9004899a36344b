//! JSON documents of any shape: which of their fields are readings.
//!
//! # Rules
//! - A field is named by a JSON pointer (RFC 6901). Its data type is `<data type of the topic>.<name>`, or the topic's
//!   own if the pipeline gives it no name.
//! - Numbers, truth values and texts are values; an object or an array is malformed. A field that is absent or null
//!   tells nothing, unless it is required.
//! - The time and the sequence number of the document, if it has them, are those of every reading.

use crate::malformed::complaint;
use crate::payload::{BadTime, Fault, FieldFault, Malformed, bounded_text, device_time, microseconds};
use protocol::{DeviceTopic, Name, Reading, Value};
use serde_json::Value as Json;

/// Which fields of a document are readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mapping {
    /// The fields, in the order of their readings.
    pub(crate) fields: Vec<Field>,
    /// Where the time is, and how it is written.
    pub(crate) time: Option<(String, Clock)>,
    /// Where the sequence number is.
    pub(crate) sequence: Option<String>,
}

/// One field that is a reading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Where it is.
    pub(crate) pointer: String,
    /// What stands behind the data type of the topic; none for the topic's own.
    pub(crate) data_type: Option<String>,
    /// The unit of its values.
    pub(crate) unit: Option<String>,
    /// The only type it may have.
    pub(crate) kind: Option<Kind>,
    /// Whether a document without it is malformed.
    pub(crate) required: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number.
    Number,
    /// A truth value.
    Boolean,
    /// A text.
    Text,
    /// Bytes, which no field of a document is.
    Bytes,
}

impl Kind {
    /// Every type.
    pub(crate) const ALL: [Self; 4] = [Self::Number, Self::Boolean, Self::Text, Self::Bytes];

    /// The word for it in configurations.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }

    /// The type of `value`.
    pub(crate) const fn of(value: &Value) -> Self {
        match value {
            Value::Number(_) => Self::Number,
            Value::Boolean(_) => Self::Boolean,
            Value::Text(_) => Self::Text,
            Value::Bytes(_) => Self::Bytes,
        }
    }
}

/// How a document writes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// A number since 1970, in units of so many microseconds.
    Units {
        /// One unit, in microseconds.
        unit_us: u32,
    },
    /// A text by RFC 3339.
    Rfc3339,
}

/// The readings that a document tells.
pub(crate) fn decode(
    topic: &DeviceTopic,
    payload: &[u8],
    mapping: &Mapping,
    arrival_us: u64,
    bad_time: BadTime,
) -> Result<Vec<Reading>, Malformed> {
    let document: Json = serde_json::from_slice(payload).map_err(|why| Malformed::Document(complaint(&why)))?;
    let time_us = match &mapping.time {
        None => arrival_us,
        Some((pointer, clock)) => time(&document, pointer, *clock, arrival_us, bad_time)?,
    };
    let sequence = match &mapping.sequence {
        None => None,
        Some(pointer) => sequence(&document, pointer)?,
    };
    let mut readings = Vec::with_capacity(mapping.fields.len());
    for field in &mapping.fields {
        let wrong = |fault| Malformed::Field { pointer: field.pointer.clone(), fault };
        let Some(value) = field.value(&document).map_err(wrong)? else { continue };
        let data_type = match &field.data_type {
            None => topic.data_type.clone(),
            Some(name) => {
                let data_type = format!("{}.{name}", topic.data_type);
                Name::new(&data_type).map_err(|why| wrong(FieldFault::Name { data_type: data_type.clone(), why }))?
            }
        };
        let topic = DeviceTopic { data_type, ..topic.clone() };
        readings.push(Reading { topic, time_us, sequence, unit: field.unit.clone(), value, signed: None });
    }
    if readings.is_empty() { Err(Malformed::NoFields) } else { Ok(readings) }
}

impl Field {
    fn value(&self, document: &Json) -> Result<Option<Value>, FieldFault> {
        let found = document.pointer(&self.pointer).filter(|found| !found.is_null());
        let value = match found {
            None if self.required => return Err(FieldFault::Missing),
            None => return Ok(None),
            Some(Json::Number(number)) => number.as_f64().and_then(Value::number).ok_or(Fault::NotFinite)?,
            Some(Json::Bool(boolean)) => Value::Boolean(*boolean),
            Some(Json::String(text)) => bounded_text(text.clone())?,
            Some(other) => return Err(FieldFault::Type { expected: "a number, true, false or a text", found: called(other) }),
        };
        match self.kind {
            Some(kind) if kind != Kind::of(&value) => Err(FieldFault::Type { expected: kind.name(), found: Kind::of(&value).name() }),
            _ => Ok(Some(value)),
        }
    }
}

fn called(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// The time of a document; that of the arrival if it has none.
fn time(document: &Json, pointer: &str, clock: Clock, arrival_us: u64, bad_time: BadTime) -> Result<u64, Malformed> {
    let wrong = |fault| Malformed::Field { pointer: pointer.to_owned(), fault };
    let Some(found) = document.pointer(pointer).filter(|found| !found.is_null()) else { return Ok(arrival_us) };
    let time_us = match (clock, found) {
        (Clock::Units { unit_us }, Json::Number(number)) => number.as_f64().and_then(|amount| microseconds(amount, f64::from(unit_us))),
        (Clock::Rfc3339, Json::String(text)) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond),
        (Clock::Units { .. }, other) => return Err(wrong(FieldFault::Type { expected: "a number", found: called(other) })),
        (Clock::Rfc3339, other) => return Err(wrong(FieldFault::Type { expected: "a text by RFC 3339", found: called(other) })),
    };
    let time_us = time_us.and_then(|us| u64::try_from(us).ok());
    device_time(time_us, arrival_us, bad_time).map_err(|fault| wrong(fault.into()))
}

fn sequence(document: &Json, pointer: &str) -> Result<Option<u64>, Malformed> {
    match document.pointer(pointer).filter(|found| !found.is_null()) {
        None => Ok(None),
        Some(found) => found.as_u64().map(Some).ok_or_else(|| Malformed::Field {
            pointer: pointer.to_owned(),
            fault: FieldFault::Type { expected: "a whole number from 0", found: called(found) },
        }),
    }
}
