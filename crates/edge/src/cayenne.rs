//! Cayenne Low Power Payload: what LoRa devices pack their values into.
//!
//! ```text
//! channel u8 | type u8 | value, big-endian, its length by the type    … once for each value
//! ```
//! # Rules
//! - The types are those of the original table (0 to 3, 101 to 104, 113, 115, 134, 136) and the usual extensions.
//!   An unknown type is malformed: its length is unknown, so what follows cannot be read.
//! - A value's data type is `<data type of the topic>.<type>_<channel>`, or `<data type of the topic>.<name>` if the
//!   pipeline names the channel; values of several parts have `.x`, `.y`, `.z`, or `.lat`, `.lon`, `.alt`, or `.r`,
//!   `.g`, `.b` behind it.
//! - Accelerations come in multiples of standard gravity and are told in m/s² (1 g = 9.80665 m/s²).

use crate::payload::{LppFault, Malformed};
use protocol::{DeviceTopic, Name, Reading, Value};
use std::collections::BTreeSet;

/// Standard gravity, in m/s².
const STANDARD_GRAVITY: f64 = 9.806_65;
/// Bytes before a value: its channel and its type.
const HEADER_BYTES: usize = 2;

/// A type of the tables.
struct Kind {
    code: u8,
    name: &'static str,
    /// Bytes of each part.
    bytes: usize,
    signed: bool,
    /// The value is the integer, divided by this …
    divisor: f64,
    /// … and multiplied by this.
    factor: f64,
    unit: Option<&'static str>,
    parts: &'static [&'static str],
}

const ONE: &[&str] = &[""];
const AXES: &[&str] = &[".x", ".y", ".z"];

const fn kind(code: u8, name: &'static str, bytes: usize, signed: bool, divisor: f64, unit: Option<&'static str>) -> Kind {
    Kind { code, name, bytes, signed, divisor, factor: 1.0, unit, parts: ONE }
}

/// Every type but 136, whose parts differ in scale.
static KINDS: [Kind; 25] = [
    kind(0, "digital_input", 1, false, 1.0, None),
    kind(1, "digital_output", 1, false, 1.0, None),
    kind(2, "analog_input", 2, true, 100.0, None),
    kind(3, "analog_output", 2, true, 100.0, None),
    kind(100, "generic", 4, false, 1.0, None),
    kind(101, "illuminance", 2, false, 1.0, Some("lx")),
    kind(102, "presence", 1, false, 1.0, None),
    kind(103, "temperature", 2, true, 10.0, Some("Cel")),
    kind(104, "humidity", 1, false, 2.0, Some("%RH")),
    Kind { factor: STANDARD_GRAVITY, parts: AXES, ..kind(113, "acceleration", 2, true, 1000.0, Some("m/s2")) },
    kind(115, "pressure", 2, false, 10.0, Some("hPa")),
    kind(116, "voltage", 2, false, 100.0, Some("V")),
    kind(117, "current", 2, false, 1000.0, Some("A")),
    kind(118, "frequency", 4, false, 1.0, Some("Hz")),
    kind(120, "percentage", 1, false, 1.0, Some("%")),
    kind(121, "altitude", 2, true, 1.0, Some("m")),
    kind(125, "concentration", 2, false, 1.0, Some("ppm")),
    kind(128, "power", 2, false, 1.0, Some("W")),
    kind(130, "distance", 4, false, 1000.0, Some("m")),
    kind(131, "energy", 4, false, 1000.0, Some("kWh")),
    kind(132, "direction", 2, false, 1.0, Some("deg")),
    kind(133, "unixtime", 4, false, 1.0, Some("s")),
    Kind { parts: AXES, ..kind(134, "gyration", 2, true, 100.0, Some("deg/s")) },
    Kind { parts: &[".r", ".g", ".b"], ..kind(135, "colour", 1, false, 1.0, None) },
    kind(142, "switch", 1, false, 1.0, None),
];
/// The code of a place: 3 bytes each of latitude and longitude (0.0001 °) and of altitude (0.01 m).
const PLACE: u8 = 136;
const PLACE_NAME: &str = "place";
const PLACE_PARTS: [(&str, f64, &str); 3] = [(".lat", 10_000.0, "lat"), (".lon", 10_000.0, "lon"), (".alt", 100.0, "m")];
const PLACE_PART_BYTES: usize = 3;

