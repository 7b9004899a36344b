//! What is written of devices that roam, and whom the registry knows at the sites whose devices may come.

use crate::devices::Devices;
use crate::sqlite::signed;
use mqtt::{Registered, Waiting};
use protocol::exchange::Parcel;
use protocol::limits::PARCELS_MAX;
use protocol::{DeviceName, DeviceTopic, Id, Name, PublicKey};
use replica::Handle;
use rusqlite::{Transaction, params};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Where a device is, as this site sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It has come, and whoever holds it is asked for it.
    #[default]
    Asked,
    /// This site holds it.
    Here,
    /// It has gone, and is to be handed over.
    Leaving,
    /// It was handed over.
    Gone,
}

impl State {
    const ALL: [Self; 4] = [Self::Asked, Self::Here, Self::Leaving, Self::Gone];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Here => "here",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        }
    }
}

/// What is known of a device that roams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    /// Its key.
    pub(super) key: PublicKey,
    /// Where it is.
    pub(super) state: State,
    /// The site where it is, or to which it goes.
    pub(super) place: String,
    /// The visit that this follows from.
    pub(super) visit: Id,
    /// When it came here, in microseconds since 1970: part of the visit.
    pub(super) asked_us: u64,
    /// When its holder was last asked, in milliseconds since 1970.
    pub(super) since_ms: u64,
    /// The numbers that were taken when it was handed over.
    pub(super) greatest: u64,
    /// The same, bit by bit.
    pub(super) taken: u64,
    /// What it had subscribed to elsewhere, and has not been given back.
    pub(super) filters: Vec<(String, u8)>,
    /// Whether it is to be given something. After a start it is looked up.
    pub(super) luggage: bool,
}

impl Default for Guest {
    fn default() -> Self {
        let (key, visit) = (PublicKey([0; 32]), Id([0; 32]));
        let (state, place, filters) = (State::default(), String::new(), Vec::new());
        Self { key, state, place, visit, asked_us: 0, since_ms: 0, greatest: 0, taken: 0, filters, luggage: false }
    }
}

impl Guest {
    /// One that has just come.
    pub(super) fn asked(key: PublicKey, place: &Name, now_us: u64) -> Self {
        Self { key, place: place.to_string(), asked_us: now_us, since_ms: now_us / 1_000, ..Self::default() }
    }
}

/// Everything that is written.
pub(super) fn all(t: &Transaction<'_>) -> rusqlite::Result<HashMap<DeviceName, Guest>> {
    let sql = "SELECT device, key, state, place, visit, greatest, taken, filters, asked_us, since_ms FROM guests";
    let mut statement = t.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut guests = HashMap::new();
    while let Some(r) = rows.next()? {
        let (device, state, filters): (String, String, String) = (r.get(0)?, r.get(2)?, r.get(7)?);
        let state = State::ALL.into_iter().find(|s| s.as_str() == state);
        let (Ok(device), Some(state)) = (device.parse::<DeviceName>(), state) else {
            tracing::warn!(device, "what is written of a device that roams cannot be read");
            continue;
        };
        let guest = Guest {
            key: PublicKey(r.get(1)?),
            state,
            place: r.get(3)?,
            visit: Id(r.get(4)?),
            greatest: u64::from_be_bytes(r.get(5)?),
            taken: u64::from_be_bytes(r.get(6)?),
            filters: serde_json::from_str(&filters).unwrap_or_default(),
            asked_us: r.get(8)?,
            since_ms: r.get(9)?,
            luggage: state == State::Here,
        };
        guests.insert(device, guest);
    }
    Ok(guests)
}

/// Writes what a device is.
pub(super) fn put(t: &Transaction<'_>, device: &DeviceName, guest: &Guest) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO guests (device, key, state, place, visit, greatest, taken, filters, asked_us, since_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    // texts and small numbers always have a JSON form
    let filters = serde_json::to_string(&guest.filters).unwrap_or_default();
    t.prepare_cached(sql)?
        .execute(params![
            device.to_string(),
            guest.key.0,
            guest.state.as_str(),
            guest.place,
            guest.visit.0,
            guest.greatest.to_be_bytes(),
            guest.taken.to_be_bytes(),
            filters,
            signed(guest.asked_us),
            signed(guest.since_ms)
        ])
        .map(drop)
}

