//! Sites and devices, as the executed state has them.

use super::Handle;
use crate::core::Request;
use ledger::{Device, DeviceKey, Site};
use protocol::{DeviceName, Name, PublicKey};

/// Devices in one answer.
pub const DEVICES_AT_ONCE_MAX: u32 = 1024;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// What it is called.
    pub name: DeviceName,
    /// What the ledger holds of it.
    pub device: Device,
}

/// What changed at a site since somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteChanges {
    /// The site; its `changes` is where a further question goes on.
    pub site: Site,
    /// The devices that changed, each once; `None` if more changed than the ledger remembers: read all of them.
    pub devices: Option<Vec<DeviceRecord>>,
}

impl Handle {
    /// A site that somebody has; `None` if nobody has it, or the replica has stopped.
    pub async fn site(&self, name: Name) -> Option<Site> {
        self.ask(|reply| Request::Site { name, reply }).await.flatten()
    }

    /// A device that was ever registered; `None` if it never was, or the replica has stopped. Its proof: [`Handle::state_proof`]
    /// of [`ledger::Key::Device`].
    pub async fn device(&self, name: DeviceName) -> Option<DeviceRecord> {
        self.ask(|reply| Request::Device { name, reply }).await.flatten()
    }

    /// The devices of a site from number `from` on, in the order of their registration, at most `limit` and
    /// [`DEVICES_AT_ONCE_MAX`]; `None` if the replica has stopped.
    pub async fn devices(&self, site: Name, from: u32, limit: u32) -> Option<Vec<DeviceRecord>> {
        self.ask(|reply| Request::Devices { site, from, limit, reply }).await
    }

    /// What changed at a site after its change number `since`; `None` if nobody has the site, or the replica has stopped.
    pub async fn site_changes(&self, site: Name, since: u64) -> Option<SiteChanges> {
        self.ask(|reply| Request::SiteChanges { site, since, reply }).await.flatten()
    }

    /// What is known of a key that is, or was, a device's; `None` if it never was, or the replica has stopped.
    pub async fn device_key(&self, key: PublicKey) -> Option<DeviceKey> {
        self.ask(|reply| Request::DeviceKey { key, reply }).await.flatten()
    }
}
