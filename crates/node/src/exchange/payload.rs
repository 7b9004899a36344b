//! The payloads of requests: what a device publishes, what it is told, and the command as its target gets it.
//!
//! ```text
//! root/device/<site>/<ID>/request     {"to": "site/ID/act/type", "v": …, "n": …, "t_us": …?, "u": …?, "sig": …?}
//! root/node/<site>/<ID>/requested     {"n": …, "to": …, "state": …, "reason": …?, "request": …?, "message": …?, "height": …?}
//! root/fog/<site>/<ID>/act/<type>     [{SenML record, "from": …, "number": …, "request": …, "message": …, "height": …}]
//! ```

use protocol::{DeviceName, DeviceRequest, DeviceTopic, Id, Reading, Signature, Value};
use serde::Deserialize;
use serde_json::json;

/// Bytes of a reason that a device is told.
const REASON_BYTES_MAX: usize = 512;

/// What a device publishes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    to: String,
    v: serde_json::Value,
    n: u64,
    t_us: Option<u64>,
    u: Option<String>,
    sig: Option<String>,
}

/// A request as it arrived, not judged yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// The request, without a signature. If the device gave no time, it bears that of its arrival.
    pub(super) request: DeviceRequest,
    /// Whether the device gave a time.
    pub(super) timed: bool,
    /// The signature that came with it.
    pub(super) signature: Option<Signature>,
}

/// Reads what `from` published.
///
/// # Errors
/// What is wrong with it, for the device's owner.
pub(super) fn read(from: DeviceName, payload: &[u8], arrival_us: u64) -> Result<Asked, String> {
    let object: Object =
        serde_json::from_slice(payload).map_err(|why| format!("it is not a request: {why}; a request has \"to\", \"v\" and \"n\""))?;
    let to = object.to.parse::<DeviceTopic>().map_err(|why| format!("to = {:?} is no command: {why}", short(&object.to)))?;
    let value = match object.v {
        serde_json::Value::Bool(truth) => Value::Boolean(truth),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Number(number) => number.as_f64().and_then(Value::number).ok_or("v is no finite number")?,
        _ => return Err("v must be a number, a truth value or a text".to_owned()),
    };
    let signature: Option<Signature> = match object.sig {
        Some(text) => Some(text.parse::<Signature>().map_err(|_| "sig is not 128 lower-case hexadecimal digits".to_owned())?),
        None => None,
    };
    if signature.is_some() && object.t_us.is_none() {
        return Err("a signed request has a time, t_us".to_owned());
    }
    let (timed, time_us) = (object.t_us.is_some(), object.t_us.unwrap_or(arrival_us));
    let request = DeviceRequest { from, to, time_us, number: object.n, unit: object.u, value, signed: None };
    let request = request.canonical().map_err(|why| format!("it cannot be asked for: {why}"))?;
    Ok(Asked { request, timed, signature })
}

/// The number that a payload claims, to answer even what is refused.
pub(super) fn number(payload: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        n: u64,
    }
    serde_json::from_slice::<Numbered>(payload).ok().map(|numbered| numbered.n)
}

/// What a device is told of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notice {
    /// Its number.
    pub(super) number: Option<u64>,
    /// What was to be done.
    pub(super) to: Option<String>,
    /// `accepted`, `refused`, `confirmed`, `delivered`, `declined` or `expired`.
    pub(super) state: &'static str,
    /// Why not.
    pub(super) reason: Option<String>,
    /// The request's id.
    pub(super) request: Option<Id>,
    /// The message that carries it.
    pub(super) message: Option<Id>,
    /// The milestone that confirmed it.
    pub(super) height: Option<u64>,
}

impl Notice {
    /// As it is published.
    pub(super) fn payload(&self) -> Vec<u8> {
        let mut object = serde_json::Map::new();
        let mut put = |key: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                object.insert(key.to_owned(), value);
            }
        };
        put("n", self.number.map(Into::into));
        put("to", self.to.clone().map(Into::into));
        put("state", Some(self.state.into()));
        put("reason", self.reason.as_deref().map(|reason| short(reason).into()));
        put("request", self.request.map(|id| id.to_string().into()));
        put("message", self.message.map(|id| id.to_string().into()));
        put("height", self.height.map(Into::into));
        serde_json::Value::Object(object).to_string().into_bytes()
    }
}

