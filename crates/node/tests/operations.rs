//! What operators do: look for faults, back up and restore, reload, and run a node under a supervisor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use support::{NODE_TIMEOUT, Net, Process, Ran, free_ports, run, table, until, wattle};

/// What the doctor says of a configuration.
fn doctor(config: &Path) -> (i32, Value) {
    let ran: Ran = wattle().arg("doctor").arg("--config").arg(config).arg("--json").output().unwrap().into();
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("no report ({e}): {ran:#?}"));
    (ran.code, report)
}

/// Asserts that the doctor finds something of this state whose text holds `says`, and tells what to do.
fn finds(config: &Path, check: &str, state: &str, says: &str) {
    let (code, report) = doctor(config);
    let found = |f: &&Value| f["check"] == check && f["state"] == state && f["found"].as_str().unwrap().contains(says);
    let finding = report["findings"].as_array().unwrap().iter().find(found).unwrap_or_else(|| panic!("{check} {state} {says}: {report:#}"));
    assert_ne!(finding["what_to_do"], "", "{finding}");
    if state == "bad" {
        assert_eq!((code, &report["sound"]), (1, &Value::Bool(false)));
    }
}

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// The process that has a node's data directory.
fn hang_up(net: &Net, k: u16) {
    let pid: i32 = fs::read_to_string(net.node_dir(k).join("data/lock")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
}

#[test]
fn the_doctor_is_content_with_a_node_that_runs() {
    let net = Net::running(1);
    let (code, report) = doctor(&net.config(1));
    assert_eq!((code, &report["sound"]), (0, &Value::Bool(true)), "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    let held =
        findings.iter().filter(|f| f["check"] == "ports" && f["found"].as_str().unwrap().contains("the node that runs here")).count();
    assert_eq!(held, 3, "ledger, HTTP, MQTT: {report:#}");
    assert!(findings.iter().any(|f| f["check"] == "clock" && f["state"] == "ok"), "it was compared: {report:#}");
    // for people
    let ran = run(&["doctor", "--config", net.config(1).to_str().unwrap()]);
    let text = ran.ok();
    assert!(text.contains("disk speed") && !text.contains('\x1b'), "no colours in a pipe: {text}");
}

#[test]
fn the_doctor_finds_each_planted_fault() {
    let net = Net::init(2, &[]);
    let (node, config) = (net.node_dir(1), net.config(1));
    let good = fs::read_to_string(&config).unwrap();
    finds(&config, "peers", "warn", "does not answer");

    let http = TcpListener::bind(("127.0.0.1", net.base + 2)).unwrap();
    finds(&config, "ports", "bad", &format!("pid {}", std::process::id()));
    drop(http);

    set_mode(&node.join("node.key"), 0o644);
    finds(&config, "key mode", "bad", "644");
    set_mode(&node.join("node.key"), 0o600);

    fs::rename(node.join("genesis.json"), node.join("away.json")).unwrap();
    finds(&config, "genesis", "bad", "genesis.json");
    fs::rename(node.join("away.json"), node.join("genesis.json")).unwrap();

    fs::create_dir_all(node.join("data")).unwrap();
    fs::write(node.join("data/network"), "ab".repeat(32)).unwrap();
    finds(&config, "genesis", "bad", "belong to network abab");
    fs::remove_file(node.join("data/network")).unwrap();

    let tomorrow = fs::File::create(node.join("data/tomorrow")).unwrap();
    #[allow(clippy::disallowed_methods, reason = "a file from the future")]
    let then = SystemTime::now() + Duration::from_secs(86_400);
    tomorrow.set_modified(then).unwrap();
    finds(&config, "clock", "bad", "this node wrote a file");
    fs::remove_file(node.join("data/tomorrow")).unwrap();

    net.configure(1, "\n[cache]\nmin_free_bytes = 4611686018427387904\n");
    finds(&config, "disk room", "bad", "less than cache.min_free_bytes");
    fs::write(&config, &good).unwrap();

    net.configure(1, "\n[fog]\npipelines = \"no.toml\"\n");
    finds(&config, "pipelines", "bad", "no.toml");
    fs::write(&config, good.replace("[http]\n", "[http]\ncolour = 1\n")).unwrap();
    finds(&config, "configuration", "bad", "colour");

    let away = format!("mqtt://127.0.0.1:{}", free_ports(1));
    let net = Net::init(1, &["--broker", &away]);
    finds(&net.config(1), "brokers", "bad", "broker.external");
}

/// Something that listens as a node does: its address, and the head of the first request that it gets.
fn listening() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (mut lines, mut text) = (BufReader::new(&stream), String::new());
        while !text.ends_with("\r\n\r\n") && lines.read_line(&mut text).unwrap() > 0 {}
        (&stream).write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        text
    });
    (url, heard)
}

