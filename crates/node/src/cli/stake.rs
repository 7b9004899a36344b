//! `wattle delegate`, `wattle undelegate` and `wattle withdraw`: the stake of a wallet.

use super::Failure;
use super::ordering::{Ordering, validator};
use super::output::thousands;
use protocol::Action;

/// `wattle delegate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle delegate --to node2 --amount 5000 --key net/node1/node.key
  wattle delegate --to 3f0a…64 digits… --amount 5000 --key wallet.key --node http://10.0.0.7:8080")]
pub(crate) struct Delegate {
    /// The validator: its key, or its name if no other has it
    #[arg(long, value_name = "VALIDATOR")]
    to: String,
    /// How many DCoin
    #[arg(long, value_name = "DCOIN", value_parser = clap::value_parser!(u64).range(1..))]
    amount: u64,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle undelegate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The amount stays bound, and can still be slashed, for the network's unbonding epochs; then `wattle withdraw` pays it out.

Examples:
  wattle undelegate --from node2 --amount 5000 --key net/node1/node.key")]
pub(crate) struct Undelegate {
    /// The validator: its key, or its name if no other has it
    #[arg(long, value_name = "VALIDATOR")]
    from: String,
    /// How many DCoin
    #[arg(long, value_name = "DCOIN", value_parser = clap::value_parser!(u64).range(1..))]
    amount: u64,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle withdraw`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet show --key net/node1/node.key          says what is released in which epoch
  wattle withdraw --from node2 --key net/node1/node.key")]
pub(crate) struct Withdraw {
    /// The validator: its key, or its name if no other has it
    #[arg(long, value_name = "VALIDATOR")]
    from: String,
    #[command(flatten)]
    ordering: Ordering,
}

/// Puts stake with a validator.
///
/// # Errors
/// [`Failure`] if the order cannot be given or had no effect.
pub(crate) fn delegate(arguments: &Delegate) -> Result<(), Failure> {
    let Delegate { to, amount, ordering } = arguments;
    let (key, name) = validator(&ordering.client()?, to)?;
    ordering.give(Action::Delegate { validator: key, amount: *amount }, &format!("delegated {} DCoin to {name}", thousands(*amount)))
}

/// Takes stake from a validator.
///
/// # Errors
/// [`Failure`] if the order cannot be given or had no effect.
pub(crate) fn undelegate(arguments: &Undelegate) -> Result<(), Failure> {
    let Undelegate { from, amount, ordering } = arguments;
    let (key, name) = validator(&ordering.client()?, from)?;
    ordering.give(Action::Undelegate { validator: key, amount: *amount }, &format!("undelegated {} DCoin from {name}", thousands(*amount)))
}

/// Pays out what is released.
///
/// # Errors
/// [`Failure`] if the order cannot be given or had no effect.
pub(crate) fn withdraw(arguments: &Withdraw) -> Result<(), Failure> {
    let Withdraw { from, ordering } = arguments;
    let (key, name) = validator(&ordering.client()?, from)?;
    ordering.give(Action::Withdraw { validator: key }, &format!("withdrew what {name} had released"))
}
