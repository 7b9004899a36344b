//! Brokers in tiers over real sockets: the paper's example, cut uplinks, a parent that is killed, several brokers of a site.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use mosquitto::Mosquitto;
use mqtt::access::{Role, UserEntry, UserFile, hash_password};
use mqtt::spool::SpoolConfig;
use mqtt::tiers::{Member, Parent};
use mqtt::{
    AccessConfig, Anonymous, Broker, EmbeddedConfig, Ingress, LogConfig, LogError, Publisher, Security, SiteLog, Subscriber, TierConfig,
    TierStats, embedded,
};
use protocol::Name;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use waiting::{LOOK, patiently, until};

mod mosquitto;
mod waiting;

/// The topic of the paper's example.
const T: &str = "root/fog/agg2/loc1/ID1/sense/type1";

/// A broker with its place in the tree.
struct Node {
    broker: Arc<dyn Broker>,
    url: String,
}

/// What a broker is to be told.
struct Plan {
    dir: PathBuf,
    bind: SocketAddr,
    site: &'static str,
    scope: &'static str,
    parent: Option<String>,
    children: Vec<&'static str>,
    member: Option<Member>,
    /// Its user at the parent, whose password is its name.
    user: Option<&'static str>,
    security: Security,
}

impl Plan {
    fn new(dir: &TempDir, site: &'static str, scope: &'static str, parent: Option<&str>, children: &[&'static str]) -> Self {
        let dir = dir.path().join(site.replace('/', "-"));
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (parent, children) = (parent.map(str::to_owned), children.to_vec());
        Self { dir, bind, site, scope, parent, children, member: None, user: None, security: Security::default() }
    }

    async fn start(self) -> Node {
        std::fs::create_dir_all(self.dir.join("log")).unwrap();
        let log = patiently("the log to be free", async {
            loop {
                match SiteLog::open(&self.dir.join("log"), LogConfig::default()) {
                    Ok(log) => return log,
                    Err(LogError::Locked(_)) => tokio::time::sleep(LOOK).await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        let site = Name::site(self.site).unwrap();
        let ingress = Arc::new(Ingress::new(site.clone(), log.clone()));
        let tier = TierConfig {
            scope: self.scope.parse().unwrap(),
            member: self.member,
            parent: self.parent.map(|url| {
                let login = self.user.map(|user| (user.to_owned(), user.to_owned()));
                Parent { url: url.parse().unwrap(), login, tls: None }
            }),
            children: self.children.iter().map(|child| child.parse().unwrap()).collect(),
            up: vec!["root/fog/#".into()],
            down: vec![],
            spool: self.dir.join("spool"),
            limits: SpoolConfig::default(),
        };
        let config = EmbeddedConfig { bind: self.bind, site, on_active: None };
        let broker = embedded::start(config, self.security, Some((tier, log)), ingress).await.unwrap();
        Node { url: broker.address(), broker }
    }
}

impl Node {
    fn tier(&self) -> TierStats {
        self.broker.tier().expect("it has a place in the tree")
    }

    /// How many filters the broker below with this scope has here.
    fn filters_of(&self, scope: &str) -> usize {
        self.tier().links.iter().filter(|link| link.scope == scope).map(|link| link.filters).sum()
    }

    async fn linked(&self) {
        until("the link to the parent", || self.tier().connected).await;
    }

    async fn publish(&self, topic: &str, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.broker.publish(topic, n.to_string().into_bytes(), 1, false).await.unwrap();
        }
    }
}

/// The numbers that arrive, up to and with `last`.
async fn numbers(subscriber: &mut Subscriber, last: u32) -> Vec<u32> {
    let mut all = Vec::new();
    while all.last() != Some(&last) {
        let message = patiently(&format!("{last} after {all:?}"), subscriber.recv()).await.unwrap();
        all.push(String::from_utf8(message.payload).unwrap().parse().unwrap());
    }
    all
}

/// The value in what the fog processor published.
fn value(payload: &[u8]) -> f64 {
    let pack: serde_json::Value = serde_json::from_slice(payload).unwrap();
    pack[0]["v"].as_f64().unwrap()
}

/// A way to a broker that can be cut.
struct Proxy {
    url: String,
    target: Arc<Mutex<SocketAddr>>,
    open: watch::Sender<bool>,
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("mqtt://").unwrap().parse().unwrap()
}

impl Proxy {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let (open, state) = watch::channel(true);
        let target = Arc::new(Mutex::new(to));
        let towards = target.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                let to = *towards.lock().unwrap();
                tokio::spawn(async move {
                    if !*state.borrow_and_update() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    let cut = async { while state.changed().await.is_ok() && *state.borrow_and_update() {} };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = cut => {}
                    }
                });
            }
        });
        Self { url, target, open }
    }

    fn cut(&self) {
        self.open.send_replace(false);
    }

    fn restore(&self) {
        self.open.send_replace(true);
    }
}

