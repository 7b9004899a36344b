//! Devices that roam: who holds one, and how it goes from one site to the next (docs/spec/roaming.md).
//!
//! ```text
//! here, nobody knows it:   reading ─▶ arrived ─▶ "asked" ─visit─▶ ledger ─handover─▶ "here" ─▶ numbers open, luggage to its session
//! here, and it left:       ledger ─visit─▶ key closed, "leaving" ─▶ session out of the broker ─parcels, handover─▶ ledger ─▶ "gone"
//! ```
//! # Rules
//! - A device's key is open at one site at a time. It is closed before its numbers are told, and opened with them: so no number is
//!   taken at two sites (ROAM-4).
//! - A state is on the disk before anything follows from it. What was begun and not ended is done again after a start, without
//!   what the broker's memory had.
//! - A device of this site is at home while nothing is written of it.

mod guests;

pub(crate) use guests::Foreigners;

use super::Told;
use super::counters::{Counters, count};
use super::issuing::Jobs;
use crate::config::RoamingConfig;
use crate::devices::standing;
use crate::sqlite::{Store, StoreError};
use guests::{Guest, Room, State};
use mqtt::{Arrival, Broker, Ingress, Luggage, Registered, Waiting};
use protocol::exchange::{Departure, Parcel, Record, Visit};
use protocol::limits::PARCELS_MAX;
use protocol::{DeviceName, Name, PublicKey};
use replica::Handle;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Arrivals that may wait.
const ARRIVALS_MAX: usize = 256;
/// Devices of other sites that may be here, or are remembered. The sites that may send some share them.
const GUESTS_MAX: usize = 16_384;
/// A visit that is not answered is told again after this, when the device publishes, in milliseconds.
const ASK_AGAIN_MS: u64 = 10_000;
/// How often it is looked whether a device can leave, or is there to be given what waits.
const LOOK: Duration = Duration::from_millis(100);
/// The pause after the ledger took nothing, or the store failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What it is made of.
pub(super) struct Parts {
    pub(super) site: Name,
    pub(super) me: PublicKey,
    pub(super) settings: RoamingConfig,
    pub(super) ledger: Handle,
    pub(super) store: Arc<Store>,
    pub(super) jobs: Jobs,
    pub(super) counters: Arc<Counters>,
    pub(super) foreigners: Foreigners,
}

/// Knows which devices are away, and which visit.
pub(crate) struct Roaming {
    site: Name,
    me: PublicKey,
    hosts: Vec<Name>,
    visitors: Vec<Name>,
    ledger: Handle,
    store: Arc<Store>,
    jobs: Jobs,
    counters: Arc<Counters>,
    foreigners: Foreigners,
    guests: Mutex<HashMap<DeviceName, Guest>>,
    /// Held by whoever decides what a device is and writes it.
    deciding: tokio::sync::Mutex<()>,
    ingress: OnceLock<Arc<Ingress>>,
    arrivals: mpsc::Sender<Arrival>,
    arrived: Mutex<Option<mpsc::Receiver<Arrival>>>,
}

impl Roaming {
    /// Reads what is written of devices.
    pub(super) async fn open(parts: Parts) -> Result<Self, StoreError> {
        let Parts { site, me, settings, ledger, store, jobs, counters, foreigners } = parts;
        let guests = store.transact(guests::all).await?;
        let (arrivals, arrived) = mpsc::channel(ARRIVALS_MAX);
        let roaming = Self {
            site,
            me,
            hosts: settings.hosts(),
            visitors: settings.visitors(),
            ledger,
            store,
            jobs,
            counters,
            foreigners,
            guests: Mutex::new(guests),
            deciding: tokio::sync::Mutex::new(()),
            ingress: OnceLock::new(),
            arrivals,
            arrived: Mutex::new(Some(arrived)),
        };
        roaming.count();
        Ok(roaming)
    }

    /// The sites whose devices are taken here.
    pub(crate) fn visitors(&self) -> Vec<Name> {
        self.visitors.clone()
    }

    /// Where the ingress tells who has come.
    pub(crate) fn arrivals(&self) -> mpsc::Sender<Arrival> {
        self.arrivals.clone()
    }

