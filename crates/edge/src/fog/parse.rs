//! How a pipeline reads payloads (FOG-5 to FOG-11).

use crate::cayenne::{self, Channel};
use crate::fog::error::{Checked, Wrong};
use crate::fog::table::{At, Table};
use crate::malformed::Malformed;
use crate::mapping::{self, Clock, Field, Kind, Mapping};
use crate::payload::{self, BadTime, Told};
use crate::{senml, senml_cbor};
use protocol::limits::UNIT_BYTES_MAX;
use protocol::{DeviceTopic, Name, Reading};
use std::collections::BTreeSet;

/// Fields or channels of one pipeline.
const PARTS_MAX: usize = 256;
/// Bytes of a JSON pointer.
const POINTER_BYTES_MAX: usize = 256;

/// How payloads are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parse {
    format: Format,
    bad_time: BadTime,
    required: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Format {
    Auto,
    Raw,
    Json(Mapping),
    SenmlJson,
    SenmlCbor,
    CayenneLpp(Vec<Channel>),
}

impl Default for Parse {
    fn default() -> Self {
        Self { format: Format::Auto, bad_time: BadTime::Refuse, required: Vec::new() }
    }
}

impl Parse {
    /// Reads the table `parse`.
    pub(crate) fn read(mut table: Table<'_>) -> Checked<Self> {
        let found = table.text("format")?;
        let found = table.required("format", found)?;
        let format = match found.value {
            "auto" => Format::Auto,
            "raw" => Format::Raw,
            "json" => Format::Json(mapping(&mut table)?),
            "senml+json" => Format::SenmlJson,
            "senml+cbor" => Format::SenmlCbor,
            "cayenne-lpp" => Format::CayenneLpp(channels(&mut table)?),
            other => {
                let known = "auto, raw, json, senml+json, senml+cbor or cayenne-lpp";
                return Err(found.wrong(format!("{other:?} is no format: take {known}")));
            }
        };
        let bad_time = match table.text("bad_time")? {
            None => BadTime::Refuse,
            Some(found) => match found.value {
                "reject" => BadTime::Refuse,
                "arrival" => BadTime::Arrival,
                other => return Err(found.wrong(format!("{other:?} is neither \"reject\" nor \"arrival\""))),
            },
        };
        let required: Vec<String> = table.texts("required")?.into_iter().map(|found| found.value.to_owned()).collect();
        table.finish()?;
        Ok(Self { format, bad_time, required })
    }

    /// The word for its format.
    pub(crate) const fn format(&self) -> &'static str {
        match self.format {
            Format::Auto => "auto",
            Format::Raw => "raw",
            Format::Json(_) => "json",
            Format::SenmlJson => "senml+json",
            Format::SenmlCbor => "senml+cbor",
            Format::CayenneLpp(_) => "cayenne-lpp",
        }
    }

    /// The readings that `payload` tells.
    ///
    /// # Errors
    /// [`Malformed`] if it is not of the format, or lacks what is required.
    pub(crate) fn decode(&self, topic: &DeviceTopic, payload: &[u8], arrival_us: u64) -> Result<Vec<Reading>, Malformed> {
        payload::bounded(payload)?;
        let readings = match &self.format {
            Format::Auto => match payload::told_apart(topic, payload, arrival_us, self.bad_time)? {
                Told::Readings(readings) => readings,
                Told::Signed(_) => return Err(Malformed::Signed),
            },
            Format::Raw => {
                let value = payload::bounded_bytes(payload.to_vec()).map_err(Malformed::Value)?;
                vec![Reading { topic: topic.clone(), time_us: arrival_us, sequence: None, unit: None, value, signed: None }]
            }
            Format::Json(mapping) => mapping::decode(topic, payload, mapping, arrival_us, self.bad_time)?,
            Format::SenmlJson => senml::decode(topic, payload, arrival_us, self.bad_time)?,
            Format::SenmlCbor => senml_cbor::decode(topic, payload, arrival_us, self.bad_time)?,
            Format::CayenneLpp(channels) => cayenne::decode(topic, payload, channels, arrival_us)?,
        };
        for required in &self.required {
            let own = topic.data_type.as_str();
            let told = |reading: &Reading| {
                let rest = reading.topic.data_type.as_str().strip_prefix(own).and_then(|rest| rest.strip_prefix('.'));
                rest == Some(required.as_str())
            };
            if !readings.iter().any(told) {
                return Err(Malformed::Missing(required.clone()));
            }
        }
        Ok(readings)
    }
}