/// TIER-4 to TIER-7: the paper's Figure 10, step by step, with the topics of the paper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nine_steps() {
    let dir = tempfile::tempdir().unwrap();
    let cb = Plan::new(&dir, "central", "", None, &["agg1", "agg2"]).start().await;
    let ab1 = Plan::new(&dir, "agg1", "agg1", Some(&cb.url), &["agg1/loc1"]).start().await;
    let ab2 = Plan::new(&dir, "agg2", "agg2", Some(&cb.url), &["agg2/loc1"]).start().await;
    let lb11 = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&ab1.url), &[]).start().await;
    let lb21 = Plan::new(&dir, "agg2/loc1", "agg2/loc1", Some(&ab2.url), &[]).start().await;
    for node in [&ab1, &ab2, &lb11, &lb21] {
        node.linked().await;
    }

    // 1: D111 subscribes to T via LB11. 2: LB11 subscribes via AB1. 3: AB1 subscribes via CB. A second subscriber changes nothing.
    let mut d111 = Subscriber::connect(&lb11.url, "D111", &[T], 1).await.unwrap();
    until("LB11's subscription at AB1", || lb11.tier().subscribed == 1 && ab1.filters_of("agg1/loc1") == 1).await;
    until("AB1's subscription at CB", || ab1.tier().subscribed == 1 && cb.filters_of("agg1") == 1).await;
    let mut d112 = Subscriber::connect(&lb11.url, "D112", &[T], 1).await.unwrap();

    // 4: F21 publishes the processed data of D211 on T via LB21.
    let d211 = Publisher::connect(&lb21.url, "D211").await.unwrap();
    for reading in ["21.5", "22.5"] {
        d211.publish("root/device/agg2/loc1/ID1/sense/type1", reading.into(), 1).await.unwrap();
    }
    // 9: LB11 notifies D111. A marker behind it shows that nothing comes twice.
    for subscriber in [&mut d111, &mut d112] {
        for expected in [21.5, 22.5] {
            let notice = patiently("a notification", subscriber.recv()).await.unwrap();
            assert_eq!((notice.topic.as_str(), value(&notice.payload)), (T, expected));
        }
    }
    // 5 to 8: LB21 to AB2 to CB as clients; CB notifies AB1, AB1 notifies LB11.
    until("every acknowledgement", || [&lb21, &ab2, &cb, &ab1].iter().all(|n| n.tier().drained == 2)).await;
    assert_eq!((lb21.tier().spooled, ab2.tier().from_below, ab2.tier().spooled), (2, 2, 2));
    assert_eq!((cb.tier().from_below, cb.tier().spooled), (2, 2), "to AB1 only");
    assert_eq!((ab1.tier().from_above, lb11.tier().from_above), (2, 2));
    assert_eq!((ab2.filters_of("agg2/loc1"), cb.filters_of("agg2")), (0, 0), "who publishes asks for nothing");
    let all = [&cb, &ab1, &ab2, &lb11, &lb21];
    assert!(all.iter().all(|n| n.tier().loops == 0 && n.tier().duplicates == 0 && n.tier().refused == 0));

    // The last subscriber that goes takes the subscription back, all the way.
    drop(d111);
    drop(d112);
    until("the end of the subscriptions", || ab1.filters_of("agg1/loc1") == 0 && cb.filters_of("agg1") == 0).await;
    for node in all {
        node.broker.stop().await;
    }
}

/// TIER-6: what nobody configured goes up once it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_goes_up() {
    let dir = tempfile::tempdir().unwrap();
    let ab = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]).start().await;
    let lb = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&ab.url), &[]).start().await;
    lb.linked().await;
    let tangle = "root/node/agg1/loc1/tangle";
    lb.publish(tangle, 0..1).await; // nobody asks
    let mut watcher = Subscriber::connect(&ab.url, "watcher", &["root/node/agg1/+/tangle", "root/device/agg1/#"], 1).await.unwrap();
    until("the parent's side asks", || lb.tier().asked == 2).await;
    lb.publish(tangle, 1..2).await;
    assert_eq!(numbers(&mut watcher, 1).await, [1]);
    let device = Publisher::connect(&lb.url, "device").await.unwrap();
    device.publish("root/device/agg1/loc1/d/sense/t", "2".into(), 1).await.unwrap();
    assert_eq!(numbers(&mut watcher, 2).await, [2], "the raw reading");
    drop(watcher);
    until("nobody asks any more", || lb.tier().asked == 0).await;
    lb.broker.stop().await;
    ab.broker.stop().await;
}

