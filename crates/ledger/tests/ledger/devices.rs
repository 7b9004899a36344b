//! Sites and devices: DEV-3 to DEV-12, and the registry against a plain model.

use crate::world::{World, key, name, public};
use ledger::{
    Device, DeviceKey, Key, MemoryStore, OrderError, Overlay, SITE_CHANGES_KEPT, SITE_DEVICES_MAX, Site, apply, change_slot, read_device,
    read_device_key, read_site, read_site_change, read_site_device, touched,
};
use proptest::prelude::*;
use protocol::device::site_id;
use protocol::{Action, Body, Credential, DeviceName, Encode as _, Id, NetworkId, PublicKey, Role};
use std::collections::{BTreeMap, BTreeSet};

fn device(text: &str) -> DeviceName {
    text.parse().unwrap()
}

/// The credential of the key of seed `k` for a device of wallet `owner`.
fn credential(world: &World, k: u8, of: &str, owner: u8) -> Credential {
    Credential::sign(&world.network, &key(k), &device(of), &public(owner))
}

fn signer(world: &World, of: &str, k: u8, owner: u8) -> Action {
    Action::RegisterDevice { device: device(of), role: Role::Signer, credential: Some(credential(world, k, of, owner)), thing: None }
}

fn unsigned(of: &str) -> Action {
    Action::RegisterDevice { device: device(of), role: Role::Unsigned, credential: None, thing: None }
}

fn rotate(world: &World, of: &str, k: u8, owner: u8) -> Action {
    Action::RotateDevice { device: device(of), credential: credential(world, k, of, owner) }
}

fn revoke(of: &str) -> Action {
    Action::RevokeDevice { device: device(of) }
}

fn site(world: &World, text: &str) -> Option<Site> {
    read_site(&world.state(), site_id(&name(text))).unwrap()
}

fn record(world: &World, of: &str) -> Option<Device> {
    read_device(&world.state(), device(of).id()).unwrap()
}

fn key_record(world: &World, k: u8) -> Option<DeviceKey> {
    read_device_key(&world.state(), public(k)).unwrap()
}

/// The IDs of a site's devices, in the order of their numbers.
fn listed(world: &World, text: &str) -> Vec<String> {
    let count = site(world, text).map_or(0, |s| s.devices);
    (0..count).map(|n| read_site_device(&world.state(), site_id(&name(text)), n).unwrap().unwrap().to_string()).collect()
}

#[test]
fn the_first_who_registers_a_device_has_the_site() {
    let mut world = World::new();
    assert_eq!(world.run(4, unsigned("plant/door")), Ok(()));
    assert_eq!(site(&world, "plant"), Some(Site { owner: public(4), gateways: vec![], devices: 1, changes: 1 }));
    let taken = Err(OrderError::SiteTaken { owner: public(4) });
    assert_eq!(world.run(5, unsigned("plant/window")), taken);
    assert_eq!(world.run(5, Action::Site { site: name("plant"), gateways: vec![public(5)] }), taken);
    assert_eq!(world.run(5, unsigned("office/door")), Ok(()), "another site has the same ID");
    assert_eq!(world.run(4, unsigned("plant/window")), Ok(()));
    assert_eq!(listed(&world, "plant"), ["door", "window"]);
    assert_eq!(listed(&world, "office"), ["door"]);
}

#[test]
fn an_owner_names_the_gateways_of_its_site() {
    let mut world = World::new();
    let mut gateways = vec![public(1), public(2)];
    gateways.sort_unstable();
    assert_eq!(world.run(4, Action::Site { site: name("plant"), gateways: gateways.clone() }), Ok(()));
    assert_eq!(site(&world, "plant").map(|s| (s.owner, s.gateways)), Some((public(4), gateways.clone())));
    assert_eq!(world.run(4, unsigned("plant/door")), Ok(()));
    assert_eq!(site(&world, "plant").unwrap().gateways, gateways, "a device changes nothing about them");
    gateways.reverse();
    assert_eq!(world.run(4, Action::Site { site: name("plant"), gateways }), Err(OrderError::Gateways));
    assert_eq!(world.run(4, Action::Site { site: name("plant"), gateways: vec![] }), Ok(()));
    let now = site(&world, "plant").unwrap();
    assert_eq!((now.gateways.len(), now.devices, now.changes), (0, 1, 1));
}

