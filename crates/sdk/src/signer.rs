//! A device of role 2: it numbers and signs its readings, and proves that it holds its key.
//!
//! ```text
//! Signer::sign ────▶ SignedReading ─ encode (binary) or to_json ─▶ PUBLISH root/device/x
//! Signer::request ─▶ DeviceRequest ─ request_to_json ────────────▶ PUBLISH root/device/<site>/<ID>/request
//! ```
//! # Rules
//! - A key uses no sequence twice: a site takes each once. Before a device sends, it stores [`Signer::next_sequence`]
//!   (or a number some way above it, so that it need not store each time) where a power cut does not reach it.
//! - A device needs a clock: the time is signed, and a reading is named by it.

use alloc::format;
use alloc::string::{String, ToString};
use protocol::{
    Credential, DecodeError, DeviceName, DeviceRequest, DeviceTopic, Direction, Name, NetworkId, PublicKey, SecretKey, SignedReading,
    Topic, Value,
};
use thiserror::Error;

/// Why a reading was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// The reading has no canonical form.
    #[error("the reading cannot be signed: {0}")]
    Reading(DecodeError),
    /// Every number was used.
    #[error("the key has used all its numbers: rotate it")]
    Exhausted,
}

/// What a device signs its readings with.
#[derive(Clone, Debug)]
pub struct Signer {
    network: NetworkId,
    key: SecretKey,
    device: DeviceName,
    next: Option<u64>,
}

impl Signer {
    /// A signer whose next reading has the number `next_sequence`: one that this key never used.
    #[must_use]
    pub const fn new(network: NetworkId, key: SecretKey, device: DeviceName, next_sequence: u64) -> Self {
        Self { network, key, device, next: Some(next_sequence) }
    }

    /// The key that the registry must have.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// What the device's owner needs to register the key: the proof that this device holds it.
    #[must_use]
    pub fn credential(&self, owner: &PublicKey) -> Credential {
        Credential::sign(&self.network, &self.key, &self.device, owner)
    }

    /// The number of the next reading; `None` if every number was used.
    #[must_use]
    pub const fn next_sequence(&self) -> Option<u64> {
        self.next
    }

    /// Where a reading is published.
    #[must_use]
    pub fn topic(&self, direction: Direction, data_type: &Name) -> String {
        Topic::Device(self.device_topic(direction, data_type)).to_string()
    }

    fn device_topic(&self, direction: Direction, data_type: &Name) -> DeviceTopic {
        let DeviceName { site, device } = self.device.clone();
        DeviceTopic { site, device, direction, data_type: data_type.clone() }
    }

    /// Signs a reading of the time `time_us`, in microseconds since 1970, and takes the next number.
    ///
    /// # Errors
    /// [`SignError`]; then no number was taken.
    pub fn sign(
        &mut self,
        (direction, data_type): (Direction, &Name),
        time_us: u64,
        unit: Option<&str>,
        value: Value,
    ) -> Result<SignedReading, SignError> {
        let sequence = self.next.ok_or(SignError::Exhausted)?;
        let topic = self.device_topic(direction, data_type);
        let unit = unit.map(ToString::to_string);
        let signed = SignedReading::sign(&self.network, &self.key, &topic, (time_us, sequence), unit, value).map_err(SignError::Reading)?;
        self.next = sequence.checked_add(1);
        Ok(signed)
    }

    /// Where requests are published.
    #[must_use]
    pub fn request_topic(&self) -> String {
        Topic::Request(self.device.clone()).to_string()
    }

    /// Signs a request of the time `time_us`, in microseconds since 1970, for the command `to` of another device, and takes the
    /// next number.
    ///
    /// # Errors
    /// [`SignError`]; then no number was taken.
    pub fn request(&mut self, to: &DeviceTopic, time_us: u64, unit: Option<&str>, value: Value) -> Result<DeviceRequest, SignError> {
        let number = self.next.ok_or(SignError::Exhausted)?;
        let (from, to, unit) = (self.device.clone(), to.clone(), unit.map(ToString::to_string));
        let request = DeviceRequest { from, to, time_us, number, unit, value, signed: None };
        let signed = request.sign(&self.network, &self.key).map_err(SignError::Reading)?;
        self.next = number.checked_add(1);
        Ok(signed)
    }
}

/// A request as the JSON object that its device publishes; `None` for a value of bytes, which the object has no place for.
#[must_use]
pub fn request_to_json(request: &DeviceRequest) -> Option<String> {
    let value = value_json(&request.value)?;
    let unit = request.unit.as_ref().map(|unit| format!(",\"u\":{}", quoted(unit))).unwrap_or_default();
    let signature = request.signature().map(|signature| format!(",\"sig\":\"{signature}\"")).unwrap_or_default();
    let (to, number, time_us) = (quoted(&request.to.to_string()), request.number, request.time_us);
    Some(format!("{{\"to\":{to},\"v\":{value},\"n\":{number},\"t_us\":{time_us}{unit}{signature}}}"))
}

