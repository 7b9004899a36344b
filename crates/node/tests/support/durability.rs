//! The durability checker: what was published is in every ledger exactly once.
//!
//! ```text
//! readings published ─▶ list of the site's node: each once, confirmed ─▶ message, readings in it
//! messages           ─▶ every node: confirmed at one place, with as many readings
//! ledger's total     ─▶ every node: the readings published, and not one more
//! ```
//! The last two show that nothing is confirmed twice: a reading in two messages would be one too many in the total.

use crate::support::{CONFIRM_TIMEOUT, Net, run, until};
use protocol::{DeviceTopic, Reading};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Entries of a list at most, as the HTTP interface has it.
const LIST_MAX: usize = 1_000;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a question is asked: a connection that was kept may be gone.
const TRIES: usize = 3;

/// Readings anchored, by message.
pub type Anchored = BTreeMap<String, u64>;

/// Asks many questions over few connections.
struct Asker(ureq::Agent);

impl Asker {
    fn new() -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_TIMEOUT)).build();
        Self(config.into())
    }

    /// The JSON at `url`, which must be there.
    fn json(&self, url: &str) -> Value {
        let mut why = String::new();
        for _ in 0..TRIES {
            match self.0.get(url).call() {
                Ok(mut response) => {
                    let status = response.status().as_u16();
                    let text = response.body_mut().read_to_string().unwrap_or_else(|e| e.to_string());
                    match serde_json::from_str(&text) {
                        Ok(value) if status == 200 => return value,
                        _ => why = format!("{status} {text}"),
                    }
                }
                Err(error) => why = error.to_string(),
            }
        }
        panic!("{url} does not answer: {why}");
    }
}

/// Asserts that node `k` lists exactly `readings` under `topic`, each once and confirmed; adds where they are anchored.
pub fn listed(net: &Net, k: u16, topic: &DeviceTopic, readings: &[Reading], anchored: &mut Anchored) {
    assert!(readings.len() < LIST_MAX, "a list could not show that there is one too many");
    let (node, ask) = (net.http(k), Asker::new());
    let url = format!("{node}/api/v1/readings?limit={LIST_MAX}&topic={}", topic.to_string().replace('/', "%2F"));
    let mut rows = Vec::new();
    // the index is written a little after the ledger
    until(&format!("node{k} lists {} readings of {topic}", readings.len()), CONFIRM_TIMEOUT, || {
        rows = ask.json(&url)["readings"].as_array().expect("a list of readings").clone();
        rows.len() >= readings.len()
    });
    let expected: BTreeMap<String, String> = readings.iter().map(|r| (r.id().to_string(), r.name().to_string())).collect();
    let mut missing = expected.clone();
    for row in rows {
        let id = row["id"].as_str().expect("a reading's id");
        assert!(expected.contains_key(id), "node{k} lists a reading that nobody published: {row}");
        assert!(missing.remove(id).is_some(), "node{k} lists a reading twice: {row}");
        assert_eq!(row["standing"], "confirmed", "node{k}: {row}");
        *anchored.entry(row["message"].as_str().expect("a message's id").to_owned()).or_insert(0) += 1;
    }
    let first: Vec<&String> = missing.values().take(5).collect();
    assert!(missing.is_empty(), "node{k} has lost {} acknowledged readings: {first:?} …", missing.len());
}

/// Asserts that every node's ledger confirms all messages of `anchored`, at the same places, and holds their readings
/// and no others.
pub fn in_every_ledger(net: &Net, anchored: &Anchored) {
    let total: u64 = anchored.values().sum();
    net.wait_confirmed(total);
    let places: Vec<Vec<(u64, u64)>> = std::thread::scope(|scope| {
        let nodes: Vec<String> = (1..=net.size).map(|k| net.http(k)).collect();
        let asked: Vec<_> = nodes.into_iter().map(|node| scope.spawn(move || places(&node, anchored))).collect();
        asked.into_iter().map(|answer| answer.join().expect("a node's answers")).collect()
    });
    for (k, other) in (1..).zip(&places) {
        assert_eq!(*other, places[0], "node{k} confirms messages elsewhere than node1");
    }
    net.wait_confirmed(total);
}

/// Height and place of every message at one node.
fn places(node: &str, anchored: &Anchored) -> Vec<(u64, u64)> {
    let ask = Asker::new();
    let place = |(id, readings): (&String, &u64)| {
        let message = ask.json(&format!("{node}/api/v1/messages/{id}"));
        assert_eq!(message["standing"], "confirmed", "{node}: {message}");
        assert_eq!(message["readings"].as_u64(), Some(*readings), "{node}: it anchors other readings than are listed: {message}");
        (message["height"].as_u64().expect("a height"), message["index"].as_u64().expect("a place"))
    };
    anchored.iter().map(place).collect()
}

/// Asserts that `wattle check` finds nothing wrong with any node; they must be stopped.
pub fn sound(net: &Net) {
    for k in 1..=net.size {
        let report = run(&["check", net.node_dir(k).to_str().expect("a path of text"), "--json"]).json();
        assert_eq!(report["sound"], true, "node{k}: {report:#}");
        assert!(report["milestones"].as_u64().is_some_and(|n| n > 0), "node{k}: nothing was looked at: {report:#}");
    }
}
