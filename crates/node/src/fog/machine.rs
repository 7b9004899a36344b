//! What the processor does next, without waiting for anything: steps, the files, changes of the pipelines. The argument
//! why nothing is lost or said twice is in the head of [`super`].
//!
//! ```text
//! advance:  pieces wait?          ─▶ journal durable ─▶ Put: the runner puts them, one after another
//!           snapshot due?         ─▶ snapshot, new journal, the intake forgets
//!           the span has readings ─▶ step: Read
//!           a tick is due         ─▶ step: Tick          only at the end of a span: all that arrived before counts first
//!           pipelines changed     ─▶ steps: Close, then the new ones, then a snapshot
//!           something arrived     ─▶ the next span
//!           else                  ─▶ Wait
//! ```
//! A *span* is what arrived between two looks at the intake: not before the one, not after the other. Within these bounds a
//! reading is taken to have arrived at its own time, which is exact for one without a time of its device.

mod changes;
mod recovery;
mod trial;

pub(super) use recovery::fits;
pub(super) use trial::Trial;

use super::error::{FogError, Trouble};
use super::journal::{Act, Journal, Record};
use super::pipelines::Pipelines;
use super::runner::{PIECE_BYTES_MAX, STEP_READINGS_MAX};
use super::sink::{Notice, Out};
use super::snapshot::Snapshot;
use super::stats::{Shared, add};
use changes::Switch;
use edge::fog::{Fog, Outcome};
use mqtt::log::PUBLISH_READINGS_MAX;
use mqtt::replay::Replays;
use mqtt::{LogStats, SiteLog};
use protocol::{Id, Name, PublicKey, Reading};
use recovery::apart;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use trial::told;

/// Devices × data types of one tick.
const TICK_SERIES_MAX: u32 = 256;
/// Steps without results that may wait to be written, in bytes.
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;
/// A journal that has so many bytes is followed by a snapshot,
const JOURNAL_BYTES_MAX: u64 = 4 << 20;
/// as are so many readings,
const SNAPSHOT_READINGS: u64 = 1 << 20;
/// or any after this time,
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);
/// but snapshots take at most one part of so many of the time.
const SNAPSHOT_PART: u32 = 20;
/// The part of the intake's limit that processed readings may take before a snapshot lets it forget them: one of so many.
const INTAKE_PART: u64 = 4;
/// Things that are done in one go before the runner looks whether it is to stop.
const TURNS_MAX: usize = 16;
/// How often the file of pipelines is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

// A piece is one publish of the site's log, and less than half of its smallest segment: the newest is always known there.
const _: () = assert!(STEP_READINGS_MAX <= PUBLISH_READINGS_MAX);
const _: () = assert!(2 * PIECE_BYTES_MAX as u64 <= crate::config::SEGMENT_BYTES_MIN);
const _: () = assert!(PIECE_BYTES_MAX + protocol::limits::READING_BYTES_MAX <= mqtt::log::PUBLISH_BYTES_MAX);

/// What the runner is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Put the pieces.
    Put,
    /// Ask again.
    Again,
    /// Wait until something arrives, or until this time, in microseconds since 1970.
    Wait(Option<u64>),
}

/// What arrived between two looks at the intake.
#[derive(Clone, Copy, Debug)]
struct Span {
    end: u64,
    floor_us: u64,
    now_us: u64,
}

/// The processor between two steps.
pub(super) struct Machine {
    site: Name,
    intake: SiteLog,
    intake_limit_bytes: u64,
    dir: PathBuf,
    pipelines: Pipelines,
    now_us: fn() -> u64,
    pub(super) shared: Arc<Shared>,
    instance: [u8; 16],
    fog: Fog,
    text: String,
    /// The number of the next step.
    step: u64,
    /// The offset to go on from.
    pub(super) next: u64,
    /// The number of the next command.
    commands: u64,
    taken: Replays,
    span: Span,
    journal: Journal,
    /// Records that are not durable yet.
    unwritten: Vec<u8>,
    /// What of the last step has not left, and how many pieces have.
    pub(super) outs: VecDeque<Out>,
    left: u32,
    pub(super) copies: Vec<Notice>,
    switch: Option<Switch>,
    /// A snapshot must be made before anything else.
    must_save: bool,
    saved: Saved,
    looked: Instant,
}

/// The last snapshot.
struct Saved {
    at: Instant,
    took: Duration,
    step: u64,
    next: u64,
}

/// What a machine is made of.
pub(super) struct MachineParts {
    pub(super) site: Name,
    pub(super) intake: SiteLog,
    pub(super) intake_limit_bytes: u64,
    pub(super) dir: PathBuf,
    pub(super) pipelines: Pipelines,
    pub(super) now_us: fn() -> u64,
}

