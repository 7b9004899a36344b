//! The one drawing from which both forms come.
//!
//! The axes are the library's; lines, bands and the legend are drawn in pixels of the whole picture, so that dashes have one
//! length everywhere.

use super::{Chart, ChartError, Dash, Line, Scale};
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{PathElement, Polygon, Text};
use plotters::style::{Color as _, RGBColor, ShapeStyle, TRANSPARENT, WHITE};
use plotters_backend::DrawingBackend;
use std::fmt::Display;

/// Part of the width that is left to the legend.
const LEGEND_WIDTH: i32 = 190;
const TITLE_SIZE: i32 = 18;
const LABEL_SIZE: i32 = 13;
const DESCRIPTION_SIZE: i32 = 15;
/// Room for numbers and description, below and at the left.
const X_AREA: i32 = 52;
const Y_AREA: i32 = 82;
const MARGIN: i32 = 12;
const LINE_WIDTH: u32 = 2;
/// A legend's line: its length, and the distance to the next.
const SAMPLE: i32 = 34;
const LEADING: i32 = 22;
/// How much of a band's colour is seen.
const BAND_OPACITY: f64 = 0.18;
const GRID: RGBColor = RGBColor(205, 205, 205);
const FINE_GRID: RGBColor = RGBColor(235, 235, 235);
/// Numbers that a linear axis shows at most.
const LABELS_MAX: usize = 11;
/// Part of the height that stays free above the highest line.
const HEADROOM: f64 = 0.05;
/// How far from a power of ten its logarithm may be read.
const NEAR: f64 = 1e-6;

type Pixel = (i32, i32);

/// An axis: what it shows, in the units it is divided in.
#[derive(Clone, Copy, Debug)]
struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    /// Around these values; nothing if none can be shown.
    fn around(values: impl Iterator<Item = f64>, scale: Scale, headroom: f64) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter_map(|value| place(value, scale)) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            return None;
        }
        let (low, high) = match scale {
            Scale::Linear => (low.min(0.0), high + headroom * high.abs()),
            Scale::Logarithmic => (low.floor(), high.ceil()),
        };
        Some(Self { low, high: if high > low { high } else { low + 1.0 }, scale })
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a double has at most 632 decades")]
    fn labels(&self) -> usize {
        match self.scale {
            Scale::Linear => LABELS_MAX,
            Scale::Logarithmic => (self.high - self.low) as usize + 1,
        }
    }

    /// The number at this place; nothing between powers of ten.
    fn label(&self, at: f64) -> String {
        match self.scale {
            Scale::Linear => ((at * 1e3).round() / 1e3).to_string(),
            Scale::Logarithmic if (at - at.round()).abs() > NEAR => String::new(),
            Scale::Logarithmic => power_of_ten(at.round()),
        }
    }
}

/// Where a value is on an axis; nothing if it cannot be shown.
fn place(value: f64, scale: Scale) -> Option<f64> {
    let place = match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.log10(),
    };
    place.is_finite().then_some(place)
}

fn power_of_ten(exponent: f64) -> String {
    let value = 10f64.powf(exponent);
    match exponent {
        e if (0.0..=6.0).contains(&e) => format!("{value:.0}"),
        e if (-3.0..0.0).contains(&e) => format!("{}", (value * 1e3).round() / 1e3),
        e => format!("1e{e}"),
    }
}

