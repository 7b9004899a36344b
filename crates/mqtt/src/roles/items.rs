//! Readings on their way between the parts of a site: as publishes on `root/fog/x`, and in what the cache says is pending.
//!
//! # Rules
//! - What arrives is the reading that left, with the same id. Where SenML cannot say all of it (T-12), its canonical bytes
//!   travel beside it: in the property [`super::READING`], or in a pending record under [`READING_LABEL`].
//! - Only the ledger node knows the registry of devices, so only it can check a device's signature. Until then a signed
//!   reading is *sealed*: one whose unit is [`SEAL`] and whose bytes are the device's envelope. Nobody can gain by sealing
//!   something himself: it is opened and checked like any other.

use super::{Outgoing, READING, hex, unhex};
use edge::payload::{self, AHEAD_US_MAX, Malformed, TIME_US_MAX, Told};
use protocol::{Decode as _, DecodeError, DeviceTopic, Encode as _, Name, Reading, SignedReading, Topic, TopicError, Value};
use serde_json::json;
use thiserror::Error;

/// The unit of a sealed reading.
const SEAL: &str = "wattle-signed";
/// The label of a pending record that holds the reading's canonical bytes.
const READING_LABEL: &str = "reading";
/// Readings in one payload on `root/cache/<site>/pending`.
pub const PENDING_READINGS_MAX: usize = 256;
/// Bytes of readings after which such a payload is complete; a JSON text may have several times as many.
const PENDING_BYTES_CUT: usize = 64 << 10;
/// Bytes of one such payload.
pub const PENDING_PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Times below this are relative to now in SenML: 2^28 s, in microseconds.
const RELATIVE_US_MAX: u64 = (1 << 28) * 1_000_000;
/// Clocks of two parts of a site may differ by so much before a reading's time looks wrong to the second.
const CLOCK_SLACK_US: u64 = 3_600_000_000;

const _: () = assert!(SEAL.len() <= protocol::limits::UNIT_BYTES_MAX);

/// Why a publish between the parts of a site means nothing. Sending it again would not help.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ItemError {
    /// Its payload is none of a reading.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The canonical bytes that travel with it are none, or another reading's.
    #[error("the canonical bytes beside it are not those of a reading of this topic")]
    Bytes(Option<DecodeError>),
    /// It is no list of pending readings.
    #[error("it is not a list of [topic, microseconds, record]: {0}")]
    Pending(String),
    /// A pending reading's topic is none of the site.
    #[error("the topic of pending reading {index} is not one of this site{}", .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Topic {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it, if it is no topic at all.
        why: Option<TopicError>,
    },
}

/// A signed reading as it is kept until it can be checked. Its time and number are the device's.
#[must_use]
pub fn sealed(topic: &DeviceTopic, signed: &SignedReading) -> Reading {
    Reading {
        topic: topic.clone(),
        time_us: signed.time_us,
        sequence: Some(signed.sequence),
        unit: Some(SEAL.to_owned()),
        value: Value::Bytes(signed.encode()),
        signed: None,
    }
}

fn opened(reading: &Reading) -> Option<SignedReading> {
    match (&reading.unit, &reading.value) {
        (Some(unit), Value::Bytes(bytes)) if unit == SEAL => SignedReading::decode(bytes).ok(),
        _ => None,
    }
}

/// What a kept reading tells the ledger node: a sealed one is opened.
#[must_use]
pub fn told(reading: Reading) -> Told {
    match opened(&reading) {
        Some(signed) => Told::Signed(signed),
        None => Told::Readings(vec![reading]),
    }
}

/// Whether SenML says all of a reading to somebody who reads it now.
fn sayable(reading: &Reading, now_us: u64) -> bool {
    let times = RELATIVE_US_MAX..TIME_US_MAX.min(now_us.saturating_add(AHEAD_US_MAX - CLOCK_SLACK_US));
    reading.signed.is_none() && times.contains(&reading.time_us)
}

/// The publish of a processed reading on `root/fog/x` (T-12).
#[must_use]
pub fn fog_publish(reading: &Reading, now_us: u64) -> Outgoing {
    let topic = Topic::Fog(reading.topic.clone()).to_string();
    if let (Some(_), Value::Bytes(envelope)) = (opened(reading), &reading.value) {
        return Outgoing::plain(topic, envelope.clone());
    }
    let mut publish = Outgoing::plain(topic, payload::fog_json(reading));
    if !sayable(reading, now_us) {
        publish.properties.push((READING.to_owned(), hex(&reading.encode())));
    }
    publish
}

