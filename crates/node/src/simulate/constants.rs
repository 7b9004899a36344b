//! Constants of our code: those that `wattle bench NAME --json` printed, else those of the development machine.

use super::printed;
use crate::cli::Failure;
use serde_json::Value;
use sim::votes::Costs;
use std::path::Path;

/// Longest time that an admission may take to be believed, in microseconds: a second.
const ADMISSION_US_MAX: f64 = 1e6;
/// Which files are of use.
const FILES: &str = "give a file made by `wattle bench vote --json`, or by dag, pow or certificates";
/// Threads that the runtime of a node has, and that of a bench for all its replicas: more cores than these do nothing for it.
pub(super) const WORKERS: u32 = 2;
/// The bytes of data whose passages `wattle bench vote` times: none, as much as one more vote takes, as much as 64 take.
const PASSAGE_BYTES: [u32; 3] = [0, 32, 2_048];

/// Nonces tried and time taken at one difficulty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Search {
    /// Leading zero nibbles.
    pub(super) difficulty: u32,
    /// Nonces, on average.
    pub(super) nonces: f64,
    /// Microseconds, on average.
    pub(super) time_us: f64,
}

/// How long a message took from one of eight nodes to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Passage {
    /// Its bytes.
    pub(super) message_bytes: f64,
    /// Average milliseconds.
    pub(super) mean_ms: f64,
    /// Least milliseconds.
    pub(super) min_ms: f64,
    /// Most milliseconds.
    pub(super) max_ms: f64,
}

/// What the software took to certify one request at a time, all members on one machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Certified {
    /// Members.
    pub(super) voters: u32,
    /// Median, in milliseconds.
    pub(super) p50_ms: f64,
    /// Milliseconds of a simulated link; nothing on loopback TCP.
    pub(super) link_ms: Option<f64>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constants {
    /// What the steps of a vote take: `bench vote`, and how long a message is admitted: `bench dag`.
    pub(super) costs: Costs,
    /// Cores of the machine that are used.
    pub(super) cores: u32,
    /// The passage of messages: `bench vote`.
    pub(super) passages: Vec<Passage>,
    /// The proof of work: `bench pow`.
    pub(super) searches: Vec<Search>,
    /// Whole rounds: `bench certificates`.
    pub(super) certified: Vec<Certified>,
    /// The benches that files were given of.
    pub(super) given: Vec<&'static str>,
}

impl Default for Constants {
    /// The development machine's, from `docs/performance.md`: `wattle bench vote --extrapolate --runs 3`, `wattle bench pow --runs 1`, and
    /// `wattle bench certificates --wallets 1 --chain 1 --requests 500 --nodes N --runs 3`; the costs with theirs.
    fn default() -> Self {
        let passage = |(message_bytes, mean_ms, min_ms, max_ms)| Passage { message_bytes, mean_ms, min_ms, max_ms };
        let search = |(difficulty, nonces, time_us)| Search { difficulty, nonces, time_us };
        let certified = |(voters, p50_ms)| Certified { voters, p50_ms, link_ms: Some(1.5) };
        Self {
            costs: Costs::default(),
            cores: WORKERS,
            passages: [(161.0, 5.12, 0.62, 27.09), (193.0, 5.37, 0.53, 39.38), (2_210.0, 6.10, 0.60, 32.60)].map(passage).to_vec(),
            searches: [(0, 1.0, 0.07), (1, 15.66, 1.0), (2, 260.21, 16.4), (3, 4_004.66, 251.2)].map(search).to_vec(),
            certified: [(4, 5.8), (8, 11.3), (16, 24.7), (48, 126.0)].map(certified).to_vec(),
            given: Vec::new(),
        }
    }
}

impl Constants {
    /// Those of the files, and of the development machine what no file says.
    ///
    /// # Errors
    /// [`Failure`] (usage) if one is none of a bench that is used here.
    pub(super) fn of(files: &[impl AsRef<Path>]) -> Result<Self, Failure> {
        let mut constants = Self::default();
        let mut admission_us = None;
        for file in files {
            printed::read(file.as_ref(), FILES, |object| constants.take(object, &mut admission_us))?;
        }
        // all that an admission takes, in whatever order the files came
        if let Some(admission_us) = admission_us {
            constants.costs.take_in_us = admission_us;
        }
        Ok(constants)
    }