/// Draws a chart, `zoom` times larger than its size says.
pub(super) fn draw<DB: DrawingBackend>(chart: &Chart, area: &DrawingArea<DB, Shift>, zoom: u32) -> Result<(), ChartError> {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    // a band may reach below zero, where a logarithm cannot show it; the mean decides what is shown
    let ys = points().flat_map(|(_, band)| [band.mean, band.low.max(band.mean / 10.0), band.high]);
    let empty = || ChartError::Empty(chart.title.clone());
    let x_axis = Axis::around(points().map(|(x, _)| *x), chart.x_scale, 0.0).ok_or_else(empty)?;
    let y_axis = Axis::around(ys, chart.y_scale, HEADROOM).ok_or_else(empty)?;

    let z = i32::try_from(zoom).unwrap_or(1);
    area.fill(&WHITE).map_err(failed)?;
    let (width, _) = area.dim_in_pixel();
    let legend_x = i32::try_from(width).unwrap_or(i32::MAX) - LEGEND_WIDTH * z;
    let (left, _) = area.split_horizontally(legend_x);
    let mut builder = ChartBuilder::on(&left);
    builder.margin(MARGIN * z).caption(&chart.title, ("sans-serif", TITLE_SIZE * z));
    builder.x_label_area_size(X_AREA * z).y_label_area_size(Y_AREA * z);
    let mut context = builder.build_cartesian_2d(x_axis.low..x_axis.high, y_axis.low..y_axis.high).map_err(failed)?;

    for (from, to) in fine_grid(&x_axis, &y_axis) {
        let line = vec![context.backend_coord(&from), context.backend_coord(&to)];
        area.draw(&PathElement::new(line, FINE_GRID.stroke_width(zoom))).map_err(failed)?;
    }
    {
        let (x_format, y_format) = (|at: &f64| x_axis.label(*at), |at: &f64| y_axis.label(*at));
        let mut mesh = context.configure_mesh();
        mesh.x_labels(x_axis.labels()).y_labels(y_axis.labels()).x_label_formatter(&x_format).y_label_formatter(&y_format);
        mesh.bold_line_style(GRID.stroke_width(zoom)).light_line_style(TRANSPARENT);
        mesh.label_style(("sans-serif", LABEL_SIZE * z)).axis_desc_style(("sans-serif", DESCRIPTION_SIZE * z));
        mesh.x_desc(&chart.x_label).y_desc(&chart.y_label);
        mesh.draw().map_err(failed)?;
    }

    let pixel = |x: f64, y: f64| {
        let at = (place(x, chart.x_scale)?, place(y, chart.y_scale)?.clamp(y_axis.low, y_axis.high));
        Some(context.backend_coord(&at))
    };
    for line in &chart.lines {
        band(area, line, &pixel)?;
    }
    for line in &chart.lines {
        let path: Vec<Pixel> = line.points.iter().filter_map(|(x, band)| pixel(*x, band.mean)).collect();
        stroke(area, &path, line, zoom)?;
    }
    legend(area, chart, legend_x, zoom)?;
    area.present().map_err(failed)
}

/// Lines at 2, 3 … 9 times each power of ten.
fn fine_grid(x_axis: &Axis, y_axis: &Axis) -> Vec<((f64, f64), (f64, f64))> {
    let mut lines = Vec::new();
    for y in fine_places(y_axis) {
        lines.push(((x_axis.low, y), (x_axis.high, y)));
    }
    for x in fine_places(x_axis) {
        lines.push(((x, y_axis.low), (x, y_axis.high)));
    }
    lines
}

fn fine_places(axis: &Axis) -> Vec<f64> {
    let mut places = Vec::new();
    let mut decade = axis.low;
    while axis.scale == Scale::Logarithmic && decade < axis.high {
        places.extend((2..=9).map(|digit| decade + f64::from(digit).log10()));
        decade += 1.0;
    }
    places
}

/// The shade between the ends of a line's bands, if they have any width.
fn band<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    line: &Line,
    pixel: &impl Fn(f64, f64) -> Option<Pixel>,
) -> Result<(), ChartError> {
    let wide = line.points.iter().any(|(_, band)| band.high > band.low);
    if !wide {
        return Ok(());
    }
    let upper = line.points.iter().filter_map(|(x, band)| pixel(*x, band.high));
    // where the lower end cannot be shown, the shade ends at the line
    let lower = line.points.iter().rev().filter_map(|(x, band)| pixel(*x, band.low).or_else(|| pixel(*x, band.mean)));
    let outline: Vec<Pixel> = upper.chain(lower).collect();
    area.draw(&Polygon::new(outline, colour(line).mix(BAND_OPACITY))).map_err(failed)
}

