//! A batch: the readings that one node anchors with one message.
//!
//! Its root goes on the ledger, its body stays off-chain (M9). A receipt shows the hashes beside a reading's
//! path, and sensor values are few enough to be guessed, so leaves are **blinded** (M45):
//!
//! ```text
//! salt(i) = HMAC-SHA256(secret, "wattle/leaf-salt/v1" ‖ i u32)
//! leaf(i) = SHA-256(0x00 ‖ salt(i) ‖ reading(i))
//! ```
//! The secret is drawn at random for each batch and never leaves the body. A receipt carries one salt, which
//! says nothing about another.
//!
//! # The body's encoding
//! Made to be small: topics and units once, times as differences.
//! ```text
//! version=1 | secret[32] | first offset | topics[] | units[] | count |
//! count × ( topic# | zigzag(time − previous time) | unit#+1 or 0 | mark | sequence? | value | device? )
//! mark:   0 no sequence | 1 a sequence | 2 a sequence, and signed by its device
//! device: key# | key [32] if it is the first reading of that key | signature [64]
//! ```
//! Keys are numbered as they come, from 0; so a batch without signed readings has no trace of them.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_varint, unzigzag, zigzag};
use crate::keys::{Id, PublicKey, Signature};
use crate::limits::BATCH_READINGS_MAX;
use crate::reading::{DeviceSignature, Reading, Value, unit};
use crate::topic::DeviceTopic;
use alloc::string::String;
use alloc::vec::Vec;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const VERSION: u8 = 1;

/// The readings anchored together, with the secret that blinds their leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Blinds the leaves. Whoever knows it can test guesses of the readings' values.
    pub secret: [u8; 32],
    /// Where the first reading stands in the site's log; the others follow without a gap. A node that
    /// restarts learns from its last batch where to go on.
    pub first_offset: u64,
    /// At most [`BATCH_READINGS_MAX`] readings.
    pub readings: Vec<Reading>,
}

