//! `/api/v1/readings/export`: readings as a file, CSV or one JSON object a line, streamed: it may be larger than memory.
//!
//! The order is that of `/api/v1/readings` with the same filters. A fault in the middle ends the connection, so that what was cut
//! short is not taken for the whole.

use super::AppState;
use super::listing::{Listing, ListingQuery};
use super::problem::Problem;
use super::readings::{Next, Page, Wanted};
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures::stream;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Readings of one piece.
const PIECE: usize = 500;
/// Exports at a time.
const EXPORTS_MAX: usize = 8;
/// The columns of CSV.
const COLUMNS: [&str; 9] = ["id", "topic", "time_us", "value", "unit", "sequence", "message", "standing", "height"];

static EXPORTS: Semaphore = Semaphore::const_new(EXPORTS_MAX);

/// How readings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Lines,
}

impl Format {
    fn of(listing: &Listing) -> Result<Self, Problem> {
        match listing.format() {
            None | Some("ndjson") => Ok(Self::Lines),
            Some("csv") => Ok(Self::Csv),
            Some(other) => Err(Problem::bad_request(format!("format={other} is neither csv nor ndjson"))),
        }
    }

    const fn head(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"readings.csv\""),
            Self::Lines => ("application/x-ndjson", "attachment; filename=\"readings.ndjson\""),
        }
    }

    /// Readings as text.
    fn text(self, readings: &[Value], first: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Lines => {
                let mut text = Vec::new();
                for reading in readings {
                    serde_json::to_writer(&mut text, reading)?;
                    text.push(b'\n');
                }
                Ok(text)
            }
            Self::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                if first {
                    writer.write_record(COLUMNS)?;
                }
                for reading in readings {
                    writer.write_record(COLUMNS.map(|column| cell(reading.get(column))))?;
                }
                writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
            }
        }
    }
}

/// A field as CSV has it. What spreadsheets would take for a formula is made text.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(bytes)) => bytes.values().next().and_then(Value::as_str).unwrap_or_default().to_owned(),
        Some(other) => other.to_string(),
    }
}

/// How far an export is.
enum Step {
    First(Page),
    Next(Next),
    End,
}

/// `GET /api/v1/readings/export?format=csv|ndjson&device=&topic=&from=&to=`.
pub(super) async fn export(State(state): State<AppState>, query: ListingQuery) -> Result<impl IntoResponse, Problem> {
    let listing = Listing::of(query)?;
    let format = Format::of(&listing)?;
    let place = EXPORTS.try_acquire().map_err(|_| Problem::unwell("too many exports are under way: try again in a moment"))?;
    let wanted = Arc::new(Wanted::of(&state, &listing).await?);
    // what is wrong at the beginning is said as a problem
    let first = wanted.page(&state, &listing, PIECE).await?;
    let pieces = stream::unfold((Step::First(first), place), move |(step, place)| {
        let (state, wanted) = (state.clone(), wanted.clone());
        async move {
            let (page, first) = match step {
                Step::First(page) => (Ok(page), true),
                Step::Next(next) => (wanted.after(&state, next, PIECE).await, false),
                Step::End => return None,
            };
            let (piece, step) = match page {
                Ok(page) => (format.text(&page.readings, first), page.next.map_or(Step::End, Step::Next)),
                Err(problem) => (Err(io::Error::other(format!("{problem:?}"))), Step::End),
            };
            Some((piece, (step, place)))
        }
    });
    let (kind, disposition) = format.head();
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], Body::from_stream(pieces)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reading_is_one_line_in_either_format() {
        let reading = json!({
            "id": "ab", "topic": "z1/m1/sense/power", "time_us": 5, "value": "a,\"b\"\nc", "unit": null, "sequence": 7,
            "message": "cd", "standing": "confirmed", "height": 9, "batch_index": 0,
        });
        let text = |format: Format, first| String::from_utf8(format.text(std::slice::from_ref(&reading), first).unwrap()).unwrap();
        assert_eq!(text(Format::Csv, false), "ab,z1/m1/sense/power,5,\"a,\"\"b\"\"\nc\",,7,cd,confirmed,9\n");
        assert!(text(Format::Csv, true).starts_with("id,topic,time_us,value,unit,"));
        let line = text(Format::Lines, true);
        assert_eq!(line.lines().count(), 1);
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), reading);
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        assert_eq!(cell(Some(&json!("=1+1"))), "'=1+1");
        assert_eq!(cell(Some(&json!(-1.5))), "-1.5");
        assert_eq!(cell(Some(&json!({ "base64url": "-_8" }))), "-_8");
        assert_eq!((cell(None), cell(Some(&json!(true)))), (String::new(), "true".to_owned()));
    }
}
