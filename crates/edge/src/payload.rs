//! What a device's payload means.
//!
//! # Rules
//! 1. Bytes that begin with `F7 'w' 'r'` are a signed envelope ([`protocol::signed`]). Else the first byte that is not
//!    white space decides. `[` opens a SenML JSON pack (RFC 8428); `{` opens the
//!    short object below, or that of a signed reading. Whatever begins so and is neither is malformed, never text: bytes that may begin so
//!    travel as a SenML data value (`vd`).
//! 2. A JSON number alone, white space around it allowed, is a number; `true` and `false` are truth values.
//! 3. Everything else is text if it is UTF-8 without control characters, and bytes if not, unchanged.
//! 4. An empty payload is malformed; so is a value over [`VALUE_BYTES_MAX`], a number that is not finite, a unit
//!    with a control character, and a device's time before 1970, after 2199 or over [`AHEAD_US_MAX`] ahead of its
//!    arrival.
//! 5. A reading without a time of its own bears the time of its arrival.
//!
//! The short object has these labels and no others:
//! ```text
//! {"v": number | bool | string, "t": milliseconds since 1970?, "n": sequence number?, "u": unit?}
//! ```
//!
//! A signed reading may also travel as an object with these labels and no others; `sig` are 128 hexadecimal digits:
//! ```text
//! {"v": number | bool | string, "t_us": microseconds since 1970, "n": sequence number, "u": unit?, "sig": signature}
//! ```
//! Its signature is not checked here: that needs the device's key, which the registry has.
//!
//! # SenML
//! Base fields and relative times (below 2²⁸ s, counted from the arrival) are resolved; each time is rounded
//! to whole microseconds before base and offset are added. Versions up to 10 are read. An unknown label that
//! ends in `_` must be understood and is therefore an error; others are ignored. `s` and `bs` are ignored
//! beside a value; a record with a sum only is not supported. A record of base fields only tells nothing itself. The
//! label `seq` (ours) is the sequence number.
//!
//! A pack whose records share one name, or have none, tells the topic's own data type. In a pack of several
//! names a record's data type is `<data type of the topic>.<last part of the name>`; parts end at `/` and `:`.
//! Two names that end alike are malformed, because their readings could not be told apart.

use crate::{senml, signed};
use protocol::limits::{UNIT_BYTES_MAX, VALUE_BYTES_MAX};
use protocol::{DeviceTopic, Reading, SignedReading, Value};
use serde::de::{Deserialize, Deserializer, Visitor};
use std::fmt;

pub use crate::malformed::{Fault, FieldFault, LppFault, Malformed};
pub use crate::senml::fog_json;

/// Bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Records of a SenML pack.
pub const RECORDS_MAX: usize = 256;
/// Bytes of a SenML name, its base included.
pub const SENML_NAME_BYTES_MAX: usize = 1024;
/// The newest version of SenML that is read, the one that RFC 8428 defines.
pub const SENML_VERSION_MAX: u64 = 10;
/// The end of the times a device may claim: the start of the year 2200, in microseconds since 1970.
pub const TIME_US_MAX: u64 = 7_258_118_400_000_000;
/// How far a device's clock may be ahead of the arrival, in microseconds: one day.
pub const AHEAD_US_MAX: u64 = 24 * 3600 * 1_000_000;

const _: () = assert!(VALUE_BYTES_MAX < PAYLOAD_BYTES_MAX);

/// What a payload tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Readings that nobody signed: at least one.
    Readings(Vec<Reading>),
    /// One reading that its device signed; nobody has checked that yet.
    Signed(SignedReading),
}

/// The readings that `payload` tells, at least one, in its order. `arrival_us`: when it arrived, in
/// microseconds since 1970.
///
/// # Errors
/// [`Malformed`] if the payload breaks a rule of this module, or is signed: see [`read`].
pub fn decode(topic: &DeviceTopic, payload: &[u8], arrival_us: u64) -> Result<Vec<Reading>, Malformed> {
    match read(topic, payload, arrival_us)? {
        Told::Readings(readings) => Ok(readings),
        Told::Signed(_) => Err(Malformed::Signed),
    }
}

