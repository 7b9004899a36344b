//! What a connected device publishes and hears.

use super::device::{Device, LEVEL, LEVEL_ID, RETRY, Site, name, number, patiently, publish, until};
use mqtt::Subscriber;
use protocol::sn::{Packet, Publish, Qos, ReturnCode, TopicFilter, TopicRef};
use std::time::Instant;

/// SN-20, SN-30, SN-31: "accepted" means what the broker's acknowledgement means.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_is_kept() {
    let site = Site::start().await;
    let mut device = site.device().await;
    assert_eq!(device.connect("d", true).await, ReturnCode::Accepted);
    let topic = TopicRef::Normal(device.register("root/device/s1/d/sense/temperature").await);
    assert_eq!(device.publish(topic, b"1.5").await, ReturnCode::Accepted);
    assert_eq!(site.values(), [1.5].map(number), "on the disk before PUBACK");
    assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), b"2.5").await, ReturnCode::Accepted);
    assert_eq!(site.log.end(), 2);

    let id = device.id();
    device.send(publish(Qos::ExactlyOnce, topic, id, b"3.5")).await;
    assert_eq!(device.hear().await, Packet::PubRec(id));
    assert_eq!(site.log.end(), 3);
    device.send(Packet::PubRel(id)).await;
    assert_eq!(device.hear().await, Packet::PubComp(id));

    device.send(publish(Qos::AtMostOnce, topic, 0, b"4.5")).await;
    patiently("the reading of QoS 0", site.log.wait_past(3)).await;
    assert_eq!(site.values(), [1.5, 2.5, 3.5, 4.5].map(number));
    assert_eq!(site.gateway.stats().publishes_in, 4);
    site.stop().await;
}

/// SN-32: a PUBACK that was lost on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_kept_once() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    let message_id = device.id();
    let message = |dup| {
        let topic = TopicRef::Predefined(LEVEL_ID);
        Packet::Publish(Publish { dup, qos: Qos::AtLeastOnce, retain: false, topic, message_id, data: b"7".to_vec() })
    };
    let accepted = Packet::PubAck { topic_id: LEVEL_ID, message_id, code: ReturnCode::Accepted };
    for dup in [false, true, true] {
        device.send(message(dup)).await;
        assert_eq!(device.hear().await, accepted);
        assert_eq!(site.log.end(), 1);
    }
    // after a new connection the gateway does not know it any more, the site does
    device.ping().await;
    device.connect("d", true).await;
    device.send(message(true)).await;
    assert_eq!(device.hear().await, accepted);
    assert_eq!(site.log.end(), 1);
    site.stop().await;
}

/// SN-22, SN-35: refusals are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_return_codes() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    assert_eq!(device.publish(TopicRef::Normal(99), b"1").await, ReturnCode::InvalidTopicId);
    assert_eq!(device.publish(TopicRef::Predefined(99), b"1").await, ReturnCode::InvalidTopicId);
    // the broker's own refusals, and the connection stays
    let elsewhere = TopicRef::Normal(device.register("root/device/s2/d/sense/level").await);
    assert_eq!(device.publish(elsewhere, b"1").await, ReturnCode::NotSupported);
    assert_eq!(device.publish(TopicRef::Short(*b"ab"), b"1").await, ReturnCode::NotSupported);
    assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), b"[{\"n\":\"x\"}]").await, ReturnCode::NotSupported, "malformed");
    for topic in ["a/+", "", &"x".repeat(600)] {
        let message_id = device.id();
        device.send(Packet::Register { topic_id: 0, message_id, topic: topic.into() }).await;
        assert_eq!(device.hear().await, Packet::RegAck { topic_id: 0, message_id, code: ReturnCode::NotSupported });
    }
    assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), b"1").await, ReturnCode::Accepted);
    let refused = site.gateway.stats().refused;
    assert_eq!((refused["invalid_topic_id"], refused["not_supported"]), (2, 6));
    site.stop().await;
}

