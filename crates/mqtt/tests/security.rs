//! The secured front over real sockets: who gets in, what they may do, and that it ends when their right does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::result_large_err, reason = "the error of the client library is what it is")]

mod secured;
#[allow(dead_code, reason = "others use the rest")]
mod waiting;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use mqtt::access::{Role, UserEntry};
use mqtt::{
    AccessConfig, Anonymous, BrokerError, ConnectError, Credentials, EmbeddedConfig, Ingress, Limits, LogConfig, Publisher, Security,
    SiteLog, Subscriber, TokenAlgorithm, TokenConfig, Whom, embedded,
};
use protocol::Name;
use rumqttc::Transport;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, PubAckReason, SubscribeReasonCode};
use secured::{Ca, LONG, Secured, connect, patiently, refusal, settings, tls_configuration, user, with_tls, write_users};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A site with the users m1 and m2 (devices), fog (a service) and gw (a gateway).
async fn site() -> Secured {
    site_with(|_| {}).await
}

async fn site_with(change: impl FnOnce(&mut Security)) -> Secured {
    let dir = dir();
    let fog = UserEntry {
        publish: vec!["root/fog/{site}/#".into()],
        subscribe: vec!["root/device/{site}/#".into()],
        ..user("fog", Role::Service)
    };
    write_users(&dir, vec![user("m1", Role::Device), user("m2", Role::Device), fog, user("gw", Role::Gateway)]);
    let mut security = settings(&dir);
    change(&mut security);
    Secured::start(dir, security).await
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_opens_and_a_wrong_one_does_not() {
    let site = site().await;
    assert_eq!(refusal(site.plain("c", None)).await, ConnectReturnCode::NotAuthorized);
    let mut wrong = site.plain("c", Some("m1"));
    wrong.set_credentials("m1", "m2");
    assert_eq!(refusal(wrong).await, ConnectReturnCode::BadUserNamePassword);
    assert_eq!(refusal(site.plain("c", Some("nobody"))).await, ConnectReturnCode::BadUserNamePassword);
    assert_eq!((site.refused("connect", "anonymous"), site.refused("connect", "credentials")), (1, 2));
    let mut m1 = connect(site.plain("c", Some("m1"))).await.unwrap();
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    assert_eq!(site.log.end(), 1);
    site.broker.stop().await;
}

/// A 3.1.1 client down at the bytes: user and password, and the CONNACK's return code.
async fn connect3(site: &Secured, user: Option<(&str, &str)>) -> (TcpStream, u8) {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, if user.is_some() { 0b1100_0010 } else { 0b0000_0010 }, 0, 60];
    let mut text = |t: &str| {
        body.extend_from_slice(&(t.len() as u16).to_be_bytes());
        body.extend_from_slice(t.as_bytes());
    };
    text("old");
    if let Some((user, password)) = user {
        text(user);
        text(password);
    }
    let mut socket = TcpStream::connect(site.address("mqtt")).await.unwrap();
    socket.write_all(&[&[0x10, body.len() as u8][..], body.as_slice()].concat()).await.unwrap();
    let mut answer = [0; 4];
    patiently("a CONNACK", socket.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[0], 0x20);
    (socket, answer[3])
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_3_1_1_client_is_told_by_its_own_codes() {
    let site = site().await;
    assert_eq!(connect3(&site, None).await.1, 5, "not authorised");
    assert_eq!(connect3(&site, Some(("m1", "wrong"))).await.1, 4, "bad user name or password");
    let (mut socket, code) = connect3(&site, Some(("m1", "m1"))).await;
    assert_eq!(code, 0);
    // It cannot be told that it may not publish there: it is closed.
    let topic = "root/device/s1/m2/sense/t";
    let publish = [&[0x32, (topic.len() + 5) as u8, 0, topic.len() as u8][..], topic.as_bytes(), &[0, 1, b'1']].concat();
    socket.write_all(&publish).await.unwrap();
    let mut rest = Vec::new();
    patiently("the end of the connection", socket.read_to_end(&mut rest)).await.ok();
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!((site.log.end(), site.refused("publish", "denied")), (0, 1));
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_one_s_own_is_denied_visibly() {
    let site = site().await;
    let mut m1 = connect(site.plain("c1", Some("m1"))).await.unwrap();
    let mut fog = connect(site.plain("c2", Some("fog"))).await.unwrap();
    assert_eq!(fog.subscribe("root/device/s1/#").await, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    assert_eq!(m1.subscribe("root/fog/s1/m1/#").await, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    assert_eq!(m1.subscribe("$share/g/root/fog/s1/m1/#").await, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    for filter in ["#", "root/fog/s1/#", "root/fog/s1/+/sense/t", "root/device/s1/m1/#", "$share/g/#"] {
        assert_eq!(m1.subscribe(filter).await, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    for topic in ["root/device/s1/m2/sense/t", "root/device/s2/m1/sense/t", "root/fog/s1/m1/sense/t", "root/node/s1/active", "x"] {
        assert_eq!(m1.publish(topic).await, PubAckReason::NotAuthorized, "{topic}");
    }
    assert_eq!((site.refused("subscribe", "denied"), site.refused("publish", "denied")), (5, 5));
    assert_eq!(site.log.end(), 0);
    // What is one's own is kept, and told to whoever may read it.
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    assert_eq!(fog.message().await, "root/device/s1/m1/sense/t");
    assert_eq!(m1.message().await, "root/fog/s1/m1/sense/t");
    // A service's publish goes to subscribers and is no reading.
    assert_eq!(fog.publish("root/fog/s1/m1/act/valve").await, PubAckReason::Success);
    while m1.message().await != "root/fog/s1/m1/act/valve" {}
    assert_eq!(site.log.end(), 1);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_speaks_for_the_device_that_its_client_id_names() {
    let site = site().await;
    let mut one = connect(site.plain("s1/m7", Some("gw"))).await.unwrap();
    assert_eq!(one.publish("root/device/s1/m7/sense/t").await, PubAckReason::Success);
    assert_eq!(one.publish("root/device/s1/m8/sense/t").await, PubAckReason::NotAuthorized);
    let mut own = connect(site.plain("$gw", Some("gw"))).await.unwrap();
    assert_eq!(own.publish("root/device/s1/m8/sense/t").await, PubAckReason::Success);
    assert_eq!(refusal(site.plain("s2/m7", Some("gw"))).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(site.refused("connect", "client_id"), 1);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_belongs_to_the_identity_that_made_it() {
    let site = site().await;
    let mut first = connect(site.plain("shared", Some("m1"))).await.unwrap();
    assert_eq!(refusal(site.plain("shared", Some("m2"))).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(first.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success, "the first one was not disturbed");
    // The same identity takes its session over, as MQTT wants it.
    let mut second = connect(site.plain("shared", Some("m1"))).await.unwrap();
    first.closed().await;
    assert_eq!(second.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_is_for_one_s_own_topics() {
    let site = site().await;
    let with_will = |topic: &str| {
        let mut options = site.plain("c", Some("m1"));
        options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, false, None));
        options
    };
    assert_eq!(refusal(with_will("root/device/s1/m2/sense/state")).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(refusal(with_will("root/fog/s1/m1/act/valve")).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(site.refused("connect", "will"), 2);
    connect(with_will("root/device/s1/m1/sense/state")).await.unwrap();
    site.broker.stop().await;
}

/// a disabled user, a changed password and a removed user end what stood on them; a will does not outlive the right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_acts_on_live_connections() {
    let site = site().await;
    let mut options = site.plain("c1", Some("m1"));
    options.set_last_will(LastWill::new("root/device/s1/m1/sense/state", "gone", QoS::AtLeastOnce, false, None));
    let mut m1 = connect(options).await.unwrap();
    let mut m2 = connect(site.plain("c2", Some("m2"))).await.unwrap();
    let mut fog = connect(site.plain("c3", Some("fog"))).await.unwrap();
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    // fog is written as it was, its password's hash too; m2 keeps its name and gets another password.
    let before = mqtt::access::UserFile::load(&site.dir.path().join("users.toml")).unwrap();
    let fog_entry = before.users.into_iter().find(|user| user.name == "fog").unwrap();
    write_users(&site.dir, vec![UserEntry { disabled: true, ..user("m1", Role::Device) }, user("m2", Role::Device), fog_entry]);
    // Nobody has to ask: the file has changed.
    m1.closed().await;
    m2.closed().await;
    assert_eq!(refusal(site.plain("c1", Some("m1"))).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(site.refused("connect", "disabled"), 1);
    connect(site.plain("c2", Some("m2"))).await.unwrap();
    assert_eq!(fog.publish("root/fog/s1/m1/act/valve").await, PubAckReason::Success, "who did not change was not disturbed");
    assert_eq!((site.broker.access().closed, site.broker.access().reloads), (2, 1));
    assert_eq!(site.log.end(), 1, "the will of a disabled device is no reading");
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_is_refused_and_the_old_one_stays() {
    let site = site().await;
    let mut m1 = connect(site.plain("c1", Some("m1"))).await.unwrap();
    std::fs::write(site.dir.path().join("users.toml"), "[[user]]\nname = 7\n").unwrap();
    let error = site.broker.reload().await.unwrap_err().to_string();
    assert!(error.contains("users.toml") && error.contains("line 2"), "{error}");
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    connect(site.plain("c2", Some("m2"))).await.unwrap();
    assert!(site.broker.access().reloads_failed >= 1);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_can_close_and_bar_a_device() {
    let site = site().await;
    let mut m1 = connect(site.plain("c1", Some("m1"))).await.unwrap();
    let mut gateway = connect(site.plain("m1", Some("gw"))).await.unwrap();
    let id = Name::new("m1").unwrap();
    assert_eq!(site.broker.disconnect(&Whom::Device(id.clone())).await, 2);
    m1.closed().await;
    gateway.closed().await;
    let mut m1 = connect(site.plain("c1", Some("m1"))).await.unwrap();
    site.broker.bar(&id, true).await;
    m1.closed().await;
    assert_eq!(refusal(site.plain("c1", Some("m1"))).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(refusal(site.plain("m1", Some("gw"))).await, ConnectReturnCode::NotAuthorized);
    let mut own = connect(site.plain("$gw", Some("gw"))).await.unwrap();
    assert_eq!(own.publish("root/device/s1/m1/sense/t").await, PubAckReason::NotAuthorized, "nobody publishes for it");
    site.broker.bar(&id, false).await;
    connect(site.plain("c1", Some("m1"))).await.unwrap();
    assert_eq!(site.broker.disconnect(&Whom::Client("nobody".into())).await, 0);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_the_device_it_names() {
    let (ca, other, dir) = (Ca::new("devices"), Ca::new("strangers"), dir());
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let site = Secured::start(dir, security).await;

    let mut m1 = connect(site.tls("any", &ca, Some(&ca.certify("s1/m1", 11, LONG)))).await.unwrap();
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    assert_eq!(m1.publish("root/device/s1/m2/sense/t").await, PubAckReason::NotAuthorized);
    connect(site.tls("any2", &ca, Some(&ca.certify("m2", 12, LONG)))).await.unwrap();
    assert_eq!(refusal(site.tls("any3", &ca, Some(&ca.certify("s2/m1", 13, LONG)))).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(site.refused("connect", "subject"), 1);

    // What is not genuine, or over, does not get through the handshake.
    assert!(connect(site.tls("bad", &ca, Some(&other.certify("s1/m1", 14, LONG)))).await.is_err());
    assert!(connect(site.tls("bad", &ca, Some(&ca.certify("s1/m1", 15, 2020)))).await.is_err());
    assert!(connect(site.tls("bad", &other, None)).await.is_err(), "the client must not trust us");
    // Without a certificate one is nobody; the listener asks for one and does not insist.
    assert_eq!(refusal(site.tls("bare", &ca, None)).await, ConnectReturnCode::NotAuthorized);
    // Something that is not TLS at all.
    let mut socket = TcpStream::connect(site.address("mqtts")).await.unwrap();
    socket.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00").await.unwrap();
    let mut rest = Vec::new();
    patiently("the end of the connection", socket.read_to_end(&mut rest)).await.ok();
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success, "others do not notice");
    assert_eq!(site.log.end(), 2);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_certificate_is_required() {
    let (ca, dir) = (Ca::new("devices"), dir());
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    security.tls.as_mut().unwrap().require_client_certificate = true;
    let site = Secured::start(dir, security).await;
    assert!(connect(site.tls("bare", &ca, None)).await.is_err());
    connect(site.tls("c", &ca, Some(&ca.certify("m1", 11, LONG)))).await.unwrap();
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_out_at_once() {
    let (ca, dir) = (Ca::new("devices"), dir());
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let (revoked, crl) = (dir.path().join("revoked.txt"), dir.path().join("devices.crl"));
    std::fs::write(&revoked, "# none yet\n").unwrap();
    std::fs::write(&crl, ca.revoke(&[99])).unwrap();
    security.access.revoked = Some(revoked.clone());
    security.tls.as_mut().unwrap().crl = Some(crl.clone());
    let site = Secured::start(dir, security).await;
    let pairs: Vec<_> = (1..=3).map(|i| ca.certify(&format!("m{i}"), 0x10 + i, LONG)).collect();
    let mut clients = Vec::new();
    for (i, pair) in pairs.iter().enumerate() {
        clients.push(connect(site.tls(&format!("c{i}"), &ca, Some(pair))).await.unwrap());
    }
    // The first by our list, the second by its authority's.
    std::fs::write(&revoked, "serial:11\n").unwrap();
    std::fs::write(&crl, ca.revoke(&[99, 0x12])).unwrap();
    site.broker.reload().await.unwrap();
    clients[0].closed().await;
    clients[1].closed().await;
    assert_eq!(clients[2].publish("root/device/s1/m3/sense/t").await, PubAckReason::Success);
    assert_eq!(refusal(site.tls("c0", &ca, Some(&pairs[0]))).await, ConnectReturnCode::NotAuthorized);
    assert!(connect(site.tls("c1", &ca, Some(&pairs[1]))).await.is_err(), "it does not get through the handshake");
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_of_the_broker_takes_effect_and_nobody_is_dropped() {
    let (old, new, dir) = (Ca::new("old"), Ca::new("new"), dir());
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &old);
    let site = Secured::start(dir, security).await;
    let pair = old.certify("m1", 11, LONG);
    let mut before = connect(site.tls("c1", &old, Some(&pair))).await.unwrap();

    let fresh = new.certify("localhost", 2, LONG);
    std::fs::write(site.dir.path().join("broker.pem"), &fresh.certificate).unwrap();
    let error = site.broker.reload().await.unwrap_err().to_string();
    assert!(error.contains("broker.key"), "a key that does not fit: {error}");
    connect(site.tls("c2", &old, Some(&pair))).await.unwrap();

    std::fs::write(site.dir.path().join("broker.key"), &fresh.key).unwrap();
    site.broker.reload().await.unwrap();
    assert!(connect(site.tls("c3", &old, Some(&pair))).await.is_err());
    connect(site.tls("c3", &new, Some(&pair))).await.unwrap();
    assert_eq!(before.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_until_it_expires() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let site = site_with(|security| {
        let key = security.access.users.as_ref().unwrap().with_file_name("token.key");
        std::fs::write(&key, SECRET).unwrap();
        security.access.token = Some(TokenConfig { algorithm: TokenAlgorithm::Hs256, key, audience: "wattle".into(), issuer: None });
    })
    .await;
    let with_token = |client: &str, subject: &str, seconds: i64| {
        let exp = get_current_timestamp().saturating_add_signed(seconds);
        let claims = serde_json::json!({"sub": subject, "aud": "wattle", "exp": exp});
        let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        let mut options = site.plain(client, None);
        options.set_credentials("token", token);
        options
    };
    let mut device = connect(with_token("c1", "s1/m9", 600)).await.unwrap();
    assert_eq!(device.publish("root/device/s1/m9/sense/t").await, PubAckReason::Success);
    let mut service = connect(with_token("c2", "fog", 600)).await.unwrap();
    assert_eq!(service.publish("root/fog/s1/m1/act/valve").await, PubAckReason::Success);
    assert_eq!(refusal(with_token("c3", "m9", -60)).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(refusal(with_token("c3", "a/b/c", 60)).await, ConnectReturnCode::NotAuthorized);
    let mut forged = with_token("c3", "m9", 60);
    forged.set_credentials("token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtOSJ9.");
    assert_eq!(refusal(forged).await, ConnectReturnCode::BadUserNamePassword);
    assert_eq!((site.refused("connect", "expired"), site.refused("connect", "token")), (1, 1));
    // Its time is over while it is connected: five seconds are the clocks' tolerance.
    let mut brief = connect(with_token("c4", "m8", -3)).await.unwrap();
    brief.closed().await;
    assert_eq!(device.publish("root/device/s1/m9/sense/t").await, PubAckReason::Success);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_carry_the_same() {
    let (ca, dir) = (Ca::new("devices"), dir());
    write_users(&dir, vec![user("m1", Role::Device)]);
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let site = Secured::start(dir, security).await;
    let options = |scheme: &str, client: &str, transport: Transport| {
        let address = site.address(scheme);
        let mut options = MqttOptions::new(client, format!("{scheme}://{address}/mqtt"), address.port());
        options.set_transport(transport);
        options
    };
    let mut plain = options("ws", "c1", Transport::Ws);
    assert_eq!(refusal(plain.clone()).await, ConnectReturnCode::NotAuthorized);
    plain.set_credentials("m1", "m1");
    let mut plain = connect(plain).await.unwrap();
    assert_eq!(plain.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    assert_eq!(plain.publish("root/device/s1/m2/sense/t").await, PubAckReason::NotAuthorized);
    let pair = ca.certify("m2", 11, LONG);
    let secure = options("wss", "c2", Transport::Wss(tls_configuration(&ca, Some(&pair))));
    let mut secure = connect(secure).await.unwrap();
    assert_eq!(secure.publish("root/device/s1/m2/sense/t").await, PubAckReason::Success);
    assert_eq!(site.log.end(), 2);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_have_codes_of_their_own() {
    let limits = Limits { publishes_per_second: 3, subscriptions: 2, ..Limits::default() };
    let site = site_with(|security| security.limits = limits).await;
    let mut fog = connect(site.plain("c1", Some("fog"))).await.unwrap();
    for (filter, answer) in [
        ("root/device/s1/a/#", SubscribeReasonCode::Success(QoS::AtLeastOnce)),
        ("root/device/s1/b/#", SubscribeReasonCode::Success(QoS::AtLeastOnce)),
        ("root/device/s1/c/#", SubscribeReasonCode::QuotaExceeded),
        ("root/device/s1/a/#", SubscribeReasonCode::Success(QoS::AtLeastOnce)),
    ] {
        assert_eq!(fog.subscribe(filter).await, answer, "{filter}");
    }
    let mut m1 = connect(site.plain("c2", Some("m1"))).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(m1.publish("root/device/s1/m1/sense/t").await);
    }
    let kept = answers.iter().filter(|answer| **answer == PubAckReason::Success).count() as u64;
    assert!(answers.contains(&PubAckReason::QuotaExceeded), "{answers:?}");
    assert_eq!(answers[..3], [PubAckReason::Success; 3], "a burst passes");
    assert_eq!((site.log.end(), site.refused("publish", "rate")), (kept, 20 - kept));
    site.broker.stop().await;
}

/// the front takes no more connections than it may, and goes on with those it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_is_turned_away() {
    let (ca, dir) = (Ca::new("devices"), dir());
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    security.limits = Limits { connections: 3, connections_per_second: 0, connections_per_second_per_address: 0, ..Limits::default() };
    let site = Secured::start(dir, security).await;
    let mut m1 = connect(site.tls("c", &ca, Some(&ca.certify("m1", 11, LONG)))).await.unwrap();
    // Half-open connections fill the rest; what is beyond is closed without a word.
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(site.address("mqtts")).await.unwrap());
    }
    let mut closed = 0;
    for socket in &mut silent[2..] {
        let mut byte = [0];
        closed += u64::from(!matches!(patiently("the end", socket.read(&mut byte)).await, Ok(1)));
    }
    assert_eq!((closed, site.refused("connect", "rate")), (8, 8));
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_credentials_from_beyond_this_machine_by_default() {
    let dir = dir();
    let start = async |log: &str, bind: &str, access: AccessConfig| {
        let log = dir.path().join(log);
        std::fs::create_dir(&log).unwrap();
        let log = SiteLog::open(&log, LogConfig::default()).unwrap();
        let site = Name::new("s1").unwrap();
        let ingress = Arc::new(Ingress::new(site.clone(), log));
        let config = EmbeddedConfig { bind: bind.parse().unwrap(), site, on_active: None };
        embedded::start(config, Security { access, ..Security::default() }, None, ingress).await
    };
    let Err(error) = start("a", "0.0.0.0:0", AccessConfig::default()).await else { panic!("an open door") };
    assert!(matches!(&error, BrokerError::Access(_)) && error.to_string().contains("allow_anonymous_beyond_loopback"), "{error}");
    let open = AccessConfig { allow_anonymous_beyond_loopback: true, ..AccessConfig::default() };
    start("b", "0.0.0.0:0", open).await.expect("meant so").stop().await;
    start("c", "127.0.0.1:0", AccessConfig::default()).await.expect("this machine").stop().await;

    // With users it may be reached from anywhere, and stands behind the front.
    write_users(&dir, vec![user("m1", Role::Device)]);
    let security = settings(&dir);
    assert_eq!(security.access.anonymous, Anonymous::Refuse);
    let site = Secured::start_at("0.0.0.0:0", dir, security).await;
    assert_eq!(refusal(site.plain("c", None)).await, ConnectReturnCode::NotAuthorized);
    let mut m1 = connect(site.plain("c", Some("m1"))).await.unwrap();
    assert_eq!(m1.publish("root/device/s1/m1/sense/t").await, PubAckReason::Success);
    site.broker.stop().await;
}

/// A user that may tell readings of every device, and read what became of them.
fn teller() -> UserEntry {
    UserEntry { publish: vec!["root/device/{site}/#".into()], subscribe: vec!["root/fog/{site}/#".into()], ..user("replay", Role::Service) }
}

fn login(password: &str) -> Credentials {
    Credentials { user: Some("replay".into()), password: Some(password.into()), ..Credentials::default() }
}

/// our own clients log in as everybody else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_clients_log_in() {
    let dir = dir();
    write_users(&dir, vec![teller()]);
    let security = settings(&dir);
    let site = Secured::start(dir, security).await;
    let url = site.broker.address();
    let mut watcher = Subscriber::connect_as(&url, "w", &login("replay"), &["root/fog/s1/#"], 1).await.unwrap();
    let publisher = Publisher::connect_as(&url, "p", &login("replay")).await.unwrap();
    publisher.publish("root/device/s1/m1/sense/t", b"1".to_vec(), 1).await.unwrap();
    assert_eq!(patiently("the copy", watcher.recv()).await.unwrap().topic, "root/fog/s1/m1/sense/t");
    publisher.close().await;
    for credentials in [login("wrong"), Credentials::default()] {
        let refused = Publisher::connect_as(&url, "p2", &credentials).await.err().expect("let in");
        assert!(matches!(refused, ConnectError::Denied { .. }), "{refused}");
        let refused = Subscriber::connect_as(&url, "w2", &credentials, &["root/fog/s1/#"], 1).await.err().expect("let in");
        assert!(matches!(refused, ConnectError::Denied { .. }), "{refused}");
    }
    assert_eq!((site.refused("connect", "credentials"), site.refused("connect", "anonymous")), (2, 2));
    site.broker.stop().await;
}

/// over TLS too, by a password or by a certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_clients_speak_tls() {
    let (ca, other, dir) = (Ca::new("site"), Ca::new("strangers"), dir());
    write_users(&dir, vec![teller()]);
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let site = Secured::start(dir, security).await;
    let url = format!("mqtts://{}", site.address("mqtts"));
    let trust = |ca: &Ca| Some(ca.pem.clone().into_bytes());
    let own = ca.certify("replay", 7, LONG);
    let (certificate, key) = (Some(own.certificate.into_bytes()), Some(own.key.into_bytes()));
    let by_certificate = Credentials { ca: trust(&ca), certificate, key, ..Credentials::default() };
    for (client_id, credentials) in [("p", Credentials { ca: trust(&ca), ..login("replay") }), ("c", by_certificate)] {
        let publisher = Publisher::connect_as(&url, client_id, &credentials).await.unwrap();
        publisher.publish("root/device/s1/m1/sense/t", client_id.as_bytes().to_vec(), 1).await.unwrap();
        publisher.close().await;
    }
    assert_eq!(site.log.end(), 2);
    // a broker that nobody we believe vouches for; no authority at all; a certificate where there is no TLS
    let why = Publisher::connect_as(&url, "x", &Credentials { ca: trust(&other), ..login("replay") }).await.err().expect("believed");
    assert!(matches!(why, ConnectError::Unreachable { .. }), "{why}");
    let why = Publisher::connect_as(&url, "x", &login("replay")).await.err().expect("believed");
    assert!(matches!(why, ConnectError::Credentials(_)), "{why}");
    let plain = Credentials { ca: trust(&ca), ..login("replay") };
    let why = Publisher::connect_as(&site.broker.address(), "x", &plain).await.err().expect("pretended");
    assert!(matches!(why, ConnectError::Credentials(_)), "{why}");
    site.broker.stop().await;
}
