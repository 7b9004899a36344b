//! What was measured, answered and checked, as tables and as JSON.

use super::check::{Checked, latency_p99_ms};
use super::measure::Measured;
use crate::bench::describe;
use crate::cli::output::{table, thousands};
use serde_json::{Map, Value, json};
use sim::capacity::Answer;
use std::path::PathBuf;
use std::time::Duration;

/// Written where there is nothing.
const NONE: &str = "-";

/// All there is to tell.
#[derive(Debug)]
pub(super) struct Report {
    /// Share of each measured part that may be used.
    pub(super) margin: f64,
    /// Whether devices sign.
    pub(super) signed: bool,
    /// Whether it was measured in a hurry.
    pub(super) quick: bool,
    /// Where the disk was measured.
    pub(super) place: PathBuf,
    /// The figures.
    pub(super) measured: Measured,
    /// The answers, by period.
    pub(super) answers: Vec<Answer>,
    /// The check, if there was one.
    pub(super) checked: Option<Checked>,
}

/// For people.
pub(super) fn shown(report: &Report) -> String {
    let mut parts = vec![figures(report), answers(report), summary(report)];
    if report.quick {
        parts.push("Measured in a hurry (--quick): nothing to plan by.".to_owned());
    }
    parts.join("\n\n")
}

fn figures(report: &Report) -> String {
    let Measured { signatures, hashing, disk, broker, messages_per_second, cores, memory_bytes, files } = &report.measured;
    let us = |us: f64| format!("{us:.1} µs");
    let rate = |number: f64, of: &str| format!("{} {of}/s", thousands(rounded(number)));
    let megabytes = |bytes: f64| format!("{} MB/s", thousands(rounded(bytes / 1e6)));
    let rows = [
        ("sign a message", us(signatures.sign_us)),
        ("verify a signature", format!("{}, {} with 63 others", us(signatures.verify_us), us(signatures.verify_batched_us))),
        ("SHA-256", megabytes(hashing.sha256_bytes_per_second)),
        ("BLAKE3", megabytes(hashing.blake3_bytes_per_second)),
        ("hash and encode a reading in a batch", us(hashing.seal_us)),
        ("durable commit of one publish", format!("{:.2} ms", disk.alone_ms)),
        (
            "durable commits of many",
            format!("{} in {}", rate(disk.readings_per_second, "readings"), rate(disk.commits_per_second, "commits")),
        ),
        ("publishes at QoS 1, ledger included", rate(broker.publishes_per_second, "publishes")),
        ("processor time of a reading", format!("{} of {cores} cores", us(broker.cpu_us))),
        ("memory of a connection", format!("{:.1} KB", broker.connection_bytes / 1e3)),
        ("messages that a ledger of one node admits", rate(*messages_per_second, "messages")),
        ("memory available", memory_bytes.map_or_else(|| NONE.to_owned(), |bytes| format!("{} MB", thousands(bytes / 1_000_000)))),
        ("open files", files.map_or_else(|| "no limit".to_owned(), thousands)),
    ];
    table(&["measured on this host", ""], rows.into_iter().map(|(what, figure)| vec![what.to_owned(), figure]).collect())
}

fn answers(report: &Report) -> String {
    let row = |answer: &Answer| {
        let limit = answer.limited_by.map_or_else(|| NONE.to_owned(), str::to_owned);
        vec![
            period(answer.period),
            thousands(answer.devices),
            format!("{:.1}", answer.readings_per_second),
            limit,
            fullest(answer),
            thousands(answer.hubs_per_node),
        ]
    };
    let header = ["a reading each", "devices", "readings/s", "limited by", "most used", "hubs per node"];
    table(&header, report.answers.iter().map(row).collect())
}

/// The parts that are used most, as shares in percent.
fn fullest(answer: &Answer) -> String {
    /// How many of them are shown.
    const SHOWN: usize = 3;
    let mut parts = answer.utilisation.clone();
    parts.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown = parts.iter().take(SHOWN).map(|(name, share)| format!("{name} {:.0} %", share * 100.0));
    shown.collect::<Vec<_>>().join(", ")
}

fn summary(report: &Report) -> String {
    let percent = report.margin * 100.0;
    let signed = if report.signed { "sign" } else { "do not sign" };
    let mut text = format!(
        "No measured part is used beyond {percent:.0} %. Devices {signed} their readings. A hub is a site with as many devices; a node \
         admits the messages of all."
    );
    match &report.checked {
        Some(checked) => text.push_str(&check(checked)),
        None => text.push_str("\nNothing was checked."),
    }
    text
}

fn check(checked: &Checked) -> String {
    let Checked { probe, faults, .. } = checked;
    let count = |name: &str| thousands(checked.figures.get(name).and_then(Value::as_u64).unwrap_or_default());
    let latency = latency_p99_ms(&checked.figures).map_or_else(|| NONE.to_owned(), |ms| format!("{ms:.1} ms"));
    let mut text = format!(
        "\nChecked, for a period of {}: {} devices, a reading each {}, {:.0} readings/s: {} of {} acknowledged, {} confirmed, 99 of 100 \
         within {latency}.",
        period(checked.period),
        thousands(u64::from(probe.devices)),
        period(probe.interval),
        probe.readings_per_second(),
        count("readings_acknowledged"),
        thousands(probe.readings_in_all()),
        count("readings_confirmed"),
    );
    text.push_str(if checked.held() { " It held." } else { " It did not hold: " });
    text.push_str(&faults.join("; "));
    text
}

