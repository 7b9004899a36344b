//! Wallance's vote latency against the number of voters, for the paper's protocol and for ours.
//!
//! ```text
//! the paper's   request ─▶ router ─▶ each voter: proof of work ─▶ router, one vote after another ─▶ requester: 2/3 are in
//! ours          request ─▶ the node that carries it ─▶ each validator: its vote in a message, at once ─▶ that node: > 2/3 are in
//! ```
//! # What the paper says, and what is assumed
//! Its measurements are 300 ms at 8 nodes and less than 1 s at 48; its estimates 2 s at 1 000 and less than 20 s at 10 000
//! (§VI), from the latency of one vote (Table II: 1.41, 1.66 and 4.94 ms for 144 bytes) and its proof of work (Table III: 740 µs at
//! difficulty 1). It says that votes are counted "periodically", not how often.
//!
//! | open | assumed |
//! |---|---|
//! | distribution of Table II | the least, and above it an exponential time whose mean makes up the average, cut at the greatest |
//! | what a router does with votes at once | one after another, each for the latency of one vote. 10 000 votes in 2 ms each are the paper's 20 s, 1 000 its 2 s: it seems to have reckoned like this |
//! | everything else, counting included | 290 ms at any size ([`Paper::overhead`]): what is missing at 8 nodes. Fitted to that one figure; the three others follow |
//! | votes that decide | 2/3 of the voters, rounded down: 5 of 8, as in the paper |
//!
//! Ours is in `ours`: quorum ⌊2n/3⌋ + 1, constants measured by `wattle bench`, nothing fitted. It is the only model of our votes: `wattle
//! sim votes` and `wattle bench vote --extrapolate` both ask it, and a test of `node` holds it to the software at 4 and 8 voters.

mod ours;

pub use ours::{Costs, Network, Ours, PARENTS_MAX, quorum};

use crate::Band;
use crate::chance::Chance;
use std::time::Duration;
use thiserror::Error;

/// Most voters of one run.
pub const VOTERS_MAX: u32 = 1_000_000;
/// Most repetitions of one run.
pub const REPEATS_MAX: u32 = 10_000;
/// Most votes of all repetitions of a run.
pub const VOTES_MAX: u64 = 1_000_000_000;
/// What a vote takes on one core to be drawn, put in its place and taken in: an estimate, only for what is said before a run.
const VOTE_NS: f64 = 200.0;
/// What a vote takes while its decision is simulated: when it is ready, and after each step.
const VOTE_BYTES: f64 = 32.0;
/// The numbers of voters that the paper names.
pub const PAPER_VOTERS: [u32; 4] = [8, 48, 1_000, 10_000];

/// The latency of one transmission: never less than `min`, on average about `mean`, never more than `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Shortest.
    pub min: Duration,
    /// Average.
    pub mean: Duration,
    /// Longest.
    pub max: Duration,
}

/// The paper's Table II: bytes of a vote, and its latency.
pub const TABLE_2: [(u32, Link); 3] = [
    (72, Link { min: Duration::from_micros(1_400), mean: Duration::from_micros(1_660), max: Duration::from_micros(5_980) }),
    (96, Link { min: Duration::from_micros(1_380), mean: Duration::from_micros(1_530), max: Duration::from_micros(5_820) }),
    (144, Link { min: Duration::from_micros(1_410), mean: Duration::from_micros(1_660), max: Duration::from_micros(4_940) }),
];

/// One row of the paper's Table III.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Leading zero nibbles.
    pub difficulty: u32,
    /// Nonces tried on average.
    pub nonces: f64,
    /// Average time on a Raspberry Pi 3 B+.
    pub time: Duration,
}

/// The paper's Table III.
pub const TABLE_3: [Work; 4] = [
    Work { difficulty: 0, nonces: 1.0, time: Duration::from_micros(46) },
    Work { difficulty: 1, nonces: 15.96, time: Duration::from_micros(740) },
    Work { difficulty: 2, nonces: 256.02, time: Duration::from_micros(12_000) },
    Work { difficulty: 3, nonces: 4_104.01, time: Duration::from_micros(190_000) },
];

/// The paper's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// One transmission.
    pub link: Link,
    /// Mean time of a vote's proof of work.
    pub work: Duration,
    /// What is spent besides, whatever the size.
    pub overhead: Duration,
}

/// A protocol to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    /// The paper's.
    Paper(Paper),
    /// Ours.
    Ours(Ours),
}

/// Why a run makes no sense.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum VotesError {
    /// Too few or too many voters.
    #[error("{0} voters: between 1 and {max} are possible", max = VOTERS_MAX)]
    Voters(u32),
    /// Too few or too many repetitions.
    #[error("{0} repetitions: between 1 and {max} are possible", max = REPEATS_MAX)]
    Repeats(u32),
    /// Too much altogether.
    #[error("{0} votes in all repetitions: at most {max} are possible; repeat less often", max = VOTES_MAX)]
    Votes(u64),
    /// A link whose latencies are not in order.
    #[error("a link of {0:?}: its shortest latency must not exceed its mean, nor that its longest")]
    Link(Link),
    /// A number out of its bounds.
    #[error("{value} {what}: between {min} and {max} is possible")]
    Value {
        /// What it is of, with its unit.
        what: &'static str,
        /// What was given.
        value: f64,
        /// Least that is possible.
        min: f64,
        /// Most that is possible.
        max: f64,
    },
}

