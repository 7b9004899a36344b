//! The fog processor of a running site: from a publish to a receipt of what was made of it, to an actuator, through kills and
//! changes of the pipelines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[path = "support/devices.rs"]
#[allow(dead_code)] // only one of its devices is needed here
mod devices;
mod support;

use mqtt::{Publisher, Received, Subscriber};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, Ran, get, until, verify, wattle};

const PATIENCE: Duration = Duration::from_secs(30);
/// The time of the first reading, in microseconds since 1970: the start of an hour.
const START_US: u64 = 1_470_009_600_000_000;

const PIPELINES: &str = r#"
[[pipeline]]
name = "power"
match = "z1/+/sense/power"
[[pipeline.stage]]
do = "validate"
type = "number"
max = 10000
[[pipeline.stage]]
do = "window"
size_s = 3600
emit = "mean"
[[pipeline.stage]]
do = "filter"
only = "power"
deadband = 5
[[pipeline.stage]]
do = "rule"
name = "shed"
only = "power"
on_above = 100
off_below = 50
publish = "+/load/act/shed"
on = true
off = false
"#;

/// A network of one node whose site has pipelines; it does not run yet.
fn site(pipelines: &str, more: &str) -> Net {
    let net = Net::init(1, &[]);
    let config = fs::read_to_string(net.config(1)).unwrap();
    fs::write(net.config(1), format!("{config}\n[fog]\npipelines = \"pipelines.toml\"\n{more}")).unwrap();
    fs::write(net.node_dir(1).join("pipelines.toml"), pipelines).unwrap();
    net
}

fn run(net: &mut Net) {
    net.start(1);
    net.wait_ready(1);
}

/// The short object of a value so many seconds after the start.
fn at(seconds: u64, value: f64) -> Vec<u8> {
    json!({ "v": value, "t": START_US / 1_000 + seconds * 1_000 }).to_string().into_bytes()
}

async fn next(subscriber: &mut Subscriber) -> Received {
    tokio::time::timeout(PATIENCE, subscriber.recv()).await.expect("nothing came").unwrap()
}

