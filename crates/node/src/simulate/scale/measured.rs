//! Constants of the scale model, from what `wattle bench NAME --json` printed.

use crate::cli::Failure;
use crate::simulate::constants::WORKERS;
use crate::simulate::printed;
use serde_json::Value;
use sim::scale::{Confirmation, Constants, Storage, StoragePoint};
use std::path::Path;

/// Which files are of use.
const FILES: &str = "give a file made by `wattle bench dag --json`, for example";
/// Largest number that a bench is believed.
const FIGURE_MAX: f64 = 1e15;
/// Most nodes of a `confirm` whose pace of milestones may be taken: more are slowed by the one machine that they share.
const CONFIRM_NODES_MAX: f64 = 8.0;
/// What may be given.
const BENCHES: &str = "dag, ingest, connections, mqtt, vote, confirm and storage do";

/// Constants, and the benches that they were taken from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// The constants; those that no bench gave are the development machine's.
    pub(super) constants: Constants,
    /// The benches that files were given of.
    pub(super) given: Vec<String>,
}

impl Measured {
    /// Takes over what a file says.
    ///
    /// # Errors
    /// [`Failure`] (usage) if it is none of a bench that is used here.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), Failure> {
        printed::read(path, FILES, |object| self.take(object))
    }

    fn take(&mut self, object: &Value) -> Result<(), String> {
        let constants = &mut self.constants;
        let name = object.get("bench").and_then(Value::as_str).ok_or("it names no bench")?;
        match name {
            "dag" => {
                let (cores, nodes) = (cores(object)?, figure(object, "/nodes")?);
                constants.admission_us = cores * 1e6 / (nodes * figure(object, "/admitted_messages_per_second")?);
            }
            "ingest" if figure(object, "/nodes")? > 1.0 => {
                constants.anchor_us = cores(object)? * 1e6 / figure(object, "/readings_per_second")?;
            }
            "ingest" => constants.node_bytes = figure(object, "/rss_bytes")?,
            "connections" => {
                let readings = figure(object, "/readings_confirmed")?;
                let (cpu, memory) = (figure(object, "/load_cpu_seconds")?, figure(object, "/broker_rss_bytes_per_connection")?);
                (constants.site_us, constants.connection_bytes) = (cpu * 1e6 / readings, memory);
            }
            "mqtt" => mqtt(object, constants)?,
            "vote" => {
                let (sync, sign, verify) = (figure(object, "/sync_us")?, figure(object, "/sign_us")?, figure(object, "/verify_us")?);
                (constants.sync_us, constants.sign_us, constants.verify_us) = (sync, sign, verify);
            }
            "confirm" => constants.confirmation = confirmation(object)?,
            "storage" => constants.storage = storage(object)?,
            other => return Err(format!("bench {other} says nothing of scale: {BENCHES}")),
        }
        self.given.push(name.to_owned());
        Ok(())
    }
}

fn mqtt(object: &Value, constants: &mut Constants) -> Result<(), String> {
    if object.get("qos").and_then(Value::as_u64) != Some(1) {
        return Err("its publishes are not of QoS 1".to_owned());
    }
    let rate = figure(object, "/messages_per_second")?;
    if figure(object, "/publishers")? > 1.0 {
        constants.publishes_per_second = rate;
    } else {
        constants.link_publishes_per_second = rate;
    }
    Ok(())
}

fn confirmation(object: &Value) -> Result<Confirmation, String> {
    if object.get("network").and_then(Value::as_str) != Some("simulated") {
        return Err("its nodes are not on simulated links: run it with --network simulated".to_owned());
    }
    let nodes = figure(object, "/nodes")?;
    if nodes > CONFIRM_NODES_MAX {
        return Err(format!("its {nodes} nodes slow each other on one machine: at most {CONFIRM_NODES_MAX} are of use"));
    }
    Ok(Confirmation {
        nodes: whole_nodes(object)?,
        cores: cores(object)?,
        rate_per_second: figure(object, "/rate_per_second")?,
        link_ms: figure(object, "/link_ms")?,
        p50_ms: figure(object, "/latency_p50_ms")?,
        milestones_per_second: figure(object, "/milestones_per_second")?,
    })
}

fn whole_nodes(object: &Value) -> Result<u32, String> {
    let nodes = object.get("nodes").and_then(Value::as_u64).and_then(|nodes| u32::try_from(nodes).ok());
    nodes.ok_or_else(|| "it has no whole number of nodes".to_owned())
}

