//! Questions and answers of joining, as bytes.
//! ```text
//! question: 0 Summit | 1 Headers: from, count | 2 Cuts: from, count | 3 Handovers: from | 4 Operations: the engine's request
//! summit:   height | size | start | ops root [32] | witness length, witness | floor | certificate length, certificate
//! headers, cuts, handovers: count, then each; a cut is a count and ids
//! ```

use protocol::codec::{Reader, put_bytes, put_varint};
use protocol::limits::CUT_MESSAGES_MAX;
use protocol::{Decode, DecodeError, Encode, Id, Milestone};

/// Records in one answer.
pub(crate) const RECORDS_MAX: usize = 256;
/// Bytes of an engine's request, witness or certificate.
const ENGINE_BYTES_MAX: usize = 64 * 1024;

/// What a joining node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Where to join.
    Summit,
    /// Milestones from a height on.
    Headers { from: u64, count: u64 },
    /// The messages that count in milestones from a height on.
    Cuts { from: u64, count: u64 },
    /// Ends of epochs from one on.
    Handovers { from: u64 },
    /// Part of the state's log.
    Operations(Vec<u8>),
}

impl Encode for Question {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Summit => out.push(0),
            Self::Headers { from, count } => {
                out.push(1);
                put_varint(out, *from);
                put_varint(out, *count);
            }
            Self::Cuts { from, count } => {
                out.push(2);
                put_varint(out, *from);
                put_varint(out, *count);
            }
            Self::Handovers { from } => {
                out.push(3);
                put_varint(out, *from);
            }
            Self::Operations(request) => {
                out.push(4);
                put_bytes(out, request);
            }
        }
    }
}

impl Decode for Question {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.byte("a question")? {
            0 => Self::Summit,
            1 => Self::Headers { from: reader.varint("a height")?, count: reader.varint("a count")? },
            2 => Self::Cuts { from: reader.varint("a height")?, count: reader.varint("a count")? },
            3 => Self::Handovers { from: reader.varint("an epoch")? },
            4 => Self::Operations(reader.bytes(ENGINE_BYTES_MAX, "a request for operations")?.into()),
            tag => return Err(DecodeError::UnknownTag { what: "a question", tag }),
        })
    }
}

/// A place to join at: a state whose root a certified milestone names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summit {
    /// Height of the state.
    pub(crate) height: u64,
    /// Operations of the state's log up to it.
    pub(crate) size: u64,
    /// The first operation that is needed.
    pub(crate) start: u64,
    /// Root of the log.
    pub(crate) ops_root: Id,
    /// The engine's proof that the state's root holds that of the log.
    pub(crate) witness: Vec<u8>,
    /// The milestone after the state.
    pub(crate) floor: Milestone,
    /// The engine's certificate on it.
    pub(crate) certificate: Vec<u8>,
}

impl Encode for Summit {
    fn encode_to(&self, out: &mut Vec<u8>) {
        for number in [self.height, self.size, self.start] {
            put_varint(out, number);
        }
        self.ops_root.encode_to(out);
        put_bytes(out, &self.witness);
        self.floor.encode_to(out);
        put_bytes(out, &self.certificate);
    }
}

impl Decode for Summit {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            height: reader.varint("a height")?,
            size: reader.varint("a log's size")?,
            start: reader.varint("a log's start")?,
            ops_root: Id::decode_from(reader)?,
            witness: reader.bytes(ENGINE_BYTES_MAX, "a witness")?.into(),
            floor: Milestone::decode_from(reader)?,
            certificate: reader.bytes(ENGINE_BYTES_MAX, "a certificate")?.into(),
        })
    }
}

/// The messages that count in a milestone, in order. Those that it found void are in the state, or settled by it.
pub(crate) struct Counted(pub(crate) Vec<Id>);

impl Encode for Counted {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        self.0.iter().for_each(|id| id.encode_to(out));
    }
}

impl Decode for Counted {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let n = reader.length(CUT_MESSAGES_MAX, 32, "a milestone's messages")?;
        (0..n).map(|_| Id::decode_from(reader)).collect::<Result<_, _>>().map(Self)
    }
}

/// Records in one answer.
pub(crate) struct Records<T>(pub(crate) Vec<T>);

impl<T: Encode> Encode for Records<T> {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        self.0.iter().for_each(|record| record.encode_to(out));
    }
}

impl<T: Decode> Decode for Records<T> {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let n = reader.length(RECORDS_MAX, 1, "an answer's records")?;
        (0..n).map(|_| T::decode_from(reader)).collect::<Result<_, _>>().map(Self)
    }
}
