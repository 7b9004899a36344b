//! SenML JSON (RFC 8428): packs in, one resolved record out. The rules are in [`crate::payload`]; what is said of a
//! pack's records holds for SenML CBOR too ([`crate::senml_cbor`]).

use crate::base64url;
use crate::payload::{
    BadTime, Fault, Malformed, RECORDS_MAX, SENML_NAME_BYTES_MAX, SENML_VERSION_MAX, TIME_US_MAX, bounded_bytes, bounded_text,
    bounded_unit, device_time, microseconds,
};
use protocol::{DeviceTopic, Name, Reading, Value};
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

const SECOND_US: u64 = 1_000_000;
/// Times below this are relative to now (RFC 8428 §4.5.3): 2²⁸ s, in microseconds.
const ABSOLUTE_US_MIN: i64 = (1 << 28) * 1_000_000;

/// Decodes a pack.
pub(crate) fn decode(topic: &DeviceTopic, payload: &[u8], arrival_us: u64, bad_time: BadTime) -> Result<Vec<Reading>, Malformed> {
    let pack: Pack = serde_json::from_slice(payload).map_err(|e| Malformed::json(&e))?;
    readings(topic, pack, arrival_us, bad_time)
}

/// The readings that a pack's records tell.
pub(crate) fn readings(topic: &DeviceTopic, pack: Pack, arrival_us: u64, bad_time: BadTime) -> Result<Vec<Reading>, Malformed> {
    if pack.count > RECORDS_MAX {
        return Err(Malformed::TooManyRecords { found: pack.count });
    }
    if pack.records.is_empty() {
        return Err(Malformed::NoRecords);
    }
    let mut base = Base::default();
    let mut resolved = Vec::with_capacity(pack.records.len());
    for (index, record) in pack.records.into_iter().enumerate() {
        let told = !record.is_base_only();
        base.adopt(&record).map_err(|fault| Malformed::Record { index, fault })?;
        if told {
            resolved.push(base.resolve(index, record, arrival_us, bad_time).map_err(|fault| Malformed::Record { index, fault })?);
        }
    }
    if resolved.is_empty() {
        return Err(Malformed::NoRecords);
    }
    let data_types = data_types(&topic.data_type, &resolved)?;
    let reading = |(data_type, record): (Name, Resolved)| Reading {
        topic: DeviceTopic { data_type, ..topic.clone() },
        time_us: record.time_us,
        sequence: record.sequence,
        unit: record.unit,
        value: record.value,
        signed: None,
    };
    Ok(data_types.into_iter().zip(resolved).map(reading).collect())
}

/// The data type of each record.
fn data_types(own: &Name, resolved: &[Resolved]) -> Result<Vec<Name>, Malformed> {
    let names: BTreeSet<&str> = resolved.iter().map(|record| record.name.as_str()).collect();
    if names.len() <= 1 {
        return Ok(vec![own.clone(); resolved.len()]);
    }
    let mut whole_by_last: BTreeMap<&str, &str> = BTreeMap::new();
    let mut data_types = Vec::with_capacity(resolved.len());
    for record in resolved {
        let index = record.index;
        let whole = record.name.as_str();
        let last = whole.rsplit(['/', ':']).next().unwrap_or_default();
        let data_type = if last.is_empty() {
            Err(Fault::NameEmpty)
        } else if *whole_by_last.entry(last).or_insert(whole) != whole {
            Err(Fault::NameClash(last.to_owned()))
        } else {
            let data_type = format!("{own}.{last}");
            Name::new(&data_type).map_err(|why| Fault::Name { data_type, why })
        };
        data_types.push(data_type.map_err(|fault| Malformed::Record { index, fault })?);
    }
    Ok(data_types)
}

/// The base fields that hold for the records that follow.
#[derive(Default)]
struct Base {
    name: String,
    time_us: i64,
    unit: Option<String>,
    value: f64,
}

/// A record that stands alone, its data type apart.
struct Resolved {
    index: usize,
    name: String,
    time_us: u64,
    sequence: Option<u64>,
    unit: Option<String>,
    value: Value,
}