/// TIER-10, TIER-12: a link that is cut again and again loses nothing, doubles nothing, and keeps the order, both ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_drains_in_order() {
    const ROUNDS: u32 = 4;
    const EACH: u32 = 150;
    let dir = tempfile::tempdir().unwrap();
    let ab = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]).start().await;
    let proxy = Proxy::start(address(&ab.url)).await;
    let lb = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&proxy.url), &[]).start().await;
    lb.linked().await;
    let mut above = Subscriber::connect(&ab.url, "above", &["root/fog/agg1/loc1/#"], 1).await.unwrap();
    let mut below = Subscriber::connect(&lb.url, "below", &["root/fog/agg1/loc2/#"], 1).await.unwrap();
    until("the subscription of the broker below", || ab.filters_of("agg1/loc1") == 1).await;
    let (up, down) = ("root/fog/agg1/loc1/d/sense/n", "root/fog/agg1/loc2/d/sense/n");
    for round in 0..ROUNDS {
        // The cut comes with publishes on their way; more follow while it lasts.
        let (from, half) = (round * EACH, round * EACH + EACH / 2);
        tokio::join!(lb.publish(up, from..half), ab.publish(down, from..half));
        proxy.cut();
        tokio::join!(lb.publish(up, half..from + EACH), ab.publish(down, half..from + EACH));
        until("the loss of the link", || !lb.tier().connected).await;
        proxy.restore();
        lb.linked().await;
    }
    let expected: Vec<u32> = (0..ROUNDS * EACH).collect();
    assert_eq!(numbers(&mut above, ROUNDS * EACH - 1).await, expected);
    assert_eq!(numbers(&mut below, ROUNDS * EACH - 1).await, expected);
    until("empty queues", || lb.tier().queued_up == 0 && ab.tier().links[0].queued == 0).await;
    assert!(lb.tier().connects > u64::from(ROUNDS), "{}", lb.tier().connects);
    lb.broker.stop().await;
    ab.broker.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// TIER-12: the parent dies with publishes for a broker below that is away. What comes back is a broker that is started on
/// a copy of the files as they were at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_parent_still_has_what_waited() {
    let dir = tempfile::tempdir().unwrap();
    let ab = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]).start().await;
    let proxy = Proxy::start(address(&ab.url)).await;
    let lb = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&proxy.url), &[]).start().await;
    lb.linked().await;
    let mut below = Subscriber::connect(&lb.url, "below", &["root/fog/agg1/loc2/#"], 1).await.unwrap();
    until("the subscription of the broker below", || ab.filters_of("agg1/loc1") == 1).await;
    let down = "root/fog/agg1/loc2/d/sense/n";
    ab.publish(down, 0..20).await;
    assert_eq!(numbers(&mut below, 19).await, (0..20).collect::<Vec<_>>());
    until("every acknowledgement", || ab.tier().drained == 20).await;

    proxy.cut();
    until("the loss of the link", || !lb.tier().connected).await;
    ab.publish(down, 20..120).await;
    let corpse = dir.path().join("copy");
    copy(&dir.path().join("agg1"), &corpse);
    ab.broker.stop().await;

    let mut plan = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]);
    plan.dir = corpse;
    let ab = plan.start().await;
    assert_eq!((ab.filters_of("agg1/loc1"), ab.tier().links[0].queued), (1, 100), "filters and queue outlive it");
    ab.publish(down, 120..130).await; // before the broker below is back
    *proxy.target.lock().unwrap() = address(&ab.url);
    proxy.restore();
    lb.linked().await;
    ab.publish(down, 130..140).await;
    assert_eq!(numbers(&mut below, 139).await, (20..140).collect::<Vec<_>>());
    lb.broker.stop().await;
    ab.broker.stop().await;
}

