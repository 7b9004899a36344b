//! SenML CBOR (RFC 8428 §6): the same records as SenML JSON, with numbers for labels.
//!
//! # Rules
//! - Labels of the RFC are the integers of its table 4; as text they are malformed. An unknown integer, and an unknown
//!   text that does not end in `_`, is passed over. The label `seq` (ours) is the sequence number, as in JSON.
//! - Numbers are integers, floating-point numbers of any width or decimal fractions (tag 4). Texts and data have
//!   definite lengths, as the RFC says; arrays and maps may be indefinite.
//! - Nothing may follow the pack.

use crate::malformed::{Malformed, complaint};
use crate::payload::{BadTime, RECORDS_MAX};
use crate::senml::{self, Pack, Record};
use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error};
use protocol::{DeviceTopic, Reading};

/// The tag of a decimal fraction (RFC 8949 §3.4.4).
const DECIMAL_FRACTION: Tag = Tag::new(4);
/// The labels of RFC 8428 as JSON has them: as texts they have no place in CBOR.
const LABELS: [&str; 15] = ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"];

/// Decodes a pack.
pub(crate) fn decode(topic: &DeviceTopic, payload: &[u8], arrival_us: u64, bad_time: BadTime) -> Result<Vec<Reading>, Malformed> {
    let pack = pack(payload).map_err(|why| Malformed::Cbor(complaint(&why)))?;
    senml::readings(topic, pack, arrival_us, bad_time)
}

fn pack(payload: &[u8]) -> Result<Pack, String> {
    let mut input = Decoder::new(payload);
    let length = input.array().map_err(said)?;
    let mut records = Vec::new();
    let mut count = 0usize;
    while another(&mut input, length, count)? {
        if count < RECORDS_MAX {
            records.push(record(&mut input)?);
        } else {
            input.skip().map_err(said)?;
        }
        count += 1;
    }
    match payload.len().saturating_sub(input.position()) {
        0 => Ok(Pack { records, count }),
        rest => Err(format!("{rest} bytes follow the pack")),
    }
}

fn said(why: Error) -> String {
    why.to_string()
}

/// Whether another element follows `taken` ones, in an array or map of `length`, or until its break if that is open.
fn another(input: &mut Decoder<'_>, length: Option<u64>, taken: usize) -> Result<bool, String> {
    if let Some(length) = length {
        return Ok((taken as u64) < length);
    }
    if input.datatype().map_err(said)? != Type::Break {
        return Ok(true);
    }
    input.set_position(input.position().saturating_add(1));
    Ok(false)
}

fn record(input: &mut Decoder<'_>) -> Result<Record, String> {
    let length = input.map().map_err(said)?;
    let mut record = Record::default();
    let mut taken = 0usize;
    while another(input, length, taken)? {
        taken += 1;
        match input.datatype().map_err(said)? {
            Type::String => {
                let label = input.str().map_err(said)?;
                labelled_by_text(&mut record, label, input)?;
            }
            Type::StringIndef => return Err("a label has no definite length".to_owned()),
            _ => {
                let label = i128::from(input.int().map_err(said)?);
                labelled_by_number(&mut record, label, input)?;
            }
        }
    }
    Ok(record)
}

/// The labels of RFC 8428, table 4.
fn labelled_by_number(record: &mut Record, label: i128, input: &mut Decoder<'_>) -> Result<(), String> {
    match label {
        -1 => set(&mut record.bver, label, input.u64().map_err(said)?),
        -2 => set(&mut record.bn, label, text(input)?),
        -3 => set(&mut record.bt, label, number(input)?),
        -4 => set(&mut record.bu, label, text(input)?),
        -5 => set(&mut record.bv, label, number(input)?),
        -6 => set(&mut record.bs, label, number(input)?),
        0 => set(&mut record.n, label, text(input)?),
        1 => set(&mut record.u, label, text(input)?),
        2 => set(&mut record.v, label, number(input)?),
        3 => set(&mut record.vs, label, text(input)?),
        4 => set(&mut record.vb, label, input.bool().map_err(said)?),
        5 => set(&mut record.s, label, number(input)?),
        6 => set(&mut record.t, label, number(input)?),
        7 => set(&mut record.ut, label, number(input)?),
        8 => set(&mut record.data, label, input.bytes().map_err(said)?.to_vec()),
        _ => input.skip().map_err(said),
    }
}

fn labelled_by_text(record: &mut Record, label: &str, input: &mut Decoder<'_>) -> Result<(), String> {
    if label == "seq" {
        return set(&mut record.seq, label, input.u64().map_err(said)?);
    }
    if LABELS.contains(&label) {
        return Err(format!("the label {label:?} must be its number in CBOR (RFC 8428, table 4)"));
    }
    record.pass_over(label);
    input.skip().map_err(said)
}

fn set<T>(slot: &mut Option<T>, label: impl std::fmt::Display, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("the label {label} appears twice in a record")),
    }
}

fn text(input: &mut Decoder<'_>) -> Result<String, String> {
    input.str().map(str::to_owned).map_err(said)
}

fn number(input: &mut Decoder<'_>) -> Result<f64, String> {
    match input.datatype().map_err(said)? {
        Type::F16 | Type::F32 | Type::F64 => input.f64().map_err(said),
        Type::Tag => decimal_fraction(input),
        _ => input.int().map(|whole| i128::from(whole) as f64).map_err(said),
    }
}

/// `[exponent, mantissa]` to base 10, rounded once.
fn decimal_fraction(input: &mut Decoder<'_>) -> Result<f64, String> {
    if input.tag().map_err(said)? != DECIMAL_FRACTION || input.array().map_err(said)? != Some(2) {
        return Err("a tagged number is no decimal fraction of two parts".to_owned());
    }
    let exponent = i128::from(input.int().map_err(said)?);
    let mantissa = i128::from(input.int().map_err(said)?);
    format!("{mantissa}e{exponent}").parse().map_err(|_| "a decimal fraction is no number".to_owned())
}
