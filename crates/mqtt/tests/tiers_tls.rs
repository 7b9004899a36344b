//! Links between brokers over TLS: by password and by certificate, to the right parent only, and until the right ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::result_large_err, reason = "the error of the client library is what it is")]

#[allow(dead_code, reason = "others use the rest")]
mod secured;
#[allow(dead_code, reason = "others use the rest")]
mod waiting;

use mqtt::access::{Role, UserEntry};
use mqtt::spool::SpoolConfig;
use mqtt::tiers::{LinkTls, Parent};
use mqtt::{Broker, EmbeddedConfig, Ingress, LogConfig, Security, SiteLog, Subscriber, TierConfig, TierStats, embedded};
use protocol::Name;
use secured::{Ca, LONG, Pair, patiently, settings, until, user, with_tls, write_users};
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber as Listener};

const UP: &str = "root/fog/agg1/loc1/d/sense/n";
const DOWN: &str = "root/fog/agg1/loc2/d/sense/n";

/// A broker of the tree.
struct Node(Arc<dyn Broker>);

impl Node {
    async fn start(dir: &Path, site: &str, security: Security, parent: Option<Parent>, children: &[&str]) -> Self {
        std::fs::create_dir_all(dir.join("log")).unwrap();
        let log = SiteLog::open(&dir.join("log"), LogConfig::default()).unwrap();
        let site = Name::site(site).unwrap();
        let ingress = Arc::new(Ingress::new(site.clone(), log.clone()));
        let tier = TierConfig {
            scope: site.as_str().parse().unwrap(),
            member: None,
            parent,
            children: children.iter().map(|child| child.parse().unwrap()).collect(),
            up: vec!["root/fog/#".into()],
            down: vec![],
            spool: dir.join("spool"),
            limits: SpoolConfig::default(),
        };
        let config = EmbeddedConfig { bind: "127.0.0.1:0".parse().unwrap(), site, on_active: None };
        Self(embedded::start(config, security, Some((tier, log)), ingress).await.unwrap())
    }

    fn tier(&self) -> TierStats {
        self.0.tier().expect("it has a place in the tree")
    }

    fn refused(&self, reason: &str) -> u64 {
        self.0.access().refused.iter().find(|(kind, r, _)| (*kind, *r) == ("connect", reason)).expect("no such counter").2
    }

    async fn publish(&self, topic: &str, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.0.publish(topic, n.to_string().into_bytes(), 1, false).await.unwrap();
        }
    }
}

/// An aggregation broker that links reach by TLS, and whose certificate `ca` vouches for.
struct Above {
    dir: TempDir,
    ca: Ca,
    node: Node,
}

/// The user of the link of `agg1/loc1`. Without a password it shows a certificate.
fn link(password: bool, disabled: bool) -> UserEntry {
    let entry = user("loc1", Role::Link);
    UserEntry { site: Some("agg1/loc1".into()), disabled, password: entry.password.clone().filter(|_| password), ..entry }
}

impl Above {
    async fn start(users: Vec<UserEntry>) -> Self {
        let (ca, dir) = (Ca::new("brokers"), tempfile::tempdir().unwrap());
        write_users(&dir, users);
        let mut security = settings(&dir);
        with_tls(&mut security, &dir, &ca);
        let revoked = dir.path().join("revoked.txt");
        std::fs::write(&revoked, "").unwrap();
        security.access.revoked = Some(revoked);
        let node = Node::start(&dir.path().join("agg1"), "agg1", security, None, &["agg1/loc1"]).await;
        Self { dir, ca, node }
    }

    fn url(&self) -> String {
        self.node.0.addresses().into_iter().find(|url| url.starts_with("mqtts://")).expect("a listener with TLS")
    }

    /// A local broker whose link trusts `trust`, and shows what it is told to.
    async fn below(&self, trust: &Ca, login: bool, own: Option<&Pair>) -> Node {
        let identity = own.map(|pair| (pair.certificate.clone().into_bytes(), pair.key.clone().into_bytes()));
        let parent = Parent {
            url: self.url().parse().unwrap(),
            login: login.then(|| ("loc1".to_string(), "loc1".to_string())),
            tls: Some(LinkTls { ca: trust.pem.clone().into_bytes(), identity }),
        };
        // each in a place of its own: what was there before does not matter
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        Node::start(&dir, "agg1/loc1", Security::default(), Some(parent), &[]).await
    }

