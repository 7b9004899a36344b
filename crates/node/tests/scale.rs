//! `wattle sim scale` as people type it: what it prints and writes, where its constants come from, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::run;

#[test]
fn scale_tells_what_ends_first_and_writes_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let text = run(&["sim", "scale", "--all", "--out", out]).ok();
    for part in ["broker of tier 3", "338 000", "10 000 000", "model only", "IOTA", "never"] {
        assert!(text.to_lowercase().contains(&part.to_lowercase()), "{part:?} is missing in {text}");
    }
    let names = ["scale-utilisation", "scale-processor", "scale-latency", "scale-links", "scale-storage"];
    let mut files: Vec<String> = names.iter().flat_map(|name| [format!("{name}.svg"), format!("{name}.png")]).collect();
    files.extend(["scale.csv".to_owned(), "scale.json".to_owned()]);
    let bytes = || files.iter().map(|name| fs::read(dir.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))).collect::<Vec<_>>();
    let before = bytes();
    let csv = fs::read_to_string(dir.path().join("scale.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 13);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns), "{csv}");
    let object: Value = serde_json::from_slice(&fs::read(dir.path().join("scale.json")).unwrap()).unwrap();
    assert_eq!((&object["sim"], &object["saturations"][0]["devices"]), (&json!("scale"), &json!(338_000)));
    assert_eq!(object["rows"].as_array().unwrap().len(), 13);
    assert_eq!((&object["rows"][12]["devices"], &object["rows"][12]["keeps_up"]), (&json!(10_000_000), &json!(false)));
    run(&["sim", "scale", "--all", "--out", out]).ok();
    assert!(before == bytes(), "the same settings gave other files");
}

#[test]
fn scale_takes_constants_from_benches() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, object: Value| {
        let path = dir.path().join(name);
        fs::write(&path, object.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // half the speed in everything that this machine's processor does for messages; a faster broker
    let dag = json!({ "bench": "dag", "nodes": 48, "admitted_messages_per_second": 316.5, "machine": { "cores": 2 } });
    let mqtt = json!({ "bench": "mqtt", "qos": 1, "publishers": 100, "messages_per_second": 67_600.0 });
    let (dag, mqtt) = (file("dag.json", dag), file("mqtt.json", mqtt));
    let default = run(&["sim", "scale", "--devices", "1e5", "--json"]).json();
    let other = run(&["sim", "scale", "--devices", "1e5", "--json", "--bench", &dag, "--bench", &mqtt]).json();
    assert_eq!((&default["benches"], &other["benches"]), (&json!([]), &json!(["dag", "mqtt"])));
    let number = |object: &Value, name: &str| object["rows"][0][name].as_f64().unwrap();
    assert!((number(&other, "processor_admission") / number(&default, "processor_admission") - 2.0).abs() < 1e-9, "{other:#}");
    assert!((number(&other, "used_broker") / number(&default, "used_broker") - 0.5).abs() < 1e-9, "{other:#}");
    assert!(number(&other, "confirmed_ms") > number(&default, "confirmed_ms"), "{other:#}");
}

/// The files of the other test say what a bench is thought to print; these say what it prints.
#[test]
fn scale_reads_what_the_benches_print() {
    let dir = tempfile::tempdir().unwrap();
    let benches: [&[&str]; 9] = [
        &["dag", "--nodes", "2", "--in-flight", "64", "--seconds", "2", "--warm-up", "1"],
        &["ingest", "--nodes", "2", "--batch", "10", "--seconds", "2", "--warm-up", "1"],
        &["ingest", "--nodes", "1", "--batch", "10", "--seconds", "2", "--warm-up", "1"],
        &["connections", "--devices", "50", "--readings", "20", "--interval-ms", "100"],
        &["mqtt", "--publishers", "2", "--messages", "200"],
        &["mqtt", "--publishers", "1", "--messages", "50"],
        &["vote", "--nodes", "4", "--votes", "1", "--samples", "0"],
        &["confirm", "--nodes", "2", "--network", "simulated", "--rate", "200", "--seconds", "1"],
        &["storage", "--nodes", "2", "--batch", "5,50", "--readings", "200"],
    ];
    let mut files = Vec::new();
    for (number, bench) in benches.iter().enumerate() {
        let mut printed = run(&[["bench"].as_slice(), *bench, ["--runs", "1", "--json"].as_slice()].concat()).json();
        if let Some(bytes) = printed.get_mut("broker_rss_bytes_per_connection") {
            // memory may not grow for so few devices
            assert!(bytes.as_f64().is_some_and(|bytes| bytes >= 0.0), "{bytes}");
            *bytes = json!(12_345.0);
        }
        let path = dir.path().join(format!("{number}.json"));
        fs::write(&path, printed.to_string()).unwrap();
        files.push(path.to_str().unwrap().to_owned());
    }
    let mut line = vec!["sim", "scale", "--devices", "1e4", "--json"];
    let default = run(&line).json();
    for file in &files {
        line.extend(["--bench", file.as_str()]);
    }
    let read = run(&line).json();
    let names: Vec<&str> = benches.iter().map(|bench| bench[0]).collect();
    assert_eq!(read["benches"], json!(names));
    let (read, default) = (&read["constants"], &default["constants"]);
    for name in [
        "admission_us",
        "anchor_us",
        "site_us",
        "connection_bytes",
        "node_bytes",
        "publishes_per_second",
        "link_publishes_per_second",
        "sync_us",
        "sign_us",
        "verify_us",
    ] {
        assert!(read[name].as_f64().is_some_and(|value| value > 0.0) && read[name] != default[name], "{name} in {read:#}");
    }
    assert_eq!((&read["confirmation"]["nodes"], &read["storage"]["nodes"]), (&json!(2), &json!(2)), "{read:#}");
    let sizes: Vec<&Value> = read["storage"]["points"].as_array().unwrap().iter().map(|point| &point["batch"]).collect();
    assert_eq!(sizes, [&json!(5.0), &json!(50.0)], "{read:#}");
}

#[test]
fn nonsense_is_refused() {
    run(&["sim", "scale", "--devices", "0"]).refused(2, &["0 devices"]);
    run(&["sim", "scale", "--devices", "1e10"]).refused(2, &["devices", "1000000000"]);
    run(&["sim", "scale", "--devices", "many"]).refused(2, &["1000,50000,1e6"]);
    run(&["sim", "scale", "--committee", "129"]).refused(2, &["committee", "128"]);
    run(&["sim", "scale", "--period", "0s"]).refused(2, &["period"]);
    run(&["sim", "scale", "--up-share", "NaN"]).refused(2, &["share of readings"]);
    run(&["sim", "scale", "--cores=-1"]).refused(2, &["cores"]);
    run(&["sim", "scale", "--all", "--devices", "5"]).refused(2, &["--all"]);
    run(&["sim", "scale", "--bench", "Cargo.toml"]).refused(2, &["wattle bench dag --json"]);
}
