//! Reading the state: one function for each kind of value.

use crate::account::{Account, Totals};
use crate::device::{Device, DeviceKey, Site};
use crate::purse::{Coins, Earnings, Farewells, Purchase, Purse, Service, Tally};
use crate::store::{Key, StateStore};
use crate::validator::{Candidates, Epoch, Validator};
use crate::void::VoidIds;
use crate::wallet::{Delegation, Unbonding, Wallet};
use protocol::{Decode, DecodeError, Id, Name, PublicKey};
use thiserror::Error;

/// Why a message could not be applied, or the state not read. Each is a fault of this node, never of the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// A stored value cannot be read: rebuild the state from the milestones.
    #[error("the state under {key:?} is damaged: {why}")]
    Corrupt {
        /// Which value.
        key: Key,
        /// Why it cannot be read.
        why: DecodeError,
    },
    /// A value that the genesis puts there is not there: the state was not begun, or the value not brought along.
    #[error("the state has nothing under {0:?}")]
    Missing(Key),
    /// The caller passed a message that does not count.
    #[error("message {sequence} of {issuer} is not its next one ({expected})")]
    OutOfOrder {
        /// Who issued it.
        issuer: PublicKey,
        /// The message's sequence.
        sequence: u64,
        /// The sequence that would count.
        expected: u64,
    },
}

fn read<T: Decode>(state: &impl StateStore, key: Key) -> Result<Option<T>, ApplyError> {
    state.get(&key).map(|bytes| T::decode(&bytes).map_err(|why| ApplyError::Corrupt { key, why })).transpose()
}

/// An issuer's account, if a message of it ever counted, or is remembered as void.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_account(state: &impl StateStore, issuer: PublicKey) -> Result<Option<Account>, ApplyError> {
    read(state, Key::Account(issuer))
}

/// The network's totals.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_totals(state: &impl StateStore) -> Result<Totals, ApplyError> {
    Ok(read(state, Key::Totals)?.unwrap_or_default())
}

/// A wallet, if it had a balance in the genesis or an order of it was executed.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_wallet(state: &impl StateStore, wallet: PublicKey) -> Result<Option<Wallet>, ApplyError> {
    read(state, Key::Wallet(wallet))
}

/// A validator, if it was ever registered.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_validator(state: &impl StateStore, validator: PublicKey) -> Result<Option<Validator>, ApplyError> {
    read(state, Key::Validator(validator))
}

/// What a wallet has at stake with a validator, if it ever had.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_delegation(state: &impl StateStore, wallet: PublicKey, validator: PublicKey) -> Result<Option<Delegation>, ApplyError> {
    read(state, Key::Delegation(wallet, validator))
}

/// What a wallet undelegated from a validator and did not withdraw.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_unbonding(state: &impl StateStore, wallet: PublicKey, validator: PublicKey) -> Result<Unbonding, ApplyError> {
    Ok(read(state, Key::Unbonding(wallet, validator))?.unwrap_or_default())
}

/// Those who stand for election.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_candidates(state: &impl StateStore) -> Result<Candidates, ApplyError> {
    Ok(read(state, Key::Candidates)?.unwrap_or_default())
}

/// The present epoch and its committee.
///
/// # Errors
/// [`ApplyError::Corrupt`], or [`ApplyError::Missing`] before the genesis state was written.
pub fn read_epoch(state: &impl StateStore) -> Result<Epoch, ApplyError> {
    read(state, Key::Epoch)?.ok_or(ApplyError::Missing(Key::Epoch))
}

/// What is remembered of void messages of one issuer and sequence.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_void(state: &impl StateStore, issuer: PublicKey, sequence: u64) -> Result<VoidIds, ApplyError> {
    Ok(read(state, Key::Void(issuer, sequence))?.unwrap_or_default())
}

/// A site that somebody has, by [`protocol::device::site_id`].
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_site(state: &impl StateStore, site: Id) -> Result<Option<Site>, ApplyError> {
    read(state, Key::Site(site))
}

/// A device that was ever registered, by [`protocol::DeviceName::id`].
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_device(state: &impl StateStore, device: Id) -> Result<Option<Device>, ApplyError> {
    read(state, Key::Device(device))
}

/// What is known of a key that is, or was, a device's.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_device_key(state: &impl StateStore, key: PublicKey) -> Result<Option<DeviceKey>, ApplyError> {
    read(state, Key::DeviceKey(key))
}

/// The ID of device `number` of a site.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_site_device(state: &impl StateStore, site: Id, number: u32) -> Result<Option<Name>, ApplyError> {
    read(state, Key::SiteDevice(site, number))
}

/// The ID of the device that was changed by what the ring holds in `slot`.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_site_change(state: &impl StateStore, site: Id, slot: u8) -> Result<Option<Name>, ApplyError> {
    read(state, Key::SiteChange(site, slot))
}

/// A wallet's purse, if it was ever credited.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_purse(state: &impl StateStore, wallet: PublicKey) -> Result<Option<Purse>, ApplyError> {
    read(state, Key::Purse(wallet))
}

/// The coins outside accounts and stakes.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_coins(state: &impl StateStore) -> Result<Coins, ApplyError> {
    Ok(read(state, Key::Coins)?.unwrap_or_default())
}

/// What a wallet earned.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_earnings(state: &impl StateStore, wallet: PublicKey) -> Result<Earnings, ApplyError> {
    Ok(read(state, Key::Earnings(wallet))?.unwrap_or_default())
}

/// A registered request that is not certified, with its votes.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_registered(state: &impl StateStore, request: Id) -> Result<Option<Tally>, ApplyError> {
    read(state, Key::Registered(request))
}

/// The request that was registered last at a place of the ring.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_place(state: &impl StateStore, place: u16) -> Result<Option<Id>, ApplyError> {
    read(state, Key::Place(place))
}

/// A certified request whose number the purse has not reached.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_waiting(state: &impl StateStore, wallet: PublicKey, number: u64) -> Result<Option<Tally>, ApplyError> {
    read(state, Key::Waiting(wallet, number))
}

/// A service that was ever offered, by [`protocol::service::service_id`].
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_service(state: &impl StateStore, service: Id) -> Result<Option<Service>, ApplyError> {
    read(state, Key::Service(service))
}

/// A purchase that has not ended, by the id of the request that made it.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_purchase(state: &impl StateStore, request: Id) -> Result<Option<Purchase>, ApplyError> {
    read(state, Key::Purchase(request))
}

/// Who has said that it votes no more.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_farewells(state: &impl StateStore) -> Result<Farewells, ApplyError> {
    Ok(read(state, Key::Farewells)?.unwrap_or_default())
}

/// Whether an offence was punished.
#[must_use]
pub fn is_punished(state: &impl StateStore, offence: Id) -> bool {
    state.get(&Key::Offence(offence)).is_some()
}
