//! Mode D: what the site's ledger has confirmed goes on to a service elsewhere, each reading with its receipt. The service need
//! not trust whoever brings it: `wattle verify` checks the receipt.
//!
//! ```text
//! node ─ events (a wake-up) ─▶ list of readings ─▶ receipt, checked ─▶ POST {"id", "reading", "receipt"} ─▶ service
//!                                                                  └─▶ cloud.sent: what it has acknowledged
//! ```
//! At least once: after a crash the last one may come again, under the same id.

use crate::place::{Failed, Place, agent, get};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

/// Readings that are looked at together: what one list of the node may hold.
const LIST: usize = 1000;
/// How long nothing may happen before it is looked all the same.
const PAUSE: Duration = Duration::from_secs(2);

/// Forwards for ever; or until `enough` readings have gone.
pub fn run(place: &Place, enough: Option<usize>) -> Result<String, Failed> {
    let file = place.network.join("cloud.sent");
    let mut sent: BTreeSet<String> = std::fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open(&file)?;
    let mut count = 0;
    loop {
        for reading in pending(place, &sent)? {
            let id = reading.pointer("/id").and_then(Value::as_str).unwrap_or_default().to_owned();
            // it is checked here: what is wrong is not passed on
            let (receipt, _) = place.receipt(&place.http, &id)?;
            let receipt: Value = serde_json::from_str(&receipt)?;
            post(&place.to, &json!({ "id": id, "reading": reading, "receipt": receipt }))?;
            writeln!(log, "{id}")?;
            log.sync_data()?;
            sent.insert(id);
            count += 1;
        }
        if enough.is_some_and(|enough| count >= enough) {
            return Ok(format!("D: {count} confirmed readings are at {}, each with its receipt", place.to));
        }
        wait(place);
    }
}

/// Confirmed readings that have not gone yet, the oldest first.
fn pending(place: &Place, sent: &BTreeSet<String>) -> Result<Vec<Value>, Failed> {
    let Some((200, text)) = get(&format!("{}/api/v1/readings?limit={LIST}", place.http)) else { return Ok(Vec::new()) };
    let list: Value = serde_json::from_str(&text)?;
    let is_new = |r: &&Value| {
        r.pointer("/standing").is_some_and(|s| s == "confirmed")
            && r.pointer("/id").and_then(Value::as_str).is_some_and(|id| !sent.contains(id))
    };
    let all = list.pointer("/readings").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(all.iter().rev().filter(is_new).cloned().collect())
}

/// Hands one over; tries again while the service does not take it.
fn post(url: &str, body: &Value) -> Result<(), Failed> {
    loop {
        match agent().post(url).content_type("application/json").send(body.to_string()) {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if answer.status().is_client_error() => return Err(format!("{url} refuses it: {}", answer.status()).into()),
            Ok(answer) => eprintln!("{url} answers {}; trying again", answer.status()),
            Err(why) => eprintln!("{url}: {why}; trying again"),
        }
        std::thread::sleep(PAUSE);
    }
}

/// Returns when something was confirmed, or nothing happened for a while.
fn wait(place: &Place) {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PAUSE)).build().into();
    if let Ok(events) = agent.get(format!("{}/api/v1/events", place.http)).call() {
        let lines = BufReader::new(events.into_body().into_reader()).lines();
        // the list says what it was
        let _ = lines.map_while(Result::ok).find(|line| line.starts_with("event: confirmed") || line.starts_with("event:confirmed"));
    } else {
        std::thread::sleep(PAUSE);
    }
}