#[test]
fn a_key_needs_a_role_and_a_role_its_key() {
    let mut world = World::new();
    let of = "plant/meter";
    let keyed = |role, credential| Action::RegisterDevice { device: device(of), role, credential, thing: None };
    let good = credential(&world, 20, of, 4);
    for (role, credential) in [(Role::Unsigned, Some(good)), (Role::Signer, None), (Role::Node, None)] {
        assert_eq!(world.run(4, keyed(role, credential)), Err(OrderError::DeviceRole), "{role:?}");
    }
    assert_eq!(world.run(4, keyed(Role::Node, Some(good))), Ok(()));
    assert_eq!(record(&world, of).map(|d| (d.role, d.key, d.key_epoch)), Some((Role::Node, Some(public(20)), 1)));
    assert_eq!(world.run(4, unsigned("plant/door")), Ok(()));
    assert_eq!(world.run(4, rotate(&world, "plant/door", 21, 4)), Err(OrderError::DeviceRole), "it never had a key");
}

#[test]
fn whoever_offers_a_key_must_hold_it() {
    let mut world = World::new();
    let of = "plant/meter";
    let with = |credential| Action::RegisterDevice { device: device(of), role: Role::Signer, credential: Some(credential), thing: None };
    let foreign = Credential::sign(&NetworkId([9; 32]), &key(20), &device(of), &public(4));
    let elsewhere = Credential::sign(&world.network, &key(20), &device("plant/other"), &public(4));
    let of_another = credential(&world, 20, of, 5);
    let stolen = Credential { key: public(21), ..credential(&world, 20, of, 4) };
    for bad in [foreign, elsewhere, of_another, stolen] {
        assert_eq!(world.run(4, with(bad)), Err(OrderError::Possession));
    }
    // the neutral element "signs" everything
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let weak = Credential { key: PublicKey(neutral), possession: protocol::Signature(signature) };
    assert!(weak.verify(&world.network, &device(of), &public(4)));
    assert_eq!(world.run(4, with(weak)), Err(OrderError::DeviceKeyUnsound));
    assert_eq!((record(&world, of), site(&world, "plant")), (None, None), "nothing of it stayed");
}

#[test]
fn a_key_is_rotated_and_never_comes_back() {
    let mut world = World::new();
    let of = "plant/meter";
    assert_eq!(world.run(4, signer(&world, of, 20, 4)), Ok(()));
    world.height = 7;
    assert_eq!(world.run(4, rotate(&world, of, 21, 5)), Err(OrderError::Possession), "signed for another owner");
    assert_eq!(world.run(5, rotate(&world, of, 21, 5)), Err(OrderError::DeviceOwner { owner: public(4) }));
    assert_eq!(world.run(4, rotate(&world, of, 20, 4)), Err(OrderError::DeviceKeyUsed(public(20))), "to what it is");
    assert_eq!(world.run(4, rotate(&world, of, 21, 4)), Ok(()));
    let now = record(&world, of).unwrap();
    assert_eq!((now.key, now.key_epoch, now.key_since, now.registered, now.changed), (Some(public(21)), 2, 7, 1, 7));
    assert_eq!(key_record(&world, 20), Some(DeviceKey { device: device(of), from: 1, until: Some(7) }));
    assert_eq!(key_record(&world, 21), Some(DeviceKey { device: device(of), from: 7, until: None }));
    for again in [rotate(&world, of, 20, 4), signer(&world, "plant/other", 20, 4), signer(&world, "plant/other", 21, 4)] {
        assert!(matches!(world.run(4, again), Err(OrderError::DeviceKeyUsed(_))));
    }
}

