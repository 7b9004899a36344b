//! `do = "normalise"`: units, times and repetitions (FOG-16 to FOG-19).

use crate::fog::error::Checked;
use crate::fog::outcome::Refused;
use crate::fog::stage::{Context, Item};
use crate::fog::state::Slot;
use crate::fog::table::Table;
use crate::fog::units;
use protocol::codec::{Reader, put_varint};
use protocol::limits::UNIT_BYTES_MAX;
use protocol::{Decode, DecodeError, Encode, Id, Reading, Value};
use std::collections::VecDeque;

/// Numbers of one series that may be remembered.
pub(crate) const NUMBERS_MAX: usize = 64;
/// Microseconds of a second.
const SECOND_US: u64 = 1_000_000;

/// What is brought into order.
#[derive(Debug, Default)]
pub(crate) struct Normalise {
    unit: Option<String>,
    assume: Option<String>,
    scale: Option<f64>,
    offset: Option<f64>,
    ahead_max_us: Option<u64>,
    behind_max_us: Option<u64>,
    replace_time: bool,
    round_us: Option<u64>,
    remember: usize,
}

/// Sequence numbers that were seen, each with what it was of, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) seen: VecDeque<(u64, u64)>,
}

impl Normalise {
    /// Reads a stage's keys.
    pub(crate) fn read(table: &mut Table<'_>) -> Checked<Self> {
        let unit = table.text("unit")?;
        let assume = table.text("assume_unit")?;
        for found in [&unit, &assume].into_iter().flatten() {
            if found.value.is_empty() || found.value.len() > UNIT_BYTES_MAX || found.value.chars().any(char::is_control) {
                return Err(found.wrong(format!("a unit has 1 to {UNIT_BYTES_MAX} bytes and no control characters")));
            }
        }
        if let Some(found) = unit.filter(|found| !units::is_known(found.value)) {
            return Err(found.wrong(format!("no value can be converted to {:?}: that unit is unknown", found.value)));
        }
        let (scale, offset) = (table.number("scale")?, table.number("offset")?);
        let (ahead, behind) = (table.seconds("ahead_max_s", true)?, table.seconds("behind_max_s", true)?);
        let replace_time = match table.text("time")? {
            None => true,
            Some(found) if ahead.is_none() && behind.is_none() => {
                return Err(found.wrong("`time` says what becomes of a time beyond `ahead_max_s` or `behind_max_s`: give one of them"));
            }
            Some(found) => match found.value {
                "arrival" => true,
                "reject" => false,
                other => return Err(found.wrong(format!("{other:?} is neither \"arrival\" nor \"reject\""))),
            },
        };
        let round = table.seconds("round_s", false)?;
        let remember = table.integer("duplicates", 1, NUMBERS_MAX as u64)?;
        let normalise = Self {
            unit: unit.map(|found| found.value.to_owned()),
            assume: assume.map(|found| found.value.to_owned()),
            scale: scale.map(|found| found.value),
            offset: offset.map(|found| found.value),
            ahead_max_us: ahead.map(|found| found.value),
            behind_max_us: behind.map(|found| found.value),
            replace_time,
            round_us: round.map(|found| found.value),
            remember: remember.and_then(|found| usize::try_from(found.value).ok()).unwrap_or_default(),
        };
        match normalise.does_something() {
            true => Ok(normalise),
            false => Err(table.wrong(
                "the stage changes nothing: give unit, assume_unit, scale, offset, ahead_max_s, behind_max_s, round_s or duplicates",
            )),
        }
    }

    fn does_something(&self) -> bool {
        self.unit.is_some()
            || self.assume.is_some()
            || self.scale.is_some()
            || self.offset.is_some()
            || self.ahead_max_us.is_some()
            || self.behind_max_us.is_some()
            || self.round_us.is_some()
            || self.remember > 0
    }

