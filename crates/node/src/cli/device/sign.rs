//! `wattle device sign`: a payload as a device of role 2 publishes it.

use crate::cli::output::print;
use crate::cli::verify::load_genesis;
use crate::cli::{Exit, Failure, keys};
use protocol::{DeviceName, DeviceTopic, Value};
use sdk::{Signer, to_json};
use std::path::PathBuf;

/// `wattle device sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one JSON object, for a client that publishes it on root/device/<topic>. Every number of a key is used once.

Examples:
  wattle device sign z1/m1/sense/power 412.5 --unit W --sequence 7 --device-key m1.key --genesis genesis.json |
    mosquitto_pub -q 1 -t root/device/z1/m1/sense/power -s")]
pub(super) struct Arguments {
    /// The device's topic: `site/ID/sense|act/<dataType>`
    topic: DeviceTopic,
    /// A number, true, false, or text
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// The unit's symbol
    #[arg(long, value_name = "SYMBOL")]
    unit: Option<String>,
    /// The device's number for the reading, above those it used
    #[arg(long, value_name = "N")]
    sequence: u64,
    /// When, in microseconds since 1970; now if left out
    #[arg(long, value_name = "MICROSECONDS")]
    time_us: Option<u64>,
    /// The device's key file
    #[arg(long, value_name = "FILE")]
    device_key: PathBuf,
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
}

/// Signs and prints.
///
/// # Errors
/// [`Failure`] if a file cannot be read or the reading not be signed.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { topic, unit, sequence, .. } = arguments;
    let (genesis, key) = (load_genesis(&arguments.genesis)?, keys::read(&arguments.device_key)?);
    let now_us = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
    let time_us = arguments.time_us.unwrap_or_else(now_us);
    let mut signer = Signer::new(genesis.network(), key, DeviceName::of(topic), *sequence);
    let refused = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, why, topic, "see `wattle device sign --help`");
    let signed = signer.sign((topic.direction, &topic.data_type), time_us, unit.as_deref(), value(&arguments.value));
    let signed = signed.map_err(|why| refused(&why))?;
    // a value that was typed is never bytes
    print(&to_json(&signed).unwrap_or_default())
}

/// What was typed.
pub(super) fn value(text: &str) -> Value {
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        text => match text.parse::<f64>().ok().and_then(Value::number) {
            Some(number) => number,
            None => Value::Text(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_truth_values_are_recognised() {
        assert_eq!(value("-3.5"), Value::Number(-3.5));
        assert_eq!((value("true"), value("on")), (Value::Boolean(true), Value::Text("on".to_owned())));
        assert_eq!(value("inf"), Value::Text("inf".to_owned()), "no number that a reading can have");
    }
}
