//! The demo, as a newcomer runs it: it keeps its promises, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::Publisher;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Mutex;
use support::{CONFIRM_TIMEOUT, NODE_TIMEOUT, Process, Ran, get, run, until, verify, wattle};

/// Two demos at once would look for free ports at the same time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn every_reading_is_confirmed_exactly_once() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let dir = tempfile::tempdir().unwrap();
    let ran: Ran = wattle()
        .args(["demo", "energy", "--exit", "--json", "--readings", "340", "--speedup", "40000", "--dir"])
        .arg(dir.path().join("demo"))
        .output()
        .unwrap()
        .into();
    let report = ran.json();
    assert_eq!(report["problems"], serde_json::json!([]));
    for count in ["readings_published", "readings_acknowledged", "readings_anchored", "readings_confirmed"] {
        assert_eq!(report[count], 340, "{count} in {report:#}");
    }
    assert_eq!(report["exactly_once"], true);
    assert_eq!(report["nodes"], 4);
    assert!(report["receipts_sampled"].as_u64().unwrap() >= 20, "{report:#}");
    assert_eq!(report["receipts_sampled"], report["receipts_verified"]);
    assert!(report["flipped_bit_refused"].as_str().is_some_and(|why| !why.is_empty()), "{report:#}");
    assert!(report["latency_ms"]["p50"].as_f64().is_some_and(|ms| ms > 0.0), "{report:#}");
    for node in report["http"].as_array().unwrap() {
        assert!(get(node.as_str().unwrap(), "/healthz").is_none(), "a node outlived the demo");
    }
}

#[test]
fn it_keeps_running_takes_readings_and_ends_with_its_nodes() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let dir = tempfile::tempdir().unwrap();
    let child = wattle()
        .args(["demo", "--json", "--readings", "34", "--dir"])
        .arg(dir.path().join("demo"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut demo = Process(child);
    let mut text = String::new();
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line == "}" {
            break;
        }
    }
    let report: Value = serde_json::from_str(&text).unwrap();
    let node = report["http"][0].as_str().unwrap().to_owned();
    let broker = report["broker"].as_str().unwrap();

    // what a person does next: publish a number by hand and ask for its receipt
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let publisher = Publisher::connect(broker, "by-hand").await.unwrap();
        publisher.publish("root/device/z1/m1/sense/power", b"42".to_vec(), 1).await.unwrap();
        publisher.close().await;
    });
    let mut found = Value::Null;
    until("the reading is confirmed", CONFIRM_TIMEOUT, || {
        let answer = get(&node, "/api/v1/readings?topic=z1/m1/sense/power").map(|(_, text)| text).unwrap_or_default();
        found = serde_json::from_str::<Value>(&answer).unwrap_or_default()["readings"][0].clone();
        found["standing"] == "confirmed"
    });
    assert_eq!(found["value"], 42.0);
    let receipt = dir.path().join("r.json");
    run(&["receipt", found["id"].as_str().unwrap(), "--node", &node, "-o", receipt.to_str().unwrap()]).ok();
    let genesis_file = dir.path().join("demo/genesis.json");
    let said = run(&["verify", receipt.to_str().unwrap(), "--genesis", genesis_file.to_str().unwrap()]).ok();
    for part in ["device m1", "site z1", "power = 42", "in milestone", "of 4 validators", "anchored by node node1"] {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    let genesis = protocol::Genesis::from_json(&std::fs::read_to_string(genesis_file).unwrap()).unwrap();
    assert!(verify(&std::fs::read_to_string(&receipt).unwrap(), &genesis).is_ok());

    // even if the demo is killed, its nodes end
    demo.kill();
    for node in report["http"].as_array().unwrap() {
        until("the nodes end with the demo", NODE_TIMEOUT, || get(node.as_str().unwrap(), "/healthz").is_none());
    }
}
