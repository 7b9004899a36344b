//! Recorded data, as what arrived at a site.
//!
//! A `.csv` file holds readings as `wattle replay` takes them; each arrives at its own time. Any other file holds
//! publishes, one JSON object a line:
//! ```text
//! {"topic": "plant/m1/sense/power", "payload": {"v": 1.5}, "time": "2016-08-01T00:00:00Z"}
//! {"topic": "plant/m1/sense/env", "hex": "03670110", "time": 1470009601000}
//! {"payload": "21.5"}
//! ```
//! A payload that is a text is the bytes of that text, any other is written as JSON. A time is RFC 3339 or milliseconds
//! since 1970; a line without one arrives a second after the line before.

use crate::cli::replay::{Rows, Rules};
use crate::cli::{Exit, Failure};
use protocol::{DeviceTopic, Reading};
use serde::Deserialize;
use serde_json::Value as Json;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What a line says; no other keys.
const LINE: &str = "a line is {\"topic\": …, \"payload\": … or \"hex\": …, \"time\": …}";
/// From a line to the next that has no time, in microseconds.
const STEP_US: u64 = 1_000_000;

/// Something that arrived.
pub(super) struct Arrival {
    /// When, in microseconds since 1970.
    pub(super) at_us: u64,
    /// What.
    pub(super) what: What,
}

/// What arrived.
pub(super) enum What {
    /// A reading, whatever its payload was.
    Reading(Reading),
    /// A publish.
    Publish { topic: DeviceTopic, payload: Vec<u8> },
}

/// What the data does not say itself.
pub(super) struct Defaults {
    /// For CSV files.
    pub(super) rules: Rules,
    /// The topic of lines that name none.
    pub(super) topic: Option<DeviceTopic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    topic: Option<String>,
    payload: Option<Json>,
    hex: Option<String>,
    time: Option<Json>,
}

/// Gives everything that arrived to `take`, in the order of the file.
///
/// # Errors
/// [`Failure`]: usage (2) if the file cannot be read, or a line of it not understood.
pub(super) fn arrivals(path: &Path, defaults: Defaults, mut take: impl FnMut(Arrival)) -> Result<(), Failure> {
    let file = File::open(path).map_err(|e| Failure::file(path, &e, "name a file of data that can be read"))?;
    let source = BufReader::new(file);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        let wrong = |why| Failure::new(Exit::Usage, why, path.display(), "see `wattle replay --help` for the columns");
        for reading in Rows::open(source, defaults.rules).map_err(wrong)? {
            let reading = reading.map_err(wrong)?;
            take(Arrival { at_us: reading.time_us, what: What::Reading(reading) });
        }
        return Ok(());
    }
    let mut next_us = defaults.rules.start_us;
    for (number, line) in (1..).zip(source.lines()) {
        let line: String = line.map_err(|e| Failure::file(path, &e, "publishes are lines of UTF-8; readings are in a .csv"))?;
        if line.trim().is_empty() {
            continue;
        }
        let arrival = arrival(&line, defaults.topic.as_ref(), next_us)
            .map_err(|why| Failure::new(Exit::Usage, why, format!("{}: line {number}", path.display()), LINE))?;
        next_us = arrival.at_us.saturating_add(STEP_US);
        take(arrival);
    }
    Ok(())
}

fn arrival(line: &str, topic: Option<&DeviceTopic>, next_us: u64) -> Result<Arrival, String> {
    let line: Line = serde_json::from_str(line).map_err(|why| why.to_string())?;
    let topic = match (&line.topic, topic) {
        (Some(text), _) => device_topic(text)?,
        (None, Some(topic)) => topic.clone(),
        (None, None) => return Err("it names no topic, and neither does --topic".to_owned()),
    };
    let payload = match (line.payload, line.hex) {
        (Some(Json::String(text)), None) => text.into_bytes(),
        (Some(json), None) => json.to_string().into_bytes(),
        (None, Some(digits)) => bytes(&digits).ok_or("its hex is not pairs of hexadecimal digits")?,
        _ => return Err("it has not exactly one of payload and hex".to_owned()),
    };
    let at_us = match &line.time {
        None => Some(next_us),
        Some(Json::String(text)) => text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_microsecond()).ok()),
        Some(time) => time.as_u64().and_then(|ms| ms.checked_mul(1_000)),
    };
    let at_us = at_us.ok_or("its time is neither RFC 3339 nor milliseconds since 1970")?;
    Ok(Arrival { at_us, what: What::Publish { topic, payload } })
}

/// A topic with or without `root/device/`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn device_topic(text: &str) -> Result<DeviceTopic, String> {
    let topic = text.strip_prefix("root/device/").unwrap_or(text);
    topic.parse::<DeviceTopic>().map_err(|why| format!("the topic {text:?} is none of a device: {why}"))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let all: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect();
    all.filter(|_| rest.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn publish(line: &str) -> Result<(String, Vec<u8>, u64), String> {
        let topic = device_topic("z1/m1/sense/x").unwrap();
        let arrival = arrival(line, Some(&topic), 7)?;
        match arrival.what {
            What::Publish { topic, payload } => Ok((topic.to_string(), payload, arrival.at_us)),
            What::Reading(_) => Err("a reading".into()),
        }
    }

    #[test]
    fn lines_are_publishes() {
        let x = || "z1/m1/sense/x".to_owned();
        assert_eq!(publish(r#"{"payload":"21.5"}"#).unwrap(), (x(), b"21.5".to_vec(), 7));
        assert_eq!(publish(r#"{"payload":{"v":1},"time":5}"#).unwrap(), (x(), b"{\"v\":1}".to_vec(), 5_000));
        assert_eq!(publish(r#"{"hex":"00fF","time":"1970-01-01T00:00:01Z"}"#).unwrap(), (x(), vec![0, 255], 1_000_000));
        let named = publish(r#"{"topic":"root/device/z2/m2/act/y","payload":true}"#).unwrap();
        assert_eq!((named.0.as_str(), named.1.as_slice()), ("z2/m2/act/y", b"true".as_slice()));
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "",
            "{}",
            "[]",
            r#"{"payload":1,"hex":"00"}"#,
            r#"{"payload":1,"colour":"red"}"#,
            r#"{"hex":"0"}"#,
            r#"{"hex":"0g"}"#,
            r#"{"payload":1,"time":-1}"#,
            r#"{"payload":1,"time":"yesterday"}"#,
            r#"{"payload":1,"topic":"a/b"}"#,
        ] {
            assert!(publish(line).is_err(), "{line}");
        }
        assert!(arrival(r#"{"payload":1}"#, None, 0).is_err());
    }
}
