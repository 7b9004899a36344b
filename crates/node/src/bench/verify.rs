//! `wattle bench verify`: how fast receipts are verified.

use super::command::Common;
use super::figures::{Figures, fields, repeat};
use super::machine::usage;
use crate::cli::{Exit, Failure};
use protocol::finalization::consensus_namespace;
use protocol::{
    Batch, Body, Committee, DeviceTopic, Direction, Encode as _, Finalization, Genesis, Id, Milestone, Name, Reading, Receipt, SecretKey,
    Unsigned, Validator, Value, Vote, batch, merkle,
};
use serde_json::json;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Readings in the batch of the receipt.
const BATCH_READINGS: u32 = 1_000;
/// Messages in its milestone.
const MESSAGES: u64 = 64;
/// A time that every part of the receipt has, in milliseconds since 1970.
const TIME_MS: u64 = 1_470_009_600_000;

/// `wattle bench verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Validators of the committee
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=128))]
    nodes: u8,
    /// How long a run lasts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the receipt cannot be made, which is a bug.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let broken = |why: &dyn std::fmt::Display| Failure::new(Exit::Fault, why, "the bench's receipt", "report this");
    let (genesis, receipt) = receipt(arguments.nodes).map_err(|why| broken(&why))?;
    receipt.verify(&genesis).map_err(|why| broken(&why))?;
    let text = receipt.to_json();
    let parameters = json!({ "nodes": arguments.nodes, "batch": BATCH_READINGS, "seconds": arguments.seconds, "threads": 1 });
    let half = Duration::from_secs(arguments.seconds) / 2;
    repeat("verify", parameters, &arguments.common, "receipts_per_second", || {
        let per_receipt = timed(half, || receipt.verify(&genesis).is_ok())?;
        let with_parsing = timed(half, || Receipt::from_json(&text).is_ok_and(|r| r.verify(&genesis).is_ok()))?;
        let used = usage(std::process::id());
        Ok::<Figures, Failure>(fields(json!({
            "receipts_per_second": 1.0 / per_receipt,
            "verification_us": per_receipt * 1e6,
            "parsing_and_verification_us": with_parsing * 1e6,
            "receipt_json_bytes": text.len(),
            "cpu_seconds": used.cpu_seconds,
            "rss_bytes": used.rss_bytes,
        })))
    })
}

/// Seconds that one call takes on average over `span`.
fn timed(span: Duration, mut call: impl FnMut() -> bool) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut calls = 0u32;
    while start.elapsed() < span || calls == 0 {
        if !black_box(call()) {
            return Err(Failure::new(Exit::Fault, "a good receipt was refused", "bench verify", "report this"));
        }
        calls += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(calls))
}

/// A receipt as a network of `nodes` validators would give it.
fn receipt(nodes: u8) -> Result<(Genesis, Receipt), String> {
    let mut keys: Vec<SecretKey> = (1..=nodes).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    keys.sort_by_key(SecretKey::public_key);
    let name = |text: String| Name::new(&text).map_err(|e| e.to_string());
    let mut validators = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        validators.push(Validator { key: key.public_key(), name: name(format!("node{}", index + 1))? });
    }
    let committee = Committee::new(validators).map_err(|e| e.to_string())?;
    let genesis = Genesis::plain(name("bench".to_owned())?, 0, TIME_MS, committee);
    let topic = DeviceTopic {
        site: name("z1".to_owned())?,
        device: name("m1".to_owned())?,
        direction: Direction::Sense,
        data_type: name("power".to_owned())?,
    };
    let reading = |n: u32| Reading {
        topic: topic.clone(),
        time_us: TIME_MS * 1_000 + u64::from(n),
        sequence: None,
        unit: Some("W".to_owned()),
        value: Value::Number(f64::from(n)),
        signed: None,
    };
    let body = Batch { secret: [7; 32], first_offset: 0, readings: (0..BATCH_READINGS).map(reading).collect() };
    let leaf_index = BATCH_READINGS / 3;
    let leaves = body.leaves();
    let batch_path = merkle::path(&leaves, leaf_index as usize).ok_or("no path in the batch")?;
    let encoded = body.encode();
    let issuer = keys.first().ok_or("no validators")?;
    let message = Unsigned {
        network: genesis.network(),
        subnet: 0,
        issuer: issuer.public_key(),
        sequence: 0,
        parents: vec![Unsigned::root(genesis.network())],
        issued_at_ms: TIME_MS,
        votes: Vec::new(),
        body: Body::Readings {
            root: merkle::root(&leaves),
            count: BATCH_READINGS,
            bytes: u32::try_from(encoded.len()).map_err(|e| e.to_string())?,
            span_us: body.span_us(),
            blob: Batch::blob_digest(&encoded),
            shares: Vec::new(),
        },
        pow_nonce: 0,
    }
    .sign(issuer);
    let message_index = MESSAGES / 2;
    let ids: Vec<Id> = (0..MESSAGES).map(|i| if i == message_index { message.id() } else { Id::hash(&[&i.to_be_bytes()]) }).collect();
    let message_leaves: Vec<Id> = ids.iter().map(Milestone::message_leaf).collect();
    let place = usize::try_from(message_index).map_err(|e| e.to_string())?;
    let message_path = merkle::path(&message_leaves, place).ok_or("no path in the milestone")?;
    let before = genesis.milestone().digest();
    let milestone = Milestone {
        subnet: 0,
        parent: before,
        height: 1,
        epoch: 0,
        time_ms: TIME_MS + 1,
        tips: vec![message.id()],
        message_count: MESSAGES,
        messages_root: Milestone::root_of_messages(&ids),
        state_root: Id([0; 32]),
        history_root: merkle::root(&[Milestone::history_leaf(&before)]),
        next_committee: None,
    };
    let mut finalization = Finalization { epoch: 0, view: 1, parent_view: 0, digest: milestone.digest(), votes: Vec::new() };
    let namespace = [consensus_namespace(&genesis.network()).as_slice(), b"_FINALIZE"].concat();
    for (validator, key) in (0u8..).zip(&keys).take(genesis.committee.quorum()) {
        finalization.votes.push(Vote { validator, signature: key.sign(&namespace, &finalization.proposal()) });
    }
    let salt = batch::salt(&body.secret, leaf_index);
    let reading = reading(leaf_index);
    let receipt = Receipt {
        reading,
        salt,
        leaf_index,
        batch_path,
        message,
        message_index,
        message_path,
        milestone,
        anchor: None,
        finalization,
        handovers: Vec::new(),
    };
    Ok((genesis, receipt))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_bench_verifies_a_receipt_that_holds() {
        for nodes in [1, 4, 7] {
            let (genesis, receipt) = receipt(nodes).unwrap();
            assert_eq!(receipt.verify(&genesis).unwrap().signers.len(), genesis.committee.quorum());
        }
    }
}
