//! Where a runner's results go.
//!
//! # Rules
//! - [`Sink::put`] returns once everything of an [`Out`] is kept elsewhere: durable, or acknowledged by who keeps it. An
//!   error means that some of it may not be. Then the runner brings the very same `Out` out again, later or after a restart.
//! - So a sink may see an `Out` twice, never a different one under the same origin, and always in order: the one before
//!   was put. What is repeated bears the same origin, the same reading ids and the same numbers of commands.
//! - [`Sink::tell`] is for what may be lost.
//!
//! ```text
//! put ─▶ readings ─▶ site log (origin, dup) ─▶ root/fog/x         commands ─▶ root/fog/<site>/<ID>/act/<dataType>
//! tell ─▶ root/fog/<site>/rejected
//! ```

use mqtt::{AppendError, Appended, Broker, Entry, SiteLog};
use protocol::{Reading, Topic};
use std::future::Future;
use std::sync::Arc;
use thiserror::Error;

/// Topic and payload of something to publish.
pub(crate) type Notice = (String, Vec<u8>);

/// A piece of what a step brought out: at most [`mqtt::log::PUBLISH_READINGS_MAX`] readings, never empty as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Out {
    /// What tells this piece from every other that this runner brings out; the same when it is repeated.
    pub(crate) origin: [u8; 16],
    /// What is to be kept, in order.
    pub(crate) readings: Vec<Reading>,
    /// What actuators are told, each with a number of its own as its sequence; kept on their way, not in the log.
    pub(crate) commands: Vec<Reading>,
}

/// Why something was not put. It is tried again.
#[derive(Debug, Error)]
pub(crate) enum SinkError {
    /// It was not taken for now, and why.
    #[error("{0}")]
    Busy(String),
    /// It never can be taken: a fault of the program.
    #[error("what a pipeline made cannot be kept: {0}: this is a fault of the program, please report it")]
    Invalid(String),
}

/// Where a runner's results go.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Keeps a piece; see the head of this file.
    ///
    /// # Errors
    /// [`SinkError::Busy`]: to be tried again. [`SinkError::Invalid`]: it never will be taken, and the runner ends.
    fn put(&self, out: &Out) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Publishes what may be lost, without waiting.
    fn tell(&self, copies: Vec<Notice>);
}

/// The sink of a site that has broker, log and ledger node in one process: its log, and its broker's subscribers.
pub(crate) struct LogSink {
    /// The site's log.
    pub(crate) log: SiteLog,
    /// The site's broker, if it has one.
    pub(crate) broker: Option<Arc<dyn Broker>>,
}

impl Sink for LogSink {
    async fn put(&self, out: &Out) -> Result<(), SinkError> {
        if !out.readings.is_empty() {
            let entry = Entry { origin: Some(out.origin), dup: true, readings: out.readings.clone() };
            match self.log.append(entry).await {
                Ok(Appended::Stored { fresh, .. }) => {
                    let copy = |reading: &Reading| (Topic::Fog(reading.topic.clone()).to_string(), edge::payload::fog_json(reading));
                    self.tell(fresh.iter().map(copy).collect());
                }
                Ok(Appended::Duplicate) => {}
                Err(AppendError::Invalid(why)) => return Err(SinkError::Invalid(why)),
                Err(busy) => return Err(SinkError::Busy(busy.to_string())),
            }
        }
        let Some(broker) = &self.broker else { return Ok(()) };
        for command in &out.commands {
            let topic = Topic::Fog(command.topic.clone()).to_string();
            let published = broker.command(&topic, edge::payload::fog_json(command)).await;
            published.map_err(|why| SinkError::Busy(format!("a command to {topic} was not published: {why}")))?;
        }
        Ok(())
    }

    fn tell(&self, copies: Vec<Notice>) {
        if let Some(broker) = &self.broker {
            broker.relay(copies);
        }
    }
}
