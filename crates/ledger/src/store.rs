//! Where the state lives, as the state machine sees it: a map from hashed keys to bytes.

use protocol::{Encode, Id, PublicKey};
use std::collections::BTreeMap;

/// What a value of the state is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An issuer's [`crate::Account`].
    Account(PublicKey),
    /// The network's [`crate::Totals`].
    Totals,
    /// A [`crate::Wallet`].
    Wallet(PublicKey),
    /// A [`crate::Validator`].
    Validator(PublicKey),
    /// The [`crate::Delegation`] of a wallet with a validator.
    Delegation(PublicKey, PublicKey),
    /// The [`crate::Unbonding`] of a wallet from a validator.
    Unbonding(PublicKey, PublicKey),
    /// The [`crate::Candidates`].
    Candidates,
    /// That an offence was punished; the value is empty.
    Offence(Id),
    /// The present [`crate::Epoch`].
    Epoch,
    /// The [`crate::VoidIds`] of an issuer and sequence.
    Void(PublicKey, u64),
    /// A [`crate::Site`], by [`protocol::device::site_id`].
    Site(Id),
    /// A [`crate::Device`], by [`protocol::DeviceName::id`].
    Device(Id),
    /// A [`crate::DeviceKey`].
    DeviceKey(PublicKey),
    /// The ID of a site's device, by its number from 0 in the order of first registration.
    SiteDevice(Id, u32),
    /// The ID of the device that one of the last changes of a site was about, by [`crate::change_slot`].
    SiteChange(Id, u8),
    /// A wallet's [`crate::Purse`].
    Purse(PublicKey),
    /// The [`crate::Coins`].
    Coins,
    /// A wallet's [`crate::Earnings`].
    Earnings(PublicKey),
    /// The [`crate::Tally`] of a registered request.
    Registered(Id),
    /// Which request is registered at a place of the ring.
    Place(u16),
    /// The [`crate::Tally`] of a certified request of a wallet, with a number that the purse has not reached.
    Waiting(PublicKey, u64),
    /// A [`crate::Service`], by [`protocol::service::service_id`].
    Service(Id),
    /// The [`crate::Purchase`] that a request made.
    Purchase(Id),
    /// The present [`crate::Farewells`].
    Farewells,
}

impl Key {
    /// The hash under which an authenticated map holds the value.
    #[must_use]
    pub fn hash(&self) -> Id {
        match self {
            Self::Account(issuer) => Id::hash(&[b"wattle/state/account/", issuer.as_bytes()]),
            Self::Totals => Id::hash(&[b"wattle/state/totals"]),
            Self::Wallet(wallet) => Id::hash(&[b"wattle/state/wallet/", wallet.as_bytes()]),
            Self::Validator(validator) => Id::hash(&[b"wattle/state/validator/", validator.as_bytes()]),
            Self::Delegation(wallet, validator) => Id::hash(&[b"wattle/state/delegation/", wallet.as_bytes(), validator.as_bytes()]),
            Self::Unbonding(wallet, validator) => Id::hash(&[b"wattle/state/unbonding/", wallet.as_bytes(), validator.as_bytes()]),
            Self::Candidates => Id::hash(&[b"wattle/state/candidates"]),
            Self::Offence(id) => Id::hash(&[b"wattle/state/offence/", id.as_bytes()]),
            Self::Epoch => Id::hash(&[b"wattle/state/epoch"]),
            Self::Void(issuer, sequence) => Id::hash(&[b"wattle/state/void/", issuer.as_bytes(), &sequence.to_be_bytes()]),
            Self::Site(site) => Id::hash(&[b"wattle/state/site/", site.as_bytes()]),
            Self::Device(device) => Id::hash(&[b"wattle/state/device/", device.as_bytes()]),
            Self::DeviceKey(key) => Id::hash(&[b"wattle/state/device-key/", key.as_bytes()]),
            Self::SiteDevice(site, number) => Id::hash(&[b"wattle/state/site-device/", site.as_bytes(), &number.to_be_bytes()]),
            Self::SiteChange(site, slot) => Id::hash(&[b"wattle/state/site-change/", site.as_bytes(), &[*slot]]),
            Self::Purse(wallet) => Id::hash(&[b"wattle/state/purse/", wallet.as_bytes()]),
            Self::Coins => Id::hash(&[b"wattle/state/coins"]),
            Self::Earnings(wallet) => Id::hash(&[b"wattle/state/earnings/", wallet.as_bytes()]),
            Self::Registered(request) => Id::hash(&[b"wattle/state/registered/", request.as_bytes()]),
            Self::Place(place) => Id::hash(&[b"wattle/state/place/", &place.to_be_bytes()]),
            Self::Waiting(wallet, number) => Id::hash(&[b"wattle/state/certified/", wallet.as_bytes(), &number.to_be_bytes()]),
            Self::Service(service) => Id::hash(&[b"wattle/state/service/", service.as_bytes()]),
            Self::Purchase(request) => Id::hash(&[b"wattle/state/purchase/", request.as_bytes()]),
            Self::Farewells => Id::hash(&[b"wattle/state/farewells"]),
        }
    }
}

/// Changes of the state: the new value under each key; `None` takes the value away.
pub type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// Reads the state.
pub trait StateStore {
    /// The value under `key`, if there is one.
    fn get(&self, key: &Key) -> Option<Vec<u8>>;
}

/// A state held in memory: for values brought along before applying, and for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore(BTreeMap<Key, Vec<u8>>);

impl MemoryStore {
    /// Sets the value under `key`.
    pub fn set(&mut self, key: Key, value: Vec<u8>) {
        self.0.insert(key, value);
    }

    /// Takes over the values of another.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Takes over changes.
    pub fn absorb(&mut self, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.0.insert(key, value)),
                None => drop(self.0.remove(&key)),
            }
        }
    }
}

impl From<BTreeMap<Key, Vec<u8>>> for MemoryStore {
    fn from(values: BTreeMap<Key, Vec<u8>>) -> Self {
        Self(values)
    }
}

impl StateStore for MemoryStore {
    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }
}

/// Changes on top of a state that stays as it is.
#[derive(Debug)]
pub struct Overlay<'a, S> {
    base: &'a S,
    changes: Changes,
}

impl<'a, S: StateStore> Overlay<'a, S> {
    /// No changes yet.
    #[must_use]
    pub const fn new(base: &'a S) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// Sets a value.
    pub fn set(&mut self, key: Key, value: &impl Encode) {
        self.changes.insert(key, Some(value.encode()));
    }

    /// Notes that `key` is there, with nothing to say about it.
    pub fn mark(&mut self, key: Key) {
        self.changes.insert(key, Some(Vec::new()));
    }

    /// Takes a value away.
    pub fn remove(&mut self, key: Key) {
        self.changes.insert(key, None);
    }

    /// Takes over the changes of an overlay on top of this one.
    pub fn absorb(&mut self, changes: Changes) {
        self.changes.extend(changes);
    }

    /// The changes, in the order of their keys.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

impl<S: StateStore> StateStore for Overlay<'_, S> {
    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        match self.changes.get(key) {
            Some(change) => change.clone(),
            None => self.base.get(key),
        }
    }
}
