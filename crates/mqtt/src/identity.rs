//! Who published: what a device's registration asks of its readings.
//!
//! # Rules
//! - They are DEV-13 to DEV-19 of `docs/spec/devices.md`. The registry itself is somebody else's: it is asked through a
//!   function ([`Registry`]).
//! - A device whose role has a key is believed by its signature alone; a device that was revoked is not believed at all.
//! - A signed reading is taken once: by key and number ([`crate::replay`]).
//! - What is refused here is answered as malformed is: sending it again would not help. It is told on
//!   `root/fog/<site>/rejected`, and counted.
//!
//! ```text
//!               unknown    role 1     role 2, 3                 revoked
//! not signed    taken*     taken      refused                   refused       * unless registration is required
//! signed        refused    refused    signature, number ─▶ taken  refused
//! ```

use crate::replay::{Replays, Taken};
use edge::payload::Told;
use protocol::{DeviceTopic, NetworkId, PublicKey, Reading, SignedReading};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// What the registry says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Nothing: nobody registered it.
    Unknown,
    /// Its gateway is trusted: it signs nothing.
    Unsigned,
    /// It signs with this key.
    Signs(PublicKey),
    /// Its registration has ended.
    Revoked,
}

/// Looks a device up. It must not block: the answer is what is known here.
pub type Registry = Arc<dyn Fn(&DeviceTopic) -> Registered + Send + Sync>;

/// Why a publish is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unbelievable {
    /// Registration is required.
    #[error("the device is not registered: `wattle device register` enters it")]
    Unknown,
    /// Signed, by a device that has no key here.
    #[error("the reading is signed and the device has no registered key: register it with one")]
    NoKey,
    /// Not signed, by a device that signs.
    #[error("the device is registered with a key, and the reading is not signed")]
    Unsigned,
    /// The registration has ended.
    #[error("the device was revoked")]
    Revoked,
    /// The signature is not the key's.
    #[error("the signature is not that of the device's registered key for this network, topic and content")]
    Signature,
    /// The number was used.
    #[error("the device's number {0} was taken before: a replay, or a device that counts anew under its old key")]
    Replayed(u64),
    /// The number is far behind.
    #[error("the device's number {0} lies far behind those that were taken: a replay, or a device that counts anew under its old key")]
    Stale(u64),
    /// Of another site, and not signed.
    #[error("a device that is away from its site is known by its signature alone: it needs a registered key, and signs")]
    Visitor,
    /// Too many keys.
    #[error("this site keeps the numbers of no further key")]
    Full,
}

/// How many publishes were not believed, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdentityCounters {
    /// By a device that is not registered, or without a key where one is needed.
    pub unknown: u64,
    /// Not signed, by a device that signs.
    pub unsigned: u64,
    /// By a device that was revoked.
    pub revoked: u64,
    /// With a signature that does not hold.
    pub forged: u64,
    /// With a number that was taken before, or is too old.
    pub replayed: u64,
}

/// A publish whose sender is believed.
pub(crate) enum Believed<'a> {
    /// Nobody signed; that is in order.
    Plain(Vec<Reading>),
    /// The device signed; the number is taken.
    Signed(Box<Reading>, Number<'a>),
    /// The device signed, and sends again what it sent before, which is durable.
    Again,
    /// The same, but what it sent before is still being written: nobody can say yet what became of it.
    UnderWay,
    /// The device signed this, at that time, and is not here as far as is known: it has just come.
    Elsewhere {
        /// Its key.
        key: PublicKey,
        /// The reading's time, in microseconds since 1970.
        time_us: u64,
    },
}

/// A number that is taken until its reading is kept; dropped before, it is given back.
pub(crate) struct Number<'a> {
    replays: &'a Replays,
    key: PublicKey,
    number: u64,
    kept: bool,
}

impl Number<'_> {
    /// The reading is durable: the number stays taken.
    pub(crate) fn keep(mut self) {
        self.kept = true;
        self.replays.settle(self.key, self.number);
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.replays.give_back(self.key, self.number);
        }
    }
}

/// What an ingress checks devices by.
pub struct Identities {
    network: NetworkId,
    registry: Registry,
    required: bool,
    replays: Replays,
    unknown: AtomicU64,
    unsigned: AtomicU64,
    revoked: AtomicU64,
    forged: AtomicU64,
    replayed: AtomicU64,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("network", &self.network).field("required", &self.required).finish_non_exhaustive()
    }
}

impl Identities {
    /// Checks devices of `network` by `registry`. `required`: whether a device that nobody registered is refused.
    #[must_use]
    pub fn new(network: NetworkId, registry: Registry, required: bool) -> Self {
        let zero = || AtomicU64::new(0);
        let replays = Replays::default();
        Self { network, registry, required, replays, unknown: zero(), unsigned: zero(), revoked: zero(), forged: zero(), replayed: zero() }
    }

