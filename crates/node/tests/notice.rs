//! The way back: a device's publish is answered with a notice on `root/node/<site>/tangle` once the ledger has it (M24).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use mqtt::{Publisher, Subscriber};
use std::time::Duration;
use support::{Net, verify};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_is_answered_with_a_notice_whose_reading_has_a_receipt() {
    let net = tokio::task::spawn_blocking(|| Net::running(1)).await.unwrap();
    let mut watcher = Subscriber::connect(&net.mqtt(), "watcher", &["root/node/z1/tangle"], 1).await.unwrap();
    let device = Publisher::connect(&net.mqtt(), "m1").await.unwrap();
    device.publish("root/device/z1/m1/sense/power", "42".into(), 1).await.unwrap();

    let notice = tokio::time::timeout(PATIENCE, watcher.recv()).await.expect("no notice came").unwrap();
    let told = mqtt::notices::parse(&notice.payload).unwrap();
    let (topic, time_us) = &told[0];
    assert_eq!((told.len(), topic.to_string().as_str()), (1, "z1/m1/sense/power"));

    let reference = format!("{topic}@{time_us}");
    tokio::task::spawn_blocking(move || {
        let verified = verify(&net.receipt(&reference), &net.genesis()).unwrap();
        assert_eq!(verified.reading.name().to_string(), reference);
        assert_eq!(verified.reading.value, protocol::Value::Number(42.0));
    })
    .await
    .unwrap();
}
