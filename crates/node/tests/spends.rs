//! Requests of wallets over HTTP with real nodes: what is refused, what is final, what a certificate proves, and that a purse is
//! spent once however many try at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[allow(dead_code)] // every test file uses another part of it
#[path = "support/spending.rs"]
mod spending;
mod support;

use protocol::{Certificate, Decode as _, Id, Operation, PublicKey};
use serde_json::{Value, json};
use spending::{Wallet, ask, post, send, spend, status, to, try_send, wait_status};
use support::{CONFIRM_TIMEOUT, Net, get, now_us, until};

const NODES: u16 = 4;
const COIN: u64 = 1_000_000;
/// Threads that spend one State at once.
const RIVALS: u8 = 16;
/// Epochs of this many milestones, a milestone at least this often: a wallet that is locked need not wait for long.
const EPOCH_MILESTONES: &str = "40";
const HEARTBEAT_MS: u64 = 300;

/// A network whose idle milestones come soon.
fn network(more: &[&str]) -> Net {
    let mut net = Net::init(NODES, more);
    for k in 1..=NODES {
        let text = std::fs::read_to_string(net.config(k)).unwrap();
        let quicker = text.replacen("[ledger]\n", &format!("[ledger]\nheartbeat_ms = {HEARTBEAT_MS}\n"), 1);
        assert_ne!(quicker, text, "the configuration has no [ledger]");
        std::fs::write(net.config(k), quicker).unwrap();
    }
    (1..=NODES).for_each(|k| net.start(k));
    (1..=NODES).for_each(|k| net.wait_ready(k));
    net
}