/// What `payload` tells, signed or not. `arrival_us`: when it arrived, in microseconds since 1970.
///
/// # Errors
/// [`Malformed`] if the payload breaks a rule of this module.
pub fn read(topic: &DeviceTopic, payload: &[u8], arrival_us: u64) -> Result<Told, Malformed> {
    bounded(payload)?;
    told_apart(topic, payload, arrival_us, BadTime::Refuse)
}

/// The signed reading that `payload` is, whatever else its topic's payloads are; `None` if it is none. An object is one
/// only if it is whole, so that documents of another kind may have the same labels. `arrival_us`: when it arrived, in
/// microseconds since 1970.
///
/// # Errors
/// [`Malformed`] if it says that it is signed and breaks a rule of this module.
pub fn signed(payload: &[u8], arrival_us: u64) -> Option<Result<SignedReading, Malformed>> {
    if let Err(why) = bounded(payload) {
        return Some(Err(why));
    }
    if SignedReading::is_envelope(payload) {
        return Some(signed::envelope(payload, arrival_us));
    }
    match payload.trim_ascii_start().first() {
        Some(b'{') => signed::whole_object(payload, arrival_us),
        _ => None,
    }
}

/// Checks that there is something to look at, and not too much of it.
pub(crate) fn bounded(payload: &[u8]) -> Result<(), Malformed> {
    if payload.is_empty() {
        return Err(Malformed::Empty);
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Malformed::TooLarge { found: payload.len() });
    }
    Ok(())
}

/// As [`read`], for a payload within its bounds.
pub(crate) fn told_apart(topic: &DeviceTopic, payload: &[u8], arrival_us: u64, bad_time: BadTime) -> Result<Told, Malformed> {
    if SignedReading::is_envelope(payload) {
        return signed::envelope(payload, arrival_us).map(Told::Signed);
    }
    match payload.trim_ascii_start().first() {
        Some(b'[') => senml::decode(topic, payload, arrival_us, bad_time).map(Told::Readings),
        Some(b'{') => match serde_json::from_slice::<Short>(payload) {
            Ok(short) => short.resolve(topic, arrival_us, bad_time).map(|reading| Told::Readings(vec![reading])).map_err(Malformed::Value),
            Err(why) => match signed::object(payload, arrival_us) {
                Some(signed) => signed.map(Told::Signed),
                None => Err(Malformed::json(&why)),
            },
        },
        _ => {
            let value = plain(payload).map_err(Malformed::Value)?;
            Ok(Told::Readings(vec![Reading { topic: topic.clone(), time_us: arrival_us, sequence: None, unit: None, value, signed: None }]))
        }
    }
}

/// A payload that is neither a pack nor an object (rules 2 and 3).
fn plain(payload: &[u8]) -> Result<Value, Fault> {
    let Ok(text) = std::str::from_utf8(payload) else {
        return bounded_bytes(payload.to_vec());
    };
    match text.trim_ascii() {
        "true" => Ok(Value::Boolean(true)),
        "false" => Ok(Value::Boolean(false)),
        number if is_json_number(number) => number.parse().ok().and_then(Value::number).ok_or(Fault::NotFinite),
        _ if text.chars().any(char::is_control) => bounded_bytes(payload.to_vec()),
        _ => bounded_text(text.to_owned()),
    }
}

/// Whether `text` is a number by the grammar of JSON (RFC 8259 §6).
fn is_json_number(text: &str) -> bool {
    fn digits(text: &str) -> (usize, &str) {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        (text.len() - rest.len(), rest)
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, mut rest) = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let (places, after) = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = after;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let (places, after) = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
            places > 0 && after.is_empty()
        }
    }
}