/// TIER-12, TIER-14: a broker that is stopped while its uplink is down sends what its log and its spool hold when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_broker_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let ab = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]).start().await;
    let proxy = Proxy::start(address(&ab.url)).await;
    let plan = || Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&proxy.url), &[]);
    let mut above = Subscriber::connect(&ab.url, "above", &["root/fog/agg1/loc1/d/sense/n"], 1).await.unwrap();
    let mut sent = 0u32;
    for round in 0..3 {
        let lb = plan().start().await;
        if round > 0 {
            proxy.restore();
            lb.linked().await;
        }
        let device = Publisher::connect(&lb.url, &format!("device-{round}")).await.unwrap();
        for n in sent..sent + 60 {
            if n == sent + 30 {
                proxy.cut();
            }
            device.publish("root/device/agg1/loc1/d/sense/n", n.to_string().into(), 1).await.unwrap();
        }
        sent += 60;
        device.close().await;
        lb.broker.stop().await;
    }
    proxy.restore();
    let lb = plan().start().await;
    let mut all = Vec::new();
    while all.len() < sent as usize {
        let reading = patiently(&format!("a reading after {all:?}"), above.recv()).await.unwrap();
        all.push(value(&reading.payload) as u32);
    }
    assert_eq!(all, (0..sent).collect::<Vec<_>>());
    until("an empty queue", || lb.tier().queued_up == 0).await;
    assert_eq!(ab.tier().from_below, u64::from(sent), "and not one more");
    lb.broker.stop().await;
    ab.broker.stop().await;
}

/// TIER-13: two brokers of one site, a service that shares its work over both, and a client that wants all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_of_a_site_share_one_session_of_work() {
    let dir = tempfile::tempdir().unwrap();
    let ab = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]).start().await;
    let member = |name: &str, weight| Some(Member { name: name.into(), weight });
    let mut plan = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&ab.url), &[]);
    (plan.dir, plan.member) = (dir.path().join("a"), member("a", 1));
    let a = plan.start().await;
    let mut plan = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&ab.url), &[]);
    (plan.dir, plan.member) = (dir.path().join("b"), member("b", 3));
    let b = plan.start().await;
    let service = "$share/work/root/fog/agg1/#";
    let (seen, mut work) = tokio::sync::mpsc::unbounded_channel();
    for (name, node) in [("a", &a), ("b", &b)] {
        let mut worker = Subscriber::connect(&node.url, &format!("worker-{name}"), &[service], 1).await.unwrap();
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Some(message) = worker.recv().await {
                let _ = seen.send((name, String::from_utf8(message.payload).unwrap()));
            }
        });
    }
    let mut all = Subscriber::connect(&b.url, "all", &["root/fog/agg1/loc1/#"], 1).await.unwrap();
    until("the subscriptions of both", || a.tier().subscribed == 1 && b.tier().subscribed == 2 && ab.filters_of("agg1/loc1") == 3).await;

    a.publish("root/fog/agg1/loc1/d/sense/n", 0..10).await; // enters at a, and is a's work
    b.publish("root/fog/agg1/loc1/d/sense/n", 10..20).await;
    ab.publish("root/fog/agg1/loc2/d/sense/n", 20..60).await; // comes from elsewhere
    let mut done = Vec::new();
    for _ in 0..60 {
        let one = patiently(&format!("work after {done:?}"), work.recv()).await.unwrap();
        done.push(one);
    }
    let of = |name: &str, from: u32, to: u32| {
        done.iter().filter(|(who, n)| *who == name && (from..to).contains(&n.parse::<u32>().unwrap())).count()
    };
    assert_eq!((of("a", 0, 10), of("b", 10, 20)), (10, 10), "what enters at a broker is done there");
    assert_eq!((of("a", 20, 60), of("b", 20, 60)), (10, 30), "by weight");
    let mut numbers: Vec<u32> = done.iter().map(|(_, n)| n.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "each once");
    let mut got: Vec<u32> = Vec::new();
    while got.len() < 20 {
        let one = patiently("the site's own", all.recv()).await.unwrap();
        got.push(String::from_utf8(one.payload).unwrap().parse().unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..20).collect::<Vec<_>>(), "a client of b reads what enters at a");
    for node in [a, b, ab] {
        node.broker.stop().await;
    }
    assert!(work.try_recv().is_err(), "and nothing more");
}

/// TIER-11: who may be a link, and what one may publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_no_links() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
    use rumqttc::v5::{AsyncClient, ConnectionError, Event, MqttOptions};
    let dir = tempfile::tempdir().unwrap();
    let ab = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1"]).start().await;
    let to = address(&ab.url);
    for id in ["wattle-link@agg1/loc2", "wattle-link@agg1", "wattle-link@", "wattle-link@agg2/loc1"] {
        let (_client, mut events) = AsyncClient::new(MqttOptions::new(id, to.ip().to_string(), to.port()), 10);
        let refused = patiently("the refusal", events.poll()).await.unwrap_err();
        assert!(matches!(refused, ConnectionError::ConnectionRefused(_)), "{id}: {refused:?}");
    }
    assert!(Publisher::connect(&ab.url, "wattle-link@agg1/loc1").await.is_err(), "MQTT 3.1.1");

    let (client, mut events) = AsyncClient::new(MqttOptions::new("wattle-link@agg1/loc1", to.ip().to_string(), to.port()), 10);
    let publishes = [
        ("root/fog/agg1/loc2/d/sense/t", PubAckReason::NotAuthorized),
        ("root/fog/agg1/loc1/d/sense/t", PubAckReason::NoMatchingSubscribers),
    ];
    for (topic, _) in &publishes {
        client.publish(*topic, QoS::AtLeastOnce, false, "1").await.unwrap();
    }
    let mut answers = Vec::new();
    while answers.len() < publishes.len() {
        if let Event::Incoming(Packet::PubAck(ack)) = patiently("an answer", events.poll()).await.unwrap() {
            answers.push(ack.reason);
        }
    }
    assert_eq!(answers, publishes.map(|(_, answer)| answer));
    // A broker below that is gone stays known; its scope is all that it can be.
    assert_eq!(ab.tier().links.len(), 1);
    ab.broker.stop().await;
}

