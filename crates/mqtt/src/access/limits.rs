//! How much one client, one address and all of them may ask for. Clocks are arguments: microseconds from any start.
//!
//! A rate is a bucket that fills at the rate and holds a second's worth, so that a burst passes and a stream does not.

use crate::broker::PACKET_BYTES_MAX;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Parts of a token: at a rate of n a second, n parts come in a microsecond.
const PARTS: u64 = 1_000_000;
/// Addresses whose rates are kept apart. Beyond, only the rate of all together counts for new ones.
const ADDRESSES_MAX: usize = 10_000;
/// How often addresses that asked for nothing lately are forgotten when there are too many.
const FORGET_INTERVAL_US: u64 = 1_000_000;
/// Groups of an IPv6 address that name its network: what one customer has whole.
const NETWORK_GROUPS: usize = 4;

/// What clients of a broker may ask for. A rate of 0 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Publishes a client may send in a second.
    pub publishes_per_second: u64,
    /// Bytes of payload a client may send in a second.
    pub bytes_per_second: u64,
    /// Bytes of a packet; at most [`PACKET_BYTES_MAX`].
    pub packet_bytes: u32,
    /// Publishes on their way to a client, and QoS 2 publishes from it that are not complete; not 0.
    pub in_flight: u16,
    /// Subscriptions of a client.
    pub subscriptions: usize,
    /// Connections at once, on the listeners behind the front.
    pub connections: usize,
    /// Connections that may begin in a second, on the listeners behind the front.
    pub connections_per_second: u64,
    /// The same from one address: an IPv4 address, or an IPv6 network of 64 bits.
    pub connections_per_second_per_address: u64,
    /// The shortest keep-alive, in seconds. MQTT 5 clients that ask for a shorter one are given this; others are refused.
    pub keep_alive_s_min: u16,
    /// The longest, in seconds. Below 65535 a client may not do without, which 0 means.
    pub keep_alive_s_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publishes_per_second: 100_000,
            bytes_per_second: 256 << 20,
            packet_bytes: u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX),
            in_flight: 1000,
            subscriptions: 1000,
            connections: 20_000,
            connections_per_second: 5000,
            connections_per_second_per_address: 1000,
            keep_alive_s_min: 0,
            keep_alive_s_max: u16::MAX,
        }
    }
}

/// One rate.
#[derive(Clone, Debug)]
struct Bucket {
    rate: u64,
    capacity: u64,
    level: u64,
    filled_us: u64,
}

impl Bucket {
    /// A full bucket of `rate` tokens a second that holds as many, or `least` if that is more.
    fn new(rate: u64, least: u64, now_us: u64) -> Self {
        let capacity = rate.max(least).saturating_mul(PARTS);
        Self { rate, capacity, level: capacity, filled_us: now_us }
    }

    fn fill(&mut self, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.filled_us);
        self.filled_us = self.filled_us.max(now_us);
        self.level = self.level.saturating_add(elapsed_us.saturating_mul(self.rate)).min(self.capacity);
    }

    /// How long until `tokens` can be taken. None ever needs more than a full bucket.
    fn wait_us(&self, tokens: u64) -> u64 {
        if self.rate == 0 {
            return 0;
        }
        tokens.saturating_mul(PARTS).min(self.capacity).saturating_sub(self.level).div_ceil(self.rate)
    }

    fn take(&mut self, tokens: u64) {
        self.level = self.level.saturating_sub(tokens.saturating_mul(PARTS));
    }

    fn is_full(&self) -> bool {
        self.level == self.capacity
    }
}

/// The rates of one client.
#[derive(Clone, Debug)]
pub struct Meter {
    publishes: Bucket,
    bytes: Bucket,
}

impl Meter {
    /// The rates of a client that connects now.
    #[must_use]
    pub fn new(limits: &Limits, now_us: u64) -> Self {
        // the largest packet must pass at any rate
        let largest = u64::from(limits.packet_bytes);
        Self {
            publishes: Bucket::new(limits.publishes_per_second, 1, now_us),
            bytes: Bucket::new(limits.bytes_per_second, largest, now_us),
        }
    }

    /// Takes a publish of `bytes` bytes.
    ///
    /// # Errors
    /// How long until it could be taken; nothing was.
    pub fn take(&mut self, bytes: u64, now_us: u64) -> Result<(), Duration> {
        self.publishes.fill(now_us);
        self.bytes.fill(now_us);
        match self.publishes.wait_us(1).max(self.bytes.wait_us(bytes)) {
            0 => {
                self.publishes.take(1);
                self.bytes.take(bytes);
                Ok(())
            }
            wait_us => Err(Duration::from_micros(wait_us)),
        }
    }
}

/// How many connections may begin.
#[derive(Debug)]
pub struct ConnectionRates {
    all: Bucket,
    rate_of_one: u64,
    by_address: HashMap<IpAddr, Bucket>,
    forgot_us: Option<u64>,
}

impl ConnectionRates {
    /// The rates that `limits` say.
    #[must_use]
    pub fn new(limits: &Limits, now_us: u64) -> Self {
        let all = Bucket::new(limits.connections_per_second, 1, now_us);
        Self { all, rate_of_one: limits.connections_per_second_per_address, by_address: HashMap::new(), forgot_us: None }
    }

