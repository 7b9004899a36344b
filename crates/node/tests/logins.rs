//! A site whose broker asks who is there: commands and the MQTT-SN gateway log in, and no password stands on a command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use protocol::sn::{Connect, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, TopicRef};
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use support::{Net, Ran, run, table, wattle};

const PATIENCE: Duration = Duration::from_secs(30);

/// `wattle user add`, with the password on standard input.
fn add_user(file: &Path, arguments: &[&str], password: &str) {
    let mut command = wattle();
    command.args(["user", "add"]).args(arguments).arg("--file").arg(file);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A node whose broker refuses whoever does not log in, with more lines for its configuration.
fn secured(more: &str) -> Net {
    let mut net = Net::init(1, &[]);
    let users = net.node_dir(1).join("users.toml");
    add_user(&users, &["replay", "--service", "--publish", "root/device/{site}/#"], "one secret");
    add_user(&users, &["gw", "--gateway"], "another");
    let mut config = std::fs::read_to_string(net.config(1)).unwrap();
    config.push_str(&format!("\n[broker.access]\nanonymous = \"refuse\"\nusers = \"users.toml\"\n{more}"));
    std::fs::write(net.config(1), config).unwrap();
    std::fs::write(net.node_dir(1).join("mqttsn.password"), "another\n").unwrap();
    net.start(1);
    net.wait_ready(1);
    net
}

#[test]
fn a_replay_logs_in_by_a_file_or_the_environment() {
    let net = secured("");
    let (rows, right, wrong) = (net.dir.path().join("rows.csv"), net.dir.path().join("right"), net.dir.path().join("wrong"));
    table(&rows, 20);
    std::fs::write(&right, "one secret\n").unwrap();
    std::fs::write(&wrong, "no secret\n").unwrap();
    let file = |path: &Path| path.to_str().unwrap().to_owned();

    let report = net.replay(&rows, &["--user", "replay", "--password-file", &file(&right)]);
    assert_eq!(report["acknowledged"], 20);
    let by_environment = |password: &str| -> Ran {
        let mut command = net.replay_command(&rows, &["--user", "replay"]);
        command.env("WATTLE_MQTT_PASSWORD", password).output().unwrap().into()
    };
    assert_eq!(by_environment("one secret").json()["acknowledged"], 20);
    net.wait_confirmed(20);

    by_environment("no secret").refused(1, &["user name or password"]);
    let ran: Ran = net.replay_command(&rows, &["--user", "replay", "--password-file", &file(&wrong)]).output().unwrap().into();
    assert!(!ran.stderr.contains("no secret"), "{ran:?}");
    ran.refused(1, &["user name or password"]);
    let ran: Ran = net.replay_command(&rows, &[]).output().unwrap().into();
    ran.refused(1, &["not authorised"]);
    // said before anything is dialled
    let start = ["replay", rows.to_str().unwrap(), "--broker", "mqtts://127.0.0.1:1"];
    let replay = |more: &[&str]| run(&[start.as_slice(), more].concat());
    replay(&[]).refused(2, &["(ca)"]);
    replay(&["--ca", "nowhere.pem"]).refused(2, &["nowhere.pem"]);
    replay(&["--cert", "c.pem"]).refused(2, &["--key"]);
    replay(&["--password-file", "p"]).refused(2, &["--user"]);
    for password in ["one secret", "no secret"] {
        assert!(!net.log(1).contains(password), "a password is in the log");
    }
}

#[test]
fn the_gateway_of_a_secured_site_logs_in() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("\n[mqttsn]\nlisten = \"127.0.0.1:{port}\"\nusername = \"gw\"\npassword_file = \"mqttsn.password\"\n");
    let net =
        secured(&format!("{listen}[mqttsn.predefined]\n1 = \"root/device/z1/m1/sense/power\"\n2 = \"root/device/z1/m2/sense/power\"\n"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let ask = |packet: Packet| {
        socket.send(&packet.encode().unwrap()).unwrap();
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).expect("no answer");
        Packet::decode(&bytes[..length]).unwrap()
    };
    let connect = |client_id: &str| {
        Packet::Connect(Connect {
            will: false,
            clean_session: true,
            protocol_id: PROTOCOL_ID,
            keep_alive_s: 60,
            client_id: client_id.into(),
        })
    };
    let publish = |qos, topic_id, message_id, value: u8| {
        let data = format!("{{\"v\":{value},\"t\":{},\"u\":\"W\"}}", 1_470_009_600_000 + u64::from(value)).into_bytes();
        Packet::Publish(Publish { dup: false, qos, retain: false, topic: TopicRef::Predefined(topic_id), message_id, data })
    };
    assert_eq!(ask(connect("$x")), Packet::ConnAck(ReturnCode::NotSupported));
    assert_eq!(ask(connect("m1")), Packet::ConnAck(ReturnCode::Accepted));
    let answer = |topic_id, message_id, code| Packet::PubAck { topic_id, message_id, code };
    assert_eq!(ask(publish(Qos::AtLeastOnce, 1, 7, 1)), answer(1, 7, ReturnCode::Accepted));
    assert_eq!(ask(publish(Qos::AtLeastOnce, 2, 8, 2)), answer(2, 8, ReturnCode::NotSupported), "m1 is not m2");
    // nobody in particular, on the gateway's own connection
    let anybody = UdpSocket::bind("127.0.0.1:0").unwrap();
    anybody.send_to(&publish(Qos::MinusOne, 2, 0, 3).encode().unwrap(), ("127.0.0.1", port)).unwrap();
    net.wait_confirmed(2);
    assert_eq!(net.count(1, "/mqttsn/refused/client_id"), 1);
}
