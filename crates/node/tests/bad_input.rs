//! What goes wrong outside the program: each gives its exit code and one line that says what, where, what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::Publisher;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use support::{CONFIRM_TIMEOUT, Net, Ran, free_ports, get, run, table, until, wattle};

fn up(config: &Path) -> Ran {
    // if it runs after all, it ends at once: its standard input is empty
    wattle().args(["up", "--until-stdin-ends", "--config"]).arg(config).output().expect("the program cannot be started").into()
}

/// Changes a configuration by replacing text that must be there.
fn edit(config: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    fs::write(config, text.replace(from, to)).unwrap();
}

#[test]
fn what_cannot_be_understood() {
    run(&["frobnicate"]).refused(2, &["frobnicate", "wattle --help"]);
    run(&["verify"]).refused(2, &["--genesis"]);
    run(&["status", "--node", "ftp://nowhere"]).refused(2, &["ftp://nowhere", "http://HOST:PORT"]);
    run(&["delegate", "--to", "node2", "--amount", "0", "--key", "k"]).refused(2, &["--amount"]);
    run(&["validator", "register", "--name", "n", "--address", "nowhere", "--key", "k"]).refused(2, &["host:port"]);
    run(&["wallet", "show"]).refused(2, &["required"]);
    run(&["validator", "retire", "--key", "no.key"]).refused(2, &["no.key", "--key"]);
    run(&["replay", "x.csv", "--qos", "3"]).refused(2, &["3"]);
    run(&["demo", "--speedup=0", "--exit"]).refused(2, &["speedup"]);
    run(&["demo", "--readings", "100000000", "--exit"]).refused(2, &["--readings"]);
    let help = run(&["--help"]);
    for word in ["demo", "receipt", "Exit codes"] {
        assert!(help.stdout.contains(word), "{help:?}");
    }
    help.ok();
    let asking =
        ["receipt", "verify", "status", "messages", "milestones", "readings", "check", "validators", "wallet", "light", "pipeline"];
    let doing = ["demo", "init", "up", "replay", "validator", "delegate", "undelegate", "withdraw"];
    for command in asking.iter().chain(&doing).copied() {
        let text = run(&[command, "--help"]).ok();
        assert!(text.contains("Examples:"), "{command} --help does not teach:\n{text}");
    }
}

#[test]
fn configurations_that_cannot_be_used() {
    let net = Net::init(1, &[]);
    let config = net.config(1);
    up(&net.dir.path().join("nowhere.toml")).refused(2, &["nowhere.toml", "wattle init"]);
    let good = fs::read_to_string(&config).unwrap();

    fs::write(&config, good.replace("[http]\n", "[http]\ncolour = \"red\"\n")).unwrap();
    up(&config).refused(2, &["wattle.toml", "colour"]);
    fs::write(&config, "[node").unwrap();
    up(&config).refused(2, &["wattle.toml", "line 1"]);
    fs::write(&config, &good).unwrap();
    edit(&config, "data_dir = \"data\"", "data_dir = \"data\"\nkey_file = 7");
    up(&config).refused(2, &["wattle.toml", "key_file"]);
    fs::write(&config, &good).unwrap();

    run(&["up", "--config", config.to_str().unwrap(), "--from-peer", "ftp://x"])
        .refused(2, &["ftp://x", "--from-peer", "http://HOST:PORT"]);
    let key = net.node_dir(1).join("node.key");
    let seed = fs::read_to_string(&key).unwrap();
    fs::write(&key, "not a key\n").unwrap();
    up(&config).refused(2, &["node.key", "64"]);
    fs::write(&key, seed).unwrap();

    // what is printed can be loaded again and means the same
    let printed = run(&["up", "--config", config.to_str().unwrap(), "--dump-config"]).ok();
    fs::write(&config, &printed).unwrap();
    assert_eq!(run(&["up", "--config", config.to_str().unwrap(), "--dump-config"]).ok(), printed);
    assert!(printed.contains("heartbeat_ms"), "{printed}");
}

#[test]
fn a_genesis_of_another_network() {
    let (mut net, other) = (Net::running(1), Net::init(1, &[]));
    net.stop(1);
    let mine = net.node_dir(1);
    // only the genesis: the key is not in its committee
    let good = fs::read(mine.join("genesis.json")).unwrap();
    fs::copy(other.genesis_file(), mine.join("genesis.json")).unwrap();
    up(&net.config(1)).refused(2, &["not in the committee", "genesis.json"]);
    // genesis, key and configuration: then it is the directory that does not fit
    fs::copy(other.node_dir(1).join("node.key"), mine.join("node.key")).unwrap();
    fs::copy(other.config(1), net.config(1)).unwrap();
    up(&net.config(1)).refused(2, &["belongs to the network", "data_dir"]);
    // changed by hand
    let text = String::from_utf8(good).unwrap();
    fs::write(mine.join("genesis.json"), text.replace("\"subnet\": 0", "\"subnet\": 1")).unwrap();
    up(&net.config(1)).refused(2, &["network id does not fit"]);
}

