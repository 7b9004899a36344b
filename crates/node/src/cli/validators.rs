//! `wattle validators`: who can be elected, and who is.

use super::Failure;
use super::client::NodeClient;
use super::output::{short, table, thousands};
use super::watch::{Look, View};
use super::wire::{Epoch, Validator, Validators};

/// `wattle validators`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle validators
  wattle validators --node http://10.0.0.7:8080 --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    look: Look,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.look.with(|node| look(node, arguments.look.json))
}

fn look(node: &NodeClient, json: bool) -> Result<View, Failure> {
    if json {
        return Ok(View::Json(node.json::<serde_json::Value>("/api/v1/validators")?));
    }
    let epoch: Epoch = node.json("/api/v1/epoch")?;
    let mut validators = node.json::<Validators>("/api/v1/validators")?.validators;
    validators.sort_by(|a, b| b.stake.cmp(&a.stake).then_with(|| a.key.cmp(&b.key)));
    let end = epoch.closing_height.map(|h| format!("; milestone {} ends it", thousands(h))).unwrap_or_default();
    let note = Some(format!("epoch {} at milestone {}{end}", thousands(epoch.epoch), thousands(epoch.height)));
    let rows = validators.iter().map(row).collect();
    Ok(View::Text { note, text: table(&["validator", "key", "stake", "unbonding", "state", "address"], rows) })
}

fn row(validator: &Validator) -> Vec<String> {
    vec![
        validator.name.clone(),
        short(&validator.key),
        thousands(validator.stake),
        thousands(validator.unbonding),
        standing(validator),
        validator.address.clone().unwrap_or_default(),
    ]
}

/// What it is, in words.
fn standing(validator: &Validator) -> String {
    let mut words = Vec::new();
    words.push(if validator.in_committee { "in the committee" } else { "outside" }.to_owned());
    if validator.jailed {
        words.push(format!("jailed until epoch {}", validator.jailed_until));
    }
    if !validator.registered {
        words.push("retired".to_owned());
    }
    words.join(", ")
}
