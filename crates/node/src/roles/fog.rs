//! The fog processor as a process of its own (M14): what devices publish goes into its log, through its pipelines, and on to
//! whoever keeps it. Without pipelines everything passes as it is. The rules are ROLE-4, ROLE-9 and ROLE-12.
//!
//! ```text
//! root/device/x ─▶ intake log ─▶ PUBACK        intake ─▶ runner ─▶ root/fog/x ─▶ PUBACK, when it is kept ─▶ forget
//! ```
//! Signed readings are not looked into: only the ledger node knows the keys. They are sealed (`mqtt::roles`) and pass by the
//! pipelines, over a log of their own (`sealed`).

use super::mouth::Mouth;
use super::{Failed, Reach, RoleError, close, now_us, open_log, told};
use crate::config::Config;
use crate::fog::{FogHandle, FogRunner, FogStats, Out, Pipelines, RunnerParts, Sink, SinkError};
use anyhow::Context as _;
use edge::payload::{self, Malformed, PAYLOAD_BYTES_MAX};
use mqtt::roles::{
    Arrived, COMMAND, Carrier, CarryError, Desk, Judgement, Judging, Outgoing, Receiver, Service, Submitted, fog_publish, sealed,
};
use mqtt::{AppendError, Entry, Ingress, IngressCounters, Publish, Refusal, SiteLog};
use protocol::{DeviceTopic, Name, Reading, SignedReading, Topic};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections for publishing. The broker answers one publish of a connection after another, when it is kept.
const CARRIERS: usize = 16;
/// Signed readings that are published together.
const PASS_READINGS_MAX: usize = 256;
/// The pause before signed readings are offered again.
const PASS_PAUSE: Duration = Duration::from_millis(200);

/// How the fog processor is doing.
#[derive(Clone, Debug)]
pub(crate) struct FogPartStats {
    /// Whether all connections to the broker stand.
    pub(crate) connected: bool,
    /// What became of publishes.
    pub(crate) ingress: IngressCounters,
    /// Signed readings that passed.
    pub(crate) signed: u64,
    /// Publishes that the broker acknowledged, and that it refused for now.
    pub(crate) published: u64,
    /// Refused for now.
    pub(crate) refused: u64,
    /// What was to be told and was dropped.
    pub(crate) dropped: u64,
    /// The pipelines.
    pub(crate) pipelines: FogStats,
}

/// What takes devices' publishes.
struct Intake {
    site: Name,
    client_id: String,
    ingress: Ingress,
    log: SiteLog,
    /// The log of what is signed.
    sealed: SiteLog,
    mouth: Mouth,
    signed: AtomicU64,
}

impl Desk for Intake {
    fn take(self: Arc<Self>, arrived: Arrived) -> Judging {
        Box::pin(async move { self.judge(arrived).await })
    }
}

impl Intake {
    async fn judge(&self, arrived: Arrived) -> Judgement {
        if arrived.payload.len() <= PAYLOAD_BYTES_MAX
            && let Ok(Topic::Device(topic)) = arrived.topic.parse::<Topic>()
            && topic.site == self.site
            && let Some(signed) = payload::signed(&arrived.payload, now_us())
        {
            return self.seal(&topic, signed, &arrived).await;
        }
        // only a broker of another kind brings them here: ours refuses them
        if let Ok(Topic::Request(_) | Topic::Report(_)) = arrived.topic.parse::<Topic>() {
            return self.reject(&arrived, mqtt::NOT_IN_PARTS);
        }
        // what names the publish at our broker stands for client and packet id
        let (client, packet_id) = match &arrived.origin {
            Some((client, packet_id)) => (client.as_str(), Some(*packet_id)),
            None => (self.client_id.as_str(), None),
        };
        let qos = u8::from(packet_id.is_some());
        let publish = Publish { topic: &arrived.topic, payload: &arrived.payload, client, packet_id, qos, dup: arrived.dup };
        match self.ingress.accept(publish).await {
            Ok(outcome) => {
                self.mouth.tell(self.ingress.copies(&outcome));
                Judgement::Settled
            }
            Err(Refusal::Store(why)) => judgement(&why),
            Err(why) => {
                tracing::warn!(topic = %arrived.topic, %why, "a publish was left");
                Judgement::Settled
            }
        }
    }

    /// Keeps a signed reading as it is. Whether its signature holds the ledger node finds out.
    async fn seal(&self, topic: &DeviceTopic, signed: Result<SignedReading, Malformed>, arrived: &Arrived) -> Judgement {
        let reading = match signed {
            Ok(signed) => sealed(topic, &signed),
            Err(why) => return self.reject(arrived, &why.to_string()),
        };
        match self.sealed.append(Entry { origin: arrived.fingerprint(), dup: arrived.dup, readings: vec![reading] }).await {
            Ok(_) => {
                self.signed.fetch_add(1, Ordering::Relaxed);
                Judgement::Settled
            }
            Err(AppendError::Invalid(why)) => self.reject(arrived, &why),
            Err(why) => judgement(&why),
        }
    }