impl Default for Paper {
    fn default() -> Self {
        Self { link: TABLE_2[2].1, work: TABLE_3[1].time, overhead: Duration::from_millis(290) }
    }
}

impl Protocol {
    /// Votes that decide among so many voters.
    #[must_use]
    pub fn quorum(&self, voters: u32) -> u32 {
        match self {
            Self::Paper(_) => u32::try_from(u64::from(voters) * 2 / 3).unwrap_or(voters).max(1).min(voters),
            Self::Ours(_) => ours::quorum(voters),
        }
    }

    fn link(&self) -> Link {
        match self {
            Self::Paper(paper) => paper.link,
            Self::Ours(ours) => ours.link,
        }
    }
}

/// Checks what [`latency_ms`] would be asked.
///
/// # Errors
/// [`VotesError`] naming the first value that makes no sense.
pub fn check(protocol: &Protocol, voters: u32, repeats: u32) -> Result<(), VotesError> {
    if voters == 0 || voters > VOTERS_MAX {
        return Err(VotesError::Voters(voters));
    }
    if repeats == 0 || repeats > REPEATS_MAX {
        return Err(VotesError::Repeats(repeats));
    }
    let votes = u64::from(voters) * u64::from(repeats);
    if votes > VOTES_MAX {
        return Err(VotesError::Votes(votes));
    }
    let link = protocol.link();
    if link.min > link.mean || link.mean > link.max {
        return Err(VotesError::Link(link));
    }
    match protocol {
        Protocol::Paper(_) => Ok(()),
        Protocol::Ours(ours) => ours.check(),
    }
}

/// Processor time that [`latency_ms`] takes on one core, roughly.
#[must_use]
pub fn estimated_time(voters: u32, repeats: u32) -> Duration {
    let ns = f64::from(voters) * f64::from(repeats) * VOTE_NS;
    Duration::try_from_secs_f64(ns / 1e9).unwrap_or(Duration::MAX)
}

/// Memory that it takes, roughly.
#[must_use]
pub fn estimated_bytes(voters: u32) -> f64 {
    f64::from(voters) * VOTE_BYTES
}

/// Time from a request to its decision in milliseconds, mean over so many repetitions.
///
/// # Errors
/// [`VotesError`] if the run makes no sense.
pub fn latency_ms(protocol: &Protocol, voters: u32, repeats: u32, seed: u64) -> Result<Band, VotesError> {
    check(protocol, voters, repeats)?;
    let once = |repeat: u32| {
        let mut chance = Chance::new(seed, u64::from(repeat));
        let decided_ns = match protocol {
            Protocol::Paper(paper) => paper.decided_ns(voters, protocol.quorum(voters) as usize, &mut chance),
            Protocol::Ours(ours) => ours.decided_ns(voters, &mut chance),
        };
        decided_ns as f64 / 1e6
    };
    let samples: Vec<f64> = (0..repeats).map(once).collect();
    Band::over(&samples).ok_or(VotesError::Repeats(repeats))
}

impl Link {
    /// Always the same latency.
    #[must_use]
    pub const fn constant(latency: Duration) -> Self {
        Self { min: latency, mean: latency, max: latency }
    }

    fn draw_ns(&self, chance: &mut Chance) -> u64 {
        let above_ns = ns(self.mean).saturating_sub(ns(self.min)) as f64;
        ns(self.min).saturating_add(chance.exponential_ns(above_ns)).min(ns(self.max))
    }
}

impl Paper {
    fn decided_ns(&self, voters: u32, quorum: usize, chance: &mut Chance) -> u64 {
        // the router tells the request to all at once, as it does with each vote
        let told_ns = self.link.draw_ns(chance);
        let ready = (0..voters).map(|_| told_ns + chance.exponential_ns(ns(self.work) as f64)).collect();
        let all = one_after_another(ready, quorum, || self.link.draw_ns(chance));
        all.last().copied().unwrap_or_default().saturating_add(ns(self.overhead))
    }
}

/// When the first `count` are done, in the order of their coming: each after the one before, and after it has come.
fn one_after_another(mut ready_ns: Vec<u64>, count: usize, mut takes_ns: impl FnMut() -> u64) -> Vec<u64> {
    ready_ns.sort_unstable();
    let mut free_ns = 0u64;
    let done = |at_ns: u64| {
        free_ns = free_ns.max(at_ns).saturating_add(takes_ns());
        free_ns
    };
    ready_ns.into_iter().take(count).map(done).collect()
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX >> 8)
}
