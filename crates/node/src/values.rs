//! Values of the state, as JSON shows them: the same words in the HTTP interface and in `wattle light`.

use ledger::{Account, Device, DeviceKey, Key, RETAINED_FULL, Site, Validator, Wallet};
use protocol::device::site_id;
use protocol::{Decode as _, DecodeError, DeviceName, Name, PublicKey};
use serde_json::{Value, json};

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// By a public key.
    Key(Kind, PublicKey),
    /// A site, by its name.
    Site(Name),
    /// A device, by its name.
    Device(DeviceName),
}

impl Subject {
    /// The key of the state.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Key(kind, of) => kind.key(*of),
            Self::Site(name) => Key::Site(site_id(name)),
            Self::Device(name) => Key::Device(name.id()),
        }
    }

    /// Its path under `/api/v1/state/`, not escaped.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Key(kind, of) => format!("{}/{of}", kind.plural()),
            Self::Site(name) => format!("sites/{name}"),
            Self::Device(name) => format!("devices/{name}"),
        }
    }

    /// What people call it: its kind, and which.
    pub(crate) fn title(&self) -> (&'static str, String) {
        match self {
            Self::Key(kind, of) => (kind.singular(), of.to_string()),
            Self::Site(name) => ("site", name.to_string()),
            Self::Device(name) => ("device", name.to_string()),
        }
    }

    /// A value of it.
    ///
    /// # Errors
    /// [`DecodeError`] if the value is of another kind, or a later version's.
    pub(crate) fn show(&self, value: &[u8]) -> Result<Value, DecodeError> {
        match self {
            Self::Key(kind, _) => kind.show(value),
            Self::Site(_) => {
                let Site { owner, gateways, devices, changes } = Site::decode(value)?;
                let gateways: Vec<String> = gateways.iter().map(PublicKey::to_string).collect();
                Ok(json!({ "owner": owner.to_string(), "gateways": gateways, "devices": devices, "changes": changes }))
            }
            Self::Device(_) => Device::decode(value).map(|device| device_json(&device)),
        }
    }
}

/// A device's record; times are heights of milestones.
pub(crate) fn device_json(device: &Device) -> Value {
    json!({
        "state": if device.revoked { "revoked" } else { "active" },
        "owner": device.owner.to_string(),
        "role": device.role.number(),
        "key": device.key.map(|key| key.to_string()),
        "key_epoch": device.key_epoch,
        "key_since": device.key_since,
        "thing": device.thing.map(|hash| hash.to_string()),
        "registered": device.registered,
        "changed": device.changed,
    })
}

/// What can be asked for by one public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Balance and State of a wallet.
    Wallet,
    /// A validator's name, address, stake and standing.
    Validator,
    /// What an issuer's messages did.
    Account,
    /// Whose a device's key is, and since when.
    DeviceKey,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Wallet, Self::Validator, Self::Account, Self::DeviceKey];

    /// Its name in paths.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Wallet => "wallets",
            Self::Validator => "validators",
            Self::Account => "accounts",
            Self::DeviceKey => "device-keys",
        }
    }

    /// Its name for people.
    const fn singular(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Validator => "validator",
            Self::Account => "account",
            Self::DeviceKey => "device key",
        }
    }

    /// The key of the state.
    pub(crate) const fn key(self, of: PublicKey) -> Key {
        match self {
            Self::Wallet => Key::Wallet(of),
            Self::Validator => Key::Validator(of),
            Self::Account => Key::Account(of),
            Self::DeviceKey => Key::DeviceKey(of),
        }
    }

    /// A value of this kind.
    ///
    /// # Errors
    /// [`DecodeError`] if the value is of another kind, or a later version's.
    pub(crate) fn show(self, value: &[u8]) -> Result<Value, DecodeError> {
        Ok(match self {
            Self::Wallet => {
                let Wallet { state, balance } = Wallet::decode(value)?;
                json!({ "balance": balance, "state": state.to_string() })
            }
            Self::Validator => {
                let validator = Validator::decode(value)?;
                json!({
                    "name": validator.name.as_str(),
                    "address": validator.address.as_ref().map(|a| a.as_str().to_owned()),
                    "stake": validator.stake,
                    "unbonding": validator.unbonding,
                    "slashed": validator.retained != RETAINED_FULL,
                    "jailed_until": validator.jailed_until,
                    "registered": validator.registered,
                })
            }
            Self::Account => {
                let Account { next_sequence, last, messages, readings, meter_us, epoch, voids } = Account::decode(value)?;
                json!({
                    "next_sequence": next_sequence,
                    "last": last.to_string(),
                    "messages": messages,
                    "readings": readings,
                    "meter_us": meter_us,
                    "epoch": epoch,
                    "voids": voids,
                })
            }
            Self::DeviceKey => {
                let DeviceKey { device, from, until } = DeviceKey::decode(value)?;
                json!({ "device": device.to_string(), "from": from, "until": until })
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Encode as _, Id, Name};

    #[test]
    fn every_kind_is_shown() {
        let wallet = Wallet { state: Id([1; 32]), balance: 7 };
        assert_eq!(Kind::Wallet.show(&wallet.encode()).unwrap()["balance"], 7);
        let validator = Validator { stake: 9, ..Validator::new(Name::new("n1").unwrap(), None) };
        let shown = Kind::Validator.show(&validator.encode()).unwrap();
        assert_eq!((&shown["name"], &shown["stake"], &shown["slashed"]), (&json!("n1"), &json!(9), &json!(false)));
        let account = Account { next_sequence: 3, last: Id([2; 32]), messages: 3, readings: 30, meter_us: 5, epoch: 1, voids: 0 };
        assert_eq!(Kind::Account.show(&account.encode()).unwrap()["readings"], 30);
        let key = DeviceKey { device: "z1/m1".parse().unwrap(), from: 3, until: Some(9) };
        assert_eq!(Kind::DeviceKey.show(&key.encode()).unwrap(), json!({ "device": "z1/m1", "from": 3, "until": 9 }));
        for kind in Kind::ALL {
            assert!(kind.show(&[]).is_err());
        }
    }

    #[test]
    fn sites_and_devices_are_asked_for_by_name() {
        let (site, device) = (Subject::Site(Name::new("z1").unwrap()), Subject::Device("z1/m1".parse().unwrap()));
        assert_eq!((site.path().as_str(), device.path().as_str()), ("sites/z1", "devices/z1/m1"));
        let record = Site { owner: PublicKey([1; 32]), gateways: vec![], devices: 2, changes: 5 };
        assert_eq!(site.show(&record.encode()).unwrap()["devices"], 2);
        assert!(device.show(&record.encode()).is_err(), "a site is no device");
        assert_ne!(site.key(), device.key());
    }
}
