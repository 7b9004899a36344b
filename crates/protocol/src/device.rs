//! Devices as the registry on the ledger knows them: names, roles, and proofs that somebody holds a device's key.
//!
//! ```text
//! site, ID ─ registered by the site's owner ─▶ role, key, Thing Description, state      (docs/spec/devices.md)
//! ```
//! # Rules
//! - A key enters the registry only with a [`Credential`]: its own signature for this device, this owner and this
//!   network. So nobody registers the key of somebody else.
//! - A device's id and a site's id are hashes of their names: what the state is asked for.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::keys::{Id, NetworkId, PublicKey, SecretKey, Signature};
use crate::limits::GATEWAYS_MAX;
use crate::topic::{DeviceTopic, Name, NameError};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use thiserror::Error;

const POSSESSION: &[u8] = b"wattle/device-key/v1/";
const DEVICE_DOMAIN: &[u8] = b"wattle/device/v1";
const SITE_DOMAIN: &[u8] = b"wattle/site/v1";
const THING_DOMAIN: &[u8] = b"wattle/thing/v1";

/// Why text does not name a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceNameError {
    /// Not two names.
    #[error("a device is named site/ID")]
    Shape,
    /// A level is not a name.
    #[error("its {level} is not valid: {why}")]
    Name {
        /// Which level.
        level: &'static str,
        /// What is wrong with it.
        why: NameError,
    },
}

/// What a device is called on the whole network: `site/ID`. The ID is what follows the last slash: a site may have several
/// levels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    /// The place, by [`Name::site`].
    pub site: Name,
    /// The device's ID within the site.
    pub device: Name,
}

impl DeviceName {
    /// The device that publishes on a topic.
    #[must_use]
    pub fn of(topic: &DeviceTopic) -> Self {
        Self { site: topic.site.clone(), device: topic.device.clone() }
    }

    /// The hash that stands for it in the state.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::hash(&[DEVICE_DOMAIN, &self.encode()])
    }
}

/// The hash that stands for a site in the state.
#[must_use]
pub fn site_id(site: &Name) -> Id {
    Id::hash(&[SITE_DOMAIN, &site.encode()])
}

/// The hash of a Thing Description, over its bytes as they are.
#[must_use]
pub fn thing_hash(description: &[u8]) -> Id {
    Id::hash(&[THING_DOMAIN, description])
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.device)
    }
}

impl FromStr for DeviceName {
    type Err = DeviceNameError;
    fn from_str(s: &str) -> Result<Self, DeviceNameError> {
        let (site, device) = s.rsplit_once('/').ok_or(DeviceNameError::Shape)?;
        let wrong = |level| move |why| DeviceNameError::Name { level, why };
        Ok(Self { site: Name::site(site).map_err(wrong("site"))?, device: Name::new(device).map_err(wrong("device ID"))? })
    }
}

impl Encode for DeviceName {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.site.encode_to(out);
        self.device.encode_to(out);
    }
}

impl Decode for DeviceName {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { site: Name::decode_site(reader)?, device: Name::decode_from(reader)? })
    }
}

/// What a device does for itself (mission M19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Role 1: no cryptography. Its gateway is trusted to say what it published.
    Unsigned,
    /// Role 2: it signs its readings, nodes keep them.
    Signer,
    /// Role 3: a full node with a key of its own.
    Node,
}

impl Role {
    /// Every role, in order.
    pub const ALL: [Self; 3] = [Self::Unsigned, Self::Signer, Self::Node];

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Unsigned => 1,
            Self::Signer => 2,
            Self::Node => 3,
        }
    }

    /// The role of a number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    /// Whether a device of this role has a key.
    #[must_use]
    pub const fn has_key(self) -> bool {
        !matches!(self, Self::Unsigned)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signer => "signer",
            Self::Node => "node",
        }
    }
}

impl Encode for Role {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }
}

impl Decode for Role {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.byte("a device's role")?;
        Self::of(tag).ok_or(DecodeError::UnknownTag { what: "a device's role", tag })
    }
}

/// A device's key, and the proof that whoever offers it holds the secret half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The key.
    pub key: PublicKey,
    /// The key's signature over device and owner, under `"wattle/device-key/v1/" ‖ network id`.
    pub possession: Signature,
}

fn possession_namespace(network: &NetworkId) -> Vec<u8> {
    [POSSESSION, &network.0].concat()
}

fn possession_bytes(device: &DeviceName, owner: &PublicKey) -> Vec<u8> {
    let mut out = device.encode();
    owner.encode_to(&mut out);
    out
}

impl Credential {
    /// The credential of `key` for a device that `owner` registers.
    #[must_use]
    pub fn sign(network: &NetworkId, key: &SecretKey, device: &DeviceName, owner: &PublicKey) -> Self {
        let possession = key.sign(&possession_namespace(network), &possession_bytes(device, owner));
        Self { key: key.public_key(), possession }
    }

