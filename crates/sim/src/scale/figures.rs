//! Charts of estimates, against devices.

use super::estimate::Estimate;
use crate::Band;
use crate::chart::{Chart, Dash, Line, Scale};

/// Colours in the order of lines.
const COLOURS: [(u8, u8, u8); 8] =
    [(31, 90, 180), (214, 110, 20), (40, 140, 70), (130, 70, 160), (190, 40, 50), (90, 90, 90), (20, 150, 160), (150, 120, 20)];
/// Dashes of the lines after those that have colours of their own.
const DASHES: [Dash; 3] = [Dash::Solid, Dash::Dashed, Dash::Dotted];

type Named = (String, Vec<(f64, f64)>);

/// How much of each part is used; 1 is where it saturates.
#[must_use]
pub fn utilisation_chart(estimates: &[Estimate]) -> Chart {
    let parts = estimates.first().map(|one| one.utilisations.as_slice()).unwrap_or_default();
    let line = |(at, part): (usize, String)| {
        let used = |one: &Estimate| one.utilisations.get(at).map(|one| one.used);
        (part, points(estimates, used))
    };
    let mut lines: Vec<Named> = parts.iter().map(|one| spoken(&one.part.key())).enumerate().map(line).collect();
    lines.push(("all of it".to_owned(), points(estimates, |_| Some(1.0))));
    chart("Use of the busiest of each part", "asked over possible", Scale::Logarithmic, lines)
}

/// Bytes of a year on a node, beside the papers' figures.
#[must_use]
pub fn storage_chart(estimates: &[Estimate]) -> Chart {
    let line = |name: &str, value: fn(&Estimate) -> f64| (name.to_owned(), points(estimates, |one| Some(value(one) / 1e9)));
    let lines = vec![
        line("ours, archive", |one| one.yearly.archive),
        line("ours, pruned", |one| one.yearly.pruned),
        line("ours, all payloads", |one| one.yearly.everything),
        line("Nano, 520 B", |one| one.yearly.nano),
        line("IOTA, 1.6 KB", |one| one.yearly.iota),
    ];
    chart("Storage of a node for the readings of its subnet", "a year [GB]", Scale::Logarithmic, lines)
}

/// Bytes a second on the busiest link of each kind.
#[must_use]
pub fn links_chart(estimates: &[Estimate]) -> Chart {
    let flows = estimates.first().map(|one| one.flows.as_slice()).unwrap_or_default();
    let line = |(at, name): (usize, String)| (name, points(estimates, |one| one.flows.get(at).map(|flow| flow.bytes_per_second)));
    let lines = flows.iter().map(|flow| spoken(&flow.link.key())).enumerate().map(line).collect();
    chart("The busiest link of each kind", "bytes per second [B/s]", Scale::Logarithmic, lines)
}

/// From publish to confirmation, part upon part.
#[must_use]
pub fn latency_chart(estimates: &[Estimate]) -> Chart {
    let line = |name: &str, value: fn(&super::Latency) -> f64| (name.to_owned(), points(estimates, |one| one.latency.as_ref().map(value)));
    let lines = vec![
        line("confirmed, p50", |l| l.total_ms),
        line("device and broker", |l| l.device_ms + l.kept_ms),
        line("batch", |l| l.batch_ms + l.issue_ms),
        line("spread", |l| l.spread_ms),
        line("next milestone", |l| l.milestone_ms),
        line("agreement", |l| l.agreement_ms),
        line("not explained", |l| l.rest_ms),
    ];
    chart("From publish to confirmation", "latency [ms]", Scale::Linear, lines)
}

/// Parts of a node's processor.
#[must_use]
pub fn processor_chart(estimates: &[Estimate]) -> Chart {
    let line = |name: &str, value: fn(&Estimate) -> f64| (name.to_owned(), points(estimates, |one| Some(value(one) * 100.0)));
    let lines = vec![
        line("all", |one| one.processor.total()),
        line("broker, log, index", |one| one.processor.site),
        line("anchoring", |one| one.processor.anchoring),
        line("admission", |one| one.processor.admission),
        line("milestones", |one| one.processor.milestones),
    ];
    chart("Processor of a node of the committee", "of all cores [%]", Scale::Linear, lines)
}

/// A key as it stands in a legend, where there is room for some twenty letters.
fn spoken(key: &str) -> String {
    key.replace('_', " ")
}

fn points(estimates: &[Estimate], value: impl Fn(&Estimate) -> Option<f64>) -> Vec<(f64, f64)> {
    estimates.iter().filter_map(|one| Some((one.devices as f64, value(one)?))).collect()
}

fn chart(title: &str, y_label: &str, y_scale: Scale, lines: Vec<Named>) -> Chart {
    let line = |(at, (name, points)): (usize, Named)| Line {
        name,
        points: points.into_iter().map(|(x, y)| (x, Band { mean: y, low: y, high: y })).collect(),
        colour: COLOURS.get(at % COLOURS.len()).copied().unwrap_or_default(),
        dash: DASHES.get(at / COLOURS.len() % DASHES.len()).copied().unwrap_or(Dash::Solid),
    };
    Chart {
        title: title.to_owned(),
        x_label: "devices".to_owned(),
        y_label: y_label.to_owned(),
        x_scale: Scale::Logarithmic,
        y_scale,
        lines: lines.into_iter().enumerate().map(line).collect(),
    }
}
