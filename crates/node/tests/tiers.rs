//! Three tiers of brokers as processes: what one site publishes, a client of another aggregation reads exactly once, while
//! each broker on the way is killed and started again (M16).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::{Publisher, Subscriber};
use serde_json::Value;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, free_ports, run, until};

/// The paper's example: what D111 at agg1/loc1 wants of agg2/loc1.
const T: &str = "root/fog/agg2/loc1/ID1/sense/type1";
/// Where its device publishes.
const DEVICE: &str = "root/device/agg2/loc1/ID1/sense/type1";
/// Readings before each kill, and while it lasts.
const EACH: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(120);

/// The nodes: central broker, two aggregation brokers, two local brokers.
const CENTRAL: u16 = 1;
const AGG1: u16 = 2;
const AGG2: u16 = 3;
const LOC11: u16 = 4;
const LOC21: u16 = 5;

/// A network of five nodes, each with a site and a broker in its place; and the ports of the brokers of nodes 2 to 5.
fn tree() -> (Net, u16) {
    let net = Net::init(5, &["--site", "central"]);
    let ports = free_ports(4);
    let url = |k: u16| if k == CENTRAL { net.mqtt() } else { format!("mqtt://127.0.0.1:{}", ports + k - 2) };
    net.configure(CENTRAL, "\n[tier]\nscope = \"\"\nchildren = [\"agg1\", \"agg2\"]\n");
    let places = [
        (AGG1, "agg1", CENTRAL, "\"agg1/loc1\""),
        (AGG2, "agg2", CENTRAL, "\"agg2/loc1\""),
        (LOC11, "agg1/loc1", AGG1, ""),
        (LOC21, "agg2/loc1", AGG2, ""),
    ];
    for (k, site, parent, children) in places {
        let listen = url(k).replace("mqtt://", "");
        let text = format!(
            "\n[site]\nname = \"{site}\"\n\n[broker]\nembedded = \"{listen}\"\n\n[tier]\nparent = \"{}\"\nchildren = [{children}]\n",
            url(parent)
        );
        net.configure(k, &text);
    }
    (net, ports)
}

fn tier(net: &Net, k: u16, pointer: &str) -> u64 {
    net.count(k, &format!("/site_stats/tier/{pointer}"))
}

fn linked(net: &Net, k: u16) -> bool {
    net.status(k).is_some_and(|status| status["site_stats"]["tier"]["connected"] == true)
}

async fn publish(device: &Publisher, numbers: std::ops::Range<u32>) {
    for n in numbers {
        device.publish(DEVICE, n.to_string().into(), 1).await.unwrap();
    }
}

/// The value that the fog processor published.
fn value(payload: &[u8]) -> u32 {
    let pack: Value = serde_json::from_slice(payload).unwrap();
    pack[0]["v"].as_f64().unwrap() as u32
}

#[test]
fn three_tiers_deliver_once_while_brokers_are_killed() {
    let (mut net, ports) = tree();
    (1..=5).for_each(|k| net.start(k));
    (1..=5).for_each(|k| net.wait_ready(k));
    until("every link", CONFIRM_TIMEOUT, || (2..=5).all(|k| linked(&net, k)));

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let local = |k: u16| format!("mqtt://127.0.0.1:{}", ports + k - 2);
    let mut d111 = runtime.block_on(Subscriber::connect(&local(LOC11), "D111", &[T], 1)).unwrap();
    let all_the_way = || tier(&net, LOC11, "subscribed") == 1 && tier(&net, AGG1, "subscribed") == 1;
    until("the subscription at the central broker", CONFIRM_TIMEOUT, all_the_way);
    assert_eq!((tier(&net, AGG2, "subscribed"), tier(&net, LOC21, "subscribed")), (0, 0), "it goes up, not across");

    let device = std::sync::Arc::new(runtime.block_on(Publisher::connect(&local(LOC21), "D211")).unwrap());
    let mut sent = 0;
    for victim in [AGG2, CENTRAL, AGG1] {
        runtime.block_on(publish(&device, sent..sent + EACH));
        let more = {
            let device = device.clone();
            runtime.spawn(async move { publish(&device, sent + EACH..sent + 2 * EACH).await })
        };
        net.kill(victim);
        runtime.block_on(more).unwrap();
        net.start(victim);
        net.wait_ready(victim);
        sent += 2 * EACH;
    }
    // What a local broker has acknowledged and not handed on outlives it as well.
    runtime.block_on(publish(&device, sent..sent + EACH));
    net.kill(LOC21);
    net.start(LOC21);
    net.wait_ready(LOC21);
    sent += EACH;
    runtime.block_on(publish(&device, sent..sent + 1)); // a marker behind everything

    let arrived = runtime.block_on(async {
        let mut all = Vec::new();
        while all.last() != Some(&sent) {
            let next = tokio::time::timeout(PATIENCE, d111.recv()).await.unwrap_or_else(|_| panic!("nothing after {all:?}"));
            all.push(value(&next.unwrap().payload));
        }
        all
    });
    assert_eq!(arrived, (0..=sent).collect::<Vec<_>>(), "each once and in order");

    let empty = || (1..=5).all(|k| tier(&net, k, "queued_up") == 0 && tier(&net, k, "links/0/queued") == 0);
    until("every queue is empty", CONFIRM_TIMEOUT, empty);
    for k in 1..=5 {
        assert_eq!((tier(&net, k, "loops"), tier(&net, k, "refused"), tier(&net, k, "missed")), (0, 0, 0), "node{k}");
    }
    let said = run(&["status", "--node", &net.http(AGG2)]).ok();
    assert!(said.contains("agg2/loc1 (linked, 0 wait)"), "{said}");
}
