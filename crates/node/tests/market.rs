//! The market, as a newcomer runs it: everybody is served and paid, every cheat is refused, every coin is accounted for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use support::{Ran, get, wattle};

#[test]
fn the_market_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    let ran: Ran = wattle()
        .args(["demo", "market", "--exit", "--json", "--seconds", "5", "--dir"])
        .arg(dir.path().join("market"))
        .output()
        .unwrap()
        .into();
    let report = ran.json();
    assert_eq!(report["problems"], serde_json::json!([]), "{report:#}");
    assert_eq!((&report["nodes"], &report["needed"]), (&8.into(), &6.into()));
    assert_eq!(report["readings_published"], report["readings_acknowledged"]);
    assert_eq!(report["espressos"], 16, "{report:#}");
    assert_eq!(report["conserved"], true, "{report:#}");
    for times in ["certified_ms", "final_ms"] {
        assert_eq!(report[times].as_array().unwrap().len(), 16, "{report:#}");
    }
    let refused = report["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 7, "{report:#}");
    for what in ["double spend", "replay of", "overspend", "votes of another", "signed itself", "too few", "second time"] {
        let met = refused.iter().find(|r| r["what"].as_str().unwrap().contains(what)).expect(what);
        assert!(met["held"] == true && !met["reason"].as_str().unwrap().is_empty(), "{met}");
    }
    for wallet in report["wallets"].as_array().unwrap() {
        assert!(wallet["spends"].as_u64().unwrap() >= 2, "{wallet}");
    }
    for node in report["http"].as_array().unwrap() {
        assert!(get(node.as_str().unwrap(), "/healthz").is_none(), "a node outlived the demo");
    }
}