/// Removes what is written of a device.
pub(super) fn remove(t: &Transaction<'_>, device: &DeviceName) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM guests WHERE device = ?1")?.execute(params![device.to_string()]).map(drop)
}

/// Whether a further device of another site can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It can.
    Free,
    /// It can in place of this one, which has gone: nothing of it is needed any more (its home knows its numbers).
    InPlaceOf(DeviceName),
    /// It cannot.
    None,
}

/// Whether there is room at `own` for a further device of `home`: `max` devices of others in all, `share` of one home that have not
/// gone. So no home, whatever it registers, takes the places of the others.
pub(super) fn room(guests: &HashMap<DeviceName, Guest>, own: &Name, home: &Name, (max, share): (usize, usize)) -> Room {
    let (mut all, mut of_home, mut gone) = (0, 0, None);
    for (device, guest) in guests.iter().filter(|(device, _)| device.site != *own) {
        all += 1;
        match guest.state {
            State::Gone => gone = Some(device),
            _ => of_home += usize::from(device.site == *home),
        }
    }
    match gone {
        _ if of_home >= share => Room::None,
        _ if all < max => Room::Free,
        Some(device) => Room::InPlaceOf(device.clone()),
        None => Room::None,
    }
}

/// Keeps a message for a device that is to come, as `issuer` told it.
pub(super) fn put_parcel(t: &Transaction<'_>, parcel: &Parcel, issuer: PublicKey) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO parcels (visit, issuer, number, qos, topic, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Parcel { visit, index, qos, topic, payload } = parcel;
    t.prepare_cached(sql)?.execute(params![visit.0, issuer.0, *index, *qos, topic, payload]).map(drop)
}

/// Keeps of the messages under a visit the first `count` of `issuer`, who hands the device over. What others told is nothing.
pub(super) fn keep_parcels(t: &Transaction<'_>, visit: Id, issuer: PublicKey, count: u16) -> rusqlite::Result<()> {
    let sql = "DELETE FROM parcels WHERE visit = ?1 AND (issuer <> ?2 OR number >= ?3)";
    t.prepare_cached(sql)?.execute(params![visit.0, issuer.0, count]).map(drop)
}

/// The messages that wait under a visit, in their order.
pub(super) fn parcels(t: &Transaction<'_>, visit: Id) -> rusqlite::Result<Vec<Waiting>> {
    let mut statement = t.prepare_cached("SELECT topic, qos, payload FROM parcels WHERE visit = ?1 ORDER BY number LIMIT ?2")?;
    let most = u32::try_from(PARCELS_MAX).unwrap_or(u32::MAX);
    let rows = statement.query_map(params![visit.0, most], |r| Ok(Waiting { topic: r.get(0)?, qos: r.get(1)?, payload: r.get(2)? }))?;
    rows.collect()
}

/// Messages that waited under one visit wait under another.
pub(super) fn move_parcels(t: &Transaction<'_>, from: Id, to: Id) -> rusqlite::Result<()> {
    t.prepare_cached("UPDATE OR IGNORE parcels SET visit = ?2 WHERE visit = ?1")?.execute(params![from.0, to.0]).map(drop)
}

/// Messages of a visit wait no more.
pub(super) fn drop_parcels(t: &Transaction<'_>, visit: Id) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM parcels WHERE visit = ?1")?.execute(params![visit.0]).map(drop)
}

/// The devices of the sites that may visit, as the ledger has them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Foreigners(Arc<HashMap<Name, Arc<Devices>>>);

impl Foreigners {
    /// Those of `sites`, as the ledger has them now.
    pub(crate) async fn load(ledger: &Handle, sites: Vec<Name>) -> Self {
        let mut all = HashMap::new();
        for site in sites {
            let devices = Arc::new(Devices::load(ledger, site.clone()).await);
            all.insert(site, devices);
        }
        Self(Arc::new(all))
    }

    /// Whether devices of a site may come.
    pub(super) fn has(&self, site: &Name) -> bool {
        self.0.contains_key(site)
    }

    /// What is known of the device of a topic of another site.
    pub(crate) fn registered(&self, topic: &DeviceTopic) -> Registered {
        self.0.get(&topic.site).map_or(Registered::Unknown, |devices| devices.registered(topic))
    }

    /// The keys that these devices have now.
    pub(crate) fn keys(&self) -> HashSet<PublicKey> {
        self.0.values().flat_map(|devices| devices.keys()).collect()
    }

