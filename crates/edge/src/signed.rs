//! Readings that their device signed, as they arrive: the envelope, and the object for devices that speak JSON.

use crate::payload::{BadTime, Fault, Malformed, Scalar, bounded_unit, device_time};
use protocol::{Decode as _, SignedReading};

/// What an object that has it says of itself.
const SIGNATURE_LABEL: &[u8] = b"\"sig\"";

/// The object of a signed reading.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    v: Scalar,
    t_us: u64,
    n: u64,
    u: Option<String>,
    sig: String,
}

/// The signed reading in an envelope.
pub(crate) fn envelope(payload: &[u8], arrival_us: u64) -> Result<SignedReading, Malformed> {
    timely(SignedReading::decode(payload).map_err(Malformed::Envelope)?, arrival_us)
}

/// The signed reading in an object; `None` if the object does not claim to be one.
pub(crate) fn object(payload: &[u8], arrival_us: u64) -> Option<Result<SignedReading, Malformed>> {
    let signed = match serde_json::from_slice::<Signed>(payload) {
        Ok(signed) => signed.resolve(),
        Err(_) if !payload.windows(SIGNATURE_LABEL.len()).any(|w| w == SIGNATURE_LABEL) => return None,
        Err(why) => Err(Malformed::json(&why)),
    };
    Some(signed.and_then(|signed| timely(signed, arrival_us)))
}

/// The signed reading in an object that has every label of one and no others; `None` for any other object.
pub(crate) fn whole_object(payload: &[u8], arrival_us: u64) -> Option<Result<SignedReading, Malformed>> {
    if !payload.windows(SIGNATURE_LABEL.len()).any(|w| w == SIGNATURE_LABEL) {
        return None;
    }
    let signed = serde_json::from_slice::<Signed>(payload).ok()?;
    Some(signed.resolve().and_then(|signed| timely(signed, arrival_us)))
}

impl Signed {
    fn resolve(self) -> Result<SignedReading, Malformed> {
        // what was signed stays as it is, also an empty unit
        bounded_unit(self.u.clone()).map_err(Malformed::Value)?;
        Ok(SignedReading {
            time_us: self.t_us,
            sequence: self.n,
            unit: self.u,
            value: self.v.value().map_err(Malformed::Value)?,
            signature: self.sig.parse().map_err(|_| Malformed::Signature)?,
        })
    }
}

/// A signed time is within the same bounds as any other that a device claims.
fn timely(signed: SignedReading, arrival_us: u64) -> Result<SignedReading, Malformed> {
    let checked: Result<u64, Fault> = device_time(Some(signed.time_us), arrival_us, BadTime::Refuse);
    checked.map(|_| signed).map_err(Malformed::Value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::payload::{AHEAD_US_MAX, TIME_US_MAX, Told, decode, read};
    use protocol::{DeviceTopic, Encode as _, NetworkId, SecretKey, Value};

    const ARRIVAL_US: u64 = 1_750_000_000_000_000;

    fn topic() -> DeviceTopic {
        "plant/meter/sense/power".parse().unwrap()
    }

    fn signed(time_us: u64, unit: Option<&str>, value: Value) -> SignedReading {
        let key = SecretKey::from_seed(&[3; 32]);
        SignedReading::sign(&NetworkId([7; 32]), &key, &topic(), (time_us, 9), unit.map(str::to_owned), value).unwrap()
    }

    fn object_of(s: &SignedReading, value: &str) -> String {
        let unit = s.unit.as_ref().map(|u| format!(",\"u\":\"{u}\"")).unwrap_or_default();
        format!("{{\"v\":{value},\"t_us\":{},\"n\":{}{unit},\"sig\":\"{}\"}}", s.time_us, s.sequence, s.signature)
    }

    #[test]
    fn both_forms_tell_the_same_signed_reading() {
        let (number, boolean, text) = (Value::Number(0.1 + 0.2), Value::Boolean(true), Value::Text("on".to_owned()));
        for (value, json) in [(number, "0.30000000000000004"), (boolean, "true"), (text, "\"on\"")] {
            for unit in [Some("W"), None, Some("")] {
                let s = signed(ARRIVAL_US - 5, unit, value.clone());
                assert_eq!(read(&topic(), &s.encode(), ARRIVAL_US), Ok(Told::Signed(s.clone())));
                assert_eq!(read(&topic(), object_of(&s, json).as_bytes(), ARRIVAL_US), Ok(Told::Signed(s.clone())));
                assert_eq!(decode(&topic(), &s.encode(), ARRIVAL_US), Err(Malformed::Signed));
            }
        }
    }

    #[test]
    fn what_only_begins_so_is_malformed() {
        let whole = signed(ARRIVAL_US, Some("W"), Value::Number(1.0)).encode();
        for length in 3..whole.len() {
            let cut = read(&topic(), &whole[..length], ARRIVAL_US);
            assert!(matches!(cut, Err(Malformed::Envelope(_))), "{length} bytes: {cut:?}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(matches!(read(&topic(), &longer, ARRIVAL_US), Err(Malformed::Envelope(_))));
        // two bytes are bytes
        assert!(matches!(read(&topic(), &whole[..2], ARRIVAL_US), Ok(Told::Readings(_))));
    }

    #[test]
    fn objects_with_a_label_too_many_or_too_few_say_so() {
        let good = object_of(&signed(ARRIVAL_US, None, Value::Number(1.0)), "1");
        for (from, to) in
            [("\"n\":9,", ""), ("\"v\":1,", ""), ("\"t_us\"", "\"t\""), ("{\"v\"", "{\"x\":1,\"v\""), ("\"v\":1,", "\"v\":[],")]
        {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(matches!(read(&topic(), bad.as_bytes(), ARRIVAL_US), Err(Malformed::Json(_))), "{bad}");
        }
        let bad = good.replacen("\"sig\":\"", "\"sig\":\"0", 1);
        assert_eq!(read(&topic(), bad.as_bytes(), ARRIVAL_US), Err(Malformed::Signature));
        // a value may say "sig"
        assert!(matches!(read(&topic(), br#"{"v":"sig"}"#, ARRIVAL_US), Ok(Told::Readings(_))));
    }

    #[test]
    fn clocks_off_by_years_are_refused() {
        let at = |time_us| read(&topic(), &signed(time_us, None, Value::Number(1.0)).encode(), ARRIVAL_US);
        assert!(at(0).is_ok() && at(ARRIVAL_US + AHEAD_US_MAX).is_ok());
        assert!(matches!(at(ARRIVAL_US + AHEAD_US_MAX + 1), Err(Malformed::Value(Fault::TimeAhead(_)))));
        assert_eq!(at(TIME_US_MAX), Err(Malformed::Value(Fault::TimeRange)));
    }
}
