//! `wattle sim` as people type it: what it prints and writes, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::run;

#[test]
fn the_papers_figures_are_written_and_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = |name: &str| fs::read(dir.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let out = dir.path().to_str().unwrap();
    let first = run(&["sim", "brokers", "--all", "--duration", "20s", "--out", out]).ok();
    assert!(first.contains("83 sources"), "{first}");
    let names = ["fig15-latency-1s", "fig16-latency-0.1s", "fig17-throughput-1s", "throughput-0.1s"];
    let files: Vec<String> = names.iter().flat_map(|name| [format!("{name}.svg"), format!("{name}.png")]).collect();
    let before: Vec<Vec<u8>> = files.iter().map(|name| bytes(name)).collect();
    let csv = String::from_utf8(bytes("brokers.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 1_800);
    assert!(csv.lines().nth(1).unwrap().starts_with("1,1,5,1,118.5,118.5,118.5,"), "{csv:.300}");
    let object: Value = serde_json::from_slice(&bytes("brokers.json")).unwrap();
    assert_eq!((&object["sim"], object["curves"].as_array().unwrap().len()), (&json!("brokers"), 18));

    assert_eq!(run(&["sim", "brokers", "--all", "--duration", "20s", "--out", out, "--threads", "1"]).ok(), first);
    let after: Vec<Vec<u8>> = files.iter().map(|name| bytes(name)).collect();
    assert!(before == after, "the same settings gave other figures");
}

#[test]
fn chance_gives_bands_and_a_seed_repeats_them() {
    let arguments = ["sim", "brokers", "--sources", "20,60", "--phase", "uniform", "--duration", "60s", "--json"];
    let first = run(&arguments).json();
    let latency = &first["curves"][0]["points"][1]["latency_ms"];
    assert_eq!(first["seeds"], 5);
    assert!(latency["low"].as_f64() < latency["mean"].as_f64() && latency["mean"].as_f64() < latency["high"].as_f64(), "{latency}");
    assert_eq!(run(&arguments).json(), first);
    let other = run(&[&arguments[..], &["--seed", "7"]].concat()).json();
    assert_ne!(other["curves"], first["curves"]);
}

#[test]
fn votes_take_constants_from_benches() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dag.json");
    let dag = json!({ "bench": "dag", "nodes": 4, "admitted_messages_per_second": 500.0, "machine": { "cores": 2 } });
    fs::write(&file, dag.to_string()).unwrap();
    let out = dir.path().to_str().unwrap();
    let default = run(&["sim", "votes", "--voters", "1000", "--json"]).json();
    let slower = run(&["sim", "votes", "--voters", "1000", "--json", "--bench", file.to_str().unwrap(), "--out", out]).json();
    assert_eq!((&default["benches_given"], &slower["benches_given"]), (&json!([]), &json!(["dag"])));
    assert_eq!(slower["costs"]["take_in_us"], json!(1000.0));
    let ours = |object: &Value| object["rows"][0]["latency_ms"]["ours_links"]["mean"].as_f64().unwrap();
    assert!(ours(&slower) > 5.0 * ours(&default), "{slower:#}");
    for name in ["votes.csv", "votes.json", "votes-latency.svg", "votes-latency.png"] {
        assert!(dir.path().join(name).is_file(), "{name} is missing");
    }
}

#[test]
fn votes_show_the_papers_tables_beside_ours() {
    let shown = run(&["sim", "votes", "--voters", "4,8,48,1000"]).ok();
    // measured in the paper and in performance.md; both Tables II; both Tables III
    for part in ["300 ms", "5.8 ms", "11.3 ms", "4.94 ms", "5.12 ms", "190000 µs", "251.20 µs"] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let object = run(&["sim", "votes", "--voters", "4,200", "--link", "4ms", "--json"]).json();
    let (four, more) = (&object["rows"][0], &object["rows"][1]);
    assert_eq!((&four["quorum"]["paper"], &four["quorum"]["ours_links"]), (&json!(2), &json!(3)));
    assert_eq!(four["measured"]["certified_p50_ms"], json!(5.8));
    // two turns of the links at least, however many vote; and nobody can have so many on one machine
    assert!(four["latency_ms"]["ours_one_machine"]["mean"].as_f64().unwrap() > 8.0, "{object:#}");
    assert_eq!((&more["latency_ms"]["ours_one_machine"], &more["measured"]), (&Value::Null, &Value::Null));
}

#[test]
fn nonsense_is_refused_before_anything_runs() {
    run(&["sim", "brokers", "--brokers", "0"]).refused(2, &["0 brokers"]);
    run(&["sim", "brokers", "--channel=-1ms"]).refused(2, &["duration"]);
    run(&["sim", "brokers", "--service", "0ms"]).refused(2, &["service time"]);
    run(&["sim", "brokers", "--phase", "odd"]).refused(2, &["synchronised"]);
    run(&["sim", "brokers", "--sources", "9-1"]).refused(2, &["1,10,50-100"]);
    run(&["sim", "brokers", "--all", "--brokers", "2"]).refused(2, &["--all"]);
    run(&["sim", "brokers", "--duration", "10s", "--warm-up", "10s"]).refused(2, &["warm-up"]);
    // a million sources on a laptop
    run(&["sim", "brokers", "--sources", "1000000", "--discipline", "fair"]).refused(2, &["would take about", "--time-limit"]);
    run(&["sim", "votes", "--voters", "0"]).refused(2, &["0 voters"]);
    run(&["sim", "votes", "--voters", "4,2000000"]).refused(2, &["2000000 voters"]);
    run(&["sim", "votes", "--voters", "1000000", "--repeats", "0"]).refused(2, &["0 repetitions"]);
    run(&["sim", "votes", "--voters", "1-100000", "--time-limit", "1m"]).refused(2, &["would take about", "--time-limit"]);
    run(&["sim", "votes", "--vote-bytes", "100"]).refused(2, &["Table II"]);
    run(&["sim", "votes", "--bench", "Cargo.toml"]).refused(2, &["wattle bench vote --json"]);
}
