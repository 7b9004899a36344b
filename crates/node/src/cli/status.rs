//! `wattle status`: how a node is doing.

use super::Failure;
use super::client::{ClientError, NodeClient};
use super::output::{short, table, thousands, time_ms};
use super::watch::{Look, View};
use super::wire::{FogStats, MqttSnStats, SiteStats, Status, TierStats};
use serde_json::Value;
use std::collections::BTreeMap;

/// `wattle status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle status
  wattle status --node http://10.0.0.7:8080 --json | jq .ledger.height
  wattle status --node https://node.example:8080 --ca ca.pem --token-file grafana.token")]
pub(crate) struct Arguments {
    #[command(flatten)]
    look: Look,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] if the node cannot be asked.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.look.with(|node| look(node, arguments.look.json))
}

fn look(node: &NodeClient, json: bool) -> Result<View, Failure> {
    let value: Value = node.json("/api/v1/status")?;
    if json {
        return Ok(View::Json(value));
    }
    if value.get("ledger").is_none() {
        let name = value.get("name").and_then(Value::as_str).unwrap_or("parts of a site").to_owned();
        return Ok(View::text(table(&["process", name.as_str()], process_rows(&value))));
    }
    let parts = part_rows(value.get("parts"));
    let read = serde_json::from_value::<Status>(value);
    let status = read.map_err(|e| ClientError::Answer { url: format!("{}/api/v1/status", node.base()), why: e.to_string() })?;
    let mut rows = ledger_rows(&status);
    if let Some(site) = &status.site_stats {
        rows.extend(site_rows(site));
        rows.extend(site.fog.iter().flat_map(fog_rows));
        rows.extend(site.tier.iter().flat_map(tier_rows));
    }
    if let Some(gateway) = &status.mqttsn {
        rows.extend(gateway_rows(gateway));
    }
    rows.extend(parts);
    Ok(View::text(table(&["node", status.name.as_str()], rows)))
}

/// A process that runs parts of a site and no ledger node.
fn process_rows(status: &Value) -> Vec<Vec<String>> {
    let text = |name: &str| status.get(name).and_then(Value::as_str).unwrap_or("none").to_owned();
    let roles = status.get("roles").and_then(Value::as_array).cloned().unwrap_or_default();
    let roles: Vec<&str> = roles.iter().filter_map(Value::as_str).collect();
    let uptime_s = status.get("uptime_ms").and_then(Value::as_u64).unwrap_or(0) / 1_000;
    let mut rows = vec![
        row("site", text("site")),
        row("parts", roles.join(", ")),
        row("version", text("version")),
        row("uptime", format!("{} s", thousands(uptime_s))),
        row("trouble", text("trouble")),
    ];
    rows.extend(part_rows(status.get("parts")));
    if let Some(gateway) = status.get("mqttsn").cloned().and_then(|gateway| serde_json::from_value::<MqttSnStats>(gateway).ok()) {
        rows.extend(gateway_rows(&gateway));
    }
    rows
}

