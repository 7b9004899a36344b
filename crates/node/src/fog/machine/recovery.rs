//! Where a processor goes on after a start: from its snapshot, and from the steps in its journal.

use super::{Machine, MachineParts, Saved, Span};
use crate::fog::error::FogError;
use crate::fog::journal::{Act, Found, Journal, Record};
use crate::fog::pipelines::Pipelines;
use crate::fog::snapshot::Snapshot;
use crate::fog::stats::Shared;
use edge::fog::Fog;
use mqtt::SiteLog;
use mqtt::replay::Replays;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Machine {
    /// Goes on from the files in `dir`, which is made if need be.
    ///
    /// # Errors
    /// [`FogError`] if they cannot be read or written, or do not fit together.
    pub(in crate::fog) fn open(parts: MachineParts) -> Result<Self, FogError> {
        let MachineParts { site, intake, intake_limit_bytes, dir, pipelines, now_us } = parts;
        std::fs::create_dir_all(&dir).map_err(FogError::io("make", &dir))?;
        let snapshot = match Snapshot::load(&dir)? {
            Some(snapshot) => snapshot,
            None => first(&dir, &intake, &pipelines, now_us())?,
        };
        let found = match Journal::read(&dir)? {
            Some(found) => found,
            None => {
                Journal::create(&dir, snapshot.instance, snapshot.step)?;
                Journal::read(&dir)?.ok_or_else(|| apart(&dir, "the journal was deleted while it was opened"))?
            }
        };
        let steps = fits(&dir, &snapshot, &found)?;
        if snapshot.next < intake.forgotten() || snapshot.next > intake.end() {
            let (from, to) = (intake.forgotten(), intake.end());
            return Err(apart(&dir, &format!("readings up to {} are processed, the intake holds {from} to {to}", snapshot.next)));
        }
        let (fog, text, must_save) = match restore(&snapshot) {
            Ok(fog) => (fog, snapshot.text.clone(), false),
            Err(why) if steps.is_empty() => {
                tracing::warn!("what the fog processor remembered cannot be used: {why}; open windows and rules begin anew");
                (Fog::load(pipelines.text(), "the pipelines")?, pipelines.text().to_owned(), true)
            }
            Err(why) => return Err(FogError::Outdated { dir, why }),
        };
        let journal = Journal::resume(&dir, &found)?;
        let taken = Replays::default();
        snapshot.taken.iter().for_each(|(key, greatest, bits)| taken.note_all(*key, *greatest, *bits));
        let Snapshot { instance, step, next, commands, now_us: floor_us, .. } = snapshot;
        let (now, shared) = (Instant::now(), Arc::new(Shared::default()));
        let mut machine = Self {
            site,
            intake,
            intake_limit_bytes,
            dir,
            pipelines,
            now_us,
            shared,
            instance,
            fog,
            text,
            step,
            next,
            commands,
            taken,
            span: Span { end: next, floor_us, now_us: floor_us },
            journal,
            unwritten: Vec::new(),
            outs: VecDeque::new(),
            left: 0,
            copies: Vec::new(),
            switch: None,
            must_save,
            saved: Saved { at: now, took: Duration::ZERO, step, next },
            looked: now,
        };
        machine.replay(steps)?;
        machine.offer(machine.pipelines.text().to_owned(), Fog::load(machine.pipelines.text(), "the pipelines")?);
        machine.note();
        Ok(machine)
    }

    /// Makes the steps of the journal again. Of the last, what may not have left is to be put.
    fn replay(&mut self, steps: Vec<(Act, u32)>) -> Result<(), FogError> {
        let last = steps.len();
        for (place, (act, left)) in (1..).zip(steps) {
            let mut trial = self.again(&act)?;
            // of a span that was not finished, the rest arrived within the same bounds
            let floor_us = match act {
                Act::Read { floor_us, .. } => floor_us,
                Act::Tick { now_us, .. } | Act::Close { now_us, .. } => now_us,
            };
            self.span = Span { end: self.next, floor_us, now_us: floor_us };
            let pieces = self.finish(&mut trial);
            if place == last {
                self.left = left;
                self.outs = pieces.into_iter().skip(usize::try_from(left).unwrap_or(usize::MAX)).collect();
            }
        }
        if last > 0 {
            tracing::info!(steps = last, next = self.next, waiting = self.outs.len(), "the fog processor goes on after an interruption");
        }
        Ok(())
    }
}

/// The snapshot of a processor that begins: the intake from its watermark on.
fn first(dir: &Path, intake: &SiteLog, pipelines: &Pipelines, now_us: u64) -> Result<Snapshot, FogError> {
    let mut instance = [0u8; 16];
    getrandom::fill(&mut instance).map_err(|why| FogError::Randomness(why.to_string()))?;
    let text = pipelines.text().to_owned();
    let state = Fog::load(&text, "the pipelines")?.snapshot();
    let snapshot = Snapshot { instance, step: 0, next: intake.forgotten(), commands: 0, now_us, text, state, taken: Vec::new() };
    // a journal that is left without its snapshot says nothing
    Journal::create(dir, instance, 0)?;
    snapshot.save(dir)?;
    Ok(snapshot)
}

/// The pipelines of a snapshot, with what they remembered.
fn restore(snapshot: &Snapshot) -> Result<Fog, String> {
    let mut fog = Fog::load(&snapshot.text, "the pipelines of the snapshot").map_err(|why| why.to_string())?;
    fog.restore(&snapshot.state).map_err(|why| why.to_string())?;
    Ok(fog)
}

/// The steps that were made after a snapshot, each with how many of its pieces have left.
///
/// # Errors
/// [`FogError::Apart`] if the journal is not that of the snapshot.
pub(in crate::fog) fn fits(dir: &Path, snapshot: &Snapshot, found: &Found) -> Result<Vec<(Act, u32)>, FogError> {
    if found.instance != snapshot.instance || found.first_step > snapshot.step {
        return Err(apart(dir, "its snapshot and its journal are not of one time"));
    }
    let Found { first_step, records, .. } = found;
    let mut steps: Vec<(u64, Act, u32)> = Vec::new();
    for record in records {
        match (record, steps.last_mut()) {
            (Record::Step(act), _) => steps.push((first_step.saturating_add(steps.len() as u64), act.clone(), 0)),
            (Record::Left(pieces), Some((_, _, left))) => *left = *pieces,
            (Record::Left(_), None) => {}
        }
    }
    Ok(steps.into_iter().filter(|(step, ..)| *step >= snapshot.step).map(|(_, act, left)| (act, left)).collect())
}

/// They do not fit together.
pub(super) fn apart(dir: &Path, why: &str) -> FogError {
    FogError::Apart { dir: dir.to_path_buf(), why: why.to_owned() }
}
