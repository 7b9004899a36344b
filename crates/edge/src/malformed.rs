//! Why payloads are refused; each text says what is wrong with the payload, for the device's owner.

use crate::payload::{PAYLOAD_BYTES_MAX, RECORDS_MAX, SENML_NAME_BYTES_MAX, SENML_VERSION_MAX};
use protocol::limits::{UNIT_BYTES_MAX, VALUE_BYTES_MAX};
use protocol::{DecodeError, NameError};
use std::fmt;
use thiserror::Error;

/// Bytes that a parser's complaint may have.
const COMPLAINT_BYTES_MAX: usize = 200;

/// Why a payload was refused: the device must send something else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// No bytes at all.
    #[error("the payload is empty: publish a value")]
    Empty,
    /// The payload has too many bytes.
    #[error("the payload has {found} bytes, the limit is {PAYLOAD_BYTES_MAX}: split it")]
    TooLarge {
        /// Its bytes.
        found: usize,
    },
    /// It begins as JSON but is neither a SenML pack nor the short object.
    #[error("it begins as JSON but is neither a SenML pack nor {{\"v\", \"t\", \"n\", \"u\"}}: {0}")]
    Json(String),
    /// A SenML pack without records.
    #[error("the SenML pack holds no record")]
    NoRecords,
    /// A SenML pack with too many records.
    #[error("the SenML pack holds {found} records, the limit is {RECORDS_MAX}: split it")]
    TooManyRecords {
        /// Its records.
        found: usize,
    },
    /// It was to be SenML CBOR and is not.
    #[error("it is not a SenML CBOR pack: {0}")]
    Cbor(String),
    /// It was to be Cayenne LPP and is not.
    #[error("it is not Cayenne LPP: at byte {at}: {fault}")]
    CayenneLpp {
        /// Where the channel that is wrong begins.
        at: usize,
        /// What is wrong with it.
        fault: LppFault,
    },
    /// It was to be a JSON document that a pipeline maps to readings, and is no JSON.
    #[error("it is not a JSON document: {0}")]
    Document(String),
    /// A JSON document without any of the fields that a pipeline maps.
    #[error("none of the fields that the pipeline reads is in the document")]
    NoFields,
    /// One field of a JSON document that a pipeline maps.
    #[error("the field {pointer:?} of the document: {fault}")]
    Field {
        /// Where it is in the document: a JSON pointer (RFC 6901).
        pointer: String,
        /// What is wrong with it.
        fault: FieldFault,
    },
    /// A data type that the pipeline requires of each payload.
    #[error("it tells no {0:?}, which the pipeline requires of each payload")]
    Missing(String),
    /// One record of a SenML pack.
    #[error("record {index} of the SenML pack: {fault}")]
    Record {
        /// Which record, from 0.
        index: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The payload's only value.
    #[error("{0}")]
    Value(Fault),
    /// It begins as a signed envelope and is none.
    #[error("it begins as a signed envelope and is none: {0}")]
    Envelope(DecodeError),
    /// The signature of a signed object cannot be read.
    #[error("its signature (sig) is not 128 lower-case hexadecimal digits")]
    Signature,
    /// A signed reading where signatures cannot be checked.
    #[error("it is signed, and signatures cannot be checked here: publish it at the device's own site")]
    Signed,
}

impl Malformed {
    /// A parser's complaint.
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        Self::Json(complaint(error))
    }
}

/// A parser's complaint, cut to a bounded length: it may quote the payload.
pub(crate) fn complaint(why: &impl fmt::Display) -> String {
    let mut text = why.to_string();
    text.truncate(text.floor_char_boundary(COMPLAINT_BYTES_MAX));
    text
}

/// What is wrong with one channel of a Cayenne LPP payload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LppFault {
    /// A type outside the tables.
    #[error("the type {0} is unknown, so what follows cannot be read")]
    Type(u8),
    /// The payload ends inside a value.
    #[error("the value of a {0} is cut off")]
    CutOff(&'static str),
    /// Two values of one payload have one data type.
    #[error("{0:?} is told twice: their readings could not be told apart")]
    Clash(String),
    /// The data type cannot be a level of a topic.
    #[error("the data type {data_type:?} is not valid: {why}")]
    Name {
        /// The data type.
        data_type: String,
        /// What is wrong with it.
        why: NameError,
    },
}

/// What is wrong with one field of a JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// It is required and not there, or null.
    #[error("it is missing")]
    Missing,
    /// It is of another type than the pipeline says.
    #[error("it is {found}, and should be {expected}")]
    Type {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The data type cannot be a level of a topic.
    #[error("the data type {data_type:?} is not valid: {why}")]
    Name {
        /// The data type.
        data_type: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// As in every payload.
    #[error("{0}")]
    Value(#[from] Fault),
}

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// None of `v`, `vs`, `vb`, `vd`.
    #[error("it has no value (v, vs, vb or vd)")]
    NoValue,
    /// More than one of `v`, `vs`, `vb`, `vd`.
    #[error("it has several values; one of v, vs, vb and vd is allowed")]
    SeveralValues,
    /// A sum without a value.
    #[error("sum only is not supported: send a value beside it")]
    SumOnly,
    /// A version of SenML that this software does not know.
    #[error("its version {0} is newer than {SENML_VERSION_MAX}")]
    Version(u64),
    /// An unknown label that must be understood.
    #[error("its label {0:?} must be understood (it ends in '_') and is unknown")]
    MustUnderstand(String),
    /// A number that is infinite, or not one.
    #[error("its number is not finite")]
    NotFinite,
    /// The data value is not base64url without padding.
    #[error("its data value is not base64url without padding")]
    Base64,
    /// A text or byte value is too long.
    #[error("its value has {0} bytes, the limit is {VALUE_BYTES_MAX}")]
    ValueTooLong(usize),
    /// The unit is too long.
    #[error("its unit has {0} bytes, the limit is {UNIT_BYTES_MAX}")]
    UnitTooLong(usize),
    /// The unit holds a control character, which a reading may not ([`protocol::Reading`]).
    #[error("its unit holds the control character {0:?}")]
    UnitCharacter(char),
    /// The name is too long.
    #[error("its name has {0} bytes, the limit is {SENML_NAME_BYTES_MAX}")]
    NameTooLong(usize),
    /// In a pack of several names, one ends in a separator or is missing.
    #[error("its name has no last part, which the other names of the pack call for")]
    NameEmpty,
    /// Two names of a pack end in the same part.
    #[error("another name of the pack ends in {0:?} too: their readings could not be told apart")]
    NameClash(String),
    /// The data type that the name gives cannot be a level of a topic.
    #[error("its name gives the data type {data_type:?}, which is not valid: {why}")]
    Name {
        /// The data type.
        data_type: String,
        /// What is wrong with it.
        why: NameError,
    },
    /// The time is not one between 1970 and 2199.
    #[error("its time is not between 1970 and 2199: check the device's clock, or send none")]
    TimeRange,
    /// The time is far ahead of the arrival.
    #[error("its time is {0} s ahead of its arrival, the limit is one day: check the device's clock, or send none")]
    TimeAhead(u64),
}
