//! Changes of the pipelines while they run (FOG-46, FOG-47).
//!
//! ```text
//! file changed ─▶ read, or refused ─▶ payloads are read by it ─▶ what had arrived passes the old ones
//!              ─▶ windows of what goes are closed (steps) ─▶ what stays is taken over ─▶ snapshot
//! ```

use super::{LOOK, Machine, TICK_SERIES_MAX, Trial};
use crate::fog::error::Trouble;
use crate::fog::journal::Act;
use edge::fog::Fog;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Pipelines that are to take over.
pub(super) struct Switch {
    pub(super) text: String,
    pub(super) fog: Fog,
    /// From this offset on.
    pub(super) from: u64,
    /// Whether the windows of those that go are closed.
    pub(super) closed: bool,
}

impl Machine {
    /// Looks at the file of pipelines, now and then or if somebody asked.
    pub(super) fn look(&mut self) {
        let asked = self.shared.asked.swap(false, Ordering::Relaxed);
        if !asked && self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        self.shared.stats().open_windows = self.fog.open_windows() as u64;
        if !self.pipelines.changed() && !asked {
            return;
        }
        match self.pipelines.reload() {
            Ok((text, fog)) => {
                let mut stats = self.shared.stats();
                stats.reloads = stats.reloads.saturating_add(1);
                stats.refused = None;
                drop(stats);
                self.offer(text, fog);
            }
            Err(why) => {
                tracing::error!("the pipelines stay as they were: {why}");
                let mut stats = self.shared.stats();
                stats.reloads_refused = stats.reloads_refused.saturating_add(1);
                stats.refused = Some(why.to_string());
            }
        }
    }

    /// Pipelines that are to take over from what arrives from now on, unless they say what those in force say.
    pub(super) fn offer(&mut self, text: String, fog: Fog) {
        let same = fog.configuration() == self.fog.configuration();
        self.switch = (!same).then(|| Switch { text, fog, from: self.intake.end(), closed: false });
    }

    /// Closes the windows of the pipelines that go, then lets the new ones take over.
    pub(super) fn switch(&mut self) -> Result<(), Trouble> {
        let Some(mut switch) = self.switch.take() else { return Ok(()) };
        if !switch.closed {
            let stages = self.fog.outdated_by(&switch.fog);
            let now_us = self.span.now_us;
            let (outcome, more) = self.fog.close_some(&stages, now_us, usize::try_from(TICK_SERIES_MAX).unwrap_or(usize::MAX));
            let mut trial = Trial::default();
            self.add(outcome, &mut trial);
            self.made(Act::Close { now_us, series_max: TICK_SERIES_MAX, stages }, 0, trial);
            switch.closed = !more;
            self.switch = Some(switch);
            return Ok(());
        }
        switch.fog.adopt(&self.fog);
        (self.fog, self.text) = (switch.fog, switch.text);
        // before any step of theirs
        self.must_save = true;
        tracing::info!(configuration = %self.fog.configuration(), next = self.next, "the pipelines were read anew");
        self.note();
        self.save()
    }
}
