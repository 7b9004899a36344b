//! One point of the answer, really run: a node, and devices that tell their readings when they are due.

use crate::bench::{Crowd, Figures, OTHER_FILES, need_files, one_node};
use crate::cli::{Exit, Failure};
use serde_json::Value;
use sim::capacity::Probe;
use std::path::Path;
use std::time::Duration;

/// Which loopback addresses the devices come from; those of the measuring were others.
const TURN: u8 = 2;

/// What was run, and what came out.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// The period of the answer.
    pub(super) period: Duration,
    /// The run.
    pub(super) probe: Probe,
    /// Within which 99 of 100 readings were to be acknowledged.
    pub(super) latency_max: Duration,
    /// Its figures, as `wattle bench connections` names them.
    pub(super) figures: Figures,
    /// Why it did not hold; nothing if it did.
    pub(super) faults: Vec<String>,
}

/// Runs it, with a node below `directory`.
///
/// # Errors
/// [`Failure`] if too few files may be opened, the node does not start or ends, or no device is let in.
pub(super) async fn run(period: Duration, probe: Probe, latency_max: Duration, directory: &Path) -> Result<Checked, Failure> {
    need_files(u64::from(probe.devices) + OTHER_FILES, "--check-devices-max")?; // the node inherits it
    let interval_ms = u32::try_from(probe.interval.as_millis()).unwrap_or(u32::MAX);
    let crowd = Crowd { devices: probe.devices, readings: probe.readings, interval_ms, qos: 1 };
    let mut network = one_node(&directory.join("check")).await?;
    let figures = crowd.tell(&mut network, TURN).await?;
    let faults = faults(&probe, latency_max, &figures);
    Ok(Checked { period, probe, latency_max, figures, faults })
}

fn number(value: Option<&Value>) -> f64 {
    value.and_then(Value::as_f64).unwrap_or_default()
}

/// The 99th percentile from when a reading was due to its acknowledgement.
pub(super) fn latency_p99_ms(figures: &Figures) -> Option<f64> {
    figures.get("latency_ms")?.get("p99")?.as_f64()
}

/// What did not go as it should.
fn faults(probe: &Probe, latency_max: Duration, figures: &Figures) -> Vec<String> {
    let figure = |name: &str| number(figures.get(name));
    let mut faults = Vec::new();
    let mut expect = |holds: bool, otherwise: String| {
        if !holds {
            faults.push(otherwise);
        }
    };
    let in_all = probe.readings_in_all() as f64;
    let acknowledged = figure("readings_acknowledged");
    expect(figure("connections_refused") <= 0.0, format!("{} devices were not let in", figure("connections_refused")));
    expect(figure("connections_lost") <= 0.0, format!("{} connections were lost", figure("connections_lost")));
    expect(acknowledged >= in_all, format!("{acknowledged} of {in_all} readings were acknowledged"));
    expect(figure("readings_confirmed") >= acknowledged, format!("{} of {acknowledged} were confirmed", figure("readings_confirmed")));
    // a latency counts from when a reading was due: a rate that is not kept shows here
    let (p99_ms, max_ms) = (latency_p99_ms(figures), latency_max.as_secs_f64() * 1e3);
    expect(
        p99_ms.is_some_and(|ms| ms <= max_ms),
        format!("99 of 100 readings took up to {:.0} ms, not {max_ms:.0}", p99_ms.unwrap_or_default()),
    );
    faults
}

impl Checked {
    /// Whether the answer held.
    pub(super) const fn held(&self) -> bool {
        self.faults.is_empty()
    }

    /// What the command ends with.
    ///
    /// # Errors
    /// [`Failure`] (refused) if the answer did not hold.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.held() {
            return Ok(());
        }
        let todo = "choose a lower --margin, or see what else runs on this host";
        Err(Failure::new(Exit::Refused, format!("the check did not hold: {}", self.faults.join("; ")), "wattle capacity", todo))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    fn fields(object: Value) -> Figures {
        object.as_object().cloned().unwrap_or_default()
    }

    /// What a run gives in which all went well, but for what `change` says.
    pub(in super::super) fn checked(change: Value) -> Checked {
        let probe = Probe { devices: 100, interval: Duration::from_millis(500), readings: 20 };
        let mut figures = fields(json!({
            "connections_refused": 0, "connections_lost": 0, "readings_sent": 2_000, "readings_acknowledged": 2_000,
            "readings_confirmed": 2_000, "readings_per_second": 199.5, "latency_ms": { "p50": 2.0, "p99": 20.0, "max": 30.0 },
        }));
        figures.extend(fields(change));
        let latency_max = Duration::from_secs(1);
        let faults = faults(&probe, latency_max, &figures);
        Checked { period: Duration::from_secs(1), probe, latency_max, figures, faults }
    }

    #[test]
    fn what_goes_well_holds() {
        let checked = checked(json!({}));
        assert!(checked.held() && checked.verdict().is_ok(), "{checked:?}");
    }

    #[test]
    fn whatever_goes_wrong_is_said() {
        for (change, word) in [
            (json!({ "connections_refused": 3 }), "not let in"),
            (json!({ "connections_lost": 1 }), "lost"),
            (json!({ "readings_acknowledged": 1_999 }), "1999 of 2000 readings were acknowledged"),
            (json!({ "readings_confirmed": 1_990 }), "1990 of 2000 were confirmed"),
            (json!({ "latency_ms": { "p50": 2.0, "p99": 1_500.0, "max": 2_000.0 } }), "1500 ms"),
            (json!({ "latency_ms": null }), "99 of 100"),
        ] {
            let checked = checked(change);
            assert_eq!(checked.faults.len(), 1, "{checked:?}");
            let failure = checked.verdict().err().map(|failure| failure.to_string()).unwrap_or_default();
            assert!(failure.contains(word), "{word} is not in {failure}");
        }
    }
}
