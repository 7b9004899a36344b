//! Benches whose replicas are in the program's own processes, small: that they measure something, and say it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::{Value, json};
use support::run;

fn bench(arguments: &[&str]) -> Value {
    let mut all = vec!["bench"];
    all.extend(arguments);
    all.extend(["--runs", "1", "--json"]);
    run(&all).json()
}

fn figure(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or_else(|| panic!("no figure {name} in {figures:#}"))
}

#[test]
fn a_committee_admits_and_confirms_on_either_network() {
    for network in ["simulated", "tcp"] {
        let figures = bench(&["dag", "--nodes", "2", "--network", network, "--in-flight", "64", "--seconds", "2", "--warm-up", "1"]);
        assert_eq!(figures["bench"], "dag");
        assert_eq!(figures["network"], network);
        for name in ["messages_per_second", "admitted_messages_per_second", "milestones_per_second", "rss_bytes"] {
            assert!(figure(&figures, name) > 0.0, "{name} in {figures:#}");
        }
        let latency = &figures["latency_ms"];
        assert!(figure(latency, "p50") <= figure(latency, "p99") && figure(latency, "p99") <= figure(latency, "max"));
    }
}

#[test]
fn a_rate_is_kept() {
    let rate = ["--rate", "100", "--seconds", "3", "--warm-up", "1"];
    let figures = bench(&[["dag", "--nodes", "2"].as_slice(), rate.as_slice()].concat());
    let confirmed = figure(&figures, "messages_per_second");
    assert!((50.0..150.0).contains(&confirmed), "{confirmed} messages a second at a rate of 100");
}

#[test]
fn readings_that_arrive_at_a_replica_are_all_confirmed() {
    let figures = bench(&["confirm", "--nodes", "2", "--network", "simulated", "--latency-ms", "4", "--rate", "200", "--seconds", "1"]);
    assert_eq!(figures["readings_confirmed"], 200);
    // a milestone takes three turns of the links at least
    assert!(figure(&figures["latency_ms"], "p50") > 4.0, "{figures:#}");
}

#[test]
fn devices_of_mqtt_sn_are_all_answered() {
    let figures = bench(&["mqttsn", "--clients", "20", "--messages", "200"]);
    assert_eq!(figures["bench"], "mqttsn");
    for name in ["readings_per_second", "connects_per_second", "gateway_rss_bytes"] {
        assert!(figure(&figures, name) > 0.0, "{name} in {figures:#}");
    }
    for latency in [&figures["latency_ms"], &figures["wake_latency_ms"]] {
        assert!(figure(latency, "p50") <= figure(latency, "p99") && figure(latency, "p99") <= figure(latency, "max"));
    }
    assert_eq!((&figures["readings_acknowledged"], &figures["readings_confirmed"]), (&json!(200), &json!(200)), "{figures:#}");
    assert_eq!(figures["readings_lost"], 0);
}

#[test]
fn devices_that_stay_connected_are_all_answered() {
    for qos in ["0", "1"] {
        let size = ["--devices", "50", "--readings", "4", "--interval-ms", "250", "--qos", qos];
        let figures = bench(&[["connections"].as_slice(), size.as_slice()].concat());
        assert_eq!((&figures["bench"], &figures["devices"]), (&json!("connections"), &json!(50)));
        for (name, count) in [
            ("connections_held", 50),
            ("connections_refused", 0),
            ("connections_lost", 0),
            ("readings_sent", 200),
            ("readings_confirmed", 200),
            ("readings_lost", 0),
            ("readings_acknowledged", if qos == "0" { 50 } else { 200 }),
        ] {
            assert_eq!(figures[name], count, "{name} at QoS {qos} in {figures:#}");
        }
        // at the rate that was asked for: 50 devices, four readings a second each
        let rate = figure(&figures, "readings_per_second");
        assert!(rate > 0.0 && rate < 300.0, "{figures:#}");
        let latency = &figures["latency_ms"];
        assert!(figure(latency, "p50") <= figure(latency, "p99") && figure(latency, "p99") <= figure(latency, "max"));
        for name in ["connects_per_second", "cpu_seconds", "rss_bytes"] {
            assert!(figure(&figures, name) > 0.0, "{name} in {figures:#}");
        }
        assert!(figure(&figures, "broker_rss_bytes_per_connection") >= 0.0);
    }
}