#[test]
fn a_token_is_shown_to_one_node_only() {
    let net = Net::init(1, &[]);
    let (config, file) = (net.config(1), net.dir.path().join("a.token"));
    fs::write(&file, "wattle_secret\n").unwrap();
    let ask = |nodes: &[&str]| {
        let mut command = wattle();
        command.arg("--token-file").arg(&file).arg("doctor").arg("--config").arg(&config);
        for node in nodes {
            command.arg("--node").arg(node);
        }
        command.output().unwrap();
    };
    let (url, heard) = listening();
    ask(&[&url]);
    let text = heard.join().unwrap();
    assert!(text.contains("wattle_secret"), "{text}");
    let ((one, by_one), (other, by_other)) = (listening(), listening());
    ask(&[&one, &other]);
    for heard in [by_one, by_other] {
        let text = heard.join().unwrap();
        assert!(text.starts_with("GET /api/v1/status ") && !text.contains("wattle_secret"), "{text}");
    }
}

#[test]
fn what_was_backed_up_serves_the_same_receipts() {
    let mut net = Net::running(1);
    let rows = net.dir.path().join("table.csv");
    let names = table(&rows, 60);
    net.replay(&rows, &["--rate", "600"]);
    net.wait_confirmed(60);
    net.wait_reading(&names[17]);
    let before = net.receipt(&names[17]);
    let (node, out) = (net.node_dir(1), net.dir.path().join("node1.tar"));
    let (node_text, out_text) = (node.to_str().unwrap().to_owned(), out.to_str().unwrap().to_owned());

    run(&["backup", &node_text, "--out", &out_text]).refused(2, &["in use", "stop that one"]);
    assert!(!out.exists());
    net.stop(1);
    let said = run(&["backup", &node_text, "--out", &out_text, "--json"]).json();
    assert!(said["files"].as_u64().unwrap() > 3 && said["bytes"].as_u64().unwrap() > 0, "{said}");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    run(&["backup", &node_text, "--out", &out_text]).refused(2, &["node1.tar"]);

    // it goes on where it was, on another disk
    fs::rename(&node, net.dir.path().join("old")).unwrap();
    run(&["restore", &out_text, "--to", &node_text]).refused(2, &["--resume"]);
    let restored = run(&["restore", &out_text, "--to", &node_text, "--resume", "--json"]).json();
    assert_eq!((restored["damages"].as_u64(), &restored["files"]), (Some(0), &said["files"]), "{restored}");
    assert_eq!(fs::metadata(node.join("node.key")).unwrap().permissions().mode() & 0o777, 0o600);
    net.start(1);
    net.wait_ready(1);
    assert_eq!(net.receipt(&names[17]), before);
    run(&["restore", &out_text, "--to", &node_text, "--resume"]).refused(2, &["not an empty directory"]);

    // without what must not be old
    let again = net.dir.path().join("again");
    run(&["restore", &out_text, "--to", again.to_str().unwrap(), "--rejoin"]).ok();
    assert!(again.join("node.key").is_file() && again.join("wattle.toml").is_file());
    assert!(!again.join("data/ledger").exists() && !again.join("data/log").exists());

    // what is damaged leaves nothing behind
    let good = fs::read(&out).unwrap();
    let bad = net.dir.path().join("bad.tar");
    let (bad_text, none) = (bad.to_str().unwrap().to_owned(), net.dir.path().join("none"));
    let mut flipped = good.clone();
    let at = good.windows(6).position(|w| w == b"[node]").expect("the configuration is in it as it is");
    flipped[at + 2] ^= 0x20;
    let cut = good[..good.len() / 2].to_vec();
    for (bytes, why) in [(flipped, "is not what was backed up"), (cut, "nothing was restored"), (b"no backup".repeat(200), "checksum")] {
        fs::write(&bad, bytes).unwrap();
        run(&["restore", &bad_text, "--to", none.to_str().unwrap(), "--resume"]).refused(1, &[why]);
        assert!(!none.exists());
    }
    let left: Vec<_> = fs::read_dir(net.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("restore")), "{left:?}");
}

