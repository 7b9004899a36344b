//! Several connections that publish at a stated pace and know what was acknowledged.
//!
//! ```text
//! readings ─▶ pace ─▶ [queue] ─▶ connection 1 ─▶ broker
//!                └──▶ [queue] ─▶ connection 2 ─▶   …        a device always takes the same one,
//!                                                           so its readings stay in order
//! ```
//! A connection that breaks is made again and what was not acknowledged is sent again (`mqtt::client`). Only
//! a long silence of all of them ends the run.

use crate::cli::{Exit, Failure};
use indicatif::ProgressBar;
use mqtt::{ConnectError, Credentials, Publisher};
use protocol::{Reading, Topic};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Publishes that wait in front of a connection.
const QUEUE_MAX: usize = 64;
/// Delays below this are not slept: the clock is not finer.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Where and how to publish.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The broker.
    pub(crate) url: String,
    /// How to log in there.
    pub(crate) credentials: Credentials,
    /// Quality of service.
    pub(crate) qos: u8,
    /// Connections.
    pub(crate) connections: usize,
    /// Give up after so long without any acknowledgement.
    pub(crate) patience: Duration,
}

/// When the next reading is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// At once.
    Unpaced,
    /// So many a second.
    Rate(f64),
    /// In the rhythm of the readings' own times, so many times faster.
    Speedup(f64),
}

impl Pace {
    /// How long after the start reading `index` of time `time_us` is due; the first one was of `first_us`.
    fn due(self, index: u64, time_us: u64, first_us: u64) -> Duration {
        let seconds = match self {
            Self::Unpaced => 0.0,
            Self::Rate(rate) => index as f64 / rate,
            Self::Speedup(times) => time_us.saturating_sub(first_us) as f64 / 1e6 / times,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// What became of a replay.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Publishes handed to a connection.
    pub(crate) sent: u64,
    /// Of these, acknowledged.
    pub(crate) acknowledged: u64,
    /// From the first publish to the last acknowledgement.
    pub(crate) elapsed: Duration,
    /// What stopped it early, if anything did.
    pub(crate) trouble: Option<String>,
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Url { .. } | ConnectError::ClientId(_) | ConnectError::Credentials(_) => Exit::Usage,
            ConnectError::Unreachable { .. } | ConnectError::Refused { .. } => Exit::Unreachable,
            ConnectError::Denied { .. } => Exit::Refused,
        };
        Self::said(exit, error)
    }
}

/// The connections.
struct Pool {
    publishers: Vec<Arc<Publisher>>,
    queues: Vec<mpsc::Sender<(String, Vec<u8>)>>,
    tasks: JoinSet<Result<(), String>>,
}

impl Pool {
    async fn open(load: &Load) -> Result<Self, Failure> {
        let mut run = [0u8; 8];
        getrandom::fill(&mut run).map_err(|e| Failure::new(Exit::Fault, e, "the system's source of randomness", "check getrandom(2)"))?;
        let run = u64::from_le_bytes(run);
        let mut pool = Self { publishers: Vec::new(), queues: Vec::new(), tasks: JoinSet::new() };
        for index in 0..load.connections.max(1) {
            let client_id = format!("wattle-{run:016x}-{index}");
            let publisher = Arc::new(Publisher::connect_as(&load.url, &client_id, &load.credentials).await?);
            let (queue, arrivals) = mpsc::channel(QUEUE_MAX);
            pool.tasks.spawn(drive(publisher.clone(), arrivals, load.qos, load.patience));
            pool.publishers.push(publisher);
            pool.queues.push(queue);
        }
        Ok(pool)
    }

    fn acknowledged(&self) -> u64 {
        self.publishers.iter().map(|p| p.acknowledged()).sum()
    }
}

