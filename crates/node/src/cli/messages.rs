//! `wattle messages`: the newest messages of the DAG.

use super::Failure;
use super::client::escape;
use super::output::{short, table, time_ms};
use super::watch::Look;
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
    #[command(flatten)]
    look: Look,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked or knows no such message.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.id {
        Some(id) => arguments.look.at(&format!("/api/v1/messages/{}", escape(id)), |message: &Message| text(std::slice::from_ref(message))),
        None => arguments.look.at(&format!("/api/v1/messages?limit={}", arguments.limit), |all: &Messages| text(&all.messages)),
    }
}

fn text(messages: &[Message]) -> String {
    let rows = messages.iter().map(row).collect();
    table(&["message", "issuer", "sequence", "issued", "parents", "body", "readings", "votes", "bytes", "standing"], rows)
}

fn row(message: &Message) -> Vec<String> {
    vec![
        short(&message.id),
        message.issuer_name.clone().unwrap_or_else(|| short(&message.issuer)),
        message.sequence.to_string(),
        time_ms(message.issued_at_ms),
        message.parents.len().to_string(),
        body(message),
        message.readings.to_string(),
        message.votes.to_string(),
        message.bytes.to_string(),
        message.height.map_or_else(|| message.standing.clone(), |h| format!("{} in {h}", message.standing)),
    ]
}

/// What it says, and how many of them.
fn body(message: &Message) -> String {
    match (message.entries, message.ends_epoch) {
        (Some(entries), _) => format!("{} ({entries})", message.body),
        (None, Some(epoch)) => format!("{} {epoch}", message.body),
        (None, None) => message.body.clone(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_wallets_and_validators_say_is_shown() {
        let message = |body: &str, entries: Option<u64>, ends_epoch: Option<u64>| -> Message {
            let value = json!({
                "id": "ab", "issuer": "cd", "sequence": 1, "issued_at_ms": 0, "parents": [], "body": body, "entries": entries,
                "ends_epoch": ends_epoch, "votes": 7, "readings": 0, "bytes": 300, "standing": "pending",
            });
            serde_json::from_value(value).unwrap()
        };
        assert_eq!(body(&message("requests", Some(3), None)), "requests (3)");
        assert_eq!(body(&message("end of epoch", None, Some(4))), "end of epoch 4");
        let data = row(&message("data", None, None)).join("|");
        assert!(data.contains("data|0|7|300"), "{data}");
    }
}