#[test]
fn a_revoked_key_is_revoked_for_good() {
    let mut world = World::new();
    let of = "plant/meter";
    assert_eq!(world.run(4, revoke(of)), Err(OrderError::NoDevice(device(of))));
    assert_eq!(world.run(4, signer(&world, of, 20, 4)), Ok(()));
    assert_eq!(world.run(4, signer(&world, of, 21, 4)), Err(OrderError::DeviceTaken(device(of))));
    assert_eq!(world.run(5, revoke(of)), Err(OrderError::DeviceOwner { owner: public(4) }));
    world.height = 9;
    assert_eq!(world.run(4, revoke(of)), Ok(()));
    assert_eq!(record(&world, of).map(|d| (d.revoked, d.key, d.changed)), Some((true, Some(public(20)), 9)));
    assert_eq!(key_record(&world, 20).and_then(|k| k.until), Some(9));
    let gone = Err(OrderError::DeviceRevoked(device(of)));
    assert_eq!(world.run(4, revoke(of)), gone);
    assert_eq!(world.run(4, rotate(&world, of, 21, 4)), gone);
    assert_eq!(world.run(4, Action::DescribeDevice { device: device(of), thing: None }), gone);
    // the ID can be used again, the key cannot
    assert_eq!(world.run(4, signer(&world, of, 20, 4)), Err(OrderError::DeviceKeyUsed(public(20))));
    assert_eq!(world.run(4, signer(&world, of, 22, 4)), Ok(()));
    assert_eq!(record(&world, of).map(|d| (d.revoked, d.key, d.key_epoch)), Some((false, Some(public(22)), 2)));
    assert_eq!(listed(&world, "plant"), ["meter"], "it has its old number");
    assert_eq!(key_record(&world, 20).and_then(|k| k.until), Some(9));
}

#[test]
fn a_thing_description_is_named_by_its_hash() {
    let mut world = World::new();
    let of = "plant/meter";
    let describe = |thing| Action::DescribeDevice { device: device(of), thing };
    assert_eq!(world.run(4, describe(None)), Err(OrderError::NoDevice(device(of))));
    assert_eq!(world.run(4, signer(&world, of, 20, 4)), Ok(()));
    assert_eq!(world.run(5, describe(Some(Id([5; 32])))), Err(OrderError::DeviceOwner { owner: public(4) }));
    assert_eq!(world.run(4, describe(Some(Id([5; 32])))), Ok(()));
    assert_eq!(record(&world, of).unwrap().thing, Some(Id([5; 32])));
    assert_eq!(world.run(4, rotate(&world, of, 21, 4)), Ok(()));
    assert_eq!(record(&world, of).unwrap().thing, Some(Id([5; 32])), "another key is no other thing");
    assert_eq!(world.run(4, describe(None)), Ok(()));
    assert_eq!(record(&world, of).unwrap().thing, None);
}

#[test]
fn the_last_changes_of_a_site_are_known() {
    let mut world = World::new();
    assert_eq!(world.run(4, unsigned("plant/a")), Ok(()));
    assert_eq!(world.run(4, unsigned("plant/b")), Ok(()));
    for n in 0..SITE_CHANGES_KEPT {
        let thing = Some(Id([u8::try_from(n).unwrap(); 32]));
        assert_eq!(world.run(4, Action::DescribeDevice { device: device("plant/a"), thing }), Ok(()));
    }
    let changes = site(&world, "plant").unwrap().changes;
    assert_eq!(changes, 2 + SITE_CHANGES_KEPT);
    let at = |n: u64| read_site_change(&world.state(), site_id(&name("plant")), change_slot(n)).unwrap().unwrap().to_string();
    assert!((changes - SITE_CHANGES_KEPT..changes).all(|n| at(n) == "a"));
}