    fn take(&mut self, object: &Value, admission_us: &mut Option<f64>) -> Result<(), String> {
        let name = match object.get("bench").and_then(Value::as_str) {
            Some("vote") => {
                self.costs = costs(object)?;
                self.cores = cores(object)?;
                // a bench without samples times no passage
                self.passages = PASSAGE_BYTES.iter().filter_map(|bytes| passage(object, *bytes)).collect();
                "vote"
            }
            Some("dag") => {
                *admission_us = Some(admission(object)?);
                self.cores = cores(object)?;
                "dag"
            }
            Some("pow") => {
                self.searches = (0u32..).map_while(|difficulty| search(object, difficulty)).collect();
                if self.searches.is_empty() {
                    return Err("it has no difficulty_0".to_owned());
                }
                "pow"
            }
            Some("certificates") => {
                if !self.given.contains(&"certificates") {
                    self.certified.clear();
                }
                self.certified.push(certified(object)?);
                "certificates"
            }
            Some(other) => return Err(format!("bench {other} says nothing of votes: vote, dag, pow and certificates do")),
            None => return Err("it names no bench".to_owned()),
        };
        if !self.given.contains(&name) {
            self.given.push(name);
        }
        Ok(())
    }

    /// What the software took with so many voters.
    pub(super) fn certified_with(&self, voters: u32) -> Option<Certified> {
        self.certified.iter().find(|certified| certified.voters == voters).copied()
    }
}

/// A finite number above 0, at this place in the object.
fn number(object: &Value, place: &[&str]) -> Result<f64, String> {
    let value = place.iter().try_fold(object, |value, name| value.get(*name));
    let number = value.and_then(Value::as_f64).filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("it has no number above 0 as {}", place.join(".")))
}

/// The same, of what is counted.
fn count(object: &Value, place: &[&str]) -> Result<u32, String> {
    let value = place.iter().try_fold(object, |value, name| value.get(*name));
    let count = value.and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
    count.ok_or_else(|| format!("it has no number above 0 as {}", place.join(".")))
}

/// Cores that worked.
fn cores(object: &Value) -> Result<u32, String> {
    Ok(count(object, &["machine", "cores"])?.min(WORKERS))
}

fn costs(object: &Value) -> Result<Costs, String> {
    Ok(Costs {
        sign_us: number(object, &["sign_us"])?,
        take_in_us: number(object, &["take_in_us"])?,
        verify_request_us: number(object, &["verify_request_us"])?,
        sync_us: number(object, &["sync_us"])?,
        request_bytes: number(object, &["request_bytes"])?,
        message_bytes: number(object, &["message_bytes"])?,
        cast_vote_bytes: number(object, &["with_64_in_a_message", "bytes_per_vote_in_certificate"])?,
    })
}

fn passage(object: &Value, bytes: u32) -> Option<Passage> {
    let passage = object.get(format!("passage_with_{bytes}_bytes_of_data"))?;
    Some(Passage {
        message_bytes: number(passage, &["message_bytes"]).ok()?,
        mean_ms: number(passage, &["mean_ms"]).ok()?,
        min_ms: number(passage, &["min_ms"]).ok()?,
        max_ms: number(passage, &["latency_ms", "max"]).ok()?,
    })
}

/// All cores were busy with admitting each message on each node: what one of these admissions took.
fn admission(object: &Value) -> Result<f64, String> {
    let nodes = number(object, &["nodes"])?;
    let rate = number(object, &["admitted_messages_per_second"])?;
    let us = f64::from(cores(object)?) * 1e6 / (nodes * rate);
    if us <= ADMISSION_US_MAX { Ok(us) } else { Err("its admissions take longer than a second".to_owned()) }
}

fn certified(object: &Value) -> Result<Certified, String> {
    if count(object, &["wallets"])? != 1 || count(object, &["chain"])? != 1 {
        return Err("its latencies are those of a busy committee: bench with --wallets 1 --chain 1".to_owned());
    }
    Ok(Certified {
        voters: count(object, &["nodes"])?,
        p50_ms: number(object, &["certified_ms", "p50"])?,
        link_ms: object.get("link_ms").and_then(Value::as_f64),
    })
}