/// The value of a SenML pack of one record, and its sequence number.
fn record(payload: &[u8]) -> (Value, Value) {
    let pack: Value = serde_json::from_slice(payload).unwrap();
    let record = &pack[0];
    let value = ["v", "vb", "vs"].iter().find_map(|label| record.get(label)).cloned().unwrap();
    (value, record["seq"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pipelines_make_is_on_the_ledger_and_actuators_are_told() {
    let net = tokio::task::spawn_blocking(|| {
        let mut net = site(PIPELINES, "");
        run(&mut net);
        net
    })
    .await
    .unwrap();
    let mut actuator = Subscriber::connect(&net.mqtt(), "load", &["root/fog/z1/load/act/#"], 1).await.unwrap();
    let mut listener = Subscriber::connect(&net.mqtt(), "listener", &["root/fog/z1/m1/#"], 1).await.unwrap();
    let mut rejected = Subscriber::connect(&net.mqtt(), "operator", &["root/fog/z1/rejected"], 1).await.unwrap();
    let device = Publisher::connect(&net.mqtt(), "m1").await.unwrap();
    let topic = "root/device/z1/m1/sense/power";
    // 82 is within the deadband around 80; between 50 and 100 the rule stays as it was
    for (seconds, value) in [(0, 80.0), (600, 82.0), (1200, 120.0), (1800, 70.0), (2400, 30.0), (4200, 20.0)] {
        device.publish(topic, at(seconds, value), 1).await.unwrap();
    }
    device.publish(topic, "{oops".into(), 1).await.unwrap();
    device.publish(topic, at(4500, 20_000.0), 1).await.unwrap();

    let mut heard = Vec::new();
    while heard.len() < 6 {
        let copy = next(&mut listener).await;
        heard.push((copy.topic.rsplit('/').next().unwrap().to_owned(), record(&copy.payload).0));
    }
    let of = |name: &str| heard.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("power"), [80.0, 120.0, 70.0, 30.0, 20.0]);
    assert_eq!(of("power.mean"), [(80.0 + 82.0 + 120.0 + 70.0 + 30.0) / 5.0]);
    // on at 120, and off not before 30: numbered
    for expected in [(json!(true), json!(0)), (json!(false), json!(1))] {
        let command = next(&mut actuator).await;
        assert_eq!((command.topic.as_str(), record(&command.payload)), ("root/fog/z1/load/act/shed", expected));
    }
    let reasons: Vec<Value> =
        [next(&mut rejected).await, next(&mut rejected).await].iter().map(|r| serde_json::from_slice(&r.payload).unwrap()).collect();
    assert!(reasons.iter().all(|r| r["topic"] == topic), "{reasons:?}");
    assert!(reasons.iter().any(|r| r["stage"] == 1 && r["pipeline"] == "power" && r["time_us"] == START_US + 4_500_000_000), "{reasons:?}");

    tokio::task::spawn_blocking(move || {
        net.wait_confirmed(6);
        let mean = format!("z1/m1/sense/power.mean@{START_US}");
        let verified = verify(&net.receipt(&mean), &net.genesis()).unwrap();
        assert_eq!(verified.reading.value, protocol::Value::Number(76.4));
        // what was filtered has no receipt
        let path = format!("/api/v1/readings/z1/m1/sense/power%40{}", START_US + 600_000_000);
        assert_eq!(get(&net.http(1), &path).map(|(status, _)| status), Some(404));
        let status = net.status(1).unwrap();
        let fog = &status["site_stats"]["fog"];
        for (name, count) in
            [("readings_in", 7), ("readings_out", 6), ("filtered", 1), ("commands", 2), ("intake_pending", 0), ("pipelines", 1)]
        {
            assert_eq!(fog[name], count, "{name} in {fog}");
        }
        assert_eq!(fog["rejected"], json!({ "range": 1 }), "{fog}");
        let (_, metrics) = get(&net.http(1), "/metrics").unwrap();
        for line in ["wattle_fog_readings_in_total 7", "wattle_fog_commands_total 2", "wattle_fog_stalled 0"] {
            assert!(metrics.lines().any(|l| l == line), "no line {line:?} in\n{metrics}");
        }
        let said = support::run(&["status", "--node", &net.http(1)]).ok();
        assert!(said.contains("pipelines") && said.contains("2 commands"), "{said}");
    })
    .await
    .unwrap();
}

/// Pipelines that sum up hours and keep nothing else, so that each window is two readings on the ledger.
const HOURS: &str = r#"
[[pipeline]]
name = "hours"
match = "z1/+/sense/power"
[[pipeline.stage]]
do = "window"
size_s = 3600
emit = ["count", "sum"]
keep = false
"#;
/// Readings of each hour, one every three minutes, and hours: far apart, so that no window closes because a kill takes long.
const AN_HOUR: u64 = 20;
const HOURS_MAX: u64 = 60;
/// Kills.
const KILLS: u64 = 4;

#[test]
fn killed_in_mid_stream_every_window_is_there_once() {
    let mut net = site(HOURS, "");
    run(&mut net);
    let (total, part) = (AN_HOUR * HOURS_MAX, AN_HOUR * HOURS_MAX / (KILLS + 1));
    let publishes = (0..total).map(|n| ("root/device/z1/m1/sense/power".to_owned(), at(n * 3600 / AN_HOUR, n as f64)));
    let device = devices::OneByOne::start(net.mqtt(), publishes.collect());
    for kill in 0..KILLS {
        device.allow(part as usize);
        // in the middle of the part, whatever is under way
        until("some are acknowledged", CONFIRM_TIMEOUT, || device.acknowledged() >= part * kill + part / 2);
        net.kill(1);
        run(&mut net);
    }
    device.allow(total as usize);
    device.finish();
    // the last hour is open still
    net.wait_confirmed(2 * (HOURS_MAX - 1));
    for hour in 0..HOURS_MAX - 1 {
        let sum: u64 = (hour * AN_HOUR..(hour + 1) * AN_HOUR).sum();
        for (name, value) in [("count", AN_HOUR as f64), ("sum", sum as f64)] {
            let reference = format!("z1/m1/sense/power.{name}@{}", START_US + hour * 3_600_000_000);
            let verified = verify(&net.receipt(&reference), &net.genesis()).unwrap();
            assert_eq!(verified.reading.value, protocol::Value::Number(value), "{reference}");
        }
    }
    net.stop(1);
    sound(&net);
}

fn sound(net: &Net) {
    let ran: Ran = wattle().arg("check").arg(net.node_dir(1)).arg("--json").output().unwrap().into();
    let report = ran.json();
    assert_eq!((&report["sound"], report.get("intake_readings").is_some()), (&json!(true), true), "{report}");
}

/// What the status says of the processor.
fn fog(net: &Net, pointer: &str) -> Value {
    net.status(1).and_then(|s| s.pointer(&format!("/site_stats/fog{pointer}")).cloned()).unwrap_or_default()
}

fn write(net: &Net, text: &str) {
    // as an editor does: a new file in the place of the old one
    let (new, file) = (net.node_dir(1).join("pipelines.new"), net.node_dir(1).join("pipelines.toml"));
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

fn publish(net: &Net, payload: Vec<u8>) {
    let device = devices::OneByOne::start(net.mqtt(), vec![("root/device/z1/m1/sense/power".to_owned(), payload)]);
    device.allow(1);
    device.finish();
}

#[test]
fn pipelines_change_while_the_site_runs() {
    const NONE: &str =
        "[[pipeline]]\nname = \"none\"\nmatch = \"z1/+/sense/power\"\n[[pipeline.stage]]\ndo = \"filter\"\nwhen = \"value < 0\"\n";
    let mut net = site(NONE, "");
    run(&mut net);
    publish(&net, at(0, 1.0));
    until("the reading is filtered", CONFIRM_TIMEOUT, || fog(&net, "/filtered") == 1);
    let before = fog(&net, "/configuration");

    // a file that is wrong: told with its place, and nothing changes
    write(&net, &NONE.replace("when = \"value < 0\"", "when = \"valeu < 0\""));
    until("the file is refused", CONFIRM_TIMEOUT, || fog(&net, "/reloads_refused") == 1);
    let said = fog(&net, "/refused");
    assert!(said.as_str().unwrap().contains("pipelines.toml:6:"), "{said}");
    assert!(net.log(1).contains("the pipelines stay as they were"), "{}", net.log(1));
    assert_eq!((fog(&net, "/configuration"), fog(&net, "/reloads")), (before.clone(), json!(0)));
    publish(&net, at(1, 2.0));
    until("the old pipelines filter", CONFIRM_TIMEOUT, || fog(&net, "/filtered") == 2);

    // one that is right
    write(&net, &NONE.replace("value < 0", "value > 0"));
    until("the file is taken", CONFIRM_TIMEOUT, || fog(&net, "/reloads") == 1 && fog(&net, "/configuration") != before);
    assert_eq!(fog(&net, "/refused"), Value::Null);
    publish(&net, at(2, 3.0));
    net.wait_reading(&format!("z1/m1/sense/power@{}", START_US + 2_000_000));
    net.wait_confirmed(1);
    net.stop(1);

    // a file that is wrong at the start: it does not start
    write(&net, "[[pipeline]]\n");
    let ran: Ran = wattle().args(["up", "--until-stdin-ends", "--config"]).arg(net.config(1)).output().unwrap().into();
    ran.refused(2, &["fog.pipelines", "pipelines.toml:1:"]);
    // without pipelines: what was there goes on, and everything passes
    let config = fs::read_to_string(net.config(1)).unwrap();
    fs::write(net.config(1), config.replace("pipelines = ", "# pipelines = ")).unwrap();
    run(&mut net);
    publish(&net, at(3, -4.0));
    net.wait_reading(&format!("z1/m1/sense/power@{}", START_US + 3_000_000));
    net.wait_confirmed(2);
    net.stop(1);
    sound(&net);
}

/// Without pipelines there is one log, and nothing of a processor.
#[test]
fn a_site_without_pipelines_has_one_log() {
    let mut net = Net::init(1, &[]);
    run(&mut net);
    publish(&net, at(0, 1.0));
    net.wait_confirmed(1);
    assert_eq!(fog(&net, ""), Value::Null);
    let there = |name: &str| Path::new(&net.node_dir(1)).join("data").join(name).exists();
    assert!(there("log") && !there("intake") && !there("fog"));
}
