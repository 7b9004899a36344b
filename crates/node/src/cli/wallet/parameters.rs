//! `wattle wallet parameters`: what the network agreed on about wallets.

use crate::cli::Failure;
use crate::cli::amount::coins;
use crate::cli::client::{DEFAULT_NODE, NodeClient};
use crate::cli::ordering::read;
use crate::cli::output::{print, print_json, table, thousands};
use crate::cli::spending::wire::Parameters;

/// Values of a nibble.
const NIBBLE_VALUES: u64 = 16;

/// `wattle wallet parameters`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
They are in the genesis and do not change. `wattle init` sets them for a new network.

Examples:
  wattle wallet parameters
  wattle wallet parameters --node http://10.0.0.7:8080 --json")]
pub(super) struct Arguments {
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
/// [`Failure`] if the node cannot be asked.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let text = NodeClient::new(&arguments.node)?.text("/api/v1/parameters")?;
    match arguments.json {
        true => print_json(&read::<serde_json::Value>(&text)?),
        false => print(&table(&["parameter", "value", "effect"], rows(&read(&text)?))),
    }
}

fn rows(parameters: &Parameters) -> Vec<Vec<String>> {
    let Parameters { threshold_percent, needed, members, difficulty, .. } = *parameters;
    let Parameters { shares_per_coin, share_units, vote_reward, share_cap, reward_cap, supply, epoch_milestones, .. } = *parameters;
    let row = |name: &str, value: String, effect: String| vec![name.to_owned(), value, effect];
    let attempts = NIBBLE_VALUES.saturating_pow(u32::from(difficulty));
    vec![
        row(
            "threshold_percent",
            threshold_percent.to_string(),
            format!("{needed} votes of {members} members certify a request; more is safer and stops sooner"),
        ),
        row(
            "difficulty",
            difficulty.to_string(),
            format!("zero nibbles of a request's work: {} hashes on average; what spam costs", thousands(attempts)),
        ),
        row("shares_per_coin", thousands(shares_per_coin.into()), format!("a confirmed share of data earns {}", coins(share_units))),
        row("vote_reward", thousands(vote_reward), format!("sub-units: a vote that certified a request earns {}", coins(vote_reward))),
        row("share_cap", thousands(share_cap), "DCoin that the shares of one issuer earn in an epoch at most".to_owned()),
        row("reward_cap", thousands(reward_cap), "DCoin that the votes of one member earn in an epoch at most".to_owned()),
        row("supply", thousands(supply), "DCoin that the genesis gave out".to_owned()),
        row("epoch_milestones", thousands(epoch_milestones), "milestones after which requests must be signed anew".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_its_effect() {
        let parameters = Parameters {
            threshold_percent: 67,
            needed: 3,
            members: 4,
            difficulty: 2,
            shares_per_coin: 5,
            share_units: 200_000,
            vote_reward: 2,
            share_cap: 10_000,
            reward_cap: 1_000,
            supply: 8_000_000,
            epoch_milestones: 50_000,
        };
        let text = rows(&parameters).concat().join("|");
        for part in
            ["67|3 votes of 4", "2|zero", "256 hashes", "5|a confirmed share of data earns 0.2 DCoin", "0.000002 DCoin", "8 000 000"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