#[test]
fn storage_is_told_part_by_part() {
    let figures = bench(&["storage", "--batch", "5,50", "--readings", "200"]);
    for batch in ["batch_5", "batch_50"] {
        let one = &figures[batch];
        let parts = ["ledger_bytes_per_reading", "index_bytes_per_reading"];
        let sum: f64 = parts.iter().map(|part| figure(one, part)).sum();
        assert!((figure(one, "bytes_per_reading") - sum).abs() < 1e-6, "{one:#}");
        assert!(figure(one, "log_bytes") > 0.0 && figure(one, "readings") == 200.0, "{one:#}");
        for table in ["messages", "payloads", "state"] {
            assert!(figure(&one["ledger_tables_bytes_per_reading"], table) > 0.0, "{table} in {one:#}");
        }
    }
    assert!(figure(&figures, "bytes_on_disk") > 0.0);
}

#[test]
fn proof_of_work_takes_more_hashes_with_each_nibble() {
    let figures = bench(&["pow", "--difficulty", "2", "--searches", "200"]);
    let mean = |difficulty: u8| figure(&figures[format!("difficulty_{difficulty}")], "hashes_mean");
    assert!(mean(0) == 1.0 && mean(1) > 8.0 && mean(2) > 128.0, "{figures:#}");
    let request = |difficulty: u8| figure(&figures[format!("difficulty_{difficulty}")], "request_hashes_mean");
    assert!(request(0) == 1.0 && request(1) > 8.0 && request(2) > 128.0, "{figures:#}");
}

#[test]
fn requests_are_certified_and_final_on_either_network() {
    for network in ["simulated", "tcp"] {
        let load = ["--nodes", "4", "--network", network, "--wallets", "3", "--chain", "8", "--requests", "120"];
        let figures = bench(&[["certificates"].as_slice(), load.as_slice()].concat());
        assert_eq!((&figures["bench"], &figures["network"]), (&json!("certificates"), &json!(network)));
        assert_eq!(figure(&figures, "requests"), 120.0);
        let (certified, executed) = (figure(&figures, "certified_per_second"), figure(&figures, "final_per_second"));
        assert!(certified > 0.0 && executed > 0.0 && executed <= certified, "{figures:#}");
        for name in ["certified_ms", "final_ms"] {
            let latency = &figures[name];
            assert!(figure(latency, "p50") <= figure(latency, "p99") && figure(latency, "p99") <= figure(latency, "max"));
        }
        // three of four votes at least, and a certificate that shows them
        assert!(figure(&figures, "votes_per_request") > 2.99 && figure(&figures, "certificate_bytes") > 3.0 * 135.0, "{figures:#}");
    }
}

#[test]
fn one_wallet_waits_for_two_turns_of_the_links() {
    let load = ["--latency-ms", "4", "--wallets", "1", "--chain", "1", "--requests", "20"];
    let figures = bench(&[["certificates"].as_slice(), load.as_slice()].concat());
    assert!(figure(&figures["certified_ms"], "p50") >= 8.0, "{figures:#}");
}

#[test]
fn votes_have_a_size_a_cost_and_a_passage() {
    let figures = bench(&["vote", "--nodes", "4,8", "--votes", "16", "--samples", "20", "--extrapolate"]);
    assert_eq!(figures["bench"], "vote");
    for name in ["request_bytes", "sign_us", "verify_us", "verify_batched_us", "take_in_us", "sync_us"] {
        assert!(figure(&figures, name) > 0.0, "{name} in {figures:#}");
    }
    let (four, eight) = (&figures["committee_4"], &figures["committee_8"]);
    assert_eq!((&four["votes_needed"], &eight["votes_needed"]), (&json!(3), &json!(6)));
    assert!(figure(four, "certificate_bytes") < figure(eight, "certificate_bytes"));
    let passage = &figures["passage_with_32_bytes_of_data"];
    assert!(figure(passage, "min_ms") > 0.0 && figure(passage, "min_ms") <= figure(passage, "mean_ms"), "{figures:#}");
    let model = &figures["model"];
    assert!(figure(&model["voters_8"], "certified_ms") < figure(&model["voters_1000"], "certified_ms"), "{figures:#}");
}

#[test]
fn the_interface_answers_and_everybody_hears() {
    let figures = bench(&["api", "--clients", "4", "--seconds", "1", "--listeners", "20"]);
    for name in ["status_requests_per_second", "readings_requests_per_second", "receipt_requests_per_second"] {
        assert!(figure(&figures, name) > 0.0, "{name} in {figures:#}");
    }
    assert!(figure(&figures["listeners_latency_ms"], "p99") > 0.0, "{figures:#}");
}