impl Base {
    /// Takes over the base fields of a record.
    fn adopt(&mut self, record: &Record) -> Result<(), Fault> {
        if let Some(label) = &record.not_understood {
            return Err(Fault::MustUnderstand(label.clone()));
        }
        if let Some(version) = record.bver.filter(|version| *version > SENML_VERSION_MAX) {
            return Err(Fault::Version(version));
        }
        if let Some(name) = &record.bn {
            self.name.clone_from(name);
        }
        self.value = record.bv.unwrap_or(self.value);
        if let Some(unit) = bounded_unit(record.bu.clone())? {
            self.unit = Some(unit);
        }
        if let Some(seconds) = record.bt {
            self.time_us = microseconds(seconds, 1e6).ok_or(Fault::TimeRange)?;
        }
        Ok(())
    }

    fn resolve(&self, index: usize, record: Record, arrival_us: u64, bad_time: BadTime) -> Result<Resolved, Fault> {
        let offset_us = microseconds(record.t.unwrap_or(0.0), 1e6).ok_or(Fault::TimeRange)?;
        let data = match record.vd {
            Some(text) => Some(base64url::decode(&text).ok_or(Fault::Base64)?),
            None => record.data,
        };
        let value = match (record.v, record.vs, record.vb, data) {
            (Some(number), None, None, None) => Value::number(self.value + number).ok_or(Fault::NotFinite)?,
            (None, Some(text), None, None) => bounded_text(text)?,
            (None, None, Some(boolean), None) => Value::Boolean(boolean),
            (None, None, None, Some(data)) => bounded_bytes(data)?,
            (None, None, None, None) if record.s.is_some() => return Err(Fault::SumOnly),
            (None, None, None, None) => return Err(Fault::NoValue),
            _ => return Err(Fault::SeveralValues),
        };
        Ok(Resolved {
            index,
            name: self.full_name(record.n.as_deref().unwrap_or_default())?,
            time_us: absolute_time(self.time_us.saturating_add(offset_us), arrival_us, bad_time)?,
            sequence: record.seq,
            unit: bounded_unit(record.u)?.or_else(|| self.unit.clone()),
            value,
        })
    }

    fn full_name(&self, name: &str) -> Result<String, Fault> {
        let length = self.name.len() + name.len();
        if length > SENML_NAME_BYTES_MAX { Err(Fault::NameTooLong(length)) } else { Ok(format!("{}{name}", self.name)) }
    }
}

/// A resolved time, relative or not, as microseconds since 1970.
fn absolute_time(time_us: i64, arrival_us: u64, bad_time: BadTime) -> Result<u64, Fault> {
    if time_us < ABSOLUTE_US_MIN {
        return device_time(arrival_us.checked_add_signed(time_us), arrival_us, bad_time);
    }
    device_time(u64::try_from(time_us).ok(), arrival_us, bad_time)
}

/// A pack's records, of which no more than [`RECORDS_MAX`] are kept.
pub(crate) struct Pack {
    pub(crate) records: Vec<Record>,
    /// How many were sent.
    pub(crate) count: usize,
}

impl<'de> Deserialize<'de> for Pack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PackVisitor)
    }
}

struct PackVisitor;

impl<'de> Visitor<'de> for PackVisitor {
    type Value = Pack;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of SenML records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pack, A::Error> {
        let mut records = Vec::new();
        while records.len() < RECORDS_MAX {
            match seq.next_element::<Record>()? {
                Some(record) => records.push(record),
                None => return Ok(Pack { count: records.len(), records }),
            }
        }
        let mut count = records.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Pack { records, count })
    }
}

/// A record as it was sent. Each label at most once.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) bn: Option<String>,
    pub(crate) bt: Option<f64>,
    pub(crate) bu: Option<String>,
    pub(crate) bv: Option<f64>,
    pub(crate) bs: Option<f64>,
    pub(crate) bver: Option<u64>,
    pub(crate) n: Option<String>,
    pub(crate) u: Option<String>,
    pub(crate) v: Option<f64>,
    pub(crate) vs: Option<String>,
    pub(crate) vb: Option<bool>,
    /// The data value as JSON has it: base64url.
    pub(crate) vd: Option<String>,
    /// The data value as CBOR has it.
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) s: Option<f64>,
    pub(crate) t: Option<f64>,
    pub(crate) ut: Option<f64>,
    pub(crate) seq: Option<u64>,
    pub(crate) not_understood: Option<String>,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

