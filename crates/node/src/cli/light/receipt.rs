//! `wattle light receipt`: a receipt from anybody, checked.

use super::{clients, values};
use crate::cli::client::{ClientError, DEFAULT_NODE, NodeClient};
use crate::cli::output::{note, print, print_json};
use crate::cli::receipt::fetch;
use crate::cli::verify::{load_genesis, object, read, sentence};
use crate::cli::{Exit, Failure, quantity};
use crate::values::{Kind, Subject};
use ledger::DeviceKey;
use protocol::{Decode as _, DeviceName, Genesis, PublicKey, ReadingName, Receipt, ReceiptError, Verified};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `wattle light receipt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle light receipt z1/m1/sense/power@1470009600000000 --genesis net/genesis.json --node http://10.0.0.7:8080
  wattle light receipt r.json --genesis net/genesis.json")]
pub(super) struct Arguments {
    /// A file with a receipt, or a reading: its id, or site/ID/type@microseconds
    reference: String,
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A node to ask; may be repeated
    #[arg(long = "node", value_name = "URL", default_value = DEFAULT_NODE)]
    nodes: Vec<String>,
    /// How long to wait for the reading to arrive and be confirmed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Fetches, checks and prints.
///
/// # Errors
/// [`Failure`]: refused (1) if there is no receipt that verifies, unreachable (3) if nobody answered.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let genesis = load_genesis(&arguments.genesis)?;
    let verified = match Path::new(&arguments.reference).is_file() {
        true => {
            let path = Path::new(&arguments.reference);
            check(&read(path)?, &genesis).map_err(|why| refused(&why, &path.display()))?
        }
        false => fetched(arguments, &genesis)?,
    };
    let Some(by) = verified.reading.signed else {
        return match arguments.json {
            true => print_json(&object(&verified, &genesis)),
            false => print(&sentence(&verified, &genesis)),
        };
    };
    let registered = registration(arguments, &genesis, by.key)?;
    let own = registered.as_ref().filter(|key| key.device == DeviceName::of(&verified.reading.topic));
    match arguments.json {
        true => {
            let mut shown = object(&verified, &genesis);
            if let serde_json::Value::Object(members) = &mut shown {
                let spans = own.map(|key| json!({ "from": key.from, "until": key.until }));
                members.insert("registration".to_owned(), spans.unwrap_or_default());
            }
            print_json(&shown)
        }
        false => print(&format!("{}, {}", sentence(&verified, &genesis), told(registered.as_ref(), own.is_some()))),
    }
}

/// What the ledger says of the key that signed, proved; `None` if no node could prove anything of it.
fn registration(arguments: &Arguments, genesis: &Genesis, key: PublicKey) -> Result<Option<DeviceKey>, Failure> {
    let subject = Subject::Key(Kind::DeviceKey, key);
    for node in clients(&arguments.nodes)? {
        match proved(&node, &subject, arguments.wait, genesis) {
            Ok(known) => return Ok(Some(known)),
            Err(why) => note(&format!("the device's key is not proved: {why}")),
        }
    }
    Ok(None)
}

fn proved(node: &NodeClient, subject: &Subject, wait: Duration, genesis: &Genesis) -> Result<DeviceKey, Failure> {
    let state = values::ask(node, subject, wait, genesis)?;
    DeviceKey::decode(&state.value).map_err(|why| refused(&why, &node.base()))
}

/// What is known of the key that signed, in words.
fn told(key: Option<&DeviceKey>, own: bool) -> String {
    match key {
        None => "and no node proved whose that is".to_owned(),
        Some(DeviceKey { device, .. }) if !own => format!("which is that of {device}, not of this device"),
        Some(DeviceKey { from, until: None, .. }) => format!("registered for it since milestone {from}"),
        Some(DeviceKey { from, until: Some(until), .. }) => format!("registered for it from milestone {from} to {until}"),
    }
}

fn check(text: &str, genesis: &Genesis) -> Result<Verified, ReceiptError> {
    Receipt::from_json(text).and_then(|receipt| receipt.verify(genesis))
}

fn refused(why: &dyn std::fmt::Display, at: &dyn std::fmt::Display) -> Failure {
    let todo = "it is damaged, forged, or of another network than this genesis: ask another node";
    Failure::new(Exit::Refused, format!("receipt refused: {why}"), at, todo)
}

/// What the first receipt that verifies proves.
fn fetched(arguments: &Arguments, genesis: &Genesis) -> Result<Verified, Failure> {
    let mut last = None;
    for node in clients(&arguments.nodes)? {
        let failure = match fetch(&node, &arguments.reference, arguments.wait) {
            Err(why) => Failure::from(why),
            Ok(text) => match check(&text, genesis) {
                Ok(verified) if names(&verified, &arguments.reference) => return Ok(verified),
                Ok(_) => refused(&"it is the receipt of another reading", &node.base()),
                Err(why) => refused(&why, &node.base()),
            },
        };
        if let Some(earlier) = last.replace(failure) {
            note(&format!("skipped: {earlier}"));
        }
    }
    Err(last.unwrap_or_else(|| ClientError::Url(String::new()).into()))
}

/// Whether what was proved is what was asked for.
fn names(verified: &Verified, reference: &str) -> bool {
    let reading = &verified.reading;
    let named = |name: ReadingName| name.topic == reading.topic && name.time_us == reading.time_us;
    reference == verified.reading_id.to_string() || reference.parse().is_ok_and(named)
}