/// The command as its target gets it: a SenML pack of one record, which says besides who asked, and where that is written.
pub(super) fn command(request: &DeviceRequest, message: Id, height: u64) -> Vec<u8> {
    let DeviceRequest { to, time_us, unit, value, .. } = request.clone();
    let reading = Reading { topic: to, time_us, sequence: None, unit, value, signed: None };
    let mut record = crate::site::record(&reading);
    if let serde_json::Value::Object(members) = &mut record {
        members.insert("from".to_owned(), request.from.to_string().into());
        members.insert("number".to_owned(), request.number.into());
        members.insert("request".to_owned(), request.id().to_string().into());
        members.insert("message".to_owned(), message.to_string().into());
        members.insert("height".to_owned(), height.into());
    }
    json!([record]).to_string().into_bytes()
}

/// Text within the bound of a reason.
pub(super) fn short(text: &str) -> String {
    let mut text = text.to_owned();
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    const ARRIVAL_US: u64 = 1_750_000_000_000_000;

    fn asked(text: &str) -> Result<Asked, String> {
        read("z1/button".parse().unwrap(), text.as_bytes(), ARRIVAL_US)
    }

    #[test]
    fn a_request_is_read() {
        let plain = asked(r#"{"to":"z2/lamp/act/power","v":true,"n":7}"#).unwrap();
        assert_eq!((plain.request.number, plain.request.time_us, plain.timed), (7, ARRIVAL_US, false));
        assert_eq!((plain.request.value, plain.signature), (Value::Boolean(true), None));
        let sig = "ab".repeat(64);
        let signed = asked(&format!(r#"{{"to":"z2/lamp/act/power","v":-0.5,"n":7,"u":"W","t_us":5,"sig":"{sig}"}}"#)).unwrap();
        assert_eq!((signed.request.time_us, signed.timed, signed.signature.is_some()), (5, true, true));
        for (text, says) in [
            ("", "not a request"),
            ("{}", "not a request"),
            (r#"{"to":"z2/lamp/act/power","v":1,"n":7,"x":1}"#, "unknown field"),
            (r#"{"to":"z2/lamp/act/power","v":1,"n":-7}"#, "not a request"),
            (r#"{"to":"z2/lamp","v":1,"n":7}"#, "no command"),
            (r#"{"to":"z2/lamp/sense/power","v":1,"n":7}"#, "cannot be asked for"),
            (r#"{"to":"z2/lamp/act/power","v":null,"n":7}"#, "v must be"),
            (r#"{"to":"z2/lamp/act/power","v":[],"n":7}"#, "v must be"),
            (r#"{"to":"z2/lamp/act/power","v":1,"n":7,"u":"much too long a unit"}"#, "cannot be asked for"),
            (r#"{"to":"z2/lamp/act/power","v":1,"n":7,"t_us":5,"sig":"ab"}"#, "sig is not"),
        ] {
            let refused = asked(text).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        assert!(asked(&format!(r#"{{"to":"z2/lamp/act/power","v":1,"n":7,"sig":"{sig}"}}"#)).unwrap_err().contains("t_us"));
        assert_eq!(number(br#"{"n":7,"x":[]}"#), Some(7));
        assert_eq!(number(b"7"), None);
    }

    #[test]
    fn a_command_is_senml_that_says_who_asked() {
        let request = asked(r#"{"to":"z2/lamp/act/power","v":21.5,"n":7,"u":"W"}"#).unwrap().request;
        let bytes = command(&request, Id([9; 32]), 12);
        let pack: Json = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(pack.pointer("/0/v"), Some(&json!(21.5)));
        assert_eq!(pack.pointer("/0/from"), Some(&json!("z1/button")));
        assert_eq!(pack.pointer("/0/height"), Some(&json!(12)));
        let readings = edge::payload::decode(&request.to, &bytes, ARRIVAL_US).unwrap();
        assert_eq!(readings.first().map(|r| (r.value.clone(), r.time_us)), Some((Value::Number(21.5), ARRIVAL_US)));
    }

    #[test]
    fn a_notice_says_what_there_is_to_say() {
        let notice = Notice { number: Some(7), state: "refused", reason: Some("no".into()), ..Notice::default() };
        let told: Json = serde_json::from_slice(&notice.payload()).unwrap();
        assert_eq!(told, json!({ "n": 7, "reason": "no", "state": "refused" }));
    }
}
