//! A table of a configuration: its keys, read by type, each with its place in the text.
//!
//! Whoever reads a table takes every key it knows and ends with [`Table::finish`], which refuses the others.

use crate::fog::error::{Checked, Wrong};
use protocol::{Id, Value};
use toml::de::{DeTable, DeValue};

/// Microseconds of a second.
const SECOND_US: f64 = 1e6;
/// The longest time a configuration may give: 366 days, in seconds.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<T> {
    /// Bytes before it.
    pub(crate) at: usize,
    /// What it is.
    pub(crate) value: T,
}

impl<T> At<T> {
    /// Something wrong with it.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> Wrong {
        Wrong::new(self.at, reason)
    }
}

/// A table of a configuration.
pub(crate) struct Table<'a> {
    map: &'a DeTable<'a>,
    at: usize,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The table that begins at byte `at`.
    pub(crate) fn new(map: &'a DeTable<'a>, at: usize) -> Self {
        Self { map, at, known: Vec::new() }
    }

    /// Something wrong with the table as a whole.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> Wrong {
        Wrong::new(self.at, reason)
    }

    /// The hash of what it says; comments, layout and the order of keys do not count.
    pub(crate) fn said(&self) -> Id {
        let mut said = String::new();
        canonical(self.map, &mut said);
        Id::hash(&[b"wattle/pipeline/v1", said.as_bytes()])
    }

    /// Refuses keys that nobody asked for.
    pub(crate) fn finish(self) -> Checked<()> {
        let unknown = self.map.keys().filter(|key| !self.known.iter().any(|known| **known == **key.get_ref()));
        let unknown = unknown.min_by_key(|key| key.span().start);
        match unknown {
            None => Ok(()),
            Some(key) => {
                let known = self.known.join(", ");
                Err(Wrong::new(key.span().start, format!("unknown key `{}`; known here: {known}", key.get_ref())))
            }
        }
    }

    fn get(&mut self, key: &'static str) -> Option<At<&'a DeValue<'a>>> {
        self.known.push(key);
        let map: &'a DeTable<'a> = self.map;
        map.get(key).map(|value| At { at: value.span().start, value: value.get_ref() })
    }

    /// A key that must be there.
    pub(crate) fn required<T>(&self, key: &str, found: Option<T>) -> Checked<T> {
        found.ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str) -> Checked<Option<At<&'a str>>> {
        self.get(key).map(|found| as_text(key, found)).transpose()
    }

    /// A text, or several in an array.
    pub(crate) fn texts(&mut self, key: &'static str) -> Checked<Vec<At<&'a str>>> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(At { value: DeValue::Array(array), .. }) => {
                array.iter().map(|one| as_text(key, At { at: one.span().start, value: one.get_ref() })).collect()
            }
            Some(one) => Ok(vec![as_text(key, one)?]),
        }
    }

    /// A finite number.
    pub(crate) fn number(&mut self, key: &'static str) -> Checked<Option<At<f64>>> {
        self.get(key).map(|found| as_number(key, found)).transpose()
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&mut self, key: &'static str, least: u64, most: u64) -> Checked<Option<At<u64>>> {
        let Some(found) = self.get(key) else { return Ok(None) };
        let number = match found.value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        match number.filter(|number| (least..=most).contains(number)) {
            Some(value) => Ok(Some(At { at: found.at, value })),
            None => Err(found.wrong(format!("`{key}` must be a whole number from {least} to {most}"))),
        }
    }

    /// A span of time in seconds, as microseconds; above zero unless `zero` allows it.
    pub(crate) fn seconds(&mut self, key: &'static str, zero: bool) -> Checked<Option<At<u64>>> {
        let Some(found) = self.number(key)? else { return Ok(None) };
        let span_us = (found.value * SECOND_US).round();
        let least = if zero { 0.0 } else { 1.0 };
        if !(least..=SECONDS_MAX * SECOND_US).contains(&span_us) {
            let from = if zero { "from 0" } else { "above 0" };
            return Err(found.wrong(format!("`{key}` must be a number of seconds {from} and up to {SECONDS_MAX}")));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds above")]
        let value = span_us as u64;
        Ok(Some(At { at: found.at, value }))
    }

    /// A truth value; `default` if it is not there.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> Checked<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(At { value: DeValue::Boolean(flag), .. }) => Ok(*flag),
            Some(other) => Err(other.wrong(format!("`{key}` must be true or false"))),
        }
    }

    /// A number, truth value or text.
    pub(crate) fn scalar(&mut self, key: &'static str) -> Checked<Option<At<Value>>> {
        self.get(key).map(|found| as_scalar(key, found)).transpose()
    }

    /// A table.
    pub(crate) fn table(&mut self, key: &'static str) -> Checked<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(At { at, value: DeValue::Table(map) }) => Ok(Some(Self::new(map, at))),
            Some(other) => Err(other.wrong(format!("`{key}` must be a table"))),
        }
    }

    /// An array of tables.
    pub(crate) fn tables(&mut self, key: &'static str) -> Checked<Vec<Self>> {
        let wrong = |at| Wrong::new(at, format!("`{key}` must be an array of tables: write [[{key}]]"));
        let Some(found) = self.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = found.value else { return Err(wrong(found.at)) };
        let one = |one: &'a toml::Spanned<DeValue<'a>>| match one.get_ref() {
            DeValue::Table(map) => Ok(Self::new(map, one.span().start)),
            _ => Err(wrong(one.span().start)),
        };
        array.iter().map(one).collect()
    }

    /// Every key with its text: for tables whose keys are free.
    pub(crate) fn free_texts(&self) -> Checked<Vec<(At<&'a str>, At<&'a str>)>> {
        let map: &'a DeTable<'a> = self.map;
        map.iter()
            .map(|(key, value)| {
                let name: &'a str = key.get_ref();
                let found = At { at: value.span().start, value: value.get_ref() };
                Ok((At { at: key.span().start, value: name }, as_text(name, found)?))
            })
            .collect()
    }

    /// Every key with its number, truth value or text: for tables whose keys are free.
    pub(crate) fn free_scalars(&self) -> Checked<Vec<(At<&'a str>, At<Value>)>> {
        let map: &'a DeTable<'a> = self.map;
        map.iter()
            .map(|(key, value)| {
                let name: &'a str = key.get_ref();
                let found = At { at: value.span().start, value: value.get_ref() };
                Ok((At { at: key.span().start, value: name }, as_scalar(name, found)?))
            })
            .collect()
    }
}

