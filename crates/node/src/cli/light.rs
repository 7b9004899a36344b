//! `wattle light`: what can be known of a network without running a node of it.
//!
//! ```text
//! follow                         heads ─▶ the newest certified milestone, again and again
//! receipt                        a reading's receipt, fetched or from a file, checked
//! wallet, validator, account,    a value of the state with its proof, checked
//! site, device, device-key
//! ```
//! # Rules
//! - Nodes are asked, never trusted: only the genesis is (and what `follow` wrote down itself).
//! - A node that gives something that does not verify is named, and the next one is asked.
//! - A node can keep new things back. Every answer says how old it is; asking several nodes helps.

mod follow;
mod receipt;
mod record;
mod values;

use super::Failure;
use super::client::{ClientError, NodeClient};
use crate::values::{Kind, Subject};

/// `wattle light`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
None of the nodes named is trusted; the genesis is. Get it from an operator you trust.

Examples:
  wattle light follow --genesis net/genesis.json --node http://10.0.0.7:8080 --node http://10.0.0.8:8080
  wattle light receipt z1/m1/sense/power@1470009600000000 --genesis net/genesis.json
  wattle light wallet 6f0c…64 digits… --genesis net/genesis.json --json")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

/// What can be known.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Follow the committee's certificates
    Follow(follow::Arguments),
    /// Check the receipt of one reading
    Receipt(receipt::Arguments),
    /// Balance and State of a wallet
    Wallet(values::Arguments),
    /// Name, stake and standing of a validator
    Validator(values::Arguments),
    /// What the messages of an issuer did
    Account(values::Arguments),
    /// Whose a site is, and which nodes anchor its readings
    Site(values::SiteArguments),
    /// A device's role, key and state
    Device(values::DeviceArguments),
    /// Whose a device's key is, or was, and when
    DeviceKey(values::Arguments),
}

/// Does what was asked for.
///
/// # Errors
/// [`Failure`]: refused (1) if nothing that verifies was given, unreachable (3) if nobody answered, fork (5) if the
/// committee certified two milestones of one height.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Follow(arguments) => follow::run(arguments),
        What::Receipt(arguments) => receipt::run(arguments),
        What::Wallet(arguments) => values::of_key(Kind::Wallet, arguments),
        What::Validator(arguments) => values::of_key(Kind::Validator, arguments),
        What::Account(arguments) => values::of_key(Kind::Account, arguments),
        What::DeviceKey(arguments) => values::of_key(Kind::DeviceKey, arguments),
        What::Site(arguments) => values::run(&Subject::Site(arguments.site.clone()), &arguments.asking),
        What::Device(arguments) => values::run(&Subject::Device(arguments.device.clone()), &arguments.asking),
    }
}

/// The nodes to ask.
///
/// # Errors
/// [`ClientError`] if one is no address of a node.
fn clients(nodes: &[String]) -> Result<Vec<NodeClient>, ClientError> {
    // a token is for one node: it is not shown to several
    let single = nodes.len() == 1;
    nodes.iter().map(|node| if single { NodeClient::new(node) } else { NodeClient::nameless(node) }).collect()
}

/// This machine's clock, in milliseconds since 1970.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// How long ago a time is, for people; a time ahead of this machine's clock is now.
fn age(time_ms: u64) -> String {
    let age_ms = now_ms().saturating_sub(time_ms);
    format!("{}.{} s", age_ms / 1_000, age_ms % 1_000 / 100)
}