fn search(object: &Value, difficulty: u32) -> Option<Search> {
    let figures = object.get(format!("difficulty_{difficulty}"))?;
    let nonces = figures.get("hashes_mean")?.as_f64()?;
    let time_us = figures.get("time_mean_us")?.as_f64()?;
    Some(Search { difficulty, nonces, time_us })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::certificate::{THRESHOLD_PERCENT_MIN, needed};
    use protocol::limits::{COMMITTEE_MAX, PARENTS_MAX};
    use serde_json::json;

    fn taken(objects: &[Value]) -> Constants {
        let dir = tempfile::tempdir().unwrap();
        let write = |(n, object): (usize, &Value)| {
            let path = dir.path().join(n.to_string());
            std::fs::write(&path, object.to_string()).unwrap();
            path
        };
        let files: Vec<_> = objects.iter().enumerate().map(write).collect();
        Constants::of(&files).unwrap()
    }

    fn vote() -> Value {
        json!({
            "bench": "vote", "machine": { "cores": 4 }, "sign_us": 20.0, "take_in_us": 30.0, "verify_request_us": 50.0, "sync_us": 100.0,
            "request_bytes": 200, "message_bytes": 400, "with_64_in_a_message": { "bytes_per_vote_in_certificate": 295 },
            "passage_with_0_bytes_of_data": { "message_bytes": 161, "mean_ms": 2.0, "min_ms": 1.0, "latency_ms": { "max": 9.0 } },
        })
    }

    #[test]
    fn an_admission_is_the_cores_time_for_each_node_and_message() {
        let dag = json!({ "bench": "dag", "nodes": 48, "admitted_messages_per_second": 500.0, "machine": { "cores": 2 } });
        for files in [[dag.clone(), vote()], [vote(), dag]] {
            let constants = taken(&files);
            assert!((constants.costs.take_in_us - 83.333).abs() < 0.001, "{constants:?}");
            assert!((constants.costs.sync_us - 100.0).abs() < 1e-9);
        }
        let pow = json!({ "bench": "pow", "difficulty_0": { "hashes_mean": 1.0, "time_mean_us": 0.5 } });
        let constants = taken(&[pow]);
        assert_eq!(constants.searches, vec![Search { difficulty: 0, nonces: 1.0, time_us: 0.5 }]);
        assert_eq!((constants.given, constants.costs), (vec!["pow"], Costs::default()));
    }

    #[test]
    fn a_bench_of_votes_says_what_its_steps_take() {
        let constants = taken(&[vote()]);
        // of four cores two did something
        assert_eq!((constants.cores, constants.costs.take_in_us, constants.costs.cast_vote_bytes), (2, 30.0, 295.0));
        assert_eq!(constants.passages, vec![Passage { message_bytes: 161.0, mean_ms: 2.0, min_ms: 1.0, max_ms: 9.0 }]);
        let round = |nodes: u32, p50: f64| json!({ "bench": "certificates", "nodes": nodes, "wallets": 1, "chain": 1, "link_ms": 1.5, "certified_ms": { "p50": p50 } });
        let constants = taken(&[round(4, 6.0), round(8, 12.0)]);
        assert_eq!(constants.certified.len(), 2);
        assert_eq!(constants.certified_with(8), Some(Certified { voters: 8, p50_ms: 12.0, link_ms: Some(1.5) }));
        assert_eq!(constants.certified_with(48), None);
    }

    #[test]
    fn other_files_are_refused() {
        for object in [
            json!({}),
            json!([]),
            json!({ "bench": "mqtt" }),
            json!({ "bench": "pow" }),
            json!({ "bench": "vote", "machine": { "cores": 2 } }),
            json!({ "bench": "dag", "nodes": 0, "admitted_messages_per_second": 1.0, "machine": { "cores": 2 } }),
            json!({ "bench": "dag", "nodes": 1, "admitted_messages_per_second": 1e-9, "machine": { "cores": 2 } }),
            json!({ "bench": "dag", "nodes": 4, "admitted_messages_per_second": 1.0 }),
            json!({ "bench": "certificates", "nodes": 4, "wallets": 64, "chain": 64, "certified_ms": { "p50": 300.0 } }),
            json!({ "bench": "certificates", "nodes": 4, "wallets": 1, "chain": 1, "certified_ms": null }),
        ] {
            assert!(Constants::default().take(&object, &mut None).is_err(), "{object} was taken");
        }
    }

    /// The model knows nothing of the software, so here is where both are known.
    #[test]
    fn the_model_has_the_quorum_and_the_parents_of_the_protocol() {
        for members in 1..=COMMITTEE_MAX {
            let voters = u32::try_from(members).unwrap();
            assert_eq!(sim::votes::quorum(voters) as usize, needed(members, THRESHOLD_PERCENT_MIN), "{members} members");
        }
        assert_eq!(sim::votes::PARENTS_MAX as usize, PARENTS_MAX);
    }
}
