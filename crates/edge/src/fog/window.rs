//! `do = "window"`: sums up spans of time (FOG-23 to FOG-27).
//!
//! ```text
//! size 60 s, step 20 s:   [0,60) [20,80) [40,100) …      a reading of time 45 is in three of them
//!
//! time of a series = time of its newest reading + what has gone by since that arrived
//! a window closes when the time of its series reaches its end + lateness: by a newer reading, or by a tick
//! ```
//! A device that sends what it gathered long ago thus fills its windows as one that sends at once does, and one that
//! falls silent does not keep its last window open for ever.

use crate::fog::error::Checked;
use crate::fog::outcome::Refused;
use crate::fog::stage::{Context, Item};
use crate::fog::state::Slot;
use crate::fog::table::Table;
use protocol::codec::{Reader, put_bytes, put_varint};
use protocol::limits::UNIT_BYTES_MAX;
use protocol::{Decode, DecodeError, DeviceTopic, Encode, Name, Reading, Value};
use std::collections::BTreeMap;

/// Windows of one series that may be open.
pub(crate) const PANES_MAX: usize = 64;

/// What a window tells of its readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Count,
    Min,
    Max,
    Mean,
    Sum,
    First,
    Last,
}

impl Function {
    const ALL: [Self; 7] = [Self::Count, Self::Min, Self::Max, Self::Mean, Self::Sum, Self::First, Self::Last];

    const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    fn of(self, pane: &Pane) -> f64 {
        let count = pane.count as f64;
        match self {
            Self::Count => count,
            Self::Min => pane.min,
            Self::Max => pane.max,
            Self::Mean => pane.sum / count,
            Self::Sum => pane.sum,
            Self::First => pane.first.1,
            Self::Last => pane.last.1,
        }
    }
}

/// How readings are summed up.
#[derive(Debug)]
pub(crate) struct Window {
    size_us: u64,
    step_us: u64,
    lateness_us: u64,
    emit: Vec<Function>,
    keep: bool,
}

/// The windows of a series that are open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Open {
    newest_us: u64,
    newest_arrival_us: u64,
    /// Windows that end here or before are closed.
    closed_us: u64,
    unit: Option<String>,
    /// By their start.
    pub(crate) panes: BTreeMap<u64, Pane>,
    /// When the earliest closes if nothing comes.
    pub(crate) due_us: Option<u64>,
}

/// One window's readings, summed up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pane {
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
    first: (u64, f64),
    last: (u64, f64),
    arrival_us: u64,
}

impl Pane {
    fn new(time_us: u64, number: f64, arrival_us: u64) -> Self {
        let only = (time_us, number);
        Self { count: 1, min: number, max: number, sum: number, first: only, last: only, arrival_us }
    }

    fn add(&mut self, time_us: u64, number: f64) {
        self.count = self.count.saturating_add(1);
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        self.sum += number;
        if time_us < self.first.0 {
            self.first = (time_us, number);
        }
        if time_us >= self.last.0 {
            self.last = (time_us, number);
        }
    }
}

/// Windows that closed: their starts, and the unit of their readings.
struct Closed {
    panes: Vec<(u64, Pane)>,
    unit: Option<String>,
}

impl Window {
    /// Reads a stage's keys.
    pub(crate) fn read(table: &mut Table<'_>) -> Checked<Self> {
        let size = table.seconds("size_s", false)?;
        let size = table.required("size_s", size)?;
        let step = table.seconds("step_s", false)?;
        let step_us = step.map_or(size.value, |step| step.value);
        let lateness_us = table.seconds("lateness_s", true)?.map_or(0, |lateness| lateness.value);
        if let Some(step) = step.filter(|step| step.value > size.value) {
            return Err(step.wrong("`step_s` is greater than `size_s`: readings between two windows would be in none"));
        }
        let open = size.value.saturating_add(lateness_us).checked_div(step_us).unwrap_or(u64::MAX).saturating_add(2);
        if open > PANES_MAX as u64 {
            return Err(size.wrong(format!("{open} windows would be open at a time, the limit is {PANES_MAX}: step further, or wait less")));
        }
        let mut emit = Vec::new();
        for found in table.texts("emit")? {
            let function = Function::ALL.into_iter().find(|function| function.name() == found.value);
            match function.filter(|function| !emit.contains(function)) {
                Some(function) => emit.push(function),
                None if function.is_some() => return Err(found.wrong(format!("{:?} stands twice", found.value))),
                None => return Err(found.wrong(format!("{:?} is none of count, min, max, mean, sum, first and last", found.value))),
            }
        }
        if emit.is_empty() {
            return Err(table.wrong("`emit` is missing: one or more of count, min, max, mean, sum, first and last"));
        }
        let keep = table.flag("keep", true)?;
        Ok(Self { size_us: size.value, step_us, lateness_us, emit, keep })
    }

