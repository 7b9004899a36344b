//! What a network agrees on about wallets: Wallance's Table I, and caps.
//!
//! ```text
//! threshold percent u8 | difficulty u8 | shares per coin | vote reward | share cap | reward cap        (LEB128)
//! ```
//! A genesis with the defaults does not mention them. Effects and reasons are WAL-41 to WAL-50 of `docs/spec/wallet.md`.

use crate::certificate::THRESHOLD_PERCENT_MIN;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::parameters::POW_DIFFICULTY_MAX;
use crate::request::UNITS_PER_COIN;
use alloc::vec::Vec;
use thiserror::Error;

/// The most shares that a DCoin may take: one share is worth at least a sub-unit.
pub const SHARES_PER_COIN_MAX: u32 = 1_000_000;
/// The greatest reward of a vote, in sub-units.
pub const VOTE_REWARD_MAX: u64 = 1_000_000_000;
/// The greatest cap, in DCoin.
pub const CAP_COINS_MAX: u64 = 1_000_000_000_000;

const _: () = assert!(SHARES_PER_COIN_MAX as u64 <= UNITS_PER_COIN);
const _: () = assert!(CAP_COINS_MAX <= u64::MAX / UNITS_PER_COIN);

/// What a network agrees on about wallets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletParameters {
    /// Percent of a committee that must vote for a request; [`THRESHOLD_PERCENT_MIN`] to 100, and never below a quorum.
    pub threshold_percent: u8,
    /// Leading zero nibbles of a request's work; at most [`POW_DIFFICULTY_MAX`].
    pub difficulty: u8,
    /// Confirmed shares that earn a DCoin: the DCoin Rate; 1 to [`SHARES_PER_COIN_MAX`].
    pub shares_per_coin: u32,
    /// Sub-units that a vote earns: the DCoin Reward; at most [`VOTE_REWARD_MAX`].
    pub vote_reward: u64,
    /// DCoin that the shares of one issuer earn in an epoch; at most [`CAP_COINS_MAX`].
    pub share_cap: u64,
    /// DCoin that the votes of one member earn in an epoch; at most [`CAP_COINS_MAX`].
    pub reward_cap: u64,
}

impl Default for WalletParameters {
    fn default() -> Self {
        Self { threshold_percent: 67, difficulty: 1, shares_per_coin: 5, vote_reward: 2, share_cap: 10_000, reward_cap: 1_000 }
    }
}

/// Why they are not allowed. Each says what the genesis must have instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WalletParametersError {
    /// Too few votes to be safe, or more than there are.
    #[error("threshold_percent is {0}, it must be {THRESHOLD_PERCENT_MIN} to 100: two certificates of one State must not be possible")]
    Threshold(u8),
    /// Work that nobody could do.
    #[error("difficulty is {0}, it must be at most {POW_DIFFICULTY_MAX}")]
    Difficulty(u8),
    /// A share would be worth nothing, or everything.
    #[error("shares_per_coin is {0}, it must be 1 to {SHARES_PER_COIN_MAX}")]
    SharesPerCoin(u32),
    /// Too great a reward.
    #[error("vote_reward is {0} sub-units, it must be at most {VOTE_REWARD_MAX}")]
    VoteReward(u64),
    /// Too great a cap.
    #[error("a cap is {0} DCoin, it must be at most {CAP_COINS_MAX}")]
    Cap(u64),
}

impl WalletParameters {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`WalletParametersError`] for the first that is outside.
    pub fn check(&self) -> Result<(), WalletParametersError> {
        if !(THRESHOLD_PERCENT_MIN..=100).contains(&self.threshold_percent) {
            return Err(WalletParametersError::Threshold(self.threshold_percent));
        }
        if self.difficulty > POW_DIFFICULTY_MAX {
            return Err(WalletParametersError::Difficulty(self.difficulty));
        }
        if self.shares_per_coin == 0 || self.shares_per_coin > SHARES_PER_COIN_MAX {
            return Err(WalletParametersError::SharesPerCoin(self.shares_per_coin));
        }
        if self.vote_reward > VOTE_REWARD_MAX {
            return Err(WalletParametersError::VoteReward(self.vote_reward));
        }
        match [self.share_cap, self.reward_cap].into_iter().find(|cap| *cap > CAP_COINS_MAX) {
            Some(cap) => Err(WalletParametersError::Cap(cap)),
            None => Ok(()),
        }
    }

    /// What one share earns, in sub-units.
    #[must_use]
    pub fn share_units(&self) -> u64 {
        UNITS_PER_COIN.checked_div(u64::from(self.shares_per_coin)).unwrap_or(0)
    }
}

impl Encode for WalletParameters {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend([self.threshold_percent, self.difficulty]);
        put_varint(out, u64::from(self.shares_per_coin));
        put_varint(out, self.vote_reward);
        put_varint(out, self.share_cap);
        put_varint(out, self.reward_cap);
    }
}

impl Decode for WalletParameters {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let threshold_percent = reader.byte("a genesis' threshold_percent")?;
        let difficulty = reader.byte("a genesis' difficulty")?;
        let shares = reader.varint("a genesis' shares_per_coin")?;
        let shares_per_coin = u32::try_from(shares).map_err(|_| DecodeError::Invalid("a genesis' shares_per_coin"))?;
        let vote_reward = reader.varint("a genesis' vote_reward")?;
        let (share_cap, reward_cap) = (reader.varint("a genesis' share_cap")?, reader.varint("a genesis' reward_cap")?);
        let parameters = Self { threshold_percent, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap };
        match parameters.check() {
            Ok(()) => Ok(parameters),
            Err(_) => Err(DecodeError::Invalid("a genesis' wallet_parameters")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_range() {
        let with = |change: fn(&mut WalletParameters)| {
            let mut parameters = WalletParameters::default();
            change(&mut parameters);
            let read = WalletParameters::decode(&parameters.encode());
            assert_eq!(read.is_ok(), parameters.check().is_ok(), "{parameters:?}");
            parameters.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|p| p.threshold_percent = 66), Err(WalletParametersError::Threshold(66)));
        assert_eq!(with(|p| p.threshold_percent = 101), Err(WalletParametersError::Threshold(101)));
        assert_eq!(with(|p| p.difficulty = 17), Err(WalletParametersError::Difficulty(17)));
        assert_eq!(with(|p| p.shares_per_coin = 0), Err(WalletParametersError::SharesPerCoin(0)));
        assert_eq!(with(|p| p.shares_per_coin = 1_000_001), Err(WalletParametersError::SharesPerCoin(1_000_001)));
        assert_eq!(with(|p| p.vote_reward = 1_000_000_001), Err(WalletParametersError::VoteReward(1_000_000_001)));
        assert_eq!(with(|p| p.share_cap = u64::MAX), Err(WalletParametersError::Cap(u64::MAX)));
        assert_eq!(with(|p| p.reward_cap = CAP_COINS_MAX + 1), Err(WalletParametersError::Cap(CAP_COINS_MAX + 1)));
        assert_eq!(WalletParameters::default().share_units(), 200_000);
    }
}
