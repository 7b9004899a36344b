//! Inputs of an expression: the latest readings of several data types of one device.

use crate::fog::error::Checked;
use crate::fog::expression::Engine;
use crate::fog::outcome::Refused;
use crate::fog::table::Table;
use protocol::codec::{Reader, put_varint};
use protocol::{Decode, DecodeError, Encode, Name, Reading, Value};

/// Inputs of one expression.
pub(crate) const INPUTS_MAX: usize = 16;
/// Bytes of a text that is an input.
pub(crate) const INPUT_BYTES_MAX: usize = 256;
/// Bytes of a cell of the state.
const CELL_BYTES: usize = 64;

/// Which data types an expression reads, and under which names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inputs {
    wanted: Vec<(String, Name)>,
    age_max_us: u64,
}

/// The latest values, in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Latest {
    values: Vec<Option<(u64, Value)>>,
}

impl Inputs {
    /// Reads `inputs = { name = "data type", … }` and `age_max_s`.
    pub(crate) fn read(table: &mut Table<'_>, engine: &Engine, constants: &[(String, Value)]) -> Checked<Self> {
        let mut wanted: Vec<(String, Name)> = Vec::new();
        if let Some(free) = table.table("inputs")? {
            for (name, data_type) in free.free_texts()? {
                if !engine.allows_name(name.value) || constants.iter().any(|(other, _)| other == name.value) {
                    return Err(
                        name.wrong(format!("`{}` cannot name an input: take a word in small letters that means nothing else", name.value))
                    );
                }
                let data_type = Name::new(data_type.value).map_err(|why| data_type.wrong(format!("it cannot be a data type: {why}")))?;
                wanted.push((name.value.to_owned(), data_type));
            }
            if wanted.is_empty() || wanted.len() > INPUTS_MAX {
                return Err(free.wrong(format!("`inputs` must name 1 to {INPUTS_MAX} data types")));
            }
        }
        let age = table.seconds("age_max_s", true)?;
        match age {
            Some(age) if wanted.is_empty() => Err(age.wrong("`age_max_s` is for `inputs`, and there are none")),
            age => Ok(Self { wanted, age_max_us: age.map_or(0, |age| age.value) }),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Their names in expressions.
    pub(crate) fn names(&self) -> Vec<String> {
        self.wanted.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Their data types.
    pub(crate) fn data_types(&self) -> Vec<Name> {
        self.wanted.iter().map(|(_, data_type)| data_type.clone()).collect()
    }

    /// Notes a reading, unless a newer one of its data type is noted.
    ///
    /// # Errors
    /// [`Refused::Input`] if its value is too large to be remembered.
    pub(crate) fn note(&self, latest: &mut Latest, reading: &Reading) -> Result<(), Refused> {
        match &reading.value {
            Value::Bytes(_) => return Err(Refused::Input(INPUT_BYTES_MAX)),
            Value::Text(text) if text.len() > INPUT_BYTES_MAX => return Err(Refused::Input(INPUT_BYTES_MAX)),
            _ => {}
        }
        latest.values.resize(self.wanted.len(), None);
        for ((_, data_type), value) in self.wanted.iter().zip(&mut latest.values) {
            let newer = value.as_ref().is_none_or(|(time_us, _)| *time_us <= reading.time_us);
            if *data_type == reading.topic.data_type && newer {
                *value = Some((reading.time_us, reading.value.clone()));
            }
        }
        Ok(())
    }

    /// All inputs with their values, if each is known and none is older than the newest by more than allowed.
    pub(crate) fn complete(&self, latest: &Latest) -> Option<Vec<(String, Value)>> {
        let newest_us = latest.values.iter().flatten().map(|(time_us, _)| *time_us).max()?;
        let named = self.wanted.iter().zip(&latest.values).map(|((name, _), value)| {
            let (time_us, value) = value.as_ref()?;
            (newest_us.saturating_sub(*time_us) <= self.age_max_us).then(|| (name.clone(), value.clone()))
        });
        named.collect()
    }
}

impl Latest {
    /// Cells it takes in the state.
    pub(crate) fn cells(&self) -> usize {
        let one = |value: &Option<(u64, Value)>| match value {
            Some((_, Value::Text(text))) => 1 + text.len() / CELL_BYTES,
            _ => 1,
        };
        self.values.iter().map(one).sum()
    }
}

impl Encode for Latest {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.values.len() as u64);
        for value in &self.values {
            match value {
                None => out.push(0),
                Some((time_us, value)) => {
                    out.push(1);
                    out.extend_from_slice(&time_us.to_be_bytes());
                    value.encode_to(out);
                }
            }
        }
    }
}

impl Decode for Latest {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(INPUTS_MAX, 1, "inputs")?;
        let mut values = Vec::with_capacity(length);
        for _ in 0..length {
            values.push(match reader.flag("an input")? {
                true => Some((reader.u64("an input's time")?, Value::decode_from(reader)?)),
                false => None,
            });
        }
        Ok(Self { values })
    }
}
