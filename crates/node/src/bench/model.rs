//! What follows from measured constants for committees that were not measured. It is a model, and says less than a measurement:
//! a committee has at most 128 members here (`COMMITTEE_MAX`), so of larger ones nothing else can be said.
//!
//! ```text
//! carrier ─sync, sign─▶ request to n − 1 ─link─▶ each: take in, verify, sync, sign ─▶ vote to n − 1 ─link─▶ carrier: take in q − 1
//!
//! certified(n) = 2·(link + sync + sign) + (n − 1)·(carrying + voting) / bandwidth + take_in + verify + (q − 1)·take_in / cores
//! requests/s   = k / max((n·take_in + k·verify) / cores, ((n − 1)·voting(k) + k·request) / bandwidth)
//! ```
//! - `voting` are the bytes of a message with a vote, `voting(k)` of one with `k` of them, `carrying` of one with a vote and a request;
//!   `q` is how many votes certify. Every member sends its message to every other one itself.
//! - Each member has a machine and a disk of its own, and nothing else to do. `one_machine_us` is for the committees that a
//!   bench has in one process: all members share the cores, no byte takes any time, and syncs at once count as one.
//! - What the graph, the tables and the milestones take is not in it: signatures, hashes, syncs and wires are. So it is a lower bound.

use protocol::certificate::{THRESHOLD_PERCENT_MIN, needed};
use protocol::limits::PARENTS_MAX;

/// Bytes of a parent, and of a vote, in a message.
const HASH_BYTES: f64 = 32.0;

/// What was measured, or is assumed of the network. Microseconds and bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    /// Encode and sign a message.
    pub(super) sign_us: f64,
    /// Decode a message and verify it among others.
    pub(super) take_in_us: f64,
    /// Verify a request.
    pub(super) verify_request_us: f64,
    /// A durable write.
    pub(super) sync_us: f64,
    /// From one member to another.
    pub(super) link_us: f64,
    /// What a member's connection carries, each way.
    pub(super) bytes_per_us: f64,
    /// Cores of a member's machine.
    pub(super) cores: f64,
    /// A request.
    pub(super) request_bytes: f64,
    /// A message with one vote and one parent.
    pub(super) message_bytes: f64,
    /// A vote in a certificate, with its path.
    pub(super) cast_vote_bytes: f64,
}

/// How many votes certify among so many members.
pub(super) fn quorum(members: u32) -> u32 {
    let members = usize::try_from(members).unwrap_or(usize::MAX);
    u32::try_from(needed(members, THRESHOLD_PERCENT_MIN)).unwrap_or(u32::MAX)
}

impl Constants {
    /// Bytes of a message with so many votes.
    fn voting(&self, members: u32, votes: f64) -> f64 {
        let parents = members.clamp(1, u32::try_from(PARENTS_MAX).unwrap_or(1));
        self.message_bytes + HASH_BYTES * (f64::from(parents) - 1.0 + votes - 1.0)
    }

    /// Microseconds from handing in a request to its certificate, each member on a machine of its own.
    pub(super) fn certified_us(&self, members: u32) -> f64 {
        let voting = self.voting(members, 1.0);
        let fan_out = f64::from(members.saturating_sub(1)) * (2.0 * voting + self.request_bytes) / self.bytes_per_us;
        let gather = f64::from(quorum(members).saturating_sub(1)) * self.take_in_us / self.cores;
        2.0 * (self.link_us + self.sync_us + self.sign_us) + fan_out + self.take_in_us + self.verify_request_us + gather
    }

    /// The same with all members on one machine.
    pub(super) fn one_machine_us(&self, members: u32) -> f64 {
        let (n, others) = (f64::from(members), f64::from(members.saturating_sub(1)));
        let vote = others * (self.take_in_us + self.verify_request_us + self.sign_us);
        let gather = n * f64::from(quorum(members).saturating_sub(1)) * self.take_in_us;
        2.0 * (self.link_us + self.sync_us) + self.sign_us + (vote + gather) / self.cores
    }

    /// Requests a second that are certified, if each message has so many votes, for as many requests.
    pub(super) fn requests_per_second(&self, members: u32, votes: u16) -> f64 {
        let votes = f64::from(votes);
        let work_us = (f64::from(members) * self.take_in_us + votes * self.verify_request_us) / self.cores;
        let bytes = f64::from(members.saturating_sub(1)) * self.voting(members, votes) + votes * self.request_bytes;
        votes * 1e6 / work_us.max(bytes / self.bytes_per_us)
    }

    /// Bytes of a certificate.
    pub(super) fn certificate_bytes(&self, members: u32) -> f64 {
        self.request_bytes + f64::from(quorum(members)) * self.cast_vote_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Constants = Constants {
        sign_us: 20.0,
        take_in_us: 30.0,
        verify_request_us: 50.0,
        sync_us: 100.0,
        link_us: 1_500.0,
        bytes_per_us: 100.0,
        cores: 2.0,
        request_bytes: 200.0,
        message_bytes: 400.0,
        cast_vote_bytes: 135.0,
    };

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }

    #[test]
    fn it_is_the_formula() {
        assert_eq!([1, 4, 8, 48, 1_000, 10_000].map(quorum), [1, 3, 6, 33, 667, 6_667]);
        // four parents, one vote: 496 bytes
        near(ROUND.voting(4, 1.0), 496.0);
        near(ROUND.voting(10_000, 64.0), 400.0 + 32.0 * (7.0 + 63.0));
        near(ROUND.certified_us(4), 2.0 * 1_620.0 + 3.0 * (992.0 + 200.0) / 100.0 + 30.0 + 50.0 + 2.0 * 30.0 / 2.0);
        near(ROUND.one_machine_us(4), 3_200.0 + 20.0 + (3.0 * 100.0 + 4.0 * 2.0 * 30.0) / 2.0);
        near(ROUND.certificate_bytes(4), 200.0 + 3.0 * 135.0);
        near(ROUND.requests_per_second(4, 1), 1e6 / 85.0);
    }

    #[test]
    fn a_committee_alone_waits_for_nobody_but_its_own_round() {
        near(ROUND.certified_us(1), 2.0 * 1_620.0 + 80.0);
        near(ROUND.one_machine_us(1), 3_220.0);
    }

    #[test]
    fn larger_committees_are_slower_and_more_votes_in_a_message_faster() {
        let sizes = [1, 4, 8, 16, 48, 128, 1_000, 10_000];
        for (small, large) in sizes.iter().zip(sizes.iter().skip(1)) {
            assert!(ROUND.certified_us(*small) < ROUND.certified_us(*large));
            assert!(ROUND.one_machine_us(*small) < ROUND.one_machine_us(*large));
            assert!(ROUND.requests_per_second(*small, 64) > ROUND.requests_per_second(*large, 64));
            assert!(ROUND.requests_per_second(*large, 64) > ROUND.requests_per_second(*large, 1));
        }
    }

    #[test]
    fn a_narrow_wire_is_what_counts() {
        let narrow = Constants { bytes_per_us: 0.001, ..ROUND };
        // 64 votes: 3 messages of 400 + 32·(3 + 63) bytes, and 64 requests
        near(narrow.requests_per_second(4, 64), 64.0 * 1e6 * 0.001 / (3.0 * 2_512.0 + 64.0 * 200.0));
    }
}
