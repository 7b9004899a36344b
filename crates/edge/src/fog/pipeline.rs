//! One pipeline, and the file that holds them.

use crate::fog::error::{Checked, Wrong};
use crate::fog::expression::Engine;
use crate::fog::parse::Parse;
use crate::fog::pattern::Pattern;
use crate::fog::stage::{Setting, Stage};
use crate::fog::table::{Table, canonical};
use protocol::limits::VALUE_BYTES_MAX;
use protocol::{DeviceTopic, Id, Name, Value};
use std::collections::BTreeSet;
use toml::de::DeTable;

/// Bytes of a configuration.
pub const CONFIGURATION_BYTES_MAX: usize = 1 << 20;
/// Pipelines of a configuration.
pub const PIPELINES_MAX: usize = 256;
/// Patterns of a pipeline.
pub const PATTERNS_MAX: usize = 64;
/// Stages of a pipeline.
pub const STAGES_MAX: usize = 32;
/// Constants of a pipeline.
pub const CONSTANTS_MAX: usize = 64;

/// What becomes of the readings of some topics.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// What people call it.
    pub(crate) name: String,
    /// Which topics it is for.
    pub(crate) patterns: Vec<Pattern>,
    /// How their payloads are read.
    pub(crate) parse: Parse,
    /// What its expressions may name.
    pub(crate) constants: Vec<(String, Value)>,
    /// What is done, in order.
    pub(crate) stages: Vec<Stage>,
    /// The hash of what the configuration says of it.
    pub(crate) said: Id,
}

impl Pipeline {
    /// Whether it is for `topic`.
    pub(crate) fn takes(&self, topic: &DeviceTopic) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes(topic))
    }

    fn read(mut table: Table<'_>, engine: &Engine, text: &str, first_stage: u32) -> Checked<Self> {
        let name = table.text("name")?;
        let name = table.required("name", name)?;
        Name::new(name.value).map_err(|why| name.wrong(format!("it cannot be a name: {why}")))?;
        let mut patterns = Vec::new();
        for found in table.texts("match")? {
            patterns.push(Pattern::new(found.value).map_err(|why| found.wrong(why))?);
        }
        if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
            return Err(table.wrong(format!("`match` must give 1 to {PATTERNS_MAX} patterns such as \"plant/+/sense/power\"")));
        }
        let parse = table.table("parse")?.map(Parse::read).transpose()?.unwrap_or_default();
        let constants = constants(&mut table, engine)?;
        let setting = Setting { engine, constants: &constants, text };
        let mut stages: Vec<Stage> = Vec::new();
        let mut rules = BTreeSet::new();
        for ((place, number), one) in (1..).zip(first_stage..).zip(table.tables("stage")?) {
            let at = one.wrong("");
            let stage = Stage::read(one, setting, number, place)?;
            if let Some(rule) = stage.rule()
                && !rules.insert(rule.to_owned())
            {
                return Err(Wrong { reason: format!("two rules of this pipeline are called {rule:?}"), ..at });
            }
            stages.push(stage);
        }
        if stages.len() > STAGES_MAX {
            return Err(table.wrong(format!("a pipeline has at most {STAGES_MAX} stages")));
        }
        let said = table.said();
        table.finish()?;
        Ok(Self { name: name.value.to_owned(), patterns, parse, constants, stages, said })
    }
}

fn constants(table: &mut Table<'_>, engine: &Engine) -> Checked<Vec<(String, Value)>> {
    let Some(free) = table.table("constants")? else { return Ok(Vec::new()) };
    let mut constants = Vec::new();
    for (name, value) in free.free_scalars()? {
        if !engine.allows_name(name.value) {
            return Err(
                name.wrong(format!("`{}` cannot name a constant: take a word in small letters that means nothing else", name.value))
            );
        }
        if matches!(&value.value, Value::Text(text) if text.len() > VALUE_BYTES_MAX) {
            return Err(value.wrong(format!("a text has at most {VALUE_BYTES_MAX} bytes")));
        }
        constants.push((name.value.to_owned(), value.value));
    }
    match constants.len() <= CONSTANTS_MAX {
        true => Ok(constants),
        false => Err(free.wrong(format!("a pipeline has at most {CONSTANTS_MAX} constants"))),
    }
}

/// The pipelines of a configuration, and the hash of what it says.
pub(crate) fn pipelines(text: &str, engine: &Engine) -> Checked<(Vec<Pipeline>, Id)> {
    if text.len() > CONFIGURATION_BYTES_MAX {
        return Err(Wrong::new(0, format!("the file has {} bytes, the limit is {CONFIGURATION_BYTES_MAX}", text.len())));
    }
    let document = DeTable::parse(text).map_err(|why| Wrong::new(why.span().map_or(0, |span| span.start), why.message()))?;
    let mut said = String::new();
    canonical(document.get_ref(), &mut said);
    let mut root = Table::new(document.get_ref(), 0);
    let mut pipelines: Vec<Pipeline> = Vec::new();
    let mut stages = 0u32;
    for table in root.tables("pipeline")? {
        let at = table.wrong("");
        let pipeline = Pipeline::read(table, engine, text, stages)?;
        if pipelines.iter().any(|other| other.name == pipeline.name) {
            return Err(Wrong { reason: format!("two pipelines are called {:?}", pipeline.name), ..at });
        }
        if pipelines.len() >= PIPELINES_MAX {
            return Err(Wrong { reason: format!("there are more than {PIPELINES_MAX} pipelines"), ..at });
        }
        stages = stages.saturating_add(u32::try_from(pipeline.stages.len()).unwrap_or(u32::MAX));
        pipelines.push(pipeline);
    }
    root.finish()?;
    Ok((pipelines, Id::hash(&[b"wattle/pipelines/v1", said.as_bytes()])))
}
