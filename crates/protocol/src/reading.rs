//! A reading: one value that a device published, in the one form that is hashed.
//!
//! ```text
//! version=1 | site | ID | direction | data type | time µs u64 | sequence? | unit? | value
//! version=2 | the same, with a sequence | device's key [32] | device's signature [64]
//! value: 0 number f64 | 1 boolean u8 | 2 text | 3 bytes        (lengths LEB128, integers big-endian)
//! ```
//! Version 2 is a reading that its device signed ([`crate::signed`]); the signature is over version 1 of it.
//! Numbers are finite; zero is written `+0`. So two readings are the same reading exactly if their bytes are.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_varint};
use crate::keys::{Id, NetworkId, PublicKey, Signature};
use crate::limits::{UNIT_BYTES_MAX, VALUE_BYTES_MAX};
use crate::topic::DeviceTopic;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

const UNSIGNED: u8 = 1;
const SIGNED: u8 = 2;

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A finite number, `-0` excluded: see [`Value::number`].
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// UTF-8 text.
    Text(String),
    /// Bytes that only the application understands.
    Bytes(Vec<u8>),
}

impl Value {
    /// A number in canonical form; `None` if it is infinite or not a number.
    #[must_use]
    pub fn number(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Number(if value == 0.0 { 0.0 } else { value }))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Boolean(b) => write!(f, "{b}"),
            Self::Text(t) => write!(f, "{t:?}"),
            Self::Bytes(b) => {
                f.write_str("0x")?;
                b.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
    }
}

impl Encode for Value {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(n) => {
                out.push(0);
                out.extend_from_slice(&n.to_be_bytes());
            }
            Self::Boolean(b) => out.extend_from_slice(&[1, u8::from(*b)]),
            Self::Text(t) => {
                out.push(2);
                put_bytes(out, t.as_bytes());
            }
            Self::Bytes(b) => {
                out.push(3);
                put_bytes(out, b);
            }
        }
    }
}

impl Decode for Value {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a value")? {
            0 => {
                let number = f64::from_be_bytes(reader.array("a number")?);
                let negative_zero = number == 0.0 && number.is_sign_negative();
                if !number.is_finite() || negative_zero {
                    return Err(DecodeError::NonCanonical("a number"));
                }
                Ok(Self::Number(number))
            }
            1 => Ok(Self::Boolean(reader.flag("a truth value")?)),
            2 => Ok(Self::Text(reader.text(VALUE_BYTES_MAX, "a text value")?.into())),
            3 => Ok(Self::Bytes(reader.bytes(VALUE_BYTES_MAX, "a byte value")?.into())),
            tag => Err(DecodeError::UnknownTag { what: "a value", tag }),
        }
    }
}

/// A device's signature of a reading, and the key it is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSignature {
    /// The device's key when it signed. Whose key that is, the registry on the ledger says.
    pub key: PublicKey,
    /// Its signature of [`Reading::content`].
    pub signature: Signature,
}

/// One value that a device published.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Which device, and what it measures.
    pub topic: DeviceTopic,
    /// When, in microseconds since 1970: the device's time if it sent one, else that of its arrival.
    pub time_us: u64,
    /// The device's own number for it, if it counts.
    pub sequence: Option<u64>,
    /// The unit's symbol (SenML, RFC 8428 §12.1), if it was sent. At most [`UNIT_BYTES_MAX`] bytes.
    pub unit: Option<String>,
    /// The value; texts and bytes of at most [`VALUE_BYTES_MAX`].
    pub value: Value,
    /// The device's signature, if it signs. Then it also has a sequence.
    pub signed: Option<DeviceSignature>,
}

impl Reading {
    /// The encoding without the signature: what a device signs, and all of a reading that is not signed.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        self.content_to(UNSIGNED, &mut out);
        out
    }

    fn content_to(&self, version: u8, out: &mut Vec<u8>) {
        out.push(version);
        self.topic.encode_to(out);
        out.extend_from_slice(&self.time_us.to_be_bytes());
        match self.sequence {
            Some(n) => {
                out.push(1);
                put_varint(out, n);
            }
            None => out.push(0),
        }
        put_unit(out, self.unit.as_deref());
        self.value.encode_to(out);
    }

    /// Whether it is signed, and the signature is that key's for this network.
    #[must_use]
    pub fn is_authentic(&self, network: &NetworkId) -> bool {
        self.signed.is_some_and(|s| s.key.verify(&crate::signed::namespace(network), &self.content(), &s.signature))
    }

    /// The hash that names this reading.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::hash(&[b"wattle/reading/v1", &self.encode()])
    }

    /// `site/ID/type@time`.
    #[must_use]
    pub fn name(&self) -> ReadingName {
        ReadingName { topic: self.topic.clone(), time_us: self.time_us }
    }
}

impl Encode for Reading {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match &self.signed {
            None => self.content_to(UNSIGNED, out),
            Some(DeviceSignature { key, signature }) => {
                self.content_to(SIGNED, out);
                key.encode_to(out);
                signature.encode_to(out);
            }
        }
    }
}

impl Decode for Reading {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let signed = match reader.byte("a reading's version")? {
            UNSIGNED => false,
            SIGNED => true,
            tag => return Err(DecodeError::UnknownTag { what: "a reading's version", tag }),
        };
        let mut reading = Self {
            topic: DeviceTopic::decode_from(reader)?,
            time_us: reader.u64("a reading's time")?,
            sequence: if reader.flag("a reading's sequence")? { Some(reader.varint("a reading's sequence")?) } else { None },
            unit: if reader.flag("a unit")? { Some(unit(reader)?) } else { None },
            value: Value::decode_from(reader)?,
            signed: None,
        };
        if signed {
            if reading.sequence.is_none() {
                return Err(DecodeError::Invalid("a signed reading's sequence"));
            }
            reading.signed = Some(DeviceSignature { key: PublicKey::decode_from(reader)?, signature: Signature::decode_from(reader)? });
        }
        Ok(reading)
    }
}

/// Puts a unit, or that there is none.
pub(crate) fn put_unit(out: &mut Vec<u8>, unit: Option<&str>) {
    match unit {
        Some(unit) => {
            out.push(1);
            put_bytes(out, unit.as_bytes());
        }
        None => out.push(0),
    }
}

/// Takes a unit: text without control characters, so that it can be shown as it is.
pub(crate) fn unit(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let text = reader.text(UNIT_BYTES_MAX, "a unit")?;
    match text.chars().any(char::is_control) {
        true => Err(DecodeError::Invalid("a unit")),
        false => Ok(text.into()),
    }
}

/// How a person names a reading: `site/ID/type@time`, the time in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingName {
    /// The device and what it measures.
    pub topic: DeviceTopic,
    /// The reading's time, in microseconds since 1970.
    pub time_us: u64,
}

impl fmt::Display for ReadingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.topic, self.time_us)
    }
}

impl FromStr for ReadingName {
    type Err = DecodeError;
    fn from_str(s: &str) -> Result<Self, DecodeError> {
        let bad = DecodeError::Invalid("a reading's name (site/ID/sense|act/<dataType>@<microseconds since 1970>)");
        let (topic, time) = s.rsplit_once('@').ok_or(bad)?;
        let time_us: u64 = time.parse().map_err(|_| bad)?;
        // one name for one reading: no sign, no leading zero
        if alloc::format!("{time_us}") != time {
            return Err(bad);
        }
        Ok(Self { topic: topic.parse().map_err(|_| bad)?, time_us })
    }
}
