//! Sites, their devices and the devices' keys, as the state keeps them. The rules are those of `docs/spec/devices.md`.
//!
//! ```text
//! Site ── devices, numbered from 0 ──▶ Device ── key ──▶ DeviceKey ──▶ the device it is, or was, of
//!   └──── the last changes, in a ring
//! ```

use protocol::codec::{Reader, put_varint};
use protocol::device::{gateways, put_gateways};
use protocol::{Decode, DecodeError, DeviceName, Encode, Id, PublicKey, Role};

/// Devices that one site may ever have.
pub const SITE_DEVICES_MAX: u32 = 65_536;
/// Changes of a site's devices that the state remembers: who looks more often than they happen need not read all.
pub const SITE_CHANGES_KEPT: u64 = 256;

fn put_option(out: &mut Vec<u8>, value: Option<&impl Encode>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            value.encode_to(out);
        }
    }
}

fn option<T: Decode>(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<T>, DecodeError> {
    if reader.flag(what)? { Ok(Some(T::decode_from(reader)?)) } else { Ok(None) }
}

/// A site.
/// ```text
/// owner [32] | gateways n ≤ 8 × [32] | devices | changes        (LEB128)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The wallet that registers its devices.
    pub owner: PublicKey,
    /// The nodes that anchor its devices' readings, ascending; none says nothing about them.
    pub gateways: Vec<PublicKey>,
    /// Devices that were ever registered.
    pub devices: u32,
    /// How often a device of it changed.
    pub changes: u64,
}

impl Encode for Site {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.owner.encode_to(out);
        put_gateways(out, &self.gateways);
        put_varint(out, u64::from(self.devices));
        put_varint(out, self.changes);
    }
}

impl Decode for Site {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (owner, gateways) = (PublicKey::decode_from(reader)?, gateways(reader)?);
        let found = reader.varint("a site's devices")?;
        let devices = u32::try_from(found).ok().filter(|n| *n <= SITE_DEVICES_MAX).ok_or(DecodeError::OverLimit {
            what: "a site's devices",
            limit: SITE_DEVICES_MAX as usize,
            found,
        })?;
        Ok(Self { owner, gateways, devices, changes: reader.varint("a site's changes")? })
    }
}

/// A device.
/// ```text
/// owner [32] | role u8 | key [32]? | keys | key since | revoked u8 | thing [32]? | registered | changed     (LEB128)
/// ```
/// Times are heights of milestones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The wallet that registered it.
    pub owner: PublicKey,
    /// What it does for itself.
    pub role: Role,
    /// Its key: the last one, if it was revoked. A key exactly if its role has one.
    pub key: Option<PublicKey>,
    /// Which of its keys that is, from 1; 0 as long as it never had one.
    pub key_epoch: u64,
    /// Since which milestone.
    pub key_since: u64,
    /// Whether its registration has ended.
    pub revoked: bool,
    /// The hash of its Thing Description.
    pub thing: Option<Id>,
    /// The milestone that registered it.
    pub registered: u64,
    /// The milestone that changed it last.
    pub changed: u64,
}

impl Encode for Device {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.owner.encode_to(out);
        self.role.encode_to(out);
        put_option(out, self.key.as_ref());
        put_varint(out, self.key_epoch);
        put_varint(out, self.key_since);
        out.push(u8::from(self.revoked));
        put_option(out, self.thing.as_ref());
        put_varint(out, self.registered);
        put_varint(out, self.changed);
    }
}

impl Decode for Device {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let device = Self {
            owner: PublicKey::decode_from(reader)?,
            role: Role::decode_from(reader)?,
            key: option(reader, "a device's key")?,
            key_epoch: reader.varint("a device's key epoch")?,
            key_since: reader.varint("a device's key epoch")?,
            revoked: reader.flag("a device's revocation")?,
            thing: option(reader, "a Thing Description's hash")?,
            registered: reader.varint("a device's registration")?,
            changed: reader.varint("a device's last change")?,
        };
        match device.key.is_some() == device.role.has_key() {
            true => Ok(device),
            false => Err(DecodeError::Invalid("a device's key")),
        }
    }
}

/// A key that a device has, or had. It is never taken away: no key is registered twice.
/// ```text
/// device: site | ID | from | until?        (LEB128)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    /// Whose it is.
    pub device: DeviceName,
    /// The milestone that registered it.
    pub from: u64,
    /// The milestone that ended it: by another key, or by revoking the device.
    pub until: Option<u64>,
}

impl Encode for DeviceKey {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.device.encode_to(out);
        put_varint(out, self.from);
        match self.until {
            None => out.push(0),
            Some(until) => {
                out.push(1);
                put_varint(out, until);
            }
        }
    }
}

impl Decode for DeviceKey {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device: DeviceName::decode_from(reader)?,
            from: reader.varint("a device key's beginning")?,
            until: if reader.flag("a device key's end")? { Some(reader.varint("a device key's end")?) } else { None },
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn both_ways<T: Encode + Decode + PartialEq + Debug>(value: &T) {
        let bytes = value.encode();
        assert_eq!(T::decode(&bytes).as_ref(), Ok(value));
        for length in 0..bytes.len() {
            assert!(T::decode(bytes.get(..length).unwrap()).is_err(), "{length} bytes of {value:?}");
        }
    }

    fn device() -> Device {
        Device {
            owner: PublicKey([1; 32]),
            role: Role::Signer,
            key: Some(PublicKey([2; 32])),
            key_epoch: 3,
            key_since: 300,
            revoked: true,
            thing: Some(Id([4; 32])),
            registered: 5,
            changed: 600,
        }
    }

    #[test]
    fn records_are_read_back() {
        both_ways(&Site {
            owner: PublicKey([1; 32]),
            gateways: vec![PublicKey([1; 32]), PublicKey([2; 32])],
            devices: 65_536,
            changes: 1 << 40,
        });
        both_ways(&device());
        both_ways(&Device { role: Role::Unsigned, key: None, thing: None, revoked: false, ..device() });
        both_ways(&DeviceKey { device: "plant/meter".parse().unwrap(), from: 3, until: None });
        both_ways(&DeviceKey { device: "plant/meter".parse().unwrap(), from: 3, until: Some(300) });
    }

    #[test]
    fn records_that_contradict_themselves_are_refused() {
        let keyless = Device { key: None, ..device() };
        assert_eq!(Device::decode(&keyless.encode()), Err(DecodeError::Invalid("a device's key")));
        let keyed = Device { role: Role::Unsigned, ..device() };
        assert_eq!(Device::decode(&keyed.encode()), Err(DecodeError::Invalid("a device's key")));
        let crowded = Site { owner: PublicKey([1; 32]), gateways: vec![], devices: SITE_DEVICES_MAX + 1, changes: 0 };
        assert!(matches!(Site::decode(&crowded.encode()), Err(DecodeError::OverLimit { .. })));
        let unsorted = Site { gateways: vec![PublicKey([2; 32]), PublicKey([1; 32])], devices: 0, ..crowded };
        assert!(matches!(Site::decode(&unsorted.encode()), Err(DecodeError::NonCanonical(_))));
    }
}