#[test]
fn a_full_site_takes_no_further_device() {
    let mut world = World::new();
    assert_eq!(world.run(4, unsigned("plant/a")), Ok(()));
    let full = Site { devices: SITE_DEVICES_MAX, ..site(&world, "plant").unwrap() };
    world.values.insert(Key::Site(site_id(&name("plant"))), full.encode());
    assert_eq!(world.run(4, unsigned("plant/b")), Err(OrderError::SiteFull));
    assert_eq!(world.run(4, revoke("plant/a")), Ok(()));
    assert_eq!(world.run(4, unsigned("plant/a")), Ok(()), "it has a number already");
}

#[test]
fn orders_about_devices_read_what_they_announce() {
    let world = World::new();
    let actions = [signer(&world, "plant/meter", 20, 4), rotate(&world, "plant/meter", 20, 4), revoke("plant/meter")];
    for action in actions {
        let keyed = !matches!(action, Action::RevokeDevice { .. });
        let message = world.message(Body::Orders(vec![world.order(4, action)]));
        let keys = touched(&message);
        for key in [Key::Site(site_id(&name("plant"))), Key::Device(device("plant/meter").id())] {
            assert!(keys.contains(&key), "{key:?}");
        }
        assert_eq!(keys.contains(&Key::DeviceKey(public(20))), keyed);
    }
    // a damaged record is no fault of the order
    let message = world.message(Body::Orders(vec![world.order(4, revoke("plant/meter"))]));
    let mut base = MemoryStore::default();
    base.set(Key::Device(device("plant/meter").id()), vec![1]);
    let mut overlay = Overlay::new(&base);
    assert!(apply(&mut overlay, &world.rules(), &message).is_err());
    assert!(overlay.into_changes().is_empty());
}

/// What the plain model keeps of a device.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    owner: u8,
    key: Option<u8>,
    keys: u64,
    revoked: bool,
    thing: Option<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Site(u8, u8),
    Register(u8, u8, Option<u8>),
    Rotate(u8, u8, u8),
    Describe(u8, u8, Option<u8>),
    Revoke(u8, u8),
}

const WALLETS: [u8; 3] = [4, 5, 6];

/// Six devices on two sites.
fn named(n: u8) -> String {
    format!("site{}/d{}", n % 2, n / 2)
}

fn step() -> impl Strategy<Value = Step> {
    let (wallet, of, k) = (prop::sample::select(WALLETS.to_vec()), 0u8..6, 20u8..32);
    prop_oneof![
        1 => (wallet.clone(), 0u8..2).prop_map(|(w, s)| Step::Site(w, s)),
        5 => (wallet.clone(), of.clone(), prop::option::of(k.clone())).prop_map(|(w, d, k)| Step::Register(w, d, k)),
        4 => (wallet.clone(), of.clone(), k).prop_map(|(w, d, k)| Step::Rotate(w, d, k)),
        2 => (wallet.clone(), of.clone(), prop::option::of(0u8..4)).prop_map(|(w, d, t)| Step::Describe(w, d, t)),
        3 => (wallet, of).prop_map(|(w, d)| Step::Revoke(w, d)),
    ]
}

#[derive(Default)]
struct Model {
    /// Owners by site.
    sites: BTreeMap<u8, u8>,
    devices: BTreeMap<u8, Plain>,
    used: BTreeSet<u8>,
}

