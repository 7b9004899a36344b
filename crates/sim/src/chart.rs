//! Charts: lines with confidence bands, as SVG text and as PNG bytes.
//!
//! ```text
//! Chart ─▶ plot (plotters, one drawing for both) ─┬▶ its own backend ─▶ SVG, its letters drawn by who shows it
//!                                                 └▶ raster ─▶ png ─▶ PNG, twice as large, with letters of its own
//! ```
//! No font and no library of the system is used: the letters of `raster` come from a crate (`noto-sans-mono-bitmap`). Only
//! Latin-1 can be written. A logarithmic axis is a linear one of decimal logarithms; what is not above 0 is left out there.

mod plot;
mod raster;

use crate::Band;
use plotters::backend::SVGBackend;
use plotters::drawing::IntoDrawingArea as _;
use thiserror::Error;

/// Width and height of a chart, in the pixels of its SVG.
pub const SIZE: (u32, u32) = (960, 600);
/// How much larger the PNG is.
pub const PNG_SCALE: u32 = 2;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// Through.
    Solid,
    /// In dashes.
    Dashed,
    /// In dots.
    Dotted,
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// By x, ascending; the band is shaded if it is wider than the line.
    pub points: Vec<(f64, Band)>,
    /// Red, green and blue.
    pub colour: (u8, u8, u8),
    /// How it is drawn.
    pub dash: Dash,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// What y is, with its unit.
    pub y_label: String,
    /// How x is divided.
    pub x_scale: Scale,
    /// How y is divided.
    pub y_scale: Scale,
    /// What is drawn, in the order of the legend.
    pub lines: Vec<Line>,
}

/// Why a chart cannot be drawn.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChartError {
    /// Nothing on it can be shown.
    #[error("the chart {0:?} has no point that can be shown")]
    Empty(String),
    /// The library that draws failed.
    #[error("drawing failed: {0}")]
    Drawing(String),
    /// The picture cannot be encoded.
    #[error("encoding a PNG failed: {0}")]
    Encoding(String),
}

impl Chart {
    /// The chart as an SVG document.
    ///
    /// # Errors
    /// [`ChartError`] if there is nothing to show or drawing fails.
    pub fn svg(&self) -> Result<String, ChartError> {
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        plot::draw(self, &area, 1)?;
        drop(area);
        Ok(text)
    }

    /// The chart as a PNG file.
    ///
    /// # Errors
    /// [`ChartError`] if there is nothing to show, or drawing or encoding fails.
    pub fn png(&self) -> Result<Vec<u8>, ChartError> {
        let (width, height) = (SIZE.0 * PNG_SCALE, SIZE.1 * PNG_SCALE);
        let mut canvas = raster::Canvas::new(width, height);
        let area = raster::Pen::new(&mut canvas).into_drawing_area();
        plot::draw(self, &area, PNG_SCALE)?;
        drop(area);
        canvas.png().map_err(|error| ChartError::Encoding(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chart(y_scale: Scale, points: &[(f64, f64)]) -> Chart {
        let band = |mean: f64| Band { mean, low: mean * 0.9, high: mean * 1.1 };
        let points: Vec<(f64, Band)> = points.iter().map(|(x, y)| (*x, band(*y))).collect();
        let line = |dash, name: &str| Line { name: name.to_owned(), points: points.clone(), colour: (200, 30, 30), dash };
        Chart {
            title: "Title".to_owned(),
            x_label: "sources".to_owned(),
            y_label: "latency [ms]".to_owned(),
            x_scale: Scale::Linear,
            y_scale,
            lines: vec![line(Dash::Solid, "first"), line(Dash::Dashed, "second"), line(Dash::Dotted, "third")],
        }
    }

    #[test]
    fn both_forms_are_drawn_and_repeat() {
        let points = [(1.0, 100.0), (50.0, 400.0), (100.0, 1e6)];
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let chart = chart(scale, &points);
            let svg = chart.svg().unwrap();
            for text in ["Title", "sources", "latency [ms]", "first", "third", "<svg", "</svg>"] {
                assert!(svg.contains(text), "{text} is missing");
            }
            assert_eq!(svg, chart.svg().unwrap());
            // a shade for each line's band, and none where a band is no wider than its line
            assert_eq!(svg.matches("<polygon").count(), 3);
            let mut thin = chart.clone();
            for (_, band) in thin.lines.iter_mut().flat_map(|line| line.points.iter_mut()) {
                (band.low, band.high) = (band.mean, band.mean);
            }
            assert!(!thin.svg().unwrap().contains("<polygon"));
            let png = chart.png().unwrap();
            assert!(png.starts_with(&[0x89, b'P', b'N', b'G']));
            assert_eq!(png, chart.png().unwrap());
        }
        let (linear, logarithmic) = (chart(Scale::Linear, &points), chart(Scale::Logarithmic, &points));
        assert_ne!(linear.svg().unwrap(), logarithmic.svg().unwrap());
        assert_ne!(linear.png().unwrap(), logarithmic.png().unwrap());
    }

    #[test]
    fn a_single_point_and_a_flat_line_are_drawn() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            chart(scale, &[(1.0, 5.0)]).svg().unwrap();
            chart(scale, &[(1.0, 5.0), (2.0, 5.0)]).png().unwrap();
        }
        chart(Scale::Linear, &[(1.0, 0.0), (2.0, 0.0)]).svg().unwrap();
    }

    #[test]
    fn nothing_to_show_is_an_error() {
        assert!(matches!(chart(Scale::Linear, &[]).svg(), Err(ChartError::Empty(_))));
        assert!(matches!(chart(Scale::Logarithmic, &[(1.0, 0.0)]).png(), Err(ChartError::Empty(_))));
        assert!(matches!(chart(Scale::Linear, &[(1.0, f64::NAN)]).svg(), Err(ChartError::Empty(_))));
    }
}