/// TIER-11: a parent that asks for credentials lets a link in under the user of its own scope only, and for as long as that
/// user stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_logs_in_as_its_own_user() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.toml");
    let users = |disabled: bool| {
        let link = |name: &str, site: &str| UserEntry {
            name: name.into(),
            role: Role::Link,
            site: Some(site.into()),
            password: Some(hash_password(name.as_bytes()).unwrap()),
            disabled,
            ..UserEntry::default()
        };
        UserFile { users: vec![link("loc1", "agg1/loc1"), link("loc2", "agg1/loc2")], ..UserFile::default() }.save(&file).unwrap();
    };
    users(false);
    let mut plan = Plan::new(&dir, "agg1", "agg1", None, &["agg1/loc1", "agg1/loc2"]);
    plan.security.access = AccessConfig { anonymous: Anonymous::Refuse, users: Some(file.clone()), ..AccessConfig::default() };
    let ab = plan.start().await;
    let refused = || ab.broker.access().refused.iter().filter(|(kind, ..)| *kind == "connect").map(|(.., count)| count).sum::<u64>();
    let below = |user| Plan { user, ..Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&ab.url), &[]) };
    for stranger in [None, Some("loc2"), Some("nobody")] {
        let (before, lb) = (refused(), below(stranger).start().await);
        until("the refusal", || refused() > before).await;
        assert!(!lb.tier().connected, "{stranger:?}");
        lb.broker.stop().await;
    }

    let lb = below(Some("loc1")).start().await;
    lb.linked().await;
    let mut subscriber = Subscriber::connect(&lb.url, "below", &["root/fog/agg1/loc2/#"], 1).await.unwrap();
    until("the subscription of the broker below", || ab.filters_of("agg1/loc1") == 1).await;
    ab.publish("root/fog/agg1/loc2/d/sense/n", 0..5).await;
    assert_eq!(numbers(&mut subscriber, 4).await, (0..5).collect::<Vec<_>>());
    lb.publish("root/fog/agg1/loc1/d/sense/n", 0..5).await;
    until("what goes up", || ab.tier().from_below == 5).await;

    users(true);
    ab.broker.reload().await.unwrap();
    until("the end of the link", || !lb.tier().connected).await;
    // what it asked for is still kept for it
    assert_eq!(ab.filters_of("agg1/loc1"), 1);
    lb.broker.stop().await;
    ab.broker.stop().await;
}

/// TIER-15: the top may be a broker of another kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_can_be_the_central_broker() {
    let Some(central) = Mosquitto::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let lb1 = Plan::new(&dir, "agg1/loc1", "agg1/loc1", Some(&central.url), &[]).start().await;
    let lb2 = Plan::new(&dir, "agg2/loc1", "agg2/loc1", Some(&central.url), &[]).start().await;
    let mut d111 = Subscriber::connect(&lb1.url, "D111", &[T], 1).await.unwrap();
    until("the subscription", || lb1.tier().subscribed == 1 && lb2.tier().connected).await;
    lb2.publish(T, 0..50).await;
    assert_eq!(numbers(&mut d111, 49).await, (0..50).collect::<Vec<_>>());
    let mut other = Subscriber::connect(&lb2.url, "D211", &["root/fog/agg1/#"], 1).await.unwrap();
    until("the subscription of the other", || lb2.tier().subscribed == 1).await;
    lb1.publish("root/fog/agg1/loc1/d/sense/n", 0..10).await;
    assert_eq!(numbers(&mut other, 9).await, (0..10).collect::<Vec<_>>());
    assert_eq!((lb1.tier().loops, lb2.tier().loops, lb1.tier().from_above), (0, 0, 50), "nothing of our own comes back");
    lb1.broker.stop().await;
    lb2.broker.stop().await;
}
