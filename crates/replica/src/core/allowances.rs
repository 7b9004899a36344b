//! What this node lets peers hand it unasked. Local and soft: what is turned away here comes again when it is
//! asked for, so honest nodes may differ in it without ever differing in what they admit in the end.

use protocol::limits::OWN_UNCONFIRMED_MAX;
use protocol::parameters::Parameters;
use protocol::{Body, PublicKey, rate};
use std::collections::BTreeMap;

/// What a peer may push and announce, in multiples of its share: an honest one issues within its share, and
/// what was delayed on the way arrives together.
const PUSHED_SHARES: u64 = 2;
/// How long a peer may have been silent to make up for at once, in microseconds.
const PUSHED_BURST_US: u64 = 2_000_000;
/// Requests in a pushed message that cost another token, for their signatures are verified too.
///
/// With the default share of 4 000 a peer has 8 000 tokens a second and 16 000 at once. A network that certifies 5 000 requests a
/// second puts them, 64 together, into 79 messages, which cost 395 tokens even if one peer carries all of them; votes alone take at
/// most 500 messages more. That is a ninth of what it has, whether the committee has 4 or 48 members, for each peer pushes only its
/// own messages. At the end of an epoch it may issue 64 messages of 16 certificates: 1 088 tokens at once. Of a share below 300 a
/// second some of that may have to be pulled.
const REQUESTS_PER_TOKEN: usize = 16;
/// Peers whose use is remembered although it is long over.
const BUCKETS_MAX: usize = 1_024;
/// Unconfirmed messages of one issuer that are taken from pushes. An honest one stops at half of it.
const ISSUER_UNCONFIRMED_MAX: u64 = 2 * OWN_UNCONFIRMED_MAX;

/// What it costs a peer to push a message, in tokens: one, and more for what must be verified in it beside its own signature. A
/// certificate holds a signature of each of its voters.
pub(super) fn tokens(body: &Body) -> u64 {
    let verified = match body {
        Body::Requests(requests) => requests.len() / REQUESTS_PER_TOKEN,
        Body::Certificates(certificates) => certificates.len(),
        Body::Readings { .. } | Body::Data(_) | Body::Orders(_) | Body::Evidence(_) | Body::EndOfEpoch { .. } => 0,
    };
    (verified as u64).saturating_add(1)
}

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
    /// Takes tokens of `peer`; gives whether there was one. Those beyond it are owed.
    pub(super) fn charge(&mut self, peer: PublicKey, tokens: u64, parameters: &Parameters, now_us: u64) -> bool {
        if self.0.len() >= BUCKETS_MAX && !self.0.contains_key(&peer) {
            self.0.retain(|_, bucket| bucket.used_until_us > now_us);
        }
        let bucket = self.0.entry(peer).or_default();
        if bucket.used_until_us > now_us.saturating_add(PUSHED_BURST_US) {
            return false;
        }
        let per_second = rate::share(parameters, bucket.sequence).saturating_mul(PUSHED_SHARES);
        let used_us = tokens.saturating_mul(1_000_000 / per_second.max(1));
        bucket.used_until_us = bucket.used_until_us.max(now_us).saturating_add(used_us);
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
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::limits::{CERTIFICATES_MAX, REQUESTS_MAX};
    use protocol::{Certificate, Draft, Id, NetworkId, Operation, SecretKey};

    const NOW_US: u64 = 1_750_000_000_000_000;
    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);

    fn parameters(share_per_second: u32) -> Parameters {
        Parameters { share_per_second, ..Parameters::default() }
    }

    fn taken(buckets: &mut Buckets, peer: PublicKey, parameters: &Parameters, now_us: u64) -> u64 {
        (0..).take_while(|_| buckets.charge(peer, 1, parameters, now_us)).count() as u64
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
        while buckets.charge(A, 1, &parameters, NOW_US) {}
        assert!(buckets.charge(B, 1, &parameters, NOW_US));
    }

    #[test]
    fn reputation_widens_the_bucket() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(100));
        while buckets.charge(A, 1, &parameters, NOW_US) {}
        buckets.reached(&A, OWN_UNCONFIRMED_MAX + 3 * rate::REPUTATION_STEP);
        let more = taken(&mut buckets, A, &parameters, NOW_US + 1_000_000);
        assert!((590..=610).contains(&more), "three times as much as 200, not {more}");
    }

    #[test]
    fn what_is_dear_to_verify_costs_more() {
        assert_eq!(tokens(&Body::Data(Vec::new())), 1);
        let state = Id([1; 32]);
        let operation = Operation::Transfer { to: A };
        let draft = Draft { state, number: 0, epoch: 0, operation, price: 1, from_ms: 0, until_ms: 1 };
        let request = draft.sign(&NetworkId([7; 32]), &SecretKey::from_seed(&[3; 32]), 0, 1).unwrap().unwrap();
        let requests = |n| Body::Requests(vec![request.clone(); n]);
        assert_eq!([1, 15, 16, 64].map(|n| tokens(&requests(n))), [1, 1, 2, 5]);
        let certificate = Certificate { request: request.clone(), votes: Vec::new() };
        assert_eq!(tokens(&Body::Certificates(vec![certificate; 16])), 17);
        let (mut buckets, parameters) = (Buckets::default(), parameters(100));
        let pushed = (0..).take_while(|_| buckets.charge(A, tokens(&requests(64)), &parameters, NOW_US)).count();
        assert_eq!(pushed, 81, "a fifth as many");
        assert!(buckets.charge(B, 1, &parameters, NOW_US));
    }

    /// What the constants promise: at the default share nobody is held back who carries 5 000 requests a second and votes.
    #[test]
    fn who_carries_for_everybody_is_not_held_back() {
        let (mut buckets, parameters) = (Buckets::default(), Parameters::default());
        let a_message = 1 + (REQUESTS_MAX / REQUESTS_PER_TOKEN) as u64;
        for second in 0..10 {
            let now_us = NOW_US + second * 1_000_000;
            let requests = (0..79).all(|_| buckets.charge(A, a_message, &parameters, now_us));
            let votes = (0..500).all(|_| buckets.charge(A, 1, &parameters, now_us));
            let certificates = (0..64).all(|_| buckets.charge(A, 1 + CERTIFICATES_MAX as u64, &parameters, now_us));
            assert!(requests && votes && certificates, "{second}");
        }
    }

    #[test]
    fn a_share_beyond_measure_is_not_limited() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(u32::MAX));
        assert!((0..10_000).all(|_| buckets.charge(A, 1, &parameters, NOW_US)));
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let (mut buckets, parameters) = (Buckets::default(), parameters(1));
        for n in 0..BUCKETS_MAX as u64 {
            let mut peer = [0; 32];
            peer[..8].copy_from_slice(&n.to_be_bytes());
            assert!(buckets.charge(PublicKey(peer), 1, &parameters, NOW_US));
        }
        assert!(buckets.charge(PublicKey([0xff; 32]), 1, &parameters, NOW_US + 10_000_000));
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