/// A time as people type it.
fn period(period: Duration) -> String {
    let (ms, s) = (period.as_millis(), period.as_secs());
    match ms {
        _ if !ms.is_multiple_of(1_000) => format!("{ms} ms"),
        _ if s >= 3_600 && s.is_multiple_of(3_600) => format!("{} h", s / 3_600),
        _ if s > 60 && s.is_multiple_of(60) => format!("{} min", s / 60),
        _ => format!("{s} s"),
    }
}

fn rounded(number: f64) -> u64 {
    Duration::try_from_secs_f64(number.round()).map_or(0, |whole| whole.as_secs())
}

/// For programs.
pub(super) fn object(report: &Report, took: Duration) -> Value {
    json!({
        "machine": describe(),
        "margin": report.margin,
        "signed": report.signed,
        "quick": report.quick,
        "directory": report.place,
        "measured": measured(&report.measured),
        "answers": report.answers.iter().map(answer).collect::<Vec<_>>(),
        "check": report.checked.as_ref().map(checked),
        "seconds": took.as_secs_f64(),
    })
}

fn measured(measured: &Measured) -> Value {
    let Measured { signatures, hashing, disk, broker, .. } = measured;
    json!({
        "sign_us": signatures.sign_us,
        "verify_us": signatures.verify_us,
        "verify_batched_us": signatures.verify_batched_us,
        "sha256_bytes_per_second": hashing.sha256_bytes_per_second,
        "blake3_bytes_per_second": hashing.blake3_bytes_per_second,
        "hashing_us_per_reading": hashing.seal_us,
        "commit_ms": disk.alone_ms,
        "commits_per_second": disk.commits_per_second,
        "committed_readings_per_second": disk.readings_per_second,
        "publishes_per_second": broker.publishes_per_second,
        "cpu_us_per_reading": broker.cpu_us,
        "bytes_per_connection": broker.connection_bytes,
        "admitted_messages_per_second": measured.messages_per_second,
        "cores": measured.cores,
        "memory_available_bytes": measured.memory_bytes,
        "open_files": measured.files,
    })
}

fn answer(answer: &Answer) -> Value {
    let shares: Map<String, Value> = answer.utilisation.iter().map(|(name, share)| ((*name).to_owned(), json!(share))).collect();
    json!({
        "period_s": answer.period.as_secs_f64(),
        "devices": answer.devices,
        "readings_per_second": answer.readings_per_second,
        "messages_per_second": answer.messages_per_second,
        "limited_by": answer.limited_by,
        "utilisation": shares,
        "hubs_per_node": answer.hubs_per_node,
    })
}

fn checked(checked: &Checked) -> Value {
    json!({
        "period_s": checked.period.as_secs_f64(),
        "devices": checked.probe.devices,
        "interval_ms": checked.probe.interval.as_secs_f64() * 1e3,
        "readings_per_device": checked.probe.readings,
        "planned_readings_per_second": checked.probe.readings_per_second(),
        "latency_max_ms": checked.latency_max.as_secs_f64() * 1e3,
        "held": checked.held(),
        "faults": checked.faults,
        "figures": checked.figures,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::check::tests::checked as sample_check;
    use super::super::measure::tests::sample;
    use super::*;

    fn report(checked: Option<Checked>) -> Report {
        let measured = sample();
        let host = measured.host(Duration::from_millis(5), false);
        let answers = [1, 900].map(|s| host.answer(Duration::from_secs(s), 0.5).unwrap()).to_vec();
        Report { margin: 0.5, signed: false, quick: false, place: PathBuf::from("/var/lib"), measured, answers, checked }
    }

    #[test]
    fn people_are_told_what_limits_and_whether_it_held() {
        let text = shown(&report(Some(sample_check(json!({})))));
        for part in ["10 000", "broker", "15 min", "20 000", "open files", "It held.", "2 000 of 2 000 acknowledged", "beyond 50 %"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let text = shown(&report(Some(sample_check(json!({ "connections_lost": 2 })))));
        assert!(text.contains("It did not hold: 2 connections were lost"), "{text}");
        let text = shown(&Report { quick: true, ..report(None) });
        assert!(text.contains("Nothing was checked.") && text.contains("nothing to plan by"), "{text}");
    }

    #[test]
    fn programs_are_told_the_same() {
        let object = object(&report(Some(sample_check(json!({})))), Duration::from_secs(30));
        assert_eq!(object.pointer("/answers/0/devices"), Some(&json!(10_000)));
        assert_eq!(object.pointer("/answers/0/limited_by"), Some(&json!("broker")));
        assert_eq!(object.pointer("/answers/1/utilisation/open files"), Some(&json!(1.0)));
        assert_eq!(object.pointer("/check/held"), Some(&json!(true)));
        assert_eq!(object.pointer("/measured/open_files"), Some(&json!(20_512)));
    }

    #[test]
    fn times_are_as_people_type_them() {
        let shown = [250, 1_000, 60_000, 90_000, 120_000, 900_000, 3_600_000].map(|ms| period(Duration::from_millis(ms)));
        assert_eq!(shown, ["250 ms", "1 s", "60 s", "90 s", "2 min", "15 min", "1 h"]);
    }
}