    /// Takes a reading into its windows, and tells those that it closes.
    pub(crate) fn apply(&self, item: Item, cx: &mut Context<'_>) {
        let reading = &item.reading;
        let measured = match reading.value {
            Value::Number(number) => number,
            Value::Boolean(boolean) => f64::from(u8::from(boolean)),
            Value::Text(_) | Value::Bytes(_) => return cx.pass(item),
        };
        let now_us = cx.now_us;
        let taken = cx.state.with(&reading.topic, cx.number, |slot| {
            let mut open = match slot {
                Some(Slot::Open(open)) => open,
                _ => Open::default(),
            };
            let taken = self.take(&mut open, reading, measured, now_us);
            (Slot::Open(open), taken)
        });
        match taken {
            Err(reason) => return cx.reject(reading, reason),
            Ok((late, closed)) => {
                cx.outcome.counts.late += u64::from(late);
                self.tell(&reading.topic, closed, cx);
            }
        }
        match self.keep {
            true => cx.pass(item),
            false => cx.outcome.counts.filtered += 1,
        }
    }

    /// Tells the windows of `topic` that close by the time that has gone by.
    pub(crate) fn tick(&self, topic: &DeviceTopic, cx: &mut Context<'_>) {
        let now_us = cx.now_us;
        let closed = cx.state.with(topic, cx.number, |slot| {
            let mut open = match slot {
                Some(Slot::Open(open)) => open,
                _ => Open::default(),
            };
            let series_us = open.newest_us.saturating_add(now_us.saturating_sub(open.newest_arrival_us));
            let closed = self.close(&mut open, series_us.saturating_sub(self.lateness_us));
            (Slot::Open(open), closed)
        });
        self.tell(topic, closed, cx);
    }

    /// Tells the windows of `topic` as they are, before their time.
    pub(crate) fn close_all(&self, topic: &DeviceTopic, cx: &mut Context<'_>) {
        let closed = cx.state.with(topic, cx.number, |slot| {
            let mut open = match slot {
                Some(Slot::Open(open)) => open,
                _ => Open::default(),
            };
            let last_us = open.panes.last_key_value().map_or(0, |(start_us, _)| start_us.saturating_add(self.size_us));
            let closed = self.close(&mut open, last_us);
            (Slot::Open(open), closed)
        });
        self.tell(topic, closed, cx);
    }

    /// Whether the reading came too late for each of its windows, and what closed.
    fn take(&self, open: &mut Open, reading: &Reading, measured: f64, now_us: u64) -> Result<(bool, Closed), Refused> {
        if open.panes.is_empty() {
            open.unit.clone_from(&reading.unit);
        } else if open.unit != reading.unit {
            let told = |unit: &Option<String>| unit.clone().unwrap_or_default();
            return Err(Refused::Mixed { expected: told(&open.unit), found: told(&reading.unit) });
        }
        let mut late = true;
        let mut start_us = self.last_start(reading.time_us);
        while start_us.saturating_add(self.size_us) > reading.time_us {
            if start_us.saturating_add(self.size_us) > open.closed_us {
                late = false;
                let full = open.panes.len() >= PANES_MAX;
                match open.panes.get_mut(&start_us) {
                    Some(pane) => pane.add(reading.time_us, measured),
                    // more than a configuration allows come only from a snapshot that somebody made up
                    None if full => {}
                    None => {
                        open.panes.insert(start_us, Pane::new(reading.time_us, measured, now_us));
                    }
                }
            }
            match start_us.checked_sub(self.step_us) {
                Some(before_us) => start_us = before_us,
                None => break,
            }
        }
        if reading.time_us >= open.newest_us {
            open.newest_us = reading.time_us;
            open.newest_arrival_us = now_us;
        }
        let until_us = open.newest_us.saturating_sub(self.lateness_us);
        Ok((late, self.close(open, until_us)))
    }

    /// The start of the last window that a time is in.
    fn last_start(&self, time_us: u64) -> u64 {
        time_us.saturating_sub(time_us.checked_rem(self.step_us).unwrap_or_default())
    }

