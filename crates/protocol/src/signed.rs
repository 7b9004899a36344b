//! What a device publishes that signs its readings (role 2): an envelope of a few bytes around one value.
//!
//! ```text
//! F7 'w' 'r' | version=1 u8 | time µs u64 | sequence | unit? | value | signature [64]
//! ```
//! - The topic is that of the PUBLISH, the key is the one that the registry has for the device: neither is repeated.
//! - The signature is the device's, under `"wattle/device-reading/v1/" ‖ network id`, over the reading without its
//!   signature ([`Reading::content`]): topic, time, sequence, unit and value. So nothing of it can be changed, nor can it
//!   be carried to another device, purpose or network.
//! - The sequence is the device's own: with one key no number is used twice. `0xF7` begins no UTF-8 text, so no text and
//!   no JSON is taken for an envelope.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::keys::{NetworkId, PublicKey, SecretKey, Signature};
use crate::reading::{DeviceSignature, Reading, Value, put_unit, unit};
use crate::topic::DeviceTopic;
use alloc::string::String;
use alloc::vec::Vec;

/// What an envelope begins with.
pub const ENVELOPE_MAGIC: [u8; 3] = [0xf7, b'w', b'r'];
const VERSION: u8 = 1;
const NAMESPACE: &[u8] = b"wattle/device-reading/v1/";

/// The namespace under which the devices of a network sign their readings.
#[must_use]
pub fn namespace(network: &NetworkId) -> Vec<u8> {
    [NAMESPACE, &network.0].concat()
}

/// A reading as its device signed it, without the topic.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedReading {
    /// The device's time, in microseconds since 1970.
    pub time_us: u64,
    /// The device's own number for it.
    pub sequence: u64,
    /// The unit's symbol.
    pub unit: Option<String>,
    /// The value.
    pub value: Value,
    /// The device's signature.
    pub signature: Signature,
}

impl SignedReading {
    /// Signs a reading.
    ///
    /// # Errors
    /// [`DecodeError`] if it has no canonical form: a number that is not finite, a value or unit over its limit, a
    /// control character in the unit.
    pub fn sign(
        network: &NetworkId,
        key: &SecretKey,
        topic: &DeviceTopic,
        (time_us, sequence): (u64, u64),
        unit: Option<String>,
        value: Value,
    ) -> Result<Self, DecodeError> {
        let value = match value {
            Value::Number(number) => Value::number(number).ok_or(DecodeError::NonCanonical("a number"))?,
            other => other,
        };
        let reading = Reading { topic: topic.clone(), time_us, sequence: Some(sequence), unit, value, signed: None };
        let content = reading.content();
        Reading::decode(&content)?;
        let signature = key.sign(&namespace(network), &content);
        let Reading { unit, value, .. } = reading;
        Ok(Self { time_us, sequence, unit, value, signature })
    }

    /// The reading that this is on `topic`, signed by `key`. Whether the signature holds is for
    /// [`Reading::is_authentic`] to say.
    #[must_use]
    pub fn into_reading(self, topic: DeviceTopic, key: PublicKey) -> Reading {
        let Self { time_us, sequence, unit, value, signature } = self;
        Reading { topic, time_us, sequence: Some(sequence), unit, value, signed: Some(DeviceSignature { key, signature }) }
    }

    /// Whether bytes claim to be an envelope.
    #[must_use]
    pub fn is_envelope(bytes: &[u8]) -> bool {
        bytes.starts_with(&ENVELOPE_MAGIC)
    }
}

impl Encode for SignedReading {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ENVELOPE_MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.time_us.to_be_bytes());
        put_varint(out, self.sequence);
        put_unit(out, self.unit.as_deref());
        self.value.encode_to(out);
        self.signature.encode_to(out);
    }
}

impl Decode for SignedReading {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.array::<3>("an envelope")? != ENVELOPE_MAGIC {
            return Err(DecodeError::Invalid("an envelope's beginning"));
        }
        reader.version(VERSION, "an envelope's version")?;
        Ok(Self {
            time_us: reader.u64("a reading's time")?,
            sequence: reader.varint("a reading's sequence")?,
            unit: if reader.flag("a unit")? { Some(unit(reader)?) } else { None },
            value: Value::decode_from(reader)?,
            signature: Signature::decode_from(reader)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn topic() -> DeviceTopic {
        "plant/meter-1/sense/power".parse().unwrap()
    }

    fn key() -> SecretKey {
        SecretKey::from_seed(&[3; 32])
    }

    fn signed(value: Value) -> Result<SignedReading, DecodeError> {
        SignedReading::sign(&NETWORK, &key(), &topic(), (1_750_000_000_000_000, 9), Some("W".into()), value)
    }

    #[test]
    fn an_envelope_is_read_back_and_its_signature_holds() {
        for value in [Value::Number(-0.0), Value::Number(21.5), Value::Boolean(true), Value::Text("on".into()), Value::Bytes([1].into())] {
            let envelope = signed(value).unwrap();
            let bytes = envelope.encode();
            assert!(SignedReading::is_envelope(&bytes) && core::str::from_utf8(&bytes).is_err());
            let again = SignedReading::decode(&bytes).unwrap();
            assert_eq!(again, envelope);
            assert!(again.into_reading(topic(), key().public_key()).is_authentic(&NETWORK));
        }
    }

    #[test]
    fn nothing_that_is_signed_can_be_changed() {
        let good = signed(Value::Number(21.5)).unwrap().into_reading(topic(), key().public_key());
        let changed = |change: &dyn Fn(&mut Reading)| {
            let mut reading = good.clone();
            change(&mut reading);
            reading.is_authentic(&NETWORK)
        };
        assert!(changed(&|_| {}));
        assert!(!changed(&|r| r.time_us += 1));
        assert!(!changed(&|r| r.sequence = Some(10)));
        assert!(!changed(&|r| r.unit = None));
        assert!(!changed(&|r| r.value = Value::Number(21.25)));
        assert!(!changed(&|r| r.topic = "plant/meter-2/sense/power".parse().unwrap()));
        assert!(!changed(&|r| r.topic = "plant/meter-1/sense/energy".parse().unwrap()));
        assert!(!changed(&|r| r.signed.as_mut().unwrap().key = SecretKey::from_seed(&[4; 32]).public_key()));
        assert!(!changed(&|r| r.signed.as_mut().unwrap().signature.0[40] ^= 1));
        assert!(!good.is_authentic(&NetworkId([8; 32])), "another network");
    }

    #[test]
    fn what_has_no_canonical_form_is_not_signed() {
        assert_eq!(signed(Value::Number(f64::NAN)).err(), Some(DecodeError::NonCanonical("a number")));
        assert!(signed(Value::Text("x".repeat(crate::limits::VALUE_BYTES_MAX + 1))).is_err());
        let unit = |unit: &str| SignedReading::sign(&NETWORK, &key(), &topic(), (1, 1), Some(unit.into()), Value::Boolean(true));
        assert!(unit("0123456789abcdef").is_ok());
        assert!(unit("0123456789abcdefg").is_err() && unit("\u{7}").is_err());
    }
}