/// How a pipeline calls a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    /// Which.
    pub(crate) channel: u8,
    /// Of which type only, if several types share the channel.
    pub(crate) code: Option<u8>,
    /// What stands behind the data type of the topic.
    pub(crate) data_type: String,
}

/// The code of a type by its name.
pub(crate) fn code(name: &str) -> Option<u8> {
    KINDS.iter().find(|kind| kind.name == name).map(|kind| kind.code).or((name == PLACE_NAME).then_some(PLACE))
}

/// The names of all types.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name).chain([PLACE_NAME])
}

/// One number of a payload: what stands behind its data type, its value and its unit.
struct Part {
    suffix: &'static str,
    number: f64,
    unit: Option<&'static str>,
}

/// The readings that `payload` tells; each has the time of the arrival.
pub(crate) fn decode(topic: &DeviceTopic, payload: &[u8], channels: &[Channel], arrival_us: u64) -> Result<Vec<Reading>, Malformed> {
    let mut readings = Vec::new();
    let mut seen = BTreeSet::new();
    let mut at = 0usize;
    while let Some(rest) = payload.get(at..).filter(|rest| !rest.is_empty()) {
        let wrong = |fault| Malformed::CayenneLpp { at, fault };
        let (&[channel, code], body) = rest.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| wrong(LppFault::CutOff("header")))?;
        let (name, length, parts) = value(code, body).map_err(wrong)?;
        for part in parts {
            let data_type = data_type(topic, channels, (channel, code, name), part.suffix);
            let level = Name::new(&data_type).map_err(|why| wrong(LppFault::Name { data_type: data_type.clone(), why }))?;
            if !seen.insert(level.clone()) {
                return Err(wrong(LppFault::Clash(data_type)));
            }
            readings.push(Reading {
                topic: DeviceTopic { data_type: level, ..topic.clone() },
                time_us: arrival_us,
                sequence: None,
                unit: part.unit.map(str::to_owned),
                // A quotient of an integer and a number above zero is finite.
                value: Value::number(part.number).unwrap_or(Value::Number(0.0)),
                signed: None,
            });
        }
        at = at.saturating_add(HEADER_BYTES).saturating_add(length);
    }
    Ok(readings)
}

fn data_type(topic: &DeviceTopic, channels: &[Channel], (channel, code, name): (u8, u8, &str), suffix: &str) -> String {
    let own = topic.data_type.as_str();
    let named = channels.iter().find(|c| c.channel == channel && c.code.is_none_or(|only| only == code));
    match named {
        Some(named) => format!("{own}.{}{suffix}", named.data_type),
        None => format!("{own}.{name}_{channel}{suffix}"),
    }
}

/// The name of a type, the bytes of its value and the numbers in it.
fn value(code: u8, body: &[u8]) -> Result<(&'static str, usize, Vec<Part>), LppFault> {
    if code == PLACE {
        let length = PLACE_PART_BYTES * PLACE_PARTS.len();
        let bytes = body.get(..length).ok_or(LppFault::CutOff(PLACE_NAME))?;
        let parts = bytes.chunks(PLACE_PART_BYTES).zip(PLACE_PARTS);
        let parts = parts.map(|(bytes, (suffix, divisor, unit))| Part { suffix, number: integer(bytes, true) / divisor, unit: Some(unit) });
        return Ok((PLACE_NAME, length, parts.collect()));
    }
    let kind = KINDS.iter().find(|kind| kind.code == code).ok_or(LppFault::Type(code))?;
    let length = kind.bytes * kind.parts.len();
    let bytes = body.get(..length).ok_or(LppFault::CutOff(kind.name))?;
    let parts = bytes.chunks(kind.bytes).zip(kind.parts).map(|(bytes, &suffix)| Part {
        suffix,
        number: integer(bytes, kind.signed) / kind.divisor * kind.factor,
        unit: kind.unit,
    });
    Ok((kind.name, length, parts.collect()))
}

/// Up to four bytes, big-endian, as a number.
fn integer(bytes: &[u8], signed: bool) -> f64 {
    let negative = signed && bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1i64 } else { 0 };
    let whole = bytes.iter().fold(start, |whole, byte| (whole << 8) | i64::from(*byte));
    whole as f64
}