    /// Says that a publish never will be kept.
    fn reject(&self, arrived: &Arrived, reason: &str) -> Judgement {
        let told = json!({ "topic": arrived.topic, "reason": reason, "bytes": arrived.payload.len() });
        self.mouth.tell(vec![(Topic::Rejected(self.site.clone()).to_string(), told.to_string().into_bytes())]);
        Judgement::Settled
    }
}

fn judgement(why: &AppendError) -> Judgement {
    if matches!(why, AppendError::Invalid(_)) {
        tracing::warn!(%why, "a publish cannot be kept, ever");
        return Judgement::Settled;
    }
    Judgement::Later
}

/// Where the results of the pipelines go: through the broker, to whoever keeps them.
#[derive(Clone)]
struct MqttSink {
    carriers: Vec<Arc<Carrier>>,
    mouth: Mouth,
}

impl MqttSink {
    /// Of one device and data type everything goes over one connection, so that it stays in its order.
    fn carrier(&self, topic: &DeviceTopic) -> Option<&Arc<Carrier>> {
        let bytes = topic.to_string().into_bytes();
        let mixed = bytes.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.carriers.get(mixed.checked_rem(self.carriers.len()).unwrap_or(0))
    }

    /// Hands a publish over. One after another: only so what is of one connection leaves in its order.
    async fn submit(&self, topic: &DeviceTopic, message: Outgoing) -> Result<Submitted, SinkError> {
        let carrier = self.carrier(topic).ok_or_else(|| SinkError::Busy("there is no connection".into()))?;
        carrier.submit(message).await.map_err(sink_error)
    }
}

fn sink_error(error: CarryError) -> SinkError {
    match error {
        CarryError::Invalid(why) => SinkError::Invalid(why.to_string()),
        other => SinkError::Busy(other.to_string()),
    }
}

/// The publish of a command: it is for its actuator, and no reading.
fn command(reading: &Reading) -> Outgoing {
    let mut message = fog_publish(reading, now_us());
    message.properties.push((COMMAND.to_owned(), "1".to_owned()));
    message
}

impl Sink for MqttSink {
    async fn put(&self, out: &Out) -> Result<(), SinkError> {
        let now_us = now_us();
        let mut waiting = Vec::with_capacity(out.readings.len());
        for reading in &out.readings {
            waiting.push(self.submit(&reading.topic, fog_publish(reading, now_us)).await?);
        }
        // all of them, also after a refusal: nothing of this piece is under way any more when it comes again
        let mut kept = Ok(());
        for submitted in waiting {
            kept = kept.and(submitted.wait().await);
        }
        kept.map_err(sink_error)?;
        for reading in &out.commands {
            match self.submit(&reading.topic, command(reading)).await?.wait().await {
                // Offered again it would hold up everything behind it, and a change of the pipelines could not help.
                Err(CarryError::Never(why)) => {
                    tracing::error!(actuator = %reading.topic, %why, "the broker never will take a command; it is dropped");
                }
                other => other.map_err(sink_error)?,
            }
        }
        Ok(())
    }

    fn tell(&self, copies: Vec<(String, Vec<u8>)>) {
        self.mouth.tell(copies);
    }
}

/// Publishes what is signed, in order, and forgets what was kept.
async fn pass_by(log: SiteLog, sink: MqttSink, mut stop: watch::Receiver<bool>) -> Result<(), RoleError> {
    loop {
        let from = log.forgotten();
        let end = tokio::select! {
            () = told(&mut stop) => return Ok(()),
            end = log.wait_past(from) => end,
        };
        if end <= from {
            return Ok(()); // the log is closed
        }
        let reader = log.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(from, PASS_READINGS_MAX)).await;
        let rows = read.map_err(|e| RoleError::Task(e.to_string()))??;
        let Some(below) = rows.last().map(|(last, _)| last.saturating_add(1)) else { continue };
        let out = Out { readings: rows.into_iter().map(|(_, reading)| reading).collect(), ..Out::default() };
        let put = tokio::select! {
            () = told(&mut stop) => return Ok(()),
            put = sink.put(&out) => put,
        };
        match put {
            Ok(()) => {
                let forgetful = log.clone();
                let forgot =
                    tokio::task::spawn_blocking(move || forgetful.forget(below)).await.map_err(|e| RoleError::Task(e.to_string()))?;
                if let Err(why) = forgot {
                    tracing::warn!("signed readings that were passed on are kept for now: {why}");
                }
            }
            Err(SinkError::Busy(why)) => {
                tracing::debug!(%why, "signed readings are not taken now");
                tokio::time::sleep(PASS_PAUSE).await;
            }
            Err(why @ SinkError::Invalid(_)) => return Err(RoleError::Task(why.to_string())),
        }
    }
}

