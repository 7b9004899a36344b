//! A new node begins with the state of a running network, taken from nodes that nobody trusts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[path = "support/liar.rs"]
mod liar;
mod support;
#[path = "support/tls.rs"]
mod tls;

use liar::Liar;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, NODE_TIMEOUT, Net, Process, installed, until, verify, wattle};

/// Readings before the new node joins.
const BEFORE: u64 = 60;
/// Readings after.
const AFTER: u64 = 20;
/// The question where to join.
const SUMMIT: [u8; 1] = [0];

/// POST of a question; `None` if nobody answers.
fn ask(base: &str, kind: &str, question: &[u8]) -> Option<(u16, Vec<u8>)> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build();
    asked(&config.into(), base, kind, question)
}

fn asked(agent: &ureq::Agent, base: &str, kind: &str, question: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut response = agent.post(&format!("{base}/api/v1/sync")).content_type(kind).send(question).ok()?;
    let status = response.status().as_u16();
    response.body_mut().read_to_vec().ok().map(|body| (status, body))
}

fn summit(base: &str) -> Option<(u16, Vec<u8>)> {
    ask(base, "application/octet-stream", &SUMMIT)
}

/// Readings of one device from `time_ms` on.
fn readings(file: &Path, time_ms: u64, count: u64) {
    let rows: String = (0..count).map(|n| format!("{},m1,{n}\n", time_ms + n)).collect();
    std::fs::write(file, format!("time_ms,device,power_w\n{rows}")).unwrap();
}

/// A committee of four of which three run, until there is a place to join at.
fn three_of_four() -> (Net, u64) {
    let mut net = Net::init(4, &[]);
    (1..=3).for_each(|k| net.start(k));
    (1..=3).for_each(|k| net.wait_ready(k));
    let url = net.http(2);
    grown(net, move || summit(&url))
}

/// Lets a network confirm readings until there is a place to join at, and says how many they were.
fn grown(net: Net, summit: impl Fn() -> Option<(u16, Vec<u8>)>) -> (Net, u64) {
    let file = net.dir.path().join("before.csv");
    readings(&file, 1_470_009_600_000, BEFORE);
    net.replay(&file, &["--rate", "20"]);
    let place = || summit().is_some_and(|(status, _)| status == 200);
    let mut extra = 0;
    until("there is a place to join at", CONFIRM_TIMEOUT, || {
        if !place() {
            // one reading at a time: one milestone at least
            let file = net.dir.path().join("extra.csv");
            readings(&file, 1_471_009_600_000 + extra, 1);
            net.replay(&file, &[]);
            extra += 1;
        }
        place()
    });
    let total = BEFORE + extra;
    until("the readings are confirmed", CONFIRM_TIMEOUT, || net.count(1, "/ledger/readings") == total);
    (net, total)
}

/// Publishes more, on top of `total`, and waits until all four nodes hold the same readings: how many there are then.
fn goes_on(net: &Net, total: u64, time_ms: u64) -> u64 {
    let file = net.dir.path().join("after.csv");
    readings(&file, time_ms, AFTER);
    net.replay(&file, &["--rate", "50"]);
    net.wait_confirmed(total + AFTER);
    total + AFTER
}

#[test]
fn a_node_joins_confirms_and_comes_back() {
    let (mut net, total) = three_of_four();
    let refusals: [(&str, &[u8], u16); 3] =
        [("text/plain", &SUMMIT, 415), ("application/octet-stream", &[9, 9, 9], 404), ("application/octet-stream", &[], 404)];
    for (kind, question, status) in refusals {
        assert_eq!(ask(&net.http(1), kind, question).map(|(status, _)| status), Some(status), "{kind}, {question:?}");
    }
    // the connection may be gone before the refusal is read
    let endless = ask(&net.http(1), "application/octet-stream", &vec![0; 1 << 20]);
    assert!(endless.is_none_or(|(status, _)| status == 413));
    net.start_with(4, &["--from-peer", &net.http(2)]);
    net.wait_ready(4);
    assert!(net.log(4).contains("joined"), "it did not join:\n{}", net.log(4));
    let total = goes_on(&net, total, 1_480_009_600_000);
    assert_eq!(net.status(4).unwrap()["ledger"]["validator"], true);

    // it is needed: without another one nothing would be confirmed
    net.kill(3);
    let file = net.dir.path().join("needed.csv");
    readings(&file, 1_490_009_600_000, AFTER);
    net.replay(&file, &[]);
    for k in [1, 2, 4] {
        until("three of four confirm", CONFIRM_TIMEOUT, || net.count(k, "/ledger/readings") == total + AFTER);
    }
    // and it goes on from its own disk, whether it is told where to join or not
    net.kill(4);
    net.start(4);
    net.wait_ready(4);
    net.stop(4);
    net.start_with(4, &["--from-peer", "http://127.0.0.1:9"]);
    net.start(3);
    net.wait_ready(3);
    net.wait_ready(4);
    goes_on(&net, total + AFTER, 1_500_009_600_000);
    let receipt = net.receipt("z1/m1/sense/power@1500009600000000");
    assert!(verify(&receipt, &net.genesis()).is_ok());
}