impl Machine {
    /// Makes one step again.
    fn again(&mut self, act: &Act) -> Result<Trial, FogError> {
        let mut trial = Trial::default();
        match act {
            Act::Read { to, floor_us, now_us } => {
                self.span = Span { end: *to, floor_us: *floor_us, now_us: *now_us };
                while self.next < *to {
                    let rows = self.rows(*to)?;
                    if rows.is_empty() {
                        return Err(apart(&self.dir, &format!("the journal has readings up to {to}, the intake ends at {}", self.next)));
                    }
                    rows.into_iter().for_each(|(offset, reading)| self.take(offset, &reading, &mut trial));
                }
            }
            Act::Tick { now_us, series_max } => {
                self.span.now_us = *now_us;
                let outcome = self.fog.tick_some(*now_us, usize::try_from(*series_max).unwrap_or(usize::MAX));
                self.add(outcome, &mut trial);
            }
            Act::Close { now_us, series_max, stages } => {
                let (outcome, _) = self.fog.close_some(stages, *now_us, usize::try_from(*series_max).unwrap_or(usize::MAX));
                self.add(outcome, &mut trial);
            }
        }
        Ok(trial)
    }

    /// Does some of the next things, until there is something for the runner to do.
    pub(super) fn work(&mut self) -> Result<Next, Trouble> {
        for _ in 0..TURNS_MAX {
            match self.advance()? {
                Next::Again if self.copies.is_empty() => {}
                next => return Ok(next),
            }
        }
        Ok(Next::Again)
    }

    /// Does the next thing.
    pub(super) fn advance(&mut self) -> Result<Next, Trouble> {
        self.look();
        if !self.outs.is_empty() {
            self.flush()?;
            return Ok(Next::Put);
        }
        if self.must_save || self.snapshot_is_due() {
            self.save()?;
            return Ok(Next::Again);
        }
        if self.next < self.span.end {
            self.read()?;
            return Ok(Next::Again);
        }
        if self.fog.next_tick_us().is_some_and(|due_us| due_us <= self.span.now_us) {
            let act = Act::Tick { now_us: self.span.now_us, series_max: TICK_SERIES_MAX };
            let trial = self.again(&act)?;
            self.made(act, 0, trial);
            return Ok(Next::Again);
        }
        if self.switch.as_ref().is_some_and(|switch| switch.from <= self.next) {
            self.switch()?;
            return Ok(Next::Again);
        }
        // the end first: everything below it arrived before the time that is read then
        let (end, now_us) = (self.intake.end(), (self.now_us)());
        let due_us = self.fog.next_tick_us();
        if end > self.next || due_us.is_some_and(|due_us| due_us <= now_us) {
            self.span = Span { end, floor_us: self.span.now_us.min(now_us), now_us };
            self.note();
            return Ok(Next::Again);
        }
        Ok(Next::Wait(due_us))
    }

    /// Notes that everything that comes now has just arrived: after a wait at the end of the intake.
    pub(super) fn woken(&mut self) {
        self.span.now_us = (self.now_us)();
        self.note();
    }

    /// Takes the next readings of the span.
    fn read(&mut self) -> Result<(), Trouble> {
        let (before, mut trial) = (self.next, Trial::default());
        let rows = self.rows(self.span.end)?;
        if rows.is_empty() {
            return Err(FogError::Task(format!("the intake gave nothing at {before} of {}", self.span.end)).into());
        }
        for (offset, reading) in rows {
            self.take(offset, &reading, &mut trial);
            if trial.is_full() {
                break;
            }
        }
        let Span { floor_us, now_us, .. } = self.span;
        self.made(Act::Read { to: self.next, floor_us, now_us }, self.next.saturating_sub(before), trial);
        Ok(())
    }

    /// The next readings of the intake, below offset `to`.
    fn rows(&self, to: u64) -> Result<Vec<(u64, Reading)>, FogError> {
        let max = usize::try_from(to.saturating_sub(self.next)).unwrap_or(usize::MAX).min(STEP_READINGS_MAX);
        Ok(self.intake.read(self.next, max)?)
    }

    /// One reading through the pipelines.
    fn take(&mut self, offset: u64, reading: &Reading, trial: &mut Trial) {
        self.next = offset.saturating_add(1);
        if let (Some(by), Some(number)) = (reading.signed, reading.sequence) {
            self.taken.note(by.key, number);
        }
        let arrival_us = reading.time_us.max(self.span.floor_us).min(self.span.now_us);
        let outcome = self.fog.process(std::slice::from_ref(reading), arrival_us);
        self.add(outcome, trial);
    }

    fn add(&mut self, outcome: Outcome, trial: &mut Trial) {
        add(&mut trial.counts, &outcome);
        trial.accepted = trial.accepted.saturating_add(outcome.accepted.len() as u64);
        trial.derived = trial.derived.saturating_add(outcome.derived.len() as u64);
        outcome.accepted.into_iter().chain(outcome.derived).for_each(|reading| trial.reading(reading));
        for command in outcome.commands {
            let number = self.commands;
            self.commands = self.commands.saturating_add(1);
            trial.command(Reading { sequence: Some(number), ..command.reading() });
        }
        for rejection in outcome.rejected {
            trial.rejected.push(rejection.reason.code());
            trial.copies.push(told(&self.site, &rejection));
        }
    }

