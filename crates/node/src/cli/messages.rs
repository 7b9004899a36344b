//! `wattle messages`: the newest messages of the DAG.

use super::Failure;
use super::client::{DEFAULT_NODE, NodeClient, escape};
use super::output::{print, print_json, short, table, time_ms};
use super::wire::{Message, Messages};

/// `wattle messages`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle messages --limit 5
  wattle messages 6f0c…64 digits… --json")]
pub(crate) struct Arguments {
    /// Only this message
    id: Option<String>,
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
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
/// [`Failure`] if the node cannot be asked or knows no such message.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let node = NodeClient::new(&arguments.node)?;
    let path = match &arguments.id {
        Some(id) => format!("/api/v1/messages/{}", escape(id)),
        None => format!("/api/v1/messages?limit={}", arguments.limit),
    };
    if arguments.json {
        return print_json(&node.json::<serde_json::Value>(&path)?);
    }
    let messages = match &arguments.id {
        Some(_) => vec![node.json::<Message>(&path)?],
        None => node.json::<Messages>(&path)?.messages,
    };
    let rows = messages.iter().map(row).collect();
    print(&table(&["message", "issuer", "sequence", "issued", "parents", "body", "readings", "bytes", "standing"], rows))
}

fn row(message: &Message) -> Vec<String> {
    vec![
        short(&message.id),
        message.issuer_name.clone().unwrap_or_else(|| short(&message.issuer)),
        message.sequence.to_string(),
        time_ms(message.issued_at_ms),
        message.parents.len().to_string(),
        message.body.clone(),
        message.readings.to_string(),
        message.bytes.to_string(),
        message.height.map_or_else(|| message.standing.clone(), |h| format!("{} in {h}", message.standing)),
    ]
}