/// The readings that a publish on `root/fog/x` tells, signed ones sealed. `bytes`: its property [`READING`]. `now_us`:
/// microseconds since 1970.
///
/// # Errors
/// [`ItemError`] if it means nothing.
pub fn parse_fog(topic: &DeviceTopic, payload: &[u8], bytes: Option<&str>, now_us: u64) -> Result<Vec<Reading>, ItemError> {
    if let Some(digits) = bytes {
        return canonical(topic, digits).map(|reading| vec![reading]);
    }
    Ok(match payload::read(topic, payload, now_us)? {
        Told::Readings(readings) => readings,
        Told::Signed(signed) => vec![sealed(topic, &signed)],
    })
}

fn canonical(topic: &DeviceTopic, digits: &str) -> Result<Reading, ItemError> {
    let bytes = unhex(digits).ok_or(ItemError::Bytes(None))?;
    let reading = Reading::decode(&bytes).map_err(|why| ItemError::Bytes(Some(why)))?;
    if reading.topic == *topic { Ok(reading) } else { Err(ItemError::Bytes(None)) }
}

/// A reading as one resolved SenML record (RFC 8428).
#[must_use]
pub fn record(reading: &Reading) -> serde_json::Value {
    let pack = serde_json::from_slice::<serde_json::Value>(&payload::fog_json(reading)).unwrap_or_default();
    match pack {
        serde_json::Value::Array(mut records) if records.len() == 1 => records.pop().unwrap_or_default(),
        other => other,
    }
}

/// The payload for `root/cache/<site>/pending`: `[["site/ID/type", time µs, SenML record], …]`.
#[must_use]
pub fn pending_json<'a>(readings: impl Iterator<Item = &'a Reading>, now_us: u64) -> Vec<u8> {
    let row = |reading: &Reading| {
        let mut record = record(reading);
        if let (false, serde_json::Value::Object(labels)) = (sayable(reading, now_us), &mut record) {
            labels.insert(READING_LABEL.to_owned(), hex(&reading.encode()).into());
        }
        json!([reading.topic.to_string(), reading.time_us, record])
    };
    serde_json::Value::Array(readings.map(row).collect()).to_string().into_bytes()
}

/// How many of `readings` go into one payload: as many as it may hold, at least one.
#[must_use]
pub fn pending_cut(readings: &[Reading]) -> usize {
    let mut bytes = 0;
    let fit = readings.iter().take(PENDING_READINGS_MAX).take_while(|reading| {
        bytes += reading.encode().len();
        bytes <= PENDING_BYTES_CUT
    });
    fit.count().max(1)
}

