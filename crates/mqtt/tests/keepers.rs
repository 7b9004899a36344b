//! A broker that keeps nothing itself: what is published is acknowledged when the service that keeps it has acknowledged its
//! copy (ROLE-3 to ROLE-7).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use mqtt::roles::{Area, Arrived, Carrier, CarryError, Desk, Judgement, Judging, Outgoing, Receiver, ReceiverConfig, Service};
use mqtt::{Broker, Credentials, EmbeddedConfig, Publisher, Security, Subscriber, embedded};
use protocol::Name;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use waiting::{patiently, until};

mod waiting;

const TOPIC: &str = "root/device/z1/d/sense/t";
const PROCESSED: &str = "root/fog/z1/d/sense/t";

fn site() -> Name {
    Name::new("z1").unwrap()
}

async fn broker() -> Arc<dyn Broker> {
    let config = EmbeddedConfig { bind: "127.0.0.1:0".parse().unwrap(), site: site(), on_active: None };
    embedded::start_for_services(config, Security::default()).await.unwrap()
}

/// A service that tells what arrived, and answers when it may.
struct Keeper {
    arrived: mpsc::Receiver<Arrived>,
    answers: Arc<Semaphore>,
    receiver: Receiver,
}

struct Kept {
    told: mpsc::Sender<Arrived>,
    answers: Arc<Semaphore>,
}

impl Desk for Kept {
    fn take(self: Arc<Self>, arrived: Arrived) -> Judging {
        Box::pin(async move {
            let _ = self.told.send(arrived).await;
            match self.answers.acquire().await {
                Ok(answer) => answer.forget(),
                Err(_) => return Judgement::Later,
            }
            Judgement::Settled
        })
    }
}

impl Keeper {
    /// A service that may give so many answers.
    async fn start(broker: &Arc<dyn Broker>, service: Service, answers: usize) -> Self {
        let (told, arrived) = mpsc::channel(64);
        let answers = Arc::new(Semaphore::new(answers));
        let desk = Arc::new(Kept { told, answers: answers.clone() });
        let config = ReceiverConfig {
            url: broker.address(),
            credentials: Credentials::default(),
            client_id: service.client_id(&site()),
            filters: service.filters(&site()),
        };
        let receiver = Receiver::start(config, desk).unwrap();
        until("a service to be connected", || receiver.connected()).await;
        Self { arrived, answers, receiver }
    }

    async fn next(&mut self) -> Arrived {
        patiently("a copy", self.arrived.recv()).await.unwrap()
    }
}

fn carrier(broker: &Arc<dyn Broker>, client_id: &str) -> Carrier {
    Carrier::start(&broker.address(), client_id, &Credentials::default()).unwrap()
}

/// ROLE-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_keeper_a_publish_is_refused() {
    let broker = broker().await;
    let device = carrier(&broker, "device");
    let refused = patiently("a refusal", device.publish(Outgoing::plain(TOPIC, b"1".to_vec()))).await.unwrap_err();
    assert_eq!(refused, CarryError::Later("no fog processor takes readings now: send it again later".into()));
    let fog = carrier(&broker, &Service::Fog.carrier_id(0, &site()));
    let refused = patiently("a refusal", fog.publish(Outgoing::plain(PROCESSED, b"1".to_vec()))).await.unwrap_err();
    assert_eq!(refused, CarryError::Later(Area::Fog.nobody().into()));
    let other = patiently("an answer", device.publish(Outgoing::plain("root/device/z2/d/sense/t", b"1".to_vec()))).await.unwrap_err();
    assert!(matches!(other, CarryError::Never(_)), "{other}");
    let stats = broker.keepers().unwrap();
    assert_eq!((stats.refused, stats.kept, stats.held, stats.connected), (2, 0, 0, Vec::new()));
    broker.stop().await;
}

/// ROLE-3, ROLE-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_is_acknowledged_when_its_keeper_has_acknowledged_its_copy() {
    let broker = broker().await;
    let mut fog = Keeper::start(&broker, Service::Fog, 0).await;
    let mut watcher = Subscriber::connect(&broker.address(), "watcher", &["root/#"], 1).await.unwrap();
    let device = Publisher::connect(&broker.address(), "device").await.unwrap();
    let acknowledged = device.submit(TOPIC, b"1".to_vec(), 1, false).await.unwrap();
    let copy = fog.next().await;
    assert_eq!((copy.topic.as_str(), copy.payload.as_slice(), copy.dup, copy.command), (TOPIC, b"1".as_slice(), false, false));
    assert_eq!((device.acknowledged(), broker.keepers().unwrap().held), (0, 1), "acknowledged before it was kept");
    fog.answers.add_permits(1);
    patiently("the acknowledgement", acknowledged.wait()).await.unwrap();
    assert_eq!(patiently("it to be routed", watcher.recv()).await.unwrap().topic, TOPIC);

    // the same bytes again are another publish
    fog.answers.add_permits(1);
    device.publish(TOPIC, b"1".to_vec(), 1).await.unwrap();
    let other = fog.next().await;
    assert!(!other.dup && other.fingerprint().is_some() && other.fingerprint() != copy.fingerprint());

    // at QoS 0 nobody waits, and nothing can be sent again
    device.publish(TOPIC, b"2".to_vec(), 0).await.unwrap();
    let copy = fog.next().await;
    assert_eq!((copy.payload.as_slice(), copy.fingerprint()), (b"2".as_slice(), None));
    until("nothing to be held", || broker.keepers().is_some_and(|stats| stats.held == 0 && stats.kept == 3)).await;
    broker.stop().await;
}