fn colour(line: &Line) -> RGBColor {
    let (red, green, blue) = line.colour;
    RGBColor(red, green, blue)
}

/// Draws a path as its line is to be drawn.
fn stroke<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, path: &[Pixel], line: &Line, zoom: u32) -> Result<(), ChartError> {
    let style: ShapeStyle = colour(line).stroke_width(LINE_WIDTH * zoom);
    let zoom = f64::from(zoom);
    let pieces = match line.dash {
        Dash::Solid => vec![path.to_vec()],
        Dash::Dashed => pieces(path, 9.0 * zoom, 5.0 * zoom),
        Dash::Dotted => pieces(path, 2.0 * zoom, 4.0 * zoom),
    };
    for piece in pieces.into_iter().filter(|piece| piece.len() > 1) {
        area.draw(&PathElement::new(piece, style)).map_err(failed)?;
    }
    Ok(())
}

/// Cuts a path into drawn pieces of one length with gaps of another between them.
#[allow(clippy::cast_possible_truncation, reason = "between two pixels")]
fn pieces(path: &[Pixel], drawn: f64, gap: f64) -> Vec<Vec<Pixel>> {
    let mut pieces = Vec::new();
    let (mut on, mut left) = (true, drawn);
    let mut piece: Vec<Pixel> = path.first().copied().into_iter().collect();
    for (from, to) in path.iter().zip(path.iter().skip(1)) {
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.hypot(dy);
        let mut gone = 0.0;
        while length - gone > left {
            gone += left;
            let at = (from.0 + (dx * gone / length).round() as i32, from.1 + (dy * gone / length).round() as i32);
            if on {
                piece.push(at);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![at];
            }
            on = !on;
            left = if on { drawn } else { gap };
        }
        left -= length - gone;
        if on {
            piece.push(*to);
        }
    }
    pieces.push(piece);
    pieces
}

fn legend<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, chart: &Chart, left: i32, zoom: u32) -> Result<(), ChartError> {
    let z = i32::try_from(zoom).unwrap_or(1);
    let mut y = (TITLE_SIZE + 3 * MARGIN) * z;
    for line in &chart.lines {
        stroke(area, &[(left, y), (left + SAMPLE * z, y)], line, zoom)?;
        let at = (left + (SAMPLE + 8) * z, y - LABEL_SIZE * z / 2);
        area.draw(&Text::new(line.name.clone(), at, ("sans-serif", LABEL_SIZE * z))).map_err(failed)?;
        y += LEADING * z;
    }
    Ok(())
}

fn failed(error: impl Display) -> ChartError {
    ChartError::Drawing(error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values() {
        let axis = Axis::around([120.0, 3e6, f64::NAN, -1.0].into_iter(), Scale::Logarithmic, 0.0).unwrap();
        assert_eq!((axis.low, axis.high, axis.labels()), (2.0, 7.0, 6));
        assert_eq!((axis.label(2.0), axis.label(2.5), axis.label(7.0)), ("100".to_owned(), String::new(), "1e7".to_owned()));
        let axis = Axis::around([4.0, 100.0].into_iter(), Scale::Linear, 0.05).unwrap();
        assert_eq!((axis.low, axis.high), (0.0, 105.0));
        assert_eq!((axis.label(0.1 + 0.2), power_of_ten(-2.0)), ("0.3".to_owned(), "0.01".to_owned()));
        assert!(Axis::around([0.0].into_iter(), Scale::Logarithmic, 0.0).is_none());
    }

    #[test]
    fn dashes_have_one_length_around_corners() {
        let cut = pieces(&[(0, 0), (10, 0), (10, 10)], 8.0, 4.0);
        assert_eq!(cut, vec![vec![(0, 0), (8, 0)], vec![(10, 2), (10, 10)]]);
        assert_eq!(pieces(&[(5, 5)], 8.0, 4.0), vec![vec![(5, 5)]]);
        assert!(pieces(&[], 8.0, 4.0).iter().all(Vec::is_empty));
    }
}