/// A signed reading as a JSON object, for devices that speak nothing else; `None` for a value of bytes, which only the
/// binary form carries.
#[must_use]
pub fn to_json(signed: &SignedReading) -> Option<String> {
    let value = value_json(&signed.value)?;
    let unit = signed.unit.as_ref().map(|unit| format!(",\"u\":{}", quoted(unit))).unwrap_or_default();
    let SignedReading { time_us, sequence, signature, .. } = signed;
    Some(format!("{{\"v\":{value},\"t_us\":{time_us},\"n\":{sequence}{unit},\"sig\":\"{signature}\"}}"))
}

/// A value as JSON writes it; `None` for bytes.
fn value_json(value: &Value) -> Option<String> {
    Some(match value {
        // the shortest digits that give the same number again
        Value::Number(number) => format!("{number:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Text(text) => quoted(text),
        Value::Bytes(_) => return None,
    })
}

/// Text as JSON writes it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn signer(next: u64) -> Signer {
        Signer::new(NetworkId([7; 32]), SecretKey::from_seed(&[3; 32]), "plant/meter-1".parse().unwrap(), next)
    }

    fn power() -> Name {
        Name::new("power").unwrap()
    }

    #[test]
    fn each_reading_has_the_next_number() {
        let (mut signer, power) = (signer(41), power());
        assert_eq!(signer.topic(Direction::Sense, &power), "root/device/plant/meter-1/sense/power");
        for n in [41, 42] {
            let signed = signer.sign((Direction::Sense, &power), 5, Some("W"), Value::Number(1.5)).unwrap();
            assert_eq!(signed.sequence, n);
            let reading = signed.into_reading("plant/meter-1/sense/power".parse().unwrap(), signer.public_key());
            assert!(reading.is_authentic(&NetworkId([7; 32])));
        }
        assert!(signer.sign((Direction::Sense, &power), 5, None, Value::Number(f64::INFINITY)).is_err());
        assert_eq!(signer.next_sequence(), Some(43), "a reading that was not signed takes no number");
    }

    #[test]
    fn requests_and_readings_share_the_numbers() {
        let (mut signer, power) = (signer(41), power());
        assert_eq!(signer.request_topic(), "root/device/plant/meter-1/request");
        let to = "plant/valve/act/open".parse().unwrap();
        let request = signer.request(&to, 5, Some("%"), Value::Number(50.0)).unwrap();
        assert!(request.is_authentic(&NetworkId([7; 32])) && request.number == 41);
        let signature = request.signature().unwrap();
        let json = format!("{{\"to\":\"plant/valve/act/open\",\"v\":50.0,\"n\":41,\"t_us\":5,\"u\":\"%\",\"sig\":\"{signature}\"}}");
        assert_eq!(request_to_json(&request), Some(json));
        assert!(signer.request(&"plant/valve/sense/open".parse().unwrap(), 5, None, Value::Boolean(true)).is_err());
        assert_eq!(signer.sign((Direction::Sense, &power), 5, None, Value::Number(1.0)).unwrap().sequence, 42);
    }

    #[test]
    fn no_number_is_used_twice() {
        let (mut signer, power) = (signer(u64::MAX), power());
        assert!(signer.sign((Direction::Act, &power), 5, None, Value::Boolean(true)).is_ok());
        assert_eq!(signer.sign((Direction::Act, &power), 5, None, Value::Boolean(true)), Err(SignError::Exhausted));
    }

    #[test]
    fn a_credential_is_the_device_s_own() {
        let (signer, owner) = (signer(0), PublicKey([9; 32]));
        assert!(signer.credential(&owner).verify(&NetworkId([7; 32]), &"plant/meter-1".parse().unwrap(), &owner));
    }

    #[test]
    fn json_keeps_every_digit_and_escapes_text() {
        let mut signer = signer(1);
        let mut json = |value| to_json(&signer.sign((Direction::Sense, &power()), 5, Some("W"), value).unwrap());
        assert!(
            json(Value::Number(0.1 + 0.2)).unwrap().starts_with("{\"v\":0.30000000000000004,\"t_us\":5,\"n\":1,\"u\":\"W\",\"sig\":\"")
        );
        assert!(json(Value::Number(1e300)).unwrap().starts_with("{\"v\":1e300,"));
        assert!(json(Value::Text("a\"b\\c\n".into())).unwrap().starts_with("{\"v\":\"a\\\"b\\\\c\\u000a\","));
        assert_eq!(json(Value::Bytes([1].into())), None);
    }
}
