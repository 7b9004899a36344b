//! Wallets, and what they have bound to validators.

use crate::retained;
use protocol::codec::{Reader, put_varint};
use protocol::order::first_state;
use protocol::{Decode, DecodeError, Encode, Id, NetworkId, PublicKey};

/// Amounts that one wallet may have unbonding from one validator.
pub const UNBONDING_MAX: usize = 8;

/// A wallet.
/// ```text
/// State [32] | balance LEB128
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// The State that its next order must name.
    pub state: Id,
    /// DCoin it can spend.
    pub balance: u64,
}

impl Wallet {
    /// A wallet that the ledger has not heard of.
    #[must_use]
    pub fn unheard(network: &NetworkId, key: &PublicKey) -> Self {
        Self { state: first_state(network, key), balance: 0 }
    }
}

impl Encode for Wallet {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.state.encode_to(out);
        put_varint(out, self.balance);
    }
}

impl Decode for Wallet {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { state: Id::decode_from(reader)?, balance: reader.varint("a wallet's balance")? })
    }
}

/// What a wallet has at stake with a validator.
/// ```text
/// amount LEB128 | retained u64
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// DCoin when it was last changed.
    pub amount: u64,
    /// The validator's factor at that moment ([`crate::retained`]).
    pub retained: u64,
}

impl Delegation {
    /// What it is worth when the validator's factor is `now`.
    #[must_use]
    pub fn worth(&self, now: u64) -> u64 {
        retained::worth(self.amount, now, self.retained)
    }
}

impl Encode for Delegation {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.amount);
        out.extend_from_slice(&self.retained.to_be_bytes());
    }
}

impl Decode for Delegation {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { amount: reader.varint("a delegation's amount")?, retained: retained::read(reader)? })
    }
}

/// An amount on its way back into a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The first epoch in which it can be withdrawn.
    pub epoch: u64,
    /// What it is, and what the validator's factor was.
    pub bound: Delegation,
}

/// What a wallet undelegated from a validator and has not withdrawn.
/// ```text
/// n ≤ 8 × ( epoch LEB128 | amount LEB128 | retained u64 )
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unbonding(pub Vec<Release>);

impl Unbonding {
    /// What all of it is worth when the validator's factor is `now`.
    #[must_use]
    pub fn worth(&self, now: u64) -> u64 {
        self.0.iter().map(|r| r.bound.worth(now)).fold(0, u64::saturating_add)
    }
}

impl Encode for Unbonding {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for release in &self.0 {
            put_varint(out, release.epoch);
            release.bound.encode_to(out);
        }
    }
}

impl Decode for Unbonding {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let n = reader.length(UNBONDING_MAX, 10, "an unbonding list")?;
        let mut releases = Vec::with_capacity(n);
        for _ in 0..n {
            releases.push(Release { epoch: reader.varint("a release's epoch")?, bound: Delegation::decode_from(reader)? });
        }
        Ok(Self(releases))
    }
}
