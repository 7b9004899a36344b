//! Three verifiers that share no code, this library, `examples/verify-receipt/verify.py` and the console's in JavaScript, and one verdict.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use support::{Net, get, installed, run, table, verify};

const READINGS: u64 = 60;
/// Bit flips in one receipt: every byte at a distance, another bit each time.
const FLIP_STEP: usize = 7;

#[test]
fn all_verifiers_agree_on_good_and_damaged_receipts() {
    let net = Net::running(4);
    let file = net.dir.path().join("table.csv");
    let names = table(&file, READINGS);
    net.replay(&file, &["--rate", "200"]);
    let good: Vec<String> = names.iter().map(|name| net.receipt(name)).collect();
    let genesis = net.genesis();
    for text in &good {
        verify(text, &genesis).unwrap();
    }

    let mut cases = good.clone();
    let spoilt = damaged(&good);
    for text in &spoilt {
        assert!(verify(text, &genesis).is_err(), "a damaged receipt was called good:\n{text}");
    }
    cases.extend(spoilt);
    // the command line says the same as the library
    let spoilt_file = net.dir.path().join("spoilt.json");
    std::fs::write(&spoilt_file, cases.last().unwrap()).unwrap();
    run(&["verify", spoilt_file.to_str().unwrap(), "--genesis", net.genesis_file().to_str().unwrap()]).refused(1, &["receipt refused"]);

    for (name, said) in strangers(&net, &cases) {
        assert_eq!(said.len(), cases.len(), "{name}: one line for each receipt");
        for (text, said) in cases.iter().zip(&said) {
            let ours = verify(text, &genesis);
            assert_eq!(ours.is_ok(), said == "ok", "we say {ours:?}, {name} says {said:?} of\n{text}");
        }
        let accepted = said.iter().filter(|s| *s == "ok").count();
        assert_eq!(accepted as u64, READINGS, "{name}");
    }
}

#[test]
fn a_node_gives_the_genesis_that_receipts_are_checked_against() {
    let net = Net::running(1);
    let (status, text) = get(&net.http(1), "/api/v1/genesis").expect("an answer");
    assert_eq!(status, 200, "{text}");
    assert_eq!(protocol::Genesis::from_json(&text).unwrap(), net.genesis());
}

/// What each other verifier that can run here says of each case.
fn strangers(net: &Net, cases: &[String]) -> Vec<(&'static str, Vec<String>)> {
    let lines: Vec<String> = cases.iter().map(|text| json!({ "receipt": text }).to_string()).collect();
    let batch = net.dir.path().join("batch.jsonl");
    std::fs::write(&batch, lines.join("\n") + "\n").unwrap();
    // a program, what shows that it can do its part, and the verifier
    let others = [
        ("python3", ["-c", "import cryptography"], "examples/verify-receipt/verify.py"),
        ("node", ["-e", "process.exit(Number(process.versions.node.split('.')[0]) < 20)"], "console/tests/batch.js"),
    ];
    let mut said = Vec::new();
    for (program, try_it, verifier) in others {
        let able = |path: &Path| Command::new(path).args(try_it).output().unwrap().status.success();
        let Some(path) = installed(program).filter(|path| able(path)) else {
            eprintln!("not compared with {verifier}: {program} is not installed here, or too old, or lacks a package");
            continue;
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(verifier);
        let output = Command::new(path).arg(file).arg("--batch").arg(&batch).arg("--genesis").arg(net.genesis_file()).output().unwrap();
        let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        assert!(!lines.is_empty(), "{verifier} said nothing: {}", String::from_utf8_lossy(&output.stderr));
        said.push((verifier, lines));
    }
    said
}

/// Receipts with one thing wrong.
fn damaged(good: &[String]) -> Vec<String> {
    let mut cases = Vec::new();
    for (round, text) in good.iter().take(3).enumerate() {
        for (turn, at) in (round..text.len()).step_by(FLIP_STEP).enumerate() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << (turn % 7); // the eighth bit would leave no text
            // a byte of a field's value or name, or of the JSON around it; a trailing line break may go unnoticed
            if at + 1 < text.trim_end().len() {
                cases.push(String::from_utf8(bytes).unwrap());
            }
        }
        cases.push(text[..text.len() / 2].to_owned());
        cases.push(format!("{text}{text}"));
    }
    let values: Vec<Value> = good.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let fields: Vec<String> = values[0].as_object().unwrap().keys().cloned().collect();
    for field in &fields {
        let mut without = values[0].clone();
        without.as_object_mut().unwrap().remove(field);
        cases.push(without.to_string());
        let mut other_type = values[0].clone();
        other_type[field] = json!({});
        cases.push(other_type.to_string());
    }
    // a part of another receipt, where it differs and is not exchanged together with what proves it
    for other in values.iter().skip(1).step_by(5) {
        for field in ["reading", "salt", "message", "milestone", "finalization"] {
            let mut mixed = values[0].clone();
            mixed[field] = other[field].clone();
            // the certificate or milestone of the very same message is the same proof
            if mixed != values[0] && !proves(&mixed, &values[0], field) {
                cases.push(mixed.to_string());
            }
        }
    }
    let mut more = values[0].clone();
    more["comment"] = json!("not of the format");
    cases.push(more.to_string());
    let twice = values[0].to_string().replacen('{', "{\"leaf_index\":0,", 1);
    cases.push(twice);
    cases
}

/// Whether the exchanged field is a certificate over the same digest: then the mixture may hold by right.
fn proves(mixed: &Value, original: &Value, field: &str) -> bool {
    let digest = |value: &Value| protocol::Receipt::from_json(&value.to_string()).ok().map(|r| r.finalization.digest);
    field == "finalization" && digest(mixed) == digest(original)
}
