//! The external broker mode with a real mosquitto, and its errors without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use mosquitto::Mosquitto;
use mqtt::{
    Broker, BrokerError, ConnectError, Credentials, ExternalConfig, Ingress, LogConfig, LogError, Publisher, SiteLog, Subscriber, external,
};
use protocol::{Name, Value};
use secured::Ca;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::sync::mpsc;
use waiting::{LOOK, PATIENCE, patiently, until};

mod mosquitto;
#[allow(dead_code)] // of that, only the authority is used here
mod secured;
mod waiting;

const TOPIC: &str = "root/device/s1/d/sense/count";

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[derive(PartialEq)]
enum Disk {
    Roomy,
    Full,
}

struct Site {
    log: SiteLog,
    ingress: Arc<Ingress>,
    broker: Arc<dyn Broker>,
    active: mpsc::Receiver<()>,
}

impl Site {
    async fn start(url: &str, dir: &Path, disk: Disk) -> Self {
        // As if more had to stay free than any disk has.
        let min_free_bytes = if disk == Disk::Full { u64::MAX } else { LogConfig::default().min_free_bytes };
        let log = patiently("the log to be free", async {
            loop {
                match SiteLog::open(dir, LogConfig { min_free_bytes, ..LogConfig::default() }) {
                    Ok(log) => return log,
                    Err(LogError::Locked(_)) => tokio::time::sleep(LOOK).await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        let ingress = Arc::new(Ingress::new(Name::new("s1").unwrap(), log.clone()));
        let (on_active, active) = mpsc::channel(4);
        let config = ExternalConfig {
            url: url.to_string(),
            credentials: Credentials::default(),
            client_id: "wattle-s1".to_string(),
            site: Name::new("s1").unwrap(),
            on_active: Some(on_active),
        };
        let broker = external::start(config, ingress.clone()).await.unwrap();
        Self { log, ingress, broker, active }
    }

    async fn stop(self) {
        self.broker.stop().await;
        assert!(!self.broker.connected());
        assert_eq!(Arc::strong_count(&self.ingress), 1, "a stopped broker holds nothing of the site");
    }

    /// The numbers in the log, in order of size.
    fn numbers(&self) -> Vec<u32> {
        let mut all = Vec::new();
        while (all.len() as u64) < self.log.end() {
            let part = self.log.read(all.len() as u64, 1000).unwrap();
            assert!(!part.is_empty());
            all.extend(part.into_iter().map(|(_, reading)| match reading.value {
                Value::Number(n) => n as u32,
                other => panic!("{other:?}"),
            }));
        }
        all.sort_unstable();
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_our_side_restarts() {
    const HALF: u32 = 1000;
    let Some(mosquitto) = Mosquitto::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(&mosquitto.url, dir.path(), Disk::Roomy).await;
    let device = Publisher::connect(&mosquitto.url, "device").await.unwrap();

    for i in 0..HALF {
        device.submit(TOPIC, i.to_string().into(), 1, false).await.map(drop).unwrap();
    }
    patiently("the first readings", site.log.wait_past(100)).await;
    site.stop().await; // with readings on their way
    for i in HALF..2 * HALF {
        device.submit(TOPIC, i.to_string().into(), 1, false).await.map(drop).unwrap();
    }
    assert_eq!(device.finish(PATIENCE).await.unwrap(), u64::from(2 * HALF));

    let site = Site::start(&mosquitto.url, dir.path(), Disk::Roomy).await;
    // The marker comes behind everything that the broker sends again.
    device.publish(TOPIC, (2 * HALF).to_string().into(), 1).await.unwrap();
    until("the marker", || site.log.end() > u64::from(2 * HALF)).await;
    assert_eq!(site.numbers(), (0..=2 * HALF).collect::<Vec<_>>(), "nothing lost, nothing twice");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_cannot_take_stays_with_the_broker() {
    const COUNT: u32 = 20;
    let Some(mosquitto) = Mosquitto::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(&mosquitto.url, dir.path(), Disk::Full).await;
    let device = Publisher::connect(&mosquitto.url, "device").await.unwrap();
    for i in 0..COUNT {
        device.publish(TOPIC, i.to_string().into(), 1).await.unwrap();
    }
    until("a refusal", || site.ingress.counters().refused > 0).await;
    site.stop().await;

    let site = Site::start(&mosquitto.url, dir.path(), Disk::Roomy).await;
    device.publish(TOPIC, COUNT.to_string().into(), 1).await.unwrap();
    until("the marker", || site.log.end() > u64::from(COUNT)).await;
    assert_eq!(site.numbers(), (0..=COUNT).collect::<Vec<_>>());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_the_other_broker_see_the_site() {
    let Some(mosquitto) = Mosquitto::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut site = Site::start(&mosquitto.url, dir.path(), Disk::Roomy).await;
    assert!(site.broker.connected());
    let mut watcher = Subscriber::connect(&mosquitto.url, "watcher", &["root/fog/#", "root/node/+/tangle"], 1).await.unwrap();
    let device = Publisher::connect(&mosquitto.url, "device").await.unwrap();

    device.publish(TOPIC, "5".into(), 1).await.unwrap();
    assert_eq!(patiently("processed data", watcher.recv()).await.unwrap().topic, "root/fog/s1/d/sense/count");
    device.publish(TOPIC, "{".into(), 1).await.unwrap();
    assert_eq!(patiently("a report", watcher.recv()).await.unwrap().topic, "root/fog/s1/rejected");
    site.broker.publish("root/node/s1/tangle", b"[]".to_vec(), 1, false).await.unwrap();
    assert_eq!(patiently("a notice", watcher.recv()).await.unwrap().payload, b"[]");
    device.publish("root/node/s1/active", Vec::new(), 1).await.unwrap();
    patiently("the word that a node is active", site.active.recv()).await.unwrap();

    // A topic of our area that means nothing is left, not stumbled over for ever.
    device.publish("root/device/s1/nonsense", "1".into(), 1).await.unwrap();
    device.publish(TOPIC, "6".into(), 1).await.unwrap();
    until("the reading behind it", || site.log.end() == 2).await;
    assert_eq!(site.numbers(), [5, 6]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_from_before_are_left() {
    let Some(mosquitto) = Mosquitto::start().await else { return };
    let device = Publisher::connect(&mosquitto.url, "device").await.unwrap();
    device.submit(TOPIC, "1".into(), 1, true).await.unwrap().wait().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(&mosquitto.url, dir.path(), Disk::Roomy).await;
    // One that is published while we listen is a reading like any other.
    device.submit(TOPIC, "2".into(), 1, true).await.unwrap().wait().await.unwrap();
    patiently("the reading", site.log.wait_past(0)).await;
    assert_eq!(site.numbers(), [2]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let log = SiteLog::open(dir.path(), LogConfig::default()).unwrap();
    let ingress = Arc::new(Ingress::new(Name::new("s1").unwrap(), log));
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    let long = "x".repeat(1000);
    for (url, client_id, says) in [
        (nobody.as_str(), "wattle-s1", "check the URL and that the broker runs"),
        ("mqtts://broker", "wattle-s1", "certificate of an authority"),
        ("ssl://broker", "wattle-s1", "write mqtt://host or mqtt://host:port"),
        (nobody.as_str(), long.as_str(), "client id"),
    ] {
        let (url, client_id) = (url.to_string(), client_id.to_string());
        let config = ExternalConfig {
            url: url.clone(),
            credentials: Credentials::default(),
            client_id,
            site: Name::new("s1").unwrap(),
            on_active: None,
        };
        let Err(error) = external::start(config, ingress.clone()).await else { panic!("{url} works") };
        assert!(error.to_string().contains(says), "{error}");
        assert!(matches!(error, BrokerError::Connect(_)));
    }
    let Err(error) = Subscriber::connect(&nobody, "watcher", &["root/#"], 1).await else { panic!("{nobody} works") };
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

/// A mosquitto that lets nobody in without a password, in the clear and by TLS; `None` where it is not installed.
async fn locked(dir: &Path, authority: &Ca) -> Option<(Mosquitto, String, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from)).collect();
    let find = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    let (Some(program), Some(passwords)) = (find("mosquitto"), find("mosquitto_passwd")) else {
        eprintln!("skipped: mosquitto is not installed");
        return None;
    };
    let pair = authority.certify("broker", 1, 2090);
    for (name, text) in [("ca.pem", &authority.pem), ("broker.pem", &pair.certificate), ("broker.key", &pair.key)] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let made = Command::new(passwords).args(["-b", "-c"]).arg(dir.join("users")).args(["site", "secret"]).status().unwrap();
    assert!(made.success(), "mosquitto_passwd");
    let (plain, tls) = (free_port(), free_port());
    let place = dir.display();
    let text = format!(
        "user root\npersistence false\nallow_anonymous false\npassword_file {place}/users\nlistener {plain} 127.0.0.1\n\
         listener {tls} 127.0.0.1\ncafile {place}/ca.pem\ncertfile {place}/broker.pem\nkeyfile {place}/broker.key\n"
    );
    std::fs::write(dir.join("mosquitto.conf"), text).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(dir.join("mosquitto.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let url = format!("mqtt://127.0.0.1:{plain}");
    let mosquitto = Mosquitto { child, url: url.clone(), _dir: tempfile::tempdir().unwrap() };
    until("mosquitto to listen", || TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).is_ok()).await;
    Some((mosquitto, url, format!("mqtts://127.0.0.1:{tls}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_asks_who_we_are_is_told() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Ca::new("authority"));
    let Some((_mosquitto, plain, tls)) = locked(dir.path(), &authority).await else { return };
    let login = |password: &str, ca: Option<&str>| Credentials {
        user: Some("site".into()),
        password: Some(password.into()),
        ca: ca.map(|pem| pem.as_bytes().to_vec()),
        ..Credentials::default()
    };
    let other = Ca::new("somebody else");
    for (n, (url, credentials, works)) in [
        (&plain, Credentials::default(), false),
        (&plain, login("wrong", None), false),
        (&plain, login("secret", None), true),
        (&tls, login("secret", Some(&other.pem)), false),
        (&tls, login("secret", Some(&authority.pem)), true),
    ]
    .into_iter()
    .enumerate()
    {
        let log = SiteLog::open(&dir.path().join(format!("log{n}")), LogConfig::default()).unwrap();
        let ingress = Arc::new(Ingress::new(Name::new("s1").unwrap(), log.clone()));
        let (url, client_id) = (url.clone(), format!("wattle-{n}"));
        let config = ExternalConfig {
            url: url.clone(),
            credentials: credentials.clone(),
            client_id,
            site: Name::new("s1").unwrap(),
            on_active: None,
        };
        let broker = match patiently("an answer", external::start(config, ingress)).await {
            Ok(broker) => broker,
            Err(error) => {
                let said = error.to_string();
                assert!(!works && !said.contains("secret"), "{n}: {said}");
                continue;
            }
        };
        assert!(works, "{n}: it was let in");
        let device = Publisher::connect_as(&url, &format!("device-{n}"), &credentials).await.unwrap();
        device.publish(TOPIC, n.to_string().into(), 1).await.unwrap();
        patiently("the reading", log.wait_past(0)).await;
        broker.stop().await;
    }
}
