//! The task that runs the processor: it asks the machine what is next, hands results to the sink, and waits.
//!
//! ```text
//! let pipelines = Pipelines::load(Some(file))?;                     None: everything passes as it is
//! let ingress = ingress.with_parser(pipelines.parser());           what arrives goes to the intake
//! let runner = FogRunner::open(RunnerParts { site, intake, intake_limit_bytes, dir, pipelines, sink, now_us })?;
//! let handle = runner.handle();                                    figures; reload
//! tokio::spawn(runner.run(stop));
//! ```
//! The same runner serves every [`Sink`]: the log of the site in this process, or a broker elsewhere.

use super::error::{FogError, Trouble};
use super::machine::{LOOK, Machine, MachineParts, Next};
use super::pipelines::Pipelines;
use super::sink::{Sink, SinkError};
use super::stats::FogHandle;
use mqtt::SiteLog;
use protocol::{Name, PublicKey};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

/// Readings that one step takes, and readings of one piece.
pub(super) const STEP_READINGS_MAX: usize = 1024;
/// Bytes of the readings of one piece, about; one reading more may be in it.
pub(super) const PIECE_BYTES_MAX: usize = 512 << 10;
/// The pause before something that could not be done is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What a runner is made of.
pub(crate) struct RunnerParts<S> {
    /// The site.
    pub(crate) site: Name,
    /// The log of what arrived. Only the ingress appends to it, only the runner has it forget.
    pub(crate) intake: SiteLog,
    /// The limit that it was opened with ([`mqtt::LogConfig::limit_bytes`]).
    pub(crate) intake_limit_bytes: u64,
    /// The directory for snapshot and journal; made if need be. One runner at a time.
    pub(crate) dir: PathBuf,
    /// The pipelines.
    pub(crate) pipelines: Pipelines,
    /// Where results go. Nobody else may append to the log behind it.
    pub(crate) sink: S,
    /// The clock: microseconds since 1970.
    pub(crate) now_us: fn() -> u64,
}

/// A processor that is ready to run.
pub(crate) struct FogRunner<S> {
    /// Away while it works where blocking is allowed.
    machine: Option<Box<Machine>>,
    sink: S,
    handle: FogHandle,
}

/// Whether the runner goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    Stopped,
}

impl<S: Sink> FogRunner<S> {
    /// Goes on where the runner of this directory was, whatever ended it. Blocks on files.
    ///
    /// # Errors
    /// [`FogError`] if its files cannot be read or written, or do not fit to each other or to the intake.
    pub(crate) fn open(parts: RunnerParts<S>) -> Result<Self, FogError> {
        let RunnerParts { site, intake, intake_limit_bytes, dir, pipelines, sink, now_us } = parts;
        let machine = Machine::open(MachineParts { site, intake: intake.clone(), intake_limit_bytes, dir, pipelines, now_us })?;
        let handle = FogHandle { shared: machine.shared.clone(), intake, now_us };
        Ok(Self { machine: Some(Box::new(machine)), sink, handle })
    }

    /// Where results go; for what is not known yet when it is opened.
    pub(crate) const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Looks at it.
    #[must_use]
    pub(crate) fn handle(&self) -> FogHandle {
        self.handle.clone()
    }

    /// Numbers of readings that devices signed, of everything that was processed: key, greatest, and which of those before
    /// it ([`mqtt::replay::Replays::note_all`]). What is in the intake beyond is not among them.
    #[must_use]
    pub(crate) fn numbers(&self) -> Vec<(PublicKey, u64, u64)> {
        self.machine.as_ref().map(|machine| machine.numbers()).unwrap_or_default()
    }