/// Parts of a site that run apart from each other.
fn part_rows(parts: Option<&Value>) -> Vec<Vec<String>> {
    let part = |name: &str| parts.and_then(|parts| parts.get(name)).filter(|part| part.is_object());
    let count = |part: &Value, name: &str| thousands(part.get(name).and_then(Value::as_u64).unwrap_or(0));
    let mut rows = Vec::new();
    if let Some(broker) = part("broker") {
        let services = broker.get("services").and_then(Value::as_array).cloned().unwrap_or_default();
        let services: Vec<&str> = services.iter().filter_map(Value::as_str).collect();
        rows.push(row("broker: parts connected", if services.is_empty() { "none".to_owned() } else { services.join(", ") }));
        rows.push(row("broker: publishes", format!("{} kept, {} held", count(broker, "kept"), count(broker, "held"))));
        rows.push(row("broker: refused / unanswered", format!("{} / {}", count(broker, "refused"), count(broker, "doubtful"))));
    }
    if let Some(fog) = part("fog") {
        rows.push(row("fog: publishes", format!("{} in, {} refused", count(fog, "accepted"), count(fog, "refused"))));
        rows.push(row("fog: intake", format!("{} readings wait", count(fog, "intake_pending"))));
        rows.push(row("fog: published", format!("{}, {} not taken at once", count(fog, "published"), count(fog, "not_taken"))));
        rows.push(row("fog: waiting", fog.get("stalled").and_then(Value::as_str).unwrap_or("no")));
    }
    if let Some(cache) = part("cache") {
        let pending =
            format!("{} readings, {} of {} bytes", count(cache, "pending"), count(cache, "pending_bytes"), count(cache, "limit_bytes"));
        rows.push(row("cache: pending", pending));
        let oldest = cache.get("oldest_ms").and_then(Value::as_u64);
        rows.push(row("cache: oldest", oldest.map_or_else(|| "none".to_owned(), time_ms)));
        rows.push(row("cache: alarm", cache.get("alarm").and_then(Value::as_str).unwrap_or("none")));
        rows.push(row("cache: kept / refused", format!("{} / {}", count(cache, "kept"), count(cache, "refused"))));
        rows.push(row("cache: sent as pending", format!("{} in {} rounds", count(cache, "sent"), count(cache, "rounds"))));
    }
    rows
}

fn row(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![name.to_owned(), value.into()]
}

fn ledger_rows(status: &Status) -> Vec<Vec<String>> {
    let ledger = &status.ledger;
    let counted = ledger.refusals.iter().filter(|(_, count)| **count > 0);
    let reasons: Vec<String> = counted.map(|(reason, count)| format!("{reason} ({})", thousands(*count))).collect();
    let committee: Vec<String> = status.committee.iter().map(|m| format!("{} ({})", m.name, short(&m.key))).collect();
    vec![
        row("site", status.site.as_deref().unwrap_or("none")),
        row("network", format!("{} subnet {}", short(&status.network), status.subnet)),
        row("key", short(&status.key)),
        row("version", status.version.as_str()),
        row("uptime", format!("{} s", thousands(status.uptime_ms / 1_000))),
        row("height", format!("{} ({}) at {}", thousands(ledger.height), short(&ledger.digest), time_ms(ledger.milestone_ms))),
        row("state root", short(&ledger.state_root)),
        row("epoch", format!("{}, this node {}", ledger.epoch, part(ledger.validator, ledger.cut_off))),
        row("messages", thousands(ledger.messages)),
        row("readings on the ledger", thousands(ledger.readings)),
        row("issued here", thousands(ledger.issued)),
        row("tips / unconfirmed / pending", format!("{} / {} / {}", ledger.tips, ledger.unconfirmed, ledger.pending)),
        row("peers heard of", format!("{} of {}", ledger.peers, status.committee.len().saturating_sub(1))),
        row("refused / equivocations", format!("{} / {}", ledger.refused, ledger.equivocations)),
        row("refused because of", if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(", ") }),
        row("committee", committee.join(", ")),
        row("orders without effect", thousands(ledger.orders_refused)),
        row("wallets' requests", format!("{} certified, {} final", thousands(ledger.spends_certified), thousands(ledger.spends_final))),
        row("votes / rejections here", format!("{} / {}", thousands(ledger.votes_cast), thousands(ledger.spends_rejected))),
    ]
}

/// What the node is to the committee.
const fn part(validator: bool, cut_off: bool) -> &'static str {
    match (validator, cut_off) {
        (true, false) => "is in the committee",
        (true, true) => "is in the committee, but cut off from it",
        (false, false) => "follows the committee",
        (false, true) => "is cut off from the committee",
    }
}