#[test]
fn what_nobody_can_mean_is_refused() {
    let net = network(&[]);
    let node = net.http(1);
    for body in [json!({}), json!({ "requests": [] }), json!({ "requests": ["zz"] }), json!({ "requests": ["00"] }), json!([1])] {
        let (status, said) = post(&node, "/api/v1/spends", &body).unwrap();
        assert_eq!((status, &said["status"]), (400, &json!(400)), "{body}: {said}");
    }
    let (alice, bob) = (Wallet::of_node(&net, 1), Wallet::new(9));
    let many = alice.chain(&net, &node, &vec![(to(&bob), 1); 65]);
    assert_eq!(try_send(&node, &many).0, 400);
    for (path, status) in [
        ("/api/v1/spends/xyz".to_owned(), 400),
        (format!("/api/v1/spends/{}", "0".repeat(64)), 404),
        (format!("/api/v1/spends/{}/certificate", "0".repeat(64)), 404),
        (format!("/api/v1/services/{}", "0".repeat(64)), 404),
        (format!("/api/v1/purchases/{}", "0".repeat(64)), 404),
        ("/api/v1/services/espresso".to_owned(), 400),
        ("/api/v1/services?provider=me".to_owned(), 400),
        ("/api/v1/spends?wallet=me".to_owned(), 400),
        ("/api/v1/spends?limit=0".to_owned(), 400),
    ] {
        assert_eq!(ask(&node, &path).0, status, "{path}");
    }
    let parameters = ask(&node, "/api/v1/parameters").1;
    assert_eq!((&parameters["needed"], &parameters["members"], &parameters["share_units"]), (&json!(3), &json!(4), &json!(200_000)));

    // well formed, and not its wallet's, of another epoch, in another State, more than there is
    let purse = alice.at(&node)["purse"].clone();
    let (state, epoch): (Id, u64) = (purse["state"].as_str().unwrap().parse().unwrap(), purse["epoch"].as_u64().unwrap());
    let good = alice.sign(&net, (0, state, epoch), to(&bob), 1);
    let mut forged = good.clone();
    forged.signature.0[7] ^= 1;
    for (request, kind) in [(forged, "signature"), (alice.sign(&net, (0, state, epoch + 1), to(&bob), 1), "epoch")] {
        let said = send(&node, &[request]).remove(0);
        assert_eq!((&said["status"], &said["reason"]["kind"]), (&json!("refused"), &json!(kind)), "{said}");
        assert!(said["reason"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{said}");
    }
    for (request, kind) in [
        (alice.sign(&net, (0, Id([3; 32]), epoch), to(&bob), 1), "state"),
        (good, "funds"),
        (alice.sign(&net, (0, state, epoch), to(&bob), u64::MAX), "funds"),
    ] {
        refused(&node, &request, kind);
    }
}

/// A node does not carry the request for this reason, or carries it and its validators reject it for that.
fn refused(node: &str, request: &protocol::Request, kind: &str) {
    let said = send(node, std::slice::from_ref(request)).remove(0);
    if said["status"] == "refused" && said["reason"].is_object() {
        assert_eq!(said["reason"]["kind"], kind, "{said}");
        return;
    }
    until("enough validators reject the request", CONFIRM_TIMEOUT, || {
        let known = spend(node, request).1;
        let rejections = known["rejections"].as_array().cloned().unwrap_or_default();
        rejections.iter().any(|rejection| rejection["kind"] == kind)
    });
    assert_ne!(status(node, request), "final");
    assert_ne!(ask(node, &format!("/api/v1/spends/{}/certificate", request.id())).0, 200);
}

#[test]
fn a_chain_is_final_proved_and_done_once() {
    let net = network(&[]);
    let (alice, bob) = (Wallet::of_node(&net, 1), Wallet::new(9));
    alice.fund(&net, 100);
    let carrier = net.http(2);
    let requests = alice.chain(&net, &carrier, &vec![(to(&bob), 2 * COIN); 3]);
    for said in send(&carrier, &requests) {
        assert!(said["reason"].is_null(), "{said}");
    }
    for request in &requests {
        let known = wait_status(&carrier, request, "final");
        assert!(known["height"].as_u64().is_some() && known["votes"].as_u64() >= Some(3), "{known}");
        assert_eq!((&known["operation"]["kind"], &known["price"]), (&json!("transfer"), &json!(2 * COIN)));
    }

    // the certificate needs the committee's keys and nothing else
    let (code, said) = ask(&carrier, &format!("/api/v1/spends/{}/certificate", requests[2].id()));
    assert_eq!((code, &said["needed"]), (200, &json!(3)), "{said}");
    let bytes = unhex(said["certificate"].as_str().unwrap());
    let (certificate, genesis) = (Certificate::decode(&bytes).unwrap(), net.genesis());
    assert_eq!(certificate.request.id(), requests[2].id());
    let percent = genesis.wallet_parameters.threshold_percent;
    certificate.verify(&genesis.network(), genesis.subnet, &genesis.committee, percent).unwrap();

    // what came in can be spent, and be taken out
    for k in 1..=NODES {
        until(&format!("node{k} has executed all"), CONFIRM_TIMEOUT, || bob.balance(&net.http(k)) == 6 * COIN);
    }
    let out = bob.chain(&net, &net.http(3), &[(Operation::Redeem, 4 * COIN)]);
    send(&net.http(3), &out);
    wait_status(&net.http(3), &out[0], "final");
    assert_eq!(bob.at(&net.http(3))["balance"], 4);

    // again, at another node: the same answer and no other effect
    let again = send(&net.http(4), &requests);
    assert!(again.iter().all(|said| said["status"] == "final"), "{again:?}");
    conserved(&net, &[&bob], 100, 4);
    assert_eq!(bob.balance(&net.http(4)), 2 * COIN);

    for k in [2, 4] {
        until(&format!("node{k} lists them"), CONFIRM_TIMEOUT, || {
            let listed = ask(&net.http(k), &format!("/api/v1/spends?wallet={}", alice.id())).1;
            let numbers = |s: &Value| (s["number"].as_u64(), s["status"].as_str().map(str::to_owned));
            let listed: Vec<_> = listed["spends"].as_array().unwrap().iter().map(numbers).collect();
            listed == [2, 1, 0].map(|n| (Some(n), Some("final".to_owned())))
        });
    }
    assert_eq!(ask(&carrier, "/api/v1/spends?limit=1").1["spends"].as_array().unwrap().len(), 1);
    // times are counted behind the ledger
    let measured = || get(&carrier, "/metrics").is_some_and(|(_, text)| text.contains("wattle_spend_final_seconds_count 3\n"));
    until("the times of three requests are counted", CONFIRM_TIMEOUT, measured);
    let metrics = get(&carrier, "/metrics").unwrap().1;
    let value = |name: &str| metrics.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<f64>().ok());
    assert!(value("wattle_spends_total{status=\"final\"}") >= Some(4.0), "{metrics}");
    assert_eq!(value("wattle_spend_final_seconds_count"), Some(3.0));
    assert_eq!(value("wattle_coins_funded_dcoin_total"), Some(100.0));
}

fn unhex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// At every node: what circulates is what was put in, less what was taken out, and what was earned; and it is in the purses.
fn conserved(net: &Net, others: &[&Wallet], funded: u64, redeemed: u64) {
    let members: Vec<Wallet> = (1..=NODES).map(|k| Wallet::of_node(net, k)).collect();
    for k in 1..=NODES {
        let node = net.http(k);
        // between two answers a milestone may be executed
        until(&format!("the sums agree at node{k}"), CONFIRM_TIMEOUT, || {
            let coins = ask(&node, "/api/v1/coins").1;
            let count = |name: &str| coins[name].as_u64().unwrap();
            let purses: u64 = members.iter().chain(others.iter().copied()).map(|wallet| wallet.balance(&node)).sum();
            let circulating = COIN * (funded - redeemed) + count("minted");
            (count("funded"), count("redeemed"), count("circulating"), purses) == (funded, redeemed, circulating, circulating)
        });
    }
}

#[test]
fn many_at_once_spend_a_state_once() {
    let net = network(&["--epoch-milestones", EPOCH_MILESTONES]);
    let alice = Wallet::of_node(&net, 1);
    alice.fund(&net, 10);
    let purse = alice.at(&net.http(1))["purse"].clone();
    let place = (0, purse["state"].as_str().unwrap().parse::<Id>().unwrap(), purse["epoch"].as_u64().unwrap());
    let recipients: Vec<Wallet> = (0..=RIVALS).map(|n| Wallet::new(100 + n)).collect();
    let rivals: Vec<_> = recipients.iter().take(usize::from(RIVALS)).map(|bob| alice.sign(&net, place, to(bob), 7 * COIN)).collect();
    let node_of = |n: usize| net.http(1 + n as u16 % NODES);
    let answers: Vec<Value> = std::thread::scope(|threads| {
        let mut running = Vec::new();
        for (n, request) in rivals.iter().enumerate() {
            let node = node_of(n);
            running.push(threads.spawn(move || send(&node, std::slice::from_ref(request)).remove(0)));
        }
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut finals = 0;
    for (n, (request, answer)) in rivals.iter().zip(&answers).enumerate() {
        if let Some(kind) = answer["reason"]["kind"].as_str() {
            assert!(["locked", "state", "epoch", "ended"].contains(&kind), "{answer}");
            continue;
        }
        let ended = |status: &str| ["final", "refused", "locked", "lapsed"].contains(&status);
        until(&format!("rival {n} is at its end"), CONFIRM_TIMEOUT, || ended(&status(&node_of(n), request)));
        let known = spend(&node_of(n), request).1;
        match known["status"].as_str() {
            Some("final") => finals += 1,
            Some("refused") => assert!(!known["rejections"].as_array().unwrap().is_empty(), "{known}"),
            _ => {}
        }
    }
    assert!(finals <= 1, "{finals} rivals were executed");
    // one that is locked by its own rivals spends again in the next epoch
    let last = recipients.last().unwrap();
    let start_us = now_us();
    while alice.at(&net.http(1))["purse"]["number"] == 0 {
        assert!(u128::from(now_us() - start_us) < CONFIRM_TIMEOUT.as_micros(), "the wallet is stuck");
        let again = alice.chain(&net, &net.http(1), &[(to(last), 7 * COIN)]);
        let said = send(&net.http(1), &again).remove(0);
        if said["reason"].is_null() {
            let done = |status: &str| !status.is_empty() && status != "pending" && status != "certified";
            until("the next one is at its end", CONFIRM_TIMEOUT, || done(&status(&net.http(1), &again[0])));
        } else {
            // the epoch goes on with the heartbeat
            let epoch = said["reason"].clone();
            let before = ask(&net.http(1), "/api/v1/status").1["ledger"]["height"].as_u64();
            until(&format!("a milestone follows: {epoch}"), CONFIRM_TIMEOUT, || {
                ask(&net.http(1), "/api/v1/status").1["ledger"]["height"].as_u64() > before
            });
        }
    }
    let all: Vec<&Wallet> = recipients.iter().collect();
    for k in 1..=NODES {
        let node = net.http(k);
        until(&format!("node{k} has executed one"), CONFIRM_TIMEOUT, || alice.at(&node)["purse"]["number"] == 1);
        let paid: Vec<PublicKey> = all.iter().filter(|bob| bob.balance(&node) > 0).map(|bob| bob.id()).collect();
        assert_eq!(paid.len(), 1, "node{k} paid {paid:?}");
    }
    conserved(&net, &all, 10, 0);
}
