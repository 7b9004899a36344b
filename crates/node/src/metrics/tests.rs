#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::row::{Kind, Row};
use super::surroundings::Disk;
use super::table::TABLE;
use super::*;
use crate::exchange::ExchangeStats;
use crate::spends::SpendCounts;
use mqtt::sn::GatewayStats;
use protocol::{Id, PublicKey};
use replica::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

fn status() -> Status {
    Status {
        key: PublicKey([1; 32]),
        height: 7,
        digest: Id([0; 32]),
        milestone_ms: 1_500,
        state_root: Id([0; 32]),
        epoch: 2,
        committee: vec![PublicKey([1; 32]), PublicKey([2; 32])],
        validator: true,
        cut_off: false,
        orders_refused: 6,
        messages: 9,
        readings: 90,
        issued: 3,
        peers: 3,
        tips: 2,
        unconfirmed: 1,
        pending: 0,
        wanted: 0,
        equivocations: 0,
        refused: 5,
        refusals: [("work", 2), ("rate", 3), ("future", 0)].into(),
        pulled: 0,
        votes_cast: 11,
        spends_certified: 12,
        spends_final: 10,
        spends_rejected: 2,
        certificates_issued: 1,
    }
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l == *line), "no line {line:?} in\n{text}");
    }
}

#[test]
fn ours_come_first_and_the_engine_s_follow() {
    let metrics = Metrics::new();
    let mut status = status();
    metrics.latency().observe(0.012);
    metrics.spend_latencies().iter().for_each(|seconds| seconds.observe(0.3));
    let text = metrics.render(&Scrape { ledger: Some(&status), ..Scrape::default() }, "# HELP x y\n# TYPE x gauge\nx 1\n# EOF\n");
    has(
        &text,
        &[
            "wattle_milestone_height 7",
            "wattle_milestone_timestamp_seconds 1.5",
            "wattle_committee_size 2",
            "wattle_validator 1",
            "wattle_cut_off 0",
            "wattle_orders_refused_total 6",
            "# TYPE wattle_readings_total counter",
            "wattle_readings_total 90",
            "wattle_reading_latency_seconds_bucket{le=\"0.02\"} 1",
            "wattle_messages_refused_total{reason=\"work\"} 2",
            "wattle_messages_refused_total{reason=\"future\"} 0",
            "wattle_spends_total{status=\"certified\"} 12",
            "wattle_votes_cast_total 11",
            "wattle_spend_certified_seconds_count 1",
            "wattle_spend_final_seconds_bucket{le=\"0.5\"} 1",
            "x 1",
        ],
    );
    assert!(text.find("wattle_tips").unwrap() < text.find("\nx 1").unwrap());
    assert!(text.contains("wattle_build_info{version=\"") && !text.contains("# EOF"), "{text}");
    status.messages = 4;
    let text = metrics.render(&Scrape { ledger: Some(&status), ..Scrape::default() }, "");
    has(&text, &["wattle_messages_total 9"]); // a counter does not fall
}

#[test]
fn every_part_is_copied_and_gone_labels_go() {
    let metrics = Metrics::new();
    let mut gateway = GatewayStats { clients: 3, retries: 2, ..GatewayStats::default() };
    gateway.refused.insert("congestion", 4);
    let exchange = ExchangeStats { issued: 3, held: 2, away: 1, ..ExchangeStats::default() };
    let coins = ledger::Coins { funded: 3, redeemed: 1, minted: 7, circulating: 2_000_007, registered: 9 };
    let spends = SpendCounts { locked: 2, ..SpendCounts::default() };
    let wallets = [1u8, 2].map(|n| WalletBalance { wallet: PublicKey([n; 32]), account: u64::from(n), purse_units: 2_500_000 });
    let surroundings =
        Surroundings { disk: Some(Disk { free_bytes: 5, size_bytes: 10 }), certificates: vec![("broker.certificate", 1_924_992_000)] };
    let text = metrics.render(
        &Scrape {
            gateway: Some(&gateway),
            exchange: Some(&exchange),
            spends: Some(&spends),
            coins: Some(&coins),
            wallets: Some(&wallets),
            surroundings: Some(&surroundings),
            ..Scrape::default()
        },
        "",
    );
    has(
        &text,
        &[
            "wattle_mqttsn_clients 3",
            "wattle_mqttsn_retries_total 2",
            "wattle_mqttsn_refused_total{reason=\"congestion\"} 4",
            "wattle_requests_issued_total 3",
            "wattle_roaming_devices_away 1",
            "wattle_spends_total{status=\"locked\"} 2",
            "wattle_coins_funded_dcoin_total 3.0",
            "wattle_coins_circulating_dcoin 2.000007",
            "wattle_spends_registered_total 9",
            "wattle_disk_free_bytes 5",
            "wattle_certificate_expiry_timestamp_seconds{certificate=\"broker.certificate\"} 1924992000.0",
        ],
    );
    let balance =
        |n: &str, part: &str, is: &str| format!("wattle_wallet_balance_dcoin{{wallet=\"{}\",part=\"{part}\"}} {is}", n.repeat(32));
    has(&text, &[balance("01", "account", "1.0").as_str(), balance("02", "purse", "2.5").as_str()]);
    let text = metrics.render(&Scrape { wallets: Some(&wallets[..1]), ..Scrape::default() }, "");
    assert!(text.contains(&"01".repeat(32)) && !text.contains(&"02".repeat(32)), "{text}");
    let many: Vec<WalletBalance> = (0..=255u8).map(|n| WalletBalance { wallet: PublicKey([n; 32]), account: 0, purse_units: 0 }).collect();
    let text = metrics.render(&Scrape { wallets: Some(&many), ..Scrape::default() }, "");
    assert_eq!(text.matches("wattle_wallet_balance_dcoin{").count(), 2 * WALLETS_TOLD_MAX);
}