    /// Closes the windows that end at `until_us` or before.
    fn close(&self, open: &mut Open, until_us: u64) -> Closed {
        open.closed_us = open.closed_us.max(until_us);
        let mut panes = Vec::new();
        while let Some(first) = open.panes.first_entry() {
            if first.key().saturating_add(self.size_us) > open.closed_us {
                break;
            }
            panes.push(first.remove_entry());
        }
        open.due_us = open.panes.first_key_value().map(|(start_us, _)| {
            let end_us = start_us.saturating_add(self.size_us).saturating_add(self.lateness_us);
            open.newest_arrival_us.saturating_add(end_us.saturating_sub(open.newest_us))
        });
        Closed { panes, unit: open.unit.clone() }
    }

    /// Passes on what windows tell: one reading a function, at the start of its window.
    fn tell(&self, topic: &DeviceTopic, closed: Closed, cx: &mut Context<'_>) {
        for (start_us, pane) in &closed.panes {
            for function in &self.emit {
                let data_type = format!("{}.{}", topic.data_type, function.name());
                let made = Name::new(&data_type).map_err(|why| Refused::Name { data_type, why });
                let made = made.and_then(|name| Ok((name, Value::number(function.of(pane)).ok_or(Refused::NotFinite)?)));
                match made {
                    Err(reason) => cx.refuse(topic, Some(*start_us), reason),
                    Ok((data_type, value)) => {
                        let topic = DeviceTopic { data_type, ..topic.clone() };
                        let unit = closed.unit.clone().filter(|_| *function != Function::Count);
                        let reading = Reading { topic, time_us: *start_us, sequence: None, unit, value, signed: None };
                        cx.pass(Item { reading, derived: true });
                    }
                }
            }
        }
    }
}

impl Open {
    /// The earliest arrival of what is held.
    pub(crate) fn oldest_us(&self) -> Option<u64> {
        self.panes.values().map(|pane| pane.arrival_us).min()
    }
}

impl Encode for Open {
    fn encode_to(&self, out: &mut Vec<u8>) {
        for time_us in [self.newest_us, self.newest_arrival_us, self.closed_us] {
            out.extend_from_slice(&time_us.to_be_bytes());
        }
        match &self.unit {
            None => out.push(0),
            Some(unit) => {
                out.push(1);
                put_bytes(out, unit.as_bytes());
            }
        }
        out.push(u8::from(self.due_us.is_some()));
        if let Some(due_us) = self.due_us {
            out.extend_from_slice(&due_us.to_be_bytes());
        }
        put_varint(out, self.panes.len() as u64);
        for (start_us, pane) in &self.panes {
            for whole in [*start_us, pane.count, pane.first.0, pane.last.0, pane.arrival_us] {
                out.extend_from_slice(&whole.to_be_bytes());
            }
            // bit by bit: a sum may be infinite, or -0
            for float in [pane.min, pane.max, pane.sum, pane.first.1, pane.last.1] {
                out.extend_from_slice(&float.to_bits().to_be_bytes());
            }
        }
    }
}

impl Decode for Open {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (newest_us, newest_arrival_us, closed_us) = (reader.u64("a time")?, reader.u64("a time")?, reader.u64("a time")?);
        let unit = if reader.flag("a unit")? { Some(reader.text(UNIT_BYTES_MAX, "a unit")?.to_owned()) } else { None };
        if unit.as_deref().is_some_and(|unit| unit.chars().any(char::is_control)) {
            return Err(DecodeError::Invalid("a unit"));
        }
        let due_us = if reader.flag("a time")? { Some(reader.u64("a time")?) } else { None };
        let length = reader.length(PANES_MAX, 80, "windows")?;
        let mut panes = BTreeMap::new();
        for _ in 0..length {
            let start_us = reader.u64("a window's start")?;
            let (count, first_us, last_us, arrival_us) =
                (reader.u64("a count")?, reader.u64("a time")?, reader.u64("a time")?, reader.u64("a time")?);
            let mut float = || -> Result<f64, DecodeError> { Ok(f64::from_bits(reader.u64("a number")?)) };
            let (min, max, sum, first, last) = (float()?, float()?, float()?, float()?, float()?);
            let pane = Pane { count, min, max, sum, first: (first_us, first), last: (last_us, last), arrival_us };
            if count == 0 || panes.insert(start_us, pane).is_some() {
                return Err(DecodeError::Invalid("a window"));
            }
        }
        Ok(Self { newest_us, newest_arrival_us, closed_us, unit, panes, due_us })
    }
}
