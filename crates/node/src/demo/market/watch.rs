//! The live table: every second what each wallet has, on stderr.

use super::town::Town;
use super::window::{get, text};
use crate::cli::amount;
use crate::cli::client::NodeClient;
use crate::cli::output::{note, table, thousands};
use protocol::PublicKey;
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the table is printed.
const PERIOD: Duration = Duration::from_secs(1);

/// Prints until it is dropped.
pub(super) struct Watch(JoinHandle<()>);

impl Watch {
    /// Starts to watch.
    pub(super) fn start(town: &Town) -> Self {
        let people = town.people.iter().map(|p| (p.name.clone(), p.node.clone(), p.key.public_key()));
        Self(tokio::spawn(run(people.collect())))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(people: Vec<(String, NodeClient, PublicKey)>) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        let mut rows = Vec::new();
        for (name, node, key) in &people {
            // a node that does not answer now is asked again in a second
            let Ok(wallet) = get(node, &format!("/api/v1/wallets/{key}")).await else { continue };
            let count = |pointer: &str| wallet.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
            let (balance, purse, spends) = (count("/balance"), count("/purse/balance"), count("/purse/number"));
            rows.push(vec![
                name.clone(),
                thousands(balance),
                amount::coins(purse),
                spends.to_string(),
                votes(node).await.map_or_else(String::new, thousands),
                text(&wallet, "/purse/state").chars().take(8).collect(),
            ]);
        }
        if !rows.is_empty() {
            note(&table(&["wallet", "account, DCoin", "purse", "spends", "votes cast", "State"], rows));
        }
    }
}

/// How many votes a node has cast, by its metrics.
async fn votes(node: &NodeClient) -> Option<u64> {
    let node = node.clone();
    let metrics = tokio::task::spawn_blocking(move || node.text("/metrics")).await.ok()?.ok()?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("wattle_votes_cast_total "))?;
    line.trim().parse().ok()
}
