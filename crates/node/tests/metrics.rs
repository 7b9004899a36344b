//! What a running node tells Prometheus: every query of the dashboard and of the alerts finds what it asks for (METRIC-5), in a
//! format that Prometheus' own tool accepts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[allow(dead_code)] // every test file uses another part of it
#[path = "support/parts.rs"]
mod parts;
mod support;

use parts::Apart;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::{CONFIRM_TIMEOUT, Net, get, installed, table, until};

/// Everything at `/metrics` of one process: kinds by name, and the names that have samples.
struct Told {
    text: String,
    kinds: BTreeMap<String, String>,
    samples: BTreeSet<String>,
}

fn told(url: &str) -> Told {
    let (code, text) = get(url, "/metrics").expect("it answers");
    assert_eq!(code, 200);
    let kinds =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split_once(' ')).map(|(n, k)| (n.to_owned(), k.to_owned())).collect();
    let sample = |line: &str| (!line.starts_with('#')).then(|| line.split(['{', ' ']).next().unwrap_or_default().to_owned());
    Told { kinds, samples: text.lines().filter_map(sample).collect(), text }
}

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Every `expr` of the dashboard, with the panel's title.
fn dashboard() -> Vec<(String, String)> {
    let json: Value = serde_json::from_str(&std::fs::read_to_string(project("ops/grafana/wattle.json")).unwrap()).unwrap();
    let mut found = Vec::new();
    for panel in json["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().expect("each panel has a title").to_owned();
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((title.clone(), target["expr"].as_str().expect("each target has a query").to_owned()));
        }
    }
    assert!(found.len() > 30, "the dashboard is there: {found:?}");
    found
}

/// The metrics in a query, each with the function right before it.
fn asked(expr: &str) -> Vec<(String, String)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expr.match_indices("wattle_") {
        let name: String = expr[at..].chars().take_while(|c| word(*c)).collect();
        let before = expr[..at].strip_suffix('(').unwrap_or_default();
        let function: String = before.chars().rev().take_while(|c| word(*c)).collect::<Vec<_>>().into_iter().rev().collect();
        found.push((name, function));
    }
    found
}

/// Asserts that the query asks for what is told, in a way that fits its kind.
fn fits(what: &str, expr: &str, kinds: &BTreeMap<String, String>) {
    for (name, function) in asked(expr) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let kind = kinds.get(&name).or_else(|| kinds.get(base).filter(|kind| *kind == "histogram"));
        let kind = kind.unwrap_or_else(|| panic!("{what} asks for {name}, which nobody tells: {expr}"));
        let counts = kind == "counter" || kind == "histogram";
        let milestones = name == "wattle_milestone_height"; // it only grows, too
        assert!(
            counts || milestones || !["rate", "increase", "irate"].contains(&function.as_str()),
            "{what}: {function} of the gauge {name}"
        );
    }
}

#[test]
fn a_query_is_taken_apart() {
    let found = asked("sum by (le) (rate(wattle_a_seconds_bucket{x=\"y\"}[5m])) / wattle_b");
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(found, [pair("wattle_a_seconds_bucket", "rate"), pair("wattle_b", "")]);
}

#[test]
fn every_query_finds_what_it_asks_for() {
    let site = Apart::running(None);
    let node = told(&site.net.http(1));
    let mut kinds = node.kinds.clone();
    for part in [site.broker.as_ref().unwrap(), &site.cache, &site.fog, &site.gateway] {
        kinds.extend(told(&part.url()).kinds);
    }
    for (title, expr) in dashboard() {
        fits(&format!("the panel {title:?}"), &expr, &kinds);
    }
    let alerts = std::fs::read_to_string(project("ops/prometheus/alerts.yml")).unwrap();
    let words = |line: &&str| ["#", "summary:", "todo:"].iter().any(|start| line.trim_start().starts_with(start));
    let mut looked_at = 0;
    for line in alerts.lines().filter(|line| !words(line)) {
        fits("an alert", line, &kinds);
        looked_at += asked(line).len();
    }
    assert!(looked_at > 10, "the alerts ask for {looked_at} metrics");
}

#[test]
fn what_a_busy_node_tells_is_accepted() {
    let net = Net::running(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("table.csv");
    table(&file, 50);
    net.replay(&file, &[]);
    net.wait_confirmed(50);
    let mut told_now = told(&net.http(1));
    until("the site has taken note of what is confirmed", CONFIRM_TIMEOUT, || {
        told_now = told(&net.http(1));
        told_now.text.contains("\nwattle_site_readings_confirmed_total 50\n")
    });
    for name in [
        "wattle_build_info",
        "wattle_start_time_seconds",
        "wattle_disk_free_bytes",
        "wattle_milestone_timestamp_seconds",
        "wattle_messages_refused_total",
        "wattle_wallet_balance_dcoin",
        "wattle_reading_latency_seconds_bucket",
        "wattle_site_readings_confirmed_total",
    ] {
        assert!(told_now.samples.contains(name), "no sample of {name} in\n{}", told_now.text);
    }
    let ours: Vec<&str> = told_now.text.lines().filter(|l| l.split([' ', '{']).any(|word| word.starts_with("wattle_"))).collect();
    let mut seen = BTreeSet::new();
    for series in ours.iter().filter(|l| !l.starts_with('#')) {
        let name = series.rsplit_once(' ').expect("name and value").0;
        assert!(seen.insert(name), "{name} is told twice");
    }
    let Some(promtool) = installed("promtool") else {
        eprintln!("promtool is not installed: what it says of the metrics is passed over");
        return;
    };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all((ours.join("\n") + "\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "promtool: {said}");
}
