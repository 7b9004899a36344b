//! How many requests a second each address and each token may make.

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

/// After how many requests those who have long been quiet are forgotten.
const FORGET_EVERY: u32 = 1_024;
/// Bits of an IPv6 address that one customer has for itself.
const CUSTOMER_BITS: u32 = 64;

/// A bucket for each key. Whoever was quiet for a second is forgotten, so there are as many as asked lately.
pub(super) struct Buckets<K: Hash + Eq + Clone> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    taken: AtomicU32,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Buckets for so many requests a second; without limit if 0.
    pub(super) fn new(per_second: u32) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| RateLimiter::keyed(Quota::per_second(rate)));
        Self { limiter, taken: AtomicU32::new(0) }
    }

    /// Whether one more request is within the limit.
    pub(super) fn take(&self, key: &K) -> bool {
        let Some(limiter) = &self.limiter else { return true };
        if self.taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            limiter.retain_recent();
        }
        limiter.check_key(key).is_ok()
    }
}

/// Who an address stands for: of IPv6, all addresses of one customer.
pub(super) fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let kept = u128::MAX << (u128::BITS - CUSTOMER_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_bucket() {
        let buckets = Buckets::new(3);
        let taken = |key: &str| (0..1_000).filter(|_| buckets.take(&key.to_owned())).count();
        // some may come back while this runs
        assert!((3..1_000).contains(&taken("a")));
        assert!((3..1_000).contains(&taken("b")));
        let free = Buckets::new(0);
        assert!((0..10_000).all(|_| free.take(&1)));
    }

    #[test]
    fn addresses_of_one_customer_are_one() {
        let of = |text: &str| customer(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