    /// Whether the signature is the key's, for this device and this owner.
    #[must_use]
    pub fn verify(&self, network: &NetworkId, device: &DeviceName, owner: &PublicKey) -> bool {
        self.key.verify(&possession_namespace(network), &possession_bytes(device, owner), &self.possession)
    }
}

impl Encode for Credential {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.key.encode_to(out);
        self.possession.encode_to(out);
    }
}

impl Decode for Credential {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { key: PublicKey::decode_from(reader)?, possession: Signature::decode_from(reader)? })
    }
}

/// Appends the keys of a site's gateways.
pub fn put_gateways(out: &mut Vec<u8>, gateways: &[PublicKey]) {
    crate::codec::put_varint(out, gateways.len() as u64);
    gateways.iter().for_each(|key| key.encode_to(out));
}

/// Takes the keys of a site's gateways: [`GATEWAYS_MAX`] at most, strictly ascending.
///
/// # Errors
/// [`DecodeError`] if they are not.
pub fn gateways(reader: &mut Reader<'_>) -> Result<Vec<PublicKey>, DecodeError> {
    let n = reader.length(GATEWAYS_MAX, 32, "a site's gateways")?;
    let keys = (0..n).map(|_| PublicKey::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
    match keys.is_sorted_by(|a, b| a < b) {
        true => Ok(keys),
        false => Err(DecodeError::NonCanonical("a site's gateways")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_device_is_named_by_its_site_and_its_id() {
        let name: DeviceName = "plant/meter-1".parse().unwrap();
        assert_eq!(name.to_string(), "plant/meter-1");
        assert_eq!(DeviceName::decode(&name.encode()).as_ref(), Ok(&name));
        assert_eq!(DeviceName::of(&"plant/meter-1/sense/power".parse().unwrap()), name);
        assert_eq!("plant".parse::<DeviceName>(), Err(DeviceNameError::Shape));
        for bad in ["", "/", "plant/", "/meter", "plant//b", "plant/act/b", "plant/+", "$x/a"] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad}");
        }
        let name: DeviceName = "agg1/loc1/meter-1".parse().unwrap();
        assert_eq!((name.site.as_str(), name.device.as_str(), name.to_string().as_str()), ("agg1/loc1", "meter-1", "agg1/loc1/meter-1"));
        assert_eq!(DeviceName::decode(&name.encode()).as_ref(), Ok(&name));
        assert_ne!(name.id(), "agg1/loc1-/meter-1".parse::<DeviceName>().unwrap().id());
    }

    #[test]
    fn names_that_are_joined_otherwise_are_other_devices() {
        let id = |text: &str| text.parse::<DeviceName>().unwrap().id();
        assert_ne!(id("ab/c"), id("a/bc"));
        assert_ne!(site_id(&Name::new("ab").unwrap()), Id::hash(&[b"wattle/device/v1", &Name::new("ab").unwrap().encode()]));
        assert_ne!(thing_hash(b"{}"), thing_hash(b"{ }"));
    }

    #[test]
    fn roles_have_numbers() {
        for role in Role::ALL {
            assert_eq!(Role::of(role.number()), Some(role));
            assert_eq!(Role::decode(&role.encode()), Ok(role));
        }
        for number in [0, 4, 255] {
            assert_eq!(Role::decode(&[number]), Err(DecodeError::UnknownTag { what: "a device's role", tag: number }));
        }
        assert_eq!(Role::ALL.map(Role::has_key), [false, true, true]);
    }

    #[test]
    fn a_credential_is_for_one_device_one_owner_and_one_network() {
        let (network, owner) = (NetworkId([7; 32]), PublicKey([9; 32]));
        let device: DeviceName = "plant/meter-1".parse().unwrap();
        let key = SecretKey::from_seed(&[3; 32]);
        let credential = Credential::sign(&network, &key, &device, &owner);
        assert!(credential.verify(&network, &device, &owner));
        assert!(!credential.verify(&NetworkId([8; 32]), &device, &owner));
        assert!(!credential.verify(&network, &"plant/meter-2".parse().unwrap(), &owner));
        assert!(!credential.verify(&network, &device, &PublicKey([8; 32])));
        let other = SecretKey::from_seed(&[4; 32]).public_key();
        assert!(!Credential { key: other, ..credential }.verify(&network, &device, &owner));
        assert_eq!(Credential::decode(&credential.encode()), Ok(credential));
    }

    #[test]
    fn gateways_are_few_and_ascending() {
        let keys = |n: u8| (0..n).map(|i| PublicKey([i; 32])).collect::<Vec<_>>();
        let read = |keys: &[PublicKey]| {
            let mut out = Vec::new();
            put_gateways(&mut out, keys);
            let mut reader = Reader::new(&out);
            gateways(&mut reader)
        };
        assert_eq!(read(&keys(8)), Ok(keys(8)));
        assert_eq!(read(&[]), Ok(Vec::new()));
        assert!(read(&keys(9)).is_err());
        assert_eq!(read(&[PublicKey([1; 32]), PublicKey([1; 32])]), Err(DecodeError::NonCanonical("a site's gateways")));
    }
}