#[test]
fn a_node_joins_over_tls() {
    if installed("openssl").is_none() {
        eprintln!("skipped: openssl is not installed here");
        return;
    }
    let mut net = Net::init(4, &[]);
    let dir = net.node_dir(3);
    tls::authority(&dir, "ours");
    tls::key(&dir);
    tls::certificate(&dir, Some("ours"), "subjectAltName=DNS:localhost\n", 30);
    net.configure(3, tls::TABLE);
    (1..=3).for_each(|k| net.start(k));
    (1..=2).for_each(|k| net.wait_ready(k));
    let (authority, url) = (dir.join("ours.pem"), net.http(3).replace("http://127.0.0.1", "https://localhost"));
    let (agent, asks) = (tls::agent(&authority), url.clone());
    let (mut net, total) = grown(net, move || asked(&agent, &asks, "application/octet-stream", &SUMMIT));
    net.start_with(4, &["--from-peer", &url, "--ca", authority.to_str().unwrap()]);
    net.wait_ready(4);
    assert!(net.log(4).contains("joined"), "it did not join:\n{}", net.log(4));
    until("it holds the readings", CONFIRM_TIMEOUT, || net.count(4, "/ledger/readings") == total);
}

#[test]
fn a_peer_that_lies_costs_nothing_but_time() {
    let (mut net, total) = three_of_four();
    // noise; and a real node whose answers to the later questions are spoilt
    let noise = Liar::start(|_, _| (200, vec![0xa5; 5000]));
    let real = net.http(1);
    let half = Liar::start(move |_, question| match ask(&real, "application/octet-stream", question) {
        Some((200, mut answer)) if question.first().is_some_and(|tag| *tag == 4) => {
            answer.iter_mut().rev().take(40).for_each(|byte| *byte ^= 1);
            (200, answer)
        }
        Some(answer) => answer,
        None => (503, Vec::new()),
    });
    // by themselves they are no way in
    let log = net.node_dir(4).join("log.txt");
    let mut alone = wattle();
    alone.args(["up", "--until-stdin-ends", "--from-peer", &noise.url, "--from-peer", &half.url, "--config"]).arg(net.config(4));
    let child = alone.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    assert_eq!(Process(child).wait(NODE_TIMEOUT), 4, "{}", net.log(4));
    for url in [&noise.url, &half.url] {
        assert!(net.log(4).contains(url.as_str()), "{url} is not named:\n{}", net.log(4));
    }
    assert!(noise.asked() > 0 && half.asked() > 2);
    // half-way in is no beginning
    let mut plain = wattle();
    plain.args(["up", "--until-stdin-ends", "--config"]).arg(net.config(4));
    let child = plain.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    assert_eq!(Process(child).wait(NODE_TIMEOUT), 4, "{}", net.log(4));
    assert!(net.log(4).contains("--from-peer"), "{}", net.log(4));
    // an honest one among them is enough
    net.start_with(4, &["--from-peer", &noise.url, "--from-peer", &half.url, "--from-peer", &net.http(3)]);
    net.wait_ready(4);
    assert!(net.log(4).contains("joined"), "it did not join:\n{}", net.log(4));
    goes_on(&net, total, 1_480_009_600_000);
}
