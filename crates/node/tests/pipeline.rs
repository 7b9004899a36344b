//! `wattle pipeline`: what it says of good and bad files, and what comes out of recorded data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use std::path::{Path, PathBuf};
use support::run;

const PIPELINES: &str = r#"
[[pipeline]]
name = "power"
match = "plant/+/sense/power"

[[pipeline.stage]]
do = "validate"
max = 100

[[pipeline.stage]]
do = "window"
size_s = 60
emit = ["mean", "count"]

[[pipeline.stage]]
do = "rule"
name = "shed"
only = "power"
on_above = 50
off_below = 40
publish = "+/+/act/shed"
on = true
off = false

[[pipeline]]
name = "lora"
match = "field/+/sense/env"
[pipeline.parse]
format = "cayenne-lpp"
"#;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, impl Fn(&str) -> String + use<>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let root: PathBuf = dir.path().into();
    (dir, move |name| root.join(name).display().to_string())
}

#[test]
fn a_file_is_described_or_refused_with_its_place() {
    let bad = PIPELINES.replace("max = 100", "max = \"100\"");
    let (_dir, path) = folder(&[("good.toml", PIPELINES), ("bad.toml", &bad)]);
    let text = run(&["pipeline", "check", &path("good.toml")]).ok();
    for word in ["power", "plant/+/sense/power", "validate", "rule shed", "cayenne-lpp"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    let json = run(&["pipeline", "check", &path("good.toml"), "--json"]).json();
    assert_eq!(json["pipelines"][0]["stages"], serde_json::json!(["validate", "window", "rule shed"]));
    run(&["pipeline", "check", &path("bad.toml")]).refused(2, &["bad.toml:8:7: ", "finite number"]);
    run(&["pipeline", "check", &path("none.toml")]).refused(2, &["none.toml", "can be read"]);
    run(&["pipeline", "test", &path("bad.toml"), "--input", &path("good.toml")]).refused(2, &["bad.toml:8:7: "]);
}

#[test]
fn publishes_show_what_comes_out() {
    let publishes = "\
{\"topic\":\"plant/m1/sense/power\",\"payload\":\"10\",\"time\":\"2016-08-01T00:00:00Z\"}
{\"topic\":\"root/device/plant/m1/sense/power\",\"payload\":{\"v\":60},\"time\":1470009610000}

{\"payload\":\"999\"}
{\"topic\":\"field/s1/sense/env\",\"hex\":\"03670110\"}
{\"topic\":\"field/s1/sense/env\",\"hex\":\"0367\"}
{\"payload\":\"30\"}
";
    let (_dir, path) = folder(&[("p.toml", PIPELINES), ("d.ndjson", publishes), ("bad.ndjson", "{\"payload\":\"1\"}\n{\"x\":1}\n")]);
    let (file, data) = (path("p.toml"), path("d.ndjson"));
    let arguments: [&str; 7] = ["pipeline", "test", &file, "--input", &data, "--topic", "plant/m1/sense/power"];
    let json = run(&[&arguments[..], &["--json"]].concat()).json();
    let topics =
        |part: &str| json[part].as_array().unwrap().iter().map(|one| one["topic"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        topics("accepted"),
        ["plant/m1/sense/power", "plant/m1/sense/power", "field/s1/sense/env.temperature_3", "plant/m1/sense/power"]
    );
    assert_eq!(topics("derived"), ["plant/m1/sense/power.mean", "plant/m1/sense/power.count"], "{json:#}");
    assert_eq!(json["derived"][1]["value"], 3.0);
    assert_eq!(json["derived"][1]["time_us"], 1_470_009_600_000_000u64);
    let told: Vec<bool> = json["commands"].as_array().unwrap().iter().map(|one| one["value"].as_bool().unwrap()).collect();
    assert_eq!(told, [false, true, false]);
    assert_eq!(topics("rejected"), ["plant/m1/sense/power", "field/s1/sense/env"]);
    assert!(json["rejected"][0]["reason"].as_str().unwrap().contains("999"), "{json:#}");
    let text = run(&arguments).ok();
    for word in ["accepted 4", "derived 2", "commands 3", "rejected 2", "power: shed", "lora: it is not Cayenne LPP"] {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    run(&[&arguments[..], &["--strict"]].concat()).refused(1, &["2 rejected", "d.ndjson"]);
    run(&["pipeline", "test", &file, "--input", &data]).refused(2, &["line 4", "--topic"]);
    run(&["pipeline", "test", &file, "--input", &path("bad.ndjson"), "--topic", "plant/m1/sense/power"]).refused(2, &["line 2", "payload"]);
    run(&["pipeline", "test", &file, "--input", &path("none.csv")]).refused(2, &["none.csv"]);
}

#[test]
fn the_bundled_data_can_be_tried() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/energy/data/readings.csv");
    let days =
        "[[pipeline]]\nname = \"days\"\nmatch = \"z1/+/sense/load\"\n[[pipeline.stage]]\ndo = \"window\"\nsize_s = 86400\nemit = \"sum\"\n";
    let (_dir, path) = folder(&[("days.toml", days)]);
    let json = run(&["pipeline", "test", &path("days.toml"), "--input", &data.display().to_string(), "--json", "--strict"]).json();
    let accepted = json["accepted"].as_array().unwrap();
    let derived = json["derived"].as_array().unwrap();
    assert!(!derived.is_empty() && derived.len() < accepted.len());
    let sum = |readings: &[serde_json::Value], topic: &str| -> f64 {
        readings.iter().filter(|one| one["topic"].as_str().unwrap().ends_with(topic)).map(|one| one["value"].as_f64().unwrap()).sum()
    };
    assert!((sum(accepted, "sense/load") - sum(derived, "sense/load.sum")).abs() < 1e-6);
    assert!(derived.iter().all(|one| one["unit"] == "kWh"));
}
