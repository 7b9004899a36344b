//! The numbers that a network agrees on in its genesis and that no node may choose for itself.
//!
//! ```text
//! epoch milestones | committee max u16 | stake min | unbonding epochs | slash percent u8 | share per second | pow difficulty u8
//! ```
//! Counters are LEB128. The rules that use them are in `docs/spec/epochs.md` and `docs/spec/message.md`.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::limits::COMMITTEE_MAX;
use alloc::vec::Vec;
use thiserror::Error;

/// The shortest epoch: the milestone of the genesis is signed by nobody, so one more must close the first epoch.
pub const EPOCH_MILESTONES_MIN: u64 = 2;
/// The hardest proof of work that may be asked of every message, in leading zero nibbles.
pub const POW_DIFFICULTY_MAX: u8 = 16;

/// What a network agrees on beside its committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Milestones of an epoch; at least [`EPOCH_MILESTONES_MIN`].
    pub epoch_milestones: u64,
    /// Members that an elected committee has at most; 1 to [`COMMITTEE_MAX`].
    pub committee_max: u16,
    /// Stake that a validator needs to be elected, in DCoin.
    pub stake_min: u64,
    /// Epochs that stake stays bound, and punishable, after it was undelegated.
    pub unbonding_epochs: u64,
    /// Percent of its stake that a proven offence costs a validator; 0 to 100.
    pub slash_percent: u8,
    /// Messages a second that an issuer without reputation may issue without extra work; at least 1.
    pub share_per_second: u32,
    /// Leading zero nibbles that every message's proof of work must have; at most [`POW_DIFFICULTY_MAX`].
    pub pow_difficulty: u8,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            epoch_milestones: 50_000,
            committee_max: 16,
            stake_min: 1_000,
            unbonding_epochs: 2,
            slash_percent: 50,
            share_per_second: 4_000,
            pow_difficulty: 0,
        }
    }
}

/// Why parameters are not allowed. Each says what the genesis must have instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParametersError {
    /// Epochs too short.
    #[error("epoch_milestones is {0}, it must be at least {EPOCH_MILESTONES_MIN}")]
    EpochMilestones(u64),
    /// A committee of nobody, or of more than a certificate can hold.
    #[error("committee_max is {0}, it must be 1 to {COMMITTEE_MAX}")]
    CommitteeMax(u16),
    /// More than everything would be lost.
    #[error("slash_percent is {0}, it must be 0 to 100")]
    SlashPercent(u8),
    /// Nobody could issue.
    #[error("share_per_second is 0, it must be at least 1")]
    SharePerSecond,
    /// Work that nobody could do.
    #[error("pow_difficulty is {0}, it must be at most {POW_DIFFICULTY_MAX}")]
    PowDifficulty(u8),
}

impl Parameters {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`ParametersError`] for the first that is outside.
    pub fn check(&self) -> Result<(), ParametersError> {
        if self.epoch_milestones < EPOCH_MILESTONES_MIN {
            return Err(ParametersError::EpochMilestones(self.epoch_milestones));
        }
        if self.committee_max == 0 || usize::from(self.committee_max) > COMMITTEE_MAX {
            return Err(ParametersError::CommitteeMax(self.committee_max));
        }
        if self.slash_percent > 100 {
            return Err(ParametersError::SlashPercent(self.slash_percent));
        }
        if self.share_per_second == 0 {
            return Err(ParametersError::SharePerSecond);
        }
        if self.pow_difficulty > POW_DIFFICULTY_MAX {
            return Err(ParametersError::PowDifficulty(self.pow_difficulty));
        }
        Ok(())
    }

    /// The epoch of the milestone of this height.
    #[must_use]
    pub const fn epoch_of(&self, height: u64) -> u64 {
        // checked: `epoch_milestones` may be 0 in parameters that nobody checked
        match height.checked_div(self.epoch_milestones) {
            Some(epoch) => epoch,
            None => 0,
        }
    }

    /// The height of the milestone that closes this epoch; `None` if it is beyond 64 bits.
    #[must_use]
    pub const fn closing_height(&self, epoch: u64) -> Option<u64> {
        let Some(after) = epoch.checked_add(1) else { return None };
        match after.checked_mul(self.epoch_milestones) {
            Some(end) => end.checked_sub(1),
            None => None,
        }
    }

    /// Whether the milestone of this height closes its epoch.
    #[must_use]
    pub fn closes(&self, height: u64) -> bool {
        self.closing_height(self.epoch_of(height)) == Some(height)
    }
}

