//! The four modes of `examples/integration`, each as its reader runs it: the same code, the same additions to the
//! configurations, two real nodes (M20).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

#[path = "../../../examples/integration/cloud.rs"]
mod cloud;
#[path = "../../../examples/integration/devices.rs"]
mod devices;
#[path = "../../../examples/integration/gateway.rs"]
mod gateway;
#[path = "../../../examples/integration/place.rs"]
mod place;
#[path = "../../../examples/integration/signer.rs"]
mod signer;

use place::Place;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::{CONFIRM_TIMEOUT, Net, free_ports, get, run, until, verify};

/// What `network.sh` makes, on free ports.
fn network() -> (Net, Place) {
    let mut net = Net::init(2, &["--site", "z1"]);
    let (sn, second) = (UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string(), free_ports(1));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/integration");
    let append = |k: u16, file: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(examples.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        net.configure(k, &text.replace(from, to));
    };
    append(1, "z1.toml", "127.0.0.1:10000", &sn);
    append(2, "z2.toml", "127.0.0.1:1884", &format!("127.0.0.1:{second}"));
    (1..=2).for_each(|k| net.start(k));
    (1..=2).for_each(|k| net.wait_ready(k));
    let directory = net.dir.path().join("net");
    for device in ["meter", "button"] {
        let (file, wallet) = (directory.join(format!("{device}.key")), net.node_dir(1).join("node.key"));
        let (file, wallet, node) = (file.to_str().unwrap(), wallet.to_str().unwrap(), net.http(1));
        run(&["device", "key", file]).ok();
        run(&["device", "register", &format!("z1/{device}"), "--device-key", file, "--key", wallet, "--node", &node]).ok();
        let known = || get(&net.http(2), &format!("/api/v1/devices/z1/{device}")).is_some_and(|(status, _)| status == 200);
        until("the other node knows the device", CONFIRM_TIMEOUT, known);
    }
    let settings = [
        format!("http={}", net.http(1)),
        format!("http2={}", net.http(2)),
        format!("mqtt={}", net.mqtt()),
        format!("mqtt2=mqtt://127.0.0.1:{second}"),
        format!("sn={sn}"),
        format!("network={}", directory.display()),
    ];
    let place = Place::with(settings.into_iter()).unwrap();
    (net, place)
}

#[test]
fn the_four_modes_do_what_their_readme_says() {
    let (net, place) = network();
    let said = gateway::run(&place).unwrap();
    assert!(said.starts_with("A: z1/thermo/sense/temperature@") && said.contains("= 21.5"), "{said}");
    for number in [1, 2] {
        let said = signer::run(&place).unwrap();
        assert!(said.starts_with("B: z1/meter/sense/power@") && said.contains(&format!("number {number},")), "{said}");
    }
    let said = devices::run(&place).unwrap();
    assert!(said.contains("z1/button asked for z2/lamp/act/power") && said.contains("confirmed, delivered"), "{said}");
    with_a_cloud(&net, &place);
    assert!(Place::with(["nonsense".to_owned()].into_iter()).is_err());
}

/// Mode D: what z1 has confirmed so far is with the service, once each, and its receipts hold.
fn with_a_cloud(net: &Net, place: &Place) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place { to: format!("http://{}/ingest", listener.local_addr().unwrap()), ..place.clone() };
    let taken = Arc::new(Mutex::new(Vec::<Value>::new()));
    let kept = taken.clone();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let entry = request(stream.unwrap(), if n == 0 { "503 Service Unavailable" } else { "204 No Content" });
            if n > 0 {
                kept.lock().unwrap().push(entry);
            }
        }
    });
    let said = cloud::run(&place, Some(3)).unwrap();
    assert!(said.starts_with("D: 3 confirmed readings"), "{said}");
    let entries = std::mem::take(&mut *taken.lock().unwrap());
    let topics: Vec<&str> = entries.iter().map(|e| e["reading"]["topic"].as_str().unwrap()).collect();
    assert_eq!(topics, ["z1/thermo/sense/temperature", "z1/meter/sense/power", "z1/meter/sense/power"]);
    for entry in &entries {
        let verified = verify(&entry["receipt"].to_string(), &net.genesis()).unwrap();
        assert_eq!(verified.reading_id.to_string(), entry["id"].as_str().unwrap());
    }
    // another start sends nothing again, and goes on with what is new
    signer::run(&place).unwrap();
    cloud::run(&place, Some(1)).unwrap();
    assert_eq!(taken.lock().unwrap().len(), 1);
}

/// Takes one POST and answers it.
fn request(stream: TcpStream, status: &str) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes()).unwrap();
    serde_json::from_slice(&body).unwrap()
}
