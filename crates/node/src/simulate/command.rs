//! What may be typed after `wattle sim`.

use super::{brokers, scale, votes};
use crate::cli::Failure;

/// `wattle sim`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle sim brokers --all --out figures
  wattle sim brokers --sources 10,50,100 --brokers 2 --service 6ms --phase uniform
  wattle sim votes --voters 8,48,1000,10000
  wattle sim scale --all --out figures")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    model: Model,
}

#[derive(Debug, clap::Subcommand)]
enum Model {
    /// Publishing latency and throughput against the number of sources, after the ledger-as-a-service paper
    Brokers(brokers::Arguments),
    /// Latency of a vote against the number of voters, after Wallance
    Votes(votes::Arguments),
    /// What becomes of a thousand to ten million devices, and what saturates first
    Scale(Box<scale::Arguments>),
}

/// Simulates.
///
/// # Errors
/// [`Failure`] if it cannot.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.model {
        Model::Brokers(arguments) => brokers::run(arguments),
        Model::Votes(arguments) => votes::run(arguments),
        Model::Scale(arguments) => scale::run(arguments),
    }
}
