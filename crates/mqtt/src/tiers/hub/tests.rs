//! The hub with a real spool and no socket: what it takes, keeps, recognises and remembers.

use super::super::passport;
use super::*;
use crate::spool::SpoolConfig;
use std::path::Path;

const A: &str = "00000000000000aa";
const LINK: &str = "wattle-link@agg1/loc1";
const OWN: &str = "root/fog/agg1/loc1/d/sense/t";
const FOREIGN: &str = "root/fog/agg2/loc1/ID1/sense/type1";

fn config(dir: &Path, limits: SpoolConfig) -> TierConfig {
    TierConfig {
        scope: "agg1".parse().unwrap(),
        member: None,
        parent: Some(super::super::Parent { url: "mqtt://127.0.0.1:1".parse().unwrap(), login: None, tls: None }),
        children: vec!["agg1/loc1".parse().unwrap()],
        up: vec!["root/fog/#".into()],
        down: vec![],
        spool: dir.join("spool"),
        limits,
    }
}

fn open(dir: &Path) -> Tiers {
    Tiers::open(config(dir, SpoolConfig::default())).unwrap()
}

fn travelling(topic: &str, sequence: u64) -> Vec<(String, String)> {
    passport::properties(Passport::new(A, sequence, 1).leave(A, topic, b"x", &[], None)).2
}

fn below(tiers: &Tiers, topic: &str, properties: &[(String, String)]) -> Result<Taken, Refused> {
    tiers.from_below(LINK, topic, b"x", 1, properties.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

fn above(tiers: &Tiers, topic: &str, properties: &[(String, String)]) -> Result<Taken, Refused> {
    tiers.from_above(topic, b"x", 1, properties.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

async fn kept(taken: Result<Taken, Refused>) -> Option<Delivery> {
    let taken = taken.unwrap();
    if let Some(durable) = taken.durable {
        durable.wait().await.unwrap();
    }
    taken.delivery
}

async fn queued(tiers: &Tiers, queue: &str) -> Vec<u64> {
    tiers.spool().read(queue, 1, 1000).await.unwrap().into_iter().map(|(_, record)| record.sequence).collect()
}

async fn ask(tiers: &Tiers, filter: &str) {
    tiers.link_connected(LINK, Hello { weight: 1, shared: false });
    if let Some(durable) = tiers.link_filter(LINK, (None, filter.into()), true) {
        durable.wait().await.unwrap();
    }
}

/// TIER-10: a repetition is recognised, also after a restart; what is new is taken.
#[tokio::test]
async fn repetitions_are_recognised_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    assert!(kept(below(&tiers, OWN, &travelling(OWN, 1))).await.is_some());
    assert!(kept(below(&tiers, OWN, &travelling(OWN, 2))).await.is_some());
    assert!(kept(below(&tiers, OWN, &travelling(OWN, 1))).await.is_none());
    let id = tiers.id().to_owned();
    drop(tiers);
    let tiers = open(dir.path());
    assert_eq!(tiers.id(), id, "a broker keeps its id");
    assert!(kept(below(&tiers, OWN, &travelling(OWN, 2))).await.is_none());
    assert!(kept(below(&tiers, OWN, &travelling(OWN, 3))).await.is_some());
    assert_eq!(queued(&tiers, UP).await, [1, 2, 3], "each went up once, in order");
    assert_eq!((tiers.stats().duplicates, tiers.stats().from_below), (1, 1));
}

/// TIER-10: what one link says of an origin says nothing of what comes over another, or from above. A broker below that
/// claimed another's origin with a great sequence had everything of it taken for seen.
#[tokio::test]
async fn a_link_cannot_spoil_the_origins_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    let topic = "root/fog/agg1/loc2/d/sense/t";
    let forged = travelling(topic, u64::MAX);
    let other = || tiers.from_below("wattle-link@agg1/loc2", topic, b"x", 1, forged.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    assert!(kept(other()).await.is_some());
    assert!(kept(other()).await.is_none(), "its own repetitions are known");
    assert!(kept(below(&tiers, OWN, &travelling(OWN, 1))).await.is_some());
    assert!(kept(above(&tiers, FOREIGN, &travelling(FOREIGN, 1))).await.is_some());
}

#[tokio::test]
async fn what_may_not_come_from_below() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    for topic in [FOREIGN, "root/fog/agg1/loc2/d/sense/t", "root/fog/agg1/loc1", "other", "root/fog/agg1/loc1/#"] {
        assert!(matches!(below(&tiers, topic, &travelling(topic, 1)), Err(Refused::Topic { .. })), "{topic}");
    }
    let own_id = tiers.id().to_owned();
    let circle = passport::properties(Passport::new(A, 1, 1).leave(&own_id, OWN, b"x", &[], None)).2;
    assert_eq!(below(&tiers, OWN, &circle).err(), Some(Refused::Loop));
    assert_eq!(tiers.stats().loops, 1);
    let broken = vec![("wattle-origin".to_string(), "x".to_string())];
    assert!(matches!(below(&tiers, OWN, &broken), Err(Refused::Passport(_))));
    assert_eq!(queued(&tiers, UP).await, [0u64; 0]);
}

/// TIER-8: the publish keeps its origin and gets this broker into its way.
#[tokio::test]
async fn origin_and_way_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    kept(below(&tiers, OWN, &travelling(OWN, 7))).await;
    let (_, record) = tiers.spool().read(UP, 1, 1).await.unwrap().remove(0);
    let (topic, payload, properties) = passport::properties(record);
    assert_eq!((topic.as_str(), payload.as_slice()), (OWN, b"x".as_slice()));
    let read = Passport::read(properties.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap().unwrap();
    assert_eq!((read.origin.as_str(), read.sequence), (A, 7));
    assert_eq!(read.hops, [A, tiers.id()]);
}

/// TIER-12: what was not kept was not seen; it is taken when it comes again.
#[tokio::test]
async fn a_full_spool_refuses_and_takes_later() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = Tiers::open(config(dir.path(), SpoolConfig { limit_bytes: 500, ..SpoolConfig::default() })).unwrap();
    let mut sequence = 0;
    let refused = loop {
        sequence += 1;
        match below(&tiers, OWN, &travelling(OWN, sequence)) {
            Ok(taken) => drop(kept(Ok(taken)).await),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Refused::Spool(SpoolError::Full { .. })), "{refused}");
    assert!(tiers.offer(OWN, b"y", 1).is_err(), "neither is what enters here");
    tiers.drained(UP, 2, 1);
    let mut commits = tiers.spool().commits();
    while tiers.spool().first(UP) < 2 {
        commits.changed().await.unwrap();
    }
    assert!(kept(below(&tiers, OWN, &travelling(OWN, sequence))).await.is_some());
    assert_eq!(queued(&tiers, UP).await, (2..=sequence).collect::<Vec<_>>());
    assert_eq!((tiers.stats().refused, tiers.stats().drained), (2, 1));
}

/// TIER-11, TIER-12: a link's filters and what waits for it outlive a restart; a child that is none any more is forgotten.
#[tokio::test]
async fn links_are_remembered_until_they_are_no_children() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    ask(&tiers, FOREIGN).await;
    assert!(tiers.link_filter(LINK, (None, FOREIGN.into()), true).is_none(), "nothing changes");
    assert!(tiers.link_filter(LINK, (None, "#".into()), true).is_none(), "it may not cross");
    assert_eq!(tiers.wanted(), BTreeSet::from([FOREIGN.to_string()]));
    tiers.link_left(LINK);
    drop(tiers);

    let tiers = open(dir.path());
    assert_eq!(tiers.wanted(), BTreeSet::from([FOREIGN.to_string()]));
    assert!(kept(above(&tiers, FOREIGN, &travelling(FOREIGN, 4))).await.is_some());
    let link = tiers.stats().links.remove(0);
    assert_eq!((link.scope.as_str(), link.connected, link.filters, link.queued), ("agg1/loc1", false, 1, 1));
    if let Some(durable) = tiers.link_filter(LINK, (None, FOREIGN.into()), false) {
        durable.wait().await.unwrap();
    }
    assert!(tiers.wanted().is_empty());
    ask(&tiers, FOREIGN).await;
    drop(tiers);

    let mut other = config(dir.path(), SpoolConfig::default());
    other.children.clear();
    let tiers = Tiers::open(other).unwrap();
    assert!(tiers.stats().links.is_empty() && tiers.wanted().is_empty() && !tiers.may_link(LINK));
    drop(tiers);
    let tiers = open(dir.path());
    assert!(tiers.stats().links.is_empty() && tiers.may_link(LINK));
    assert!(queued(&tiers, LINK).await.is_empty(), "what waited for it is gone");
}