impl Model {
    /// Does the step if it is allowed; gives whether it is.
    fn execute(&mut self, step: &Step) -> bool {
        let claim = |sites: &BTreeMap<u8, u8>, site: u8, wallet: u8| sites.get(&site).is_none_or(|owner| *owner == wallet);
        let own = |devices: &BTreeMap<u8, Plain>, d: u8, wallet: u8| devices.get(&d).is_some_and(|p| p.owner == wallet && !p.revoked);
        match *step {
            Step::Site(wallet, site) => {
                let allowed = claim(&self.sites, site, wallet);
                if allowed {
                    self.sites.insert(site, wallet);
                }
                allowed
            }
            Step::Register(wallet, d, k) => {
                let free = self.devices.get(&d).is_none_or(|p| p.revoked);
                let allowed = claim(&self.sites, d % 2, wallet) && free && k.is_none_or(|k| !self.used.contains(&k));
                if allowed {
                    self.sites.insert(d % 2, wallet);
                    self.used.extend(k);
                    let keys = self.devices.get(&d).map_or(0, |p| p.keys) + u64::from(k.is_some());
                    self.devices.insert(d, Plain { owner: wallet, key: k, keys, revoked: false, thing: None });
                }
                allowed
            }
            Step::Rotate(wallet, d, k) => {
                let keyed = self.devices.get(&d).is_some_and(|p| p.key.is_some());
                let allowed = own(&self.devices, d, wallet) && keyed && self.used.insert(k);
                if allowed && let Some(plain) = self.devices.get_mut(&d) {
                    (plain.key, plain.keys) = (Some(k), plain.keys + 1);
                }
                allowed
            }
            Step::Describe(wallet, d, thing) => {
                let allowed = own(&self.devices, d, wallet);
                if allowed && let Some(plain) = self.devices.get_mut(&d) {
                    plain.thing = thing;
                }
                allowed
            }
            Step::Revoke(wallet, d) => {
                let allowed = own(&self.devices, d, wallet);
                if allowed && let Some(plain) = self.devices.get_mut(&d) {
                    plain.revoked = true;
                }
                allowed
            }
        }
    }
}

fn action(world: &World, step: &Step) -> (u8, Action) {
    let hash = |n: u8| Id([n; 32]);
    match *step {
        Step::Site(wallet, s) => (wallet, Action::Site { site: name(&format!("site{s}")), gateways: vec![] }),
        Step::Register(wallet, d, None) => (wallet, unsigned(&named(d))),
        Step::Register(wallet, d, Some(k)) => (wallet, signer(world, &named(d), k, wallet)),
        Step::Rotate(wallet, d, k) => (wallet, rotate(world, &named(d), k, wallet)),
        Step::Describe(wallet, d, thing) => (wallet, Action::DescribeDevice { device: device(&named(d)), thing: thing.map(hash) }),
        Step::Revoke(wallet, d) => (wallet, revoke(&named(d))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Coins are counted after every message of every test (`World::check`): the registry moves none.
    #[test]
    fn the_registry_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let (mut world, mut model) = (World::new(), Model::default());
        for step in steps {
            world.height += 1;
            let (wallet, action) = action(&world, &step);
            let outcome = world.run(wallet, action);
            prop_assert_eq!(outcome.is_ok(), model.execute(&step), "{:?}: {:?}", step, outcome);
        }
        for s in 0..2u8 {
            let site = site(&world, &format!("site{s}"));
            prop_assert_eq!(site.as_ref().map(|s| s.owner), model.sites.get(&s).map(|w| public(*w)));
            let mut ids: Vec<String> = listed(&world, &format!("site{s}"));
            ids.sort();
            let expected: Vec<String> = model.devices.keys().filter(|d| **d % 2 == s).map(|d| format!("d{}", d / 2)).collect();
            prop_assert_eq!(ids, expected);
        }
        for d in 0..6u8 {
            let found = record(&world, &named(d)).map(|r| (r.owner, r.key, r.key_epoch, r.revoked, r.thing));
            let expected = model.devices.get(&d).map(|p| (public(p.owner), p.key.map(public), p.keys, p.revoked, p.thing.map(|t| Id([t; 32]))));
            prop_assert_eq!(found, expected);
        }
        for k in 20..32u8 {
            let found = key_record(&world, k);
            prop_assert_eq!(found.is_some(), model.used.contains(&k));
            let alive = model.devices.values().any(|p| p.key == Some(k) && !p.revoked);
            prop_assert_eq!(found.is_some_and(|r| r.until.is_none()), alive, "key {}", k);
        }
    }
}