fn as_text<'a>(key: &str, found: At<&'a DeValue<'a>>) -> Checked<At<&'a str>> {
    match found.value {
        DeValue::String(text) => {
            let value: &'a str = text;
            Ok(At { at: found.at, value })
        }
        other => Err(found.wrong(format!("`{key}` must be a text, not a {}", other.type_str()))),
    }
}

fn as_number(key: &str, found: At<&DeValue<'_>>) -> Checked<At<f64>> {
    let number = match found.value {
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok().map(|whole| whole as f64),
        DeValue::Float(digits) => digits.as_str().parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    };
    match number {
        Some(value) => Ok(At { at: found.at, value }),
        None => Err(found.wrong(format!("`{key}` must be a finite number"))),
    }
}

fn as_scalar(key: &str, found: At<&DeValue<'_>>) -> Checked<At<Value>> {
    let value = match found.value {
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) => {
            let number = as_number(key, found)?.value;
            Value::number(number).ok_or_else(|| found.wrong(format!("`{key}` must be a finite number")))?
        }
        other => return Err(found.wrong(format!("`{key}` must be a number, true, false or a text, not a {}", other.type_str()))),
    };
    Ok(At { at: found.at, value })
}

/// A form of a table in which comments, layout and the order of keys do not show: what a snapshot is bound to.
pub(crate) fn canonical(map: &DeTable<'_>, out: &mut String) {
    let mut keys: Vec<(&str, &DeValue<'_>)> = map.iter().map(|(key, value)| (&**key.get_ref(), value.get_ref())).collect();
    keys.sort_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in keys {
        out.push_str(&format!("{key:?}:"));
        canonical_value(value, out);
        out.push(',');
    }
    out.push('}');
}

fn canonical_value(value: &DeValue<'_>, out: &mut String) {
    match value {
        DeValue::String(text) => out.push_str(&format!("{text:?}")),
        DeValue::Integer(number) => out.push_str(&number.to_string()),
        DeValue::Float(number) => out.push_str(&number.to_string()),
        DeValue::Boolean(flag) => out.push_str(&flag.to_string()),
        DeValue::Datetime(time) => out.push_str(&time.to_string()),
        DeValue::Table(map) => canonical(map, out),
        DeValue::Array(array) => {
            out.push('[');
            for one in array.iter() {
                canonical_value(one.get_ref(), out);
                out.push(',');
            }
            out.push(']');
        }
    }
}
