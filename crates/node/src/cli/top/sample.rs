//! What a node says of itself at one moment.

use crate::cli::client::{ClientError, NodeClient};
use serde_json::Value;
use std::time::Instant;

/// What a node said.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When.
    pub(super) at: Instant,
    /// `GET /api/v1/status`.
    pub(super) status: Value,
    /// What of `/metrics` has a plain number: name without labels, and the sum over all labels.
    metrics: Vec<(String, f64)>,
}

impl Sample {
    /// Asks a node.
    ///
    /// # Errors
    /// [`ClientError`] if it does not answer.
    pub(super) fn take(node: &NodeClient) -> Result<Self, ClientError> {
        let status = node.json("/api/v1/status")?;
        let metrics = node.text("/metrics")?;
        Ok(Self::new(Instant::now(), status, &metrics))
    }

    /// The same from texts.
    pub(super) fn new(at: Instant, status: Value, metrics: &str) -> Self {
        Self { at, status, metrics: numbers(metrics) }
    }

    /// A number of the status, by JSON pointer.
    pub(super) fn count(&self, pointer: &str) -> Option<u64> {
        self.status.pointer(pointer).and_then(Value::as_u64)
    }

    /// The same with a fraction.
    pub(super) fn fraction(&self, pointer: &str) -> Option<f64> {
        self.status.pointer(pointer).and_then(Value::as_f64)
    }

    /// A text of the status, by JSON pointer; empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.status.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether something of the status holds.
    pub(super) fn holds(&self, pointer: &str) -> bool {
        self.status.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A metric, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// How much a number has grown in a second; none if the node was started anew meanwhile.
pub(super) fn rate(before: (Instant, u64), after: (Instant, u64)) -> Option<f64> {
    let seconds = after.0.checked_duration_since(before.0)?.as_secs_f64();
    let grown = after.1.checked_sub(before.1)?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let grown = grown as f64;
    (seconds > 0.0).then_some(grown / seconds)
}

/// The metrics of a text in Prometheus' form, in the order of the text.
fn numbers(text: &str) -> Vec<(String, f64)> {
    let mut all: Vec<(String, f64)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or_default();
        let Ok(value) = value.parse::<f64>() else { continue };
        match all.last_mut().filter(|(last, _)| last == name) {
            Some((_, sum)) => *sum += value,
            None => all.push((name.to_owned(), value)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let text = "# HELP a b\n# TYPE a counter\na_total{why=\"x y\"} 2\na_total{why=\"z\"} 3\nb 1.5\nnonsense\n# EOF\n";
        let sample = Sample::new(Instant::now(), Value::Null, text);
        assert_eq!(sample.metric("a_total"), Some(5.0));
        assert_eq!(sample.metric("b"), Some(1.5));
        assert_eq!(sample.metric("c"), None);
    }

    #[test]
    fn a_rate_is_of_one_life() {
        let start = Instant::now();
        let later = start + Duration::from_secs(2);
        assert_eq!(rate((start, 10), (later, 30)), Some(10.0));
        assert_eq!(rate((start, 30), (later, 10)), None);
        assert_eq!(rate((start, 30), (start, 30)), None);
    }
}
