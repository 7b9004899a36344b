//! The paper's figures from curves.

use super::campaign::{Curve, Point};
use crate::Band;
use crate::chart::{Chart, Dash, Line, Scale};
use std::time::Duration;

/// Colours by rank of the number of brokers: one broker is blue, as in Fig. 17.
const COLOURS: [(u8, u8, u8); 4] = [(31, 90, 180), (214, 110, 20), (40, 140, 70), (130, 70, 160)];
/// Dashes by rank of the service time.
const DASHES: [Dash; 3] = [Dash::Solid, Dash::Dashed, Dash::Dotted];

/// Mean publishing latency against sources for one period, logarithmic as in Figs 15 and 16.
#[must_use]
pub fn latency_chart(curves: &[Curve], period: Duration) -> Chart {
    let lines = lines(curves, period, |point| point.latency_ms);
    chart("End-to-end average publishing latency", "latency [ms]", Scale::Logarithmic, period, lines)
}

/// Throughput on the ledger against sources for one period, as in Fig. 17.
#[must_use]
pub fn throughput_chart(curves: &[Curve], period: Duration) -> Chart {
    let lines = lines(curves, period, |point| Some(point.throughput_per_second));
    chart("Throughput on the ledger", "messages published per second [1/s]", Scale::Linear, period, lines)
}

fn chart(what: &str, y_label: &str, y_scale: Scale, period: Duration, lines: Vec<Line>) -> Chart {
    Chart {
        title: format!("{what}, publishing period {} s", period.as_secs_f64()),
        x_label: "IoT sources".to_owned(),
        y_label: y_label.to_owned(),
        x_scale: Scale::Linear,
        y_scale,
        lines,
    }
}

fn lines(curves: &[Curve], period: Duration, value: impl Fn(&Point) -> Option<Band>) -> Vec<Line> {
    let of_period = || curves.iter().filter(move |curve| curve.period == period);
    let mut brokers: Vec<u32> = of_period().map(|curve| curve.brokers).collect();
    let mut services: Vec<Duration> = of_period().map(|curve| curve.service).collect();
    brokers.sort_unstable();
    brokers.dedup();
    services.sort_unstable();
    services.dedup();
    let line = |curve: &Curve| {
        let colour = brokers.iter().position(|b| *b == curve.brokers).unwrap_or_default() % COLOURS.len();
        let dash = services.iter().position(|s| *s == curve.service).unwrap_or_default() % DASHES.len();
        let plural = if curve.brokers == 1 { "" } else { "s" };
        let mut points: Vec<(f64, Band)> =
            curve.points.iter().filter_map(|point| Some((f64::from(point.sources), value(point)?))).collect();
        // in whatever order they were asked for
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Line {
            name: format!("{} broker{plural}, {} ms", curve.brokers, curve.service.as_secs_f64() * 1e3),
            points,
            colour: COLOURS.get(colour).copied().unwrap_or_default(),
            dash: DASHES.get(dash).copied().unwrap_or(Dash::Solid),
        }
    };
    of_period().map(line).collect()
}
