//! `wattle readings`: the newest readings that a node's site anchored.

use super::Failure;
use super::client::escape;
use super::output::{short, table, time_us};
use super::watch::Look;
use super::wire::{Reading, Readings};

/// `wattle readings`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle readings --topic z1/m1/sense/power
  wattle readings z1/m1/sense/power@1470009600000000 --json")]
pub(crate) struct Arguments {
    /// Only this reading: its id, or site/ID/type@microseconds
    reference: Option<String>,
    /// Only this device and data type: site/ID/sense/type
    #[arg(long)]
    topic: Option<String>,
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    look: Look,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked or has no such reading.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { reference, topic, limit, look } = arguments;
    match reference {
        Some(reference) => {
            look.at(&format!("/api/v1/readings/{}", escape(reference)), |reading: &Reading| text(std::slice::from_ref(reading)))
        }
        None => {
            let topic = topic.as_deref().map(|t| format!("&topic={}", escape(t))).unwrap_or_default();
            look.at(&format!("/api/v1/readings?limit={limit}{topic}"), |all: &Readings| text(&all.readings))
        }
    }
}

fn text(readings: &[Reading]) -> String {
    let rows = readings.iter().map(row).collect();
    table(&["reading", "topic", "time", "value", "message", "standing"], rows)
}

fn row(reading: &Reading) -> Vec<String> {
    vec![
        short(&reading.id),
        reading.topic.clone(),
        time_us(reading.time_us),
        format!("{}{}", reading.shown(), if reading.device_key.is_some() { " (signed)" } else { "" }),
        short(&reading.message),
        reading.height.map_or_else(|| reading.standing.clone(), |h| format!("{} in {h}", reading.standing)),
    ]
}
