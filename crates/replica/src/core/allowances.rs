//! What this node lets peers hand it unasked. Local and soft: what is turned away here comes again when it is
//! asked for, so honest nodes may differ in it without ever differing in what they admit in the end.

use protocol::PublicKey;
use protocol::limits::OWN_UNCONFIRMED_MAX;
use protocol::parameters::Parameters;
use protocol::rate;
use std::collections::BTreeMap;

/// What a peer may push and announce, in multiples of its share: an honest one issues within its share, and
/// what was delayed on the way arrives together.
const PUSHED_SHARES: u64 = 2;
/// How long a peer may have been silent to make up for at once, in microseconds.
const PUSHED_BURST_US: u64 = 2_000_000;
/// Peers whose use is remembered although it is long over.
const BUCKETS_MAX: usize = 1_024;
/// Unconfirmed messages of one issuer that are taken from pushes. An honest one stops at half of it.
const ISSUER_UNCONFIRMED_MAX: u64 = 2 * OWN_UNCONFIRMED_MAX;

/// One token bucket for each peer.
#[derive(Debug, Default)]
pub(super) struct Buckets(BTreeMap<PublicKey, Bucket>);

#[derive(Debug, Default)]
struct Bucket {
    /// Until when the peer has used up its allowance, in microseconds since 1970.
    used_until_us: u64,
    /// The highest sequence that it is known to have reached as an issuer.
    sequence: u64,
}

impl Buckets {
    /// Takes one token of `peer`; gives whether there was one.
    pub(super) fn charge(&mut self, peer: PublicKey, parameters: &Parameters, now_us: u64) -> bool {
        if self.0.len() >= BUCKETS_MAX && !self.0.contains_key(&peer) {
            self.0.retain(|_, bucket| bucket.used_until_us > now_us);
        }
        let bucket = self.0.entry(peer).or_default();
        if bucket.used_until_us > now_us.saturating_add(PUSHED_BURST_US) {
            return false;
        }
        let per_second = rate::share(parameters, bucket.sequence).saturating_mul(PUSHED_SHARES);
        bucket.used_until_us = bucket.used_until_us.max(now_us).saturating_add(1_000_000 / per_second.max(1));
        true
    }

    /// An issuer's chain has reached `sequence`: its reputation counts for what it pushes too.
    pub(super) fn reached(&mut self, issuer: &PublicKey, sequence: u64) {
        if let Some(bucket) = self.0.get_mut(issuer) {
            bucket.sequence = bucket.sequence.max(sequence);
        }
    }
}

/// How many messages of each issuer wait for a milestone. Messages are counted as they come and counted anew
/// when an issuer seems to have too many, at most once a milestone; so the count is never too low.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    counts: BTreeMap<PublicKey, u64>,
    /// The milestone after which they were counted last.
    counted_at: Option<u64>,
}

impl Backlog {
    /// One more message of `issuer` waits.
    pub(super) fn add(&mut self, issuer: PublicKey) {
        let count = self.counts.entry(issuer).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether no more of `issuer` is taken from pushes.
    pub(super) fn is_full(&self, issuer: &PublicKey) -> bool {
        self.counts.get(issuer).is_some_and(|count| *count >= ISSUER_UNCONFIRMED_MAX)
    }

    /// Whether counting anew can change the answer for `issuer`, `height` being the last milestone executed.
    pub(super) fn is_stale(&self, issuer: &PublicKey, height: u64) -> bool {
        self.counted_at.is_none() || (self.is_full(issuer) && self.counted_at != Some(height))
    }

    /// Counts anew: `issuers` are those of all messages that wait, after milestone `height`.
    pub(super) fn count(&mut self, height: u64, issuers: impl Iterator<Item = PublicKey>) {
        self.counts.clear();
        self.counted_at = Some(height);
        issuers.for_each(|issuer| self.add(issuer));
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const NOW_US: u64 = 1_750_000_000_000_000;
    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);

    fn parameters(share_per_second: u32) -> Parameters {
        Parameters { share_per_second, ..Parameters::default() }
    }

    fn taken(buckets: &mut Buckets, peer: PublicKey, parameters: &Parameters, now_us: u64) -> u64 {
        (0..).take_while(|_| buckets.charge(peer, parameters, now_us)).count() as u64
    }

    #[test]
    fn a_burst_then_twice_the_share() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(100));
        // two seconds at twice the share, and the one that goes over it
        assert_eq!(taken(&mut buckets, A, &parameters, NOW_US), 401);
        assert_eq!(taken(&mut buckets, A, &parameters, NOW_US + 1_000_000), 200);
        assert_eq!(taken(&mut buckets, A, &parameters, NOW_US + 60_000_000), 401, "a pause fills it and no more");
    }

    #[test]
    fn a_peer_uses_its_own_bucket() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(1));
        while buckets.charge(A, &parameters, NOW_US) {}
        assert!(buckets.charge(B, &parameters, NOW_US));
    }

    #[test]
    fn reputation_widens_the_bucket() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(100));
        while buckets.charge(A, &parameters, NOW_US) {}
        buckets.reached(&A, OWN_UNCONFIRMED_MAX + 3 * rate::REPUTATION_STEP);
        let more = taken(&mut buckets, A, &parameters, NOW_US + 1_000_000);
        assert!((590..=610).contains(&more), "three times as much as 200, not {more}");
    }

    #[test]
    fn a_share_beyond_measure_is_not_limited() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(u32::MAX));
        assert!((0..10_000).all(|_| buckets.charge(A, &parameters, NOW_US)));
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(1));
        for n in 0..BUCKETS_MAX as u64 {
            let mut peer = [0; 32];
            peer[..8].copy_from_slice(&n.to_be_bytes());
            assert!(buckets.charge(PublicKey(peer), &parameters, NOW_US));
        }
        assert!(buckets.charge(PublicKey([0xff; 32]), &parameters, NOW_US + 10_000_000));
        assert_eq!(buckets.0.len(), 1);
    }

    #[test]
    fn an_issuer_with_too_much_unconfirmed_is_held_back_until_a_milestone() {
        let mut backlog = Backlog::default();
        assert!(backlog.is_stale(&A, 7), "what was there before is not counted yet");
        backlog.count(7, [B].into_iter());
        (0..ISSUER_UNCONFIRMED_MAX).for_each(|_| backlog.add(A));
        assert!(backlog.is_full(&A));
        assert!(!backlog.is_full(&B));
        assert!(!backlog.is_stale(&A, 7), "no milestone, no change");
        assert!(backlog.is_stale(&A, 8));
        backlog.count(8, [A, B].into_iter());
        assert!(!backlog.is_full(&A));
        assert!(!backlog.is_stale(&A, 9), "nothing to gain from counting");
    }
}
