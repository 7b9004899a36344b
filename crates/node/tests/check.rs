//! `wattle check` finds what has changed on disk, whichever file it is in, and calls a sound directory sound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Net, Ran, copy_tree, table, wattle};

/// The tables of the ledger whose every record must be checked.
const TABLES: [&str; 5] = ["messages", "payloads", "cuts", "confirmations", "history"];

fn check(node: &Path) -> (Ran, Value) {
    let ran: Ran = wattle().arg("check").arg(node).arg("--json").output().expect("the program cannot be started").into();
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("no report ({e}): {ran:#?}"));
    (ran, report)
}

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// Flips a bit in the middle of what was written into `file`; the rest may be room that nothing uses yet.
fn spoil(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).expect("the file holds something");
    let at = (end / 2..=end).find(|at| bytes[*at] != 0).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Changes one byte of the first place where `what` stands.
fn spoil_at(file: &Path, what: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(what.len()).position(|w| w == what).expect("it stands in the file");
    bytes[at + what.len() / 2] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// The files of the ledger that hold something. What consensus has certified but marshal not yet archived is
/// a cache of the last moments, whose values nothing needs.
fn ledger_files(node: &Path) -> Vec<PathBuf> {
    let cache = |file: &PathBuf| file.to_string_lossy().contains("marshal-cache-cache") && file.to_string_lossy().contains("-value");
    let written = |file: &PathBuf| fs::metadata(file).unwrap().len() > 4096;
    files(&node.join("data/ledger")).into_iter().filter(|f| written(f) && !cache(f)).collect()
}

#[test]
fn a_flipped_bit_in_any_kind_of_file_is_found() {
    let mut net = Net::running(1);
    let rows = net.dir.path().join("table.csv");
    let names = table(&rows, 400);
    net.replay(&rows, &["--rate", "400"]);
    net.wait_confirmed(400);
    net.wait_reading(&names[123]);
    let topic = names[123].split('@').next().unwrap();
    net.stop(1);
    let node = net.node_dir(1);

    let (ran, report) = check(&node);
    assert_eq!(report["damages"], serde_json::json!([]));
    assert_eq!((report["sound"].as_bool(), ran.code), (Some(true), 0));
    assert_eq!(report["index_readings"], 400);
    assert!(report["messages"].as_u64().unwrap() > 0 && report["milestones"].as_u64().unwrap() > 0, "{report:#}");

    let found = |what: &str, spoil: &dyn Fn(&Path)| {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&node, copy.path());
        spoil(copy.path());
        let (ran, report) = check(copy.path());
        let damages = report["damages"].as_array().unwrap();
        assert!(!damages.is_empty(), "a flipped bit in {what} was not found: {ran:#?}");
        for part in ["what", "at", "what_to_do"] {
            assert!(damages[0][part].as_str().is_some_and(|t| !t.is_empty()), "{report:#}");
        }
        ran.refused(1, &["damages found"]);
    };
    found("the site's log", &|node: &Path| {
        let segment = files(&node.join("data/log")).into_iter().find(|f| f.extension().is_some_and(|e| e == "log")).unwrap();
        spoil(&segment);
    });
    let all = ledger_files(&node);
    for table in TABLES {
        assert!(all.iter().any(|f| f.to_string_lossy().contains(&format!("-{table}-value"))), "the ledger has no table {table}");
    }
    for file in all {
        let name = file.strip_prefix(&node).unwrap().to_owned();
        found(&name.display().to_string(), &|node: &Path| spoil(&node.join(&name)));
    }
    found("the index", &|node: &Path| {
        let file = node.join("data/index.sqlite");
        let connection = rusqlite::Connection::open(&file).unwrap();
        let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |r| r.get(0)).unwrap();
        assert_eq!(mode, "delete");
        drop(connection);
        spoil_at(&file, topic.as_bytes());
    });
    found("where the index finds ids", &|node: &Path| {
        let connection = rusqlite::Connection::open(node.join("data/index.sqlite")).unwrap();
        connection.execute("UPDATE drawers SET entries = zeroblob(length(entries))", []).unwrap();
    });
    found("the network's id", &|node: &Path| spoil(&node.join("data/network")));

    // looking changed nothing: the node goes on where it was
    net.start(1);
    net.wait_ready(1);
    net.wait_confirmed(400);
    let ran: Ran = wattle().arg("check").arg(&node).output().unwrap().into();
    ran.refused(2, &["in use by another wattle process"]);
}
