//! What comes out of the pipelines.

use crate::payload::Malformed;
use protocol::{DeviceTopic, NameError, Reading, ReadingName, Value};
use thiserror::Error;

/// What one call made of its readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Readings of devices, as they came out of the last stage (FOG-3). Those that no pipeline is for are unchanged.
    pub accepted: Vec<Reading>,
    /// Readings that windows and enrichments made.
    pub derived: Vec<Reading>,
    /// What rules tell actuators.
    pub commands: Vec<Command>,
    /// What was refused, and why.
    pub rejected: Vec<Rejection>,
    /// What else became of readings.
    pub counts: Counts,
}

/// Readings that neither came out nor were refused, and state that was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken out by a filter, or by a window that keeps none.
    pub filtered: u64,
    /// Repetitions of a numbered reading.
    pub duplicates: u64,
    /// Readings that came after each of their windows had closed. They passed on.
    pub late: u64,
    /// Devices and data types whose state was dropped because others needed the room (FOG-33).
    pub forgotten: u64,
}

/// What a rule tells an actuator.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The actuator: `site/ID/act/<dataType>`.
    pub topic: DeviceTopic,
    /// What it is to do.
    pub value: Value,
    /// When the rule decided, in microseconds since 1970: the time of an arrival or of a tick.
    pub time_us: u64,
    /// The pipeline that holds the rule.
    pub pipeline: String,
    /// The rule.
    pub rule: String,
    /// The reading that made it decide; none if a minimal time was over.
    pub cause: Option<ReadingName>,
}

impl Command {
    /// The command as a reading of its actuator, the form in which it is published.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading { topic: self.topic.clone(), time_us: self.time_us, sequence: None, unit: None, value: self.value.clone(), signed: None }
    }
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The topic of the reading; of the publish if its payload is malformed.
    pub topic: DeviceTopic,
    /// The time of the reading, in microseconds since 1970; none for a payload.
    pub time_us: Option<u64>,
    /// The pipeline; none if none is for the topic.
    pub pipeline: Option<String>,
    /// Which of its stages, from 1; none for a payload.
    pub stage: Option<usize>,
    /// Why.
    pub reason: Refused,
}

impl Refused {
    /// One word for it, to count by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Type { .. } => "type",
            Self::Below { .. } | Self::Above { .. } => "range",
            Self::Rate { .. } => "rate",
            Self::Unit(_) | Self::NoUnit | Self::Convert { .. } | Self::Mixed { .. } => "unit",
            Self::NotOneOf => "text",
            Self::TooLong { .. } => "length",
            Self::Condition(_) => "condition",
            Self::Expression { .. } | Self::Input(_) | Self::NotFinite => "expression",
            Self::Ahead(_) | Self::Behind(_) => "time",
            Self::Name { .. } => "name",
            Self::TooMany(_) => "many",
        }
    }
}

/// Why a reading was refused.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Refused {
    /// Its payload means nothing.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is of another type than the pipeline says.
    #[error("its value is {found}, and should be {expected}")]
    Type {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Its number is too small.
    #[error("{value} is below {min}")]
    Below {
        /// The number.
        value: f64,
        /// The least that is allowed.
        min: f64,
    },
    /// Its number is too large.
    #[error("{value} is above {max}")]
    Above {
        /// The number.
        value: f64,
        /// The most that is allowed.
        max: f64,
    },
    /// It changed too fast since the reading before.
    #[error("it changed by {found} a second, the limit is {limit}")]
    Rate {
        /// How fast, per second.
        found: f64,
        /// How fast it may.
        limit: f64,
    },
    /// Its unit is none of those allowed.
    #[error("its unit {0:?} is not allowed")]
    Unit(String),
    /// It has no unit and must have one.
    #[error("it has no unit")]
    NoUnit,
    /// Its text is none of those allowed.
    #[error("its text is none of those allowed")]
    NotOneOf,
    /// Its text or bytes are too long for the pipeline.
    #[error("its value has {found} bytes, the pipeline allows {limit}")]
    TooLong {
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A condition of the pipeline does not hold.
    #[error("the condition `{0}` does not hold")]
    Condition(String),
    /// An expression gives nothing for it.
    #[error("`{expression}`: {why}")]
    Expression {
        /// The expression.
        expression: String,
        /// Why it gives nothing.
        why: String,
    },
    /// Its time is too far ahead of its arrival.
    #[error("its time is {0} s ahead of its arrival: check the device's clock")]
    Ahead(u64),
    /// Its time is too long before its arrival.
    #[error("its time is {0} s before its arrival: check the device's clock")]
    Behind(u64),
    /// Its unit cannot be converted.
    #[error("{from:?} cannot be converted to {to:?}")]
    Convert {
        /// Its unit.
        from: String,
        /// The unit that the pipeline wants.
        to: String,
    },
    /// Its unit is not that of the others in its window.
    #[error("its unit {found:?} is not {expected:?}, that of its window: normalise units before")]
    Mixed {
        /// The unit of the window.
        expected: String,
        /// Its unit.
        found: String,
    },
    /// A computed number is infinite, or not one.
    #[error("the computed number is not finite")]
    NotFinite,
    /// A derived data type cannot be a level of a topic.
    #[error("the data type {data_type:?} is not valid: {why}")]
    Name {
        /// The data type.
        data_type: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// An input of an expression is a text that is too long, or bytes.
    #[error("it cannot be an input of an expression: a number, a truth value or a text of at most {0} bytes can")]
    Input(usize),
    /// One reading made too many others.
    #[error("one reading made more than {0} others")]
    TooMany(usize),
}