fn site_rows(site: &SiteStats) -> Vec<Vec<String>> {
    let latency =
        site.latency_ms.map_or_else(|| "none yet".to_owned(), |l| format!("p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", l.p50, l.p99, l.max));
    vec![
        row("broker", site.broker.as_deref().unwrap_or("none")),
        row("readings in", thousands(site.readings)),
        row("anchored", thousands(site.anchored)),
        row("confirmed", thousands(site.confirmed)),
        row("publish to confirmed", latency),
        row("publishes", format!("{} accepted, {} seen before", thousands(site.accepted), thousands(site.duplicates))),
        row("malformed / not acknowledged", format!("{} / {}", thousands(site.rejected), thousands(site.refused))),
        row("cache", format!("{} readings, {} bytes on disk", thousands(site.cache_pending), thousands(site.log_bytes))),
    ]
}

/// Counts that are not zero, each with its reason.
fn by_reason(counts: &BTreeMap<String, u64>) -> String {
    let counted = counts.iter().filter(|(_, count)| **count > 0);
    let reasons: Vec<String> = counted.map(|(reason, count)| format!("{reason} ({})", thousands(*count))).collect();
    if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(", ") }
}

fn fog_rows(fog: &FogStats) -> Vec<Vec<String>> {
    let state = match (&fog.refused, &fog.stalled) {
        (Some(why), _) => format!("{} in force; the file is refused: {why}", fog.pipelines),
        (None, Some(why)) => format!("{} in force, waiting: {why}", fog.pipelines),
        (None, None) => format!("{} in force", fog.pipelines),
    };
    vec![
        row("pipelines", state),
        row("pipelines reread / refused", format!("{} / {}", thousands(fog.reloads), thousands(fog.reloads_refused))),
        row("intake", format!("{} readings wait, up to {} ms", thousands(fog.intake_pending), thousands(fog.lag_ms))),
        row(
            "processed",
            format!("{} in, {} out, {} commands", thousands(fog.readings_in), thousands(fog.readings_out), thousands(fog.commands)),
        ),
        row("filtered / repetitions", format!("{} / {}", thousands(fog.filtered), thousands(fog.duplicates))),
        row("rejected by pipelines", by_reason(&fog.rejected)),
        row("windows open / state dropped", format!("{} / {}", thousands(fog.open_windows), thousands(fog.forgotten))),
    ]
}

fn gateway_rows(gateway: &MqttSnStats) -> Vec<Vec<String>> {
    let publishes = format!("{} in, {} out", thousands(gateway.publishes_in), thousands(gateway.publishes_out));
    vec![
        row("MQTT-SN", gateway.address.as_str()),
        row("MQTT-SN clients", format!("{}, {} asleep", thousands(gateway.clients), thousands(gateway.asleep))),
        row("MQTT-SN publishes", format!("{publishes}, {} sent again", thousands(gateway.retries))),
        row("MQTT-SN refused", by_reason(&gateway.refused)),
        row("MQTT-SN dropped", by_reason(&gateway.dropped)),
    ]
}

fn tier_rows(tier: &TierStats) -> Vec<Vec<String>> {
    let state = |connected: bool| if connected { "linked" } else { "away" };
    let parent = match &tier.parent {
        Some(url) => format!("{url}, {}, {} publishes wait", state(tier.connected), thousands(tier.queued_up)),
        None => "none, it is the top".to_owned(),
    };
    let below = tier.links.iter().map(|link| format!("{} ({}, {} wait)", link.scope, state(link.connected), thousands(link.queued)));
    let below: Vec<String> = below.collect();
    let all = if tier.scope.is_empty() { "all sites" } else { tier.scope.as_str() };
    vec![
        row("broker is for", all),
        row("parent broker", parent),
        row("brokers below", if below.is_empty() { "none".to_owned() } else { below.join(", ") }),
        row("handed on / repetitions", format!("{} / {}", thousands(tier.drained), thousands(tier.duplicates))),
        row("circles / not taken", format!("{} / {}", thousands(tier.loops), thousands(tier.refused))),
    ]
}
