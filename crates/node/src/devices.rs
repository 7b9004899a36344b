//! What the ledger says of the site's devices, at hand for every publish.
//!
//! ```text
//! ledger ─ milestone that may hold orders ─▶ follow ─ what changed ─▶ map ◀─ registered ─ ingress
//! ```
//! # Rules
//! - The ledger is the truth; this is what a publish can ask without waiting. A change is here some milliseconds after the
//!   milestone that executed it.
//! - The site's broker keeps out what is revoked, and closes its connection.
//! - Nothing is lost by falling behind: what changed is asked by the site's own count of changes, and if more changed than
//!   the ledger remembers, everything is read again.

use mqtt::{Broker, Registered};
use protocol::{DeviceTopic, Name, PublicKey, Role};
use replica::{DEVICES_AT_ONCE_MAX, DeviceRecord, Event, Handle, SiteChanges};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

/// Events that may wait before the subscription is lost; then everything is compared.
const EVENTS_MAX: usize = 1024;

/// The devices of one site.
#[derive(Debug)]
pub(crate) struct Devices {
    site: Name,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How many changes of the site are in the map.
    changes: u64,
    devices: HashMap<Name, Registered>,
}

impl Known {
    fn take(&mut self, record: DeviceRecord) {
        let registered = standing(&record);
        self.devices.insert(record.name.device, registered);
    }
}

/// What a record asks of a device's publishes.
pub(crate) fn standing(record: &DeviceRecord) -> Registered {
    let device = &record.device;
    match (device.revoked, device.role, device.key) {
        (true, _, _) => Registered::Revoked,
        (false, Role::Signer | Role::Node, Some(key)) => Registered::Signs(key),
        _ => Registered::Unsigned,
    }
}

impl Devices {
    /// The devices of `site`, as the ledger has them now.
    pub(crate) async fn load(ledger: &Handle, site: Name) -> Self {
        let devices = Self { site, known: RwLock::default() };
        devices.refresh(ledger).await;
        devices
    }

    /// What is known of the device of a topic of this site.
    pub(crate) fn registered(&self, topic: &DeviceTopic) -> Registered {
        self.device(&topic.device)
    }

    /// What is known of the site's device with this ID.
    pub(crate) fn device(&self, id: &Name) -> Registered {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.devices.get(id).copied().unwrap_or(Registered::Unknown)
    }

    /// The keys that devices have now.
    pub(crate) fn keys(&self) -> HashSet<PublicKey> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let key = |registered: &Registered| match registered {
            Registered::Signs(key) => Some(*key),
            _ => None,
        };
        known.devices.values().filter_map(key).collect()
    }

    /// Follows the ledger until it stops. `broker` keeps out who is revoked.
    pub(crate) async fn follow(&self, ledger: Handle, broker: Option<Arc<dyn Broker>>) {
        let mut barred = HashSet::new();
        while let Some(mut events) = ledger.subscribe(EVENTS_MAX).await {
            // what changed before the subscription
            self.refresh(&ledger).await;
            self.bar(broker.as_deref(), &mut barred).await;
            while let Some(event) = events.recv().await {
                let Event::Milestone { confirmed, .. } = event else { continue };
                // a message that anchors readings carries no orders
                if confirmed.iter().any(|message| message.readings == 0) {
                    self.refresh(&ledger).await;
                    self.bar(broker.as_deref(), &mut barred).await;
                }
            }
        }
    }

    /// Has the broker keep out who is revoked now, and let in who is not any more.
    async fn bar(&self, broker: Option<&dyn Broker>, barred: &mut HashSet<Name>) {
        let Some(broker) = broker else { return };
        let revoked: HashSet<Name> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let revoked = known.devices.iter().filter(|(_, registered)| matches!(registered, Registered::Revoked));
            revoked.map(|(name, _)| name.clone()).collect()
        };
        for device in revoked.difference(barred) {
            broker.bar(device, true).await;
        }
        for device in barred.difference(&revoked) {
            broker.bar(device, false).await;
        }
        *barred = revoked;
    }

    /// Takes over what changed.
    async fn refresh(&self, ledger: &Handle) {
        let since = self.known.read().unwrap_or_else(PoisonError::into_inner).changes;
        let Some(SiteChanges { site, devices }) = ledger.site_changes(self.site.clone(), since).await else {
            return; // nobody has the site
        };
        let records = match devices {
            Some(devices) => devices,
            None => match self.all(ledger, site.devices).await {
                Some(devices) => devices,
                None => return,
            },
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        records.into_iter().for_each(|record| known.take(record));
        // what changed while the records were read comes again with the next question
        known.changes = site.changes;
    }

    /// Every device; `None` if the ledger stopped.
    async fn all(&self, ledger: &Handle, count: u32) -> Option<Vec<DeviceRecord>> {
        let mut records = Vec::new();
        let mut from = 0;
        while from < count {
            records.extend(ledger.devices(self.site.clone(), from, DEVICES_AT_ONCE_MAX).await?);
            from = from.saturating_add(DEVICES_AT_ONCE_MAX);
        }
        Some(records)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ledger::Device;

    #[test]
    fn a_record_decides_what_a_publish_must_be() {
        let key = PublicKey([2; 32]);
        let device = Device {
            owner: PublicKey([1; 32]),
            role: Role::Signer,
            key: Some(key),
            key_epoch: 1,
            key_since: 1,
            revoked: false,
            thing: None,
            registered: 1,
            changed: 1,
        };
        let record = |device| DeviceRecord { name: "z1/m1".parse().unwrap(), device };
        assert_eq!(standing(&record(device.clone())), Registered::Signs(key));
        assert_eq!(standing(&record(Device { role: Role::Node, ..device.clone() })), Registered::Signs(key));
        assert_eq!(standing(&record(Device { revoked: true, ..device.clone() })), Registered::Revoked);
        assert_eq!(standing(&record(Device { role: Role::Unsigned, key: None, ..device })), Registered::Unsigned);
    }
}
