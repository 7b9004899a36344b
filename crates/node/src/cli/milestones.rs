//! `wattle milestones`: the newest milestones.

use super::Failure;
use super::output::{short, table, time_ms};
use super::watch::Look;
use super::wire::{Milestone, Milestones};

/// `wattle milestones`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle milestones --limit 5
  wattle milestones 17 --json        with the ids of the messages it confirms, and how many of them say what")]
pub(crate) struct Arguments {
    /// Only the milestone of this height
    height: Option<u64>,
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    look: Look,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked or has no such milestone.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { height, limit, look } = arguments;
    match height {
        Some(height) => {
            let path = format!("/api/v1/milestones/{height}?bodies={}", look.json);
            look.at(&path, |milestone: &Milestone| text(std::slice::from_ref(milestone)))
        }
        None => look.at(&format!("/api/v1/milestones?limit={limit}"), |all: &Milestones| text(&all.milestones)),
    }
}

fn text(milestones: &[Milestone]) -> String {
    let rows = milestones.iter().map(row).collect();
    table(&["height", "time", "epoch", "messages", "void", "tips", "digest", "state before"], rows)
}

fn row(milestone: &Milestone) -> Vec<String> {
    vec![
        milestone.height.to_string(),
        time_ms(milestone.time_ms),
        match milestone.next_committee {
            Some(_) => format!("{}, closes it", milestone.epoch),
            None => milestone.epoch.to_string(),
        },
        milestone.messages.to_string(),
        milestone.void.to_string(),
        milestone.tips.to_string(),
        short(&milestone.digest),
        short(&milestone.state_root),
    ]
}
