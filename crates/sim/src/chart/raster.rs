//! Pixels, letters and PNG: what the drawing library leaves to a backend.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use std::convert::Infallible;

/// Bytes of a pixel.
const CHANNELS: usize = 3;
/// Heights of letters there are, and from which size of the library's each fits. SVG shows a size as 1 / 1.24 of it, and these
/// letters are 3/4 as large as their box.
const HEIGHTS: [(f64, RasterHeight); 3] = [(29.0, RasterHeight::Size32), (22.0, RasterHeight::Size24), (0.0, RasterHeight::Size20)];
/// Written for what there is no letter of.
const UNKNOWN: char = '?';

/// A white picture to draw on.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { width, height, rgb: vec![u8::MAX; width as usize * height as usize * CHANNELS] }
    }

    /// Lays a colour over a pixel. Outside of the picture nothing happens.
    fn blend(&mut self, (x, y): BackendCoord, rgb: (u8, u8, u8), opacity: f64) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * CHANNELS;
        let pixel = self.rgb.iter_mut().skip(at).take(CHANNELS);
        for (channel, new) in pixel.zip([rgb.0, rgb.1, rgb.2]) {
            *channel = mixed(*channel, new, opacity);
        }
    }

    /// The picture as a PNG file.
    pub(super) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(file)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
fn mixed(old: u8, new: u8, opacity: f64) -> u8 {
    let opacity = opacity.clamp(0.0, 1.0);
    (f64::from(old) * (1.0 - opacity) + f64::from(new) * opacity).round() as u8
}

/// Draws on a canvas for the library.
pub(super) struct Pen<'a>(&'a mut Canvas);

impl<'a> Pen<'a> {
    pub(super) fn new(canvas: &'a mut Canvas) -> Self {
        Self(canvas)
    }
}

/// The letters for a size of the library's.
fn letters(size: f64) -> RasterHeight {
    HEIGHTS.iter().find(|(from, _)| size >= *from).map_or(RasterHeight::Size20, |(_, height)| *height)
}

fn pixels(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Width and height of a text.
fn extent(text: &str, size: f64) -> (i32, i32) {
    let height = letters(size);
    let width = text.chars().count().saturating_mul(get_raster_width(FontWeight::Regular, height));
    (pixels(width), pixels(height.val()))
}

impl DrawingBackend for Pen<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width, self.0.height)
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<(), DrawingErrorKind<Infallible>> {
        self.0.blend(point, color.rgb, color.alpha);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, pos: BackendCoord) -> Result<(), DrawingErrorKind<Infallible>> {
        let (width, height) = extent(text, style.size());
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let (color, turn, size) = (style.color(), style.transform(), letters(style.size()));
        let advance = pixels(get_raster_width(FontWeight::Regular, size));
        let mut x = left;
        for letter in text.chars() {
            let glyph = get_raster(letter, FontWeight::Regular, size).or_else(|| get_raster(UNKNOWN, FontWeight::Regular, size));
            for (row, line) in (0..).zip(glyph.iter().flat_map(|glyph| glyph.raster())) {
                for (column, intensity) in (0..).zip(line.iter()).filter(|(_, intensity)| **intensity > 0) {
                    let (dx, dy) = turn.transform(x + column, top + row);
                    let opacity = color.alpha * f64::from(*intensity) / f64::from(u8::MAX);
                    self.0.blend((pos.0 + dx, pos.1 + dy), color.rgb, opacity);
                }
            }
            x += advance;
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(&self, text: &str, style: &S) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let (width, height) = extent(text, style.size());
        Ok((width.unsigned_abs(), height.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_changes_nothing() {
        let mut canvas = Canvas::new(4, 3);
        for point in [(-1, 0), (0, -1), (4, 0), (0, 3), (i32::MAX, i32::MIN)] {
            canvas.blend(point, (0, 0, 0), 1.0);
        }
        assert!(canvas.rgb.iter().all(|byte| *byte == u8::MAX));
        canvas.blend((3, 2), (0, 0, 0), 1.0);
        assert_eq!(canvas.rgb.iter().filter(|byte| **byte == 0).count(), CHANNELS);
        assert_eq!((mixed(255, 0, 0.5), mixed(10, 200, 2.0), mixed(10, 200, -1.0)), (128, 200, 10));
    }

    #[test]
    fn every_letter_of_a_chart_can_be_written() {
        for (_, height) in HEIGHTS {
            for letter in "aZ09 [1/s],.:-×µ°".chars() {
                assert!(get_raster(letter, FontWeight::Regular, height).is_some(), "{letter} is missing at {height:?}");
            }
        }
    }
}
