//! Who earns from a batch of readings: the shares of its message (WAL-41 of `docs/spec/wallet.md`).
//!
//! # Rules
//! - The shares of a batch are as many as its readings, each reading one.
//! - They are part of the message. A batch that is anchored again, because its message is void, has a new message with shares of
//!   its own; void messages are not paid, so its readings are paid once.
//! - A reading that comes a second time earns nothing: the way in drops repetitions before the log, and the log is anchored once.

use protocol::limits::SHARES_MAX;
use protocol::{Batch, DeviceName, Name, PublicKey, Share};
use std::collections::{BTreeMap, HashMap};

/// Who earns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Earners {
    /// For the readings of all devices that are not named.
    rest: Option<PublicKey>,
    /// For those of named ones: by site, by ID.
    devices: HashMap<Name, HashMap<Name, PublicKey>>,
}

impl Earners {
    /// `rest` earns from all devices but those named; nobody if it is none.
    pub(crate) fn new(rest: Option<PublicKey>, named: impl IntoIterator<Item = (DeviceName, PublicKey)>) -> Self {
        let mut devices: HashMap<Name, HashMap<Name, PublicKey>> = HashMap::new();
        for (name, wallet) in named {
            devices.entry(name.site).or_default().insert(name.device, wallet);
        }
        Self { rest, devices }
    }

    /// The shares of a batch of `count` readings, by wallet.
    #[must_use]
    pub(super) fn shares(&self, batch: &Batch, count: u32) -> Vec<Share> {
        if self.devices.is_empty() {
            return self.rest.map(|wallet| Share { wallet, count }).into_iter().collect();
        }
        let mut counts: BTreeMap<PublicKey, u32> = BTreeMap::new();
        for reading in &batch.readings {
            let named = self.devices.get(&reading.topic.site).and_then(|site| site.get(&reading.topic.device)).copied();
            if let Some(wallet) = named.or(self.rest) {
                let count = counts.entry(wallet).or_default();
                *count = count.saturating_add(1);
            }
        }
        // the configuration names fewer wallets than a message has room for
        counts.into_iter().take(SHARES_MAX).map(|(wallet, count)| Share { wallet, count }).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Reading, Value};

    fn batch(topics: &[&str]) -> Batch {
        let reading = |topic: &&str| Reading {
            topic: topic.parse().unwrap(),
            time_us: 1,
            sequence: None,
            unit: None,
            value: Value::Number(1.0),
            signed: None,
        };
        Batch { secret: [0; 32], first_offset: 0, readings: topics.iter().map(reading).collect() }
    }

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    #[test]
    fn every_reading_is_one_share() {
        let batch = batch(&["z1/m1/sense/power", "z1/m2/sense/power", "z1/m1/sense/energy", "z2/m1/sense/power"]);
        let of = |earners: &Earners| earners.shares(&batch, 4).iter().map(|s| (s.wallet, s.count)).collect::<Vec<_>>();
        assert_eq!(of(&Earners::new(Some(key(9)), [])), [(key(9), 4)]);
        let device = |name: &str, wallet: u8| (name.parse::<DeviceName>().unwrap(), key(wallet));
        assert_eq!(of(&Earners::new(Some(key(9)), [device("z1/m1", 1)])), [(key(1), 2), (key(9), 2)]);
        // two devices may earn for one wallet, and that may be the one of the rest
        let shared = [device("z1/m1", 1), device("z2/m1", 1), device("z1/m2", 9)];
        assert_eq!(of(&Earners::new(Some(key(9)), shared)), [(key(1), 3), (key(9), 1)]);
    }

    #[test]
    fn nobody_earns_if_nobody_is_named() {
        let batch = batch(&["z1/m1/sense/power", "z1/m2/sense/power"]);
        assert!(Earners::new(None, []).shares(&batch, 2).is_empty());
        let named = Earners::new(None, [("z1/m2".parse().unwrap(), key(2))]);
        assert_eq!(named.shares(&batch, 2), [Share { wallet: key(2), count: 1 }]);
    }
}
