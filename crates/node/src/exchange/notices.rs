//! Tells devices what became of their requests: `root/node/<site>/<ID>/requested`.

use super::counters::{Counters, count};
use super::payload::Notice;
use mqtt::Broker;
use protocol::{DeviceName, Topic};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Notices that may wait for the broker. Beyond, they are dropped and counted.
const NOTICES_MAX: usize = 1024;
/// How long the broker may take for one.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Hands notices to the task that says them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Notices {
    queue: mpsc::Sender<(DeviceName, Notice)>,
    counters: Arc<Counters>,
}

impl Notices {
    pub(super) fn new(counters: Arc<Counters>) -> (Self, mpsc::Receiver<(DeviceName, Notice)>) {
        let (queue, told) = mpsc::channel(NOTICES_MAX);
        (Self { queue, counters }, told)
    }

    /// Tells a device, without waiting.
    pub(super) fn tell(&self, device: DeviceName, notice: Notice) {
        if self.queue.try_send((device, notice)).is_err() {
            count(&self.counters.dropped);
        }
    }
}

/// Says what is to be said, until nobody is left to say anything.
pub(super) async fn speak(broker: Arc<dyn Broker>, mut queue: mpsc::Receiver<(DeviceName, Notice)>, counters: Arc<Counters>) {
    while let Some((device, notice)) = queue.recv().await {
        let topic = Topic::Requested(device).to_string();
        let said = tokio::time::timeout(PUBLISH_TIMEOUT, broker.publish(&topic, notice.payload(), 1, false)).await;
        if !matches!(said, Ok(Ok(()))) {
            count(&counters.dropped);
            tracing::debug!(topic, "a device was not told what became of its request");
        }
    }
}
