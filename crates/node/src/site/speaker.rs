//! What the site's ledger node and cache say on MQTT (M13).
//!
//! | topic | when | payload |
//! |---|---|---|
//! | `root/node/<site>/tangle` | readings are confirmed | `[["site/ID/type", time µs], …]` |
//! | `root/node/<site>/active` | once, at the start | `{"at_ms": …}` |
//! | `root/cache/<site>/pending` | somebody says `active` | `[["site/ID/type", time µs, SenML record], …]` |

use super::follower::Notice;
use super::queue::Shared;
use super::{SiteError, read_log, told};
use mqtt::{Broker, SiteLog};
use protocol::{Name, Reading, Topic};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// Readings in one payload on `root/cache/<site>/pending`.
pub(crate) const PENDING_READINGS_MAX: usize = 256;
/// Readings in one answer; whoever wants more asks again.
const PENDING_ANSWER_MAX: u64 = 16_384;
/// Least time between two answers.
const ANSWER_PAUSE: Duration = Duration::from_secs(5);
/// How long the broker may take for one payload before it is given up.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The task that speaks.
pub(super) struct Speaker {
    pub(super) name: Name,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) log: SiteLog,
    pub(super) shared: Arc<Shared>,
}

impl Speaker {
    /// Speaks until told to stop.
    pub(super) async fn run(
        self,
        mut notices: mpsc::Receiver<Notice>,
        mut active: mpsc::Receiver<()>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), SiteError> {
        #[allow(clippy::disallowed_methods, reason = "a time for people to read")]
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
        self.say(&Topic::Active(self.name.clone()), json!({ "at_ms": at_ms }).to_string().into_bytes()).await;
        let tangle = Topic::Tangle(self.name.clone());
        let mut answered = None;
        loop {
            tokio::select! {
                () = told(&mut stop) => return Ok(()),
                Some(notice) = notices.recv() => {
                    for payload in mqtt::notices::notices(&notice) {
                        self.say(&tangle, payload).await;
                    }
                }
                Some(()) = active.recv() => {
                    while active.try_recv().is_ok() {} // one answer for all who asked meanwhile
                    if answered.is_some_and(|at: Instant| at.elapsed() < ANSWER_PAUSE) {
                        continue; // anybody may ask, and the answer is long
                    }
                    answered = Some(Instant::now());
                    tokio::select! {
                        () = told(&mut stop) => return Ok(()),
                        () = self.say_pending() => {}
                    }
                }
            }
        }
    }

    /// Says what is not confirmed yet.
    async fn say_pending(&self) {
        let topic = Topic::Pending(self.name.clone());
        let (_, mut at, _) = self.shared.progress();
        let end = self.log.end();
        let end = end.min(at.saturating_add(PENDING_ANSWER_MAX));
        while at < end {
            let rows = match read_log(&self.log, at, PENDING_READINGS_MAX).await {
                Ok(rows) if !rows.is_empty() => rows,
                Ok(_) => return,
                Err(why) => {
                    tracing::warn!(at, "pending readings are not published: {why}");
                    return;
                }
            };
            at = rows.last().map_or(end, |(offset, _)| offset.saturating_add(1));
            if !self.say(&topic, pending_json(rows.iter().map(|(_, reading)| reading))).await {
                return; // whoever still wants it asks again
            }
        }
    }

    /// Publishes once; a failure is not the ledger's business.
    async fn say(&self, topic: &Topic, payload: Vec<u8>) -> bool {
        let topic = topic.to_string();
        match tokio::time::timeout(PUBLISH_TIMEOUT, self.broker.publish(&topic, payload, 1, false)).await {
            Ok(Ok(())) => true,
            Ok(Err(why)) => {
                tracing::debug!(topic, "not published: {why}");
                false
            }
            Err(_) => {
                tracing::debug!(topic, "not published: the broker did not take it in {} s", PUBLISH_TIMEOUT.as_secs());
                false
            }
        }
    }
}

/// The payload for `root/cache/<site>/pending`.
fn pending_json<'a>(readings: impl Iterator<Item = &'a Reading>) -> Vec<u8> {
    let row = |r: &Reading| json!([r.topic.to_string(), r.time_us, record(r)]);
    Value::Array(readings.map(row).collect()).to_string().into_bytes()
}

/// A reading as one resolved SenML record (RFC 8428).
pub(crate) fn record(reading: &Reading) -> Value {
    let pack = serde_json::from_slice::<Value>(&edge::payload::fog_json(reading)).unwrap_or_default();
    match pack {
        Value::Array(mut records) if records.len() == 1 => records.pop().unwrap_or_default(),
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pending_readings_are_a_list_of_topic_time_and_record() {
        let reading = Reading {
            topic: "z1/m1/sense/power".parse().unwrap(),
            time_us: 1_700_000_000_000_000,
            sequence: None,
            unit: Some("W".into()),
            value: protocol::Value::Number(42.5),
            signed: None,
        };
        let value: Value = serde_json::from_slice(&pending_json([&reading].into_iter())).unwrap();
        assert_eq!(value.pointer("/0/0"), Some(&json!("z1/m1/sense/power")));
        assert_eq!(value.pointer("/0/1"), Some(&json!(1_700_000_000_000_000_u64)));
        assert_eq!(value.pointer("/0/2/v"), Some(&json!(42.5)));
        assert_eq!(value.pointer("/0/2/u"), Some(&json!("W")));
        assert_eq!(pending_json(std::iter::empty()), b"[]");
    }
}
