//! What one device asks of another (mission M23): a command that travels on the ledger.
//!
//! ```text
//! version=1 u8 | from: site, ID | to: topic (act) | time µs u64 | number | unit? | value | 0, or 1 key [32] signature [64]
//! ```
//! # Rules
//! - They are REQ-1 to REQ-4 of `docs/spec/requests.md`.
//! - The signature is the asking device's, under `"wattle/device-request/v1/" ‖ network id`, over everything before the byte
//!   that says whether there is one. So it cannot be carried to another device, command or network, and none of a reading
//!   can be taken for one of a request.
//! - A device numbers its requests; two of one device (and key) with one number are one request, or a replay.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::device::DeviceName;
use crate::keys::{Id, NetworkId, SecretKey, Signature};
use crate::limits::REQUEST_VALUE_BYTES_MAX;
use crate::reading::{DeviceSignature, Value, put_unit, unit};
use crate::topic::{DeviceTopic, Direction};
use alloc::string::String;
use alloc::vec::Vec;

const VERSION: u8 = 1;
const NAMESPACE: &[u8] = b"wattle/device-request/v1/";
const ID_DOMAIN: &[u8] = b"wattle/device-request/v1";
const SLOT_DOMAIN: &[u8] = b"wattle/device-request-number/v1";

/// The namespace under which the devices of a network sign their requests.
#[must_use]
pub fn namespace(network: &NetworkId) -> Vec<u8> {
    [NAMESPACE, &network.0].concat()
}

/// A command that a device has for another.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRequest {
    /// Who asks.
    pub from: DeviceName,
    /// What it is to do: a topic with the direction `act`.
    pub to: DeviceTopic,
    /// When it was asked, in microseconds since 1970: by the device's clock if it signs.
    pub time_us: u64,
    /// The asking device's own number for it.
    pub number: u64,
    /// The unit's symbol.
    pub unit: Option<String>,
    /// The value; texts and bytes of at most [`REQUEST_VALUE_BYTES_MAX`].
    pub value: Value,
    /// The asking device's signature, if it signs.
    pub signed: Option<DeviceSignature>,
}

impl DeviceRequest {
    /// The same, signed by its device.
    ///
    /// # Errors
    /// [`DecodeError`] if it has no canonical form: a topic that is not `act`, a number that is not finite, a value or unit
    /// over its limit.
    pub fn sign(self, network: &NetworkId, key: &SecretKey) -> Result<Self, DecodeError> {
        let plain = self.canonical()?;
        let signature = key.sign(&namespace(network), &plain.content());
        Ok(plain.with_signature(DeviceSignature { key: key.public_key(), signature }))
    }

    /// The same without a signature, if it has a canonical form.
    ///
    /// # Errors
    /// [`DecodeError`] if not.
    pub fn canonical(self) -> Result<Self, DecodeError> {
        let value = match self.value {
            Value::Number(number) => Value::number(number).ok_or(DecodeError::NonCanonical("a number"))?,
            other => other,
        };
        let plain = Self { value, signed: None, ..self };
        Self::decode(&plain.encode())?;
        Ok(plain)
    }

    /// The same with this signature, whether it holds or not.
    #[must_use]
    pub fn with_signature(self, signed: DeviceSignature) -> Self {
        Self { signed: Some(signed), ..self }
    }

    /// What the device signs.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.content_to(&mut out);
        out
    }

    fn content_to(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.from.encode_to(out);
        self.to.encode_to(out);
        out.extend_from_slice(&self.time_us.to_be_bytes());
        put_varint(out, self.number);
        put_unit(out, self.unit.as_deref());
        self.value.encode_to(out);
    }

    /// Whether it is signed, and the signature is that key's for this network.
    #[must_use]
    pub fn is_authentic(&self, network: &NetworkId) -> bool {
        self.signed.is_some_and(|s| s.key.verify(&namespace(network), &self.content(), &s.signature))
    }

    /// The signature alone.
    #[must_use]
    pub fn signature(&self) -> Option<Signature> {
        self.signed.map(|s| s.signature)
    }

    /// The hash that names this request.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::hash(&[ID_DOMAIN, &self.encode()])
    }

    /// The hash that stands for who asks and the number: what is used once.
    #[must_use]
    pub fn slot(&self) -> Id {
        let mut who = self.from.encode();
        match &self.signed {
            Some(signed) => {
                who.push(1);
                signed.key.encode_to(&mut who);
            }
            None => who.push(0),
        }
        put_varint(&mut who, self.number);
        Id::hash(&[SLOT_DOMAIN, &who])
    }
}

impl Encode for DeviceRequest {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.content_to(out);
        match &self.signed {
            Some(DeviceSignature { key, signature }) => {
                out.push(1);
                key.encode_to(out);
                signature.encode_to(out);
            }
            None => out.push(0),
        }
    }
}

