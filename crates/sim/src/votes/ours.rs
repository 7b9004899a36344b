//! Our protocol: a request, and the votes for it, ride in messages.
//!
//! ```text
//! carrier: verify the request, sign, sync twice ─▶ request and own vote to n − 1
//!   each other one: take the message in, verify the request, sign, sync twice ─▶ vote to n − 1
//!     carrier: take in q − 1 votes, one after another on its cores: certified
//! ```
//! # What is built, and what of it is here
//! - Who hands a request to a node waits for that node alone: it counts the votes that it hears (WAL-15, WAL-18).
//! - A validator answers at once, in whatever message it issues next. A lone request finds nothing else to issue, so the vote has a
//!   message of its own: nobody waits for an interval. Under load a vote waits for the next message, at most 2 ms (WAL-14); one
//!   request at a time is simulated here.
//! - Two syncs stand in a row before a message with votes leaves: that of the votes, then that of the message (WAL-11). Each is of a
//!   table, whose two files are synced at once.
//! - Every validator sends its vote to every other one itself. Over [`Network::Links`] these copies leave one after another by the
//!   bandwidth, and the carrier is at any place among those that are sent to.
//! - What the graph, the tables and the milestones take is in it only as far as it is in [`Costs::take_in_us`]: `wattle bench vote`
//!   measures decoding and verifying, `wattle bench dag` all that a message costs a node while milestones go on.
//! - [`Network::OneMachine`] is what the benches run: all members share the cores and the disk. A core does one thing after another, so
//!   does the disk, file by file; and each vote is taken in by all before the next. The milestones that go on meanwhile take syncs
//!   and cores, too; they are left out, so the software is slower than this.
//!
//! A committee of the software has at most 128 members (`protocol::limits::COMMITTEE_MAX`): what is said of more is said of nothing that
//! can be started.

use super::{Link, TABLE_2, VotesError, one_after_another};
use crate::chance::Chance;

/// Bytes of a parent, and of a vote, in a message.
const HASH_BYTES: f64 = 32.0;
/// Parents of a message, once there are so many issuers: `protocol::limits::PARENTS_MAX`.
pub const PARENTS_MAX: u32 = 8;
/// Tables that are synced, one after the other, before a message with votes leaves.
const TABLES: f64 = 2.0;
/// Files of a table. A disk of one's own has them done at once, one that others wait for as well one after the other.
const FILES: f64 = 2.0;
/// Longest time of one step, in microseconds: a second.
const COST_US_MAX: f64 = 1e6;
/// Most bytes of one thing that travels.
const BYTES_MAX: f64 = 1e6;
/// Narrowest and widest connection, in bytes per microsecond: 8 kbit/s to 8 Tbit/s.
const BYTES_PER_US: (f64, f64) = (1e-3, 1e6);
/// Most cores of a machine.
const CORES_MAX: u32 = 65_536;

/// Over what our messages travel, and who shares what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Links that do not hinder each other; each member has a machine and a connection of its own.
    Links,
    /// One router that sends one message after another; each member has a machine of its own.
    Router,
    /// Links that do not hinder each other, and bytes take no time; all members share one machine and its disk.
    OneMachine,
}

/// What each step takes, and how much travels: measurements of the software.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Encode and sign a message with votes, in microseconds.
    pub sign_us: f64,
    /// Take a message in, in microseconds: decode it and verify its signature, and what else is counted.
    pub take_in_us: f64,
    /// Verify a request, in microseconds.
    pub verify_request_us: f64,
    /// A durable write, in microseconds.
    pub sync_us: f64,
    /// Bytes of a request.
    pub request_bytes: f64,
    /// Bytes of a message with one vote and one parent.
    pub message_bytes: f64,
    /// Bytes of a vote in a certificate, with its path.
    pub cast_vote_bytes: f64,
}

/// Our protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ours {
    /// One transmission.
    pub link: Link,
    /// Over what.
    pub network: Network,
    /// Cores of a machine.
    pub cores: u32,
    /// What the connection of a member carries, each way, in bytes per microsecond; counts over [`Network::Links`] only.
    pub bytes_per_us: f64,
    /// What the steps take.
    pub costs: Costs,
}

