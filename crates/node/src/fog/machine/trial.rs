//! What one step made: pieces to put, and figures.

use crate::fog::runner::{PIECE_BYTES_MAX, STEP_READINGS_MAX};
use crate::fog::sink::{Notice, Out};
use edge::fog::{Counts, Rejection};
use protocol::{DeviceTopic, Name, Reading, Topic, Value};

/// Commands in one piece; a step takes no further reading once it has so many.
const PIECE_COMMANDS_MAX: usize = 256;
/// What a reading takes beside its names and value, at most: lengths, time, sequence, unit, signature.
const READING_BYTES: usize = 192;
/// Bytes of a reason that is told.
const REASON_BYTES_MAX: usize = 512;

/// What a step made, in pieces and figures.
#[derive(Debug, Default)]
pub(in crate::fog) struct Trial {
    pub(super) pieces: Vec<Out>,
    piece_bytes: usize,
    bytes: usize,
    pub(super) copies: Vec<Notice>,
    pub(in crate::fog) accepted: u64,
    pub(in crate::fog) derived: u64,
    pub(in crate::fog) commands: u64,
    pub(in crate::fog) rejected: Vec<&'static str>,
    pub(in crate::fog) counts: Counts,
}

impl Trial {
    /// Whether a step takes no further reading.
    pub(super) fn is_full(&self) -> bool {
        let readings = self.accepted.saturating_add(self.derived);
        readings >= STEP_READINGS_MAX as u64 || self.bytes >= PIECE_BYTES_MAX || self.commands >= PIECE_COMMANDS_MAX as u64
    }

    /// Adds a reading that came out.
    pub(super) fn reading(&mut self, reading: Reading) {
        let cost = cost_bytes(&reading);
        let fits = self.pieces.last().is_some_and(|piece| piece.readings.len() < STEP_READINGS_MAX);
        if !fits || self.piece_bytes.saturating_add(cost) > PIECE_BYTES_MAX {
            self.begin();
        }
        self.piece_bytes = self.piece_bytes.saturating_add(cost);
        self.bytes = self.bytes.saturating_add(cost);
        if let Some(piece) = self.pieces.last_mut() {
            piece.readings.push(reading);
        }
    }

    /// Adds a command.
    pub(super) fn command(&mut self, command: Reading) {
        if self.pieces.last().is_none_or(|piece| piece.commands.len() >= PIECE_COMMANDS_MAX) {
            self.begin();
        }
        self.commands = self.commands.saturating_add(1);
        if let Some(piece) = self.pieces.last_mut() {
            piece.commands.push(command);
        }
    }

    fn begin(&mut self) {
        self.pieces.push(Out::default());
        self.piece_bytes = 0;
    }
}

/// What is told of a reading that was refused.
pub(super) fn told(site: &Name, rejection: &Rejection) -> Notice {
    let Rejection { topic, time_us, pipeline, stage, reason } = rejection;
    let mut reason = reason.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let topic = Topic::Device(topic.clone()).to_string();
    let told = serde_json::json!({ "topic": topic, "reason": reason, "time_us": time_us, "pipeline": pipeline, "stage": stage });
    (Topic::Rejected(site.clone()).to_string(), told.to_string().into_bytes())
}

/// What a reading takes in the log, at most.
fn cost_bytes(reading: &Reading) -> usize {
    let DeviceTopic { site, device, data_type, .. } = &reading.topic;
    let value = match &reading.value {
        Value::Number(_) | Value::Boolean(_) => 0,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    };
    [site, device, data_type].into_iter().map(|name| name.as_str().len()).sum::<usize>().saturating_add(value).saturating_add(READING_BYTES)
}