#[test]
fn paths_elsewhere_are_brought_home() {
    let net = Net::init(1, &[]);
    let (node, elsewhere) = (net.node_dir(1), tempfile::tempdir().unwrap());
    fs::rename(node.join("node.key"), elsewhere.path().join("k")).unwrap();
    fs::rename(node.join("genesis.json"), elsewhere.path().join("g")).unwrap();
    fs::create_dir_all(elsewhere.path().join("var/things")).unwrap();
    fs::write(elsewhere.path().join("var/things/a"), "thing").unwrap();
    let text = fs::read_to_string(net.config(1)).unwrap();
    let kept = text.lines().filter(|line| !["data_dir", "genesis", "key_file"].iter().any(|key| line.starts_with(key)));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    let at = |name: &str| elsewhere.path().join(name);
    let node_table = format!("[node]\ndata_dir = {:?}\ngenesis = {:?}\nkey_file = {:?}\n", at("var"), at("g"), at("k"));
    fs::write(net.config(1), kept.replacen("[node]\n", &node_table, 1)).unwrap();

    let (out, to) = (net.dir.path().join("b.tar"), net.dir.path().join("home"));
    run(&["backup", node.to_str().unwrap(), "--out", out.to_str().unwrap()]).ok();
    run(&["restore", out.to_str().unwrap(), "--to", to.to_str().unwrap(), "--rejoin"]).ok();
    let restored = fs::read_to_string(to.join("wattle.toml")).unwrap();
    assert!(!restored.contains(elsewhere.path().to_str().unwrap()), "{restored}");
    assert_eq!(fs::read_to_string(to.join("data/things/a")).unwrap(), "thing");
    assert_eq!(fs::read(to.join("restored-node.key")).unwrap(), fs::read(at("k")).unwrap());
    let (_, report) = doctor(&to.join("wattle.toml"));
    let states: Vec<_> = report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == "key" || f["check"] == "genesis").collect();
    assert!(states.len() == 2 && states.iter().all(|f| f["state"] == "ok"), "{report:#}");
}

#[test]
fn the_log_is_filtered_anew_and_can_be_read_by_programs() {
    let mut net = Net::init(1, &[]);
    net.configure(1, "\n[log]\nformat = \"json\"\n");
    net.start(1);
    net.wait_ready(1);
    let objects = |net: &Net| -> Vec<Value> { net.log(1).lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let first = objects(&net);
    assert!(
        first.iter().any(|line| line["level"] == "INFO" && line["message"] == "the node runs" && line["node"] == "node1"),
        "{}",
        net.log(1)
    );
    assert!(!first.iter().any(|line| line["level"] == "DEBUG"));

    let config = fs::read_to_string(net.config(1)).unwrap();
    fs::write(net.config(1), config.replace("format = \"json\"", "format = \"json\"\nfilter = \"debug\"")).unwrap();
    hang_up(&net, 1);
    until("the filter is in force", NODE_TIMEOUT, || objects(&net).iter().any(|line| line["filter"] == "debug"));
    until("more is logged", NODE_TIMEOUT, || objects(&net).iter().any(|line| line["level"] == "DEBUG"));

    fs::write(net.config(1), config.replace("format = \"json\"", "filter = \"mqtt=loud\"")).unwrap();
    hang_up(&net, 1);
    until("what is wrong is said", NODE_TIMEOUT, || net.log(1).contains("the log's filter stays as it is"));
    net.stop(1);
}

#[test]
fn a_supervisor_is_told() {
    let net = Net::init(1, &[]);
    let path = net.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(NODE_TIMEOUT)).unwrap();
    let heard = || {
        let mut buffer = [0u8; 1024];
        let n = socket.recv(&mut buffer).expect("nothing was said in time");
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    let mut command = wattle();
    command.arg("up").arg("--config").arg(net.config(1)).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut node = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let ready = heard();
    assert!(ready.starts_with("READY=1\nSTATUS=ready: ledger 127.0.0.1:"), "{ready}");
    assert_eq!([heard(), heard()], ["WATCHDOG=1", "WATCHDOG=1"], "signs of life");
    node.terminate();
    while heard() != "STOPPING=1" {}
    assert_eq!(node.wait(NODE_TIMEOUT), 0);
}

#[test]
fn who_watches_sees_it_again_and_again() {
    let net = Net::running(1);
    let mut command = wattle();
    command.args(["status", "--json", "--watch", "1", "--node", &net.http(1)]).stdout(Stdio::piped());
    let mut watching = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let status: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(status["name"], "node1");
    }
    drop(lines);
    assert_eq!(watching.wait(NODE_TIMEOUT), 0, "a reader that has seen enough ends it");
    let page = run(&["top", "--once", "--node", &net.http(1)]).ok();
    assert!(page.contains("node1, site z1") && page.contains("in the committee"), "{page}");
    run(&["top", "--node", &net.http(1)]).refused(2, &["no terminal", "--once"]);
}

#[test]
fn shells_and_man_learn_the_command_line() {
    let text = run(&["completions", "bash"]).ok();
    assert!(text.contains("_wattle") && text.contains("doctor"));
    let dir = tempfile::tempdir().unwrap();
    run(&["man", dir.path().to_str().unwrap()]).ok();
    let page = fs::read_to_string(dir.path().join("wattle-restore.1")).unwrap();
    assert!(page.contains("rejoin"), "{page}");
}
