//! `wattle light wallet`, `validator`, `account`, `site`, `device`, `device-key`: a value of the state, with its proof,
//! checked.

use super::{age, clients, now_ms};
use crate::cli::client::{ClientError, DEFAULT_NODE, NodeClient, escape};
use crate::cli::output::{note, print, print_json, table, thousands, time_ms};
use crate::cli::verify::load_genesis;
use crate::cli::{Exit, Failure, quantity};
use crate::values::{Kind, Subject};
use ledger::Key;
use protocol::{DeviceName, Genesis, Name, PublicKey};
use replica::{StateProof, VerifiedState};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a node answers while the certificate is on its way.
const NOT_YET: u16 = 409;
/// How often it is asked again.
const POLL: Duration = Duration::from_millis(100);

/// `wattle light wallet`, `validator`, `account`, `device-key`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every node named is asked; of the answers that verify, the newest is shown with its age. That a key is absent cannot be
proved. An idle network certifies a state with its next heartbeat, 15 s unless configured otherwise.

Examples:
  wattle light wallet 6f0c…64 digits… --genesis net/genesis.json --node http://10.0.0.7:8080 --node http://10.0.0.8:8080
  wattle light validator 6f0c…64 digits… --genesis net/genesis.json --json")]
pub(super) struct Arguments {
    /// The public key, 64 hexadecimal digits
    key: PublicKey,
    #[command(flatten)]
    asking: Asking,
}

/// `wattle light site`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle light site z1 --genesis net/genesis.json --node http://10.0.0.7:8080")]
pub(super) struct SiteArguments {
    /// The site's name
    #[arg(value_parser = quantity::site)]
    pub(super) site: Name,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// `wattle light device`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle light device z1/m1 --genesis net/genesis.json --node http://10.0.0.7:8080
  wattle light device-key 6f0c…64 digits… --genesis net/genesis.json")]
pub(super) struct DeviceArguments {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    pub(super) device: DeviceName,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Whom to ask, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A node to ask; may be repeated
    #[arg(long = "node", value_name = "URL", default_value = DEFAULT_NODE)]
    nodes: Vec<String>,
    /// How long to wait for the certificate
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The same of what a public key names.
///
/// # Errors
/// As [`run`].
pub(super) fn of_key(kind: Kind, arguments: &Arguments) -> Result<(), Failure> {
    run(&Subject::Key(kind, arguments.key), &arguments.asking)
}

/// Asks, checks and prints.
///
/// # Errors
/// [`Failure`]: refused (1) if there is no value, or none whose proof verifies; unreachable (3) if nobody answered.
pub(super) fn run(subject: &Subject, asking: &Asking) -> Result<(), Failure> {
    let genesis = load_genesis(&asking.genesis)?;
    let (mut newest, mut failures): (Option<(VerifiedState, String)>, Vec<Failure>) = (None, Vec::new());
    for node in clients(&asking.nodes)? {
        match ask(&node, subject, asking.wait, &genesis) {
            Ok(verified) if newest.as_ref().is_none_or(|(best, _)| best.height < verified.height) => {
                newest = Some((verified, node.base().to_owned()));
            }
            Ok(_) => {}
            Err(failure) => failures.push(failure),
        }
    }
    let Some((verified, node)) = newest else {
        // who answered, if only with a lie, says more than who did not
        let said = failures.iter().position(|f| f.exit == Exit::Refused).unwrap_or(0);
        let what = failures.into_iter().nth(said);
        return Err(what.unwrap_or_else(|| ClientError::Url(String::new()).into()));
    };
    failures.iter().for_each(|failure| note(&format!("skipped: {failure}")));
    let shown = subject.show(&verified.value).map_err(|why| {
        Failure::new(Exit::Refused, format!("the value cannot be read: {why}"), &node, "use the version of wattle that its network runs")
    })?;
    match asking.json {
        true => print_json(&json!({
            "verified": true,
            "key": subject.title().1,
            "height": verified.height,
            "time_ms": verified.time_ms,
            "age_ms": now_ms().saturating_sub(verified.time_ms),
            "epoch": verified.epoch,
            "node": node,
            "value": shown,
        })),
        false => print(&rows(subject, &verified, &shown)),
    }
}

/// What a node says, if its proof holds.
pub(super) fn ask(node: &NodeClient, subject: &Subject, wait: Duration, genesis: &Genesis) -> Result<VerifiedState, Failure> {
    let path = format!("/api/v1/state/{}", escape(&subject.path()));
    let start = Instant::now();
    let answer: Value = loop {
        match node.json(&path) {
            Err(ClientError::Problem { status: NOT_YET, .. }) if start.elapsed() < wait => std::thread::sleep(POLL),
            answer => break answer?,
        }
    };
    check(&answer, subject.key(), genesis).map_err(|why| {
        let todo = "the node lies, or is of another network than this genesis: ask another";
        Failure::new(Exit::Refused, format!("state proof refused: {why}"), node.base(), todo)
    })
}

/// Only the proof is looked at: the rest of an answer is for those who trust the node.
fn check(answer: &Value, key: Key, genesis: &Genesis) -> Result<VerifiedState, String> {
    let proof = answer.get("proof").ok_or("there is no proof")?;
    let proof = StateProof::from_json(&proof.to_string()).map_err(|why| why.to_string())?;
    if proof.key != key {
        return Err("it is the proof of something else".to_owned());
    }
    proof.verify(genesis).map_err(|why| why.to_string())
}

fn rows(subject: &Subject, verified: &VerifiedState, shown: &Value) -> String {
    let mut rows = vec![vec!["as of milestone".to_owned(), as_of(verified)]];
    for (name, value) in shown.as_object().into_iter().flatten() {
        let value = match value {
            Value::Number(n) => n.as_u64().map_or_else(|| n.to_string(), thousands),
            Value::String(text) => text.clone(),
            Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
            Value::Array(list) if !list.is_empty() => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            _ => "none".to_owned(),
        };
        rows.push(vec![name.replace('_', " "), value]);
    }
    let (kind, which) = subject.title();
    table(&[kind, &which], rows)
}

fn as_of(verified: &VerifiedState) -> String {
    let (time, age) = (time_ms(verified.time_ms), age(verified.time_ms));
    format!("{}, certified {time}, {age} old, by the committee of epoch {}", thousands(verified.height), verified.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_with_its_age() {
        let verified = VerifiedState { height: 1_234, time_ms: 1_470_009_600_250, epoch: 3, value: Vec::new() };
        let shown = json!({ "balance": 1_000_000, "registered": true, "address": null, "name": "n1" });
        let text = rows(&Subject::Key(Kind::Wallet, PublicKey([7; 32])), &verified, &shown);
        for part in ["1 234", "2016-08-01T00:00:00.25Z", "epoch 3", "1 000 000", "yes", "none", "n1", "0707"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn an_answer_without_a_proof_is_nothing() {
        let validator = protocol::Validator { key: protocol::SecretKey::from_seed(&[1; 32]).public_key(), name: name("n1") };
        let Ok(committee) = protocol::Committee::new(vec![validator]) else { unreachable!("one sound key is a committee") };
        let genesis = Genesis::plain(name("net"), 0, 0, committee);
        let key = Key::Wallet(PublicKey([1; 32]));
        for answer in [json!({}), json!({ "value": { "balance": 7 } }), json!({ "proof": {} }), json!([]), json!({ "proof": "x" })] {
            assert!(check(&answer, key, &genesis).is_err(), "{answer}");
        }
    }

    fn name(text: &str) -> protocol::Name {
        protocol::Name::new(text).unwrap_or_else(|why| unreachable!("{why}"))
    }
}