/// The short object.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Short {
    v: Scalar,
    t: Option<Scalar>,
    n: Option<u64>,
    u: Option<String>,
}

impl Short {
    fn resolve(self, topic: &DeviceTopic, arrival_us: u64, bad_time: BadTime) -> Result<Reading, Fault> {
        let value = self.v.value()?;
        let time_us = match self.t {
            None => arrival_us,
            Some(Scalar::Number(time_ms)) => {
                let time_us = microseconds(time_ms, 1e3).and_then(|us| u64::try_from(us).ok());
                device_time(time_us, arrival_us, bad_time)?
            }
            Some(_) => return Err(Fault::TimeRange),
        };
        Ok(Reading { topic: topic.clone(), time_us, sequence: self.n, unit: bounded_unit(self.u)?, value, signed: None })
    }
}

/// A JSON value that is neither null nor a container.
pub(crate) enum Scalar {
    Number(f64),
    Boolean(bool),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, true, false or a string")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Boolean(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
}

/// `amount` units of `unit_us` microseconds each, as whole microseconds; `None` if it is not a number or far
/// outside any time.
pub(crate) fn microseconds(amount: f64, unit_us: f64) -> Option<i64> {
    /// About twice [`TIME_US_MAX`]; two such spans still fit an `i64`.
    const SPAN_US: f64 = 1.5e16;
    let time_us = (amount * unit_us).round();
    #[allow(clippy::cast_possible_truncation, reason = "used only if SPAN_US, which an i64 holds, bounds it")]
    let whole_us = time_us as i64;
    (time_us.abs() <= SPAN_US).then_some(whole_us)
}

impl Scalar {
    /// The value, if it is within its bounds.
    pub(crate) fn value(self) -> Result<Value, Fault> {
        match self {
            Self::Number(number) => Value::number(number).ok_or(Fault::NotFinite),
            Self::Boolean(boolean) => Ok(Value::Boolean(boolean)),
            Self::Text(text) => bounded_text(text),
        }
    }
}

/// What becomes of a reading whose time breaks rule 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadTime {
    /// It is malformed.
    Refuse,
    /// It bears the time of its arrival.
    Arrival,
}

/// Checks a time that a device claims (rule 4); `None` is one before 1970 or far outside any time.
pub(crate) fn device_time(time_us: Option<u64>, arrival_us: u64, bad_time: BadTime) -> Result<u64, Fault> {
    let fault = match time_us.filter(|us| *us < TIME_US_MAX) {
        None => Fault::TimeRange,
        Some(time_us) => match time_us.saturating_sub(arrival_us) {
            ahead_us if ahead_us > AHEAD_US_MAX => Fault::TimeAhead(ahead_us / 1_000_000),
            _ => return Ok(time_us),
        },
    };
    match bad_time {
        BadTime::Refuse => Err(fault),
        BadTime::Arrival => Ok(arrival_us),
    }
}

pub(crate) fn bounded_text(text: String) -> Result<Value, Fault> {
    if text.len() > VALUE_BYTES_MAX { Err(Fault::ValueTooLong(text.len())) } else { Ok(Value::Text(text)) }
}

pub(crate) fn bounded_bytes(bytes: Vec<u8>) -> Result<Value, Fault> {
    if bytes.len() > VALUE_BYTES_MAX { Err(Fault::ValueTooLong(bytes.len())) } else { Ok(Value::Bytes(bytes)) }
}

/// A unit within its bound and without control characters; an empty one is none.
pub(crate) fn bounded_unit(unit: Option<String>) -> Result<Option<String>, Fault> {
    let text = unit.as_deref().unwrap_or_default();
    if text.len() > UNIT_BYTES_MAX {
        return Err(Fault::UnitTooLong(text.len()));
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        return Err(Fault::UnitCharacter(control));
    }
    Ok(unit.filter(|unit| !unit.is_empty()))
}