    /// Publishes cross both ways, each once and in order.
    async fn carries(&self, below: &Node) {
        until("the link", || below.tier().connected).await;
        let mut subscriber = Subscriber::connect(&below.0.address(), "below", &["root/fog/agg1/loc2/#"], 1).await.unwrap();
        let filters = || self.node.tier().links.iter().map(|link| link.filters).sum::<usize>();
        until("the subscription of the broker below", || filters() == 1).await;
        let before = self.node.tier().from_below;
        self.node.publish(DOWN, 0..20).await;
        for n in 0..20 {
            let message = patiently("what comes down", subscriber.recv()).await.unwrap();
            assert_eq!((message.topic.as_str(), message.payload), (DOWN, n.to_string().into_bytes()));
        }
        below.publish(UP, 0..20).await;
        until("what goes up", || self.node.tier().from_below == before + 20).await;
        until("every acknowledgement", || below.tier().queued_up == 0).await;
    }
}

/// TIER-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_over_tls_logs_in_by_password() {
    let above = Above::start(vec![link(true, false)]).await;
    let below = above.below(&above.ca, true, None).await;
    above.carries(&below).await;

    // a user that is disabled is cut off, and stays so
    write_users(&above.dir, vec![link(true, true)]);
    above.node.0.reload().await.unwrap();
    until("the end of the link", || !below.tier().connected).await;
    until("the refusal", || above.node.refused("disabled") > 0).await;
    assert!(!below.tier().connected);
    below.0.stop().await;
    above.node.0.stop().await;
}

/// TIER-11, A-11, A-12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_over_tls_logs_in_by_certificate() {
    let above = Above::start(vec![link(false, false)]).await;
    let pair = above.ca.certify("loc1", 0x51, LONG);
    let below = above.below(&above.ca, false, Some(&pair)).await;
    above.carries(&below).await;

    std::fs::write(above.dir.path().join("revoked.txt"), "serial:51\n").unwrap();
    above.node.0.reload().await.unwrap();
    until("the end of the link", || !below.tier().connected).await;
    until("the refusal", || above.node.refused("revoked") > 0).await;
    assert_eq!(below.tier().queued_up, 0);
    // what is published meanwhile waits, on both sides
    below.publish(UP, 20..25).await;
    assert_eq!(below.tier().queued_up, 5);
    below.0.stop().await;

    // with another certificate of the same name a broker of this scope is back
    let again = above.below(&above.ca, false, Some(&above.ca.certify("loc1", 0x52, LONG))).await;
    until("the link", || again.tier().connected).await;
    again.0.stop().await;
    above.node.0.stop().await;
}

/// TIER-11: certificates of others, and of nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_with_a_wrong_certificate_is_refused() {
    let mut other = link(false, false);
    (other.name, other.site) = ("loc2".into(), Some("agg1/loc2".into()));
    let above = Above::start(vec![link(false, false), other]).await;
    let stranger = Ca::new("strangers");
    for (what, pair, reason) in [
        ("of a link of another scope", above.ca.certify("loc2", 0x61, LONG), "client_id"),
        ("of nobody here", above.ca.certify("agg9/x", 0x62, LONG), "subject"),
        ("of another authority", stranger.certify("loc1", 0x63, LONG), "handshake"),
        ("that is over", above.ca.certify("loc1", 0x64, 2020), "expired"),
    ] {
        let below = above.below(&above.ca, false, Some(&pair)).await;
        until(&format!("the refusal of a certificate {what}"), || above.node.refused(reason) > 0).await;
        assert!(!below.tier().connected, "{what}");
        below.0.stop().await;
    }
    // and without one nobody is anybody
    let below = above.below(&above.ca, false, None).await;
    until("the refusal", || above.node.refused("anonymous") > 0).await;
    assert!(!below.tier().connected);
    below.0.stop().await;
    assert_eq!(above.node.tier().from_below, 0);
    above.node.0.stop().await;
}

/// Lines of the log at the level of warnings, as far as tests look at them.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Writes them down.
struct Ear;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Listener for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A parent that our authority does not vouch for is none, and the log says what to look at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_of_another_authority_is_not_believed() {
    // others in this process may log too: what is looked for names the URL
    tracing::subscriber::set_global_default(Ear).expect("nobody else listens in this process");
    let above = Above::start(vec![link(true, false)]).await;
    let below = above.below(&Ca::new("elsewhere"), true, None).await;
    let url = above.url();
    let told = || {
        let all = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|line| line.contains("no link to the parent broker") && line.contains(&url)).cloned()
    };
    until("the warning", || told().is_some()).await;
    let line = told().unwrap();
    for part in ["UnknownIssuer", "tier.ca", "tier.parent"] {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    assert!(!line.contains("password"), "{line}");
    until("the parent to count it", || above.node.refused("handshake") > 0).await;
    assert!(!below.tier().connected);
    // nothing was said to a parent that is none
    assert_eq!(above.node.refused("credentials") + above.node.refused("anonymous"), 0);
    below.0.stop().await;
    above.node.0.stop().await;
}
