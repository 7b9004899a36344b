//! `wattle capacity` as people type it, with little effort: that it measures, answers, and really runs what it answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use support::{Ran, run};

fn figure(object: &Value, name: &str) -> f64 {
    object[name].as_f64().unwrap_or_else(|| panic!("no figure {name} in {object:#}"))
}

#[test]
fn a_host_is_measured_and_one_point_of_the_answer_is_run() {
    let data = tempfile::tempdir().unwrap();
    let place = data.path().to_str().unwrap();
    // whether a slow machine is slow is not what is tested here
    let report =
        run(&["capacity", "--quick", "--json", "--period", "2s,30m", "--latency", "1h", "--margin", "0.2", "--data", place]).json();
    assert_eq!((&report["margin"], &report["quick"], &report["directory"]), (&json!(0.2), &json!(true), &json!(place)));
    let measured = &report["measured"];
    for name in [
        "sign_us",
        "verify_us",
        "verify_batched_us",
        "sha256_bytes_per_second",
        "blake3_bytes_per_second",
        "hashing_us_per_reading",
        "commit_ms",
        "commits_per_second",
        "committed_readings_per_second",
        "publishes_per_second",
        "admitted_messages_per_second",
        "cores",
        "memory_available_bytes",
    ] {
        assert!(figure(measured, name) > 0.0, "{name} in {measured:#}");
    }
    // a commit of many holds more than one
    assert!(figure(measured, "committed_readings_per_second") > figure(measured, "commits_per_second"), "{measured:#}");

    let answers = report["answers"].as_array().unwrap();
    let periods: Vec<f64> = answers.iter().map(|answer| figure(answer, "period_s")).collect();
    assert_eq!(periods, [1.0, 2.0, 10.0, 60.0, 900.0, 1_800.0, 3_600.0]);
    for pair in answers.windows(2) {
        assert!(figure(&pair[0], "devices") <= figure(&pair[1], "devices"), "{answers:#?}");
    }
    for answer in answers {
        let limit = answer["limited_by"].as_str().unwrap_or_else(|| panic!("nothing limits {answer:#}"));
        let used = &answer["utilisation"];
        // what limits is used as far as it may be, but for less than one device
        let bound = if limit == "open files" { 1.0 } else { 0.2 };
        let share = figure(used, limit);
        assert!(share <= bound + 1e-9, "{answer:#}");
        let devices = figure(answer, "devices");
        assert!(devices >= 1.0 && share * (devices + 1.0) / devices >= bound - 1e-9, "{answer:#}");
        assert!(figure(answer, "hubs_per_node") >= 1.0, "{answer:#}");
    }

    // the first period that was asked for is the one that is run
    let check = &report["check"];
    assert_eq!((&check["period_s"], &check["held"], &check["faults"]), (&json!(2.0), &json!(true), &json!([])), "{check:#}");
    let (devices, readings) = (check["devices"].as_u64().unwrap(), check["readings_per_device"].as_u64().unwrap());
    assert!((1..=50).contains(&devices) && readings >= 2, "{check:#}");
    let figures = &check["figures"];
    for name in ["readings_sent", "readings_acknowledged", "readings_confirmed"] {
        assert_eq!(figures[name], devices * readings, "{name} in {check:#}");
    }
    assert_eq!((&figures["connections_held"], &figures["readings_lost"]), (&json!(devices), &json!(0)), "{check:#}");
    let latency = &figures["latency_ms"];
    assert!(figure(latency, "p50") > 0.0 && figure(latency, "p50") <= figure(latency, "p99"), "{check:#}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "it left something behind");
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_measured() {
    assert!(run(&["capacity", "--help"]).ok().contains("Examples:"));
    run(&["capacity", "--period", "0s"]).refused(2, &["--period", "above 0"]);
    run(&["capacity", "--period", "soon"]).refused(2, &["--period"]);
    run(&["capacity", "--margin", "0"]).refused(2, &["--margin", "0.5"]);
    run(&["capacity", "--margin", "2"]).refused(2, &["--margin", "at most 1"]);
    run(&["capacity", "--check-devices-max", "0"]).refused(2, &["--check-devices-max"]);

    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    for place in [file, data.path().join("nowhere")] {
        let place = place.to_str().unwrap();
        run(&["capacity", "--quick", "--data", place]).refused(2, &[place, "--data"]);
    }

    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 128 && exec \"$0\" capacity --quick", env!("CARGO_BIN_EXE_wattle")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran::from(limited).refused(2, &["open files", "128 are allowed", "ulimit"]);
}
