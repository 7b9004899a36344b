//! `wattle receipt`: fetches the receipt of one reading.

use super::client::{ClientError, DEFAULT_NODE, NodeClient, escape};
use super::output::{note, print};
use super::{Failure, quantity};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often an unconfirmed reading is asked for again.
const POLL: Duration = Duration::from_millis(100);
/// What a node answers while a reading is on its way: not in the index yet, or not confirmed yet.
const ON_ITS_WAY: [u16; 2] = [404, 409];

/// `wattle receipt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle receipt z1/m1/sense/power@1470009600000000 -o r.json
  wattle receipt 9b1e…64 digits… | wattle verify - --genesis net/genesis.json")]
pub(crate) struct Arguments {
    /// The reading: its id, or site/ID/type@microseconds (`wattle readings` lists both)
    reference: String,
    /// Write the receipt to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The node to ask: the one whose site anchored the reading
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// How long to wait for the reading to arrive and be confirmed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    wait: Duration,
}

/// Asks, waits if need be, and writes.
///
/// # Errors
/// [`Failure`] if there is no receipt within the time given.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let node = NodeClient::new(&arguments.node)?;
    let receipt = fetch(&node, &arguments.reference, arguments.wait)?;
    match &arguments.output {
        None => print(receipt.trim_end()),
        Some(path) => {
            std::fs::write(path, &receipt).map_err(|e| Failure::file(path, &e, "choose a file that can be written"))?;
            note(&format!("receipt written to {}", path.display()));
            Ok(())
        }
    }
}

/// The text of a reading's receipt, waiting up to `wait` for its confirmation.
///
/// # Errors
/// [`ClientError`] as the node said it last.
pub(crate) fn fetch(node: &NodeClient, reference: &str, wait: Duration) -> Result<String, ClientError> {
    let path = format!("/api/v1/receipts/{}", escape(reference));
    let start = Instant::now();
    loop {
        match node.text(&path) {
            Err(ClientError::Problem { status, .. }) if ON_ITS_WAY.contains(&status) && start.elapsed() < wait => std::thread::sleep(POLL),
            answer => return answer,
        }
    }
}

/// A fetched receipt as a value.
///
/// # Errors
/// [`Failure`] if the node sent something else.
pub(crate) fn read(text: &str) -> Result<protocol::Receipt, Failure> {
    protocol::Receipt::from_json(text).map_err(Failure::answer)
}
