//! How fast an issuer may issue for free, and what more of it costs.
//!
//! Each issuer has a *share*: messages per second that need no more work than the network asks of everybody. A
//! [`Meter`] follows the issuer's chain and says until when the issuer has used up its share; whoever is ahead of
//! time by more than the burst does work, one nibble more for each further burst.
//!
//! ```text
//!  meter ──────────────┐ max(meter, issued at) + 1/share
//!  message k issued at ┴──▶ meter ────────┐
//!                       message k+1 issued at ──▶ meter …
//!
//!  issued at      + burst        + 2 bursts      + 3 bursts
//!  ├── free ──────┼── 1 nibble ──┼── 2 nibbles ──┼── …         where the meter stands
//! ```
//! # Rules
//! - **A function of the chain.** No node's clock and no order of arrival has a part in it: every node gives one
//!   verdict on a message, for ever. A verdict that differed would part honest nodes, for one would name a
//!   message that another never admits.
//! - **Time can not be gained.** The meter never falls along a chain, whatever times its messages claim.
//! - **Reputation raises the share.** It is the messages of the chain that must be confirmed by then, so it is
//!   earned by confirmed messages and can not be claimed.
//! - All arithmetic is on integers and saturates: nothing a message says overflows or panics.

use crate::limits::OWN_UNCONFIRMED_MAX;
use crate::parameters::Parameters;
use crate::pow::NIBBLES_MAX;

/// How far ahead of time an issuer may be for free, and the step of every further nibble, in microseconds.
pub const BURST_US: u64 = 1_000_000;
/// Confirmed messages that first raise the share.
pub const REPUTATION_STEP: u64 = 1_024;
/// The greatest factor that reputation gives.
pub const FACTOR_MAX: u64 = 16;
const SECOND_US: u64 = 1_000_000;

/// The reputation of an issuer at message `sequence` of its chain: messages that must be confirmed by then. An
/// honest issuer has at most [`OWN_UNCONFIRMED_MAX`] unconfirmed ones.
#[must_use]
pub const fn reputation(sequence: u64) -> u64 {
    sequence.saturating_sub(OWN_UNCONFIRMED_MAX)
}

/// What a reputation multiplies the share by: `1 + ⌊log2(1 + reputation / 1024)⌋`, at most [`FACTOR_MAX`].
#[must_use]
pub fn factor(reputation: u64) -> u64 {
    let doublings = (1 + reputation / REPUTATION_STEP).ilog2();
    (1 + u64::from(doublings)).min(FACTOR_MAX)
}

/// The share of an issuer at message `sequence` of its chain, in messages per second; at least 1.
#[must_use]
pub fn share(parameters: &Parameters, sequence: u64) -> u64 {
    u64::from(parameters.share_per_second).max(1) * factor(reputation(sequence))
}

/// Until when an issuer has used up its share, as one message of its chain leaves it. Before the first message it
/// is [`Meter::default`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter(u64);

impl Meter {
    /// The meter that stands at `us`, in microseconds since 1970.
    #[must_use]
    pub const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// Where it stands, in microseconds since 1970.
    #[must_use]
    pub const fn us(self) -> u64 {
        self.0
    }

    /// The meter after a message that follows the one this meter belongs to. Of a share above a million a second
    /// nothing is used up.
    #[must_use]
    pub fn after(self, parameters: &Parameters, issued_at_ms: u64, sequence: u64) -> Self {
        let interval_us = SECOND_US / share(parameters, sequence);
        Self(self.0.max(micros(issued_at_ms)).saturating_add(interval_us))
    }

    /// The work that the next message needs, in zero nibbles: what the network asks of everybody, and one more
    /// for every [`BURST_US`] begun that the meter is ahead of `issued_at_ms` beyond the first.
    #[must_use]
    pub fn required(self, parameters: &Parameters, issued_at_ms: u64) -> u8 {
        let excess_us = self.0.saturating_sub(micros(issued_at_ms).saturating_add(BURST_US));
        let nibbles = u64::from(parameters.pow_difficulty).saturating_add(excess_us.div_ceil(BURST_US));
        u8::try_from(nibbles).unwrap_or(NIBBLES_MAX).min(NIBBLES_MAX)
    }

    /// The earliest `issued_at_ms` at which `nibbles` are enough for the next message; `u64::MAX` if they never
    /// are, because the network asks more of everybody.
    #[must_use]
    pub fn ready_at_ms(self, parameters: &Parameters, nibbles: u8) -> u64 {
        if nibbles >= NIBBLES_MAX {
            return 0;
        }
        let Some(extra) = nibbles.checked_sub(parameters.pow_difficulty) else { return u64::MAX };
        let ahead_us = BURST_US * (1 + u64::from(extra));
        self.0.saturating_sub(ahead_us).div_ceil(1_000)
    }
}

/// Microseconds of milliseconds, as many as there can be.
const fn micros(ms: u64) -> u64 {
    ms.saturating_mul(1_000)
}