/// One connection: publishes what its queue holds, then waits for the acknowledgements.
async fn drive(
    publisher: Arc<Publisher>,
    mut arrivals: mpsc::Receiver<(String, Vec<u8>)>,
    qos: u8,
    patience: Duration,
) -> Result<(), String> {
    while let Some((topic, payload)) = arrivals.recv().await {
        // the pool counts acknowledgements; nobody waits for this one alone
        let _acknowledgement = publisher.submit(&topic, payload, qos, false).await.map_err(|e| e.to_string())?;
    }
    loop {
        let before = publisher.acknowledged();
        match publisher.finish(patience).await {
            Ok(_) => return Ok(()),
            Err(_) if publisher.acknowledged() > before => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Which connection a device takes.
fn connection(reading: &Reading, connections: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    reading.topic.device.hash(&mut hasher);
    let share = hasher.finish() % (connections.max(1) as u64);
    usize::try_from(share).unwrap_or_default()
}

/// Publishes all readings and waits for their acknowledgements.
///
/// # Errors
/// [`Failure`] if the broker cannot be reached at the start, or a reading cannot be read. Trouble later is in
/// the outcome, beside what was acknowledged.
pub(crate) async fn publish(
    readings: impl Iterator<Item = Result<Reading, Failure>>,
    load: &Load,
    pace: Pace,
    bar: &ProgressBar,
) -> Result<Outcome, Failure> {
    let mut pool = Pool::open(load).await?;
    let start = Instant::now();
    let mut watch = Watch { last: 0, since: start, patience: load.patience };
    let mut first_us = None;
    let (mut sent, mut trouble) = (0u64, None);
    for reading in readings {
        let reading = reading?;
        let due = start.checked_add(pace.due(sent, reading.time_us, *first_us.get_or_insert(reading.time_us)));
        if !watch.until(due, &pool, sent, bar).await {
            trouble = Some(format!("{}, silent for {} s", load.url, load.patience.as_secs()));
            break;
        }
        let Some(queue) = pool.queues.get(connection(&reading, pool.queues.len())).cloned() else { break };
        let publish = (Topic::Device(reading.topic.clone()).to_string(), edge::payload::fog_json(&reading));
        match watch.hand_over(&queue, publish, &pool, sent, bar).await {
            true => sent += 1,
            false => {
                trouble = Some(format!("{}, a connection has ended or is stuck", load.url));
                break;
            }
        }
    }
    pool.queues.clear();
    if trouble.is_none() {
        trouble = drain(&mut pool, bar).await;
    }
    let acknowledged = pool.acknowledged();
    bar.set_position(acknowledged);
    let elapsed = start.elapsed();
    for publisher in &pool.publishers {
        publisher.close().await;
    }
    Ok(Outcome { sent, acknowledged, elapsed, trouble })
}

/// Waits for every connection's last acknowledgement; the first trouble, if any.
async fn drain(pool: &mut Pool, bar: &ProgressBar) -> Option<String> {
    let mut trouble = None;
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            ended = pool.tasks.join_next() => match ended {
                None => return trouble,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(why))) => trouble = trouble.or(Some(why)),
                Some(Err(why)) => trouble = trouble.or_else(|| Some(why.to_string())),
            },
            _ = tick.tick() => bar.set_position(pool.publishers.iter().map(|p| p.acknowledged()).sum()),
        }
    }
}

/// Notices when nothing is acknowledged any more.
struct Watch {
    last: u64,
    since: Instant,
    patience: Duration,
}

impl Watch {
    /// Looks at the counts; false if `sent` is more than was acknowledged and that has not grown for too long.
    fn alive(&mut self, pool: &Pool, sent: u64, bar: &ProgressBar) -> bool {
        let acknowledged = pool.acknowledged();
        bar.set_position(acknowledged);
        if acknowledged > self.last || acknowledged >= sent {
            self.last = acknowledged;
            self.since = Instant::now();
        }
        self.since.elapsed() < self.patience
    }

    /// Waits until `due` (for ever if it is beyond the clock); false if the broker fell silent meanwhile.
    async fn until(&mut self, due: Option<Instant>, pool: &Pool, sent: u64, bar: &ProgressBar) -> bool {
        loop {
            let left = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
            if left < SLEEP_MIN {
                return true;
            }
            if !self.alive(pool, sent, bar) {
                return false;
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
    }

    /// Hands a publish to a connection, waiting for room; false if the connection ended or the broker fell silent.
    async fn hand_over(
        &mut self,
        queue: &mpsc::Sender<(String, Vec<u8>)>,
        publish: (String, Vec<u8>),
        pool: &Pool,
        sent: u64,
        bar: &ProgressBar,
    ) -> bool {
        let room = loop {
            match tokio::time::timeout(TICK, queue.reserve()).await {
                Ok(Ok(room)) => break room,
                Ok(Err(_)) => return false,
                Err(_) if self.alive(pool, sent, bar) => {}
                Err(_) => return false,
            }
        };
        room.send(publish);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_due_at_their_pace() {
        assert_eq!(Pace::Unpaced.due(9, 9, 0), Duration::ZERO);
        assert_eq!(Pace::Rate(100.0).due(50, 0, 0), Duration::from_millis(500));
        assert_eq!(Pace::Speedup(3_600.0).due(9, 7_200_000_000, 0), Duration::from_secs(2));
        // a file that goes back in time is published without delay
        assert_eq!(Pace::Speedup(1.0).due(9, 5, 10), Duration::ZERO);
    }
}
