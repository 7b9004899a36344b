//! A broker that was there before us: mosquitto. Its queue bridges the time in which our node is dead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use std::process::Stdio;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, Process, free_ports, installed, mosquitto, table, until, verify};

const READINGS: u64 = 1_000;

#[test]
fn readings_from_mosquitto_survive_a_killed_node() {
    let Some(program) = installed("mosquitto") else {
        eprintln!("skipped: mosquitto is not installed here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let port = free_ports(1);
    let _broker = mosquitto(&program, dir.path(), port);
    let url = format!("mqtt://127.0.0.1:{port}");
    let mut net = Net::init(1, &["--broker", &url]);
    net.start(1);
    net.wait_ready(1);
    let connected = |net: &Net| net.status(1).is_some_and(|s| s["site_stats"]["connected"] == true);
    until("the node is subscribed", CONFIRM_TIMEOUT, || connected(&net));

    let file = dir.path().join("table.csv");
    let names = table(&file, READINGS);
    let mut replay = support::wattle();
    replay.arg("replay").arg(&file).args(["--broker", &url, "--site", "z1", "--rate", "400", "--json"]);
    let mut replay = Process(replay.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("readings arrive", CONFIRM_TIMEOUT, || net.count(1, "/ledger/readings") >= 200);
    net.kill(1);
    assert_eq!(replay.ended(), None, "the replay was over before the node was killed");
    net.start(1);
    net.wait_ready(1);
    assert_eq!(replay.wait(Duration::from_secs(120)), 0, "mosquitto did not acknowledge everything");

    net.wait_confirmed(READINGS);
    for name in &names {
        net.wait_reading(name);
    }
    verify(&net.receipt(&names[0]), &net.genesis()).unwrap();
}
