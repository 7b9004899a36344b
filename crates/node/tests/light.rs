//! A light node: it follows certificates and checks what nodes tell it; a node that lies is found out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[path = "support/liar.rs"]
mod liar;
mod support;

use liar::{Liar, spoilt};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use support::{CONFIRM_TIMEOUT, Net, Process, Ran, get, run, table, until, wattle};

const READINGS: u64 = 40;

/// A node that gives what `real` gives, with `field` changed.
fn liar(real: String, field: &'static str) -> Liar {
    Liar::start(move |path, _| {
        let (status, text) = get(&real, path).expect("the real node answers");
        (status, if status == 200 { spoilt(&text, field) } else { text }.into_bytes())
    })
}

fn light(arguments: &[&str], genesis: &str, nodes: &[&str]) -> Ran {
    let nodes = nodes.iter().flat_map(|node| ["--node", *node]);
    wattle().arg("light").args(arguments).args(["--genesis", genesis]).args(nodes).output().expect("the program cannot be started").into()
}

/// A count in what a command printed as one JSON object.
fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Four nodes that run. An idle network certifies its last state with the next heartbeat: here it comes soon.
fn lively() -> Net {
    let mut net = Net::init(4, &[]);
    for k in 1..=4 {
        let text = std::fs::read_to_string(net.config(k)).unwrap();
        assert!(text.contains("[ledger]\n"), "{text}");
        std::fs::write(net.config(k), text.replacen("[ledger]\n", "[ledger]\nheartbeat_ms = 400\n", 1)).unwrap();
    }
    (1..=4).for_each(|k| net.start(k));
    (1..=4).for_each(|k| net.wait_ready(k));
    net
}

/// What a receipt proves; who signed may differ from one time to the next.
fn proved(said: &str) -> &str {
    said.split("; confirmed by").next().unwrap()
}

#[test]
fn a_light_node_follows_checks_and_finds_liars() {
    let net = lively();
    let file = net.dir.path().join("table.csv");
    let names = table(&file, READINGS);
    net.replay(&file, &["--rate", "100"]);
    net.wait_confirmed(READINGS);
    let genesis_file = net.genesis_file();
    let genesis = genesis_file.to_str().unwrap();
    let (one, two) = (net.http(1), net.http(2));
    until("a certified milestone", CONFIRM_TIMEOUT, || get(&one, "/api/v1/head").is_some_and(|(status, _)| status == 200));

    follows(&net, genesis, &one, &two);
    receipts(&net, genesis, &one, &names[0]);
    values(&net, genesis, &one, &two);
    committee(&net);
}

fn follows(net: &Net, genesis: &str, one: &str, two: &str) {
    let state = net.dir.path().join("light.json");
    let state = state.to_str().unwrap();
    let once = ["follow", "--once", "--json", "--state", state];
    let first = light(&once, genesis, &[one]).json();
    assert!(number(&first, "height") > 0 && number(&first, "signers") >= 3, "{first}");
    assert_eq!((number(&first, "committee"), number(&first, "epoch")), (4, 0));
    let milestone = get(one, &format!("/api/v1/milestones/{}", first["height"])).map(|(_, text)| text).unwrap();
    assert!(milestone.contains(first["digest"].as_str().unwrap()), "{milestone} is not {first}");
    // from what it wrote down, on another node
    let again = light(&once, genesis, &[two]).ok();
    let newest: Value = serde_json::from_str(again.lines().last().unwrap()).unwrap();
    assert!(number(&newest, "height") >= number(&first, "height"), "{newest} after {first}");
    // of another network
    let other = Net::init(1, &[]);
    light(&once, other.genesis_file().to_str().unwrap(), &[one]).refused(2, &["light.json", "--state"]);
    light(&["follow", "--once"], other.genesis_file().to_str().unwrap(), &[one]).refused(1, &["no node gave a head that verifies", one]);

    for field in ["milestone", "finalization", "format"] {
        let liar = liar(one.to_owned(), field);
        light(&["follow", "--once"], genesis, &[&liar.url]).refused(1, &["no node gave a head that verifies", &liar.url]);
        // it is named, and the others go on
        let ran = light(&["follow", "--once"], genesis, &[&liar.url, two]);
        assert!(ran.stderr.contains(&liar.url) && ran.stderr.contains("skipped"), "{ran:#?}");
        assert!(ran.ok().contains("milestone "), "{field}");
        assert!(liar.asked() >= 2);
    }
    let noise = Liar::start(|_, _| (200, vec![0xff; 1000]));
    let ran = light(&["follow", "--once"], genesis, &[&noise.url, two]);
    assert!(ran.stderr.contains(&noise.url), "{ran:#?}");
    ran.ok();

    // without --once it goes on
    let child = wattle()
        .args(["light", "follow", "--json", "--genesis", genesis, "--node", one])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut follower = Process(child);
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let file = net.dir.path().join("more.csv");
    std::fs::write(&file, "time_ms,device,power_w\n1480009600000,m9,1\n").unwrap();
    net.replay(&file, &[]);
    let next: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(number(&next, "height") > number(&first, "height"), "{next} after {first}");
}