/// The salt of leaf `index` under a batch's secret.
#[must_use]
pub fn salt(secret: &[u8; 32], index: u32) -> [u8; 32] {
    // HMAC pads a short key with zeros to the hash's block
    let mut key = [0u8; 64];
    key.iter_mut().zip(secret).for_each(|(k, s)| *k = *s);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&key.into());
    mac.update(b"wattle/leaf-salt/v1");
    mac.update(&index.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// The blinded leaf of a reading.
#[must_use]
pub fn blinded_leaf(salt: &[u8; 32], reading: &[u8]) -> Id {
    Id::hash(&[&[0], salt, reading])
}

impl Batch {
    /// The leaf hashes, in order.
    #[must_use]
    pub fn leaves(&self) -> Vec<Id> {
        (0u32..).zip(&self.readings).map(|(i, r)| blinded_leaf(&salt(&self.secret, i), &r.encode())).collect()
    }

    /// The earliest and latest time of its readings, in microseconds; `(0, 0)` if there are none.
    #[must_use]
    pub fn span_us(&self) -> (u64, u64) {
        let times = || self.readings.iter().map(|r| r.time_us);
        (times().min().unwrap_or(0), times().max().unwrap_or(0))
    }

    /// The name of an encoded body: BLAKE3.
    #[must_use]
    pub fn blob_digest(body: &[u8]) -> Id {
        Id(*blake3::hash(body).as_bytes())
    }
}

/// Index of `item` in `table`, appending it if it is new.
fn intern<T: Clone + PartialEq>(table: &mut Vec<T>, item: &T) -> u64 {
    // devices repeat in runs: look from the end
    let at = table.iter().rposition(|t| t == item).unwrap_or_else(|| {
        table.push(item.clone());
        table.len() - 1
    });
    at as u64
}

impl Encode for Batch {
    fn encode_to(&self, out: &mut Vec<u8>) {
        let (mut topics, mut units): (Vec<DeviceTopic>, Vec<String>) = (Vec::new(), Vec::new());
        let mut keys: Vec<PublicKey> = Vec::new();
        let mut rows = Vec::new();
        let mut previous = 0u64;
        for reading in &self.readings {
            put_varint(&mut rows, intern(&mut topics, &reading.topic));
            put_varint(&mut rows, zigzag(reading.time_us.wrapping_sub(previous).cast_signed()));
            previous = reading.time_us;
            put_varint(&mut rows, reading.unit.as_ref().map_or(0, |u| intern(&mut units, u) + 1));
            match reading.sequence {
                None => rows.push(0),
                Some(n) => {
                    rows.push(if reading.signed.is_some() { 2 } else { 1 });
                    put_varint(&mut rows, n);
                }
            }
            reading.value.encode_to(&mut rows);
            // a signed reading has a sequence
            if let Some(signed) = reading.signed.as_ref().filter(|_| reading.sequence.is_some()) {
                let known = keys.len();
                put_varint(&mut rows, intern(&mut keys, &signed.key));
                if keys.len() > known {
                    signed.key.encode_to(&mut rows);
                }
                signed.signature.encode_to(&mut rows);
            }
        }
        out.push(VERSION);
        out.extend_from_slice(&self.secret);
        put_varint(out, self.first_offset);
        put_varint(out, topics.len() as u64);
        topics.iter().for_each(|t| t.encode_to(out));
        put_varint(out, units.len() as u64);
        units.iter().for_each(|u| put_bytes(out, u.as_bytes()));
        put_varint(out, self.readings.len() as u64);
        out.extend_from_slice(&rows);
    }
}

/// Takes a device's signature; `keys` are those that came before.
fn device_signature(reader: &mut Reader<'_>, keys: &mut Vec<PublicKey>) -> Result<DeviceSignature, DecodeError> {
    let what = "a device key's index";
    let index = usize::try_from(reader.varint(what)?).map_err(|_| DecodeError::Invalid(what))?;
    if index == keys.len() {
        let key = PublicKey::decode_from(reader)?;
        if keys.contains(&key) {
            return Err(DecodeError::NonCanonical("a batch's device keys"));
        }
        keys.push(key);
    }
    let key = *keys.get(index).ok_or(DecodeError::Invalid(what))?;
    Ok(DeviceSignature { key, signature: Signature::decode_from(reader)? })
}

impl Decode for Batch {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "a batch's version")?;
        let secret = reader.array("a batch's secret")?;
        let first_offset = reader.varint("a batch's first offset")?;
        let mut topics = Vec::new();
        for _ in 0..reader.length(BATCH_READINGS_MAX, 7, "a batch's topics")? {
            topics.push(DeviceTopic::decode_from(reader)?);
        }
        let mut units: Vec<String> = Vec::new();
        for _ in 0..reader.length(BATCH_READINGS_MAX, 1, "a batch's units")? {
            units.push(unit(reader)?);
        }
        let count = reader.length(BATCH_READINGS_MAX, 6, "a batch's readings")?;
        let (mut readings, mut previous) = (Vec::with_capacity(count), 0u64);
        let mut keys = Vec::new();
        let pick = |n: u64, what| usize::try_from(n).map_err(|_| DecodeError::Invalid(what));
        for _ in 0..count {
            let topic = topics.get(pick(reader.varint("a topic's index")?, "a topic's index")?);
            let topic = topic.ok_or(DecodeError::Invalid("a topic's index"))?.clone();
            let time_us = previous.wrapping_add(unzigzag(reader.varint("a time")?).cast_unsigned());
            previous = time_us;
            let unit = match reader.varint("a unit's index")? {
                0 => None,
                n => Some(units.get(pick(n - 1, "a unit's index")?).ok_or(DecodeError::Invalid("a unit's index"))?.clone()),
            };
            let mark = reader.byte("a sequence")?;
            let sequence = match mark {
                0 => None,
                1 | 2 => Some(reader.varint("a sequence")?),
                _ => return Err(DecodeError::NonCanonical("a sequence")),
            };
            let value = Value::decode_from(reader)?;
            let signed = if mark == 2 { Some(device_signature(reader, &mut keys)?) } else { None };
            readings.push(Reading { topic, time_us, sequence, unit, value, signed });
        }
        let batch = Self { secret, first_offset, readings };
        // tables could be written in other orders or with strangers in them: one form only
        let (mut seen_topics, mut seen_units) = (Vec::new(), Vec::new());
        for r in &batch.readings {
            intern(&mut seen_topics, &r.topic);
            r.unit.as_ref().map(|u| intern(&mut seen_units, u));
        }
        if seen_topics != topics || seen_units != units {
            return Err(DecodeError::NonCanonical("a batch's tables"));
        }
        Ok(batch)
    }
}
