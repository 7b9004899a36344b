//! Estimates as tables, CSV and JSON.

use super::Outcome;
use crate::cli::output::{table, thousands};
use serde_json::{Map, Value, json};
use sim::scale::{Constants, Estimate, Latency, Settings, Yearly};
use std::fmt::Write as _;

/// Written where there is no number.
const NONE: &str = "-";
/// What a device's count is called in every table.
const DEVICES: &str = "devices";

/// All tables.
pub(super) fn shown(outcome: &Outcome) -> String {
    let estimates = &outcome.estimates;
    let parts = [
        ("Devices fill up sites, sites fill up subnets; parents are a model only", network(estimates)),
        ("Where each part ends, with other devices as they are asked for", ends(outcome)),
        ("Use of the busiest of each part; above 100 % it does not keep up", uses(estimates)),
        ("Processor of a node of the committee with a full site, of all its cores", processors(estimates)),
        ("From publish to confirmation, p50 in ms, by its parts; - if something does not keep up", latencies(estimates)),
        ("Busiest link of each kind, one direction, a second; parents are a model only", links(estimates)),
        ("A node's disk after a year, beside the papers' figures for the readings of its subnet", storage(estimates)),
    ];
    parts.map(|(title, table)| format!("{title}\n{table}")).join("\n\n")
}

fn network(estimates: &[Estimate]) -> String {
    let header =
        [DEVICES, "sites", "subnets", "parents", "readings/s", "in a batch", "messages/s, subnet", "milestones/s", "confirmed", "memory"];
    let row = |one: &Estimate| {
        vec![
            thousands(one.devices),
            thousands(one.shape.sites),
            thousands(one.shape.subnets),
            thousands(one.shape.parents.iter().sum()),
            short(one.readings_per_second),
            format!("{:.1}", one.batch_readings),
            short(one.messages_per_second),
            format!("{:.1}", one.milestones_per_second),
            ms(one.latency.map(|latency| latency.total_ms)),
            bytes(one.memory_bytes),
        ]
    };
    table(&header, estimates.iter().map(row).collect())
}

fn ends(outcome: &Outcome) -> String {
    let end = |devices: Option<u64>| devices.map_or_else(|| "never".to_owned(), thousands);
    let rows = outcome.saturations.iter().map(|one| vec![one.part.name(), end(one.devices)]);
    table(&["part", "keeps up to devices"], rows.collect())
}

/// A table with one row for each number of devices, and these columns.
fn by_devices(estimates: &[Estimate], columns: Vec<String>, cells: impl Fn(&Estimate) -> Vec<String>) -> String {
    let header: Vec<&str> = std::iter::once(DEVICES).chain(columns.iter().map(String::as_str)).collect();
    let row = |one: &Estimate| {
        let mut row = vec![thousands(one.devices)];
        row.extend(cells(one));
        row
    };
    table(&header, estimates.iter().map(row).collect())
}

fn uses(estimates: &[Estimate]) -> String {
    let columns: Option<Vec<String>> = estimates.first().map(|one| one.utilisations.iter().map(|one| one.part.name()).collect());
    by_devices(estimates, columns.unwrap_or_default(), |one| one.utilisations.iter().map(|one| percent(one.used)).collect())
}

fn processors(estimates: &[Estimate]) -> String {
    let columns = ["broker, log, index", "anchoring", "admission", "milestones", "all"].map(str::to_owned).to_vec();
    by_devices(estimates, columns, |one| {
        let part = &one.processor;
        [part.site, part.anchoring, part.admission, part.milestones, part.total()].map(percent).to_vec()
    })
}

fn latencies(estimates: &[Estimate]) -> String {
    let columns = latency_parts(None).into_iter().map(|(name, _)| name.trim_end_matches("_ms").replace('_', " ")).collect();
    by_devices(estimates, columns, |one| latency_parts(one.latency.as_ref()).into_iter().map(|(_, value)| ms(value)).collect())
}

fn links(estimates: &[Estimate]) -> String {
    let columns: Option<Vec<String>> = estimates.first().map(|one| one.flows.iter().map(|flow| flow.link.name()).collect());
    by_devices(estimates, columns.unwrap_or_default(), |one| one.flows.iter().map(|flow| bytes(flow.bytes_per_second)).collect())
}