#[test]
fn ports_and_directories_that_are_taken() {
    let mut net = Net::running(1);
    let config = net.config(1);
    // the same node again
    up(&config).refused(2, &["in use by another wattle process", "data"]);
    // other ports, the same directory
    let other = net.node_dir(1).join("other.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    let free = free_ports(3);
    for (k, port) in (net.base..net.base + 3).enumerate() {
        text = text.replace(&port.to_string(), &(free + k as u16).to_string());
    }
    fs::write(&other, text).unwrap();
    up(&other).refused(2, &["in use by another wattle process"]);
    assert_eq!(get(&net.http(1), "/healthz").map(|(code, _)| code), Some(200), "the first node must not notice");
    net.stop(1);
    // each port held by somebody else
    for port in net.base..net.base + 3 {
        let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
        up(&config).refused(2, &[&port.to_string()]);
        drop(holder);
    }
    let out = net.dir.path().join("net");
    run(&["init", "--out", out.to_str().unwrap()]).refused(2, &["not empty", "--out"]);
}

#[test]
fn nobody_there() {
    let port = free_ports(1);
    let node = format!("http://127.0.0.1:{port}");
    for command in ["status", "messages", "milestones", "readings", "validators"] {
        run(&[command, "--node", &node]).refused(3, &[&node, "wattle up"]);
    }
    run(&["receipt", "z1/m/sense/t@1", "--node", &node]).refused(3, &[&node]);
    let net = Net::init(1, &[]);
    let genesis = net.genesis_file();
    let genesis = genesis.to_str().unwrap();
    run(&["light", "follow", "--once", "--genesis", genesis, "--node", &node]).refused(3, &[&node]);
    run(&["light", "wallet", &"1".repeat(64), "--genesis", genesis, "--node", &node]).refused(3, &[&node]);
    run(&["light", "receipt", "z1/m/sense/t@1", "--genesis", genesis, "--node", &node]).refused(3, &[&node]);
    run(&["light", "wallet", "12", "--genesis", genesis]).refused(2, &["64 hexadecimal digits"]);
    run(&["light", "follow", "--once", "--genesis", genesis, "--node", "ftp://x"]).refused(2, &["ftp://x"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("table.csv");
    table(&file, 3);
    let broker = format!("mqtt://127.0.0.1:{port}");
    run(&["replay", file.to_str().unwrap(), "--broker", &broker]).refused(3, &[&broker]);
    run(&["replay", file.to_str().unwrap(), "--broker", "http://x"]).refused(2, &["mqtt://host"]);
    fs::write(&file, "time_ms,device,x\n1470009600000,d,1\nsoon,d,2\n").unwrap();
    run(&["replay", file.to_str().unwrap(), "--broker", &broker]).refused(2, &["table.csv", "line 3", "soon"]);
    run(&["replay", dir.path().join("no.csv").to_str().unwrap(), "--broker", &broker]).refused(2, &["no.csv"]);
    run(&["check", dir.path().to_str().unwrap()]).refused(2, &["no data directory"]);
}

#[test]
fn receipts_that_prove_nothing() {
    let net = Net::running(1);
    let file = net.dir.path().join("table.csv");
    let names = table(&file, 1);
    net.replay(&file, &[]);
    let receipt = net.dir.path().join("r.json");
    let good = net.receipt(&names[0]);
    fs::write(&receipt, &good).unwrap();
    let genesis = net.genesis_file();
    let check = |genesis: &Path| run(&["verify", receipt.to_str().unwrap(), "--genesis", genesis.to_str().unwrap()]);

    let said = check(&genesis).ok();
    assert!(said.contains("device m0 at site z1") && said.contains("confirmed by 1 of 1 validators: node1"), "{said}");
    let json = run(&["verify", receipt.to_str().unwrap(), "--genesis", genesis.to_str().unwrap(), "--json"]).json();
    assert_eq!((json["verified"].as_bool(), json["value"].as_f64(), json["unit"].as_str()), (Some(true), Some(0.5), Some("W")));

    let light = |genesis: &Path| run(&["light", "receipt", receipt.to_str().unwrap(), "--genesis", genesis.to_str().unwrap()]);
    assert_eq!(light(&genesis).ok(), said);

    let other = Net::init(1, &[]);
    check(&other.genesis_file()).refused(1, &["receipt refused", "r.json", "another network"]);
    light(&other.genesis_file()).refused(1, &["receipt refused", "r.json", "another network"]);
    fs::write(&receipt, good.replacen("\"salt\": \"", "\"salt\": \"A", 1)).unwrap();
    check(&genesis).refused(1, &["receipt refused", "the salt"]);
    fs::write(&receipt, "{}").unwrap();
    check(&genesis).refused(1, &["not a receipt"]);
    fs::write(&receipt, [0xff, 0xfe, 0x00]).unwrap();
    check(&genesis).refused(1, &["receipt refused"]);
    check(&net.dir.path().join("no.json")).refused(2, &["no.json"]);
    fs::write(net.dir.path().join("bad.json"), "[]").unwrap();
    check(&net.dir.path().join("bad.json")).refused(2, &["bad.json", "not a genesis"]);

    let unknown = "z1/m0/sense/power@1";
    run(&["receipt", unknown, "--node", &net.http(1), "--wait", "0s"]).refused(1, &["404", unknown]);
    run(&["receipt", "nonsense", "--node", &net.http(1), "--wait", "0s"]).refused(1, &["nonsense"]);
    run(&["messages", &"0".repeat(64), "--node", &net.http(1)]).refused(1, &["404"]);
    run(&["milestones", "999999999", "--node", &net.http(1)]).refused(1, &["404"]);
}

#[test]
fn payloads_that_mean_nothing_are_counted_and_hurt_nobody() {
    let net = Net::running(1);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let publisher = Publisher::connect(&net.mqtt(), "careless").await.unwrap();
        for payload in ["[{\"v\":1e999}]", "{\"what\":1}", "[", ""] {
            publisher.publish("root/device/z1/m1/sense/power", payload.into(), 1).await.unwrap();
        }
        publisher.publish("root/device/z1/m1/sense/power", b"7".to_vec(), 1).await.unwrap();
        publisher.close().await;
    });
    until("the malformed ones are counted", CONFIRM_TIMEOUT, || net.count(1, "/site_stats/rejected") == 4);
    net.wait_confirmed(1);
}
