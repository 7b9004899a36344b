//! In front of a broker that asks who is there: the gateway logs in, and each client is the device that it says it is.

use super::device::{Device, LEVEL_ID, config, patiently, publish};
use super::secured::{Ca, LONG, Secured, settings, user, with_tls, write_users};
use mqtt::access::{Role, UserEntry};
use mqtt::sn::{self, Gateway, GatewayConfig};
use mqtt::{Credentials, Whom};
use protocol::sn::{Qos, ReturnCode, TopicRef};

/// A site with one user, the gateway's.
async fn site() -> Secured {
    let dir = tempfile::tempdir().unwrap();
    write_users(&dir, vec![user("gw", Role::Gateway)]);
    let security = settings(&dir);
    Secured::start(dir, security).await
}

async fn gateway(url: &str, credentials: Credentials) -> Gateway {
    sn::start(GatewayConfig { credentials, ..config(url) }).await.unwrap()
}

fn password(password: &str) -> Credentials {
    Credentials { user: Some("gw".into()), password: Some(password.into()), ..Credentials::default() }
}

/// A-4, SN-10, SN-13, SN-35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_the_rights_of_its_device_and_no_others() {
    let site = site().await;
    let gateway = gateway(&site.broker.address(), password("gw")).await;
    for (client_id, other) in [("D1", "D2"), ("s1/D2", "D1")] {
        let id = client_id.rsplit('/').next().unwrap();
        let mut device = Device::new(gateway.address()).await;
        assert_eq!(device.connect(client_id, true).await, ReturnCode::Accepted, "{client_id}");
        let before = site.log.end();
        let own = TopicRef::Normal(device.register(&format!("root/device/s1/{id}/sense/level")).await);
        assert_eq!(device.publish(own, b"1").await, ReturnCode::Accepted);
        let foreign = TopicRef::Normal(device.register(&format!("root/device/s1/{other}/sense/level")).await);
        assert_eq!(device.publish(foreign, b"2").await, ReturnCode::NotSupported, "{client_id} is not {other}");
        // the topic of the device d, by a number that everybody knows
        assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), b"3").await, ReturnCode::NotSupported);
        assert_eq!(device.publish(own, b"4").await, ReturnCode::Accepted, "the connection stays");
        assert_eq!(site.log.end(), before + 2);
    }
    assert_eq!((site.refused("publish", "denied"), gateway.stats().refused["not_supported"]), (4, 4));
    // a device of another site: the broker knows
    let stranger = Device::new(gateway.address()).await;
    assert_eq!(stranger.connect("s2/D1", true).await, ReturnCode::NotSupported);
    assert_eq!(site.refused("connect", "client_id"), 1);
    gateway.stop().await;
    site.broker.stop().await;
}

/// A-4, SN-13, SN-36: what begins with `$` is the gateway's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_s_own_connection_is_nobody_else_s() {
    let site = site().await;
    let gateway = gateway(&site.broker.address(), password("gw")).await;
    let device = Device::new(gateway.address()).await;
    let bad = ["$x", "$mqttsn-1", "", "/D1", "D1/", "s1/$x", "a+b", "a#"];
    for client_id in bad {
        assert_eq!(device.connect(client_id, true).await, ReturnCode::NotSupported, "{client_id:?}");
    }
    assert_eq!(gateway.stats().refused["client_id"], bad.len() as u64);
    assert_eq!(site.broker.disconnect(&Whom::Client("$mqttsn-1".into())).await, 0, "none of them came through");

    // nobody in particular publishes for the device d
    device.send(publish(Qos::MinusOne, TopicRef::Predefined(LEVEL_ID), 0, b"8")).await;
    patiently("the reading", site.log.wait_past(0)).await;
    assert_eq!(site.broker.disconnect(&Whom::Client("$mqttsn-1".into())).await, 1, "on the gateway's own connection");
    gateway.stop().await;
    site.broker.stop().await;
}

/// SN-11: whom the broker does not let in, the gateway does not either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_a_wrong_password_lets_nobody_in() {
    let site = site().await;
    for (credentials, reason) in [(password("wrong"), "credentials"), (Credentials::default(), "anonymous")] {
        let gateway = gateway(&site.broker.address(), credentials).await;
        let device = Device::new(gateway.address()).await;
        assert_eq!(device.connect("D1", true).await, ReturnCode::NotSupported, "{reason}");
        assert_eq!(site.refused("connect", reason), 1);
        gateway.stop().await;
    }
    site.broker.stop().await;
}

/// SN-10 over TLS, with a certificate in place of a password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_logs_in_by_its_certificate() {
    let (ca, other, dir) = (Ca::new("site"), Ca::new("strangers"), tempfile::tempdir().unwrap());
    write_users(&dir, vec![UserEntry { password: None, ..user("gw", Role::Gateway) }]);
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let site = Secured::start(dir, security).await;
    let url = format!("mqtts://{}", site.address("mqtts"));
    let own = ca.certify("gw", 7, LONG);
    let credentials = Credentials {
        ca: Some(ca.pem.clone().into_bytes()),
        certificate: Some(own.certificate.into_bytes()),
        key: Some(own.key.into_bytes()),
        ..Credentials::default()
    };

    let secure = gateway(&url, credentials.clone()).await;
    let mut device = Device::new(secure.address()).await;
    assert_eq!(device.connect("d", true).await, ReturnCode::Accepted);
    let long = vec![b'x'; 6_000]; // more than a chunk
    for payload in [b"1.5".as_slice(), long.as_slice()] {
        assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), payload).await, ReturnCode::Accepted);
    }
    assert_eq!(site.log.end(), 2);
    device.ping().await;
    secure.stop().await;

    // a broker that somebody else vouches for is not believed: there is no link
    let wary = gateway(&url, Credentials { ca: Some(other.pem.clone().into_bytes()), ..credentials }).await;
    let device = Device::new(wary.address()).await;
    assert_eq!(device.connect("d", true).await, ReturnCode::Congestion);
    wary.stop().await;
    let bare = sn::start(config(&url)).await;
    assert!(bare.is_err_and(|why| why.to_string().contains("(ca)")), "TLS without an authority");
    site.broker.stop().await;
}
