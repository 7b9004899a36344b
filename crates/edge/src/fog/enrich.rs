//! `do = "enrich"`: adds computed readings (FOG-28, FOG-29).

use crate::fog::error::Checked;
use crate::fog::expression::Expression;
use crate::fog::inputs::{Inputs, Latest};
use crate::fog::outcome::Refused;
use crate::fog::stage::{Context, Item, Setting};
use crate::fog::state::Slot;
use crate::fog::table::Table;
use protocol::limits::UNIT_BYTES_MAX;
use protocol::{DeviceTopic, Name, Reading, Value};

/// What is computed, and from what.
#[derive(Debug)]
pub(crate) struct Enrich {
    data_type: Name,
    expression: Expression,
    unit: Option<String>,
    inputs: Inputs,
}

impl Enrich {
    /// Reads a stage's keys.
    pub(crate) fn read(table: &mut Table<'_>, setting: Setting<'_>) -> Checked<Self> {
        let inputs = Inputs::read(table, setting.engine, setting.constants)?;
        let data_type = table.text("data_type")?;
        let data_type = table.required("data_type", data_type)?;
        let name = Name::new(data_type.value).map_err(|why| data_type.wrong(format!("it cannot be a data type: {why}")))?;
        if inputs.data_types().contains(&name) {
            return Err(data_type.wrong("it is one of its own inputs"));
        }
        let expression = table.text("expression")?;
        let expression = table.required("expression", expression)?;
        let expression = setting.expression(expression, &inputs.names())?;
        let unit = match table.text("unit")? {
            Some(unit) if unit.value.len() > UNIT_BYTES_MAX || unit.value.chars().any(char::is_control) => {
                return Err(unit.wrong(format!("a unit has at most {UNIT_BYTES_MAX} bytes and no control characters")));
            }
            unit => unit.map(|unit| unit.value.to_owned()).filter(|unit| !unit.is_empty()),
        };
        Ok(Self { data_type: name, expression, unit, inputs })
    }

    /// The data types of its inputs, if it has inputs.
    pub(crate) fn inputs(&self) -> Option<Vec<Name>> {
        (!self.inputs.is_empty()).then(|| self.inputs.data_types())
    }

    /// Passes the reading on, and what can be computed now.
    pub(crate) fn apply(&self, item: Item, cx: &mut Context<'_>) {
        let source = &item.reading;
        let value = match self.inputs.is_empty() {
            true => cx.value(&self.expression, source, &[]).map(Some),
            false => self.computed(source, cx),
        };
        let topic = DeviceTopic { data_type: self.data_type.clone(), ..source.topic.clone() };
        let time_us = source.time_us;
        match value {
            Err(reason) => {
                // what cannot be computed says nothing against the reading
                cx.reject(source, reason);
                cx.pass(item);
            }
            Ok(None) => cx.pass(item),
            Ok(Some(value)) => {
                cx.pass(item);
                let reading = Reading { topic, time_us, sequence: None, unit: self.unit.clone(), value, signed: None };
                cx.pass(Item { reading, derived: true });
            }
        }
    }

    fn computed(&self, source: &Reading, cx: &mut Context<'_>) -> Result<Option<Value>, Refused> {
        let key = DeviceTopic { data_type: self.data_type.clone(), ..source.topic.clone() };
        let inputs = cx.state.with(&key, cx.number, |slot| {
            let mut latest = match slot {
                Some(Slot::Latest(latest)) => latest,
                _ => Latest::default(),
            };
            let inputs = self.inputs.note(&mut latest, source).map(|()| self.inputs.complete(&latest));
            (Slot::Latest(latest), inputs)
        })?;
        match inputs {
            None => Ok(None),
            Some(inputs) => cx.value(&self.expression, source, &inputs).map(Some),
        }
    }
}
