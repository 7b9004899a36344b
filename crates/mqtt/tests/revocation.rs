//! Rights that end while clients are connected, on every listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::result_large_err, reason = "the error of the client library is what it is")]

#[allow(dead_code, reason = "others use the rest")]
mod secured;
#[allow(dead_code, reason = "others use the rest")]
mod waiting;

use mqtt::access::{Role, UserEntry, UserFile};
use protocol::Name;
use rumqttc::Transport;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use secured::{Ca, Client, LONG, Secured, connect, refusal, settings, tls_configuration, user, with_tls, write_users};

/// Every listener.
const LISTENERS: [&str; 4] = ["mqtt", "ws", "mqtts", "wss"];

/// Options for a listener.
fn options(site: &Secured, ca: &Ca, scheme: &str, client_id: &str) -> MqttOptions {
    let address = site.address(scheme);
    let tls = || tls_configuration(ca, None);
    let (host, transport) = match scheme {
        "ws" => (format!("ws://{address}/mqtt"), Transport::Ws),
        "wss" => (format!("wss://{address}/mqtt"), Transport::Wss(tls())),
        "mqtts" => ("127.0.0.1".to_string(), Transport::Tls(tls())),
        _ => ("127.0.0.1".to_string(), Transport::Tcp),
    };
    let mut options = MqttOptions::new(client_id, host, address.port());
    options.set_transport(transport);
    options
}

/// A site with the users m1 and m2, and a client of each on each listener.
async fn site() -> (Secured, Ca, Vec<Client>, Vec<Client>) {
    let (ca, dir) = (Ca::new("devices"), tempfile::tempdir().unwrap());
    write_users(&dir, vec![user("m1", Role::Device), user("m2", Role::Device)]);
    let mut security = settings(&dir);
    with_tls(&mut security, &dir, &ca);
    let revoked = dir.path().join("revoked.txt");
    std::fs::write(&revoked, "").unwrap();
    security.access.revoked = Some(revoked);
    let site = Secured::start(dir, security).await;
    let mut clients = (Vec::new(), Vec::new());
    for scheme in LISTENERS {
        for (name, clients) in [("m1", &mut clients.0), ("m2", &mut clients.1)] {
            let mut options = options(&site, &ca, scheme, &format!("{name}-{scheme}"));
            options.set_credentials(name, name);
            clients.push(connect(options).await.unwrap());
        }
    }
    (site, ca, clients.0, clients.1)
}

async fn publishes(client: &mut Client, device: &str) -> PubAckReason {
    client.publish(&format!("root/device/s1/{device}/sense/t")).await
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_user_is_out_on_every_listener() {
    let (site, ca, mut gone, mut stay) = site().await;
    for client in &mut gone {
        assert_eq!(publishes(client, "m1").await, PubAckReason::Success);
    }
    let file = site.dir.path().join("users.toml");
    let m2 = UserFile::load(&file).unwrap().users.into_iter().find(|user| user.name == "m2").unwrap();
    write_users(&site.dir, vec![UserEntry { disabled: true, ..user("m1", Role::Device) }, m2]);
    site.broker.reload().await.unwrap();
    for client in &mut gone {
        client.closed().await;
    }
    for (i, scheme) in LISTENERS.into_iter().enumerate() {
        let mut again = options(&site, &ca, scheme, &format!("m1-{scheme}"));
        again.set_credentials("m1", "m1");
        assert_eq!(refusal(again).await, ConnectReturnCode::NotAuthorized, "{scheme}");
        assert_eq!(publishes(&mut stay[i], "m2").await, PubAckReason::Success, "{scheme}: who did not change was disturbed");
    }
    assert_eq!((site.broker.access().closed, site.refused("connect", "disabled")), (4, 4));
    site.broker.stop().await;
}

/// what the ledger's registry says of a device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barred_device_is_out_on_every_listener() {
    let (site, _, mut gone, mut stay) = site().await;
    site.broker.bar(&Name::new("m1").unwrap(), true).await;
    for client in &mut gone {
        client.closed().await;
    }
    for client in &mut stay {
        assert_eq!(publishes(client, "m2").await, PubAckReason::Success);
    }
    assert_eq!(site.broker.access().closed, 4);
    site.broker.stop().await;
}

///
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_out_over_websocket_too() {
    let (site, ca, _m1, _m2) = site().await;
    let (lost, kept) = (ca.certify("m7", 0x77, LONG), ca.certify("m8", 0x88, LONG));
    let over = |client_id: &str, pair| {
        let address = site.address("wss");
        let mut options = MqttOptions::new(client_id, format!("wss://{address}/mqtt"), address.port());
        options.set_transport(Transport::Wss(tls_configuration(&ca, Some(pair))));
        options
    };
    let mut m7 = connect(over("m7", &lost)).await.unwrap();
    let mut m8 = connect(over("m8", &kept)).await.unwrap();
    assert_eq!(publishes(&mut m7, "m7").await, PubAckReason::Success);
    std::fs::write(site.dir.path().join("revoked.txt"), "serial:77\n").unwrap();
    // nobody has to ask: the file has changed
    m7.closed().await;
    assert_eq!(refusal(over("m7", &lost)).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(publishes(&mut m8, "m8").await, PubAckReason::Success);
    assert_eq!(site.refused("connect", "revoked"), 1);
    site.broker.stop().await;
}