    /// The numbers that were taken: to note what was taken before the start.
    #[must_use]
    pub const fn replays(&self) -> &Replays {
        &self.replays
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> IdentityCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IdentityCounters {
            unknown: read(&self.unknown),
            unsigned: read(&self.unsigned),
            revoked: read(&self.revoked),
            forged: read(&self.forged),
            replayed: read(&self.replayed),
        }
    }

    /// Whether what a publish tells is to be believed. `dup`: whether the client says that it may have sent it before;
    /// `guest`: whether its device is of another site.
    ///
    /// # Errors
    /// [`Unbelievable`]: the publish can never be taken.
    pub(crate) fn judge(&self, topic: &DeviceTopic, told: Told, dup: bool, guest: bool) -> Result<Believed<'_>, Unbelievable> {
        let verdict = match ((self.registry)(topic), told) {
            (Registered::Unknown | Registered::Unsigned, _) if guest => Err(Unbelievable::Visitor),
            (Registered::Revoked, _) => Err(Unbelievable::Revoked),
            (Registered::Unknown, _) if self.required => Err(Unbelievable::Unknown),
            (Registered::Unknown | Registered::Unsigned, Told::Readings(readings)) => Ok(Believed::Plain(readings)),
            (Registered::Unknown | Registered::Unsigned, Told::Signed(_)) => Err(Unbelievable::NoKey),
            (Registered::Signs(_), Told::Readings(_)) => Err(Unbelievable::Unsigned),
            (Registered::Signs(key), Told::Signed(signed)) => self.signed(topic, key, signed, (dup, guest)),
        };
        if let Err(why) = &verdict {
            self.count(*why);
        }
        verdict
    }

    fn signed(
        &self,
        topic: &DeviceTopic,
        key: PublicKey,
        signed: SignedReading,
        (dup, guest): (bool, bool),
    ) -> Result<Believed<'_>, Unbelievable> {
        let (number, time_us) = (signed.sequence, signed.time_us);
        let reading = signed.into_reading(topic.clone(), key);
        if !reading.is_authentic(&self.network) {
            return Err(Unbelievable::Signature);
        }
        match self.replays.take(key, number, guest) {
            Taken::New => Ok(Believed::Signed(Box::new(reading), Number { replays: &self.replays, key, number, kept: false })),
            // a client that heard no answer sends it again by the book: nothing is wrong, and nothing to keep
            Taken::UnderWay => Ok(Believed::UnderWay),
            Taken::Again if dup => Ok(Believed::Again),
            Taken::Again => Err(Unbelievable::Replayed(number)),
            Taken::Old => Err(Unbelievable::Stale(number)),
            Taken::Full => Err(Unbelievable::Full),
            Taken::Elsewhere => Ok(Believed::Elsewhere { key, time_us }),
        }
    }

    /// As [`Identities::judge`], for what another part of the site passes on, perhaps by several ways and out of order: a number
    /// that was taken, or is far behind, is no replay. The caller knows by the reading itself whether he has it.
    ///
    /// # Errors
    /// [`Unbelievable`]: the publish can never be taken.
    pub(crate) fn believe(&self, topic: &DeviceTopic, told: Told) -> Result<Believed<'_>, Unbelievable> {
        let (Registered::Signs(key), Told::Signed(signed)) = ((self.registry)(topic), &told) else {
            return self.judge(topic, told, true, false);
        };
        let number = signed.sequence;
        let reading = signed.clone().into_reading(topic.clone(), key);
        if !reading.is_authentic(&self.network) {
            self.count(Unbelievable::Signature);
            return Err(Unbelievable::Signature);
        }
        match self.replays.take(key, number, false) {
            Taken::New => Ok(Believed::Signed(Box::new(reading), Number { replays: &self.replays, key, number, kept: false })),
            Taken::UnderWay | Taken::Again | Taken::Old => Ok(Believed::Plain(vec![reading])),
            // devices of a site in parts do not roam (ROLE-17), so no key is closed where this is asked
            Taken::Elsewhere => Ok(Believed::Elsewhere { key, time_us: reading.time_us }),
            Taken::Full => {
                self.count(Unbelievable::Full);
                Err(Unbelievable::Full)
            }
        }
    }

    fn count(&self, why: Unbelievable) {
        let counter = match why {
            Unbelievable::Unknown | Unbelievable::NoKey | Unbelievable::Visitor => &self.unknown,
            Unbelievable::Unsigned => &self.unsigned,
            Unbelievable::Revoked => &self.revoked,
            Unbelievable::Signature => &self.forged,
            Unbelievable::Replayed(_) | Unbelievable::Stale(_) | Unbelievable::Full => &self.replayed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