/// SN-36: QoS −1, by a predefined id and by nobody in particular.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_may_publish_at_minus_one() {
    let site = Site::start().await;
    let device = site.device().await;
    device.send(publish(Qos::MinusOne, TopicRef::Predefined(99), 0, b"1")).await;
    device.send(publish(Qos::MinusOne, TopicRef::Normal(1), 0, b"1")).await;
    device.send(publish(Qos::MinusOne, TopicRef::Short(*b"ab"), 0, b"1")).await; // the broker does not want it
    device.send(publish(Qos::MinusOne, TopicRef::Predefined(LEVEL_ID), 0, b"8")).await;
    patiently("the reading", site.log.wait_past(0)).await;
    assert_eq!(site.values(), [8.0].map(number));
    assert_eq!(site.gateway.stats().dropped["anonymous"], 2);
    assert_eq!(site.gateway.stats().clients, 0);
    site.stop().await;
}

/// SN-1: messages beyond 255 octets, both ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_pass_both_ways() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    let topic_id = device.subscribe(name("root/node/s1/tangle"), Qos::AtLeastOnce).await;
    let text = "x".repeat(1000);
    assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), text.as_bytes()).await, ReturnCode::Accepted);
    assert_eq!(site.values(), [protocol::Value::Text(text.clone())]);
    site.broker.publish("root/node/s1/tangle", text.clone().into_bytes(), 1, false).await.unwrap();
    let (registered, publish) = device.hear_publish().await;
    assert_eq!((registered, publish.topic, publish.data), (None, TopicRef::Normal(topic_id), text.into_bytes()));
    // what does not fit a message towards the client is dropped, and what follows comes
    site.broker.publish("root/node/s1/tangle", vec![b'x'; 20_000], 1, false).await.unwrap();
    device.send(Packet::PubAck { topic_id, message_id: publish.message_id, code: ReturnCode::Accepted }).await;
    site.broker.publish("root/node/s1/tangle", b"next".to_vec(), 1, false).await.unwrap();
    assert_eq!(device.hear_publish().await.1.data, b"next");
    assert_eq!(site.gateway.stats().dropped["too_large"], 1);
    site.stop().await;
}

/// SN-24, SN-33, SN-34, SN-40, SN-41: wildcards, every kind of name, each quality of service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_deliver_under_the_right_name() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    assert_eq!(device.subscribe(name("root/fog/s1/+/act/#"), Qos::AtLeastOnce).await, 0);
    assert_eq!(device.subscribe(TopicFilter::Short(*b"ab"), Qos::AtMostOnce).await, 0);
    assert_eq!(device.subscribe(TopicFilter::Predefined(LEVEL_ID), Qos::ExactlyOnce).await, LEVEL_ID);

    for n in 0..2 {
        site.broker.publish("root/fog/s1/d/act/valve", vec![b'0' + n], 1, false).await.unwrap();
        let (registered, publish) = device.hear_publish().await;
        assert_eq!(registered.as_deref(), (n == 0).then_some("root/fog/s1/d/act/valve"), "registered once");
        assert_eq!((publish.qos, publish.data.as_slice()), (Qos::AtLeastOnce, &[b'0' + n][..]));
        device.acknowledge(&publish).await;
    }
    site.broker.publish("ab", b"short".to_vec(), 1, false).await.unwrap();
    let (_, publish) = device.hear_publish().await;
    assert_eq!((publish.topic, publish.qos), (TopicRef::Short(*b"ab"), Qos::AtMostOnce));

    site.broker.publish(LEVEL, b"2".to_vec(), 2, false).await.unwrap();
    let (_, publish) = device.hear_publish().await;
    assert_eq!((publish.topic, publish.qos), (TopicRef::Predefined(LEVEL_ID), Qos::ExactlyOnce));
    device.send(Packet::PubRec(publish.message_id)).await;
    assert_eq!(device.hear().await, Packet::PubRel(publish.message_id));
    device.send(Packet::PubComp(publish.message_id)).await;

    let message_id = device.id();
    device.send(Packet::Unsubscribe { message_id, topic: name("root/fog/s1/+/act/#") }).await;
    assert_eq!(device.hear().await, Packet::UnsubAck(message_id));
    site.broker.publish("root/fog/s1/d/act/valve", b"9".to_vec(), 1, false).await.unwrap();
    site.broker.publish("ab", b"after".to_vec(), 0, false).await.unwrap();
    assert_eq!(device.hear_publish().await.1.data, b"after", "nothing of what is not wanted any more");
    site.stop().await;
}

