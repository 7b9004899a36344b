//! Replays of readings that a device signed, and clocks that are off by years.

use super::secured::{Ca, Secured, connect, refusal, settings, with_tls, write_users};
use super::site::{Target, until};
use super::wire::{Connect, Raw, body, packet, prefixed};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use mqtt::{
    Broker, EmbeddedConfig, Identities, IdentityCounters, Ingress, LogConfig, Registered, Security, SiteLog, TokenAlgorithm, TokenConfig,
    embedded,
};
use protocol::{DeviceTopic, Direction, Encode as _, Name, NetworkId, SecretKey, Value};
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use sdk::Signer;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpStream;

const NETWORK: NetworkId = NetworkId([7; 32]);
const YEAR_S: u64 = 365 * 86_400;
const SUCCESS: u8 = 0;
const PAYLOAD_FORMAT_INVALID: u8 = 0x99;

/// A site where m1 is registered with a key, and nobody else is.
struct Site {
    _dir: TempDir,
    log: SiteLog,
    ingress: Arc<Ingress>,
    broker: Arc<dyn Broker>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Site {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = SiteLog::open(dir.path(), LogConfig::default()).unwrap();
        let key = SecretKey::from_seed(&[3; 32]).public_key();
        let registry = move |topic: &DeviceTopic| match topic.device.as_str() {
            "m1" => Registered::Signs(key),
            _ => Registered::Unknown,
        };
        let ingress = Ingress::new(name("s1"), log.clone()).with_identities(Identities::new(NETWORK, Arc::new(registry), false));
        let ingress = Arc::new(ingress);
        let config = EmbeddedConfig { bind: "127.0.0.1:0".parse().unwrap(), site: name("s1"), on_active: None };
        let broker = embedded::start(config, Security::default(), None, ingress.clone()).await.unwrap();
        Self { _dir: dir, log, ingress, broker }
    }

    /// A client without credentials.
    async fn client(&self, client_id: &str) -> Raw<TcpStream> {
        let address = self.broker.address().strip_prefix("mqtt://").unwrap().parse().unwrap();
        let mut raw = Raw::open(address).await;
        raw.send(&Connect { flags: 0b0000_0010, tail: vec![], ..Connect::good(5, client_id, "") }.bytes()).await;
        assert_eq!(raw.answer().await.map(|answer| answer[3]), Some(0));
        raw
    }
}

/// Publishes as a device, and gives the reason in the PUBACK.
async fn puback(client: &mut Raw<TcpStream>, device: &str, payload: &[u8]) -> u8 {
    let topic = format!("root/device/s1/{device}/sense/power");
    let whole = [&prefixed(topic.as_bytes())[..], &[0, 7, 0], payload].concat();
    client.send(&packet(0x32, &whole)).await;
    let answer = client.answer().await.expect("closed instead of acknowledged");
    assert_eq!(answer[0], 0x40);
    body(&answer).get(2).copied().unwrap_or(SUCCESS)
}

fn signed(signer: &mut Signer, time_s: u64) -> Vec<u8> {
    signer.sign((Direction::Sense, &name("power")), time_s * 1_000_000, Some("W"), Value::Number(1.0)).unwrap().encode()
}

/// DEV-15 to DEV-18: what a device signed counts once, whoever sends it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_reading_counts_once_whoever_sends_it() {
    let site = Site::start().await;
    let mut signer = Signer::new(NETWORK, SecretKey::from_seed(&[3; 32]), "s1/m1".parse().unwrap(), 5);
    let now_s = get_current_timestamp();
    let (mut device, mut thief, mut honest) = (site.client("device").await, site.client("thief").await, site.client("honest").await);

    let good = signed(&mut signer, now_s);
    assert_eq!(puback(&mut device, "m1", &good).await, SUCCESS);
    assert_eq!(puback(&mut thief, "m1", &good).await, PAYLOAD_FORMAT_INVALID, "what was overheard");
    assert_eq!(puback(&mut device, "m1", &good).await, PAYLOAD_FORMAT_INVALID, "by the device itself");
    assert_eq!(puback(&mut thief, "m2", &good).await, PAYLOAD_FORMAT_INVALID, "as another device, which signs nothing");
    let mut forged = signed(&mut signer, now_s);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(puback(&mut thief, "m1", &forged).await, PAYLOAD_FORMAT_INVALID);
    assert_eq!(puback(&mut thief, "m1", b"666").await, PAYLOAD_FORMAT_INVALID, "without a signature");
    assert_eq!(puback(&mut honest, "m3", b"1").await, SUCCESS, "others are not concerned");
    let counted = site.ingress.identities().unwrap().counters();
    assert_eq!((counted.replayed, counted.forged, counted.unsigned, counted.revoked), (2, 1, 1, 0), "{counted:?}");
    assert_eq!((site.ingress.counters().rejected, site.log.end()), (5, 2));
    site.broker.stop().await;
}

