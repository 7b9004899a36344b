//! One stage of a pipeline: what it is for, what it does, and what it may touch while it does it.

use crate::fog::enrich::Enrich;
use crate::fog::error::{Checked, Wrong};
use crate::fog::expression::{Engine, Expression, Known};
use crate::fog::filter::Filter;
use crate::fog::normalise::Normalise;
use crate::fog::outcome::{Outcome, Refused, Rejection};
use crate::fog::pattern::Selector;
use crate::fog::rule::Rule;
use crate::fog::state::{Slot, State};
use crate::fog::table::{At, Table};
use crate::fog::validate::Validate;
use crate::fog::window::Window;
use protocol::{DeviceTopic, Reading, Value};

/// Readings that one reading, or one tick of one series, may become.
pub(crate) const FLOW_MAX: usize = 4096;

/// A reading on its way through the stages.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The reading.
    pub(crate) reading: Reading,
    /// Whether a stage made it.
    pub(crate) derived: bool,
}

/// What a stage may touch while it works.
pub(crate) struct Context<'a> {
    /// What stages remember.
    pub(crate) state: &'a mut State,
    /// What evaluates expressions.
    pub(crate) engine: &'a Engine,
    /// What comes out.
    pub(crate) outcome: &'a mut Outcome,
    /// The name of the pipeline.
    pub(crate) pipeline: &'a str,
    /// The pipeline's constants.
    pub(crate) constants: &'a [(String, Value)],
    /// The stage's number among those of all pipelines: the key of its slots.
    pub(crate) number: u32,
    /// The stage's place in its pipeline, from 1.
    pub(crate) place: usize,
    /// The time of the arrival, or of the tick.
    pub(crate) now_us: u64,
    /// What goes on to the next stage.
    pub(crate) next: Vec<Item>,
}

impl Context<'_> {
    /// Passes a reading on.
    pub(crate) fn pass(&mut self, item: Item) {
        match self.next.len() < FLOW_MAX {
            true => self.next.push(item),
            false => self.refuse(&item.reading.topic, Some(item.reading.time_us), Refused::TooMany(FLOW_MAX)),
        }
    }

    /// Refuses a reading.
    pub(crate) fn reject(&mut self, reading: &Reading, reason: Refused) {
        self.refuse(&reading.topic, Some(reading.time_us), reason);
    }

    /// Refuses what is told under `topic`.
    pub(crate) fn refuse(&mut self, topic: &DeviceTopic, time_us: Option<u64>, reason: Refused) {
        let pipeline = Some(self.pipeline.to_owned());
        self.outcome.rejected.push(Rejection { topic: topic.clone(), time_us, pipeline, stage: Some(self.place), reason });
    }

    /// What an expression gives.
    pub(crate) fn value(&self, expression: &Expression, reading: &Reading, inputs: &[(String, Value)]) -> Result<Value, Refused> {
        let known = Known { reading, constants: self.constants, inputs };
        self.engine.value(expression, &known).map_err(|why| Refused::Expression { expression: expression.as_str().to_owned(), why })
    }

    /// Whether a condition holds.
    pub(crate) fn holds(&self, expression: &Expression, reading: &Reading, inputs: &[(String, Value)]) -> Result<bool, Refused> {
        let known = Known { reading, constants: self.constants, inputs };
        self.engine.holds(expression, &known).map_err(|why| Refused::Expression { expression: expression.as_str().to_owned(), why })
    }
}

/// What a stage's configuration is read with.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// What checks expressions.
    pub(crate) engine: &'a Engine,
    /// The pipeline's constants.
    pub(crate) constants: &'a [(String, Value)],
    /// The whole configuration.
    pub(crate) text: &'a str,
}

impl Setting<'_> {
    /// Checks an expression; what is wrong is told with its place in the file.
    pub(crate) fn expression(&self, found: At<&str>, inputs: &[String]) -> Checked<Expression> {
        self.engine.compile(found.value, self.constants, inputs).map_err(|why| {
            let after_quote = self.text.get(found.at.saturating_add(1)..).unwrap_or_default();
            let plain = after_quote.starts_with(found.value) && !found.value.contains('\n');
            let at = match why.column.filter(|_| plain) {
                Some(column) => {
                    let before: usize = found.value.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
                    found.at.saturating_add(1).saturating_add(before)
                }
                None => found.at,
            };
            Wrong::new(at, format!("`{}`: {}", found.value, why.reason))
        })
    }
}