/// TIER-14: publishes of the log and the offset after them are kept together.
#[tokio::test]
async fn the_log_s_offset_goes_with_its_publishes() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    assert_eq!(tiers.log_offset(), None);
    let published: Vec<_> = (0..3u8).map(|n| (OWN.to_string(), vec![n])).collect();
    tiers.offer_log(&published, 3).unwrap().unwrap().wait().await.unwrap();
    drop(tiers);
    let tiers = open(dir.path());
    assert_eq!(tiers.log_offset(), Some(3));
    tiers.offer(OWN, b"later", 1).unwrap().unwrap().wait().await.unwrap();
    assert_eq!(queued(&tiers, UP).await, [1, 2, 3, 4], "sequences ascend across a restart");
    assert!(tiers.offer("root/node/agg1/loc1/tangle", b"[]", 1).unwrap().is_none(), "nobody asks for it");
}

/// A parent of another kind knows nothing of us: what it sends enters the tree here.
#[tokio::test]
async fn publishes_of_other_brokers_enter_here() {
    let dir = tempfile::tempdir().unwrap();
    let tiers = open(dir.path());
    ask(&tiers, FOREIGN).await;
    for _ in 0..2 {
        let delivery = kept(above(&tiers, FOREIGN, &[])).await.unwrap();
        assert_eq!((delivery.topic.as_str(), delivery.groups), (FOREIGN, None));
    }
    assert_eq!(queued(&tiers, LINK).await, [1, 2]);
}