/// ROLE-6, ROLE-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_comes_back_gets_the_copy_again_and_knows_it() {
    let broker = broker().await;
    let mut first = Keeper::start(&broker, Service::Fog, 0).await;
    let device = Publisher::connect(&broker.address(), "device").await.unwrap();
    let acknowledged = device.submit(TOPIC, b"1".to_vec(), 1, false).await.unwrap();
    let copy = first.next().await;
    drop(first);
    let mut second = Keeper::start(&broker, Service::Fog, 8).await;
    let again = second.next().await;
    assert_eq!((again.dup, again.fingerprint()), (true, copy.fingerprint()));
    patiently("the acknowledgement", acknowledged.wait()).await.unwrap();
    assert!(second.receiver.connected());
    broker.stop().await;
}

/// ROLE-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_keeper_does_not_answer_comes_again_as_a_repetition() {
    let broker = broker().await;
    let mut fog = Keeper::start(&broker, Service::Fog, 0).await;
    let device = Publisher::connect(&broker.address(), "device").await.unwrap();
    let acknowledged = device.submit(TOPIC, b"1".to_vec(), 1, false).await.unwrap();
    let copy = fog.next().await;
    let again = fog.next().await;
    assert_eq!((again.dup, again.fingerprint()), (true, copy.fingerprint()), "the device was closed and said DUP");
    assert!(broker.keepers().unwrap().doubtful >= 1);
    fog.answers.add_permits(8);
    patiently("the acknowledgement", acknowledged.wait()).await.unwrap();
    broker.stop().await;
}

/// ROLE-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_services_get_one_copy_after_the_keeper_has_it() {
    let broker = broker().await;
    let mut ledger = Keeper::start(&broker, Service::Ledger, 64).await;
    let fog = carrier(&broker, &Service::Fog.carrier_id(0, &site()));
    // the ledger node keeps where there is no cache
    patiently("an answer", fog.publish(Outgoing::plain(PROCESSED, b"1".to_vec()))).await.unwrap();
    assert_eq!(ledger.next().await.payload, b"1");

    let mut cache = Keeper::start(&broker, Service::Cache, 0).await;
    let publish = {
        let fog = Arc::new(fog);
        let (message, carrier) = (Outgoing::plain(PROCESSED, b"2".to_vec()), fog.clone());
        (tokio::spawn(async move { carrier.publish(message).await }), fog)
    };
    assert_eq!(cache.next().await.payload, b"2");
    assert!(ledger.arrived.try_recv().is_err(), "the ledger node has it before the cache does");
    cache.answers.add_permits(64);
    patiently("an answer", publish.0).await.unwrap().unwrap();
    assert_eq!(ledger.next().await.payload, b"2");

    // what a part says of a reading travels with it, and pending readings are for the ledger node alone
    let mut message = Outgoing::plain(PROCESSED, b"3".to_vec());
    message.properties.push((mqtt::roles::COMMAND.into(), "1".into()));
    patiently("an answer", publish.1.publish(message)).await.unwrap();
    assert!(cache.next().await.command && ledger.next().await.command);
    let speaker = carrier(&broker, &Service::Cache.carrier_id(0, &site()));
    patiently("an answer", speaker.publish(Outgoing::plain("root/cache/z1/pending", b"[]".to_vec()))).await.unwrap();
    assert_eq!(ledger.next().await.topic, "root/cache/z1/pending");
    assert!(ledger.arrived.try_recv().is_err() && cache.arrived.try_recv().is_err(), "somebody got a copy twice");
    broker.stop().await;
}

/// REQ-13, ROLE-17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_refused_where_nobody_could_say_what_becomes_of_them() {
    let broker = broker().await;
    let device = carrier(&broker, "device");
    let refused = patiently("a refusal", device.publish(Outgoing::plain("root/device/z1/d/request", b"{}".to_vec()))).await.unwrap_err();
    assert!(matches!(&refused, CarryError::Never(why) if why.contains(mqtt::NOT_IN_PARTS)), "{refused}");
    broker.stop().await;
}

/// ROLE-8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_the_site_itself_are_marked() {
    let broker = broker().await;
    let (told, mut arrived) = mpsc::channel(4);
    let desk = Arc::new(Kept { told, answers: Arc::new(Semaphore::new(8)) });
    let (url, credentials) = (broker.address(), Credentials::default());
    let config = ReceiverConfig { url, credentials, client_id: "beside".into(), filters: vec!["root/fog/z1/+/+/+".into()] };
    let receiver = Receiver::start(config, desk).unwrap();
    until("a client to be connected", || receiver.connected()).await;
    let valve = "root/fog/z1/d/act/valve";
    broker.command(valve, b"1".to_vec()).await.unwrap();
    broker.publish(valve, b"2".to_vec(), 1, false).await.unwrap();
    for (payload, command) in [(b"1", true), (b"2", false)] {
        let got = patiently("a publish", arrived.recv()).await.unwrap();
        assert_eq!((got.payload.as_slice(), got.command), (payload.as_slice(), command));
    }
    broker.stop().await;
}