/// What a stage does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Refuses what cannot be.
    Validate(Validate),
    /// Brings units, times and repetitions into order.
    Normalise(Normalise),
    /// Lets through what matters.
    Filter(Filter),
    /// Sums up spans of time.
    Window(Window),
    /// Adds computed readings.
    Enrich(Enrich),
    /// Drives an actuator.
    Rule(Box<Rule>),
}

/// A stage of a pipeline.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its number among the stages of all pipelines.
    pub(crate) number: u32,
    /// Its place in its pipeline, from 1.
    pub(crate) place: usize,
    only: Selector,
    work: Work,
}

impl Stage {
    /// Reads a stage.
    pub(crate) fn read(mut table: Table<'_>, setting: Setting<'_>, number: u32, place: usize) -> Checked<Self> {
        let mut only = Selector::default();
        for data_type in table.texts("only")? {
            only.add(data_type.value).map_err(|why| data_type.wrong(why))?;
        }
        let kind = table.text("do")?;
        let kind = table.required("do", kind)?;
        let work = match kind.value {
            "validate" => Work::Validate(Validate::read(&mut table, setting)?),
            "normalise" => Work::Normalise(Normalise::read(&mut table)?),
            "filter" => Work::Filter(Filter::read(&mut table, setting)?),
            "window" => Work::Window(Window::read(&mut table)?),
            "enrich" => Work::Enrich(Enrich::read(&mut table, setting)?),
            "rule" => Work::Rule(Box::new(Rule::read(&mut table, setting)?)),
            other => {
                return Err(kind.wrong(format!("{other:?} is no stage: take validate, normalise, filter, window, enrich or rule")));
            }
        };
        // what reads inputs is for the data types of its inputs
        if let Some(data_types) = work.inputs() {
            if !only.is_empty() {
                return Err(table.wrong("`only` is for stages without `inputs`: these say what the stage is for"));
            }
            only = Selector::of(data_types);
        }
        table.finish()?;
        Ok(Self { number, place, only, work })
    }

    /// The word for what it does.
    pub(crate) fn kind(&self) -> &'static str {
        match self.work {
            Work::Validate(_) => "validate",
            Work::Normalise(_) => "normalise",
            Work::Filter(_) => "filter",
            Work::Window(_) => "window",
            Work::Enrich(_) => "enrich",
            Work::Rule(_) => "rule",
        }
    }

    /// Its name, if it is a rule.
    pub(crate) fn rule(&self) -> Option<&str> {
        match &self.work {
            Work::Rule(rule) => Some(rule.name()),
            _ => None,
        }
    }

    /// Takes a reading: it is passed on, refused, or taken out.
    pub(crate) fn apply(&self, item: Item, cx: &mut Context<'_>) {
        if !self.only.takes(&item.reading.topic.data_type) {
            return cx.pass(item);
        }
        match &self.work {
            Work::Validate(work) => work.apply(item, cx),
            Work::Normalise(work) => work.apply(item, cx),
            Work::Filter(work) => work.apply(item, cx),
            Work::Window(work) => work.apply(item, cx),
            Work::Enrich(work) => work.apply(item, cx),
            Work::Rule(work) => work.apply(item, cx),
        }
    }

    /// Does what the slot of `topic` waited for.
    pub(crate) fn tick(&self, topic: &DeviceTopic, cx: &mut Context<'_>) {
        match &self.work {
            Work::Window(work) => work.tick(topic, cx),
            Work::Rule(work) => work.tick(topic, cx),
            Work::Validate(_) | Work::Normalise(_) | Work::Filter(_) | Work::Enrich(_) => {}
        }
    }

    /// Closes what is open in the slot of `topic`, before its time.
    pub(crate) fn close(&self, topic: &DeviceTopic, cx: &mut Context<'_>) {
        if let Work::Window(work) = &self.work {
            work.close_all(topic, cx);
        }
    }

    /// Whether a slot can be one of this stage.
    pub(crate) fn keeps(&self, slot: &Slot) -> bool {
        matches!(
            (&self.work, slot),
            (Work::Validate(_), Slot::Last(_))
                | (Work::Normalise(_), Slot::Numbers(_))
                | (Work::Filter(_), Slot::Passed(_))
                | (Work::Window(_), Slot::Open(_))
                | (Work::Enrich(_), Slot::Latest(_))
                | (Work::Rule(_), Slot::Switch(_))
        )
    }
}

impl Work {
    /// The data types of its inputs, if it has inputs.
    fn inputs(&self) -> Option<Vec<protocol::Name>> {
        match self {
            Self::Enrich(work) => work.inputs(),
            Self::Rule(work) => work.inputs(),
            _ => None,
        }
    }
}