/// METRIC-1: every row is told, once, as what the table says it is.
#[test]
fn the_table_is_what_is_told() {
    let text = Metrics::new().render(&Scrape::default(), "");
    for row in TABLE.iter().filter(|row| !row.of_parts()) {
        let line = format!("# TYPE {} {}", row.full_name(), row.kind.word());
        assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}");
    }
    let described = text.lines().filter(|l| l.starts_with("# TYPE ")).count();
    assert_eq!(described, TABLE.iter().filter(|row| !row.of_parts()).count());
}

/// METRIC-2: Prometheus' conventions for names, and a help that is a sentence without its stop (the encoder adds it).
#[test]
fn names_keep_the_conventions() {
    let mut seen = BTreeSet::new();
    for Row { name, kind, labels, help, .. } in TABLE {
        assert!(seen.insert(*name), "{name} is there twice");
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(plain(name) && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('_'), "{name}");
        assert!(!name.contains("__") && !name.starts_with("wattle"), "{name}");
        for wrong in ["_total", "_count", "_sum", "_bucket"] {
            assert!(!name.ends_with(wrong), "{name}: {wrong} is added for it");
        }
        for word in name.split('_') {
            let no_base =
                ["ms", "us", "ns", "milliseconds", "microseconds", "minutes", "hours", "kb", "mb", "kilobytes", "percent", "units"];
            assert!(!no_base.contains(&word), "{name}: base units only (seconds, bytes, dcoin)");
        }
        for unit in ["seconds", "bytes", "dcoin"] {
            assert!(!name.contains(unit) || name.ends_with(unit), "{name}: the unit comes last");
        }
        assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}: what its buckets are in");
        assert!(labels.iter().all(|label| plain(label) && *label != "le"), "{name}: {labels:?}");
        assert!(help.len() > 10 && !help.ends_with('.') && !help.contains('\n') && !help.contains('|'), "{name}: {help:?}");
        assert!(help.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()), "{name}: {help:?}");
    }
}

/// What `docs/metrics.md` has to say.
fn document() -> String {
    let mut text = "# Metrics\n\nEvery metric at `/metrics`, as Prometheus reads it. This page is made from the table in\n\
        `crates/node/src/metrics/table.rs`; a test says when it differs, and `WATTLE_WRITE_DOCS=1 cargo test -p node metrics` writes it anew.\n\
        Counters begin at zero when the process starts, but for those that say \"ever\". A histogram `x` has `x_bucket`, `x_sum` and `x_count`.\n\
        Behind these come the engine's own metrics, whose names are not ours to promise.\n\n\
        Dashboard: `ops/grafana/wattle.json`. Alerts: `ops/prometheus/alerts.yml`. How to use both: [operating.md](operating.md).\n"
        .to_owned();
    let mut section = "";
    for row in TABLE {
        if row.section != section {
            section = row.section;
            let _ = write!(text, "\n## {section}\n| name | kind | labels | what |\n|---|---|---|---|\n");
        }
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", row.full_name(), row.kind.word(), labels.join(", "), row.help);
    }
    text
}

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// METRIC-3
#[test]
fn the_documentation_is_the_table() {
    let path = project("docs/metrics.md");
    if std::env::var_os("WATTLE_WRITE_DOCS").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written,
        document(),
        "docs/metrics.md differs from the table: WATTLE_WRITE_DOCS=1 cargo test -p node metrics writes it anew"
    );
}

/// METRIC-4: what dashboards, alerts and the handbook name is in the table.
#[test]
fn dashboards_and_alerts_ask_for_what_there_is() {
    let rows: BTreeMap<String, Kind> = TABLE.iter().map(|row| (row.full_name(), row.kind)).collect();
    for file in ["ops/grafana/wattle.json", "ops/prometheus/alerts.yml", "docs/operating.md"] {
        let text = std::fs::read_to_string(project(file)).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("wattle_") && !word.ends_with('_')) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            let known = rows.contains_key(word) || of_histogram.is_some_and(|name| rows.get(name) == Some(&Kind::Histogram));
            assert!(known, "{file} names {word}, which there is not");
        }
    }
}
