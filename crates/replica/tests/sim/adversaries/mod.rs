//! Who disturbs: one file each. An adversary has a validator's key and does not keep to the rules.
//!
//! Most are a **shadow**: a production replica that takes part in consensus, so that what they smuggle in has every
//! chance, and a puppet beside it, on the same channels, that says what the replica never would. All stop after a
//! while ([`STEPS`]), as a course must end.

mod double_spender;
mod eclipser;
mod equivocating_issuer;
mod equivocating_leader;
mod flooder;
mod forger;
mod replayer;
mod time_liar;
mod vote_equivocator;
mod vote_replayer;
mod withholder;

use crate::seat::{self, Puppet, Rules};
use crate::world::{PUSH, World};
use commonware_p2p::simulated::SplitTarget;
use replica::Handle;
use std::sync::Arc;
use std::time::Duration;

/// Time between two acts of a puppet, and how many there are.
pub const PACE: Duration = Duration::from_millis(25);
pub const STEPS: u64 = 300;

/// The kinds of adversaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversary {
    EquivocatingIssuer,
    EquivocatingLeader,
    Withholder,
    Forger,
    Replayer,
    Flooder,
    TimeLiar,
    Eclipser,
    DoubleSpender,
    VoteEquivocator,
    VoteReplayer,
}

impl Adversary {
    /// Those that disturb whatever happens.
    pub const ALL: [Self; 8] = [
        Self::EquivocatingIssuer,
        Self::EquivocatingLeader,
        Self::Withholder,
        Self::Forger,
        Self::Replayer,
        Self::Flooder,
        Self::TimeLiar,
        Self::Eclipser,
    ];

    /// Those that disturb wallets that spend.
    pub const SPENDING: [Self; 5] =
        [Self::EquivocatingIssuer, Self::EquivocatingLeader, Self::DoubleSpender, Self::VoteEquivocator, Self::VoteReplayer];

    pub const fn name(self) -> &'static str {
        match self {
            Self::EquivocatingIssuer => "equivocating-issuer",
            Self::EquivocatingLeader => "equivocating-leader",
            Self::Withholder => "withholder",
            Self::Forger => "forger",
            Self::Replayer => "replayer",
            Self::Flooder => "flooder",
            Self::TimeLiar => "time-liar",
            Self::Eclipser => "eclipser",
            Self::DoubleSpender => "double-spender",
            Self::VoteEquivocator => "vote-equivocator",
            Self::VoteReplayer => "vote-replayer",
        }
    }

    /// Sits down at `place`.
    pub async fn play(self, world: &mut World, place: usize) {
        match self {
            Self::EquivocatingIssuer => equivocating_issuer::play(world, place).await,
            Self::EquivocatingLeader => equivocating_leader::play(world, place).await,
            Self::Withholder => withholder::play(world, place).await,
            Self::Forger => forger::play(world, place).await,
            Self::Replayer => replayer::play(world, place).await,
            Self::Flooder => flooder::play(world, place).await,
            Self::TimeLiar => time_liar::play(world, place).await,
            Self::Eclipser => eclipser::play(world, place).await,
            Self::DoubleSpender => double_spender::play(world, place).await,
            Self::VoteEquivocator => vote_equivocator::play(world, place).await,
            Self::VoteReplayer => vote_replayer::play(world, place).await,
        }
    }
}

/// Everything goes out; the replica hears everything, the puppet every push.
fn open() -> Rules {
    let both = |channel: u64, _: usize, _: &[u8]| if channel == PUSH { SplitTarget::Both } else { SplitTarget::Primary };
    Rules { out: Arc::new(|_, _, _, _| true), inward: Arc::new(both) }
}

/// A replica that keeps to the rules, and a puppet beside it.
pub async fn shadow(world: &mut World, place: usize) -> Puppet {
    accompanied(world, place).await.0
}

/// The same, for a puppet that speaks to its replica as well.
async fn accompanied(world: &mut World, place: usize) -> (Puppet, Handle) {
    let seat = seat::take(world.place(place), open()).await;
    let handle = world.accomplice(place, "", seat.first, 0);
    (Puppet::new(world.place(place), seat.second), handle)
}

/// A puppet alone: the place says nothing else.
pub async fn puppet(world: &World, place: usize) -> Puppet {
    let inward = |channel: u64, _: usize, _: &[u8]| if channel == PUSH { SplitTarget::Secondary } else { SplitTarget::None };
    let rules = Rules { out: Arc::new(|_, _, _, _| true), inward: Arc::new(inward) };
    Puppet::new(world.place(place), seat::take(world.place(place), rules).await.second)
}
