//! What the executed state says of sites and devices.

use super::actor::{Core, CoreError};
use super::request::Request;
use crate::handle::{DEVICES_AT_ONCE_MAX, DeviceRecord, SiteChanges};
use crate::state::StateError;
use crate::store::Disk;
use commonware_runtime::Spawner;
use ledger::{DeviceKey, Key, MemoryStore, SITE_CHANGES_KEPT, Site, change_slot};
use protocol::device::site_id;
use protocol::{DeviceName, Id, Name, PublicKey};
use std::collections::BTreeSet;

impl<E: Disk + Spawner> Core<E> {
    /// Answers what is asked of sites and devices.
    pub(super) async fn answer_registry(&self, query: Request) -> Result<(), CoreError> {
        match query {
            Request::Site { name, reply } => drop(reply.send(self.site(site_id(&name)).await?)),
            Request::Device { name, reply } => drop(reply.send(self.device(name).await?)),
            Request::Devices { site, from, limit, reply } => drop(reply.send(self.devices(&site, from, limit).await?)),
            Request::SiteChanges { site, since, reply } => drop(reply.send(self.site_changes(&site, since).await?)),
            Request::DeviceKey { key, reply } => drop(reply.send(self.device_key(key).await?)),
            _ => {}
        }
        Ok(())
    }

    async fn registry_state(&self, keys: BTreeSet<Key>) -> Result<MemoryStore, CoreError> {
        Ok(self.state.read(self.executed.state.as_ref(), keys).await?)
    }

    async fn site(&self, site: Id) -> Result<Option<Site>, CoreError> {
        let state = self.registry_state(BTreeSet::from([Key::Site(site)])).await?;
        Ok(ledger::read_site(&state, site).map_err(StateError::from)?)
    }

    async fn device(&self, name: DeviceName) -> Result<Option<DeviceRecord>, CoreError> {
        Ok(self.records(vec![name]).await?.pop())
    }

    async fn device_key(&self, key: PublicKey) -> Result<Option<DeviceKey>, CoreError> {
        let state = self.registry_state(BTreeSet::from([Key::DeviceKey(key)])).await?;
        Ok(ledger::read_device_key(&state, key).map_err(StateError::from)?)
    }

    /// Those of the devices that were ever registered, in the order asked for.
    async fn records(&self, names: Vec<DeviceName>) -> Result<Vec<DeviceRecord>, CoreError> {
        let state = self.registry_state(names.iter().map(|name| Key::Device(name.id())).collect()).await?;
        let mut records = Vec::with_capacity(names.len());
        for name in names {
            if let Some(device) = ledger::read_device(&state, name.id()).map_err(StateError::from)? {
                records.push(DeviceRecord { name, device });
            }
        }
        Ok(records)
    }

    /// Devices of a site from number `from` on.
    async fn devices(&self, site: &Name, from: u32, limit: u32) -> Result<Vec<DeviceRecord>, CoreError> {
        let id = site_id(site);
        let Some(Site { devices, .. }) = self.site(id).await? else { return Ok(Vec::new()) };
        let end = from.saturating_add(limit.min(DEVICES_AT_ONCE_MAX)).min(devices);
        let state = self.registry_state((from..end).map(|n| Key::SiteDevice(id, n)).collect()).await?;
        let mut names = Vec::new();
        for number in from..end {
            let device = ledger::read_site_device(&state, id, number).map_err(StateError::from)?;
            names.extend(device.map(|device| DeviceName { site: site.clone(), device }));
        }
        self.records(names).await
    }

    /// What changed at a site after change number `since`.
    async fn site_changes(&self, site: &Name, since: u64) -> Result<Option<SiteChanges>, CoreError> {
        let id = site_id(site);
        let Some(record) = self.site(id).await? else { return Ok(None) };
        let missed = record.changes.saturating_sub(since);
        if missed > SITE_CHANGES_KEPT {
            return Ok(Some(SiteChanges { site: record, devices: None }));
        }
        let slots: BTreeSet<u8> = (since..record.changes).map(change_slot).collect();
        let state = self.registry_state(slots.iter().map(|slot| Key::SiteChange(id, *slot)).collect()).await?;
        let mut changed = BTreeSet::new();
        for slot in slots {
            let device = ledger::read_site_change(&state, id, slot).map_err(StateError::from)?;
            changed.extend(device.map(|device| DeviceName { site: site.clone(), device }));
        }
        let devices = self.records(changed.into_iter().collect()).await?;
        Ok(Some(SiteChanges { site: record, devices: Some(devices) }))
    }
}
