//! What stages remember: for each device and data type a slot a stage, within bounds.
//!
//! # Rules
//! - At most [`SERIES_MAX`] devices × data types, at most [`CELLS_MAX`] cells in all. What was used longest ago goes
//!   first and is counted.
//! - A slot that waits for time to pass says until when; [`State::due`] finds them without looking at the others.

use crate::fog::filter::Passed;
use crate::fog::inputs::Latest;
use crate::fog::normalise::Numbers;
use crate::fog::rule::Switch;
use crate::fog::validate::Last;
use crate::fog::window::Open;
use protocol::DeviceTopic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Devices × data types that are remembered.
pub const SERIES_MAX: usize = 65_536;
/// Cells that are remembered: about 64 bytes each.
pub const CELLS_MAX: usize = 1 << 20;

const _: () = assert!(SERIES_MAX <= CELLS_MAX);

/// What one stage remembers of one device and data type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Slot {
    /// The last valid number, for rates of change.
    Last(Last),
    /// Sequence numbers that were seen.
    Numbers(Numbers),
    /// What a filter let pass last.
    Passed(Passed),
    /// Windows that are open.
    Open(Open),
    /// Inputs of an expression.
    Latest(Latest),
    /// The state of a rule.
    Switch(Switch),
}

impl Slot {
    /// Until when it waits, in microseconds since 1970, if it waits.
    fn due_us(&self) -> Option<u64> {
        match self {
            Self::Open(open) => open.due_us,
            Self::Switch(switch) => switch.due_us(),
            Self::Last(_) | Self::Numbers(_) | Self::Passed(_) | Self::Latest(_) => None,
        }
    }

    fn cells(&self) -> usize {
        match self {
            Self::Last(_) | Self::Passed(_) => 1,
            Self::Numbers(numbers) => 1 + numbers.seen.len() / 4,
            Self::Open(open) => 1 + 2 * open.panes.len(),
            Self::Latest(latest) => latest.cells(),
            Self::Switch(switch) => 1 + switch.latest.cells(),
        }
    }
}

/// Whether a slot has open windows.
fn is_open(slot: &Slot) -> bool {
    matches!(slot, Slot::Open(open) if !open.panes.is_empty())
}

/// What all stages remember of one device and data type.
#[derive(Clone, Debug, Default, PartialEq)]
struct Series {
    used: u64,
    due_us: Option<u64>,
    cells: usize,
    slots: BTreeMap<u32, Slot>,
}

/// What all stages remember.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    series: BTreeMap<Arc<DeviceTopic>, Series>,
    by_use: BTreeMap<u64, Arc<DeviceTopic>>,
    by_due: BTreeSet<(u64, Arc<DeviceTopic>)>,
    uses: u64,
    cells: usize,
    /// Series that were dropped since the last [`State::take_forgotten`].
    forgotten: u64,
}

impl State {
    /// Gives a stage's slot of `topic` to `act`, and keeps what that returns.
    pub(crate) fn with<R>(&mut self, topic: &DeviceTopic, stage: u32, act: impl FnOnce(Option<Slot>) -> (Slot, R)) -> R {
        let key = match self.series.get_key_value(topic) {
            Some((key, _)) => Arc::clone(key),
            None => Arc::new(topic.clone()),
        };
        let series = self.series.entry(Arc::clone(&key)).or_default();
        let (slot, result) = act(series.slots.remove(&stage));
        series.slots.insert(stage, slot);
        self.settle(&key);
        self.make_room();
        result
    }

    /// Notes that a series was used, how large it is and until when it waits.
    fn settle(&mut self, key: &Arc<DeviceTopic>) {
        self.uses = self.uses.saturating_add(1);
        let Some(series) = self.series.get_mut(key) else { return };
        self.by_use.remove(&series.used);
        series.used = self.uses;
        self.by_use.insert(self.uses, Arc::clone(key));
        let due_us = series.slots.values().filter_map(Slot::due_us).min();
        if due_us != series.due_us {
            if let Some(due_us) = series.due_us {
                self.by_due.remove(&(due_us, Arc::clone(key)));
            }
            if let Some(due_us) = due_us {
                self.by_due.insert((due_us, Arc::clone(key)));
            }
            series.due_us = due_us;
        }
        let cells: usize = series.slots.values().map(Slot::cells).sum();
        self.cells = self.cells.saturating_sub(series.cells).saturating_add(cells);
        series.cells = cells;
    }

