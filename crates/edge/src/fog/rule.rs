//! `do = "rule"`: drives an actuator (FOG-30 to FOG-32).
//!
//! ```text
//!          on_above ─────────┐ on                 the state that the readings call for …
//!                  off_below │────┐ off
//!          ───────┐          │    │
//!          told:  off        on   └ hold_s ─▶ off  … is told no sooner than hold_s after the last change
//! ```
//! What does not call for one of the two leaves the state as it is. A state is kept for each device whose readings
//! the rule sees; what is not newer than the newest of them calls for nothing.

use crate::fog::error::Checked;
use crate::fog::expression::Expression;
use crate::fog::inputs::{Inputs, Latest};
use crate::fog::outcome::{Command, Refused};
use crate::fog::pattern::Target;
use crate::fog::stage::{Context, Item, Setting};
use crate::fog::state::Slot;
use crate::fog::table::Table;
use protocol::codec::Reader;
use protocol::limits::VALUE_BYTES_MAX;
use protocol::{Decode, DecodeError, DeviceTopic, Direction, Encode, Name, Reading, ReadingName, Value};

/// When an actuator is driven, and how.
#[derive(Debug)]
pub(crate) struct Rule {
    name: String,
    trigger: Trigger,
    inputs: Inputs,
    hold_us: u64,
    target: Target,
    on: Value,
    off: Option<Value>,
}

#[derive(Debug)]
enum Trigger {
    /// On above the first, off below the second.
    Above(f64, f64),
    /// On below the first, off above the second.
    Below(f64, f64),
    /// On when the first holds; off when the second does, or when the first does not if there is no second.
    When(Expression, Option<Expression>),
}

/// What was wanted so far, and the inputs.
type Judged = (Option<bool>, Vec<(String, Value)>);

/// The state of a rule for one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Switch {
    newest_us: u64,
    /// What the readings call for; none before the first that does.
    wanted: Option<bool>,
    /// What was told; none before the first change.
    told: Option<bool>,
    /// Until when that holds.
    held_until_us: u64,
    pub(crate) latest: Latest,
}

impl Switch {
    /// When a change that waits is told.
    pub(crate) fn due_us(&self) -> Option<u64> {
        (self.wanted != self.told).then_some(self.held_until_us)
    }
}