/// A fog processor that runs.
pub(crate) struct FogPart {
    intake: Arc<Intake>,
    receiver: Receiver,
    carriers: Vec<Arc<Carrier>>,
    handle: FogHandle,
    /// The runner of the pipelines, and what passes by them.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Has the pipelines read anew at every SIGHUP.
    reloader: JoinHandle<()>,
}

impl FogPart {
    /// Starts it.
    ///
    /// # Errors
    /// One that says what cannot be used, and what to do.
    pub(crate) async fn start(config: &Config, reach: &Reach, stop: &watch::Receiver<bool>, failed: &Failed) -> anyhow::Result<Self> {
        let site = reach.site.clone();
        let log = open_log(config, config.intake_dir(), config.fog.intake_limit_bytes).await?;
        let carriers: Vec<Arc<Carrier>> = (0..CARRIERS).map(|number| reach.carrier(Service::Fog, number)).collect::<Result<_, _>>()?;
        // what may be lost has a connection of its own: it never waits behind what may not
        let teller = reach.carrier(Service::Fog, CARRIERS)?;
        let mouth = Mouth::open(teller.clone());
        let sink = MqttSink { carriers: carriers.clone(), mouth: mouth.clone() };
        let sealed = open_log(config, config.data_dir().join("sealed"), config.fog.intake_limit_bytes).await?;
        let passing = pass_by(sealed.clone(), sink.clone(), stop.clone());
        let (file, intake, limit) = (config.pipelines_file(), log.clone(), config.fog.intake_limit_bytes);
        let (name, dir) = (site.clone(), config.fog_dir());
        let open = move || -> anyhow::Result<_> {
            let pipelines = Pipelines::load(file.as_deref())?;
            let parser = pipelines.parser();
            let parts = RunnerParts { site: name, intake, intake_limit_bytes: limit, dir, pipelines, sink, now_us };
            Ok((FogRunner::open(parts)?, parser))
        };
        let (runner, parser) = tokio::task::spawn_blocking(open).await.context("opening the fog processor")??;
        let handle = runner.handle();
        let ingress = Ingress::new(site.clone(), log.clone()).with_parser(parser);
        let client_id = Service::Fog.client_id(&site);
        let intake = Arc::new(Intake { site, client_id, ingress, log, sealed, mouth, signed: AtomicU64::new(0) });
        let receiver = reach.receiver(Service::Fog, intake.clone())?;
        let stopped = stop.clone();
        let runner = failed.watch("the fog processor", async move { runner.run(stopped).await.map_err(RoleError::from) });
        let tasks = Mutex::new(vec![runner, failed.watch("the fog processor", passing)]);
        let mut asked = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
        let watched = handle.clone();
        let reloader = tokio::spawn(async move {
            while asked.recv().await.is_some() {
                watched.reload();
            }
        });
        Ok(Self { intake, receiver, carriers: carriers.into_iter().chain([teller]).collect(), handle, tasks, reloader })
    }

    /// How it is doing.
    #[must_use]
    pub(crate) fn stats(&self) -> FogPartStats {
        let counts = self.carriers.iter().map(|carrier| carrier.counts());
        let (published, refused) = counts.fold((0u64, 0u64), |(a, b), (c, d)| (a.saturating_add(c), b.saturating_add(d)));
        FogPartStats {
            connected: self.trouble().is_none(),
            ingress: self.intake.ingress.counters(),
            signed: self.intake.signed.load(Ordering::Relaxed),
            published,
            refused,
            dropped: self.intake.mouth.dropped(),
            pipelines: self.handle.stats(),
        }
    }

    /// Why it is not well, if it is not.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        let silent = self.carriers.iter().any(|carrier| !carrier.connected());
        let trouble = self.receiver.trouble().or_else(|| silent.then(|| "no connection to publish on".to_owned()));
        trouble.map(|why| format!("fog: {why}"))
    }

    /// Stops, in order. The runner has been told already.
    pub(crate) async fn stop(&self) {
        self.receiver.stop().await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = task.await; // what went wrong was said already
        }
        self.reloader.abort();
        for carrier in &self.carriers {
            carrier.stop().await;
        }
        close(self.intake.log.clone(), "the fog processor").await;
        close(self.intake.sealed.clone(), "the fog processor").await;
    }
}