    fn make_room(&mut self) {
        while self.series.len() > SERIES_MAX || self.cells > CELLS_MAX {
            let Some((_, key)) = self.by_use.pop_first() else { return };
            let Some(series) = self.series.remove(&key) else { continue };
            if let Some(due_us) = series.due_us {
                self.by_due.remove(&(due_us, key));
            }
            self.cells = self.cells.saturating_sub(series.cells);
            self.forgotten = self.forgotten.saturating_add(1);
        }
    }

    /// How many series were dropped since this was last asked.
    pub(crate) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// The series that wait no longer at `now_us`, the longest overdue first, and which stages of theirs. At most `max`.
    pub(crate) fn due(&self, now_us: u64, max: usize) -> Vec<(Arc<DeviceTopic>, Vec<u32>)> {
        let due = self.by_due.iter().take_while(|(due_us, _)| *due_us <= now_us).take(max);
        due.map(|(_, key)| {
            let slots = self.series.get(key).map(|series| &series.slots);
            let stages = slots.into_iter().flatten().filter(|(_, slot)| slot.due_us().is_some_and(|due_us| due_us <= now_us));
            (Arc::clone(key), stages.map(|(stage, _)| *stage).collect())
        })
        .collect()
    }

    /// The first of `stages` that has open windows, and the series that have them: at most `max`.
    pub(crate) fn open(&self, stages: &[u32], max: usize) -> Option<(u32, Vec<Arc<DeviceTopic>>)> {
        let slots = self.series.values().flat_map(|series| &series.slots);
        let first = slots.filter(|(stage, slot)| stages.contains(stage) && is_open(slot)).map(|(stage, _)| *stage).min()?;
        let series = self.series.iter().filter(|(_, series)| series.slots.get(&first).is_some_and(is_open));
        Some((first, series.map(|(topic, _)| Arc::clone(topic)).take(max).collect()))
    }

    /// The same with other numbers of stages; what has no new number is left out. The order of use stays.
    pub(crate) fn renumbered(&self, numbers: &BTreeMap<u32, u32>) -> Self {
        let mut state = Self::default();
        for (topic, slots) in self.series() {
            for (stage, slot) in slots {
                if let Some(stage) = numbers.get(stage) {
                    state.put(topic, *stage, slot.clone());
                }
            }
        }
        state
    }

    /// How many windows are open.
    pub(crate) fn open_windows(&self) -> usize {
        let slots = self.series.values().flat_map(|series| series.slots.values());
        slots.map(|slot| if let Slot::Open(open) = slot { open.panes.len() } else { 0 }).sum()
    }

    /// The earliest time that a slot waits for.
    pub(crate) fn next_due_us(&self) -> Option<u64> {
        self.by_due.first().map(|(due_us, _)| *due_us)
    }

    /// The earliest arrival of what open windows hold.
    pub(crate) fn oldest_open_us(&self) -> Option<u64> {
        let slots = self.series.values().flat_map(|series| series.slots.values());
        let arrivals = slots.filter_map(|slot| match slot {
            Slot::Open(open) => open.oldest_us(),
            _ => None,
        });
        arrivals.min()
    }

    /// Every series, the one used longest ago first, with its slots.
    pub(crate) fn series(&self) -> impl Iterator<Item = (&DeviceTopic, &BTreeMap<u32, Slot>)> {
        self.by_use.values().filter_map(|key| self.series.get(key).map(|series| (&**key, &series.slots)))
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Puts a slot back; series must come in the order of [`State::series`].
    pub(crate) fn put(&mut self, topic: &DeviceTopic, stage: u32, slot: Slot) {
        self.with(topic, stage, |_| (slot, ()));
    }
}
