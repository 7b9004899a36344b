//! `wattle requests`: what devices of a site asked of others, and others of them.

use super::Failure;
use super::output::{table, time_ms};
use super::watch::Look;
use super::wire::{DeviceRequest, DeviceRequests};

/// `wattle requests`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle requests
  wattle requests --limit 5 --node http://10.0.0.7:8080 --json")]
pub(crate) struct Arguments {
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    look: Look,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, or its site takes no requests.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.look.at(&format!("/api/v1/requests?limit={}", arguments.limit), |DeviceRequests { requests }: &DeviceRequests| {
        table(&["when", "way", "from", "number", "to", "value", "state", "reason"], requests.iter().map(row).collect())
    })
}

fn row(request: &DeviceRequest) -> Vec<String> {
    let state = request.height.map_or_else(|| request.state.clone(), |height| format!("{} ({height})", request.state));
    vec![
        time_ms(request.at_ms),
        request.way.clone(),
        request.from.clone(),
        request.number.clone(),
        request.to.clone(),
        request.value.clone(),
        state,
        request.reason.clone(),
    ]
}