    /// Whether a connection from `address` may begin now.
    pub fn admit(&mut self, address: IpAddr, now_us: u64) -> bool {
        self.all.fill(now_us);
        if self.all.wait_us(1) > 0 {
            return false;
        }
        if self.rate_of_one > 0 {
            let address = network(address);
            let due = self.forgot_us.is_none_or(|at| now_us.saturating_sub(at) >= FORGET_INTERVAL_US);
            if self.by_address.len() >= ADDRESSES_MAX && due {
                self.forgot_us = Some(now_us);
                self.by_address.retain(|_, bucket| {
                    bucket.fill(now_us);
                    !bucket.is_full()
                });
            }
            if self.by_address.len() < ADDRESSES_MAX || self.by_address.contains_key(&address) {
                let bucket = self.by_address.entry(address).or_insert_with(|| Bucket::new(self.rate_of_one, 1, now_us));
                bucket.fill(now_us);
                if bucket.wait_us(1) > 0 {
                    return false;
                }
                bucket.take(1);
            }
        }
        self.all.take(1);
        true
    }
}

/// The address whose rate counts: an IPv4 address, also one written as IPv6, or the network of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let mut groups = address.segments();
            groups.iter_mut().skip(NETWORK_GROUPS).for_each(|group| *group = 0);
            IpAddr::V6(Ipv6Addr::from(groups))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND_US: u64 = 1_000_000;

    fn limits() -> Limits {
        Limits { publishes_per_second: 10, bytes_per_second: 1000, packet_bytes: 4000, ..Limits::default() }
    }

    #[test]
    fn a_burst_passes_and_a_stream_does_not() {
        let mut meter = Meter::new(&limits(), 5);
        for i in 0..10 {
            assert_eq!(meter.take(0, 5), Ok(()), "publish {i}");
        }
        let wait = meter.take(0, 5).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert!(meter.take(0, 5 + 99_999).is_err());
        assert_eq!(meter.take(0, 5 + 100_000), Ok(()));
        assert!(meter.take(0, 0).is_err(), "a clock that goes back gives nothing");
    }

    #[test]
    fn bytes_count_and_the_largest_packet_passes() {
        let mut meter = Meter::new(&limits(), 0);
        assert_eq!(meter.take(4000, 0), Ok(()));
        assert_eq!(meter.take(500, 0), Err(Duration::from_millis(500)));
        assert_eq!(meter.take(500, SECOND_US / 2), Ok(()));
        assert_eq!(meter.take(u64::MAX, 3600 * SECOND_US), Ok(()), "an hour fills the bucket, and more is never asked");
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut meter = Meter::new(&Limits { publishes_per_second: 0, bytes_per_second: 0, ..limits() }, 0);
        for _ in 0..100_000 {
            assert_eq!(meter.take(1 << 20, 0), Ok(()));
        }
    }

    #[test]
    fn one_address_does_not_use_up_the_rate_of_all() {
        let limits = Limits { connections_per_second: 10, connections_per_second_per_address: 3, ..Limits::default() };
        let mut rates = ConnectionRates::new(&limits, 0);
        let mut admitted = |address: &str, now_us| rates.admit(address.parse().unwrap(), now_us);
        let first: Vec<bool> = (0..5).map(|_| admitted("10.0.0.1", 0)).collect();
        assert_eq!(first, [true, true, true, false, false]);
        // The same machine by another notation, and its neighbours in one network of 64 bits.
        assert!(!admitted("::ffff:10.0.0.1", 0));
        assert!((0..3).all(|i| admitted(&format!("2001:db8::{i}"), 0)));
        assert!(!admitted("2001:db8::ffff", 0));
        // 6 of 10 were taken.
        let rest = (0..10).filter(|i| admitted(&format!("10.0.1.{i}"), 0)).count();
        assert_eq!(rest, 4);
        assert!(admitted("10.0.0.1", SECOND_US));
    }

    #[test]
    fn a_million_addresses_take_no_memory() {
        let limits = Limits { connections_per_second: 0, connections_per_second_per_address: 1, ..Limits::default() };
        let mut rates = ConnectionRates::new(&limits, 0);
        for i in 0..100_000u32 {
            rates.admit(IpAddr::from(i.to_be_bytes()), u64::from(i));
        }
        assert!(rates.by_address.len() <= ADDRESSES_MAX);
    }

    proptest! {
        /// In any span, no more passes than the bucket holds and what the rate gives.
        #[test]
        fn never_more_than_burst_and_rate(rate in 1u64..50, steps in proptest::collection::vec(0u64..200_000, 1..200)) {
            let mut meter = Meter::new(&Limits { publishes_per_second: rate, ..Limits::default() }, 0);
            let (mut now_us, mut passed) = (0, 0);
            for step in steps {
                now_us += step;
                passed += u64::from(meter.take(0, now_us).is_ok());
            }
            prop_assert!(passed <= rate + now_us * rate / SECOND_US);
        }
    }
}