    /// Passes on a reading in order.
    pub(crate) fn apply(&self, mut item: Item, cx: &mut Context<'_>) {
        // a repetition is what the device sent twice, so it is told by what the device sent
        let sent = if self.remember > 0 { fingerprint(&item.reading) } else { 0 };
        let now_us = cx.now_us;
        let signed = item.reading.signed.is_some().then(|| item.reading.clone());
        if let Err(reason) = self.value(&mut item.reading).and_then(|()| self.time(&mut item.reading, now_us)) {
            return cx.reject(&item.reading, reason);
        }
        if signed.is_some_and(|before| before != item.reading) {
            // what the device signed is something else
            item.reading.signed = None;
            item.derived = true;
        }
        if let Some(sequence) = item.reading.sequence.filter(|_| self.remember > 0)
            && self.is_repetition(&item.reading, sequence, sent, cx)
        {
            cx.outcome.counts.duplicates += 1;
            return;
        }
        cx.pass(item);
    }

    fn value(&self, reading: &mut Reading) -> Result<(), Refused> {
        let Value::Number(mut number) = reading.value else { return Ok(()) };
        if reading.unit.is_none() {
            reading.unit.clone_from(&self.assume);
        }
        number = number * self.scale.unwrap_or(1.0) + self.offset.unwrap_or(0.0);
        if let (Some(from), Some(to)) = (reading.unit.as_deref(), &self.unit) {
            number = units::convert(number, from, to).ok_or_else(|| Refused::Convert { from: from.to_owned(), to: to.clone() })?;
            reading.unit = Some(to.clone());
        }
        reading.value = Value::number(number).ok_or(Refused::NotFinite)?;
        Ok(())
    }

    fn time(&self, reading: &mut Reading, now_us: u64) -> Result<(), Refused> {
        let ahead_us = reading.time_us.saturating_sub(now_us);
        let behind_us = now_us.saturating_sub(reading.time_us);
        let fault = if self.ahead_max_us.is_some_and(|limit_us| ahead_us > limit_us) {
            Some(Refused::Ahead(ahead_us / SECOND_US))
        } else if self.behind_max_us.is_some_and(|limit_us| behind_us > limit_us) {
            Some(Refused::Behind(behind_us / SECOND_US))
        } else {
            None
        };
        match fault {
            Some(fault) if !self.replace_time => return Err(fault),
            Some(_) => reading.time_us = now_us,
            None => {}
        }
        if let Some(beyond_us) = self.round_us.and_then(|round_us| reading.time_us.checked_rem(round_us)) {
            reading.time_us = reading.time_us.saturating_sub(beyond_us);
        }
        Ok(())
    }

    fn is_repetition(&self, reading: &Reading, sequence: u64, sent: u64, cx: &mut Context<'_>) -> bool {
        cx.state.with(&reading.topic, cx.number, |slot| {
            let mut numbers = match slot {
                Some(Slot::Numbers(numbers)) => numbers,
                _ => Numbers::default(),
            };
            let known = numbers.seen.contains(&(sequence, sent));
            if !known {
                numbers.seen.push_back((sequence, sent));
                while numbers.seen.len() > self.remember {
                    numbers.seen.pop_front();
                }
            }
            (Slot::Numbers(numbers), known)
        })
    }
}

/// A short name of a reading's value and unit.
pub(crate) fn fingerprint(reading: &Reading) -> u64 {
    let unit = reading.unit.as_deref().unwrap_or_default();
    let hash = Id::hash(&[b"wattle/fog/value/v1", &reading.value.encode(), unit.as_bytes()]);
    hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Encode for Numbers {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.seen.len() as u64);
        for (sequence, sent) in &self.seen {
            put_varint(out, *sequence);
            out.extend_from_slice(&sent.to_be_bytes());
        }
    }
}

impl Decode for Numbers {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(NUMBERS_MAX, 9, "sequence numbers")?;
        let mut seen = VecDeque::with_capacity(length);
        for _ in 0..length {
            seen.push_back((reader.varint("a sequence number")?, reader.u64("a fingerprint")?));
        }
        Ok(Self { seen })
    }
}
