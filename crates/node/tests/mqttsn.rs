//! A node with an MQTT-SN gateway: a device's publish ends up in a receipt, and is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use protocol::sn::{Connect, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, TopicRef};
use std::net::UdpSocket;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, get, run, until, verify};

const PATIENCE: Duration = Duration::from_secs(30);

fn ask(socket: &UdpSocket, packet: &Packet) -> Packet {
    socket.send(&packet.encode().unwrap()).unwrap();
    let mut bytes = [0; 512];
    let length = socket.recv(&mut bytes).expect("no answer");
    Packet::decode(&bytes[..length]).unwrap()
}

#[test]
fn a_publish_over_mqtt_sn_has_a_receipt() {
    let mut net = Net::init(1, &[]);
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = std::fs::read_to_string(net.config(1)).unwrap();
    config.push_str(&format!("\n[mqttsn]\nlisten = \"127.0.0.1:{port}\"\n[mqttsn.predefined]\n1 = \"root/device/z1/m1/sense/power\"\n"));
    std::fs::write(net.config(1), config).unwrap();
    net.start(1);
    net.wait_ready(1);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let connect = Connect { will: false, clean_session: true, protocol_id: PROTOCOL_ID, keep_alive_s: 60, client_id: "m1".into() };
    assert_eq!(ask(&socket, &Packet::Connect(connect)), Packet::ConnAck(ReturnCode::Accepted));
    let data = b"{\"v\":42,\"t\":1470009600000,\"u\":\"W\"}".to_vec();
    let topic = TopicRef::Predefined(1);
    let publish = Publish { dup: false, qos: Qos::AtLeastOnce, retain: false, topic, message_id: 7, data };
    let accepted = Packet::PubAck { topic_id: 1, message_id: 7, code: ReturnCode::Accepted };
    assert_eq!(ask(&socket, &Packet::Publish(publish)), accepted);

    let reference = "z1/m1/sense/power@1470009600000000";
    net.wait_reading(reference);
    let verified = verify(&net.receipt(reference), &net.genesis()).unwrap();
    assert_eq!(verified.reading.value, protocol::Value::Number(42.0));
    until("the status counts it", CONFIRM_TIMEOUT, || net.count(1, "/mqttsn/publishes_in") == 1);
    assert_eq!(net.count(1, "/mqttsn/clients"), 1);
    let (_, metrics) = get(&net.http(1), "/metrics").unwrap();
    assert!(metrics.contains("wattle_mqttsn_publishes_in_total 1"), "{metrics}");
    let table = run(&["status", "--node", &net.http(1)]).ok();
    assert!(table.contains("MQTT-SN clients"), "{table}");

    // a stop tells the device
    net.stop(1);
    let mut bytes = [0; 16];
    let length = socket.recv(&mut bytes).unwrap();
    assert_eq!(Packet::decode(&bytes[..length]), Ok(Packet::Disconnect { duration_s: None }));
}

#[test]
fn a_gateway_that_cannot_start_is_a_clear_error() {
    let net = Net::init(1, &[]);
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = std::fs::read_to_string(net.config(1)).unwrap();
    config.push_str(&format!("\n[mqttsn]\nlisten = \"{}\"\n", taken.local_addr().unwrap()));
    std::fs::write(net.config(1), config).unwrap();
    run(&["up", "--config", net.config(1).to_str().unwrap()]).refused(2, &["MQTT-SN", "mqttsn.listen"]);
}