/// The keys of JSON documents: `field`, `time`, `time_format`, `sequence`.
fn mapping(table: &mut Table<'_>) -> Checked<Mapping> {
    let mut fields = Vec::new();
    let mut seen = BTreeSet::new();
    for mut one in table.tables("field")? {
        let field = field(&mut one)?;
        if !seen.insert(field.data_type.clone()) {
            return Err(one.wrong("two fields have one data type: their readings could not be told apart"));
        }
        one.finish()?;
        fields.push(field);
    }
    if fields.is_empty() || fields.len() > PARTS_MAX {
        return Err(table.wrong(format!("a JSON pipeline has 1 to {PARTS_MAX} [[pipeline.parse.field]]")));
    }
    let time = table.text("time")?;
    let clock = match table.text("time_format")? {
        None => Clock::Units { unit_us: 1_000 },
        Some(found) if time.is_none() => return Err(found.wrong("`time_format` is for `time`, which is missing")),
        Some(found) => match found.value {
            "s" => Clock::Units { unit_us: 1_000_000 },
            "ms" => Clock::Units { unit_us: 1_000 },
            "us" => Clock::Units { unit_us: 1 },
            "rfc3339" => Clock::Rfc3339,
            other => return Err(found.wrong(format!("{other:?} is none of s, ms, us and rfc3339"))),
        },
    };
    let time = match time {
        None => None,
        Some(found) => Some((pointer(found)?, clock)),
    };
    let sequence = table.text("sequence")?.map(pointer).transpose()?;
    Ok(Mapping { fields, time, sequence })
}

fn field(table: &mut Table<'_>) -> Checked<Field> {
    let found = table.text("pointer")?;
    let at = pointer(table.required("pointer", found)?)?;
    let data_type = table.text("data_type")?.map(suffix).transpose()?;
    let unit = match table.text("unit")? {
        Some(found) if found.value.is_empty() || found.value.len() > UNIT_BYTES_MAX || found.value.chars().any(char::is_control) => {
            return Err(found.wrong(format!("a unit has 1 to {UNIT_BYTES_MAX} bytes and no control characters")));
        }
        found => found.map(|found| found.value.to_owned()),
    };
    let kind = match table.text("type")? {
        None => None,
        Some(found) => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == found.value && *kind != Kind::Bytes);
            Some(kind.ok_or_else(|| found.wrong(format!("{:?} is none of number, boolean and text", found.value)))?)
        }
    };
    Ok(Field { pointer: at, data_type, unit, kind, required: table.flag("required", false)? })
}

/// A JSON pointer (RFC 6901).
fn pointer(found: At<&str>) -> Result<String, Wrong> {
    let text = found.value;
    let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    match text.len() <= POINTER_BYTES_MAX && escapes && (text.is_empty() || text.starts_with('/')) {
        true => Ok(text.to_owned()),
        false => Err(found.wrong(format!("{text:?} is no JSON pointer: write /a/b, at most {POINTER_BYTES_MAX} bytes"))),
    }
}

/// What stands behind a topic's data type.
fn suffix(found: At<&str>) -> Result<String, Wrong> {
    match Name::new(found.value) {
        Ok(_) => Ok(found.value.to_owned()),
        Err(why) => Err(found.wrong(format!("{:?} cannot be a data type: {why}", found.value))),
    }
}

/// The tables `channel` of Cayenne LPP.
fn channels(table: &mut Table<'_>) -> Checked<Vec<Channel>> {
    let mut channels: Vec<Channel> = Vec::new();
    for mut one in table.tables("channel")? {
        let channel = one.integer("channel", 0, u64::from(u8::MAX))?;
        let channel = u8::try_from(one.required("channel", channel)?.value).unwrap_or_default();
        let code = match one.text("type")? {
            None => None,
            Some(found) => {
                let names: Vec<&str> = cayenne::names().collect();
                let code = cayenne::code(found.value);
                Some(code.ok_or_else(|| found.wrong(format!("{:?} is none of {}", found.value, names.join(", "))))?)
            }
        };
        let data_type = one.text("data_type")?;
        let data_type = suffix(one.required("data_type", data_type)?)?;
        if channels.iter().any(|other| other.channel == channel && other.code == code) || channels.len() >= PARTS_MAX {
            return Err(one.wrong(format!("the channel is named twice, or there are more than {PARTS_MAX}")));
        }
        one.finish()?;
        channels.push(Channel { channel, code, data_type });
    }
    // what names one type of a channel goes before what names the others
    channels.sort_by_key(|channel| channel.code.is_none());
    Ok(channels)
}
