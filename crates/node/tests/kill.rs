//! kill −9 in the middle of a replay, restart: what was acknowledged is confirmed exactly once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, Process, table, until, verify};

const READINGS: u64 = 6_000;
const REPLAY_TIMEOUT: Duration = Duration::from_secs(180);

/// Kill −9 of any one node in mid-replay, then restart; every acknowledged reading is
/// confirmed exactly once. First a validator, then the node that the devices talk to.
#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let mut net = Net::running(4);
    let file = net.dir.path().join("table.csv");
    let names = table(&file, READINGS);
    let mut replay = net.replay_command(&file, &["--rate", "250", "--patience", "120s"]);
    let mut replay = Process(replay.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());

    until("the replay is under way", CONFIRM_TIMEOUT, || net.count(1, "/ledger/readings") >= 400);
    net.kill(3);
    let at_kill = net.count(1, "/ledger/readings");
    until("three of four go on without it", CONFIRM_TIMEOUT, || net.count(1, "/ledger/readings") >= at_kill + 200);
    net.start(3);
    net.wait_ready(3);

    let before = net.count(2, "/ledger/readings");
    assert!(before < READINGS, "the replay was over before the second kill: {before}");
    net.kill(1);
    assert_eq!(replay.ended(), None, "the replay was over before its broker was killed");
    net.start(1);
    net.wait_ready(1);

    assert_eq!(replay.wait(REPLAY_TIMEOUT), 0, "not everything was acknowledged; node1 says:\n{}", net.log(1));
    let report: Value = serde_json::from_reader(replay.0.stdout.take().unwrap()).unwrap();
    assert_eq!((report["sent"].as_u64(), report["acknowledged"].as_u64()), (Some(READINGS), Some(READINGS)));

    // the publisher's acknowledged set is all of the table: each is there, and the ledger holds no more than that
    net.wait_confirmed(READINGS);
    let mut ids = BTreeSet::new();
    for name in &names {
        ids.insert(net.wait_reading(name)["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len() as u64, READINGS, "two readings share an id");
    let genesis = net.genesis();
    for name in names.iter().step_by(300) {
        let verified = verify(&net.receipt(name), &genesis).unwrap();
        assert_eq!(verified.reading.name().to_string(), *name);
        assert!(verified.signers.len() >= genesis.committee.quorum());
    }
}

/// The same replay again: the readings have the same ids, so the site recognises them.
#[test]
fn a_repeated_replay_anchors_nothing_twice() {
    let mut net = Net::running(1);
    let file = net.dir.path().join("table.csv");
    table(&file, 200);
    net.replay(&file, &[]);
    net.wait_confirmed(200);
    net.stop(1);
    net.start(1);
    net.wait_ready(1);
    let report = net.replay(&file, &[]);
    assert_eq!(report["acknowledged"], 200);
    until("the site has seen all of them before", CONFIRM_TIMEOUT, || net.count(1, "/site_stats/duplicates") == 200);
    net.wait_confirmed(200);
}
