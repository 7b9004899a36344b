//! `do = "filter"`: lets through what matters (FOG-20 to FOG-22).

use crate::fog::error::Checked;
use crate::fog::expression::Expression;
use crate::fog::normalise::fingerprint;
use crate::fog::stage::{Context, Item, Setting};
use crate::fog::state::Slot;
use crate::fog::table::Table;
use crate::fog::validate::number;
use protocol::codec::Reader;
use protocol::{Decode, DecodeError, Encode, Reading, Value};

/// The greatest `every`.
const EVERY_MAX: u64 = 1_000_000;

/// What matters.
#[derive(Debug)]
pub(crate) struct Filter {
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// What differs from what passed last, or comes long after it.
    Deadband { width: Width, silence_max_us: Option<u64> },
    /// The first of so many.
    Every(u64),
    /// What a condition holds for.
    When(Expression),
}

#[derive(Clone, Copy, Debug)]
enum Width {
    /// In the reading's own unit.
    Absolute(f64),
    /// In per cent of what passed last.
    Percent(f64),
}

/// What passed last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Passed {
    time_us: u64,
    what: What,
    /// Readings since, for `every`.
    since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Number(f64),
    /// The fingerprint of another value.
    Other(u64),
}

impl Filter {
    /// Reads a stage's keys: one way to filter.
    pub(crate) fn read(table: &mut Table<'_>, setting: Setting<'_>) -> Checked<Self> {
        let (absolute, percent) = (table.number("deadband")?, table.number("deadband_percent")?);
        let silence = table.seconds("silence_max_s", false)?;
        let every = table.integer("every", 1, EVERY_MAX)?;
        let when = table.text("when")?;
        for width in [absolute, percent].into_iter().flatten() {
            if width.value < 0.0 {
                return Err(width.wrong("a deadband is 0 or wider"));
            }
        }
        let silence_max_us = silence.map(|silence| silence.value);
        let rule = match (absolute, percent, every, when) {
            (Some(width), None, None, None) => Rule::Deadband { width: Width::Absolute(width.value), silence_max_us },
            (None, Some(width), None, None) => Rule::Deadband { width: Width::Percent(width.value), silence_max_us },
            (None, None, Some(every), None) => Rule::Every(every.value),
            (None, None, None, Some(when)) => Rule::When(setting.expression(when, &[])?),
            _ => return Err(table.wrong("a filter has exactly one of `deadband`, `deadband_percent`, `every` and `when`")),
        };
        let deadband = matches!(rule, Rule::Deadband { .. });
        match silence.filter(|_| !deadband) {
            Some(silence) => Err(silence.wrong("`silence_max_s` is for deadbands")),
            None => Ok(Self { rule }),
        }
    }

    /// Passes on what matters.
    pub(crate) fn apply(&self, item: Item, cx: &mut Context<'_>) {
        let passes = match &self.rule {
            Rule::Deadband { width, silence_max_us } => deadband(&item.reading, *width, *silence_max_us, cx),
            Rule::Every(every) => first_of(&item.reading, *every, cx),
            Rule::When(condition) => match cx.holds(condition, &item.reading, &[]) {
                Ok(holds) => holds,
                Err(reason) => return cx.reject(&item.reading, reason),
            },
        };
        match passes {
            true => cx.pass(item),
            false => cx.outcome.counts.filtered += 1,
        }
    }
}

fn what(reading: &Reading) -> What {
    match reading.value {
        Value::Number(number) => What::Number(number),
        _ => What::Other(fingerprint(reading)),
    }
}

fn deadband(reading: &Reading, width: Width, silence_max_us: Option<u64>, cx: &mut Context<'_>) -> bool {
    let this = Passed { time_us: reading.time_us, what: what(reading), since: 0 };
    cx.state.with(&reading.topic, cx.number, |slot| {
        let Some(Slot::Passed(last)) = slot else { return (Slot::Passed(this), true) };
        // what is older than what passed last says nothing about now: it passes, and nothing is compared with it
        let Some(span_us) = this.time_us.checked_sub(last.time_us) else { return (Slot::Passed(last), true) };
        let differs = match (last.what, this.what) {
            (What::Number(from), What::Number(to)) => {
                let limit = match width {
                    Width::Absolute(limit) => limit,
                    Width::Percent(percent) => from.abs() * percent / 100.0,
                };
                (to - from).abs() > limit
            }
            (from, to) => from != to,
        };
        let silent = silence_max_us.is_some_and(|limit_us| span_us >= limit_us);
        match differs || silent {
            true => (Slot::Passed(this), true),
            false => (Slot::Passed(last), false),
        }
    })
}

fn first_of(reading: &Reading, every: u64, cx: &mut Context<'_>) -> bool {
    let this = Passed { time_us: reading.time_us, what: What::Other(0), since: 0 };
    cx.state.with(&reading.topic, cx.number, |slot| {
        let Some(Slot::Passed(last)) = slot else { return (Slot::Passed(this), true) };
        let since = last.since.saturating_add(1);
        match since >= every {
            true => (Slot::Passed(this), true),
            false => (Slot::Passed(Passed { since, ..last }), false),
        }
    })
}

impl Encode for Passed {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time_us.to_be_bytes());
        out.extend_from_slice(&self.since.to_be_bytes());
        match self.what {
            What::Number(number) => {
                out.push(0);
                Value::Number(number).encode_to(out);
            }
            What::Other(fingerprint) => {
                out.push(1);
                out.extend_from_slice(&fingerprint.to_be_bytes());
            }
        }
    }
}

impl Decode for Passed {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (time_us, since) = (reader.u64("a time")?, reader.u64("a count")?);
        let what = match reader.flag("what passed last")? {
            false => What::Number(number(reader)?),
            true => What::Other(reader.u64("a fingerprint")?),
        };
        Ok(Self { time_us, what, since })
    }
}
