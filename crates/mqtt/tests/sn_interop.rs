//! The gateway with a client that others wrote: `mqtt-sn-12` of PyPI. Without it (or without Python) nothing is tested.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[allow(dead_code)]
#[path = "sn/device.rs"]
mod device;
#[allow(dead_code, reason = "others use the rest")]
mod waiting;

use device::{LEVEL_ID, Site, number, patiently, until};
use protocol::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// What every script begins with. `Listener` prints what it hears.
const PRELUDE: &str = "
import sys, time
from mqttsn12.client.MqttSnClient import MqttSnClient, MqttSnListener

class Listener(MqttSnListener):
    heard = 0
    def message_arrived(self, message):
        Listener.heard += 1
        print('heard', message.get_topic_name(), message.get_payload().decode(), flush=True)

def client(name, clean=True):
    c = MqttSnClient()
    c.set_client_id(name)
    c.set_clean_session(clean)
    c.set_timeout(10)
    c.open('127.0.0.1', int(sys.argv[1]))
    return c

def listen(c, count):
    while Listener.heard < count:
        c.polling()
        time.sleep(0.01)
";

/// A script that runs.
struct Script {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// `None`, with a note, where the client is not installed.
    async fn start(site: &Site, text: &str) -> Option<Self> {
        let installed = Command::new("python3").args(["-c", "import mqttsn12"]).stderr(Stdio::null()).status().await;
        if !installed.is_ok_and(|status| status.success()) {
            eprintln!("skipped: the Python client mqtt-sn-12 is not installed");
            return None;
        }
        let mut child = Command::new("python3")
            .arg("-c")
            .arg(format!("{PRELUDE}{text}"))
            .arg(site.gateway.address().port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Self { child, lines })
    }

    /// Lets a script go on that reads a line.
    async fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    }

    async fn says(&mut self, expected: &str) {
        let line = patiently(expected, self.lines.next_line()).await.unwrap();
        assert_eq!(line.as_deref(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_publishes_at_every_quality() {
    let site = Site::start().await;
    let text = format!(
        "
c = client('py-1')
c.send_search_gateway(0)
c.send_connect()
topic = 'root/device/s1/d/sense/power'
c.send_publish(topic, b'1.5', 1)
c.send_publish(topic, b'2.5', 2)
c.send_publish_predefined({LEVEL_ID}, b'3.5', 1)
c.send_publish(topic, b'x' * 700, 1)
c.send_publish(topic, b'4.5', 0)
c.send_ping_req()
c.send_disconnect()
n = client('py-nobody')
n.send_publish_predefined({LEVEL_ID}, b'5.5', -1)
print('done', flush=True)
"
    );
    let Some(mut script) = Script::start(&site, &text).await else { return };
    script.says("done").await;
    patiently("all readings", site.log.wait_past(5)).await;
    let mut values = site.values();
    let text = Value::Text("x".repeat(700));
    assert!(values.contains(&text));
    values.retain(|value| *value != text);
    assert_eq!(values[..3], [1.5, 2.5, 3.5].map(number), "those that were acknowledged, in order");
    assert!(values.contains(&number(4.5)) && values.contains(&number(5.5)));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_hears_wildcards_retained_messages_and_predefined_topics() {
    let site = Site::start().await;
    site.broker.publish("root/fog/s1/d/act/valve", b"retained".to_vec(), 1, true).await.unwrap();
    let text = format!(
        "
c = client('py-2')
c.send_connect()
c.send_subscribe('root/fog/s1/#', 0, Listener())
listen(c, 1)
c.send_subscribe_predefined({LEVEL_ID}, 0, Listener())
print('ready', flush=True)
listen(c, 3)
c.send_unsubscribe('root/fog/s1/#')
c.send_disconnect()
print('done', flush=True)
"
    );
    let Some(mut script) = Script::start(&site, &text).await else { return };
    script.says("heard root/fog/s1/d/act/valve retained").await;
    script.says("ready").await;
    site.broker.publish("root/fog/s1/e/act/lamp", b"on".to_vec(), 1, false).await.unwrap();
    script.says("heard root/fog/s1/e/act/lamp on").await;
    site.broker.publish(device::LEVEL, b"7".to_vec(), 1, false).await.unwrap();
    script.says("heard None 7").await;
    script.says("done").await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_will_is_changed_and_published() {
    let site = Site::start().await;
    let text = "
c = client('py-3')
c.set_keep_alive(1)
c.set_will('root/device/s1/d/sense/state', 'first', 1, False)
c.send_connect()
c.send_will_message_update('second')
c.send_will_topic_update('root/device/s1/d/sense/fate')
print('connected', flush=True)
";
    let Some(mut script) = Script::start(&site, text).await else { return };
    script.says("connected").await;
    patiently("the will", site.log.wait_past(0)).await;
    assert_eq!(site.values(), [Value::Text("second".into())]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_sleeps_and_comes_back() {
    let site = Site::start().await;
    let text = "
c = client('py-4', clean=False)
c.send_connect()
c.send_subscribe('root/fog/s1/d/act/valve', 0, Listener())
c.send_disconnect(600)
print('asleep', flush=True)
sys.stdin.readline()
c.send_connect()
listen(c, 1)
c.send_disconnect()
print('done', flush=True)
";
    let Some(mut script) = Script::start(&site, text).await else { return };
    script.says("asleep").await;
    site.broker.publish("root/fog/s1/d/act/valve", b"open".to_vec(), 1, false).await.unwrap();
    until("the message to wait", || site.gateway.stats().buffered_bytes > 0).await;
    script.go_on().await;
    script.says("heard root/fog/s1/d/act/valve open").await;
    script.says("done").await;
    site.stop().await;
}