impl Rule {
    /// Reads a stage's keys.
    pub(crate) fn read(table: &mut Table<'_>, setting: Setting<'_>) -> Checked<Self> {
        let name = table.text("name")?;
        let name = table.required("name", name)?;
        Name::new(name.value).map_err(|why| name.wrong(format!("it cannot be a name: {why}")))?;
        let inputs = Inputs::read(table, setting.engine, setting.constants)?;
        let trigger = trigger(table, setting, &inputs)?;
        let publish = table.text("publish")?;
        let publish = table.required("publish", publish)?;
        let target = Target::new(publish.value).map_err(|why| publish.wrong(why))?;
        let on = table.scalar("on")?;
        let (on, off) = (table.required("on", on)?, table.scalar("off")?);
        for value in [Some(&on), off.as_ref()].into_iter().flatten() {
            if matches!(&value.value, Value::Text(text) if text.len() > VALUE_BYTES_MAX) {
                return Err(value.wrong(format!("a text has at most {VALUE_BYTES_MAX} bytes")));
            }
        }
        Ok(Self {
            name: name.value.to_owned(),
            trigger,
            inputs,
            hold_us: table.seconds("hold_s", true)?.map_or(0, |hold| hold.value),
            target,
            on: on.value,
            off: off.map(|off| off.value),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The data types of its inputs, if it has inputs.
    pub(crate) fn inputs(&self) -> Option<Vec<Name>> {
        (!self.inputs.is_empty()).then(|| self.inputs.data_types())
    }

    /// Passes the reading on, and tells the actuator if that changes what it is to do.
    pub(crate) fn apply(&self, item: Item, cx: &mut Context<'_>) {
        match self.look(&item.reading, cx) {
            Ok(Some(on)) => self.tell(&item.reading.topic, on, Some(item.reading.name()), cx),
            Ok(None) => {}
            Err(reason) => cx.reject(&item.reading, reason),
        }
        // what a rule cannot read is refused by the rule alone: the reading itself is as good as before
        cx.pass(item);
    }

    /// Tells a change of which the waiting time is over.
    pub(crate) fn tick(&self, key: &DeviceTopic, cx: &mut Context<'_>) {
        let (hold_us, now_us) = (self.hold_us, cx.now_us);
        let changed = cx.state.with(key, cx.number, |slot| {
            let mut switch = switch_of(slot);
            let changed = change(&mut switch, hold_us, now_us);
            (Slot::Switch(switch), changed)
        });
        if let Some(on) = changed {
            self.tell(key, on, None, cx);
        }
    }

    /// What the actuator is to be told now, if anything.
    fn look(&self, reading: &Reading, cx: &mut Context<'_>) -> Result<Option<bool>, Refused> {
        let key = DeviceTopic { direction: Direction::Act, data_type: self.target.data_type.clone(), ..reading.topic.clone() };
        let (hold_us, now_us) = (self.hold_us, cx.now_us);
        // first what is remembered, then the condition, which may not hold the state while it is evaluated
        let noted = cx.state.with(&key, cx.number, |slot| {
            let mut switch = switch_of(slot);
            let noted = self.note(&mut switch, reading);
            (Slot::Switch(switch), noted)
        })?;
        let Some((wanted, inputs)) = noted else { return Ok(None) };
        let Some(calls_for) = self.calls_for(wanted, reading, &inputs, cx)? else { return Ok(None) };
        Ok(cx.state.with(&key, cx.number, |slot| {
            let mut switch = switch_of(slot);
            switch.wanted = Some(calls_for);
            let changed = change(&mut switch, hold_us, now_us);
            (Slot::Switch(switch), changed)
        }))
    }

    /// Notes a reading; what was wanted so far and the inputs, if it can be judged.
    fn note(&self, switch: &mut Switch, reading: &Reading) -> Result<Option<Judged>, Refused> {
        if !self.inputs.is_empty() {
            self.inputs.note(&mut switch.latest, reading)?;
            return Ok(self.inputs.complete(&switch.latest).map(|inputs| (switch.wanted, inputs)));
        }
        if reading.time_us < switch.newest_us {
            return Ok(None);
        }
        switch.newest_us = reading.time_us;
        Ok(Some((switch.wanted, Vec::new())))
    }

    /// What a reading calls for, given what was wanted before.
    fn calls_for(
        &self,
        wanted: Option<bool>,
        reading: &Reading,
        inputs: &[(String, Value)],
        cx: &Context<'_>,
    ) -> Result<Option<bool>, Refused> {
        let number = match reading.value {
            Value::Number(number) => Some(number),
            Value::Boolean(boolean) => Some(f64::from(u8::from(boolean))),
            Value::Text(_) | Value::Bytes(_) => None,
        };
        Ok(match (&self.trigger, number) {
            (Trigger::Above(on, off), Some(number)) => on_or_off(number > *on, number < *off),
            (Trigger::Below(on, off), Some(number)) => on_or_off(number < *on, number > *off),
            (Trigger::Above(..) | Trigger::Below(..), None) => None,
            (Trigger::When(when, None), _) => Some(cx.holds(when, reading, inputs)?),
            (Trigger::When(when, Some(until)), _) => match wanted {
                Some(true) => cx.holds(until, reading, inputs)?.then_some(false),
                _ if cx.holds(when, reading, inputs)? => Some(true),
                None => cx.holds(until, reading, inputs)?.then_some(false),
                Some(false) => None,
            },
        })
    }

    fn tell(&self, source: &DeviceTopic, on: bool, cause: Option<ReadingName>, cx: &mut Context<'_>) {
        let value = if on { Some(&self.on) } else { self.off.as_ref() };
        let Some(value) = value.cloned() else { return };
        cx.outcome.commands.push(Command {
            topic: self.target.of(source),
            value,
            time_us: cx.now_us,
            pipeline: cx.pipeline.to_owned(),
            rule: self.name.clone(),
            cause,
        });
    }
}

fn on_or_off(on: bool, off: bool) -> Option<bool> {
    match (on, off) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

fn switch_of(slot: Option<Slot>) -> Switch {
    match slot {
        Some(Slot::Switch(switch)) => switch,
        _ => Switch::default(),
    }
}

/// Changes what is told to what is wanted, if what was told need not hold any longer.
fn change(switch: &mut Switch, hold_us: u64, now_us: u64) -> Option<bool> {
    let wanted = switch.wanted.filter(|wanted| switch.told != Some(*wanted) && switch.held_until_us <= now_us)?;
    switch.told = Some(wanted);
    switch.held_until_us = now_us.saturating_add(hold_us);
    Some(wanted)
}

/// Reads one of the three ways to say when.
fn trigger(table: &mut Table<'_>, setting: Setting<'_>, inputs: &Inputs) -> Checked<Trigger> {
    let (on_above, off_below) = (table.number("on_above")?, table.number("off_below")?);
    let (on_below, off_above) = (table.number("on_below")?, table.number("off_above")?);
    let (when, until) = (table.text("when")?, table.text("until")?);
    let one_of_three =
        "a rule has `on_above` and perhaps `off_below`, or `on_below` and perhaps `off_above`, or `when` and perhaps `until`";
    match (on_above, on_below, when) {
        (Some(on), None, None) if off_above.is_none() && until.is_none() && inputs.is_empty() => {
            let off = off_below.map_or(on.value, |off| off.value);
            match off <= on.value {
                true => Ok(Trigger::Above(on.value, off)),
                false => Err(on.wrong("`off_below` must not be above `on_above`: between the two the state stays")),
            }
        }
        (None, Some(on), None) if off_below.is_none() && until.is_none() && inputs.is_empty() => {
            let off = off_above.map_or(on.value, |off| off.value);
            match off >= on.value {
                true => Ok(Trigger::Below(on.value, off)),
                false => Err(on.wrong("`off_above` must not be below `on_below`: between the two the state stays")),
            }
        }
        (None, None, Some(when)) if off_below.is_none() && off_above.is_none() => {
            let names = inputs.names();
            let when = setting.expression(when, &names)?;
            let until = until.map(|until| setting.expression(until, &names)).transpose()?;
            Ok(Trigger::When(when, until))
        }
        _ if !inputs.is_empty() => Err(table.wrong("a rule with `inputs` says `when`")),
        _ => Err(table.wrong(one_of_three)),
    }
}

impl Encode for Switch {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.newest_us.to_be_bytes());
        out.extend_from_slice(&self.held_until_us.to_be_bytes());
        for state in [self.wanted, self.told] {
            out.push(match state {
                None => 0,
                Some(false) => 1,
                Some(true) => 2,
            });
        }
        self.latest.encode_to(out);
    }
}

impl Decode for Switch {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (newest_us, held_until_us) = (reader.u64("a time")?, reader.u64("a time")?);
        let (wanted, told) = (state(reader)?, state(reader)?);
        Ok(Self { newest_us, wanted, told, held_until_us, latest: Latest::decode_from(reader)? })
    }
}

fn state(reader: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    match reader.byte("a rule's state")? {
        0 => Ok(None),
        1 => Ok(Some(false)),
        2 => Ok(Some(true)),
        tag => Err(DecodeError::UnknownTag { what: "a rule's state", tag }),
    }
}