impl Default for Costs {
    /// The development machine's, release build (`docs/performance.md`): all but one by `wattle bench vote --extrapolate --runs 3`,
    /// with 64 votes in a message. 66 µs to take a message in are the two cores' time for each of the 633 messages a second that 48
    /// replicas admitted there (`wattle bench dag --nodes 48 --network simulated --seconds 20 --warm-up 10 --runs 1`).
    fn default() -> Self {
        Self {
            sign_us: 31.0,
            take_in_us: 66.0,
            verify_request_us: 34.0,
            sync_us: 142.0,
            request_bytes: 191.0,
            message_bytes: 194.0,
            cast_vote_bytes: 295.0,
        }
    }
}

impl Default for Ours {
    /// The paper's links for 144 bytes; two cores; 1 Gbit/s.
    fn default() -> Self {
        Self { link: TABLE_2[2].1, network: Network::Links, cores: 2, bytes_per_us: 125.0, costs: Costs::default() }
    }
}

/// Votes that certify a request or a milestone among so many voters: ⌊2n/3⌋ + 1.
#[must_use]
pub fn quorum(voters: u32) -> u32 {
    let quorum = u64::from(voters) * 2 / 3 + 1;
    u32::try_from(quorum).unwrap_or(voters).min(voters)
}

impl Ours {
    /// Requests a second that are certified if each message has so many votes, for as many requests, and each member a machine of
    /// its own. Signatures and wires bound it; nothing else is counted.
    #[must_use]
    pub fn requests_per_second(&self, voters: u32, votes: u16) -> f64 {
        let votes = f64::from(votes);
        let Costs { take_in_us, verify_request_us, request_bytes, .. } = self.costs;
        let work_us = (f64::from(voters) * take_in_us + votes * verify_request_us) / f64::from(self.cores);
        let bytes = f64::from(voters.saturating_sub(1)) * self.voting_bytes(voters, votes) + votes * request_bytes;
        votes * 1e6 / work_us.max(bytes / self.bytes_per_us)
    }

    /// Bytes of a certificate.
    #[must_use]
    pub fn certificate_bytes(&self, voters: u32) -> f64 {
        self.costs.request_bytes + f64::from(quorum(voters)) * self.costs.cast_vote_bytes
    }

    /// Bytes of a message with so many votes.
    fn voting_bytes(&self, voters: u32, votes: f64) -> f64 {
        self.costs.message_bytes + HASH_BYTES * (f64::from(voters.clamp(1, PARENTS_MAX)) - 1.0 + votes - 1.0)
    }

    /// From the moment that a member knows what to say until its message may leave.
    fn issue_us(&self) -> f64 {
        self.costs.sign_us + self.syncs_us()
    }

    /// The syncs before a message with votes leaves.
    fn syncs_us(&self) -> f64 {
        let files = if self.network == Network::OneMachine { FILES } else { 1.0 };
        TABLES * files * self.costs.sync_us
    }

    /// From the moment that a member has a request until its vote may leave.
    fn answer_us(&self) -> f64 {
        self.costs.take_in_us + self.costs.verify_request_us + self.issue_us()
    }

    pub(super) fn check(&self) -> Result<(), VotesError> {
        let Costs { sign_us, take_in_us, verify_request_us, sync_us, request_bytes, message_bytes, cast_vote_bytes } = self.costs;
        for (what, value, min, max) in [
            ("µs to sign", sign_us, 0.0, COST_US_MAX),
            ("µs to take a message in", take_in_us, 0.0, COST_US_MAX),
            ("µs to verify a request", verify_request_us, 0.0, COST_US_MAX),
            ("µs to sync", sync_us, 0.0, COST_US_MAX),
            ("bytes of a request", request_bytes, 0.0, BYTES_MAX),
            ("bytes of a message", message_bytes, 0.0, BYTES_MAX),
            ("bytes of a vote", cast_vote_bytes, 0.0, BYTES_MAX),
            ("bytes per µs", self.bytes_per_us, BYTES_PER_US.0, BYTES_PER_US.1),
            ("cores", f64::from(self.cores), 1.0, f64::from(CORES_MAX)),
        ] {
            // not a number is in no range
            if !(min..=max).contains(&value) {
                return Err(VotesError::Value { what, value, min, max });
            }
        }
        Ok(())
    }

