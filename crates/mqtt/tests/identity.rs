//! Who is believed: DEV-13 to DEV-19 of `docs/spec/devices.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::payload::Malformed;
use mqtt::ingress::{Ingress, Outcome, Publish, Refusal};
use mqtt::log::{AppendError, LogConfig, SiteLog};
use mqtt::{Identities, IdentityCounters, Registered};
use protocol::{DeviceTopic, Direction, Encode as _, Name, NetworkId, PublicKey, Reading, SecretKey, Value};
use sdk::{Signer, to_json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const NOW_US: u64 = 1_700_000_000_000_000;
const NETWORK: NetworkId = NetworkId([7; 32]);

fn now_us() -> u64 {
    NOW_US
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key() -> PublicKey {
    SecretKey::from_seed(&[3; 32]).public_key()
}

/// A site, and what its registry says of every device.
struct Site {
    ingress: Ingress,
    says: Arc<Mutex<Registered>>,
}

impl Site {
    fn open(dir: &Path, required: bool) -> Self {
        Self::with(SiteLog::open(dir, LogConfig::default()).unwrap(), required)
    }

    fn with(log: SiteLog, required: bool) -> Self {
        let says = Arc::new(Mutex::new(Registered::Signs(key())));
        let asked = says.clone();
        let identities = Identities::new(NETWORK, Arc::new(move |_: &protocol::DeviceTopic| *asked.lock().unwrap()), required);
        Self { ingress: Ingress::with_clock(name("plant"), log, now_us).with_identities(identities), says }
    }

    fn says(&self, registered: Registered) {
        *self.says.lock().unwrap() = registered;
    }

    async fn publish(&self, payload: &[u8], dup: bool) -> Result<Outcome, Refusal> {
        let topic = "root/device/plant/meter/sense/power";
        self.ingress.accept(Publish { topic, payload, client: "meter", packet_id: Some(7), qos: 1, dup }).await
    }

    /// The reason of a rejection.
    async fn rejected(&self, payload: &[u8]) -> String {
        match self.publish(payload, false).await {
            Ok(Outcome::Rejected(rejection)) => rejection.reason,
            other => panic!("{other:?}"),
        }
    }

    fn counters(&self) -> IdentityCounters {
        self.ingress.identities().unwrap().counters()
    }
}

/// A device's payloads, numbered from `first`.
struct Device(Signer);

impl Device {
    fn new(first: u64) -> Self {
        Self(Signer::new(NETWORK, SecretKey::from_seed(&[3; 32]), "plant/meter".parse().unwrap(), first))
    }

    fn signed(&mut self, value: f64) -> sdk::SignedReading {
        self.0.sign((Direction::Sense, &name("power")), NOW_US - 5, Some("W"), Value::Number(value)).unwrap()
    }

    fn payload(&mut self, value: f64) -> Vec<u8> {
        self.signed(value).encode()
    }
}

#[tokio::test]
async fn a_signed_reading_is_kept_with_its_signature() {
    let dir = TempDir::new().unwrap();
    let (site, mut device) = (Site::open(dir.path(), false), Device::new(5));
    let binary = device.payload(21.5);
    let json = to_json(&device.signed(22.5)).unwrap().into_bytes();
    for (n, payload) in [(5, binary), (6, json)] {
        let Ok(Outcome::Stored { readings, .. }) = site.publish(&payload, false).await else { panic!("not stored") };
        assert!(readings[0].is_authentic(&NETWORK));
        assert_eq!((readings[0].signed.unwrap().key, readings[0].sequence, readings[0].time_us), (key(), Some(n), NOW_US - 5));
    }
    assert_eq!(site.counters(), IdentityCounters::default());
    // as it lies on the disk
    let log = SiteLog::open(&dir.path().join("other"), LogConfig::default()).unwrap();
    let other = Site::with(log.clone(), false);
    other.publish(&device.payload(23.5), false).await.unwrap();
    assert!(log.read(0, 1).unwrap()[0].1.is_authentic(&NETWORK));
}

#[tokio::test]
async fn a_device_that_signs_is_believed_by_its_signature_alone() {
    let dir = TempDir::new().unwrap();
    let (site, mut device) = (Site::open(dir.path(), false), Device::new(5));
    assert!(site.rejected(b"21.5").await.contains("not signed"));
    assert!(site.rejected(br#"[{"v":1}]"#).await.contains("not signed"));
    let mut forged = device.payload(21.5);
    let last = forged.len() - 1;
    forged[last - 40] ^= 1;
    assert!(site.rejected(&forged).await.contains("signature"));
    // another network's, another topic's
    let mut elsewhere = Signer::new(NetworkId([8; 32]), SecretKey::from_seed(&[3; 32]), "plant/meter".parse().unwrap(), 9);
    let foreign = elsewhere.sign((Direction::Sense, &name("power")), NOW_US, None, Value::Number(1.0)).unwrap();
    let moved = device.0.sign((Direction::Sense, &name("energy")), NOW_US, None, Value::Number(1.0)).unwrap();
    for bad in [foreign, moved] {
        assert!(site.rejected(&bad.encode()).await.contains("signature"));
    }
    assert_eq!(site.counters(), IdentityCounters { unsigned: 2, forged: 3, ..IdentityCounters::default() });
    assert_eq!(site.ingress.counters().rejected, 5, "each is told and counted as every rejection");
    // a forged number takes nothing away
    let good = Device::new(5).payload(21.5);
    assert!(matches!(site.publish(&good, false).await, Ok(Outcome::Stored { .. })));
}

#[tokio::test]
async fn a_revoked_device_is_not_believed_at_all() {
    let dir = TempDir::new().unwrap();
    let (site, mut device) = (Site::open(dir.path(), false), Device::new(5));
    assert!(site.publish(&device.payload(1.0), false).await.is_ok());
    site.says(Registered::Revoked);
    for payload in [device.payload(2.0), b"2".to_vec()] {
        assert!(site.rejected(&payload).await.contains("revoked"));
    }
    assert_eq!(site.counters().revoked, 2);
    // with another key the old one is worth nothing
    site.says(Registered::Signs(SecretKey::from_seed(&[4; 32]).public_key()));
    assert!(site.rejected(&device.payload(3.0)).await.contains("signature"));
}

#[tokio::test]
async fn devices_without_a_key_sign_nothing() {
    let dir = TempDir::new().unwrap();
    let (site, mut device) = (Site::open(dir.path(), false), Device::new(5));
    for registered in [Registered::Unknown, Registered::Unsigned] {
        site.says(registered);
        assert!(matches!(site.publish(b"21.5", false).await, Ok(Outcome::Stored { .. })), "{registered:?}");
        assert!(site.rejected(&device.payload(1.0)).await.contains("no registered key"));
    }
    let strict_dir = TempDir::new().unwrap();
    let strict = Site::open(strict_dir.path(), true);
    strict.says(Registered::Unknown);
    assert!(strict.rejected(b"21.5").await.contains("not registered"));
    strict.says(Registered::Unsigned);
    assert!(matches!(strict.publish(b"21.5", false).await, Ok(Outcome::Stored { .. })));
}

#[tokio::test]
async fn a_site_without_a_registry_takes_nothing_signed() {
    let dir = TempDir::new().unwrap();
    let ingress = Ingress::with_clock(name("plant"), SiteLog::open(dir.path(), LogConfig::default()).unwrap(), now_us);
    let payload = Device::new(1).payload(1.0);
    let topic = "root/device/plant/meter/sense/power";
    let outcome = ingress.accept(Publish { topic, payload: &payload, client: "m", packet_id: None, qos: 0, dup: false }).await;
    assert!(matches!(outcome, Ok(Outcome::Rejected(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_number_is_taken_once() {
    let dir = TempDir::new().unwrap();
    let (site, mut device) = (Site::open(dir.path(), false), Device::new(5));
    let (five, six) = (device.payload(1.0), device.payload(2.0));
    // out of order is in order
    for payload in [&six, &five] {
        assert!(matches!(site.publish(payload, false).await, Ok(Outcome::Stored { .. })));
    }
    assert_eq!(site.publish(&five, true).await, Ok(Outcome::Duplicate), "sent again by the book");
    assert!(site.rejected(&five).await.contains("number 5 was taken before"));
    // the device signs something else under the same number
    assert!(site.rejected(&Device::new(6).payload(9.0)).await.contains("number 6 was taken before"));
    assert!(matches!(site.publish(&Device::new(1_000).payload(3.0), false).await, Ok(Outcome::Stored { .. })));
    assert!(site.rejected(&device.payload(4.0)).await.contains("far behind"));
    assert_eq!(site.counters(), IdentityCounters { replayed: 3, ..IdentityCounters::default() });
    // after a restart, from what was noted
    drop(site);
    let again = Site::open(dir.path(), false);
    again.ingress.identities().unwrap().replays().note(key(), 6);
    assert!(again.rejected(&six).await.contains("number 6"));
}

#[tokio::test]
async fn a_number_whose_reading_was_not_kept_is_free_again() {
    let dir = TempDir::new().unwrap();
    let full = SiteLog::open(dir.path(), LogConfig { limit_bytes: 0, ..LogConfig::default() }).unwrap();
    let (site, payload) = (Site::with(full, false), Device::new(5).payload(1.0));
    for _ in 0..2 {
        let refusal = site.publish(&payload, false).await.unwrap_err();
        assert!(matches!(&refusal, Refusal::Store(AppendError::Full { .. })), "{refusal}");
    }
}

/// Whatever parser a site has for what nobody signed: signed readings are read and judged as everywhere (FOG-50).
#[tokio::test]
async fn fog_50_signed_readings_pass_by_a_parser() {
    let dir = TempDir::new().unwrap();
    let (mut site, mut device) = (Site::open(dir.path(), false), Device::new(5));
    let never = |_: &DeviceTopic, _: &[u8], _: u64| -> Result<Vec<Reading>, Malformed> { panic!("it is signed") };
    site.ingress = site.ingress.with_parser(Arc::new(never));
    let binary = device.payload(21.5);
    let json = to_json(&device.signed(22.5)).unwrap().into_bytes();
    for (n, payload) in [(5, binary), (6, json)] {
        let Ok(Outcome::Stored { readings, .. }) = site.publish(&payload, false).await else { panic!("not stored") };
        assert_eq!((readings[0].signed.unwrap().key, readings[0].sequence), (key(), Some(n)));
        assert!(matches!(site.publish(&payload, false).await, Ok(Outcome::Rejected(_))), "a replay");
    }
}
