//! `wattle top`: a node at a glance, drawn anew each second.
//!
//! ```text
//! /api/v1/status ─▶ sample ─▶ rates between two samples ─▶ page ─▶ terminal
//! /metrics ───────┘
//! ```
//! # Rules
//! - It only asks what the scope `read` allows, and at most once a second.
//! - The terminal is put back as it was when the command ends, by `q`, Escape or Ctrl-C.
//! - A node that does not answer is said so, and asked again.

mod page;
mod sample;
mod screen;

use super::Failure;
use super::client::{DEFAULT_NODE, NodeClient};
use super::output::print;
use sample::Sample;
use screen::{Key, Screen};
use std::time::Instant;

/// Samples that the small curves are drawn from.
const HISTORY: usize = 60;

/// `wattle top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
q, Escape or Ctrl-C ends it.

Examples:
  wattle top
  wattle top --node http://10.0.0.7:8080
  wattle top --once                                 prints one page and ends; rates need two, so there are none")]
pub(crate) struct Arguments {
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// Print one page, without a terminal
    #[arg(long)]
    once: bool,
}

/// Draws until it is told to stop.
///
/// # Errors
/// [`Failure`] if the node does not answer at first, or there is no terminal.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let node = NodeClient::new(&arguments.node)?;
    let first = Sample::take(&node)?;
    if arguments.once {
        return print(&page::lines(&page::Seen { node: node.base(), samples: &[first], trouble: None, colours: false }).join("\n"));
    }
    let mut screen = Screen::begin()?;
    let mut samples = vec![first];
    let mut trouble: Option<String> = None;
    let mut asked = Instant::now();
    loop {
        let seen = page::Seen { node: node.base(), samples: &samples, trouble: trouble.as_deref(), colours: super::colour::on() };
        screen.draw(&page::lines(&seen))?;
        // waits for a key, a second at most
        if matches!(screen.key()?, Some(Key::Quit)) {
            return Ok(());
        }
        if asked.elapsed() < screen::TICK {
            continue; // a key that means nothing
        }
        asked = Instant::now();
        match Sample::take(&node) {
            Ok(sample) => {
                trouble = None;
                samples.push(sample);
                samples.drain(..samples.len().saturating_sub(HISTORY));
            }
            Err(why) => trouble = Some(why.to_string()),
        }
    }
}
