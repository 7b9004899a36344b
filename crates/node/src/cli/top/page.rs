//! The lines of a page, as wide as they come: whoever draws them cuts them.

use super::sample::{Sample, rate};
use crate::cli::colour::{PLAIN, Tone};
use crate::cli::output::{thousands, time_ms};

/// Heights of a small curve.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a name.
const NAME_WIDTH: usize = 14;

/// What a page is made from.
pub(super) struct Seen<'a> {
    /// The node's address.
    pub(super) node: &'a str,
    /// What it said, the oldest first; at least one.
    pub(super) samples: &'a [Sample],
    /// Why it does not answer now.
    pub(super) trouble: Option<&'a str>,
    /// Whether colours may be used.
    pub(super) colours: bool,
}

/// The page.
pub(super) fn lines(seen: &Seen<'_>) -> Vec<String> {
    let Some(now) = seen.samples.last() else { return Vec::new() };
    let mut lines = vec![head(seen, now)];
    if let Some(why) = seen.trouble {
        lines.push(paint(seen, Tone::Bad, &format!("no answer: {why}")));
    }
    lines.push(String::new());
    if now.status.get("ledger").is_some() {
        lines.extend(ledger(seen, now));
    }
    if now.status.get("site_stats").is_some_and(serde_json::Value::is_object) {
        lines.push(String::new());
        lines.extend(site(seen, now));
    }
    lines.push(String::new());
    lines.push("q ends".to_owned());
    lines
}

fn head(seen: &Seen<'_>, now: &Sample) -> String {
    let uptime_s = now.count("/uptime_ms").unwrap_or(0) / 1_000;
    let site = match now.text("/site") {
        "" => String::new(),
        site => format!(", site {site}"),
    };
    format!("{}{site}, wattle {} at {}, up {} s", now.text("/name"), now.text("/version"), seen.node, thousands(uptime_s))
}

fn ledger(seen: &Seen<'_>, now: &Sample) -> Vec<String> {
    let count = |pointer: &str| thousands(now.count(pointer).unwrap_or(0));
    let standing = match (now.holds("/ledger/cut_off"), now.holds("/ledger/validator")) {
        (true, _) => paint(seen, Tone::Bad, "cut off: too few of the committee are in touch"),
        (false, true) => paint(seen, Tone::Good, "in the committee"),
        (false, false) => "looks on".to_owned(),
    };
    let milestone_ms = now.count("/ledger/milestone_ms").unwrap_or(0);
    vec![
        row("ledger", &standing),
        row("milestone", &format!("{}, {}, epoch {}", count("/ledger/height"), time_ms(milestone_ms), count("/ledger/epoch"))),
        row("peers", &format!("{} of a committee of {}", count("/ledger/peers"), count("/ledger/committee_size"))),
        row("messages", &format!("{}  {}", count("/ledger/messages"), curve(seen, "/ledger/messages"))),
        row("readings", &format!("{}  {}", count("/ledger/readings"), curve(seen, "/ledger/readings"))),
        row(
            "DAG",
            &format!(
                "{} tips, {} unconfirmed, {} wait for a parent",
                count("/ledger/tips"),
                count("/ledger/unconfirmed"),
                count("/ledger/pending")
            ),
        ),
        row("refused", &format!("{} messages, {} issuers equivocated", count("/ledger/refused"), count("/ledger/equivocations"))),
        row(
            "wallets",
            &format!(
                "{} certified, {} final  {}",
                count("/ledger/spends_certified"),
                count("/ledger/spends_final"),
                curve(seen, "/ledger/spends_final")
            ),
        ),
    ]
}