    /// From handing a request to a node until that node knows votes enough.
    pub(super) fn decided_ns(&self, voters: u32, chance: &mut Chance) -> u64 {
        // the carrier votes in the message that carries the request
        let said_ns = ns(self.costs.verify_request_us + self.issue_us());
        let (others, missing) = (voters.saturating_sub(1), quorum(voters).saturating_sub(1));
        let take_in_us = self.costs.take_in_us / f64::from(self.cores);
        let (arrived, each_us) = match self.network {
            Network::Links => {
                let received_us = self.voting_bytes(voters, 1.0) / self.bytes_per_us;
                (self.over_links_ns(voters, said_ns, chance), take_in_us.max(received_us))
            }
            Network::Router => (self.over_a_router_ns(others, said_ns, chance), take_in_us),
            // by each of the others
            Network::OneMachine => (self.on_one_machine_ns(others, said_ns, chance), f64::from(others) * take_in_us),
        };
        let each_ns = ns(each_us);
        one_after_another(arrived, missing as usize, || each_ns).last().copied().unwrap_or(said_ns)
    }

    /// When each vote arrives at the carrier.
    fn over_links_ns(&self, voters: u32, said_ns: u64, chance: &mut Chance) -> Vec<u64> {
        let others = voters.saturating_sub(1);
        let vote_us = self.voting_bytes(voters, 1.0) / self.bytes_per_us;
        let carrying_us = vote_us + self.costs.request_bytes / self.bytes_per_us;
        let mut arrived = Vec::with_capacity(others as usize);
        for place in 1..=others {
            let told_ns = said_ns + ns(f64::from(place) * carrying_us) + self.link.draw_ns(chance);
            // so many copies of the vote leave first, this one included
            let turn = chance.below(u64::from(others)) + 1;
            let voted_ns = told_ns + ns(self.answer_us() + turn as f64 * vote_us);
            arrived.push(voted_ns + self.link.draw_ns(chance));
        }
        arrived
    }

    fn over_a_router_ns(&self, others: u32, said_ns: u64, chance: &mut Chance) -> Vec<u64> {
        // the router tells the request to all at once, as it does with each vote
        let voted_ns = said_ns + self.link.draw_ns(chance) + ns(self.answer_us());
        one_after_another(vec![voted_ns; others as usize], usize::MAX, || self.link.draw_ns(chance))
    }

    fn on_one_machine_ns(&self, others: u32, said_ns: u64, chance: &mut Chance) -> Vec<u64> {
        let Costs { sign_us, take_in_us, verify_request_us, .. } = self.costs;
        let work_ns = ns((take_in_us + verify_request_us + sign_us) / f64::from(self.cores));
        let told: Vec<u64> = (0..others).map(|_| said_ns + self.link.draw_ns(chance)).collect();
        let worked = one_after_another(told, usize::MAX, || work_ns);
        // the cores have other things to do until then
        let idle_ns = worked.last().copied().unwrap_or(said_ns);
        let syncs_ns = ns(self.syncs_us());
        let written = one_after_another(worked, usize::MAX, || syncs_ns);
        written.into_iter().map(|at_ns| (at_ns + self.link.draw_ns(chance)).max(idle_ns)).collect()
    }
}

