//! A CSV file as the readings that devices would have published.
//!
//! # Rules
//! - One row is one device at one time; each value column of it is one reading.
//! - `load_kwh` is data type `load` with unit `kWh`: a suffix of [`UNITS`] becomes the unit's symbol.
//! - A cell that is empty or `NaN` is no reading. `true` and `false` are truth values, numbers are numbers, the rest is text.
//! - A time must be one that SenML can say: from July 1978 to the end of 2199.

use csv::StringRecord;
use protocol::limits::VALUE_BYTES_MAX;
use protocol::{DeviceTopic, Direction, Name, Reading, Value};
use std::collections::VecDeque;
use std::io::Read;
use thiserror::Error;

/// Suffixes of column names and the symbols they mean (SenML units, RFC 8428 and RFC 8798).
const UNITS: [(&str, &str); 23] = [
    ("kwh", "kWh"),
    ("wh", "Wh"),
    ("kw", "kW"),
    ("w", "W"),
    ("v", "V"),
    ("mv", "mV"),
    ("a", "A"),
    ("ma", "mA"),
    ("hz", "Hz"),
    ("c", "Cel"),
    ("degc", "Cel"),
    ("k", "K"),
    ("pct", "%"),
    ("pa", "Pa"),
    ("hpa", "hPa"),
    ("lx", "lx"),
    ("m", "m"),
    ("mm", "mm"),
    ("kg", "kg"),
    ("s", "s"),
    ("ms", "ms"),
    ("bpm", "beat/min"),
    ("ppm", "ppm"),
];
/// Columns of the energy data that only describe its hour.
const DESCRIPTIONS: [&str; 3] = ["month", "hour", "day_type"];
/// The earliest time SenML can say: 2²⁸ seconds.
const TIME_US_MIN: u64 = (1 << 28) * 1_000_000;
/// The first time that is too late: the year 2200.
const TIME_US_END: u64 = 7_258_118_400_000_000;

/// What a file does not say itself.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The site the devices belong to.
    pub(crate) site: Name,
    /// Time of sequence number 0, in microseconds since 1970.
    pub(crate) start_us: u64,
    /// From one sequence number to the next, in microseconds.
    pub(crate) step_us: u64,
}

/// Why a file is not a table of readings.
#[derive(Debug, Error)]
pub(crate) enum RowError {
    /// The first line.
    #[error("line 1: {0}")]
    Header(String),
    /// A row.
    #[error("line {line}: {why}")]
    Row {
        /// Which, counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Not CSV, or not readable.
    #[error("{0}")]
    Csv(#[from] csv::Error),
}

#[derive(Clone, Copy)]
enum Clock {
    Text(usize),
    Milliseconds(usize),
    Sequence(usize),
}

struct ValueColumn {
    index: usize,
    data_type: Name,
    unit: Option<String>,
}

/// The readings of a file, in its order.
pub(crate) struct Rows<R: Read> {
    records: csv::StringRecordsIntoIter<R>,
    clock: Clock,
    device: usize,
    values: Vec<ValueColumn>,
    rules: Rules,
    ready: VecDeque<Reading>,
}

impl<R: Read> Rows<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`RowError`] if it does not name a time, a device and at least one value.
    pub(crate) fn open(source: R, rules: Rules) -> Result<Self, RowError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
        let header = reader.headers()?.clone();
        let find = |name: &str| header.iter().position(|column| column == name);
        let missing = |what: &str| RowError::Header(format!("no column {what}"));
        let clock = find("time").map(Clock::Text).or_else(|| find("time_ms").map(Clock::Milliseconds));
        let clock = clock.or_else(|| find("seq").map(Clock::Sequence)).ok_or_else(|| missing("time, time_ms or seq"))?;
        let (device, energy) = match (find("device"), find("household")) {
            (Some(device), _) => (device, false),
            (None, Some(household)) => (household, true),
            (None, None) => return Err(missing("device or household")),
        };
        let taken = match clock {
            Clock::Text(index) | Clock::Milliseconds(index) | Clock::Sequence(index) => index,
        };
        let mut values = Vec::new();
        for (index, column) in header.iter().enumerate() {
            if index != taken && index != device && !(energy && DESCRIPTIONS.contains(&column)) {
                values.push(value_column(index, column)?);
            }
        }
        if values.is_empty() {
            return Err(missing("with values"));
        }
        Ok(Self { records: reader.into_records(), clock, device, values, rules, ready: VecDeque::new() })
    }

    fn take_row(&mut self, record: &StringRecord) -> Result<(), RowError> {
        let line = record.position().map_or(0, csv::Position::line);
        let bad = |why: String| RowError::Row { line, why };
        let time_us = self.time_us(record).map_err(bad)?;
        let device = record.get(self.device).unwrap_or_default();
        let device = Name::new(device).map_err(|why| bad(format!("the device {device:?}: {why}")))?;
        for column in &self.values {
            let Some(value) = value(record.get(column.index).unwrap_or_default()).map_err(bad)? else { continue };
            let topic = DeviceTopic {
                site: self.rules.site.clone(),
                device: device.clone(),
                direction: Direction::Sense,
                data_type: column.data_type.clone(),
            };
            self.ready.push_back(Reading { topic, time_us, sequence: None, unit: column.unit.clone(), value, signed: None });
        }
        Ok(())
    }

    fn time_us(&self, record: &StringRecord) -> Result<u64, String> {
        let cell = |index: usize| record.get(index).unwrap_or_default();
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a whole number"));
        let time_us = match self.clock {
            Clock::Milliseconds(index) => number(cell(index))?.checked_mul(1_000),
            Clock::Sequence(index) => number(cell(index))?.checked_mul(self.rules.step_us).and_then(|t| t.checked_add(self.rules.start_us)),
            Clock::Text(index) => instant_us(cell(index))?,
        };
        time_us
            .filter(|us| (TIME_US_MIN..TIME_US_END).contains(us))
            .ok_or_else(|| "the time is not between July 1978 and the end of 2199".to_owned())
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Reading, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reading) = self.ready.pop_front() {
                return Some(Ok(reading));
            }
            let taken = match self.records.next()? {
                Ok(record) => self.take_row(&record),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = taken {
                return Some(Err(error));
            }
        }
    }
}