    /// Runs until told to stop; then what has been made is saved. What the sink does not take by then leaves at the next
    /// start.
    ///
    /// # Errors
    /// [`FogError`] if it cannot go on.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), FogError> {
        while !is_told(&stop) {
            match self.blocking(Machine::work).await? {
                Ok(next) => {
                    let copies = std::mem::take(&mut self.machine()?.copies);
                    if !copies.is_empty() {
                        self.sink.tell(copies);
                    }
                    match next {
                        Next::Put => {
                            if self.put(&mut stop).await? == Going::Stopped {
                                return Ok(()); // the journal has it: the next start puts it
                            }
                        }
                        Next::Again => {}
                        Next::Wait(due_us) => self.wait(due_us, &mut stop).await?,
                    }
                }
                Err(Trouble::Busy(why)) => {
                    self.stalled(&why);
                    self.pause(&mut stop).await;
                }
                Err(Trouble::Fatal(error)) => return Err(error),
            }
        }
        self.finish().await
    }

    /// Puts the pieces of the last step, one after another.
    async fn put(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Going, FogError> {
        while let Some(out) = self.machine()?.outs.pop_front() {
            loop {
                let put = tokio::select! {
                    () = told(stop) => return Ok(Going::Stopped),
                    put = self.sink.put(&out) => put,
                };
                match put {
                    Ok(()) => break,
                    Err(SinkError::Busy(why)) => self.stalled(&why),
                    Err(error @ SinkError::Invalid(_)) => return Err(FogError::Invalid(error.to_string())),
                }
                if self.pause(stop).await == Going::Stopped {
                    return Ok(Going::Stopped);
                }
            }
            self.handle.shared.stats().stalled = None;
            // a step of one piece, as nearly all are, needs no more
            if self.machine()?.outs.is_empty() {
                return Ok(Going::On);
            }
            if self.left(stop).await? == Going::Stopped {
                return Ok(Going::Stopped);
            }
        }
        Ok(Going::On)
    }

    /// Has the journal note that a piece has left, before the next is put.
    async fn left(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Going, FogError> {
        let mut noted = self.blocking(Machine::has_left).await?.map(|_| ());
        loop {
            match noted {
                Ok(()) => return Ok(Going::On),
                Err(Trouble::Fatal(error)) => return Err(error),
                Err(Trouble::Busy(why)) => self.stalled(&why),
            }
            if self.pause(stop).await == Going::Stopped {
                return Ok(Going::Stopped);
            }
            noted = self.blocking(Machine::flush).await?;
        }
    }

    /// Waits until something arrives, a tick is due, the file may have changed, or it is told to stop.
    async fn wait(&mut self, due_us: Option<u64>, stop: &mut watch::Receiver<bool>) -> Result<(), FogError> {
        let now_us = (self.handle.now_us)();
        let timer = due_us.map_or(LOOK, |due_us| Duration::from_micros(due_us.saturating_sub(now_us)).min(LOOK));
        let (intake, shared, next) = (self.handle.intake.clone(), self.handle.shared.clone(), self.machine()?.next);
        shared.stats().stalled = None;
        let arrived = async {
            if intake.wait_past(next).await <= next {
                std::future::pending::<()>().await; // the intake was closed: nothing comes any more
            }
        };
        tokio::select! {
            () = told(stop) => {}
            () = arrived => {}
            () = shared.told.notified() => {}
            () = tokio::time::sleep(timer) => {}
        }
        self.machine()?.woken();
        Ok(())
    }

    /// Saves what was made. What cannot be saved is in the journal, or is made again.
    async fn finish(&mut self) -> Result<(), FogError> {
        let saved = self
            .blocking(|machine| match machine.outs.is_empty() && !machine.is_saved() {
                true => machine.save(),
                false => machine.flush(),
            })
            .await?;
        match saved {
            Ok(()) => Ok(()),
            Err(Trouble::Busy(why)) => {
                tracing::warn!("while stopping: {why}");
                Ok(())
            }
            Err(Trouble::Fatal(error)) => Err(error),
        }
    }

    fn machine(&mut self) -> Result<&mut Machine, FogError> {
        self.machine.as_deref_mut().ok_or_else(|| FogError::Task("it was cut off in the middle of a step".into()))
    }

    /// Has the machine work where blocking is allowed.
    async fn blocking<R: Send + 'static>(&mut self, work: impl FnOnce(&mut Machine) -> R + Send + 'static) -> Result<R, FogError> {
        let Some(mut machine) = self.machine.take() else {
            return Err(FogError::Task("it was cut off in the middle of a step".into()));
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut machine);
            (machine, done)
        });
        let (machine, done) = done.await.map_err(|why| FogError::Task(why.to_string()))?;
        self.machine = Some(machine);
        Ok(done)
    }

    /// Tells why nothing goes on, once for each reason.
    fn stalled(&self, why: &str) {
        let mut stats = self.handle.shared.stats();
        if stats.stalled.is_none() {
            tracing::warn!("the fog processor waits: {why}");
        }
        stats.stalled = Some(why.to_owned());
    }

    async fn pause(&self, stop: &mut watch::Receiver<bool>) -> Going {
        tokio::select! {
            () = told(stop) => Going::Stopped,
            () = tokio::time::sleep(RETRY_PAUSE) => Going::On,
        }
    }
}

/// Whether it is told to stop, or nobody is left to tell it.
fn is_told(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Resolves when it is told to stop, or nobody is left to tell it.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