impl Decode for DeviceRequest {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "a request's version")?;
        let from = DeviceName::decode_from(reader)?;
        let to = DeviceTopic::decode_from(reader)?;
        if to.direction != Direction::Act {
            return Err(DecodeError::Invalid("a request's topic"));
        }
        let request = Self {
            from,
            to,
            time_us: reader.u64("a request's time")?,
            number: reader.varint("a request's number")?,
            unit: if reader.flag("a unit")? { Some(unit(reader)?) } else { None },
            value: value(reader)?,
            signed: None,
        };
        Ok(match reader.flag("a request's signature")? {
            true => request.with_signature(DeviceSignature {
                key: crate::keys::PublicKey::decode_from(reader)?,
                signature: Signature::decode_from(reader)?,
            }),
            false => request,
        })
    }
}

/// Takes a value within the limit of requests.
fn value(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let value = Value::decode_from(reader)?;
    let found = match &value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Number(_) | Value::Boolean(_) => 0,
    };
    match found > REQUEST_VALUE_BYTES_MAX {
        true => Err(DecodeError::OverLimit { what: "a request's value", limit: REQUEST_VALUE_BYTES_MAX, found: found as u64 }),
        false => Ok(value),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::keys::PublicKey;

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn key() -> SecretKey {
        SecretKey::from_seed(&[3; 32])
    }

    fn plain(value: Value) -> DeviceRequest {
        DeviceRequest {
            from: "z1/button".parse().unwrap(),
            to: "agg/z2/lamp/act/power".parse().unwrap(),
            time_us: 1_750_000_000_000_000,
            number: 9,
            unit: Some("W".into()),
            value,
            signed: None,
        }
    }

    #[test]
    fn a_request_is_read_back_and_its_signature_holds() {
        for value in [Value::Number(-0.0), Value::Boolean(true), Value::Text("on".into()), Value::Bytes([1].into())] {
            let unsigned = plain(value.clone()).canonical().unwrap();
            assert_eq!(DeviceRequest::decode(&unsigned.encode()).as_ref(), Ok(&unsigned));
            assert!(!unsigned.is_authentic(&NETWORK));
            let signed = plain(value).sign(&NETWORK, &key()).unwrap();
            assert_eq!(DeviceRequest::decode(&signed.encode()).as_ref(), Ok(&signed));
            assert!(signed.is_authentic(&NETWORK) && !signed.is_authentic(&NetworkId([8; 32])));
            assert_ne!(signed.id(), unsigned.id());
            assert_ne!(signed.slot(), unsigned.slot());
        }
    }

    #[test]
    fn nothing_of_a_request_can_be_changed() {
        let good = plain(Value::Number(21.5)).sign(&NETWORK, &key()).unwrap();
        let changed = |change: &dyn Fn(&mut DeviceRequest)| {
            let mut request = good.clone();
            change(&mut request);
            request.is_authentic(&NETWORK)
        };
        assert!(changed(&|_| {}));
        assert!(!changed(&|r| r.from = "z1/other".parse().unwrap()));
        assert!(!changed(&|r| r.to = "agg/z2/door/act/power".parse().unwrap()));
        assert!(!changed(&|r| r.time_us += 1));
        assert!(!changed(&|r| r.number += 1));
        assert!(!changed(&|r| r.unit = None));
        assert!(!changed(&|r| r.value = Value::Boolean(true)));
        assert!(!changed(&|r| r.signed.as_mut().unwrap().key = SecretKey::from_seed(&[4; 32]).public_key()));
    }

    #[test]
    fn the_number_is_used_once_whatever_is_asked() {
        let one = plain(Value::Boolean(true));
        let other = DeviceRequest { value: Value::Boolean(false), time_us: 5, ..one.clone() };
        assert_eq!(one.slot(), other.slot());
        assert_ne!(one.id(), other.id());
        assert_ne!(one.slot(), DeviceRequest { number: 10, ..one.clone() }.slot());
        let by = |key: u8| DeviceSignature { key: PublicKey([key; 32]), signature: Signature([0; 64]) };
        assert_ne!(one.clone().with_signature(by(1)).slot(), one.clone().with_signature(by(2)).slot(), "a new key counts anew");
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let sense = DeviceRequest { to: "z2/lamp/sense/power".parse().unwrap(), ..plain(Value::Boolean(true)) };
        assert_eq!(sense.sign(&NETWORK, &key()).err(), Some(DecodeError::Invalid("a request's topic")));
        assert!(plain(Value::Number(f64::NAN)).canonical().is_err());
        assert!(plain(Value::Text("x".repeat(REQUEST_VALUE_BYTES_MAX))).canonical().is_ok());
        assert!(plain(Value::Text("x".repeat(REQUEST_VALUE_BYTES_MAX + 1))).canonical().is_err());
        let bytes = plain(Value::Boolean(true)).encode();
        for length in 0..bytes.len() {
            assert!(DeviceRequest::decode(bytes.get(..length).unwrap()).is_err(), "{length} bytes");
        }
    }
}
