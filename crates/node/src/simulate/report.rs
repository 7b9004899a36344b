//! Curves as tables, CSV and JSON.

use crate::cli::output::table;
use serde_json::{Value, json};
use sim::Band;
use sim::brokers::{Curve, Grid, Point};
use std::fmt::Write as _;

/// Points that a table shows one by one; of more it shows the curves.
const POINTS_SHOWN_MAX: usize = 60;
/// Written where there is no number.
const NONE: &str = "-";

/// The points, or of many the curves.
pub(super) fn shown(curves: &[Curve]) -> String {
    let points: usize = curves.iter().map(|curve| curve.points.len()).sum();
    if points <= POINTS_SHOWN_MAX { by_point(curves) } else { by_curve(curves) }
}

fn by_point(curves: &[Curve]) -> String {
    let header = ["period", "brokers", "service", "sources", "latency", "closed form", "throughput", "closed form", "utilisation"];
    let mut rows = Vec::new();
    for curve in curves {
        for point in &curve.points {
            let mut row = named(curve);
            row.extend([
                point.sources.to_string(),
                point.latency_ms.map_or_else(|| NONE.to_owned(), |band| with_band(band, "ms")),
                number(point.theory.latency_ms, "ms"),
                with_band(point.throughput_per_second, "/s"),
                number(point.theory.throughput_per_second, "/s"),
                format!("{:.2}", point.theory.utilisation),
            ]);
            rows.push(row);
        }
    }
    table(&header, rows)
}

fn by_curve(curves: &[Curve]) -> String {
    let header = ["period", "brokers", "service", "saturates above", "latency, first", "last", "throughput, last", "closed form"];
    let row = |curve: &Curve| {
        let (first, last) = (curve.points.first()?, curve.points.last()?);
        let latency = |point: &Point| {
            let mean = point.latency_ms.map(|band| band.mean);
            format!("{} at {}", number(mean, "ms"), point.sources)
        };
        let mut row = named(curve);
        row.extend([
            format!("{} sources", first.theory.saturation_sources),
            latency(first),
            latency(last),
            with_band(last.throughput_per_second, "/s"),
            number(last.theory.throughput_per_second, "/s"),
        ]);
        Some(row)
    };
    table(&header, curves.iter().filter_map(row).collect())
}

fn named(curve: &Curve) -> Vec<String> {
    vec![format!("{} s", curve.period.as_secs_f64()), curve.brokers.to_string(), format!("{} ms", curve.service.as_secs_f64() * 1e3)]
}

fn with_band(band: Band, unit: &str) -> String {
    let half = (band.high - band.low) / 2.0;
    if half > 0.0 { format!("{:.1} ± {half:.1} {unit}", band.mean) } else { format!("{:.1} {unit}", band.mean) }
}

fn number(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.1} {unit}"))
}

/// One line a point; empty where there is no number.
pub(super) fn csv(curves: &[Curve]) -> String {
    let mut text = "period_s,brokers,service_ms,sources,latency_ms,latency_ms_low,latency_ms_high,throughput_per_second,\
                    throughput_per_second_low,throughput_per_second_high,theory_latency_ms,theory_throughput_per_second,utilisation\n"
        .to_owned();
    let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for curve in curves {
        for point in &curve.points {
            let (latency, throughput) = (point.latency_ms, point.throughput_per_second);
            // a String takes everything
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{},{},{},{}",
                curve.period.as_secs_f64(),
                curve.brokers,
                curve.service.as_secs_f64() * 1e3,
                point.sources,
                cell(latency.map(|band| band.mean)),
                cell(latency.map(|band| band.low)),
                cell(latency.map(|band| band.high)),
                throughput.mean,
                throughput.low,
                throughput.high,
                cell(point.theory.latency_ms),
                cell(point.theory.throughput_per_second),
                point.theory.utilisation,
            );
        }
    }
    text
}

/// A band's three numbers.
pub(super) fn band(band: Band) -> Value {
    json!({ "mean": band.mean, "low": band.low, "high": band.high })
}

/// Everything, with what it was made from.
pub(super) fn object(grid: &Grid, curves: &[Curve]) -> Value {
    let base = &grid.base;
    let point = |point: &Point| {
        json!({
            "sources": point.sources,
            "latency_ms": point.latency_ms.map(band),
            "throughput_per_second": band(point.throughput_per_second),
            "theory": {
                "floor_ms": point.theory.floor_ms,
                "saturation_sources": point.theory.saturation_sources,
                "utilisation": point.theory.utilisation,
                "stable": point.theory.stable,
                "latency_ms": point.theory.latency_ms,
                "throughput_per_second": point.theory.throughput_per_second,
            },
        })
    };
    let curve = |curve: &Curve| {
        json!({
            "period_s": curve.period.as_secs_f64(),
            "brokers": curve.brokers,
            "service_ms": curve.service.as_secs_f64() * 1e3,
            "points": curve.points.iter().map(point).collect::<Vec<_>>(),
        })
    };
    json!({
        "sim": "brokers",
        "duration_s": base.duration.as_secs_f64(),
        "warm_up_s": base.warm_up.as_secs_f64(),
        "channel_ms": base.channel.as_secs_f64() * 1e3,
        "elaboration_ms": base.elaboration.as_secs_f64() * 1e3,
        "pow_ms": base.pow.as_secs_f64() * 1e3,
        "phase": format!("{:?}", base.phase),
        "delays": format!("{:?}", base.delays),
        "services": format!("{:?}", base.services),
        "discipline": format!("{:?}", base.discipline),
        "balancing": format!("{:?}", base.balancing),
        "fog": format!("{:?}", base.fog),
        "node": format!("{:?}", base.node),
        "notices": base.notices,
        "seed": base.seed,
        "seeds": grid.seeds,
        "curves": curves.iter().map(curve).collect::<Vec<_>>(),
    })
}