/// SN-10: retained messages are the broker's; a device's are kept there, and come with a subscription.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_come_with_the_subscription() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    let message_id = device.id();
    let (topic, data) = (TopicRef::Predefined(LEVEL_ID), b"5".to_vec());
    device.send(Packet::Publish(Publish { dup: false, qos: Qos::AtLeastOnce, retain: true, topic, message_id, data })).await;
    assert_eq!(device.hear().await, Packet::PubAck { topic_id: LEVEL_ID, message_id, code: ReturnCode::Accepted });
    let mut watcher = Subscriber::connect(&site.broker.address(), "watcher", &[LEVEL], 1).await.unwrap();
    assert!(patiently("the retained reading", watcher.recv()).await.unwrap().retain);
    device.subscribe(name("root/device/#"), Qos::AtLeastOnce).await;
    let (registered, publish) = device.hear_publish().await;
    assert_eq!((registered.as_deref(), publish.retain, publish.data), (Some(LEVEL), true, b"5".to_vec()));
    site.stop().await;
}

/// SN-43: what a device does not answer comes again, with DUP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_answered_comes_again() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    let topic_id = device.subscribe(name("root/node/s1/tangle"), Qos::AtLeastOnce).await;
    site.broker.publish("root/node/s1/tangle", b"[]".to_vec(), 1, false).await.unwrap();
    let (_, first) = device.hear_publish().await;
    let start = Instant::now();
    let (_, second) = device.hear_publish().await;
    assert!(start.elapsed() >= RETRY / 2, "too early");
    assert_eq!(second, Publish { dup: true, ..first });
    // the client has lost the id: it is registered again
    device.send(Packet::PubAck { topic_id, message_id: second.message_id, code: ReturnCode::InvalidTopicId }).await;
    let (registered, third) = device.hear_publish().await;
    assert_eq!((registered.as_deref(), third.message_id), (Some("root/node/s1/tangle"), second.message_id));
    device.acknowledge(&third).await;
    device.ping().await;
    assert!(site.gateway.stats().retries >= 1);
    until("nothing to wait", || site.gateway.stats().buffered_bytes == 0).await;
    site.stop().await;
}

/// SN-14: the broker goes and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_the_broker() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    device.subscribe(name("root/node/s1/tangle"), Qos::AtLeastOnce).await;
    let Site { dir, log, broker, gateway } = site;
    let bind = broker.address().strip_prefix("mqtt://").unwrap().to_string();
    broker.stop().await;
    drop((broker, log));
    // without the broker nothing is accepted, and the device is told so
    patiently("a refusal", async { while device.publish(TopicRef::Predefined(LEVEL_ID), b"1").await != ReturnCode::Congestion {} }).await;
    let (log, broker) = super::device::start_broker(&dir, &bind).await;
    patiently("an acceptance", async {
        while device.publish(TopicRef::Predefined(LEVEL_ID), b"2").await != ReturnCode::Accepted {
            tokio::time::sleep(RETRY / 10).await;
        }
    })
    .await;
    assert!(log.end() > 0);
    // the subscription is there again, though the broker has forgotten it
    broker.publish("root/node/s1/tangle", b"[]".to_vec(), 1, false).await.unwrap();
    assert_eq!(device.hear_publish().await.1.data, b"[]");
    gateway.stop().await;
    broker.stop().await;
}

/// SN-11: without a broker nobody is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_a_connect_is_congestion() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = mqtt::sn::start(super::device::config(&format!("mqtt://{nobody}"))).await.unwrap();
    let device = Device::new(gateway.address()).await;
    assert_eq!(device.connect("d", true).await, ReturnCode::Congestion);
    until("the client to be gone", || gateway.stats().clients == 0).await;
    gateway.stop().await;
}
