//! `wattle wallet`: balances and stakes.

use super::client::{DEFAULT_NODE, NodeClient};
use super::ordering;
use super::output::{print, print_json, short, table, thousands};
use super::wire::{Stake, Wallet};
use super::{Failure, keys};
use protocol::PublicKey;
use std::path::PathBuf;

/// `wattle wallet`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet show --key net/node1/node.key
  wattle wallet show 3f0a…64 digits… --json")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// What a wallet has, and what it has bound
    Show(Show),
}

/// `wattle wallet show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet show --key net/node1/node.key
  wattle wallet show 3f0a…64 digits… --node http://10.0.0.7:8080 --json")]
struct Show {
    /// The wallet's public key
    #[arg(required_unless_present = "key", conflicts_with = "key")]
    wallet: Option<PublicKey>,
    /// Its key file instead
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, or the key file not read.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let What::Show(Show { wallet, key, node, json }) = &arguments.what;
    let node = NodeClient::new(node)?;
    let wallet = match (wallet, key) {
        (Some(wallet), _) => *wallet,
        (None, Some(file)) => keys::read(file)?.public_key(),
        // the command line needs one of the two
        (None, None) => return Err(Failure::said(super::Exit::Usage, "give a wallet's key, or its file with --key")),
    };
    if *json {
        return print_json(&node.json::<serde_json::Value>(&format!("/api/v1/wallets/{wallet}"))?);
    }
    let wallet = ordering::wallet(&node, &wallet)?;
    print(&table(&["wallet", wallet.key.as_str()], rows(&wallet)))
}

fn rows(wallet: &Wallet) -> Vec<Vec<String>> {
    let row = |name: String, value: String| vec![name, value];
    let mut rows = vec![row("balance".into(), format!("{} DCoin", thousands(wallet.balance))), row("State".into(), short(&wallet.state))];
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
        let text = rows(&wallet).concat().join("|");
        for part in ["5 DCoin", "node2", "1 200 DCoin at stake", "30 DCoin, released in epoch 4", "7 DCoin, released in epoch 5"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