impl Encode for Parameters {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch_milestones);
        out.extend_from_slice(&self.committee_max.to_be_bytes());
        put_varint(out, self.stake_min);
        put_varint(out, self.unbonding_epochs);
        out.push(self.slash_percent);
        put_varint(out, u64::from(self.share_per_second));
        out.push(self.pow_difficulty);
    }
}

impl Decode for Parameters {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch_milestones = reader.varint("a genesis' epoch_milestones")?;
        let committee_max = reader.u16("a genesis' committee_max")?;
        let stake_min = reader.varint("a genesis' stake_min")?;
        let unbonding_epochs = reader.varint("a genesis' unbonding_epochs")?;
        let slash_percent = reader.byte("a genesis' slash_percent")?;
        let share = reader.varint("a genesis' share_per_second")?;
        let share_per_second = u32::try_from(share).map_err(|_| DecodeError::Invalid("a genesis' share_per_second"))?;
        let pow_difficulty = reader.byte("a genesis' pow_difficulty")?;
        let parameters =
            Self { epoch_milestones, committee_max, stake_min, unbonding_epochs, slash_percent, share_per_second, pow_difficulty };
        match parameters.check() {
            Ok(()) => Ok(parameters),
            Err(_) => Err(DecodeError::Invalid("a genesis' parameters")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_range() {
        let with = |change: fn(&mut Parameters)| {
            let mut parameters = Parameters::default();
            change(&mut parameters);
            let read = Parameters::decode(&parameters.encode());
            assert_eq!(read.is_ok(), parameters.check().is_ok(), "{parameters:?}");
            parameters.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|p| p.epoch_milestones = 1), Err(ParametersError::EpochMilestones(1)));
        assert_eq!(with(|p| p.committee_max = 0), Err(ParametersError::CommitteeMax(0)));
        assert_eq!(with(|p| p.committee_max = 129), Err(ParametersError::CommitteeMax(129)));
        assert_eq!(with(|p| p.slash_percent = 101), Err(ParametersError::SlashPercent(101)));
        assert_eq!(with(|p| p.share_per_second = 0), Err(ParametersError::SharePerSecond));
        assert_eq!(with(|p| p.pow_difficulty = 17), Err(ParametersError::PowDifficulty(17)));
        let extreme = |p: &mut Parameters| {
            (p.epoch_milestones, p.stake_min, p.unbonding_epochs) = (u64::MAX, u64::MAX, u64::MAX);
            (p.slash_percent, p.pow_difficulty, p.share_per_second) = (100, 16, u32::MAX);
        };
        assert_eq!(with(extreme), Ok(()));
    }

    #[test]
    fn epochs_follow_from_heights() {
        let parameters = Parameters { epoch_milestones: 4, ..Parameters::default() };
        let epochs: Vec<u64> = (0..9).map(|h| parameters.epoch_of(h)).collect();
        assert_eq!(epochs, [0, 0, 0, 0, 1, 1, 1, 1, 2]);
        let closing: Vec<u64> = (0..9).filter(|h| parameters.closes(*h)).collect();
        assert_eq!(closing, [3, 7]);
        assert_eq!((parameters.closing_height(0), parameters.closing_height(1)), (Some(3), Some(7)));
        assert_eq!(parameters.closing_height(u64::MAX), None);
        assert_eq!(parameters.closing_height(u64::MAX / 2), None);
        assert!(!parameters.closes(u64::MAX - 1) && parameters.epoch_of(u64::MAX) == u64::MAX / 4);
    }
}
