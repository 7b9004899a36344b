//! `wattle device thing`: a device's Thing Description.

use crate::cli::client::escape;
use crate::cli::ordering::Ordering;
use crate::cli::{Exit, Failure, quantity};
use edge::thing::{THING_BYTES_MAX, check};
use protocol::device::thing_hash;
use protocol::{Action, DeviceName};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// `wattle device thing`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The description is checked, its hash goes on the ledger, and the node keeps and serves it under /api/v1/things.

Examples:
  wattle device thing z1/m1 m1.td.jsonld --key net/node1/node.key
  wattle device thing z1/m1 --none --key net/node1/node.key")]
pub(super) struct Arguments {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    device: DeviceName,
    /// The description: W3C Thing Description 1.1, at most 64 KiB
    #[arg(required_unless_present = "none", conflicts_with = "none")]
    file: Option<PathBuf>,
    /// The device has no description any more
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    ordering: Ordering,
}

/// Checks, orders and hands in.
///
/// # Errors
/// [`Failure`] if the description is refused, the order had no effect, or the node does not take it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { device, file, ordering, .. } = arguments;
    let Some(file) = file else {
        return ordering.give(Action::DescribeDevice { device: device.clone(), thing: None }, &format!("{device} has no description"));
    };
    let description = read(file)?;
    let thing = check(&description).map_err(|why| {
        let todo = "correct it: the W3C recommendation Thing Description 1.1 says what it must hold";
        Failure::new(Exit::Usage, format!("the Thing Description is refused: {why}"), file.display(), todo)
    })?;
    let hash = thing_hash(&description);
    let done = format!("{device} is described as {:?}, hash {hash}", thing.title);
    ordering.give(Action::DescribeDevice { device: device.clone(), thing: Some(hash) }, &done)?;
    let path = format!("/api/v1/things/{}", escape(&device.to_string()));
    Ok(ordering.client()?.put(&path, "application/td+json", &description)?)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = THING_BYTES_MAX as u64 + 1; // what is longer is refused by the check
    let done = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    done.map_err(|e| Failure::file(path, &e, "name a file that can be read"))?;
    Ok(bytes)
}
