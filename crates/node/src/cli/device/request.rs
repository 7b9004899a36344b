//! `wattle device request`: a payload with which one device asks another for something.

use super::sign::value;
use crate::cli::output::print;
use crate::cli::verify::load_genesis;
use crate::cli::{Exit, Failure, keys, quantity};
use protocol::{DeviceName, DeviceRequest, DeviceTopic};
use sdk::{Signer, request_to_json};
use std::path::PathBuf;

/// `wattle device request`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one JSON object, for a client that publishes it on root/device/<site>/<ID>/request. Readings and requests of a device
that signs share their numbers: each is used once. Without a key file the request is not signed.

Examples:
  wattle device request z1/button z2/lamp/act/power true --number 7 --device-key button.key --genesis genesis.json |
    mosquitto_pub -q 1 -t root/device/z1/button/request -s")]
pub(super) struct Arguments {
    /// The device that asks: site/ID
    #[arg(value_parser = quantity::device)]
    from: DeviceName,
    /// What it asks for: `site/ID/act/<dataType>`
    to: DeviceTopic,
    /// A number, true, false, or text
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// The unit's symbol
    #[arg(long, value_name = "SYMBOL")]
    unit: Option<String>,
    /// The device's number for the request, above those it used
    #[arg(long, value_name = "N")]
    number: u64,
    /// When, in microseconds since 1970; now if left out
    #[arg(long, value_name = "MICROSECONDS")]
    time_us: Option<u64>,
    /// The device's key file
    #[arg(long, value_name = "FILE", requires = "genesis")]
    device_key: Option<PathBuf>,
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

/// Signs, if there is a key, and prints.
///
/// # Errors
/// [`Failure`] if a file cannot be read or the request not be made.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { from, to, unit, number, .. } = arguments;
    let now_us = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
    let (time_us, value) = (arguments.time_us.unwrap_or_else(now_us), value(&arguments.value));
    let refused = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, why, to, "see `wattle device request --help`");
    let request = match (&arguments.device_key, &arguments.genesis) {
        (Some(file), Some(genesis)) => {
            let (genesis, key) = (load_genesis(genesis)?, keys::read(file)?);
            let mut signer = Signer::new(genesis.network(), key, from.clone(), *number);
            signer.request(to, time_us, unit.as_deref(), value).map_err(|why| refused(&why))?
        }
        _ => {
            let (from, to, unit) = (from.clone(), to.clone(), unit.clone());
            let request = DeviceRequest { from, to, time_us, number: *number, unit, value, signed: None };
            request.canonical().map_err(|why| refused(&why))?
        }
    };
    // a value that was typed is never bytes
    print(&request_to_json(&request).unwrap_or_default())
}