/// Microseconds as whole nanoseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates; what was checked is no less than 0")]
fn ns(us: f64) -> u64 {
    (us * 1e3).round() as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Protocol, latency_ms};
    use super::*;
    use std::time::Duration;

    const ROUND: Ours = Ours {
        link: Link::constant(Duration::from_micros(1_500)),
        network: Network::Links,
        cores: 2,
        bytes_per_us: 100.0,
        costs: Costs {
            sign_us: 20.0,
            take_in_us: 30.0,
            verify_request_us: 50.0,
            sync_us: 100.0,
            request_bytes: 200.0,
            message_bytes: 400.0,
            cast_vote_bytes: 135.0,
        },
    };

    fn certified_us(ours: Ours, voters: u32) -> f64 {
        latency_ms(&Protocol::Ours(ours), voters, 20, 3).unwrap().mean * 1e3
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.1, "{found} instead of {expected}");
    }

    /// With bytes that take no time everything is known but chance has no part in it.
    #[test]
    fn it_is_what_one_reckons_by_hand() {
        let wide = Ours { bytes_per_us: 1e6, ..ROUND };
        let own = 50.0 + 20.0 + 2.0 * 100.0;
        let answer = 30.0 + 50.0 + 20.0 + 2.0 * 100.0;
        // one that votes alone asks nobody
        for (network, syncs) in [(Network::Links, 2.0), (Network::Router, 2.0), (Network::OneMachine, 4.0)] {
            near(certified_us(Ours { network, ..wide }, 1), 50.0 + 20.0 + syncs * 100.0);
        }
        // two more votes of three that come at once, 15 µs each
        near(certified_us(wide, 4), own + 1_500.0 + answer + 1_500.0 + 2.0 * 15.0);
        near(certified_us(wide, 8), own + 1_500.0 + answer + 1_500.0 + 5.0 * 15.0);
        // the router has a vote each 1.5 ms, and its taking in is done when the next comes
        near(certified_us(Ours { network: Network::Router, ..wide }, 4), own + 1_500.0 + answer + 2.0 * 1_500.0 + 15.0);
        // three answers of 50 µs of both cores, then 400 µs of the disk each; the second vote is the last that is missing
        let one_machine = 50.0 + 20.0 + 400.0 + 1_500.0 + 50.0 + 2.0 * 400.0 + 1_500.0 + 3.0 * 15.0;
        near(certified_us(Ours { network: Network::OneMachine, ..wide }, 4), one_machine);
    }

    #[test]
    fn sizes_and_rates_are_the_formula() {
        assert_eq!([1, 4, 8, 16, 48, 128, 1_000, 10_000].map(quorum), [1, 3, 6, 11, 33, 86, 667, 6_667]);
        // four parents, one vote
        near(ROUND.voting_bytes(4, 1.0), 496.0);
        near(ROUND.voting_bytes(10_000, 64.0), 400.0 + 32.0 * (7.0 + 63.0));
        near(ROUND.certificate_bytes(4), 200.0 + 3.0 * 135.0);
        near(ROUND.requests_per_second(4, 1), 1e6 / 85.0);
        // a narrow wire is what counts: 64 votes, 3 messages of 400 + 32·(3 + 63) bytes, and 64 requests
        let narrow = Ours { bytes_per_us: 0.001, ..ROUND };
        near(narrow.requests_per_second(4, 64), 64.0 * 1e6 * 0.001 / (3.0 * 2_512.0 + 64.0 * 200.0));
    }

    #[test]
    fn larger_committees_are_slower_and_more_votes_in_a_message_faster() {
        let sizes = [1, 4, 8, 16, 48, 128, 1_000, 10_000];
        for (small, large) in sizes.iter().zip(sizes.iter().skip(1)) {
            for network in [Network::Links, Network::Router, Network::OneMachine] {
                let ours = Ours { network, ..ROUND };
                assert!(certified_us(ours, *small) < certified_us(ours, *large), "{network:?}, {large}");
            }
            assert!(ROUND.requests_per_second(*small, 64) > ROUND.requests_per_second(*large, 64));
            assert!(ROUND.requests_per_second(*large, 64) > ROUND.requests_per_second(*large, 1));
        }
        // a machine and a disk of one's own are better than a part of one
        assert!(certified_us(ROUND, 48) < certified_us(Ours { network: Network::OneMachine, ..ROUND }, 48));
    }

    #[test]
    fn a_step_that_takes_no_time_that_is_possible_is_refused() {
        let of = |costs| latency_ms(&Protocol::Ours(Ours { costs, ..ROUND }), 4, 1, 0).unwrap_err().to_string();
        assert!(of(Costs { sync_us: -1.0, ..ROUND.costs }).contains("-1 µs to sync"));
        assert!(of(Costs { take_in_us: f64::NAN, ..ROUND.costs }).contains("take a message in"));
        assert!(of(Costs { message_bytes: f64::INFINITY, ..ROUND.costs }).contains("bytes of a message"));
        let idle = Protocol::Ours(Ours { cores: 0, ..ROUND });
        assert!(latency_ms(&idle, 4, 1, 0).unwrap_err().to_string().contains("0 cores"));
        let broad = Protocol::Ours(Ours { bytes_per_us: 0.0, ..ROUND });
        assert!(latency_ms(&broad, 4, 1, 0).unwrap_err().to_string().contains("bytes per µs"));
    }
}
