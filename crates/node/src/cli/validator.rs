//! `wattle validator`: becoming a validator, and ceasing to be one.

use super::Failure;
use super::ordering::Ordering;
use super::quantity;
use protocol::{Action, Address, Name};

/// `wattle validator`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle validator register --name node5 --address 10.0.0.5:7700 --key node5/node.key
  wattle validator retire --key node5/node.key")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make the key a validator, or change what it says of itself
    Register(Register),
    /// Stand for no election any more; the stake stays as it is
    Retire(Retire),
}

/// `wattle validator register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The key is the node's own: what it signs as a validator. It is elected once enough is delegated to it.

Examples:
  wattle validator register --name node5 --address 10.0.0.5:7700 --key node5/node.key --node http://10.0.0.1:8080")]
struct Register {
    /// What people shall call it
    #[arg(long, value_parser = quantity::name)]
    name: Name,
    /// Where the other nodes reach it: host:port of its ledger.listen
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<Address>,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle validator retire`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle validator retire --key node5/node.key")]
struct Retire {
    #[command(flatten)]
    ordering: Ordering,
}

/// Registers or retires.
///
/// # Errors
/// [`Failure`] if the order cannot be given or had no effect.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Register(Register { name, address, ordering }) => {
            let done = format!("registered as {name}");
            ordering.give(Action::Register { name: name.clone(), address: address.clone() }, &done)
        }
        What::Retire(Retire { ordering }) => ordering.give(Action::Retire, "retired"),
    }
}
