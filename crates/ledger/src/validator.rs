//! Validators, who of them can be elected, and the present committee.

use crate::retained::{self, RETAINED_FULL};
use protocol::codec::{Reader, put_varint};
use protocol::limits::COMMITTEE_MAX;
use protocol::{Address, Decode, DecodeError, Encode, Name, PublicKey};

/// Validators that can stand for election at a time.
pub const CANDIDATES_MAX: usize = 1024;

/// A validator.
/// ```text
/// name | address? | stake | unbonding | retained u64 | jailed until | registered u8        (others LEB128)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// What people call it.
    pub name: Name,
    /// Where its node can be reached, if it says so.
    pub address: Option<Address>,
    /// DCoin at stake with it, its own included: its weight in elections.
    pub stake: u64,
    /// DCoin undelegated from it and not withdrawn yet. It can still be slashed.
    pub unbonding: u64,
    /// What is left of a coin bound to it from the beginning ([`crate::retained`]).
    pub retained: u64,
    /// It is not elected while the epoch is below this.
    pub jailed_until: u64,
    /// Whether it wants to be elected.
    pub registered: bool,
}

impl Validator {
    /// A validator nothing is bound to.
    #[must_use]
    pub const fn new(name: Name, address: Option<Address>) -> Self {
        Self { name, address, stake: 0, unbonding: 0, retained: RETAINED_FULL, jailed_until: 0, registered: true }
    }

    /// Whether it stands for election, if no jail keeps it from that.
    #[must_use]
    pub const fn stands(&self, stake_min: u64) -> bool {
        self.registered && self.stake >= stake_min
    }
}

impl Encode for Validator {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.name.encode_to(out);
        match &self.address {
            None => out.push(0),
            Some(address) => {
                out.push(1);
                address.encode_to(out);
            }
        }
        put_varint(out, self.stake);
        put_varint(out, self.unbonding);
        out.extend_from_slice(&self.retained.to_be_bytes());
        put_varint(out, self.jailed_until);
        out.push(u8::from(self.registered));
    }
}

impl Decode for Validator {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: Name::decode_from(reader)?,
            address: if reader.flag("an address")? { Some(Address::decode_from(reader)?) } else { None },
            stake: reader.varint("a validator's stake")?,
            unbonding: reader.varint("a validator's unbonding")?,
            retained: retained::read(reader)?,
            jailed_until: reader.varint("a validator's jail")?,
            registered: reader.flag("a validator's registration")?,
        })
    }
}

fn put_keys(out: &mut Vec<u8>, keys: &[PublicKey]) {
    put_varint(out, keys.len() as u64);
    keys.iter().for_each(|k| k.encode_to(out));
}

fn keys(reader: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<Vec<PublicKey>, DecodeError> {
    let n = reader.length(limit, 32, what)?;
    let keys = (0..n).map(|_| PublicKey::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
    match keys.is_sorted_by(|a, b| a < b) {
        true => Ok(keys),
        false => Err(DecodeError::NonCanonical(what)),
    }
}

/// Those who stand for election: registered, with the stake that the parameters ask for.
/// ```text
/// n ≤ 1024 × key [32], strictly ascending
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates(pub Vec<PublicKey>);

impl Candidates {
    /// Puts `key` on the list or takes it off. Gives whether that was possible: there may be no room.
    #[must_use]
    pub fn place(&mut self, key: PublicKey, stands: bool) -> bool {
        match (self.0.binary_search(&key), stands) {
            (Ok(at), false) => {
                let _ = self.0.remove(at);
            }
            (Err(_), true) if self.0.len() >= CANDIDATES_MAX => return false,
            (Err(at), true) => self.0.insert(at, key),
            _ => {}
        }
        true
    }
}

impl Encode for Candidates {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_keys(out, &self.0);
    }
}

impl Decode for Candidates {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(keys(reader, CANDIDATES_MAX, "the candidates")?))
    }
}

/// The present epoch.
/// ```text
/// epoch LEB128 | n ≤ 128 × key [32], strictly ascending
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number, from 0.
    pub epoch: u64,
    /// Its committee, in order.
    pub committee: Vec<PublicKey>,
}

impl Encode for Epoch {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch);
        put_keys(out, &self.committee);
    }
}

impl Decode for Epoch {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { epoch: reader.varint("an epoch")?, committee: keys(reader, COMMITTEE_MAX, "a committee")? })
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_candidates_is_sorted_and_bounded() {
        let key = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            PublicKey(bytes)
        };
        let mut candidates = Candidates::default();
        for n in (0..CANDIDATES_MAX).rev() {
            assert!(candidates.place(key(n), true) && candidates.place(key(n), true));
        }
        assert_eq!(candidates.0.len(), CANDIDATES_MAX);
        assert!(candidates.0.is_sorted());
        assert_eq!(Candidates::decode(&candidates.encode()).as_ref(), Ok(&candidates));
        assert!(!candidates.place(key(CANDIDATES_MAX), true), "full");
        assert!(candidates.place(key(CANDIDATES_MAX), false), "was not there");
        assert!(candidates.place(key(3), false) && candidates.place(key(CANDIDATES_MAX), true));
        assert!(!candidates.0.contains(&key(3)));
        candidates.0.swap(0, 1);
        assert!(Candidates::decode(&candidates.encode()).is_err());
    }
}