impl Record {
    /// Whether it holds base fields and nothing else: then it tells nothing itself (RFC 8428 §4.6).
    fn is_base_only(&self) -> bool {
        let based = self.bn.is_some() || self.bt.is_some() || self.bu.is_some() || self.bv.is_some() || self.bs.is_some();
        let named = self.n.is_some() || self.u.is_some() || self.t.is_some() || self.ut.is_some() || self.seq.is_some();
        let valued = self.v.is_some() || self.vs.is_some() || self.vb.is_some() || self.vd.is_some() || self.data.is_some();
        (based || self.bver.is_some()) && !named && !valued && self.s.is_none()
    }

    /// Notes an unknown label, which must be understood if it ends in `_`.
    pub(crate) fn pass_over(&mut self, label: &str) {
        if label.ends_with('_') {
            let short = label.len() <= SENML_NAME_BYTES_MAX;
            self.not_understood = Some(if short { label.to_owned() } else { "a very long label_".to_owned() });
        }
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SenML record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        while let Some(label) = map.next_key::<String>()? {
            match label.as_str() {
                "bn" => set(&mut record.bn, "bn", &mut map)?,
                "bt" => set(&mut record.bt, "bt", &mut map)?,
                "bu" => set(&mut record.bu, "bu", &mut map)?,
                "bv" => set(&mut record.bv, "bv", &mut map)?,
                "bs" => set(&mut record.bs, "bs", &mut map)?,
                "bver" => set(&mut record.bver, "bver", &mut map)?,
                "n" => set(&mut record.n, "n", &mut map)?,
                "u" => set(&mut record.u, "u", &mut map)?,
                "v" => set(&mut record.v, "v", &mut map)?,
                "vs" => set(&mut record.vs, "vs", &mut map)?,
                "vb" => set(&mut record.vb, "vb", &mut map)?,
                "vd" => set(&mut record.vd, "vd", &mut map)?,
                "s" => set(&mut record.s, "s", &mut map)?,
                "t" => set(&mut record.t, "t", &mut map)?,
                "ut" => set(&mut record.ut, "ut", &mut map)?,
                "seq" => set(&mut record.seq, "seq", &mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    record.pass_over(&label);
                }
            }
        }
        Ok(record)
    }
}

fn set<'de, T: Deserialize<'de>, A: MapAccess<'de>>(slot: &mut Option<T>, label: &str, map: &mut A) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(de::Error::custom(format_args!("the label {label:?} appears twice in a record")));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

/// A resolved record as it is published.
#[derive(Serialize)]
struct Published<'a> {
    bn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    u: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vs: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vb: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// A SenML JSON pack of one record that says what `reading` says; it is published on `root/fog/x`.
///
/// The name is `site/ID/sense|act/<dataType>`; `bt` holds the whole seconds of the time and `t` the rest, so
/// that no microsecond is rounded away. SenML cannot tell a time before July 1978 (below 2²⁸ s) from a
/// relative one, and this software reads none after 2199: such a time is left out.
#[must_use]
pub fn fog_json(reading: &Reading) -> Vec<u8> {
    let sayable = ABSOLUTE_US_MIN.cast_unsigned()..TIME_US_MAX;
    let time_us = Some(reading.time_us).filter(|us| sayable.contains(us));
    let rest_us = time_us.and_then(|us| u32::try_from(us % SECOND_US).ok()).filter(|us| *us > 0);
    let mut record = Published {
        bn: reading.topic.to_string(),
        bt: time_us.map(|us| us / SECOND_US),
        t: rest_us.map(|us| f64::from(us) / 1e6),
        u: reading.unit.as_deref(),
        v: None,
        vs: None,
        vb: None,
        vd: None,
        seq: reading.sequence,
    };
    match &reading.value {
        Value::Number(number) => record.v = Some(*number),
        Value::Text(text) => record.vs = Some(text),
        Value::Boolean(boolean) => record.vb = Some(*boolean),
        Value::Bytes(bytes) => record.vd = Some(base64url::encode(bytes)),
    }
    // Strings, numbers and truth values always have a JSON form.
    serde_json::to_vec(&[record]).unwrap_or_default()
}
