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
pub(crate) use mqtt::roles::record;
use mqtt::roles::{PENDING_READINGS_MAX, pending_json};
use mqtt::{Broker, SiteLog};
use protocol::{Name, Topic};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

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
    pub(super) says_active: bool,
}

impl Speaker {
    /// Speaks until told to stop.
    pub(super) async fn run(
        self,
        mut notices: mpsc::Receiver<Notice>,
        mut active: mpsc::Receiver<()>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), SiteError> {
        if self.says_active {
            self.say(&Topic::Active(self.name.clone()), json!({ "at_ms": now_ms() }).to_string().into_bytes()).await;
        }
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
            if !self.say(&topic, pending_json(rows.iter().map(|(_, reading)| reading), now_ms().saturating_mul(1_000))).await {
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

#[allow(clippy::disallowed_methods, reason = "a time for people to read, and to tell which times SenML can say")]
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}