    /// Closes and opens keys as it is written. To be called before anybody can publish.
    pub(crate) fn attach(&self, ingress: &Arc<Ingress>) {
        if let Some(identities) = ingress.identities() {
            for guest in self.guests().values() {
                // also of one that is away the numbers count: they go along
                identities.replays().open(guest.key, guest.greatest, guest.taken);
                if guest.state != State::Here {
                    identities.replays().close(guest.key);
                }
            }
        }
        let _ = self.ingress.set(ingress.clone()); // it is set once
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<DeviceName, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guest(&self, device: &DeviceName) -> Option<Guest> {
        self.guests().get(device).cloned()
    }

    /// Writes what a device is, then believes it.
    async fn set(&self, device: &DeviceName, guest: Guest) -> Result<(), StoreError> {
        let (name, row) = (device.clone(), guest.clone());
        self.store.transact(move |t| guests::put(t, &name, &row)).await?;
        self.guests().insert(device.clone(), guest);
        self.count();
        Ok(())
    }

    fn count(&self) {
        let (mut visitors, mut away) = (0, 0);
        for (device, guest) in self.guests().iter() {
            let own = device.site == self.site;
            visitors += u64::from(!own && guest.state == State::Here);
            away += u64::from(own && matches!(guest.state, State::Leaving | State::Gone));
        }
        self.counters.visitors.store(visitors, Ordering::Relaxed);
        self.counters.away.store(away, Ordering::Relaxed);
    }

    /// Whether a node may speak for a site: its owner named it.
    async fn speaks_for(&self, node: PublicKey, site: &Name) -> bool {
        if *site == self.site && node == self.me {
            return true;
        }
        self.ledger.site(site.clone()).await.is_some_and(|known| known.gateways.contains(&node))
    }

    /// Whether a node speaks for a site that may have held the device: its home, a host, for a device of another site also a
    /// site whose devices come here.
    async fn is_known(&self, node: PublicKey, device: &DeviceName) -> bool {
        let visitors: &[Name] = if device.site == self.site { &[] } else { &self.visitors };
        for site in [&device.site].into_iter().chain(&self.hosts).chain(visitors) {
            if self.speaks_for(node, site).await {
                return true;
            }
        }
        false
    }

    /// A site says that a device is there. If we hold it, it leaves.
    pub(super) async fn visit(&self, from: Told, visit: &Visit) -> Result<(), StoreError> {
        let (device, id) = (&visit.device, visit.id());
        if visit.at == self.site {
            return Ok(());
        }
        let _deciding = self.deciding.lock().await;
        let guest = self.guest(device);
        let own = device.site == self.site;
        let held = match &guest {
            None => own,
            // after a rotation the device has come back under a key of which nothing is written
            Some(guest) if guest.key != visit.key => own,
            Some(guest) => guest.state == State::Here,
        };
        let welcome = self.hosts.contains(&visit.at) || visit.at == device.site;
        if !held || !welcome || !self.speaks_for(from.issuer, &visit.at).await || !self.signs_with(device, visit.key).await {
            tracing::debug!(%device, at = %visit.at, held, welcome, "a visit is not for us, or not believed");
            return Ok(());
        }
        tracing::info!(%device, at = %visit.at, "a device has gone to another site");
        if let Some(identities) = self.ingress.get().and_then(|ingress| ingress.identities()) {
            identities.replays().close(visit.key);
        }
        let guest = guest.unwrap_or_default();
        let before = guest.visit;
        // what waited for it here, and was not given to it, goes with it
        self.store.transact(move |t| guests::move_parcels(t, before, id)).await?;
        let leaving = Guest { key: visit.key, state: State::Leaving, place: visit.at.to_string(), visit: id, ..guest };
        self.set(device, leaving).await
    }

    /// Whether the registry has this key for a device now.
    async fn signs_with(&self, device: &DeviceName, key: PublicKey) -> bool {
        let registered = self.ledger.device(device.clone()).await.map(|record| standing(&record));
        registered == Some(Registered::Signs(key))
    }

    /// A message that waited for a device elsewhere.
    pub(super) async fn parcel(&self, from: Told, parcel: &Parcel) -> Result<(), StoreError> {
        let device =
            self.guests().iter().find(|(_, g)| g.state == State::Asked && g.visit == parcel.visit).map(|(device, _)| device.clone());
        let Some(device) = device else { return Ok(()) };
        if usize::from(parcel.index) >= PARCELS_MAX || !self.is_known(from.issuer, &device).await {
            return Ok(());
        }
        let parcel = parcel.clone();
        self.store.transact(move |t| guests::put_parcel(t, &parcel, from.issuer)).await
    }

    /// The site that held a device hands it over.
    pub(super) async fn handover(&self, from: Told, departure: &Departure) -> Result<(), StoreError> {
        let Departure { visit, device, key, greatest, taken, filters, .. } = departure;
        let _deciding = self.deciding.lock().await;
        let Some(guest) = self.guest(device) else { return Ok(()) };
        if guest.state != State::Asked || guest.visit != *visit || guest.key != *key || !self.is_known(from.issuer, device).await {
            return Ok(());
        }
        tracing::info!(%device, messages = departure.parcels, "a device was handed over to this site");
        let (id, parcels) = (*visit, departure.parcels);
        self.store.transact(move |t| guests::keep_parcels(t, id, from.issuer, parcels)).await?;
        let here = Guest { state: State::Here, greatest: *greatest, taken: *taken, filters: filters.clone(), luggage: true, ..guest };
        self.set(device, here).await?;
        if let Some(identities) = self.ingress.get().and_then(|ingress| ingress.identities()) {
            identities.replays().open(*key, *greatest, *taken);
        }
        Ok(())
    }

    /// Does what is to be done, for ever.
    pub(super) async fn run(self: Arc<Self>, broker: Arc<dyn Broker>) {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut arrived) = arrived else { return };
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                Some(arrival) = arrived.recv() => self.arrival(&arrival).await,
                _ = look.tick() => self.look(broker.as_ref()).await,
            };
            if let Err(why) = done {
                tracing::error!("devices that roam wait: {why}");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// A device published here that is elsewhere as far as is known: whoever holds it is asked for it.
    async fn arrival(&self, arrival: &Arrival) -> Result<(), StoreError> {
        let Arrival { device, key } = arrival;
        let _deciding = self.deciding.lock().await;
        let now_us = super::now_us();
        let known = device.site == self.site || self.foreigners.has(&device.site);
        let before = self.guest(device);
        let full = known && before.is_none() && !self.make_room(&device.site).await?;
        let asked = match before.clone() {
            _ if !known => return Ok(()),
            Some(guest) if guest.key == *key => match guest.state {
                // it was opened meanwhile, or is on its way out: it publishes again
                State::Here | State::Leaving => return Ok(()),
                State::Asked if now_us / 1_000 < guest.since_ms.saturating_add(ASK_AGAIN_MS) => return Ok(()),
                State::Asked => Guest { since_ms: now_us / 1_000, ..guest },
                State::Gone => Guest::asked(*key, &self.site, now_us),
            },
            None if full => {
                tracing::warn!(%device, "a device is not taken: there are too many of others, or of its home");
                return Ok(());
            }
            _ => Guest::asked(*key, &self.site, now_us),
        };
        if let Some(old) = before.filter(|old| old.key != *key) {
            // nobody asks for what waited under the old key any more
            self.store.transact(move |t| guests::drop_parcels(t, old.visit)).await?;
        }
        let visit = Visit { device: device.clone(), key: *key, at: self.site.clone(), time_us: asked.asked_us };
        self.set(device, Guest { visit: visit.id(), ..asked }).await?;
        tracing::info!(%device, "a device has come");
        if !self.jobs.mention(Record::Visit(visit)) {
            count(&self.counters.dropped);
        }
        Ok(())
    }

    /// Makes room for a further device of `home`; false if there is none.
    async fn make_room(&self, home: &Name) -> Result<bool, StoreError> {
        let share = GUESTS_MAX / self.visitors.len().max(1);
        let room = guests::room(&self.guests(), &self.site, home, (GUESTS_MAX, share));
        let device = match room {
            Room::Free => return Ok(true),
            Room::None => return Ok(false),
            Room::InPlaceOf(device) => device,
        };
        let row = device.clone();
        self.store.transact(move |t| guests::remove(t, &row)).await?;
        self.guests().remove(&device);
        Ok(true)
    }

    /// Lets those go that leave, and gives those that have come what waits for them.
    async fn look(&self, broker: &dyn Broker) -> Result<(), StoreError> {
        let busy = |g: &Guest| g.state == State::Leaving || (g.state == State::Here && g.luggage);
        let all: Vec<(DeviceName, Guest)> = self.guests().iter().filter(|(_, g)| busy(g)).map(|(d, g)| (d.clone(), g.clone())).collect();
        for (device, guest) in all {
            match guest.state {
                State::Leaving => self.leave(broker, &device, guest).await?,
                _ => self.give(broker, &device).await?,
            }
        }
        Ok(())
    }

    /// Hands a device over, once nothing of it is being written any more. Nobody else decides of one that leaves, but that it has
    /// another key meanwhile and leaves under that.
    async fn leave(&self, broker: &dyn Broker, device: &DeviceName, guest: Guest) -> Result<(), StoreError> {
        let identities = self.ingress.get().and_then(|ingress| ingress.identities());
        let Some((greatest, taken)) = identities.and_then(|identities| identities.replays().window(guest.key)) else { return Ok(()) };
        let visit = guest.visit;
        let mut luggage = self.store.transact(move |t| guests::parcels(t, visit)).await?;
        let fresh = broker.depart(device).await;
        let Luggage { mut filters, messages, mut left } = fresh;
        if guest.luggage {
            let more: Vec<_> = guest.filters.iter().filter(|f| !filters.contains(f)).cloned().collect();
            filters.extend(more);
            filters.truncate(protocol::limits::HANDOVER_FILTERS_MAX);
        }
        luggage.extend(messages);
        left = left.saturating_add(luggage.len().saturating_sub(PARCELS_MAX) as u64);
        luggage.truncate(PARCELS_MAX);
        let parcels = u16::try_from(luggage.len()).unwrap_or(u16::MAX);
        for (index, Waiting { topic, qos, payload }) in (0u16..).zip(luggage) {
            self.say(Record::Parcel(Parcel { visit, index, qos, topic, payload })).await;
        }
        let key = guest.key;
        self.say(Record::Handover(Departure { visit, device: device.clone(), key, greatest, taken, filters, parcels, left })).await;
        count(&self.counters.handed_over);
        let _deciding = self.deciding.lock().await;
        if self.guest(device).is_none_or(|now| now.visit != visit) {
            return Ok(());
        }
        self.store.transact(move |t| guests::drop_parcels(t, visit)).await?;
        self.set(device, Guest { state: State::Gone, filters: Vec::new(), luggage: false, greatest, taken, ..guest }).await
    }

    /// Puts a record on the ledger, however often it takes.
    async fn say(&self, record: Record) {
        while self.jobs.issue(record.clone(), None).await.is_none() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Gives a device that is here what it had elsewhere, once it is connected.
    async fn give(&self, broker: &dyn Broker, device: &DeviceName) -> Result<(), StoreError> {
        let _deciding = self.deciding.lock().await;
        let Some(guest) = self.guest(device).filter(|guest| guest.state == State::Here) else { return Ok(()) };
        let visit = guest.visit;
        let messages = self.store.transact(move |t| guests::parcels(t, visit)).await?;
        let luggage = Luggage { filters: guest.filters.clone(), messages, left: 0 };
        let nothing = luggage.filters.is_empty() && luggage.messages.is_empty();
        if !nothing && !broker.arrive(device, &luggage).await {
            return Ok(());
        }
        self.counters.parcels.fetch_add(luggage.messages.len() as u64, Ordering::Relaxed);
        self.store.transact(move |t| guests::drop_parcels(t, visit)).await?;
        self.set(device, Guest { filters: Vec::new(), luggage: false, ..guest }).await
    }
}
