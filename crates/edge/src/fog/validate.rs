//! `do = "validate"`: refuses what cannot be (FOG-12 to FOG-15).

use crate::fog::error::Checked;
use crate::fog::expression::Expression;
use crate::fog::outcome::Refused;
use crate::fog::stage::{Context, Item, Setting};
use crate::fog::state::Slot;
use crate::fog::table::{At, Table};
use crate::mapping::Kind;
use protocol::codec::Reader;
use protocol::limits::VALUE_BYTES_MAX;
use protocol::{Decode, DecodeError, Encode, Reading, Value};

/// Microseconds of a second.
const SECOND_US: f64 = 1e6;

/// What a reading must be.
#[derive(Debug)]
pub(crate) struct Validate {
    kind: Option<Kind>,
    min: Option<f64>,
    max: Option<f64>,
    rate_max: Option<f64>,
    units: Vec<String>,
    unit_required: bool,
    one_of: Vec<String>,
    bytes_max: Option<usize>,
    condition: Option<Expression>,
}

/// The last valid number of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Last {
    time_us: u64,
    number: f64,
}

impl Validate {
    /// Reads a stage's keys.
    pub(crate) fn read(table: &mut Table<'_>, setting: Setting<'_>) -> Checked<Self> {
        let kind = match table.text("type")? {
            None => None,
            Some(found) => match Kind::ALL.into_iter().find(|kind| kind.name() == found.value) {
                None => return Err(found.wrong(format!("{:?} is no type: take number, boolean, text or bytes", found.value))),
                some => some,
            },
        };
        let (min, max) = (table.number("min")?, table.number("max")?);
        if let (Some(min), Some(max)) = (&min, &max)
            && min.value > max.value
        {
            return Err(max.wrong(format!("`max` is below `min`, which is {}", min.value)));
        }
        let rate_max = table.number("rate_max_per_s")?;
        if let Some(rate) = rate_max.filter(|rate| rate.value <= 0.0) {
            return Err(rate.wrong("`rate_max_per_s` must be above 0"));
        }
        let owned = |texts: Vec<At<&str>>| texts.into_iter().map(|text| text.value.to_owned()).collect();
        let units: Vec<String> = owned(table.texts("units")?);
        let one_of: Vec<String> = owned(table.texts("one_of")?);
        let bytes_max = table.integer("bytes_max", 0, VALUE_BYTES_MAX as u64)?;
        let condition = match table.text("condition")? {
            None => None,
            Some(found) => Some(setting.expression(found, &[])?),
        };
        let validate = Self {
            kind,
            min: min.map(|min| min.value),
            max: max.map(|max| max.value),
            rate_max: rate_max.map(|rate| rate.value),
            units,
            unit_required: table.flag("unit_required", false)?,
            one_of,
            bytes_max: bytes_max.and_then(|bytes| usize::try_from(bytes.value).ok()),
            condition,
        };
        match validate.asks_for_something() {
            true => Ok(validate),
            false => Err(table.wrong(
                "the stage checks nothing: give type, min, max, rate_max_per_s, units, unit_required, one_of, bytes_max or condition",
            )),
        }
    }

    fn asks_for_something(&self) -> bool {
        self.kind.is_some()
            || self.min.is_some()
            || self.max.is_some()
            || self.rate_max.is_some()
            || !self.units.is_empty()
            || self.unit_required
            || !self.one_of.is_empty()
            || self.bytes_max.is_some()
            || self.condition.is_some()
    }

    /// Passes on what is valid.
    pub(crate) fn apply(&self, item: Item, cx: &mut Context<'_>) {
        match self.check(&item.reading, cx) {
            Ok(()) => cx.pass(item),
            Err(reason) => cx.reject(&item.reading, reason),
        }
    }

    fn check(&self, reading: &Reading, cx: &mut Context<'_>) -> Result<(), Refused> {
        let found = Kind::of(&reading.value);
        if let Some(kind) = self.kind.filter(|kind| *kind != found) {
            return Err(Refused::Type { expected: kind.name(), found: found.name() });
        }
        match reading.unit.as_deref() {
            None if self.unit_required => return Err(Refused::NoUnit),
            Some(unit) if !self.units.is_empty() && !self.units.iter().any(|allowed| allowed == unit) => {
                return Err(Refused::Unit(unit.to_owned()));
            }
            _ => {}
        }
        let length = match &reading.value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Number(_) | Value::Boolean(_) => 0,
        };
        if let Some(limit) = self.bytes_max.filter(|limit| length > *limit) {
            return Err(Refused::TooLong { found: length, limit });
        }
        if let Value::Text(text) = &reading.value
            && !self.one_of.is_empty()
            && !self.one_of.contains(text)
        {
            return Err(Refused::NotOneOf);
        }
        if let Value::Number(value) = reading.value {
            if let Some(min) = self.min.filter(|min| value < *min) {
                return Err(Refused::Below { value, min });
            }
            if let Some(max) = self.max.filter(|max| value > *max) {
                return Err(Refused::Above { value, max });
            }
        }
        if let Some(condition) = &self.condition
            && !cx.holds(condition, reading, &[])?
        {
            return Err(Refused::Condition(condition.as_str().to_owned()));
        }
        match (&reading.value, self.rate_max) {
            (Value::Number(number), Some(limit)) => check_rate(reading, *number, limit, cx),
            _ => Ok(()),
        }
    }
}

/// Compares with the last valid number, and becomes it. What is not newer than that is not compared.
fn check_rate(reading: &Reading, number: f64, limit: f64, cx: &mut Context<'_>) -> Result<(), Refused> {
    let this = Last { time_us: reading.time_us, number };
    cx.state.with(&reading.topic, cx.number, |slot| {
        let Some(Slot::Last(last)) = slot else { return (Slot::Last(this), Ok(())) };
        let Some(span_us) = this.time_us.checked_sub(last.time_us).filter(|span_us| *span_us > 0) else {
            return (Slot::Last(last), Ok(()));
        };
        let found = (number - last.number).abs() / (span_us as f64 / SECOND_US);
        match found <= limit {
            true => (Slot::Last(this), Ok(())),
            false => (Slot::Last(last), Err(Refused::Rate { found, limit })),
        }
    })
}

impl Encode for Last {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time_us.to_be_bytes());
        Value::Number(self.number).encode_to(out);
    }
}

impl Decode for Last {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let time_us = reader.u64("a time")?;
        Ok(Self { time_us, number: number(reader)? })
    }
}

/// Takes a finite number.
pub(crate) fn number(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    match Value::decode_from(reader)? {
        Value::Number(number) => Ok(number),
        _ => Err(DecodeError::Invalid("a number")),
    }
}
