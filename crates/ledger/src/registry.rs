//! Orders about sites and devices: claiming, registering, rotating, describing, revoking. The rules are DEV-3 to DEV-12 of
//! `docs/spec/devices.md`.
//!
//! ```text
//!              RegisterDevice                RotateDevice                     RevokeDevice
//! (nothing) ────────────────▶ active, key 1 ─────────────▶ active, key 2 … ─────────────▶ revoked ─┐
//!                                  ▲                                                                │
//!                                  └──────────────── RegisterDevice, with a key never seen ─────────┘
//! ```
//! Everything is checked before anything is written: an order that is refused changes nothing.

use crate::device::{Device, DeviceKey, SITE_CHANGES_KEPT, SITE_DEVICES_MAX, Site};
use crate::read::{read_device, read_site};
use crate::rules::{OrderError, Rules};
use crate::stake::Stop;
use crate::store::{Key, Overlay, StateStore};
use protocol::device::site_id;
use protocol::{Credential, DeviceName, Id, Name, PublicKey, Role};

/// Claims a site, or changes the wallet's own.
pub(crate) fn site<S: StateStore>(state: &mut Overlay<'_, S>, wallet: PublicKey, name: &Name, gateways: &[PublicKey]) -> Result<(), Stop> {
    let key = Key::Site(site_id(name));
    let before = own_site(state, wallet, name)?;
    if !gateways.is_sorted_by(|a, b| a < b) || gateways.len() > protocol::limits::GATEWAYS_MAX {
        return Err(OrderError::Gateways.into());
    }
    state.set(key, &Site { gateways: gateways.to_vec(), ..before });
    Ok(())
}

/// Enters a device.
pub(crate) fn register<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    wallet: PublicKey,
    name: &DeviceName,
    (role, credential, thing): (Role, Option<&Credential>, Option<Id>),
) -> Result<(), Stop> {
    let mut site = own_site(state, wallet, &name.site)?;
    let before = read_device(state, name.id())?;
    if before.as_ref().is_some_and(|device| !device.revoked) {
        return Err(OrderError::DeviceTaken(name.clone()).into());
    }
    if credential.is_some() != role.has_key() {
        return Err(OrderError::DeviceRole.into());
    }
    if before.is_none() && site.devices >= SITE_DEVICES_MAX {
        return Err(OrderError::SiteFull.into());
    }
    if let Some(credential) = credential {
        fresh_key(state, rules, name, &wallet, credential)?;
    }

    if before.is_none() {
        state.set(Key::SiteDevice(site_id(&name.site), site.devices), &name.device);
        site.devices = site.devices.saturating_add(1);
    }
    let keys = before.map_or(0, |device| device.key_epoch);
    let device = Device {
        owner: wallet,
        role,
        key: credential.map(|c| c.key),
        key_epoch: keys.saturating_add(u64::from(credential.is_some())),
        key_since: rules.height,
        revoked: false,
        thing,
        registered: rules.height,
        changed: rules.height,
    };
    put(state, rules, name, site, device);
    Ok(())
}

/// Gives a device another key.
pub(crate) fn rotate<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    wallet: PublicKey,
    name: &DeviceName,
    credential: &Credential,
) -> Result<(), Stop> {
    let (site, device) = own_device(state, wallet, name)?;
    let Some(old) = device.key else { return Err(OrderError::DeviceRole.into()) };
    fresh_key(state, rules, name, &wallet, credential)?;
    end_key(state, rules, name, &device, old);
    let key_epoch = device.key_epoch.saturating_add(1);
    put(state, rules, name, site, Device { key: Some(credential.key), key_epoch, key_since: rules.height, ..device });
    Ok(())
}

/// Says what a device's Thing Description is.
pub(crate) fn describe<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    wallet: PublicKey,
    name: &DeviceName,
    thing: Option<Id>,
) -> Result<(), Stop> {
    let (site, device) = own_device(state, wallet, name)?;
    put(state, rules, name, site, Device { thing, ..device });
    Ok(())
}

/// Ends a device's registration, and its key.
pub(crate) fn revoke<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    wallet: PublicKey,
    name: &DeviceName,
) -> Result<(), Stop> {
    let (site, device) = own_device(state, wallet, name)?;
    if let Some(key) = device.key {
        end_key(state, rules, name, &device, key);
    }
    put(state, rules, name, site, Device { revoked: true, ..device });
    Ok(())
}

/// A site of the wallet, or one that nobody has.
fn own_site(state: &impl StateStore, wallet: PublicKey, name: &Name) -> Result<Site, Stop> {
    match read_site(state, site_id(name))? {
        None => Ok(Site { owner: wallet, gateways: Vec::new(), devices: 0, changes: 0 }),
        Some(site) if site.owner == wallet => Ok(site),
        Some(site) => Err(OrderError::SiteTaken { owner: site.owner }.into()),
    }
}

/// An active device that the wallet registered, and its site.
fn own_device(state: &impl StateStore, wallet: PublicKey, name: &DeviceName) -> Result<(Site, Device), Stop> {
    let device = read_device(state, name.id())?.ok_or_else(|| OrderError::NoDevice(name.clone()))?;
    if device.owner != wallet {
        return Err(OrderError::DeviceOwner { owner: device.owner }.into());
    }
    if device.revoked {
        return Err(OrderError::DeviceRevoked(name.clone()).into());
    }
    Ok((own_site(state, wallet, &name.site)?, device))
}

/// Checks that a key may be this device's: sound, never registered before, and in the hands of whoever offers it.
/// Writes it down.
fn fresh_key<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    name: &DeviceName,
    owner: &PublicKey,
    credential: &Credential,
) -> Result<(), Stop> {
    let key = credential.key;
    if state.get(&Key::DeviceKey(key)).is_some() {
        return Err(OrderError::DeviceKeyUsed(key).into());
    }
    if !key.is_sound() {
        return Err(OrderError::DeviceKeyUnsound.into());
    }
    if !credential.verify(rules.network, name, owner) {
        return Err(OrderError::Possession.into());
    }
    state.set(Key::DeviceKey(key), &DeviceKey { device: name.clone(), from: rules.height, until: None });
    Ok(())
}

/// Notes that a key is no longer the device's.
fn end_key<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, name: &DeviceName, device: &Device, key: PublicKey) {
    let ended = DeviceKey { device: name.clone(), from: device.key_since, until: Some(rules.height) };
    state.set(Key::DeviceKey(key), &ended);
}

/// Writes a device that has changed, and that it has.
fn put<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, name: &DeviceName, site: Site, device: Device) {
    let at = site_id(&name.site);
    state.set(Key::SiteChange(at, change_slot(site.changes)), &name.device);
    state.set(Key::Site(at), &Site { changes: site.changes.saturating_add(1), ..site });
    state.set(Key::Device(name.id()), &Device { changed: rules.height, ..device });
}

/// Where the ring holds change number `change` of a site.
#[must_use]
pub fn change_slot(change: u64) -> u8 {
    let [.., low] = (change % SITE_CHANGES_KEPT).to_be_bytes();
    low
}

const _: () = assert!(SITE_CHANGES_KEPT == 256); // a slot is a byte