    /// A step is made: its record and its pieces wait, in this order.
    fn made(&mut self, act: Act, readings: u64, mut trial: Trial) {
        self.shared.count(readings, &trial);
        let record = Record::Step(act);
        self.journal.put(&mut self.unwritten, &record);
        self.left = 0;
        self.outs = self.finish(&mut trial).into();
        self.copies.append(&mut trial.copies);
        self.note();
    }

    /// Names the pieces of a step, and counts it.
    fn finish(&mut self, trial: &mut Trial) -> Vec<Out> {
        let mut pieces = std::mem::take(&mut trial.pieces);
        for (place, piece) in (0u32..).zip(&mut pieces) {
            let hash = Id::hash(&[b"wattle/fog/v1", &self.instance, &self.step.to_be_bytes(), &place.to_be_bytes()]);
            piece.origin = hash.as_bytes().first_chunk::<16>().copied().unwrap_or_default();
        }
        self.step = self.step.saturating_add(1);
        pieces
    }

    /// The first piece has left; whether another waits, which the journal must know before it is put.
    pub(super) fn has_left(&mut self) -> Result<bool, Trouble> {
        self.left = self.left.saturating_add(1);
        if self.outs.is_empty() {
            return Ok(false);
        }
        self.journal.put(&mut self.unwritten, &Record::Left(self.left));
        self.flush()?;
        Ok(true)
    }

    /// Makes durable what is in the journal so far.
    pub(super) fn flush(&mut self) -> Result<(), Trouble> {
        if !self.unwritten.is_empty() {
            self.journal.write(&self.unwritten).map_err(|why| Trouble::busy(&why))?;
            self.unwritten.clear();
        }
        Ok(())
    }

    fn snapshot_is_due(&self) -> bool {
        if self.saved.step == self.step {
            return false;
        }
        let waited = self.saved.at.elapsed();
        let crowded = self.unwritten.len() > UNWRITTEN_BYTES_MAX || self.journal.bytes() > JOURNAL_BYTES_MAX;
        crowded
            || self.next.saturating_sub(self.saved.next) >= SNAPSHOT_READINGS
            || waited >= SNAPSHOT_INTERVAL.max(self.saved.took.saturating_mul(SNAPSHOT_PART))
            || self.forgettable_bytes() > self.intake_limit_bytes / INTAKE_PART
    }

    /// About how many bytes of the intake a snapshot would let it forget.
    fn forgettable_bytes(&self) -> u64 {
        let processed = self.next.saturating_sub(self.saved.next);
        if processed == 0 {
            return 0;
        }
        let LogStats { pending_readings, pending_bytes, .. } = self.intake.stats();
        let bytes = u128::from(pending_bytes) * u128::from(processed) / u128::from(pending_readings.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Writes a snapshot, begins a new journal, and lets the intake forget. Nothing may wait to leave.
    pub(super) fn save(&mut self) -> Result<(), Trouble> {
        self.flush()?;
        let started = Instant::now();
        let snapshot = Snapshot {
            instance: self.instance,
            step: self.step,
            next: self.next,
            commands: self.commands,
            now_us: self.floor_us(),
            text: self.text.clone(),
            state: self.fog.snapshot(),
            taken: self.taken.taken(),
        };
        snapshot.save(&self.dir).map_err(|why| Trouble::busy(&why))?;
        self.must_save = false;
        self.saved = Saved { at: Instant::now(), took: started.elapsed(), step: self.step, next: self.next };
        // The old journal may have lost its name by now: what is written to it then would be nowhere after a kill.
        match Journal::create(&self.dir, self.instance, self.step) {
            Ok(journal) => self.journal = journal,
            Err(why) => {
                self.must_save = true;
                return Err(Trouble::busy(&why));
            }
        }
        if let Err(why) = self.intake.forget(self.next) {
            tracing::warn!("the intake keeps processed readings for now: {why}");
        }
        Ok(())
    }

    /// Whether there is anything that a snapshot does not have.
    pub(super) fn is_saved(&self) -> bool {
        self.saved.step == self.step && !self.must_save
    }

    /// When the next reading can have arrived at the earliest, in microseconds since 1970.
    const fn floor_us(&self) -> u64 {
        if self.next < self.span.end { self.span.floor_us } else { self.span.now_us }
    }

    /// Keeps the figures up to date.
    fn note(&self) {
        self.shared.next.store(self.next, Ordering::Relaxed);
        self.shared.floor_us.store(self.floor_us(), Ordering::Relaxed);
        let mut stats = self.shared.stats();
        stats.series = self.fog.series() as u64;
        let configuration = self.fog.configuration().to_string();
        if stats.configuration != configuration {
            stats.configuration = configuration;
            stats.pipelines = self.fog.summary().len();
        }
    }

    /// Numbers of readings that devices signed, of everything that was processed.
    pub(super) fn numbers(&self) -> Vec<(PublicKey, u64, u64)> {
        self.taken.taken()
    }
}
