//! What the state keeps of each issuer, and of the network as a whole.

use protocol::codec::{Reader, put_varint};
use protocol::{Decode, DecodeError, Encode, Id, NetworkId, Unsigned};

/// An issuer's account.
/// ```text
/// next sequence | last [32] | messages | readings | meter µs | epoch | voids        (integers LEB128)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The sequence its next message must have to count.
    pub next_sequence: u64,
    /// Its last message that counted: the first parent of the next.
    pub last: Id,
    /// Messages that counted.
    pub messages: u64,
    /// Readings these messages anchored.
    pub readings: u64,
    /// The issuer's meter ([`protocol::rate::Meter`]) after its last message that counted, in microseconds since 1970.
    pub meter_us: u64,
    /// The epoch in which its last message counted.
    pub epoch: u64,
    /// Void messages of it that the state remembers ([`crate::VoidIds`]).
    pub voids: u64,
}

impl Account {
    /// That of an issuer of which no message counted.
    pub(crate) fn unheard(network: &NetworkId) -> Self {
        Self { next_sequence: 0, last: Unsigned::root(*network), messages: 0, readings: 0, meter_us: 0, epoch: 0, voids: 0 }
    }

    /// From now on nothing of the issuer counts, and nothing more of it is remembered. What is stays: it is bounded.
    pub(crate) const fn bar(&mut self) {
        self.next_sequence = u64::MAX;
        self.voids = 0;
    }

    /// Whether no message of the issuer can ever count again.
    #[must_use]
    pub const fn is_barred(&self) -> bool {
        self.next_sequence == u64::MAX
    }

    /// Whether a message of this sequence is settled by it: the issuer has gone past the sequence, or is barred.
    #[must_use]
    pub const fn has_passed(&self, sequence: u64) -> bool {
        sequence < self.next_sequence || self.is_barred()
    }
}

impl Encode for Account {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.next_sequence);
        self.last.encode_to(out);
        put_varint(out, self.messages);
        put_varint(out, self.readings);
        put_varint(out, self.meter_us);
        put_varint(out, self.epoch);
        put_varint(out, self.voids);
    }
}

impl Decode for Account {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            next_sequence: reader.varint("an account's sequence")?,
            last: Id::decode_from(reader)?,
            messages: reader.varint("an account's messages")?,
            readings: reader.varint("an account's readings")?,
            meter_us: reader.varint("an account's meter")?,
            epoch: reader.varint("an account's epoch")?,
            voids: reader.varint("an account's void messages")?,
        })
    }
}

/// What the whole network did so far, and the DCoin there is.
/// ```text
/// messages | readings | supply | burned        (LEB128)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that counted.
    pub messages: u64,
    /// Readings they anchored.
    pub readings: u64,
    /// DCoin that the genesis gave out.
    pub supply: u64,
    /// DCoin of that supply that was slashed, and is nobody's any more.
    pub burned: u64,
}

impl Encode for Totals {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.messages);
        put_varint(out, self.readings);
        put_varint(out, self.supply);
        put_varint(out, self.burned);
    }
}

impl Decode for Totals {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            messages: reader.varint("the total of messages")?,
            readings: reader.varint("the total of readings")?,
            supply: reader.varint("the supply")?,
            burned: reader.varint("what was burned")?,
        })
    }
}
