//! `wattle wallet`: what a wallet has, and what it sends.
//!
//! ```text
//! account (whole DCoin, orders) ──fund──▶ purse (sub-units, requests) ──send──▶ another purse
//!                               ◀─redeem──
//! ```

mod create;
pub(crate) mod local;
mod parameters;
mod pay;

use super::amount::coins;
use super::client::NodeClient;
use super::ordering::read;
use super::output::{short, table, thousands};
use super::spending::wire::{Holder, Purse};
use super::watch::{Look, View};
use super::wire::{Stake, Wallet};
use super::{Failure, keys};
use std::path::PathBuf;

/// `wattle wallet`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A wallet has an account, which orders move in whole DCoin, and a purse, which pays within a second. Its ID is its public key.

Examples:
  wattle wallet create alice
  wattle wallet fund 20 --key net/node1/node.key
  wattle wallet send alice 2.5 --key net/node1/node.key
  wattle wallet show alice")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a wallet; you may have as many as you like
    Create(create::Create),
    /// The wallets you have made
    List(create::List),
    /// What a wallet has, and what it has bound
    Show(Show),
    /// Pay another wallet
    Send(pay::Send),
    /// Move DCoin from the account into the purse
    Fund(pay::Fund),
    /// Move DCoin from the purse back to the account
    Redeem(pay::Redeem),
    /// What the network agreed on about wallets, and what it does
    Parameters(parameters::Arguments),
}

/// `wattle wallet show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet show alice
  wattle wallet show --key net/node1/node.key
  wattle wallet show 3f0a…64 digits… --node http://10.0.0.7:8080 --json")]
struct Show {
    /// The wallet's ID, or the name of one that you have made
    #[arg(required_unless_present = "key", conflicts_with = "key", value_name = "WALLET")]
    who: Option<String>,
    /// Its key file instead
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The directory of wallets, if not the user's data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    look: Look,
}

/// Does what was asked for.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, a key file not read, or what was asked for was refused.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Create(arguments) => create::create(arguments),
        What::List(arguments) => create::list(arguments),
        What::Show(arguments) => show(arguments),
        What::Send(arguments) => pay::send(arguments),
        What::Fund(arguments) => pay::fund(arguments),
        What::Redeem(arguments) => pay::redeem(arguments),
        What::Parameters(arguments) => parameters::run(arguments),
    }
}

fn show(arguments: &Show) -> Result<(), Failure> {
    arguments.look.with(|node| look(node, arguments))
}

fn look(node: &NodeClient, arguments: &Show) -> Result<View, Failure> {
    let Show { who, key, dir, look } = arguments;
    let wallet = match (who, key) {
        (Some(who), _) => local::key_of(dir.as_deref(), who)?,
        (None, Some(file)) => keys::public_key(file)?,
        // the command line needs one of the two
        (None, None) => return Err(Failure::said(super::Exit::Usage, "give a wallet's ID or name, or its file with --key")),
    };
    let text = node.text(&format!("/api/v1/wallets/{wallet}"))?;
    if look.json {
        return Ok(View::Json(read(&text)?));
    }
    let (wallet, Holder { purse, .. }): (Wallet, Holder) = (read(&text)?, read(&text)?);
    Ok(View::text(table(&["wallet", wallet.key.as_str()], rows(&wallet, &purse))))
}

fn rows(wallet: &Wallet, purse: &Purse) -> Vec<Vec<String>> {
    let row = |name: String, value: String| vec![name, value];
    let mut rows = vec![
        row("account".into(), format!("{} DCoin", thousands(wallet.balance))),
        row("account's State".into(), short(&wallet.state)),
        row("purse".into(), coins(purse.available)),
    ];
    if purse.next_number > purse.number {
        let waiting = purse.next_number - purse.number;
        rows.push(row("on its way".into(), format!("{waiting} requests; executed, the purse has {}", coins(purse.balance))));
    }
    rows.push(row("purse's State".into(), format!("{}, number {}", short(&purse.next_state), thousands(purse.next_number))));
    for Stake { validator, name, staked, unbonding } in &wallet.stakes {
        let named = format!("{name} ({})", short(validator));
        rows.push(row(format!("with {named}"), format!("{} DCoin at stake", thousands(*staked))));
        for release in unbonding {
            let what = format!("{} DCoin, released in epoch {}", thousands(release.amount), release.release_epoch);
            rows.push(row(format!("unbonding from {named}"), what));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::wire::Release;

    #[test]
    fn everything_that_is_bound_has_a_row() {
        let unbonding = vec![Release { release_epoch: 4, amount: 30 }, Release { release_epoch: 5, amount: 7 }];
        let stake = Stake { validator: "ab".repeat(32), name: "node2".into(), staked: 1_200, unbonding };
        let wallet = Wallet { key: "cd".repeat(32), state: "ef".repeat(32), balance: 5, stakes: vec![stake] };
        let next_state = "12".repeat(32);
        let purse = Purse { epoch: 3, number: 7, balance: 2_500_000, next_number: 9, next_state, available: 500_000 };
        let text = rows(&wallet, &purse).concat().join("|");
        for part in ["5 DCoin", "node2", "1 200 DCoin at stake", "30 DCoin, released in epoch 4", "7 DCoin, released in epoch 5"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        for part in ["purse|0.5 DCoin", "2 requests; executed, the purse has 2.5 DCoin", "121212121212, number 9"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
