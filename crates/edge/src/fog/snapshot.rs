//! What stages remember, as bytes: so that a restart goes on where it stopped.
//!
//! ```text
//! version=1 | hash of the configuration | series… , the one used longest ago first
//! series: topic | slots…        slot: stage | kind | state        (lengths LEB128, integers big-endian)
//! ```

use crate::fog::error::SnapshotError;
use crate::fog::filter::Passed;
use crate::fog::inputs::Latest;
use crate::fog::normalise::Numbers;
use crate::fog::pipeline::{PIPELINES_MAX, STAGES_MAX};
use crate::fog::rule::Switch;
use crate::fog::state::{SERIES_MAX, Slot, State};
use crate::fog::validate::Last;
use crate::fog::window::Open;
use protocol::codec::{Reader, put_varint};
use protocol::{Decode, DecodeError, DeviceTopic, Encode, Id};

/// The version that is written and read.
const VERSION: u8 = 1;
/// Bytes of a snapshot.
pub const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// What `state` remembers under the configuration with this hash.
pub(crate) fn encode(configuration: &Id, state: &State) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(configuration.as_bytes());
    put_varint(&mut out, state.len() as u64);
    for (topic, slots) in state.series() {
        topic.encode_to(&mut out);
        put_varint(&mut out, slots.len() as u64);
        for (stage, slot) in slots {
            put_varint(&mut out, u64::from(*stage));
            slot.encode_to(&mut out);
        }
    }
    out
}

/// What a snapshot remembers; `keeps` says whether a stage has slots of a kind.
///
/// # Errors
/// [`SnapshotError`] if it is not one of this configuration, whole.
pub(crate) fn decode(configuration: &Id, bytes: &[u8], keeps: impl Fn(u32, &Slot) -> bool) -> Result<State, SnapshotError> {
    if bytes.len() > SNAPSHOT_BYTES_MAX {
        return Err(SnapshotError::TooLarge(bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    match reader.byte("a snapshot's version")? {
        VERSION => {}
        other => return Err(SnapshotError::Version(other)),
    }
    if reader.array::<32>("the hash of a configuration")? != *configuration.as_bytes() {
        return Err(SnapshotError::OtherPipelines);
    }
    let mut state = State::default();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..reader.length(SERIES_MAX, 8, "series")? {
        let topic = DeviceTopic::decode_from(&mut reader)?;
        let slots = reader.length(PIPELINES_MAX * STAGES_MAX, 2, "slots")?;
        let mut before = None;
        for _ in 0..slots {
            let stage = u32::try_from(reader.varint("a stage")?).map_err(|_| DecodeError::Invalid("a stage"))?;
            let slot = Slot::decode_from(&mut reader)?;
            if !keeps(stage, &slot) || before.is_some_and(|before| stage <= before) {
                return Err(DecodeError::Invalid("a stage").into());
            }
            before = Some(stage);
            state.put(&topic, stage, slot);
        }
        if slots == 0 || !seen.insert(topic) {
            return Err(DecodeError::Invalid("a series").into());
        }
    }
    reader.finish()?;
    Ok(state)
}

impl Encode for Slot {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Last(last) => {
                out.push(0);
                last.encode_to(out);
            }
            Self::Numbers(numbers) => {
                out.push(1);
                numbers.encode_to(out);
            }
            Self::Passed(passed) => {
                out.push(2);
                passed.encode_to(out);
            }
            Self::Open(open) => {
                out.push(3);
                open.encode_to(out);
            }
            Self::Latest(latest) => {
                out.push(4);
                latest.encode_to(out);
            }
            Self::Switch(switch) => {
                out.push(5);
                switch.encode_to(out);
            }
        }
    }
}

impl Decode for Slot {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a slot")? {
            0 => Last::decode_from(reader).map(Self::Last),
            1 => Numbers::decode_from(reader).map(Self::Numbers),
            2 => Passed::decode_from(reader).map(Self::Passed),
            3 => Open::decode_from(reader).map(Self::Open),
            4 => Latest::decode_from(reader).map(Self::Latest),
            5 => Switch::decode_from(reader).map(Self::Switch),
            tag => Err(DecodeError::UnknownTag { what: "a slot", tag }),
        }
    }
}