/// The readings of `site` that a payload on `root/cache/<site>/pending` holds, signed ones sealed.
///
/// # Errors
/// [`ItemError`] if it is not of that form. Nothing of it is to be taken then.
pub fn parse_pending(payload: &[u8], site: &Name, now_us: u64) -> Result<Vec<Reading>, ItemError> {
    if payload.len() > PENDING_PAYLOAD_BYTES_MAX {
        return Err(ItemError::Pending(format!("it has {} bytes, the limit is {PENDING_PAYLOAD_BYTES_MAX}", payload.len())));
    }
    let rows: Vec<(String, u64, serde_json::Map<String, serde_json::Value>)> =
        serde_json::from_slice(payload).map_err(|error| ItemError::Pending(error.to_string()))?;
    if rows.len() > PENDING_READINGS_MAX {
        return Err(ItemError::Pending(format!("it has {} readings, the limit is {PENDING_READINGS_MAX}", rows.len())));
    }
    let mut readings = Vec::with_capacity(rows.len());
    for (index, (topic, time_us, mut record)) in rows.into_iter().enumerate() {
        let topic: DeviceTopic = topic.parse().map_err(|why| ItemError::Topic { index, why: Some(why) })?;
        if topic.site != *site {
            return Err(ItemError::Topic { index, why: None });
        }
        let bytes = record.remove(READING_LABEL);
        let pack = serde_json::Value::Array(vec![serde_json::Value::Object(record)]).to_string();
        let told = parse_fog(&topic, pack.as_bytes(), bytes.as_ref().and_then(|bytes| bytes.as_str()), now_us)?;
        match <[Reading; 1]>::try_from(told) {
            Ok([reading]) if reading.time_us == time_us => readings.push(reading),
            _ => return Err(ItemError::Pending(format!("reading {index} is not the one that its topic and time name"))),
        }
    }
    Ok(readings)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{NetworkId, SecretKey};

    const NOW_US: u64 = 1_750_000_000_000_000;

    fn topic() -> DeviceTopic {
        "z1/m1/sense/power".parse().unwrap()
    }

    fn reading(time_us: u64, value: Value) -> Reading {
        Reading { topic: topic(), time_us, sequence: None, unit: Some("W".into()), value, signed: None }
    }

    fn signed() -> SignedReading {
        let key = SecretKey::from_seed(&[3; 32]);
        SignedReading::sign(&NetworkId([7; 32]), &key, &topic(), (NOW_US - 5, 9), None, Value::Number(1.5)).unwrap()
    }

    /// Readings that SenML can say, and some that it cannot.
    fn samples() -> Vec<Reading> {
        let key = SecretKey::from_seed(&[3; 32]).public_key();
        vec![
            reading(NOW_US + 1, Value::Number(42.5)),
            reading(NOW_US, Value::Text("\"\u{e9}".into())),
            reading(NOW_US, Value::Bytes(vec![0, 255])),
            reading(5, Value::Boolean(true)),
            reading(NOW_US + AHEAD_US_MAX, Value::Number(0.0)),
            Reading { sequence: Some(7), unit: None, ..reading(TIME_US_MAX + 1, Value::Number(1.0)) },
            signed().into_reading(topic(), key),
            sealed(&topic(), &signed()),
        ]
    }

    fn property(publish: &Outgoing) -> Option<&str> {
        publish.properties.iter().find(|(name, _)| name == READING).map(|(_, value)| value.as_str())
    }

    /// ROLE-8
    #[test]
    fn a_reading_arrives_as_it_left() {
        for reading in samples() {
            let publish = fog_publish(&reading, NOW_US);
            assert_eq!(publish.topic, "root/fog/z1/m1/sense/power");
            let told = parse_fog(&topic(), &publish.payload, property(&publish), NOW_US + CLOCK_SLACK_US / 2).unwrap();
            assert_eq!(told, [reading]);
        }
        let plain = fog_publish(&samples()[0], NOW_US);
        assert_eq!((plain.payload, plain.properties), (payload::fog_json(&samples()[0]), Vec::new()));
    }

    /// ROLE-8
    #[test]
    fn other_bytes_beside_a_payload_are_refused() {
        let other = Reading { topic: "z1/m2/sense/power".parse().unwrap(), ..samples()[0].clone() };
        for digits in ["", "0", "zz", &hex(&other.encode()), &hex(&samples()[0].encode()[1..])] {
            assert!(matches!(parse_fog(&topic(), b"1", Some(digits), NOW_US), Err(ItemError::Bytes(_))), "{digits}");
        }
    }

    /// T-22, ROLE-11
    #[test]
    fn pending_readings_are_read_back() {
        let site = Name::new("z1").unwrap();
        let text = pending_json(samples().iter(), NOW_US);
        assert_eq!(parse_pending(&text, &site, NOW_US).unwrap(), samples());
        let rows: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&rows[0][0], &rows[0][1], &rows[0][2]["v"]), (&json!("z1/m1/sense/power"), &json!(NOW_US + 1), &json!(42.5)));
        assert!(rows[0][2].get(READING_LABEL).is_none() && rows[3][2].get(READING_LABEL).is_some());
        assert_eq!(pending_json(std::iter::empty(), NOW_US), b"[]");
    }

    /// ROLE-11
    #[test]
    fn what_is_no_list_of_pending_readings_is_refused() {
        let site = Name::new("z1").unwrap();
        let good = String::from_utf8(pending_json(samples()[..1].iter(), NOW_US)).unwrap();
        for bad in [
            String::new(),
            "{}".into(),
            "[[]]".into(),
            good.replace("\"z1/m1/sense/power\",", "\"z1/m1\","),
            good.replace(&(NOW_US + 1).to_string(), "5"),
            good.replace("[[\"z1", "[[\"z2"),
            format!("[{}]", vec!["[\"z1/m1/sense/power\",1,{\"v\":1,\"bt\":1750000000}]"; PENDING_READINGS_MAX + 1].join(",")),
        ] {
            assert!(parse_pending(bad.as_bytes(), &site, NOW_US).is_err(), "{bad}");
        }
        assert_eq!(parse_pending(good.as_bytes(), &site, NOW_US).unwrap().len(), 1);
    }

    /// ROLE-11
    #[test]
    fn a_pending_payload_is_bounded() {
        let long = vec![reading(NOW_US, Value::Bytes(vec![1; 16_000])); 300];
        let short = vec![reading(NOW_US, Value::Number(1.0)); 300];
        assert_eq!((pending_cut(&long), pending_cut(&short), pending_cut(&long[..1])), (4, PENDING_READINGS_MAX, 1));
        let worst = vec![reading(NOW_US, Value::Text("\u{1}".repeat(16_384))); 4];
        assert!(pending_json(worst.iter().take(pending_cut(&worst)), NOW_US).len() <= PENDING_PAYLOAD_BYTES_MAX);
    }

    /// ROLE-9
    #[test]
    fn a_signed_reading_is_sealed_until_it_is_checked() {
        assert_eq!(told(sealed(&topic(), &signed())), Told::Signed(signed()));
        let other = reading(NOW_US, Value::Bytes(b"x".to_vec()));
        assert_eq!(told(other.clone()), Told::Readings(vec![other]));
    }
}
