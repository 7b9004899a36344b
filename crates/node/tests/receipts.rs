//! Two verifiers that share no code, this library and `examples/verify-receipt/verify.py`, and one verdict.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use support::{Net, installed, run, table, verify};

const READINGS: u64 = 60;
/// Bit flips in one receipt: every byte at a distance, another bit each time.
const FLIP_STEP: usize = 7;

#[test]
fn both_verifiers_agree_on_good_and_damaged_receipts() {
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

    let Some(said) = stranger(&net, &cases) else { return };
    assert_eq!(said.len(), cases.len(), "one line for each receipt");
    for (text, said) in cases.iter().zip(&said) {
        let ours = verify(text, &genesis);
        assert_eq!(ours.is_ok(), said == "ok", "we say {ours:?}, verify.py says {said:?} of\n{text}");
    }
    let accepted = said.iter().filter(|s| *s == "ok").count();
    assert_eq!(accepted as u64, READINGS);
}

/// What verify.py says of each; `None` if it cannot run here.
fn stranger(net: &Net, cases: &[String]) -> Option<Vec<String>> {
    let Some(python) = installed("python3") else {
        eprintln!("not compared: python3 is not installed here");
        return None;
    };
    if !Command::new(&python).args(["-c", "import cryptography"]).output().unwrap().status.success() {
        eprintln!("not compared: python3 has no package cryptography here");
        return None;
    }
    let lines: Vec<String> = cases.iter().map(|text| json!({ "receipt": text }).to_string()).collect();
    let batch = net.dir.path().join("batch.jsonl");
    std::fs::write(&batch, lines.join("\n") + "\n").unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/verify-receipt/verify.py");
    let output = Command::new(python).arg(program).arg("--batch").arg(&batch).arg("--genesis").arg(net.genesis_file()).output().unwrap();
    let said: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(!said.is_empty(), "verify.py said nothing: {}", String::from_utf8_lossy(&output.stderr));
    Some(said)
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
