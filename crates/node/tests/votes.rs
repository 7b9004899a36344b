//! The model of `wattle sim votes` beside the software: the same machine, the same build, one after the other.
//!
//! A file of its own, so that no other test of it runs beside: what is compared is time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::run;

/// By how much model and software may differ, either way. The model leaves out what milestones take meanwhile; of a release build
/// on the two cores of the development machine the software took 1.2 times as long with 4 voters, 1.7 times with 8.
const FACTOR: f64 = 3.0;
/// How often all is measured before the model is wrong: the machine may have had other things to do.
const ATTEMPTS: usize = 3;

/// Runs a bench and keeps what it printed.
fn bench(dir: &Path, file: &str, arguments: &[&str]) -> PathBuf {
    let path = dir.join(file);
    let printed = run(&[["bench"].as_slice(), arguments, ["--runs", "1", "--json"].as_slice()].concat()).ok();
    fs::write(&path, printed).unwrap();
    path
}

/// By 4 and 8 voters: what the software took over what the model says, medians and means of many rounds over links of 1.5 ms.
fn ratios() -> Vec<(u64, f64)> {
    let dir = tempfile::tempdir().unwrap();
    let mut files = vec![
        bench(dir.path(), "vote.json", &["vote", "--nodes", "4", "--votes", "1", "--samples", "0"]),
        bench(dir.path(), "dag.json", &["dag", "--nodes", "4", "--seconds", "2", "--warm-up", "1"]),
    ];
    for nodes in ["4", "8"] {
        let load = ["certificates", "--nodes", nodes, "--latency-ms", "1.5", "--wallets", "1", "--chain", "1", "--requests", "60"];
        files.push(bench(dir.path(), &format!("certificates-{nodes}.json"), &load));
    }
    let mut line = vec!["sim", "votes", "--voters", "4,8", "--link", "1.5ms", "--json"];
    for file in &files {
        line.extend(["--bench", file.to_str().unwrap()]);
    }
    let object = run(&line).json();
    assert_eq!(object["benches_given"].as_array().unwrap().len(), 3, "{object:#}");
    let ratio = |row: &Value| {
        let software = row["measured"]["certified_p50_ms"].as_f64().unwrap();
        let model = row["latency_ms"]["ours_one_machine"]["mean"].as_f64().unwrap();
        assert!(software > 3.0 && model > 3.0, "a round is two turns of 1.5 ms at least: {row:#}");
        (row["voters"].as_u64().unwrap(), software / model)
    };
    object["rows"].as_array().unwrap().iter().map(ratio).collect()
}

#[test]
fn the_model_of_votes_is_within_its_factor_of_the_software() {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let ratios = ratios();
        assert_eq!(ratios.iter().map(|(voters, _)| *voters).collect::<Vec<_>>(), [4, 8]);
        if ratios.iter().all(|(_, ratio)| (1.0 / FACTOR..=FACTOR).contains(ratio)) {
            return;
        }
        seen.push(ratios);
    }
    panic!("software over model, by voters, each time that it was measured: {seen:?}");
}
