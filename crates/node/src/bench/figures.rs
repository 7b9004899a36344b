//! From several runs to one object or table.

use super::command::Common;
use super::machine;
use crate::cli::Failure;
use crate::cli::output::{print, print_json, table};
use crate::cli::wire::Latency;
use serde_json::{Map, Value, json};

/// Named figures of one run, units in the names.
pub(crate) type Figures = Map<String, Value>;

/// An object's fields.
pub(super) fn fields(object: Value) -> Figures {
    match object {
        Value::Object(fields) => fields,
        _ => Figures::new(),
    }
}

/// The distribution of latencies in milliseconds; `None` if there are none.
pub(super) fn latency(mut samples_ms: Vec<f64>) -> Option<Latency> {
    samples_ms.sort_by(f64::total_cmp);
    let rank = |percent: usize| samples_ms.get((samples_ms.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(Latency { p50: rank(50)?, p99: rank(99)?, max: rank(100)? })
}

/// Runs `once` as often as asked and shows the run whose figure `by` is the median, so that all figures
/// belong together.
///
/// # Errors
/// [`Failure`] of the first run that fails.
pub(super) fn repeat(
    bench: &str,
    parameters: Value,
    common: &Common,
    by: &str,
    mut once: impl FnMut() -> Result<Figures, Failure>,
) -> Result<(), Failure> {
    let mut runs = Vec::new();
    for _ in 0..common.runs {
        runs.push(once()?);
    }
    let mut object = json!({ "bench": bench, "runs": common.runs, "machine": machine::describe() });
    if let Some(object) = object.as_object_mut() {
        object.extend(fields(parameters));
        object.extend(median(runs, by));
    }
    match common.json {
        true => print_json(&object),
        false => print(&shown(&object)),
    }
}

/// The run in the middle by one of its figures.
fn median(mut runs: Vec<Figures>, by: &str) -> Figures {
    let figure = |run: &Figures| run.get(by).and_then(Value::as_f64).unwrap_or_default();
    runs.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).unwrap_or_default()
}

fn shown(object: &Value) -> String {
    let mut rows = Vec::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        push_rows(&mut rows, name.clone(), value);
    }
    table(&["figure", "value"], rows)
}

/// One row a figure; what is within an object has the object's name before its own. Objects are few levels deep.
fn push_rows(rows: &mut Vec<Vec<String>>, name: String, value: &Value) {
    match value {
        Value::Object(inner) => inner.iter().for_each(|(key, value)| push_rows(rows, format!("{name}.{key}"), value)),
        value => rows.push(vec![name, cell(value)]),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) if n.is_f64() => n.as_f64().map_or_else(|| n.to_string(), |x| format!("{x:.2}")),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let l = latency((1..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((l.p50, l.p99, l.max), (50.0, 99.0, 100.0));
        let one = latency(vec![7.0]).unwrap();
        assert_eq!((one.p50, one.p99, one.max), (7.0, 7.0, 7.0));
        assert!(latency(Vec::new()).is_none());
    }

    #[test]
    fn figures_within_figures_have_a_row_each() {
        let text = shown(&json!({ "a": { "b": { "c": 1.5 }, "d": 2 }, "e": "f" }));
        for row in ["a.b.c", "1.50", "a.d", "e"] {
            assert!(text.contains(row), "{row} is missing in {text}");
        }
    }

    #[test]
    fn the_median_run_is_shown_whole() {
        let run = |n: u64| fields(json!({ "readings_per_second": n, "other": n * 10 }));
        let middle = median(vec![run(9), run(1), run(5)], "readings_per_second");
        assert_eq!(middle.get("other"), Some(&json!(50)));
        assert!(median(Vec::new(), "x").is_empty());
    }
}
