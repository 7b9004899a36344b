//! `wattle wallet send`, `fund` and `redeem`.

use super::local;
use crate::cli::Failure;
use crate::cli::amount::coins;
use crate::cli::ordering::Ordering;
use crate::cli::output::thousands;
use crate::cli::spending::Spending;
use protocol::Action;

/// `wattle wallet send`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The purse pays, not the account: `wattle wallet fund` fills it. The amount is in DCoin with at most six digits behind the point.

Examples:
  wattle wallet send bob 2.5 --wallet alice
  wattle wallet send 3f0a…64 digits… 0.000002 --key net/node1/node.key --until certified --json")]
pub(super) struct Send {
    /// Who gets it: a wallet's ID, or the name of one that you have made
    to: String,
    /// How many DCoin
    #[arg(value_name = "DCOIN", value_parser = crate::cli::amount::amount, allow_negative_numbers = true)]
    amount: u64,
    #[command(flatten)]
    spending: Spending,
}

/// `wattle wallet fund`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet fund 20 --key net/node1/node.key")]
pub(super) struct Fund {
    /// How many DCoin; whole ones
    #[arg(value_name = "DCOIN", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    coins: u64,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle wallet redeem`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet redeem 5 --wallet alice")]
pub(super) struct Redeem {
    /// How many DCoin; whole ones
    #[arg(value_name = "DCOIN", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    coins: u64,
    #[command(flatten)]
    spending: Spending,
}

/// Pays.
///
/// # Errors
/// [`Failure`] if nobody is meant, or the request was refused.
pub(super) fn send(arguments: &Send) -> Result<(), Failure> {
    let Send { to, amount, spending } = arguments;
    let key = local::key_of(spending.signer().dir(), to)?;
    spending.spend(&format!("sent {} to {to}", coins(*amount)), |spender, now_ms| spender.transfer(key, *amount, now_ms))
}

/// Fills the purse.
///
/// # Errors
/// [`Failure`] if the order cannot be given or had no effect.
pub(super) fn fund(arguments: &Fund) -> Result<(), Failure> {
    let Fund { coins, ordering } = arguments;
    ordering.give(Action::Fund { amount: *coins }, &format!("moved {} DCoin into the purse", thousands(*coins)))
}

/// Empties it.
///
/// # Errors
/// [`Failure`] if the request was refused.
pub(super) fn redeem(arguments: &Redeem) -> Result<(), Failure> {
    let Redeem { coins, spending } = arguments;
    let done = format!("moved {} DCoin back to the account", thousands(*coins));
    spending.spend(&done, |spender, now_ms| spender.redeem(*coins, now_ms))
}