fn receipts(net: &Net, genesis: &str, one: &str, name: &str) {
    let said = light(&["receipt", name], genesis, &[one]).ok();
    assert!(said.starts_with("verified: device m0 at site z1"), "{said}");
    let receipt = net.dir.path().join("r.json");
    std::fs::write(&receipt, net.receipt(name)).unwrap();
    assert_eq!(proved(&light(&["receipt", receipt.to_str().unwrap()], genesis, &[]).ok()), proved(&said));
    for field in ["reading", "finalization"] {
        let liar = liar(one.to_owned(), field);
        light(&["receipt", name], genesis, &[&liar.url]).refused(1, &["receipt refused", &liar.url]);
        assert_eq!(proved(&light(&["receipt", name], genesis, &[&liar.url, one]).ok()), proved(&said), "{field}");
    }
    // a good receipt, but of another reading
    let (real, wanted) = (one.to_owned(), "z1/m1/sense/power@1470009600001000");
    let other = Liar::start(move |_, _| {
        let (status, text) = get(&real, &format!("/api/v1/receipts/{}", wanted.replace('@', "%40"))).unwrap();
        (status, text.into_bytes())
    });
    light(&["receipt", name], genesis, &[&other.url]).refused(1, &["another reading"]);
}

fn values(net: &Net, genesis: &str, one: &str, two: &str) {
    let keys: Vec<String> = net.genesis().committee.validators().iter().map(|v| v.key.to_string()).collect();
    let wallet = light(&["wallet", &keys[2], "--json"], genesis, &[one]).json();
    assert_eq!((wallet["verified"].as_bool(), wallet["value"]["balance"].as_u64()), (Some(true), Some(1_000_000)), "{wallet}");
    let validator = light(&["validator", &keys[1], "--json"], genesis, &[two]).json();
    assert_eq!((validator["value"]["name"].as_str(), validator["value"]["stake"].as_u64()), (Some("node2"), Some(1_000_000)));
    // the site's node issued what the readings are anchored by
    let account = light(&["account", &keys[0], "--json"], genesis, &[two, one]).json();
    assert!(account["value"]["readings"].as_u64().unwrap() >= READINGS, "{account}");
    let shown = light(&["account", &keys[0]], genesis, &[one]).ok();
    assert!(shown.contains("as of milestone") && shown.contains("readings"), "{shown}");

    light(&["wallet", &"1".repeat(64)], genesis, &[one]).refused(1, &["404", "absence cannot be proved"]);
    let other = Net::init(1, &[]);
    light(&["wallet", &keys[2]], other.genesis_file().to_str().unwrap(), &[one]).refused(1, &["state proof refused", one]);
    for field in ["certified", "finalization", "key"] {
        let liar = liar(one.to_owned(), field);
        light(&["wallet", &keys[2]], genesis, &[&liar.url]).refused(1, &["state proof refused", &liar.url]);
        light(&["wallet", &keys[2]], genesis, &[&liar.url, one]).ok();
    }
    // what the node says beside the proof is not looked at
    let real = one.to_owned();
    let boaster = Liar::start(move |path, _| {
        let (status, text) = get(&real, path).unwrap();
        (status, text.replace("\"balance\":1000000", "\"balance\":9999999").into_bytes())
    });
    let shown = light(&["wallet", &keys[2]], genesis, &[&boaster.url]).ok();
    assert!(shown.contains("1 000 000") && !shown.contains("9 999 999"), "{shown}");
    // the proof of another wallet
    let (real, other) = (one.to_owned(), keys[3].clone());
    let swapper = Liar::start(move |_, _| {
        let (status, text) = get(&real, &format!("/api/v1/state/wallets/{other}")).unwrap();
        (status, text.into_bytes())
    });
    light(&["wallet", &keys[2]], genesis, &[&swapper.url]).refused(1, &["something else"]);
    for (path, status) in [("wallets/x", 400), ("purses/x", 404), ("totals", 404)] {
        assert_eq!(get(one, &format!("/api/v1/state/{path}")).map(|(status, _)| status), Some(status), "{path}");
    }
}

fn committee(net: &Net) {
    let (_, text) = get(&net.http(3), "/api/v1/committee").unwrap();
    let committee: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((number(&committee, "size"), number(&committee, "quorum"), number(&committee, "epoch")), (4, 3, 0));
    assert_eq!(committee["members"][3]["name"], "node4");
    let status = net.status(3).unwrap();
    assert_eq!((&status["ledger"]["validator"], &status["ledger"]["cut_off"]), (&true.into(), &false.into()));
    assert_eq!(number(&status["ledger"], "committee_size"), 4);
    let said = run(&["status", "--node", &net.http(3)]).ok();
    assert!(said.contains("in the committee"), "{said}");
    assert_eq!(get(&net.http(3), "/api/v1/head?epoch=x").map(|(status, _)| status), Some(400));
}
