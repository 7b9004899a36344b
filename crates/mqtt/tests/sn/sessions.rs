//! Sessions: wills, persistence, sleep, takeover, the end.

use super::device::{Device, LEVEL, LEVEL_ID, Site, connect, name, number, patiently, until};
use protocol::Value;
use protocol::sn::{Packet, Qos, ReturnCode, TopicRef, WillTopic};

fn will(topic: &str) -> Option<WillTopic> {
    Some(WillTopic { qos: Qos::AtLeastOnce, retain: false, topic: topic.into() })
}

/// Connects with a will.
async fn connect_with_will(device: &Device, client_id: &str, topic: &str, message: &str, keep_alive_s: u16) -> ReturnCode {
    device.send(connect(client_id, true, true, keep_alive_s)).await;
    assert_eq!(device.hear().await, Packet::WillTopicRequest);
    device.send(Packet::WillTopic(will(topic))).await;
    assert_eq!(device.hear().await, Packet::WillMessageRequest);
    device.send(Packet::WillMessage(message.into())).await;
    match device.hear().await {
        Packet::ConnAck(code) => code,
        other => panic!("{other:?} instead of a CONNACK"),
    }
}

/// SN-15, SN-50: silence for one and a half times the keep-alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_will_of_a_lost_device_is_published() {
    let site = Site::start().await;
    let device = site.device().await;
    assert_eq!(connect_with_will(&device, "d", LEVEL, "gone", 1).await, ReturnCode::Accepted);
    patiently("the will", site.log.wait_past(0)).await;
    assert_eq!(site.values(), [Value::Text("gone".into())]);
    until("the client to be gone", || site.gateway.stats().clients == 0).await;
    assert_eq!(site.gateway.stats().lost, 1);
    // it is told so when it comes back
    device.send(Packet::PingRequest { client_id: String::new() }).await;
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    site.stop().await;
}

/// SN-16: the broker's policy holds for wills too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_that_is_not_allowed_is_refused() {
    let site = Site::start().await;
    let device = site.device().await;
    let code = connect_with_will(&device, "d", "root/fog/s1/d/act/valve", "open", 60).await;
    assert_eq!(code, ReturnCode::NotSupported);
    site.stop().await;
}

/// SN-17: a will is changed, and the last one counts; who leaves in order leaves none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_will_counts() {
    let site = Site::start().await;
    let mut device = site.device().await;
    connect_with_will(&device, "d", LEVEL, "first", 1).await;
    device.send(Packet::WillMessageUpdate(b"second".to_vec())).await;
    assert_eq!(device.hear().await, Packet::WillMessageResponse(ReturnCode::Accepted));
    device.send(Packet::WillTopicUpdate(will("root/device/s1/d/sense/state"))).await;
    assert_eq!(device.hear().await, Packet::WillTopicResponse(ReturnCode::Accepted));
    device.send(Packet::WillTopicUpdate(will("root/fog/s1/rejected"))).await;
    assert_eq!(device.hear().await, Packet::WillTopicResponse(ReturnCode::NotSupported), "the will of before stays");
    // a marker on the same link shows that nothing was published by the changes
    patiently("the link to be back", async { while device.publish(TopicRef::Predefined(LEVEL_ID), b"1").await != ReturnCode::Accepted {} })
        .await;
    patiently("the will", site.log.wait_past(1)).await;
    assert_eq!(site.values(), [number(1.0), Value::Text("second".into())]);

    connect_with_will(&device, "d", LEVEL, "never", 60).await;
    device.send(Packet::Disconnect { duration_s: None }).await;
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    connect_with_will(&device, "d", LEVEL, "neither", 60).await;
    device.send(Packet::WillTopicUpdate(None)).await;
    assert_eq!(device.hear().await, Packet::WillTopicResponse(ReturnCode::Accepted));
    assert_eq!(device.publish(TopicRef::Predefined(LEVEL_ID), b"2").await, ReturnCode::Accepted);
    assert_eq!(site.values().len(), 3);
    site.stop().await;
}