fn site(seen: &Seen<'_>, now: &Sample) -> Vec<String> {
    let count = |pointer: &str| thousands(now.count(pointer).unwrap_or(0));
    let connected = match now.holds("/site_stats/connected") {
        true => paint(seen, Tone::Good, "connected"),
        false => paint(seen, Tone::Bad, "not connected"),
    };
    let latency = match (now.fraction("/site_stats/latency_ms/p50"), now.fraction("/site_stats/latency_ms/p99")) {
        (Some(p50), Some(p99)) => format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
        _ => "nothing confirmed yet".to_owned(),
    };
    let in_flight = now.metric("wattle_site_batches_in_flight").unwrap_or(0.0);
    let mut lines = vec![
        row("broker", &format!("{} {connected}", now.text("/site_stats/broker"))),
        row("stored", &format!("{}  {}", count("/site_stats/readings"), curve(seen, "/site_stats/readings"))),
        row("confirmed", &format!("{}  {}", count("/site_stats/confirmed"), curve(seen, "/site_stats/confirmed"))),
        row("latency", &latency),
        row("cache", &format!("{} readings wait, {in_flight:.0} batches on their way", count("/site_stats/cache_pending"))),
        row("publishes", &format!("{} refused, {} rejected", count("/site_stats/refused"), count("/site_stats/rejected"))),
    ];
    if let Some(stalled) = now.status.pointer("/site_stats/fog/stalled").and_then(serde_json::Value::as_str) {
        lines.push(row("fog", &paint(seen, Tone::Bad, stalled)));
    }
    lines
}

fn row(name: &str, text: &str) -> String {
    format!("{name:<NAME_WIDTH$} {text}")
}

fn paint(seen: &Seen<'_>, tone: Tone, text: &str) -> String {
    match seen.colours {
        true => format!("{}{text}{PLAIN}", tone.escape()),
        false => text.to_owned(),
    }
}

/// A counter's growth in each second, and the last of it as a number.
fn curve(seen: &Seen<'_>, pointer: &str) -> String {
    let counts: Vec<_> = seen.samples.iter().filter_map(|sample| Some((sample.at, sample.count(pointer)?))).collect();
    let rates: Vec<f64> = counts.iter().zip(counts.iter().skip(1)).map(|(before, after)| rate(*before, *after).unwrap_or(0.0)).collect();
    let Some(last) = rates.last() else { return String::new() };
    let most = rates.iter().copied().fold(0.0, f64::max);
    let step = |rate: &f64| {
        let index = STEPS.iter().enumerate().rev().find(|(index, _)| *rate >= most * fraction(*index)).map(|(_, step)| *step);
        if most > 0.0 { index.unwrap_or('▁') } else { '▁' }
    };
    format!("{:>8.1}/s {}", last, rates.iter().map(step).collect::<String>())
}

/// From which share of the greatest on a step is drawn.
fn fraction(index: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "eight steps")]
    let share = index as f64 / STEPS.len() as f64;
    share
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn status(readings: u64, cut_off: bool) -> serde_json::Value {
        json!({
            "name": "node1", "version": "0.1.0", "site": "z1", "uptime_ms": 61_000,
            "ledger": { "height": 1_200, "epoch": 3, "peers": 3, "committee_size": 4, "validator": true, "cut_off": cut_off, "readings": readings },
            "site_stats": { "connected": true, "broker": "127.0.0.1:1883", "latency_ms": { "p50": 7.25, "p99": 20.0 }, "cache_pending": 5 },
        })
    }

    #[test]
    fn a_page_says_how_it_is() {
        let start = Instant::now();
        let sample = |second: u64, readings, cut_off| {
            Sample::new(start + Duration::from_secs(second), status(readings, cut_off), "wattle_site_batches_in_flight 2\n")
        };
        let samples = [sample(0, 1_000, false), sample(1, 1_100, false), sample(2, 1_300, false)];
        let seen = Seen { node: "http://n", samples: &samples, trouble: None, colours: false };
        let text = lines(&seen).join("\n");
        for part in
            ["node1, site z1", "up 61 s", "in the committee", "1 200", "3 of a committee of 4", "200.0/s ▅█", "p50 7.2 ms", "2 batches"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains('\x1b'), "no colours");
        let samples = [sample(0, 1_000, true)];
        let seen = Seen { node: "http://n", samples: &samples, trouble: Some("gone"), colours: true };
        let text = lines(&seen).join("\n");
        assert!(text.contains("cut off") && text.contains("no answer: gone") && text.contains(Tone::Bad.escape()), "{text}");
    }

    #[test]
    fn parts_of_a_site_have_a_page_too() {
        let samples = [Sample::new(Instant::now(), json!({ "name": "fog1", "roles": ["fog"] }), "")];
        let seen = Seen { node: "http://n", samples: &samples, trouble: None, colours: false };
        assert!(lines(&seen).first().unwrap().starts_with("fog1"));
    }
}