/// T-10, DEV-14: a clock that is off by years is told so, unless it could be a reading that waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_from_other_years_are_told_apart() {
    let site = Site::start().await;
    let mut signer = Signer::new(NETWORK, SecretKey::from_seed(&[3; 32]), "s1/m1".parse().unwrap(), 5);
    let now_s = get_current_timestamp();
    let mut client = site.client("clock").await;
    let at = |time_s: u64| format!("{{\"v\":1,\"t\":{}}}", time_s * 1000).into_bytes();
    for (what, device, payload, answer) in [
        ("years ahead", "m3", at(now_s + 3 * YEAR_S), PAYLOAD_FORMAT_INVALID),
        ("two days ahead", "m3", at(now_s + 2 * 86_400), PAYLOAD_FORMAT_INVALID),
        ("after 2199", "m3", at(300 * YEAR_S), PAYLOAD_FORMAT_INVALID),
        ("before 1970", "m3", b"{\"v\":1,\"t\":-1}".to_vec(), PAYLOAD_FORMAT_INVALID),
        ("no time at all", "m3", b"{\"v\":1,\"t\":1e300}".to_vec(), PAYLOAD_FORMAT_INVALID),
        ("SenML, years ahead", "m3", format!("[{{\"v\":1,\"t\":{}}}]", now_s + 3 * YEAR_S).into_bytes(), PAYLOAD_FORMAT_INVALID),
        ("signed, years ahead", "m1", signed(&mut signer, now_s + 3 * YEAR_S), PAYLOAD_FORMAT_INVALID),
        ("years ago", "m3", at(now_s - 10 * YEAR_S), SUCCESS),
        ("signed, years ago", "m1", signed(&mut signer, now_s - 10 * YEAR_S), SUCCESS),
        ("an hour ahead", "m3", at(now_s + 3600), SUCCESS),
    ] {
        assert_eq!(puback(&mut client, device, &payload).await, answer, "{what}");
    }
    assert_eq!((site.ingress.counters().rejected, site.log.end()), (7, 3));
    assert_eq!(site.ingress.identities().unwrap().counters(), IdentityCounters::default(), "their signatures were genuine");
    site.broker.stop().await;
}

/// a certificate counts while it is valid, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_other_years_do_not_pass() {
    let target = Target::fronted().await;
    for (what, begin, end, serial) in [("over for years", 2000, 2010, 31), ("not valid for years", 2085, 2090, 32)] {
        let pair = target.ca.certify_between("m1", serial, begin, end);
        assert!(connect(target.site.tls("c", &target.ca, Some(&pair))).await.is_err(), "{what}");
    }
    // the same name from another authority, and a device of nowhere
    let forged = Ca::new("devices").certify("m1", 33, 2090);
    assert!(connect(target.site.tls("c", &target.ca, Some(&forged))).await.is_err(), "forged");
    let elsewhere = target.ca.certify("s2/m1", 34, 2090);
    assert_eq!(refusal(target.site.tls("c", &target.ca, Some(&elsewhere))).await, ConnectReturnCode::NotAuthorized);
    until("each to be counted", || target.refused("connect") == 4).await;
    let counted = |reason| target.site.refused("connect", reason);
    assert_eq!((counted("expired"), counted("handshake"), counted("subject")), (1, 2, 1));
    let mut m1 = connect(target.site.tls("c", &target.ca, Some(&target.ca.certify("m1", 35, 2090)))).await.unwrap();
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    target.stays_well(1).await;
}

/// a token counts from its `nbf` to its `exp`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_other_years_do_not_pass() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let (ca, dir) = (Ca::new("devices"), tempfile::tempdir().unwrap());
    write_users(&dir, vec![]);
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let key = dir.path().join("token.key");
    std::fs::write(&key, SECRET).unwrap();
    security.access.token = Some(TokenConfig { algorithm: TokenAlgorithm::Hs256, key, audience: "wattle".into(), issuer: None });
    let site = Secured::start(dir, security).await;
    let now_s = get_current_timestamp();
    let with = |client: &str, claims: serde_json::Value| {
        let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        let mut options = site.plain(client, None);
        options.set_credentials("token", token);
        options
    };
    let claims = |exp: u64, nbf: u64| serde_json::json!({"sub": "m9", "aud": "wattle", "exp": exp, "nbf": nbf, "iat": nbf});
    let (over, later) = (claims(now_s - 5 * YEAR_S, 0), claims(now_s + 9 * YEAR_S, now_s + 5 * YEAR_S));
    assert_eq!(refusal(with("c1", over)).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(refusal(with("c2", later)).await, ConnectReturnCode::BadUserNamePassword);
    let for_ever = serde_json::json!({"sub": "m9", "aud": "wattle"});
    assert_eq!(refusal(with("c3", for_ever)).await, ConnectReturnCode::BadUserNamePassword, "without an end");
    assert_eq!((site.refused("connect", "expired"), site.refused("connect", "token")), (1, 2));
    let mut m9 = connect(with("c4", claims(now_s + 5 * YEAR_S, now_s - 5 * YEAR_S))).await.unwrap();
    assert_eq!(m9.publish("root/device/s1/m9/sense/t").await, PubAckReason::Success);
    site.broker.stop().await;
}