fn storage(estimates: &[Estimate]) -> String {
    let columns = yearly_parts(&Yearly::default()).map(|(name, _)| name.trim_end_matches("_bytes").replace('_', " ")).to_vec();
    by_devices(estimates, columns, |one| yearly_parts(&one.yearly).map(|(_, value)| bytes(value)).to_vec())
}

fn latency_parts(latency: Option<&Latency>) -> [(&'static str, Option<f64>); 10] {
    [
        ("device_ms", latency.map(|l| l.device_ms)),
        ("kept_ms", latency.map(|l| l.kept_ms)),
        ("batch_ms", latency.map(|l| l.batch_ms)),
        ("issue_ms", latency.map(|l| l.issue_ms)),
        ("spread_ms", latency.map(|l| l.spread_ms)),
        ("milestone_ms", latency.map(|l| l.milestone_ms)),
        ("agreement_ms", latency.map(|l| l.agreement_ms)),
        ("not_explained_ms", latency.map(|l| l.rest_ms)),
        ("confirmed_ms", latency.map(|l| l.total_ms)),
        ("in_the_root_ms", latency.and_then(|l| l.anchored_ms)),
    ]
}

fn yearly_parts(yearly: &Yearly) -> [(&'static str, f64); 9] {
    [
        ("own_bytes", yearly.own),
        ("index_bytes", yearly.index),
        ("others_bytes", yearly.others),
        ("milestones_bytes", yearly.milestones),
        ("archive_bytes", yearly.archive),
        ("pruned_bytes", yearly.pruned),
        ("all_payloads_bytes", yearly.everything),
        ("nano_bytes", yearly.nano),
        ("iota_bytes", yearly.iota),
    ]
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.1}"))
}

/// A number with three digits or so.
fn short(value: f64) -> String {
    scaled(value, &[(1e9, "G"), (1e6, "M"), (1e3, "k")], "")
}

fn bytes(value: f64) -> String {
    scaled(value, &[(1e18, " EB"), (1e15, " PB"), (1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " kB")], " B")
}

fn scaled(value: f64, units: &[(f64, &str)], unit: &str) -> String {
    let (factor, unit) = units.iter().find(|(factor, _)| value >= *factor).copied().unwrap_or((1.0, unit));
    format!("{:.1}{unit}", value / factor)
}

/// One line for each number of devices; empty where there is no number.
pub(super) fn csv(estimates: &[Estimate]) -> String {
    let mut text = String::new();
    for (number, one) in estimates.iter().enumerate() {
        let cells = cells(one);
        if number == 0 {
            let header: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
            // a String takes everything
            let _ = writeln!(text, "{}", header.join(","));
        }
        let values: Vec<String> = cells.iter().map(|(_, value)| value.map(|value| value.to_string()).unwrap_or_default()).collect();
        let _ = writeln!(text, "{}", values.join(","));
    }
    text
}

/// Everything of one number of devices that is a number, with its name.
fn cells(one: &Estimate) -> Vec<(String, Option<f64>)> {
    let mut cells = vec![
        ("devices".to_owned(), Some(one.devices as f64)),
        ("sites".to_owned(), Some(one.shape.sites as f64)),
        ("subnets".to_owned(), Some(one.shape.subnets as f64)),
        ("parents".to_owned(), Some(one.shape.parents.iter().sum::<u64>() as f64)),
        ("readings_per_second".to_owned(), Some(one.readings_per_second)),
        ("subnet_readings_per_second".to_owned(), Some(one.subnet_readings_per_second)),
        ("site_readings_per_second".to_owned(), Some(one.site_readings_per_second)),
        ("batch_readings".to_owned(), Some(one.batch_readings)),
        ("messages_per_second".to_owned(), Some(one.messages_per_second)),
        ("milestones_per_second".to_owned(), Some(one.milestones_per_second)),
        ("memory_bytes".to_owned(), Some(one.memory_bytes)),
        ("processor_site".to_owned(), Some(one.processor.site)),
        ("processor_anchoring".to_owned(), Some(one.processor.anchoring)),
        ("processor_admission".to_owned(), Some(one.processor.admission)),
        ("processor_milestones".to_owned(), Some(one.processor.milestones)),
    ];
    cells.extend(one.utilisations.iter().map(|part| (format!("used_{}", part.part.key()), Some(part.used))));
    cells.extend(latency_parts(one.latency.as_ref()).map(|(name, value)| (name.to_owned(), value)));
    for flow in &one.flows {
        cells.push((format!("{}_bytes_per_second", flow.link.key()), Some(flow.bytes_per_second)));
        cells.push((format!("{}_bytes_per_second_in_all", flow.link.key()), Some(flow.total_bytes_per_second)));
    }
    cells.extend(yearly_parts(&one.yearly).map(|(name, value)| (format!("year_{name}"), Some(value))));
    cells
}

/// Everything, with what it was made from.
pub(super) fn object(outcome: &Outcome) -> Value {
    let row = |one: &Estimate| {
        let mut row: Map<String, Value> = cells(one).into_iter().map(|(name, value)| (name, json!(value))).collect();
        // counts are whole
        row.insert("devices".to_owned(), json!(one.devices));
        row.insert("sites".to_owned(), json!(one.shape.sites));
        row.insert("subnets".to_owned(), json!(one.shape.subnets));
        row.insert("parents".to_owned(), json!(one.shape.parents));
        row.insert("keeps_up".to_owned(), json!(one.keeps_up()));
        Value::Object(row)
    };
    let ends = outcome.saturations.iter().map(|one| json!({ "part": one.part.key(), "devices": one.devices }));
    json!({
        "sim": "scale",
        "model_only": ["subnets", "parents"],
        "settings": settings(&outcome.settings),
        "benches": outcome.measured.given,
        "constants": constants(&outcome.measured.constants),
        "saturations": ends.collect::<Vec<_>>(),
        "rows": outcome.estimates.iter().map(row).collect::<Vec<_>>(),
    })
}

fn settings(settings: &Settings) -> Value {
    json!({
        "period_s": settings.period.as_secs_f64(),
        "reading_bytes": settings.reading_bytes,
        "batch_readings_max": settings.batch_readings_max,
        "batch_delay_ms": settings.batch_delay.as_secs_f64() * 1e3,
        "devices_per_site": settings.devices_per_site,
        "sites_per_subnet": settings.sites_per_subnet,
        "committee": settings.committee,
        "tiers": settings.tiers,
        "brokers_below": settings.brokers_below,
        "up_share": settings.up_share,
        "retention_days": settings.retention_days,
        "subnets_per_parent": settings.subnets_per_parent,
        "checkpoint_interval_s": settings.checkpoint_interval.as_secs_f64(),
        "link_ms": settings.link.as_secs_f64() * 1e3,
        "bandwidth_mbit": settings.bandwidth_mbit,
        "cores": settings.cores,
        "memory_bytes": settings.memory_bytes,
        "connections_max": settings.connections_max,
    })
}

fn constants(constants: &Constants) -> Value {
    let run = &constants.confirmation;
    let point = |point: &sim::scale::StoragePoint| {
        json!({
            "batch": point.batch,
            "ledger_bytes": point.ledger_bytes,
            "index_bytes": point.index_bytes,
            "other_bytes": point.other_bytes,
            "readings_per_milestone": point.readings_per_milestone,
        })
    };
    json!({
        "admission_us": constants.admission_us,
        "anchor_us": constants.anchor_us,
        "site_us": constants.site_us,
        "connection_bytes": constants.connection_bytes,
        "node_bytes": constants.node_bytes,
        "publishes_per_second": constants.publishes_per_second,
        "link_publishes_per_second": constants.link_publishes_per_second,
        "sync_us": constants.sync_us,
        "sign_us": constants.sign_us,
        "verify_us": constants.verify_us,
        "milestone_us": constants.milestone_us,
        "confirmation": {
            "nodes": run.nodes,
            "cores": run.cores,
            "rate_per_second": run.rate_per_second,
            "link_ms": run.link_ms,
            "p50_ms": run.p50_ms,
            "milestones_per_second": run.milestones_per_second,
        },
        "storage": { "nodes": constants.storage.nodes(), "points": constants.storage.points().iter().map(point).collect::<Vec<_>>() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!((short(12.0), short(90_000.0), short(1e6)), ("12.0".to_owned(), "90.0k".to_owned(), "1.0M".to_owned()));
        assert_eq!((bytes(0.0), bytes(1_500.0), bytes(2e12)), ("0.0 B".to_owned(), "1.5 kB".to_owned(), "2.0 TB".to_owned()));
    }
}