fn value_column(index: usize, column: &str) -> Result<ValueColumn, RowError> {
    let known = column.rsplit_once('_').and_then(|(data_type, suffix)| {
        let unit = UNITS.iter().find(|(name, _)| *name == suffix.to_ascii_lowercase());
        unit.filter(|_| !data_type.is_empty()).map(|(_, symbol)| (data_type, (*symbol).to_owned()))
    });
    let (data_type, unit) = known.map_or((column, None), |(data_type, unit)| (data_type, Some(unit)));
    let data_type = Name::new(data_type).map_err(|why| RowError::Header(format!("column {column:?}: {why}")))?;
    Ok(ValueColumn { index, data_type, unit })
}

/// RFC 3339, or seconds since 1970 with or without a fraction.
fn instant_us(text: &str) -> Result<Option<u64>, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(u64::try_from(time.as_microsecond()).ok());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return Err(format!("{text:?} is neither RFC 3339 nor seconds since 1970 with at most 6 decimals"));
    }
    let fraction_us = format!("{fraction:0<6}").parse::<u64>().unwrap_or_default();
    Ok(whole.parse::<u64>().ok().and_then(|s| s.checked_mul(1_000_000)).and_then(|us| us.checked_add(fraction_us)))
}

fn value(cell: &str) -> Result<Option<Value>, String> {
    match (cell, cell.parse::<f64>()) {
        ("", _) => Ok(None),
        ("true", _) => Ok(Some(Value::Boolean(true))),
        ("false", _) => Ok(Some(Value::Boolean(false))),
        (_, Ok(number)) if number.is_nan() => Ok(None),
        (_, Ok(number)) => Value::number(number).map(Some).ok_or_else(|| format!("{cell:?} is not a finite number")),
        (text, Err(_)) if text.len() <= VALUE_BYTES_MAX => Ok(Some(Value::Text(text.to_owned()))),
        (text, Err(_)) => Err(format!("a text of {} bytes, the limit is {VALUE_BYTES_MAX}", text.len())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { site: Name::new("z1").unwrap(), start_us: 1_470_009_600_000_000, step_us: 3_600_000_000 }
    }

    fn read(text: &str) -> Result<Vec<Reading>, RowError> {
        Rows::open(text.as_bytes(), rules())?.collect()
    }

    #[test]
    fn the_energy_format() {
        let readings = read("seq,month,hour,day_type,household,load_kwh,pv_kwh\n0,7,24,7,H01,2.2758,0.0\n2,8,1,1,H02,1.5,\n").unwrap();
        let seen: Vec<String> = readings.iter().map(|r| format!("{} {} {}", r.name(), r.value, r.unit.clone().unwrap())).collect();
        assert_eq!(
            seen,
            [
                "z1/H01/sense/load@1470009600000000 2.2758 kWh",
                "z1/H01/sense/pv@1470009600000000 0 kWh",
                "z1/H02/sense/load@1470016800000000 1.5 kWh"
            ]
        );
        assert_eq!(readings[0].id(), read("seq,household,load_kwh\n0,H01,2.2758\n").unwrap()[0].id(), "ids must not depend on the run");
    }

    #[test]
    fn every_unit_fits_into_a_reading() {
        assert!(UNITS.iter().all(|(_, symbol)| symbol.len() <= protocol::limits::UNIT_BYTES_MAX));
    }

    #[test]
    fn other_tables() {
        let readings = read("time,device,state,note\n2016-08-01T00:00:00Z,d,true,ok\n1470009600.25,d,NaN,\n").unwrap();
        assert_eq!(readings.len(), 2);
        assert_eq!(readings[0].value, Value::Boolean(true));
        assert_eq!(readings[1].value, Value::Text("ok".into()));
        assert_eq!(read("time,device,x\n1470009600.25,d,1\n").unwrap()[0].time_us, 1_470_009_600_250_000);
        assert_eq!(read("device,time_ms,x\nd,1470009600001,1\n").unwrap()[0].time_us, 1_470_009_600_001_000);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, at) in [
            ("a,b\n", "time, time_ms or seq"),
            ("seq,x\n", "device or household"),
            ("seq,device\n", "with values"),
            ("seq,device,x\n0,d,1\n1,bad/name,1\n", "line 3"),
            ("seq,device,x\n-1,d,1\n", "line 2"),
            ("seq,device,x\n18446744073709551615,d,1\n", "1978"),
            ("time,device,x\nyesterday,d,1\n", "RFC 3339"),
            ("time,device,x\n5,d,1\n", "1978"),
            ("seq,device,x\n0,d,inf\n", "finite"),
            ("seq,device,x\n0,d\n", "line: 2"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(at), "{text:?} gave {error:?}, which does not say {at:?}");
        }
    }
}
