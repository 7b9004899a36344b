//! The fog processor: pipelines and what they remember.

use crate::fog::error::{PipelineError, SnapshotError};
use crate::fog::expression::Engine;
use crate::fog::outcome::{Outcome, Rejection};
use crate::fog::pipeline::{self, Pipeline};
use crate::fog::snapshot;
use crate::fog::stage::{Context, Item, Stage};
use crate::fog::state::{Slot, State};
use crate::malformed::Malformed;
use crate::payload;
use protocol::{DeviceTopic, Id, Reading};
use std::collections::BTreeMap;

/// The latest time that is reckoned with, in microseconds since 1970: far beyond any, and small enough to add to.
const NOW_US_MAX: u64 = 2 * payload::TIME_US_MAX;

/// Pipelines and their state. Equal calls in equal order give equal outcomes, whenever and wherever they are made.
#[derive(Debug)]
pub struct Fog {
    engine: Engine,
    pipelines: Vec<Pipeline>,
    configuration: Id,
    state: State,
}

/// What a configuration says, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The name of the pipeline.
    pub name: String,
    /// Which topics it is for.
    pub patterns: Vec<String>,
    /// How payloads are read.
    pub format: &'static str,
    /// What its stages do, in order; rules with their names.
    pub stages: Vec<String>,
}

impl Fog {
    /// Pipelines from the text of a configuration (FOG-1), with nothing remembered. `file` is what errors call it.
    ///
    /// # Errors
    /// [`PipelineError`] if the text is not a configuration: the first place where it is not.
    pub fn load(text: &str, file: &str) -> Result<Self, PipelineError> {
        let engine = Engine::new();
        let (pipelines, configuration) = pipeline::pipelines(text, &engine).map_err(|wrong| wrong.locate(text, file))?;
        Ok(Self { engine, pipelines, configuration, state: State::default() })
    }

    /// The hash of what the configuration says; comments, layout and the order of keys do not count.
    #[must_use]
    pub const fn configuration(&self) -> Id {
        self.configuration
    }

    /// What the configuration says, for people.
    #[must_use]
    pub fn summary(&self) -> Vec<Summary> {
        let stage = |stage: &Stage| match stage.rule() {
            Some(rule) => format!("{} {rule}", stage.kind()),
            None => stage.kind().to_owned(),
        };
        let one = |pipeline: &Pipeline| Summary {
            name: pipeline.name.clone(),
            patterns: pipeline.patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            format: pipeline.parse.format(),
            stages: pipeline.stages.iter().map(stage).collect(),
        };
        self.pipelines.iter().map(one).collect()
    }

    /// The readings that a payload tells, by the pipeline that is for the topic of its publish, or as
    /// [`payload::decode`] has it if none is. Nothing is remembered: a caller may keep the readings and have them
    /// processed later. `arrival_us`: microseconds since 1970.
    ///
    /// # Errors
    /// [`Malformed`] if the payload is not what the pipeline expects.
    pub fn parse(&self, topic: &DeviceTopic, payload: &[u8], arrival_us: u64) -> Result<Vec<Reading>, Malformed> {
        match self.pipelines.iter().find(|pipeline| pipeline.takes(topic)) {
            Some(pipeline) => pipeline.parse.decode(topic, payload, arrival_us),
            None => payload::decode(topic, payload, arrival_us),
        }
    }

    /// What becomes of a publish: [`Fog::parse`], and then [`Fog::process`].
    pub fn take(&mut self, topic: &DeviceTopic, payload: &[u8], arrival_us: u64) -> Outcome {
        match self.parse(topic, payload, arrival_us) {
            Ok(readings) => self.process(&readings, arrival_us),
            Err(malformed) => {
                let pipeline = self.pipelines.iter().find(|pipeline| pipeline.takes(topic)).map(|pipeline| pipeline.name.clone());
                let rejection = Rejection { topic: topic.clone(), time_us: None, pipeline, stage: None, reason: malformed.into() };
                Outcome { rejected: vec![rejection], ..Outcome::default() }
            }
        }
    }

    /// What becomes of readings that arrived at `arrival_us`, each by the first pipeline that is for its topic. Those
    /// that no pipeline is for are accepted as they are.
    pub fn process(&mut self, readings: &[Reading], arrival_us: u64) -> Outcome {
        let now_us = arrival_us.min(NOW_US_MAX);
        let mut outcome = Outcome::default();
        for reading in readings {
            match self.pipelines.iter().find(|pipeline| pipeline.takes(&reading.topic)) {
                None => outcome.accepted.push(reading.clone()),
                Some(pipeline) => {
                    let item = Item { reading: reading.clone(), derived: false };
                    run(&self.engine, &mut self.state, pipeline, &pipeline.stages, vec![item], now_us, &mut outcome);
                }
            }
        }
        outcome.counts.forgotten = self.state.take_forgotten();
        outcome
    }

    /// Does what time alone brings about at `now_us`: closes windows, and tells changes that waited.
    pub fn tick(&mut self, now_us: u64) -> Outcome {
        self.tick_some(now_us, usize::MAX)
    }

    /// As [`Fog::tick`], for at most `series_max` devices × data types, the longest overdue first: what is left is due
    /// still. So a caller bounds what one call brings out.
    pub fn tick_some(&mut self, now_us: u64, series_max: usize) -> Outcome {
        let now_us = now_us.min(NOW_US_MAX);
        let mut outcome = Outcome::default();
        for (topic, numbers) in self.state.due(now_us, series_max) {
            for number in numbers {
                let Some((pipeline, stage, after)) = find(&self.pipelines, number) else { continue };
                let mut cx = context(&self.engine, &mut self.state, pipeline, stage, now_us, &mut outcome);
                stage.tick(&topic, &mut cx);
                let flow = cx.next;
                run(&self.engine, &mut self.state, pipeline, after, flow, now_us, &mut outcome);
            }
        }
        outcome.counts.forgotten = self.state.take_forgotten();
        outcome
    }

