//! The canonical, bounded binary codec.
//!
//! Integers of fixed width are big-endian; counters and lengths are unsigned LEB128 in their shortest form;
//! hashes, keys and signatures stand as they are; an option is `0`, or `1` and the value. Nothing else.

use alloc::vec::Vec;
use thiserror::Error;

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a field: fetch the whole object again.
    #[error("the bytes end inside {0}")]
    UnexpectedEnd(&'static str),
    /// More bytes follow a complete value: the object is damaged or of another kind.
    #[error("{0} bytes follow the end of the value")]
    TrailingBytes(usize),
    /// The value is right but not written in its one allowed form.
    #[error("{0} is not in canonical form")]
    NonCanonical(&'static str),
    /// A length is over the limit of its field.
    #[error("{what} has length {found}, the limit is {limit}")]
    OverLimit {
        /// The field.
        what: &'static str,
        /// Its limit ([`crate::limits`]).
        limit: usize,
        /// What the bytes claim.
        found: u64,
    },
    /// A tag or version that this software does not know: it may be newer.
    #[error("{what} has unknown tag {tag}")]
    UnknownTag {
        /// The field.
        what: &'static str,
        /// The tag that was read.
        tag: u8,
    },
    /// The field is well formed but its value is not allowed.
    #[error("{0} is not valid")]
    Invalid(&'static str),
}

/// A value with a canonical encoding.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode_to(&self, out: &mut Vec<u8>);

    /// The encoding as bytes of its own.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }
}

/// A value that can be read back from its canonical encoding.
pub trait Decode: Sized {
    /// Reads one value and leaves what follows.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a value within its limits.
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads one value that must fill `bytes` exactly.
    ///
    /// # Errors
    /// As [`Decode::decode_from`], and [`DecodeError::TrailingBytes`].
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode_from(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Appends an unsigned LEB128 integer in its shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Maps a signed integer to an unsigned one so that small magnitudes stay small.
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads values off a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer are left.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::UnexpectedEnd(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes an array.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer bytes are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::UnexpectedEnd(what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] at the end.
    pub fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let [byte] = self.array::<1>(what)?;
        Ok(byte)
    }

    /// Takes a byte that must be `version`.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`] for another version.
    pub fn version(&mut self, version: u8, what: &'static str) -> Result<(), DecodeError> {
        match self.byte(what)? {
            v if v == version => Ok(()),
            tag => Err(DecodeError::UnknownTag { what, tag }),
        }
    }

    /// Takes a big-endian `u64`.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`].
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// Takes a big-endian `u16`.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`].
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// Takes an unsigned LEB128 integer.
    ///
    /// # Errors
    /// [`DecodeError::NonCanonical`] if it is longer than needed or over 64 bits.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let low = u64::from(byte & 0x7f);
            if (shift == 63 && low > 1) || (byte == 0 && shift > 0) {
                return Err(DecodeError::NonCanonical(what));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::NonCanonical(what))
    }

    /// Takes a length that must not exceed `limit`, nor the bytes left at `unit` bytes per element.
    ///
    /// # Errors
    /// [`DecodeError::OverLimit`] or [`DecodeError::UnexpectedEnd`].
    pub fn length(&mut self, limit: usize, unit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let found = self.varint(what)?;
        let length = usize::try_from(found).ok().filter(|n| *n <= limit).ok_or(DecodeError::OverLimit { what, limit, found })?;
        if length.saturating_mul(unit.max(1)) > self.rest.len() {
            return Err(DecodeError::UnexpectedEnd(what));
        }
        Ok(length)
    }

    /// Takes a length and that many bytes.
    ///
    /// # Errors
    /// As [`Reader::length`].
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let n = self.length(limit, 1, what)?;
        self.take(n, what)
    }

    /// Takes a length and that many bytes of UTF-8.
    ///
    /// # Errors
    /// As [`Reader::length`], and [`DecodeError::Invalid`] if they are not UTF-8.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes(limit, what)?).map_err(|_| DecodeError::Invalid(what))
    }

    /// Takes an option's marker: whether a value follows.
    ///
    /// # Errors
    /// [`DecodeError::NonCanonical`] unless the byte is 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::NonCanonical(what)),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`] if anything is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(DecodeError::TrailingBytes(n)),
        }
    }
}