    /// Follows the ledger until it stops.
    pub(crate) fn follow(&self, ledger: &Handle) -> Vec<JoinHandle<()>> {
        let follow = |devices: &Arc<Devices>| {
            let (devices, ledger) = (devices.clone(), ledger.clone());
            tokio::spawn(async move { devices.follow(ledger, None).await })
        };
        self.0.values().map(follow).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::exchange::store::FILE;

    #[test]
    fn what_is_written_of_a_device_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = FILE.open(&dir.path().join("exchange.sqlite")).unwrap();
        let device: DeviceName = "z1/m1".parse().unwrap();
        let guest = Guest {
            key: PublicKey([1; 32]),
            state: State::Leaving,
            place: "agg/z2".into(),
            visit: Id([2; 32]),
            asked_us: 5,
            since_ms: 6,
            greatest: u64::MAX,
            taken: u64::MAX,
            filters: vec![("root/fog/z1/m1/#".into(), 1)],
            luggage: false,
        };
        store.transact_blocking(|t| put(t, &device, &guest)).unwrap();
        assert_eq!(store.transact_blocking(all).unwrap(), HashMap::from([(device.clone(), guest.clone())]));
        let here = Guest { state: State::Here, luggage: true, ..guest };
        store.transact_blocking(|t| put(t, &device, &here)).unwrap();
        assert_eq!(store.transact_blocking(all).unwrap(), HashMap::from([(device, here)]));
    }

    #[test]
    fn no_home_takes_the_places_of_the_others() {
        let name = |text: &str| Name::site(text).unwrap();
        let guest = |device: &str, state| (device.parse::<DeviceName>().unwrap(), Guest { state, ..Guest::default() });
        let (own, limits) = (name("z1"), (3, 2));
        let mut guests = HashMap::from([
            guest("z1/a", State::Here),
            guest("z1/b", State::Here),
            guest("z2/a", State::Asked),
            guest("z2/b", State::Here),
        ]);
        assert_eq!(room(&guests, &own, &name("z2"), limits), Room::None, "its share is taken");
        assert_eq!(room(&guests, &own, &name("z3"), limits), Room::Free, "those of this site do not count");
        guests.extend([guest("z3/a", State::Here)]);
        assert_eq!(room(&guests, &own, &name("z3"), limits), Room::None);
        let gone: DeviceName = "z2/b".parse().unwrap();
        guests.extend([guest("z2/b", State::Gone)]);
        assert_eq!(room(&guests, &own, &name("z3"), limits), Room::InPlaceOf(gone.clone()));
        let dir = tempfile::tempdir().unwrap();
        let store = FILE.open(&dir.path().join("exchange.sqlite")).unwrap();
        store.transact_blocking(|t| put(t, &gone, &Guest::default())).unwrap();
        store.transact_blocking(|t| remove(t, &gone)).unwrap();
        assert!(store.transact_blocking(all).unwrap().is_empty());
    }

    #[test]
    fn parcels_keep_their_order_and_come_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = FILE.open(&dir.path().join("exchange.sqlite")).unwrap();
        let (visit, other) = (Id([2; 32]), Id([3; 32]));
        let parcel = |index: u16, topic: &str| Parcel { visit, index, qos: 1, topic: topic.to_owned(), payload: vec![1] };
        let (holder, stranger) = (PublicKey([7; 32]), PublicKey([8; 32]));
        // a site that does not hold the device is quicker; and the one that does tells more than it hands over
        for (index, topic, issuer) in [(0, "x", stranger), (1, "t1", holder), (0, "t0", holder), (1, "t1", holder), (2, "t2", holder)] {
            store.transact_blocking(|t| put_parcel(t, &parcel(index, topic), issuer)).unwrap();
        }
        let topics = |visit| store.transact_blocking(|t| parcels(t, visit)).unwrap().into_iter().map(|w| w.topic).collect::<Vec<_>>();
        store.transact_blocking(|t| keep_parcels(t, visit, holder, 2)).unwrap();
        assert_eq!(topics(visit), ["t0", "t1"]);
        store.transact_blocking(|t| move_parcels(t, visit, other)).unwrap();
        assert_eq!((topics(visit).len(), topics(other).len()), (0, 2));
        store.transact_blocking(|t| drop_parcels(t, other)).unwrap();
        assert!(topics(other).is_empty());
    }
}