    /// Closes every open window of some stages, whether its time is over or not, and tells what is in it so far; what is
    /// told passes the stages that follow. Of at most `series_max` devices × data types; gives whether more are left.
    /// `stages`: as [`Fog::outdated_by`] gives them.
    pub fn close_some(&mut self, stages: &[u32], now_us: u64, series_max: usize) -> (Outcome, bool) {
        let now_us = now_us.min(NOW_US_MAX);
        let mut outcome = Outcome::default();
        let mut room = series_max;
        // one stage after another: what the windows of an earlier one tell may be for those of a later one
        while room > 0
            && let Some((number, topics)) = self.state.open(stages, room)
        {
            let Some((pipeline, stage, after)) = find(&self.pipelines, number) else { break };
            room = room.saturating_sub(topics.len());
            for topic in topics {
                let mut cx = context(&self.engine, &mut self.state, pipeline, stage, now_us, &mut outcome);
                stage.close(&topic, &mut cx);
                let flow = cx.next;
                run(&self.engine, &mut self.state, pipeline, after, flow, now_us, &mut outcome);
            }
        }
        outcome.counts.forgotten = self.state.take_forgotten();
        let more = self.state.open(stages, 1).is_some();
        (outcome, more)
    }

    /// The stages of the pipelines that `newer` does not have just so, in ascending order.
    #[must_use]
    pub fn outdated_by(&self, newer: &Self) -> Vec<u32> {
        let kept = |pipeline: &&Pipeline| newer.pipelines.iter().any(|other| other.said == pipeline.said);
        let gone = self.pipelines.iter().filter(|pipeline| !kept(pipeline));
        gone.flat_map(|pipeline| pipeline.stages.iter().map(|stage| stage.number)).collect()
    }

    /// Takes over what `older` remembers under the pipelines that are here just so, and forgets what is remembered here.
    pub fn adopt(&mut self, older: &Self) {
        let mut numbers = BTreeMap::new();
        for pipeline in &older.pipelines {
            if let Some(same) = self.pipelines.iter().find(|other| other.said == pipeline.said) {
                numbers.extend(pipeline.stages.iter().map(|stage| stage.number).zip(same.stages.iter().map(|stage| stage.number)));
            }
        }
        self.state = older.state.renumbered(&numbers);
    }

    /// How many windows are open. Looks at everything that is remembered.
    #[must_use]
    pub fn open_windows(&self) -> usize {
        self.state.open_windows()
    }

    /// When the next [`Fog::tick`] has something to do if nothing arrives before, in microseconds since 1970.
    #[must_use]
    pub fn next_tick_us(&self) -> Option<u64> {
        self.state.next_due_us()
    }

    /// The earliest arrival of the readings that open windows hold, in microseconds since 1970: who starts without a
    /// snapshot and wants the same windows reads again from there. Looks at everything that is remembered.
    #[must_use]
    pub fn oldest_open_us(&self) -> Option<u64> {
        self.state.oldest_open_us()
    }

    /// How many devices × data types are remembered.
    #[must_use]
    pub fn series(&self) -> usize {
        self.state.len()
    }

    /// Everything that is remembered, as bytes for [`Fog::restore`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        snapshot::encode(&self.configuration, &self.state)
    }

    /// Goes on from a snapshot: what follows gives the same outcomes as without the interruption.
    ///
    /// # Errors
    /// [`SnapshotError`] if it is of another configuration or version, or damaged. What was remembered before stays.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let pipelines = &self.pipelines;
        let keeps = |number: u32, slot: &Slot| find(pipelines, number).is_some_and(|(_, stage, _)| stage.keeps(slot));
        self.state = snapshot::decode(&self.configuration, snapshot, keeps)?;
        Ok(())
    }
}

/// A stage by its number, with its pipeline and the stages after it.
fn find(pipelines: &[Pipeline], number: u32) -> Option<(&Pipeline, &Stage, &[Stage])> {
    pipelines.iter().find_map(|pipeline| {
        let place = pipeline.stages.iter().position(|stage| stage.number == number)?;
        let (stage, after) = pipeline.stages.get(place..)?.split_first()?;
        Some((pipeline, stage, after))
    })
}

fn context<'a>(
    engine: &'a Engine,
    state: &'a mut State,
    pipeline: &'a Pipeline,
    stage: &Stage,
    now_us: u64,
    outcome: &'a mut Outcome,
) -> Context<'a> {
    let (number, place) = (stage.number, stage.place);
    let (constants, pipeline) = (&pipeline.constants, &pipeline.name);
    Context { state, engine, outcome, pipeline, constants, number, place, now_us, next: Vec::new() }
}

/// Sends readings through stages, one stage after another.
fn run(engine: &Engine, state: &mut State, pipeline: &Pipeline, stages: &[Stage], mut flow: Vec<Item>, now_us: u64, outcome: &mut Outcome) {
    for stage in stages {
        let mut cx = context(engine, state, pipeline, stage, now_us, outcome);
        for item in flow {
            stage.apply(item, &mut cx);
        }
        flow = cx.next;
    }
    for Item { reading, derived } in flow {
        match derived {
            false => outcome.accepted.push(reading),
            true => outcome.derived.push(reading),
        }
    }
}