/// SN-12, SN-19: a persistent session, and what came meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persistent_session_goes_on() {
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", false).await;
    let topic_id = device.subscribe(name("root/node/s1/tangle"), Qos::AtLeastOnce).await;
    device.send(Packet::Disconnect { duration_s: None }).await;
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    until("the client to be gone", || site.gateway.stats().clients == 0).await;
    site.broker.publish("root/node/s1/tangle", b"[1]".to_vec(), 1, false).await.unwrap();

    assert_eq!(device.connect("d", false).await, ReturnCode::Accepted);
    let (registered, publish) = device.hear_publish().await;
    assert_eq!(registered.as_deref(), Some("root/node/s1/tangle"), "told again");
    assert_eq!((publish.topic, publish.data.as_slice()), (TopicRef::Normal(topic_id), &b"[1]"[..]));
    device.acknowledge(&publish).await;
    device.ping().await;

    // CleanSession: nothing goes on, not even between two breaths
    device.send(Packet::Disconnect { duration_s: None }).await;
    device.send(connect("d", true, false, 60)).await;
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    assert_eq!(device.hear().await, Packet::ConnAck(ReturnCode::Accepted));
    site.broker.publish("root/node/s1/tangle", b"[2]".to_vec(), 1, false).await.unwrap();
    device.ping().await;
    site.stop().await;
}

/// SN-52, SN-53, SN-54: a device sleeps, and gets what waits when it asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_device_gets_what_waits() {
    const COUNT: u8 = 40; // more than the broker sends at once
    let site = Site::start().await;
    let mut device = site.device().await;
    device.connect("d", true).await;
    device.subscribe(name("root/node/s1/tangle"), Qos::AtLeastOnce).await;
    device.send(Packet::Disconnect { duration_s: Some(600) }).await;
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    until("the device to sleep", || site.gateway.stats().asleep == 1).await;
    for n in 0..COUNT {
        site.broker.publish("root/node/s1/tangle", vec![n], 1, false).await.unwrap();
    }
    until("something to wait", || site.gateway.stats().buffered_bytes > 0).await;

    // it wakes up at another address, as after a pause behind a NAT
    let awake = site.device().await;
    awake.send(Packet::PingRequest { client_id: "d".into() }).await;
    for n in 0..COUNT {
        let (_, publish) = awake.hear_publish().await;
        assert_eq!(publish.data, [n], "in order");
        awake.acknowledge(&publish).await;
    }
    assert_eq!(awake.hear().await, Packet::PingResponse);
    until("it to sleep on", || site.gateway.stats().asleep == 1).await;
    assert_eq!(site.gateway.stats().clients, 1);

    // back for good, with the session
    awake.send(connect("d", false, false, 60)).await;
    assert_eq!(awake.hear().await, Packet::ConnAck(ReturnCode::Accepted));
    site.broker.publish("root/node/s1/tangle", b"awake".to_vec(), 1, false).await.unwrap();
    assert_eq!(awake.hear_publish().await.1.data, b"awake");
    site.stop().await;
}

/// SN-18: the same client id from another address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_id_belongs_to_the_last_that_connected() {
    let site = Site::start().await;
    let mut before = site.device().await;
    before.connect("d", false).await;
    before.subscribe(name("root/node/s1/tangle"), Qos::AtLeastOnce).await;
    let after = site.device().await;
    assert_eq!(after.connect("d", false).await, ReturnCode::Accepted);
    site.broker.publish("root/node/s1/tangle", b"[]".to_vec(), 1, false).await.unwrap();
    assert_eq!(after.hear_publish().await.1.data, b"[]");
    before.send(Packet::PingRequest { client_id: String::new() }).await;
    assert_eq!(before.hear().await, Packet::Disconnect { duration_s: None }, "it is a stranger now");
    assert_eq!(site.gateway.stats().clients, 1);
    site.stop().await;
}

/// SN-56: a stop is told, and publishes no will.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_told() {
    let site = Site::start().await;
    let device = site.device().await;
    connect_with_will(&device, "d", LEVEL, "gone", 60).await;
    site.gateway.stop().await;
    assert_eq!(device.hear().await, Packet::Disconnect { duration_s: None });
    // had the broker a will to publish, it would be in the log when it has stopped
    site.broker.stop().await;
    assert_eq!(site.log.end(), 0);
}