fn storage(object: &Value) -> Result<Storage, String> {
    let nodes = whole_nodes(object)?;
    if nodes < 2 {
        return Err("it has one node only: run it with --nodes 4".to_owned());
    }
    let fields = object.as_object().ok_or("it is no object")?;
    let mut points = Vec::new();
    for (name, figures) in fields {
        let Some(batch) = name.strip_prefix("batch_").and_then(|size| size.parse::<u32>().ok()) else { continue };
        points.push(StoragePoint {
            batch: f64::from(batch),
            ledger_bytes: figure(figures, "/ledger_bytes_per_reading")?,
            index_bytes: figure(figures, "/index_bytes_per_reading")?,
            other_bytes: figure(figures, "/other_node_bytes_per_reading")?,
            readings_per_milestone: figure(figures, "/readings_per_milestone")?,
        });
    }
    Storage::new(nodes, points).map_err(|error| error.to_string())
}

/// Cores that worked: all replicas of a bench share the threads of one runtime.
fn cores(object: &Value) -> Result<f64, String> {
    Ok(figure(object, "/machine/cores")?.min(f64::from(WORKERS)))
}

/// A number above 0 at this place.
fn figure(object: &Value, place: &str) -> Result<f64, String> {
    let number = object.pointer(place).and_then(Value::as_f64).filter(|number| *number > 0.0 && *number < FIGURE_MAX);
    number.ok_or_else(|| format!("it has no number above 0 as {}", place.trim_start_matches('/').replace('/', ".")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_bench_gives_its_constants() {
        let mut measured = Measured::default();
        // of these four cores two did something
        let machine = json!({ "cores": 4 });
        let point = |bytes: f64| {
            json!({ "ledger_bytes_per_reading": bytes, "index_bytes_per_reading": 2.0, "other_node_bytes_per_reading": 3.0,
                    "readings_per_milestone": 4.0 })
        };
        for object in [
            json!({ "bench": "dag", "nodes": 8, "admitted_messages_per_second": 1_000.0, "machine": machine }),
            json!({ "bench": "ingest", "nodes": 4, "readings_per_second": 1e6, "rss_bytes": 7e7, "machine": machine }),
            json!({ "bench": "ingest", "nodes": 1, "readings_per_second": 1e6, "rss_bytes": 5e7, "machine": machine }),
            json!({ "bench": "connections", "readings_confirmed": 1_000, "load_cpu_seconds": 0.1, "broker_rss_bytes_per_connection": 9e3 }),
            json!({ "bench": "mqtt", "qos": 1, "publishers": 100, "messages_per_second": 5e4 }),
            json!({ "bench": "mqtt", "qos": 1, "publishers": 1, "messages_per_second": 4e3 }),
            json!({ "bench": "vote", "sync_us": 1.0, "sign_us": 2.0, "verify_us": 3.0 }),
            json!({ "bench": "confirm", "network": "simulated", "nodes": 4, "machine": machine, "rate_per_second": 1e3, "link_ms": 1.5,
                    "latency_p50_ms": 20.0, "milestones_per_second": 49.0 }),
            json!({ "bench": "storage", "nodes": 4, "batch": [1, 10], "batch_1": point(9.0), "batch_10": point(5.0) }),
        ] {
            measured.take(&object).unwrap_or_else(|why| panic!("{why}: {object}"));
        }
        let constants = &measured.constants;
        assert_eq!((constants.admission_us, constants.anchor_us, constants.node_bytes), (250.0, 2.0, 5e7));
        assert!((constants.site_us - 100.0).abs() < 1e-9 && constants.connection_bytes == 9e3, "{constants:?}");
        assert_eq!((constants.publishes_per_second, constants.link_publishes_per_second), (5e4, 4e3));
        assert_eq!((constants.sync_us, constants.sign_us, constants.verify_us), (1.0, 2.0, 3.0));
        assert_eq!((constants.confirmation.p50_ms, constants.confirmation.cores), (20.0, 2.0));
        assert_eq!(constants.storage.points().iter().map(|p| p.ledger_bytes).collect::<Vec<_>>(), [9.0, 5.0]);
        assert_eq!(measured.given.len(), 9);
    }

    #[test]
    fn other_files_are_refused() {
        for object in [
            json!({}),
            json!([]),
            json!({ "bench": "pow" }),
            json!({ "bench": "dag", "nodes": 0, "admitted_messages_per_second": 1.0, "machine": { "cores": 2 } }),
            json!({ "bench": "mqtt", "qos": 0, "publishers": 1, "messages_per_second": 4e3 }),
            json!({ "bench": "confirm", "network": "tcp", "nodes": 4 }),
            json!({ "bench": "confirm", "network": "simulated", "nodes": 48 }),
            json!({ "bench": "storage", "nodes": 1 }),
            json!({ "bench": "storage", "nodes": 4 }),
            json!({ "bench": "vote", "sync_us": -1.0 }),
        ] {
            let mut measured = Measured::default();
            assert!(measured.take(&object).is_err(), "{object} was taken");
            assert_eq!(measured, Measured::default(), "{object} left something behind");
        }
    }
}
